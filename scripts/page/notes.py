"""What changed between two tags, from `notes/*.json` of the descriptions."""

from __future__ import annotations

from page.facts import Facts, Tables


def notes_facts(tables: Tables) -> list[Facts]:
    """Each note once, newest first, with the images that it is about."""
    return []
