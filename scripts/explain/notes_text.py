"""Notes as people read them (Markdown) and as programs do (JSON, docs/notes.md)."""

from __future__ import annotations

import datetime
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from catalogue import tags
from catalogue.model import Catalogue
from explain.notes import TITLES, Difference, Notes, Risk

SCHEMA = 1
FOLDED = {Risk.CAPABILITIES, Risk.REST}  # shown at a click
MOST_IMAGES = 6  # that are named one by one


def as_json(notes: Notes, catalogue: Catalogue) -> dict[str, Any]:
    """The notes with their Markdown. `day`: of the new tag, else of its commit; empty where neither is known."""
    groups = _groups(notes, catalogue)
    return {
        "schema": SCHEMA,
        "old": notes.old,
        "new": notes.new,
        "day": _day(notes),
        "title": f"{notes.old} → {notes.new}",
        "summary": summary(notes),
        "images": list(notes.images),
        "added": list(notes.added),
        "removed": list(notes.removed),
        "commits": list(notes.commits),
        "sections": [
            {
                "title": TITLES[section],
                "changes": [
                    {
                        "subject": change.subject,
                        "old": change.old,
                        "new": change.new,
                        "url": change.url,
                        "text": change.text,
                        "images": list(images),
                        "of": named(images, groups),
                    }
                    for change, images in notes.changes.items()
                    if change.section is section
                ],
            }
            for section in Risk
            if any(change.section is section for change in notes.changes)
        ],
        "downloads": {name: {"new": new, "all": every} for name, (new, every) in notes.downloads.items()},
        "markdown": markdown(notes, catalogue),
    }


def summary(notes: Notes) -> str:
    """One line: what is gone, and how much else has changed."""
    counts = {section: sum(change.section is section for change in notes.changes) for section in Risk}
    if not notes.images:
        return f"{_count(len(notes.added))} to begin with"
    if not notes.changes:
        return f"nothing has changed in {_count(len(notes.images))}"
    words = [f"{TITLES[section].lower()}: {number}" for section, number in counts.items() if number]
    return f"{len(notes.changes)} changes in {_count(len(notes.images))}; {', '.join(words)}"


def markdown(notes: Notes, catalogue: Catalogue) -> str:
    """The whole text. Equal changes of many images stand once, with the images behind them."""
    groups = _groups(notes, catalogue)
    lines = [f"# {notes.old} → {notes.new}", "", f"{_capital(summary(notes))}."]
    old, new = notes.commits
    if old and new and old != new and notes.source:
        lines += ["", f"[Commits]({notes.source}/compare/{old}...{new})"]
    for side, names in (notes.new, notes.added), (notes.old, notes.removed):
        if names:
            lines += ["", f"Only in {side}: {', '.join(f'`{name}`' for name in names)}"]
    for section in Risk:
        rows = [
            (change, named(images, groups)) for change, images in notes.changes.items() if change.section is section
        ]
        if rows:
            lines += ["", *_section(section, rows)]
    if notes.downloads:
        new_bytes = sorted(new for new, _ in notes.downloads.values())
        every = max(total for _, total in notes.downloads.values())
        span = _size(new_bytes[-1]) if len(new_bytes) == 1 else f"{_size(new_bytes[0])} to {_size(new_bytes[-1])}"
        lines += ["", "## To download again", "", f"{span} for each image, of up to {_size(every)}."]
    return "\n".join(lines) + "\n"


def _section(section: Risk, rows: Sequence[tuple[Difference, str]]) -> list[str]:
    by_images: dict[str, list[str]] = defaultdict(list)
    for change, images in rows:
        by_images[images].append(f"[{change.text}]({change.url})" if change.url else change.text)
    lines = []
    for images, texts in by_images.items():
        lines += [f"- {text}" if images == "" else f"- {text} ({images})" for text in texts]
    if section in FOLDED:
        summary_ = f"<details><summary>{TITLES[section]} ({len(rows)})</summary>"
        return [summary_, "", *lines, "", "</details>"]
    return [f"## {TITLES[section]}", "", *lines]


def _groups(notes: Notes, catalogue: Catalogue) -> dict[str, set[str]]:
    """How sets of images are called: all of the notes, those of a C library, of a policy, of a platform."""
    here = {image.name: image for image in catalogue.images(published_only=False, variants=True)}
    groups: dict[str, set[str]] = {"": set(notes.images)}
    for name in notes.images:
        if name in here:
            image = here[name]
            for key in (f"{image.policy.libc} images", image.policy.name, image.platform.name):
                groups.setdefault(key, set()).add(name)
    return groups


def named(images: Iterable[str], groups: Mapping[str, set[str]]) -> str:
    """The images in few words: "" for all, else groups that are whole and the other names."""
    left, words = set(images), []
    for name, members in sorted(groups.items(), key=lambda group: -len(group[1])):
        if len(members) > 1 and members <= left or (name == "" and members == left):
            if name == "":
                return ""
            words.append(name)
            left -= members
    rest = sorted(left)
    words += rest if len(rest) <= MOST_IMAGES else [*rest[:MOST_IMAGES], f"{len(rest) - MOST_IMAGES} more"]
    return ", ".join(words)


def _day(notes: Notes) -> str:
    if day := tags.day_of(notes.new):
        return day.isoformat()
    return f"{datetime.datetime.fromtimestamp(notes.date, datetime.UTC):%Y-%m-%d}" if notes.date else ""


def _size(number: int) -> str:
    return f"{number / 1e6:,.1f} MB"


def _count(number: int) -> str:
    return "one image" if number == 1 else f"{number} images"


def _capital(text: str) -> str:
    return text[0].upper() + text[1:]
