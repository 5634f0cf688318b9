"""What tags stand for is what their manifests say; quay's own list only saves asking for what has not changed."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.support import servers

from network import oci
from network.registry import Registry
from portable import errors
from publish import listing
from publish.destination import Destination
from publish.listing import TagReader

NAME = "manylinux_2_28"
INDEX = oci.INDEX_TYPES[0]


def index(*children: str) -> bytes:
    return json.dumps({"schemaVersion": 2, "manifests": [{"digest": child} for child in children]}).encode()


CHILD = "sha256:" + "1" * 64
CONTENT = {"a": index(CHILD), "b": index(), "latest": index(CHILD)}
DIGESTS = {tag: oci.digest_of(content) for tag, content in CONTENT.items()}


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[servers.Server]:
    monkeypatch.setenv("REGISTRY_AUTH_FILE", str(tmp_path / "none"))
    with servers.running() as running:
        for tag, content in CONTENT.items():
            running.routes[f"/v2/pypa/{NAME}/manifests/{tag}"] = servers.good(content, content_type=INDEX)
        running.routes[f"/v2/pypa/{NAME}/tags/list?n=100"] = servers.good(json.dumps({"tags": [*CONTENT]}).encode())
        yield running


@pytest.fixture
def found(server: servers.Server) -> TagReader:
    return TagReader(Destination(Registry(f"127.0.0.1:{server.port}"), "pypa"))


@pytest.fixture
def quay(found: TagReader, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """What quay's list says, to be changed by the test."""
    claims = dict(DIGESTS)
    found.is_quick = True
    monkeypatch.setattr(listing, "quay_tags", lambda registry, repository: dict(claims))
    return claims


def asked(server: servers.Server) -> list[str]:
    tags = sorted(path.rpartition("/")[2] for _, path, _ in server.requests if "/manifests/" in path)
    server.requests.clear()
    return tags


def test_every_tag_is_read(server: servers.Server, found: TagReader) -> None:
    assert found.quick(NAME) == found.read(NAME, DIGESTS) == DIGESTS
    assert asked(server) == ["a", "a", "b", "b", "latest", "latest"]
    assert found.inside == {DIGESTS["a"]: (CHILD,), DIGESTS["b"]: (), DIGESTS["latest"]: (CHILD,)}


def test_quay_is_believed_about_what_has_not_changed(
    server: servers.Server, found: TagReader, quay: dict[str, str]
) -> None:
    assert found.quick(NAME) == DIGESTS
    assert asked(server) == []
    before = found.read(NAME)
    assert (before, asked(server)) == (DIGESTS, ["a", "b", "latest"])
    assert (found.read(NAME, before), asked(server)) == (DIGESTS, ["latest"])
    quay["b"] = DIGESTS["a"]  # it has moved, says the list; it has not, says the manifest
    assert (found.read(NAME, before), asked(server)) == (DIGESTS, ["b", "latest"])
    del quay["b"]
    assert found.read(NAME, before).keys() == {"a", "latest"}


@pytest.mark.parametrize("tag", ["a", "latest"])
def test_a_tag_that_is_listed_but_not_there(server: servers.Server, found: TagReader, tag: str) -> None:
    del server.routes[f"/v2/pypa/{NAME}/manifests/{tag}"]
    with pytest.raises(errors.Failure, match=f"{NAME}:{tag} is listed, but not there"):
        found.read(NAME)
