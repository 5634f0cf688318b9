"""The standard library: every module is there, comes from the right place, and can do what it is for."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

from .context import INTERNAL, Context, InstalledInterpreter, Problem, version_key
from .registry import check

# Importing these does something, or cannot work on Linux; that they are there is checked all the same.
NOT_IMPORTED = re.compile(
    r".*\.__main__$|encodings\.(mbcs|oem)$|.*windows.*|.*win32.*|idlelib\.idle$|.*_?msvc9?compiler$"
    r"|distutils\.command\.bdist_(msi|wininst)$|.*win_console$|_apple_support$|_ios_support$|ctypes\.wintypes$"
    r"|_pyrepl\.fancycompleter$|antigravity$|idlelib\.macosx$|lib2to3\.pgen2\.conv$|turtledemo\..*|test$"
)
# What PyPy has in another form, or not at all.
PYPY_EXTENSIONS = (
    "_ssl _hashlib _sqlite3 _curses _curses_panel _bz2 _lzma _dbm _gdbm _tkinter zlib array math cmath mmap pyexpat "
    "_ctypes _csv _decimal _json _multiprocessing _posixshmem _posixsubprocess _socket _struct audioop binascii fcntl "
    "grp resource select syslog termios unicodedata readline"
).split()


@cache
def _rows(path: Path) -> tuple[tuple[str, tuple[int, ...], tuple[int, ...]], ...]:
    found = []
    for line in path.read_text(encoding="utf-8").splitlines():
        if line and not line.startswith("#"):
            name, _, span = line.partition(" ")
            first, _, last = span.partition("-")
            found.append((name, _key(first, (3, 0)), _key(last, (3, 999))))
    return tuple(found)


def _key(minor: str, otherwise: tuple[int, ...]) -> tuple[int, ...]:
    return version_key(minor) if minor else otherwise


def modules_of(minor: tuple[int, ...], path: Path) -> list[str]:
    """The modules of one minor, from a file in the format of data/stdlib-modules.txt."""
    return [name for name, first, last in _rows(path) if first <= minor <= last]


def imported(context: Context, interpreter: InstalledInterpreter) -> dict[str, Any]:
    """What importing the whole standard library gave."""

    def run() -> dict[str, Any]:
        pure = modules_of(interpreter.key, context.data / "stdlib-modules.txt")
        extensions = modules_of(interpreter.key, context.data / "extension-modules.txt")
        request = {
            "find": [name for name in pure if NOT_IMPORTED.fullmatch(name)],
            # Extensions first: one that crashes is named, and not a module that happens to import it.
            "import": extensions + [name for name in pure if not NOT_IMPORTED.fullmatch(name)],
        }
        # idlelib makes a directory at home, and gives up when another interpreter is doing the same right now.
        environment = {**context.environment, "HOME": str(context.directory(f"home-{interpreter.tag}"))}
        answer: dict[str, Any] = context.worker(interpreter, "modules", stdin=json.dumps(request), env=environment)
        return answer

    return context.once(f"importing the standard library of {interpreter.tag}", run)


def _is_cpython(interpreter: InstalledInterpreter) -> bool:
    return interpreter.is_cpython


@check("stdlib-imports", each_interpreter=True, suits=_is_cpython, heavy=True)
def imports(context: Context, interpreter: InstalledInterpreter) -> Iterator[str]:
    """Every module of this minor that is a Python file imports, from the interpreter's own library."""
    answer = imported(context, interpreter)
    pure = set(modules_of(interpreter.key, context.data / "stdlib-modules.txt"))
    yield from (f"{name}: {error}" for name, error in sorted(answer["failed"].items()) if name in pure)
    yield from _foreign(interpreter, answer["origins"], pure)


@check("regression-05-sqlite-import", each_interpreter=True)
def sqlite_import(context: Context, interpreter: InstalledInterpreter) -> None:
    """sqlite3 imports: it was once missing on one architecture only."""
    context.run([interpreter.python, "-c", "import sqlite3, _sqlite3; sqlite3.connect(':memory:')"])


@check("stdlib-extensions", each_interpreter=True, suits=_is_cpython)
def extensions(context: Context, interpreter: InstalledInterpreter) -> Iterator[str]:
    """Every extension module of this minor was built: configure skips what it cannot build with a mere warning."""
    answer = imported(context, interpreter)
    wanted = set(modules_of(interpreter.key, context.data / "extension-modules.txt"))
    yield from (f"{name}: {error}" for name, error in sorted(answer["failed"].items()) if name in wanted)
    yield from _foreign(interpreter, answer["origins"], wanted)
    directory = interpreter.stdlib / "lib-dynload"
    allowed = wanted | {"nis"}  # built where the C library still brings its headers
    for file in sorted(os.listdir(directory)):
        name = file.split(".", 1)[0]
        if name not in allowed and not re.match(r"_test|_ctypes_test|_?xx", name):
            yield f"unexpected {directory / file}"


def _foreign(interpreter: InstalledInterpreter, origins: dict[str, str], names: set[str]) -> Iterator[str]:
    own = (f"{interpreter.prefix}/lib/", f"{interpreter.home}/lib/")
    for name in sorted(names & origins.keys()):
        origin = origins[name]
        if origin and (not origin.startswith(own) or "/site-packages/" in origin):
            yield f"{name} comes from {origin}, not from the standard library"


@check("stdlib-pypy", each_interpreter=True, suits=lambda i: i.implementation == "pypy")
def pypy(context: Context, interpreter: InstalledInterpreter) -> Iterator[str]:
    """PyPy's library imports, as far as it has CPython's modules."""
    pure = modules_of(interpreter.key, context.data / "stdlib-modules.txt")
    skipped = re.compile(
        r"_aix_support|_pydatetime|ensurepip\..*|idlelib.*|lib2to3\.tests.*|test.*|.*\._bootsubprocess"
    )
    names = [n for n in pure if not NOT_IMPORTED.fullmatch(n) and not skipped.fullmatch(n)] + PYPY_EXTENSIONS
    request = json.dumps({"find": [], "import": [n for n in names if n != "readline"]})
    answer = context.worker(interpreter, "modules", stdin=request)
    yield from (f"{name}: {error}" for name, error in sorted(answer["failed"].items()))


@check("test-package", each_interpreter=True, suits=_is_cpython)
def test_package(context: Context, interpreter: InstalledInterpreter) -> Iterator[str]:
    """`import test` and test.support work; CPython's own tests, half of its size, are left out."""
    context.run([interpreter.python, "-c", "import test, test.support; from test.support import script_helper"])
    if interpreter.key >= (3, 15):
        code = "from _missing_stdlib_info import _MISSING_STDLIB_MODULE_MESSAGES as said; print(said['test'])"
        if "leave CPython's own tests out" not in (said := context.output([interpreter.python, "-c", code])):
            yield f"_missing_stdlib_info says of test: {said!r}"
    directory = interpreter.stdlib / "test"
    tests = [name for name in os.listdir(directory) if name.startswith("test_")]
    if tests:
        yield f"{directory} holds {len(tests)} tests, such as {sorted(tests)[0]}"


# --- What C libraries are for -----------------------------------------------------------------------------

COMMON = (
    "sqlite ssl hashes zlib bz2 lzma dbm.dumb ctypes decimal processes sockets locale expat gil curses tkinter".split()
)
CPYTHON_ONLY = "dbm.gnu dbm.ndbm readline uuid".split()


def capabilities(context: Context, interpreter: InstalledInterpreter) -> dict[str, Any]:
    """What using the C libraries gave, see workers/capabilities.py."""
    names = [*COMMON, *(CPYTHON_ONLY if interpreter.is_cpython else ())]
    names += ["zstd"] if interpreter.key >= (3, 14) else []

    def run() -> dict[str, Any]:
        answer: dict[str, Any] = context.worker(interpreter, "capabilities", *names)
        return answer

    return context.once(f"capabilities of {interpreter.tag}", run)


def _value(context: Context, interpreter: InstalledInterpreter, name: str) -> Any:
    answer = capabilities(context, interpreter)
    if name in answer["errors"]:
        raise Problem(f"{name}: {answer['errors'][name]}")
    return answer["values"][name]


def _expect_library(context: Context, interpreter: InstalledInterpreter, library: str, component: str) -> Iterator[str]:
    """Says so unless the process mapped `library` from a private prefix, and from nowhere else."""
    if component not in context.expected.components:
        return
    mapped = [path for path in capabilities(context, interpreter)["maps"] if os.path.basename(path).startswith(library)]
    foreign = [path for path in mapped if not path.startswith((f"{INTERNAL}/", "/usr/local/"))]
    if not mapped:
        yield f"{library} is not loaded: is it a bundled copy?"
    if foreign:
        yield f"{', '.join(foreign)} is loaded instead of ours below {INTERNAL}"


def _register(name: str, suits: Any = lambda interpreter: True) -> None:
    @check(f"capability-{name}", each_interpreter=True, suits=suits)
    def capability(context: Context, interpreter: InstalledInterpreter) -> None:
        _value(context, interpreter, name)


for _name in ("zlib", "bz2", "lzma", "dbm.dumb", "ctypes", "processes", "sockets", "expat", "curses", "hashes"):
    _register(_name)
for _name in ("dbm.gnu", "dbm.ndbm", "uuid"):
    _register(_name, _is_cpython)


@check("capability-sqlite", each_interpreter=True)
def sqlite(context: Context, interpreter: InstalledInterpreter) -> Iterator[str]:
    """SQLite is the built version, or new enough."""
    version = _value(context, interpreter, "sqlite")["version"]
    built = context.expected.components.get("sqlite")
    if built and interpreter.is_cpython and version != built["version"]:
        yield f"SQLite is {version}, expected {built['version']}"
    elif version_key(version) < (3, 50) and (built or interpreter.is_cpython):
        yield f"SQLite is {version}, expected 3.50 or newer"


@check("regression-06-sqlite-ours", each_interpreter=True, suits=_is_cpython)
def sqlite_ours(context: Context, interpreter: InstalledInterpreter) -> Iterator[str]:
    """The library that is loaded is ours, not the system's."""
    yield from _expect_library(context, interpreter, "libsqlite3.so", "sqlite")


@check("regression-07-sqlite-extensions", each_interpreter=True, suits=_is_cpython)
def sqlite_extensions(context: Context, interpreter: InstalledInterpreter) -> Iterator[str]:
    """The full-text and spatial extensions were built: a new build system once dropped them silently."""
    if "sqlite" not in context.expected.components:
        return
    options = set(_value(context, interpreter, "sqlite")["options"])
    wanted = {"ENABLE_FTS3", "ENABLE_FTS4", "ENABLE_FTS5", "ENABLE_RTREE", "ENABLE_GEOPOLY"}
    if missing := sorted(wanted - options):
        yield f"SQLite was built without {', '.join(missing)}"


@check("capability-ssl", each_interpreter=True)
def ssl(context: Context, interpreter: InstalledInterpreter) -> Iterator[str]:
    """OpenSSL is new enough, knows TLS 1.3, and finds the image's certificates."""
    value = _value(context, interpreter, "ssl")
    built = context.expected.components.get("openssl")
    if tuple(value["info"][:3]) < (1, 1, 1):
        yield f"{value['version']} is older than 1.1.1"
    if built and interpreter.is_cpython and f"OpenSSL {built['version']} " not in value["version"] + " ":
        yield f"it is {value['version']}, expected {built['version']}"
    if not value["tls13"]:
        yield f"{value['version']} without TLS 1.3"
    if value["authorities"] < 50:
        yield f"only {value['authorities']} authorities are trusted by default, from {value['cafile']}"


@check("capability-decimal", each_interpreter=True)
def decimal(context: Context, interpreter: InstalledInterpreter) -> Iterator[str]:
    """decimal is the compiled one; from 3.13 on with our mpdecimal, not with the copy that configure falls back to."""
    value = _value(context, interpreter, "decimal")
    if interpreter.is_cpython and not value["compiled"]:
        yield "decimal is the slow Python version"
    built = context.expected.components.get("mpdecimal")
    if built and interpreter.is_cpython and interpreter.key >= (3, 13):
        if value["version"] != built["version"]:
            yield f"mpdecimal is {value['version']}, expected {built['version']}"
        yield from _expect_library(context, interpreter, "libmpdec.so", "mpdecimal")


@check("capability-zstd", each_interpreter=True, suits=lambda i: i.is_cpython and i.key >= (3, 14))
def zstd(context: Context, interpreter: InstalledInterpreter) -> Iterator[str]:
    """compression.zstd is multi-threaded and ours."""
    value = _value(context, interpreter, "zstd")
    built = context.expected.components.get("zstd")
    wanted = built["version"] if built else "1.5.7"
    if value["version"] != wanted:
        yield f"zstd is {value['version']}, expected {wanted}"
    if value["workers"] < 1:
        yield "zstd was built without threads"
    yield from _expect_library(context, interpreter, "libzstd.so", "zstd")


@check("regression-08-tkinter", each_interpreter=True)
def tkinter(context: Context, interpreter: InstalledInterpreter) -> Iterator[str]:
    """tkinter has Tcl and Tk 8.6 or newer, their scripts included."""
    value = _value(context, interpreter, "tkinter")
    if value["tk"] < 8.6:
        yield f"Tk is {value['tk']}, expected 8.6 or newer"
    built = context.expected.components.get("tcl")
    if built and interpreter.is_cpython and value["patchlevel"] != built["version"]:
        yield f"Tcl is {value['patchlevel']}, expected {built['version']}"


@check("capability-readline", each_interpreter=True, suits=_is_cpython)
def readline(context: Context, interpreter: InstalledInterpreter) -> Iterator[str]:
    """readline is GNU's, with history."""
    documentation = _value(context, interpreter, "readline")
    if "GNU readline" not in documentation:
        yield f"readline says {documentation!r}"


@check("interpreter-locale", each_interpreter=True)
def locales(context: Context, interpreter: InstalledInterpreter) -> Iterator[str]:
    """The image's locale is UTF-8 for Python."""
    value = _value(context, interpreter, "locale")
    encodings = {value["filesystem"].lower(), value["stdout"].lower()}
    if encodings != {"utf-8"} or "UTF-8" not in value["locale"]:
        yield f"locale {value['locale']}, encodings {sorted(encodings)}"


@check("interpreter-gil", each_interpreter=True)
def gil(context: Context, interpreter: InstalledInterpreter) -> Iterator[str]:
    """A free-threaded build runs without the lock, any other with it."""
    value = _value(context, interpreter, "gil")
    if value["disabled"] != interpreter.threaded or value["enabled"] == interpreter.threaded:
        yield f"built without GIL: {value['disabled']}, running with it: {value['enabled']}"
