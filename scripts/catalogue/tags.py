"""Tags of images: what a registry takes, and the dated tags that we publish, `YYYY.MM.DD-N`.

The grammar of a tag is that of the OCI Distribution Specification 1.1.
"""

from __future__ import annotations

import datetime
import re
from dataclasses import dataclass

LONGEST = 128  # characters of a tag
SYNTAX = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]*")
CANDIDATE = "candidate-"  # prefix of the dated tag of an image that waits until its policy has all platforms
UNTESTED = "untested-"  # prefix of the dated tag of an image that a builder elsewhere has pushed, still untested
UNTESTED_HERE = "-untested"  # suffix of the tag of an image that was just built here

_DATED = re.compile(r"(?P<day>[0-9]{4}\.[0-9]{2}\.[0-9]{2})-(?P<number>[1-9][0-9]*)")
_OLD = re.compile(r"(?P<day>[0-9]{4}-[0-9]{2}-[0-9]{2})-[0-9a-f]{7,40}")


@dataclass(frozen=True, order=True)
class DatedTag:
    """A dated tag, ordered as it was published: the UTC day, and the number of the commit among those of that day."""

    day: datetime.date
    number: int

    def __str__(self) -> str:
        return f"{self.day:%Y.%m.%d}-{self.number}"


def dated(tag: str) -> DatedTag | None:
    """The parts of a tag `YYYY.MM.DD-N`, N from 1; None for anything else, also for a day that does not exist."""
    match = _DATED.fullmatch(tag)
    day = _date(match["day"].replace(".", "-")) if match else None
    return DatedTag(day, int(match["number"])) if match and day else None


def published(tag: str) -> str:
    """The tag under which a candidate or an untested image is going to be published; any other tag as it is."""
    return tag.removeprefix(CANDIDATE).removeprefix(UNTESTED)


def day_of(tag: str) -> datetime.date | None:
    """The day in a dated tag, a candidate's or one of the older form `YYYY-MM-DD-<commit>`; None for any other tag."""
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
