"""One name for this machine, whoever is asked for it."""

from __future__ import annotations

import platform
import re
from pathlib import Path

import pytest

from build import bootstrap
from build import command as build
from catalogue import images
from catalogue.model import Image
from host import machine
from sources import command as sources_command

ROOT = Path(__file__).resolve().parents[3]


@pytest.mark.parametrize(
    ("said", "expected", "go"),
    [
        ("x86_64", "x86_64", "amd64"),
        ("AMD64", "x86_64", "amd64"),
        ("X64", "x86_64", "amd64"),
        ("arm64", "aarch64", "arm64"),
        ("ARM64", "aarch64", "arm64"),
        ("armv8l", "armv7l", "arm"),
        ("armhf", "armv7l", "arm"),
        ("i586", "i686", "386"),
        ("386", "i686", "386"),
        ("ppc64el", "ppc64le", "ppc64le"),
        ("loong64", "loongarch64", "loong64"),
        ("sparc64", "sparc64", "sparc64"),
    ],
)
def test_every_spelling(said: str, expected: str, go: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert (machine.platform(said), machine.go_architecture(said)) == (expected, go)
    monkeypatch.setattr(platform, "machine", lambda: said)
    assert (machine.platform(), machine.go_architecture()) == (expected, go)


def test_every_platform_is_its_own_name() -> None:
    for name, row in images.load().platforms.items():
        for said in (name, row.go, row.debian):
            assert machine.platform(said) == name
        assert machine.go_architecture(name) == row.go


@pytest.mark.parametrize(
    ("wanted", "processor", "native"),
    [
        *(("386", "amd64", True), ("i386", "x86_64", True), ("armhf", "arm64", True), ("s390x", "s390x", True)),
        *(("amd64", "386", False), ("aarch64", "x86_64", False), ("arm", "amd64", False)),
    ],
)
def test_which_processor_runs_what_without_emulation(wanted: str, processor: str, native: bool) -> None:
    assert machine.is_native(wanted, processor) is native


def test_all_commands_agree(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(platform, "machine", lambda: "arm64")
    for name in ("POLICY", "PLATFORM", "VARIANT"):
        monkeypatch.delenv(name, raising=False)
    catalogue = images.load()
    assert build.chosen_image(catalogue, "", "manylinux_2_28").name == "manylinux_2_28_aarch64"
    shown: list[Image] = []
    monkeypatch.setattr(bootstrap, "show", lambda image, *_: shown.append(image))
    monkeypatch.setattr("sys.argv", ["bootstrap.py"])
    bootstrap.main()
    assert shown[0].platform.name == "aarch64"
    asked: list[str] = []

    class Enough(Exception):
        pass

    def wanted_files(platform: str, *_: object) -> None:
        asked.append(platform)
        raise Enough

    monkeypatch.setattr(sources_command, "wanted_files", wanted_files)
    for platform_option in (None, "arm64", "aarch64"):
        with pytest.raises(Enough):
            sources_command.prefetch(platform=platform_option)
    monkeypatch.setenv("PLATFORM", "arm64")
    assert build.chosen_image(catalogue, "", "manylinux_2_28").name == "manylinux_2_28_aarch64"
    assert asked == ["aarch64"] * 3


def test_nobody_else_asks_the_kernel() -> None:
    for path in (
        *ROOT.glob("scripts/**/*.py"),
        *ROOT.glob("tests/benchmarks/*.py"),
        ROOT / "tasks.py",
        ROOT / "noxfile.py",
    ):
        if path.name != "machine.py":
            text = path.read_text(encoding="utf-8")
            assert not re.search(r"uname\(|\bmachine\.machine\(|platform\.(machine|processor|uname)\(", text), path
