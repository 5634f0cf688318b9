#!/usr/bin/env python3
"""Compiles every lock of requirements/ anew from its .in file, for every Python that uses it, into one commit.

What an interpreter of an image gets is locked for each minor of docker/images.toml, each tool has a lock of its own,
and releases younger than the cool-down are left alone, so that a bad one is withdrawn before it reaches an image.
The index is whatever uv is configured to use; no lock names it.
"""

from __future__ import annotations

import argparse
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
from images import Catalogue
from pins import Pin
from plan import OLDEST_TOOLS_PYTHON
from progress import Progress
from report import Report, Row, State

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


def compile_lock(lock: Lock, root: Path = ROOT, cool_down: str = COOL_DOWN) -> str:
    """The text of a lock, resolved from nothing. Raises Failure with uv's own words."""
    with tempfile.TemporaryDirectory() as scratch:
        constraints = Path(scratch, "constraints.txt")
        constraints.write_text(lock.constraint + "\n", encoding="utf-8")
        command = [uv.find_uv_bin(), "pip", "compile", "--quiet", "--no-header", "--no-annotate", "--generate-hashes"]
        command += ["--no-emit-index-url", "--exclude-newer", cool_down, "--constraints", str(constraints)]
        command += ["--python", sys.executable]  # spares uv the search for an interpreter of that very version
        command += [*lock.options, str(lock.source)]
        done = subprocess.run(command, cwd=root, capture_output=True, text=True)
    if done.returncode:
        raise errors.Failure(f"{lock.path}: uv could not resolve it:\n{done.stderr.strip()}")
    if unhashed := [m["name"] for m in _LOCKED.finditer(done.stdout) if not _hashes(done.stdout, m.end())]:
        raise errors.Failure(f"{lock.path}: the index gives no hash for {', '.join(unhashed)}")
    return f"# Compiled from {lock.source} by `{COMMAND}`.\n{done.stdout}"


def _hashes(text: str, position: int) -> bool:
    return "--hash=sha256:" in text[position:].partition("\n")[2].partition("\n")[0]


def versions(text: str) -> dict[str, str]:
    """Package -> version of a lock's text."""
    return {match["name"]: match["version"] for match in _LOCKED.finditer(text)}


def compare(lock: Lock, old: str, new: str) -> list[Row]:
    """One row for each package of a lock that moved, came or went; one row in all where nothing did."""
    before, after = versions(old), versions(new)
    label = lock.path.relative_to(REQUIREMENTS).with_suffix("")
    rows = []
    for name in sorted({*before, *after}):
        was, now = before.get(name, ""), after.get(name, "")
        if was != now:
            reason = "" if was and now else "no longer needed" if was else "newly needed"
            rows.append(Row(f"{label}: {name}", was, State.UPDATE, reason, newest=now, acceptable=now))
    if not rows and old != new:
        rows.append(Row(str(label), "", State.UPDATE, "same versions, other files or markers"))
    if lock.constraint:
        held = re.split("[<>=!]", lock.constraint)[0]
        pinned = after.get(held, "")
        rows.append(Row(f"{label}: {held}", pinned, State.HELD, f"{lock.constraint}: {lock.reason}"))
    return rows or [Row(str(label), "", State.CURRENT)]


def run(root: Path, wanted: Sequence[Lock], *, dry_run: bool, cool_down: str = COOL_DOWN) -> Report:
    """Compiles the locks side by side and commits what changed. One that fails is a row and keeps the others back."""
    if not dry_run:
        commits.require_clean(root)
    with Progress() as shown, ThreadPoolExecutor(JOBS) as pool:
        results = list(pool.map(partial(_attempt, root, cool_down, shown), wanted))
    rows: list[Row] = []
    changed: dict[str, str] = {}
    for lock, result in zip(wanted, results, strict=True):
        label = str(lock.path.relative_to(REQUIREMENTS).with_suffix(""))
        if isinstance(result, errors.Failure):
            rows.append(Row(label, "", State.FAILED, str(result)))
            continue
        old = _read(root / lock.path)
        rows += compare(lock, old, result)
        if old != result:
            changed[str(lock.path)] = result
    failed = any(row.state is State.FAILED for row in rows)
    notes = [f"releases younger than {cool_down} were left alone"]
    made: list[str] = []
    if changed and not dry_run and not failed:
        change = commits.Change("Bump Python dependencies", _body(rows), changed)
        with commits.writer(root) as writer:
            writer.commit(change)
        made.append(change.subject)
    elif changed and failed:
        notes.append("nothing was committed, because not every lock could be compiled")
    return Report("Python dependencies", rows, notes, commits=made)


def _attempt(root: Path, cool_down: str, shown: Progress, lock: Lock) -> str | errors.Failure:
    try:
        with shown.task(str(lock.path)):
            return compile_lock(lock, root, cool_down)
    except errors.Failure as error:
        return error


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


def main() -> int:
    """Renews the locks of all Python packages and commits the result."""
    parser = argparse.ArgumentParser(description=main.__doc__, epilog="Exit status: 0 done, 1 failed, 2 wrong use.")
    parser.add_argument("--dry-run", action="store_true", help="show what would change; needs no clean tree")
    parser.add_argument(
        "--only", action="append", metavar="LOCK", help="only this lock: dev, tools/uv, ... (repeatable)"
    )
    parser.add_argument(
        "--cool-down", default=COOL_DOWN, metavar="AGE", help="leave younger releases alone (%(default)s)"
    )
    parser.add_argument("--json", action="store_true", help="print the report as JSON")
    options = parser.parse_args()
    every = {str(lock.path.relative_to(REQUIREMENTS).with_suffix("")): lock for lock in _all_locks()}
    if unknown := set(options.only or ()) - set(every):
        raise errors.UserError(f"no lock {', '.join(sorted(unknown))}; there are {', '.join(every)}")
    wanted = [lock for name, lock in every.items() if not options.only or name in options.only]
    report = run(ROOT, wanted, dry_run=options.dry_run, cool_down=options.cool_down)
    report.publish(options.json)
    return report.exit_code


def _all_locks() -> list[Lock]:
    return locks(images.load(), native_pins.read())


if __name__ == "__main__":
    sys.exit(errors.run(main))
