"""Chooses which release of a dependency to take; the updaters make the bump.

It examines candidates from newest to oldest and takes the first that passes every check of its row in
docker/dependencies.toml. Where upstream does not answer, it falls back to the Debian archive, as far as the files there
can be verified.
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
from network.bundles import BadSignature
from portable import errors, fetch
from update import abi, releases
from update.proof import Case, NotYet, Proof
from update.releases import Release
from update.report import State
from update.sightings import Sightings
from update.witness import Witness

T = TypeVar("T")
MOST_EXAMINED = 12  # releases: if so many cannot be taken, an older one is hardly good
OLDEST = datetime(2000, 1, 1, tzinfo=UTC)  # an earlier date is a default, not a date of publication
A_DAY = timedelta(days=1)  # by which two clocks may differ


class PassedOver(Exception):
    """A release is not taken now; `state` is what this means for its pin."""

    def __init__(self, state: State, reason: str) -> None:
        super().__init__(reason)
        self.state = state


@dataclass(frozen=True)
class Listing:
    """The releases that upstream lists or, where none of its lists answers, those in the Debian archive."""

    releases: Mapping[str, Release]
    upstream: bool
    notes: tuple[str, ...]


@dataclass(frozen=True)
class Dated:
    """When a release came out, how that is known ("published", "first seen"), and its age in calendar days of UTC.

    With days of 24 hours, a weekly run that starts some minutes early would take the release a week later."""

    moment: datetime
    source: str
    age: int


@dataclass(frozen=True)
class Ready:
    """A release that need not wait: it is old enough, or the page `mends` says that it fixes a vulnerability."""

    case: Case
    dated: Dated
    mends: str


@dataclass(frozen=True)
class Taken:
    """A release that passed every check. `abi`: what the commit says of its ABI; empty if its row has no `abi`."""

    proof: Proof
    dated: Dated
    mends: str = ""
    abi: str = ""


@dataclass
class Choice(Generic[T]):
    """The result of `choose`: what was taken, and what is wrong with each newer release.

    `unchecked`: a host did not answer, so that a newer good release may exist."""

    version: str = ""
    taken: T | None = None
    state: State = State.CURRENT
    passed_over: list[str] = field(default_factory=list)
    alarms: list[str] = field(default_factory=list)
    unchecked: bool = False


@dataclass(frozen=True)
class RunContext:
    """What all look-ups of a run share. `eager` names the pins that have no cool-down in this run."""

    client: web.Client
    witness: Witness
    sightings: Sightings
    eager: Sequence[str]
    now: datetime
    directory: Path
    mirrors: Mapping[str, Sequence[str]]
    dry_run: bool = False

    def dated(self, name: str, version: str, *claims: tuple[datetime | None, str]) -> Dated:
        """When a release came out: the first plausible claim, else the moment when a run first saw the release.

        Some servers that do not know the date send the start of 1970; those with a wrong clock send a future date."""
        moment, source = next(
            ((moment, source) for moment, source in claims if moment and OLDEST <= moment <= self.now + A_DAY),
            (None, "nothing dates it, first seen"),
        )
        moment = (moment or self.sightings.first(name, version, self.now)).astimezone(UTC)
        return Dated(moment, source, max(0, (self.now.date() - moment.date()).days))

    def news(self, name: str, what: str) -> bool:
        """Whether no run has reported this before. Reports of dry runs do not count."""
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
        """The context of a run that starts now, with a directory for downloads; the sightings are saved at the end."""
        client = web.Client(os.environ.get("GITHUB_API_TOKEN") or os.environ.get("GITHUB_TOKEN"))
        sightings = Sightings.of_this_user()
        # A look-up that was left behind may still write while the directory is removed.
        with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as directory:
            now, mirrors = datetime.now(UTC), fetch.read_mirrors(fetch.MIRRORS_TXT)
            yield cls(client, Witness(client, rows), sightings, eager, now, Path(directory), mirrors, dry_run)
        sightings.save()


def choose(candidates: Sequence[str], examine: Callable[[str], T], most: int = MOST_EXAMINED) -> Choice[T]:
    """The first of `most` candidates for which `examine` raises none of PassedOver, BadSignature and Unreachable.

    A bad signature is an alarm, also where an older release is taken."""
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
    """The releases of the first source that answers, or those in the Debian archive where no source answers.

    Where that source lists the newest release only, the next source adds older ones to fall back to.
    Raises web.Unreachable, and Failure where a source answers but its list cannot be read."""
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
    """The proofs for one release of pins that move together (mostly a single pin).

    All are asked first whether they are ready: otherwise their cool-downs could follow one another.
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
        proofs = [item.case.prove(item.case.dependency.trust) for item in ready]
        pinned = [case_of(context, row, pin, Release(pin.version), pin.url) for row, pin, _ in candidates]
        said = [abi.compared(old, item.case) for old, item in zip(pinned, ready, strict=True)]
        return [
            Taken(proof, item.dated, item.mends, words) for proof, item, words in zip(proofs, ready, said, strict=True)
        ]
    except abi.OtherAbi as error:
        raise PassedOver(State.HELD, str(error)) from None
    except (web.Missing, web.Refused, NotYet) as error:
        raise PassedOver(State.PENDING, str(error)) from None


def _ready(context: RunContext, row: Dependency, pin: Pin, release: Release) -> Ready:
    """The release, if its file exists and it need not wait. Raises PassedOver or web.Unreachable."""
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
    """The page on which upstream says that a release fixes a vulnerability, else ""; and a doubt for the reason."""
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
    """A case for a release, with a directory of its own."""
    directory = context.directory / f"{row.name}-{release.version}"
    directory.mkdir(parents=True, exist_ok=True)
    return Case(row, pin, release, context.client, context.witness, directory, context.mirrors, url)


def _dated(context: RunContext, case: Case, head: web.Head | None) -> Dated:
    """When a release was published: by the list, upstream's server, Debian's changelog or our own runs.

    A date that an author can choose, such as a tag's, never counts."""
    claims = [(case.release.published, "published"), (head.modified if head else None, "published")]
    if case.from_debian:
        claims.append((context.witness.published(case.version, case.debian), "entered Debian"))
    return context.dated(case.dependency.name, case.version, *claims)
