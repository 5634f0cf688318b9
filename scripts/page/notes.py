"""What changed between two tags, from what `invoke notes --json` has written (docs/notes.md)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from portable import errors

KNOWN_SCHEMA = 1
_CHANGE = ("text", "url", "of")


def note_facts(note: Mapping[str, Any], where: str) -> dict[str, Any]:
    """A note as the page tells it. Raises UserError where it is not what `invoke notes --json` writes."""
    if note.get("schema") != KNOWN_SCHEMA:
        raise errors.UserError(f"{where}: schema {note.get('schema')!r} of notes is not {KNOWN_SCHEMA}")
    try:
        sections = [
            {
                "title": str(section["title"]),
                "changes": [{key: str(change[key]) for key in _CHANGE} for change in section["changes"]],
            }
            for section in note["sections"]
        ]
        return {
            "slug": re.sub(r"[^A-Za-z0-9.-]+", "-", f"{note['old']}..{note['new']}").strip("-."),
            "old": str(note["old"]),
            "new": str(note["new"]),
            "title": str(note["title"]),
            "day": str(note["day"]),
            "summary": str(note["summary"]),
            "images": [str(name) for name in note["images"]],
            "sections": sections,
        }
    except (KeyError, TypeError) as error:
        raise errors.UserError(f"{where}: {error} is missing, or not what `invoke notes --json` writes") from None


def joined(notes: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Each note once, newest first, whichever images' directories have it."""
    found: dict[str, dict[str, Any]] = {}
    for note in notes:
        found.setdefault(note["slug"], note)
    return sorted(found.values(), key=lambda note: (note["day"], note["new"]), reverse=True)
