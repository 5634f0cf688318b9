"""Lists of what refers to an image, against a server that answers anything."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from tests.support import servers

from network import oci, referrers
from network.oci import INDEX_TYPES, MANIFEST_TYPES, Manifest
from network.referrers import Artifact
from network.registry import Registry
from portable import errors

REPOSITORY = "pypa/image"
PATH = f"/v2/{REPOSITORY}"
SUBJECT = Manifest(b'{"schemaVersion": 2, "config": {}, "layers": []}', MANIFEST_TYPES[0])
SBOM = Artifact("application/spdx+json", "sbom", b"{}").manifest(SUBJECT)
NOTE = Artifact("application/vnd.example.note", "note", b"hello").manifest(SUBJECT)
LIST = f"{PATH}/referrers/{SUBJECT.digest}"
TAG = f"{PATH}/manifests/sha256-{SUBJECT.digest[7:]}"


def index(*rows: Any, **more: Any) -> bytes:
    return json.dumps({"schemaVersion": 2, "mediaType": INDEX_TYPES[0], "manifests": list(rows), **more}).encode()


def row(manifest: Manifest, kind: str | None = None) -> dict[str, Any]:
    return {
        "mediaType": manifest.media_type,
        "digest": manifest.digest,
        "size": len(manifest.content),
        "artifactType": manifest.kind if kind is None else kind,
    }


def answer(content: bytes, kind: str = INDEX_TYPES[0], **headers: str) -> servers.Route:
    return servers.status(200, {"Content-Type": kind, **headers}, content)


@pytest.fixture
def server() -> Iterator[servers.Server]:
    with servers.running() as running:
        for each in (SBOM, NOTE):
            running.routes[f"{PATH}/manifests/{each.digest}"] = answer(each.content, each.media_type)
        running.routes[TAG] = answer(index(row(NOTE)))
        yield running


def kinds(server: servers.Server, kind: str = "") -> list[str]:
    client = Registry(f"127.0.0.1:{server.port}", ("me", "secret"))
    return [each.kind for each in referrers.referrers(client, REPOSITORY, SUBJECT.digest, kind)]


@pytest.mark.parametrize(
    "route",
    [
        servers.status(404),
        servers.status(404, {"Content-Type": "text/plain"}, b"404 page not found\n"),
        servers.status(400),
        servers.status(405),
        servers.redirecting("/elsewhere"),
        servers.html(),
        answer(index(row(SBOM)), "application/json"),
        answer(index(row(SBOM)), MANIFEST_TYPES[0]),
    ],
    ids=["404", "text", "400", "405", "redirect", "html", "json", "manifest"],
)
def test_any_other_answer_means_the_tag(server: servers.Server, route: servers.Route) -> None:
    server.routes[LIST], server.routes["/elsewhere"] = route, answer(index(row(SBOM)))
    assert kinds(server) == [NOTE.kind]
    assert not server.asked("/elsewhere")


def test_a_failing_registry_has_no_empty_list(server: servers.Server) -> None:
    """Whoever deletes or publishes must not take it for one."""
    server.routes[LIST] = servers.status(500)
    with pytest.raises(errors.Failure, match=f"{REPOSITORY}/referrers/{SUBJECT.digest}: the registry answers 500"):
        kinds(server)
    server.routes[LIST] = servers.status(404)
    server.routes[TAG] = servers.status(500)
    with pytest.raises(errors.Failure, match="answers 500"):
        kinds(server)
    server.routes[TAG] = servers.status(404)
    assert kinds(server) == []


def test_the_list_counts_where_there_is_one(server: servers.Server) -> None:
    server.routes[LIST] = answer(index(row(SBOM)), f"{INDEX_TYPES[0]}; charset=utf-8")
    assert kinds(server) == [SBOM.kind]
    server.routes[LIST] = answer(index())
    assert kinds(server) == []
    assert not server.asked(TAG)


def test_a_list_that_does_not_filter_or_names_other_types(server: servers.Server) -> None:
    """Rows may have no type, that of the configuration, or a wrong one: the manifests decide."""
    server.routes[LIST] = answer(index(row(SBOM), row(NOTE)))
    assert kinds(server, SBOM.kind) == [SBOM.kind]
    server.routes[LIST] = answer(index(row(SBOM, oci.EMPTY_TYPE), row(NOTE, "")))
    assert kinds(server, SBOM.kind) == [SBOM.kind]
    server.routes[LIST] = answer(index(row(NOTE, SBOM.kind)))
    assert kinds(server, SBOM.kind) == []


def test_a_row_counts_once_and_only_if_it_is_there(server: servers.Server) -> None:
    gone = Artifact("application/x", "x", b"x").manifest(SUBJECT)
    other = Artifact("application/x", "x", b"x").manifest(SBOM)
    server.routes[f"{PATH}/manifests/{other.digest}"] = answer(other.content, other.media_type)
    server.routes[LIST] = answer(index(row(SBOM), row(gone), row(SBOM), row(other)))
    assert kinds(server) == [SBOM.kind]


def test_pages(server: servers.Server) -> None:
    server.routes[LIST] = answer(index(row(SBOM)), Link=f'<{LIST}?last=a>; rel="next"')
    server.routes[f"{LIST}?last=a"] = answer(index(row(NOTE)))
    assert kinds(server) == [SBOM.kind, NOTE.kind]
    server.routes[f"{LIST}?last=a"] = servers.status(404)
    with pytest.raises(errors.Failure, match="last=a: the registry answers 404"):
        kinds(server)
    server.routes[f"{LIST}?last=a"] = server.routes[LIST]
    with pytest.raises(errors.Failure, match="the list does not end"):
        kinds(server)
    with servers.running() as other:
        server.routes[LIST] = answer(index(row(SBOM)), Link=f'<{other.url(LIST)}>; rel="next"')
        with pytest.raises(errors.Failure, match="it leads to another place than the registry"):
            kinds(server)
        assert other.requests == []


def test_an_upload_goes_on_at_the_registry_only(server: servers.Server) -> None:
    with servers.running() as other:
        for location in (other.url(f"{PATH}/blobs/uploads/1"), "", "http://["):
            server.routes[f"{PATH}/blobs/uploads/"] = servers.status(202, {"Location": location})
            with pytest.raises(errors.Failure, match="it leads to another place than the registry"):
                Registry(f"127.0.0.1:{server.port}", ("me", "secret")).put_blob(REPOSITORY, b"x")
        assert other.requests == []


def test_a_tag_and_its_subject() -> None:
    assert referrers.subject_of(referrers.tag_of(SUBJECT.digest)) == SUBJECT.digest
    assert referrers.subject_of(f"sha256-{'a' * 64}.sig") == "sha256:" + "a" * 64
    for tag in ("latest", "2026.11.21-1", "sha256-abc", f"sha256-{'A' * 64}", f"xsha256-{'a' * 64}"):
        assert referrers.subject_of(tag) == ""
