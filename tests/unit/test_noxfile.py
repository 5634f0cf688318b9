"""What nox makes of the exit status of a script: its own failures are all 1."""

from __future__ import annotations

from pathlib import Path

import noxfile
import pytest


class Session:
    """As much of nox.Session as a session that runs a script needs."""

    posargs = ("--only", "name")

    def log(self, text: str) -> None:
        pass

    def error(self, reason: str) -> None:
        raise AssertionError(reason)


@pytest.mark.parametrize(
    ("status", "outcome"), [(0, None), (1, AssertionError("update native ended with status 1")), (2, SystemExit(2))]
)
def test_wrong_use_ends_nox_with_its_status(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, status: int, outcome: BaseException | None
) -> None:
    (tmp_path / "scripts").mkdir()
    dev = tmp_path / "scripts" / "dev"
    dev.write_text(f'#!/bin/sh\ntest "$*" = "python scripts update native --only name" && exit {status}\n')
    dev.chmod(0o755)
    monkeypatch.setattr(noxfile, "ROOT", tmp_path)
    caught: BaseException | None = None
    try:
        noxfile.script(Session(), "update", "native")  # type: ignore[arg-type]
    except (AssertionError, SystemExit) as error:
        caught = error
    assert repr(caught) == repr(outcome)
