#!/usr/bin/env python3
"""Prints version, URL and sha256 of a prebuilt interpreter on one line."""

from __future__ import annotations

import argparse
import tomllib
from pathlib import Path


def main() -> None:
    """Prints version, URL and sha256 of a prebuilt interpreter on one line."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("table", type=Path, help="downloads.toml")
    parser.add_argument("tag")
    parser.add_argument("platform")
    options = parser.parse_args()
    row = tomllib.loads(options.table.read_text(encoding="utf-8"))["interpreters"][options.tag]
    print(row["version"], row[options.platform]["url"], row[options.platform]["sha256"])


if __name__ == "__main__":
    main()
