"""What the page tells, as the objects of its JSON: the templates show the same objects.

docs/api.md describes them, docs/api.schema.json is their schema.
"""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from catalogue import dependencies, images, locks, pins
from catalogue.distributions import NAMES, DistributionRelease, read_releases
from catalogue.interpreters import IMPLEMENTATIONS, Interpreter, matches
from catalogue.model import Catalogue, Image, Policy, RetiredPolicy
from catalogue.versions import version_key
from doctor import distributions as symbols
from explain import choose, reach
from explain.calendar import Ending, endings
from explain.documents import THRESHOLD
from explain.reach import ReachTable
from page.notes import joined
from page.published import Published
from portable import downloads, errors

Facts = dict[str, Any]


@dataclass(frozen=True)
class Tables:
    """Everything that is asked; `today` decides what has ended."""

    today: datetime.date
    published: Mapping[str, Published] = field(default_factory=dict)
    catalogue: Catalogue = field(default_factory=images.load)
    reach: ReachTable = field(default_factory=reach.load)
    releases: list[DistributionRelease] = field(default_factory=read_releases)

    @cached_property
    def versions(self) -> dict[str, str]:
        """Version of each pin, prebuilt interpreter and tool, as the next build takes it."""
        found = {name: pin.version for name, pin in pins.read().items()}
        found |= {tag: row.version for tag, row in downloads.load().interpreters.items()}
        for name in self.catalogue.tools:
            lock = locks.requirements((images.TOOLS / f"{name}.txt").read_text(encoding="utf-8"))
            found[name] = lock[name].version
        return found

    @cached_property
    def endings(self) -> list[Ending]:
        """What ends, soonest first."""
        return endings(self.catalogue, dependencies.load())

    def end(self, kind: str, name: str) -> str | None:
        """The day on which something ends, as text; None where no table knows it."""
        return next((each.day.isoformat() for each in self.endings if (each.kind, each.name) == (kind, name)), None)

    @cached_property
    def notes(self) -> list[Facts]:
        """What changed between tags, newest first."""
        return joined([note for known in self.published.values() for note in known.notes])

    @property
    def images(self) -> tuple[Image, ...]:
        """Every image, the unpublished ones and variants, too."""
        return self.catalogue.images(published_only=False, variants=True)


def slug(title: str) -> str:
    """A part of an address: "RHEL 8" -> "rhel-8"."""
    return "-".join(title.lower().split())


def image_facts(tables: Tables, image: Image) -> Facts:
    """One image."""
    policy, known = image.policy, tables.published.get(image.name, Published())
    return {
        "name": image.name,
        "repository": image.repository,
        "policy": policy.name,
        "platform": image.platform.name,
        "oci_platform": image.platform.oci,
        "variant": image.variant,
        "published": image.published,
        "status": policy.status,
        "tags": [f"{tag}_{image.platform.name}" for tag in policy.tags],
        "libc": policy.libc,
        "libc_version": policy.libc_version,
        "base": policy.base,
        "base_title": policy.title,
        "compiler": policy.compiler,
        "maintained_until": policy.eol.isoformat(),
        "maintained_note": policy.eol_note,
        "base_ended": policy.eol < tables.today,
        "leaves": tables.end("leaves", policy.name),
        "interpreters": [interpreter_row(tables, i) for i in image.interpreters],
        "on_demand": [interpreter_row(tables, i) for i in image.on_demand],
        "shared": [{"python": i.minor, "version": tables.versions[i.pin], "prefix": i.prefix} for i in image.shared],
        "tools": [{"name": tool.name, "version": _tool_version(tables, image, tool.name)} for tool in image.tools],
        "components": [_component(tables, name) for name in policy.build],
        "endings": [ending_facts(tables, ending) for ending in tables.endings if ending.concerns(image)],
        "tag": known.tag,
        "digest": known.digest,
        "content": known.content,
        "smoke": known.smoke and {"checks": known.smoke.checks, "failed": list(known.smoke.failed)},
        "canaries": known.canaries and {"checks": known.canaries.checks, "failed": list(known.canaries.failed)},
        "vulnerabilities": None if known.vulnerabilities is None else list(known.vulnerabilities),
        "sbom": bool(known.sbom),
        "notes": [note["slug"] for note in tables.notes if image.name in note["images"]],
    }


def _tool_version(tables: Tables, image: Image, name: str) -> str:
    """Empty where the distribution's own package serves."""
    where = tables.catalogue.tools[name].distribution_where
    return "" if matches(image.place, where) else tables.versions[name]


def _component(tables: Tables, name: str) -> Facts:
    version = tables.versions.get(name) or tables.versions.get({"tcltk": "tcl"}.get(name, ""), "")
    return {"name": name, "version": version}


def interpreter_row(tables: Tables, interpreter: Interpreter) -> Facts:
    """One interpreter, without where it is."""
    return {
        "tag": interpreter.tag,
        "implementation": IMPLEMENTATIONS[interpreter.implementation],
        "python": interpreter.minor,
        "threaded": interpreter.threaded,
        "status": interpreter.status,
        "preinstalled": interpreter.preinstalled,
        "version": tables.versions.get(interpreter.pin, ""),  # a pre-release on demand may have no archive yet
        "ends": tables.end("python", interpreter.minor) if interpreter.implementation == "cpython" else None,
        "leaves": tables.end("leaves", interpreter.tag),
    }


def interpreter_facts(tables: Tables, interpreter: Interpreter) -> Facts:
    """One interpreter and the images that have it."""
    having = [image for image in tables.images if interpreter in (*image.interpreters, *image.on_demand)]
    return {
        **interpreter_row(tables, interpreter),
        "path": f"/opt/python/{interpreter.tag}",
        "commands": list(interpreter.launchers),
        "images": [image.name for image in having if not image.variant],
    }


def ending_facts(tables: Tables, ending: Ending) -> Facts:
    """One entry of the calendar."""
    return {
        "id": ending.id,
        "day": ending.day.isoformat(),
        "kind": ending.kind,
        "name": ending.name,
        "what": ending.what,
        "ended": ending.day < tables.today,
    }


def policy_facts(tables: Tables, policy: Policy) -> Facts:
    """One policy, with its reach on each platform in per cent; None where nothing was counted."""
    here = [image for image in tables.images if image.policy.name == policy.name]
    asked = reach.maintained(tables.catalogue)
    pythons = tables.reach.fitting(asked)
    shares = {
        image.platform.name: tables.reach.sample(image.platform.name, pythons).share(policy.libc_version)
        for image in here
        if policy.libc == "glibc"
    }
    return {
        "name": policy.name,
        "tags": list(policy.tags),
        "libc": policy.libc,
        "libc_version": policy.libc_version,
        "status": policy.status,
        "base_title": policy.title,
        "compiler": policy.compiler,
        "released": policy.released and policy.released.isoformat(),
        "maintained_until": policy.eol.isoformat(),
        "maintained_note": policy.eol_note,
        "base_ended": policy.eol < tables.today,
        "leaves": tables.end("leaves", policy.name),
        "symbols": policy.symbols and {"GLIBCXX": policy.symbols.glibcxx, "CXXABI": policy.symbols.cxxabi},
        "images": [image.name for image in here],
        "reaches": {name: share for name, share in shares.items() if share is not None},
        "runs_on": [release.title for release in tables.releases if release.runs(policy)],
        "retired": None,
    }


def retired_facts(tables: Tables, policy: RetiredPolicy) -> Facts:
    """A policy that is no longer built, with the same keys."""
    return {
        "name": policy.name,
        "tags": [policy.name],
        "libc": policy.libc,
        "libc_version": policy.libc_version,
        "status": "retired",
        "base_title": policy.title,
        "compiler": policy.gcc,
        "released": None,
        "maintained_until": policy.ended.isoformat(),
        "maintained_note": "",
        "base_ended": True,
        "leaves": None,
        "symbols": None,
        "images": [],
        "reaches": {},
        "runs_on": [release.title for release in tables.releases if release.runs(policy)],
        "retired": {
            "last_tag": policy.last_tag,
            "repositories": [f"{tables.catalogue.registry}/{policy.name}_{name}" for name in policy.platforms],
        },
    }


def policies_facts(tables: Tables) -> list[Facts]:
    """Every policy, the newest C library first, retired ones last."""
    images_of = {image.policy.name for image in tables.images}
    current = [policy for policy in tables.catalogue.policies.values() if policy.name in images_of]
    current.sort(key=lambda policy: (policy.libc, version_key(policy.libc_version)))
    return [policy_facts(tables, p) for p in current] + [
        retired_facts(tables, p) for p in tables.catalogue.retired.values()
    ]


def distribution_facts(tables: Tables, release: DistributionRelease) -> Facts:
    """A release of a distribution: which wheels run there, and what its C++ library defines on each platform."""
    current = [policy for policy in tables.catalogue.policies.values() if release.runs(policy)]
    current.sort(key=lambda policy: version_key(policy.libc_version), reverse=True)
    retired = [policy.name for policy in tables.catalogue.retired.values() if release.runs(policy)][::-1]
    rows = [row for row in symbols.load() if row.id == f"{release.distribution}-{release.release}"]
    platforms = [row.platform for row in rows] or list(tables.catalogue.platforms)
    last = max(release.eol, release.lts_eol, release.extended_eol)
    newest: dict[str, str] = {}
    for policy in current:
        for image in tables.catalogue.images():
            if image.policy.name == policy.name and image.platform.name in platforms:
                newest.setdefault(image.platform.name, image.name)
    return {
        "slug": slug(release.title),
        "name": release.title,
        "distribution": NAMES[release.distribution],
        "libc": release.libc,
        "libc_version": release.libc_version,
        "rolling": release.rolling,
        "maintained_until": None if release.rolling else release.eol or None,
        "long_term_until": release.lts_eol or None,
        "extended_until": release.extended_eol or None,
        "ended": bool(release.eol) and not release.rolling and last < tables.today.isoformat(),
        "policies": [policy.name for policy in current],
        "retired_policies": retired,
        "newest_image": {name: newest[name] for name in tables.catalogue.platforms if name in newest},
        "symbols": {
            row.platform: {family: ".".join(map(str, version)) for family, version in row.versions.items()}
            for row in rows
        },
    }


def choices(tables: Tables) -> list[Facts]:
    """The answers of `invoke choose`, for every platform: without --python, and with each Python of the images."""
    built = {
        interpreter.minor
        for interpreter in tables.catalogue.interpreters.values()
        if interpreter.status != "prerelease"
    }
    found = []
    for platform in tables.catalogue.platforms:
        for python in (None, *sorted(built, key=version_key)):
            asked = reach.maintained(tables.catalogue) if python is None else reach.pythons(python)
            audience = choose.Audience(platform, asked, THRESHOLD, ())
            try:
                selections = choose.select(tables.catalogue, tables.reach, audience)
            except errors.Failure:  # a fork has no image for the platform
                continue
            answers = [choose.summary(each, tables.catalogue, tables.reach, tables.today) for each in selections]
            found.append({"platform": platform, "python": python, "pythons": str(asked), "answers": answers})
    return found
