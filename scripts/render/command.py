"""Writes the parts of files that follow from the tables, between markers in comments: `begin name` to `end name`.

With --check it changes nothing and fails, naming the command that helps, when a part is not up to date.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Mapping
from pathlib import Path

from catalogue import images
from catalogue.model import Catalogue
from catalogue.paths import ROOT
from portable import errors
from render.dockerfile import dockerfile_blocks
from render.readme import document_blocks

COMMAND = "nox -s render"
# `# begin name: who writes this` in a Dockerfile, `<!-- begin name -->` in Markdown; the same with `end` after it.
_BLOCK = re.compile(
    r"^(?P<open>(?:#|<!--) begin (?P<name>[\w-]+)\b.*\n)(?P<text>(?:.*\n)*?)(?P<close>(?:#|<!--) end (?P=name)\b.*\n)",
    re.MULTILINE,
)
_MARKER = re.compile(r"^(?:#|<!--) (?:begin|end) ([\w-]+)", re.MULTILINE)


def rendered(text: str, blocks: Mapping[str, str], where: str) -> str:
    """The text with every marked part replaced.

    Raises Failure for a marker without its other half, for a part nobody renders and for one without markers."""
    present = [match["name"] for match in _BLOCK.finditer(text)]
    markers = _MARKER.findall(text)
    if sorted(markers) != sorted([*present, *present]) or len(set(present)) != len(present):
        odd = sorted({name for name in markers if markers.count(name) != 2 or name not in present})
        raise errors.Failure(f"{where}: the markers of {', '.join(odd)} must come once each, `begin` before `end`")
    if unknown := set(present) - set(blocks):
        raise errors.Failure(f"{where}: nothing renders {', '.join(sorted(unknown))}")
    if missing := set(blocks) - set(present):
        raise errors.Failure(f"{where}: no markers for {', '.join(sorted(missing))}")
    return _BLOCK.sub(lambda match: match["open"] + blocks[match["name"]] + match["close"], text)


def all_blocks(catalogue: Catalogue) -> dict[Path, dict[str, str]]:
    """File -> marker name -> text."""
    return {**document_blocks(catalogue), Path("docker/Dockerfile"): dockerfile_blocks(catalogue)}


def main() -> int:
    """Brings the rendered parts of README.md, docs/ and docker/Dockerfile up to date."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--check", action="store_true", help="change nothing; exit 1 if something is not up to date")
    options = parser.parse_args()
    stale = []
    for path, blocks in all_blocks(images.load(overlay=images.NO_OVERLAY)).items():
        before = (ROOT / path).read_text(encoding="utf-8")
        after = rendered(before, blocks, str(path))
        if before != after:
            stale.append(str(path))
            if not options.check:
                (ROOT / path).write_text(after, encoding="utf-8")
                print(f"{path} rewritten", file=sys.stderr)
    if stale and options.check:
        raise errors.Failure(f"{', '.join(stale)} not up to date with the tables: run `{COMMAND}`")
    return 0
