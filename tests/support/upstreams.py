"""A small world to update from: projects with tags, tarballs and keys on loopback, and a repository that pins them."""

from __future__ import annotations

import bz2
import gzip
import hashlib
import io
import lzma
import random
import shutil
import tarfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pysequoia
from pysequoia import SignatureMode
from tests.support import servers
from tests.support.repositories import git

ROOT = Path(__file__).resolve().parents[2]


def serve_repository(server: servers.Server, name: str, repository: Path) -> str:
    """Lists the repository's tags for git, as a server of plain files does; returns its URL."""

    def refs(handler: BaseHTTPRequestHandler) -> None:
        listed = git(repository, "for-each-ref", "--format=%(objectname)%09%(refname)")
        servers.good(f"{listed}\n".encode())(handler)

    server.routes[f"/{name}.git/info/refs?service=git-upload-pack"] = refs
    return server.url(f"/{name}.git")


def tarball(name: str, version: str, suffix: str = "tar.gz", folder: str = "") -> bytes:
    """A real archive with one file, in `folder` ("name-version"); the same bytes for the same release."""
    content = random.Random(f"{name} {version} {suffix}").randbytes(20_000)
    return archive({f"{folder or f'{name}-{version}'}/data": content}, suffix)


def archive(members: Mapping[str, bytes | tarfile.TarInfo], suffix: str = "tar.gz") -> bytes:
    """A tar archive with these members: contents of files by path, or whatever else tar can hold."""
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as tar:
        for path, content in members.items():
            member = tarfile.TarInfo(path)
            if isinstance(content, tarfile.TarInfo):
                content.name = path
                tar.addfile(content)
            else:
                member.size = len(content)
                tar.addfile(member, io.BytesIO(content))
    if suffix == "tar.gz":
        return gzip.compress(stream.getvalue(), compresslevel=1, mtime=0)
    return lzma.compress(stream.getvalue()) if suffix == "tar.xz" else bz2.compress(stream.getvalue())


def sha256(content: bytes) -> str:
    """Its sha256 in hexadecimal."""
    return hashlib.sha256(content).hexdigest()


def days_ago(days: float) -> dict[str, str]:
    """A Last-Modified header."""
    return {"Last-Modified": format_datetime(datetime.now(UTC) - timedelta(days=days), usegmt=True)}


@dataclass
class Project:
    """One upstream: `release` tags, serves and signs."""

    name: str
    server: servers.Server
    repository: Path
    key: pysequoia.Tsk = field(default_factory=lambda: pysequoia.Tsk.generate("Maintainer <maintainer@example.org>"))

    def __post_init__(self) -> None:
        self.repository.mkdir(parents=True)
        git(self.repository, "init", "--quiet")
        git(self.repository, "commit", "--quiet", "--allow-empty", "--message", "all releases")
        certificate = self.key.extract_certificate()
        self.fingerprint = str(certificate.fingerprint).upper()
        self.server.routes[f"/{self.name}/key.asc"] = servers.good(str(certificate).encode())
        self.repository_url = serve_repository(self.server, self.name, self.repository)

    @property
    def row(self) -> str:
        """The row of a dependencies.toml that tracks this project by its signature."""
        keys = self.server.url(f"/{self.name}/key.asc")
        return f"""
[{self.name}]
series = "1"
sources = [{{ kind = "git-tags", url = "{self.repository_url}", pattern = 'v(.*)' }}]
version = '\\d+\\.\\d+\\.\\d+'
url = "{self.server.url(f"/{self.name}/{self.name}")}-{{version}}.tar.gz"
trust = ["openpgp"]
openpgp = {{ url = "{{url}}.asc", signers = ["{self.fingerprint}"], keys = "{keys}" }}
changelog = "https://example.org/{self.name}/{{version}}"
compare = "https://example.org/{self.name}/{{old}}...{{version}}"
"""

    def path(self, version: str) -> str:
        """Where the server has the tarball."""
        return f"/{self.name}/{self.name}-{version}.tar.gz"

    def release(self, version: str, *, days: int | None = 30, by: pysequoia.Tsk | None = None) -> None:
        """Tags a version and serves its tarball, `days` old (None: the server does not say), and its signature."""
        self.tag(version)
        self.serve(version, tarball(self.name, version), days=days, by=by)

    def serve(self, version: str, content: bytes, *, days: int | None = 30, by: pysequoia.Tsk | None = None) -> None:
        """Serves this as the tarball of a version, and a signature that fits it."""
        headers = {} if days is None else days_ago(days)
        self.server.routes[self.path(version)] = servers.status(200, headers, content)
        signature = pysequoia.sign((by or self.key).signer(), content, mode=SignatureMode.DETACHED)
        self.server.routes[self.path(version) + ".asc"] = servers.good(bytes(signature))

    def tag(self, version: str) -> None:
        """Only tags."""
        git(self.repository, "tag", f"v{version}")

    def withdraw(self, version: str) -> None:
        """Takes a release back: tag, tarball and signature are gone."""
        git(self.repository, "tag", "--delete", f"v{version}")
        for path in (self.path(version), self.path(version) + ".asc"):
            del self.server.routes[path]


@dataclass
class World:
    """A repository of ours whose pins are projects on loopback."""

    directory: Path
    server: servers.Server
    projects: dict[str, Project] = field(default_factory=dict)
    rows: dict[str, str] = field(default_factory=dict)

    @property
    def repository(self) -> Path:
        return self.directory / "ours"

    def project(self, name: str, *versions: str) -> Project:
        """A new project with these releases, pinned to the first of them."""
        project = self.projects[name] = Project(name, self.server, self.directory / "upstream" / name)
        for version in versions:
            project.release(version)
        self.rows[name] = project.row
        return project

    def commit(self, *, pins: Mapping[str, str], scripts: bool = False) -> Path:
        """Writes our repository with these pins (name -> version) and makes its first commit.

        `scripts` copies the scripts into it too, so that a process can run there."""
        docker = self.repository / "docker"
        docker.mkdir(parents=True)
        (docker / "Dockerfile").write_text(
            "".join(map(self._pin, pins, pins.values())) + "\nFROM scratch\n", encoding="utf-8"
        )
        (docker / "dependencies.toml").write_text("".join(self.rows.values()), encoding="utf-8")
        shutil.copy(ROOT / "docker" / "unconfirmed.toml", docker)
        if scripts:
            shutil.copytree(
                ROOT / "scripts", self.repository / "scripts", ignore=shutil.ignore_patterns("__pycache__", ".*")
            )
            (self.repository / ".gitignore").write_text("__pycache__\n", encoding="utf-8")
        git(self.repository, "init", "--quiet", "--initial-branch=main")
        git(self.repository, "add", ".")
        git(self.repository, "commit", "--quiet", "--message", "Start")
        for key, value in {"user.name": "Tester", "user.email": "tester@example.org"}.items():
            git(self.repository, "config", key, value)
        return self.repository

    def _pin(self, name: str, version: str) -> str:
        url = self.server.url(f"/{name}/{name}-${{{name.upper()}_VERSION}}.tar.gz")
        digest = sha256(tarball(name, version))
        prefix = f"ARG {name.upper()}"
        return f"\n{prefix}_VERSION={version}\n{prefix}_SHA256={digest}\n{prefix}_URL={url}\n"


def packaging(changelog: str) -> bytes:
    """A debian.tar.xz with this changelog."""
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w:xz") as tar:
        member = tarfile.TarInfo("debian/changelog")
        member.size = len(changelog.encode())
        tar.addfile(member, io.BytesIO(changelog.encode()))
    return stream.getvalue()


def entry(package: str, version: str, date: datetime) -> str:
    """One entry of debian/changelog."""
    signed = f" -- A Person <a@example.org>  {format_datetime(date)}"
    return f"{package} ({version}) unstable; urgency=medium\n\n  * New.\n\n{signed}\n"
