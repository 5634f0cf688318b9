"""How many downloads each policy reaches, by platform."""

from __future__ import annotations

from catalogue.model import Catalogue
from catalogue.versions import version_key
from explain.documents import THRESHOLD, recommended
from explain.reach import ReachTable, maintained, newest_first
from pictures.svg import Drawing

LEFT, TOP, ROW, WIDTH = 76, 48, 46, 900


def reached(catalogue: Catalogue, table: ReachTable) -> Drawing:
    """The picture: a bar and a percentage for each policy and platform; the recommended policy has another colour."""
    published = {image.policy.name for image in catalogue.images()}
    policies = [p for p in catalogue.policies.values() if p.libc == "glibc" and p.name in published]
    policies.sort(key=lambda policy: version_key(policy.libc_version))
    pythons = table.fitting(maintained(catalogue))
    samples = {name: table.sample(name, pythons) for name in catalogue.platforms}
    platforms = [name for name, sample in samples.items() if sample.total and newest_first(catalogue, name, "glibc")]
    said = []
    for name in platforms:
        shares = ", ".join(f"{policy.name} {samples[name].share(policy.libc_version):.2f} %" for policy in policies)
        said.append(f"{name}: {shares}.")
    made = Drawing(
        "reach",
        WIDTH,
        TOP + ROW * len(platforms) + (60 if table.earlier else 34),
        "What share of the downloads each policy reaches",
        " ".join(said),
    )
    step = (WIDTH - LEFT) / max(len(policies), 1)
    for column, policy in enumerate(policies):
        made.text(LEFT + step * column, 20, policy.name, "small")
        made.text(LEFT + step * column, 35, f"glibc {policy.libc_version}", "muted small")
    for row, name in enumerate(platforms):
        y = TOP + ROW * row
        made.line(0, y - 2, WIDTH, y - 2)
        made.text(0, y + 24, name, "bold")
        images = newest_first(catalogue, name, "glibc")
        choice = images[recommended(images, samples[name])].policy.name
        built = {image.policy.name for image in images}
        for column, policy in enumerate(policies):
            x, share = LEFT + step * column, samples[name].share(policy.libc_version) or 0.0
            chosen = policy.name == choice
            colour = "accent" if chosen else "plain" if policy.name in built else "pale"
            words = "bold" if chosen else "" if policy.name in built else "muted"
            made.text(x, y + 18, f"{share:.2f} %{_trend(table, name, policy.libc_version, share)}", words)
            made.rectangle(x, y + 25, step - 18, 7, "track", 3)
            made.rectangle(x, y + 25, max((step - 18) * share / 100, 1), 7, colour, 3)
    if table.earlier:
        made.text(
            0, TOP + ROW * len(platforms) + 50, f"In brackets: the change since {table.earlier[0].last}", "muted small"
        )
    made.legend(
        TOP + ROW * len(platforms) + 20,
        ("accent", f"recommended: the newest that reaches {THRESHOLD:g} %, or comes nearest"),
        ("plain", "has an image"),
        ("pale", "has none"),
    )
    return made


def _trend(table: ReachTable, platform: str, glibc: str, share: float) -> str:
    """How a share has changed since the oldest date that the table has, in points; empty where it does not say."""
    before = table.earlier[0].shares.get(platform, {}).get(glibc) if table.earlier else None
    return "" if before is None else f" ({share - before / 100:+.1f})"
