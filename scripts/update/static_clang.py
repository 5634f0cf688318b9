"""Adds new releases of static clang, each with the sha256 of its sha256sums.txt, to docker/downloads.toml.

The row [static-clang] of docker/dependencies.toml says where they are listed and who attests them. All series count
here, and the newest comes first. The pinned build image is a native dependency, which has its own bumps.
"""

from __future__ import annotations

import functools
import re
import tomllib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from packaging.version import Version

from catalogue import dependencies, paths
from catalogue.dependencies import Dependency
from catalogue.pins import Pin
from portable import downloads, errors
from update import pipeline
from update.choice import MOST_EXAMINED, RunContext, Taken, choose, examine, listing
from update.pipeline import Bump, Outcome, Subject
from update.report import Row, State

DOWNLOADS = "docker/downloads.toml"
_TABLE = re.compile(r"^\[static_clang\].*\n", re.MULTILINE)


def look(context: RunContext, row: Dependency, known: Mapping[str, str]) -> Outcome:
    """The outcome for the table: each release that passes the checks and is newer than all in the table."""
    newest = max((version.removeprefix("v") for version in known), key=Version)
    pin = Pin(row.name, newest, row.location(newest), "")
    found = listing(context, row, newest)
    versions = [v for v in found.releases if dependencies.is_release(v, row.version) and Version(v) > Version(newest)]
    taken: dict[str, Taken] = {}
    passed_over: list[str] = []
    alarms: list[str] = []
    states = []
    unchecked = False
    for version in sorted(versions, key=Version, reverse=True)[:MOST_EXAMINED]:
        choice = choose([version], lambda v: examine(context, [(row, pin, found.releases[v])])[0])
        passed_over += choice.passed_over
        alarms += choice.alarms
        unchecked |= choice.unchecked
        states.append(choice.state)
        if choice.taken:
            taken[version] = choice.taken
    state = State.UPDATE if taken else next(iter(states), State.CURRENT)
    shown = Row(
        name=row.name,
        pinned=newest,
        state=state,
        reason="; ".join(found.notes),
        newest=max([newest, *versions], key=Version),
        acceptable=next(iter(taken), newest),
        age=next((item.dated.age for item in taken.values()), None),
        trust=next((item.proof.level for item in taken.values()), ""),
        passed_over=tuple(passed_over),
        unchecked=unchecked,
        alarms=tuple(alarms),
    )
    return Outcome([shown], _bump(row, newest, taken) if taken else None)


def _bump(row: Dependency, newest: str, taken: Mapping[str, Taken]) -> Bump:
    lines = "".join(f'"v{version}" = "{item.proof.sha256}"\n' for version, item in taken.items())

    def edit(read: Callable[[str], str]) -> Mapping[str, str]:
        text = _TABLE.sub(lambda match: match[0] + lines, read(DOWNLOADS), count=1)
        if not all(f"v{version}" in tomllib.loads(text)["static_clang"] for version in taken):
            raise errors.Failure(f"{DOWNLOADS} has no table [static_clang] to add to")
        return {DOWNLOADS: text}

    body = "\n".join(
        f"{row.fill(row.changelog, version)}\nsha256sums.txt: {item.proof.sha256}\n"
        f"Trust: {item.proof.level} {item.proof.by}\nAge: {item.dated.age} days\n"
        for version, item in taken.items()
    )
    return Bump(f"Bump static clang on demand {newest} → {next(iter(taken))}", body, edit)


def main(arguments: Sequence[str] | None = None, root: Path = paths.ROOT) -> int:
    """Looks for new releases of static clang that manylinux-install-clang can offer."""
    options = pipeline.parse(str(main.__doc__), arguments)
    rows = dependencies.load(root / "docker" / "dependencies.toml")
    known = downloads.load(root / DOWNLOADS).static_clang
    row = rows["static-clang"]
    newest = max((version.removeprefix("v") for version in known), key=Version)
    with RunContext.open([row], options.no_cooldown, dry_run=options.dry_run) as context:
        subject = Subject({row.name: newest}, functools.partial(look, context, row, known))
        return pipeline.run("Static clang on demand", [subject], options, root)
