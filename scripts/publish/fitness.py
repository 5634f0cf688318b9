"""Which images may be published, and as what: the configuration of an image against the table."""

from __future__ import annotations

from catalogue import bases, checkout
from catalogue.model import Image
from network.answers import printable
from network.oci import Configuration, platform_name

COMPLETE_LABEL = "org.pypa.manylinux.complete"
TITLE_LABEL = "org.opencontainers.image.title"
REVISION_LABEL = "org.opencontainers.image.revision"
BASE_DIGEST_LABEL = "org.opencontainers.image.base.digest"


def platform_of(image: Image) -> str:
    """The platform that an image of the table is for, as `oci.platform_name` spells it."""
    return platform_name(*image.platform.oci.split("/"))


def differences(image: Image, found: Configuration) -> list[str]:
    """How the title and platform of an image differ from those it is published as; empty when they do not."""
    reasons = []
    if (title := found.labels.get(TITLE_LABEL)) != image.name:
        reasons.append(f"it says that it is {printable(title or 'nothing')}, not {image.name}")
    if found.platform != platform_of(image):
        reasons.append(f"it is for {printable(found.platform)}, not for {platform_of(image)}")
    return reasons


def unfit(image: Image, found: Configuration, commit: str) -> list[str]:
    """Why an image must not be published; empty when it may.

    Its base must be the one that docker/bases.toml pins: a tag that was resolved during the build is not enough to
    build the image again."""
    reasons, labels = differences(image, found), found.labels
    if labels.get(COMPLETE_LABEL) != "true":
        reasons.append("it is a partial image, or lacks updates that the mirror did not have: build all of it")
    built_from = printable(labels.get(REVISION_LABEL) or "an unknown commit")
    if built_from.endswith(checkout.DIRTY):
        reasons.append("it was built from a work tree with uncommitted changes: commit them, then build it again")
    elif built_from != commit:
        reasons.append(f"it was built from {built_from}, not from {commit}")
    pinned = bases.load().get(image.policy.base)
    base = printable(labels.get(BASE_DIGEST_LABEL) or "unknown")
    if not pinned:
        reasons.append("its base image is not pinned: run `nox -s update_base_images`, then build again")
    elif base != pinned:
        reasons.append(f"its base image is {base}, not the pinned {pinned}")
    return reasons
