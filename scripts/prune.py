#!/usr/bin/env python3
"""Retires published images: lists every tag of every repository with the reason why it stays or goes, then deletes.

The rules stand in docker/images.toml, [retention]; README explains them. A tag that stays for one image stays for
all, and so does every other tag of a digest that stays. Deleting is by digest and only happens with `--execute`.
"""

from __future__ import annotations

import argparse
import configparser
import datetime
import json
import re
import sys
import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from packaging.version import InvalidVersion, Version

import checkout
import errors
import images
from catalogue import Catalogue
from publish import Place, read_login
from registry import NotFound, Registry
from tags import dated, day_of, published

CIBUILDWHEEL = "https://github.com/pypa/cibuildwheel"
PINS_FILE = "cibuildwheel/resources/pinned_docker_images.cfg"
QUAY = "quay.io"

Tags = Mapping[str, Mapping[str, str]]  # repository name (without namespace) -> tag -> digest

_PIN = re.compile(
    r"(?:\S+/)?(?P<name>[^/:@\s]+)(?::(?P<tag>[^@\s]+)|@(?P<digest>sha256:[0-9a-f]{64})\s+#\s*(?P<comment>\S+))"
)


@dataclass(frozen=True)
class Pin:
    """One entry of cibuildwheel's list: the image it pins by tag, from some version on by digest too."""

    name: str
    tag: str
    digest: str
    cibuildwheel: str


@dataclass(frozen=True)
class Decision:
    """What happens to a tag, and why."""

    name: str
    tag: str
    digest: str
    keep: bool
    reason: str


def years_before(today: datetime.date, years: int) -> datetime.date:
    """The same day some years earlier; on 29 February that of the 28th."""
    day = 28 if (today.month, today.day) == (2, 29) else today.day
    return today.replace(year=today.year - years, day=day)


def parse_pins(text: str, version: str) -> list[Pin]:
    """The entries of one pinned_docker_images.cfg. Raises Failure for one that is neither of the known forms."""
    parser = configparser.ConfigParser(interpolation=None)
    try:
        parser.read_string(text)
    except configparser.Error as error:
        raise errors.Failure(f"cibuildwheel {version}: {error}") from None
    found = []
    for section in parser.sections():
        for key, value in parser.items(section):
            match = _PIN.fullmatch(value.strip())
            if not match:
                raise errors.Failure(f"cibuildwheel {version}: cannot read {key} = {value!r} of [{section}]")
            found.append(Pin(match["name"], match["tag"] or match["comment"], match["digest"] or "", version))
    return found


def cibuildwheel_pins(url: str, since: str) -> list[Pin]:
    """What any cibuildwheel from `since` on pins, read from every tag of its git repository, pre-releases too.

    Raises Failure where a tag that must have the list has none, or an unreadable one."""
    first = Version(since).release
    with tempfile.TemporaryDirectory() as directory:
        checkout.call("clone", "--quiet", "--bare", "--", url, directory)
        found: list[Pin] = []
        copy = Path(directory)
        for tag in checkout.call("for-each-ref", "--format=%(refname:strip=2)", "refs/tags", at=copy).split():
            try:
                release = Version(tag).release
            except InvalidVersion:
                continue
            if len(release) > 1 and release >= first:
                found += parse_pins(checkout.call("cat-file", "blob", f"{tag}:{PINS_FILE}", at=copy), tag)
    if not found:
        raise errors.Failure(f"{url} has no release from {since} on: refusing to prune without knowing what is pinned")
    return found


def decide(
    catalogue: Catalogue, tags: Tags, pins: Iterable[Pin], today: datetime.date
) -> tuple[list[Decision], list[str]]:
    """What happens to every tag, in the order given, and warnings."""
    retention = catalogue.retention
    limit = years_before(today, retention.years)
    warnings = []
    kept = {item.tag: item.reason for item in retention.keep}
    kept |= {retired.last_tag: f"the last of {retired.name}" for retired in catalogue.retired.values()}
    digests: dict[str, str] = {}
    for pin in pins:
        kept.setdefault(pin.tag, f"pinned by cibuildwheel {pin.cibuildwheel}")
        if pin.digest:
            digests.setdefault(pin.digest, f"pinned by cibuildwheel {pin.cibuildwheel}")
        if pin.name in tags and pin.tag not in tags[pin.name]:
            warnings.append(f"{pin.name}:{pin.tag} is pinned by cibuildwheel {pin.cibuildwheel} but does not exist")
    for name, having in tags.items():
        newest = max((tag for tag in having if day_of(tag)), key=_age_key, default=None)
        if newest and any(name == r or name.startswith(f"{r}_") for r in catalogue.retired):
            kept.setdefault(newest, f"the newest of {name}, which is retired")
    reasons: dict[tuple[str, str], str] = {}
    for name, having in tags.items():
        for tag in having:
            if tag == "latest":
                reasons[name, tag] = "latest"
            elif published(tag) in kept:
                reasons[name, tag] = kept[published(tag)]
            elif (date := day_of(tag)) is None:
                reasons[name, tag] = "its date cannot be read"
                warnings.append(f"{name}:{tag} stays because its date cannot be read")
            elif date >= limit:
                reasons[name, tag] = f"not yet {retention.years} years old"
        for tag, digest in having.items():
            if (name, tag) in reasons:
                digests.setdefault(digest, f"its digest is that of {name}:{tag}")
    decisions = []
    for name, having in tags.items():
        for tag, digest in having.items():
            reason = reasons.get((name, tag)) or digests.get(digest)
            decisions.append(Decision(name, tag, digest, reason is not None, reason or f"older than {limit}"))
    return decisions, warnings


def list_tags(place: Place, names: Iterable[str]) -> dict[str, dict[str, str]]:
    """Every tag and digest of these repositories; one that does not exist is left out."""
    found: dict[str, dict[str, str]] = {}
    for name in names:
        try:
            found[name] = _tags(place.registry, place.repository(name))
        except NotFound:
            continue
    return found


def _tags(registry: Registry, repository: str) -> dict[str, str]:
    if registry.host == QUAY:
        return quay_tags(registry, repository)
    digests = {tag: registry.digest(repository, tag) for tag in registry.tags(repository)}
    return {tag: digest for tag, digest in digests.items() if digest}


def quay_tags(registry: Registry, repository: str, base: str = f"https://{QUAY}") -> dict[str, str]:
    """Tag -> digest from quay's own API v1: a page of 100 tags a request instead of a request a tag.

    `GET /api/v1/repository/<repository>/tag/?limit=100&page=N` answers {"tags": [{"name", "manifest_digest"}],
    "has_additional"}."""
    found: dict[str, str] = {}
    page, more = 1, True
    while more:
        query = f"limit=100&page={page}&onlyActiveTags=true"
        document = registry.get_json(f"{base}/api/v1/repository/{repository}/tag/?{query}")
        found |= {row["name"]: row["manifest_digest"] for row in document["tags"]}
        page, more = page + 1, document["has_additional"]
    return found


def repositories(catalogue: Catalogue) -> list[str]:
    """Every repository that is or was published: images, retired images, and the indexes over both."""
    live = [name for group in catalogue.groups() for name in (*(i.name for i in group.members), group.name)]
    retired = [
        name
        for policy in catalogue.retired.values()
        for name in (*(f"{policy.name}_{platform}" for platform in policy.platforms), policy.name)
    ]
    return live + retired


def delete(place: Place, decisions: Iterable[Decision]) -> list[str]:
    """Deletes what does not stay, by digest; a deletion that fails does not stop the rest. Returns the failures."""
    failures = []
    for name, digest in dict.fromkeys((d.name, d.digest) for d in decisions if not d.keep):
        try:
            place.registry.delete(place.repository(name), digest)
        except NotFound:
            continue  # another run was faster
        except errors.Failure as error:
            failures.append(f"{name}@{digest}: {error}")
    return failures


def _age_key(tag: str) -> tuple[datetime.date, int, str]:
    """Orders dated tags; N counts as a number."""
    found = dated(published(tag))
    return day_of(tag) or datetime.date.min, found.number if found else 0, tag


def main() -> int:
    """Lists which published tags would go, and why the others stay; deletes with --execute."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--registry", metavar="HOST/NAMESPACE", help="default: the table's")
    parser.add_argument("--login", metavar="USER", help="the password is read from standard input")
    parser.add_argument("--cibuildwheel", default=CIBUILDWHEEL, metavar="URL", help="its git repository")
    parser.add_argument("--execute", action="store_true", help="really delete")
    parser.add_argument("--all", action="store_true", help="list what stays, too")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every decision there")
    options = parser.parse_args()
    catalogue = images.load()
    place = Place.parse(options.registry or catalogue.registry, read_login(options.login))
    pins = cibuildwheel_pins(options.cibuildwheel, catalogue.retention.cibuildwheel_from)
    tags = list_tags(place, repositories(catalogue))
    decisions, warnings = decide(catalogue, tags, pins, datetime.datetime.now(datetime.UTC).date())
    for warning in warnings:
        print(f"warning: {warning}", file=sys.stderr)
    going = [decision for decision in decisions if not decision.keep]
    for decision in decisions if options.all else going:
        verb = "keep" if decision.keep else "delete" if options.execute else "would delete"
        print(f"{verb} {decision.name}:{decision.tag} {decision.digest}: {decision.reason}")
    if options.json:
        rows: list[dict[str, Any]] = [asdict(decision) for decision in decisions]
        options.json.write_text(json.dumps(rows, indent=2) + "\n", encoding="utf-8")
    print(f"{len(going)} of {len(decisions)} tags go", file=sys.stderr)
    failures = delete(place, decisions) if options.execute else []
    for failure in failures:
        print(f"error: {failure}", file=sys.stderr)
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(errors.run(main))
