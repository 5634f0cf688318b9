"""The choice among engines that are only scripts here."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.support.programs import FAILS, RECORDS, recorded

from engine import choose
from portable import errors, places

Program = Callable[[str, str], Path]
NEEDS_RUNC = f"""{RECORDS}
[[ $1 != build ]] || grep -q '^runtime = .*runc' "$CONTAINERS_CONF" || {{ echo 'Error: no crun' >&2; exit 1; }}"""
DENIES_LABELLED = f"""shopt -s extglob
{RECORDS}
[[ "$*" == *label=disable* || $1 != @(build|buildx|run) ]] || {{ echo 'Error: Permission denied' >&2; exit 1; }}"""


def test_the_first_that_works_is_chosen(program: Program) -> None:
    program("docker", FAILS)
    podman = program("podman", RECORDS)
    engine = choose.engine()
    assert (engine.name, engine.executable) == ("podman", str(podman))


def test_docker_without_buildx_is_still_docker(program: Program) -> None:
    program("docker", f"[[ $1 != buildx ]] || {{ {FAILS}; }}")
    program("podman", RECORDS)
    assert choose.engine().name == "docker"


def test_every_executable_on_path_is_tried(program: Program, tmp_path: Path) -> None:
    working = program("docker", RECORDS).rename(tmp_path / "tools" / "docker")
    program("docker", FAILS)
    assert choose.engine().executable == str(working)


def test_a_directory_on_path_that_cannot_be_looked_into_is_passed_over(
    program: Program, monkeypatch: pytest.MonkeyPatch
) -> None:
    podman = program("podman", RECORDS)
    monkeypatch.setenv("PATH", f"/{'x' * 300}:{os.environ['PATH']}")  # refused to root, too
    assert choose.engine().executable == str(podman)


def test_podman_is_tried_with_ever_more_settings_and_these_are_remembered(program: Program) -> None:
    program("runc", "")
    podman = program("podman", NEEDS_RUNC)
    engine, attempts = choose.find()
    assert engine is not None and engine.settings.runtime.endswith("/runc") and engine.settings.limits
    assert {attempt.reason for attempt in attempts} == {"Error: no crun"}
    assert "lower limits" in choose.listed(attempts)
    Path(f"{podman}.calls").unlink()
    assert choose.find() == (engine, [])


def test_a_remembered_setting_that_no_longer_works_is_given_up(program: Program) -> None:
    program("runc", "")
    program("podman", NEEDS_RUNC)
    choose.find()
    program("podman", f"[[ -z ${{CONTAINERS_CONF-}} ]] || exit 1\n{RECORDS}")
    engine, attempts = choose.find()
    assert engine is not None and engine.settings.runtime == ""
    assert attempts


def test_a_broken_memory_is_no_memory(program: Program) -> None:
    program("podman", RECORDS)
    places.state().mkdir(parents=True)
    (places.state() / "podman.json").write_text("{", encoding="utf-8")
    assert choose.engine().name == "podman"


def test_an_engine_of_choice_is_the_only_one_tried(program: Program, monkeypatch: pytest.MonkeyPatch) -> None:
    program("docker", FAILS)
    program("podman", RECORDS)
    monkeypatch.setenv("MANYLINUX_BUILD_FRONTEND", "docker")
    with pytest.raises(errors.Failure, match="MANYLINUX_BUILD_FRONTEND=docker does not work") as caught:
        choose.engine()
    assert "Error: no such daemon" in str(caught.value) and "podman (" not in str(caught.value)


def test_without_an_engine_it_says_what_was_tried_and_what_to_do(program: Program) -> None:
    with pytest.raises(errors.Failure, match="neither docker nor podman") as caught:
        choose.engine()
    assert "--bootstrap" in str(caught.value)
    docker = program("docker", FAILS)
    with pytest.raises(errors.Failure, match="no container engine works") as caught:
        choose.engine()
    assert f"docker-buildx ({docker}): Error: no such daemon" in str(caught.value)
    assert f"docker ({docker}): Error: no such daemon" in str(caught.value)


def test_an_unknown_engine_is_wrong_input(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MANYLINUX_BUILD_FRONTEND", "buildah")
    with pytest.raises(errors.UserError, match="docker-buildx, docker, podman"):
        choose.engine()


@pytest.mark.parametrize("name", ["docker", "podman"])
def test_where_selinux_forbids_mounts_labels_are_taken_off(
    name: str, program: Program, monkeypatch: pytest.MonkeyPatch
) -> None:
    executable = program(name, DENIES_LABELLED)
    assert choose.find()[0] is None
    monkeypatch.setattr(choose, "_selinux", lambda: True)
    engine, attempts = choose.find()
    assert engine is not None and engine.settings.unlabelled and attempts
    assert "SELinux labels disabled" in str(engine.settings)
    assert any(call.startswith("run") and "--security-opt label=disable" in call for call in recorded(executable))
    program(name, RECORDS)
    assert choose.engine().settings.unlabelled == (name == "podman"), "as podman's settings are remembered"


def test_the_network_is_one_that_a_build_can_use(program: Program) -> None:
    program("docker", f'[[ "$*" != *"buildx build"* || "$*" == *"--network "* ]] || {{ {FAILS}; }}\n{RECORDS}')
    assert choose.engine().settings.network == "host"
    program("docker", RECORDS)
    assert choose.engine().settings.network == ""
