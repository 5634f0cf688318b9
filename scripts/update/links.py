"""Asks for everything that builds and published images download: is it still there?

That is every URL of the Dockerfile's pins with its mirrors, and what manylinux-interpreters and manylinux-install-clang
fetch at run time. A link that died is a failure even while a mirror has the file: images already published cannot learn
of another one.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator, Sequence
from pathlib import Path

from catalogue import paths
from network import web
from portable import downloads, fetch
from update import pipeline
from update.choice import RunContext
from update.native import read_pins
from update.pipeline import Outcome, Subject
from update.report import Row, State


def links(root: Path) -> Iterator[tuple[str, str, str]]:
    """Name, version and URL of everything that is downloaded; a URL may come more than once."""
    mirrors = fetch.read_mirrors(root / "docker" / "mirrors.txt")
    pinned, _ = read_pins(root)
    for pin in pinned.values():
        if not pin.sha256:
            continue  # a container image: update_base_images and its builds ask the registry
        arches = [""] if isinstance(pin.sha256, str) else list(pin.sha256)
        for url in (pin.url.replace("{goarch}", arch) for arch in arches):
            yield pin.name, pin.version, url
            for prefix, others in mirrors.items():
                if url.startswith(prefix):
                    yield from ((pin.name, pin.version, other + url.removeprefix(prefix)) for other in others)
    yield from downloads.load(root / "docker" / "downloads.toml").urls()


def look(context: RunContext, name: str, version: str, url: str) -> Outcome:
    """The outcome for one link. Raises web.Unreachable where the host does not answer."""
    try:
        context.client.head(url)
    except (web.Missing, web.Refused) as error:
        return Outcome([Row(url, version, State.FAILED, f"{name}: {error}")])
    return Outcome([Row(url, version, State.CURRENT)])


def main(arguments: Sequence[str] | None = None, root: Path = paths.ROOT) -> int:
    """Asks for every link; changes nothing, with or without --dry-run. --only takes URLs."""
    options = pipeline.parse(str(main.__doc__), arguments)
    found = {url: (name, version) for name, version, url in links(root)}
    with RunContext.open([]) as context:
        subjects = [
            Subject({url: version}, functools.partial(look, context, name, version, url))
            for url, (name, version) in found.items()
        ]
        return pipeline.run("Links", subjects, options, root, writes=False)
