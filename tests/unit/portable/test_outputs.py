"""What is to be written at the end is refused at the beginning where it cannot be."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from portable import errors, outputs


def test_what_can_be_written_passes(tmp_path: Path) -> None:
    (tmp_path / "old").touch()
    for name in ("new", "old"):
        outputs.file("--junit", tmp_path / name)
    outputs.file("--junit", None)
    outputs.directory("--cache", tmp_path / "new" / "deep")
    outputs.directory("--cache", None)
    assert [path.name for path in tmp_path.iterdir()] == ["old"], "looking leaves nothing behind"


@pytest.mark.parametrize("where", ["missing/x.xml", ".", "file/x.xml"])
def test_a_file_that_cannot_be_written(where: str, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(errors.UserError, match="--junit") as caught:
        outputs.file("--junit", tmp_path / where)
    assert str(tmp_path) in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize("where", ["file", "file/deeper"])
def test_a_directory_that_cannot_be_made(where: str, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(errors.UserError, match="--cache"):
        outputs.directory("--cache", tmp_path / where)


@pytest.mark.parametrize("path", [Path("/proc/new"), Path("/proc/version")])
def test_where_nobody_may_write(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "access", lambda where, mode: False)  # root may, as far as access(2) knows
    with pytest.raises(errors.UserError, match="cannot be written"):
        outputs.file("--json", path)
    with pytest.raises(errors.UserError, match="cannot be written"):
        outputs.directory("--logs", Path("/proc/new"))
