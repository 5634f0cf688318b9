"""The images of docker/images.toml as frozen objects, and how they are looked up; images.py reads them.

The annotations say what may stand in the table, see portable/toml.py.
"""

from __future__ import annotations

import datetime
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from typing import Annotated, Literal

from catalogue.interpreters import Interpreter, PlatformName, PolicyName, SharedInterpreter, Tool, Variant, matches
from portable import errors
from portable.toml import (
    DERIVED,
    MAY_BE_EMPTY,
    NAME,
    Name,
    Prose,
    Reference,
    Registry,
    Tag,
    Url,
    Version,
    between,
    filled,
    form,
    key,
    near_matches,
)

Family = Literal["rhel", "debian", "alpine"]
Libc = Literal["glibc", "musl"]
Word = Annotated[str, form(r"[a-z0-9]+", "a word of lower-case letters and digits")]
LibcVersion = Annotated[str, form(r"\d\.\d{1,3}", "a version like 2.28")]
Title = Annotated[str, form(r"[A-Za-z][A-Za-z0-9 .]*", "a distribution like Debian 12")]
Distribution = Annotated[str, form(r"[a-z]+-\d+(\.\d+)*", "a distribution like debian-12")]
Triple = Annotated[str, form(r"\w+(-\w+){2,3}", "a triple like x86_64-unknown-linux-gnu")]
March = Annotated[str, form(r"[a-z0-9][a-z0-9+-]*( -m[a-z]+=[a-z0-9+-]+)*", "what -march takes, like x86-64")]
Below = Annotated[str, form(r"\w[\w-]*(/\w[\w-]*)*", "a directory below the root like usr/lib")]
Directory = Annotated[str, form(r"(/\w[\w-]*)+", "a directory like /opt/rh")]


@dataclass(frozen=True)
class Platform:
    """One `uname -m` and what others call it; the mappings are keyed by libc."""

    name: Annotated[PlatformName, NAME]
    oci: Annotated[str, form(r"linux/[a-z0-9]+(/v\d)?", "a platform like linux/arm64")]
    debian: Word
    go: Word
    runner: Annotated[str, form(r"[A-Za-z0-9]+([._-][A-Za-z0-9]+)*", "a runner of GitHub like ubuntu-24.04")]
    emulated: bool
    triples: Annotated[Mapping[Libc, Triple], key("triple"), filled]
    marches: Annotated[Mapping[Libc, March], key("march")] = field(default_factory=dict)
    cpython_builds: Annotated[Mapping[Libc, Triple], key("cpython_build")] = field(default_factory=dict)
    cpython_prefers_gcc: bool = False

    @property
    def narrow(self) -> bool:
        """Whether its pointers have 32 bits."""
        return self.go in ("386", "arm")


@dataclass(frozen=True)
class Toolset:
    """A compiler installed beside the distribution's own, below `root`."""

    name: Annotated[Name, NAME]
    root: Directory
    library_path: Annotated[tuple[Below, ...], filled]
    library_path_32: tuple[Below, ...] = ()
    appended: tuple[Directory, ...] = ()

    def ld_library_path(self, platform: Platform) -> str:
        """LD_LIBRARY_PATH of an image with this toolset."""
        narrow = platform.name == "i686" and self.library_path_32
        below = self.library_path_32 if narrow else self.library_path
        return ":".join([*(f"{self.root}/{path}" for path in below), *(() if narrow else self.appended)])


@dataclass(frozen=True)
class Symbols:
    """The newest symbol versions that wheels of a policy may need; `gcc` by platform, "*" for any other."""

    glibcxx: Version
    cxxabi: Version
    gcc: Annotated[Mapping[str, Annotated[str, form(r"\d+(\.\d+)*", "a version like 4.8")]], filled]

    def gcc_on(self, platform: str) -> str:
        """libgcc's on a platform; empty where the table has neither the platform nor "*"."""
        return self.gcc.get(platform, self.gcc.get("*", ""))


@dataclass(frozen=True)
class Exceptions:
    """How a policy differs on one platform."""

    base: Reference | None = None
    distribution: Distribution | None = None
    title: Title | None = None
    package_sets: Annotated[tuple[Name, ...], filled] | None = None
    published: bool = True


@dataclass(frozen=True)
class Policy:
    """A platform tag family of PEP 600 or PEP 656 and the distribution that its images are made of."""

    name: Annotated[PolicyName, NAME]
    tags: Annotated[tuple[PolicyName, ...], filled]
    family: Family
    distribution: Distribution
    title: Title
    base: Reference
    libc: Libc
    libc_version: LibcVersion
    toolset: Annotated[Name, MAY_BE_EMPTY]
    gcc_major: Annotated[int, between(4, 99)]
    status: Literal["stable", "alpha", "unpublished"]
    eol: datetime.date
    build: Annotated[tuple[Name, ...], filled]
    package_sets: Annotated[tuple[Name, ...], filled]
    platforms: Annotated[Mapping[PlatformName, Exceptions], filled]
    symbols: Symbols | None = None
    local_first: bool = False
    released: datetime.date | None = None
    eol_note: Prose = ""
    sqlite_exposed: bool = False

    @property
    def compiler(self) -> str:
        """For people: "GCC 14 (gcc-toolset-14)"."""
        return f"GCC {self.gcc_major}" + (f" ({self.toolset})" if self.toolset else "")

    def on(self, platform: str) -> Policy:
        """The policy with the exceptions of a platform."""
        own = {name: value for name, value in vars(self.platforms[platform]).items() if value is not None}
        own.pop("published")
        return replace(self, **own)


@dataclass(frozen=True)
class RetiredPolicy:
    """A policy that is never built again; its last tag stays published."""

    name: Annotated[PolicyName, NAME]
    ended: datetime.date
    last_tag: Tag
    title: Title
    libc: Libc
    libc_version: LibcVersion
    gcc: Annotated[str, form(r"GCC \d+(\.\d+)*", "a compiler like GCC 8")]
    platforms: Annotated[tuple[PlatformName, ...], filled]


@dataclass(frozen=True)
class KeptTag:
    """A published tag that never expires, and why."""

    tag: Tag
    reason: Prose


@dataclass(frozen=True)
class Retention:
    """When published images may go; see README, "How long images are kept"."""

    years: Annotated[int, between(1, 20)]
    cibuildwheel_from: Version
    keep: tuple[KeptTag, ...]


@dataclass(frozen=True)
class Image:
    """A policy on a platform, with or without a variant. The `policy` already carries this platform's exceptions."""

    policy: Policy
    platform: Platform
    toolset: Toolset | None
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

    registry: Registry
    source: Url
    default_policy: PolicyName
    bootstrap_policy: PolicyName
    platforms: Annotated[Mapping[str, Platform], filled]
    toolsets: Mapping[str, Toolset]
    policies: Annotated[Mapping[str, Policy], filled]
    retired: Mapping[str, RetiredPolicy]
    interpreters: Annotated[Mapping[str, Interpreter], filled]
    tools: Annotated[Mapping[str, Tool], filled]
    variants: Mapping[str, Variant]
    retention: Retention
    all_images: Annotated[tuple[Image, ...], DERIVED] = ()

    def images(self, published_only: bool = True, variants: bool = False) -> tuple[Image, ...]:
        """The images in the table's order: by default the published ones without variants."""
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
        """The images that the globs match, in the table's order, with unpublished ones and variants.

        Raises UserError for a glob that matches none."""
        wanted = tuple(patterns)
        names = [image.name for image in self.all_images]
        for pattern in wanted:
            if not any(fnmatchcase(name, pattern) for name in names):
                raise errors.UserError(f"no image is called {pattern}{near_matches(pattern, names)}")
        return tuple(image for image in self.all_images if matches(image.name, wanted))

    def wanted(self, patterns: Sequence[str]) -> tuple[Image, ...]:
        """The images that globs ask for, as `select`; without globs all published ones, with variants."""
        return self.select(patterns) if patterns else self.images(variants=True)

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
