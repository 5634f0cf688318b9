"""What an archive must not hold, with real archives made here."""

from __future__ import annotations

import tarfile
from pathlib import Path

import pytest
from tests.integration.upstreams import archive

import archives
from archives import BadArchive

GOOD = {"tool-1.2/README": b"read me", "tool-1.2/src/a.c": b"int a;"}


def entry(kind: bytes, target: str = "") -> tarfile.TarInfo:
    member = tarfile.TarInfo()
    member.type, member.linkname = kind, target
    return member


def stored(directory: Path, content: bytes, suffix: str = "tar.gz") -> Path:
    path = directory / f"tool-1.2.{suffix}"
    path.write_bytes(content)
    return path


@pytest.mark.parametrize("suffix", ["tar.gz", "tar.xz", "tar.bz2"])
@pytest.mark.parametrize("prefix", ["", "./"])
def test_a_release(tmp_path: Path, suffix: str, prefix: str) -> None:
    members: dict[str, bytes | tarfile.TarInfo] = {
        prefix or "tool-1.2": entry(tarfile.DIRTYPE),
        **{prefix + name: content for name, content in GOOD.items()},
        f"{prefix}tool-1.2/latest": entry(tarfile.SYMTYPE, "src/a.c"),
        f"{prefix}tool-1.2/src/up": entry(tarfile.SYMTYPE, "../README"),
        f"{prefix}tool-1.2/hard": entry(tarfile.LNKTYPE, f"{prefix}tool-1.2/README"),
    }
    archives.check(stored(tmp_path, archive(members, suffix), suffix), r"tool-1\.2")


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("tool-1.3/a", b"", "'tool-1.3', not the folder tool-1.2"),
        ("tool-1.20/a", b"", "'tool-1.20', not"),
        ("tool-1.2", b"", "'tool-1.2' lies beside the folder"),
        ("README", b"", "'README' lies beside the folder"),
        ("/etc/passwd", b"", "'/etc/passwd' leads out"),
        ("tool-1.2/../../etc/passwd", b"", "leads out"),
        ("tool-1.2/a", entry(tarfile.SYMTYPE, "/etc/passwd"), "out of it"),
        ("tool-1.2/a", entry(tarfile.SYMTYPE, "../etc/passwd"), "out of it"),
        ("tool-1.2/a", entry(tarfile.SYMTYPE, "../tool-1.20/x"), "out of it"),
        ("tool-1.2/a", entry(tarfile.LNKTYPE, "/etc/passwd"), "out of it"),
        ("tool-1.2/a", entry(tarfile.LNKTYPE, "tool-1.2/../etc/passwd"), "out of it"),
        ("tool-1.2/a", entry(tarfile.CHRTYPE), "neither file nor directory"),
        ("tool-1.2/a", entry(tarfile.FIFOTYPE), "neither file nor directory"),
    ],
)
def test_what_no_release_has(tmp_path: Path, name: str, content: bytes | tarfile.TarInfo, message: str) -> None:
    with pytest.raises(BadArchive, match=message):
        archives.check(stored(tmp_path, archive({**GOOD, name: content})), r"tool-1\.2")


def test_nothing_goes_through_a_link(tmp_path: Path) -> None:
    """Each link alone stays inside; what is written through both does not."""
    members: dict[str, bytes | tarfile.TarInfo] = {
        "tool-1.2/here": entry(tarfile.SYMTYPE, "."),
        "tool-1.2/here/evil": b"",
    }
    with pytest.raises(BadArchive, match="leads out"):
        archives.check(stored(tmp_path, archive(members)), r"tool-1\.2")


def test_the_size_is_limited_whatever_the_headers_say(tmp_path: Path) -> None:
    content = archive({"tool-1.2/zeros": bytes(300_000)})
    assert len(content) < 10_000
    path = stored(tmp_path, content)
    archives.check(path, r"tool-1\.2", most=400_000)
    with pytest.raises(BadArchive, match="more than 200000 bytes"):
        archives.check(path, r"tool-1\.2", most=200_000)


@pytest.mark.parametrize(
    ("suffix", "content"),
    [
        ("tar.gz", b""),
        ("tar.gz", b"\x1f\x8b" + bytes(20_000)),
        ("tar.gz", archive(GOOD)[:-20]),
        ("tar.xz", archive(GOOD)),
        ("tar.bz2", b"BZh91AY" + bytes(200)),
        ("tar.xz", archive({}, "tar.xz")),
        ("tar.zst", archive(GOOD)),
        ("gz", archive(GOOD)),
    ],
)
def test_what_is_no_archive(tmp_path: Path, suffix: str, content: bytes) -> None:
    with pytest.raises(BadArchive):
        archives.check(stored(tmp_path, content, suffix), r"tool-1\.2")
