"""Pins the base images of all policies to what their tags point to now: docker/bases.toml, one commit each.

A digest is its own checksum, and registries date nothing, so there is neither a signature to check nor a cool-down:
the image's own tests judge a new base.
"""

from __future__ import annotations

import functools
import tomllib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from catalogue import bases, images, paths
from network import oci, registry, web
from portable import errors
from update import pipeline
from update.pipeline import Bump, Outcome, Subject
from update.report import Row, State

BASES = "docker/bases.toml"
_HEAD = """\
# The digests that the tags of the base images pointed to when `nox -s update_base_images` last asked the registries.
# A base without an entry is built from its tag: listed as unpinned, and refused when publishing.
"""


def references() -> list[str]:
    """The base images of all policies of docker/images.toml, each once."""
    catalogue = images.load(overlay=images.NO_OVERLAY)
    return list(dict.fromkeys(image.policy.base for image in catalogue.images(published_only=False)))


def look(reference: str, pinned: str) -> Outcome:
    """The outcome for one base image. Raises web.Unreachable where its registry does not answer."""
    image = oci.Reference.parse(reference)
    try:
        manifest = registry.Registry(image.host).manifest(image.repository, image.tag)
    except registry.NotFound as error:
        return Outcome([Row(reference, _short(pinned), State.FAILED, str(error))])
    except errors.Failure as error:
        raise web.Unreachable(str(error)) from None
    state = State.CURRENT if manifest.digest == pinned else State.UPDATE
    reason = "" if manifest.is_index else "the tag names one platform, not an index"
    newest = _short(manifest.digest)
    row = Row(reference, _short(pinned), state, reason, newest=newest, acceptable=newest, trust="digest")
    return Outcome([row], None if state is State.CURRENT else _bump(reference, pinned, manifest.digest))


def write(digests: Mapping[str, str]) -> str:
    """The text of docker/bases.toml."""
    return _HEAD + "".join(f'"{reference}" = "{digests[reference]}"\n' for reference in sorted(digests))


def _bump(reference: str, old: str, new: str) -> Bump:
    def edit(read: Callable[[str], str]) -> Mapping[str, str]:
        return {BASES: write({**bases.parse(tomllib.loads(read(BASES)), f"{BASES}:"), reference: new})}

    body = f"Image: {reference}@{new}\nBefore: {old or 'not pinned'}\n"
    return Bump(f"Bump {reference} {_short(old)} → {_short(new)}", body, edit)


def _short(digest: str) -> str:
    return digest.removeprefix("sha256:")[:12] or "unpinned"


def main(arguments: Sequence[str] | None = None, root: Path = paths.ROOT) -> int:
    """Looks up the digests of the base images in their registries."""
    options = pipeline.parse(str(main.__doc__), arguments)
    pinned = bases.load(root / BASES)
    subjects = [
        Subject(
            {reference: _short(pinned.get(reference, ""))},
            functools.partial(look, reference, pinned.get(reference, "")),
        )
        for reference in references()
    ]
    return pipeline.run("Base images", subjects, options, root)
