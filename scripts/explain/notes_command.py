"""The command line of `notes`."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterable
from pathlib import Path

from catalogue import checkout, dependencies, images, tags
from explain import notes_text
from explain.descriptions import described
from explain.notes import compared
from portable import errors, files, outputs

PREVIOUS, THIS = "previous", "this"
EPILOG = """
OLD and NEW each: a dated tag, `latest` or a digest of the images; one image as host/repository:tag or @digest; a
manifest.json, or a directory with IMAGE/manifest.json. A description comes from the registry, where it is attached to
the image, or from an image that is here.

exit status: 0: there are notes, even if nothing has changed; 1: a description cannot be had; 2: invalid usage
"""


def before(name: str, git_tags: Iterable[str]) -> str:
    """The newest dated git tag that is older than a dated tag; empty where there is none.

    Raises UserError for a name that is not a dated tag."""
    limit = tags.dated(name)
    if limit is None:
        raise errors.UserError(f"{name} has no tag before it: name OLD and NEW")
    earlier = [found for tag in git_tags if (found := tags.dated(tag)) and found < limit]
    return str(max(earlier)) if earlier else ""


def main() -> int:
    """Says what has changed between two tags, digests or images, riskiest first, as Markdown or JSON."""
    parser = argparse.ArgumentParser(
        description=main.__doc__, epilog=EPILOG, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("old", metavar="OLD", help=f"or `{PREVIOUS}`: the newest dated git tag before NEW")
    parser.add_argument("new", metavar="NEW", help=f"or `{THIS}`: the tag of this commit")
    parser.add_argument("-i", "--image", action="append", default=[], metavar="GLOB", help="repeatable (default: all)")
    parser.add_argument("--json", action="store_true", help="print JSON, see docs/notes.md")
    parser.add_argument("--output", type=Path, metavar="FILE", help="write to it instead of standard output")
    options = parser.parse_args()
    outputs.file("--output", options.output)
    catalogue = images.load()
    wanted = catalogue.wanted(options.image)
    new_name = checkout.version_tag() if options.new == THIS else options.new
    old_name = before(new_name, checkout.tags()) if options.old == PREVIOUS else options.old
    new = described(new_name, wanted)
    old = described(old_name, wanted) if old_name else {}
    if len(old) == len(new) == 1:  # two images of one name, or of any: whoever names them wants to see them compared
        new = dict(zip(old, new.values(), strict=True))
    notes = compared(old, new, dependencies.load(), (old_name or "nothing", new_name))
    if options.json:
        text = json.dumps(notes_text.as_json(notes, catalogue), indent=1, ensure_ascii=False) + "\n"
    else:
        text = notes_text.markdown(notes, catalogue)
    if options.output:
        files.write(options.output, text)
    else:
        sys.stdout.write(text)
    return 0
