"""Runs tests/smoke in containers of an image, and reports one line a check.

Three things are looked at: the image's configuration, as the engine tells it; the main pass, as root; and a short pass
as uid 1000 without HOME, with a read-only root and an LD_LIBRARY_PATH that does not exist. No container has a network.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import stat
import subprocess
import sys
import tempfile
import threading
import time
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from catalogue.paths import ROOT
from catalogue.versions import version_key
from engine.commands import Mount
from engine.engine import Engine, undisturbed
from plan.expectations import Expectations
from portable import errors, files, scratch
from smoke import configuration, record
from smoke.results import Result, Results
from sources.wheelhouse import WHEELHOUSE

SUITE = ROOT / "tests" / "smoke"
DOCTOR = ROOT / "scripts" / "doctor"  # the suite uses its reader of ELF files
TIME_LIMIT = 3600  # seconds a container may take, generous for emulated platforms


@dataclass(frozen=True)
class Pass:
    """One container: its name for tests/smoke, and how the engine starts it."""

    name: str
    options: Mapping[str, Any]
    prefix: tuple[str, ...] = ()
    mounts: tuple[Mount, ...] = ()


PASSES = (
    Pass("main", {}),
    Pass(
        "restricted",
        # exec: docker's default for tmpfs would forbid to run what was compiled there
        {
            "user": "1000:1000",
            "read_only": True,
            "tmpfs": ("/tmp:exec,mode=1777",),
            "env": {"LD_LIBRARY_PATH": "/nonexistent"},
        },
        ("env", "-u", "HOME"),
        # podman gives an unknown user an entry there, docker does not; pip and pipx want a home directory on both.
        (Mount(SUITE / "data" / "passwd", "/etc/passwd"),),
    ),
)


def shipped_files(root: Path = ROOT) -> dict[str, tuple[str, bool]]:
    """Path in an image -> sha256 and whether it is executable, of the files that are copied there as they are."""
    rootfs = root / "docker" / "rootfs"
    files = {f"/{path.relative_to(rootfs)}": path for path in rootfs.rglob("*") if path.is_file()}
    files = {name: path for name, path in files.items() if "__pycache__" not in name}
    return {
        name: (hashlib.sha256(path.read_bytes()).hexdigest(), bool(path.stat().st_mode & 0o100))
        for name, path in sorted(files.items())
    }


def drivers(expected: Expectations) -> list[str]:
    """The tags of the interpreters that can run the suite: the tools' own, then those that stand in if it is broken."""
    rows = [row for row in expected["interpreters"] if row["implementation"] == "cpython"]
    able = [row["tag"] for row in rows if version_key(row["minor"]) >= (3, 11)]
    return sorted(able, key=lambda tag: tag != expected["tools_python"])


def _run_pass(
    engine: Engine,
    reference: str,
    which: Pass,
    mounts: Sequence[Mount],
    arguments: Sequence[str],
    python: str,
    results: Results,
) -> bool:
    """Runs the suite in one container on one interpreter; returns whether it came to its end. `mounts`: all it has."""
    name = f"manylinux-smoke-{uuid.uuid4().hex[:12]}"
    argv = [*which.prefix, python, "-B", "-m", "smoke", which.name, *arguments]
    command = engine.run(reference, argv, mounts=mounts, name=name, workdir="/", **which.options)
    ended = False
    late = threading.Event()
    start = time.monotonic()

    def stop() -> None:
        late.set()
        engine.ask(engine.remove_container(name))  # the client alone could end and leave the container
        process.kill()

    with tempfile.TemporaryFile("w+", errors="replace") as complaints:
        with subprocess.Popen(
            command,
            env=engine.environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=complaints,
            text=True,
            errors="replace",
        ) as process:
            guard = threading.Timer(TIME_LIMIT, stop)
            guard.daemon = True
            guard.start()
            try:
                for line in process.stdout or ():
                    event = _event(line)
                    if isinstance(event, Result):
                        results.add(event)
                    ended = ended or event == "done"
                process.wait()
            except BaseException:
                process.kill()
                ended = False
                raise
            finally:
                guard.cancel()
                if not ended:  # otherwise it is gone already
                    with undisturbed():
                        engine.ask(engine.remove_container(name))
        ended = ended and not late.is_set()
        if not ended:
            complaints.seek(0)
            said = complaints.read().strip().splitlines()[-12:]
            how = f"was stopped after {TIME_LIMIT} s" if late.is_set() else f"ended with status {process.returncode}"
            problem = f"the {which.name} pass {how} before its checks did"
            seconds = round(time.monotonic() - start, 3)
            results.add(Result(f"{which.name}-pass", python.split("/")[3], ("\n".join([problem, *said]),), seconds))
    return ended


def _for_everybody(mount: Mount, directory: Path) -> Mount:
    """The mount, or one of a copy in `directory` where others may not do with the files what their owner may.

    A checkout of a strict umask is such a place, and uid 1000 of the restricted pass is not its owner."""
    paths = (mount.source, *mount.source.rglob("*"))
    if all(stat.S_IMODE(path.stat().st_mode) == files.shared_mode(path) for path in paths):
        return mount
    copy = directory / mount.target.strip("/").replace("/", "-")
    if mount.source.is_dir():
        shutil.copytree(mount.source, copy)
    else:
        shutil.copy(mount.source, copy)
    files.share(copy)
    return replace(mount, source=copy)


def _event(line: str) -> Result | str:
    """A line of tests/smoke: a result, "start", "done", or "" for anything else."""
    try:
        row = json.loads(line)
    except ValueError:
        return ""
    if "check" in row:
        return Result(row["check"], row["interpreter"], tuple(row["problems"]), row["seconds"], row.get("skipped", ""))
    return next(iter(row), "")


def run(
    engine: Engine,
    reference: str,
    expectations: Expectations,
    *,
    wheelhouse: Path = WHEELHOUSE,
    junit: Path | None = None,
    json_file: Path | None = None,
    only: Sequence[str] = (),
    jobs: int = 0,
    mounts: Sequence[Mount] = (),
    name: str = "",
) -> bool:
    """Smoke-tests an image; prints a line a check and a summary on standard error. Returns whether all checks passed.

    `only` are globs of check names, `jobs` limits how many run at a time, `mounts` are added to every container. Writes
    the results to `junit` and `json_file`, in which the image is called `name`. Raises UserError without an image or
    wheelhouse."""
    if not any(wheelhouse.glob("setuptools-*.whl")):
        raise errors.UserError(f"{wheelhouse} has no setuptools for the test wheels: run `invoke prefetch` first")
    pyinstaller = expectations["shared"].get("pyinstaller", "")
    if pyinstaller and not any((wheelhouse / pyinstaller).glob("pyinstaller-*.whl")):
        raise errors.UserError(f"{wheelhouse / pyinstaller} has no PyInstaller: run `invoke test`, which fetches it")
    results = Results(name or reference)
    wanted = list(only) or ["*"]
    for result in configuration.inspect(engine, reference, expectations):
        if any(fnmatchcase(result.check, pattern) for pattern in wanted):
            results.add(result)
    if any(fnmatchcase("image-run", pattern) for pattern in wanted):
        results.add(_run_through_entrypoint(engine, reference))
    arguments = [word for pattern in only for word in ("--only", pattern)]
    arguments += ["--jobs", str(jobs)] if jobs else []
    arguments += [word for mount in mounts for word in ("--outside", mount.target)]
    with scratch.directory() as directory:
        expect = directory / "expect.json"
        expect.write_text(json.dumps({**expectations, "shipped": shipped_files()}), encoding="utf-8")
        for each in (directory, expect):  # uid 1000 in the container must be able to read it
            each.chmod(0o755)
        shared = [
            Mount(SUITE, "/smoke"),
            Mount(DOCTOR, "/doctor"),
            Mount(wheelhouse, "/wheelhouse"),
            Mount(expect, "/smoke-expect.json"),
            *mounts,
        ]
        shared = [_for_everybody(mount, directory) for mount in shared]
        for which in PASSES:
            mounts = [*shared, *(_for_everybody(mount, directory) for mount in which.mounts)]
            for tag in drivers(expectations):
                python = f"/opt/python/{tag}/bin/python"
                if _run_pass(engine, reference, which, mounts, arguments, python, results):
                    break
    if not results.results:
        raise errors.UserError(f"no check is called {' or '.join(only)}")
    for path, text in ((junit, results.junit()), (json_file, results.json())):
        if path:
            path.write_text(text, encoding="utf-8")
    if not only:
        record.note_pass(engine, reference, results.passed)
    print(results.summary(), file=sys.stderr, flush=True)
    return results.passed


def _run_through_entrypoint(engine: Engine, reference: str) -> Result:
    """What `run IMAGE COMMAND...` does with arguments and exit status."""
    start = time.monotonic()
    words = ["a b", "", "it's", '"quoted"', "$HOME", "*"]
    command = ["bash", "-c", 'printf "[%s]" "$@"; exit 7', "bash", *words]
    try:
        done = engine.contain(reference, command, seconds=TIME_LIMIT)
    except errors.Failure as error:
        return Result("image-run", "", (str(error),), round(time.monotonic() - start, 3))
    problems = []
    if done.returncode != 7:
        problems.append(f"exit status 7 becomes {done.returncode}: {done.stderr.strip()[-300:]}")
    if done.stdout != "".join(f"[{word}]" for word in words):
        problems.append(f"the arguments {words} arrive as {done.stdout!r}")
    return Result("image-run", "", tuple(problems), round(time.monotonic() - start, 3))
