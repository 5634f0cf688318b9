"""An engine's output during a build, by stages of the Dockerfile: which are at work, how long, and which one failed.

Two formats are understood: BuildKit's plain progress (docker-buildx and docker) and podman's. BuildKit says which stage
each line belongs to. podman does not: the last lines before a failure are then those of all stages at work.
"""

from __future__ import annotations

import collections
import re
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TextIO

from engine.commands import ImageBuild
from engine.engine import Engine
from portable import errors
from portable.progress import Progress, Task

TAIL = 25  # lines of a failed stage that are shown
HEARTBEAT = 60.0  # seconds; stages take minutes

_VERTEX = re.compile(r"#(?P<vertex>\d+) \[(?:\S+/\S+ )?(?:(?P<stage>\S+) +)?(?P<step>\d+)/(?P<of>\d+)\] (?P<what>.*)")
_STATE = re.compile(r"#(?P<vertex>\d+) (?P<state>DONE|CACHED|CANCELED|ERROR)\b")
_OUTPUT = re.compile(r"#(?P<vertex>\d+) (?P<seconds>\d+\.\d+) ?(?P<text>.*)")
_STEP = re.compile(r"(?:\[(?P<number>\d+)/\d+\] )?STEP (?P<step>\d+)/(?P<of>\d+): (?P<what>.*)")
_ALIAS = re.compile(r"FROM \S+ AS (?P<name>\S+)", re.IGNORECASE)
_FAILED_AT = re.compile(r'Error: building at STEP "(?P<what>.*?)": ')


@dataclass
class Stage:
    """A stage at work: its current step, and whether anything of it was not in the cache (as far as BuildKit says)."""

    name: str
    step: int = 0
    of: int = 0
    what: str = ""
    task: Task | None = None
    started: float = 0.0
    worked: bool = False
    lines: collections.deque[str] = field(default_factory=lambda: collections.deque(maxlen=TAIL))


class Stages:
    """Follows a build, line by line. `shown` gets a task for each stage at work, `log` every line."""

    def __init__(self, shown: Progress | None = None, log: TextIO | None = None) -> None:
        self._shown, self._log = shown, log
        self._stages: dict[str, Stage] = {}
        self._vertices: dict[str, Stage] = {}
        self._numbers: dict[str, Stage] = {}
        self._arrows = 0  # podman's steps that have ended since a step was announced
        self._recent: collections.deque[str] = collections.deque(maxlen=TAIL)
        self._failed: Stage | None = None

    @property
    def running(self) -> list[str]:
        """The stages at work, each with its time."""
        now = time.monotonic()
        return [f"{s.name} {now - s.started:.0f} s" for s in self._stages.values() if s.task or s.started]

    @property
    def failed(self) -> str:
        """The stage that has failed; "" if that is not known."""
        return self._failed.name if self._failed else ""

    @property
    def last_lines(self) -> list[str]:
        """The last lines of the stage that has failed; of all stages if it is not known."""
        return list(self._failed.lines if self._failed and self._failed.lines else self._recent)

    def line(self, text: str) -> None:
        """Takes the next line of the engine's output."""
        if self._log:
            self._log.write(text)
        text = text.rstrip()
        for pattern, follow in self._patterns():
            if match := pattern.fullmatch(text) or pattern.match(text):
                follow(match)
                return
        if text and not text.startswith("#"):
            self._podman_output(text)

    def end(self, failed: bool = False) -> None:
        """Ends the stages at work: the build has ended."""
        for stage in list(self._stages.values()):
            self._finish(stage, said=not failed)

    def _patterns(self) -> tuple[tuple[re.Pattern[str], Callable[[re.Match[str]], None]], ...]:
        return (
            (_VERTEX, self._vertex),
            (_STATE, self._state),
            (_OUTPUT, self._output),
            (_STEP, self._step),
            (_FAILED_AT, self._failed_at),
        )

    def _stage(self, name: str) -> Stage:
        return self._stages.setdefault(name, Stage(name))

    def _begin(self, stage: Stage, step: int, of: int, what: str) -> None:
        stage.step, stage.of, stage.what = step, of, what
        if what.upper().startswith("FROM "):  # the first step may come much later
            return
        if not stage.started:
            stage.started = time.monotonic()
            if self._shown:
                stage.task = self._shown.task(stage.name, timed=True)
                stage.task.__enter__()
        if stage.task:
            stage.task.note = f"step {step} of {of}: {' '.join(what.split())[:60]}"

    def _finish(self, stage: Stage, said: bool = True) -> None:
        if stage.task:
            stage.task.note = ""
            stage.task.__exit__(*((None, None, None) if said else (RuntimeError, None, None)))
        self._stages.pop(stage.name, None)
        stage.task, stage.started = None, 0.0

    # --- BuildKit ---

    def _vertex(self, match: re.Match[str]) -> None:
        if match["vertex"] not in self._vertices:  # the line comes again after another stage's output
            stage = self._vertices[match["vertex"]] = self._stage(match["stage"] or "image")
            self._begin(stage, int(match["step"]), int(match["of"]), match["what"])

    def _output(self, match: re.Match[str]) -> None:
        if stage := self._vertices.get(match["vertex"]):
            stage.worked = True
            stage.lines.append(match["text"])
            self._recent.append(match["text"])

    def _state(self, match: re.Match[str]) -> None:
        stage = self._vertices.get(match["vertex"])
        if stage is None:
            return
        if match["state"] == "ERROR":
            self._failed = self._failed or stage
            stage.lines.append(match.string.partition("ERROR: ")[2])
        elif match["state"] == "CACHED" and not stage.worked:
            self._finish(stage, said=False)
        elif match["state"] == "DONE" and stage.step == stage.of:
            self._finish(stage)

    # --- podman ---

    def _step(self, match: re.Match[str]) -> None:
        number, what = match["number"] or "1", match["what"]
        stage = self._numbers.get(number)
        if stage is None:
            alias = _ALIAS.match(what)
            stage = self._numbers[number] = self._stage(alias["name"] if alias else "image")
        elif self._arrows:  # its step before has ended
            self._arrows -= 1
        self._settle_arrows()
        self._begin(stage, int(match["step"]), int(match["of"]), what)

    def _podman_output(self, text: str) -> None:
        if text.startswith("--> "):
            self._arrows += not text.startswith("--> Using cache")
            return
        self._settle_arrows()
        self._recent.append(text)

    def _settle_arrows(self) -> None:
        """Ends stages whose last step has ended. podman does not say which these are: the oldest ones."""
        while self._arrows:
            self._arrows -= 1
            last = [stage for stage in self._numbers.values() if stage.started and stage.step == stage.of]
            if last:
                self._finish(last[0])

    def _failed_at(self, match: re.Match[str]) -> None:
        self._recent.append(match.string)
        running = [stage for stage in self._numbers.values() if stage.started]
        same = [stage for stage in running if _letters(stage.what) == _letters(match["what"])]
        candidates = same or running
        self._failed = candidates[0] if len(candidates) == 1 else None


def _letters(text: str) -> str:
    """The letters of an instruction: podman repeats one with other quotes, brackets and white space."""
    return re.sub(r"\W", "", text)


def run(engine: Engine, build: ImageBuild, reference: str, log: Path | None) -> None:
    """Runs a build and shows its stages, with the rest in `log`; None: shows everything that the engine prints.

    Raises Failure with the stage that failed and its last lines."""
    stages, status = _verbose(engine, build) if log is None else _logged(engine, build, log)
    if not status:
        return
    place = f" in {stages.failed}" if stages.failed else ""
    if log is None:
        raise errors.Failure(f"the build of {reference} failed{place}, see above; no tag was moved")
    said = "".join(f"\n    {line}" for line in stages.last_lines)
    raise errors.Failure(
        f"the build of {reference} failed{place}; no tag was moved. What it said last:{said}\nAll of it: {log}"
    )


def _verbose(engine: Engine, build: ImageBuild) -> tuple[Stages, int]:
    stages = Stages()

    def each(line: str) -> None:
        stages.line(line)
        print(line, end="", file=sys.stderr, flush=True)

    return stages, engine.stream(engine.build(build), each)


def _logged(engine: Engine, build: ImageBuild, log: Path) -> tuple[Stages, int]:
    log.parent.mkdir(parents=True, exist_ok=True)
    print(f"==> its whole log: {log}", file=sys.stderr, flush=True)
    status = 1
    with log.open("w", encoding="utf-8", buffering=1) as file, Progress(heartbeat=HEARTBEAT) as progress:
        stages = Stages(progress, file)
        try:
            status = engine.stream(engine.build(build), stages.line)
        finally:
            stages.end(failed=bool(status))
    return stages, status
