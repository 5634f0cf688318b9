"""A dry run over the real pins with whatever this machine can reach: at least its Debian mirror."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from catalogue import pins
from update import native, sightings
from update.report import State

DOCKER = pins.DOCKERFILE.parent


@pytest.mark.network
def test_a_dry_run_reaches_every_pin(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv(sightings.SEEN_VARIABLE, str(tmp_path / "seen.json"))
    monkeypatch.delenv("GITHUB_STEP_SUMMARY", raising=False)
    (tmp_path / "docker").mkdir()  # a copy: somebody may be at work on the tables
    for name in ("Dockerfile", "dependencies.toml", "unconfirmed.toml"):
        shutil.copy(DOCKER / name, tmp_path / "docker")
    dockerfile = tmp_path / "docker" / "Dockerfile"
    before = dockerfile.read_bytes()
    native.main(["--dry-run", "--json", "--allow-unreachable"], tmp_path)
    rows = {row["name"]: row for row in json.loads(capfd.readouterr().out)["rows"]}
    assert set(rows) == set(pins.read(dockerfile))
    assert dockerfile.read_bytes() == before
    for row in rows.values():
        assert "internal error" not in row["reason"], row
        assert bool(row["trust"]) or row["state"] != State.UPDATE, row
    # Debian has these unmodified, so that they can be checked without their upstream.
    for name in ("curl", "openssl", "mpdecimal", "cpython-3.13"):
        assert rows[name]["state"] != State.UNREACHABLE, rows[name]
        assert rows[name]["newest"], rows[name]
