"""Starts update runs and kills each at a random moment; a process of its own, so that a run can be forked, not started.

Usage: kill_runs.py TEMPLATE DIRECTORY COUNT SEED. Each run has its own copy of TEMPLATE in DIRECTORY. A run has a stage
for each commit it has made so far. One is watched to its end, to know how long they take. Of each other, a stage and a
moment of it are drawn by lot: that hits every stage, however slow or busy the machine is. Goes on until COUNT runs were
killed, in DIRECTORY/0 and so on, and prints as JSON when that was. Nothing that a run started is left by then.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import random
import shutil
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from portable import errors
from update import native

PR_SET_CHILD_SUBREAPER = 36  # prctl(2)
POLL_SECONDS = 0.0005


def start(repository: Path) -> int:
    """Forks a run in a process group of its own, as a terminal or a CI runner has it; returns its process id."""
    process = os.fork()
    if process == 0:
        os.setpgid(0, 0)
        with open(os.devnull, "w") as nothing:  # noqa: PTH123
            os.dup2(nothing.fileno(), 1)
            os.dup2(nothing.fileno(), 2)
        os._exit(errors.run(lambda: native.main([], repository)))
    with contextlib.suppress(ProcessLookupError):  # it may be over already
        os.setpgid(process, process)  # both sides do it: the group must be there before the first kill
    return process


def stages(process: int, repository: Path) -> Iterator[int]:
    """The number of commits that a run has made, again and again until it ends."""
    log = repository / ".git" / "logs" / "HEAD"
    before = log.read_bytes().count(b"\n")
    while os.waitpid(process, os.WNOHANG) == (0, 0):
        yield log.read_bytes().count(b"\n") - before
        time.sleep(POLL_SECONDS)


def bury() -> None:
    """Waits for whatever a run has left behind: as their subreaper, this process inherits all orphans."""
    with contextlib.suppress(ChildProcessError):
        while True:
            os.waitpid(-1, 0)


def watch(repository: Path) -> list[float]:
    """Runs to the end; returns how many seconds each stage took."""
    begun = [time.monotonic()]
    for stage in stages(start(repository), repository):
        if stage == len(begun):
            begun.append(time.monotonic())
    bury()
    return [end - begin for begin, end in zip(begun, [*begun[1:], time.monotonic()], strict=True)]


def kill(repository: Path, wanted: int, delay: float, *, group: bool) -> bool:
    """Kills a run, perhaps with its group, so long after the wanted stage began; returns whether it still ran."""
    process = start(repository)
    moment: float | None = None
    for stage in stages(process, repository):
        if moment is None and stage >= wanted:
            moment = time.monotonic() + delay
        if moment is not None and time.monotonic() >= moment:
            (os.killpg if group else os.kill)(process, signal.SIGKILL)
            bury()
            return True
    bury()
    return False


def main() -> None:
    """Watches one run, then kills the others."""
    template, directory, count, seed = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4])
    ctypes.CDLL(None, use_errno=True).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    chance = random.Random(seed)
    shutil.copytree(template, directory / "whole", symlinks=True)
    seconds = watch(directory / "whole")
    killed: list[dict[str, object]] = []
    while len(killed) < count:
        repository = directory / str(len(killed))
        shutil.copytree(template, repository, symlinks=True)
        stage = chance.randrange(len(seconds))
        delay = chance.uniform(0, seconds[stage])
        group = chance.random() < 0.5  # as when a terminal is closed
        if kill(repository, stage, delay, group=group):
            killed.append({"stage": stage, "delay": delay, "group": group})
        else:
            shutil.rmtree(repository)
    json.dump(killed, sys.stdout)


if __name__ == "__main__":
    main()
