"""What our configure publishes, compared with Debian's own interpreters of the minor: each difference has a reason."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from .context import Context, Expected, InstalledInterpreter
from .interpreters import identity
from .registry import check
from .stdlib import modules_of

# Macros of pyconfig.h and numbers of the Makefile that may differ, each with the reason.
EXPLAINED = {
    r"(PY|Py)_ENABLE_SHARED": "Debian's interpreter links libpython; extensions for every distribution must not",
    r"HAVE_BLUETOOTH_BLUETOOTH_H": "the headers of BlueZ are not in the images",
    r"HAVE_BZLIB_H": "configure looks for the header only where there is no bzip2.pc: before Debian 13",
    r"HAVE_(GDBM_(DASH_)?)?NDBM_H|HAVE_DB_H|HAVE_LIBDB": "Debian links _dbm to Berkeley DB up to 3.14",
    r"HAVE_STRLCPY": "glibc has it from 2.38 on",
    r"HAVE_STRUCT_STATX_\w+": "fields that newer headers of the kernel have",
    r"PY_SQLITE_ENABLE_LOAD_EXTENSION": "Debian lets SQLite load extensions, CPython does not unless told so",
    r"PY_SSL_DEFAULT_CIPHERS": "Debian takes OpenSSL's choice of ciphers, CPython its own",
    r"Py_RL_STARTUP_HOOK_TAKES_ARGS": "gcc rejects the other type from 14 on",
    r"USE_COMPUTED_GOTOS": "Debian asks for what configure finds by itself: HAVE_COMPUTED_GOTOS is the same",
    r"WINDOW_HAS_FLAGS": "newer ncurses hide what a window consists of",
    r"WITH_DTRACE": "Debian has probes for SystemTap",
    r"_Py_HAVE_EFFICIENT_BUILTIN_SHUFFLEVECTOR|_Py_HACL_CAN_COMPILE_VEC\d+": "newer compilers can more",
}
# Flags that extensions inherit, word by word: what Debian has, by the first minor that has it.
FLAGS = {
    "BASECFLAGS": {
        (3, 13): "-fno-strict-overflow -Wsign-compare",
        (3, 15): "-fno-omit-frame-pointer -mno-omit-leaf-frame-pointer -fno-strict-overflow -Wsign-compare",
    },
    "CCSHARED": {(3, 13): "-fPIC"},
    "ARFLAGS": {(3, 13): "rcs"},
    "SYSLIBS": {(3, 13): "-lm"},
    "SHLIB_SUFFIX": {(3, 13): ".so"},
}
OLDEST, NEWEST = (3, 13), (3, 15)


def differences_to_debian(said: Mapping[str, object], debian: Mapping[str, int]) -> Iterator[str]:
    """The macros that differ from Debian's without a reason; a macro that is not defined counts as 0."""
    ours = {name: value for name, value in said.items() if isinstance(value, int)}
    for name in sorted({*ours, *debian}):
        mine, theirs = ours.get(name, 0), debian.get(name, 0)
        if mine != theirs and not any(re.fullmatch(pattern, name) for pattern in EXPLAINED):
            yield f"{name} is {mine}, in Debian's own interpreter {theirs}: explain the difference in EXPLAINED"


def _on_debian(expected: Expected) -> bool:
    return bool(expected.family == "debian" and expected.platform == "x86_64")


def _known(interpreter: InstalledInterpreter) -> bool:
    return interpreter.is_cpython and not interpreter.threaded and OLDEST <= interpreter.key <= NEWEST


@check("sysconfig-like-debian", each_interpreter=True, when=_on_debian, suits=_known)
def like_debian(context: Context, interpreter: InstalledInterpreter) -> Iterator[str]:
    """What configure found and publishes is what it found in Debian's own build, or we know why not."""
    said = identity(context, interpreter)["variables"]
    rows = modules_of(interpreter.key, context.data / "debian-macros.txt")
    yield from differences_to_debian(said, {name: int(value) for name, value in (row.split("=") for row in rows)})
    for name, minors in FLAGS.items():
        wanted = minors[max(minor for minor in minors if minor <= interpreter.key)]
        if said[name].split() != wanted.split():
            yield f"{name} is {said[name]!r}, in Debian's own interpreter {wanted!r}"
