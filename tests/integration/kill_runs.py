"""Starts update runs and kills each at a random moment; a process of its own, so that a run can be forked, not started.

Usage: kill_runs.py TEMPLATE DIRECTORY COUNT SEED. Prints, as JSON, how long one whole run takes and after how many
seconds each of the others was killed (null: it had ended before). Each run has its own copy of TEMPLATE in DIRECTORY.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import shutil
import signal
import sys
import time
from pathlib import Path

import errors
import update_native_dependencies


def start(repository: Path) -> int:
    """Forks a run in a process group of its own, as a terminal or a CI runner has it; returns its process id."""
    process = os.fork()
    if process == 0:
        os.setpgid(0, 0)
        with open(os.devnull, "w") as nothing:  # noqa: PTH123
            os.dup2(nothing.fileno(), 1)
            os.dup2(nothing.fileno(), 2)
        os._exit(errors.run(lambda: update_native_dependencies.main([], repository)))
    with contextlib.suppress(ProcessLookupError):  # it may be over already
        os.setpgid(process, process)  # both sides do it: the group must be there before the first kill
    return process


def main() -> None:
    """Runs once to the end, then kills the others."""
    template, directory, count, seed = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4])
    chance = random.Random(seed)
    shutil.copytree(template, directory / "whole", symlinks=True)
    started = time.monotonic()
    os.waitpid(start(directory / "whole"), 0)
    whole = time.monotonic() - started
    killed: list[float | None] = []
    for number in range(count):
        repository = directory / str(number)
        shutil.copytree(template, repository, symlinks=True)
        delay = chance.uniform(0, whole)
        process = start(repository)
        time.sleep(delay)
        ended = os.waitpid(process, os.WNOHANG) != (0, 0)
        if not ended:
            # Every other time the whole group dies with it, as when a terminal is closed.
            (os.killpg if number % 2 else os.kill)(process, signal.SIGKILL)
            os.waitpid(process, 0)
        killed.append(None if ended else delay)
    time.sleep(1)  # a git that outlived the last run comes to its end
    json.dump({"whole": whole, "killed": killed}, sys.stdout)


if __name__ == "__main__":
    main()
