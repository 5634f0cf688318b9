"""The bake file: what buildx makes of it, and that it asks for what build.sh would."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from build import bake
from catalogue import images
from host.site import Site
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


@pytest.mark.skipif(buildx() is None, reason="needs docker with buildx")
def test_buildx_accepts_it(document: dict[str, Any], tmp_path: Path) -> None:
    docker = buildx()
    assert docker is not None
    path = tmp_path / "bake.json"
    path.write_text(json.dumps(document), encoding="utf-8")
    done = subprocess.run(
        [docker, "buildx", "bake", "--file", str(path), "--print"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    understood = json.loads(done.stdout)["target"]
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
