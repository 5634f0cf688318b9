"""What an engine needs beyond its defaults, as options, environment and podman's configuration file."""

from __future__ import annotations

import resource
from pathlib import Path

import pytest

from engine.settings import EngineSettings


def test_settings_are_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    assert EngineSettings(limits=True, runtime="/usr/bin/runc", storage="vfs").env() == {
        "CONTAINERS_CONF": str(tmp_path / "manylinux" / "containers.conf"),
        "STORAGE_DRIVER": "vfs",
    }
    assert EngineSettings().env() == {}


def test_limits_are_those_that_this_process_may_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda which: (100, 4096 if which == resource.RLIMIT_NOFILE else -1))
    assert EngineSettings(limits=True, runtime="/usr/bin/runc").podman_conf() == (
        '[containers]\ndefault_ulimits = ["nofile=4096:4096", "nproc=32768:32768"]\n'
        '[engine]\nruntime = "/usr/bin/runc"\n'
    )
