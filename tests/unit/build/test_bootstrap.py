"""A bootstrap without apt, mmdebstrap or an engine: what it would do, and what it refuses."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from build import bootstrap
from catalogue import images
from debian import base as debian_base
from debian.base import Base
from engine.engine import Engine
from engine.settings import EngineSettings
from host import machine as this_machine
from host.mirror import Mirror
from plan import plan as plans
from portable import errors

CATALOGUE = images.load()
BASE = Base("bookworm", "debian-12", "amd64", "linux/amd64")
S390X = Base("bookworm", "debian-12", "s390x", "linux/s390x")
MIRROR = Mirror("http://me:secret@example.org/debian", "http://example.org/debian", "", ("check-valid-until=no",))
PODMAN = Engine("podman", "podman")


@pytest.mark.parametrize(
    ("name", "base"),
    [
        ("manylinux_2_36_x86_64", BASE),
        ("manylinux_2_36_i686", Base("bookworm", "debian-12", "i386", "linux/386")),
        ("manylinux_2_36_armv7l", Base("bookworm", "debian-12", "armhf", "linux/arm/v7")),
        ("manylinux_2_41_riscv64", Base("trixie", "debian-13", "riscv64", "linux/riscv64")),
    ],
)
def test_the_suite_comes_from_the_policy(name: str, base: Base) -> None:
    assert debian_base.base_of(CATALOGUE.image(name)) == base
    assert base.reference == f"localhost/manylinux-base:{base.release}-{base.architecture}"


@pytest.mark.parametrize("name", ["manylinux_2_28_x86_64", "manylinux_2_35_armv7l", "musllinux_1_2_x86_64"])
def test_only_debian_is_made_from_a_debian_mirror(name: str) -> None:
    with pytest.raises(errors.UserError, match="--base"):
        debian_base.base_of(CATALOGUE.image(name))


def test_the_default_policy_can_be_bootstrapped() -> None:
    assert debian_base.base_of(CATALOGUE.find(CATALOGUE.bootstrap_policy, "x86_64")) == BASE


def test_only_what_is_missing_is_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(this_machine, "debian_architecture", lambda: "amd64")
    monkeypatch.setattr(shutil, "which", lambda name: None)
    assert bootstrap.missing_packages(PODMAN, BASE) == ("mmdebstrap",)
    assert bootstrap.missing_packages(None, BASE) == (*bootstrap.ENGINE_PACKAGES, "mmdebstrap")
    i386 = Base("bookworm", "debian-12", "i386", "linux/386")
    assert bootstrap.missing_packages(PODMAN, i386) == ("mmdebstrap", "arch-test")
    assert bootstrap.missing_packages(PODMAN, S390X) == ("mmdebstrap", "arch-test", *debian_base.QEMU_PACKAGES)
    monkeypatch.setattr(shutil, "which", lambda name: f"/usr/bin/{name}")
    assert bootstrap.missing_packages(PODMAN, BASE) == ()


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An amd64 machine: what arch-test finds is a file in this directory; update-binfmts adds those in `more`."""
    monkeypatch.setattr(this_machine, "debian_architecture", lambda: "amd64")
    (tmp_path / "more").mkdir()
    for name, script in {"arch-test": '[ -e "$1" ]', "update-binfmts": "cp more/* ."}.items():
        path = tmp_path / name
        path.write_text(f"#!/bin/sh\ncd '{tmp_path}' && {script}\n", encoding="utf-8")
        path.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    return tmp_path


def test_qemu_is_installed_only_where_it_is_needed(machine: Path) -> None:
    assert not debian_base.runs("s390x") and debian_base.runs("amd64")
    assert bootstrap.missing_packages(PODMAN, S390X)[-2:] == debian_base.QEMU_PACKAGES
    (machine / "s390x").touch()
    assert debian_base.runs("s390x")
    assert not set(debian_base.QEMU_PACKAGES) & set(bootstrap.missing_packages(PODMAN, S390X))


def test_qemu_is_registered_where_no_service_has_done_it(machine: Path) -> None:
    with pytest.raises(errors.Failure, match="update-binfmts --enable"):
        debian_base.register_qemu("s390x")
    (machine / "more" / "s390x").touch()
    debian_base.register_qemu("s390x")
    assert (machine / "s390x").exists()


def test_without_root_it_says_what_root_must_do() -> None:
    with pytest.raises(errors.UserError, match=r"sudo apt-get install .*--no-install-recommends podman mmdebstrap"):
        debian_base.check_machine(MIRROR, ("podman", "mmdebstrap"), root=False)
    debian_base.check_machine(MIRROR, (), root=False)
    debian_base.check_machine(MIRROR, ("podman",), root=True)


def test_another_distribution_is_refused() -> None:
    with pytest.raises(errors.UserError, match="works on Debian"):
        debian_base.check_machine(None, (), root=True)


def test_what_apt_would_install() -> None:
    simulation = "Reading...\nInst conmon (2.1 Debian:12)\nInst podman (4.3)\nConf podman (4.3)\n"
    assert debian_base.to_be_installed(simulation) == ["conmon", "podman"]


def test_the_base_is_made_again_only_when_the_archive_or_the_recipe_changes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = debian_base.made_from(BASE, [b"Date: a", b"Date: b"])
    assert debian_base.made_from(BASE, [b"Date: a", b"Date: b"]) == first
    assert debian_base.made_from(BASE, [b"Date: a", b"Date: c"]) != first
    assert debian_base.made_from(Base("trixie", "debian-13", "amd64", "linux/amd64"), [b"Date: a", b"Date: b"]) != first
    recipe = tmp_path / "recipe.sh"
    recipe.write_text("other", encoding="utf-8")
    monkeypatch.setattr(debian_base, "CUSTOMIZE", recipe)
    assert debian_base.made_from(BASE, [b"Date: a", b"Date: b"]) != first


def test_everything_in_the_base_has_the_date_of_the_newest_index() -> None:
    releases = [b"Suite: x\nDate: Sat, 01 Nov 2025 10:00:00 UTC\n", b"Date: Sun, 02 Nov 2025 10:00:00 UTC\n"]
    assert debian_base.epoch(releases) == 1762077600
    assert debian_base.epoch(list(reversed(releases))) == 1762077600
    with pytest.raises(errors.Failure, match="no date"):
        debian_base.epoch([b"Date: yesterday\n", b"Date: \xff\n"])


def test_mmdebstrap_gets_no_password_as_an_argument() -> None:
    argv = debian_base.mmdebstrap_command(BASE, MIRROR, Path("/root.tar"))
    assert argv[-3:] == ["bookworm", "/root.tar", "-"]
    assert "--architectures=amd64" in argv
    assert '--aptopt=Acquire::Check-Valid-Until "false"' in argv
    assert "secret" not in " ".join(argv)


# --- The base's own sources -----------------------------------------------------------------------------------


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """What mmdebstrap leaves: sources and settings of this machine, logs, and the documentation of apt."""
    for name in ("etc/apt/sources.list.d", "etc/apt/apt.conf.d", "var/log", "var/lib/apt/lists", "var/cache/apt"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "etc/apt/sources.list").write_text("deb http://mirror.of.this.machine/debian bookworm main\n")
    (tmp_path / "etc/apt/apt.conf.d/99mmdebstrap").write_text("Acquire::Check-Valid-Until false;\n")
    for name in ("etc/resolv.conf", "etc/hostname", "var/log/dpkg.log", "var/lib/apt/lists/x_InRelease"):
        (tmp_path / name).write_text("mirror.of.this.machine\n")
    return tmp_path


def customized(root: Path) -> str:
    """Everything in the root's files after the hook."""
    subprocess.run([debian_base.CUSTOMIZE, root], check=True)
    files = [path for path in sorted(root.rglob("*")) if path.is_file() and "usr/share/doc" not in str(path)]
    return "".join(path.read_text() for path in files)


def test_the_sources_of_the_base_are_the_distributions_default(root: Path) -> None:
    examples = root / "usr/share/doc/apt/examples"
    examples.mkdir(parents=True)
    (examples / "sources.list").write_text(
        "# See sources.list(5)\ndeb http://deb.example.org/debian bookworm main contrib non-free\n"
        "deb http://deb.example.org/debian-security bookworm-security main contrib\n"
        "#deb-src http://deb.example.org/debian bookworm main contrib\n"
    )
    assert customized(root) == (
        "deb http://deb.example.org/debian bookworm main\n"
        "deb http://deb.example.org/debian-security bookworm-security main\n"
    )


def test_the_sources_of_a_newer_base_too(root: Path) -> None:
    examples = root / "usr/share/doc/apt/examples"
    examples.mkdir(parents=True)
    (examples / "debian.sources").write_text(
        "# See\nTypes: deb\nURIs: http://deb.example.org/debian\nSuites: trixie\nComponents: main contrib non-free\n"
    )
    assert customized(root).splitlines()[-1] == "Components: main"
    assert (root / "etc/apt/sources.list.d/debian.sources").is_file()
    assert not (root / "etc/apt/sources.list").exists()


def test_a_base_without_documented_sources_is_an_error(root: Path) -> None:
    with pytest.raises(subprocess.CalledProcessError):
        customized(root)


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
    plan = plans.plan(CATALOGUE.image("manylinux_2_36_i686"), plans.Request(tag="mine"))
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
    plan = plans.plan(image, plans.Request(interpreters=("cp39-cp39", "cp313-cp313", "cp313-cp313t")))
    assert bootstrap.cibuildwheel_settings(Engine("docker", "docker"), plan, Path("/etc/site.pem")) == {
        "CIBW_MANYLINUX_X86_64_IMAGE": "quay.io/pypa/manylinux_2_36_x86_64:latest-partial",
        "CIBW_BUILD": "cp39-manylinux_x86_64 cp313-manylinux_x86_64",
        "CIBW_CONTAINER_ENGINE": "docker; create_args: --volume=/etc/site.pem:/opt/_internal/certs.pem:ro",
        "CIBW_ENVIRONMENT": "PIP_CERT=/opt/_internal/certs.pem",
    }
    whole = plans.plan(image, plans.Request())
    assert list(bootstrap.cibuildwheel_settings(Engine("docker", "docker"), whole)) == ["CIBW_MANYLINUX_X86_64_IMAGE"]


# Like mmdebstrap: a signal is noted, what it has started is waited for, and then it cleans up.
PATIENT = """
import pathlib, signal, subprocess, sys
signal.signal(signal.SIGTERM, lambda *_: None)
child = subprocess.Popen(["sleep", "300"])
pathlib.Path(sys.argv[1], "started").touch()
child.wait()
pathlib.Path(sys.argv[1], "cleaned").touch()
"""


@pytest.mark.parametrize("background", [False, True])
def test_an_interrupted_mmdebstrap_ends_at_once_and_cleans_up(tmp_path: Path, background: bool) -> None:
    if background:
        signal.signal(signal.SIGINT, signal.SIG_IGN)

    def interrupt(*_: object) -> None:
        if (tmp_path / "started").exists():
            signal.setitimer(signal.ITIMER_REAL, 0)
            raise KeyboardInterrupt

    previous = signal.signal(signal.SIGALRM, interrupt)
    signal.setitimer(signal.ITIMER_REAL, 0.1, 0.1)
    try:
        with pytest.raises(KeyboardInterrupt):
            debian_base.run_mmdebstrap([sys.executable, "-c", PATIENT, str(tmp_path)], "", 0)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, previous)
    assert (tmp_path / "cleaned").exists()
