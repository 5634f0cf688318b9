"""The file of what runs saw first: whole at every moment, and shared by sessions."""

from __future__ import annotations

import json
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path
from unittest import mock

import pytest

from portable import errors
from update import sightings
from update.sightings import Sightings

NOW = datetime(2026, 11, 21, tzinfo=UTC)


def test_it_is_remembered(tmp_path: Path) -> None:
    path = tmp_path / "state" / "seen.json"
    with mock.patch.dict("os.environ", {sightings.SEEN_VARIABLE: str(path)}):
        first = Sightings.of_this_user()
        assert first.first("tool", "1.0", NOW) == NOW
        first.save()
        again = Sightings.of_this_user()
        assert again.first("tool", "1.0", datetime.now(UTC)) == NOW
        again.forget("tool", "1.0")
        assert again.seen("tool", "1.0") is None
        again.save()
        assert json.loads(path.read_text()) == {}


@pytest.mark.parametrize(
    "text",
    [b"{", b"[]", b"null", b'{"tool": 1}', b'{"tool": {"1.0": null}}', b'{"tool": {"1.0": "long ago"}}', b"\xff"],
)
def test_a_broken_file_is_no_memory(tmp_path: Path, text: bytes) -> None:
    path = tmp_path / "seen.json"
    path.write_bytes(text)
    found = Sightings(path)
    assert found.first("tool", "1.0", NOW) == NOW
    found.save()
    assert Sightings(path).seen("tool", "1.0") == NOW


@pytest.mark.parametrize("early_first", [True, False])
def test_two_sessions_at_once_keep_what_both_saw(tmp_path: Path, early_first: bool) -> None:
    path = tmp_path / "seen.json"
    early, late = Sightings(path), Sightings(path)
    late.first("tool", "1.0", NOW + timedelta(hours=1))
    late.first("other", "2.0", NOW)
    early.first("tool", "1.0", NOW)
    for found in (early, late) if early_first else (late, early):
        found.save()
    assert Sightings(path).seen("tool", "1.0") == NOW
    assert Sightings(path).seen("other", "2.0") == NOW


def test_a_reader_never_finds_half_a_file(tmp_path: Path) -> None:
    path = tmp_path / "seen.json"
    done = threading.Event()

    def write() -> None:
        for number in range(50):
            found = Sightings(path)
            found.first("tool", f"1.{number}", NOW)
            found.save()
        done.set()

    thread = threading.Thread(target=write)
    thread.start()
    sizes = []
    while not done.is_set():
        if path.exists():
            sizes.append(len(json.loads(path.read_text())["tool"]))
    thread.join()
    assert sizes == sorted(sizes)
    assert list(tmp_path.iterdir()) == [path]


def test_what_cannot_be_kept_is_told(tmp_path: Path) -> None:
    (tmp_path / "state").write_text("no directory")
    found = Sightings(tmp_path / "state" / "seen.json")
    found.save()
    found.first("tool", "1.0", NOW)
    with pytest.raises(errors.Failure, match=rf"cannot be written .*: set {sightings.SEEN_VARIABLE}"):
        found.save()
