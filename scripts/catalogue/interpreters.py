"""The interpreters, tools and variants of docker/images.toml as frozen objects.

The annotations say what may stand in the table, see portable/toml.py.
"""

from __future__ import annotations

import datetime
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Annotated, Literal

from catalogue import pins as native_pins
from catalogue.versions import version_key
from portable import errors
from portable.downloads import PREBUILT_TAG
from portable.toml import NAME, Minor, Name, Prose, Version, filled, form

IMPLEMENTATIONS = {"cpython": "CPython", "pypy": "PyPy", "graalpy": "GraalPy"}
OLDEST_TOOLS_PYTHON = "3.11"  # what the locks in requirements/tools are compiled for

PlatformName = Annotated[str, form(r"[a-z0-9_]+", "a platform like x86_64")]
PolicyName = Annotated[str, form(r"manylinux(1|20\d\d)|(many|musl)linux_\d+_\d+", "a policy like manylinux_2_28")]
InterpreterTag = Annotated[str, form(PREBUILT_TAG, "<python tag>-<abi tag> like cp313-cp313t")]


@dataclass(frozen=True)
class Interpreter:
    """One directory of /opt/python, named by its tag."""

    tag: Annotated[InterpreterTag, NAME]
    status: Literal["stable", "prerelease", "eol"] = "stable"
    preinstalled: bool = True
    where: Annotated[tuple[str, ...], filled] = ("*",)
    not_where: tuple[str, ...] = ()

    @property
    def implementation(self) -> str:
        """ "cpython", "pypy" or "graalpy"."""
        return {"cp": "cpython", "pp": "pypy", "graalpy": "graalpy"}[split_tag(self.tag)[0]]

    @property
    def minor(self) -> str:
        """The language version: "3.13"."""
        digits = split_tag(self.tag)[1]
        return f"{digits[0]}.{digits[1:]}"

    @property
    def threaded(self) -> bool:
        """Whether this is a free-threaded build (PEP 703)."""
        return self.implementation == "cpython" and self.tag.endswith("t")

    @property
    def runs_tools(self) -> bool:
        """Whether the tools of an image can run on it."""
        stable = self.implementation == "cpython" and self.status == "stable" and not self.threaded
        return stable and version_key(self.minor) >= version_key(OLDEST_TOOLS_PYTHON)

    @property
    def title(self) -> str:
        """For people: "CPython 3.13, free-threaded"."""
        return f"{IMPLEMENTATIONS[self.implementation]} {self.minor}{', free-threaded' if self.threaded else ''}"

    @property
    def pin(self) -> str:
        """The name of its pin; a free-threaded build shares that of its minor, prebuilt ones go by their tag."""
        return f"cpython-{self.minor}" if self.implementation == "cpython" else self.tag

    @property
    def stage(self) -> str:
        """The ARG that names its build stage."""
        return native_pins.env_prefix(self.tag) + "_STAGE"

    @property
    def launchers(self) -> tuple[str, ...]:
        """The commands in /usr/local/bin."""
        suffix = self.minor + ("t" if self.threaded else "")
        names = (f"{self.implementation}{suffix}",)
        return (*names, f"python{suffix}") if self.implementation == "cpython" else names

    def prefix(self, version: str) -> str:
        """Where this interpreter lives when it has this version."""
        if self.implementation == "cpython":
            return f"/opt/_internal/cpython-{version}" + ("-nogil" if self.threaded else "")
        return f"/opt/_internal/{self.tag}"


@dataclass(frozen=True)
class ToolHold:
    """Releases of a tool that the updater does not take, and why; `since`: the day on which somebody last saw that."""

    below: Version
    reason: Prose
    since: datetime.date


@dataclass(frozen=True)
class Tool:
    """A command of the images, installed by pipx unless the distribution's own package serves."""

    name: Annotated[Name, NAME]
    not_where: tuple[str, ...] = ()
    distribution_where: tuple[str, ...] = ()
    sdist_where: tuple[str, ...] = ()
    hold: ToolHold | None = None


@dataclass(frozen=True)
class Variant:
    """Images with something more: an extra target of the same Dockerfile."""

    name: Annotated[Name, NAME]
    purpose: Prose
    minors: Annotated[tuple[Minor, ...], filled]
    images: Mapping[PolicyName, Annotated[tuple[PlatformName, ...], filled]]
    not_optimised_where: Mapping[Minor, tuple[str, ...]] = field(default_factory=dict)
    no_pyinstaller_where: tuple[str, ...] = ()

    def interpreters(self, place: str) -> tuple[SharedInterpreter, ...]:
        """Its CPythons on `<libc>-<platform>`."""
        return tuple(
            SharedInterpreter(minor, not matches(place, self.not_optimised_where.get(minor, ())))
            for minor in self.minors
        )


@dataclass(frozen=True)
class SharedInterpreter:
    """A CPython with a shared libpython, beside those of /opt/python. `optimised`: a profile guided the compiler."""

    minor: str
    optimised: bool

    @property
    def name(self) -> str:
        """What its stage, its directory and its row of the manifest are called."""
        return f"shared-cpython-{self.minor}"

    @property
    def pin(self) -> str:
        """The name of its pin, which it shares with the interpreters of its minor."""
        return f"cpython-{self.minor}"

    @property
    def prefix(self) -> str:
        """Where it lives, whatever its version."""
        return f"/opt/{self.name}"

    @property
    def launcher(self) -> str:
        """The command in /usr/local/bin."""
        return f"py{self.minor}"


def tools_python(interpreters: Iterable[Interpreter]) -> Interpreter:
    """The interpreter that runs the tools: the newest that can. Raises ValueError where none of them can."""
    return max((i for i in interpreters if i.runs_tools), key=lambda i: version_key(i.minor))


def split_tag(tag: str) -> tuple[str, str]:
    """Implementation prefix and version digits of an interpreter tag: "cp313-cp313t" -> ("cp", "313")."""
    match = re.fullmatch(r"(cp|pp|graalpy)(3\d+)-\w+", tag)
    if not match:
        raise errors.UserError(f"interpreters: {tag!r} is not <python tag>-<abi tag>")
    return match[1], match[2]


def matches(name: str, patterns: Iterable[str]) -> bool:
    """Whether a name, of an image or `<libc>-<platform>`, matches one of the globs."""
    return any(fnmatchcase(name, pattern) for pattern in patterns)
