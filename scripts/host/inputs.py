"""Checks of each variable and option of a command, before anything is installed, asked or built.

Every check takes the name of the variable or option ("COMMIT_SHA", "--base") and its value. It returns the value as it
is used, or raises UserError with one line: the name, what is wrong, and what would be right.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from catalogue import tags
from catalogue.model import Catalogue
from engine import choose
from portable import errors
from portable.toml import near_matches

DISABLE_CLANG = "MANYLINUX_DISABLE_CLANG"
DISABLE_CLANG_FOR_CPYTHON = "MANYLINUX_DISABLE_CLANG_FOR_CPYTHON"
BUILDARCH = "MANYLINUX_BUILDARCH"
VERBOSE = "MANYLINUX_BUILD_VERBOSE"
STATIC_CLANG_IMAGE = "MANYLINUX_STATIC_CLANG_IMAGE"

# The grammar of github.com/distribution/reference.
_HOST = r"(?:[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?(?:\.[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?)*|\[[0-9A-Fa-f:]+\])"
_PART = r"[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*"
_REPOSITORY = rf"(?:{_HOST}(?::[0-9]+)?/)?{_PART}(?:/{_PART})*"
_PLACE = re.compile(rf"{_HOST}(?::[0-9]+)?/{_PART}(?:/{_PART})*")
_REFERENCE = re.compile(
    rf"(?P<repository>{_REPOSITORY})(?::(?P<tag>{tags.SYNTAX.pattern}))?(?:@sha256:[0-9a-f]{{64}})?"
)
_LONGEST_REPOSITORY = 255  # characters, by the same grammar


def tag(place: str, value: str, suffix: str = tags.UNTESTED_HERE) -> str:
    """A tag; a build appends `suffix` to it for a while, which must fit, too."""
    longest = tags.LONGEST - max(len(suffix), len(tags.UNTESTED_HERE))
    if not tags.SYNTAX.fullmatch(value) or len(value) > longest:
        raise errors.UserError(
            f"{place}: {shown(value)} is not a tag: give up to {longest} letters, digits, '_', '.' and '-', the first "
            "of them neither '.' nor '-'"
        )
    return value


def switch(place: str, value: str) -> bool:
    """Whether a switch is on: 1 or 0."""
    if value not in ("0", "1"):
        raise errors.UserError(f"{place}: {shown(value)} is neither 0 nor 1: set one of them, or nothing")
    return value == "1"


def architecture(place: str, value: str, catalogue: Catalogue) -> str:
    """An architecture of the table in Go's spelling."""
    platforms = catalogue.platforms.values()
    known = {platform.go for platform in platforms}
    if value not in known:
        meant = {name: p.go for p in platforms for name in (p.name, p.debian, p.oci, p.oci.removeprefix("linux/"))}
        hint = f"; did you mean {meant[value]}? Known: {', '.join(sorted(known))}" if value in meant else ""
        hint = hint or near_matches(value, sorted(known))
        raise errors.UserError(f"{place}: {shown(value)} is not an architecture in Go's spelling{hint}")
    return value


def reference(place: str, value: str) -> str:
    """A reference of an image: `[host/]repository[:tag][@digest]`."""
    match = _REFERENCE.fullmatch(value)
    if not match or len(match["repository"]) > _LONGEST_REPOSITORY or len(match["tag"] or "") > tags.LONGEST:
        raise errors.UserError(
            f"{place}: {shown(value)} is not a reference of an image: give one such as registry.example.org/name:tag"
        )
    return value


def repository(place: str, value: str) -> str:
    """A repository, without a tag."""
    if not re.fullmatch(_REPOSITORY, value) or len(value) > _LONGEST_REPOSITORY:
        raise errors.UserError(
            f"{place}: {shown(value)} is not a repository: give one such as registry.example.org/name"
        )
    return value


def namespace(place: str, value: str) -> str:
    """A namespace of a registry: `host/namespace`."""
    if not _PLACE.fullmatch(value) or len(value) > _LONGEST_REPOSITORY:
        raise errors.UserError(f"{place}: {shown(value)} is not <host>/<namespace>, as in registry.example.org/name")
    return value


def one_of(place: str, value: str, known: Iterable[str]) -> str:
    """One of some names."""
    names = list(known)
    if value not in names:
        raise errors.UserError(f"{place}: {shown(value)} is unknown{near_matches(value, names)}")
    return value


def build_environment(env: Mapping[str, str], catalogue: Catalogue) -> None:
    """Checks the variables that say how images are built; an empty one counts as not set."""
    if value := env.get("COMMIT_SHA"):
        tag("COMMIT_SHA", value)
    choose.wanted(env)
    if value := env.get(BUILDARCH):
        architecture(BUILDARCH, value, catalogue)
    for name in (DISABLE_CLANG, DISABLE_CLANG_FOR_CPYTHON, VERBOSE):
        if value := env.get(name):
            switch(name, value)
    if value := env.get(STATIC_CLANG_IMAGE):
        reference(STATIC_CLANG_IMAGE, value)


def shown(value: str) -> str:
    """A value for a message: quoted, on one line, shortened if it is long."""
    return repr(value if len(value) <= 60 else f"{value[:50]}...")
