"""Checks release archives and unpacks them: every entry is checked before it is unpacked.

A genuine signature says who made a file; which project and version is in it, only its one top folder says. The rules
are our own, and the same for every Python: the first releases of 3.11 have no filters in tarfile.
"""

from __future__ import annotations

import bz2
import gzip
import lzma
import os
import posixpath
import re
import tarfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import dropwhile
from pathlib import Path, PurePosixPath
from typing import IO, Any

MOST = 2 << 30  # bytes that an archive may unpack to: GraalPy, the largest, has half of it
OPENERS: dict[str, Callable[..., Any]] = {"gz": gzip.open, "xz": lzma.open, "bz2": bz2.open}


class BadArchive(Exception):
    """The archive is not that of its release; the message says why, in one line."""


class _Limited:
    """A stream that ends in BadArchive after `most` bytes."""

    def __init__(self, stream: IO[bytes], most: int) -> None:
        self._stream, self._most, self._left = stream, most, most

    def read(self, size: int) -> bytes:
        chunk = self._stream.read(size)
        self._left -= len(chunk)
        if self._left < 0:
            raise BadArchive(f"it unpacks to more than {self._most} bytes")
        return chunk


def check(path: Path, folder: str, most: int = MOST) -> None:
    """Raises BadArchive unless everything in a .tar.gz, .tar.xz or .tar.bz2 is in one folder and links to nothing else.

    The whole name of the folder must match the regular expression `folder`."""
    tops: set[str] = set()
    with _opened(path, most) as tar:
        for _ in _members(tar, tops):
            if wrong := [top for top in tops if not re.fullmatch(folder, top)]:
                raise BadArchive(f"it holds {wrong[0]!r}, not the folder {_plain(folder)}")


def member(path: Path, name: str, most: int = MOST) -> bytes | None:
    """The content of one file of such an archive; None where the archive has no such file. Raises BadArchive."""
    with _opened(path, most) as tar:
        for entry in tar:
            if entry.name == name and entry.isfile() and (content := tar.extractfile(entry)):
                return content.read()
    return None


def unpack(path: Path, directory: Path, most: int = MOST, oldest: float = 0) -> Path:
    """Unpacks such an archive with one folder into a new directory; returns the folder.

    Dates before `oldest` (seconds since 1970) become `oldest`. Everything belongs to the current user, can be read by
    all and written by its owner, and nothing is setuid. Raises BadArchive, with the entries before the bad one
    unpacked, and OSError where the directory cannot be written."""
    # Every entry is checked already; the filter of newer Pythons would only make modes depend on the umask.
    rules: Any = {"filter": "fully_trusted"} if hasattr(tarfile, "fully_trusted_filter") else {}
    tops: set[str] = set()
    directory.mkdir(parents=True)
    with _opened(path, most) as tar:
        tar.extractall(directory, _plain_members(tar, tops, oldest), **rules)
    for place, _, _ in os.walk(directory):  # a directory without an entry has its mode from the umask
        Path(place).chmod(0o755)
    return directory / tops.pop()


def _plain_members(tar: tarfile.TarFile, tops: set[str], oldest: float) -> Iterator[tarfile.TarInfo]:
    """The checked entries, as files of the current user; adds their one folder to `tops`."""
    for member in _members(tar, tops):
        if len(tops) > 1:
            raise BadArchive(f"it holds {' and '.join(sorted(tops))}, not one folder")
        member.uid, member.gid, member.uname, member.gname = os.getuid(), os.getgid(), "", ""
        member.mtime = max(member.mtime, oldest)
        member.mode = 0o755 if member.isdir() or member.mode & 0o100 else 0o644
        yield member


@contextmanager
def _opened(path: Path, most: int) -> Iterator[tarfile.TarFile]:
    """An archive, to be read once from its beginning. Raises BadArchive for an unknown format and a damaged one."""
    opener = OPENERS.get(path.name.rpartition(".")[2])
    if not opener or ".tar." not in path.name:
        raise BadArchive(f"{path.name} is not a .tar.gz, .tar.xz or .tar.bz2")
    try:
        with opener(path) as stream, tarfile.open(fileobj=_Limited(stream, most), mode="r|") as tar:  # type: ignore[call-overload]  # needs no more than read()
            yield tar
    except (tarfile.TarError, EOFError, OSError, ValueError, OverflowError, lzma.LZMAError, zlib.error) as error:
        if isinstance(error, OSError) and error.errno:  # not about the archive's content
            raise
        raise BadArchive(f"{path.name} cannot be read: {error}") from None


def _members(tar: tarfile.TarFile, tops: set[str]) -> Iterator[tarfile.TarInfo]:
    """The checked entries; adds the first part of their names to `tops`. Raises BadArchive."""
    links: set[PurePosixPath] = set()
    for member in tar:
        tops |= _top(member, links)
        yield member
    if not tops:
        raise BadArchive("it holds nothing")


def _top(member: tarfile.TarInfo, links: set[PurePosixPath]) -> set[str]:
    """The first part of an entry's name, if it has one. Raises BadArchive for an entry that no release needs.

    `links`: the symbolic links so far. What is written through one of them could land anywhere."""
    name = PurePosixPath(member.name)
    if name.is_absolute() or ".." in name.parts or not links.isdisjoint(name.parents):
        raise BadArchive(f"its entry {member.name!r} leads out of it")
    if name in links and not member.issym():
        raise BadArchive(f"its entry {member.name!r} would be written through a link of that name")
    if member.issym() or member.islnk():
        base = name.parent if member.issym() else PurePosixPath()
        target = posixpath.normpath(posixpath.join(base, member.linkname))
        # ".." after a name does not always lead back: the name may be a link.
        winding = ".." in dropwhile(lambda part: part == "..", PurePosixPath(member.linkname).parts)
        through = member.islnk() and not links.isdisjoint(PurePosixPath(target).parents)
        if not name.parts or target.split("/")[0] != name.parts[0] or winding or through:
            raise BadArchive(f"its link {member.name!r} leads to {member.linkname!r}, out of it")
        if member.issym() or PurePosixPath(target) in links:
            links.add(name)
    elif not (member.isfile() or member.isdir()):
        raise BadArchive(f"its entry {member.name!r} is neither file nor directory nor link")
    elif member.isfile() and len(name.parts) <= 1:
        raise BadArchive(f"its file {member.name!r} lies beside the folder")
    return set(name.parts[:1])


def _plain(pattern: str) -> str:
    return re.sub(r"\\(.)", r"\1", pattern)
