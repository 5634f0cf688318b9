"""Shows what a long command does: a live view on a terminal, a plain line now and then everywhere else.

    with Progress() as progress:
        with progress.task("git 2.55.0", total=7_500_000) as task:
            task.advance(65_536)

Tasks may run in any thread. Everything goes to stderr, so that stdout stays data.
"""

from __future__ import annotations

import os
import shutil
import sys
import threading
import time
from types import TracebackType
from typing import TextIO

REFRESH_SECONDS = 0.2  # of the live view
HEARTBEAT_SECONDS = 20.0  # between plain lines: a log that is silent for longer looks like a hang
SHOWN = 12  # tasks in the live view; more would scroll
_CLEAR = "\x1b[2K"


class Task:
    """One thing being done. The end of its `with` block reports it; an exception is reported by its handler."""

    def __init__(self, progress: Progress, name: str, total: int | None, unit: str, timed: bool) -> None:
        self._progress, self.name, self.unit, self._timed = progress, name, unit, timed
        self.total, self.done, self.note = total, 0, ""
        self.started = time.monotonic()

    def advance(self, amount: int) -> None:
        """Counts `amount` more bytes or steps as done."""
        self.done += amount

    def restart(self, done: int = 0, total: int | None = None) -> None:
        """Starts counting again, for instance after a retry; keeps the old total when none is given."""
        self.done, self.total = done, total or self.total

    def describe(self) -> str:
        """The state in one line: name, time, share or amount done, note."""
        amount = duration(time.monotonic() - self.started) if self._timed else ""
        if self.total:
            amount = f"{min(100, 100 * self.done // self.total):3d} % of {size(self.total, self.unit)}"
        elif self.done:
            amount = size(self.done, self.unit)
        return "  ".join(part for part in (self.name, amount, self.note) if part)

    def __enter__(self) -> Task:
        self._progress._add(self)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        seconds = time.monotonic() - self.started
        result = self.note or (size(self.done, self.unit) if self.done else "done")
        took = duration(seconds) if self._timed else f"{seconds:.1f} s"
        self._progress._remove(self, None if kind else f"{self.name}: {result} ({took})")


def say(text: str) -> None:
    """Tells people on standard error what a command does now."""
    print(f"==> {text}", file=sys.stderr, flush=True)


class Progress:
    """The one display of a command.

    `quiet`: show nothing; `live`: redraw in place, by default on a terminal; `heartbeat`: seconds between plain lines
    elsewhere."""

    def __init__(
        self,
        stream: TextIO | None = None,
        *,
        live: bool | None = None,
        quiet: bool = False,
        heartbeat: float | None = None,
    ) -> None:
        self._stream = stream or sys.stderr
        usable = self._stream.isatty() and os.environ.get("TERM") != "dumb" and not os.environ.get("CI")
        self._live = (usable if live is None else live) and not quiet
        self._quiet = quiet
        self._heartbeat = heartbeat
        self._lock = threading.Lock()
        self._tasks: list[Task] = []
        self._drawn = 0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._refresh, daemon=True)

    def task(self, name: str, total: int | None = None, unit: str = "B", timed: bool = False) -> Task:
        """A new task, for a `with` statement. `total` is in bytes, or in steps when `unit` is "".

        `timed`: show how long it has taken so far instead of an amount."""
        return Task(self, name, total, unit, timed)

    def say(self, line: str) -> None:
        """Writes a line above the live view."""
        if not self._quiet:
            with self._lock:
                self._erase()
                print(line, file=self._stream, flush=True)
                self._draw()

    def __enter__(self) -> Progress:
        if not self._quiet:
            self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join()
        with self._lock:
            self._erase()

    def _add(self, task: Task) -> None:
        with self._lock:
            self._tasks.append(task)

    def _remove(self, task: Task, line: str | None) -> None:
        with self._lock:
            self._tasks.remove(task)
        if line:
            self.say(line)

    def _refresh(self) -> None:
        while not self._stop.wait(REFRESH_SECONDS if self._live else self._heartbeat or HEARTBEAT_SECONDS):
            with self._lock:
                if self._live:
                    self._erase()
                    self._draw()
                elif self._tasks:
                    states = "; ".join(" ".join(task.describe().split()) for task in self._tasks[:SHOWN])
                    print(f"... {states}", file=self._stream, flush=True)

    def _draw(self) -> None:
        if self._live:
            width = shutil.get_terminal_size().columns - 1
            lines = [f"  {task.describe()}"[:width] for task in self._tasks[:SHOWN]]
            if len(self._tasks) > SHOWN:
                lines.append(f"  and {len(self._tasks) - SHOWN} more"[:width])
            self._stream.write("".join(f"{_CLEAR}{line}\n" for line in lines))
            self._stream.flush()
            self._drawn = len(lines)

    def _erase(self) -> None:
        if self._drawn:
            self._stream.write(f"\x1b[{self._drawn}A\x1b[J")
            self._drawn = 0


def duration(seconds: float) -> str:
    """A time for people: "4 s", "12 min 05 s"."""
    minutes, rest = divmod(int(seconds), 60)
    return f"{minutes} min {rest:02d} s" if minutes else f"{rest} s"


def size(amount: int, unit: str = "B") -> str:
    """A number of bytes for people ("7.5 MB"), or a plain count for other units."""
    if unit != "B":
        return f"{amount}{unit}"
    if amount < 1000:
        return f"{amount} B"
    for power, prefix in ((3, "G"), (2, "M"), (1, "k")):
        if amount >= 1000**power:
            return f"{amount / 1000**power:.1f} {prefix}B"
    raise AssertionError(amount)
