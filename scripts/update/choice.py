"""Which release of a dependency to take: everything about that choice but what becomes of it.

Candidates are walked from newest to oldest, and the first that passes every check of its row in
docker/dependencies.toml wins. Where upstream does not answer, the Debian archive stands in as far as its files can
be proved.
"""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Generic, TypeVar

from packaging.version import Version

from catalogue.dependencies import Dependency
from catalogue.pins import Pin
from network import oci, registry, web
from portable import errors, fetch
from update import releases
from update.proof import Case, NotYet, Proof
from update.releases import Release
from update.report import State
from update.sightings import Sightings
from update.signatures import BadSignature
from update.witness import Witness

T = TypeVar("T")
MOST_EXAMINED = 12  # releases: behind so many that cannot be taken there is hardly a good one
OLDEST = datetime(2000, 1, 1, tzinfo=UTC)  # what is dated before was dated by nobody
A_DAY = timedelta(days=1)  # that two clocks may differ by


class PassedOver(Exception):
    """A release that is not taken now, and the state that this leaves its pin in."""

    def __init__(self, state: State, reason: str) -> None:
        super().__init__(reason)
        self.state = state


@dataclass(frozen=True)
class Listing:
    """The releases that upstream lists or, where none of its lists answers, that the Debian archive carries."""

    releases: Mapping[str, Release]
    upstream: bool
    notes: tuple[str, ...]


@dataclass(frozen=True)
class Dated:
    """When a release came out, who says so ("published", "first seen"), and its age in days of the calendar, in UTC.

    Whole days would lose a week to a schedule that comes some minutes early."""

    moment: datetime
    source: str
    age: int


@dataclass(frozen=True)
class Ready:
    """A release that has been public for long enough; `mends`: the page that says it mends a vulnerability, if it
    has not, but need not wait for that reason."""

    case: Case
    dated: Dated
    mends: str


@dataclass(frozen=True)
class Taken:
    """A release that passed every check."""

    proof: Proof
    dated: Dated
    mends: str = ""


@dataclass
class Choice(Generic[T]):
    """How a walk ended: what was taken, and what was found wrong with everything newer.

    `unchecked`: a host did not answer, so that there may be a newer good release than the one taken."""

    version: str = ""
    taken: T | None = None
    state: State = State.CURRENT
    passed_over: list[str] = field(default_factory=list)
    alarms: list[str] = field(default_factory=list)
    unchecked: bool = False


@dataclass(frozen=True)
class RunContext:
    """What all look-ups of a run share. `eager` names the pins without a cool-down."""

    client: web.Client
    witness: Witness
    sightings: Sightings
    eager: Sequence[str]
    now: datetime
    directory: Path
    mirrors: Mapping[str, Sequence[str]]
    dry_run: bool = False

    def dated(self, name: str, version: str, *claims: tuple[datetime | None, str]) -> Dated:
        """When a release came out: the first claim that can be true, else the moment when a run of ours first saw it.

        Servers without a date send the start of 1970, those with a wrong clock a day to come."""
        moment, source = next(
            ((moment, source) for moment, source in claims if moment and OLDEST <= moment <= self.now + A_DAY),
            (None, "nothing dates it, first seen"),
        )
        moment = (moment or self.sightings.first(name, version, self.now)).astimezone(UTC)
        return Dated(moment, source, max(0, (self.now.date() - moment.date()).days))

    def news(self, name: str, what: str) -> bool:
        """Whether no run has told this before. Telling it in a dry run does not count."""
        if self.sightings.seen(name, what):
            return False
        if not self.dry_run:
            self.sightings.first(name, what, self.now)
        return True

    @classmethod
    @contextmanager
    def open(
        cls, rows: Iterable[Dependency], eager: Sequence[str] = (), *, dry_run: bool = False
    ) -> Iterator[RunContext]:
        """The context of a run now, with a directory for its downloads; remembers what it saw first at the end."""
        client = web.Client(os.environ.get("GITHUB_API_TOKEN") or os.environ.get("GITHUB_TOKEN"))
        sightings = Sightings.of_this_user()
        # A look-up that was left behind may still write while the directory goes away.
        with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as directory:
            now, mirrors = datetime.now(UTC), fetch.read_mirrors(fetch.MIRRORS_TXT)
            yield cls(client, Witness(client, rows), sightings, eager, now, Path(directory), mirrors, dry_run)
        sightings.save()


def choose(candidates: Sequence[str], examine: Callable[[str], T], most: int = MOST_EXAMINED) -> Choice[T]:
    """The first of `most` candidates that `examine` does not object to, by raising PassedOver, BadSignature or
    Unreachable.

    A bad signature is an alarm, whatever is found behind it."""
    choice: Choice[T] = Choice()
    for candidate in candidates[:most]:
        try:
            choice.taken = examine(candidate)
            choice.version, choice.state = candidate, State.UPDATE
            return choice
        except BadSignature as error:
            choice.alarms.append(f"{candidate} is refused: {error}")
            choice.state = State.FAILED
        except PassedOver as error:
            choice.passed_over.append(f"{candidate}: {error}")
            if choice.state is State.CURRENT:
                choice.state = error.state
        except web.Unreachable as error:
            choice.passed_over.append(f"{candidate}: {error}")
            choice.unchecked = True
            if choice.state is not State.FAILED:
                choice.state = State.UNREACHABLE
    if left := candidates[most:]:
        choice.passed_over.append(f"{left[0]} and {len(left) - 1} older: not looked at after so many")
    return choice


def listing(context: RunContext, row: Dependency, pinned: str) -> Listing:
    """The releases that the first answering source lists, or the Debian archive where none of them answers.

    Where that source knows the newest release alone, the next one adds what to fall back to.
    Raises web.Unreachable, or Failure where a source answers but its list cannot be read."""
    problems: list[str] = []
    found: dict[str, Release] = {}
    unreadable = False
    for source in row.sources:
        try:
            found = {release.version: release for release in releases.listed(row, source, context.client)} | found
            if source.kind not in releases.NEWEST_ONLY:
                break
        except web.Unreachable as error:
            problems.append(str(error))
        except (web.Missing, web.Refused) as error:
            problems.append(str(error))
            unreadable = True
    if found:
        return Listing(found, True, tuple(problems))
    if unreadable:
        raise errors.Failure("; ".join(problems))
    silent = ", ".join(dict.fromkeys(problems))
    if not row.debian.source:
        raise web.Unreachable(silent)
    try:
        index = context.witness.index()
    except web.Unreachable as error:
        raise web.Unreachable(f"{silent}; {error}") from None
    gaps = [f"Debian's {suite} could not be used: {reason}" for suite, reason in index.unusable.items()]
    versions, carried = context.witness.versions(row), context.witness.released(row)
    gaps += [f"Debian's {number} is not used: {why}" for number, why in row.debian.refuse.items() if number in carried]
    asked = {source.suite for sources in versions.values() for source in sources}
    outdated = {suite.name: suite.valid_until for suite in index.stale(context.now) if suite.name in asked}
    if since := [date for date in outdated.values() if date]:
        names = ", ".join(outdated)
        gaps.append(f"Debian's index of {names} is outdated since {min(since):%Y-%m-%d}: the mirror does not follow")
    if not any(row.in_series(version) and Version(version) >= Version(pinned) for version in versions):
        known = [version for version in carried if row.accepts(version, pinned)]
        hint = f"has {max(known, key=Version)}, not as upstream's own file" if known else "does not have this series"
        raise web.Unreachable("; ".join([silent, f"Debian {hint}", *gaps]))
    newest = versions[max(versions, key=Version)][0].suite
    as_of = next(suite.date for suite in index.suites if suite.name == newest)
    note = f"Debian's {newest} of {as_of:%Y-%m-%d} was asked, for upstream does not answer ({silent})"
    return Listing({version: Release(version) for version in versions}, False, (note, *gaps))


def examine(context: RunContext, candidates: Sequence[tuple[Dependency, Pin, Release]]) -> list[Taken]:
    """The proofs for one release of pins that move together, mostly of one.

    Every one of them is asked first whether it is ready, so that none waits only after the others have waited.
    Raises PassedOver, BadSignature or web.Unreachable."""
    ready: list[Ready] = []
    waiting: list[PassedOver | web.Unreachable] = []
    for row, pin, release in candidates:
        try:
            ready.append(_ready(context, row, pin, release))
        except (PassedOver, web.Unreachable) as error:
            waiting.append(error)
    if waiting:
        raise min(waiting, key=lambda error: isinstance(error, PassedOver))
    try:
        return [Taken(item.case.prove(item.case.dependency.trust), item.dated, item.mends) for item in ready]
    except (web.Missing, web.Refused, NotYet) as error:
        raise PassedOver(State.PENDING, str(error)) from None


def _ready(context: RunContext, row: Dependency, pin: Pin, release: Release) -> Ready:
    """The release, if it is there and may be taken by its age. Raises PassedOver or web.Unreachable."""
    if hold := row.held(release.version, context.now.date()):
        raise PassedOver(State.HELD, f"held until {hold.until}: {hold.reason}")
    case = case_of(context, row, pin, release)
    if row.image and not _image_exists(context, row.fill(row.image, release.version)):
        raise PassedOver(State.PENDING, "its image is not in the registry yet")
    try:
        dated = _dated(context, case, case.head())
    except (web.Missing, web.Refused) as error:
        raise PassedOver(State.PENDING, str(error)) from None
    mends = ""
    if dated.age < row.cooldown and row.name not in context.eager:
        mends, doubt = _mends(context, case)
        if not mends:
            wait = f"{dated.source} {dated.age} days ago, to be taken after {row.cooldown}"
            raise PassedOver(State.PENDING, f"{wait}{doubt}")
    return Ready(case, dated, mends)


def _mends(context: RunContext, case: Case) -> tuple[str, str]:
    """The page where upstream says that a release mends a vulnerability; else "", and what to say of that."""
    if not (security := case.dependency.security):
        return "", ""
    url = case.fill(security.url)
    try:
        page = context.client.get(url).decode(errors="replace")
    except (web.Unreachable, web.Missing, web.Refused) as error:
        return "", f"; whether it mends a vulnerability is not known: {error}"
    return url if re.search(case.fill(security.pattern), page) else "", ""


def _image_exists(context: RunContext, reference: str) -> bool:
    image = oci.Reference.parse(reference)
    try:
        host = registry.Registry(image.host)
        return context.client.once(reference, lambda: host.digest(image.repository, image.tag)) is not None
    except errors.Failure as error:
        raise web.Unreachable(str(error)) from None


def case_of(context: RunContext, row: Dependency, pin: Pin, release: Release, url: str = "") -> Case:
    """A release to be examined, with a directory of its own."""
    directory = context.directory / f"{row.name}-{release.version}"
    directory.mkdir(parents=True, exist_ok=True)
    return Case(row, pin, release, context.client, context.witness, directory, context.mirrors, url)


def _dated(context: RunContext, case: Case, head: web.Head | None) -> Dated:
    """When a release was published, and who says so: the list, upstream's server, Debian's changelog, our own runs.

    Never a date that an author can choose, such as a tag's."""
    claims = [(case.release.published, "published"), (head.modified if head else None, "published")]
    if case.from_debian:
        claims.append((context.witness.published(case.version, case.debian), "entered Debian"))
    return context.dated(case.dependency.name, case.version, *claims)
