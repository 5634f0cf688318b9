"""The one progress display: what stays in a log, what a terminal shows, many threads at once."""

from __future__ import annotations

import io
import re
import threading
import time

import pytest

from portable import progress
from portable.progress import Progress


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_log_gets_one_line_for_each_task() -> None:
    stream = io.StringIO()
    with Progress(stream) as shown, shown.task("git 2.55.0", total=8_000_000) as task:
        task.advance(4_000_000)
        task.advance(4_000_000)
    assert re.fullmatch(r"git 2\.55\.0: 8\.0 MB \(\d\.\d s\)\n", stream.getvalue())


def test_a_note_replaces_the_amount() -> None:
    stream = io.StringIO()
    with Progress(stream) as shown:
        with shown.task("suites", total=2, unit=" suites") as task:
            task.advance(2)
        with shown.task("index") as task:
            task.note = "9 suites"
        with shown.task("nothing to count"):
            pass
    assert [line.rpartition(" (")[0] for line in stream.getvalue().splitlines()] == [
        "suites: 2 suites",
        "index: 9 suites",
        "nothing to count: done",
    ]


def test_failures_are_left_to_who_handles_them() -> None:
    stream = io.StringIO()
    with Progress(stream) as shown, pytest.raises(ValueError, match="x"), shown.task("git"):
        raise ValueError("x")
    assert stream.getvalue() == ""


def test_a_silent_log_gets_a_sign_of_life(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "HEARTBEAT_SECONDS", 0.01)
    stream = io.StringIO()
    with Progress(stream) as shown, shown.task("git", total=100) as task:
        task.advance(42)
        while "..." not in stream.getvalue():
            time.sleep(0.01)
    assert stream.getvalue().startswith("... git 42 % of 100 B\n")


def test_a_terminal_is_left_with_the_lasting_lines_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "REFRESH_SECONDS", 0.01)
    monkeypatch.delenv("CI", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    stream = Terminal()
    with Progress(stream) as shown, shown.task("git", total=100) as task:
        task.advance(50)
        task.note = "attempt 2"
        shown.say("a line that stays")
        while "50 % of 100 B  attempt 2" not in stream.getvalue():
            time.sleep(0.01)
    first, second = screen(stream.getvalue())
    assert (first, second.partition(" (")[0]) == ("a line that stays", "git: attempt 2")


def test_many_tasks_do_not_scroll(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "REFRESH_SECONDS", 0.01)
    stream = Terminal()
    with Progress(stream, live=True) as shown:
        tasks = [shown.task(f"task {number}").__enter__() for number in range(30)]
        while "more" not in stream.getvalue():
            time.sleep(0.01)
        assert len(screen(stream.getvalue())) == progress.SHOWN + 1
        for task in tasks:
            task.__exit__(None, None, None)


def test_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "REFRESH_SECONDS", 0.001)
    stream = Terminal()

    def work(name: int) -> None:
        for step in range(20):
            with shown.task(f"{name}-{step}", total=10) as task:
                task.advance(10)

    with Progress(stream, live=True) as shown:
        threads = [threading.Thread(target=work, args=(name,)) for name in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    lines = screen(stream.getvalue())
    assert sorted(line.partition(":")[0] for line in lines) == sorted(f"{n}-{s}" for n in range(8) for s in range(20))


def test_quiet_says_nothing() -> None:
    stream = Terminal()
    with Progress(stream, quiet=True) as shown, shown.task("git") as task:
        task.advance(1)
        shown.say("nothing")
    assert stream.getvalue() == ""


@pytest.mark.parametrize("setting", [("CI", "true"), ("TERM", "dumb")])
def test_no_live_view_where_it_would_garble(monkeypatch: pytest.MonkeyPatch, setting: tuple[str, str]) -> None:
    monkeypatch.setattr(progress, "REFRESH_SECONDS", 0.01)
    monkeypatch.setenv(*setting)
    stream = Terminal()
    with Progress(stream) as shown, shown.task("git"):
        time.sleep(0.05)
    assert "\x1b" not in stream.getvalue()


@pytest.mark.parametrize(
    ("amount", "text"),
    [(0, "0 B"), (999, "999 B"), (1000, "1.0 kB"), (53_153_930, "53.2 MB"), (2_000_000_000, "2.0 GB")],
)
def test_sizes(amount: int, text: str) -> None:
    assert progress.size(amount) == text


def screen(written: str) -> list[str]:
    """What a terminal shows in the end: follows "n lines up", "clear to the end" and "clear this line"."""
    lines: list[str] = [""]
    row = 0
    position = 0
    while position < len(written):
        if written.startswith("\x1b[2K", position):
            lines[row] = ""
            position += 4
        elif written.startswith("\x1b[", position):
            end = next(at for at in range(position, len(written)) if written[at].isalpha())
            if written[end] == "A":
                row -= int(written[position + 2 : end])
            else:
                assert written[end] == "J"
                del lines[row + 1 :]
                lines[row] = ""
            position = end + 1
        elif written[position] == "\n":
            row += 1
            if row == len(lines):
                lines.append("")
            position += 1
        else:
            lines[row] += written[position]
            position += 1
    return [line for line in lines if line]


def test_a_timed_task_says_how_long() -> None:
    stream = io.StringIO()
    with Progress(stream) as shown, shown.task("git", timed=True) as task:
        task.note = "step 2 of 3"
        assert task.describe() == "git  0 s  step 2 of 3"
    assert stream.getvalue() == "git: step 2 of 3 (0 s)\n"
    assert progress.duration(725) == "12 min 05 s"
