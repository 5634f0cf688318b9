"""Documents that travel with an image: each is a manifest of its own, which names the image as its subject.

Follows the OCI Image and Distribution Specifications 1.1. A registry that answers `OCI-Subject` when such a manifest is
stored lists it under `referrers/DIGEST`. For any other registry, the client itself lists it, in an index under the tag
`sha256-<hex>` of the subject.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from network import oci
from network.answers import Answer
from network.oci import Manifest
from network.registry import MOST_DOCUMENT, MOST_PAGES, NotFound, Registry
from portable import errors

# What we attach to images, besides provenance and its signature.
DESCRIPTION = "application/vnd.pypa.manylinux.manifest.v2+json"  # /opt/_internal/manifest.json
SBOM = "application/spdx+json"
CANARIES = "application/vnd.pypa.manylinux.canaries.v1+json"  # what became of real projects in it (docs/canaries.md)
TITLE = "org.opencontainers.image.title"  # the name of a document's file; `oras pull` skips a layer without it
TRIES = 5  # to add to a list that somebody else is writing, too
_EMPTY = b"{}"
_TAG = re.compile(r"sha256-(?P<hex>[0-9a-f]{64})(?P<suffix>\.[a-z]+)?")


def tag_of(digest: str) -> str:
    """The tag of the index that lists what refers to a manifest."""
    return digest.replace(":", "-")


def subject_of(tag: str) -> str:
    """The digest that a tag `sha256-<hex>` is about, also cosign's former `sha256-<hex>.sig`; "" for any other tag."""
    match = _TAG.fullmatch(tag)
    return f"sha256:{match['hex']}" if match else ""


@dataclass(frozen=True)
class Artifact:
    """A document to be attached. `kind`: its media type, and the type of the artifact; `title`: a name for its file."""

    kind: str
    title: str
    content: bytes
    annotations: Mapping[str, str] = field(default_factory=dict)

    def manifest(self, subject: Manifest) -> Manifest:
        """The manifest that refers to `subject`; the same input gives the same bytes."""
        layer = {"mediaType": self.kind, "digest": oci.digest_of(self.content), "size": len(self.content)}
        document = {
            "schemaVersion": 2,
            "mediaType": oci.MANIFEST_TYPES[0],
            "artifactType": self.kind,
            "config": {
                "mediaType": oci.EMPTY_TYPE,
                "digest": oci.digest_of(_EMPTY),
                "size": len(_EMPTY),
                "data": base64.b64encode(_EMPTY).decode(),
            },
            "layers": [{**layer, "annotations": {TITLE: self.title}}],
            "subject": {
                "mediaType": subject.media_type,
                "digest": subject.digest,
                "size": len(subject.content),
            },
            "annotations": dict(sorted(self.annotations.items())),
        }
        return Manifest(json.dumps(document, separators=(",", ":")).encode(), oci.MANIFEST_TYPES[0])


@dataclass(frozen=True)
class Referrer:
    """A manifest in a repository that refers to another one there."""

    registry: Registry
    repository: str
    manifest: Manifest

    @property
    def kind(self) -> str:
        """The type of the artifact."""
        return self.manifest.kind

    def content(self) -> bytes:
        """The document. Raises Failure where there is not exactly one, or where it arrives damaged."""
        layers = self.manifest.layers
        if len(layers) != 1:
            raise errors.Failure(f"{self.manifest.where}: it holds {len(layers)} documents instead of one")
        return self.registry.blob(self.repository, layers[0].digest, MOST_DOCUMENT)


def referrers(registry: Registry, repository: str, digest: str, kind: str = "") -> list[Referrer]:
    """What refers to a manifest, of one kind or of all; none where the repository lacks it or nothing refers to it.

    A registry's list is not believed: the manifests themselves say what they are and what they refer to. So the list is
    asked for without a filter: cosign 3.1 lists its bundles as `application/vnd.oci.empty.v1+json`."""
    found: dict[str, Referrer] = {}
    for row in _rows(registry, repository, digest):
        listed = row["artifactType"].text(default="")
        if kind and listed not in (kind, oci.EMPTY_TYPE, ""):
            continue
        try:
            manifest = registry.manifest(repository, row["digest"].text(oci.DIGEST))
        except NotFound:
            continue  # it was deleted, the list was not
        if manifest.subject == digest and (not kind or manifest.kind == kind):
            found[manifest.digest] = Referrer(registry, repository, manifest)
    return list(found.values())


def document(registry: Registry, repository: str, digest: str, kind: str) -> bytes | None:
    """The one document of a kind that is attached to a manifest; None where there is none.

    Raises Failure where there are several that differ: nobody can say which of them counts."""
    contents = {each.content() for each in referrers(registry, repository, digest, kind)}
    if len(contents) > 1:
        raise errors.Failure(f"{registry.host}/{repository}@{digest} has {len(contents)} different documents of {kind}")
    return next(iter(contents), None)


def attach(registry: Registry, repository: str, subject: Manifest, artifacts: Iterable[Artifact]) -> list[str]:
    """Attaches documents to a manifest; what is there already stays. Returns the digests of their manifests."""
    manifests = []
    registry.put_blob(repository, _EMPTY)
    for artifact in artifacts:
        registry.put_blob(repository, artifact.content)
        manifests.append(artifact.manifest(subject))
    _put(registry, repository, subject.digest, manifests)
    return [each.digest for each in manifests]


def copy(registry: Registry, origin: str, repository: str, digest: str) -> None:
    """Attaches in `repository` what is attached to the same manifest in the repository `origin`."""
    found = [each.manifest for each in referrers(registry, origin, digest) if not each.manifest.is_index]
    for blob in dict.fromkeys(blob for manifest in found for blob in manifest.blobs):
        registry.mount_blob(repository, blob, origin)
    _put(registry, repository, digest, found)


def _put(registry: Registry, repository: str, subject: str, manifests: Iterable[Manifest]) -> None:
    """Stores manifests that refer to `subject`, and lists those that the registry does not list itself."""
    unlisted = [each for each in manifests if not registry.put_manifest(repository, each.digest, each)]
    if unlisted:
        _list(registry, repository, subject, [_descriptor(each) for each in unlisted])


def _descriptor(manifest: Manifest) -> dict[str, Any]:
    """A row of an index. Type and annotations are those of the manifest, as buildx and oras expect them."""
    row = {"mediaType": manifest.media_type, "digest": manifest.digest, "size": len(manifest.content)}
    return {**row, "artifactType": manifest.kind, "annotations": dict(manifest.annotations)}


def _list(registry: Registry, repository: str, subject: str, rows: list[dict[str, Any]]) -> None:
    """Adds rows to the index of the tag `sha256-<hex>`. Whoever else writes it keeps theirs: it is read before each
    write, and after it. Raises Failure where there is something else at this tag."""
    tag = tag_of(subject)
    for _ in range(TRIES):
        document = _index(registry, repository, tag)
        there = {row["digest"].text(oci.DIGEST) for row in document["manifests"].rows()}
        if not (lacking := [row for row in rows if row["digest"] not in there]):
            return
        # Some registries refuse an index that lists what is gone.
        left = [row.value for row in document["manifests"].rows() if registry.digest(repository, row["digest"].text())]
        content = {**document.value, "manifests": [*left, *lacking]}
        index = Manifest(json.dumps(content, separators=(",", ":")).encode(), oci.INDEX_TYPES[0])
        registry.put_manifest(repository, tag, index)
    raise errors.Failure(
        f"{registry.host}/{repository}:{tag} is overwritten by somebody else again and again: try later"
    )


def _index(registry: Registry, repository: str, tag: str) -> Answer:
    """The index of a tag `sha256-<hex>`, an empty one where there is none. Raises Failure for another document."""
    where = f"{registry.host}/{repository}:{tag}"
    try:
        found = registry.manifest(repository, tag)
    except NotFound:
        return Answer({"schemaVersion": 2, "mediaType": oci.INDEX_TYPES[0], "manifests": []}, where)
    if found.media_type != oci.INDEX_TYPES[0]:
        raise errors.Failure(f"{where} should list what refers to an image, but is something else: delete that tag")
    return found.answer


def _rows(registry: Registry, repository: str, digest: str) -> Iterator[Answer]:
    """The rows that list what refers to a manifest, by the registry or, where it has no such list, by the tag.

    Only 200 with the type of an index is such a list. Some registries answer a redirect or a page of their web
    interface instead; a failing one (5xx) may have a list, so nobody can say what is in it."""
    path, seen = f"{repository}/referrers/{digest}", set[str]()
    while path:
        seen.add(path)
        where = f"{registry.host}/{path}"
        reply = registry.ask(path, repository, oci.INDEX_TYPES[0])
        media_type = reply.headers.get("Content-Type", "").partition(";")[0].strip()
        if reply.status != 200 or media_type != oci.INDEX_TYPES[0]:
            if reply.status >= 500 or len(seen) > 1:
                raise errors.Failure(f"{where}: the registry answers {reply.status}")
            yield from _index(registry, repository, tag_of(digest))["manifests"].rows()
            return
        yield from Manifest(reply.content, media_type, where).answer["manifests"].rows(optional=True)
        path = registry.path_of(path, reply.following) if reply.following else ""
        if path in seen or len(seen) > MOST_PAGES:
            raise errors.Failure(f"{where}: the list does not end")
