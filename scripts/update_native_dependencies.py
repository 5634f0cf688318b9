#!/usr/bin/env python3
"""Finds the newest good release of every native pin, proves that its file is genuine, and commits the bump.

Candidates are walked from newest to oldest; the first that passes every check of its row in
docker/dependencies.toml wins, and the report says why each newer one was passed over. A release that upstream has
taken back gives way to an older one. Where upstream does not answer, the Debian archive stands in as far as its
files can be proved.
"""

from __future__ import annotations

import functools
import json
import os
import sys
import tempfile
import threading
import tomllib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

from packaging.version import Version

import dependencies
import errors
import pins
import releases
import updates
import web
from dependencies import Dependency
from pins import Pin
from proof import Case, NotYet, Proof
from releases import Release
from report import Row, State
from signatures import BadSignature
from updates import Bump, Options, Outcome, Subject
from witness import Witness

END_OF_LIFE_NEAR = timedelta(days=180)
SEEN_VARIABLE = "MANYLINUX_UPDATE_STATE"
UNCONFIRMED = "docker/unconfirmed.toml"
_UNCONFIRMED_HEAD = """\
# Pins that were bumped on the word of the Debian archive alone, because upstream did not answer. The first run of
# `nox -s update_native_dependencies` that reaches upstream checks them there and removes them from this list.
"""


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
    """A release that passed every check, and its age in whole days."""

    proof: Proof
    published: datetime
    age: int


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
        """Writes the file, if there is anything to remember."""
        if self._days:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self.path.write_text(json.dumps(self._days, indent=2, sort_keys=True) + "\n", encoding="utf-8")


@dataclass(frozen=True)
class Run:
    """What all look-ups of a run share."""

    rows: Mapping[str, Dependency]
    pinned: Mapping[str, Pin]
    places: Mapping[str, Sequence[str]]
    client: web.Client
    witness: Witness
    sightings: Sightings
    unconfirmed: Mapping[str, Mapping[str, str]]
    eager: Sequence[str]
    now: datetime
    directory: Path


def look(run: Run, group: Sequence[Dependency]) -> Outcome:
    """The outcome for pins that move together (mostly one): a release counts when every one of them accepts it."""
    try:
        listings = [listing(run, row) for row in group]
    except web.Unreachable:
        if len(group) == 1:
            raise
        return Outcome([row for member in group for row in _alone(run, member).rows])
    pinned = run.pinned[group[0].name].version
    common = set.intersection(*(set(found.releases) for found in listings))
    known = sorted((v for v in common if all(row.accepts(v, pinned) for row in group)), key=Version, reverse=True)
    withdrawn = _withdrawn(run, group, listings, known, pinned)
    wanted = known if withdrawn else [version for version in known if Version(version) > Version(pinned)]

    taken: list[Taken] = []
    version, state = pinned, State.CURRENT
    passed_over, alarms = [], []
    for candidate in wanted:
        try:
            taken = [_examine(run, row, found, candidate) for row, found in zip(group, listings, strict=True)]
            version, state = candidate, State.UPDATE
            break
        except BadSignature as error:
            alarms.append(f"{candidate} is refused for its signature or checksum: {error}")
            state = State.FAILED
        except web.Unreachable as error:
            passed_over.append(f"{candidate}: {error}")
            state = State.UNREACHABLE if state is State.CURRENT else state
        except PassedOver as error:
            passed_over.append(f"{candidate}: {error}")
            state = error.state if state is State.CURRENT else state
    if withdrawn:
        state = State.WITHDRAWN
    reasons = [f"{pinned} is gone upstream"] if withdrawn else []
    reasons += [note for found in listings for note in found.notes]
    if state is State.CURRENT:
        state, remarks = _remarkable(run, group[0], listings[0])
        reasons = [*remarks, *reasons]
    bump = _bump(run, group, version, taken, withdrawn) if taken else None
    rows = [
        Row(
            name=row.name,
            pinned=pinned,
            state=state,
            reason="; ".join(reasons),
            newest=known[0] if known else "",
            acceptable=version if taken or not withdrawn else "",
            age=taken[number].age if taken else None,
            trust=_short(taken[number].proof) if taken else _standing(run, row),
            passed_over=tuple(passed_over),
            alarms=tuple(alarms),
        )
        for number, row in enumerate(group)
    ]
    if not bump and len(group) == 1 and group[0].name in run.unconfirmed and listings[0].upstream:
        return _confirm(run, group[0], rows[0])
    return Outcome(rows, bump)


def _alone(run: Run, row: Dependency) -> Outcome:
    """What can be said about one pin while another that it moves with cannot be looked up: it may not move."""
    name, pinned = row.name, run.pinned[row.name].version
    try:
        known = [version for version in listing(run, row).releases if row.accepts(version, pinned)]
    except web.Unreachable as error:
        return Outcome([Row(name, pinned, State.UNREACHABLE, str(error))])
    newest = max([pinned, *known], key=Version)
    state = State.CURRENT if newest == pinned else State.PENDING
    return Outcome([Row(name, pinned, state, f"moves with {row.together}, which does not answer", newest)])


def listing(run: Run, row: Dependency) -> Listing:
    """The releases that the first answering source lists, or the Debian archive where none of them answers.

    Raises web.Unreachable, or Failure where a source answers but its list cannot be read."""
    problems: list[str] = []
    unreadable = False
    for source in row.sources:
        try:
            found = releases.listed(row, source, run.client)
            return Listing({release.version: release for release in found}, True, tuple(problems))
        except web.Unreachable as error:
            problems.append(str(error))
        except (web.Missing, web.Refused) as error:
            problems.append(str(error))
            unreadable = True
    if unreadable:
        raise errors.Failure("; ".join(problems))
    silent = ", ".join(dict.fromkeys(problems))
    try:
        versions = run.witness.versions(row)
    except web.Unreachable as error:
        raise web.Unreachable(f"{silent}; {error}") from None
    pinned = Version(run.pinned[row.name].version)
    if not any(row.in_series(version) and Version(version) >= pinned for version in versions):
        raise web.Unreachable(f"{silent}; the Debian archive has no file of upstream's from this pin on")
    note = f"the Debian archive was asked, for upstream does not answer ({silent})"
    return Listing({version: Release(version) for version in versions}, False, (note,))


def _withdrawn(
    run: Run, group: Sequence[Dependency], listings: Sequence[Listing], known: Sequence[str], pinned: str
) -> bool:
    """Whether upstream took the pinned version back: its lists have older ones only.

    Every list that answers must lack it: caches serve old lists for days, and that must not lower a pin."""
    if not known or Version(known[0]) >= Version(pinned) or not all(found.upstream for found in listings):
        return False
    for row, found in zip(group, listings, strict=True):
        if pinned in found.releases:
            continue
        for source in row.sources:
            try:
                if any(release.version == pinned for release in releases.listed(row, source, run.client)):
                    return False
            except (web.Unreachable, web.Missing, web.Refused):
                continue
    return True


def _examine(run: Run, row: Dependency, found: Listing, version: str) -> Taken:
    """The proof for one release. Raises PassedOver, BadSignature or web.Unreachable."""
    if hold := row.held(version, run.now.date()):
        raise PassedOver(State.HELD, f"held until {hold.until}: {hold.reason}")
    case = _case(run, row, found.releases[version])
    try:
        published, source = _dated(run, case, case.head())
        age = (run.now - published).days
        if age < row.cooldown and row.name not in run.eager:
            raise PassedOver(State.PENDING, f"{source} {age} days ago, to be taken after {row.cooldown}")
        return Taken(case.prove(row.trust), published, age)
    except (web.Missing, web.Refused, NotYet) as error:
        raise PassedOver(State.PENDING, str(error)) from None


def _case(run: Run, row: Dependency, release: Release, url: str = "") -> Case:
    directory = run.directory / f"{row.name}-{release.version}"
    directory.mkdir(parents=True, exist_ok=True)
    return Case(row, run.pinned[row.name], release, run.client, run.witness, directory, url)


def _dated(run: Run, case: Case, head: web.Head | None) -> tuple[datetime, str]:
    """When a release was published, and who says so: the list, upstream's server, Debian's changelog, our own runs.

    Never a date that an author can choose, such as a tag's."""
    if case.release.published:
        return case.release.published, "published"
    if head and head.modified:
        return head.modified, "published"
    if case.from_debian and (entered := run.witness.published(case.version, case.debian)):
        return entered, "entered Debian"
    return run.sightings.first(case.dependency.name, case.version, run.now), "nothing dates it, first seen"


def _remarkable(run: Run, row: Dependency, found: Listing) -> tuple[State, list[str]]:
    """What is to be said about a pin that is current: the end of its series, newer series."""
    state, remarks = State.CURRENT, []
    family = [other for other in run.rows.values() if other.sources == row.sources]
    newer = [
        version
        for version in found.releases
        if dependencies.is_release(version, row.version)
        and Version(version) > Version(run.pinned[row.name].version)
        and not any(other.in_series(version) for other in family)
    ]
    if newer and row is max(family, key=lambda other: Version(other.series)):
        state = State.NEW_SERIES
        remarks.append(f"{max(newer, key=Version)} is outside the series {row.series}")
    if row.end_of_life - run.now.date() <= END_OF_LIFE_NEAR:
        state = State.END_OF_LIFE
        verb = "ended" if row.end_of_life <= run.now.date() else "ends"
        remarks.append(f"the series {row.series} {verb} on {row.end_of_life}")
    return state, remarks


def _confirm(run: Run, row: Dependency, shown: Row) -> Outcome:
    """Checks at upstream a pin that was taken on Debian's word, and strikes it off the list of such pins."""
    pin = run.pinned[row.name]
    case = _case(run, row, Release(pin.version), pin.url)
    try:
        if case.head() is None:
            return Outcome([shown])
        proof = case.prove([level for level in row.trust if level != "debian-index"])
        if proof.sha256 != pin.sha256:
            raise BadSignature("upstream's genuine file is another one than the pinned")
    except web.Unreachable:
        return Outcome([shown])
    except (BadSignature, NotYet, web.Missing, web.Refused) as error:
        alarm = f"{pin.version} was taken on Debian's word, and upstream does not confirm it: {error}"
        return Outcome([replace(shown, state=State.FAILED, alarms=(*shown.alarms, alarm))])
    body = f"Taken on the word of the Debian archive before.\n\nTrust: {proof.level} {proof.by}\n"
    reason = "; ".join(filter(None, [shown.reason, f"confirmed at upstream: {_short(proof)}"]))
    bump = Bump(
        f"Confirm {row.name} {pin.version} at upstream",
        body,
        lambda read: _unconfirmed(read, {row.name: None}),
    )
    return Outcome([replace(shown, reason=reason, trust=_short(proof))], bump)


def _bump(run: Run, group: Sequence[Dependency], version: str, taken: Sequence[Taken], withdrawn: bool) -> Bump:
    """The commit that moves the pins of a group, all in one."""
    pinned = run.pinned[group[0].name].version
    names = ", ".join(row.name for row in group)
    subject = f"Bump {names} {pinned} → {version}" + (" (withdrawn upstream)" if withdrawn else "")
    paragraphs = [_facts(row, pinned, version, item) for row, item in zip(group, taken, strict=True)]

    def edit(read: Callable[[str], str]) -> Mapping[str, str]:
        texts: dict[str, str] = {}
        doubts: dict[str, Proof | None] = {}
        for row, item in zip(group, taken, strict=True):
            proof = item.proof
            url, sha256 = (row.fill(row.image, version), "") if row.image else (proof.url, proof.sha256)
            for path in run.places[row.name]:
                before = texts.get(path) or read(path)
                texts[path] = pins.replace(before, row.name, version=version, url=url, sha256=sha256)
            doubts[row.name] = proof if proof.level == "debian-index" else None
        return texts | _unconfirmed(read, doubts)

    return Bump(subject, "\n\n".join(paragraphs), edit)


def _facts(row: Dependency, pinned: str, version: str, item: Taken) -> str:
    """The body of a bump's commit for one pin."""
    proof = item.proof
    digests = {"": proof.sha256} if isinstance(proof.sha256, str) else proof.sha256
    lines = [
        ("Changelog", row.fill(row.changelog, version, old=pinned)),
        ("Compare", row.fill(row.compare, version, old=pinned)),
        ("Tarball", proof.url),
        *((f"sha256 {arch}".strip(), digest) for arch, digest in digests.items()),
        ("Trust", f"{proof.level} {proof.by}"),
        ("Age", f"{item.age} days (published {item.published:%Y-%m-%d})"),
    ]
    return "\n".join(f"{label}: {text}" for label, text in lines if text)


def _unconfirmed(read: Callable[[str], str], changes: Mapping[str, Proof | None]) -> dict[str, str]:
    """The new text of the list of unconfirmed pins, if these changes (None: strike it off) touch it."""
    before = tomllib.loads(read(UNCONFIRMED))
    after = {name: facts for name, facts in before.items() if name not in changes}
    after |= {name: {"url": proof.url, "by": proof.by} for name, proof in changes.items() if proof}
    if after == before:
        return {}
    tables = [f'["{name}"]\nurl = "{facts["url"]}"\nby = "{facts["by"]}"\n' for name, facts in sorted(after.items())]
    return {UNCONFIRMED: "\n".join([_UNCONFIRMED_HEAD, *tables])}


def _standing(run: Run, row: Dependency) -> str:
    return "debian-index, unconfirmed" if row.name in run.unconfirmed else ""


def _short(proof: Proof) -> str:
    """The trust column: level and signer."""
    return {"openpgp": f"openpgp {proof.by[:8]}", "sigstore": f"sigstore {proof.by}"}.get(proof.level, proof.level)


def subjects(run: Run) -> list[Subject]:
    """One subject for each pin, or for pins that move together, in the order of the Dockerfile."""
    found: dict[frozenset[str], list[Dependency]] = {}
    for name in run.pinned:
        row = run.rows[name]
        found.setdefault(frozenset(filter(None, (name, row.together))), []).append(row)
    return [
        Subject({row.name: run.pinned[row.name].version for row in group}, functools.partial(look, run, group))
        for group in found.values()
    ]


def read_pins(root: Path) -> tuple[dict[str, Pin], dict[str, list[str]]]:
    """Every pin of every Dockerfile under docker/, and the files (relative to `root`) that hold it.

    Raises UserError where two Dockerfiles disagree."""
    pinned: dict[str, Pin] = {}
    places: dict[str, list[str]] = {}
    for path in sorted((root / "docker").rglob("*Dockerfile*")):
        for name, pin in pins.read(path).items():
            if pinned.setdefault(name, pin) != pin:
                raise errors.UserError(f"{path} pins another {name} than {places[name][0]}")
            places.setdefault(name, []).append(path.relative_to(root).as_posix())
    return pinned, places


def main(arguments: Sequence[str] | None = None, root: Path = updates.ROOT) -> int:
    """Looks for new releases of the native dependencies, and commits a bump for each pin that can move."""
    options: Options = updates.parse(str(main.__doc__), arguments)
    rows = dependencies.load(root / "docker" / "dependencies.toml")
    pinned, places = read_pins(root)
    dependencies.check(rows, {name: pin.version for name, pin in pinned.items()})
    client = web.Client(os.environ.get("GITHUB_API_TOKEN") or os.environ.get("GITHUB_TOKEN"))
    sightings = Sightings.of_this_user()
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as directory:
        run = Run(
            rows=rows,
            pinned=pinned,
            places=places,
            client=client,
            witness=Witness(client, rows.values()),
            sightings=sightings,
            unconfirmed=tomllib.loads((root / UNCONFIRMED).read_text(encoding="utf-8")),
            eager=options.no_cooldown,
            now=datetime.now(UTC),
            directory=Path(directory),
        )
        status = updates.run("Native dependencies", subjects(run), options, root)
    sightings.save()
    return status


if __name__ == "__main__":
    sys.exit(errors.run(main))
