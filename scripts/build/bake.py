"""Writes a docker buildx bake file for any selection of images, so that remote builders do the work.

`docker buildx bake --file FILE --builder NAME --push` then builds them side by side on all nodes of the builder, each
platform on the node that runs it natively. Where one architecture emulates the others, MANYLINUX_BUILDARCH names it.
The file contains no secrets, only the paths from which buildx reads them, and the names of the variables with proxies.
The images that it pushes are untested: pull and test each where it runs, then `invoke push` makes it a candidate.

With --reuse, builds take trees from published images by what the attached descriptions say. Nobody looks at the files
before, as build.sh does: if one is damaged, the build fails.
"""

from __future__ import annotations

import argparse
import json
import os
from pathlib import Path
from typing import Any

from build import cross, reuse, run
from build.base import base_of
from build.options import BuildOptions
from catalogue import checkout, images, tags
from catalogue.model import Image
from host import inputs
from host.mirror import debian_suite
from host.site import Site
from plan.plan import Request, decide
from portable import files, outputs
from portable.progress import say


def target(
    image: Image, tag: str, site: Site, cache: str, directory: Path | None = None, reused: str = ""
) -> dict[str, Any]:
    """One target of the bake file: the build that build.sh would ask an engine for, with `tag` as its tag.

    `cache`: a repository for the layer cache, with one tag for each image; "": none. `directory`: where to write the
    build secrets; None: the builders use no mirror and no index of this site, only its CAs. `reused`: the
    image that gives trees, or its tag in the repository of `image`; "": none."""
    plan = decide(image, Request(tag=tag))
    clang = cross.clang_for(image, image.platform.go, offline=False)
    secrets = {"ca": site.ca} if site.ca else {}
    if directory:
        plan, site = run.with_usable_mirror(plan, site)
        secrets = written(directory / image.name, site, debian_suite(image.policy.distribution))
    source = described(image, reused) if reused else None
    wanted = run.build_of(plan, BuildOptions(), site, clang, secrets, base_of(plan), source)
    found: dict[str, Any] = {
        "context": str(wanted.context),
        "dockerfile": str(wanted.dockerfile),
        "platforms": [wanted.platform],
        "args": {**wanted.args, **{name: f"${{{name}}}" for name in wanted.inherited}},
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


def written(directory: Path, site: Site, suite: str) -> dict[str, Path]:
    """Writes the build secrets of an image to a directory, for their owner alone; returns id -> file.

    `suite`: that of a Debian image, else ""."""
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    secrets = site.secrets(suite)
    for name, text in secrets.items():
        with files.replacing(directory / name, 0o600) as stream:
            stream.write(text.encode())
    return {name: directory.resolve() / name for name in secrets}


def described(image: Image, wanted: str) -> reuse.TreeSource | None:
    """What the description says that is attached to an image in a registry; None, having said so, without one."""
    # Not of the standard library alone, and nothing else here needs them
    from network import oci, referrers
    from network.answers import Answer
    from network.registry import NotFound, Registry

    reference = oci.Reference.parse(reuse.named(image, wanted))
    registry = Registry(reference.host)
    try:
        digest = registry.manifest(reference.repository, reference.digest or reference.tag or "latest").digest
        content = referrers.document(registry, reference.repository, digest, referrers.DESCRIPTION)
    except NotFound:
        content = None
    if content is None:
        say(f"{image.name}: taking nothing from {reuse.named(image, wanted)}: no description is attached to it")
        return None
    origin = f"{reference.host}/{reference.repository}@{digest}"
    told = Answer.parse(content, f"the description of {origin}")["build"].members()
    return reuse.TreeSource.of_description(origin, told["inputs"].texts() if "inputs" in told else {})


def bake_file(
    selection: tuple[Image, ...],
    tag: str,
    site: Site,
    cache: str = "",
    directory: Path | None = None,
    reused: str = "",
) -> dict[str, Any]:
    """The whole file: a target for each image, a group for each policy, and `default` with everything selected.

    Buildx reads the variables with proxies, whose values may hold passwords, from its own environment."""
    groups: dict[str, list[str]] = {"default": [image.name for image in selection]}
    for image in selection:
        name = image.policy.name + (f"-{image.variant}" if image.variant else "")
        groups.setdefault(name, []).append(image.name)
    variables = {name: {"default": ""} for name in site.proxies}
    return {
        **({"variable": variables} if variables else {}),
        "group": {name: {"targets": members} for name, members in groups.items()},
        "target": {image.name: target(image, tag, site, cache, directory, reused) for image in selection},
    }


def main() -> None:
    """Prints a docker buildx bake file for the images that the globs name."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("image", nargs="*", help="name or glob (default: every published image)")
    parser.add_argument("--tag", help="default: untested- and the tag of this commit")
    parser.add_argument(
        "--cache", default="", metavar="REPOSITORY", help="repository of a layer cache, with one tag an image"
    )
    parser.add_argument(
        "--reuse",
        default="",
        metavar="REFERENCE",
        help="take what has equal inputs from this image, or from the one with this tag, as in --reuse latest",
    )
    parser.add_argument("--ca-bundle", type=Path, metavar="FILE", help="CAs to trust inside the builds")
    parser.add_argument(
        "--secrets",
        type=Path,
        metavar="DIRECTORY",
        help="write what builds need of this site (CAs, Python index, Debian mirror) to files there, for you alone, "
        "and let the bake file name them (default: it names the CA bundle)",
    )
    parser.add_argument("--output", type=Path, metavar="FILE", help="write to it instead of standard output")
    options = parser.parse_args()
    if options.output:
        outputs.directory("--output", options.output.parent)
        options.output.parent.mkdir(parents=True, exist_ok=True)
        outputs.file("--output", options.output)
    outputs.directory("--secrets", options.secrets)
    catalogue = images.load()
    inputs.build_environment(os.environ, catalogue)
    if options.tag is not None:
        inputs.tag("--tag", options.tag)
    if options.reuse:
        reuse.check("--reuse", options.reuse)
    if options.cache:
        inputs.repository("--cache", options.cache)
    selection = catalogue.select(options.image) if options.image else catalogue.images()
    tag = options.tag or tags.UNTESTED + checkout.version_tag()
    run.make_source_directories(catalogue)
    site = Site.of_this_machine(options.ca_bundle)
    text = json.dumps(bake_file(selection, tag, site, options.cache, options.secrets, options.reuse), indent=2)
    if options.output:
        options.output.write_text(text + "\n", encoding="utf-8")
    else:
        print(text)
