"""What is only known of an image that was published: from a directory with a directory for each image.

`<image>/manifest.json` is what the image says of itself, `digest.txt` where the registry keeps it, `smoke.xml` what its
tests said and `canaries.xml` what became of real projects in it (JUnit), `sbom.spdx.json` its parts, `notes/*.json`
what changed since another tag: of that image, or beside the images of all of them. `vulnerabilities.json` beside the
images is what `invoke vulnerabilities --json` has written. Each may be absent.
"""

from __future__ import annotations

import json
import re
import xml.etree.ElementTree as ElementTree
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from catalogue.model import Catalogue
from page.notes import note_facts
from portable import errors
from portable.toml import near_matches, read_text

KINDS = ("interpreters", "tools", "components", "packages")
KNOWN_SCHEMAS = (1, 2)  # of manifest.json
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")


@dataclass(frozen=True)
class JUnitResults:
    """How many cases of a JUnit file ran, and which of them failed, as `<class>: <case>`."""

    checks: int
    failed: tuple[str, ...]


@dataclass(frozen=True)
class Published:
    """What is known; None and empty mean that nobody said. `sbom` is the file, as text."""

    tag: str = ""
    digest: str = ""
    content: Mapping[str, Any] | None = None
    smoke: JUnitResults | None = None
    sbom: str = ""
    notes: Sequence[dict[str, Any]] = ()
    vulnerabilities: Sequence[dict[str, Any]] | None = None
    canaries: JUnitResults | None = None


def read_published(directory: Path, catalogue: Catalogue) -> dict[str, Published]:
    """Image -> what the directory knows of it, and "" -> what it knows of all of them.

    Raises UserError for what cannot be read, and for an unknown image."""
    if not directory.is_dir():
        raise errors.UserError(f"--descriptions {directory} is not a directory: it needs one for each image")
    known = [image.name for image in catalogue.all_images]
    found = {"": Published(notes=_notes(directory))}
    vulnerable = _vulnerabilities(directory / "vulnerabilities.json")
    for path in sorted(path for path in directory.iterdir() if path.is_dir() and path.name != "notes"):
        if path.name not in known:
            raise errors.UserError(f"{path}: no image has this name{near_matches(path.name, known)}")
        tag, digest = _digest(path / "digest.txt")
        found[path.name] = Published(
            tag=tag,
            digest=digest,
            content=_content(path / "manifest.json"),
            smoke=_results(path / "smoke.xml"),
            canaries=_results(path / "canaries.xml"),
            sbom=read_text(path / "sbom.spdx.json") if (path / "sbom.spdx.json").exists() else "",
            notes=_notes(path),
            vulnerabilities=vulnerable.get(path.name),
        )
    return found


def content(manifest: Mapping[str, Any], where: str) -> dict[str, Any]:
    """What an image says that it holds, whichever schema it says it in: lists of KINDS with name and version.

    Raises UserError for another document, and for a schema that is not known."""
    schema = manifest.get("schema")
    if schema not in KNOWN_SCHEMAS:
        raise errors.UserError(f"{where}: schema {schema!r} is not one of {', '.join(map(str, KNOWN_SCHEMAS))}")
    try:
        found: dict[str, Any] = {
            kind: [
                {"name": str(row["name"]), "version": str(row["version"]), **_source(row)}
                for row in manifest.get(kind, ())
            ]
            for kind in KINDS
        }
        found["compilers"] = {str(name): str(line) for name, line in manifest.get("compilers", {}).items() if line}
        found["commit"] = str(manifest.get("build", {}).get("commit", ""))  # schema 1 does not say
    except (KeyError, TypeError, AttributeError) as error:
        raise errors.UserError(f"{where} is not the manifest of an image: {error}") from None
    return found


def _source(row: Mapping[str, Any]) -> dict[str, str]:
    return {key: str(row[key]) for key in ("url", "sha256") if row.get(key)}


def _content(path: Path) -> dict[str, Any] | None:
    return content(_object(path), str(path)) if path.exists() else None


def _object(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(read_text(path))
    except ValueError as error:
        raise errors.UserError(f"{path} is not JSON: {error}") from None
    if not isinstance(found, dict):
        raise errors.UserError(f"{path} must hold an object")
    return found


def _notes(directory: Path) -> tuple[dict[str, Any], ...]:
    return tuple(note_facts(_object(path), str(path)) for path in sorted(directory.glob("notes/*.json")))


def _vulnerabilities(path: Path) -> dict[str, list[dict[str, Any]]]:
    """Image -> what is known of what it holds, as docs/vulnerabilities.md describes it."""
    if not path.exists():
        return {}
    try:
        return {
            str(image["image"]): [
                {
                    **{key: str(row[key]) for key in ("id", "part", "version")},
                    "fixed": [str(each) for each in row["fixed"]],
                }
                for row in image["findings"]
            ]
            for image in _object(path)["images"]
        }
    except (KeyError, TypeError) as error:
        raise errors.UserError(f"{path} is not what `invoke vulnerabilities --json` writes: {error}") from None


def _digest(path: Path) -> tuple[str, str]:
    """Tag and digest: the file has `sha256:...`, or a reference with `:tag` or `@`, in a line or two."""
    if not path.exists():
        return "", ""
    text = read_text(path)
    digest, tag = _DIGEST.search(text), re.search(r":(\d{4}\.\d\d\.\d\d-\d+)\b", text)
    if not digest:
        raise errors.UserError(f"{path} has no digest: it must have sha256: and 64 of 0-9 and a-f")
    return tag[1] if tag else "", digest[0]


def _results(path: Path) -> JUnitResults | None:
    if not path.exists():
        return None
    try:
        cases = list(ElementTree.fromstring(read_text(path)).iter("testcase"))
    except ElementTree.ParseError as error:
        raise errors.UserError(f"{path} is not XML: {error}") from None
    failed = [
        f"{case.get('classname', '').removeprefix('smoke.')}: {case.get('name')}".removeprefix(": ")
        for case in cases
        if case.find("failure") is not None or case.find("error") is not None
    ]
    return JUnitResults(len(cases), tuple(failed))
