"""Publishing: from candidates to dated tags, indexes and `latest`, all platforms of a policy together or not at all.

An image is pushed under a candidate tag first. Only when every platform of its policy has a candidate of the same
commit are the manifests copied, in an order that never shows a wrong dated tag: first the dated tags of all platforms,
then the index over them, then `latest` everywhere. A dated tag is never overwritten, and only `rollback` takes `latest`
back. What is attached to an image is there before its tag, and goes with it into the index's repository; the index has
provenance of its own. Steps that are already done are skipped: running it again completes an interrupted run. Nothing
is written without `--execute`.
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
from network import oci, referrers
from network.oci import Manifest
from network.registry import NotFound, only_image
from portable import errors
from publish import attachments, provenance
from publish.attachments import UNSIGNED, Signer
from publish.canaries import Judged
from publish.destination import Destination
from publish.fitness import REVISION_LABEL, differences, platform_of, unfit
from publish.push import candidate

VERSION_LABEL = "org.opencontainers.image.version"

_HANDED = re.compile(r"(?P<repository>[^\s@]+)@(?P<digest>sha256:[0-9a-f]{64})")


def revision(root: Path = paths.ROOT) -> str:
    """The commit of HEAD. Raises Failure where the work tree has uncommitted changes."""
    if changed := checkout.changes(root):
        raise errors.Failure(
            f"the work tree has uncommitted changes ({', '.join(changed[:5])}): commit them, then build and test again"
        )
    return checkout.commit(root)


@dataclass(frozen=True)
class Step:
    """One thing left to do: a description for people, and the function that does it."""

    what: str
    do: Callable[[], object]


def steps(
    place: Destination,
    group: Group,
    tag: str,
    commit: str,
    handed: Mapping[str, str] | None = None,
    signer: Signer = UNSIGNED,
    canaries: Judged | None = None,
) -> list[Step]:
    """What publishing the candidates of `tag` still takes, in order; empty when it is published already.

    `handed` has the digest of each candidate by repository; without it, the candidate tags name them. Raises Failure,
    with every reason, when an image is missing, partial, not what its name says, built from another commit or on an
    unpinned base, when it has no provenance, when a canary failed in it, and when a dated tag already holds another
    digest."""
    registry, canaries = place.registry, canaries or Judged()
    manifests, refusals = {}, []
    for image in group.members:
        repository = place.repository(image.name)
        try:
            manifests[image.name] = _published_or_candidate(place, image, tag, handed)
        except NotFound:
            refusals.append(f"{image.name}: there is no {candidate(tag)} yet")
            continue
        configuration = registry.configuration(repository, manifests[image.name])
        wrong = unfit(image, configuration, commit)
        wrong = wrong or attachments.unaccounted(registry, repository, manifests[image.name], image.name, commit)
        wrong = wrong or canaries.refusals(registry, repository, image, manifests[image.name])
        refusals += [f"{image.name}: {why}" for why in wrong]
    if refusals:
        raise errors.Failure(f"{place}/{group.name}:{tag} cannot be published:\n  " + "\n  ".join(refusals))
    index = index_of(group, manifests, tag, commit)
    home = place.repository(group.name)
    found = registry.digest(home, tag)
    if found not in (None, index.digest):
        raise _taken(f"{place}/{group.name}:{tag}", found, index.digest)
    plan: list[Step] = []
    for image in group.members:
        repository, manifest = place.repository(image.name), manifests[image.name]
        if artifact := canaries.lacking(registry, repository, image, manifest):
            what = f"attach what became of the canaries in {manifest.digest} of {registry.host}/{repository}"
            plan.append(Step(what, functools.partial(referrers.attach, registry, repository, manifest, [artifact])))
        if registry.digest(repository, tag) != manifest.digest:
            what = f"point {registry.host}/{repository}:{tag} to {manifest.digest}"
            plan.append(Step(what, functools.partial(_put_image, place, group, image, tag, manifest)))
    if found is None:
        what = f"index {place}/{group.name}:{tag}"
        made = provenance.of_index(group, index, manifests, commit)
        attach = functools.partial(attachments.attach, place.registry, home, index, {}, made, signer)
        plan.append(Step(what, functools.partial(_put_index, place, group, manifests, index, tag, attach)))
    return plan if overtaken(place, group, tag) else plan + _latest_steps(place, group, tag, manifests, index)


def overtaken(place: Destination, group: Group, tag: str) -> str:
    """The newest dated tag of the group's index, if it is newer than `tag`; else "".

    An index gets its dated tag before any `latest` moves to it: who asks here first cannot take `latest` back."""
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
    """Whether the day of a tag is in the future. A wrong clock made that tag; it must not keep `latest` from moving."""
    return tag.day > datetime.datetime.now(datetime.UTC).date() + datetime.timedelta(days=1)


def rollback_steps(place: Destination, group: Group, tag: str) -> list[Step]:
    """The steps that point every `latest` of the group back to a dated tag. Raises Failure where it is incomplete."""
    problems = [problem for problem in problems_of(place, group, tag) if not problem.startswith("latest")]
    if problems:
        raise errors.Failure(f"{place}/{group.name}:{tag} is not whole:\n  " + "\n  ".join(problems))
    manifests = {i.name: place.registry.manifest(place.repository(i.name), tag) for i in group.members}
    index = place.registry.manifest(place.repository(group.name), tag)
    return _latest_steps(place, group, tag, manifests, index, back=True)


def problems_of(place: Destination, group: Group, tag: str) -> list[str]:
    """What is wrong with a published tag. Empty when every platform has its image, the index lists them, and `latest`
    points to it or to a newer tag.

    Problems of `latest` begin with that word."""
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
    """Does the steps one after the other, or only prints them."""
    for step in plan:
        print(step.what if execute else f"would {step.what}", file=sys.stderr)
        if execute:
            step.do()


def read_handed(path: Path) -> dict[str, str]:
    """Repository -> digest, from the output of `push` in a file or in all files of a directory.

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
                raise errors.UserError(f"{file}: {line!a} is not <repository>@<digest>, or contradicts another line")
    return found


def _published_or_candidate(place: Destination, image: Image, tag: str, handed: Mapping[str, str] | None) -> Manifest:
    """The manifest behind a dated tag, else the candidate's. Raises NotFound where there is neither.

    Raises Failure where `handed` lacks the candidate, or has another digest than the dated tag."""
    registry, repository = place.registry, place.repository(image.name)
    name = f"{registry.host}/{repository}"
    if handed is not None and name not in handed:
        raise errors.Failure(
            f"{name}:{tag} cannot be published: --candidates has no digest of it; add the output of its push"
        )
    try:
        published = registry.manifest(repository, tag)
    except NotFound:
        found = registry.manifest(repository, handed[name] if handed is not None else candidate(tag))
        return only_image(registry, repository, found)
    if handed is not None and published.digest != handed[name]:
        raise _taken(f"{name}:{tag}", published.digest, handed[name])
    return published


def _taken(target: str, found: str | None, ours: str) -> errors.Failure:
    return errors.Failure(f"{target} holds {found}, not {ours}; a dated tag is never overwritten")


# --- Steps: each checks again, when its turn comes, that it is still allowed --------------------------------


def _put_dated(place: Destination, repository: str, tag: str, manifest: Manifest) -> None:
    """Points a dated tag to a manifest if it does not exist. Raises Failure if it then holds another one."""
    found = place.registry.digest(repository, tag)
    if found is None:
        place.registry.put_manifest(repository, tag, manifest)
        found = place.registry.digest(repository, tag)
    if found != manifest.digest:
        raise _taken(f"{place.registry.host}/{repository}:{tag}", found, manifest.digest)


def _put_image(place: Destination, group: Group, image: Image, tag: str, manifest: Manifest) -> None:
    """Points the dated tag of one platform to its manifest.

    Where an index that was published meanwhile lists another image, the tag goes back to that image, and this raises
    Failure."""
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


def _put_index(
    place: Destination,
    group: Group,
    manifests: dict[str, Manifest],
    index: Manifest,
    tag: str,
    attach: Callable[[], None],
) -> None:
    """Brings every platform's manifest into the index's own repository, with what is attached to it.

    Then stores the index by its digest, attaches its provenance, and only then gives it the tag."""
    home = place.repository(group.name)
    for image in group.members:
        _check_holds(place, place.repository(image.name), tag, manifests[image.name])
        for blob in manifests[image.name].blobs:
            place.registry.mount_blob(home, blob, place.repository(image.name))
        place.registry.put_manifest(home, manifests[image.name].digest, manifests[image.name])
        referrers.copy(place.registry, place.repository(image.name), home, manifests[image.name].digest)
    place.registry.put_manifest(home, index.digest, index)
    attach()
    _put_dated(place, home, tag, index)


def _check_holds(place: Destination, repository: str, tag: str, manifest: Manifest) -> None:
    """Raises Failure where a dated tag no longer holds the manifest."""
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
    """Points `latest` to the manifest of a dated tag. Unless `back`, a newer published tag keeps `latest`, also one
    that is published while we write."""
    _check_holds(place, repository, tag, manifest)
    if not back and (newer := overtaken(place, group, tag)):
        print(
            f"{place.registry.host}/{repository}:latest stays as it is: {newer} is newer and published", file=sys.stderr
        )
        return
    place.registry.put_manifest(repository, "latest", manifest)
    if not back and (newer := overtaken(place, group, tag)):
        place.registry.put_manifest(repository, "latest", place.registry.manifest(repository, newer))
