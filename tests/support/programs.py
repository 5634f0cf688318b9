"""Programs that stand in for others, and Python processes that use our modules and can be told to end."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from noxfile import PROGRAMS

from catalogue.paths import ROOT

FAILS = "echo noise >&2; echo 'Error: no such daemon' >&2; exit 1"


def require(*names: str) -> None:
    """Skips the test where one of these programs of noxfile's table is missing."""
    for name in names:
        if not shutil.which(name):
            pytest.skip(f"needs {name}: apt-get install {' '.join(PROGRAMS[name])}")


def program(path: Path, script: str) -> Path:
    """Writes a bash script that can be run under the name of a program; returns its path."""
    path.write_text(f"#!/bin/bash\n{script}\n", encoding="utf-8")
    path.chmod(0o755)
    return path


def recorded(path: Path) -> list[str]:
    """The calls of a program whose script ends with RECORDS, a line each."""
    return Path(f"{path}.calls").read_text(encoding="utf-8").splitlines()


RECORDS = 'echo "$@" >>"$0.calls"'


def values(argv: Sequence[str], option: str) -> list[str]:
    """What follows each `option` of an argument list."""
    return [argv[i + 1] for i, word in enumerate(argv) if word == option]


def python(code: str, env: dict[str, str] | None = None, **options: Any) -> subprocess.Popen[str]:
    """A process that runs `code` with the packages of scripts/."""
    search = {"PYTHONPATH": str(ROOT / "scripts"), **(env or {})}
    return subprocess.Popen([sys.executable, "-c", code], env={**os.environ, **search}, text=True, **options)


def wait_until(true: Callable[[], object], seconds: float = 20) -> None:
    """Returns when a condition is true, or when it has had its time."""
    deadline = time.monotonic() + seconds
    while not true() and time.monotonic() < deadline:
        time.sleep(0.05)
