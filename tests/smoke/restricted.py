"""The short pass: uid 1000 without HOME, on a read-only root, with LD_LIBRARY_PATH pointing nowhere."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from .context import LOCAL_BIN, Context, InstalledInterpreter, Problem
from .registry import RESTRICTED, check
from .tools import commands
from .venvs import bare_environment
from .wheels import repaired_wheel, structure_problems, tag_problems

IMPORTS = "import " + (
    "ssl, sqlite3, ctypes, zlib, bz2, lzma, decimal, hashlib, tkinter, curses, uuid, xml.etree.ElementTree"
)


@check("restricted-container", container=RESTRICTED)
def container(context: Context) -> Iterator[str]:
    """The pass really runs as it says."""
    if os.getuid() != 1000:
        yield f"it runs as uid {os.getuid()}"
    if "HOME" in os.environ:
        yield f"HOME is {os.environ['HOME']}"
    if os.environ.get("LD_LIBRARY_PATH") != "/nonexistent":
        yield f"LD_LIBRARY_PATH is {os.environ.get('LD_LIBRARY_PATH')}"
    if not os.statvfs("/opt").f_flag & os.ST_RDONLY:
        yield "the root is not read-only"


@check("regression-21-ld-library-path", each_interpreter=True, container=RESTRICTED)
def interpreter(context: Context, interpreter: InstalledInterpreter) -> Iterator[str]:
    """Every interpreter and launcher works for a user without rights, wherever LD_LIBRARY_PATH points."""
    extra = "" if interpreter.is_cpython else "\nimport _cffi_backend"
    for environment in (None, bare_environment()):
        context.run([interpreter.python, "-c", IMPORTS + extra], env=environment)
        for name in interpreter.launchers:
            said = context.output([LOCAL_BIN / name, "-c", "import sys; print(sys.prefix)"], env=environment)
            if os.path.realpath(said) != interpreter.prefix:
                yield f"{name} runs {said}"


@check("restricted-venv", each_interpreter=True, container=RESTRICTED)
def venv(context: Context, interpreter: InstalledInterpreter) -> None:
    """venv and pip work for a user without rights."""
    directory = context.scratch / f"venv-{interpreter.tag}"
    context.run([interpreter.python, "-m", "venv", "--without-pip", directory])
    context.run([interpreter.python, "-m", "pip", "--python", directory / "bin/python", "list"])


@check("restricted-tools", container=RESTRICTED)
def tools(context: Context) -> Iterator[str]:
    """Every tool starts for a user without rights."""
    every = [command for tool in context.expected.tools for command in commands(tool)]
    rows = [[LOCAL_BIN / command, "-version" if command == "swig" else "--version"] for command in [*every, "pipx"]]
    rows += [[LOCAL_BIN / "manylinux-interpreters", "list"], [LOCAL_BIN / "manylinux-install-clang", "-l"]]
    rows += [["git", "--version"], ["autoconf", "--version"], ["libtoolize", "--version"]]
    for argv in rows:
        try:
            context.run(argv)
        except Problem as problem:
            yield str(problem)


@check("restricted-home", container=RESTRICTED)
def home(context: Context) -> Iterator[str]:
    """The entry point gives a user without a home directory one that pipx works in, keeps another, and needs none."""
    without = {name: value for name, value in context.environment.items() if name != "HOME"}
    script = 'pipx list --short >/dev/null && echo "$HOME"'
    for given in ({}, {"HOME": "/"}, {"HOME": "/root"}):
        environment = {**without, **given, "TMPDIR": str(context.scratch)}
        found = context.output([LOCAL_BIN / "manylinux-entrypoint", "sh", "-c", script], env=environment)
        if Path(found).parent != context.scratch:
            yield f"{given or 'no HOME'} becomes {found}"
    kept = {**without, "HOME": str(context.scratch)}
    if context.output([LOCAL_BIN / "manylinux-entrypoint", "sh", "-c", script], env=kept) != str(context.scratch):
        yield "a home directory that can be written is replaced"
    nowhere = {**without, "HOME": "/", "TMPDIR": "/opt"}
    if context.output([LOCAL_BIN / "manylinux-entrypoint", "sh", "-c", 'echo "$HOME"'], env=nowhere) != "/":
        yield "where nothing can be written the command gets another home directory"


@check("restricted-compile", container=RESTRICTED)
def compile_(context: Context) -> None:
    """The compilers work for a user without rights."""
    source = context.scratch / "program.cpp"
    source.write_text('#include <iostream>\nint main() { std::cout << "ok"; }\n')
    context.run(["g++", source, "-o", context.scratch / "program"])
    context.run([context.scratch / "program"], env=bare_environment())


@check("restricted-wheel", container=RESTRICTED)
def wheel(context: Context) -> Iterator[str]:
    """A wheel is built and repaired for a user without rights."""
    interpreter = context.expected.interpreter(context.expected.tools_python)
    repaired = repaired_wheel(context, interpreter, "cxx", "--only-plat")
    yield from tag_problems(context.expected, interpreter, "cxx", repaired)
    yield from structure_problems(context.expected, repaired)
