"""Finds out whether upstream has withdrawn the pinned release.

A list without the release is not enough, for caches serve old lists for days: its file must be gone as well. Where
upstream leaves the files of withdrawn releases (SQLite), the list must be younger than the bump, and still lack the
release some days later.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from catalogue.dependencies import Dependency
from catalogue.pins import Pin
from network import web
from update import releases
from update.choice import Listing, RunContext

CANDIDATES = 3  # older releases that may replace a withdrawn one
WAIT = 7  # days after which a list must still lack a release that left its file behind


@dataclass(frozen=True)
class Finding:
    """Whether the pinned release was withdrawn, and the reason to report; no reason where a list has it."""

    gone: bool = False
    reason: str = ""


def watch(context: RunContext, row: Dependency, pin: Pin, found: Listing) -> None:
    """Notes what `find` needs if the pinned release is missing one day. Raises the errors of `list_date`."""
    if row.keeps_withdrawn and found.upstream:
        list_date(context, row)
        if pin.version in found.releases:
            context.sightings.forget(row.name, _missing(pin))


def find(
    context: RunContext, row: Dependency, pin: Pin, found: Listing, bumped: Callable[[], datetime | None]
) -> Finding:
    """Whether the pinned release was withdrawn. `bumped` returns when it was pinned, if that is known.

    Raises web.Unreachable where its file must be asked for and the host does not answer."""
    if pin.version in found.releases or _elsewhere(context, row, pin.version):
        return Finding()
    if not row.keeps_withdrawn:
        return _by_its_file(context, row, pin)
    made, since = list_date(context, row), bumped()
    if not made or not since or made <= since:
        of = f"of {made:%Y-%m-%d}" if made else "without a date"
        return Finding(reason=f"the list {of} lacks {pin.version}, but need not be younger than its bump")
    first = context.sightings.first(row.name, _missing(pin), context.now)
    if (context.now.date() - first.date()).days < WAIT:
        wait = f"withdrawn if that is still so after {WAIT} days"
        return Finding(reason=f"{pin.version} has not been listed since {first:%Y-%m-%d}: {wait}")
    return Finding(True, f"{pin.version} is gone upstream: not listed since {first:%Y-%m-%d}")


def list_date(context: RunContext, row: Dependency) -> datetime | None:
    """When the list of a row was made, as its server says; None where it does not say.

    Raises web.Unreachable for a list older than one that an earlier run saw: it may have withdrawn releases."""
    url = row.fill(row.sources[0].url)
    if not (made := context.client.modified(url)):
        return None
    known = [releases.date(text.removeprefix("list ")) for text in context.sightings.words(row.name, "list ")]
    newest = max((moment for moment in known if moment), default=made)
    if made < newest:
        raise web.Unreachable(f"{url}: an old copy of {made:%Y-%m-%d}, after one of {newest:%Y-%m-%d}")
    context.sightings.first(row.name, f"list {made.isoformat()}", context.now)
    return made


def _missing(pin: Pin) -> str:
    return f"missing {pin.version}"


def _elsewhere(context: RunContext, row: Dependency, version: str) -> bool:
    """Whether any list of the row that answers has this version."""
    for source in row.sources:
        try:
            if any(release.version == version for release in releases.listed(row, source, context.client)):
                return True
        except (web.Unreachable, web.Missing, web.Refused):
            continue
    return False


def _by_its_file(context: RunContext, row: Dependency, pin: Pin) -> Finding:
    url = row.location(pin.version) if row.image else pin.url
    arches = [""] if isinstance(pin.sha256, str) else list(pin.sha256)
    for place in (url.replace("{goarch}", arch) for arch in arches):
        try:
            context.client.head(place)
        except web.Missing as error:
            missing = error
            continue
        except web.Unreachable as error:
            raise web.Unreachable(
                f"{pin.version} is no longer listed, and its file cannot be asked for: {error}"
            ) from None
        except web.Refused:
            pass  # not a proper answer, but no proof that the file is gone
        return Finding(reason=f"no list has {pin.version}, but its file is still there: perhaps the list is old")
    return Finding(True, f"{pin.version} is gone upstream: {missing}")
