"""What the commands of an image share: its facts, the table of downloads, verified downloads, unpacking."""

from __future__ import annotations

import functools
import json
import os
import signal
import sys
import urllib.parse
from collections.abc import Mapping
from pathlib import Path

from portable import archives, downloads, environment, errors, fetch, files
from portable.opener import Limits
from portable.progress import Progress

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[2]  # "/" in an image
INTERNAL = ROOT / "opt" / "_internal"
CERTIFICATES = INTERNAL / "certs.pem"
MANIFEST = INTERNAL / "manifest.json"

# Ten retries within a minute, after 0.05, 0.1, 0.2, ... 25.6 seconds: release hosts fail often, but rarely for long.
LIMITS = Limits(attempts=11, backoff=0.05)

OLDEST_DATE = 315619200  # 1980-01-02: a day later than the first that zip can hold, so that it can west of UTC, too

ENVIRONMENT_HELP = """
environment:
  MANYLINUX_DOWNLOAD_MIRROR  URLs to try first (https, http or file), separated by blanks; a file of
                             https://HOST/PATH is expected at <url>/HOST/PATH (what `wget -x` makes)
  MANYLINUX_SOURCES          directory with files that are downloaded already
  SSL_CERT_FILE              certificates to trust, for instance those of a proxy that inspects TLS
  HTTPS_PROXY, NO_PROXY      proxy to use
Every file has to have the sha256 that the image knows, wherever it comes from.
"""


@functools.cache
def table() -> downloads.Downloads:
    """Everything that can be installed on demand (docker/downloads.toml of the project)."""
    return downloads.load(HERE / "downloads.toml")


@functools.cache
def image() -> Mapping[str, str]:
    """What this image is: policy, platform, libc, triple, march, toolset_root. Raises Failure without a manifest."""
    try:
        facts = json.loads(MANIFEST.read_text(encoding="utf-8"))["image"]
        return {name: str(facts[name]) for name in ("policy", "platform", "libc", "triple", "march", "toolset_root")}
    except FileNotFoundError:
        raise errors.Failure(f"{MANIFEST} is missing: this is no manylinux image") from None
    except (ValueError, LookupError, TypeError) as error:
        raise errors.Failure(f"{MANIFEST} is damaged ({type(error).__name__}: {error}): take the image anew") from None


def obtain(url: str, sha256: str, directory: Path) -> Path:
    """The file of `url` in `directory`, verified: from $MANYLINUX_SOURCES, the mirrors or the URL itself.

    Shows its progress on stderr. Raises errors.Failure, naming every place that was tried."""
    name = url.rpartition("/")[2].replace("sha256:", "")
    sources = os.environ.get("MANYLINUX_SOURCES", "")
    local = Path(sources) / name
    if sources and local.is_file():
        if files.digest(local) == sha256:
            return local
        print(f"warning: {local} is not what is pinned (sha256 {sha256}); downloading instead", file=sys.stderr)
    bundle = CERTIFICATES if environment.ca_bundle() is None and CERTIFICATES.exists() else None
    fetcher = fetch.Fetcher(limits=LIMITS, mirrors=None, ca_bundle=bundle)
    first, *others = [*mirrored(url, os.environ.get("MANYLINUX_DOWNLOAD_MIRROR", "")), url]
    with Progress() as progress, progress.task(name) as task:
        return fetcher.download(first, directory / name, sha256=sha256, alternatives=others, task=task)


def mirrored(url: str, mirrors: str) -> list[str]:
    """Where the mirrors, separated by blanks, should hold the file: below its host and path."""
    parts = urllib.parse.urlsplit(url)
    return [f"{mirror.rstrip('/')}/{parts.netloc}{parts.path}" for mirror in mirrors.split()]


def unpack(archive: Path, directory: Path) -> Path:
    """Unpacks an archive into a new directory; returns its only top directory. Raises Failure for a bad one."""
    try:
        return archives.unpack(archive, directory, oldest=OLDEST_DATE)
    except archives.BadArchive as error:
        raise errors.Failure(f"{archive.name} is not unpacked: {error}") from None


def clean_up_when_terminated() -> None:
    """Makes SIGTERM run the clean-up that Ctrl-C runs."""
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
