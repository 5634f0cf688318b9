"""A machine whose engines are only scripts."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.support import programs

from engine import choose


@pytest.fixture
def program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str, str], Path]:
    """Makes a script that stands in for a program, first on PATH."""
    directory, tools = tmp_path / "bin", tmp_path / "tools"
    for each in (directory, tools):
        each.mkdir()
    for name in ("bash", "grep", "ldd", "mv", "timeout", "touch"):
        (tools / name).symlink_to(shutil.which(name) or name)
    monkeypatch.setenv("PATH", f"{directory}:{tools}")
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.delenv(choose.FRONTEND, raising=False)
    monkeypatch.setattr(choose, "_root_is_mount_point", lambda: True)  # whatever the machine, a chroot too
    return lambda name, script: programs.program(directory / name, script)
