"""Writes the page into build/site: static files, for any web server or none."""

from __future__ import annotations

import argparse
import datetime
import inspect
import re
import shutil
import sys
import tempfile
from pathlib import Path
from urllib.parse import urlsplit

from catalogue import checkout, images
from catalogue.paths import ROOT
from page.attached import read_attached
from page.facts import Tables
from page.published import read_published
from page.site import Pages
from portable import errors, toml

OUTPUT = ROOT / "build" / "site"
MARK = ".made-by-invoke-site"  # in a directory that the next run may replace

EPILOG = """\
exit status:
  0  the page is written
  1  it could not be written
  2  invalid usage: an unknown option, a broken table or description

example:
  invoke site && python3 -m http.server -d build/site
"""


def address_of(source: str) -> str:
    """Where GitHub Pages shows the page of a repository; for any other repository the repository itself."""
    parts = urlsplit(source)
    owner, _, name = parts.path.strip("/").partition("/")
    if parts.hostname == "github.com" and owner and name:
        return f"https://{owner.lower()}.github.io/" + ("" if name == f"{owner}.github.io" else f"{name}/")
    return f"{source.rstrip('/')}/"


def write(pages: Pages, output: Path) -> int:
    """Writes all files into a new directory, which takes the place of `output`; returns how many.

    Raises UserError where `output` holds something else."""
    if output.exists() and not (output / MARK).exists() and (not output.is_dir() or any(output.iterdir())):
        raise errors.UserError(
            f"{output} exists and was not made by this command: remove it, or choose another --output"
        )
    output.parent.mkdir(parents=True, exist_ok=True)
    scratch = Path(tempfile.mkdtemp(dir=output.parent, prefix=f".{output.name}."))
    try:
        scratch.chmod(0o755)
        count = 0
        for path, text in pages.files():
            target = scratch / path
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(text, encoding="utf-8", newline="")
            count += 1
        (scratch / MARK).touch()
        if output.exists():
            shutil.rmtree(output)
        scratch.rename(output)
    except BaseException:
        shutil.rmtree(scratch, ignore_errors=True)
        raise
    return count


def main() -> int:
    """Writes a page about the images: what there is, what is in them, until when, and which to take.

    What is known only of images that were published comes from the registry, with --registry, or from a directory with
    one for each image, with --descriptions: in DIR/<image>/ each of manifest.json, digest.txt, sbom.spdx.json,
    smoke.xml, canaries.xml and notes/*.json may be absent. Without both the page says less."""
    parser = argparse.ArgumentParser(
        description=inspect.getdoc(main), epilog=EPILOG, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--descriptions", type=Path, metavar="DIR", help="what is known of published images")
    parser.add_argument(
        "--registry", action="store_true", help="ask the images' registry for tags and what is attached"
    )
    parser.add_argument("--output", type=Path, default=OUTPUT, metavar="DIR", help="default: build/site")
    parser.add_argument(
        "--address", metavar="URL", help="where the page is going to be (default: the source's GitHub Pages)"
    )
    options = parser.parse_args()
    catalogue = images.load()
    address = options.address or address_of(catalogue.source)
    if not re.fullmatch(r"https?://[^\s/?#]+(/[^\s?#]*)?", address):
        raise errors.UserError(f"--address {address}: give {toml.URL_RIGHT}, like https://example.org/manylinux/")
    published = read_attached(catalogue) if options.registry else {}
    published |= read_published(options.descriptions, catalogue) if options.descriptions else {}
    tables = Tables(datetime.datetime.now(datetime.UTC).date(), published, catalogue)
    count = write(Pages(tables, f"{address.rstrip('/')}/", _commit()), options.output)
    print(f"{options.output}: {count} files; python3 -m http.server -d {options.output}", file=sys.stderr)
    return 0


def _commit() -> str:
    """The commit of this checkout; empty where there is none, as in an archive."""
    try:
        return checkout.commit()
    except errors.Failure:
        return ""
