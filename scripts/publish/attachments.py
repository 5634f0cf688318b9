"""What travels with an image: its description, its SBOM, its provenance, and the signature of the provenance.

The two documents come out of the tested image itself; the others are made when it is pushed. docs/verify.md says what
each is for.
"""

from __future__ import annotations

import datetime
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from catalogue import checkout
from engine.engine import Engine
from network import bundles, referrers
from network.answers import Answer, printable
from network.oci import Manifest
from network.referrers import Artifact
from network.registry import Registry
from publish.fitness import BASE_DIGEST_LABEL, REVISION_LABEL, TITLE_LABEL
from publish.provenance import PREDICATE_TYPE, Provenance, attached

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey

IN_IMAGE = {  # media type: path in the image
    referrers.DESCRIPTION: "/opt/_internal/manifest.json",
    referrers.SBOM: "/opt/_internal/sbom.spdx.json",
}
NAMES = {referrers.DESCRIPTION: "description", referrers.SBOM: "SBOM", bundles.STATEMENT_TYPE: "provenance"}
_CREATED = "org.opencontainers.image.created"
_SCHEMA = 2  # of the description


@dataclass(frozen=True)
class Signer:
    """Who signs: a key, else the identity of a workflow, else nobody."""

    key: EllipticCurvePrivateKey | None = None
    is_workflow: bool = False

    @classmethod
    def of(cls, key: Path | None) -> Signer:
        """The key in a file, else the workflow that runs us, if any. Raises UserError for a wrong key."""
        # Not whatever identity sigstore may find on a machine: that could be somebody's own.
        is_workflow = bool(os.environ.get("ACTIONS_ID_TOKEN_REQUEST_URL"))
        return cls(bundles.private_key(key)) if key else cls(is_workflow=is_workflow)

    def sign(self, statement: bytes) -> bytes | None:
        """The bundle of a statement; None where nobody signs."""
        if self.key:
            return bundles.sign_with_key(statement, self.key)
        return bundles.sign_keyless(statement) if self.is_workflow else None

    def has_signed(self, bundle: bytes, provenance: Provenance) -> bool:
        """Whether a bundle is our own signature of this provenance."""
        try:
            if self.key:
                return bundles.statement_by_key(bundle, self.key.public_key()) == provenance.content
            return bundles.sigstore_statement(bundle, provenance.builder, bundles.GITHUB) == provenance.content
        except bundles.BadSignature:
            return False


UNSIGNED = Signer()


def taken_from(engine: Engine, identity: str) -> tuple[dict[str, bytes], list[str]]:
    """Media type -> content of the documents in an image, and notes about those that it lacks.

    Raises Failure where the engine cannot look into the image."""
    files = engine.read_files(identity, IN_IMAGE.values())
    found = {kind: files[path] for kind, path in IN_IMAGE.items() if path in files}
    notes = [f"it has no {NAMES[kind]} ({path})" for kind, path in IN_IMAGE.items() if kind not in found]
    if (content := found.get(referrers.DESCRIPTION)) and (schema := _schema(content)) != _SCHEMA:
        notes.append(f"its description is of schema {schema}, not {_SCHEMA}")
        del found[referrers.DESCRIPTION]
    return found, notes


def contradictions(description: bytes, labels: Mapping[str, str]) -> list[str]:
    """How a description contradicts the labels of the image that it came out of: an image built on it has it, too."""
    said = Answer.parse(description, IN_IMAGE[referrers.DESCRIPTION])
    build = said["build"]
    facts = {
        TITLE_LABEL: said["image"]["name"].text(default=""),
        REVISION_LABEL: build["commit"].text(default=""),
        BASE_DIGEST_LABEL: build["base"]["digest"].text(default=""),
    }
    return [
        f"it says {printable(fact or 'nothing')}, the label {label} says {printable(labels.get(label) or 'nothing')}"
        for label, fact in facts.items()
        if fact != labels.get(label, "")
    ]


def _schema(description: bytes) -> int:
    return Answer.parse(description, IN_IMAGE[referrers.DESCRIPTION])["schema"].number()


def attach(
    registry: Registry,
    repository: str,
    subject: Manifest,
    documents: Mapping[str, bytes],
    provenance: Provenance,
    signer: Signer,
) -> None:
    """Attaches everything to a manifest and signs the provenance; what is there already stays as it is.

    A run that is repeated takes the provenance that the first one has left."""
    there = [each for each in attached(registry, repository, subject.digest) if each.is_like(provenance)]
    provenance = (there or [provenance])[0]
    created = {_CREATED: datetime.datetime.fromtimestamp(checkout.date(), datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")}
    predicate = {"in-toto.io/predicate-type": PREDICATE_TYPE}
    artifacts = [Artifact(kind, Path(IN_IMAGE[kind]).name, content, created) for kind, content in documents.items()]
    artifacts.append(Artifact(bundles.STATEMENT_TYPE, "provenance.json", provenance.content, {**created, **predicate}))
    referrers.attach(registry, repository, subject, artifacts)
    if signer == UNSIGNED:
        return
    signed = [each.content() for each in bundles_of(registry, repository, subject.digest)]
    if any(signer.has_signed(bundle, provenance) for bundle in signed):
        return
    if bundle := signer.sign(provenance.content):
        about = {"dev.sigstore.bundle.content": "dsse-envelope", "dev.sigstore.bundle.predicateType": PREDICATE_TYPE}
        artifact = Artifact(bundles.BUNDLE_TYPE, "provenance.sigstore.json", bundle, {**created, **about})
        referrers.attach(registry, repository, subject, [artifact])


def bundles_of(registry: Registry, repository: str, digest: str) -> list[referrers.Referrer]:
    """The Sigstore bundles that are attached to a manifest; what they are worth is not looked at."""
    return referrers.referrers(registry, repository, digest, bundles.BUNDLE_TYPE)


def unaccounted(registry: Registry, repository: str, manifest: Manifest, name: str, commit: str) -> list[str]:
    """Why an image must not be published: nothing that is attached says that it was made of this commit."""
    for each in attached(registry, repository, manifest.digest):
        if manifest.digest in each.subjects and (each.image, each.commit) == (name, commit):
            return []
    return ["its provenance is not there, the push was interrupted: push it again"]
