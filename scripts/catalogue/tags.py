"""Tags of images: what a registry takes, and the dated tags that we publish, `YYYY.MM.DD-N`.

The grammar of a tag is that of the OCI Distribution Specification 1.1.
"""

from __future__ import annotations

import datetime
import re
from dataclasses import dataclass

LONGEST = 128  # characters of a tag
SYNTAX = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]*")
CANDIDATE = "candidate-"  # before the dated tag of an image that waits until all platforms of its policy are there
UNTESTED = "untested-"  # before that of an image which a builder elsewhere has pushed and nobody has tested yet
UNTESTED_HERE = "-untested"  # behind the tag of an image that was just built here

_DATED = re.compile(r"(?P<day>[0-9]{4}\.[0-9]{2}\.[0-9]{2})-(?P<number>[1-9][0-9]*)")
_OLD = re.compile(r"(?P<day>[0-9]{4}-[0-9]{2}-[0-9]{2})-[0-9a-f]{7,40}")


@dataclass(frozen=True, order=True)
class Dated:
    """A dated tag, ordered as it was published: the UTC day, and the how-manyeth commit of that day it stands for."""

    day: datetime.date
    number: int

    def __str__(self) -> str:
        return f"{self.day:%Y.%m.%d}-{self.number}"


def dated(tag: str) -> Dated | None:
    """The parts of a tag `YYYY.MM.DD-N`, N from 1; None for anything else, a day that no calendar has included."""
    match = _DATED.fullmatch(tag)
    day = _date(match["day"].replace(".", "-")) if match else None
    return Dated(day, int(match["number"])) if match and day else None


def published(tag: str) -> str:
    """The tag under which a candidate or an untested image is going to be published; any other tag as it is."""
    return tag.removeprefix(CANDIDATE).removeprefix(UNTESTED)


def day_of(tag: str) -> datetime.date | None:
    """The day in a dated tag, also before its publication, or in the older form `YYYY-MM-DD-<commit>`; else None."""
    name = published(tag)
    if found := dated(name):
        return found.day
    match = _OLD.fullmatch(name)
    return _date(match["day"]) if match else None


def _date(text: str) -> datetime.date | None:
    try:
        return datetime.date.fromisoformat(text)
    except ValueError:
        return None
