"""Reads docker/canaries.toml: the real projects that are built in an image before it is published."""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

from catalogue import images
from catalogue.interpreters import InterpreterTag, matches
from catalogue.model import Catalogue, Family, Image
from catalogue.paths import DOCKER
from portable import errors
from portable.toml import (
    NAME,
    Name,
    Prose,
    Sha256,
    Url,
    below,
    filled,
    form,
    near_matches,
    read,
    read_toml,
)

CANARIES_TOML = DOCKER / "canaries.toml"

Glob = Annotated[str, form(r"[\w*.-]+", "an image like manylinux_2_28_x86_64, or a glob like *_x86_64")]
Project = Annotated[str, form(r"[A-Za-z0-9]+(?:[._-]+[A-Za-z0-9]+)*", "a project of the Python index")]
Release = Annotated[str, form(r"\d[\w.+!]*", "a version like 1.2.3")]
Package = Annotated[str, form(r"(/[\w.+-]+)+|[A-Za-z0-9][\w.+-]*", "a package of the distribution, or a file of one")]
Requirement = Annotated[str, form(r"[A-Za-z0-9][\w.\[\],<>=!~-]*", "a requirement like pytest>=8")]
Library = Annotated[str, form(r"lib[\w.+-]+", "a library like libpq")]
Variable = Annotated[str, form(r"[A-Z_][A-Z0-9_]*", "a variable in capitals")]
Command = Annotated[str, form(r"python .*", "a command that begins with python")]
Word = Annotated[str, form(r"[A-Za-z0-9][\w.+-]*", "what the report names, like GLIBCXX_3.4.32")]


@dataclass(frozen=True)
class Canary:
    """A project: its sdist, how it is built and tested, and what is expected of its wheels."""

    name: Annotated[Name, NAME]
    stands_for: Prose
    version: Release
    sha256: Sha256
    interpreters: Annotated[tuple[InterpreterTag, ...], filled]
    test: Command
    project: Project = ""
    images: Annotated[tuple[Glob, ...], filled] = ("*",)
    packages: Annotated[Mapping[Family, Annotated[tuple[Package, ...], filled]], filled] = field(default_factory=dict)
    environment: Annotated[Mapping[Variable, str], filled] = field(default_factory=dict)
    test_requires: Annotated[tuple[Requirement, ...], filled] = ()
    grafts: Annotated[tuple[Library, ...], filled] = ()
    stable_abi: Annotated[str, form("abi3t?", "abi3 or abi3t")] = ""
    hosts: Annotated[tuple[Url, ...], filled] = ()
    accepts: Annotated[tuple[Word, ...], filled] = ()
    excused: Prose = ""

    @property
    def in_index(self) -> str:
        """The name of its project in the Python index."""
        return self.project or self.name


@dataclass(frozen=True)
class Canaries:
    """docker/canaries.toml. `images`: globs of those in which canaries are built before they are published."""

    index_date: datetime.date
    images: Annotated[tuple[Glob, ...], filled]
    canaries: Annotated[Mapping[str, Canary], filled]

    def guards(self, image: Image) -> bool:
        """Whether an image is published only after its canaries."""
        return image.published and not image.variant and matches(image.name, self.images)

    def of(self, image: Image) -> tuple[Canary, ...]:
        """The canaries that are built in an image."""
        return tuple(each for each in self.canaries.values() if matches(image.name, each.images))

    def named(self, place: str, names: tuple[str, ...]) -> tuple[str, ...]:
        """The names, if all are canaries. Raises UserError, beginning with `place`, for one that is not."""
        for name in names:
            if name not in self.canaries:
                raise errors.UserError(f"{place}: no canary is called {name}{near_matches(name, self.canaries)}")
        return names


def load(path: Path = CANARIES_TOML) -> Canaries:
    """The table. Raises UserError for a broken law, with the place in the file.

    Every interpreter must be in docker/images.toml, even if an overlay leaves it out."""
    return parse(read_toml(path), f"{path.name}:", images.load(overlay=images.NO_OVERLAY))


def parse(raw: Mapping[str, Any], where: str, catalogue: Catalogue) -> Canaries:
    """The parsed file; `where` begins every complaint."""
    table = read(Canaries, raw, where)
    names = [image.name for image in catalogue.all_images]
    globs = [(below(where, "images"), table.images)]
    for canary in table.canaries.values():
        place = below(below(where, "canaries"), canary.name)
        globs.append((f"{place}.images", canary.images))
        for tag in canary.interpreters:
            if tag not in catalogue.interpreters or catalogue.interpreters[tag].implementation != "cpython":
                raise errors.UserError(f"{place}.interpreters: images.toml has no CPython {tag}")
    for place, patterns in globs:
        for pattern in patterns:
            if not any(matches(name, (pattern,)) for name in names):
                raise errors.UserError(f"{place}: no image is called {pattern}{near_matches(pattern, names)}")
    return table
