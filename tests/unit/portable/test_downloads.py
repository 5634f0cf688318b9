"""The laws of docker/downloads.toml, and that it agrees with the table of images."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from tests.support import fake_image

from catalogue import images
from portable import downloads, errors

PROJECT = Path(__file__).resolve().parents[3]
DOWNLOADS = downloads.load()


def test_interpreters_are_those_of_the_images() -> None:
    there = {tag: set(row.files) for tag, row in DOWNLOADS.interpreters.items()}
    promised: dict[str, set[str]] = {}
    for image in images.load().images(published_only=False):
        for interpreter in (*image.interpreters, *image.on_demand):
            if interpreter.implementation != "cpython":
                assert image.policy.libc == "glibc"
                promised.setdefault(interpreter.tag, set()).add(image.platform.name)
    assert there == promised


GOOD = {
    "interpreters": {
        "pp311-pypy311_pp73": {
            "version": "7.3.23",
            "x86_64": {"url": "https://example.org/pypy-7.3.23.tar.bz2", "sha256": "0" * 64},
        }
    },
    "clang": {"stable_major": 21, "url": "https://example.org/{version}/{file}", "archive": "clang-{machine}.tar.xz"},
    "static_clang": {"v22.1.8.1": "0" * 64, "v21.1.8.1": "0" * 64},
}


@pytest.mark.parametrize(
    ("old", "new", "complaint"),
    [
        ("pypy-7.3.23", "pypy-7.3.22", "interpreters.pp311-pypy311_pp73.x86_64.url lacks 7.3.23"),
        ("v22.1.8.1", "v20.1.8.1", "static_clang: the newest release stands first"),
        ('"stable_major": 21', '"stable_major": 23', "clang.stable_major: static_clang has no v23"),
        ('"version": "7.3.23", ', "", "interpreters.pp311-pypy311_pp73.version is missing"),
        ("https://example.org/pypy", "ftp://example.org/pypy", "x86_64.url must be an https:// address"),
    ],
)
def test_broken_laws_are_named(old: str, new: str, complaint: str) -> None:
    text = json.dumps(GOOD)
    assert old in text
    downloads.parse(GOOD, "downloads.toml:")
    with pytest.raises(errors.UserError, match=f"^downloads\\.toml: .*{re.escape(complaint)}"):
        downloads.parse(json.loads(text.replace(old, new)), "downloads.toml:")


def test_show_download(tmp_path: Path) -> None:
    library = fake_image.make(tmp_path / "root").root / "opt/_internal/manylinux"
    tag, row = next(iter(DOWNLOADS.interpreters.items()))
    script = PROJECT / "docker/build_scripts/show_download.py"
    command = [sys.executable, "-IB", str(script), str(library / "downloads.toml"), tag, "aarch64"]
    shown = subprocess.run(command, text=True, capture_output=True, check=True).stdout.split()
    assert shown == [row.version, row.files["aarch64"].url, row.files["aarch64"].sha256]
