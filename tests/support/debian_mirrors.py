"""A small Debian archive on loopback: signed suites, their indices and a pool, made in the test."""

from __future__ import annotations

import hashlib
import lzma
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

import pysequoia
import pytest
from tests.support import servers

from debian.archive import Archive, find_sources
from host import apt
from portable import fetch
from portable.opener import Limits
from sources.from_upstream import PinnedFile

needs_gpgv = pytest.mark.program("gpgv")
LIMITS = Limits(connect=1, stall=2, attempts=2, backoff=0.01)


@dataclass(frozen=True)
class Package:
    """A source package with these files, all of them in the pool."""

    name: str
    version: str
    files: dict[str, bytes]

    @property
    def directory(self) -> str:
        return f"pool/main/{self.name[0]}/{self.name}"

    def stanza(self) -> str:
        sums = "".join(f"\n {hashlib.sha256(body).hexdigest()} {len(body)} {name}" for name, body in self.files.items())
        old = "".join(f"\n {hashlib.md5(body).hexdigest()} {len(body)} {name}" for name, body in self.files.items())
        return (
            f"Package: {self.name}\nBinary: {self.name}, lib{self.name}\nVersion: {self.version}\n"
            f"Files:{old}\nChecksums-Sha256:{sums}\nDirectory: {self.directory}\n"
            f"Package-List:\n {self.name} deb vcs optional arch=any\n"
        )


def package(name: str, version: str, *, suffix: str = "tar.xz", content: bytes | None = None) -> Package:
    """A package whose tarball begins as its suffix demands and otherwise says what it is."""
    upstream = version.rpartition(":")[2].rpartition("-")[0]
    start = {"tar.xz": b"\xfd7zXZ\x00", "tar.gz": b"\x1f\x8b"}[suffix]
    body = start + f"{name} {upstream}".encode() if content is None else content
    return Package(
        name,
        version,
        {
            f"{name}_{upstream}.orig-www.{suffix}": start + b"documentation",
            f"{name}_{upstream}.orig.{suffix}": body,
            f"{name}_{upstream}.orig.{suffix}.asc": b"signature",
            f"{name}_{version.rpartition(':')[2]}.debian.tar.xz": b"\xfd7zXZ\x00packaging",
        },
    )


@dataclass
class DebianServer:
    """What a server has of Debian, and the key that signs it."""

    server: servers.Server
    directory: Path
    key: pysequoia.Tsk = field(default_factory=lambda: pysequoia.Tsk.generate("Archive <archive@example.org>"))

    def __post_init__(self) -> None:
        self.certificate = self.key.extract_certificate()

    def keyring(self) -> Path:
        """A keyring as the package debian-archive-keyring has it."""
        path = self.directory / "keyring.gpg"
        path.write_bytes(bytes(self.certificate))
        return path

    def sign(self, text: str) -> bytes:
        signed: bytes = pysequoia.sign(self.key.signer(), text.encode(), mode=pysequoia.SignatureMode.CLEAR)
        return signed

    def publish(
        self,
        suite: str,
        packages: Iterable[Package],
        *,
        root: str = "/debian",
        code_name: str | None = None,
        valid_until: str = "",
        pool: bool = True,
        by_hash: bool = True,
    ) -> bytes:
        """Serves a suite and, with `pool`, its files; returns its InRelease."""
        items = list(packages)
        index = lzma.compress("\n".join(item.stanza() for item in items).encode())
        digest = hashlib.sha256(index).hexdigest()
        text = (
            f"Origin: Debian\nSuite: {suite}\nCodename: {code_name or suite}\nDate: Sat, 14 Nov 2026 08:00:00 UTC\n"
            + (f"Valid-Until: {valid_until}\n" if valid_until else "")
            + ("Acquire-By-Hash: yes\n" if by_hash else "")
            + f"MD5Sum:\n {hashlib.md5(index).hexdigest()} {len(index)} main/source/Sources.xz\n"
            + f"SHA256:\n {'0' * 64} {len(index)} contrib/source/Sources.xz\n"
            + f" {digest} {len(index):8d} main/source/Sources.xz\n"
        )
        release = self.sign(text)
        base = f"{root}/dists/{suite}"
        self.server.routes[f"{base}/InRelease"] = servers.good(release)
        path = f"by-hash/SHA256/{digest}" if by_hash else "Sources.xz"
        self.server.routes[f"{base}/main/source/{path}"] = servers.good(index)
        for item in items if pool else ():
            for name, body in item.files.items():
                self.server.routes[f"{root}/{item.directory}/{name}"] = servers.good(body)
        return release

    def archive(self) -> Archive:
        """The archive as a machine sees it that is configured with this mirror."""
        sources = find_sources({apt.MIRROR_VARIABLE: self.server.url("/debian")})
        fetcher = fetch.Fetcher(limits=LIMITS, mirrors=None)
        return Archive(sources, [self.keyring()], self.directory / "cache", fetcher)


def wanted(mirror: DebianServer, name: str, body: bytes) -> PinnedFile:
    """A pinned file that the server of an archive has beside it."""
    url = mirror.server.url(f"/{name}.tar.gz")
    mirror.server.routes[f"/{name}.tar.gz"] = servers.good(body)
    return PinnedFile(name, "1", url, hashlib.sha256(body).hexdigest(), Path(name, f"{name}.tar.gz"))
