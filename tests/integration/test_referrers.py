"""Documents attached to images, on docker-registry, which knows no referrers, and on a registry that knows them."""

from __future__ import annotations

import functools
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.support import registries, small_registry

from network import oci, referrers
from network.oci import INDEX_TYPES, Manifest
from network.referrers import Artifact
from network.registry import Registry
from portable import errors

pytestmark = pytest.mark.program("docker-registry")
REPOSITORY, OTHER = "pypa/image", "pypa/index"
SBOM = Artifact("application/spdx+json", "sbom.spdx.json", b'{"spdxVersion": "SPDX-2.3"}', {"created": "now"})
NOTE = Artifact("application/vnd.example.note", "note", b"hello")


@pytest.fixture(params=["tag", "list"])
def host(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    if request.param == "list":
        with small_registry.running() as registry:
            registry.page = 2
            yield registry.host
    else:
        with registries.running(tmp_path) as host:
            yield host


@pytest.fixture
def registry(host: str) -> Registry:
    return Registry(host)


def image(registry: Registry, content: bytes = b"layer") -> Manifest:
    return registries.store_image(registry.host, REPOSITORY, "latest", {}, content)


def found(registry: Registry, subject: Manifest, kind: str = "", at: str = REPOSITORY) -> dict[str, bytes]:
    return {each.kind: each.content() for each in referrers.referrers(registry, at, subject.digest, kind)}


def test_what_is_attached_is_found(registry: Registry) -> None:
    subject, other = image(registry), image(registry, b"another")
    assert found(registry, subject) == {}
    digests = referrers.attach(registry, REPOSITORY, subject, [SBOM, NOTE])
    assert found(registry, subject) == {SBOM.kind: SBOM.content, NOTE.kind: NOTE.content}
    assert found(registry, subject, SBOM.kind) == {SBOM.kind: SBOM.content}
    assert referrers.document(registry, REPOSITORY, subject.digest, SBOM.kind) == SBOM.content
    assert referrers.document(registry, REPOSITORY, subject.digest, "application/x") is None
    assert found(registry, other) == {}
    for digest, artifact in zip(digests, (SBOM, NOTE), strict=True):
        stored = registry.manifest(REPOSITORY, digest)
        assert (stored.subject, stored.kind, stored.annotations) == (
            subject.digest,
            artifact.kind,
            artifact.annotations,
        )
        assert stored.answer["layers"].rows()[0]["annotations"].texts() == {referrers.TITLE: artifact.title}


def test_attaching_again_changes_nothing(registry: Registry) -> None:
    subject = image(registry)
    digests = referrers.attach(registry, REPOSITORY, subject, [SBOM])
    tags = registry.tags(REPOSITORY)
    before = [registry.digest(REPOSITORY, tag) for tag in tags]
    assert referrers.attach(registry, REPOSITORY, subject, [SBOM]) == digests
    assert [registry.digest(REPOSITORY, tag) for tag in registry.tags(REPOSITORY)] == before
    assert [each.manifest.digest for each in referrers.referrers(registry, REPOSITORY, subject.digest)] == digests


def test_two_documents_of_a_kind_are_not_one(registry: Registry) -> None:
    subject = image(registry)
    referrers.attach(registry, REPOSITORY, subject, [NOTE])
    referrers.attach(registry, REPOSITORY, subject, [Artifact(NOTE.kind, "note", b"good bye")])
    with pytest.raises(errors.Failure, match=f"{subject.digest} has 2 different documents of {NOTE.kind}"):
        referrers.document(registry, REPOSITORY, subject.digest, NOTE.kind)


def test_many_are_read_over_several_pages(registry: Registry) -> None:
    subject = image(registry)
    notes = [Artifact(f"application/vnd.example.note{n}", "note", b"x") for n in range(5)]
    referrers.attach(registry, REPOSITORY, subject, notes)
    assert list(found(registry, subject)) == [each.kind for each in notes]


def test_a_copy_in_another_repository(registry: Registry) -> None:
    subject = image(registry)
    referrers.attach(registry, REPOSITORY, subject, [SBOM, NOTE])
    for blob in subject.blobs:
        registry.mount_blob(OTHER, blob, REPOSITORY)
    registry.put_manifest(OTHER, subject.digest, subject)
    assert found(registry, subject, at=OTHER) == {}
    referrers.copy(registry, REPOSITORY, OTHER, subject.digest)
    assert found(registry, subject, at=OTHER) == found(registry, subject)


def test_a_damaged_document_is_refused(tmp_path: Path) -> None:
    with small_registry.running() as state:
        registry = Registry(state.host)
        subject = image(registry)
        referrers.attach(registry, REPOSITORY, subject, [SBOM])
        state.blobs[REPOSITORY, oci.digest_of(SBOM.content)] = SBOM.content.replace(b"2.3", b"2.4")
        with pytest.raises(errors.Failure, match=f"{REPOSITORY}/blobs/sha256:.* arrived damaged"):
            found(registry, subject)


# --- The index under the tag ----------------------------------------------------------------------------------


@pytest.fixture
def plain(tmp_path: Path) -> Iterator[Registry]:
    with registries.running(tmp_path) as host:
        yield Registry(host)


def listed(registry: Registry, subject: Manifest) -> list[dict[str, Any]]:
    content = registry.manifest(REPOSITORY, referrers.tag_of(subject.digest)).content
    rows: list[dict[str, Any]] = json.loads(content)["manifests"]
    return rows


def test_the_index_repeats_type_and_annotations(plain: Registry) -> None:
    subject = image(plain)
    (digest,) = referrers.attach(plain, REPOSITORY, subject, [SBOM])
    (row,) = listed(plain, subject)
    assert (row["digest"], row["artifactType"], row["annotations"]) == (digest, SBOM.kind, SBOM.annotations)
    assert row["size"] == len(plain.manifest(REPOSITORY, digest).content)


def test_an_entry_of_cosigns_is_known_by_its_manifest(plain: Registry) -> None:
    """cosign 3.1 writes the type of the configuration into the index instead of the artifact's."""
    subject = image(plain)
    referrers.attach(plain, REPOSITORY, subject, [SBOM])
    (row,) = listed(plain, subject)
    index = {
        "schemaVersion": 2,
        "mediaType": INDEX_TYPES[0],
        "manifests": [{**row, "artifactType": oci.EMPTY_TYPE}],
    }
    tag = referrers.tag_of(subject.digest)
    plain.put_manifest(REPOSITORY, tag, Manifest(json.dumps(index).encode(), INDEX_TYPES[0]))
    assert found(plain, subject, SBOM.kind) == {SBOM.kind: SBOM.content}
    assert found(plain, subject, NOTE.kind) == {}


def test_what_is_listed_but_refers_to_something_else_does_not_count(plain: Registry) -> None:
    subject, other = image(plain), image(plain, b"another")
    referrers.attach(plain, REPOSITORY, other, [SBOM])
    theirs = plain.manifest(REPOSITORY, referrers.tag_of(other.digest))
    plain.put_manifest(REPOSITORY, referrers.tag_of(subject.digest), theirs)
    assert found(plain, subject) == {}


def test_what_is_gone_leaves_the_list(plain: Registry) -> None:
    """docker-registry refuses an index that lists what it has not."""
    subject = image(plain)
    (digest,) = referrers.attach(plain, REPOSITORY, subject, [SBOM])
    plain.delete(REPOSITORY, digest)
    (note,) = referrers.attach(plain, REPOSITORY, subject, [NOTE])
    assert [row["digest"] for row in listed(plain, subject)] == [note]


def test_something_else_under_the_tag_is_not_overwritten(plain: Registry) -> None:
    subject = image(plain)
    plain.put_manifest(REPOSITORY, referrers.tag_of(subject.digest), subject)
    with pytest.raises(errors.Failure, match="should list what refers to an image, but is something else"):
        referrers.attach(plain, REPOSITORY, subject, [SBOM])
    assert plain.digest(REPOSITORY, referrers.tag_of(subject.digest)) == subject.digest


def attach_note(registry: Registry, subject: Manifest) -> None:
    referrers.attach(registry, REPOSITORY, subject, [NOTE])


def test_somebody_else_who_attaches_at_any_moment_loses_nothing(plain: Registry) -> None:
    """Before request n, for every n but the write of the index itself, somebody else attaches a document."""
    proxy = registries.FailingProxy(plain.host)
    n, lost = 0, 0
    try:
        while not n or proxy.count >= n:
            n += 1
            subject = image(plain, f"layer {n}".encode())
            proxy.interrupt(n, functools.partial(attach_note, plain, subject))
            referrers.attach(Registry(proxy.host), REPOSITORY, subject, [SBOM])
            there = found(plain, subject)
            assert there[SBOM.kind] == SBOM.content
            write = ("PUT", f"/v2/{REPOSITORY}/manifests/{referrers.tag_of(subject.digest)}")
            if proxy.count >= n and NOTE.kind not in there:
                lost += 1
                assert proxy.log[n - 1] == write  # no registry compares before it writes
    finally:
        proxy.close()
    assert n > 6 and lost <= 1


@pytest.mark.parametrize("took_effect", [False, True], ids=["refused", "answer-lost"])
def test_any_request_may_fail(host: str, took_effect: bool) -> None:
    """A second run completes what request n has interrupted, for every n."""
    proxy = registries.FailingProxy(host)
    direct, n = Registry(host), 0
    try:
        while True:
            n += 1
            subject, artifact = image(direct, f"layer {n}".encode()), Artifact(SBOM.kind, "name", f"sbom {n}".encode())
            proxy.arm(n, took_effect)
            try:
                referrers.attach(Registry(proxy.host), REPOSITORY, subject, [artifact])
                break
            except errors.Failure:
                proxy.arm(0, False)
            referrers.attach(direct, REPOSITORY, subject, [artifact])
            assert found(direct, subject) == {SBOM.kind: artifact.content}
    finally:
        proxy.close()
    assert n > 5
