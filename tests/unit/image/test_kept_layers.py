"""CPythons that an image has lost, installed from the layer of a published one, from a registry on loopback."""

from __future__ import annotations

import gzip
import io
import json
import subprocess
import tarfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Literal

import pytest
from tests.support import certificates, fake_image, servers
from tests.support.fake_image import FakeImage

TAG, HOME = "cp38-cp38", "opt/_internal/cpython-3.8.20"
BLOBS = "/v2/acme/manylinux_2_36_x86_64/blobs/sha256:"
COMMAND = "manylinux-interpreters"


def link(kind: bytes, target: str) -> tarfile.TarInfo:
    member = tarfile.TarInfo()
    member.type, member.linkname = kind, target
    return member


@dataclass
class Registry:
    """An image whose table keeps cp38-cp38, and the server that has its layer."""

    image: FakeImage
    server: servers.Server
    good: dict[str, bytes | tarfile.TarInfo] = field(default_factory=dict)

    def __post_init__(self) -> None:
        python = fake_image.stand_in(self.image.root, "3.8.20", "cpython", "3.8.20")
        self.good = {
            **{name: link(tarfile.DIRTYPE, "") for name in ("opt", "opt/_internal", "opt/python", "usr", "usr/local")},
            f"opt/_internal/manifest.d/{TAG}.json": b"{}",
            f"{HOME}/bin/python3.8": python,
            f"{HOME}/bin/python": link(tarfile.SYMTYPE, "python3.8"),
            f"{HOME}/lib/one": b"1",
            f"{HOME}/lib/same": link(tarfile.LNKTYPE, f"{HOME}/lib/one"),
            f"opt/python/{TAG}": link(tarfile.SYMTYPE, f"/{HOME}"),
            "usr/local/bin/cpython3.8": b"#!/bin/sh\n",
            "usr/local/bin/python3.8": link(tarfile.SYMTYPE, "cpython3.8"),
        }

    def serve(self, more: Mapping[str, bytes | tarfile.TarInfo] = {}, squeeze: bytes | Literal["gz"] = "gz") -> str:
        """Serves the layer, with something more in it, and writes the table; returns the blob's path."""
        stream = io.BytesIO()
        with tarfile.open(fileobj=stream, mode="w") as tar:
            for name, content in {**self.good, **more}.items():
                member = content if isinstance(content, tarfile.TarInfo) else tarfile.TarInfo()
                member.name, member.mode, member.uid = name, 0o755, 4711
                if isinstance(content, bytes):
                    member.size = len(content)
                tar.addfile(member, io.BytesIO(content) if isinstance(content, bytes) else None)
        plain = stream.getvalue()
        content = gzip.compress(plain) if squeeze == "gz" else squeeze + plain
        digest = fake_image.sha256(content)
        self.server.routes[BLOBS + digest] = servers.good(content)
        row = f'url = "{self.server.url(BLOBS + digest)}", sha256 = "{digest}", tag = "2026.11.26-1"'
        table = f'[kept.{TAG}]\nversion = "3.8.20"\n[kept.{TAG}.layers]\nmanylinux_2_36_x86_64 = {{ {row} }}\n'
        self.image.write_downloads(table)
        return BLOBS + digest

    def run(self, *words: str, **environment: str) -> subprocess.CompletedProcess[str]:
        return self.image.run(COMMAND, *words, **environment)

    def refused(self, message: str) -> None:
        """Asserts that it is not installed, for this reason, and leaves nothing behind."""
        before = self.image.files()
        done = self.run("ensure", TAG)
        assert done.returncode == 1
        assert message in done.stderr
        assert self.image.files() == before


@pytest.fixture
def registry(tmp_path: Path) -> Iterator[Registry]:
    image = fake_image.make(tmp_path / "root")
    for place in ("opt/python", "usr/local/bin"):
        (image.root / place).mkdir(parents=True, exist_ok=True)
    (image.root / "opt/_internal/.lock").touch()
    with servers.running() as server:
        yield Registry(image, server)


@pytest.mark.parametrize("squeeze", ["gz", b""])
def test_it_is_as_it_was_in_the_published_image(registry: Registry, squeeze: bytes | Literal["gz"]) -> None:
    registry.serve(squeeze=squeeze)
    assert TAG in registry.run("list").stdout.split()
    done = registry.run("ensure", TAG)
    assert done.returncode == 0, done.stderr
    root = registry.image.root
    assert (root / "opt/python" / TAG).resolve() == root / HOME
    assert (root / HOME / "lib/same").samefile(root / HOME / "lib/one")
    assert (root / "usr/local/bin/python3.8").readlink() == Path("cpython3.8")
    (row,) = json.loads(registry.run("list", "--installed", "--format", "json").stdout)
    assert (row["identifier"], row["implementation_version"]) == (TAG, "3.8.20")
    assert not list((root / "opt/_internal").glob(".installing-*"))
    assert not (root / "opt/_internal/manifest.d").exists()
    assert "already installed" in registry.run("ensure", TAG).stdout


FOREIGN: dict[str, tuple[dict[str, bytes | tarfile.TarInfo], str]] = {
    "another file": ({"etc/passwd": b"root"}, "etc/passwd, which is not a part of cp38-cp38"),
    "another interpreter": ({"opt/_internal/cpython-3.9.25/bin/python": b""}, "not a part of cp38-cp38"),
    "a whiteout": ({f"{HOME}/.wh.lib": b""}, ".wh.lib, which is not a part"),
    "a way out": ({f"{HOME}/../../../etc/passwd": b""}, "not a part of cp38-cp38"),
    "a hard link out": ({f"{HOME}/shadow": link(tarfile.LNKTYPE, "etc/shadow")}, "to etc/shadow, not a part"),
    "through a link": (
        {f"{HOME}/etc": link(tarfile.SYMTYPE, "/etc"), f"{HOME}/etc/passwd": b""},
        "writes opt/_internal/cpython-3.8.20/etc/passwd through a link",
    ),
}


@pytest.mark.parametrize("kind", FOREIGN)
def test_what_does_not_belong_to_the_interpreter_is_refused(registry: Registry, kind: str) -> None:
    more, message = FOREIGN[kind]
    registry.serve(more)
    registry.refused(message)


def test_a_layer_without_the_interpreter_is_refused(registry: Registry) -> None:
    del registry.good[f"opt/python/{TAG}"]
    registry.serve()
    registry.refused("its layer does not hold cp38-cp38")


def test_another_content_is_refused(registry: Registry) -> None:
    path = registry.serve()
    registry.server.routes[path] = servers.good(b"another" * 1000)
    registry.refused("the content is not what was pinned")


def test_an_interpreter_whose_modules_miss_their_libraries_is_refused(registry: Registry) -> None:
    python = b"#!/bin/sh\necho 'ImportError: libssl.so.3' >&2\nexit 1\n"
    registry.serve({f"{HOME}/bin/python3.8": python})
    registry.refused("ImportError: libssl.so.3")


def test_zstd_needs_a_newer_python(registry: Registry) -> None:
    registry.serve(squeeze=b"\x28\xb5\x2f\xfd")
    registry.refused("compressed by zstd, which only Python 3.14 and later read")


def test_only_the_image_whose_layer_it_is_offers_it(registry: Registry) -> None:
    registry.serve()
    for policy, platform in (("manylinux_2_28", "x86_64"), ("manylinux_2_36", "aarch64"), ("musllinux_1_2", "x86_64")):
        done = registry.run("list", AUDITWHEEL_POLICY=policy, AUDITWHEEL_ARCH=platform)
        assert TAG not in done.stdout


def test_musl_has_layers_although_it_has_no_prebuilt_interpreter(registry: Registry) -> None:
    registry.serve()
    table = registry.image.root / "opt/_internal/manylinux/downloads.toml"
    table.write_text(table.read_text(encoding="utf-8").replace("manylinux_2_36", "musllinux_1_2"), encoding="utf-8")
    done = registry.run("list", AUDITWHEEL_POLICY="musllinux_1_2", AUDITWHEEL_ARCH="x86_64")
    assert done.stdout.split() == [TAG]


def test_a_registry_that_gives_everybody_a_token(registry: Registry) -> None:
    """As Docker Hub, ghcr.io and quay.io do; the blob itself then comes from a host that must not see the token."""
    path = registry.serve()
    blob = registry.server.routes[path]
    with servers.running() as store:
        store.routes["/blob"] = blob

        def ask(handler: BaseHTTPRequestHandler) -> None:
            if handler.headers.get("Authorization") == "Bearer t0ken":
                return servers.status(307, {"Location": store.url("/blob")})(handler)
            realm = f'Bearer realm="{registry.server.url("/token")}",service="acme",scope="repository:acme/a:pull"'
            return servers.status(401, {"WWW-Authenticate": realm})(handler)

        registry.server.routes[path] = ask
        asked = "/token?service=acme&scope=repository%3Aacme%2Fa%3Apull"
        registry.server.routes[asked] = servers.good(b'{"token": "t0ken"}', content_type="application/json")
        done = registry.run("ensure", TAG)
        assert done.returncode == 0, done.stderr
        assert registry.server.asked(asked) == 1
        assert [headers.get("Authorization") for _, _, headers in store.requests] == [None]


@pytest.mark.parametrize("answer", [b"<html>", b"[]", b"{}"])
def test_a_registry_that_gives_no_token_is_named(registry: Registry, answer: bytes) -> None:
    path = registry.serve()
    realm = f'Bearer realm="{registry.server.url("/token")}"'
    registry.server.routes[path] = servers.status(401, {"WWW-Authenticate": realm})
    registry.server.routes["/token?"] = servers.good(answer)
    done = registry.run("ensure", TAG)
    assert done.returncode == 1
    assert "/token? gives no token" in done.stderr


def test_behind_a_proxy_that_inspects_tls(registry: Registry, tmp_path: Path) -> None:
    authority, own = certificates.make(tmp_path)
    with servers.running(own) as server:
        registry.server = server
        registry.serve()
        assert registry.run("ensure", TAG).returncode == 1
        done = registry.run("ensure", TAG, SSL_CERT_FILE=str(authority))
        assert done.returncode == 0, done.stderr
