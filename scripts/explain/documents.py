"""What the documents say of reach: README's recommendation for each platform, and the long table in docs/."""

from __future__ import annotations

from pathlib import Path

from catalogue.markers import markdown_table
from catalogue.model import Catalogue, Image
from catalogue.versions import version_key
from explain.reach import ReachTable, Sample, maintained, newest_first

THRESHOLD = 99.0  # per cent of the downloads: what a project that has not thought about it should reach


def reach_blocks(catalogue: Catalogue, table: ReachTable) -> dict[Path, dict[str, str]]:
    """Document -> marker name -> Markdown, with an empty line before and after it."""
    return {
        Path("README.md"): {"choice": f"\n{_choice(catalogue, table)}\n"},
        Path("docs/where-wheels-run.md"): {"reach": f"\n{_reach(catalogue, table)}\n"},
    }


def recommended(images: list[Image], sample: Sample, threshold: float = THRESHOLD) -> int:
    """Which of the images of a platform, newest first, is the newest that reaches so much.

    Where none does it is the oldest, which reaches most."""
    shares = [sample.share(image.policy.libc_version) or 0.0 for image in images]
    return next((number for number, share in enumerate(shares) if share >= threshold), len(images) - 1)


def percent(share: float | None) -> str:
    """For people: "99.74 %"."""
    return "not counted" if share is None else f"{share:.2f} %"


def _choice(catalogue: Catalogue, table: ReachTable) -> str:
    pythons = table.fitting(maintained(catalogue))
    rows = []
    for platform in catalogue.platforms:
        images, sample = newest_first(catalogue, platform, "glibc"), table.sample(platform, pythons)
        if not images or not sample.total:
            continue
        number = recommended(images, sample)
        newer = f"{_named(images[number - 1])}: {percent(_share(images[number - 1], sample))}" if number else ""
        cells = [platform, _named(images[number]), percent(_share(images[number], sample)), newer]
        rows.append([*cells, f"{sample.total:,}"])
    headings = ["platform", "choose", "it reaches", "the next newer reaches", "downloads counted"]
    return (
        f"The newest policy that at least {THRESHOLD:g} % of the downloads with Python {pythons[0]} and newer can use, "
        f"else the one that comes nearest:\n\n{markdown_table(headings, rows)}\n{_origin(table)}\n"
    )


def _reach(catalogue: Catalogue, table: ReachTable) -> str:
    """The percentage for each policy, by platform and Python."""
    policies = [p for p in catalogue.policies.values() if p.libc == "glibc"]
    policies.sort(key=lambda policy: version_key(policy.libc_version))
    built = {interpreter.minor for interpreter in catalogue.interpreters.values() if interpreter.status != "prerelease"}
    groups = {minor: [minor] for minor in table.minors() if minor in built}
    asked = maintained(catalogue)
    groups = {f"{asked}": table.fitting(asked), **groups}
    rows = []
    for platform in catalogue.platforms:
        for name, pythons in groups.items():
            sample = table.sample(platform, pythons)
            if sample.total:
                shares = [f"{sample.share(policy.libc_version):.2f}" for policy in policies]
                rows.append([platform, name, *shares, f"{sample.total:,}"])
    headings = ["platform", "Python", *(f"`{policy.tags[-1]}`" for policy in policies), "downloads"]
    return f"{markdown_table(headings, rows)}\n{_origin(table)}\n"


def _origin(table: ReachTable) -> str:
    days = f"{table.first} to {table.last}"
    return f"Downloads of {days}, counted by [manylinux-timeline]({table.source}) ({table.licence}). {table.bias}"


def _named(image: Image) -> str:
    return f"`{image.policy.name}`" + (" (alpha)" if image.policy.status == "alpha" else "")


def _share(image: Image, sample: Sample) -> float | None:
    return sample.share(image.policy.libc_version)
