"""Reads the catalogue of images: docker/images.toml and a fork's overlay, under their laws.

`load` returns a Catalogue (model.py); plan/plan.py decides the build of an image.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Annotated, Any

from catalogue import pins as native_pins
from catalogue.interpreters import InterpreterTag, PolicyName, Variant, matches
from catalogue.model import Catalogue, Image, Platform, Policy
from catalogue.paths import DOCKER, ROOT
from catalogue.pins import Pin
from portable import downloads, errors
from portable.toml import Name, Registry, Url, below, filled, near_matches, read, read_toml

IMAGES_TOML = DOCKER / "images.toml"
LOCAL_OVERLAY = DOCKER / "images.local.toml"
NO_OVERLAY = Path(os.devnull)  # for what every fork shares with us: locks, rendered text, tests
PACKAGES = DOCKER / "packages"
TOOLS = ROOT / "requirements" / "tools"


@dataclass(frozen=True)
class Overlay:
    """What a fork may change; a missing key leaves the table's value. `images`: globs of the images that it wants.

    `interpreters`: what its images have; the prebuilt interpreters of the table stay on demand."""

    registry: Registry | None = None
    source: Url | None = None
    default_policy: PolicyName | None = None
    images: Annotated[tuple[str, ...], filled] = ("*",)
    interpreters: Annotated[tuple[InterpreterTag, ...], filled] | None = None
    variants: Mapping[Name, Mapping[str, Any]] = field(default_factory=dict)


def load(path: Path = IMAGES_TOML, overlay: Path | None = None) -> Catalogue:
    """The catalogue of `path`, narrowed by an overlay.

    The overlay of a fork is `overlay`, else $MANYLINUX_IMAGES_OVERLAY, else docker/images.local.toml if there is one.
    Raises UserError, naming file and key, where a table breaks a law."""
    if overlay is None:
        named = os.environ.get("MANYLINUX_IMAGES_OVERLAY", "")
        overlay = Path(named) if named else LOCAL_OVERLAY if LOCAL_OVERLAY.exists() else NO_OVERLAY
    raw, changes = read_toml(path), read_toml(overlay)
    table = parse(raw, f"{path.name}:")
    return narrow(table, raw, changes, f"{overlay.name}:") if changes else table


def parse(raw: Mapping[str, Any], where: str) -> Catalogue:
    """The catalogue of a parsed table; `where` begins every complaint."""
    return _checked(read(Catalogue, raw, where), where)


def narrow(table: Catalogue, raw: Mapping[str, Any], changes: Mapping[str, Any], overlaid: str) -> Catalogue:
    """The catalogue with the changes of a parsed overlay; `raw` is the parsed table, `overlaid` begins every complaint.

    The table alone obeys the laws: whatever is wrong now comes from the overlay."""
    overlay = read(Overlay, changes, overlaid)
    for tag in overlay.interpreters or ():
        if tag not in table.interpreters:
            raise errors.UserError(
                f"{overlaid} interpreters: unknown tag {tag!r}{near_matches(tag, table.interpreters)}"
            )
    wanted = table.interpreters if overlay.interpreters is None else overlay.interpreters
    variants = {name: {**raw["variants"].get(name, {}), **row} for name, row in overlay.variants.items()}
    narrowed = _checked(
        replace(
            table,
            registry=overlay.registry or table.registry,
            source=overlay.source or table.source,
            default_policy=overlay.default_policy or table.default_policy,
            interpreters={
                tag: row if tag in wanted else replace(row, preinstalled=False)
                for tag, row in table.interpreters.items()
                if tag in wanted or row.implementation != "cpython"  # images install prebuilt ones on demand
            },
            variants={**table.variants, **read(Variants, {"variants": variants}, overlaid).variants},
        ),
        overlaid,
    )
    for pattern in overlay.images:
        if not any(fnmatchcase(image.name, pattern) for image in narrowed.all_images):
            raise errors.UserError(f"{overlaid} images: {pattern!r} matches no image")
    return replace(narrowed, all_images=tuple(i for i in narrowed.all_images if matches(i.name, overlay.images)))


@dataclass(frozen=True)
class Variants:
    """The part of a table that an overlay changes key by key."""

    variants: Mapping[str, Variant]


def _checked(table: Catalogue, where: str) -> Catalogue:
    """The table with its images. Raises UserError for the first law between keys that is broken."""
    for place, problem in _breaches(table):
        raise errors.UserError(f"{where} {place}: {problem}")
    whole = replace(table, all_images=tuple(_images(table)))
    for place, problem in _breaches_of_images(whole):
        raise errors.UserError(f"{where} {place}: {problem}")
    return whole


def _breaches(table: Catalogue) -> Iterator[tuple[str, str]]:
    """Key and complaint for each name that does not exist, and each other breach of the laws between keys."""
    for key, policy in (("default_policy", table.default_policy), ("bootstrap_policy", table.bootstrap_policy)):
        if policy not in table.policies:
            yield key, f"unknown policy {policy!r}{near_matches(policy, table.policies)}"
    for attribute in ("oci", "debian", "go"):
        said = [getattr(platform, attribute) for platform in table.platforms.values()]
        for word in {word for word in said if said.count(word) > 1}:
            yield "platforms", f"two of them have {attribute} = {word!r}"
    stages, components, pinned = native_pins.stages(), native_pins.components(), native_pins.read()
    for name, found in table.policies.items():
        place = below("policies", name)
        yield from ((place, problem) for problem in _breaches_of_policy(table, found, pinned, components))
    for name, retired in table.retired.items():
        if name in table.policies:
            yield below("retired", name), "it is in policies as well: remove it from one of the two tables"
        yield from ((below("retired", name), problem) for problem in _unknown(retired.platforms, table.platforms))
    for tag, interpreter in table.interpreters.items():
        if interpreter.implementation == "cpython" and interpreter.preinstalled and interpreter.pin not in pinned:
            yield (
                below("interpreters", tag),
                f"docker/Dockerfile has no pin {interpreter.pin}{near_matches(interpreter.pin, pinned)}",
            )
    for name in table.tools:
        if not (TOOLS / f"{name}.in").is_file():
            yield below("tools", name), f"there is no requirements/tools/{name}.in"
    for name, variant in table.variants.items():
        place = below("variants", name)
        if name not in stages:
            yield place, f"docker/Dockerfile has no stage {name}"
        for minor in variant.minors:
            if f"cpython-{minor}" not in pinned:
                yield f"{place}.minors", f"docker/Dockerfile has no pin cpython-{minor}"
        for minor in variant.not_optimised_where:
            if minor not in variant.minors:
                yield f"{place}.not_optimised_where", f"{minor} is not among the minors {', '.join(variant.minors)}"
        for name, platforms in variant.images.items():
            if name not in table.policies:
                yield f"{place}.images", f"unknown policy {name!r}{near_matches(name, table.policies)}"
            elif missing := set(platforms) - set(table.policies[name].platforms):
                yield f"{place}.images", f"{name} has no {', '.join(sorted(missing))}"


def _unknown(platforms: Iterable[str], known: Mapping[str, Platform]) -> Iterator[str]:
    for platform in platforms:
        if platform not in known:
            yield f"unknown platform {platform!r}{near_matches(platform, known)}"


def _breaches_of_policy(
    table: Catalogue, policy: Policy, pinned: Mapping[str, Pin], components: Iterable[str]
) -> Iterator[str]:
    yield from _unknown(policy.platforms, table.platforms)
    if policy.toolset and policy.toolset not in table.toolsets:
        yield f"unknown toolset {policy.toolset!r}{near_matches(policy.toolset, table.toolsets)}"
    spelling = f"{'manylinux' if policy.libc == 'glibc' else 'musllinux'}_{policy.libc_version.replace('.', '_')}"
    if policy.tags[-1] != spelling or policy.name not in policy.tags:
        yield f"tags {list(policy.tags)} must hold {policy.name} and end with {spelling} (PEP 600, 656)"
    for component in policy.build:
        if component not in components:
            yield f"build: docker/Dockerfile has no stage component-{component}{near_matches(component, components)}"
    if (policy.symbols is not None) != (policy.libc == "glibc"):
        yield "symbols belong to every glibc policy and to no musl one"
    if policy.symbols:
        yield from _unknown((p for p in policy.symbols.gcc if p != "*"), table.platforms)
    for name, exceptions in policy.platforms.items():
        if name not in table.platforms:
            continue
        for component in policy.build:
            digests = pinned[component].sha256 if component in pinned else ""
            if not isinstance(digests, str) and table.platforms[name].go not in digests:
                yield f"docker/Dockerfile has no {component} for {name}: ARG {native_pins.env_prefix(component)}_SHA256"
        if policy.libc not in table.platforms[name].triples:
            yield f"platforms.{name}.triple has no {policy.libc}"
        if policy.symbols and not policy.symbols.gcc_on(name):
            yield f"symbols.gcc has neither {name} nor '*'"
        if exceptions.published and policy.status == "unpublished":
            yield f"{policy.name} is unpublished, so published must be false on {name}"
        package_sets = policy.on(name).package_sets
        for package_set in package_sets:
            if not (PACKAGES / package_set).is_dir():
                yield f"package_sets: there is no docker/packages/{package_set}"
        if {policy.toolset} - {""} != set(package_sets) & set(table.toolsets):
            yield f"toolset is {policy.toolset!r}, but the toolsets in package_sets differ: {package_sets}"


def _breaches_of_images(table: Catalogue) -> Iterator[tuple[str, str]]:
    """Key and complaint for each glob that matches nothing, and each prebuilt interpreter without a download."""
    places = {image.place for image in table.all_images}
    globs: list[tuple[str, tuple[str, ...]]] = []
    for i in table.interpreters.values():
        globs.append((below("interpreters", i.tag), i.where + i.not_where))
    for tool in table.tools.values():
        globs.append((f"tools.{tool.name}", tool.not_where + tool.distribution_where + tool.sdist_where))
    for variant in table.variants.values():
        globs.append((f"variants.{variant.name}.no_pyinstaller_where", variant.no_pyinstaller_where))
        for minor, patterns in variant.not_optimised_where.items():
            globs.append((f"variants.{variant.name}.not_optimised_where.{minor}", patterns))
    for key, patterns in globs:
        for pattern in patterns:
            if not any(fnmatchcase(place, pattern) for place in places):
                yield key, f"{pattern!r} matches no <libc>-<platform>"
    prebuilt = downloads.load().interpreters
    for image in table.all_images:
        for i in (*image.interpreters, *image.on_demand):
            if i.implementation != "cpython" and (
                i.tag not in prebuilt or image.platform.name not in prebuilt[i.tag].files
            ):
                yield below("interpreters", i.tag), f"docker/downloads.toml has none for {image.name}"


def _images(table: Catalogue) -> Iterator[Image]:
    for policy in table.policies.values():
        for platform in policy.platforms:
            variants = [v for v in table.variants.values() if platform in v.images.get(policy.name, ())]
            for variant in (None, *variants):
                yield _image(table, policy.on(platform), table.platforms[platform], variant)


def _image(table: Catalogue, policy: Policy, platform: Platform, variant: Variant | None) -> Image:
    place = f"{policy.libc}-{platform.name}"
    here = [i for i in table.interpreters.values() if matches(place, i.where) and not matches(place, i.not_where)]
    return Image(
        policy=policy,
        platform=platform,
        toolset=table.toolsets[policy.toolset] if policy.toolset else None,
        variant=variant.name if variant else "",
        published=policy.platforms[platform.name].published,
        registry=table.registry,
        source=table.source,
        interpreters=tuple(i for i in here if i.preinstalled),
        on_demand=tuple(i for i in here if not i.preinstalled),
        tools=tuple(tool for tool in table.tools.values() if not matches(place, tool.not_where)),
        shared=variant.interpreters(place) if variant else (),
        has_pyinstaller=variant is not None and not matches(place, variant.no_pyinstaller_where),
    )
