"""How versions are ordered where only their numbers count: build.sh does without the packaging library."""

from __future__ import annotations

import re


def version_key(version: str) -> tuple[int, ...]:
    """Sorts "2.9" before "2.17"; letters do not count."""
    return tuple(int(part) for part in re.findall(r"\d+", version))
