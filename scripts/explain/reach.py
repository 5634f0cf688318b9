"""Reads docker/reach.toml: how many downloads were made with which C library, by platform and Python.

A policy reaches the downloads whose glibc is not older than its own (PEP 600). musl tells the index no version, so that
it is not counted. `nox -s update_reach` renews the table; update/reach.py writes it.
"""

from __future__ import annotations

import datetime
import re
from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from packaging.specifiers import InvalidSpecifier, SpecifierSet

from catalogue.interpreters import PlatformName
from catalogue.model import Catalogue, Image
from catalogue.paths import DOCKER
from catalogue.versions import version_key
from portable import errors
from portable.toml import Prose, Template, Url, between, filled, form, read, read_toml

REACH_TOML = DOCKER / "reach.toml"
PythonMinor = Annotated[str, form(r"2\.7|3\.\d{1,2}", "a Python like 3.13")]
Glibc = Annotated[str, form(r"2\.\d{1,2}", "a version of glibc like 2.28")]
Count = Annotated[int, between(1, 10**12)]
Hundredths = Annotated[int, between(0, 10_000)]  # of a percent
Downloads = Mapping[PlatformName, Annotated[Mapping[PythonMinor, Annotated[Mapping[Glibc, Count], filled]], filled]]

_MICROS = 40  # no minor of Python has had as many releases
_FORMS = "give a specifier like '>=3.11' or '>=3.9,<3.12', a version like 3.10, or a tag like cp311"


@dataclass(frozen=True)
class Sample:
    """The downloads of some Pythons on one platform, by version of glibc."""

    counts: Mapping[str, int]

    @property
    def total(self) -> int:
        """How many downloads there are."""
        return sum(self.counts.values())

    def share(self, glibc: str) -> float | None:
        """The percentage whose glibc is this version or newer, to two decimals; None where nothing was counted."""
        if not self.total:
            return None
        reached = sum(count for version, count in self.counts.items() if version_key(version) >= version_key(glibc))
        return round(100 * reached / self.total, 2)


@dataclass(frozen=True)
class EarlierReach:
    """What policies reached at an earlier date: platform -> glibc of the policy -> hundredths of a percent.

    Of the Pythons that were maintained then; they are known no more, so that only whole shares are kept."""

    last: datetime.date
    shares: Annotated[Mapping[PlatformName, Annotated[Mapping[Glibc, Hundredths], filled]], filled]


@dataclass(frozen=True)
class ReachTable:
    """The table. `first` and `last`: the days counted; `index`: the list of all files; `files`: where each day's is.

    `{day}` in `files` stands for 2026/08/07 and the like. `earlier`: what was counted before, oldest first."""

    source: Url
    licence: Prose
    files: Template
    index: Url
    first: datetime.date
    last: datetime.date
    bias: Prose
    downloads: Annotated[Downloads, filled]
    earlier: tuple[EarlierReach, ...] = ()

    def minors(self) -> list[str]:
        """The Pythons that anything was downloaded with, oldest first."""
        return sorted({minor for rows in self.downloads.values() for minor in rows}, key=version_key)

    def fitting(self, asked: SpecifierSet) -> list[str]:
        """Those of the Pythons that are asked for, oldest first."""
        return [minor for minor in self.minors() if fits(minor, asked)]

    def sample(self, platform: str, pythons: Collection[str]) -> Sample:
        """What was downloaded on a platform with any of these Pythons."""
        counts: Counter[str] = Counter()
        for minor, row in self.downloads.get(platform, {}).items():
            if minor in pythons:
                counts.update(row)
        return Sample(counts)


def load(path: Path = REACH_TOML) -> ReachTable:
    """The table of a file. Raises UserError, naming file and key, where it breaks a law."""
    return parse(read_toml(path), f"{path.name}:")


def parse(raw: Mapping[str, object], where: str) -> ReachTable:
    """The table of a parsed file; `where` begins every complaint."""
    table = read(ReachTable, raw, where)
    if table.first > table.last:
        raise errors.UserError(f"{where} first must not be later than last, {table.last}")
    if "{day}" not in table.files:
        raise errors.UserError(f"{where} files must have the field {{day}}, not {table.files!r}")
    dates = [*(each.last for each in table.earlier), table.last]
    if dates != sorted(set(dates)):
        raise errors.UserError(f"{where} earlier: the dates must grow, up to last, {table.last}")
    return table


def shares(catalogue: Catalogue, table: ReachTable) -> dict[str, dict[str, float]]:
    """Platform -> glibc of each policy -> the percentage that it reaches, of the Pythons that are still maintained."""
    minors = table.fitting(maintained(catalogue))
    versions = sorted({p.libc_version for p in catalogue.policies.values() if p.libc == "glibc"}, key=version_key)
    samples = {name: table.sample(name, minors) for name in catalogue.platforms}
    return {
        name: {version: sample.share(version) or 0.0 for version in versions}
        for name, sample in samples.items()
        if sample.total
    }


def pythons(request: str) -> SpecifierSet:
    """Which Pythons a request means: a specifier (PEP 440), a version or a tag of an interpreter.

    Raises UserError, with examples, where it is none of them."""
    text = request.strip()
    if tag := re.fullmatch(r"cp(\d)(\d{1,2})(-abi3|-cp\1\2t?)?", text):
        return SpecifierSet(
            f"{'>=' if tag[3] == '-abi3' else '=='}{tag[1]}.{tag[2]}{'' if tag[3] == '-abi3' else '.*'}"
        )
    if re.fullmatch(r"\d+(\.\d+)?", text):
        text = f"=={text}.*"
    elif re.fullmatch(r"\d+(\.\d+){2}", text):
        text = f"=={text}"
    try:
        found = SpecifierSet(text)
    except InvalidSpecifier:
        raise errors.UserError(f"--python {request[:60]!r}: {_FORMS}") from None
    if not text:
        raise errors.UserError(f"--python is empty: {_FORMS}")
    return found


def fits(minor: str, asked: SpecifierSet) -> bool:
    """Whether any release of a minor is among those asked for: >=3.9.2 means 3.9, too."""
    return any(asked.contains(f"{minor}.{micro}") for micro in range(_MICROS))


def maintained(catalogue: Catalogue) -> SpecifierSet:
    """The CPythons that are still maintained, by the table of images: what is meant where nobody says which.

    A fork may have none of these: then all interpreters that it has."""
    every = list(catalogue.interpreters.values())
    current = [i for i in every if i.implementation == "cpython" and i.status != "eol"]
    return SpecifierSet(f">={min((i.minor for i in current or every), key=version_key)}")


def newest_first(catalogue: Catalogue, platform: str, libc: str) -> list[Image]:
    """The images of a platform for one C library, from the newest policy to the oldest.

    Those that are not published count where no other is."""
    here = [i for i in catalogue.images(published_only=False) if (i.platform.name, i.policy.libc) == (platform, libc)]
    published = [image for image in here if image.published]
    return sorted(published or here, key=lambda image: version_key(image.policy.libc_version), reverse=True)
