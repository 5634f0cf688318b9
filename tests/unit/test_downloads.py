"""The laws of docker/downloads.toml, and that it agrees with the table of images."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import images

PROJECT = Path(__file__).resolve().parents[2]
TABLE = PROJECT / "docker/downloads.toml"
DOWNLOADS = tomllib.loads(TABLE.read_text(encoding="utf-8"))
SHA256 = re.compile("[0-9a-f]{64}")


def test_interpreters_are_those_of_the_images() -> None:
    there = {tag: {key for key in row if key != "version"} for tag, row in DOWNLOADS["interpreters"].items()}
    promised: dict[str, set[str]] = {}
    for image in images.load().images(published_only=False):
        for interpreter in (*image.interpreters, *image.on_demand):
            if interpreter.implementation != "cpython":
                assert image.policy.libc == "glibc"
                promised.setdefault(interpreter.tag, set()).add(image.platform.name)
    assert there == promised


def test_each_download_is_pinned() -> None:
    for tag, row in DOWNLOADS["interpreters"].items():
        for platform in row.keys() - {"version"}:
            assert row[platform].keys() == {"url", "sha256"}, tag
            assert row["version"] in row[platform]["url"]
            assert row[platform]["url"].startswith("https://")
            assert SHA256.fullmatch(row[platform]["sha256"])


def test_clang_releases_are_pinned_newest_first() -> None:
    releases = list(DOWNLOADS["static_clang"])
    numbers = [tuple(map(int, release.removeprefix("v").split("."))) for release in releases]
    assert numbers == sorted(numbers, reverse=True)
    assert all(SHA256.fullmatch(sha256) for sha256 in DOWNLOADS["static_clang"].values())
    assert any(number[0] == DOWNLOADS["clang"]["stable_major"] for number in numbers)


def test_show_download() -> None:
    script = PROJECT / "docker/build_scripts/show_download.py"
    tag, row = next(iter(DOWNLOADS["interpreters"].items()))
    command = [sys.executable, script, TABLE, tag, "aarch64"]
    shown = subprocess.run(command, text=True, capture_output=True, check=True).stdout.split()
    assert shown == [row["version"], row["aarch64"]["url"], row["aarch64"]["sha256"]]
