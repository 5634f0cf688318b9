"""Reads debian/changelog (Debian Policy 4.4) from the archive of a source package."""

from __future__ import annotations

import gzip
import io
import lzma
import re
import tarfile
import zlib
from dataclasses import dataclass
from datetime import datetime

from portable import transport

MOST = 16 << 20  # bytes of a changelog; the longest, the kernel's, has 6 million

_ENTRY = re.compile(
    r"^\S+ \((?P<version>[^)]+)\).*\n(?P<text>(?:(?:[ \t].*)?\n)*?) -- [^\n]*>  (?P<date>[^\n]+)$", re.MULTILINE
)


class NoChangelog(Exception):
    """The archive has no changelog that can be read."""


@dataclass(frozen=True)
class ChangelogEntry:
    """What a version of a source package changed, and when; `date` is None where it cannot be read."""

    version: str
    text: str
    date: datetime | None


def entries(changelog: str) -> list[ChangelogEntry]:
    """The entries of a changelog, newest first as they stand there."""
    return [ChangelogEntry(e["version"], e["text"], transport.moment(e["date"])) for e in _ENTRY.finditer(changelog)]


def from_archive(archive: bytes) -> list[ChangelogEntry]:
    """The entries of the changelog in a tarball: `debian/changelog`, below one folder or not. Raises NoChangelog."""
    try:
        with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
            for member in tar:
                if re.fullmatch(r"(?:\./)?(?:[^/]+/)?debian/changelog", member.name) and member.isfile():
                    stream = tar.extractfile(member)
                    return entries(stream.read(MOST).decode(errors="replace") if stream else "")
    except (tarfile.TarError, lzma.LZMAError, zlib.error, EOFError, OSError) as error:
        raise NoChangelog(f"it cannot be read: {error}") from None
    raise NoChangelog("it has no debian/changelog")


def from_diff(compressed: bytes) -> list[ChangelogEntry]:
    """The entries of the changelog that a .diff.gz adds, in which source format 1.0 has debian/. Raises NoChangelog."""
    try:
        with gzip.open(io.BytesIO(compressed)) as stream:
            lines = stream.read(MOST).decode(errors="replace").splitlines(keepends=True)
    except (EOFError, OSError, zlib.error) as error:
        raise NoChangelog(f"it cannot be read: {error}") from None
    added, inside = [], False
    for line in lines:
        if line.startswith("+++ "):
            inside = line.split()[1].partition("/")[2] == "debian/changelog"
        elif inside and line.startswith("+"):
            added.append(line[1:])
        elif line.startswith("--- "):
            inside = False
    if not added:
        raise NoChangelog("it adds no debian/changelog")
    return entries("".join(added))
