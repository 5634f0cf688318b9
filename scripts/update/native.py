"""Finds the newest good release of every native pin, proves that its file is genuine, and commits the bump.

docker/dependencies.toml tracks the pins at the top of docker/Dockerfile; choice.py chooses. A release that upstream has
withdrawn is replaced by an older one. A pin that was taken on the word of the Debian archive alone is confirmed as soon
as upstream answers.
"""

from __future__ import annotations

import functools
import tomllib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any

from packaging.version import Version

from catalogue import dependencies, paths, pins
from catalogue.dependencies import Dependency
from catalogue.pins import Pin
from network import web
from network.bundles import BadSignature
from portable import errors
from portable.toml import REST, Name, Prose, Url, read, read_toml
from update import commits, pipeline, withdrawals
from update.choice import Listing, RunContext, Taken, case_of, choose, examine, listing
from update.pipeline import Bump, Outcome, Subject
from update.proof import NotYet, Proof
from update.releases import Release
from update.report import Row, State, old_holds

END_OF_LIFE_NEAR = timedelta(days=180)
UNCONFIRMED = "docker/unconfirmed.toml"
UNCONFIRMED_HEAD = """\
# Pins that were bumped on the word of the Debian archive alone, because upstream did not answer. The first run of
# `nox -s update_native_dependencies` that reaches upstream checks them there and removes them from this list.
"""


@dataclass(frozen=True)
class Unconfirmed:
    """A pin that was taken on the word of the Debian archive: the file there, and the source package."""

    url: Url
    by: Prose


@dataclass(frozen=True)
class _UnconfirmedList:
    """docker/unconfirmed.toml."""

    pins: Annotated[Mapping[Name, Unconfirmed], REST]


@dataclass(frozen=True)
class Run:
    """A run over all pins: rows, pins, the Dockerfiles below `root` that have each pin, and the unconfirmed pins."""

    rows: Mapping[str, Dependency]
    pinned: Mapping[str, Pin]
    places: Mapping[str, Sequence[str]]
    unconfirmed: Mapping[str, Unconfirmed]
    context: RunContext
    root: Path = paths.ROOT


def look(run: Run, group: Sequence[Dependency]) -> Outcome:
    """The outcome for pins that move together (mostly a single pin): a release counts if all of them accept it."""
    pinned = run.pinned[group[0].name].version
    try:
        listings = [listing(run.context, row, pinned) for row in group]
    except web.Unreachable:
        if len(group) == 1:
            raise
        return Outcome([_alone(run, row) for row in group])
    if len(group) > 1 and not all(found.upstream for found in listings):
        return Outcome([_alone(run, row) for row in group])
    for row, found in zip(group, listings, strict=True):
        withdrawals.watch(run.context, row, run.pinned[row.name], found)
    allowed = [
        {version for version in found.releases if row.accepts(version, pinned)}
        for row, found in zip(group, listings, strict=True)
    ]
    known = sorted(set.intersection(*allowed), key=Version, reverse=True)
    newer = [version for version in known if Version(version) > Version(pinned)]
    alone = sorted({version for version in set.union(*allowed) - set(known) if Version(version) > Version(pinned)})
    withdrawn, reasons = _withdrawn(run, group, listings, known, pinned)

    def examine_all(version: str) -> list[Taken]:
        asked = [
            (row, run.pinned[row.name], found.releases[version]) for row, found in zip(group, listings, strict=True)
        ]
        return examine(run.context, asked)

    choice = choose(known[: withdrawals.CANDIDATES] if withdrawn else newer, examine_all)
    state, taken = choice.state, choice.taken
    if alone and state is State.CURRENT:
        state = State.PENDING
    if withdrawn and state in (State.CURRENT, State.UPDATE):
        state = State.WITHDRAWN
    elif state is State.CURRENT:
        state, remarks = _remarkable(run, group[0], listings[0])
        reasons += remarks
    reasons += [note for found in listings for note in found.notes]
    helpless = [f"nothing can take the place of {pinned}, which is gone upstream"] if withdrawn and not taken else []
    rows = [
        Row(
            name=row.name,
            pinned=pinned,
            state=state,
            reason="; ".join([*(_mended(taken[number]) if taken else ()), *reasons]),
            newest=known[0] if known else "",
            acceptable=choice.version or ("" if withdrawn else pinned),
            age=taken[number].dated.age if taken else None,
            trust=_short(taken[number].proof) if taken else _standing(run, row),
            passed_over=(*(f"{version}: not all of them have it" for version in alone), *choice.passed_over),
            alarms=(*choice.alarms, *helpless),
            unchecked=choice.unchecked,
        )
        for number, row in enumerate(group)
    ]
    if taken:
        return Outcome(rows, _bump(run, group, choice.version, taken, withdrawn))
    if len(group) == 1 and group[0].name in run.unconfirmed and listings[0].upstream:
        return _confirm(run, group[0], rows[0])
    return Outcome(rows)


def _alone(run: Run, row: Dependency) -> Row:
    """The row of a pin that may not move, because a pin that it moves with cannot be looked up.

    There is no fallback to the Debian archive here: upstream must have the release of all of them."""
    name, pinned = row.name, run.pinned[row.name].version
    try:
        found = listing(run.context, row, pinned)
        if not found.upstream:
            raise web.Unreachable("; ".join(found.notes))
    except web.Unreachable as error:
        return Row(name, pinned, State.UNREACHABLE, str(error))
    newest = max([pinned, *(v for v in found.releases if row.accepts(v, pinned))], key=Version)
    state = State.CURRENT if newest == pinned else State.PENDING
    return Row(name, pinned, state, f"moves together with {row.together}, whose upstream does not answer", newest)


def _withdrawn(
    run: Run, group: Sequence[Dependency], listings: Sequence[Listing], known: Sequence[str], pinned: str
) -> tuple[bool, list[str]]:
    """Whether upstream has withdrawn one of the pinned releases, and the reasons to report.

    That is asked only where the lists have nothing but older releases."""
    if not all(found.upstream for found in listings) or (known and Version(known[0]) >= Version(pinned)):
        return False, []
    findings = []
    for row, found in zip(group, listings, strict=True):
        line = f"^ARG {pins.env_prefix(row.name)}_VERSION="
        bumped = functools.partial(commits.last_change, run.root, run.places[row.name], line)
        findings.append(withdrawals.find(run.context, row, run.pinned[row.name], found, bumped))
    gone = any(finding.gone for finding in findings)
    return gone, [finding.reason for finding in findings if finding.reason and finding.gone == gone]


def _remarkable(run: Run, row: Dependency, found: Listing) -> tuple[State, list[str]]:
    """State and remarks of a pin that is current: the end of its series is near, or a newer series exists."""
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
        newest = max(newer, key=Version)
        series = ".".join(newest.split(".")[: len(row.series.split("."))])
        known = row.acknowledged and Version(series) <= Version(row.acknowledged)
        if not known and run.context.news(row.name, f"series {series}"):
            state = State.NEW_SERIES
            remarks.append(f"{newest} is outside the series {row.series}; `acknowledged` in its row says it is known")
    if row.end_of_life - run.context.now.date() <= END_OF_LIFE_NEAR:
        state = State.END_OF_LIFE
        verb = "ended" if row.end_of_life <= run.context.now.date() else "ends"
        remarks.append(f"the series {row.series} {verb} on {row.end_of_life}")
    return state, remarks


def _confirm(run: Run, row: Dependency, shown: Row) -> Outcome:
    """Checks at upstream a pin that was taken on Debian's word, and removes it from the list of such pins."""
    pin = run.pinned[row.name]
    case = case_of(run.context, row, pin, Release(pin.version), pin.url)
    try:
        if case.head() is None:
            return Outcome([shown])
        proof = case.prove([level for level in row.trust if level != "debian-index"])
        if proof.sha256 != pin.sha256:
            raise BadSignature("upstream's genuine file is not the pinned one")
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
    """The one commit that moves all pins of a group."""
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
        ("ABI", item.abi),
        ("Age", f"{item.dated.age} days ({item.dated.source} {item.dated.moment:%Y-%m-%d})"),
        ("Security", item.mends and f"without cool-down: {item.mends} says that it mends a vulnerability"),
    ]
    return "\n".join(f"{label}: {text}" for label, text in lines if text)


def _unconfirmed(read: Callable[[str], str], changes: Mapping[str, Proof | None]) -> dict[str, str]:
    """The new text of the list of unconfirmed pins, if these changes (None: remove the pin) change it."""
    before = parse_unconfirmed(tomllib.loads(read(UNCONFIRMED)))
    after = {name: facts for name, facts in before.items() if name not in changes}
    after |= {name: Unconfirmed(proof.url, proof.by) for name, proof in changes.items() if proof}
    if after == before:
        return {}
    tables = [f'["{name}"]\nurl = "{facts.url}"\nby = "{facts.by}"\n' for name, facts in sorted(after.items())]
    return {UNCONFIRMED: "\n".join([UNCONFIRMED_HEAD, *tables])}


def parse_unconfirmed(raw: Mapping[str, Any]) -> Mapping[str, Unconfirmed]:
    """The list of unconfirmed pins, by name. Raises UserError where it breaks a law."""
    return read(_UnconfirmedList, raw, f"{UNCONFIRMED}:").pins


def _standing(run: Run, row: Dependency) -> str:
    return "debian-index, unconfirmed" if row.name in run.unconfirmed else ""


def _short(proof: Proof) -> str:
    """The trust column: level and signer; for a workflow, its repository."""
    signer = proof.by.removeprefix("https://github.com/").partition("/.github/")[0]
    return {"openpgp": f"openpgp {proof.by[:8]}", "sigstore": f"sigstore {signer}"}.get(proof.level, proof.level)


def _mended(item: Taken) -> Sequence[str]:
    return [f"no cool-down, for it mends a vulnerability: {item.mends}"] if item.mends else []


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


def main(arguments: Sequence[str] | None = None, root: Path = paths.ROOT) -> int:
    """Looks for new releases of the native dependencies, and commits a bump for each pin that can move."""
    options = pipeline.parse(str(main.__doc__), arguments)
    rows = dependencies.load(root / "docker" / "dependencies.toml")
    pinned, places = read_pins(root)
    dependencies.check(rows, pinned)
    with RunContext.open(rows.values(), options.no_cooldown, dry_run=options.dry_run) as context:
        unconfirmed = parse_unconfirmed(read_toml(root / UNCONFIRMED))
        run = Run(rows, pinned, places, unconfirmed, context, root)
        holds = ((f"{row.name} {hold.version}", hold.since, hold.reason) for row in rows.values() for hold in row.holds)
        notes = old_holds(holds, context.now.date())
        return pipeline.run("Native dependencies", subjects(run), options, root, notes=notes)
