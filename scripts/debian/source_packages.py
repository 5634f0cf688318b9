"""Source packages as the indices of the Debian archive describe them, and the upstream part of their versions."""

from __future__ import annotations

import re
import urllib.parse
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import IO

from debian.suites import HASH_LINE, Suite
from host import apt
from portable import errors

_VERSION = re.compile(
    r"(?P<number>[0-9]{1,18}(?:\.[0-9]{1,18})*)(?:~?(?P<pre>(?:a|b|rc|alpha|beta)[0-9]+))?"
    r"(?P<repack>[+~.](?:dfsg|ds|repack)[0-9.]*)?"
)


@dataclass(frozen=True, order=True)
class UpstreamVersion:
    """The upstream part of a Debian version. Orders as releases do; `pre` is "~" for a final release."""

    number: tuple[int, ...]
    pre: str
    text: str = field(compare=False)
    repacked: bool = field(compare=False)

    @property
    def prerelease(self) -> bool:
        """Whether this is an alpha, beta or release candidate."""
        return self.pre != "~"


@dataclass(frozen=True)
class SourceFile:
    """A file of a source package, as the signed index describes it; `size` in bytes."""

    name: str
    size: int
    sha256: str


@dataclass(frozen=True)
class SourcePackage:
    """A source package in one suite."""

    package: str
    version: str
    suite: str
    roots: tuple[str, ...]
    directory: str
    files: tuple[SourceFile, ...]

    @property
    def upstream(self) -> UpstreamVersion | None:
        """Its upstream version; None for snapshots and other versions that are not a plain release."""
        return upstream_version(self.version)

    @property
    def original(self) -> SourceFile | None:
        """The main upstream tarball."""
        name = re.escape(f"{self.package}_{_without_epoch(self.version).rpartition('-')[0]}")
        return self._file(rf"{name}\.orig\.tar\.(?:xz|gz|bz2|zst)")

    @property
    def signature(self) -> SourceFile | None:
        """Upstream's detached signature of `original`, where the source package carries it."""
        return self._file(re.escape(self.original.name) + r"\.asc") if self.original else None

    @property
    def packaging(self) -> SourceFile | None:
        """The tarball with debian/: its changelog, and upstream's signing keys."""
        return self._file(r".*\.debian\.tar\.(?:xz|gz|bz2|zst)")

    @property
    def diff(self) -> SourceFile | None:
        """The patch with debian/ of a package in source format 1.0."""
        return self._file(r".*\.diff\.gz")

    def urls(self, file: SourceFile) -> tuple[str, ...]:
        """The URLs of the file, one for each mirror."""
        return tuple(f"{root}/{self.directory}/{urllib.parse.quote(file.name, safe='+~')}" for root in self.roots)

    def _file(self, pattern: str) -> SourceFile | None:
        return next((file for file in self.files if re.fullmatch(pattern, file.name)), None)


def upstream_version(version: str) -> UpstreamVersion | None:
    """A Debian version without epoch, revision and repacking suffix; None where that is not a release."""
    text = _without_epoch(version)
    text = (text.rpartition("-")[0] or text).rpartition("+really")[2]
    match = _VERSION.fullmatch(text)
    if not match:
        return None
    number = tuple(int(part) for part in match["number"].split("."))
    return UpstreamVersion(number, match["pre"] or "~", match["number"] + (match["pre"] or ""), bool(match["repack"]))


def matching_stanzas(index: IO[bytes], pattern: re.Pattern[bytes], block: int = 1 << 20) -> Iterator[bytes]:
    """The stanzas of a source index whose whole package name matches.

    Reads `block` bytes at a time: an index has some 70 MB, and several are read at once."""
    rest = b""
    while chunk := index.read(block):
        whole, _, rest = (rest + chunk).rpartition(b"\n\n")
        yield from _matching(whole, pattern)
    yield from _matching(rest, pattern)


def _matching(index: bytes, pattern: re.Pattern[bytes]) -> Iterator[bytes]:
    marker = b"\nPackage: "
    index = b"\n" + index.strip() + b"\n"
    start = index.find(marker)
    while start >= 0:
        name_at = start + len(marker)
        if pattern.fullmatch(index, name_at, index.index(b"\n", name_at)):
            end = index.find(b"\n\n", name_at)
            yield index[start + 1 : end if end >= 0 else len(index) - 1]
        start = index.find(marker, name_at)


def parse_stanza(stanza: bytes, suite: Suite) -> SourcePackage:
    """A source package from its stanza. Raises errors.Failure for a stanza that lacks a mandatory field."""
    fields = dict(apt.stanza(stanza.decode()))
    try:
        files = tuple(
            SourceFile(match[3], int(match[2]), match[1]) for match in HASH_LINE.finditer(fields["Checksums-Sha256"])
        )
        return SourcePackage(fields["Package"], fields["Version"], suite.name, suite.roots, fields["Directory"], files)
    except KeyError as missing:
        raise errors.Failure(f"{suite.name}: the index has a source package without {missing}") from None


def _without_epoch(version: str) -> str:
    return version.partition(":")[2] or version
