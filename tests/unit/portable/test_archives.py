"""What an archive must not hold, with real archives made here."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest
from tests.support.upstreams import archive

from portable import archives
from portable.archives import BadArchive

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
def test_one_file_is_read(tmp_path: Path, suffix: str) -> None:
    path = stored(tmp_path, archive({**GOOD, "tool-1.2/link": entry(tarfile.SYMTYPE, "src/a.c")}, suffix), suffix)
    assert archives.member(path, "tool-1.2/src/a.c") == b"int a;"
    assert archives.member(path, "tool-1.2/src") is None
    assert archives.member(path, "tool-1.2/link") is None


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


# --- Unpacking --------------------------------------------------------------------------------------------------------

PYTHONS = [sys.executable, "/usr/bin/python3"]  # Debian 12's has no filters in tarfile


def unpack(python: str, path: Path, target: Path) -> str:
    """Unpacks with this Python; returns what is wrong, or the folder's name."""
    if not Path(python).exists():
        pytest.skip(f"{python} is not there")
    code = (
        "import sys, os, archives, pathlib\n"
        "os.umask(0o077)\n"
        "try: print(archives.unpack(pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2])).name)\n"
        "except archives.BadArchive as error: print(error)\n"
    )
    environment = {"PYTHONPATH": str(Path(archives.__file__).parent), "PATH": os.environ["PATH"]}
    command = [python, "-W", "error", "-c", code, str(path), str(target)]
    done = subprocess.run(command, env=environment, text=True, capture_output=True, check=True)
    return done.stdout.strip()


@pytest.mark.parametrize("python", PYTHONS)
def test_unpacking(tmp_path: Path, python: str) -> None:
    """The same result with every Python and umask, one without tarfile's filters (Debian 12's) included."""
    setuid = entry(tarfile.REGTYPE)
    setuid.mode, setuid.uid, setuid.uname = 0o6777, 4711, "nobody-here"
    locked = entry(tarfile.DIRTYPE)
    locked.mode = 0o500
    members: dict[str, bytes | tarfile.TarInfo] = {
        "tool-1.2": locked,
        "tool-1.2/run": setuid,
        **GOOD,
        "tool-1.2/src/up": entry(tarfile.SYMTYPE, "../README"),
        "tool-1.2/hard": entry(tarfile.LNKTYPE, "tool-1.2/README"),
    }
    target = tmp_path / "deep" / "new"
    assert unpack(python, stored(tmp_path, archive(members)), target) == "tool-1.2"
    found = {str(path.relative_to(target)): path.lstat() for path in target.rglob("*") if not path.is_symlink()}
    assert {name: oct(stat.S_IMODE(status.st_mode)) for name, status in found.items()} == {
        "tool-1.2": "0o755",
        "tool-1.2/README": "0o644",
        "tool-1.2/hard": "0o644",
        "tool-1.2/run": "0o755",
        "tool-1.2/src": "0o755",
        "tool-1.2/src/a.c": "0o644",
    }
    assert {status.st_uid for status in found.values()} == {os.getuid()}
    assert (target / "tool-1.2/src/up").read_bytes() == b"read me"


OUTWARD: dict[str, dict[str, bytes | tarfile.TarInfo]] = {
    "absolute": {"{out}/new": b"evil"},
    "upwards": {"tool-1.2/../../out/new": b"evil"},
    "through a link": {"tool-1.2/l": entry(tarfile.SYMTYPE, "{out}"), "tool-1.2/l/new": b"evil"},
    "through a link of its name": {"tool-1.2/l": entry(tarfile.SYMTYPE, "real"), "tool-1.2/./l": b"evil"},
    "a winding link": {
        "tool-1.2/a/b/c/top": entry(tarfile.SYMTYPE, "../../.."),
        "tool-1.2/l": entry(tarfile.SYMTYPE, "a/b/c/top/../../out/secret"),
    },
    "a hard link through a link": {
        "tool-1.2/l": entry(tarfile.SYMTYPE, "."),
        "tool-1.2/h": entry(tarfile.LNKTYPE, "tool-1.2/l/README"),
    },
    "a hard link to a link, written to": {
        "tool-1.2/l": entry(tarfile.SYMTYPE, "README"),
        "tool-1.2/h": entry(tarfile.LNKTYPE, "tool-1.2/l"),
        "tool-1.2/./h": b"evil",
    },
    "a hard link outwards": {"tool-1.2/l": entry(tarfile.LNKTYPE, "../out/secret")},
    "a link that is the top": {".": entry(tarfile.SYMTYPE, "tool-1.2")},
    "a device": {"tool-1.2/l": entry(tarfile.CHRTYPE)},
    "two folders": {"other/a": b""},
}


@pytest.mark.parametrize("python", PYTHONS)
@pytest.mark.parametrize("what", OUTWARD)
def test_nothing_is_unpacked_outside(tmp_path: Path, python: str, what: str) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "secret").write_bytes(b"mine")
    members = {}
    for name, content in OUTWARD[what].items():
        if isinstance(content, tarfile.TarInfo):
            content = entry(content.type, content.linkname.format(out=tmp_path / "out"))
        members[name.format(out=tmp_path / "out")] = content
    words = unpack(python, stored(tmp_path, archive({**GOOD, **members})), tmp_path / "new")
    assert words.startswith(("its ", "it holds")), words
    assert [(path.name, path.read_bytes()) for path in (tmp_path / "out").iterdir()] == [("secret", b"mine")]
    with pytest.raises(BadArchive):
        archives.check(tmp_path / "tool-1.2.tar.gz", r"tool-1\.2")


def test_what_cannot_be_written_is_not_the_archives_fault(tmp_path: Path) -> None:
    path = stored(tmp_path, archive(GOOD))
    (tmp_path / "new").mkdir()
    with pytest.raises(FileExistsError):
        archives.unpack(path, tmp_path / "new")
