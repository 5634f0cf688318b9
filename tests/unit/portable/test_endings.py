"""How commands end that are told to, or that the system refuses something: in time to clean up, and in one line."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from catalogue import paths
from portable import errors

WAITS = """
import sys, time
from portable import errors
def main():
    try:
        print("ready", flush=True)
        time.sleep(60)
    finally:
        time.sleep(0.5)
        print("cleaned", flush=True)
sys.exit(errors.run(main))
"""
RUN = "import sys\nfrom portable import errors\ndef main():\n    {}\nsys.exit(errors.run(main))\n"


def started(code: str, *before: str, **env: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [*before, sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": str(paths.ROOT / "scripts"), **env},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_it_cleans_up_however_often_it_is_told(number: signal.Signals) -> None:
    with started(WAITS) as process:
        assert process.stdout is not None and process.stdout.readline() == "ready\n"
        process.send_signal(number)
        time.sleep(0.2)  # a signal that comes while another waits is one with it
        for each in (signal.SIGHUP, signal.SIGTERM):
            process.send_signal(each)
        out, err = process.communicate(timeout=20)
    assert (out, err, process.returncode) == ("cleaned\n", "interrupted\n", 130)


def test_what_nohup_has_set_stays() -> None:
    with started(WAITS.replace("60", "1"), "nohup") as process:
        assert process.stdout is not None and process.stdout.readline() == "ready\n"
        process.send_signal(signal.SIGHUP)
        out, _ = process.communicate(timeout=20)
    assert (out, process.returncode) == ("cleaned\n", 0)


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("open('/nowhere/file')", "error: /nowhere/file: No such file or directory"),
        ("open('/dev/null/x', 'w')", "error: /dev/null/x: Not a directory"),
        ("open('/', 'w')", "error: /: Is a directory"),
        ("print('x' * 100_000, file=open('/dev/full', 'w'), flush=True)", "error: OSError: No space left on device"),
        ("import os; os.rename('/nowhere', '/x')", "error: /nowhere -> /x: No such file or directory"),
        ("open('/bin/true', encoding='utf-8').read()", "error: what is read is not utf-8: "),
        ("print('\\u2192')", "error: '\\u2192' cannot be written as latin-1"),
        ("raise OSError('of ours')", "error: OSError: of ours"),
    ],
)
def test_what_the_system_refuses_is_one_line(line: str, said: str) -> None:
    with started(RUN.format(line), PYTHONIOENCODING="latin-1") as process:
        _, err = process.communicate(timeout=20)
    assert process.returncode == 1
    assert err.startswith(said) and err.count("\n") == 1


@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_output_that_does_not_fit_is_one_line(unbuffered: str) -> None:
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [sys.executable, "-c", RUN.format("print('x')")],
            env={**os.environ, "PYTHONPATH": str(paths.ROOT / "scripts"), "PYTHONUNBUFFERED": unbuffered},
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
        )
    assert done.returncode == 1
    assert done.stderr.endswith(": No space left on device\n") and done.stderr.count("\n") == 1


def test_a_fault_of_ours_is_no_such_line() -> None:
    with pytest.raises(ZeroDivisionError):
        errors.run(lambda: 1 // 0)


def test_handlers_are_given_back(tmp_path: Path) -> None:
    before = [signal.getsignal(number) for number in errors.ENDINGS]
    assert errors.run(lambda: 3) == 3
    assert [signal.getsignal(number) for number in errors.ENDINGS] == before
