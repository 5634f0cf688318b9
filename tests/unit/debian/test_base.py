"""A base image from the Debian archive, without apt or mmdebstrap: what it is made of, and what is refused."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from tests.support.programs import program

from catalogue import images
from debian import base as debian_base
from debian.base import Base
from host import machine as this_machine
from host.mirror import Mirror
from portable import errors

CATALOGUE = images.load()
BASE = Base("bookworm", "debian-12", "amd64", "linux/amd64")
MIRROR = Mirror("http://me:secret@example.org/debian", "http://example.org/debian", "", ("check-valid-until=no",))


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
    assert debian_base.debian_base_of(CATALOGUE.image(name)) == base
    assert base.reference == f"localhost/manylinux-base:{base.release}-{base.architecture}"


@pytest.mark.parametrize("name", ["manylinux_2_28_x86_64", "manylinux_2_35_armv7l", "musllinux_1_2_x86_64"])
def test_only_debian_is_made_from_a_debian_mirror(name: str) -> None:
    with pytest.raises(errors.UserError, match="--base"):
        debian_base.debian_base_of(CATALOGUE.image(name))


def test_the_default_policy_can_be_bootstrapped() -> None:
    assert debian_base.debian_base_of(CATALOGUE.find(CATALOGUE.bootstrap_policy, "x86_64")) == BASE


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An amd64 machine: what arch-test finds is a file in this directory; update-binfmts adds those in `more`."""
    monkeypatch.setattr(this_machine, "debian_architecture", lambda: "amd64")
    (tmp_path / "more").mkdir()
    for name, script in {"arch-test": '[ -e "$1" ]', "update-binfmts": "cp more/* ."}.items():
        program(tmp_path / name, f"cd '{tmp_path}' && {script}")
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    return tmp_path


def test_qemu_is_registered_where_no_service_has_done_it(machine: Path) -> None:
    assert debian_base.runs("amd64") and not debian_base.runs("s390x")
    with pytest.raises(errors.Failure, match="update-binfmts --enable"):
        debian_base.register_qemu("s390x")
    (machine / "more" / "s390x").touch()
    debian_base.register_qemu("s390x")
    assert debian_base.runs("s390x")


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


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """What mmdebstrap leaves: sources and settings of this machine, logs, and the documentation of apt."""
    for name in ("etc/apt/sources.list.d", "etc/apt/apt.conf.d", "etc/dpkg/dpkg.cfg.d"):
        (tmp_path / name).mkdir(parents=True)
    for name in ("var/log", "var/lib/apt/lists", "var/cache/apt"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "etc/apt/sources.list").write_text("deb http://mirror.of.this.machine/debian bookworm main\n")
    (tmp_path / "etc/apt/apt.conf.d/99mmdebstrap").write_text("Acquire::Check-Valid-Until false;\n")
    (tmp_path / "etc/dpkg/dpkg.cfg.d/99mmdebstrap").write_text("path-exclude=/usr/share/man/*\n")
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
