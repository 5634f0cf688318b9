"""What this machine remembers of its images: what each was built to be, and which have passed their smoke tests."""

from __future__ import annotations

import json
from pathlib import Path
from urllib.parse import quote

from engine.engine import Engine
from plan.expectations import Expectations
from portable import files, places


def path_of(reference: str) -> Path:
    """The file that says what the last build of a reference on this machine asked for."""
    return places.state() / "expectations" / f"{quote(reference, safe='')}.json"


def remember(reference: str, expectations: Expectations) -> None:
    """Keeps what a build asked for: its image can then be tested again without repeating the request."""
    files.write(path_of(reference), json.dumps(expectations, indent=2) + "\n")


def forget(reference: str) -> None:
    """Drops what was kept of a reference that is gone."""
    path_of(reference).unlink(missing_ok=True)


def has_passed(engine: Engine, reference: str) -> bool:
    """Whether all checks of an image have passed on this machine. Its Id counts, whatever the image is called now."""
    return (path := _pass_of(engine, reference)) is not None and path.exists()


def note_pass(engine: Engine, reference: str, passed: bool) -> None:
    """Remembers by its Id whether all checks of an image have passed."""
    if path := _pass_of(engine, reference):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch() if passed else path.unlink(missing_ok=True)


def _pass_of(engine: Engine, reference: str) -> Path | None:
    identity = engine.ask(engine.inspect(reference, "{{.Id}}"))
    return places.state() / "passed" / identity.rpartition(":")[2] if identity else None
