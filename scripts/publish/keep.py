"""Records where a CPython is in the published images, before they stop having it: `python3 scripts keep`.

Images carry the record (docker/downloads.toml), so that manylinux-interpreters can install it from its layer, and
retention keeps the tag (prune.py).
"""

from __future__ import annotations

import argparse
import io
import sys
import tarfile
from pathlib import Path
from typing import Any

import tomlkit

from catalogue import images
from catalogue.model import Image
from catalogue.tags import dated
from explain.descriptions import Described
from network import referrers
from network.oci import Layer
from portable import errors, files
from portable.downloads import DOWNLOADS_TOML, parse
from publish.destination import Destination, read_login

MOST = 200 << 20  # bytes of a layer that is looked into: interpreters have a tenth of it


def find(place: Destination, image: Image, interpreter: str, tag: str) -> tuple[str, dict[str, str]]:
    """The version of an interpreter in a published image, and its row of the table.

    Raises Failure where the image, its description or the layer is not there."""
    registry, repository = place.registry, place.repository(image.name)
    where = f"{registry.host}/{repository}:{tag}"
    manifest = registry.manifest(repository, tag)
    content = referrers.document(registry, repository, manifest.digest, referrers.DESCRIPTION)
    if content is None:
        raise errors.Failure(f"{where} has no description, which says what its layers hold")
    rows = Described.parse(content, f"the description of {where}").manifest["interpreters"].rows()
    version = next((row["version"].text() for row in rows if row["name"].text() == interpreter), "")
    if not version:
        raise errors.Failure(f"{where} does not have {interpreter}: name a tag that has it")
    for layer in manifest.layers:
        if layer.size <= MOST and _holds(registry.blob(repository, layer.digest, layer.size), interpreter, where):
            return version, _row(place, repository, layer, tag)
    raise errors.Failure(f"{where}: no layer below {MOST >> 20} MB has /opt/python/{interpreter}")


def _row(place: Destination, repository: str, layer: Layer, tag: str) -> dict[str, str]:
    url = f"{place.registry.base}{repository}/blobs/{layer.digest}"
    return {"url": url, "sha256": layer.digest.partition(":")[2], "tag": tag}


def _holds(blob: bytes, interpreter: str, where: str) -> bool:
    """Whether a layer brings the link of an interpreter."""
    try:
        with tarfile.open(fileobj=io.BytesIO(blob)) as tar:
            return any(member.name.strip("./") == f"opt/python/{interpreter}" for member in tar)
    except tarfile.TarError as error:
        raise errors.Failure(
            f"{where} has a layer that cannot be read ({error}): its images need layers of gzip"
        ) from None


def record(text: str, interpreter: str, version: str, layers: dict[str, dict[str, str]]) -> str:
    """docker/downloads.toml with these layers of an interpreter. Raises UserError where that breaks a law."""
    document: Any = tomlkit.parse(text)
    kept = document.setdefault("kept", tomlkit.table(is_super_table=True))
    entry = kept.setdefault(interpreter, tomlkit.table())
    if entry.setdefault("version", version) != version:
        raise errors.UserError(f"{interpreter} is kept as {entry['version']}, this is {version}: images must agree")
    rows = entry.setdefault("layers", tomlkit.table())
    for name, row in layers.items():
        inline = tomlkit.inline_table()
        inline.update(row)
        rows[name] = inline
    written = tomlkit.dumps(document)
    parse(tomlkit.parse(written).unwrap(), f"{DOWNLOADS_TOML.name}:")
    return written


def main() -> int:
    """Writes into docker/downloads.toml where a CPython is in published images, so that it stays installable.

    Run it before the images stop having the interpreter, or with an older tag; then commit the table."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("interpreter", help="its tag, such as cp38-cp38")
    parser.add_argument("tag", help="the dated tag of images that have it, YYYY.MM.DD-N")
    parser.add_argument("-i", "--image", action="append", default=[], metavar="GLOB", help="images (default: all)")
    parser.add_argument("--registry", metavar="HOST/NAMESPACE", help="where they are (default: the table's)")
    parser.add_argument("--login", metavar="USER", help="log in as this user; standard input has the password")
    parser.add_argument("--table", type=Path, default=DOWNLOADS_TOML, metavar="FILE", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if not dated(options.tag):
        raise errors.UserError(f"{options.tag!r} is not a dated tag, YYYY.MM.DD-N")
    catalogue = images.load()
    place = Destination.parse(options.registry or catalogue.registry, read_login(options.login))
    found: dict[str, dict[str, dict[str, str]]] = {}
    for image in (image for image in catalogue.wanted(options.image) if not image.variant):
        version, row = find(place, image, options.interpreter, options.tag)
        found.setdefault(version, {})[image.name] = row
        print(f"{image.name}: {options.interpreter} {version} is {row['url']}", file=sys.stderr)
    text = options.table.read_text(encoding="utf-8")
    for version, layers in found.items():
        text = record(text, options.interpreter, version, layers)
    files.write(options.table, text)
    return 0
