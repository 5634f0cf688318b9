"""Which published images any cibuildwheel pins, read from its git repository."""

from __future__ import annotations

import configparser
import re
import tempfile
from dataclasses import dataclass
from pathlib import Path

from packaging.version import InvalidVersion, Version

from catalogue import checkout
from portable import errors

CIBUILDWHEEL = "https://github.com/pypa/cibuildwheel"
PINS_FILE = "cibuildwheel/resources/pinned_docker_images.cfg"

_PIN = re.compile(
    r"(?:\S+/)?(?P<name>[^/:@\s]+)(?::(?P<tag>[^@\s]+)|@(?P<digest>sha256:[0-9a-f]{64})\s+#\s*(?P<comment>\S+))"
)


@dataclass(frozen=True)
class PinnedImage:
    """One entry of cibuildwheel's list: an image pinned by tag, in newer versions by digest as well."""

    name: str
    tag: str
    digest: str
    cibuildwheel: str


def parse_pins(text: str, version: str) -> list[PinnedImage]:
    """The entries of one pinned_docker_images.cfg. Raises Failure for an entry of an unknown form."""
    parser = configparser.ConfigParser(interpolation=None)
    try:
        parser.read_string(text)
    except configparser.Error as error:
        raise errors.Failure(f"cibuildwheel {version}: {error}") from None
    found = []
    for section in parser.sections():
        for key, value in parser.items(section):
            match = _PIN.fullmatch(value.strip())
            if not match:
                raise errors.Failure(f"cibuildwheel {version}: cannot read {key} = {value!r} of [{section}]")
            found.append(PinnedImage(match["name"], match["tag"] or match["comment"], match["digest"] or "", version))
    return found


def cibuildwheel_pins(url: str, since: str) -> list[PinnedImage]:
    """The images that cibuildwheel pins since version `since`, read from every tag of its git repository, with
    pre-releases.

    Raises Failure where such a tag lacks the list, or has one that cannot be read."""
    first = Version(since).release
    with tempfile.TemporaryDirectory() as directory:
        checkout.call("clone", "--quiet", "--bare", "--", url, directory)
        found: list[PinnedImage] = []
        copy = Path(directory)
        for tag in checkout.call("for-each-ref", "--format=%(refname:strip=2)", "refs/tags", at=copy).split():
            try:
                release = Version(tag).release
            except InvalidVersion:
                continue
            if len(release) > 1 and release >= first:
                found += parse_pins(checkout.call("cat-file", "blob", f"{tag}:{PINS_FILE}", at=copy), tag)
    if not found:
        raise errors.Failure(
            f"{url} has no release since {since}: refusing to prune without knowing what cibuildwheel pins"
        )
    return found
