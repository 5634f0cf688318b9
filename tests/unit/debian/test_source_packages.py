"""Which versions of Debian are releases of upstream, and how source packages are found in an index."""

from __future__ import annotations

import io
import re
import tracemalloc
from datetime import UTC, datetime

import pytest
from tests.support.debian_mirrors import package

from debian.source_packages import matching_stanzas, parse_stanza, upstream_version
from debian.suites import Suite
from portable import errors


@pytest.mark.parametrize(
    ("version", "text", "number", "repacked", "prerelease"),
    [
        ("1:2.55.0-1", "2.55.0", (2, 55, 0), False, False),
        ("3.5.7-1~deb13u2", "3.5.7", (3, 5, 7), False, False),
        ("8.6.18+dfsg-1", "8.6.18", (8, 6, 18), True, False),
        ("1.5.4+dfsg2-5", "1.5.4", (1, 5, 4), True, False),
        ("1.0~dfsg.1-1", "1.0", (1, 0), True, False),
        ("2.69-3.1", "2.69", (2, 69), False, False),
        ("8.23.0~rc3-1", "8.23.0rc3", (8, 23, 0), False, True),
        ("3.15.0~b3-1", "3.15.0b3", (3, 15, 0), False, True),
        ("5.6.1+really5.4.5-1", "5.4.5", (5, 4, 5), False, False),
        ("1.2", "1.2", (1, 2), False, False),
    ],
)
def test_upstream_versions(version: str, text: str, number: tuple[int, ...], repacked: bool, prerelease: bool) -> None:
    found = upstream_version(version)
    assert found
    assert (found.text, found.number, found.repacked, found.prerelease) == (text, number, repacked, prerelease)


@pytest.mark.parametrize(
    "version", ["1:4.5.2+20251210-1", "1:2.55.0+next.20260731-1", "1.1.1w-0+deb11u1", "0~20200101-1", "2.6+git1-1"]
)
def test_snapshots_are_no_releases(version: str) -> None:
    assert upstream_version(version) is None


def test_releases_order_after_their_candidates() -> None:
    order = ["3.14.9-1", "3.15.0~a7-1", "3.15.0~b3-1", "3.15.0~rc1-1", "3.15.0-1", "3.15.1-1"]
    found = [upstream_version(version) for version in order]
    assert sorted(found, key=lambda version: (version.number, version.pre) if version else ((), "")) == found


def test_stanzas_are_found_by_whole_name_only() -> None:
    index = "\n".join(package(name, "1.0-1").stanza() for name in ("git", "git-lfs", "legit", "git")).encode()
    for block in (1, 2, 7, len(index)):
        found = list(matching_stanzas(io.BytesIO(index), re.compile(b"git"), block))
    assert len(found) == 2
    assert all(stanza.startswith(b"Package: git\n") and stanza.count(b"Package: ") == 1 for stanza in found)
    assert list(matching_stanzas(io.BytesIO(), re.compile(b"git"))) == []


def test_an_index_is_never_in_memory_as_a_whole() -> None:
    """Sources of Debian's unstable is 70 MB, and those of four suites are read at a time."""

    class Endless(io.BytesIO):
        left = 20

        def read(self, size: int | None = -1) -> bytes:
            self.left -= 1
            return stanzas if self.left >= 0 else b""

    stanzas = b"Package: other\nVersion: 1\n\n" * 10_000
    tracemalloc.start()
    try:
        assert list(matching_stanzas(Endless(), re.compile(b"git"))) == []
        assert tracemalloc.get_traced_memory()[1] < 6 * len(stanzas)
    finally:
        tracemalloc.stop()


def test_a_stanza_without_directory() -> None:
    suite = Suite("trixie", (), "", "", 0, False, datetime.now(UTC), None)
    with pytest.raises(errors.Failure, match="without 'Directory'"):
        parse_stanza(b"Package: git\nVersion: 1\nChecksums-Sha256:\n", suite)
