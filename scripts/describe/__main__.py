"""Runs in an image: `python describe` ends its build, with an option it finds the trees of a finished one."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

# In the image the rooms that this one imports are its own; in a checkout they are beside it.
sys.path[:0] = [str(Path(__file__).resolve().parents[1]), "/opt/_internal/manylinux"]

from describe import trees, write  # noqa: E402


def main() -> None:
    """Ends the build of an image: writes manifest.json, sbom.spdx.json and files.sha256 into /opt/_internal."""
    parser = argparse.ArgumentParser(prog="describe", description=main.__doc__)
    parser.add_argument("--root", type=Path, default=Path("/"), help="directory of the image's files (default: /)")
    instead = parser.add_mutually_exclusive_group()
    instead.add_argument("--trees", action="store_true", help="only print the trees of a finished image, as JSON")
    instead.add_argument("--take", type=Path, metavar="DIRECTORY", help="only copy those trees to DIRECTORY/TREE")
    options = parser.parse_args()
    if options.trees:
        trees.show(options.root)
    elif options.take:
        trees.take(options.root, options.take)
    elif missing := [name for name in write.FACTS.values() if name not in os.environ]:
        parser.error(f"not in the environment: {' '.join(missing)}")
    else:
        write.end_build(options.root)


main()
