"""When upstream's support of bases, Pythons and components ends, and when something leaves the images."""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from catalogue import deprecations
from catalogue.dependencies import Dependency
from catalogue.model import Catalogue, Image

NEVER = datetime.date.max  # what dependencies.toml means by leaving the day out


@dataclass(frozen=True)
class Ending:
    """On `day` upstream's support ends: of the base of a policy, a minor of Python or the series of a pin.

    Or, where `kind` is "leaves", new images lack what has that `name`: a policy, an interpreter or a tool."""

    day: datetime.date
    kind: Literal["base", "python", "component", "leaves"]
    name: str
    what: str

    @property
    def id(self) -> str:
        """Stable: a calendar that is fetched again moves the entry instead of adding one."""
        return f"{self.kind}-{self.name}"

    def concerns(self, image: Image) -> bool:
        """Whether an image has it."""
        if self.kind == "base":
            return image.policy.name == self.name
        if self.kind == "python":
            return any(i.implementation == "cpython" and i.minor == self.name for i in image.interpreters)
        if self.kind == "component":
            return self.name in image.policy.build
        return self.name in {
            image.policy.name,
            *(each.name for each in image.tools),
            *(i.tag for i in image.interpreters),
        }


def endings(catalogue: Catalogue, rows: Mapping[str, Dependency]) -> list[Ending]:
    """Every end that the tables know, soonest first. `rows`: those of docker/dependencies.toml."""
    images = catalogue.images(published_only=False)
    found = []
    for policy in catalogue.policies.values():
        if any(image.policy.name == policy.name for image in images):
            note = f" ({policy.eol_note})" if policy.eol_note else ""
            what = f"{policy.title}, the base of {policy.name}, is no longer maintained{note}"
            found.append(Ending(policy.eol, "base", policy.name, what))
    pins = {i.pin: i.minor for i in catalogue.interpreters.values() if i.implementation == "cpython"}
    built = {component for image in images for component in image.policy.build}
    for name, row in rows.items():
        if row.end_of_life == NEVER:
            continue
        if name in pins:
            what = f"Python {pins[name]} is no longer maintained upstream"
            found.append(Ending(row.end_of_life, "python", pins[name], what))
        elif name in built:
            what = f"the series {row.series} of {name} is no longer maintained upstream"
            found.append(Ending(row.end_of_life, "component", name, what))
    for each in deprecations.load(catalogue, rows):
        found.append(Ending(each.ends, "leaves", each.name, each.sentence(dated=False)))
    return sorted(found, key=lambda ending: (ending.day, ending.kind, ending.name))
