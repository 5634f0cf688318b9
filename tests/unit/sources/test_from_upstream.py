"""Downloading exactly what is pinned."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.support import servers
from tests.support.debian_mirrors import LIMITS, DebianServer, wanted

from catalogue import images, pins
from portable import errors, fetch
from portable.progress import Progress
from sources.from_upstream import download_pinned, wanted_files

CATALOGUE = images.load()
QUIET = Progress(quiet=True)


def test_upstream(mirror: DebianServer, tmp_path: Path) -> None:
    items = [wanted(mirror, f"pin{number}", b"\x1f\x8b%d" % number) for number in range(6)]
    fetcher = fetch.Fetcher(limits=LIMITS, mirrors=None)
    download_pinned(items, tmp_path / "sources", fetcher, QUIET, 3)
    assert (tmp_path / "sources/pin5/pin5.tar.gz").read_bytes() == b"\x1f\x8b5"
    asked = len(mirror.server.requests)
    download_pinned(items, tmp_path / "sources", fetcher, QUIET, 3)
    assert len(mirror.server.requests) == asked == 6


def test_one_failure_hides_nothing_else(mirror: DebianServer, tmp_path: Path) -> None:
    items = [wanted(mirror, name, b"\x1f\x8b" + name.encode()) for name in ("one", "two", "three")]
    mirror.server.routes["/one.tar.gz"] = servers.html()
    del mirror.server.routes["/two.tar.gz"]
    with pytest.raises(errors.Failure) as caught:
        download_pinned(items, tmp_path, fetch.Fetcher(limits=LIMITS, mirrors=None), QUIET, 1)
    message = str(caught.value)
    assert "2 of 3 files are missing" in message and "HTML" in message and "--from debian" in message
    assert "three.tar.gz" not in message
    assert (tmp_path / "three/three.tar.gz").is_file()


def test_wanted_files_are_the_pins_of_the_platform() -> None:
    table = pins.read()
    found = {item.name: item for item in wanted_files("aarch64", table, CATALOGUE)}
    assert set(found) == {*table, "pp311-pypy311_pp73"} - {"static-clang"}
    assert found["git"].file == Path("git", table["git"].file_name)
    assert found["git-lfs"].sha256 == table["git-lfs"].for_arch("arm64").sha256
    assert found["git-lfs"].url.endswith(found["git-lfs"].file.name) and "arm64" in found["git-lfs"].file.name
    assert found["pp311-pypy311_pp73"].file.name.endswith("-aarch64.tar.bz2")
    assert "pp311-pypy311_pp73" not in {item.name for item in wanted_files("s390x", table, CATALOGUE)}
    with pytest.raises(errors.UserError, match="did you mean x86_64"):
        wanted_files("x86-64", table, CATALOGUE)
