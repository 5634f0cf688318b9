"""Directories for one run: they go, also those of a run that was killed, and nobody's that is still at work."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from catalogue import paths
from portable import scratch

HOLDS = """
import sys
from portable import scratch
with scratch.directory() as place:
    (place / "secret").write_text("password")
    print(place, flush=True)
    sys.stdin.read()
"""


@pytest.fixture(autouse=True)
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


def holder(temporary: Path) -> tuple[subprocess.Popen[str], Path]:
    """A run at work, and its directory."""
    env = {**os.environ, "TMPDIR": str(temporary), "PYTHONPATH": str(paths.ROOT / "scripts")}
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDS], env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    return process, Path(process.stdout.readline().strip())


def test_it_is_private_and_goes(temporary: Path) -> None:
    with scratch.directory() as place:
        assert stat.S_IMODE(place.stat().st_mode) == 0o700
        (place / "secret").touch()
    assert list(temporary.iterdir()) == []


def test_what_a_killed_run_has_left_goes_at_the_next(temporary: Path) -> None:
    process, place = holder(temporary)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert (place / "secret").exists()
    with scratch.directory():
        assert not place.exists()
    assert list(temporary.iterdir()) == []


def test_who_is_at_work_keeps_his(temporary: Path) -> None:
    process, place = holder(temporary)
    with scratch.directory():
        assert (place / "secret").read_text() == "password"
    process.communicate("")
    assert list(temporary.iterdir()) == []


def test_what_is_no_directory_of_ours_stays(temporary: Path) -> None:
    other = temporary / f"{scratch.PREFIX}x"
    other.mkdir()
    scratch.sweep()
    assert other.is_dir()
