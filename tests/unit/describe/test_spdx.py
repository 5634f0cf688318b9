"""The SBOM of an image, from manifests that are made up."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest
from tests.support.image_trees import ImageTree

from describe import spdx


@pytest.fixture
def manifest(tmp_path: Path) -> dict[str, Any]:
    tree = ImageTree(tmp_path)
    tree.interpreter()
    url, digest = "https://example.org/git-2.54.0.tar.xz", "3" * 64
    tree.entry("git.json", {"kind": "component", "name": "git", "version": "2.54.0", "url": url, "sha256": digest})
    tree.entry("uv.json", {"kind": "tool", "name": "uv", "version": "0.11.24"})
    return tree.manifest(DESCRIPTION=json.dumps({"commit": "0" * 40, "date": 1_700_000_000}))


def packages(document: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {row["name"]: row for row in document["packages"]}


def references(row: dict[str, Any]) -> dict[str, str]:
    return {each["referenceType"]: each["referenceLocator"] for each in row["externalRefs"]}


def test_one_container_contains_everything(manifest: dict[str, Any]) -> None:
    document = spdx.document(manifest)
    ids = {row["SPDXID"] for row in document["packages"]}
    assert len(ids) == len(document["packages"])
    (top,) = (row["SPDXID"] for row in document["packages"] if row.get("primaryPackagePurpose") == "CONTAINER")
    edges = [(row["spdxElementId"], row["relatedSpdxElement"]) for row in document["relationships"]]
    assert edges[0] == ("SPDXRef-DOCUMENT", top)
    assert {child for _, child in edges} == ids and len(edges) == len(ids)  # a tree: each has one place
    assert {parent for parent, _ in edges[1:]} <= ids
    assert document["creationInfo"]["created"] == "2023-11-14T22:13:20Z"


def test_what_scanners_look_for(manifest: dict[str, Any]) -> None:
    found = packages(spdx.document(manifest))
    git = references(found["git"])
    assert git["cpe23Type"] == "cpe:2.3:a:git-scm:git:2.54.0:*:*:*:*:*:*:*"
    assert git["purl"].startswith("pkg:generic/git@2.54.0?checksum=sha256:333")
    assert found["git"]["checksums"][0]["checksumValue"] == "3" * 64
    python = references(found["cp313-cp313"])
    assert python["cpe23Type"] == "cpe:2.3:a:python:python:3.13.15:*:*:*:*:*:*:*"
    assert references(found["uv"]) == {"purl": "pkg:pypi/uv@0.11.24"}


@pytest.mark.parametrize(
    ("distribution", "row", "url"),
    [
        (
            {"packages": "deb", "id": "debian", "version_id": "12"},
            {"name": "libstdc++6", "version": "12.2.0-14", "source": "gcc-12", "source_version": "12.2.0-14"},
            "pkg:deb/debian/libstdc%2B%2B6@12.2.0-14?arch=x&distro=debian-12&upstream=gcc-12",
        ),
        (
            {"packages": "deb", "id": "debian", "version_id": "12"},
            {"name": "bash", "version": "5.2.15-2+b7", "source": "bash", "source_version": "5.2.15-2"},
            "pkg:deb/debian/bash@5.2.15-2%2Bb7?arch=x&distro=debian-12&upstream=bash%405.2.15-2",
        ),
        (
            {"packages": "rpm", "id": "almalinux", "version_id": "8.10"},
            {"name": "tar", "version": "2:1.30-9.el8", "source": "tar", "source_version": "1.30-9.el8"},
            "pkg:rpm/almalinux/tar@1.30-9.el8?arch=x&distro=almalinux-8.10&epoch=2&upstream=tar-1.30-9.el8.src.rpm",
        ),
        (
            {"packages": "rpm", "id": "almalinux", "version_id": "8.10"},
            {"name": "gpg-pubkey", "version": "ced7258b-6525146f"},
            "pkg:rpm/almalinux/gpg-pubkey@ced7258b-6525146f?arch=x&distro=almalinux-8.10",
        ),
        (
            {"packages": "apk", "id": "alpine", "version_id": "3.22.1"},
            {"name": "musl-utils", "version": "1.2.5-r10", "source": "musl", "source_version": "1.2.5-r10"},
            "pkg:apk/alpine/musl-utils@1.2.5-r10?arch=x&distro=alpine-3.22.1&upstream=musl",
        ),
    ],
)
def test_the_package_urls_of_each_family(distribution: dict[str, str], row: dict[str, str], url: str) -> None:
    assert spdx.package_url(distribution, row | {"architecture": "x"}) == url


@pytest.mark.parametrize(
    ("said", "known"),
    [
        ("MIT", "MIT"),
        ("GPL-2.0-or-later WITH GCC-exception-3.1", "GPL-2.0-or-later WITH GCC-exception-3.1"),
        ("(MIT or Apache-2.0) and BSD-3-Clause", "(MIT OR Apache-2.0) AND BSD-3-Clause"),
        ("GPLv2+ and BSD", ""),
        ("MIT BSD-3-Clause", ""),
        ("(MIT", ""),
        ("MIT AND", ""),
        ("MIT WITH Zlib", ""),
        ("GCC-exception-3.1", ""),
        ("custom", ""),
        ("", ""),
    ],
)
def test_licences_that_spdx_has(said: str, known: str) -> None:
    assert spdx.known_licence(said) == known


def test_ids_keep_names_apart() -> None:
    names = ("a_b", "a-b", "a.b", "libstdc++6", "a:b", "a~b")
    made = {spdx.spdx_id(name) for name in names}
    assert len(made) == len(names)
    assert all(set(name) <= set("abcdefghijklmnopqrstuvwxyzSPDXR.-0123456789ef") for name in made)


def test_another_manifest_is_another_document(manifest: dict[str, Any]) -> None:
    other = copy.deepcopy(manifest)
    other["packages"][0]["version"] = "9"
    assert spdx.document(manifest) == spdx.document(copy.deepcopy(manifest))
    assert spdx.document(manifest)["documentNamespace"] != spdx.document(other)["documentNamespace"]
