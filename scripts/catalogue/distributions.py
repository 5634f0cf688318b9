"""Reads docker/distributions.csv: which libc the releases of distributions have, and how long they are maintained."""

from __future__ import annotations

import dataclasses
import datetime
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from catalogue.model import Libc, Policy
from catalogue.paths import DOCKER
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

    `eol` is a date, "rolling", or empty where nobody says."""

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

    def runs(self, policy: Policy) -> bool:
        """Whether wheels of a policy run there: the same libc, not older (PEP 600, PEP 656)."""
        return self.libc == policy.libc and version_key(self.libc_version) >= version_key(policy.libc_version)


def version_key(version: str) -> tuple[int, ...]:
    """Sorts "2.9" before "2.17"; letters do not count."""
    return tuple(int(part) for part in re.findall(r"\d+", version))


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
            raise errors.UserError(f"{where} {release.distribution} {release.release} stands there twice")
        found.append(release)
    return found
