"""Writes what follows from the tables: pictures, and parts of files between `begin name` and `end name` in comments.

With --check it changes nothing, and fails if a part is not up to date.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from catalogue import dependencies, deprecations, images
from catalogue.markers import rendered
from catalogue.model import Catalogue
from catalogue.paths import ROOT
from pictures.files import picture_files
from portable import errors, files
from render.dockerfile import dockerfile_blocks
from render.readme import document_blocks

COMMAND = "nox -s render"
ENDINGS = Path("docker/rootfs/opt/_internal/manylinux/endings.py")


def all_blocks(catalogue: Catalogue) -> dict[Path, dict[str, str]]:
    """File -> marker name -> text."""
    ended = [i.tag for i in catalogue.interpreters.values() if i.status == "eol"]
    endings = {e.name: e.ends for e in deprecations.load(catalogue, dependencies.load())}
    lines = [f'    "{tag}": "{endings[tag]}",\n' for tag in ended if tag in endings]
    return {
        **document_blocks(catalogue),
        Path("docker/Dockerfile"): dockerfile_blocks(catalogue),
        ENDINGS: {"endings": f"ENDINGS = {{\n{''.join(lines)}}}\n"},
    }


def all_files(catalogue: Catalogue) -> dict[Path, tuple[str, str]]:
    """File -> its text as it is, "" where it is missing, and as it should be: those with blocks, and the pictures."""
    found = {}
    for path, blocks in all_blocks(catalogue).items():
        before = (ROOT / path).read_text(encoding="utf-8")
        found[path] = (before, rendered(before, blocks, str(path)))
    for path, after in picture_files(catalogue).items():
        found[path] = ((ROOT / path).read_text(encoding="utf-8") if (ROOT / path).exists() else "", after)
    return found


def main() -> int:
    """Brings the rendered parts of README.md, docs/ and docker/Dockerfile and the pictures up to date."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--check", action="store_true", help="change nothing; end with 1 if a part is not up to date")
    options = parser.parse_args()
    stale = []
    for path, (before, after) in all_files(images.load(overlay=images.NO_OVERLAY)).items():
        if before != after:
            stale.append(str(path))
            if not options.check:
                files.write(ROOT / path, after)
                print(f"{path} rewritten", file=sys.stderr)
    if stale and options.check:
        raise errors.Failure(f"{', '.join(stale)} not up to date with the tables: run `{COMMAND}`")
    return 0
