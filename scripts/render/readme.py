"""The parts of README.md and docs/ that state facts of the tables: policies, distributions, interpreters, tools, pip.

`document_blocks` gives each part by its document and the name of its markers; command.py writes them.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from catalogue import dependencies, deprecations
from catalogue.deprecations import Deprecation
from catalogue.distributions import NAMES, DistributionRelease, read_releases
from catalogue.interpreters import IMPLEMENTATIONS
from catalogue.markers import markdown_table
from catalogue.model import Catalogue, Image
from catalogue.paths import DOCKER
from catalogue.versions import version_key
from explain import reach
from explain.documents import reach_blocks
from pictures.layers import MEASURED_JSON
from portable import downloads
from portable.toml import Version, filled, form, read, read_toml

COMPATIBILITY_TOML = DOCKER / "compatibility.toml"
CROSS_JSON = DOCKER.parent / "tests" / "benchmarks" / "cross.json"


@dataclass(frozen=True)
class PipSupport:
    """The oldest pip, the oldest CPythons that bundle it and the oldest distributions that ship it, for one tag."""

    tag: Annotated[str, form(r"manylinux(1|20\d\d|_x_y)|musllinux_x_y", "a tag like manylinux2014 or manylinux_x_y")]
    pip: Version
    cpython: Annotated[tuple[Version, ...], filled]
    distributions: Annotated[tuple[Annotated[str, form(r"[A-Za-z][\w .():-]*", "a distribution")], ...], filled]


@dataclass(frozen=True)
class _Compatibility:
    """docker/compatibility.toml."""

    pip: Annotated[tuple[PipSupport, ...], filled]


def read_pip(path: Path = COMPATIBILITY_TOML) -> tuple[PipSupport, ...]:
    """Which pip installs which wheels. Raises UserError for a malformed row."""
    return parse_pip(read_toml(path), f"{path.name}:")


def parse_pip(raw: Mapping[str, Any], where: str) -> tuple[PipSupport, ...]:
    """The parsed file; `where` begins every complaint."""
    return read(_Compatibility, raw, where).pip


def document_blocks(catalogue: Catalogue) -> dict[Path, dict[str, str]]:
    """Document -> marker name -> Markdown, with an empty line before and after it."""
    releases = read_releases()
    documents = {
        "README.md": {
            "count": f"{len(catalogue.images())} images are published, at `{catalogue.registry}`.\n",
            "policies": _policies(catalogue),
            "contents": _contents(catalogue),
        },
        "docs/where-wheels-run.md": {
            "oldest": _oldest(catalogue, releases),
            "releases": _releases(catalogue, releases),
            "pip": _pip(read_pip()),
        },
        "docs/contents.md": {
            "interpreters": _interpreters(catalogue),
            "tools": _tools(catalogue),
            "components": _components(catalogue),
            "variants": _variants(catalogue),
        },
        "docs/deprecations.md": {"endings": _endings(deprecations.load(catalogue, dependencies.load()))},
        "docs/retention.md": {"retention": _retention(catalogue), "retired": _retired(catalogue)},
        "docs/building.md": {"measured": _measured(MEASURED_JSON), "cross": _cross(CROSS_JSON)},
    }
    found = {
        Path(document): {name: f"\n{text}\n" for name, text in blocks.items()} for document, blocks in documents.items()
    }
    for document, blocks in reach_blocks(catalogue, reach.load()).items():
        found[document] |= blocks
    return found


def _policies(catalogue: Catalogue) -> str:
    rows = []
    for policy in catalogue.policies.values():
        here = [i for i in catalogue.images(published_only=False) if i.policy.name == policy.name]
        bases = dict.fromkeys(i.policy.title for i in here)
        names = [
            (i.platform.name if i.policy.title == policy.title else f"{i.platform.name} ({i.policy.title})")
            + ("" if i.published else "*")
            for i in here
        ]
        end = f"{policy.eol}" + (f" ({policy.eol_note})" if policy.eol_note else "")
        status = "not published" if policy.status == "unpublished" else policy.status
        tags = ", ".join(f"`{tag}`" for tag in policy.tags)
        rows.append([tags, next(iter(bases)), policy.compiler, ", ".join(names), status, end])
    table = markdown_table(["wheel tags", "base", "compiler", "platforms", "status", "base maintained until"], rows)
    return table + "\n\\* can be built, but is not published.\n"


def _contents(catalogue: Catalogue) -> str:
    """What an image has, in three lines."""
    cpythons = [i for i in catalogue.interpreters.values() if i.implementation == "cpython" and i.preinstalled]
    others = dict.fromkeys(IMPLEMENTATIONS[i.implementation] for i in catalogue.interpreters.values())
    del others["CPython"]
    threaded = ", ".join(i.minor for i in cpythons if i.threaded)
    return (
        f"- CPython {cpythons[0].minor} to {cpythons[-1].minor}, and the free-threaded builds of {threaded}, "
        "in `/opt/python/<python tag>-<abi tag>`, each with pip, build and packaging.\n"
        f"- {' and '.join(others)}, some of them on demand: `manylinux-interpreters list` says what an image has and "
        "can install, `manylinux-interpreters ensure TAG` installs it. A CPython that left an "
        "image may still be installed there so, from the last image that had it.\n"
        f"- {', '.join(catalogue.tools)}, each in a virtual environment of its own; `pipx` to add others; "
        "`manylinux-install-clang` for a static clang in `/opt/clang`.\n"
    )


def _endings(endings: Sequence[Deprecation]) -> str:
    """What leaves the images, soonest first."""
    rows = [
        [f"`{e.name}`", e.title, f"{e.upstream or ''}", f"{e.ends}", f"`{e.replacement}`" if e.replacement else ""]
        for e in endings
    ]
    return markdown_table(["what", "", "upstream's support ends", "leaves the images", "use instead"], rows)


def _oldest(catalogue: Catalogue, releases: Sequence[DistributionRelease]) -> str:
    """For each policy the oldest release of each distribution that runs its wheels."""
    rows = []
    for policy in sorted(catalogue.policies.values(), key=lambda p: (p.libc, version_key(p.libc_version))):
        oldest: dict[str, DistributionRelease] = {}
        for release in sorted(releases, key=lambda r: version_key(r.release)):
            if not release.rolling and release.runs(policy):
                oldest.setdefault(release.distribution, release)
        names = [release.title for release in sorted(oldest.values(), key=_by_name)]
        rows.append([f"`{policy.tags[-1]}`", f"{policy.libc} {policy.libc_version}", ", ".join(names)])
    return markdown_table(["wheel tag", "needs", "runs on these releases and later ones"], rows)


def _releases(catalogue: Catalogue, releases: Sequence[DistributionRelease]) -> str:
    """For each release the newest policy whose wheels run there, and how long its vendor maintains it."""
    rows = []
    policies = sorted(catalogue.policies.values(), key=lambda p: version_key(p.libc_version))
    for release in sorted(releases, key=lambda r: (_by_name(r), r.rolling, version_key(r.release))):
        newest = [policy.tags[-1] for policy in policies if release.runs(policy)]
        older = [r for r in catalogue.retired.values() if release.runs(r)]
        best = f"`{newest[-1]}`" if newest else f"`{older[-1].name}` (retired)" if older else "none"
        support = [release.eol] if release.eol else []
        support += [f"long-term {release.lts_eol}"] if release.lts_eol else []
        support += [f"extended {release.extended_eol}"] if release.extended_eol else []
        rows.append([release.title, f"{release.libc} {release.libc_version}", best, ", ".join(support)])
    return markdown_table(["distribution", "libc", "newest policy whose wheels run there", "maintained until"], rows)


def _by_name(release: DistributionRelease) -> str:
    return NAMES[release.distribution].lower()


def _where(every: Sequence[Image], having: Sequence[Image]) -> str:
    """In words, in which images something is: "every image", "musllinux", "manylinux on x86_64, aarch64"."""
    if len(having) == len(every):
        return "every image"
    parts = []
    for libc, kind in (("glibc", "manylinux"), ("musl", "musllinux")):
        all_here = dict.fromkeys(i.platform.name for i in every if i.policy.libc == libc)
        here = dict.fromkeys(i.platform.name for i in having if i.policy.libc == libc)
        missing = [name for name in all_here if name not in here]
        if not missing:
            parts.append(kind)
        elif here and len(missing) < len(here):
            parts.append(f"{kind} but {', '.join(missing)}")
        elif here:
            parts.append(f"{kind} on {', '.join(here)}")
    return "; ".join(parts)


def _interpreters(catalogue: Catalogue) -> str:
    notes = {"stable": "", "prerelease": "pre-release", "eol": "no longer maintained upstream"}
    every, prebuilt = catalogue.images(published_only=False), downloads.load().interpreters
    rows = []
    for interpreter in catalogue.interpreters.values():
        tag = interpreter.tag
        having = [image for image in every if interpreter in (*image.interpreters, *image.on_demand)]
        how = "preinstalled" if interpreter.preinstalled else f"`manylinux-interpreters ensure {tag}`"
        how += "" if interpreter.preinstalled or tag in prebuilt else ", once there is an archive"
        rows.append([f"`{tag}`", interpreter.title, _where(every, having), how, notes[interpreter.status]])
    return markdown_table(["tag", "interpreter", "in", "how", ""], rows)


def _tools(catalogue: Catalogue) -> str:
    every = catalogue.images(published_only=False)
    rows = []
    for tool in catalogue.tools.values():
        held = f"held below {tool.hold.below}: {tool.hold.reason}" if tool.hold else ""
        rows.append([f"`{tool.name}`", _where(every, [i for i in every if tool in i.tools]), held])
    return markdown_table(["tool", "in", ""], rows)


def _components(catalogue: Catalogue) -> str:
    names = dict.fromkeys(name for policy in catalogue.policies.values() for name in policy.build)
    rows = []
    for component in names:
        having = [p.name for p in catalogue.policies.values() if component in p.build]
        everywhere = len(having) == len(catalogue.policies)
        rows.append([f"`{component}`", "every image" if everywhere else ", ".join(having)])
    exposed = ", ".join(f"`{p.name}`" for p in catalogue.policies.values() if p.sqlite_exposed)
    return (
        markdown_table(["component", "in"], rows)
        + f"\nSQLite's headers are offered to users, by pkg-config, in {exposed}.\n"
    )


def _variants(catalogue: Catalogue) -> str:
    rows = []
    for image in catalogue.images(variants=True):
        if image.variant:
            each = [f"{i.minor}{'' if i.optimised else ' (without a profile)'}" for i in image.shared]
            rows.append([f"`{image.name}`", ", ".join(each)])
    return markdown_table(["image", "shared CPythons"], rows)


def _pip(rows: Sequence[PipSupport]) -> str:
    def line(row: PipSupport) -> list[str]:
        bundled = ", ".join(f"{version}+" for version in row.cpython)
        return [f"`{row.tag}`", f">= {row.pip}", bundled, ", ".join(row.distributions)]

    headings = ["wheel tag", "pip", "bundled with CPython", "distributions whose pip is new enough (or later)"]
    return markdown_table(headings, [line(row) for row in rows])


def _retired(catalogue: Catalogue) -> str:
    rows = [
        [f"`{r.name}`", r.title, f"{r.libc} {r.libc_version}", r.gcc, ", ".join(r.platforms), f"{r.ended}", r.last_tag]
        for r in catalogue.retired.values()
    ]
    return markdown_table(["policy", "base", "libc", "compiler", "platforms", "ended", "last tag"], rows)


def _retention(catalogue: Catalogue) -> str:
    rules = catalogue.retention
    lines = [
        f"- An image is kept for {rules.years} years from the date in its tag.",
        f"- What any cibuildwheel from {rules.cibuildwheel_from} on pins is kept for ever.",
        "- The last tag of each retired policy is kept for ever.",
        *(f"- `{kept.tag}` is kept for ever: {kept.reason}." for kept in rules.keep),
        "- A tag that is kept for one image is kept for all of them.",
    ]
    return "".join(f"{line}\n" for line in lines)


def _measured(path: Path) -> str:
    """What tests/benchmarks/build.py --write has measured last; empty before it has."""
    if not path.exists():
        return ""
    result = json.loads(path.read_text(encoding="utf-8"))
    size, compressed = (f"{result[key] / 1e6:.0f} MB" for key in ("size", "compressed"))
    unchanged, bump = (
        f"{result[key]} s, {result[key] / result['cold_seconds']:.2f} of the cold build"
        for key in ("unchanged_seconds", "bump_seconds")
    )
    compared = []
    if ratios := result.get("cold_ratios"):
        said = f"{ratios['wall']:.2f} of its time, {ratios['processor']:.2f} of its processor time"
        compared.append([f"cold build, compared with that of commit {ratios['against']}, in turns", said])
    rows = [
        ["cold build", f"{result['cold_seconds']} s"],
        *compared,
        ["build with nothing changed", unchanged],
        [f"rebuild after a bump of {result['bump']}", bump],
        ["of the compressed image to download again after that bump", f"{100 * result['downloaded_again']:.1f} %"],
        ["image, compressed", f"{size}, {compressed}"],
        *([f"smoke tests, {n} at a time", f"{seconds} s"] for n, seconds in result["smoke_seconds"].items()),
    ]
    what = f"{result['image']} with {', '.join(result['interpreters'])}, {result['engine']}, {result['cores']} cores"
    return markdown_table([what, ""], rows)


def _cross(path: Path) -> str:
    """What tests/benchmarks/cross.py --write has measured last; empty before it has."""
    if not path.exists():
        return ""
    result = json.loads(path.read_text(encoding="utf-8"))
    rows = [
        [name, f"{took['gcc']:.0f} s", f"{took['clang']:.0f} s", f"{took['gcc'] / took['clang']:.1f}"]
        for name, took in result["seconds"].items()
    ]
    what = f"{result['image']} on {result['machine']}, {result['cores']} cores"
    return markdown_table([what, "gcc, emulated", "clang", "times faster"], rows)
