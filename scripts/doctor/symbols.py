"""Since which version the C and C++ libraries define a symbol, for imports that carry no version of their own.

docker/doctor/symbols.json holds what manylinux_2_5 does not already allow, from Debian's .symbols files.
"""

from __future__ import annotations

import json
from functools import cache

from . import tables


@cache
def versions() -> dict[str, tuple[str, str]]:
    """Symbol -> the lowest version that has it, and the library of that version."""
    table: dict[str, dict[str, list[str]]] = json.loads(tables.text("symbols.json"))["libraries"]
    return {
        name: (version, library)
        for library, found in table.items()
        for version, names in found.items()
        for name in names
    }
