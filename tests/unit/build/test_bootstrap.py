"""What a bootstrap would install, and what it says, without apt, mmdebstrap or an engine."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest
from tests.support.programs import program

from build import bootstrap
from catalogue import images
from debian import base as debian_base
from debian.base import Base
from engine.engine import Engine
from engine.settings import EngineSettings
from host import machine
from host.site import Site
from plan.plan import Request, decide
from portable import errors

CATALOGUE = images.load()
BASE = Base("bookworm", "debian-12", "amd64", "linux/amd64")
S390X = Base("bookworm", "debian-12", "s390x", "linux/s390x")
PODMAN = Engine("podman", "podman")


def test_only_what_is_missing_is_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "debian_architecture", lambda: "amd64")
    monkeypatch.setattr(shutil, "which", lambda name: None)
    assert bootstrap.missing_packages(PODMAN, BASE) == ("mmdebstrap",)
    assert bootstrap.missing_packages(None, BASE) == (*bootstrap.ENGINE_PACKAGES, "mmdebstrap")
    i386 = Base("bookworm", "debian-12", "i386", "linux/386")
    assert bootstrap.missing_packages(PODMAN, i386) == ("mmdebstrap", "arch-test")
    assert bootstrap.missing_packages(PODMAN, S390X) == ("mmdebstrap", "arch-test", *debian_base.QEMU_PACKAGES)
    monkeypatch.setattr(shutil, "which", lambda name: f"/usr/bin/{name}")
    assert bootstrap.missing_packages(PODMAN, BASE) == ()


def test_qemu_is_installed_only_where_it_is_needed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "debian_architecture", lambda: "amd64")
    program(tmp_path / "arch-test", f'[[ -e "{tmp_path}/$1" ]]')
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    assert bootstrap.missing_packages(PODMAN, S390X)[-2:] == debian_base.QEMU_PACKAGES
    (tmp_path / "s390x").touch()
    assert not set(debian_base.QEMU_PACKAGES) & set(bootstrap.missing_packages(PODMAN, S390X))


def test_no_podman_is_installed_for_who_wants_docker(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MANYLINUX_BUILD_FRONTEND", "docker")
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(errors.Failure, match="MANYLINUX_BUILD_FRONTEND=docker does not work here: there is no docker"):
        bootstrap.show(CATALOGUE.image("manylinux_2_36_x86_64"), Site())


# --- Words for people -----------------------------------------------------------------------------------------


def test_it_says_first_what_it_is_going_to_do() -> None:
    image = CATALOGUE.image("manylinux_2_36_x86_64")
    steps = bootstrap.steps(None, ("podman", "mmdebstrap"), BASE, image)
    assert "podman, mmdebstrap" in steps[0] and BASE.reference in steps[1]
    assert len(bootstrap.steps(PODMAN, (), BASE, image)) == 3


def test_the_end_says_how_to_use_the_image(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    plan = decide(CATALOGUE.image("manylinux_2_36_i686"), Request(tag="mine"))
    bootstrap.tell_how_to_use(Engine("podman", "/usr/bin/podman", EngineSettings(limits=True, network="host")), plan)
    said = capsys.readouterr().err
    launcher = tmp_path / "manylinux" / "bin" / "podman"
    reference = "quay.io/pypa/manylinux_2_36_i686:mine"
    assert f"{launcher} run --rm --network=host {reference} manylinux-interpreters list --installed\n" in said
    assert f'{launcher} run --rm --network=host -it --volume "$PWD":/io {reference}\n' in said
    assert f'PATH={launcher.parent}:"$PATH" cibuildwheel' in said
    assert f"CIBW_MANYLINUX_I686_IMAGE={reference}" in said
    assert "CIBW_CONTAINER_ENGINE='podman; create_args: --network=host'" in said
    bootstrap.tell_how_to_use(Engine("docker", "docker"), plan)
    assert "CIBW_CONTAINER_ENGINE" not in capsys.readouterr().err


def test_cibuildwheel_is_told_the_pythons_of_a_partial_image_and_the_cas_of_the_site() -> None:
    image = CATALOGUE.image("manylinux_2_36_x86_64")
    plan = decide(image, Request(interpreters=("cp39-cp39", "cp313-cp313", "cp313-cp313t")))
    assert bootstrap.cibuildwheel_settings(Engine("docker", "docker"), plan, Path("/etc/site.pem")) == {
        "CIBW_MANYLINUX_X86_64_IMAGE": "quay.io/pypa/manylinux_2_36_x86_64:latest-partial",
        "CIBW_BUILD": "cp39-manylinux_x86_64 cp313-manylinux_x86_64",
        "CIBW_CONTAINER_ENGINE": "docker; create_args: --volume=/etc/site.pem:/opt/_internal/certs.pem:ro",
        "CIBW_ENVIRONMENT": "PIP_CERT=/opt/_internal/certs.pem",
    }
    whole = decide(image, Request())
    assert list(bootstrap.cibuildwheel_settings(Engine("docker", "docker"), whole)) == ["CIBW_MANYLINUX_X86_64_IMAGE"]
