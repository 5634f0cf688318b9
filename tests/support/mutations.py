"""Wrong tables and documents made from right ones: every key deleted, renamed and retyped, every value spoiled."""

from __future__ import annotations

import datetime
import random
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

Path = tuple[str | int, ...]

TEXTS = {
    "empty": "",
    "blank": " ",
    "newline": "a\nb",
    "parent": "..",
    "option": "--x",
    "digits of another script": "\u0661.\u0662",
    "huge": "x" * 100_000,
    "NUL": "a\0b",
    "file URL": "file:///etc/passwd",
    "ftp URL": "ftp://example.org/x",
    "script URL": "javascript:alert(1)",
    "password in URL": "https://me:secret@example.org/x",
    "command": "1; rm -rf /",
    "climbing": "../../etc/passwd",
}
VALUES = {
    "text": "x",
    "-1": -1,
    "0": 0,
    "7": 7,
    "huge number": 10**30,
    "fraction": 1.5,
    "not a number": float("nan"),
    "true": True,
    "empty list": [],
    "list": ["x"],
    "list of numbers": [1],
    "empty table": {},
    "table": {"x": "y"},
    "time": datetime.datetime(2027, 1, 1, 12, 0),
    "year 1": datetime.date(1, 1, 1),
    "year 9999": datetime.date(9999, 12, 31),
}
KEYS = {f"key {name}": text for name, text in TEXTS.items()}


@dataclass(frozen=True)
class Mutation:
    """One spoiled table. `path` is where, `kind` what was done to it."""

    kind: str
    path: Path
    table: dict[str, Any]

    def __str__(self) -> str:
        return f"{self.kind} at {'.'.join(map(str, self.path))}"


def every(table: Mapping[str, Any]) -> Iterator[Mutation]:
    """All mutations of a parsed TOML file, in its order."""
    yield Mutation("unknown key", ("unknown",), {**table, "unknown": "x"})
    for path, value in _walk(table):
        for kind, change in _changes(path[-1], value):
            yield Mutation(kind, path, _changed(table, path, change))


def shape(path: Path, rows: Collection[str]) -> str:
    """A path as text, with "*" for an item of a list and for the name of a row: a key in one of the tables `rows`."""
    found = ""
    for step in path:
        found += "." * bool(found) + ("*" if isinstance(step, int) or found in rows else step)
    return found


def sample(table: Mapping[str, Any], rows: Collection[str], most: int, seed: int) -> list[Mutation]:
    """At most so many mutations, none of which differs from another only in which of several like rows it spoils."""
    found: dict[tuple[str, str], list[Mutation]] = {}
    for mutation in every(table):
        found.setdefault((mutation.kind, shape(mutation.path, rows)), []).append(mutation)
    draw = random.Random(seed)
    chosen = [draw.choice(alike) for alike in found.values()]
    return draw.sample(chosen, min(most, len(chosen)))


def _walk(value: Any, path: Path = ()) -> Iterator[tuple[Path, Any]]:
    inner = value.items() if isinstance(value, Mapping) else enumerate(value) if isinstance(value, list) else ()
    for key, item in inner:
        yield (*path, key), item
        yield from _walk(item, (*path, key))


Change = Callable[[Any, Any], None]  # of the container and the key in it


def _changes(key: str | int, value: Any) -> Iterator[tuple[str, Change]]:
    yield "deleted", lambda inside, k: inside.pop(k)
    for name, other in VALUES.items():
        if type(other) is not type(value) or other != value:
            yield f"{name} instead", _assign(other)
    if isinstance(value, str):
        for name, text in TEXTS.items():
            if text != value:
                yield f"{name} instead", _assign(text)
        yield "a line more", _assign(f"{value}\n")
        yield "another letter", _assign(f"{value}x")
        yield "a blank before", _assign(f" {value}")
    if isinstance(value, bool):
        yield "the opposite", _assign(not value)
    if isinstance(value, list):
        if value:
            yield "an item twice", _assign([*value, value[0]])
            yield "an unknown item", _assign([*value, "x"])
        if len(value) > 1:
            yield "the other order", _assign(value[::-1])
    if isinstance(value, dict):
        yield "an unknown key", _assign({**value, "unknown": "x"})
        if len(value) > 1:
            yield "the other order", _assign(dict(reversed(value.items())))
    if isinstance(key, str):
        yield "renamed", _rename(f"{key}x")
        for name, text in KEYS.items():
            yield name, _rename(text)


def _assign(value: Any) -> Change:
    def change(inside: Any, key: Any) -> None:
        inside[key] = value

    return change


def _rename(name: str) -> Change:
    def change(inside: Any, key: Any) -> None:
        items = [(name if k == key else k, v) for k, v in inside.items()]
        inside.clear()
        inside.update(items)

    return change


def _changed(table: Mapping[str, Any], path: Path, change: Change) -> dict[str, Any]:
    """A copy with one place changed; what lies beside the way there is shared with the original."""
    root: Any = dict(table)
    inside = root
    for step in path[:-1]:
        inside[step] = dict(inside[step]) if isinstance(inside[step], dict) else list(inside[step])
        inside = inside[step]
    change(inside, path[-1])
    return root  # type: ignore[no-any-return]


def documents_like(document: Any) -> Iterator[Any]:
    """Copies of a document, each with one part left out or of another kind."""
    strange: tuple[Any, ...] = (
        None,
        [],
        {},
        0,
        -1,
        1.5,
        True,
        "",
        "x",
        "\ud800",
        "\x1b[2J",
        "sha256:" + "g" * 64,
        [[[]]],
        {"os": {}},
    )
    if isinstance(document, dict):
        for key, value in document.items():
            yield {other: kept for other, kept in document.items() if other != key}
            for each in (*strange, *documents_like(value)):
                yield {**document, key: each}
    if isinstance(document, list):
        for at, value in enumerate(document):
            for each in (*strange, *documents_like(value)):
                yield [*document[:at], each, *document[at + 1 :]]
