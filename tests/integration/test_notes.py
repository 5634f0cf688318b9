"""`notes` with a real registry and, where MANYLINUX_TEST_IMAGE names one, an image that is here."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from tests.support import registries
from tests.support.descriptions import SCHEMA, description
from tests.support.programs import require

from catalogue.paths import ROOT
from engine import choose
from explain.descriptions import PLACE
from network import referrers
from network.oci import Manifest
from network.referrers import Artifact
from network.registry import Registry

NAMES = ("manylinux_2_28_x86_64", "manylinux_2_28_aarch64")
IMAGE = os.environ.get("MANYLINUX_TEST_IMAGE", "")


@pytest.fixture
def host(tmp_path: Path) -> Iterator[str]:
    require("docker-registry")
    with registries.running(tmp_path) as host:
        yield host


@pytest.fixture
def overlay(tmp_path: Path, host: str) -> Path:
    """Makes the registry that of the table."""
    path = tmp_path / "overlay.toml"
    path.write_text(f'registry = "{host}/acme"\n', encoding="utf-8")
    return path


def publish(host: str, name: str, tag: str, described: dict[str, Any] | None) -> Manifest:
    """Stores an image; its layer is as many bytes as its tag has characters."""
    image = registries.store_image(host, f"acme/{name}", tag, {}, tag.encode())
    if described:
        artifact = Artifact(referrers.DESCRIPTION, "manifest.json", json.dumps(described).encode())
        referrers.attach(Registry(host), f"acme/{name}", image, [artifact])
    return image


def notes(*words: str, status: int = 0, overlay: Path | None = None) -> str:
    command = [sys.executable, str(ROOT / "scripts"), "notes", *words]
    env = {**os.environ, **({"MANYLINUX_IMAGES_OVERLAY": str(overlay)} if overlay else {})}
    done = subprocess.run(command, env=env, capture_output=True, text=True)
    assert done.returncode == status, done.stdout + done.stderr
    return done.stdout + done.stderr


def test_tags_digests_and_references_of_a_registry(host: str, overlay: Path) -> None:
    images = {}
    for name in NAMES:
        old, new = description(name), description(name)
        new["tools"][0]["version"] = "1.1"
        images[name] = [publish(host, name, f"2026.11.{day}-1", each) for day, each in ((1, old), (20, new))]
    said = json.loads(notes("2026.11.1-1", "2026.11.20-1", "--json", overlay=overlay))
    assert said["images"] == sorted(NAMES)
    assert [change["text"] for section in said["sections"] for change in section["changes"]] == [
        "`auditwheel` 1.0 → 1.1"
    ]
    assert said["downloads"] == {name: {"new": 12, "all": 12} for name in NAMES}
    digests = [image.digest for image in images[NAMES[0]]]
    assert "`auditwheel` 1.0 → 1.1" in notes(*digests, "-i", NAMES[0], overlay=overlay)
    assert "belongs to one image: name it with -i" in notes(
        *digests, "-i", "manylinux_2_28_*", status=2, overlay=overlay
    )
    reference = f"{host}/acme/{NAMES[0]}"
    assert "`auditwheel` 1.0 → 1.1" in notes(f"{reference}:2026.11.1-1", f"{reference}@{digests[1]}")
    assert "`auditwheel` 1.1 → 1.0" in notes(f"{reference}:2026.11.20-1", f"{reference}:2026.11.1-1")


def test_what_is_not_described(host: str) -> None:
    publish(host, NAMES[0], "2026.11.1-1", None)
    reference = f"{host}/acme/{NAMES[0]}"
    said = notes(f"{reference}:2026.11.1-1", f"{reference}:2026.11.2-1", status=1)
    assert f"no description of {reference}:2026.11.2-1: no such image" in said and said.count("\n") == 1
    assert "'../x'" in notes("2026.11.1-1", "../x", status=2)


def test_a_registry_that_does_not_answer() -> None:
    said = notes("127.0.0.1:9/acme/a:1", "127.0.0.1:9/acme/a:2", status=1)
    assert "127.0.0.1:9/acme/a" in said and "no answer" in said and said.count("\n") == 1


@pytest.mark.engine
@pytest.mark.skipif(not IMAGE, reason="MANYLINUX_TEST_IMAGE is not set")
def test_an_image_that_is_here(tmp_path: Path) -> None:
    content = json.loads(choose.engine().read_files(IMAGE, [PLACE])[PLACE])
    if content["schema"] == 2:
        jsonschema.validate(content, SCHEMA, jsonschema.Draft202012Validator)
    content["tools"][0]["version"] = "0.0.1"
    (tmp_path / "manifest.json").write_text(json.dumps(content), encoding="utf-8")
    said = notes(str(tmp_path / "manifest.json"), IMAGE)
    assert f"`{content['tools'][0]['name']}` 0.0.1 → " in said
