"""Compiles every lock of requirements/ anew from its .in file, for every Python that uses it, into one commit.

The packages of an image's interpreters are locked for each minor of docker/images.toml, and each tool has a lock of its
own. Releases younger than the cool-down are left alone: a bad one is withdrawn before it reaches an image. The index is
the one that uv or else pip is configured to use; no lock names it. No other setting counts. No source package is built:
that would run its code here, with the tokens of a run that commits. No version goes down unless a person has lowered it
in the lock.
"""

from __future__ import annotations

import functools
import os
import re
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import uv
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

from catalogue import images
from catalogue import pins as native_pins
from catalogue.interpreters import OLDEST_TOOLS_PYTHON
from catalogue.model import Catalogue
from catalogue.paths import ROOT
from catalogue.pins import Pin
from catalogue.versions import version_key
from host import indexes
from network import web
from portable import environment, errors
from update import pipeline
from update.pipeline import Bump, Options, Outcome, Subject
from update.report import Row, State, old_holds

REQUIREMENTS = Path("requirements")
COOL_DOWN = "7 days"
COMMAND = "nox -s update_python_dependencies"
_SLOTS = threading.BoundedSemaphore(4)  # look-ups wait for the index, not for a processor
_LOCKED = re.compile(r"(?P<name>[a-z0-9][a-z0-9._-]*)(?:\[[a-z0-9._,-]+\])?==(?P<version>[^\s;\\]+)(?: ; [^\\]+)?")
_HASH = re.compile(r"    --hash=sha256:[0-9a-f]{64}")
# Settings of uv that are kept besides those of indexes: caches, time limits, credentials.
_UV_KEPT = frozenset(
    ("UV_CACHE_DIR", "UV_NO_CACHE", "UV_HTTP_TIMEOUT", "UV_HTTP_RETRIES", "UV_KEYRING_PROVIDER", "UV_CREDENTIALS_DIR")
)


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
        """The options of uv that differ from lock to lock."""
        if self.universal:
            return ["--python-version", self.python, "--universal", "--fork-strategy", "fewest"]
        return ["--python-version", self.python, "--python-platform", "linux", "--no-strip-markers"]


def locks(catalogue: Catalogue, pins: Mapping[str, Pin]) -> list[Lock]:
    """Every lock that the images, their smoke tests and the developers need."""
    found = [
        Lock(REQUIREMENTS / kind / f"{minor}.txt", REQUIREMENTS / f"{kind}.in", _python(minor, pins), universal=False)
        for kind in ("interpreter", "smoke")
        for minor in sorted({i.minor for i in catalogue.interpreters.values()}, key=version_key)
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
        held = (f"{tool.name}<{tool.hold.below}", tool.hold.reason) if tool.hold else ()
        found.append(Lock(stem.with_suffix(".txt"), stem.with_suffix(".in"), OLDEST_TOOLS_PYTHON, True, *held))
    for name in ("base", "dev"):
        stem = REQUIREMENTS / name
        found.append(Lock(stem.with_suffix(".txt"), stem.with_suffix(".in"), OLDEST_TOOLS_PYTHON, universal=True))
    return found


def _python(minor: str, pins: Mapping[str, Pin]) -> str:
    """The version to resolve for: the pinned one without a pre-release suffix. Some packages ask for a patch level."""
    pin = pins.get(f"cpython-{minor}")
    release = re.match(r"\d+(?:\.\d+)+", pin.version) if pin else None
    return release.group() if release else minor


def compile_lock(
    lock: Lock, root: Path = ROOT, no_cooldown: Sequence[str] = (), constraints: Sequence[str] = ()
) -> str:
    """The text of a lock, resolved anew; the packages in `no_cooldown` have no cool-down.

    Raises Unreachable when the index does not answer and Failure when there is no solution. Both quote uv."""
    with tempfile.TemporaryDirectory() as scratch:
        limits = Path(scratch, "constraints.txt")
        limits.write_text("\n".join((lock.constraint, *constraints, "")), encoding="utf-8")
        command = [uv_program(), "pip", "compile", "--no-config", "--quiet", "--no-header", "--no-annotate"]
        command += ["--generate-hashes", "--no-emit-index-url", "--no-build", "--exclude-newer", COOL_DOWN]
        command += ["--resolution", "highest", "--prerelease", "if-necessary-or-explicit"]
        command += ["--index-strategy", "first-index", "--constraints", str(limits)]
        for name in no_cooldown:
            command += ["--exclude-newer-package", f"{name}=0 days"]
        command += ["--python", sys.executable]  # spares uv the search for an interpreter of that very version
        command += [*lock.options, str(lock.source)]
        done = subprocess.run(command, cwd=root, env=uv_environment(), capture_output=True, text=True)
    if done.returncode:
        words = " ".join(done.stderr.split())
        raise web.Unreachable(words) if "Failed to fetch" in words else errors.Failure(words)
    _expect_form(done.stdout)
    return f"# Compiled from {lock.source} by `{COMMAND}`.\n{done.stdout}"


@functools.cache
def uv_program() -> str:
    """The path of uv. Call it before threads start: in Python 3.11 the first call is not safe in several threads."""
    return uv.find_uv_bin()


def uv_environment(env: Mapping[str, str] = os.environ) -> dict[str, str]:
    """The environment for uv: of the settings of uv and pip, only the indexes and how to reach them.

    Raises UserError where a CA bundle that it names is missing."""
    kept = environment.trusting(env, environment.system_bundle())
    environment.forget_python(kept)
    kept = {name: value for name, value in kept.items() if not name.startswith("UV_") or name in _UV_KEPT}
    said = indexes.uv_settings(env)
    index = said.get("index-url") or environment.pip_settings(env).get("index-url") or ()
    found = {
        "UV_DEFAULT_INDEX": " ".join(index),
        "UV_INDEX": " ".join(said.get("extra-index-url", ())),
        "UV_FIND_LINKS": ",".join(said.get("find-links", ())),
        "UV_INSECURE_HOST": " ".join(said.get("trusted-host", ())),
    }
    return kept | {name: value for name, value in found.items() if value}


def _expect_form(text: str) -> None:
    """Raises Failure where a compiled text has anything but versions with their hashes."""
    hashed = True
    for line in (line.removesuffix(" \\") for line in text.splitlines()):
        is_hash = _HASH.fullmatch(line) is not None
        if not is_hash and not (hashed and _LOCKED.fullmatch(line)):
            raise errors.Failure(f"uv wrote a line that does not belong in a lock: {line.strip()!r}")
        hashed = is_hash
    if not hashed:
        raise errors.Failure("uv wrote a version without hashes")


def versions(text: str) -> dict[str, str]:
    """Package -> version in the text of a lock; the newest where it has several for different Pythons."""
    found: dict[str, str] = {}
    for line in text.splitlines():
        if match := _LOCKED.match(line):
            found[match["name"]] = max(match["version"], found.get(match["name"], match["version"]), key=Version)
    return found


def compare(lock: Lock, old: str, new: str) -> list[Row]:
    """One row for each package of a lock that moved, came or went; a single row where none did."""
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


def look(root: Path, lock: Lock, no_cooldown: Sequence[str]) -> Outcome:
    """The outcome for one lock. Raises what compile_lock does."""
    old = _read(root / lock.path)
    with _SLOTS:
        new = compile_lock(lock, root, no_cooldown)
        if lowered := _lowered(lock, old, new):
            # They were taken during their cool-down, by --no-cooldown, and can stay.
            limits = [f"{name}<={version}" for name, version in lowered.items()]
            new = compile_lock(lock, root, [*no_cooldown, *lowered], limits)
    before, after = versions(old), versions(new)
    advice = f"to accept that, commit {lock.path} without it first"
    refused = [
        Row(f"{lock.label}: {name}", version, State.FAILED, f"it would go down to {after[name]}: {advice}", after[name])
        for name, version in _lowered(lock, old, new).items()
    ]
    lacking = f"{lock.source} asks for it, and the result lacks it"
    refused += [
        Row(f"{lock.label}: {name}", before.get(name, ""), State.FAILED, lacking)
        for name in _vanished((root / lock.source).read_text(encoding="utf-8"), before, after)
    ]
    if refused:
        return Outcome(refused)
    bump = Bump(f"Renew {lock.path}", "", lambda read: {str(lock.path): new})
    return Outcome(compare(lock, old, new), bump if new != old else None)


def _lowered(lock: Lock, old: str, new: str) -> dict[str, str]:
    """Package -> locked version of those that would go down, except the one that the table holds back."""
    before, after = versions(old), versions(new)
    held = re.split("[<>=!]", lock.constraint)[0]
    common = before.keys() & after.keys() - {held}
    return {name: before[name] for name in sorted(common) if Version(after[name]) < Version(before[name])}


def _vanished(requirements: str, before: Mapping[str, str], after: Mapping[str, str]) -> list[str]:
    """The packages that a .in asks for and a lock lacks; those with a marker only if they were locked before."""
    lines = (line.partition("#")[0].strip() for line in requirements.splitlines())
    wanted = [Requirement(line) for line in lines if line]
    names = {canonicalize_name(row.name): row.marker is None for row in wanted}
    return [name for name, always in names.items() if name not in after and (always or name in before)]


def _join(outcomes: Sequence[Outcome]) -> Bump | None:
    """One commit for all locks; none where one of them could not be compiled."""
    rows = [row for outcome in outcomes for row in outcome.rows]
    bumps = [outcome.bump for outcome in outcomes if outcome.bump]
    if not bumps or {State.FAILED, State.UNREACHABLE} & {row.state for row in rows}:
        return None
    return pipeline.together("Bump Python dependencies", _body(rows), bumps)


def _read(path: Path) -> str:
    return path.read_text(encoding="utf-8") if path.exists() else ""


def _body(rows: Iterable[Row]) -> str:
    """The moves, each once with its locks: the locks of several minors mostly move together."""
    moves: dict[str, list[str]] = {}
    for row in rows:
        if row.state is State.UPDATE:
            label, _, package = row.name.partition(": ")
            moves.setdefault(f"{package} {row.pinned or '-'} → {row.acceptable or '-'}".strip(), []).append(label)
    return "\n".join(f"{move} ({', '.join(labels)})" for move, labels in sorted(moves.items()))


def main(arguments: Sequence[str] | None = None) -> int:
    """Renews the locks of all Python packages and commits them together, or none of them.

    --only takes names of locks (dev, tools/uv, ...), --no-cooldown names of packages."""
    options = pipeline.parse(str(main.__doc__), arguments)
    catalogue = images.load()
    holds = ((f"{t.name}<{t.hold.below}", t.hold.since, t.hold.reason) for t in catalogue.tools.values() if t.hold)
    notes = old_holds(holds, datetime.now(UTC).date())
    return run(ROOT, locks(catalogue, native_pins.read()), options, notes)


def run(root: Path, wanted: Sequence[Lock], options: Options, notes: Sequence[str] = ()) -> int:
    """Renews these locks of the repository at `root`; returns the exit status."""
    eager = options.no_cooldown
    uv_program()
    subjects = [Subject({lock.label: ""}, partial(look, root, lock, eager)) for lock in wanted]
    but = f", but not of {', '.join(eager)}" if eager else ""
    rule = f"Releases younger than {COOL_DOWN} were left alone{but}. The locks move together or not at all."
    # --no-cooldown names packages here, which the pipeline does not know.
    options = replace(options, no_cooldown=())
    return pipeline.run("Python dependencies", subjects, options, root, join=_join, notes=[*notes, rule])
