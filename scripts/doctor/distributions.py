"""Which releases of which distributions run a wheel, by what their C and C++ libraries define.

docker/doctor/distributions.csv has a row for each release and platform.
"""

from __future__ import annotations

import csv
import re
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cache

from portable import errors

from . import tables
from .analysis import Analysis
from .findings import Symptom
from .policies import numbers

FAMILIES = ("GLIBCXX", "CXXABI", "GCC", "ZLIB")
_NAMES = {
    "almalinux": "AlmaLinux", "alpine": "Alpine", "alt": "ALT", "amazonlinux": "Amazon Linux",
    "anolisos": "Anolis OS", "archlinux": "Arch Linux", "centos": "CentOS", "debian": "Debian", "fedora": "Fedora",
    "mageia": "Mageia", "opencloudos": "OpenCloudOS", "openeuler": "openEuler", "opensuse": "openSUSE",
    "oraclelinux": "Oracle Linux", "photon": "Photon", "rhubi": "RHEL", "rockylinux": "Rocky Linux",
    "slackware": "Slackware", "ubuntu": "Ubuntu",
}  # fmt: skip
_OTHER_NAMES = {
    "rhel": "rhubi", "redhat": "rhubi", "redhatenterpriselinux": "rhubi", "ubi": "rhubi", "alma": "almalinux",
    "rocky": "rockylinux", "oracle": "oraclelinux", "amazon": "amazonlinux", "al": "amazonlinux", "arch": "archlinux",
    "suse": "opensuse", "opensuseleap": "opensuse", "centosstream": "centosstream", "altlinux": "alt",
    "alpinelinux": "alpine", "debiangnulinux": "debian", "ol": "oraclelinux", "el": "rhubi",
}  # fmt: skip
_CODENAMES = {
    "buster": "debian-10", "bullseye": "debian-11", "bookworm": "debian-12", "trixie": "debian-13",
    "forky": "debian-testing", "sid": "debian-unstable", "bionic": "ubuntu-18.04", "focal": "ubuntu-20.04",
    "jammy": "ubuntu-22.04", "noble": "ubuntu-24.04", "archlinux": "archlinux-latest", "arch": "archlinux-latest",
}  # fmt: skip


@dataclass(frozen=True)
class Distribution:
    """A release on a platform. `libc` is "glibc" or "musl", `versions` the newest of each family that it defines.

    `markers`: the GLIBC_ABI_ versions; they cannot be told from glibc's version."""

    id: str
    platform: str
    libc: str
    version: tuple[int, ...]
    versions: dict[str, tuple[int, ...]]
    markers: frozenset[str]

    @property
    def name(self) -> str:
        """Its name for people: `RHEL 8`."""
        family, _, release = self.id.partition("-")
        return f"{_NAMES[family]} {release}"


@dataclass(frozen=True)
class Verdict:
    """Whether a release runs a wheel: no reason against it means yes. `is_older`: than the tag, so that pip refuses."""

    distribution: Distribution
    reasons: tuple[str, ...]
    is_older: bool

    @property
    def runs(self) -> bool:
        """Whether it runs there."""
        return not self.reasons


@cache
def load() -> tuple[Distribution, ...]:
    """Every row of the table, in its order."""
    lines = [line for line in tables.text("distributions.csv").splitlines() if not line.startswith("#")]
    rows = []
    for row in csv.DictReader(lines):
        rows.append(
            Distribution(
                row["distribution"],
                row["platform"],
                row["libc"],
                numbers(row["version"]),
                {family: numbers(row[family]) for family in FAMILIES if row[family]},
                frozenset(row["markers"].split()),
            )
        )
    return tuple(rows)


def find(called: str) -> str:
    """The id of a release by any of its names: `RHEL 8`, `ubuntu-20.04`, `Debian bookworm`.

    Raises errors.UserError with the nearest names where the table has no such release."""
    known = {re.sub(r"[^a-z0-9.]", "", each.id): each.id for each in load()}
    words = re.sub(r"[^a-z0-9.]+", "", called.lower())
    for code, found in _CODENAMES.items():
        if words in (code, found.partition("-")[0] + code):
            return found
    match = re.fullmatch(r"([a-z]+?)((?:v|p)?\d[\d.]*|stream\d+|[a-z]*)", words)
    candidates = [words]
    for cut in range(1, len(words)):
        if words[:cut] in _OTHER_NAMES and match:
            candidates.append(_OTHER_NAMES[words[:cut]] + words[cut:])
    for candidate in candidates:
        if candidate in known:
            return known[candidate]
        if (older := candidate.rpartition(".")[0]) in known:  # RHEL 8.10
            return known[older]
    names = {each.name for each in load()}
    family = next((each for each in candidates[::-1] for known_id in known if each[:4] == known_id[:4]), "")
    same = sorted(each.name for each in {e.id: e for e in load()}.values() if family and each.id[:4] == family[:4])
    near = same or get_close_matches(called, names, 4, 0.5) or sorted(names)[:4]
    raise errors.UserError(f"no distribution {called!r} in the table: such as {', '.join(near)}")


def name(wanted: str) -> str:
    """The name for people of a release, by its id."""
    return next(each.name for each in load() if each.id == wanted)


def verdicts(analysis: Analysis, findings: list[Symptom]) -> list[Verdict]:
    """What each release of the wheel's platform says to the wheel, in the table's order."""
    if not analysis.platforms or not analysis.objects:
        return []
    platform = analysis.platforms[0]
    libc = "musl" if analysis.libc == "musllinux" else "glibc"
    tags = [promise.libc for promise in analysis.promises]
    return [
        Verdict(row, tuple(dict.fromkeys(_reasons(analysis, findings, row))), bool(tags) and row.version < min(tags))
        for row in load()
        if row.platform == platform and row.libc == libc
    ]


def answer(analysis: Analysis, findings: list[Symptom], wanted: str) -> tuple[bool, tuple[str, ...]]:
    """Whether a release runs a wheel, and why not. `wanted` is an id from `find`."""
    if not analysis.objects:
        return not analysis.is_foreign, () if not analysis.is_foreign else ("it is not for Linux",)
    for verdict in verdicts(analysis, findings):
        if verdict.distribution.id == wanted:
            return verdict.runs, verdict.reasons
    libc = next(each.libc for each in load() if each.id == wanted)
    if libc != ("musl" if analysis.libc == "musllinux" else "glibc"):
        return False, (f"{name(wanted)} has {libc}, the wheel is for {'musl' if libc == 'glibc' else 'glibc'}",)
    return False, (f"the table has no {name(wanted)} on {' or '.join(analysis.platforms)}",)


def _reasons(analysis: Analysis, findings: list[Symptom], row: Distribution) -> list[str]:
    found = []
    tags = [promise.libc for promise in analysis.promises]
    if tags and row.version < min(tags):
        found.append(f"{row.libc} {_text(row.version)} is older than the tag: pip does not take the wheel")
    worst: dict[str, tuple[tuple[int, ...], str]] = {}
    for need in analysis.needs:
        family, _, version = need.version.partition("_")
        wanted = numbers(version)
        if family == "GLIBC" and version.startswith("ABI_") and version not in row.markers:
            found.append(f"glibc lacks {need.version}, which {need.object} needs")
        elif wanted and wanted > worst.get(family, ((), ""))[0]:
            worst[family] = (wanted, need.object)
    for family, (wanted, path) in worst.items():
        has = row.version if family == "GLIBC" and row.libc == "glibc" else row.versions.get(family)
        if has and has < wanted:
            found.append(f"it has {family}_{_text(has)}, {path} needs {family}_{_text(wanted)}")
    for finding in findings:
        if finding.where == "everywhere" or (finding.where == "glibc 2.41" and row.version >= (2, 41)):
            found.append(f"{finding.object}: {finding.check}")
    return found


def listed(rows: list[Distribution]) -> str:
    """Releases for people, each distribution once: `Debian 11, 12; RHEL 8`."""
    releases: dict[str, list[str]] = {}
    for row in rows:
        family, _, release = row.id.partition("-")
        releases.setdefault(_NAMES[family], []).append(release)

    def key(release: str) -> tuple[tuple[int, ...], str]:
        return numbers(release.lstrip("pstream")) or (1 << 30,), release

    return "; ".join(f"{name} {', '.join(sorted(found, key=key))}" for name, found in releases.items())


def _text(version: tuple[int, ...]) -> str:
    return ".".join(map(str, version))
