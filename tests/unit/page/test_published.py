"""What is known of published images: every file may be absent, and a wrong one is named."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from catalogue import images
from page.notes import joined
from page.published import JUnitResults, Published, read_published
from portable import errors
from smoke.results import Result, Results

CATALOGUE = images.load(overlay=images.NO_OVERLAY)
NAME = "manylinux_2_36_x86_64"
DIGEST = f"sha256:{'a' * 64}"
MANIFEST = {
    "schema": 1,
    "image": {"name": NAME},
    "interpreters": [{"name": "cp313-cp313", "version": "3.13.1", "url": "https://example.org/x", "sha256": "0" * 64}],
    "tools": [{"name": "uv", "version": "0.1"}],
    "components": [],
    "packages": [{"name": "apt", "version": "2.6", "architecture": "amd64"}],
    "compilers": {"gcc": "gcc 12.2.0", "gfortran": ""},
}


@pytest.fixture
def place(tmp_path: Path) -> Path:
    (tmp_path / NAME).mkdir()
    return tmp_path / NAME


def read(place: Path) -> Published:
    return read_published(place.parent, CATALOGUE)[NAME]


def test_every_file_may_be_absent(place: Path) -> None:
    assert read(place) == Published()


def test_the_manifest_of_an_image_is_read(place: Path) -> None:
    (place / "manifest.json").write_text(json.dumps(MANIFEST), encoding="utf-8")
    content = read(place).content
    assert content is not None
    assert content["interpreters"] == MANIFEST["interpreters"]
    assert content["packages"] == [{"name": "apt", "version": "2.6"}]
    assert content["compilers"] == {"gcc": "gcc 12.2.0"}


@pytest.mark.parametrize(
    ("text", "tag"),
    [
        (f"{DIGEST}\n", ""),
        (f"quay.io/pypa/{NAME}:2026.11.24-1@{DIGEST}", "2026.11.24-1"),
        (f"quay.io/pypa/{NAME}@{DIGEST}\n", ""),
    ],
)
def test_a_digest_is_read_in_the_forms_that_commands_print(place: Path, text: str, tag: str) -> None:
    (place / "digest.txt").write_text(text, encoding="utf-8")
    assert (read(place).digest, read(place).tag) == (DIGEST, tag)


def test_results_are_those_that_the_smoke_tests_write(place: Path) -> None:
    results = Results("an image")
    for result in (Result("ssl", "cp313-cp313", (), 1.0), Result("env", "", ("no PATH",), 0.1)):
        results.add(result)
    (place / "smoke.xml").write_text(results.junit(), encoding="utf-8")
    assert read(place).smoke == JUnitResults(2, ("image: env",))


def test_results_of_canaries_are_junit_of_anybody(place: Path) -> None:
    junit = '<testsuite><testcase name="lxml"/><testcase name="numpy"><failure message="gcc"/></testcase></testsuite>'
    (place / "canaries.xml").write_text(junit, encoding="utf-8")
    assert read(place).canaries == JUnitResults(2, ("numpy",))
    assert read(place).smoke is None


def test_vulnerabilities_are_those_of_the_image(place: Path) -> None:
    finding = {
        "kind": "ours",
        "part": "git",
        "version": "2.55.0",
        "id": "CVE-2026-1",
        "aliases": [],
        "fixed": ["2.55.1"],
    }
    rows = [{"image": NAME, "findings": [finding]}, {"image": "manylinux_2_28_x86_64", "findings": []}]
    (place.parent / "vulnerabilities.json").write_text(json.dumps({"schema": 1, "images": rows}), encoding="utf-8")
    assert read(place).vulnerabilities == [
        {"id": "CVE-2026-1", "part": "git", "version": "2.55.0", "fixed": ["2.55.1"]}
    ]
    (place.parent / "vulnerabilities.json").write_text('{"images": [{}]}', encoding="utf-8")
    with pytest.raises(errors.UserError, match="is not what `invoke vulnerabilities --json` writes"):
        read(place)


NOTE = {
    "schema": 1,
    "old": "2026.11.17-1",
    "new": "2026.11.24-1",
    "day": "2026-11-24",
    "title": "2026.11.17-1 → 2026.11.24-1",
    "summary": "git has moved",
    "images": [NAME],
    "sections": [{"title": "Everything else", "changes": [{"text": "git 1 → 2", "url": "", "of": "all images"}]}],
}


def test_a_note_of_all_images_and_the_same_of_one_are_one(place: Path) -> None:
    for directory in (place.parent / "notes", place / "notes"):
        directory.mkdir()
        (directory / "a.json").write_text(json.dumps(NOTE), encoding="utf-8")
    known = read_published(place.parent, CATALOGUE)
    (note,) = joined([note for each in known.values() for note in each.notes])
    assert note["slug"] == "2026.11.17-1..2026.11.24-1"
    assert note["sections"][0]["changes"][0] == {"text": "git 1 → 2", "url": "", "of": "all images"}


@pytest.mark.parametrize("spoiled", [{"schema": 2}, {"sections": [{}]}, {"images": None}, {"sections": "x"}])
def test_a_note_of_another_form_is_refused(place: Path, spoiled: dict[str, object]) -> None:
    (place / "notes").mkdir()
    (place / "notes" / "a.json").write_text(json.dumps({**NOTE, **spoiled}), encoding="utf-8")
    with pytest.raises(errors.UserError, match=r"notes/a\.json"):
        read(place)


@pytest.mark.parametrize(
    ("file", "text", "complaint"),
    [
        ("digest.txt", "sha256:123", "has no digest"),
        ("manifest.json", "{", "is not JSON"),
        ("manifest.json", "[]", "must hold an object"),
        ("manifest.json", '{"schema": 99}', "schema 99 is not one of 1, 2"),
        ("smoke.xml", "<testsuites>", "is not XML"),
        ("sbom.spdx.json", "\udcff", "is not UTF-8"),
    ],
)
def test_a_wrong_file_is_named(place: Path, file: str, text: str, complaint: str) -> None:
    (place / file).write_bytes(text.encode(errors="surrogateescape"))
    with pytest.raises(errors.UserError, match=complaint) as raised:
        read(place)
    assert file in str(raised.value) and "\n" not in str(raised.value)


def test_an_image_that_there_is_not_is_refused(tmp_path: Path) -> None:
    (tmp_path / "manylinux_2_36_x86-64").mkdir()
    with pytest.raises(errors.UserError, match=r"did you mean .*manylinux_2_36_x86_64"):
        read_published(tmp_path, CATALOGUE)
    with pytest.raises(errors.UserError, match="is not a directory"):
        read_published(tmp_path / "nowhere", CATALOGUE)
