"""What a registry knows of images: a registry on loopback, written to by our own client."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.support import small_registry
from tests.support.small_registry import SmallRegistry

from catalogue import images
from catalogue.model import Catalogue
from network import oci, referrers
from network.oci import Manifest
from network.registry import Registry
from page.attached import NOTES, read_attached
from page.published import JUnitResults
from portable import errors

NAME = "manylinux_2_36_x86_64"
DESCRIPTION = {
    "schema": 2,
    "image": {"name": NAME},
    "compilers": {},
    "packages": [],
    "interpreters": [{"name": "cp313-cp313", "version": "3.13.99"}],
    "build": {"commit": "c" * 40, "source": "https://example.org/acme", "date": 1795000000},
}


@pytest.fixture
def place(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[SmallRegistry]:
    """An empty one, on a machine without container engines: nothing is looked for there."""
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv("PATH", str(tmp_path))
    with small_registry.running() as registry:
        yield registry


def fork(place: SmallRegistry, directory: Path) -> Catalogue:
    """Two images of our table, in this registry."""
    overlay = directory / "overlay.toml"
    lines = [
        f'registry = "{place.host}/acme"',
        'default_policy = "manylinux_2_36"',
        f'images = ["{NAME}", "musllinux_1_2_x86_64"]',
    ]
    overlay.write_text("\n".join(lines), encoding="utf-8")
    return images.load(overlay=overlay)


def publish(place: SmallRegistry, tag: str) -> Manifest:
    """An image without layers, at a tag; another one for each tag."""
    registry, repository = Registry(place.host), f"acme/{NAME}"
    configuration = json.dumps({"tag": tag}).encode()
    row = {"mediaType": "application/vnd.oci.image.config.v1+json", "size": len(configuration)}
    document = {
        "schemaVersion": 2,
        "mediaType": oci.MANIFEST_TYPES[0],
        "config": {**row, "digest": registry.put_blob(repository, configuration)},
        "layers": [],
    }
    manifest = Manifest(json.dumps(document).encode(), oci.MANIFEST_TYPES[0])
    registry.put_manifest(repository, tag, manifest)
    return manifest


def attach(place: SmallRegistry, subject: Manifest, kind: str, text: str) -> None:
    artifact = referrers.Artifact(kind, "document.json", text.encode())
    referrers.attach(Registry(place.host), f"acme/{NAME}", subject, [artifact])


def test_the_newest_dated_tag_counts_with_what_is_attached_to_it(
    place: SmallRegistry, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for tag in ("2026.11.9-1", "2026.11.09-2", "2026.11.24-10", "candidate-2026.11.25-1", "latest"):
        publish(place, tag)
    newest = publish(place, "2026.11.24-11")
    attach(place, newest, referrers.DESCRIPTION, json.dumps(DESCRIPTION))
    attach(place, newest, referrers.SBOM, '{"spdxVersion": "SPDX-2.3"}')
    rows = [{"name": "msgpack", "fate": "passed"}, {"name": "psycopg2", "fate": "failed"}]
    attach(place, newest, referrers.CANARIES, json.dumps({"canaries": rows}))
    found = read_attached(fork(place, tmp_path))
    assert set(found) == {NAME, ""}
    known = found[NAME]
    assert (known.tag, known.digest) == ("2026.11.24-11", newest.digest)
    assert known.content and known.content["interpreters"] == DESCRIPTION["interpreters"]
    assert known.content["commit"] == "c" * 40
    assert known.sbom == '{"spdxVersion": "SPDX-2.3"}'
    assert known.canaries == JUnitResults(2, ("psycopg2",))
    assert "no notes before 2026.11.24-11: no description of 2026.11.24-10" in capsys.readouterr().err


def test_the_newest_tags_have_notes(place: SmallRegistry, tmp_path: Path) -> None:
    for number in range(1, NOTES + 3):
        manifest = {**DESCRIPTION, "tools": [{"name": "uv", "version": f"0.{number}"}]}
        attach(place, publish(place, f"2026.11.24-{number}"), referrers.DESCRIPTION, json.dumps(manifest))
    notes = read_attached(fork(place, tmp_path))[""].notes
    assert [note["title"] for note in notes] == [
        f"2026.11.24-{new - 1} → 2026.11.24-{new}" for new in range(NOTES + 2, 2, -1)
    ]
    assert f"0.{NOTES + 1} → 0.{NOTES + 2}" in json.dumps(notes[0]["sections"], ensure_ascii=False)


def test_an_image_may_have_no_documents(place: SmallRegistry, tmp_path: Path) -> None:
    digest = publish(place, "2026.11.24-1").digest
    known = read_attached(fork(place, tmp_path))[NAME]
    assert (known.digest, known.content, known.sbom, known.canaries) == (digest, None, "", None)


def test_a_registry_that_knows_none_of_them_tells_nothing(place: SmallRegistry, tmp_path: Path) -> None:
    assert read_attached(fork(place, tmp_path)) == {}


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ('{"schema": 99}', "schema 99 is not one of 1, 2"),
        ('{"schema": 2, "tools": [1]}', "is not the manifest of an image"),
        ('{"schema": 2, "build": []}', "is not the manifest of an image"),
    ],
)
def test_another_description_is_refused(place: SmallRegistry, tmp_path: Path, text: str, complaint: str) -> None:
    attach(place, publish(place, "2026.11.24-1"), referrers.DESCRIPTION, text)
    with pytest.raises(errors.Failure, match=complaint):
        read_attached(fork(place, tmp_path))
