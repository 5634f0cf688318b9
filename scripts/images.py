#!/usr/bin/env python3
"""The catalogue of images: docker/images.toml as typed, frozen objects, and its laws.

`load` reads and checks the table and a fork's overlay; `Catalogue.find` looks an image up; plan.py decides its build.
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import re
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import errors
import pins as native_pins
from tables import Fields, near_matches, read_toml

ROOT = Path(__file__).resolve().parent.parent
IMAGES_TOML = ROOT / "docker" / "images.toml"
LOCAL_OVERLAY = ROOT / "docker" / "images.local.toml"
NO_OVERLAY = Path(os.devnull)  # for what a fork has in common with us whatever it chooses: locks, rendered text, tests

FAMILIES = ("rhel", "debian", "alpine")
LIBCS = ("glibc", "musl")
POLICY_STATUSES = ("stable", "alpha", "unpublished")
INTERPRETER_STATUSES = ("stable", "prerelease", "eol")


@dataclass(frozen=True)
class Platform:
    """One `uname -m` and what others call it; the mappings are keyed by libc."""

    name: str
    oci: str
    debian: str
    go: str
    runner: str
    emulated: bool
    triples: Mapping[str, str]
    marches: Mapping[str, str]
    cpython_builds: Mapping[str, str]
    cpython_prefers_gcc: bool

    @property
    def narrow(self) -> bool:
        """Whether its pointers have 32 bits."""
        return self.go in ("386", "arm")


@dataclass(frozen=True)
class Toolset:
    """A compiler installed beside the distribution's own, below `root`."""

    name: str
    root: str
    library_path: tuple[str, ...]
    library_path_32: tuple[str, ...]
    appended: tuple[str, ...]

    def ld_library_path(self, platform: Platform) -> str:
        """LD_LIBRARY_PATH of an image with this toolset."""
        narrow = platform.name == "i686" and self.library_path_32
        below = self.library_path_32 if narrow else self.library_path
        return ":".join([*(f"{self.root}/{path}" for path in below), *(() if narrow else self.appended)])


@dataclass(frozen=True)
class Policy:
    """A platform tag family of PEP 600 or PEP 656 and the distribution that its images are made of."""

    name: str
    tags: tuple[str, ...]
    family: str
    distribution: str
    title: str
    base: str
    libc: str
    libc_version: str
    toolset: Toolset | None
    gcc_major: int
    local_first: bool
    status: str
    eol: datetime.date
    eol_note: str
    build: tuple[str, ...]
    package_sets: tuple[str, ...]
    sqlite_exposed: bool
    symbols: Mapping[str, Any]
    platforms: tuple[str, ...]

    @property
    def compiler(self) -> str:
        """For people: "GCC 14 (gcc-toolset-14)"."""
        return f"GCC {self.gcc_major}" + (f" ({self.toolset.name})" if self.toolset else "")


@dataclass(frozen=True)
class RetiredPolicy:
    """A policy that is never built again; its last tag stays published."""

    name: str
    ended: datetime.date
    last_tag: str
    title: str
    libc: str
    libc_version: str
    gcc: str
    platforms: tuple[str, ...]


@dataclass(frozen=True)
class Interpreter:
    """One directory of /opt/python, named by its tag."""

    tag: str
    status: str
    preinstalled: bool
    where: tuple[str, ...]
    not_where: tuple[str, ...]

    @property
    def implementation(self) -> str:
        """ "cpython", "pypy" or "graalpy"."""
        return {"cp": "cpython", "pp": "pypy", "graalpy": "graalpy"}[_split_tag(self.tag)[0]]

    @property
    def minor(self) -> str:
        """The language version: "3.13"."""
        digits = _split_tag(self.tag)[1]
        return f"{digits[0]}.{digits[1:]}"

    @property
    def threaded(self) -> bool:
        """Whether this is a free-threaded build (PEP 703)."""
        return self.implementation == "cpython" and self.tag.endswith("t")

    @property
    def pin(self) -> str:
        """The name of its pin; a free-threaded build shares that of its minor, prebuilt ones go by their tag."""
        return f"cpython-{self.minor}" if self.implementation == "cpython" else self.tag

    @property
    def stage(self) -> str:
        """The ARG that names its build stage."""
        return native_pins.env_prefix(self.tag) + "_STAGE"

    @property
    def launchers(self) -> tuple[str, ...]:
        """The commands in /usr/local/bin."""
        suffix = self.minor + ("t" if self.threaded else "")
        names = (f"{self.implementation}{suffix}",)
        return (*names, f"python{suffix}") if self.implementation == "cpython" else names

    def prefix(self, version: str) -> str:
        """Where this interpreter lives when it has this version."""
        if self.implementation == "cpython":
            return f"/opt/_internal/cpython-{version}" + ("-nogil" if self.threaded else "")
        return f"/opt/_internal/{self.tag}"


@dataclass(frozen=True)
class Tool:
    """A command of the images, installed by pipx unless the distribution's own package serves."""

    name: str
    not_where: tuple[str, ...]
    distribution_where: tuple[str, ...]
    sdist_where: tuple[str, ...]
    hold_below: str
    hold_reason: str


@dataclass(frozen=True)
class Variant:
    """Images with something more: an extra target of the same Dockerfile."""

    name: str
    purpose: str
    minors: tuple[str, ...]
    not_optimised_where: Mapping[str, tuple[str, ...]]
    no_pyinstaller_where: tuple[str, ...]
    images: Mapping[str, tuple[str, ...]]

    def interpreters(self, place: str) -> tuple[SharedInterpreter, ...]:
        """Its CPythons on `<libc>-<platform>`."""
        return tuple(
            SharedInterpreter(minor, not matches(place, self.not_optimised_where.get(minor, ())))
            for minor in self.minors
        )


@dataclass(frozen=True)
class SharedInterpreter:
    """A CPython with a shared libpython, beside those of /opt/python. `optimised`: a profile guided the compiler."""

    minor: str
    optimised: bool

    @property
    def name(self) -> str:
        """What its stage, its directory and its row of the manifest are called."""
        return f"shared-cpython-{self.minor}"

    @property
    def pin(self) -> str:
        """The name of its pin, which it shares with the interpreters of its minor."""
        return f"cpython-{self.minor}"

    @property
    def prefix(self) -> str:
        """Where it lives, whatever its version."""
        return f"/opt/{self.name}"

    @property
    def launcher(self) -> str:
        """The command in /usr/local/bin."""
        return f"py{self.minor}"


@dataclass(frozen=True)
class KeptTag:
    """A published tag that never expires, and why."""

    tag: str
    reason: str


@dataclass(frozen=True)
class Retention:
    """When published images may go; see README, "How long images are kept"."""

    years: int
    cibuildwheel_from: str
    keep: tuple[KeptTag, ...]


@dataclass(frozen=True)
class Image:
    """A policy on a platform, with or without a variant. The `policy` already carries this platform's exceptions."""

    policy: Policy
    platform: Platform
    variant: str
    published: bool
    registry: str
    source: str
    interpreters: tuple[Interpreter, ...]
    on_demand: tuple[Interpreter, ...]
    tools: tuple[Tool, ...]
    shared: tuple[SharedInterpreter, ...]
    has_pyinstaller: bool

    @property
    def name(self) -> str:
        """`<policy>_<platform>[-<variant>]`."""
        return f"{self.policy.name}_{self.platform.name}" + (f"-{self.variant}" if self.variant else "")

    @property
    def repository(self) -> str:
        """The image's name in its registry, without a tag."""
        return f"{self.registry}/{self.name}"

    @property
    def place(self) -> str:
        """`<libc>-<platform>`, what the globs of the table are matched against."""
        return f"{self.policy.libc}-{self.platform.name}"


@dataclass(frozen=True)
class Group:
    """What is published together: all published platforms of a policy (or of its variant), and the index over them."""

    name: str
    members: tuple[Image, ...]


@dataclass(frozen=True)
class Catalogue:
    """Everything docker/images.toml says, under its laws."""

    registry: str
    source: str
    default_policy: str
    bootstrap_policy: str
    platforms: Mapping[str, Platform]
    policies: Mapping[str, Policy]
    retired: Mapping[str, RetiredPolicy]
    interpreters: Mapping[str, Interpreter]
    tools: Mapping[str, Tool]
    variants: Mapping[str, Variant]
    retention: Retention
    all_images: tuple[Image, ...] = field(default=())

    def images(self, published_only: bool = True, variants: bool = False) -> tuple[Image, ...]:
        """The images in the table's order: the published ones without variants unless told otherwise."""
        return tuple(
            image
            for image in self.all_images
            if (image.published or not published_only) and (not image.variant or variants)
        )

    def image(self, name: str) -> Image:
        """The image of that name. Raises UserError with the nearest names."""
        for image in self.all_images:
            if image.name == name:
                return image
        for retired in self.retired.values():
            if name.startswith(f"{retired.name}_"):
                raise errors.UserError(self._retired_message(retired))
        raise errors.UserError(
            f"unknown image {name!r}" + near_matches(name, [image.name for image in self.all_images])
        )

    def select(self, patterns: Iterable[str]) -> tuple[Image, ...]:
        """The images that the globs name, in the table's order, unpublished ones and variants too.

        Raises UserError for a glob that names none."""
        wanted = tuple(patterns)
        names = [image.name for image in self.all_images]
        for pattern in wanted:
            if not any(fnmatchcase(name, pattern) for name in names):
                raise errors.UserError(f"no image is called {pattern}{near_matches(pattern, names)}")
        return tuple(image for image in self.all_images if matches(image.name, wanted))

    def groups(self) -> tuple[Group, ...]:
        """Everything that is published, by `<policy>` or `<policy>-<variant>`."""
        members: dict[str, list[Image]] = {}
        for image in self.images(variants=True):
            name = image.policy.name + (f"-{image.variant}" if image.variant else "")
            members.setdefault(name, []).append(image)
        return tuple(Group(name, tuple(found)) for name, found in members.items())

    def group(self, name: str) -> Group:
        """The group of that name. Raises UserError with the nearest names."""
        for group in self.groups():
            if group.name == name:
                return group
        known = [group.name for group in self.groups()]
        raise errors.UserError(f"nothing is published as {name!r}" + near_matches(name, known))

    def find(self, policy: str, platform: str, variant: str = "") -> Image:
        """The image of a policy on a platform.

        Raises UserError for an unknown policy or platform (with near matches and the list), a retired policy (when it
        ended, its last tag), a platform the policy does not have and a variant the image does not have."""
        if policy in self.retired:
            raise errors.UserError(self._retired_message(self.retired[policy]))
        if policy not in self.policies:
            raise errors.UserError(f"unknown policy {policy!r}" + near_matches(policy, self.policies))
        if platform not in self.platforms:
            raise errors.UserError(f"unknown platform {platform!r}" + near_matches(platform, self.platforms))
        if platform not in self.policies[policy].platforms:
            having = ", ".join(self.policies[policy].platforms)
            raise errors.UserError(f"{policy} has no {platform} image: it has {having}")
        if variant and variant not in self.variants:
            raise errors.UserError(f"unknown variant {variant!r}" + near_matches(variant, self.variants))
        for image in self.all_images:
            if (image.policy.name, image.platform.name, image.variant) == (policy, platform, variant):
                return image
        if not variant:
            raise errors.UserError(
                f"{policy}_{platform} is not among the images that the overlay selects: choose another POLICY, or set "
                "default_policy in the overlay"
            )
        having = ", ".join(image.name for image in self.all_images if image.variant == variant)
        raise errors.UserError(f"{policy}_{platform} has no {variant} variant; there are {having}")

    def _retired_message(self, retired: RetiredPolicy) -> str:
        return (
            f"{retired.name} ({retired.title}) ended on {retired.ended} and is no longer built; its last image is "
            f"{self.registry}/{retired.name}_<platform>:{retired.last_tag}"
        )


# --- Reading the table --------------------------------------------------------------------------------------


def load(path: Path = IMAGES_TOML, overlay: Path | None = None) -> Catalogue:
    """The catalogue of `path`, narrowed by an overlay.

    The overlay of a fork is `overlay`, else $MANYLINUX_IMAGES_OVERLAY, else docker/images.local.toml if there is one.
    Raises UserError, naming file and key, where a table breaks a law."""
    raw = read_toml(path)
    if overlay is None:
        named = os.environ.get("MANYLINUX_IMAGES_OVERLAY", "")
        overlay = Path(named) if named else LOCAL_OVERLAY if LOCAL_OVERLAY.exists() else None
    select: tuple[str, ...] = ("*",)
    if overlay is not None:
        select = _apply_overlay(raw, read_toml(overlay), overlay.name)
    return _catalogue(raw, path.name, select)


def _apply_overlay(raw: dict[str, Any], changes: dict[str, Any], where: str) -> tuple[str, ...]:
    """Changes the raw table by a fork's overlay; returns the globs of the images it wants."""
    fields = Fields(changes, where)
    raw["registry"] = fields.text("registry", raw["registry"])
    raw["source"] = fields.text("source", raw["source"])
    raw["default_policy"] = fields.text("default_policy", raw["default_policy"])
    select = fields.texts("images", ("*",))
    wanted = fields.texts("interpreters", tuple(raw["interpreters"]))
    for tag in wanted:
        if tag not in raw["interpreters"]:
            raise errors.UserError(
                f"{where}: interpreters: unknown tag {tag!r}" + near_matches(tag, raw["interpreters"])
            )
    raw["interpreters"] = {tag: row for tag, row in raw["interpreters"].items() if tag in wanted}
    for name, row in fields.mapping("variants").items():
        raw["variants"].setdefault(name, {}).update(row)
    fields.done()
    return select


def _catalogue(raw: dict[str, Any], where: str, select: tuple[str, ...]) -> Catalogue:
    top = Fields(raw, where)
    platforms = {name: _platform(name, row, where) for name, row in top.mapping("platforms").items()}
    toolsets = {name: _toolset(name, row, where) for name, row in top.mapping("toolsets").items()}
    policies: dict[str, Policy] = {}
    exceptions: dict[str, dict[str, Any]] = {}
    for name, row in top.mapping("policies").items():
        policies[name], exceptions[name] = _policy(name, row, toolsets, platforms, where)
    variants = {name: _variant(name, row, policies, where) for name, row in top.mapping("variants").items()}
    catalogue = Catalogue(
        registry=top.text("registry"),
        source=top.text("source"),
        default_policy=top.one_of("default_policy", policies),
        bootstrap_policy=top.one_of("bootstrap_policy", policies),
        platforms=platforms,
        policies=policies,
        retired={name: _retired(name, row, platforms, where) for name, row in top.mapping("retired").items()},
        interpreters={name: _interpreter(name, row, where) for name, row in top.mapping("interpreters").items()},
        tools={name: _tool(name, row, where) for name, row in top.mapping("tools").items()},
        variants=variants,
        retention=_retention(top.mapping("retention"), where),
    )
    top.done()
    if both := policies.keys() & catalogue.retired.keys():
        raise errors.UserError(f"{where}: {', '.join(both)} stands under policies and under retired")
    every = _all_images(catalogue, exceptions, toolsets, where)
    _check_globs(catalogue, {image.place for image in every}, where)
    for pattern in select:
        if not any(fnmatchcase(image.name, pattern) for image in every):
            raise errors.UserError(f"overlay: images: {pattern!r} matches no image")
    chosen = tuple(image for image in every if matches(image.name, select))
    return Catalogue(**{**vars(catalogue), "all_images": chosen})


def _by_libc(fields: Fields, key: str) -> dict[str, str]:
    value = fields.mapping(key)
    if unknown := set(value) - set(LIBCS):
        raise errors.UserError(f"{fields.where}: {key}: unknown libc {', '.join(sorted(unknown))}")
    return value


def _platform(name: str, row: object, where: str) -> Platform:
    fields = Fields(row, f"{where}: platforms.{name}")
    platform = Platform(
        name=name,
        oci=fields.text("oci"),
        debian=fields.text("debian"),
        go=fields.text("go"),
        runner=fields.text("runner"),
        emulated=fields.flag("emulated"),
        triples=_by_libc(fields, "triple"),
        marches=_by_libc(fields, "march"),
        cpython_builds=_by_libc(fields, "cpython_build"),
        cpython_prefers_gcc=fields.flag("cpython_prefers_gcc", False),
    )
    fields.done()
    return platform


def _toolset(name: str, row: object, where: str) -> Toolset:
    fields = Fields(row, f"{where}: toolsets.{name}")
    toolset = Toolset(
        name=name,
        root=fields.text("root"),
        library_path=fields.texts("library_path"),
        library_path_32=fields.texts("library_path_32", ()),
        appended=fields.texts("appended", ()),
    )
    fields.done()
    return toolset


def _policy(
    name: str, row: object, toolsets: Mapping[str, Toolset], platforms: Mapping[str, Platform], where: str
) -> tuple[Policy, dict[str, Any]]:
    """A policy and the raw exceptions of its platforms."""
    fields = Fields(row, f"{where}: policies.{name}")
    toolset = fields.one_of("toolset", ("", *toolsets))
    exceptions = fields.mapping("platforms")
    for platform in exceptions:
        if platform not in platforms:
            raise errors.UserError(
                f"{fields.where}.platforms: unknown platform {platform!r}" + near_matches(platform, platforms)
            )
    policy = Policy(
        name=name,
        tags=fields.texts("tags"),
        family=fields.one_of("family", FAMILIES),
        distribution=fields.text("distribution"),
        title=fields.text("title"),
        base=fields.text("base"),
        libc=fields.one_of("libc", LIBCS),
        libc_version=fields.text("libc_version"),
        toolset=toolsets[toolset] if toolset else None,
        gcc_major=fields.get("gcc_major", int),
        local_first=fields.flag("local_first", False),
        status=fields.one_of("status", POLICY_STATUSES),
        eol=fields.get("eol", datetime.date),
        eol_note=fields.text("eol_note", ""),
        build=fields.texts("build"),
        package_sets=fields.texts("package_sets"),
        sqlite_exposed=fields.flag("sqlite_exposed", False),
        symbols=fields.mapping("symbols"),
        platforms=tuple(exceptions),
    )
    fields.done()
    kind = "manylinux" if policy.libc == "glibc" else "musllinux"
    spelling = f"{kind}_{policy.libc_version.replace('.', '_')}"
    if policy.tags[-1] != spelling or name not in policy.tags:
        raise errors.UserError(
            f"{fields.where}: tags {list(policy.tags)} must hold {name} and end with {spelling} (PEP 600, 656)"
        )
    if bool(policy.symbols) != (policy.libc == "glibc"):
        raise errors.UserError(f"{fields.where}: symbols belong to every glibc policy and to no musl one")
    if not policy.platforms:
        raise errors.UserError(
            f"{fields.where}.platforms is empty; a policy that is no longer built goes under [retired]"
        )
    return policy, exceptions


def _retired(name: str, row: object, platforms: Mapping[str, Platform], where: str) -> RetiredPolicy:
    fields = Fields(row, f"{where}: retired.{name}")
    retired = RetiredPolicy(
        name=name,
        ended=fields.get("ended", datetime.date),
        last_tag=fields.text("last_tag"),
        title=fields.text("title"),
        libc=fields.one_of("libc", LIBCS),
        libc_version=fields.text("libc_version"),
        gcc=fields.text("gcc"),
        platforms=fields.texts("platforms"),
    )
    fields.done()
    if unknown := set(retired.platforms) - set(platforms):
        raise errors.UserError(f"{fields.where}: unknown platform {', '.join(sorted(unknown))}")
    return retired


def _split_tag(tag: str) -> tuple[str, str]:
    """Implementation prefix and version digits of an interpreter tag: "cp313-cp313t" -> ("cp", "313")."""
    match = re.fullmatch(r"(?P<implementation>cp|pp|graalpy)(?P<digits>3\d+)-\w+", tag)
    if not match:
        raise errors.UserError(f"interpreters: {tag!r} is not <python tag>-<abi tag>")
    return match["implementation"], match["digits"]


def _interpreter(tag: str, row: object, where: str) -> Interpreter:
    fields = Fields(row, f"{where}: interpreters.{tag}")
    _split_tag(tag)
    interpreter = Interpreter(
        tag=tag,
        status=fields.one_of("status", INTERPRETER_STATUSES, "stable"),
        preinstalled=fields.flag("preinstalled", True),
        where=fields.texts("where", ("*",)),
        not_where=fields.texts("not_where", ()),
    )
    fields.done()
    return interpreter


def _tool(name: str, row: object, where: str) -> Tool:
    fields = Fields(row, f"{where}: tools.{name}")
    hold = Fields(fields.mapping("hold"), f"{where}: tools.{name}.hold")
    tool = Tool(
        name=name,
        not_where=fields.texts("not_where", ()),
        distribution_where=fields.texts("distribution_where", ()),
        sdist_where=fields.texts("sdist_where", ()),
        hold_below=hold.text("below", ""),
        hold_reason=hold.text("reason", ""),
    )
    fields.done()
    hold.done()
    if bool(tool.hold_below) != bool(tool.hold_reason):
        raise errors.UserError(f"{hold.where}: a hold needs both `below` and `reason`")
    return tool


def _variant(name: str, row: object, policies: Mapping[str, Policy], where: str) -> Variant:
    fields = Fields(row, f"{where}: variants.{name}")
    chosen = Fields(fields.mapping("images"), f"{where}: variants.{name}.images")
    images = {policy: chosen.texts(policy) for policy in chosen.raw}
    globs = Fields(fields.mapping("not_optimised_where"), f"{where}: variants.{name}.not_optimised_where")
    variant = Variant(
        name=name,
        purpose=fields.text("purpose"),
        minors=fields.texts("minors"),
        not_optimised_where={minor: globs.texts(minor) for minor in globs.raw},
        no_pyinstaller_where=fields.texts("no_pyinstaller_where", ()),
        images=images,
    )
    fields.done()
    for policy, wanted in images.items():
        if policy not in policies:
            raise errors.UserError(f"{chosen.where}: unknown policy {policy!r}" + near_matches(policy, policies))
        if missing := set(wanted) - set(policies[policy].platforms):
            raise errors.UserError(f"{chosen.where}: {policy} has no {', '.join(sorted(missing))}")
    return variant


def _retention(row: dict[str, Any], where: str) -> Retention:
    fields = Fields(row, f"{where}: retention")
    kept = []
    for entry in fields.get("keep", list):
        item = Fields(entry, f"{where}: retention.keep")
        kept.append(KeptTag(item.text("tag"), item.text("reason")))
        item.done()
    retention = Retention(
        years=fields.get("years", int),
        cibuildwheel_from=fields.text("cibuildwheel_from"),
        keep=tuple(kept),
    )
    fields.done()
    return retention


def _all_images(
    catalogue: Catalogue,
    exceptions: Mapping[str, Mapping[str, Any]],
    toolsets: Mapping[str, Toolset],
    where: str,
) -> tuple[Image, ...]:
    every = []
    for policy in catalogue.policies.values():
        for name, row in exceptions[policy.name].items():
            fields = Fields(row, f"{where}: policies.{policy.name}.platforms.{name}")
            local = {
                **vars(policy),
                "base": fields.text("base", policy.base),
                "distribution": fields.text("distribution", policy.distribution),
                "title": fields.text("title", policy.title),
                "package_sets": fields.texts("package_sets", policy.package_sets),
            }
            published = fields.flag("published", True)
            fields.done()
            if published and policy.status == "unpublished":
                raise errors.UserError(f"{fields.where}: {policy.name} is unpublished, so published must be false")
            variants = [v for v in catalogue.variants.values() if name in v.images.get(policy.name, ())]
            for variant in (None, *variants):
                every.append(_image(catalogue, Policy(**local), catalogue.platforms[name], variant, published))
    return tuple(every)


def _image(catalogue: Catalogue, policy: Policy, platform: Platform, variant: Variant | None, published: bool) -> Image:
    place = f"{policy.libc}-{platform.name}"
    here = [i for i in catalogue.interpreters.values() if matches(place, i.where) and not matches(place, i.not_where)]
    return Image(
        policy=policy,
        platform=platform,
        variant=variant.name if variant else "",
        published=published,
        registry=catalogue.registry,
        source=catalogue.source,
        interpreters=tuple(i for i in here if i.preinstalled),
        on_demand=tuple(i for i in here if not i.preinstalled),
        tools=tuple(tool for tool in catalogue.tools.values() if not matches(place, tool.not_where)),
        shared=variant.interpreters(place) if variant else (),
        has_pyinstaller=variant is not None and not matches(place, variant.no_pyinstaller_where),
    )


def _check_globs(catalogue: Catalogue, places: set[str], where: str) -> None:
    rows: list[tuple[str, tuple[str, ...]]] = []
    for i in catalogue.interpreters.values():
        rows.append((f"interpreters.{i.tag}", i.where + i.not_where))
    for tool in catalogue.tools.values():
        rows.append((f"tools.{tool.name}", tool.not_where + tool.distribution_where + tool.sdist_where))
    for variant in catalogue.variants.values():
        rows.append((f"variants.{variant.name}.no_pyinstaller_where", variant.no_pyinstaller_where))
        for minor, patterns in variant.not_optimised_where.items():
            rows.append((f"variants.{variant.name}.not_optimised_where.{minor}", patterns))
    for key, patterns in rows:
        for pattern in patterns:
            if not any(fnmatchcase(place, pattern) for place in places):
                raise errors.UserError(f"{where}: {key}: {pattern!r} matches no <libc>-<platform>")


def matches(name: str, patterns: Iterable[str]) -> bool:
    """Whether a name, of an image or `<libc>-<platform>`, matches one of the globs."""
    return any(fnmatchcase(name, pattern) for pattern in patterns)


# --- Command line -------------------------------------------------------------------------------------------


def matrix(catalogue: Catalogue) -> list[dict[str, Any]]:
    """One row for GitHub Actions a published image: what to build, where, and whether QEMU is needed."""
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
        "interpreters": [i.tag for i in image.interpreters],
        "on_demand": [i.tag for i in image.on_demand],
        "tools": [t.name for t in image.tools],
        "components": list(image.policy.build),
        "shared": [i.minor for i in image.shared],
    }


def main() -> None:
    """Answers questions about docker/images.toml."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    verbs = parser.add_subparsers(dest="verb", required=True)
    for verb, text in (("list", "image names, one a line"), ("json", "every image, as JSON")):
        command = verbs.add_parser(verb, help=text)
        command.add_argument("--all", action="store_true", help="unpublished images and variants too")
    verbs.add_parser("matrix", help="rows for GitHub Actions, as JSON")
    verbs.add_parser("groups", help="what is published together, as JSON for GitHub Actions")
    command = verbs.add_parser("build-args", help="the Dockerfile's ARGs for one image, NAME=VALUE a line")
    command.add_argument("image")
    options = parser.parse_args()
    catalogue = load()
    if options.verb == "matrix":
        print(json.dumps({"include": matrix(catalogue)}))
    elif options.verb == "groups":
        print(json.dumps([group.name for group in catalogue.groups()]))
    elif options.verb == "build-args":
        from plan import Request, plan  # it imports this module

        for name, value in plan(catalogue.image(options.image), Request()).build_args.items():
            print(f"{name}={value}")
    else:
        found = catalogue.images(published_only=not options.all, variants=options.all)
        if options.verb == "list":
            print("\n".join(image.name for image in found))
        else:
            print(json.dumps([_summary(catalogue, image) for image in found], indent=2))


if __name__ == "__main__":
    sys.exit(errors.run(main))
