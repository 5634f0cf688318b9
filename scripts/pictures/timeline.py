"""Policies against years: from the release of each base to the end of its maintenance, and the end of each Python."""

from __future__ import annotations

import datetime
from collections.abc import Sequence

from catalogue.model import Catalogue, Policy
from catalogue.versions import version_key
from explain.calendar import Ending
from pictures.svg import Drawing

LEFT, RIGHT, TOP, ROW, WIDTH = 172, 20, 56, 36, 900


def timeline(catalogue: Catalogue, ends: Sequence[Ending], today: datetime.date | None = None) -> Drawing:
    """The picture; with `today`, a line stands there."""
    policies = shown(catalogue)
    days = [day for policy in policies for day in (policy.released, policy.eol) if day]
    first, last = datetime.date(min(days).year, 1, 1), datetime.date(max(days).year + 1, 1, 1)
    height = TOP + ROW * len(policies) + 34
    description = " ".join(
        f"{policy.name}: {policy.title}, {policy.released} to {policy.eol}{_also(policy)}." for policy in policies
    )
    pythons = [ending for ending in ends if ending.kind == "python" and first <= ending.day <= last]
    description += "".join(f" Python {ending.name} ends on {ending.day}." for ending in pythons)
    made = Drawing("timeline", WIDTH, height, "How long the base of each policy is maintained", description)

    def place(day: datetime.date) -> float:
        return LEFT + (WIDTH - LEFT - RIGHT) * (day - first).days / (last - first).days

    bottom = TOP + ROW * len(policies)
    for year in range(first.year, last.year + 1, 2):
        x = place(datetime.date(year, 1, 1))
        made.line(x, TOP - 6, x, bottom + 6)
        made.text(x, bottom + 24, str(year), "muted small middle")
    made.text(LEFT - 14, 20, "end of Python", "muted small end")
    for ending in pythons:
        x = place(ending.day)
        made.line(x, 28, x, bottom + 2, "dash")
        made.text(x, 20, ending.name, "small middle")
    for number, policy in enumerate(policies):
        y = TOP + ROW * number
        start = place(policy.released or first)
        made.text(LEFT - 14, y + 14, policy.name, "bold end")
        made.text(LEFT - 14, y + 28, f"{policy.title}{_also(policy)}", "muted small end")
        colour = "soft" if policy.status == "alpha" else "accent"
        made.rectangle(start, y + 4, place(policy.eol) - start, 22, colour, 4)
    if today:
        made.line(place(today), TOP - 10, place(today), bottom + 6, "today")
        made.text(place(today), TOP - 14, "today", "warm bold small middle")
    for number, policy in enumerate(policies):
        kind = "small end" if policy.status == "alpha" else "paper small end"
        made.text(place(policy.eol) - 7, TOP + ROW * number + 19, f"{policy.eol:%Y-%m}", kind)
    return made


def shown(catalogue: Catalogue) -> list[Policy]:
    """The policies that are published, the oldest C library first."""
    published = {image.policy.name for image in catalogue.images()}
    found = [policy for policy in catalogue.policies.values() if policy.name in published]
    return sorted(found, key=lambda policy: (policy.libc, version_key(policy.libc_version)))


def _also(policy: Policy) -> str:
    return ", alpha" if policy.status == "alpha" else ""
