"""Reads tables strictly: the annotations of a frozen dataclass say what a table may contain.

`read` checks types, unknown and missing keys, and the laws in `Annotated`. A law is a function that takes the value; it
returns "" if the value is right, else what would be right. A breach is a UserError of one line: file, key, what is
wrong, what would be right. Standard library only; images carry this module for their own table.
"""

from __future__ import annotations

import dataclasses
import datetime
import difflib
import functools
import re
import tomllib
import types
import typing
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar, Union, get_args, get_origin

from portable import errors

T = TypeVar("T")
Law = Callable[[Any], str]

LONGEST = 1000  # characters of one text; the longest of ours, the checksums of git-lfs, has 600
KINDS = {str: "a text", bool: "true or false", int: "a whole number", datetime.date: "a date like 2030-06-30"}


class Mark:
    """Says how a field is read, whatever its value is."""

    def __init__(self, key: str = "") -> None:
        self.key = key


NAME = Mark()  # the field is the key of this table in the table around it
DERIVED = Mark()  # the field is not read: it has a default, and the reader fills it in
REST = Mark()  # the field takes the keys of its table that no other field has
MAY_BE_EMPTY = Mark()  # "" has a meaning; in any other field it is a mistake


def key(name: str) -> Mark:
    """The field's key in the file, where it differs from the field's name."""
    return Mark(name)


def form(pattern: str, right: str) -> Law:
    """A law: the whole text has this form. Only ASCII counts as a digit or a letter."""
    compiled = re.compile(pattern, re.ASCII)
    return lambda value: "" if compiled.fullmatch(value) else right


def between(low: int, high: int) -> Law:
    """A law: the number is one of these."""
    return lambda value: "" if low <= value <= high else f"between {low} and {high}"


def filled(value: Any) -> str:
    """A law: the list or table is not empty."""
    return "" if value else "filled in"


def expression(groups: int | None = None) -> Law:
    """A law: a regular expression, with this many groups."""

    def law(value: str) -> str:
        try:
            found = re.compile(value).groups
        except (re.error, OverflowError, RecursionError) as error:
            return f"a regular expression ({error})"
        return "" if groups in (None, found) else f"a regular expression with {groups} group, it has {found}"

    return law


# --- What values look like ------------------------------------------------------------------------------------

_LABEL = r"[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?"
_HOST = rf"{_LABEL}(?:\.{_LABEL})*"
_WEB = rf"(?:https://{_HOST}(?::\d{{1,5}})?|http://(?:127\.0\.0\.1|localhost)(?::\d{{1,5}})?)"
_PATH = r"(?!\S*/\.\.?(?:/|$))/[A-Za-z0-9._~:/?#@!&=+,%*-]*"
_FILLED = _PATH.replace("*-]", "*{}-]")
_PART = r"[a-z0-9]+(?:[._-]+[a-z0-9]+)*"
_SERVER = rf"(?=[A-Za-z0-9-]+[.:]|localhost(?:/|$)){_HOST}(?::\d{{1,5}})?"  # no engine would have to guess one
_IMAGE = rf"{_SERVER}/(?:{_PART}/)*{_PART}"
URL_RIGHT = "an https:// address without a user name"

Url = Annotated[str, form(f"{_WEB}(?:{_PATH})?", URL_RIGHT)]
Template = Annotated[str, form(_WEB + _FILLED, URL_RIGHT)]  # with fields in braces
Beside = Annotated[str, form(rf"\{{url\}}[A-Za-z0-9._-]*|{_WEB}{_FILLED}", f"{URL_RIGHT} or {{url}}.asc")]
ImageTemplate = Annotated[
    str, form(rf"{_IMAGE}:[\w.-]*\{{version\}}[\w.-]*", "an image like ghcr.io/name/image:{version}")
]
Prose = Annotated[str, form(r"(?!.*(?<!https)://)(?!.*//[^/\s]*@)[A-Za-z0-9].*", "words, with https:// links at most")]
Sha256 = Annotated[str, form(r"[0-9a-f]{64}", "a sha256, 64 of 0-9 and a-f")]
Version = Annotated[str, form(r"\d{1,9}(?:\.\d{1,9}){0,5}", "a version like 3.14.0")]
Minor = Annotated[str, form(r"3\.\d{1,2}", "a minor of Python like 3.14")]
Name = Annotated[str, form(r"[a-z0-9]+(?:[._-][a-z0-9]+)*", "a name in lower case")]
Tag = Annotated[str, form(r"\w[\w.-]{0,127}", "a tag of an image")]
Reference = Annotated[
    str, form(rf"{_IMAGE}(?::\w[\w.-]{{0,127}}|@sha256:[0-9a-f]{{64}})", "an image like quay.io/name/image:tag")
]
Digest = Annotated[str, form(r"sha256:[0-9a-f]{64}", "a digest, sha256: and 64 of 0-9 and a-f")]
Registry = Annotated[str, form(rf"{_SERVER}(?:/{_PART})*", "a registry like ghcr.io/name")]


# --- Reading --------------------------------------------------------------------------------------------------


def read_toml(path: Path) -> dict[str, Any]:
    """The parsed file. Raises UserError when it is missing or malformed."""
    text = read_text(path)
    try:
        return tomllib.loads(text)
    except (ValueError, RecursionError) as error:  # no TOML, or a number of thousands of digits
        raise errors.UserError(f"{path}: {' '.join(str(error).split())}") from None


def read_text(path: Path) -> str:
    """The text of a file. Raises UserError when it cannot be read or is not UTF-8."""
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        missing = isinstance(error, FileNotFoundError)
        raise errors.UserError(f"{path} does not exist" if missing else f"{path}: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise errors.UserError(f"{path} is not UTF-8: {error.reason} at byte {error.start}") from None


def read(kind: type[T], raw: object, where: str, name: str = "") -> T:
    """The content of a file as a dataclass or a typed dictionary. Raises UserError where it breaks a law.

    `where`: the beginning of every error message, like "images.toml:"; `name`: the key of the table in the one around
    it."""
    found: T = _read(kind, raw, where, name)
    return found


def part(kind: type[T], raw: object, where: str) -> None:
    """Checks some keys of a table that will be read as a `kind` once it is complete."""
    _record(kind, raw, where, None)


def wrong(where: str, value: object, right: str) -> errors.UserError:
    """The error for a value. `right`: what would be right."""
    shown = repr(value)
    shown = shown if len(shown) <= 80 else f"{shown[:77]}..."
    return errors.UserError(f"{where} must be {right}, not {shown}")


def below(where: str, name: object) -> str:
    """The place of a key of the table at `where`, for messages."""
    text = str(name)
    text = text if len(text) <= 80 else f"{text[:77]}..."
    shown = text if re.fullmatch(r"[\w-]+", text, re.ASCII) else repr(text)
    return f"{where} {shown}" if where.endswith(":") else f"{where}.{shown}"


def _read(kind: Any, value: object, where: str, name: str = "") -> Any:
    origin, arguments = get_origin(kind), get_args(kind)
    if origin is Annotated:
        if value == "" and MAY_BE_EMPTY in arguments:
            return ""
        found = _read(arguments[0], value, where, name)
        for law in arguments[1:]:
            if not isinstance(law, Mark) and (right := law(found)):
                raise wrong(where, value, right)
        return found
    if origin in (Union, types.UnionType):  # X | None: TOML has no null, the key is simply not there
        return _read(arguments[0], value, where, name)
    if origin is Literal:
        if not isinstance(value, str) or value not in arguments:
            raise wrong(where, value, f"one of {', '.join(arguments)}")
        return value
    if origin in (tuple, list):
        return origin(_items(arguments[0], value, where))
    if origin in (Mapping, dict):
        return {
            _read(arguments[0], k, f"{below(where, k)}: the key"): _read(arguments[1], v, below(where, k), k)
            for k, v in _table(value, where).items()
        }
    if kind is Any:
        return value
    if kind in KINDS:
        return _scalar(kind, value, where)
    return _record(kind, value, where, name)


def _scalar(kind: type, value: object, where: str) -> object:
    if type(value) is not kind:  # bool is an int, a point in time is a date
        raise wrong(where, value, KINDS[kind])
    if isinstance(value, str) and (not value or value != value.strip()):
        raise wrong(where, value, "a text without blanks around it" if value else "filled in")
    if isinstance(value, str) and (len(value) > LONGEST or not value.isprintable()):
        raise wrong(where, value, f"one line of at most {LONGEST} characters")
    if isinstance(value, datetime.date) and not 2000 <= value.year < 2100:
        raise wrong(where, value, "a date of this century")
    return value


def _table(value: object, where: str) -> dict[str, object]:
    if not isinstance(value, dict):
        raise wrong(where, value, "a table")
    return value


def _items(kind: Any, value: object, where: str) -> list[Any]:
    if not isinstance(value, list):
        raise wrong(where, value, "a list")
    found = [_read(kind, item, f"{where}[{number}]") for number, item in enumerate(value)]
    for number, item in enumerate(found):
        if item in found[:number]:
            raise wrong(where, value, "without repetition")
    return found


def _record(kind: Any, value: object, where: str, name: str | None) -> Any:
    """The table as a `kind`. Without a name it may lack keys: only those that it has are checked."""
    table, values = _table(value, where), {}
    known, rest = [], None
    for field, expected, marks, default in _fields(kind):
        if DERIVED in marks:
            continue
        if REST in marks:
            rest = (field, expected)
            continue
        if NAME in marks:
            values[field] = name if name is None else _read(expected, name, f"{where}: the key")
            continue
        spelled = next((mark.key for mark in marks if mark.key), field)
        known.append(spelled)
        if spelled in table:
            values[field] = _read(expected, table[spelled], below(where, spelled))
        elif default is dataclasses.MISSING and name is not None:
            raise errors.UserError(f"{below(where, spelled)} is missing")
    unknown = [key for key in table if key not in known]
    if rest:
        values[rest[0]] = _read(rest[1], {key: table[key] for key in unknown}, where)
    elif unknown:
        raise errors.UserError(f"{where} unknown key {unknown[0]!r:.80}{near_matches(unknown[0], known)}")
    return None if name is None else kind(**values)


@functools.cache
def _fields(kind: Any) -> list[tuple[str, Any, tuple[Mark, ...], object]]:
    """Name, annotation, marks and default of the fields of a dataclass or a typed dictionary."""
    hints = typing.get_type_hints(kind, include_extras=True)
    if dataclasses.is_dataclass(kind):
        defaults = {
            f.name: f.default if f.default_factory is dataclasses.MISSING else None for f in dataclasses.fields(kind)
        }
    else:
        defaults = {name: dataclasses.MISSING if name in kind.__required_keys__ else None for name in hints}
    found = []
    for name, default in defaults.items():
        marks = tuple(m for m in getattr(hints[name], "__metadata__", ()) if isinstance(m, Mark))
        found.append((name, hints[name], marks, default))
    return found


def near_matches(word: str, known: Iterable[str]) -> str:
    """ "; did you mean a, b? Known: ..." for an error message."""
    names = list(known)
    near = difflib.get_close_matches(word[:200], names, n=3)
    hint = f"; did you mean {' or '.join(near)}?" if near else ";"
    return f"{hint} Known: {', '.join(names)}"
