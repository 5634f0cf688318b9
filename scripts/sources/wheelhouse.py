"""The wheelhouse of the smoke tests: exactly the wheels that requirements/smoke and requirements/smoke-shared lock."""

from __future__ import annotations

import contextlib
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from catalogue import locks
from catalogue.paths import ROOT
from catalogue.versions import version_key
from portable import environment, errors, files
from portable.progress import Progress
from sources.lock import SOURCES, SourcesLock

WHEELHOUSE = SOURCES / "wheelhouse"
SMOKE_LOCKS = ROOT / "requirements" / "smoke"
SHARED_LOCKS = ROOT / "requirements" / "smoke-shared"

PipRunner = Callable[[Sequence[str], Path], None]
"""Runs `pip <arguments>` with the directory as its working directory. Raises errors.Failure when that fails."""


def smoke_minors(lock: SourcesLock | None = None, directory: Path = SMOKE_LOCKS) -> list[str]:
    """The minors whose smoke-test requirements are locked, without those that the lock leaves out."""
    minors = sorted((path.stem for path in directory.glob("*.txt")), key=version_key)
    return [minor for minor in minors if not lock or f"cpython-{minor}" not in lock["missing"]]


def fill_wheelhouse(
    minors: Iterable[str],
    dest: Path = WHEELHOUSE,
    *,
    directory: Path = SMOKE_LOCKS,
    platforms: Sequence[str] = (),
    run_pip: PipRunner | None = None,
    progress: Progress | None = None,
) -> None:
    """Downloads the wheels that the locks name for the smoke tests of these minors, unless they are there already.

    `platforms`: the platform tags that wheels may have besides "any". `run_pip`: by default the pip of this Python,
    else that of uv. Raises errors.Failure when there is neither or a download fails."""
    dest.mkdir(parents=True, exist_ok=True)
    with contextlib.nullcontext(progress) if progress else Progress() as shown:
        for minor in minors:
            lock = (directory / f"{minor}.txt").read_text(encoding="utf-8")
            if wheels_missing(lock, dest):
                with shown.task(f"wheels for the smoke tests of Python {minor}") as task:
                    _download_wheels(lock, minor, dest, platforms, run_pip or choose_pip())
                    task.note = "complete"
                if absent := wheels_missing(lock, dest):
                    raise errors.Failure(f"pip did not download {', '.join(absent)} for Python {minor}")


def fill_shared_wheelhouse(
    expectations: Mapping[str, Any], dest: Path = WHEELHOUSE, *, run_pip: PipRunner | None = None
) -> None:
    """Downloads what only the smoke tests of a variant with shared interpreters need, into a directory of its own.

    Does nothing for any other image. Raises errors.Failure as `fill_wheelhouse` does."""
    shared = expectations.get("shared") or {}
    if not shared.get("pyinstaller"):
        return
    platform, (major, minor) = expectations["platform"], map(int, expectations["libc_version"].split("."))
    if expectations["libc"] == "glibc":
        tags = ["manylinux2014", *(f"manylinux_{major}_{number}" for number in range(17, minor + 1))]
    else:
        tags = [f"musllinux_{major}_{number}" for number in range(1, minor + 1)]
    fill_wheelhouse(
        [row["minor"] for row in shared["interpreters"]],
        dest / shared["pyinstaller"],
        directory=SHARED_LOCKS,
        platforms=[f"{tag}_{platform}" for tag in tags],
        run_pip=run_pip,
    )


def wheels_missing(lock: str, directory: Path) -> list[str]:
    """The requirements in a lock's text for which the directory has no wheel with a locked hash."""
    present = {files.digest(path) for path in directory.glob("*.whl")}
    rows = locks.requirements(lock).items()
    return [f"{name} {row.version}" for name, row in rows if present.isdisjoint(row.hashes)]


def choose_pip() -> PipRunner:
    """Runs the pip of this Python, else that of uv. Raises errors.Failure when there is neither."""
    if find_spec("pip"):
        command = [sys.executable, "-m", "pip"]
    elif uv := shutil.which("uv"):
        command = [uv, "tool", "run", "pip"]
    else:
        raise errors.Failure("this Python has no pip, and there is no uv: install one of them to download wheels")

    def run(arguments: Sequence[str], directory: Path) -> None:
        result = subprocess.run(
            [*command, *arguments],
            cwd=directory,
            env=environment.for_pip(),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        if result.returncode:
            raise errors.Failure(f"pip {' '.join(arguments)} failed:\n{result.stdout}")

    return run


def _download_wheels(lock: str, minor: str, dest: Path, platforms: Sequence[str], run_pip: PipRunner) -> None:
    # pip evaluates markers for the Python that runs it, not for --python-version. The lock is for one minor only, so
    # everything in it is needed.
    plain = "".join(
        f"{name}=={row.version} {' '.join(f'--hash=sha256:{sha256}' for sha256 in row.hashes)}\n"
        for name, row in locks.requirements(lock).items()
    )
    # Another build may fill the same wheelhouse now: each wheel is moved there complete.
    with tempfile.TemporaryDirectory(dir=dest, prefix=".downloading-") as scratch:
        Path(scratch, "requirements.txt").write_text(plain, encoding="utf-8")
        run_pip(
            [
                *("download", "--quiet", "--disable-pip-version-check", "--require-hashes", "--no-deps"),
                *("--only-binary=:all:", f"--python-version={minor}", "--requirement=requirements.txt", "--dest=."),
                *(f"--platform={platform}" for platform in platforms),
            ],
            Path(scratch),
        )
        for wheel in Path(scratch).glob("*.whl"):
            wheel.replace(dest / wheel.name)
