"""The probe that every engine has to build and run, and what it is made of."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.support.programs import RECORDS, recorded, values

from engine import probe
from engine.engine import Engine
from engine.probe import Probe
from portable import errors

Program = Callable[[str, str], Path]


def test_a_program_runs_with_nothing_but_what_was_copied(tmp_path: Path) -> None:
    probe.copy_with_libraries("bash", tmp_path)
    loader = next(tmp_path.glob("lib*/**/ld-linux*"))
    libraries = ":".join({str(path.parent) for path in tmp_path.rglob("*.so*")})
    argv = [str(loader), "--inhibit-cache", "--library-path", libraries, str(tmp_path / "bin/bash"), "-c", "echo yes"]
    assert subprocess.run(argv, capture_output=True, text=True, check=True).stdout == "yes\n"


def test_a_program_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(errors.Failure, match="there is no no-such-program on PATH"):
        probe.copy_with_libraries("no-such-program", tmp_path)


def test_an_engine_that_gives_no_answer_is_given_up_and_its_container_removed(
    program: Program, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    docker = program("docker", f"{RECORDS}\n[[ $1 != run ]] || exec /bin/sleep 30")
    made = Probe(tmp_path)
    monkeypatch.setattr(probe, "SECONDS", 3)
    assert made.failure(Engine("docker", str(docker))) == "no answer within 3 seconds"
    build, run, *removed = (call.split() for call in recorded(docker))
    assert values(build, "--network") == values(run, "--network") == ["none"]
    assert removed == [["rm", "--force", *values(run, "--name")], ["rmi", *values(build, "--tag")]]
