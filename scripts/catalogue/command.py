"""Answers questions about docker/images.toml: `list`, `matrix` and `groups`."""

from __future__ import annotations

import argparse
import datetime
import json
import sys
from typing import Any

from catalogue import canaries, dependencies, deprecations, images
from catalogue.model import Catalogue, Image


def list_images() -> None:
    """Prints the images of the table, one a line: by default the published ones without variants.

    Says on standard error which policies end within a year."""
    parser = argparse.ArgumentParser(description=list_images.__doc__)
    parser.add_argument("--all", action="store_true", help="unpublished images and variants too")
    parser.add_argument("--json", action="store_true", help="all facts about each image, as JSON")
    parser.add_argument("--ends", action="store_true", help="what leaves the images and when, instead of the images")
    options = parser.parse_args()
    catalogue = images.load()
    if options.ends:
        endings = deprecations.load(catalogue, dependencies.load())
        rows = [vars(ending) for ending in endings]
        print(json.dumps(rows, indent=2, default=str) if options.json else "\n".join(e.sentence() for e in endings))
        return
    found = catalogue.images(published_only=not options.all, variants=options.all)
    if options.json:
        print(json.dumps([_summary(catalogue, image) for image in found], indent=2))
    else:
        print("\n".join(image.name for image in found))
        soon = today() + datetime.timedelta(days=365)
        policies = {image.policy.name for image in found}
        for ending in deprecations.load(catalogue, dependencies.load()):
            if ending.name in policies and ending.ends < soon:
                print(ending.sentence(), file=sys.stderr)


def today() -> datetime.date:
    """The day by this machine's clock."""
    return datetime.date.today()


def matrix() -> None:
    """Prints the rows of the builds for GitHub Actions, as JSON."""
    parser = argparse.ArgumentParser(description=matrix.__doc__)
    parser.add_argument("--canaries", action="store_true", help="only images that are published after their canaries")
    options, catalogue = parser.parse_args(), images.load()
    guarded = canaries.load().guards if options.canaries else bool
    print(json.dumps({"include": [row for row in rows(catalogue) if guarded(catalogue.image(row["image"]))]}))


def groups() -> None:
    """Prints the names of the groups that are published together, as JSON."""
    argparse.ArgumentParser(description=groups.__doc__).parse_args()
    print(json.dumps([group.name for group in images.load().groups()]))


def rows(catalogue: Catalogue) -> list[dict[str, Any]]:
    """A row for GitHub Actions for each published image: what to build, where, and whether QEMU is needed."""
    return [
        {
            "image": image.name,
            "policy": image.policy.name,
            "platform": image.platform.name,
            "variant": image.variant,
            "runner": image.platform.runner,
            "qemu": image.platform.emulated,
            "goarch": image.platform.go,
        }
        for image in catalogue.images(variants=True)
    ]


def _summary(catalogue: Catalogue, image: Image) -> dict[str, Any]:
    return {
        "image": image.name,
        "repository": image.repository,
        "published": image.published,
        "policy": image.policy.name,
        "platform": image.platform.name,
        "variant": image.variant,
        "status": image.policy.status,
        "base": image.policy.base,
        "compiler": image.policy.compiler,
        "eol": image.policy.eol.isoformat(),
        "ends": deprecations.end_of(image.policy).isoformat(),
        "interpreters": [i.tag for i in image.interpreters],
        "on_demand": [i.tag for i in image.on_demand],
        "tools": [t.name for t in image.tools],
        "components": list(image.policy.build),
        "shared": [i.minor for i in image.shared],
    }
