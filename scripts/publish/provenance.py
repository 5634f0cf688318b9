"""How an image was made, as an in-toto statement with provenance of SLSA 1.0: written when it is pushed, read again.

What an image is made of comes from the image's own description. The statement also names the digests of the documents
that are attached to the image, so that one signature is enough for all of them.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from catalogue.model import Group, Image
from network import oci, referrers
from network.answers import Answer
from network.bundles import STATEMENT_TYPE
from network.oci import Configuration, Manifest
from network.registry import Registry
from portable import errors
from publish.fitness import BASE_DIGEST_LABEL

PREDICATE_TYPE = "https://slsa.dev/provenance/v1"
BASE_NAME_LABEL = "org.opencontainers.image.base.name"
REUSED_LABEL = "org.pypa.manylinux.reused"  # the image that trees were taken from (docs/reuse.md)
COMMIT = re.compile(r"[0-9a-f]{40,64}")
_STATEMENT = "https://in-toto.io/Statement/v1"
_STATEMENTS = (_STATEMENT, "https://in-toto.io/Statement/v0.1")  # cosign writes the older one, which has the same parts
_ABOUT = "blob/main/docs/verify.md"  # of the repository that the images come from
_URL = re.compile(r"https?://[!-~]+")
_DIGEST = re.compile(r"(sha256:[0-9a-f]{64}|gitCommit:[0-9a-f]{40,64})")


@dataclass(frozen=True)
class Provenance:
    """A statement that was read. Digests are written as `sha256:<hex>`, that of a commit `gitCommit:<hex>`.

    `dependencies`: address -> digest of what the image is made of; `byproducts`: media type -> digest of each document
    that belongs to the image; `invocation`: the run of the builder, "" where it has no address."""

    content: bytes
    subjects: tuple[str, ...]
    image: str
    commit: str
    builder: str
    invocation: str
    dependencies: Mapping[str, str]
    byproducts: Mapping[str, str]

    @classmethod
    def parse(cls, content: bytes, where: str) -> Provenance:
        """Reads a statement. Raises Failure for anything else, and for a predicate of another type."""
        answer = Answer.parse(content, where)
        if answer["_type"].text() not in _STATEMENTS or answer["predicateType"].text() != PREDICATE_TYPE:
            raise errors.Failure(f"{where}: this is not provenance of SLSA 1.0 in a statement of in-toto")
        definition, details = answer["predicate"]["buildDefinition"], answer["predicate"]["runDetails"]
        dependencies = dict(_read(row, "uri") for row in definition["resolvedDependencies"].rows())
        commits = [digest.partition(":")[2] for digest in dependencies.values() if digest.startswith("gitCommit:")]
        if len(commits) != 1:
            raise errors.Failure(f"{where}: it names {len(commits)} commits instead of one")
        return cls(
            content,
            tuple(_digest(row) for row in answer["subject"].rows()),
            definition["externalParameters"]["image"].text(),
            commits[0],
            details["builder"]["id"].text(),
            details["metadata"]["invocationId"].text(default=""),
            dependencies,
            dict(_read(row, "mediaType") for row in details["byproducts"].rows(optional=True)),
        )

    def is_like(self, other: Provenance) -> bool:
        """Whether the same builder has made the same of the same; it may have been another run."""
        mine, theirs = (
            (each.subjects, each.image, each.builder, dict(each.dependencies), dict(each.byproducts))
            for each in (self, other)
        )
        return mine == theirs


def attached(registry: Registry, repository: str, digest: str) -> list[Provenance]:
    """Every provenance that is attached to an image, whether it is signed or not. Raises Failure for a broken one."""
    found = referrers.referrers(registry, repository, digest, STATEMENT_TYPE)
    return [Provenance.parse(content, each.manifest.where) for each in found for content in [each.content()]]


def of_image(
    image: Image,
    subject: Manifest,
    configuration: Configuration,
    documents: Mapping[str, bytes],
    commit: str,
    environment: Mapping[str, str] = os.environ,
) -> Provenance:
    """The provenance of an image; `documents`: media type -> content of what is attached to it.

    Its sources are the pins that its description (schema 2) names; without a description only commit and base."""
    labels = configuration.labels
    dependencies = [_commit(image.source, commit)]
    if digest := labels.get(BASE_DIGEST_LABEL):
        dependencies.append(_row(f"docker://{labels.get(BASE_NAME_LABEL) or image.policy.base}", digest, "base"))
    name, _, digest = labels.get(REUSED_LABEL, "").partition("@")
    if digest:  # an image of no registry is named by its Id, by which nobody else finds it
        dependencies.append(_row(f"pkg:oci/{name.rpartition('/')[2]}?repository_url={name}", digest, "reused"))
    if description := documents.get(referrers.DESCRIPTION):
        dependencies += _pins(Answer.parse(description, f"the description of {image.name}"))
    byproducts = [{**_row("", oci.digest_of(content)), "mediaType": kind} for kind, content in documents.items()]
    parameters = {"image": image.name, "policy": image.policy.name, "platform": image.platform.name}
    parameters |= {"variant": image.variant} if image.variant else {}
    return _statement(image.source, parameters, subject, dependencies, byproducts, environment)


def of_index(
    group: Group,
    index: Manifest,
    manifests: Mapping[str, Manifest],
    commit: str,
    environment: Mapping[str, str] = os.environ,
) -> Provenance:
    """The provenance of an index: it is made of the images of the platforms, each of which has its own."""
    source = group.members[0].source
    images = [_row(f"pkg:oci/{name}", manifest.digest, name) for name, manifest in manifests.items()]
    dependencies = [_commit(source, commit), *images]
    return _statement(source, {"image": group.name}, index, dependencies, [], environment)


def _statement(
    source: str,
    parameters: Mapping[str, str],
    subject: Manifest,
    dependencies: Iterable[Mapping[str, Any]],
    byproducts: list[dict[str, Any]],
    environment: Mapping[str, str],
) -> Provenance:
    builder, invocation = _builder(source, environment)
    details = {"builder": {"id": builder}, "metadata": {"invocationId": invocation} if invocation else {}}
    document = {
        "_type": _STATEMENT,
        "subject": [{"name": parameters["image"], "digest": {"sha256": subject.digest.removeprefix("sha256:")}}],
        "predicateType": PREDICATE_TYPE,
        "predicate": {
            "buildDefinition": {
                "buildType": f"{source}/{_ABOUT}#how-images-are-built",
                "externalParameters": dict(parameters),
                "resolvedDependencies": list(dependencies),
            },
            "runDetails": {**details, **({"byproducts": byproducts} if byproducts else {})},
        },
    }
    return Provenance.parse(json.dumps(document, separators=(",", ":")).encode(), "the provenance")


def _builder(source: str, environment: Mapping[str, str]) -> tuple[str, str]:
    """The address of the builder, and of its run: a workflow of GitHub, or some machine.

    Raises UserError for variables that GitHub does not set like this."""
    if environment.get("GITHUB_ACTIONS") != "true":
        return f"{source}/{_ABOUT}#another-machine", ""
    server, repository, workflow, run, attempt = (
        environment.get(f"GITHUB_{name}", "")
        for name in ("SERVER_URL", "REPOSITORY", "WORKFLOW_REF", "RUN_ID", "RUN_ATTEMPT")
    )
    builder, invocation = f"{server}/{workflow}", f"{server}/{repository}/actions/runs/{run}/attempts/{attempt}"
    if not all((server, repository, workflow, run, attempt)) or not _URL.fullmatch(builder + invocation):
        raise errors.UserError("GITHUB_ACTIONS=true, but the other variables of a workflow are not set: unset it")
    return builder, invocation


def _pins(description: Answer) -> Iterator[dict[str, Any]]:
    for name, pin in description["build"]["pins"].members().items():
        yield _row(pin["url"].text(), f"sha256:{pin['sha256'].text()}", name)


def _commit(source: str, commit: str) -> dict[str, Any]:
    return {"uri": f"git+{source}", "digest": {"gitCommit": commit}}


def _row(uri: str, digest: str, name: str = "") -> dict[str, Any]:
    """A resource as in-toto describes one."""
    algorithm, _, value = digest.partition(":")
    return {**({"uri": uri} if uri else {}), "digest": {algorithm: value}, **({"name": name} if name else {})}


def _read(row: Answer, key: str) -> tuple[str, str]:
    return row[key].text(), _digest(row)


def _digest(row: Answer) -> str:
    """The one digest of a resource. Raises Failure where it has none or several."""
    digests = [f"{algorithm}:{value}" for algorithm, value in row["digest"].texts().items()]
    if len(digests) != 1 or not _DIGEST.fullmatch(digests[0]):
        raise errors.Failure(f"{row.where}: it needs one digest, sha256 or gitCommit")
    return digests[0]
