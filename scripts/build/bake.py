"""Writes a docker buildx bake file for any selection of images, so that remote builders do the work.

`docker buildx bake --file FILE --builder NAME --push` then builds them side by side on all nodes of the builder, each
platform on the node that runs it natively. Where one architecture emulates the others, MANYLINUX_BUILDARCH names it.
The file contains no secrets, only the paths from which they are read. The images that it pushes are untested: test each
where it runs, then `invoke push` makes it a candidate.
"""

from __future__ import annotations

import argparse
import json
import os
from pathlib import Path
from typing import Any

from build import cross, run
from build.base import base_of
from build.options import BuildOptions
from catalogue import checkout, images, tags
from catalogue.model import Image
from host import inputs
from host.site import Site
from plan.plan import Request, decide
from portable import outputs


def target(image: Image, tag: str, site: Site, cache: str) -> dict[str, Any]:
    """One target of the bake file: the build that build.sh would ask an engine for, with `tag` as its tag.

    `cache`: a repository for the layer cache, with one tag for each image; "": none."""
    plan = decide(image, Request(tag=tag))
    clang = cross.clang_for(image, image.platform.go, offline=False)
    secrets = {"ca": site.ca} if site.ca else {}
    wanted = run.build_of(plan, BuildOptions(), site, clang, secrets, base_of(plan))
    found: dict[str, Any] = {
        "context": str(wanted.context),
        "dockerfile": str(wanted.dockerfile),
        "platforms": [wanted.platform],
        "args": dict(wanted.args),
        "labels": dict(wanted.labels),
        "tags": [plan.reference],
        "attest": ["type=provenance,disabled=true", "type=sbom,disabled=true"],
        "secret": [f"type=file,id={name},src={path}" for name, path in wanted.secrets.items()],
    }
    if wanted.target:
        found["target"] = wanted.target
    if cache:
        found["cache-from"] = [f"type=registry,ref={cache}:{image.name}"]
        found["cache-to"] = [f"type=registry,ref={cache}:{image.name},mode=max,ignore-error=true"]
    return found


def bake_file(selection: tuple[Image, ...], tag: str, site: Site, cache: str = "") -> dict[str, Any]:
    """The whole file: a target for each image, a group for each policy, and `default` with everything selected."""
    groups: dict[str, list[str]] = {"default": [image.name for image in selection]}
    for image in selection:
        name = image.policy.name + (f"-{image.variant}" if image.variant else "")
        groups.setdefault(name, []).append(image.name)
    return {
        "group": {name: {"targets": members} for name, members in groups.items()},
        "target": {image.name: target(image, tag, site, cache) for image in selection},
    }


def main() -> None:
    """Prints a docker buildx bake file for the images that the globs name."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("image", nargs="*", help="name or glob (default: every published image)")
    parser.add_argument("--tag", help="default: untested- and the tag of this commit")
    parser.add_argument(
        "--cache", default="", metavar="REPOSITORY", help="repository of a layer cache, with one tag an image"
    )
    parser.add_argument("--ca-bundle", type=Path, metavar="FILE", help="CAs to trust inside the builds")
    parser.add_argument("--output", type=Path, metavar="FILE", help="write to it instead of standard output")
    options = parser.parse_args()
    if options.output:
        outputs.directory("--output", options.output.parent)
        options.output.parent.mkdir(parents=True, exist_ok=True)
        outputs.file("--output", options.output)
    catalogue = images.load()
    inputs.build_environment(os.environ, catalogue)
    if options.tag is not None:
        inputs.tag("--tag", options.tag)
    if options.cache:
        inputs.repository("--cache", options.cache)
    selection = catalogue.select(options.image) if options.image else catalogue.images()
    tag = options.tag or tags.UNTESTED + checkout.version_tag()
    run.make_source_directories(catalogue)
    text = json.dumps(bake_file(selection, tag, Site.of_this_machine(options.ca_bundle), options.cache), indent=2)
    if options.output:
        options.output.write_text(text + "\n", encoding="utf-8")
    else:
        print(text)
