"""How commands end: exit statuses, and output that nobody reads to its end."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

SCRIPTS = Path(__file__).resolve().parents[3] / "scripts"
SIGPIPE_STATUS = 128 + 13


def run(
    body: str, stdout: int, stderr: int = subprocess.PIPE, unbuffered: str = ""
) -> subprocess.CompletedProcess[str]:
    """A command whose main function is `body`; its streams are as given."""
    lines = [f"import sys; sys.path.insert(0, {str(SCRIPTS)!r})", "from portable import errors", "def main():"]
    code = "\n".join([*lines, *(f"    {line}" for line in body.splitlines()), "sys.exit(errors.run(main))"])
    command = [sys.executable, "-c", code]
    env = {**os.environ, "PYTHONUNBUFFERED": unbuffered}
    return subprocess.run(command, env=env, stdout=stdout, stderr=stderr, text=True, timeout=30, check=False)


@pytest.fixture
def unread() -> Iterator[int]:
    """The writing end of a pipe that nobody reads."""
    reading, writing = os.pipe()
    os.close(reading)
    yield writing
    os.close(writing)


@pytest.mark.parametrize("count", [1, 100_000])
@pytest.mark.parametrize("end", ["", "sys.exit(0)", "raise errors.Failure('x')"])
def test_output_that_nobody_reads_ends_a_command_without_a_word(unread: int, count: int, end: str) -> None:
    done = run(f"print('line\\n' * {count})\n{end}", unread)
    assert done.returncode == SIGPIPE_STATUS
    assert done.stderr in ("", "error: x\n")


@pytest.mark.parametrize("count", [1, 100_000])
def test_the_same_for_what_is_said_on_the_side(unread: int, count: int) -> None:
    done = run(f"print('line\\n' * {count}, file=sys.stderr)", subprocess.PIPE, unread)
    assert (done.returncode, done.stdout) == (SIGPIPE_STATUS, "")


def test_another_broken_connection_is_no_such_end() -> None:
    done = run("raise BrokenPipeError(32, 'of a server')", subprocess.PIPE)
    assert done.returncode == 1
    assert "of a server" in done.stderr


@pytest.mark.parametrize(
    ("body", "status", "stderr"),
    [
        ("print('through')", 0, ""),
        ("return 3", 3, ""),
        ("raise errors.Failure('not done')", 1, "error: not done\n"),
        ("raise errors.UserError('not right')", 2, "error: not right\n"),
        ("raise KeyboardInterrupt", 130, "interrupted\n"),
        ("sys.exit(7)", 7, ""),
    ],
)
def test_exit_statuses(body: str, status: int, stderr: str) -> None:
    done = run(body, subprocess.PIPE)
    assert (done.returncode, done.stderr) == (status, stderr)


@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_a_full_disk_is_said_in_one_line(unbuffered: str) -> None:
    with Path("/dev/full").open("w", encoding="utf-8") as full:
        done = run("print('x')", full.fileno(), unbuffered=unbuffered)
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    assert done.stderr.startswith("error: ") and done.stderr.endswith("No space left on device\n")


def test_without_any_standard_output() -> None:
    command = ["sh", "-c", 'exec "$@" >&-', "sh", sys.executable, "-c"]
    code = f"import sys; sys.path.insert(0, {str(SCRIPTS)!r}); from portable import errors\n"
    code += "sys.exit(errors.run(lambda: print('x')))"
    done = subprocess.run([*command, code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
