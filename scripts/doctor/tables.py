"""Where the doctor's tables are: docker/doctor in a checkout, beside this module in an image."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

from portable import errors

_HERE = Path(__file__).resolve().parent
_PLACES = (_HERE / "tables", _HERE.parents[1] / "docker" / "doctor")


def text(name: str) -> str:
    """A table's content. Raises errors.Failure where it is missing."""
    for place in _PLACES:
        if (place / name).is_file():
            return (place / name).read_text(encoding="utf-8")
    raise errors.Failure(f"the doctor's table {name} is missing in {_PLACES[-1]}: restore it from git")


@cache
def policies() -> dict[str, Any]:
    """docker/doctor/policies.json."""
    found: dict[str, Any] = json.loads(text("policies.json"))
    return found
