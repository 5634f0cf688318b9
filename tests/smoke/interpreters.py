"""The interpreters: which ones, of what version, under which names, with which packages."""

from __future__ import annotations

import base64
import csv
import hashlib
import lzma
import os
import re
import shlex
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from .context import INTERNAL, LOCAL_BIN, Context, InstalledInterpreter, Problem
from .registry import check, difference

OPT_PYTHON = Path("/opt/python")
IMPLEMENTATIONS = {"cpython": "CPython", "pypy": "PyPy", "graalpy": "GraalVM"}
# Prefixes of directories that only interpreters have in /opt/_internal.
PREFIXES = re.compile(r"(cpython-|pp\d|graalpy)")


def identity(context: Context, interpreter: InstalledInterpreter) -> dict[str, Any]:
    """What the interpreter says about itself."""
    return context.once(f"identity of {interpreter.tag}", lambda: context.worker(interpreter, "identity"))


@check("interpreter-set")
def interpreter_set(context: Context) -> Iterator[str]:
    """Exactly the expected interpreters are there."""
    expected = context.expected.interpreters
    yield from difference("interpreters in /opt/python", (i.tag for i in expected), os.listdir(OPT_PYTHON))
    found = [name for name in os.listdir(INTERNAL) if PREFIXES.match(name)]
    yield from difference(f"interpreters in {INTERNAL}", (Path(i.prefix).name for i in expected), found)


@check("interpreter-link", each_interpreter=True)
def link(context: Context, interpreter: InstalledInterpreter) -> Iterator[str]:
    """/opt/python/<tag> is a link to the interpreter of that very version."""
    if not interpreter.home.is_symlink():
        yield f"{interpreter.home} is not a link"
    elif str(interpreter.home.resolve()) != interpreter.prefix:
        yield f"{interpreter.home} leads to {interpreter.home.resolve()}, expected {interpreter.prefix}"


@check("interpreter-version", each_interpreter=True)
def version(context: Context, interpreter: InstalledInterpreter) -> Iterator[str]:
    """Version, implementation, prefix and build are those that were asked for."""
    said = identity(context, interpreter)
    wanted = {
        "version": interpreter.version,
        "language": interpreter.minor,
        "implementation": IMPLEMENTATIONS[interpreter.implementation],
        "machine": context.expected.platform,
    }
    for key, value in wanted.items():
        if said[key] != value:
            yield f"{key} is {said[key]}, expected {value}"
    for key in ("prefix", "base_prefix"):
        if os.path.realpath(said[key]) != interpreter.prefix:
            yield f"sys.{key} is {said[key]}, expected {interpreter.prefix}"
    if said["flags"] != {"debug": False, "optimize": 0}:
        yield f"built or started unusually: {said['flags']}"
    bits = 32 if context.expected.platform in ("i686", "armv7l") else 64
    if said["bits"] != bits:
        yield f"it is a {said['bits']} bit program, expected {bits}"


@check("interpreter-path", each_interpreter=True)
def path(context: Context, interpreter: InstalledInterpreter) -> Iterator[str]:
    """Everything on sys.path belongs to the interpreter, and no .pth file or customisation runs at every start."""
    for entry in identity(context, interpreter)["path"][1:]:
        if not os.path.realpath(entry).startswith(interpreter.prefix + "/"):
            yield f"sys.path holds {entry}, outside {interpreter.prefix}"
    for entry in context.before.below(interpreter.prefix):
        name = os.path.basename(entry.path)
        if name.endswith((".pth", ".start")) or name in ("sitecustomize.py", "usercustomize.py"):
            yield f"{entry.path} changes every start"


@check("pth-imports")
def pth_imports(context: Context) -> Iterator[str]:
    """No .pth file of the image has a line that imports: from 3.18 on such a line does nothing (PEP 829)."""
    for entry in context.before.below("/opt"):
        if entry.path.endswith(".pth"):
            lines = Path(entry.path).read_text(encoding="utf-8", errors="replace").splitlines()
            yield from (f"{entry.path}: {line[:80]}" for line in lines if line.startswith(("import ", "import\t")))


@check("interpreter-tag", each_interpreter=True)
def tag(context: Context, interpreter: InstalledInterpreter) -> Iterator[str]:
    """What `packaging` makes of the interpreter is the name of its directory; it accepts wheels of the policy."""
    tags = identity(context, interpreter)["tags"]
    if interpreter.implementation != "graalpy" and tags["first"] != interpreter.tag:
        yield f"packaging calls it {tags['first']}"
    for policy in context.expected.policy_tags:
        platform = f"{policy}_{context.expected.platform}"
        if platform not in tags["platforms"]:
            yield f"it does not accept {platform} wheels"


def scripts(interpreter: InstalledInterpreter) -> list[str]:
    """The commands that an interpreter's bin directory must have."""
    if not interpreter.is_cpython:
        return [
            "python",
            "python3",
            f"python{interpreter.minor}",
            interpreter.implementation,
            "pip",
            "pip3",
            f"pip{interpreter.minor}",
            "pyproject-build",
        ]
    suffix = interpreter.minor + ("t" if interpreter.threaded else "")
    names = ["python", "python3", f"python{suffix}", "python3-config", f"python{suffix}-config"]
    names += ["pip", "pip3", f"pip{interpreter.minor}", "pydoc3", "idle3", "pyproject-build"]
    return names


@check("interpreter-bin", each_interpreter=True)
def bin_directory(context: Context, interpreter: InstalledInterpreter) -> Iterator[str]:
    """bin/ has its commands, each runs the interpreter beside it."""
    directory = Path(interpreter.prefix) / "bin"
    for name in scripts(interpreter):
        if not os.access(directory / name, os.X_OK):
            yield f"bin/{name} is missing or not executable"
    for script in sorted(directory.iterdir()):
        with script.open("rb") as file:
            first = file.readline(1024)
        if not first.startswith(b"#!"):
            continue
        program = first[2:].decode().split()[0]
        inside = program.startswith((f"{interpreter.prefix}/", f"{interpreter.home}/"))
        if not (inside or program in ("/bin/sh", "/usr/bin/env", "/bin/bash")):
            yield f"bin/{script.name} is run by {program}"
        elif not os.path.exists(program):
            yield f"bin/{script.name} is run by {program}, which does not exist"
    for name in ("python", "python3"):
        said = context.output([directory / name, "-c", "import sys; print('%d.%d' % sys.version_info[:2], sys.prefix)"])
        if said != f"{interpreter.minor} {interpreter.prefix}":
            yield f"bin/{name} runs {said}"


@check("interpreter-pip", each_interpreter=True)
def pip(context: Context, interpreter: InstalledInterpreter) -> Iterator[str]:
    """pip's commands are those of this interpreter and its packages agree with each other."""
    wanted = f"pip {interpreter.packages.get('pip', '')}"
    for name in ("pip", "pip3"):
        said = context.output([Path(interpreter.prefix) / "bin" / name, "--version"])
        if not (
            said.startswith(wanted) and f"{interpreter.prefix}/" in said and f"(python {interpreter.minor})" in said
        ):
            yield f"bin/{name} --version says {said!r}, expected {wanted} below {interpreter.prefix}"
    context.run([interpreter.python, "-m", "pip", "check"])


@check("interpreter-packages", each_interpreter=True)
def packages(context: Context, interpreter: InstalledInterpreter) -> Iterator[str]:
    """Exactly the pinned packages are installed; setuptools and wheel are not."""
    found = identity(context, interpreter)["distributions"]
    wanted = {name.lower().replace("_", "-"): version for name, version in interpreter.packages.items()}
    builtin = {"cffi", "greenlet", "hpy", "readline"} if interpreter.implementation == "pypy" else set()
    if interpreter.implementation == "graalpy":
        wanted["pip"] = found.get("pip", "")  # it keeps its own
    yield from difference("packages", wanted, set(found) - builtin)
    for name in sorted(wanted.keys() & found.keys()):
        if found[name] != wanted[name]:
            yield f"{name} is {found[name]}, expected {wanted[name]}"


@check("interpreter-package-files", each_interpreter=True)
def package_files(context: Context, interpreter: InstalledInterpreter) -> Iterator[str]:
    """Every installed file is what its package's RECORD says, and nothing else lies in site-packages."""
    site = interpreter.stdlib / "site-packages"
    yield from record_problems(site, f"{interpreter.prefix}/")
    recorded = {name.split("/", 1)[0] for record in site.glob("*.dist-info/RECORD") for name in recorded_files(record)}
    allowed = {"README.txt", "__pycache__", "README"}
    yield from (f"{site / name} belongs to no package" for name in sorted(set(os.listdir(site)) - recorded - allowed))


def recorded_files(record: Path) -> dict[str, tuple[str, str]]:
    """File name -> (hash, size) of a RECORD."""
    with record.open(newline="", encoding="utf-8") as file:
        return {row[0]: (row[1], row[2]) for row in csv.reader(file) if row}


def record_problems(site: Path, inside: str, scripts: bool = True) -> Iterator[str]:
    """What differs between a site-packages directory and the RECORDs in it.

    `inside` is where files may be; `scripts` says whether the content of commands in bin/ counts."""
    records = sorted(site.glob("*.dist-info/RECORD"))
    if not records:
        yield f"{site} holds no installed package"
    for record in records:
        for name, (digest, _) in recorded_files(record).items():
            file = Path(os.path.normpath(site / name))
            if not str(file).startswith(inside):
                yield f"{record.parent.name} owns {file}, outside {inside}"
            elif name.endswith(".pyc"):
                continue  # byte code is removed from the image
            elif not file.exists():
                yield f"{file} of {record.parent.name} is missing"
            elif digest and (scripts or not name.startswith("../")) and file_digest(file) != digest:
                yield f"{file} is not what {record.parent.name} installed"


def file_digest(path: Path) -> str:
    """A file's hash in the notation of RECORD."""
    digest = hashlib.sha256(path.read_bytes()).digest()
    return "sha256=" + base64.urlsafe_b64encode(digest).rstrip(b"=").decode()


@check("launchers", each_interpreter=True)
def launchers(context: Context, interpreter: InstalledInterpreter) -> Iterator[str]:
    """Each name in /usr/local/bin runs this interpreter, by a script: a link would break venvs (cpython#106045)."""
    script, *aliases = interpreter.launchers
    for name in interpreter.launchers:
        path = LOCAL_BIN / name
        if not os.access(path, os.X_OK):
            yield f"{path} is missing or not executable"
            continue
        said = context.output([path, "-c", "import sys; print(sys.prefix, sys.argv[1:])", "a b", "", "'\"$x"])
        wanted = f"{interpreter.prefix} {['a b', '', chr(39) + chr(34) + '$x']}"
        if said not in (wanted, wanted.replace(interpreter.prefix, str(interpreter.home))):
            yield f"{path} says {said!r}, expected {wanted!r}"
        status = context.run([path, "-c", "raise SystemExit(7)"], status=None).returncode
        if status != 7:
            yield f"{path} exits with {status} where the interpreter exits with 7"
    path = LOCAL_BIN / script
    if path.is_symlink() or not path.read_bytes().startswith(b"#!"):
        yield f"{path} is not a script"
    for name in aliases:
        if not (LOCAL_BIN / name).is_symlink() or os.readlink(LOCAL_BIN / name) != script:
            yield f"{LOCAL_BIN / name} is not a relative link to {script}"


@check("launcher-set")
def launcher_set(context: Context) -> Iterator[str]:
    """No command of an interpreter that the image does not have is left in /usr/local/bin, nor a bare `python`."""
    expected = {name for interpreter in context.expected.interpreters for name in interpreter.launchers}
    pattern = re.compile(r"(python|cpython|pypy|graalpy|pip)[\d.]*t?$")
    yield from difference(f"launchers in {LOCAL_BIN}", expected, filter(pattern.match, os.listdir(LOCAL_BIN)))


STATIC_ARCHIVE = INTERNAL / "static-libs-for-embedding-only.tar.xz"


def static_library(interpreter: InstalledInterpreter) -> str:
    """The name of a CPython's static library in the archive for embedding."""
    suffix = interpreter.minor + ("t" if interpreter.threaded else "")
    return f"{Path(interpreter.prefix).name}/lib/libpython{suffix}.a"


def unpacked_static_libraries(context: Context) -> Path:
    """The directory that the archive for embedding was unpacked to."""

    def make() -> Path:
        target = context.directory("static")
        try:
            with tarfile.open(STATIC_ARCHIVE, "r:xz") as archive:
                archive.extractall(target)
        except (OSError, EOFError, lzma.LZMAError, tarfile.TarError) as error:
            raise Problem(f"{STATIC_ARCHIVE}: {error}") from error
        return target

    return context.once(f"unpacking {STATIC_ARCHIVE.name}", make)


def is_whole_archive(content: bytes) -> bool:
    """Whether `ar` would read a static library to its end: members follow each other up to the last byte."""
    at = 8
    while content.startswith(b"!<arch>\n") and content[at + 58 : at + 60] == b"`\n":
        size = int(content[at + 48 : at + 58])
        at += 60 + size + size % 2
    return at > 8 and at in (len(content), len(content) + 1)


@check("static-libraries", heavy=True)
def static_libraries(context: Context) -> Iterator[str]:
    """The archive for embedding has the libpython of every CPython, whole, and nothing else."""
    directory = unpacked_static_libraries(context)
    wanted = {static_library(interpreter) for interpreter in context.expected.interpreters if interpreter.is_cpython}
    found = {str(path.relative_to(directory)) for path in directory.rglob("*") if not path.is_dir()}
    yield from difference(f"members of {STATIC_ARCHIVE.name}", wanted, found)
    for name in sorted(wanted & found):
        if not is_whole_archive((directory / name).read_bytes()):
            yield f"{name} in {STATIC_ARCHIVE.name} is not a whole static library"


@check("static-embedding", each_interpreter=True, suits=lambda i: i.is_cpython, heavy=True)
def embedding(context: Context, interpreter: InstalledInterpreter) -> Iterator[str]:
    """A program that embeds the interpreter links its static library and runs."""
    library = unpacked_static_libraries(context) / static_library(interpreter)
    variables = identity(context, interpreter)["variables"]
    program = context.directory("embedding") / interpreter.tag
    include = f"-I{identity(context, interpreter)['paths']['include']}"
    flags = [*shlex.split(str(variables["LINKFORSHARED"])), *shlex.split(f"{variables['LIBS']} {variables['SYSLIBS']}")]
    context.run(["gcc", "-O0", include, context.projects / "programs/embed.c", library, *flags, "-lm", "-o", program])
    said = context.output([program], env={**context.environment, "PYTHONHOME": interpreter.prefix})
    if said != interpreter.minor:
        yield f"a program that embeds it says {said!r}"
