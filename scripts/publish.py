#!/usr/bin/env python3
"""Publishing: from candidates to dated tags, indexes and `latest`, all platforms of a policy together or not at all.

An image is pushed under a candidate tag first. Only when every platform of its policy has a candidate of the same
commit are the manifests copied, in an order that never shows a wrong dated tag: first the dated tags of all platforms,
then the index over them, then `latest` everywhere. A dated tag is never overwritten, and only `rollback` takes `latest`
back; what is already done is skipped, so that a second run completes an interrupted first one. Nothing is written
without `--execute`.
"""

from __future__ import annotations

import argparse
import datetime
import json
import subprocess
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import build
import checkout
import engines
import errors
import images
import inputs
import smoke
import tags
from catalogue import Group, Image
from registry import INDEX_TYPES, Manifest, NotFound, Registry, is_loopback
from tables import read_toml

COMPLETE_LABEL = "org.pypa.manylinux.complete"
REVISION_LABEL = "org.opencontainers.image.revision"
VERSION_LABEL = "org.opencontainers.image.version"
BASE_DIGEST_LABEL = "org.opencontainers.image.base.digest"


def candidate(tag: str) -> str:
    """The tag under which an image waits until all platforms of its policy are there."""
    return tags.CANDIDATE + tag


def revision(root: Path = images.ROOT) -> str:
    """The commit of HEAD. Raises Failure where the tree holds changes that no commit has."""
    if changed := checkout.changes(root):
        raise errors.Failure(
            f"the tree has changes that are not committed ({', '.join(changed[:5])}): commit them, then build and test "
            "again"
        )
    return checkout.commit(root)


@dataclass(frozen=True)
class Place:
    """Where images are published: a registry and the namespace in it, `quay.io/pypa`."""

    registry: Registry
    namespace: str

    @classmethod
    def parse(cls, text: str, credentials: tuple[str, str] | None = None) -> Place:
        """Reads `host/namespace`. Without (user, password) the container engines' logins serve."""
        host, _, namespace = inputs.namespace("--registry", text).partition("/")
        return cls(Registry(host, credentials), namespace)

    def repository(self, name: str) -> str:
        """The repository of an image or of an index."""
        return f"{self.namespace}/{name}"

    def __str__(self) -> str:
        return f"{self.registry.host}/{self.namespace}"


@dataclass(frozen=True)
class Step:
    """One thing left to do: what it is, for people, and how."""

    what: str
    do: Callable[[], None]


def steps(place: Place, group: Group, tag: str, commit: str) -> list[Step]:
    """What publishing the candidates of `tag` still takes, in order; empty when it is published already.

    Raises Failure, naming every reason, when a platform is missing, partial, of another commit or on an unpinned
    base, and when the dated index already holds something else."""
    registry = place.registry
    manifests, refusals = {}, []
    for image in group.members:
        repository = place.repository(image.name)
        try:
            manifests[image.name] = _published_or_candidate(registry, repository, tag)
        except NotFound:
            refusals.append(f"{image.name}: there is no {candidate(tag)} yet")
            continue
        labels = labels_of(registry, repository, manifests[image.name])
        refusals += [f"{image.name}: {why}" for why in unfit(image, labels, commit)]
    if refusals:
        raise errors.Failure(f"{place}/{group.name}:{tag} cannot be published:\n  " + "\n  ".join(refusals))
    index = index_of(group, manifests, tag, commit)
    home = place.repository(group.name)
    found = registry.digest(home, tag)
    if found not in (None, index.digest):
        raise errors.Failure(
            f"{place}/{group.name}:{tag} exists with another content; a dated tag is never overwritten"
        )
    plan = []
    for image in group.members:
        repository = place.repository(image.name)
        plan += _point(place, repository, tag, manifests[image.name])
    if found is None:
        plan.append(Step(f"index {place}/{group.name}:{tag}", lambda: _put_index(place, group, manifests, index, tag)))
    return plan if overtaken(place, group, tag) else plan + _point_latest(place, group, manifests, index)


def overtaken(place: Place, group: Group, tag: str) -> str:
    """The tag that `latest` of the group stands for, if it is newer than `tag`; else ""."""
    try:
        index = place.registry.manifest(place.repository(group.name), "latest").document
    except NotFound:
        return ""
    latest = str(index.get("annotations", {}).get(VERSION_LABEL, ""))
    there, ours = tags.dated(latest), tags.dated(tag)
    return latest if there and ours and there > ours and not _impossible(there) else ""


def _impossible(tag: tags.Dated) -> bool:
    """Whether a tag is of a day that has not come: a clock was wrong, and it must not hold `latest` until then."""
    return tag.day > datetime.datetime.now(datetime.UTC).date() + datetime.timedelta(days=1)


def rollback_steps(place: Place, group: Group, tag: str) -> list[Step]:
    """What pointing every `latest` of the group back to a dated tag takes. Raises Failure where that is not whole."""
    problems = [problem for problem in verify(place, group, tag) if not problem.startswith("latest")]
    if problems:
        raise errors.Failure(f"{place}/{group.name}:{tag} is not whole:\n  " + "\n  ".join(problems))
    manifests = {i.name: place.registry.manifest(place.repository(i.name), tag) for i in group.members}
    return _point_latest(place, group, manifests, place.registry.manifest(place.repository(group.name), tag))


def verify(place: Place, group: Group, tag: str) -> list[str]:
    """What is wrong with a published tag; empty when every platform has it, the index is complete and latest follows.

    Problems of `latest` begin with that word; it may follow a newer tag."""
    registry, problems = place.registry, []
    latest_problems = []
    ahead = overtaken(place, group, tag)
    digests = {}
    for name in (*(image.name for image in group.members), group.name):
        repository = place.repository(name)
        digests[name] = registry.digest(repository, tag)
        if digests[name] is None:
            problems.append(f"{name} has no {tag}")
        elif not ahead and (latest := registry.digest(repository, "latest")) != digests[name]:
            latest_problems.append(f"latest of {name} is {latest}, not {digests[name]} of {tag}")
    if digests[group.name]:
        listed = {
            (row["digest"], _oci_name(row["platform"]))
            for row in registry.manifest(place.repository(group.name), tag).document["manifests"]
        }
        wanted = {(digests[image.name], image.platform.oci) for image in group.members}
        problems += [
            f"the index of {group.name} lacks {what[1]} ({what[0]})" for what in sorted(wanted - listed, key=str)
        ]
        problems += [f"the index of {group.name} has {what[1]} ({what[0]})" for what in sorted(listed - wanted)]
    return problems + latest_problems


def labels_of(registry: Registry, repository: str, manifest: Manifest) -> Mapping[str, str]:
    """The labels of a published image."""
    configuration = json.loads(registry.blob(repository, manifest.document["config"]["digest"]))
    return configuration.get("config", {}).get("Labels") or {}


def unfit(image: Image, labels: Mapping[str, str], commit: str) -> list[str]:
    """Why an image with these labels must not be published; empty when it may.

    Its base must be the one that docker/bases.toml pins: that a tag was resolved when the image was built is not enough
    to build it again."""
    reasons = []
    if labels.get(COMPLETE_LABEL) != "true":
        reasons.append("it is a partial image, or lacks updates that its mirror did not have")
    if labels.get(REVISION_LABEL, "").endswith(checkout.DIRTY):
        reasons.append("it was built from a tree with changes that no commit has: commit them, then build it again")
    elif labels.get(REVISION_LABEL) != commit:
        reasons.append(f"it was built from {labels.get(REVISION_LABEL) or 'an unknown commit'}, not from {commit}")
    pinned = read_toml(build.BASES_TOML).get(image.policy.base)
    if not pinned:
        reasons.append("its base image is not pinned: nox -s update_base_images, then build again")
    elif labels.get(BASE_DIGEST_LABEL) != pinned:
        reasons.append(f"its base image is {labels.get(BASE_DIGEST_LABEL) or 'unknown'}, not the pinned {pinned}")
    return reasons


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
        "mediaType": INDEX_TYPES[0],
        "manifests": rows,
        "annotations": {VERSION_LABEL: tag, REVISION_LABEL: commit},
    }
    return Manifest(json.dumps(document, separators=(",", ":")).encode(), INDEX_TYPES[0])


def push(engine: engines.Engine, place: Place, image: Image, local: str, tag: str, commit: str) -> list[Step]:
    """The steps that bring a tested local image to its candidate tag; none when the dated tag is there already.

    Raises Failure when the image must not be published (see `unfit`) or was not tested on this machine."""
    repository = place.repository(image.name)
    if place.registry.digest(repository, tag):
        return []
    said = engine.ask(engine.inspect(local, "{{json .Config.Labels}}"))
    if said is None:
        raise errors.Failure(
            f"{engine.name} has no image {local}: build and test it first (invoke build -i {image.name})"
        )
    reasons = unfit(image, json.loads(said) or {}, commit)
    if not smoke.has_passed(engine, local):
        reasons.append(f"this machine has not seen it pass its smoke tests: invoke test -i {image.name}")
    if reasons:
        raise errors.Failure(f"{local} cannot be published: " + "; ".join(reasons))
    target = f"{place.registry.host}/{repository}:{candidate(tag)}"
    return [Step(f"push {target}", lambda: _push(engine, local, target))]


def carry_out(plan: Iterable[Step], execute: bool) -> None:
    """Does the steps one by one, or only says them."""
    for step in plan:
        print(step.what if execute else f"would {step.what}", file=sys.stderr)
        if execute:
            step.do()


def read_login(user: str | None) -> tuple[str, str] | None:
    """The login of a user whose password is the first line of standard input; None without a user.

    Raises UserError when standard input has no password."""
    if not user:
        return None
    if password := sys.stdin.readline().strip():
        return user, password
    raise errors.UserError("--login reads the password from standard input, and there is none")


def log_in(engine: engines.Engine, registry: Registry) -> None:
    """Logs the engine in with the registry's login; the password goes through a pipe, never on a command line."""
    if registry.credentials is None:
        return
    user, password = registry.credentials
    options = [*_without_tls(engine, registry.host), "--username", user, "--password-stdin"]
    argv = engine.command("login", *options, registry.host)
    done = subprocess.run(argv, env=engine.environment(), input=password, capture_output=True, text=True, check=False)
    if done.returncode:
        raise errors.Failure(f"{engine.name} cannot log in to {registry.host} as {user}: {done.stderr.strip()}")


def _without_tls(engine: engines.Engine, host: str) -> list[str]:
    """The option for a registry on loopback, which docker finds out alone."""
    return ["--tls-verify=false"] if engine.is_podman and is_loopback(host) else []


def _push(engine: engines.Engine, local: str, target: str) -> None:
    engine.call(engine.tag(local, target))
    try:
        engine.call(engine.command("push", *_without_tls(engine, target.partition("/")[0]), target))
    finally:
        engine.call(engine.remove(target))


def _published_or_candidate(registry: Registry, repository: str, tag: str) -> Manifest:
    try:
        return registry.manifest(repository, tag)
    except NotFound:
        return _only_image(registry, repository, registry.manifest(repository, candidate(tag)))


def _only_image(registry: Registry, repository: str, manifest: Manifest) -> Manifest:
    """The image itself where an engine has pushed an index of one image and BuildKit's attestations about it."""
    if not manifest.is_index:
        return manifest
    rows = [row for row in manifest.document["manifests"] if row.get("platform", {}).get("os") != "unknown"]
    if len(rows) != 1:
        raise errors.Failure(f"{registry.host}/{repository}@{manifest.digest} holds {len(rows)} images instead of one")
    return registry.manifest(repository, rows[0]["digest"])


def _point(place: Place, repository: str, tag: str, manifest: Manifest) -> list[Step]:
    """The step that points a tag to a manifest which its repository has; none where it already does."""
    if place.registry.digest(repository, tag) == manifest.digest:
        return []
    target = f"{place.registry.host}/{repository}:{tag}"
    return [
        Step(f"point {target} to {manifest.digest}", lambda: place.registry.put_manifest(repository, tag, manifest))
    ]


def _point_latest(place: Place, group: Group, manifests: dict[str, Manifest], index: Manifest) -> list[Step]:
    plan = []
    for image in group.members:
        plan += _point(place, place.repository(image.name), "latest", manifests[image.name])
    return plan + _point(place, place.repository(group.name), "latest", index)


def _put_index(place: Place, group: Group, manifests: dict[str, Manifest], index: Manifest, tag: str) -> None:
    """Brings every platform's manifest into the index's own repository, then stores the index."""
    home = place.repository(group.name)
    for image in group.members:
        for blob in manifests[image.name].blobs:
            place.registry.mount_blob(home, blob, place.repository(image.name))
        place.registry.put_manifest(home, manifests[image.name].digest, manifests[image.name])
    place.registry.put_manifest(home, tag, index)


def _oci_name(platform: dict[str, str]) -> str:
    parts = (platform["os"], platform["architecture"], platform.get("variant", ""))
    return "/".join(part for part in parts if part)


def main() -> int:
    """Publishes images, checks what is published, and takes it back. Says what it would do unless --execute."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument(
        "--registry", action="append", metavar="HOST/NAMESPACE", help="default: the table's; repeatable"
    )
    parser.add_argument("--login", metavar="USER", help="the password is read from standard input")
    parser.add_argument("--execute", action="store_true", help="really write")
    verbs = parser.add_subparsers(dest="verb", required=True)
    command = verbs.add_parser("push", help="a tested local image to its candidate tag")
    command.add_argument("image")
    command.add_argument("--local", metavar="REFERENCE", help="default: the image's own name with `latest`")
    for verb, text in (
        ("manifest", "the candidates of all platforms to dated tags, index and latest"),
        ("verify", "whether a published tag is whole"),
    ):
        command = verbs.add_parser(verb, help=text)
        command.add_argument("group", metavar="POLICY[-VARIANT]")
        command.add_argument("tag", nargs="?", help="default: the tag of HEAD")
    command = verbs.add_parser("rollback", help="latest of all images back to a dated tag")
    command.add_argument("tag")
    command.add_argument("group", nargs="*", metavar="POLICY[-VARIANT]", help="default: all that have the tag")
    options = parser.parse_args()
    catalogue = images.load()
    named = options.registry or [catalogue.registry]
    if options.login and len({text.partition("/")[0] for text in named}) > 1:
        raise errors.UserError(
            "--login is for one registry: log the engine in to each of several before (docker login)"
        )
    login = read_login(options.login)
    places = [Place.parse(text, login) for text in named]
    tag = getattr(options, "tag", None) or checkout.version_tag()
    if not tags.dated(tag):
        raise errors.UserError(f"{tag!r} is not a dated tag, YYYY.MM.DD-N")
    if options.verb == "push":
        image = catalogue.image(options.image)
        local = inputs.reference("--local", options.local) if options.local else f"{image.repository}:latest"
        engine = engines.choose()
        for place in places:
            if options.execute:
                log_in(engine, place.registry)
            plan = push(engine, place, image, local, tag, revision())
            carry_out(plan, options.execute)
            if not plan:
                print(f"{place}/{image.name}:{tag} is published already: nothing to do", file=sys.stderr)
        return 0
    if options.verb == "rollback":
        names = options.group or [g.name for g in catalogue.groups() if _is_published(places, g, tag)]
        if not names:
            raise errors.Failure(f"nothing is published as {tag} at {', '.join(map(str, places))}")
        groups = [catalogue.group(name) for name in names]
    else:
        groups = [catalogue.group(options.group)]
    if options.verb == "verify":
        return _report(places, groups, tag)
    plans = [
        rollback_steps(place, group, tag) if options.verb == "rollback" else steps(place, group, tag, revision())
        for place in places
        for group in groups
    ]
    for plan in plans:
        carry_out(plan, options.execute)
    if not any(plans):
        print(f"{', '.join(group.name for group in groups)}: {tag} is published: nothing to do", file=sys.stderr)
    return _report(places, groups, tag) if options.execute else 0


def _is_published(places: list[Place], group: Group, tag: str) -> bool:
    return any(place.registry.digest(place.repository(group.name), tag) for place in places)


def _report(places: list[Place], groups: list[Group], tag: str) -> int:
    """Says whether a tag is whole everywhere; 1 where it is not."""
    status = 0
    for place in places:
        for group in groups:
            wrong = verify(place, group, tag)
            newer = overtaken(place, group, tag)
            follows = f"latest is at {newer}" if newer else "latest follows it"
            print(
                "\n".join(f"{place}: {problem}" for problem in wrong) or f"{group.name}:{tag} is whole, and {follows}"
            )
            status = status or (1 if wrong else 0)
    return status


if __name__ == "__main__":
    sys.exit(errors.run(main))
