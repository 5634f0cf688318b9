"""The statement that says how an image was made: what is written is read, anything else is refused."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

import pytest
from tests.support.mutations import documents_like

from catalogue import images
from network import oci, referrers
from network.oci import MANIFEST_TYPES, Configuration, Manifest
from portable import errors
from publish import provenance
from publish.fitness import BASE_DIGEST_LABEL
from publish.provenance import Provenance

IMAGE = images.load(overlay=images.NO_OVERLAY).image("manylinux_2_28_x86_64")
COMMIT, BASE = "c" * 40, "sha256:" + "0" * 64
SUBJECT = Manifest(b"{}", MANIFEST_TYPES[0])
CONFIGURATION = Configuration("linux/amd64", {BASE_DIGEST_LABEL: BASE}, (), ())
PIN = {"version": "1", "url": "https://example.org/a.tar.gz", "sha256": "1" * 64}
DOCUMENTS = {referrers.DESCRIPTION: json.dumps({"build": {"pins": {"a": PIN}}}).encode(), referrers.SBOM: b"{}"}
WORKFLOW = {
    "GITHUB_ACTIONS": "true",
    "GITHUB_SERVER_URL": "https://github.com",
    "GITHUB_REPOSITORY": "pypa/manylinux",
    "GITHUB_WORKFLOW_REF": "pypa/manylinux/.github/workflows/build.yml@refs/heads/main",
    "GITHUB_RUN_ID": "7",
    "GITHUB_RUN_ATTEMPT": "2",
}


def made(environment: dict[str, str], documents: dict[str, bytes] = DOCUMENTS) -> Provenance:
    return provenance.of_image(IMAGE, SUBJECT, CONFIGURATION, documents, COMMIT, environment)


def test_it_names_what_the_image_is_made_of() -> None:
    found = made({})
    assert (found.subjects, found.image, found.commit) == ((SUBJECT.digest,), IMAGE.name, COMMIT)
    assert found.dependencies == {
        f"git+{IMAGE.source}": f"gitCommit:{COMMIT}",
        f"docker://{IMAGE.policy.base}": BASE,
        PIN["url"]: f"sha256:{PIN['sha256']}",
    }
    assert found.byproducts == {kind: oci.digest_of(content) for kind, content in DOCUMENTS.items()}
    assert made({}, {}).dependencies.keys() == found.dependencies.keys() - {PIN["url"]}
    assert made({}) == found


def test_it_names_the_image_that_trees_were_taken_from() -> None:
    """Not as a base: `invoke verify` compares that one with the label of the base."""
    reused = "quay.io/pypa/manylinux_2_28_x86_64"
    for value, more in ((f"{reused}@{BASE}", 1), ("4" * 64, 0)):
        labels = {**CONFIGURATION.labels, provenance.REUSED_LABEL: value}
        configuration = dataclasses.replace(CONFIGURATION, labels=labels)
        found = provenance.of_image(IMAGE, SUBJECT, configuration, DOCUMENTS, COMMIT, {}).dependencies
        new = {uri: digest for uri, digest in found.items() if uri not in made({}).dependencies}
        assert new == {f"pkg:oci/manylinux_2_28_x86_64?repository_url={reused}": BASE for _ in range(more)}


def test_it_has_the_parts_that_others_look_for() -> None:
    document = json.loads(made(WORKFLOW).content)
    assert document["_type"] == "https://in-toto.io/Statement/v1"
    assert document["predicateType"] == "https://slsa.dev/provenance/v1"
    assert document["subject"] == [{"name": IMAGE.name, "digest": {"sha256": SUBJECT.digest[7:]}}]
    assert set(document["predicate"]) == {"buildDefinition", "runDetails"}
    assert {"buildType", "externalParameters", "resolvedDependencies"} == set(document["predicate"]["buildDefinition"])


def test_the_builder_is_the_workflow_or_some_machine() -> None:
    found = made(WORKFLOW)
    assert found.builder == "https://github.com/pypa/manylinux/.github/workflows/build.yml@refs/heads/main"
    assert found.invocation == "https://github.com/pypa/manylinux/actions/runs/7/attempts/2"
    assert (made({}).builder, made({}).invocation) == (f"{IMAGE.source}/blob/main/docs/verify.md#another-machine", "")
    for name in WORKFLOW.keys() - {"GITHUB_ACTIONS"}:
        for value in ("", "a b"):
            with pytest.raises(errors.UserError, match="GITHUB_ACTIONS=true"):
                made({**WORKFLOW, name: value})


def test_another_run_made_the_same_but_another_builder_did_not() -> None:
    found = made(WORKFLOW)
    assert found.is_like(made({**WORKFLOW, "GITHUB_RUN_ID": "8"}))
    assert not found.is_like(made({}))
    assert not found.is_like(made(WORKFLOW, {}))
    assert not found.is_like(dataclasses.replace(found, subjects=("sha256:" + "1" * 64,)))


def test_any_document_is_understood_or_refused() -> None:
    refused = 0
    document: Any = json.loads(made(WORKFLOW).content)
    for mutation in documents_like(document):
        try:
            Provenance.parse(json.dumps(mutation).encode(), "here")
        except errors.Failure as error:
            refused += 1
            assert str(error).startswith("here") and str(error).isprintable()
    assert refused > 100


@pytest.mark.parametrize("pins", [{"a": {}}, {"a": {**PIN, "sha256": "x"}}, [], "x"])
def test_a_description_that_is_not_one(pins: object) -> None:
    with pytest.raises(errors.Failure):
        made({}, {referrers.DESCRIPTION: json.dumps({"build": {"pins": pins}}).encode()})
