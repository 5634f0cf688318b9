"""The lock of docker/sources: which files of the Debian archive stand in for pins, and why some are missing.

A lock decides what is compiled. Like a table, it is checked when it is read: every key has a type and a form.
"""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any, TypedDict

from catalogue.paths import DOCKER
from portable import errors, files

SOURCES = DOCKER / "sources"
LOCK = SOURCES / "lock.json"

_NAME = re.compile(r"[a-z0-9][a-z0-9._+-]*")  # of a pin, an interpreter tag, a source package, a suite
_FORMS: Mapping[str, re.Pattern[str]] = {
    "version": re.compile(r"[0-9]+(\.[0-9]+)*((a|b|rc|alpha|beta)[0-9]+)?"),
    "url": re.compile(r"(https?|file)://[A-Za-z0-9._~:/\[\]@!+,=%-]+"),
    "sha256": re.compile(r"[0-9a-f]{64}"),
    "file": re.compile(r"[a-z0-9][A-Za-z0-9._+-]*/[A-Za-z0-9][A-Za-z0-9._+~-]*"),
    "package": _NAME,
    "suite": _NAME,
}


class LockedPin(TypedDict):
    """A file that stands in for a pin. `file` is relative to the sources directory, `verbatim` as in the table."""

    version: str
    url: str
    sha256: str
    file: str
    package: str
    suite: str
    verbatim: bool


class SourcesLock(TypedDict):
    """The files that a sources directory has for pins, and why it lacks those of other pins."""

    source: str
    created: str
    suites: list[str]
    pins: dict[str, LockedPin]
    missing: dict[str, str]


def load_lock(path: Path) -> SourcesLock:
    """The lock of a sources directory. Raises errors.UserError when it is missing or malformed."""
    try:
        raw = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise errors.UserError(f"{path} does not exist: write it with `prefetch --from debian`") from None
    except (ValueError, RecursionError) as error:
        problems = [f"it is not JSON ({error})"]
    except OSError as error:
        raise errors.UserError(f"{path} cannot be read: {error.strerror}") from None
    else:
        problems = list(_problems(raw))
    if problems:
        more = f" and {len(problems) - 3} more" if len(problems) > 3 else ""
        raise errors.UserError(f"{path}: {'; '.join(problems[:3])}{more}: write it anew with `prefetch --from debian`")
    lock: SourcesLock = raw
    return lock


def _problems(raw: Any) -> Iterator[str]:
    """What is wrong with a lock, in words."""
    if not isinstance(raw, dict) or raw.keys() != SourcesLock.__annotations__.keys():
        yield f"its keys are not exactly {', '.join(SourcesLock.__annotations__)}"
        return
    if raw["source"] != "debian":
        yield f"source is {raw['source']!r}, not 'debian'"
    if not _is_date(raw["created"]):
        yield f"created is {raw['created']!r}, not a date"
    if not isinstance(raw["suites"], list) or not all(_is(_NAME, suite) for suite in raw["suites"]):
        yield "suites is not a list of suites"
    for part in ("pins", "missing"):
        if not isinstance(raw[part], dict) or not all(_is(_NAME, name) for name in raw[part]):
            yield f"{part} is not a table of pins"
            return
    yield from (f"{name} is both there and missing" for name in raw["pins"].keys() & raw["missing"].keys())
    texts = {name for name, reason in raw["missing"].items() if isinstance(reason, str)}
    yield from (f"missing {name} is not a text" for name in raw["missing"].keys() - texts)
    for name, row in raw["pins"].items():
        if not isinstance(row, dict) or row.keys() != LockedPin.__annotations__.keys():
            yield f"the keys of {name} are not exactly {', '.join(LockedPin.__annotations__)}"
            continue
        wrong = [f"{key} of {name} is {row[key]!r}" for key, form in _FORMS.items() if not _is(form, row[key])]
        wrong += [] if isinstance(row["verbatim"], bool) else [f"verbatim of {name} is neither true nor false"]
        yield from wrong
        # Builds look for the last part of the URL in the directory of the pin.
        if not wrong and row["file"] != f"{name}/{row['url'].rpartition('/')[2]}":
            yield f"file of {name} is {row['file']!r}, which is not where a build looks for its url"


def _is(form: re.Pattern[str], value: Any) -> bool:
    return isinstance(value, str) and form.fullmatch(value) is not None


def _is_date(value: Any) -> bool:
    with contextlib.suppress(ValueError, TypeError):
        datetime.fromisoformat(value)
        return True
    return False


def save_lock(lock: SourcesLock, path: Path) -> bool:
    """Writes the lock unless only its date has changed; returns whether it did."""
    if path.is_file():
        try:
            if {**load_lock(path), "created": ""} == {**lock, "created": ""}:
                return False
        except errors.UserError:
            pass  # it is about to be replaced
    files.write(path, json.dumps(lock, indent=2) + "\n")
    return True


def renew_lock(path: Path, names: Iterable[str], new: SourcesLock | None) -> SourcesLock | None:
    """Replaces what the lock at `path` says of these pins by what `new` says; without `new`, removes it.

    What the lock says of other pins stays. Returns the lock that there is now, if any. Raises errors.UserError when
    the old one is malformed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with files.locked(path.parent):  # for a moment, to read and write
        old = load_lock(path) if path.exists() else None
        base = new or old
        if base is None:
            return None
        gone = set(names)
        pins = {name: row for name, row in (old["pins"] if old else {}).items() if name not in gone}
        missing = {name: why for name, why in (old["missing"] if old else {}).items() if name not in gone}
        suites = dict.fromkeys([*(old["suites"] if old else ()), *(new["suites"] if new else ())])
        lock: SourcesLock = {
            **base,
            "suites": list(suites),
            "pins": {**pins, **(new["pins"] if new else {})},
            "missing": {**missing, **(new["missing"] if new else {})},
        }
        if lock["pins"] or lock["missing"]:
            save_lock(lock, path)
            return lock
        path.unlink(missing_ok=True)
        return None
