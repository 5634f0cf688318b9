"""Publishing: from candidates to dated tags, indexes and `latest`, all platforms of a policy together or not at all.

An image is pushed under a candidate tag first. Only when every platform of its policy has a candidate of the same
commit are the manifests copied, in an order that never shows a wrong dated tag: first the dated tags of all platforms,
then the index over them, then `latest` everywhere. A dated tag is never overwritten, and only `rollback` takes `latest`
back; what is already done is skipped, so that a second run completes an interrupted first one. Nothing is written
without `--execute`.
"""

from __future__ import annotations

import datetime
import functools
import json
import re
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from catalogue import checkout, paths, tags
from catalogue.model import Group, Image
from network import oci
from network.oci import Manifest
from network.registry import NotFound
from portable import errors
from publish import push
from publish.destination import Destination
from publish.fitness import REVISION_LABEL, differences, platform_of, unfit
from publish.push import candidate

VERSION_LABEL = "org.opencontainers.image.version"

_HANDED = re.compile(r"(?P<repository>[^\s@]+)@(?P<digest>sha256:[0-9a-f]{64})")


def revision(root: Path = paths.ROOT) -> str:
    """The commit of HEAD. Raises Failure where the tree holds changes that no commit has."""
    if changed := checkout.changes(root):
        raise errors.Failure(
            f"the tree has changes that are not committed ({', '.join(changed[:5])}): commit them, then build and test "
            "again"
        )
    return checkout.commit(root)


@dataclass(frozen=True)
class Step:
    """One thing left to do: what it is, for people, and how."""

    what: str
    do: Callable[[], None]


def steps(
    place: Destination, group: Group, tag: str, commit: str, handed: Mapping[str, str] | None = None
) -> list[Step]:
    """What publishing the candidates of `tag` still takes, in order; empty when it is published already.

    `handed` says which digest each candidate has, by repository; without it, the candidate tags do. Raises Failure,
    naming every reason, when a platform is missing, partial, another image, of another commit or on an unpinned base,
    and when a dated tag already holds something else."""
    registry = place.registry
    manifests, refusals = {}, []
    for image in group.members:
        repository = place.repository(image.name)
        try:
            manifests[image.name] = _published_or_candidate(place, image, tag, handed)
        except NotFound:
            refusals.append(f"{image.name}: there is no {candidate(tag)} yet")
            continue
        configuration = registry.configuration(repository, manifests[image.name])
        refusals += [f"{image.name}: {why}" for why in unfit(image, configuration, commit)]
    if refusals:
        raise errors.Failure(f"{place}/{group.name}:{tag} cannot be published:\n  " + "\n  ".join(refusals))
    index = index_of(group, manifests, tag, commit)
    home = place.repository(group.name)
    found = registry.digest(home, tag)
    if found not in (None, index.digest):
        raise _taken(f"{place}/{group.name}:{tag}", found, index.digest)
    plan = []
    for image in group.members:
        repository, manifest = place.repository(image.name), manifests[image.name]
        if registry.digest(repository, tag) != manifest.digest:
            what = f"point {registry.host}/{repository}:{tag} to {manifest.digest}"
            plan.append(Step(what, functools.partial(_put_image, place, group, image, tag, manifest)))
    if found is None:
        what = f"index {place}/{group.name}:{tag}"
        plan.append(Step(what, functools.partial(_put_index, place, group, manifests, index, tag)))
    return plan if overtaken(place, group, tag) else plan + _latest_steps(place, group, tag, manifests, index)


def overtaken(place: Destination, group: Group, tag: str) -> str:
    """The newest tag that the group is published as, if it is newer than `tag`; else "".

    A dated index is there before the first `latest` moves to it: who looks here cannot take one back."""
    ours = tags.dated(tag)
    try:
        listed = place.registry.tags(place.repository(group.name))
    except NotFound:
        return ""
    there = [found for name in listed if (found := tags.dated(name)) and not _impossible(found)]
    newest = max(there, default=None)
    return str(newest) if newest and ours and newest > ours else ""


def is_ahead(place: Destination, group: Group, tag: str) -> str:
    """The tag that `latest` of the group stands for, if it is newer than `tag`; else ""."""
    try:
        annotations = place.registry.manifest(place.repository(group.name), "latest").annotations
    except NotFound:
        return ""
    there, ours = tags.dated(annotations.get(VERSION_LABEL, "")), tags.dated(tag)
    return str(there) if there and ours and there > ours and not _impossible(there) else ""


def _impossible(tag: tags.DatedTag) -> bool:
    """Whether a tag is of a day that has not come: a clock was wrong, and it must not hold `latest` until then."""
    return tag.day > datetime.datetime.now(datetime.UTC).date() + datetime.timedelta(days=1)


def rollback_steps(place: Destination, group: Group, tag: str) -> list[Step]:
    """What pointing every `latest` of the group back to a dated tag takes. Raises Failure where that is not whole."""
    problems = [problem for problem in verify(place, group, tag) if not problem.startswith("latest")]
    if problems:
        raise errors.Failure(f"{place}/{group.name}:{tag} is not whole:\n  " + "\n  ".join(problems))
    manifests = {i.name: place.registry.manifest(place.repository(i.name), tag) for i in group.members}
    index = place.registry.manifest(place.repository(group.name), tag)
    return _latest_steps(place, group, tag, manifests, index, back=True)


def verify(place: Destination, group: Group, tag: str) -> list[str]:
    """What is wrong with a published tag; empty when every platform has its image, the index is complete and latest
    follows.

    Problems of `latest` begin with that word; it may follow a newer tag."""
    registry, problems = place.registry, []
    latest_problems = []
    ahead = is_ahead(place, group, tag)
    found: dict[str, Manifest] = {}
    for name in (*(image.name for image in group.members), group.name):
        repository = place.repository(name)
        try:
            found[name] = registry.manifest(repository, tag)
        except NotFound:
            problems.append(f"{name} has no {tag}")
            continue
        if not ahead and (latest := registry.digest(repository, "latest")) != found[name].digest:
            latest_problems.append(f"latest of {name} is {latest}, not {found[name].digest} of {tag}")
    for image in group.members:
        if image.name in found:
            configuration = registry.configuration(place.repository(image.name), found[image.name])
            problems += [f"{image.name}:{tag}: {why}" for why in differences(image, configuration)]
    if group.name in found:
        listed = {(entry.digest, entry.platform) for entry in found[group.name].entries}
        wanted = {(found[i.name].digest if i.name in found else "?", platform_of(i)) for i in group.members}
        problems += [f"the index of {group.name} lacks {what} ({digest})" for digest, what in sorted(wanted - listed)]
        problems += [f"the index of {group.name} has {what} ({digest})" for digest, what in sorted(listed - wanted)]
    return problems + latest_problems


def index_of(group: Group, manifests: dict[str, Manifest], tag: str, commit: str) -> Manifest:
    """The index over all platforms; the same input gives the same bytes."""
    rows = []
    for image in group.members:
        system, architecture, *variant = image.platform.oci.split("/")
        rows.append(
            {
                "mediaType": manifests[image.name].media_type,
                "digest": manifests[image.name].digest,
                "size": len(manifests[image.name].content),
                "platform": {
                    "os": system,
                    "architecture": architecture,
                    **({"variant": variant[0]} if variant else {}),
                },
            }
        )
    document = {
        "schemaVersion": 2,
        "mediaType": oci.INDEX_TYPES[0],
        "manifests": rows,
        "annotations": {VERSION_LABEL: tag, REVISION_LABEL: commit},
    }
    return Manifest(json.dumps(document, separators=(",", ":")).encode(), oci.INDEX_TYPES[0])


def carry_out(plan: Iterable[Step], execute: bool) -> None:
    """Does the steps one by one, or only says them."""
    for step in plan:
        print(step.what if execute else f"would {step.what}", file=sys.stderr)
        if execute:
            step.do()


def read_handed(path: Path) -> dict[str, str]:
    """Repository -> digest from what `push` has printed, in a file or in all files of a directory.

    Raises UserError for a line of another form and for two digests of one repository."""
    files = sorted(path.iterdir()) if path.is_dir() else [path]
    found: dict[str, str] = {}
    for file in files:
        try:
            lines = file.read_text(encoding="utf-8").split()
        except (OSError, ValueError) as error:
            raise errors.UserError(f"{file}: {error}") from None
        for line in lines:
            match = _HANDED.fullmatch(line)
            if not match or found.setdefault(match["repository"], match["digest"]) != match["digest"]:
                raise errors.UserError(f"{file}: {line!a} is not <repository>@<digest>, or not the only one")
    return found


def _published_or_candidate(place: Destination, image: Image, tag: str, handed: Mapping[str, str] | None) -> Manifest:
    """Raises NotFound where there is neither, Failure where what is published is not what was handed over."""
    registry, repository = place.registry, place.repository(image.name)
    name = f"{registry.host}/{repository}"
    if handed is not None and name not in handed:
        raise errors.Failure(f"{name}:{tag} cannot be published: nobody has handed over its candidate's digest")
    try:
        published = registry.manifest(repository, tag)
    except NotFound:
        found = registry.manifest(repository, handed[name] if handed is not None else candidate(tag))
        return push.only_image(registry, repository, found)
    if handed is not None and published.digest != handed[name]:
        raise _taken(f"{name}:{tag}", published.digest, handed[name])
    return published


def _taken(target: str, found: str | None, ours: str) -> errors.Failure:
    return errors.Failure(f"{target} holds {found}, not {ours}; a dated tag is never overwritten")


# --- Steps: what allows them is asked again when their turn has come ----------------------------------------


def _put_dated(place: Destination, repository: str, tag: str, manifest: Manifest) -> None:
    """Points a dated tag to a manifest, unless it exists; afterwards it holds that or this raises Failure."""
    found = place.registry.digest(repository, tag)
    if found is None:
        place.registry.put_manifest(repository, tag, manifest)
        found = place.registry.digest(repository, tag)
    if found != manifest.digest:
        raise _taken(f"{place.registry.host}/{repository}:{tag}", found, manifest.digest)


def _put_image(place: Destination, group: Group, image: Image, tag: str, manifest: Manifest) -> None:
    """Points the dated tag of one platform to its manifest. Where somebody else has published another one while we
    wrote, that gets its tag back."""
    repository = place.repository(image.name)
    _put_dated(place, repository, tag, manifest)
    try:
        entries = place.registry.manifest(place.repository(group.name), tag).entries
    except NotFound:
        return
    for theirs in (entry.digest for entry in entries if entry.platform == platform_of(image)):
        if theirs != manifest.digest:
            place.registry.put_manifest(repository, tag, place.registry.manifest(repository, theirs))
            raise _taken(f"{place.registry.host}/{repository}:{tag}", theirs, manifest.digest)


def _put_index(place: Destination, group: Group, manifests: dict[str, Manifest], index: Manifest, tag: str) -> None:
    """Brings every platform's manifest into the index's own repository, then stores the index."""
    home = place.repository(group.name)
    for image in group.members:
        _check_holds(place, place.repository(image.name), tag, manifests[image.name])
        for blob in manifests[image.name].blobs:
            place.registry.mount_blob(home, blob, place.repository(image.name))
        place.registry.put_manifest(home, manifests[image.name].digest, manifests[image.name])
    _put_dated(place, home, tag, index)


def _check_holds(place: Destination, repository: str, tag: str, manifest: Manifest) -> None:
    """Raises Failure where a dated tag is no longer what it was."""
    if (found := place.registry.digest(repository, tag)) != manifest.digest:
        raise _taken(f"{place.registry.host}/{repository}:{tag}", found, manifest.digest)


def _latest_steps(
    place: Destination, group: Group, tag: str, manifests: dict[str, Manifest], index: Manifest, back: bool = False
) -> list[Step]:
    """The steps that point every `latest` of the group to the manifests of a dated tag; `back`: even if overtaken."""
    plan = []
    for name, manifest in (*((image.name, manifests[image.name]) for image in group.members), (group.name, index)):
        repository = place.repository(name)
        if place.registry.digest(repository, "latest") != manifest.digest:
            what = f"point {place.registry.host}/{repository}:latest to {manifest.digest}"
            plan.append(Step(what, functools.partial(_put_latest, place, group, repository, tag, manifest, back)))
    return plan


def _put_latest(place: Destination, group: Group, repository: str, tag: str, manifest: Manifest, back: bool) -> None:
    """Points `latest` to the manifest of a dated tag. Unless `back`, a newer tag that is published keeps it, also when
    that was published while we wrote."""
    _check_holds(place, repository, tag, manifest)
    if not back and (newer := overtaken(place, group, tag)):
        print(f"{place.registry.host}/{repository}:latest stays: {newer} is published, too", file=sys.stderr)
        return
    place.registry.put_manifest(repository, "latest", manifest)
    if not back and (newer := overtaken(place, group, tag)):
        place.registry.put_manifest(repository, "latest", place.registry.manifest(repository, newer))
