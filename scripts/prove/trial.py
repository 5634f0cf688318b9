"""One wheel in one root file system: what is tried there, what happens, and whether that was predicted."""

from __future__ import annotations

import json
import re
import shutil
import stat
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from doctor.wheel import FileName, Wheel
from portable import errors
from prove.inside import LAZILY
from prove.roots import Root

INSIDE = Path(__file__).with_name("inside.py")
SECONDS = 3600  # of everything in one root
VERSION = "import json, sys; print(json.dumps([*sys.version_info[:2], sys.implementation.name]))"
# A processor of x86-64-v1: what the model qemu64 has beyond that is switched off.
OLD_PROCESSOR = ("-cpu", "qemu64,-sse3,-cx16,-lahf-lm")
SIGILL = "signal 4"

# Where there is no Python, the loader itself says what is missing, without running anything: that of glibc as `ldd -r`
# asks it, which --list does not tell about symbols; that of musl knows --list alone. What CPython itself needs is
# preloaded: modules use libm without naming it.
TRACE = r"""
loader="$1"
while read -r object; do
    printf '\n== %s\n' "$object"
    case "$loader" in
        */ld-musl-*) "$loader" --list "/mnt/site/$object" 2>&1 ;;
        *) LD_PRELOAD="libm.so.6 libdl.so.2 libpthread.so.0" \
            LD_TRACE_LOADED_OBJECTS=1 LD_WARN=yes LD_BIND_NOW=yes "$loader" "/mnt/site/$object" 2>&1 ;;
    esac
done
"""
_MISSING = re.compile(r"not found|undefined symbol|symbol not found|No such file|cannot open")
_OF_PYTHON = re.compile(r"(undefined symbol|Error relocating [^:]+): _?Py|from LD_PRELOAD cannot be preloaded")
_PROGRAM = re.compile("cannot dynamically load (position-independent )?executable")  # what dlopen says of one
_MODULE = re.compile(r"(?P<module>[A-Za-z_]\w*)(?:\.(?:[\w-]+\.)?so|\.py)?")


@dataclass(frozen=True)
class Trial:
    """Something that was tried: `what` is import, load, or resolve. `problem`: why it failed, "" where it did not.

    `decided` is False where the problem says nothing about the root, as when a library of another wheel is missing."""

    what: str
    name: str
    problem: str
    decided: bool = True

    @property
    def failed(self) -> bool:
        """Whether it surely fails on such a system."""
        return bool(self.problem) and self.decided


@dataclass
class Evidence:
    """What happened to a wheel in a root, and what the doctor had said: `predicted` is None where it said nothing."""

    root: str
    predicted: bool | None
    reasons: tuple[str, ...]
    trials: list[Trial] = field(default_factory=list)
    skipped: str = ""  # why nothing was tried

    @property
    def failures(self) -> list[Trial]:
        """What failed."""
        return [trial for trial in self.trials if trial.failed]

    @property
    def happened(self) -> str:
        """In a word: fails; runs; loads, where not all of it could be tried; undecided, where nothing could."""
        if self.skipped:
            return "not tried"
        if self.failures:
            return "fails"
        decided = [trial.decided for trial in self.trials]
        return "undecided" if not any(decided) else "runs" if all(decided) else "loads"

    @property
    def differs(self) -> bool:
        """Whether the doctor was wrong."""
        if self.predicted is None:
            return False
        return self.happened == ("fails" if self.predicted else "runs")

    def as_json(self) -> dict[str, Any]:
        """For --json."""
        return {
            "root": self.root,
            "predicted": self.predicted,
            "reasons": list(self.reasons),
            "happened": self.happened,
            "differs": self.differs,
            "skipped": self.skipped,
            "trials": [vars(trial) for trial in self.trials],
        }


@dataclass(frozen=True)
class Installed:
    """A wheel as it lies in site-packages: its names, its objects, and all that the doctor says of it."""

    file_name: FileName
    objects: tuple[str, ...]
    modules: tuple[str, ...]
    said: Mapping[str, Any]

    def fits(self, major: int, minor: int, implementation: str) -> bool:
        """Whether a Python takes wheels with one of its tags, by interpreter and ABI."""
        for tag in self.file_name.tags:
            match = re.fullmatch(r"(cp|py|pp)(\d)(\d*)", tag.python)
            if not match or int(match[2]) != major or (match[1] != "py" and match[1] != implementation[:1] + "p"):
                continue
            same = int(match[3] or 0) == minor
            older = int(match[3] or 0) <= minor
            if (match[1] == "py" and older) or (tag.abi == "abi3" and older) or (same and tag.abi == tag.python):
                return True
        return False

    def explains(self, what: str, problem: str) -> bool:
        """Whether a problem says nothing about the root: a module or a library that another wheel brings, as the doctor
        says, or a library of the wheel itself, which whoever loads this one has loaded before."""
        if others := re.match(r"ModuleNotFoundError: No module named '(\w+)", problem):
            return not any(module.partition(".")[0] == others[1] for module in self.modules)
        missing = re.search(r"(?:^|: )([^:\s]+): cannot open shared object file", problem)
        if not missing:
            return False
        excused = [found for found in self.said["findings"] if found["level"] != "error"]
        said = [f"{found['message']} {' '.join(found['details'])}" for found in excused]
        own = what != "import" and any(path.endswith(f"/{missing[1]}") for path in self.objects)
        return own or any(missing[1] in each for each in said)


def install(wheel: Path, site: Path, said: Mapping[str, Any]) -> Installed:
    """Unpacks a wheel as pip would, for everybody to read. Raises NotAWheel."""
    places: dict[str, str] = {}
    with Wheel.open(wheel) as opened:
        for name, entry in opened.members.items():
            match = re.fullmatch(r"[^/]+\.data/(\w+)/(.+)", name)
            place = (match[2] if match[1] in ("purelib", "platlib") else f"{match[1]}/{match[2]}") if match else name
            places[name], target = place, site / place
            if not target.resolve().is_relative_to(site.resolve()) or stat.S_ISLNK(entry.external_attr >> 16):
                raise errors.UserError(f"{wheel.name}: {name} would not be installed below site-packages")
            target.parent.mkdir(parents=True, exist_ok=True)
            with opened.archive.open(entry) as source, target.open("wb") as stream:
                shutil.copyfileobj(source, stream)
        for path in (site, *site.rglob("*")):
            path.chmod(0o755)
        objects = tuple(places[name] for name in said.get("objects", ()))
        return Installed(opened.file_name, objects, top_modules(site), said)


def top_modules(site: Path) -> tuple[str, ...]:
    """What can be imported from a directory: modules, packages, and the packages in those without an __init__.py."""
    found = []
    for path in sorted(site.iterdir()):
        match = _MODULE.fullmatch(path.name)
        if not match or path.name in ("scripts", "data", "headers"):
            continue
        if path.is_dir() and not (path / "__init__.py").exists():
            found += [f"{path.name}.{inner.parent.name}" for inner in sorted(path.glob("*/__init__.py"))]
        elif path.is_dir() or path.suffix in (".py", ".so"):
            found.append(match["module"])
    return tuple(dict.fromkeys(found))


def run(root: Root, work: Path, installed: Installed, emulator: tuple[str, ...] = ()) -> list[Trial]:
    """Tries a wheel, which lies in `work`/site, in a root. Raises Failure where nothing can be tried there.

    `emulator`: what runs the root's Python, as seen from inside; it is first shown to trap."""
    if not root.python:
        return _resolve(root, work, installed, installed.objects)
    version = root.run(work, [root.python, "-Ic", VERSION], "", 60)
    if version.returncode:
        raise errors.Failure(f"{root.id}: its Python does not run: {version.stderr.strip()[-300:]}")
    fits = installed.fits(*json.loads(version.stdout))
    shutil.copy(INSIDE, work / INSIDE.name)
    plan = {
        "site": "/mnt/site",
        "modules": installed.modules if fits else (),
        "objects": installed.objects,
        "trap": bool(emulator),
    }
    done = root.run(work, [*emulator, root.python, "-B", f"/mnt/{INSIDE.name}"], json.dumps(plan), SECONDS)
    try:
        rows = json.loads(done.stdout)
    except ValueError:
        raise errors.Failure(f"{root.id}: {done.stderr.strip()[-300:] or 'the trials said nothing'}") from None
    if emulator and any(problem != SIGILL for what, _, problem in rows if what == "trap"):
        raise errors.Failure(f"the emulated processor does not trap on what x86-64-v1 lacks: {rows[:2]}")
    asked = [name for _, name, problem in rows if problem.startswith(LAZILY) or _PROGRAM.search(problem)]
    resolved = {each.name: each for each in _resolve(root, work, installed, asked)} if asked else {}
    trials = [judge(what, name, problem, installed) for what, name, problem in rows if what != "trap"]
    return [resolved.get(each.name, each) if each.what == "load" else each for each in trials]


def judge(what: str, name: str, problem: str, installed: Installed) -> Trial:
    """A trial, from what the process said."""
    return Trial(what, name, problem.removeprefix(LAZILY), decided=not installed.explains(what, problem))


def _resolve(root: Root, work: Path, installed: Installed, objects: Iterable[str]) -> list[Trial]:
    """What the root's loader says about objects without running them: the way where no Python fits.

    Functions of Python itself are left out. Raises Failure where there is no loader."""
    if not root.loader:
        raise errors.Failure(f"{root.id} has neither a Python nor a loader that is known")
    names = "".join(f"{name}\n" for name in objects)
    done = root.run(work, ["/bin/sh", "-c", TRACE, "sh", root.loader], names, SECONDS)
    trials = []
    for part in done.stdout.split("\n== ")[1:]:
        name, _, said = part.partition("\n")
        lines = [line.strip() for line in said.splitlines() if _MISSING.search(line) and not _OF_PYTHON.search(line)]
        trials.append(judge("resolve", name, "; ".join(lines[:5]), installed))
    return trials


def runs_on_old_processors(findings: Iterable[Mapping[str, Any]], above: bool) -> bool | None:
    """Whether a processor of x86-64-v1 runs the wheel, as the doctor says; None where it cannot tell.

    `above`: whether the wheel has instructions that such a processor lacks; something may choose by the processor."""
    if any(found["check"] == "processor-level" and found["level"] == "error" for found in findings):
        return False
    return None if above else True
