#!/usr/bin/env python3
"""Compiles every lock of requirements/ anew from its .in file, for every Python that uses it, into one commit.

What an interpreter of an image gets is locked for each minor of docker/images.toml, each tool has a lock of its own,
and releases younger than the cool-down are left alone, so that a bad one is withdrawn before it reaches an image.
The index is whatever uv is configured to use; no lock names it.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import uv

import commits
import errors
import images
import pins as native_pins
import updates
import web
from images import Catalogue
from pins import Pin
from plan import OLDEST_TOOLS_PYTHON
from progress import Progress
from report import Report, Row, State
from tables import near_matches

ROOT = Path(__file__).resolve().parent.parent
REQUIREMENTS = Path("requirements")
COOL_DOWN = "7 days"
COMMAND = "nox -s update_python_dependencies"
JOBS = 4  # what waits is the index, not a processor
_LOCKED = re.compile(r"(?m)^(?P<name>[A-Za-z0-9._-]+)==(?P<version>[^\s;\\]+)")


@dataclass(frozen=True)
class Lock:
    """One compiled file: `source` and `path` relative to the repository, and how uv is to resolve it."""

    path: Path
    source: Path
    python: str
    universal: bool
    constraint: str = ""
    reason: str = ""

    @property
    def label(self) -> str:
        """Its name for people: "tools/uv"."""
        return str(self.path.relative_to(REQUIREMENTS).with_suffix(""))

    @property
    def options(self) -> list[str]:
        """What differs from lock to lock on uv's command line."""
        if self.universal:
            return ["--python-version", self.python, "--universal", "--fork-strategy", "fewest"]
        return ["--python-version", self.python, "--python-platform", "linux", "--no-strip-markers"]


def locks(catalogue: Catalogue, pins: Mapping[str, Pin]) -> list[Lock]:
    """Every lock the images, their smoke tests and the developers need."""
    oldest = ".".join(map(str, OLDEST_TOOLS_PYTHON))
    found = [
        Lock(REQUIREMENTS / kind / f"{minor}.txt", REQUIREMENTS / f"{kind}.in", _python(minor, pins), universal=False)
        for kind in ("interpreter", "smoke")
        for minor in sorted({i.minor for i in catalogue.interpreters.values()}, key=minor_key)
    ]
    for variant in catalogue.variants.values():
        kind = f"smoke-{variant.name}"
        found += [
            Lock(
                REQUIREMENTS / kind / f"{minor}.txt", REQUIREMENTS / f"{kind}.in", _python(minor, pins), universal=False
            )
            for minor in variant.minors
        ]
    for tool in catalogue.tools.values():
        stem = REQUIREMENTS / "tools" / tool.name
        below = f"{tool.name}<{tool.hold_below}" if tool.hold_below else ""
        found.append(Lock(stem.with_suffix(".txt"), stem.with_suffix(".in"), oldest, True, below, tool.hold_reason))
    for name in ("base", "dev"):
        stem = REQUIREMENTS / name
        found.append(Lock(stem.with_suffix(".txt"), stem.with_suffix(".in"), oldest, universal=True))
    return found


def minor_key(minor: str) -> tuple[int, ...]:
    """Sorts "3.9" before "3.10"."""
    return tuple(int(part) for part in minor.split("."))


def _python(minor: str, pins: Mapping[str, Pin]) -> str:
    """The version to resolve for: the pinned one without its pre-release part (build asks for 3.10.2, for example)."""
    pin = pins.get(f"cpython-{minor}")
    release = re.match(r"\d+(?:\.\d+)+", pin.version) if pin else None
    return release.group() if release else minor


def compile_lock(lock: Lock, root: Path = ROOT, no_cooldown: Sequence[str] = ()) -> str:
    """The text of a lock, resolved from nothing; the cool-down does not hold for the packages of `no_cooldown`.

    Raises Unreachable when the index does not answer, Failure when there is no solution, both with uv's own words."""
    with tempfile.TemporaryDirectory() as scratch:
        constraints = Path(scratch, "constraints.txt")
        constraints.write_text(lock.constraint + "\n", encoding="utf-8")
        command = [uv.find_uv_bin(), "pip", "compile", "--quiet", "--no-header", "--no-annotate", "--generate-hashes"]
        command += ["--no-emit-index-url", "--exclude-newer", COOL_DOWN, "--constraints", str(constraints)]
        for name in no_cooldown:
            command += ["--exclude-newer-package", f"{name}=0 days"]
        command += ["--python", sys.executable]  # spares uv the search for an interpreter of that very version
        command += [*lock.options, str(lock.source)]
        done = subprocess.run(command, cwd=root, capture_output=True, text=True)
    if done.returncode:
        words = " ".join(done.stderr.split())
        raise web.Unreachable(words) if "Failed to fetch" in words else errors.Failure(words)
    return f"# Compiled from {lock.source} by `{COMMAND}`.\n{done.stdout}"


def versions(text: str) -> dict[str, str]:
    """Package -> version of a lock's text."""
    return {match["name"]: match["version"] for match in _LOCKED.finditer(text)}


def compare(lock: Lock, old: str, new: str) -> list[Row]:
    """One row for each package of a lock that moved, came or went; one row in all where nothing did."""
    before, after = versions(old), versions(new)
    rows = []
    for name in sorted({*before, *after}):
        was, now = before.get(name, ""), after.get(name, "")
        if was != now:
            reason = "" if was and now else "no longer needed" if was else "newly needed"
            rows.append(Row(f"{lock.label}: {name}", was, State.UPDATE, reason, newest=now, acceptable=now))
    if not rows and old != new:
        rows.append(Row(lock.label, "", State.UPDATE, "same versions, other files or markers"))
    if lock.constraint:
        held = re.split("[<>=!]", lock.constraint)[0]
        pinned = after.get(held, "")
        rows.append(Row(f"{lock.label}: {held}", pinned, State.HELD, f"{lock.constraint}: {lock.reason}"))
    return rows or [Row(lock.label, "", State.CURRENT)]


def run(root: Path, wanted: Sequence[Lock], options: updates.Options) -> Report:
    """Compiles the locks side by side and commits what changed; one that fails is a row and keeps all of them back."""
    if not options.dry_run:
        commits.require_clean(root)
    with Progress() as shown, ThreadPoolExecutor(JOBS) as pool:
        results = list(pool.map(partial(_attempt, root, options.no_cooldown, shown), wanted))
    rows: list[Row] = []
    changed: dict[str, str] = {}
    for lock, result in zip(wanted, results, strict=True):
        if isinstance(result, Row):
            rows.append(result)
            continue
        old = _read(root / lock.path)
        rows += compare(lock, old, result)
        if old != result:
            changed[str(lock.path)] = result
    whole = not any(isinstance(result, Row) for result in results)
    notes = [f"Releases younger than {COOL_DOWN} were left alone."]
    notes += ["Dry run: nothing was changed."] if options.dry_run else []
    made: list[str] = []
    if changed and whole and not options.dry_run:
        change = commits.Change("Bump Python dependencies", _body(rows), changed)
        with commits.writer(root) as writer:
            writer.commit(change)
        made.append(change.subject)
    elif changed and not whole:
        notes.append("Nothing was committed, because not every lock could be compiled.")
    return Report("Python dependencies", rows, notes, options.allow_unreachable, made)


def _attempt(root: Path, no_cooldown: Sequence[str], shown: Progress, lock: Lock) -> str | Row:
    """The new text of a lock, or the row that says why there is none."""
    try:
        with shown.task(str(lock.path)):
            return compile_lock(lock, root, no_cooldown)
    except web.Unreachable as error:
        return Row(lock.label, "", State.UNREACHABLE, str(error))
    except errors.Failure as error:
        return Row(lock.label, "", State.FAILED, str(error))


def _read(path: Path) -> str:
    return path.read_text(encoding="utf-8") if path.exists() else ""


def _body(rows: Iterable[Row]) -> str:
    """The moves, each package once: the locks of several minors mostly move together."""
    moves: dict[str, list[str]] = {}
    for row in rows:
        if row.state is State.UPDATE:
            label, _, package = row.name.partition(": ")
            moves.setdefault(f"{package} {row.pinned or '-'} → {row.acceptable or '-'}".strip(), []).append(label)
    return "\n".join(f"{move} ({', '.join(labels)})" for move, labels in sorted(moves.items()))


def main(arguments: Sequence[str] | None = None) -> int:
    """Renews the locks of all Python packages and commits the result; --only takes locks: dev, tools/uv, ..."""
    options = updates.parse(str(main.__doc__), arguments)
    every = {lock.label: lock for lock in locks(images.load(overlay=images.NO_OVERLAY), native_pins.read())}
    for name in options.only:
        if name not in every:
            raise errors.UserError(f"no lock {name!r}{near_matches(name, every)}")
    report = run(ROOT, [lock for name, lock in every.items() if name in (options.only or every)], options)
    report.publish(options.json)
    return report.exit_code


if __name__ == "__main__":
    sys.exit(errors.run(main))
