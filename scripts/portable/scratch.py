"""Directories for one run: for secrets, inputs of smoke tests and probes, which must not stay.

A process that is killed cannot remove its own, so every run first removes those that other runs of this user have
left. A directory is in use while a process holds the lock on the file beside it. Standard library only.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from portable import files

PREFIX = "manylinux-run-"
_LOCK = ".lock"


@contextlib.contextmanager
def directory() -> Iterator[Path]:
    """A directory that only this user can read. It is removed afterwards, or after a kill by the next run."""
    sweep()
    # The file is locked before it gets the name that another run's sweep looks for.
    descriptor, name = tempfile.mkstemp(prefix=PREFIX)
    lock, place = Path(f"{name}{_LOCK}"), Path(f"{name}.d")
    try:
        files.try_lock(descriptor)
        Path(name).rename(lock)
        place.mkdir(mode=0o700)
        yield place
    finally:
        shutil.rmtree(place, ignore_errors=True)
        for left in (Path(name), lock):
            left.unlink(missing_ok=True)
        os.close(descriptor)


def sweep() -> None:
    """Removes the directories of this user's killed runs."""
    for lock in Path(tempfile.gettempdir()).glob(f"{PREFIX}*{_LOCK}"):
        with contextlib.suppress(OSError):
            if lock.lstat().st_uid != os.geteuid():
                continue
            with lock.open("r+b") as file:
                if files.try_lock(file.fileno()):
                    shutil.rmtree(lock.with_suffix(".d"), ignore_errors=True)
                    lock.unlink()
