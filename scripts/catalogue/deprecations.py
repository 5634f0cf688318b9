"""Reads docker/deprecations.toml: which policies, interpreters and tools leave the images, and when."""

from __future__ import annotations

import calendar
import datetime
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

from catalogue import images
from catalogue.dependencies import Dependency
from catalogue.model import Catalogue, Policy
from catalogue.paths import DOCKER
from catalogue.versions import version_key
from portable import errors
from portable.toml import MAY_BE_EMPTY, NAME, Name, Prose, Tag, between, near_matches, read, read_toml

DEPRECATIONS_TOML = DOCKER / "deprecations.toml"

Kind = Literal["policy", "interpreter", "tool"]
Months = Annotated[int, between(1, 120)]


@dataclass(frozen=True)
class Deprecation:
    """From the day `ends` on, new images lack `name`.

    `upstream`: the last day of upstream's support, where it is known. `replacement` is empty if nothing serves instead,
    `last_tag` as long as new images have it."""

    kind: Kind
    name: str
    title: str
    ends: datetime.date
    upstream: datetime.date | None
    replacement: str
    last_tag: str
    reason: str

    def sentence(self, dated: bool = True) -> str:
        """For people: when it ends (unless that stands beside it), why, and what to use instead."""
        day = f" on {self.ends}" if dated else ""
        instead = f"; use {self.replacement} instead" if self.replacement else ""
        return f"{self.name} leaves the images{day} ({self.reason}){instead}"


@dataclass(frozen=True)
class _Rules:
    cpython_grace_months: Months
    base_grace_months: Months


@dataclass(frozen=True)
class _End:
    """A date that no rule gives."""

    name: Annotated[str, NAME]
    on: datetime.date
    reason: Prose
    replacement: Annotated[Name, MAY_BE_EMPTY] = ""
    last_tag: Annotated[Tag, MAY_BE_EMPTY] = ""


@dataclass(frozen=True)
class _Table:
    rules: _Rules
    ends: Mapping[str, _End] = field(default_factory=dict)


def load(
    catalogue: Catalogue, rows: Mapping[str, Dependency], path: Path = DEPRECATIONS_TOML
) -> tuple[Deprecation, ...]:
    """What leaves the images of a catalogue, soonest first; `rows` are those of docker/dependencies.toml.

    Raises UserError for a broken law, with the place in the file. Every name must be in docker/images.toml, even if an
    overlay leaves it out."""
    found = parse(read_toml(path), f"{path.name}:", images.load(overlay=images.NO_OVERLAY), rows)
    here = {image.policy.name for image in catalogue.all_images} | {*catalogue.interpreters, *catalogue.tools}
    return tuple(deprecation for deprecation in found if deprecation.name in here)


def parse(
    raw: Mapping[str, Any], where: str, catalogue: Catalogue, rows: Mapping[str, Dependency]
) -> tuple[Deprecation, ...]:
    """What the parsed file says; `where` begins every complaint."""
    table = read(_Table, raw, where)
    known = {**catalogue.policies, **catalogue.interpreters, **catalogue.tools}
    for name, end in table.ends.items():
        for said in (name, end.replacement):
            if said and said not in known:
                raise errors.UserError(
                    f"{where} ends.{name}: no policy, interpreter or tool is called {said!r}{near_matches(said, known)}"
                )
    found = {d.name: d for d in (*_policies(catalogue, table.rules), *_cpythons(catalogue, rows, table.rules))}
    for name, end in table.ends.items():
        kind, title = _kind_and_title(catalogue, name)
        upstream = found[name].upstream if name in found else None
        found[name] = Deprecation(kind, name, title, end.on, upstream, end.replacement, end.last_tag, end.reason)
    return tuple(sorted(found.values(), key=lambda d: (d.ends, d.kind, d.name)))


def end_of(policy: Policy, path: Path = DEPRECATIONS_TOML) -> datetime.date:
    """The first day on which a policy is no longer built."""
    table = read(_Table, read_toml(path), f"{path.name}:")
    if policy.name in table.ends:
        return table.ends[policy.name].on
    return months_later(policy.eol, table.rules.base_grace_months)


def months_later(day: datetime.date, months: int) -> datetime.date:
    """The same day of the month so many months later, or that month's last day."""
    years, month = divmod(day.month - 1 + months, 12)
    last = calendar.monthrange(day.year + years, month + 1)[1]
    return datetime.date(day.year + years, month + 1, min(day.day, last))


def _policies(catalogue: Catalogue, rules: _Rules) -> Iterator[Deprecation]:
    for policy in catalogue.policies.values():
        yield Deprecation(
            "policy",
            policy.name,
            policy.title,
            months_later(policy.eol, rules.base_grace_months),
            policy.eol,
            _next_policy(catalogue, policy),
            "",
            f"{policy.title} is maintained until {policy.eol}",
        )


def _next_policy(catalogue: Catalogue, policy: Policy) -> str:
    """The next newer stable policy of the same libc with a later end and a platform in common; empty without one."""
    newer = [
        p
        for p in catalogue.policies.values()
        if p.libc == policy.libc
        and p.status == "stable"
        and p.eol > policy.eol
        and version_key(p.libc_version) > version_key(policy.libc_version)
        and set(p.platforms) & set(policy.platforms)
    ]
    return min(newer, key=lambda p: version_key(p.libc_version)).name if newer else ""


def _cpythons(catalogue: Catalogue, rows: Mapping[str, Dependency], rules: _Rules) -> Iterator[Deprecation]:
    cpythons = [i for i in catalogue.interpreters.values() if i.pin in rows]  # not a pre-release that has no pin yet
    for interpreter in cpythons:
        end = rows[interpreter.pin].end_of_life
        if end == datetime.date.max:
            continue
        here = version_key(interpreter.minor)
        newer = [i for i in cpythons if i.threaded == interpreter.threaded and version_key(i.minor) > here]
        yield Deprecation(
            "interpreter",
            interpreter.tag,
            interpreter.title,
            months_later(end, rules.cpython_grace_months),
            end,
            min(newer, key=lambda i: version_key(i.minor)).tag if newer else "",
            "",
            f"CPython {interpreter.minor} is maintained until {end}",
        )


def _kind_and_title(catalogue: Catalogue, name: str) -> tuple[Kind, str]:
    if name in catalogue.policies:
        return "policy", catalogue.policies[name].title
    if name in catalogue.interpreters:
        return "interpreter", catalogue.interpreters[name].title
    return "tool", name
