"""The wheels of the smoke tests: those of the locks, from any pip."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Sequence
from pathlib import Path

import pytest
from tests.support.debian_mirrors import LIMITS

from portable import errors, fetch
from portable.progress import Progress
from sources import wheelhouse
from sources.lock import SourcesLock
from sources.wheelhouse import choose_pip, fill_shared_wheelhouse, fill_wheelhouse, smoke_minors

QUIET = Progress(quiet=True)
LOCK_TEXT = """\
# made by a tool
setuptools==75.3.4 ; python_version < '3.9' \\
    --hash=sha256:{one} \\
    --hash=sha256:{other}
    # via -r smoke.in
wheel==0.45.1 --hash=sha256:{two}
"""


def smoke_lock(tmp_path: Path, minor: str) -> Path:
    directory = tmp_path / "locks"
    directory.mkdir(exist_ok=True)
    one, two = (hashlib.sha256(name).hexdigest() for name in (b"one", b"two"))
    (directory / f"{minor}.txt").write_text(LOCK_TEXT.format(one=one, two=two, other="0" * 64))
    return directory


def test_wheelhouse(tmp_path: Path) -> None:
    calls: list[list[str]] = []

    def run_pip(arguments: Sequence[str], directory: Path) -> None:
        calls.append([*arguments])
        (name,) = (word.partition("=")[2] for word in arguments if word.startswith("--requirement="))
        text = (directory / name).read_text()
        assert "python_version" not in text and text.count("--hash=sha256:") == 3
        (directory / "setuptools-75.3.4-py3-none-any.whl").write_bytes(b"one")
        (directory / "wheel-0.45.1-py3-none-any.whl").write_bytes(b"two")

    locks = smoke_lock(tmp_path, "3.8")
    smoke_lock(tmp_path, "3.13")
    house = tmp_path / "house"
    assert smoke_minors(directory=locks) == ["3.8", "3.13"]
    fill_wheelhouse(["3.8", "3.13"], house, directory=locks, run_pip=run_pip, progress=QUIET)
    assert len(calls) == 1, "the second minor needs nothing new"
    assert {"download", "--require-hashes", "--no-deps", "--only-binary=:all:", "--python-version=3.8"} <= {*calls[0]}
    assert sorted(path.suffix for path in house.iterdir()) == [".whl", ".whl"]
    fill_wheelhouse(["3.8", "3.13"], house, directory=locks, run_pip=run_pip, progress=QUIET)
    assert len(calls) == 1
    (house / "wheel-0.45.1-py3-none-any.whl").write_bytes(b"damaged")
    fill_wheelhouse(["3.8"], house, directory=locks, run_pip=run_pip, progress=QUIET)
    assert len(calls) == 2


@pytest.mark.parametrize(
    ("libc", "version", "platforms"),
    [
        ("glibc", "2.17", ["manylinux2014_aarch64", "manylinux_2_17_aarch64"]),
        ("musl", "1.2", ["musllinux_1_1_aarch64", "musllinux_1_2_aarch64"]),
    ],
)
def test_wheels_for_a_variant_suit_the_image(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, libc: str, version: str, platforms: list[str]
) -> None:
    calls: list[list[str]] = []

    def run_pip(arguments: Sequence[str], directory: Path) -> None:
        assert directory.parent == tmp_path / "house" / "shared-here"
        calls.append([*arguments])
        (directory / "a.whl").write_bytes(b"one")
        (directory / "b.whl").write_bytes(b"two")

    monkeypatch.setattr(wheelhouse, "SHARED_LOCKS", smoke_lock(tmp_path, "3.13"))
    shared = {"pyinstaller": "shared-here", "interpreters": [{"minor": "3.13"}]}
    expected = {"libc": libc, "libc_version": version, "platform": "aarch64", "shared": shared}
    for _ in range(2):
        fill_shared_wheelhouse(expected, tmp_path / "house", run_pip=run_pip)
    assert len(calls) == 1
    assert [word.partition("=")[2] for word in calls[0] if word.startswith("--platform=")] == platforms
    for nothing in ({}, {"pyinstaller": "", "interpreters": []}):
        fill_shared_wheelhouse({**expected, "shared": nothing}, tmp_path / "other", run_pip=run_pip)
    assert len(calls) == 1


def test_an_incomplete_wheelhouse_is_a_failure(tmp_path: Path) -> None:
    with pytest.raises(errors.Failure, match=r"did not download setuptools 75\.3\.4, wheel 0\.45\.1"):
        fill_wheelhouse(
            ["3.8"], tmp_path, directory=smoke_lock(tmp_path, "3.8"), run_pip=lambda *_: None, progress=QUIET
        )
    assert list(tmp_path.glob("requirements*")) == []


def test_minors_that_the_lock_leaves_out_need_no_wheels(tmp_path: Path) -> None:
    locks = smoke_lock(tmp_path, "3.8")
    lock = SourcesLock(source="debian", created="", suites=[], pins={}, missing={"cpython-3.8": "none"})
    assert smoke_minors(lock, locks) == []


def test_pip_is_found_or_asked_for(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(wheelhouse, "find_spec", lambda name: None)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(errors.Failure, match="no pip, and there is no uv"):
        choose_pip()
    uv = tmp_path / "uv"
    uv.write_text('#!/bin/sh\necho "$@"; exit 3\n')
    uv.chmod(0o755)
    with pytest.raises(errors.Failure, match="tool run pip download"):
        choose_pip()(["download"], tmp_path)


def test_two_builds_fill_one_wheelhouse(tmp_path: Path) -> None:
    """Neither disturbs the other, and none ever sees half a wheel."""
    both = threading.Barrier(2, timeout=10)
    house = tmp_path / "house"
    locks = smoke_lock(tmp_path, "3.13")

    def run_pip(arguments: Sequence[str], directory: Path) -> None:
        (name,) = (word.partition("=")[2] for word in arguments if word.startswith("--requirement="))
        assert (directory / name).is_file()
        for wheel, content in (("a.whl", b"one"), ("b.whl", b"two")):
            both.wait()
            (directory / wheel).write_bytes(content[:1])
            assert list(house.glob("*.whl")) == []
            both.wait()
            (directory / wheel).write_bytes(content)
        both.wait()
        assert (directory / name).is_file(), "the other build is not done yet"

    fetcher = fetch.Fetcher(limits=LIMITS, mirrors=None)

    def fill(_: int) -> None:
        fill_wheelhouse(["3.13"], house, directory=locks, run_pip=run_pip, progress=QUIET)

    fetch.in_parallel(fill, range(2), 2, fetcher)
    assert sorted(path.name for path in house.iterdir()) == ["a.whl", "b.whl"]
