"""The bake file: what buildx makes of it, and that it asks for what build.sh would."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from tests.support import small_registry
from tests.support.descriptions import description

from build import bake
from catalogue import images
from host.indexes import Indexes
from host.mirror import Mirror
from host.site import Site
from network import referrers
from network.oci import MANIFEST_TYPES, Manifest
from network.referrers import Artifact
from network.registry import Registry
from portable import errors

CATALOGUE = images.load()
SELECTION = CATALOGUE.select(["manylinux_2_36_x86_64*", "manylinux2014_*"])
TAG = "untested-2026.11.21-1"


@pytest.fixture(scope="module")
def document(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    bundle = tmp_path_factory.mktemp("site") / "ca.pem"
    bundle.touch()  # buildx wants to see the files of secrets
    return bake.bake_file(SELECTION, TAG, Site(ca=bundle), cache="registry.example.org/cache")


def test_a_target_an_image_and_a_group_a_policy(document: dict[str, Any]) -> None:
    assert list(document["target"]) == [image.name for image in SELECTION]
    assert document["group"]["default"]["targets"] == [image.name for image in SELECTION]
    assert document["group"]["manylinux2014-shared"]["targets"] == [
        "manylinux2014_x86_64-shared",
        "manylinux2014_aarch64-shared",
    ]


def test_a_target_says_everything(document: dict[str, Any]) -> None:
    target = document["target"]["manylinux2014_s390x"]
    assert target["platforms"] == ["linux/s390x"]
    assert target["tags"] == [f"quay.io/pypa/manylinux2014_s390x:{TAG}"]
    assert target["args"]["DISTRIBUTION"] == "centos-7"
    assert target["labels"]["org.pypa.manylinux.complete"] == "true"
    assert target["cache-from"] == ["type=registry,ref=registry.example.org/cache:manylinux2014_s390x"]
    assert [secret.partition(",src=")[0] for secret in target["secret"]] == ["type=file,id=ca"]
    assert target["target"] == "image"
    assert document["target"]["manylinux_2_36_x86_64-shared"]["target"] == "shared"


def test_native_nodes_need_no_clang_and_a_lone_one_does(monkeypatch: pytest.MonkeyPatch) -> None:
    image = CATALOGUE.image("manylinux_2_36_s390x")
    site = Site()
    assert bake.target(image, TAG, site, "")["args"].get("CLANG_STAGE") != "cross-clang"
    monkeypatch.setenv("MANYLINUX_BUILDARCH", "amd64")
    arguments = bake.target(image, TAG, site, "")["args"]
    assert (arguments["CLANG_STAGE"], arguments["CLANG_PLATFORM"]) == ("cross-clang", "linux/amd64")


def test_a_target_takes_trees_by_the_description_that_is_attached(capsys: pytest.CaptureFixture[str]) -> None:
    image, compiled = CATALOGUE.image("manylinux_2_36_x86_64"), "interpreter-cp39-cp39"
    plain = bake.target(image, TAG, Site(), "")["args"]
    told = description(image.name)
    told["build"]["inputs"] = json.loads(plain["DESCRIPTION"])["inputs"] | {compiled: "0" * 64}
    config = {"mediaType": "application/vnd.oci.image.config.v1+json", "digest": f"sha256:{'0' * 64}", "size": 2}
    content = json.dumps({"schemaVersion": 2, "config": config, "layers": []}).encode()
    published = Manifest(content, MANIFEST_TYPES[0])
    with small_registry.running() as server:
        registry = Registry(server.host)
        registry.put_manifest("acme/image", "1", published)
        nothing = bake.target(image, TAG, Site(), "", reused=f"{server.host}/acme/image:1")["args"]
        artifact = Artifact(referrers.DESCRIPTION, "manifest.json", json.dumps(told).encode())
        referrers.attach(registry, "acme/image", published, [artifact])
        found = bake.target(image, TAG, Site(), "", reused=f"{server.host}/acme/image:1")["args"]
    assert nothing == plain and "no description is attached to it" in capsys.readouterr().err
    assert found["REUSEDIMAGE"] == f"{server.host}/acme/image@{published.digest}"
    assert (found["CP39_CP39_STAGE"], found["GIT_STAGE"]) == (compiled, "reused-git")
    assert found["ZSTD_STAGE"] == "component-zstd"  # an interpreter is compiled against it
    assert found["DESCRIPTION"] == plain["DESCRIPTION"]


def test_every_published_image_can_be_baked() -> None:
    chosen = CATALOGUE.images(variants=True)
    document = bake.bake_file(chosen, TAG, Site())
    assert set(document["target"]) == {image.name for image in chosen}
    for image in chosen:
        found = document["target"][image.name]
        assert found["platforms"] == [image.platform.oci]
        assert found["args"]["PLATFORM"] == image.platform.name
        assert found["target"] == (image.variant or "image")
    assert {name for name in document["group"] if name != "default"} == {group.name for group in CATALOGUE.groups()}


def buildx() -> str | None:
    """A docker with buildx, which need not reach an engine for this."""
    for directory in ("/usr/bin", "/usr/local/bin"):
        docker = shutil.which("docker", path=directory)
        if docker and subprocess.run([docker, "buildx", "version"], capture_output=True, check=False).returncode == 0:
            return docker
    return None


def read_by_buildx(document: dict[str, Any], path: Path, **env: str) -> dict[str, Any]:
    """The targets as buildx understands them, with these variables in its environment."""
    docker = buildx()
    assert docker is not None
    path.write_text(json.dumps(document), encoding="utf-8")
    argv = [docker, "buildx", "bake", "--file", str(path), "--print"]
    done = subprocess.run(argv, env={**os.environ, **env}, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    targets: dict[str, Any] = json.loads(done.stdout)["target"]
    return targets


def test_what_builds_need_of_a_site_is_in_files_for_their_owner(tmp_path: Path) -> None:
    site = Site(
        indexes=Indexes({"index-url": ("https://user:word@index.example.org/simple",)}),
        mirror=Mirror("https://debian.example.org/debian", updates="", security=""),
    )
    chosen = CATALOGUE.select(["manylinux_2_36_x86_64", "musllinux_1_2_x86_64"])
    for _ in range(2):  # the files of an earlier bake are replaced
        document = bake.bake_file(chosen, TAG, site, directory=tmp_path / "site")
    assert "word" not in json.dumps(document)
    for image, names in zip(chosen, (["pip", "apt"], ["pip"]), strict=True):
        place = tmp_path / "site" / image.name
        assert document["target"][image.name]["secret"] == [f"type=file,id={n},src={place / n}" for n in names]
        assert sorted(path.name for path in place.iterdir()) == sorted(names)
        assert {path.stat().st_mode & 0o777 for path in place.iterdir()} == {0o600}
        assert "user:word@index.example.org" in (place / "pip").read_text(encoding="utf-8")
    labels = document["target"]["manylinux_2_36_x86_64"]["labels"]
    assert labels["org.pypa.manylinux.complete"] == "false", "this mirror has no security updates"


@pytest.mark.skipif(buildx() is None, reason="needs docker with buildx")
def test_the_values_of_proxies_are_read_by_buildx(tmp_path: Path) -> None:
    document = bake.bake_file(SELECTION[:1], TAG, Site(proxies=("https_proxy",)))
    proxy = "http://user:${word}@proxy.example.org:3128"
    understood = read_by_buildx(document, tmp_path / "bake.json", https_proxy=proxy)
    assert understood[SELECTION[0].name]["args"]["https_proxy"] == proxy


@pytest.mark.skipif(buildx() is None, reason="needs docker with buildx")
def test_buildx_accepts_it(document: dict[str, Any], tmp_path: Path) -> None:
    understood = read_by_buildx(document, tmp_path / "bake.json")
    assert set(understood) == set(document["target"])
    for name, target in understood.items():
        wanted = document["target"][name]
        for key in ("args", "labels", "platforms", "tags", "target", "context", "dockerfile"):
            assert target[key] == wanted[key], f"{name}: {key}"
        assert target["cache-from"] and target["cache-to"]


def test_nothing_is_attested(document: dict[str, Any]) -> None:
    for target in document["target"].values():
        assert target["attest"] == ["type=provenance,disabled=true", "type=sbom,disabled=true"]


@pytest.mark.parametrize("where", ["", "file/x"])
def test_a_file_that_cannot_be_written_is_refused_first(
    where: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setattr(sys, "argv", ["bake.py", "--output", str(tmp_path / where)])
    monkeypatch.setattr(bake, "bake_file", lambda *_: pytest.fail("it is looked at first"))
    with pytest.raises(errors.UserError, match="--output"):
        bake.main()
