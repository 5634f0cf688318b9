"""The Debian archive for real: the mirror that this machine's apt is configured with."""

from __future__ import annotations

from pathlib import Path

import pytest

from catalogue import pins
from debian.archive import Archive
from debian.suites import Untrusted
from portable import errors, fetch, files
from portable.progress import Progress
from sources.from_debian import download_newest, read_tracking
from sources.lock import SourcesLock

pytestmark = [
    pytest.mark.network,
    pytest.mark.program("gpgv"),
]


@pytest.fixture(scope="module")
def archive() -> Archive:
    """Skips where no mirror is configured or none answers: everything here is about what it says."""
    try:
        found = Archive.of_this_machine()
        found.open_suite("trixie")
    except (errors.UserError, Untrusted) as error:
        pytest.skip(f"no Debian mirror: {error}")
    return found


def test_stable_suites_are_signed_by_the_installed_keyring(archive: Archive) -> None:
    for name in ("bookworm", "trixie", "trixie-security"):
        suite = archive.open_suite(name)
        assert suite and suite.name == name and suite.size > 0


def test_what_the_bootstrap_needs_is_there(archive: Archive, tmp_path: Path) -> None:
    """The interpreters that an image from Debian's sources must have, and a second run that downloads nothing."""
    table = pins.read()
    names = ("cpython-3.9", "cpython-3.11", "cpython-3.13", "mpdecimal", "zstd", "cpython-3.8")
    chosen = {name: table[name] for name in names}

    def run(fetcher: fetch.Fetcher) -> SourcesLock:
        return download_newest(
            chosen,
            read_tracking(),
            tmp_path,
            archive=archive,
            fetcher=fetcher,
            progress=Progress(quiet=True),
            jobs=4,
        )

    lock = run(fetch.Fetcher())
    assert set(lock["pins"]) == set(names) - {"cpython-3.8"}
    assert set(lock["missing"]) == {"cpython-3.8"}
    assert all(files.holds(tmp_path / row["file"], row["sha256"]) for row in lock["pins"].values())
    for name, row in lock["pins"].items():
        if row["verbatim"] and row["version"] == table[name].version:
            assert row["sha256"] == table[name].sha256, f"{name}: not upstream's file, though the table says so"
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*") if path.is_file()}
    again = run(fetch.Fetcher())
    assert {**again, "created": ""} == {**lock, "created": ""}
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*") if path.is_file()} == before
