"""Descriptions of images (docs/manifest.md): read from a registry, from an image that is here, or from a file.

In a registry the description is attached to the image, so it is two small requests and no image is pulled.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from catalogue import tags
from catalogue.model import Image
from engine import choose
from engine.engine import Engine
from host import inputs
from network import oci, referrers
from network.answers import Answer
from network.registry import NotFound, Registry
from portable import errors

PLACE = "/opt/_internal/manifest.json"
SCHEMAS = (1, 2)
AT_ONCE = 8  # images whose descriptions are read side by side


class NotDescribed(errors.Failure):
    """There is no description: no such image, or one from before images described themselves."""


@dataclass(frozen=True)
class Described:
    """An image's description, where it is from, and its layers as a registry stores them: digest -> bytes."""

    manifest: Answer
    layers: Mapping[str, int] = field(default_factory=dict)

    @classmethod
    def parse(cls, content: bytes | str, where: str, layers: Mapping[str, int] | None = None) -> Described:
        """Reads a manifest. Raises Failure for another document, and for a schema of the future."""
        answer = Answer.parse(content, where)
        if (schema := answer["schema"].number()) not in SCHEMAS:
            raise errors.Failure(f"{where} is of schema {schema}: update this checkout, which knows {SCHEMAS[-1]}")
        return cls(answer, layers or {})

    @property
    def name(self) -> str:
        """The image's name."""
        return self.manifest["image"]["name"].text()

    @property
    def can(self) -> Answer:
        """What image and interpreters can do; schema 1 does not say."""
        return self.manifest["capabilities"]


def described(what: str, images: Sequence[Image]) -> dict[str, Described]:
    """Image -> its description, where it has one. `what`: a file, a directory with IMAGE/manifest.json, a reference of
    an image, or a tag or digest that each of the images may have.

    Raises UserError for what is none of these, NotDescribed where nothing is found, and Failure where somebody does not
    answer."""
    path = Path(what)
    if path.is_file():
        found = [Described.parse(path.read_bytes(), what)]
    elif path.is_dir():
        found = [Described.parse(each.read_bytes(), str(each)) for each in sorted(path.glob("*/manifest.json"))]
        wanted = {image.name for image in images}
        found = [each for each in found if each.name in wanted]
    elif "/" in what:
        found = _of([inputs.reference("OLD and NEW", what)])
    elif oci.DIGEST.fullmatch(what):
        if len(images) != 1:
            raise errors.UserError(f"{what} belongs to one image: name it with -i, as in -i manylinux_2_28_x86_64")
        found = _of([f"{images[0].repository}@{what}"])
    elif tags.SYNTAX.fullmatch(what):
        found = _of([f"{image.repository}:{what}" for image in images])
    else:
        raise errors.UserError(f"{what!r} is not a tag, a digest, an image, a file or a directory")
    if not found:
        raise NotDescribed(f"no description of {what}: no such image, or one from before images described themselves")
    return {each.name: each for each in found}


def _of(references: Sequence[str]) -> list[Described]:
    """The descriptions that are attached to images in the registry; if there are none, those inside images that are
    here. Raises Failure where neither can be had because the registry did not answer."""
    with ThreadPoolExecutor(AT_ONCE) as pool:
        answers = list(pool.map(_attached, references))
    refused = [answer for answer in answers if isinstance(answer, errors.Failure)]
    found = [answer for answer in answers if isinstance(answer, Described)]
    if not found and (engine := _engine()):
        here = references if len(references) == 1 else set(references).intersection(_tagged(engine))
        found = [each for reference in here if (each := _inside(engine, reference))]
        refused = [] if found else refused
    if refused:
        raise refused[0]
    return found


def _attached(text: str) -> Described | errors.Failure | None:
    """The description that is attached to an image; None where there is none; the Failure of one that cannot be had."""
    reference = oci.Reference.parse(text)
    registry = Registry(reference.host)
    try:
        found = registry.manifest(reference.repository, reference.digest or reference.tag or "latest")
        if found.is_index:
            raise errors.UserError(f"{text} is an index of several platforms: name one image, as in {text}_x86_64")
        content = referrers.document(registry, reference.repository, found.digest, referrers.DESCRIPTION)
    except NotFound:
        return None
    except errors.Failure as error:
        return error
    if content is None:
        return None
    return Described.parse(content, f"the description of {text}", {each.digest: each.size for each in found.layers})


def _engine() -> Engine | None:
    try:
        return choose.engine()
    except (errors.Failure, errors.UserError):
        return None


def _tagged(engine: Engine) -> list[str]:
    """The references of all images that are here: one question instead of one an image."""
    return (engine.ask(engine.command("images", "--format", "{{.Repository}}:{{.Tag}}")) or "").split()


def _inside(engine: Engine, reference: str) -> Described | None:
    """The description inside an image that is here; it is copied out, so that images of any platform can be read."""
    if engine.ask(engine.inspect(reference, "{{.Id}}")) is None:
        return None
    content = engine.read_files(reference, [PLACE]).get(PLACE)
    return Described.parse(content, f"{reference}: {PLACE}") if content is not None else None
