"""A dry run over the real pins with whatever this machine can reach: at least its Debian mirror."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import choice
import pins
import update_native_dependencies
from report import State


@pytest.mark.network
def test_a_dry_run_reaches_every_pin(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv(choice.SEEN_VARIABLE, str(tmp_path / "seen.json"))
    monkeypatch.delenv("GITHUB_STEP_SUMMARY", raising=False)
    before = pins.DOCKERFILE.read_bytes()
    update_native_dependencies.main(["--dry-run", "--json", "--allow-unreachable"])
    rows = {row["name"]: row for row in json.loads(capfd.readouterr().out)["rows"]}
    assert set(rows) == set(pins.read())
    assert pins.DOCKERFILE.read_bytes() == before
    for row in rows.values():
        assert "internal error" not in row["reason"]
        assert bool(row["trust"]) or row["state"] != State.UPDATE
    # Debian has these unmodified, so that they can be checked without their upstream.
    for name in ("curl", "openssl", "mpdecimal", "cpython-3.13"):
        assert rows[name]["state"] != State.UNREACHABLE
        assert rows[name]["newest"]
