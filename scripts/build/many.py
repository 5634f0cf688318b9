"""Builds many images, some of them side by side: each has a log, and a failure does not stop the others."""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from build.log import Stages
from catalogue import images, paths
from catalogue.model import Image
from host import inputs
from portable import errors, outputs
from portable.progress import Progress

BUILD = paths.ROOT / "build.sh"
LOGS = paths.ROOT / "build" / "logs"


@dataclass(frozen=True)
class BuildOutcome:
    """How one build ended."""

    image: Image
    status: int
    seconds: float
    log: Path
    reason: str = ""

    @property
    def state(self) -> str:
        """The outcome in one word."""
        return "failed" if self.status else "ok"


@dataclass
class Builder:
    """Builds images with `build.sh OPTION...`; each has its log in `logs`."""

    options: Sequence[str] = ()
    tag: str = ""
    logs: Path = LOGS
    build: Path = BUILD
    _running: set[subprocess.Popen[str]] = field(default_factory=set)
    _stopping: threading.Event = field(default_factory=threading.Event)

    def all(self, chosen: Sequence[Image], jobs: int, progress: Progress) -> list[BuildOutcome]:
        """Builds the images, `jobs` at a time. After an interrupt, the running builds clean up before it raises."""
        self.logs.mkdir(parents=True, exist_ok=True)
        with ThreadPoolExecutor(jobs) as pool:
            futures = [pool.submit(self._one, image, progress) for image in chosen]
            try:
                return [future.result() for future in futures]
            except BaseException:
                self._stopping.set()
                pool.shutdown(wait=False, cancel_futures=True)
                for process in tuple(self._running):
                    process.terminate()
                raise

    def _one(self, image: Image, progress: Progress) -> BuildOutcome:
        log, start, last = self.logs / f"{image.name}.log", time.monotonic(), ""
        env = {**os.environ, "POLICY": image.policy.name, "PLATFORM": image.platform.name, "VARIANT": image.variant}
        env |= {"COMMIT_SHA": self.tag} if self.tag else {}
        env |= {inputs.VERBOSE: "1"}  # everything goes to our log
        stages = Stages()
        command = [str(self.build), *self.options]
        with (
            progress.task(image.name, timed=True) as task,
            log.open("w", encoding="utf-8") as file,
            subprocess.Popen(
                command,
                env=env,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                errors="replace",
            ) as process,
        ):
            self._running.add(process)
            if self._stopping.is_set():  # the interrupt came while this one started
                process.terminate()
            assert process.stdout is not None
            for line in process.stdout:
                file.write(line)
                stages.line(line)
                if line.startswith(("==> ", "error: ")):
                    last = line.rstrip().removeprefix("==> ")
                    stages.end()
                task.note = ", ".join(stages.running) or last[:100]
            status = process.wait()
            self._running.discard(process)
            task.note = "failed" if status else "ok"
        return BuildOutcome(image, status, time.monotonic() - start, log, last if status else "")


def summary(outcomes: Sequence[BuildOutcome]) -> str:
    """A line for each image, with the last words of those that failed, and how many were built."""
    width = max(len(outcome.image.name) for outcome in outcomes)
    lines = [
        f"{o.state:6}  {o.image.name:{width}}  {o.seconds / 60:6.1f} min  {o.reason or o.log}".rstrip()
        for o in outcomes
    ]
    good = sum(outcome.status == 0 for outcome in outcomes)
    return "\n".join([*lines, f"{good} of {len(outcomes)} built"])


def main() -> int:
    """Builds and smoke-tests many images. The options after `--` go to build.sh."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("image", nargs="+", help="name or glob: '*_x86_64'")
    parser.add_argument("--jobs", type=int, default=1, metavar="N", help="builds side by side (default: 1)")
    parser.add_argument("--tag", default="", help="the tag (default: latest)")
    parser.add_argument("--logs", type=Path, default=LOGS, metavar="DIRECTORY", help="default: build/logs")
    arguments, rest = sys.argv[1:], []
    if "--" in arguments:
        place = arguments.index("--")
        arguments, rest = arguments[:place], arguments[place + 1 :]
    options = parser.parse_args(arguments)
    if options.jobs < 1:
        raise errors.UserError("--jobs must be 1 or more")
    outputs.directory("--logs", options.logs)
    if options.tag:
        inputs.tag("--tag", options.tag)
    catalogue = images.load()
    inputs.build_environment(os.environ, catalogue)
    chosen = catalogue.select(options.image)
    with Progress() as progress:
        outcomes = Builder(rest, options.tag, options.logs).all(chosen, options.jobs, progress)
    print(summary(outcomes))
    return 1 if any(outcome.status for outcome in outcomes) else 0
