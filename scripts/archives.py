"""Is a release archive what it should be? Every entry is looked at before anybody unpacks it.

A genuine signature says who made a file, not which project and version is in it: its one top folder does.
"""

from __future__ import annotations

import bz2
import gzip
import lzma
import posixpath
import re
import tarfile
import zlib
from collections.abc import Callable
from pathlib import Path, PurePosixPath
from typing import IO, Any

MOST = 2 << 30  # bytes that an archive may unpack to: GraalPy, the largest, has half of it
_OPENERS: dict[str, Callable[..., Any]] = {"gz": gzip.open, "xz": lzma.open, "bz2": bz2.open}


class BadArchive(Exception):
    """The archive is not what its release should be: the message says why, in one line."""


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
    """Raises BadArchive unless everything in a .tar.gz, .tar.xz or .tar.bz2 lies in one folder and stays there.

    The folder's whole name must match the regular expression `folder`."""
    opener = _OPENERS.get(path.name.rpartition(".")[2])
    if not opener or ".tar." not in path.name:
        raise BadArchive(f"{path.name} is no kind of archive that is known here")
    tops: set[str] = set()
    links: set[PurePosixPath] = set()
    try:
        with opener(path) as stream, tarfile.open(fileobj=_Limited(stream, most), mode="r|") as tar:  # type: ignore[call-overload]  # needs no more than read()
            for member in tar:
                tops |= _top(member, links)
                if wrong := [top for top in tops if not re.fullmatch(folder, top)]:
                    raise BadArchive(f"it holds {wrong[0]!r}, not the folder {_plain(folder)}")
    except (tarfile.TarError, EOFError, OSError, ValueError, lzma.LZMAError, zlib.error) as error:
        raise BadArchive(f"{path.name} cannot be read: {error}") from None
    if not tops:
        raise BadArchive(f"{path.name} holds nothing")


def _top(member: tarfile.TarInfo, links: set[PurePosixPath]) -> set[str]:
    """The first part of an entry's name, if it has one. Raises BadArchive for an entry that no release needs.

    `links` are the symbolic links so far: what would be written through one can land anywhere."""
    name = PurePosixPath(member.name)
    if name.is_absolute() or ".." in name.parts or not links.isdisjoint(name.parents):
        raise BadArchive(f"its entry {member.name!r} leads out of it")
    if member.issym() or member.islnk():
        base = name.parent if member.issym() else PurePosixPath()
        target = posixpath.normpath(posixpath.join(base, member.linkname))
        if target.split("/")[0] != name.parts[0]:
            raise BadArchive(f"its link {member.name!r} leads to {member.linkname!r}, out of it")
        if member.issym():
            links.add(name)
    elif not (member.isfile() or member.isdir()):
        raise BadArchive(f"its entry {member.name!r} is neither file nor directory nor link")
    elif member.isfile() and len(name.parts) == 1:
        raise BadArchive(f"its file {member.name!r} lies beside the folder")
    return set(name.parts[:1])


def _plain(pattern: str) -> str:
    return re.sub(r"\\(.)", r"\1", pattern)
