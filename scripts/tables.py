"""Reading TOML tables strictly: typed access, no unknown keys, errors that name the file, the key and near matches."""

from __future__ import annotations

import difflib
import tomllib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import errors


def read_toml(path: Path) -> dict[str, Any]:
    """The parsed file. Raises UserError when it is missing or malformed."""
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise errors.UserError(f"{path} does not exist") from None
    except tomllib.TOMLDecodeError as error:
        raise errors.UserError(f"{path}: {error}") from None


class Fields:
    """One TOML table being read: typed access, and a complaint about every key nobody asked for."""

    def __init__(self, raw: object, where: str) -> None:
        if not isinstance(raw, dict):
            raise errors.UserError(f"{where}: expected a table, found {raw!r}")
        self.raw, self.where, self.seen = raw, where, set[str]()

    def get(self, key: str, kind: type, default: Any = None) -> Any:
        """The value of a key; without a default the key must be there."""
        self.seen.add(key)
        if key not in self.raw:
            if default is None:
                raise errors.UserError(f"{self.where}: {key} is missing")
            return default
        value = self.raw[key]
        if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
            raise errors.UserError(f"{self.where}: {key} must be {kind.__name__}, not {value!r}")
        return value

    def text(self, key: str, default: str | None = None) -> str:
        return str(self.get(key, str, default))

    def one_of(self, key: str, allowed: Iterable[str], default: str | None = None) -> str:
        value = self.text(key, default)
        if value not in allowed:
            raise errors.UserError(f"{self.where}: {key} is {value!r}, not one of {', '.join(allowed)}")
        return value

    def texts(self, key: str, default: tuple[str, ...] | None = None) -> tuple[str, ...]:
        values = tuple(self.get(key, list, None if default is None else list(default)))
        if not all(isinstance(value, str) for value in values):
            raise errors.UserError(f"{self.where}: {key} must be a list of strings")
        if len(set(values)) != len(values):
            raise errors.UserError(f"{self.where}: {key} names something twice")
        return values

    def flag(self, key: str, default: bool | None = None) -> bool:
        return bool(self.get(key, bool, default))

    def mapping(self, key: str) -> dict[str, Any]:
        return dict(self.get(key, dict, {}))

    def done(self) -> None:
        unknown = sorted(set(self.raw) - self.seen)
        if unknown:
            raise errors.UserError(
                f"{self.where}: unknown key {', '.join(unknown)}" + near_matches(unknown[0], self.seen)
            )


def near_matches(word: str, known: Iterable[str]) -> str:
    """ "; did you mean a, b? Known: ..." for an error message."""
    names = list(known)
    near = difflib.get_close_matches(word, names, n=3)
    hint = f"; did you mean {' or '.join(near)}?" if near else ";"
    return f"{hint} Known: {', '.join(names)}"
