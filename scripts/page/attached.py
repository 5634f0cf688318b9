"""What the registry knows of the images: the newest dated tag, its digest, the documents attached to it, and notes."""

from __future__ import annotations

import sys
from collections.abc import Collection, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from typing import Any

from catalogue import dependencies
from catalogue.model import Catalogue, Image
from catalogue.tags import DatedTag, dated
from explain import notes_text
from explain.descriptions import described
from explain.notes import compared
from network import referrers
from network.answers import Answer
from network.oci import Reference
from network.registry import NotFound, Registry
from page.notes import note_facts
from page.published import JUnitResults, Published, content
from portable import errors

AT_ONCE = 8  # images that are asked for side by side
NOTES = 5  # of the newest tags


def read_attached(catalogue: Catalogue) -> dict[str, Published]:
    """Published image -> what the registry knows of it, and "" -> the notes; without images that have no dated tag.

    Raises Failure where the registry does not answer, or where a document is damaged."""
    images = catalogue.images(variants=True)
    with ThreadPoolExecutor(AT_ONCE) as pool:
        tags = list(pool.map(_tags, images))
        tagged = [(image, max(each)) for image, each in zip(images, tags, strict=True) if each]
        found = list(pool.map(lambda row: _of(*row), tagged))
    known = {image.name: published for (image, _), published in zip(tagged, found, strict=True)}
    if any(published.content for published in found):
        known[""] = Published(notes=tuple(_notes(catalogue, {tag for each in tags for tag in each})))
    return known


def _tags(image: Image) -> list[DatedTag]:
    place = Reference.parse(image.repository)
    try:
        return [tag for name in Registry(place.host).tags(place.repository) if (tag := dated(name))]
    except NotFound:
        return []


def _of(image: Image, tag: DatedTag) -> Published:
    where, place = f"{image.repository}:{tag}", Reference.parse(image.repository)
    registry, repository = Registry(place.host), place.repository
    digest = registry.manifest(repository, str(tag)).digest
    said = referrers.document(registry, repository, digest, referrers.DESCRIPTION)
    sbom = referrers.document(registry, repository, digest, referrers.SBOM)
    try:
        holds = content(Answer.parse(said, where).value, f"the description of {where}") if said else None
    except errors.UserError as error:  # the registry's fault, not the user's
        raise errors.Failure(str(error)) from None
    return Published(
        str(tag),
        digest,
        holds,
        sbom=sbom.decode(errors="replace") if sbom else "",
        canaries=_canaries(referrers.document(registry, repository, digest, referrers.CANARIES), where),
    )


def _canaries(content: bytes | None, where: str) -> JUnitResults | None:
    """How many canaries were built in an image, and which of them failed (docs/canaries.md)."""
    if content is None:
        return None
    rows = Answer.parse(content, f"the canaries of {where}")["canaries"].rows()
    return JUnitResults(len(rows), tuple(row["name"].text() for row in rows if row["fate"].text() == "failed"))


def _notes(catalogue: Catalogue, tags: Collection[DatedTag]) -> Iterator[dict[str, Any]]:
    """The notes between the newest tags, as far back as the images describe themselves."""
    images, rows = catalogue.images(variants=True), dependencies.load()
    newest = sorted(tags, reverse=True)[: NOTES + 1]
    after = described(str(newest[0]), images)
    for new, old in pairwise(newest):
        try:
            before = described(str(old), images)
        except errors.Failure as error:
            print(f"no notes before {new}: {error}", file=sys.stderr)
            return
        notes = compared(before, after, rows, (str(old), str(new)))
        yield note_facts(notes_text.as_json(notes, catalogue), f"the notes of {new}")
        after = before
