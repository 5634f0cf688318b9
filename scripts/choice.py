"""Which release of a dependency to take: everything about that choice but what becomes of it.

Candidates are walked from newest to oldest, and the first that passes every check of its row in
docker/dependencies.toml wins. Where upstream does not answer, the Debian archive stands in as far as its files can
be proved.
"""

from __future__ import annotations

import json
import os
import tempfile
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Generic, TypeVar

from packaging.version import Version

import errors
import fetch
import registry
import releases
import web
from dependencies import Dependency
from pins import Pin
from proof import Case, NotYet, Proof
from releases import Release
from report import State
from signatures import BadSignature
from witness import Witness

T = TypeVar("T")
SEEN_VARIABLE = "MANYLINUX_UPDATE_STATE"


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
class Taken:
    """A release that passed every check, and its age: whole days since `dated`, "published 2026-09-01"."""

    proof: Proof
    dated: str
    age: int


@dataclass
class Choice(Generic[T]):
    """How a walk ended: what was taken, and what was found wrong with everything newer."""

    version: str = ""
    taken: T | None = None
    state: State = State.CURRENT
    passed_over: list[str] = field(default_factory=list)
    alarms: list[str] = field(default_factory=list)


@dataclass
class Sightings:
    """The day on which a run first saw a release that nothing else dates; kept outside the repository."""

    path: Path
    _days: dict[str, dict[str, str]] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @classmethod
    def of_this_user(cls) -> Sightings:
        """The file that $MANYLINUX_UPDATE_STATE names, else one below the XDG state directory."""
        home = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state"
        path = Path(os.environ.get(SEEN_VARIABLE) or Path(home) / "manylinux" / "first-seen.json")
        try:
            return cls(path, json.loads(path.read_text(encoding="utf-8")))
        except (OSError, ValueError):
            return cls(path)

    def first(self, name: str, version: str, now: datetime) -> datetime:
        """When a run first asked about this release: perhaps now."""
        with self._lock:
            day = self._days.setdefault(name, {}).setdefault(version, now.isoformat())
        return datetime.fromisoformat(day)

    def save(self) -> None:
        """Writes the file, if there is anything to remember. Raises Failure where that cannot be."""
        if self._days:
            try:
                self.path.parent.mkdir(parents=True, exist_ok=True)
                self.path.write_text(json.dumps(self._days, indent=2, sort_keys=True) + "\n", encoding="utf-8")
            except OSError as error:
                why = f"{self.path} cannot be written ({error.strerror}): set {SEEN_VARIABLE} to another file"
                raise errors.Failure(f"what was seen first today is forgotten, for {why}") from None


@dataclass(frozen=True)
class Context:
    """What all look-ups of a run share. `eager` names the pins without a cool-down."""

    client: web.Client
    witness: Witness
    sightings: Sightings
    eager: Sequence[str]
    now: datetime
    directory: Path
    mirrors: Mapping[str, Sequence[str]]

    @classmethod
    @contextmanager
    def open(cls, rows: Iterable[Dependency], eager: Sequence[str] = ()) -> Iterator[Context]:
        """The context of a run now, with a directory for its downloads; remembers what it saw first at the end."""
        client = web.Client(os.environ.get("GITHUB_API_TOKEN") or os.environ.get("GITHUB_TOKEN"))
        sightings = Sightings.of_this_user()
        # A look-up that was left behind may still write while the directory goes away.
        with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as directory:
            now, mirrors = datetime.now(UTC), fetch.read_mirrors(fetch.MIRRORS_TXT)
            yield cls(client, Witness(client, rows), sightings, eager, now, Path(directory), mirrors)
        sightings.save()


def choose(candidates: Iterable[str], examine: Callable[[str], T]) -> Choice[T]:
    """The first candidate that `examine` does not object to, by raising PassedOver, BadSignature or Unreachable.

    A bad signature is an alarm, whatever is found behind it."""
    choice: Choice[T] = Choice()
    for candidate in candidates:
        try:
            choice.taken = examine(candidate)
            choice.version, choice.state = candidate, State.UPDATE
            break
        except BadSignature as error:
            choice.alarms.append(f"{candidate} is refused: {error}")
            choice.state = State.FAILED
        except (web.Unreachable, PassedOver) as error:
            choice.passed_over.append(f"{candidate}: {error}")
            if choice.state is State.CURRENT:
                choice.state = error.state if isinstance(error, PassedOver) else State.UNREACHABLE
    return choice


def listing(context: Context, row: Dependency, pinned: str) -> Listing:
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
    versions = context.witness.versions(row)
    if not any(row.in_series(version) and Version(version) >= Version(pinned) for version in versions):
        known = [version for version in context.witness.released(row) if row.accepts(version, pinned)]
        hint = f"has {max(known, key=Version)}, not as upstream's own file" if known else "does not have this series"
        raise web.Unreachable("; ".join([silent, f"Debian {hint}", *gaps]))
    newest = versions[max(versions, key=Version)][0].suite
    as_of = next(suite.date for suite in index.suites if suite.name == newest)
    note = f"Debian's {newest} of {as_of:%Y-%m-%d} was asked, for upstream does not answer ({silent})"
    return Listing({version: Release(version) for version in versions}, False, (note, *gaps))


def examine(context: Context, row: Dependency, pin: Pin, release: Release) -> Taken:
    """The proof for one release. Raises PassedOver, BadSignature or web.Unreachable."""
    if hold := row.held(release.version, context.now.date()):
        raise PassedOver(State.HELD, f"held until {hold.until}: {hold.reason}")
    case = case_of(context, row, pin, release)
    if row.image and not _image_exists(context, row.fill(row.image, release.version)):
        raise PassedOver(State.PENDING, "its image is not in the registry yet")
    try:
        published, source = _dated(context, case, case.head())
        age = (context.now - published).days
        if age < row.cooldown and row.name not in context.eager:
            raise PassedOver(State.PENDING, f"{source} {age} days ago, to be taken after {row.cooldown}")
        return Taken(case.prove(row.trust), f"{source} {published:%Y-%m-%d}", age)
    except (web.Missing, web.Refused, NotYet) as error:
        raise PassedOver(State.PENDING, str(error)) from None


def _image_exists(context: Context, reference: str) -> bool:
    image = registry.Reference.parse(reference)
    try:
        host = registry.Registry(image.host)
        return context.client.once(reference, lambda: host.digest(image.repository, image.tag)) is not None
    except errors.Failure as error:
        raise web.Unreachable(str(error).partition(": HTTP")[0]) from None


def case_of(context: Context, row: Dependency, pin: Pin, release: Release, url: str = "") -> Case:
    """A release to be examined, with a directory of its own."""
    directory = context.directory / f"{row.name}-{release.version}"
    directory.mkdir(parents=True, exist_ok=True)
    return Case(row, pin, release, context.client, context.witness, directory, context.mirrors, url)


def _dated(context: Context, case: Case, head: web.Head | None) -> tuple[datetime, str]:
    """When a release was published, and who says so: the list, upstream's server, Debian's changelog, our own runs.

    Never a date that an author can choose, such as a tag's."""
    if case.release.published:
        return case.release.published, "published"
    if head and head.modified:
        return head.modified, "published"
    if case.from_debian and (entered := context.witness.published(case.version, case.debian)):
        return entered, "entered Debian"
    return context.sightings.first(case.dependency.name, case.version, context.now), "nothing dates it, first seen"
