"""Whether published images still work: distributions end, keys expire and files vanish long after a publication."""

from __future__ import annotations

import argparse
import sys
import tomllib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from catalogue import images
from catalogue.markers import markdown_table
from engine import choose
from engine.commands import Mount
from engine.engine import Engine
from network import web
from portable import downloads, errors, fetch
from publish.cibuildwheel import CIBUILDWHEEL, cibuildwheel_pins

PROBE = Path(__file__).with_name("usable.sh")
DOWNLOADS = "/opt/_internal/manylinux/downloads.toml"
TIME_LIMIT = 1800  # seconds for the package manager, generous for emulated platforms
JOBS = 8


@dataclass(frozen=True)
class Attempted:
    """What was tried of an image; `reason` is empty if it works."""

    what: str
    reason: str


def try_image(
    engine: Engine, reference: str, client: web.Client, platform: str = "", mounts: Iterable[Mount] = ()
) -> list[Attempted]:
    """Refreshes the package manager, installs three packages, and asks for every file that the image may download.

    Raises Failure where the engine cannot run the image."""
    mounts, script = tuple(mounts), PROBE.read_text(encoding="utf-8")
    command = ["sh", "-c", script]
    done = engine.contain(reference, command, TIME_LIMIT, network=None, platform=platform, mounts=mounts)
    lines = [line for line in done.stdout.splitlines() if line.startswith(("ok ", "failed "))]
    if done.returncode or not lines:
        raise errors.Failure(f"{reference} does not run: {(done.stderr or done.stdout).strip()[-300:]}")
    tried: dict[str, str] = {}
    for line in lines:
        name, _, reason = line.partition(" ")[2].partition(": ")
        tried[name] = tried.get(name) or reason.strip()
    table = engine.contain(reference, ["cat", DOWNLOADS], platform=platform, mounts=mounts)
    rows = [Attempted(f"package manager: {name}", reason) for name, reason in tried.items()]
    return [*rows, *_links(table.stdout if not table.returncode else "", client)]


def _links(text: str, client: web.Client) -> Iterator[Attempted]:
    """Each file that manylinux-interpreters and manylinux-install-clang of the image fetch."""
    if not text:
        yield Attempted("links", f"{DOWNLOADS} is not there")
        return
    table = downloads.parse(tomllib.loads(text), f"{DOWNLOADS}:")
    urls = sorted({url for _, _, url in table.urls()})

    def ask(url: str) -> Attempted:
        try:
            client.head(url)
        except (web.Missing, web.Refused, web.Unreachable) as error:
            return Attempted(url, str(error))
        return Attempted(url, "")

    yield from fetch.in_parallel(ask, urls, JOBS, fetch.Fetcher(mirrors=None))


def references(patterns: Sequence[str], tags: Sequence[str], cibuildwheel: str) -> dict[str, str]:
    """Reference -> platform of what to try: the images by these tags, and those that the newest cibuildwheel pins."""
    catalogue = images.load()
    chosen = [image for image in catalogue.select(patterns or ["*"]) if image.published]
    found = {f"{image.repository}:{tag}": image.platform.oci for image in chosen for tag in tags}
    if cibuildwheel:
        pins = cibuildwheel_pins(cibuildwheel, catalogue.retention.cibuildwheel_from)
        newest = [pin for pin in pins if pin.cibuildwheel == pins[-1].cibuildwheel]
        by_name = {image.name: image for image in chosen}
        for pin in newest:
            if image := by_name.get(pin.name):
                name = f"{image.repository}@{pin.digest}" if pin.digest else f"{image.repository}:{pin.tag}"
                found[name] = image.platform.oci
    return found


def main() -> int:
    """Tries published images: does the package manager still work, are the files that they download still there?

    Prints Markdown. Ends with 1 if anything does not work, and names it."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("-i", "--image", action="append", default=[], metavar="GLOB", help="images (default: all)")
    parser.add_argument("--tag", action="append", metavar="TAG", help="repeatable (default: latest)")
    parser.add_argument("--pinned", action="store_true", help="also what the newest cibuildwheel pins")
    parser.add_argument("--cibuildwheel", default=CIBUILDWHEEL, metavar="URL", help="its git repository")
    parser.add_argument("--no-pull", action="store_true", help="take what this machine's engine has")
    options = parser.parse_args()
    wanted = references(options.image, options.tag or ["latest"], options.cibuildwheel if options.pinned else "")
    engine, client = choose.engine(), web.Client()
    broken = []
    for reference, platform in wanted.items():
        print(f"{reference} ...", file=sys.stderr, flush=True)
        try:
            if not options.no_pull:
                engine.call(engine.pull(reference, platform))
            tried = try_image(engine, reference, client, platform)
        except errors.Failure as error:
            tried = [Attempted("the image", str(error))]
        broken += [[reference, trial.what, trial.reason] for trial in tried if trial.reason]
    if broken:
        print(f"# Published images that do not work any more\n\n{markdown_table(['image', 'what', 'reason'], broken)}")
    else:
        print(f"{len(wanted)} images work: package manager, signatures, downloads.")
    return 1 if broken else 0
