"""Retires published images: lists every tag of every repository with the reason why it stays or goes, then deletes.

The rules are in docker/images.toml, [retention]; docs/retention.md explains them. A tag that one image keeps is kept
for all images, and a kept digest keeps all of its tags. Images are deleted by digest, and only with `--execute`. What
is attached to an image stays as long as the image and goes after it: once the image is gone, not before.

It fails closed: anything that cannot be read stops it before the first deletion, and before each deletion it reads and
judges the tags of the repository again. A wrong clock stops it, and so does a list with too many tags.
"""

from __future__ import annotations

import argparse
import contextlib
import datetime
import json
import sys
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

from catalogue import images
from catalogue.model import Catalogue
from catalogue.tags import dated, day_of, published
from network import referrers
from network.referrers import subject_of
from network.registry import NotFound
from portable import downloads, errors
from publish.cibuildwheel import CIBUILDWHEEL, PinnedImage, cibuildwheel_pins
from publish.destination import Destination, read_login
from publish.listing import TagReader

BRAKE = 10  # percent of all tags: deleting more needs --consent
CLOCK = datetime.timedelta(days=366)  # the newest dated tag may differ by this from today

Tags = Mapping[str, Mapping[str, str]]  # repository name (without namespace) -> tag -> digest


@dataclass(frozen=True)
class Decision:
    """What happens to a tag, and why."""

    name: str
    tag: str
    digest: str
    keep: bool
    reason: str


def years_before(today: datetime.date, years: int) -> datetime.date:
    """The same day some years earlier; for 29 February that is the 28th."""
    day = 28 if (today.month, today.day) == (2, 29) else today.day
    return today.replace(year=today.year - years, day=day)


def decide(
    catalogue: Catalogue,
    tags: Tags,
    pins: Iterable[PinnedImage],
    today: datetime.date,
    inside: Mapping[str, Iterable[str]] | None = None,
    gone: Iterable[tuple[str, str]] = (),
    layers: Mapping[str, downloads.Kept] | None = None,
) -> tuple[list[Decision], list[str]]:
    """What happens to every tag, in the order given, and warnings.

    `inside`: index -> the manifests that it lists; `gone`: repository and digest of images that were asked for and are
    not there; `layers`: the interpreters that are installed from the layers of published images, by tag."""
    retention = catalogue.retention
    limit = years_before(today, retention.years)
    warnings = []
    kept = {item.tag: item.reason for item in retention.keep}
    kept |= {retired.last_tag: f"the last of {retired.name}" for retired in catalogue.retired.values()}
    for interpreter, each in (layers or {}).items():
        for name, layer in each.layers.items():
            kept.setdefault(layer.tag, f"{interpreter} is installed from its layer")
            if name in tags and layer.tag not in tags[name]:
                warnings.append(f"{name}:{layer.tag} does not exist, but {interpreter} is installed from its layer")
    digests: dict[str, str] = {}
    for pin in pins:
        kept.setdefault(pin.tag, f"pinned by cibuildwheel {pin.cibuildwheel}")
        if pin.digest:
            digests.setdefault(pin.digest, f"pinned by cibuildwheel {pin.cibuildwheel}")
        if pin.name in tags and pin.tag not in tags[pin.name]:
            warnings.append(f"{pin.name}:{pin.tag} is pinned by cibuildwheel {pin.cibuildwheel} but does not exist")
    for name in retired_repositories(catalogue):
        if newest := max((tag for tag in tags.get(name, ()) if day_of(tag)), key=_age_key, default=None):
            kept.setdefault(published(newest), f"the newest of {name}, which is retired")
    reasons: dict[tuple[str, str], str] = {}
    for name, having in tags.items():
        if having and "latest" not in having:
            warnings.append(f"{name} has no latest, which would protect what is in use: it is left alone")
        for tag in having:
            if subject_of(tag):
                continue  # what happens to its image comes first
            if tag == "latest":
                reasons[name, tag] = "latest"
            elif published(tag) in kept:
                reasons[name, tag] = kept[published(tag)]
            elif (date := day_of(tag)) is None:
                reasons[name, tag] = "its date cannot be read"
                warnings.append(f"{name}:{tag} stays because its date cannot be read")
            elif date >= limit:
                reasons[name, tag] = f"not yet {retention.years} years old"
            elif "latest" not in having:
                reasons[name, tag] = "its repository has no latest"
    inside = inside or {}
    _protect(digests, tags, reasons, inside)
    going: dict[tuple[str, str], str] = {}
    for name, having in tags.items():
        for tag, subject in ((tag, subject_of(tag)) for tag in having if subject_of(tag)):
            known = {each for digest in having.values() for each in (digest, *inside.get(digest, ()))}
            if subject in digests:
                reasons[name, tag] = f"{subject} stays, to which this belongs"
            elif "latest" not in having:
                reasons[name, tag] = "its repository has no latest"
            elif subject in known:
                going[name, tag] = f"{subject} goes, to which this belongs"
            elif (name, subject) in gone:
                going[name, tag] = f"{subject} is gone, to which this belongs"
            else:
                reasons[name, tag] = f"{subject} has no tag any more, but may be in use"
    _protect(digests, tags, reasons, inside)
    decisions = []
    for name, having in tags.items():
        for tag, digest in having.items():
            why = reasons.get((name, tag)) or digests.get(digest)
            otherwise = going.get((name, tag), f"older than {limit}")
            decisions.append(Decision(name, tag, digest, why is not None, why or otherwise))
    return decisions, warnings


def _protect(
    digests: dict[str, str],
    tags: Tags,
    reasons: Mapping[tuple[str, str], str],
    inside: Mapping[str, Iterable[str]],
) -> None:
    """Adds the digest of every tag that stays to those that stay, and what it lists if it is an index."""
    for name, tag in reasons:
        digests.setdefault(tags[name][tag], f"its digest is that of {name}:{tag}")
    for index in [digest for digest in digests if digest in inside]:
        for digest in inside[index]:
            digests.setdefault(digest, f"the index {index} lists it")


def live_repositories(catalogue: Catalogue) -> list[str]:
    """The repositories of images and of the indexes over them."""
    return [name for group in catalogue.groups() for name in (*(i.name for i in group.members), group.name)]


def retired_repositories(catalogue: Catalogue) -> list[str]:
    """The repositories of retired policies."""
    return [
        name
        for policy in catalogue.retired.values()
        for name in (*(f"{policy.name}_{platform}" for platform in policy.platforms), policy.name)
    ]


def check_clock(tags: Tags, live: Iterable[str], today: datetime.date) -> None:
    """Raises Failure where the newest dated tag of the live repositories is over a year from today, or missing.

    Either the clock or the list of tags is wrong then."""
    days = [(day, f"{name}:{tag}") for name in live for tag in tags.get(name, ()) if (day := day_of(tag))]
    day, newest = max(days, default=(datetime.date.min, "there is no dated tag"))
    if abs(today - day) > CLOCK:
        raise errors.Failure(
            f"refusing to prune: today is {today}, over a year from the newest tag: {newest}; check the clock"
        )


@dataclass
class Pruning:
    """One run: the tags, which are read again before each deletion, and the rules that judge them."""

    catalogue: Catalogue
    listing: TagReader
    pins: Iterable[PinnedImage]
    today: datetime.date
    layers: Mapping[str, downloads.Kept] = field(default_factory=dict)
    tags: dict[str, Mapping[str, str]] = field(default_factory=dict)
    gone: set[tuple[str, str]] = field(default_factory=set)

    def read(self) -> None:
        """Reads every repository that exists, by content where a tag may go. Raises Failure for a wrong clock."""
        live = live_repositories(self.catalogue)
        for name in (*live, *retired_repositories(self.catalogue)):
            with contextlib.suppress(NotFound):  # never published
                self.tags[name] = self.listing.quick(name)
        if self.listing.is_quick:
            for name in dict.fromkeys(decision.name for decision in self.decide()[0] if not decision.keep):
                self.tags[name] = self.listing.read(name)
        for name in self.tags:
            self._look_for_images(name)
        if any(not decision.keep for decision in self.decide()[0]):
            check_clock(self.tags, live, self.today)

    def decide(self) -> tuple[list[Decision], list[str]]:
        """What happens to every tag as it was last read, and warnings."""
        inside, gone, layers = self.listing.inside, self.gone, self.layers
        return decide(self.catalogue, self.tags, self.pins, self.today, inside, gone, layers)

    def _look_for_images(self, name: str) -> None:
        """Asks for the images that no tag stands for any more, but to which something belongs."""
        having, place = self.tags[name], self.listing.place
        known = {each for digest in having.values() for each in (digest, *self.listing.inside.get(digest, ()))}
        for subject in {subject_of(tag) for tag in having} - known - {""}:
            if place.registry.digest(place.repository(name), subject) is None:
                self.gone.add((name, subject))
            else:
                self.gone.discard((name, subject))

    def delete(self, decisions: Iterable[Decision]) -> list[str]:
        """Deletes every digest that nothing keeps; a failed deletion does not stop the rest. Returns the failures.

        It reads the tags again before each deletion: what was moved, published or taken back meanwhile is kept."""
        failures = []
        going = {(each.name, each.digest): subject_of(each.tag) for each in decisions if not each.keep}
        for (name, digest), subject in sorted(going.items(), key=lambda item: bool(item[1])):  # images first
            try:
                self.tags[name] = self.listing.read(name, self.tags[name])
                self._look_for_images(name)
                now = [each for each in self.decide()[0] if (each.name, each.digest) == (name, digest)]
                if stays := [each for each in now if each.keep]:
                    print(f"keep {name}@{digest} after all: {stays[0].reason} ({stays[0].tag})", file=sys.stderr)
                elif now and subject:
                    self._delete_attached(name, subject)
                    self._delete(name, digest)
                elif now:
                    self._delete_image(name, digest)
            except NotFound:
                continue  # another run was faster
            except errors.Failure as error:
                failures.append(f"{name}@{digest}: {error}")
        return failures

    def _delete_image(self, name: str, digest: str) -> None:
        """Deletes an image, then what is attached to it; of an index, also the images that nothing else keeps.

        What is attached is read before: where it cannot be read, nothing is deleted."""
        place = self.listing.place
        attached = referrers.referrers(place.registry, place.repository(name), digest)
        place.registry.delete(place.repository(name), digest)
        self._delete_attached(name, digest, attached)
        listed = self.listing.inside.get(digest, ())
        for each in (each for each in listed if each not in self._kept()):
            with contextlib.suppress(NotFound):
                self._delete_image(name, each)

    def _delete_attached(self, name: str, subject: str, found: Iterable[referrers.Referrer] | None = None) -> None:
        """Deletes what is attached to an image. Raises Failure where the image is still there."""
        place = self.listing.place
        if place.registry.digest(place.repository(name), subject):
            raise errors.Failure(f"{subject} is still there: what is attached to it stays")
        if found is None:
            found = referrers.referrers(place.registry, place.repository(name), subject)
        kept = self._kept()
        for each in (each.manifest.digest for each in found if each.manifest.digest not in kept):
            self._delete(name, each)

    def _delete(self, name: str, digest: str) -> None:
        with contextlib.suppress(NotFound):
            self.listing.place.registry.delete(self.listing.place.repository(name), digest)

    def _kept(self) -> set[str]:
        """The digests of every tag that stays, and of the images in indexes that stay."""
        kept = {each.digest for each in self.decide()[0] if each.keep}
        return kept.union(*(self.listing.inside.get(digest, ()) for digest in kept))


def brake(going: int, of: int, consent: int | None) -> str:
    """Why so many tags must not go; "" where they may. `consent` is the number that a person has agreed to, if any."""
    if consent is not None and consent != going:
        return f"{going} tags go now, not the {consent} of --consent: look at the list again"
    if consent is None and going * 100 > of * BRAKE:
        return f"more than {BRAKE} % of all tags go: look at the list, then add --consent {going}"
    return ""


def _age_key(tag: str) -> tuple[datetime.date, int, str]:
    """Sorts dated tags by day, then by N as a number."""
    found = dated(published(tag))
    return day_of(tag) or datetime.date.min, found.number if found else 0, tag


def main() -> int:
    """Lists which published tags would go, and why the others stay; deletes with --execute."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--registry", metavar="HOST/NAMESPACE", help="where to prune (default: the table's)")
    parser.add_argument("--login", metavar="USER", help="log in as this user; standard input has the password")
    parser.add_argument(
        "--cibuildwheel", default=CIBUILDWHEEL, metavar="URL", help="the git repository of cibuildwheel"
    )
    parser.add_argument("--execute", action="store_true", help="delete them")
    parser.add_argument(
        "--consent",
        type=int,
        metavar="N",
        help=f"agree that N tags go, as the list says; needed where more than {BRAKE} %% of all tags go",
    )
    parser.add_argument("--all", action="store_true", help="list the tags that stay as well")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every decision to this file, as JSON")
    options = parser.parse_args()
    catalogue = images.load()
    place = Destination.parse(options.registry or catalogue.registry, read_login(options.login))
    pins = cibuildwheel_pins(options.cibuildwheel, catalogue.retention.cibuildwheel_from)
    today = datetime.datetime.now(datetime.UTC).date()
    run = Pruning(catalogue, TagReader(place), pins, today, downloads.load().kept)
    run.read()
    decisions, warnings = run.decide()
    for warning in warnings:
        print(f"warning: {warning}", file=sys.stderr)
    going = [decision for decision in decisions if not decision.keep]
    for decision in decisions if options.all else going:
        verb = "keep" if decision.keep else "delete" if options.execute else "would delete"
        print(f"{verb} {decision.name}:{decision.tag} {decision.digest}: {decision.reason}")
    if options.json:
        try:
            options.json.write_text(json.dumps([asdict(each) for each in decisions], indent=2) + "\n", encoding="utf-8")
        except OSError as error:
            raise errors.UserError(f"{options.json}: {error.strerror}") from None
    print(f"{len(going)} of {len(decisions)} tags go", file=sys.stderr)
    if problem := brake(len(going), len(decisions), options.consent):
        if options.execute:
            raise errors.Failure(problem)
        print(f"note: {problem}", file=sys.stderr)
    failures = run.delete(decisions) if options.execute else []
    for failure in failures:
        print(f"error: {failure}", file=sys.stderr)
    return 1 if failures else 0
