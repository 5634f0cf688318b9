"""The policies of auditwheel: since which policy a symbol version or a library may be needed.

A version that a policy allows is allowed by every later one (auditwheel checks its files for that), so that the table
says for each version and library since which policy it may be used.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache

from . import tables

ALIASES = {"manylinux1": "manylinux_2_5", "manylinux2010": "manylinux_2_12", "manylinux2014": "manylinux_2_17"}
_POLICY = re.compile(r"(manylinux|musllinux)_(\d+)_(\d+)")
# musl's loader takes every name of this form for itself (ldso/dynlink.c: reserved).
_OF_MUSL = re.compile(r"lib(c|pthread|rt|m|dl|util|xnet)\.|ld-musl-")
_LOADER = re.compile(r"ld-linux.*|ld64\.so\.[12]|ld\.so\.1")


def numbers(version: str) -> tuple[int, ...]:
    """`2.31` as numbers, to compare; empty for what has others than numbers, such as TM_1 or PRIVATE."""
    parts = version.split(".")
    return tuple(int(part) for part in parts) if all(part.isdecimal() and len(part) < 9 for part in parts) else ()


@dataclass(frozen=True)
class Promise:
    """What a tag such as manylinux_2_28 promises: the newest policy of the table that it covers, and its own libc."""

    name: str
    index: int
    libc: tuple[int, ...]


@dataclass(frozen=True)
class Policies:
    """The policies of one libc ("manylinux" or "musllinux") and platform, oldest first."""

    libc: str
    names: tuple[str, ...]
    versions: dict[str, dict[str, str]]
    libraries: dict[str, str]
    forbidden: dict[str, dict[str, list[str]]]

    @classmethod
    def of(cls, libc: str, platform: str) -> Policies | None:
        """Those of a platform; None where auditwheel knows no policy for it."""
        return _load(libc, platform)

    def index(self, name: str) -> int:
        """The place of a policy in `names`; one after the last for "", which no policy allows."""
        return self.names.index(name) if name in self.names else len(self.names)

    def promise(self, tag: str) -> Promise | None:
        """What the policy of a platform tag promises, None where this libc has no such tag."""
        match = _POLICY.fullmatch(ALIASES.get(tag, tag))
        if not match or match[1] != self.libc:
            return None
        libc = int(match[2]), int(match[3])
        older = [index for index, name in enumerate(self.names) if _version(name) <= libc]
        return Promise(tag, max(older, default=-1), libc)

    def since(self, version: str) -> str | None:
        """The policy that first allows a version such as GLIBC_2.34: "" for none, None where no policy cares.

        A version older than any that is listed, such as GLIBC_2.2.5 elsewhere than on x86_64, is allowed by all."""
        family, _, number = version.partition("_")
        listed = self.versions.get(family)
        if listed is None:
            return None
        if number in listed:
            return listed[number]
        wanted = numbers(number)
        if not wanted:
            return ""
        return next((listed[v] for v in sorted(filter(numbers, listed), key=numbers) if numbers(v) >= wanted), "")

    def allows(self, promise: Promise, version: str) -> bool:
        """Whether a tag's policy has a symbol version. Its own libc counts where the table lacks the policy itself."""
        since = self.since(version)
        if since is None or (since and self.index(since) <= promise.index):
            return True
        family, _, number = version.partition("_")
        return self.libc == "manylinux" and family == "GLIBC" and () < numbers(number) <= promise.libc

    def library(self, name: str) -> str | None:
        """The policy that first allows to need a library; None for one that belongs into the wheel."""
        if self.libc == "musllinux" and _OF_MUSL.match(name):
            return self.names[0]
        if self.libc == "manylinux" and _LOADER.fullmatch(name):
            return self.names[0]
        return self.libraries.get(name)

    def without(self, needed: tuple[str, ...], imports: set[str]) -> dict[str, list[str]]:
        """The policies that forbid some of these imports, each with the symbols as `library: symbol`."""
        found: dict[str, list[str]] = {}
        for name in self.names:
            for library, symbols in self.forbidden.get(name, {}).items():
                if library in needed and (bad := sorted(imports.intersection(symbols))):
                    found.setdefault(name, []).extend(f"{library}: {symbol}" for symbol in bad)
        return found


@cache
def _load(libc: str, platform: str) -> Policies | None:
    rows = [row for row in tables.policies()["policies"] if row["libc"] == libc and platform in row["platforms"]]
    if not rows:
        return None
    names = tuple(row["name"] for row in rows)

    def later(since: str) -> str:
        """The first policy of this platform that is not older than another."""
        return next((name for name in names if _version(name) >= _version(since)), "")

    table = tables.policies()
    return Policies(
        libc,
        names,
        table["versions"][libc].get(platform, {}),
        {library: later(since) for library, since in table["libraries"][libc].items()},
        {row["name"]: row["forbidden"] for row in rows},
    )


def _version(name: str) -> tuple[int, ...]:
    match = _POLICY.fullmatch(name)
    return (int(match[2]), int(match[3])) if match else ()
