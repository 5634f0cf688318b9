"""Virtual environments: by every launcher, with pip, and with uv."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from .context import LOCAL_BIN, Context, InstalledInterpreter
from .registry import check


def bare_environment(*directories: str | Path) -> dict[str, str]:
    """What `env -i` leaves, with a PATH."""
    return {"PATH": ":".join([*(str(path) for path in directories), "/usr/bin", "/bin"])}


@check("regression-18-venv-launcher", each_interpreter=True)
def by_launcher(context: Context, interpreter: InstalledInterpreter) -> Iterator[str]:
    """A venv made through any name of the interpreter belongs to it: links with a version broke that once."""
    names: list[str | Path] = [LOCAL_BIN / name for name in interpreter.launchers]
    names += [interpreter.python, interpreter.home / "bin" / f"python{interpreter.minor}"]
    for number, launcher in enumerate(names):
        directory = context.scratch / f"venv-{interpreter.tag}-{number}"
        context.run([launcher, "-m", "venv", "--without-pip", directory])
        code = "import sys; print(sys.prefix); print(sys.base_prefix); import sqlite3, ssl"
        said = context.output([directory / "bin/python", "-c", code]).splitlines()
        if said[0] != str(directory) or os.path.realpath(said[1]) != interpreter.prefix:
            yield f"a venv made by {launcher} has prefix {said[0]} and base {said[1]}"


def clean_venv(context: Context, interpreter: InstalledInterpreter) -> Path:
    """A venv with pip, made by the interpreter's own venv and ensurepip."""

    def make() -> Path:
        directory = context.scratch / f"clean-{interpreter.tag}"
        context.run([interpreter.python, "-m", "venv", directory])
        return directory

    return context.once(f"venv of {interpreter.tag}", make)


@check("venv-pip", each_interpreter=True, heavy=True)
def with_pip(context: Context, interpreter: InstalledInterpreter) -> Iterator[str]:
    """A new venv has a working pip of its own and nothing from outside."""
    directory = clean_venv(context, interpreter)
    said = context.output([directory / "bin/pip", "--version"])
    if str(directory) not in said:
        yield f"pip of a new venv says {said!r}"
    names = context.output([directory / "bin/python", "-m", "pip", "list", "--format=freeze"]).split()
    extra = [name for name in names if not name.startswith(("pip==", "setuptools=="))]
    if interpreter.key >= (3, 12):
        extra += [name for name in names if name.startswith("setuptools==")]
    if extra:
        yield f"a new venv holds {', '.join(extra)}"


def builder_venv(context: Context, interpreter: InstalledInterpreter) -> Path:
    """The python of a venv that sees the interpreter's own `build` and has setuptools from the wheelhouse."""

    def make() -> Path:
        directory = context.scratch / f"builder-{interpreter.tag}"
        context.run([interpreter.python, "-m", "venv", "--without-pip", "--system-site-packages", directory])
        python = directory / "bin/python"
        offline = ["--no-index", "--find-links", str(context.wheelhouse)]
        context.run([interpreter.python, "-m", "pip", "--python", python, "install", "-q", *offline, "setuptools"])
        return python

    return context.once(f"build environment of {interpreter.tag}", make)
