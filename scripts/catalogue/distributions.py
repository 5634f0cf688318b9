"""Reads docker/distributions.csv: which libc the releases of distributions have, and how long they are maintained."""

from __future__ import annotations

import dataclasses
import datetime
import difflib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from catalogue.model import Libc, Policy, RetiredPolicy
from catalogue.paths import DOCKER
from catalogue.versions import version_key
from portable import errors
from portable.toml import MAY_BE_EMPTY, form, near_matches, read, read_text

DISTRIBUTIONS_CSV = DOCKER / "distributions.csv"

# How distributions call themselves; every name of distributions.csv is here.
NAMES = {
    "almalinux": "AlmaLinux",
    "alpine": "Alpine",
    "alt": "ALT",
    "amazonlinux": "Amazon Linux",
    "anolisos": "Anolis OS",
    "archlinux": "Arch Linux",
    "centos": "CentOS",
    "debian": "Debian",
    "fedora": "Fedora",
    "mageia": "Mageia",
    "opencloudos": "OpenCloudOS",
    "openeuler": "openEuler",
    "opensuse": "openSUSE",
    "oraclelinux": "Oracle Linux",
    "photon": "Photon",
    "rhubi": "RHEL",
    "rockylinux": "Rocky Linux",
    "slackware": "Slackware",
    "ubuntu": "Ubuntu",
}

# How else people call them, in lower-case letters.
_ALIASES = {
    "alma": "almalinux",
    "alpinelinux": "alpine",
    "altlinux": "alt",
    "amazon": "amazonlinux",
    "arch": "archlinux",
    "fedoralinux": "fedora",
    "leap": "opensuse",
    "opensuseleap": "opensuse",
    "oracle": "oraclelinux",
    "photonos": "photon",
    "redhat": "rhubi",
    "redhatenterpriselinux": "rhubi",
    "rocky": "rockylinux",
    "ubi": "rhubi",
}


def _named(distribution: str) -> str:
    """A law: people have a name for it."""
    return "" if distribution in NAMES else f"named in {Path(__file__).name}{near_matches(distribution, NAMES)}"


def _day(text: str) -> str:
    """A law: a date of this century."""
    try:
        year = datetime.date.fromisoformat(text).year if len(text) == len("2030-06-30") else 0
    except ValueError:
        year = 0
    return "" if 2000 <= year < 2100 else "a date like 2030-06-30"


def _day_or_rolling(text: str) -> str:
    """A law: a date, or the word."""
    return "" if text == "rolling" else _day(text)


@dataclass(frozen=True)
class DistributionRelease:
    """One release of a distribution: its libc, and when its vendor ends normal, long-term and extended support.

    `eol` is a date, "rolling", or empty where it is unknown."""

    distribution: Annotated[str, _named]
    release: Annotated[str, form(r"[a-z]*\d{0,4}(\.\d+)?", "a release like 12 or stream9")]
    libc: Libc
    libc_version: Annotated[str, form(r"\d+\.\d+", "a version like 2.28")]
    eol: Annotated[str, MAY_BE_EMPTY, _day_or_rolling]
    lts_eol: Annotated[str, MAY_BE_EMPTY, _day]
    extended_eol: Annotated[str, MAY_BE_EMPTY, _day]

    @property
    def title(self) -> str:
        """For people: "CentOS Stream 9"."""
        return f"{NAMES[self.distribution]} {self.release.replace('stream', 'Stream ')}"

    @property
    def rolling(self) -> bool:
        """Whether it is a moving target rather than a release."""
        return self.eol == "rolling"

    def runs(self, policy: Policy | RetiredPolicy) -> bool:
        """Whether wheels of a policy run there: the same libc, not older (PEP 600, PEP 656)."""
        return self.libc == policy.libc and version_key(self.libc_version) >= version_key(policy.libc_version)


def find_release(name: str, releases: Sequence[DistributionRelease]) -> DistributionRelease:
    """The release that a person means: "RHEL 8", "rhel-8.10", "Ubuntu 20.04 LTS", "debian:12", "CentOS Stream 9".

    What stands between two releases with the same libc has that libc, too. Raises UserError with the nearest names."""
    word = re.sub(r"[^a-z0-9.]|lts$|gnu/linux", "", name.lower())
    words = {**{_letters(title): key for key, title in NAMES.items()}, **{key: key for key in NAMES}, **_ALIASES}
    known = {_letters(release.title): release.title for release in releases}
    for prefix in sorted(words, key=len, reverse=True):
        if not word.startswith(prefix):
            continue
        rest = word.removeprefix(prefix)
        here = [release for release in releases if release.distribution == words[prefix]]
        for release in here:
            if rest == release.release or rest.startswith(f"{release.release}.") or (not rest and len(here) == 1):
                return release
        if re.fullmatch(r"\d+(\.\d+)*", rest) and (between := _between(rest, here)):
            return between
        titles = ", ".join(release.title for release in here)
        raise errors.UserError(f"no release {name[:60]!r} is in {DISTRIBUTIONS_CSV.name}, which has {titles}")
    near = [known[match] for match in difflib.get_close_matches(word[:60], known, n=3)]
    hint = f"did you mean {' or '.join(near)}?" if near else f"known are {', '.join(NAMES.values())}"
    raise errors.UserError(f"unknown distribution {name[:60]!r}: {hint}")


def _letters(title: str) -> str:
    return re.sub(r"[^a-z0-9.]", "", title.lower())


def _between(asked: str, here: Sequence[DistributionRelease]) -> DistributionRelease | None:
    """The release, with the libc that the ones before and after it share; None where they differ or there are none."""
    key = version_key(asked)
    numbered = sorted((r for r in here if r.release[0].isdigit()), key=lambda release: version_key(release.release))
    older = [release for release in numbered if version_key(release.release) < key]
    newer = [release for release in numbered if version_key(release.release) > key]
    if not (older and newer) or older[-1].libc_version != newer[0].libc_version:
        return None
    return dataclasses.replace(older[-1], release=asked, eol="", lts_eol="", extended_eol="")


def read_releases(path: Path = DISTRIBUTIONS_CSV) -> list[DistributionRelease]:
    """Every release of the table. Raises UserError, naming file and line, for an unknown or malformed one."""
    lines = read_text(path).splitlines()
    header = [field.name for field in dataclasses.fields(DistributionRelease)]
    if not lines or lines[0].split(",") != header:
        raise errors.UserError(f"{path.name}, line 1: it must be {','.join(header)}")
    found: list[DistributionRelease] = []
    for number, line in enumerate(lines[1:], start=2):
        where, row = f"{path.name}, line {number}:", line.split(",")
        if len(row) != len(header):
            raise errors.UserError(f"{where} {len(row)} fields, not {', '.join(header)}")
        release = read(DistributionRelease, dict(zip(header, row, strict=True)), where)
        if (release.distribution, release.release) in ((r.distribution, r.release) for r in found):
            raise errors.UserError(f"{where} {release.distribution} {release.release} is listed twice")
        found.append(release)
    return found
