#!/usr/bin/env python3
"""Prints version, URL and sha256 of a prebuilt interpreter on one line."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path


def main() -> None:
    """Prints version, URL and sha256 of a prebuilt interpreter on one line."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("table", type=Path, help="downloads.toml")
    parser.add_argument("tag")
    parser.add_argument("platform")
    options = parser.parse_args()
    sys.path.insert(0, str(options.table.parent))  # where an image has it, beside the module that reads it
    from portable import downloads

    row = downloads.load(options.table).interpreters[options.tag]
    print(row.version, row.files[options.platform].url, row.files[options.platform].sha256)


if __name__ == "__main__":
    main()
