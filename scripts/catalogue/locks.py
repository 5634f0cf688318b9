"""Reads the compiled locks of requirements/, one version and its hashes for each package."""

from __future__ import annotations

import re
from dataclasses import dataclass

_ENTRY = re.compile(r"(?m)^(?P<name>[A-Za-z0-9._-]+)==(?P<version>[^\s;\\]+)(?P<rest>(?:[^\n]*\\\n)*[^\n]*)")
_HASH = re.compile(r"--hash=sha256:([0-9a-f]{64})")


@dataclass(frozen=True)
class LockedRequirement:
    """A package of a lock. `hashes`: the sha256 of each of its files."""

    version: str
    hashes: tuple[str, ...]


def requirements(text: str) -> dict[str, LockedRequirement]:
    """Name -> package of a lock's text. Environment markers are ignored: a lock is for one minor of Python."""
    return {
        entry["name"]: LockedRequirement(entry["version"], tuple(_HASH.findall(entry["rest"])))
        for entry in _ENTRY.finditer(text)
    }
