"""Publishes images, checks what is published, and takes it back: `push`, `manifest`, `rollback`.

Commands that write to a registry only say what they would do, unless --execute is given."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from catalogue import checkout, images, tags
from catalogue.model import Catalogue, Group, Image
from engine import choose
from host import inputs
from portable import errors
from publish import push as pushing
from publish.attachments import Signer
from publish.canaries import Judged
from publish.destination import Destination, read_login
from publish.push import candidate
from publish.steps import carry_out, is_ahead, problems_of, read_handed, revision, rollback_steps, steps
from publish.waiting import Candidates

T = TypeVar("T")


def push() -> int:
    """Pushes a tested local image to its candidate tag. Without --execute it only says what it would do."""
    parser = _parser(str(push.__doc__), writes=True)
    parser.add_argument("image", help="its name, such as manylinux_2_28_x86_64")
    parser.add_argument(
        "--local", metavar="REFERENCE", help="what to push (default: `latest` of the image, as it was built here)"
    )
    parser.add_argument(
        "--compression",
        choices=pushing.COMPRESSIONS,
        default=pushing.COMPRESSIONS[0],
        help="of the layers (default: %(default)s); docker before 23 cannot pull zstd",
    )
    _add_key(parser)
    options = parser.parse_args()
    catalogue = images.load()
    image = catalogue.image(options.image)
    local = inputs.reference("--local", options.local) if options.local else f"{image.repository}:latest"
    places, signer = _places(options, catalogue), Signer.of(options.sign_key)
    tag, compression = checkout.version_tag(), options.compression
    return _push_everywhere(places, image, local, tag, signer, options.execute, compression)


def manifest() -> int:
    """Publishes the candidates of all platforms: dated tags, index, latest.

    Without --execute it only says what it would do. With --verify it ends with 1 if the tag is not complete."""
    parser = _parser(str(manifest.__doc__), writes=True)
    _add_group(parser)
    parser.add_argument(
        "--candidates", type=Path, metavar="PATH", help="the output of push, a file or a directory of files"
    )
    parser.add_argument(
        "--canaries", type=Path, metavar="DIR", help="what `canary --output DIR` has written: these results count"
    )
    parser.add_argument(
        "--accept-canary", action="append", default=[], metavar="NAME", help="publish even if it failed (repeatable)"
    )
    parser.add_argument("--verify", action="store_true", help="only say whether the tag is published completely")
    _add_key(parser)
    options = parser.parse_args()
    catalogue = images.load()
    places, tag, group = _places(options, catalogue), _dated(options.tag), catalogue.group(options.group)
    if options.verify:
        return _report(places, [group], tag)
    handed = read_handed(options.candidates) if options.candidates else None
    signer, commit = Signer.of(options.sign_key), revision()
    judged = Judged.read(options.canaries, tuple(options.accept_canary))

    def publish(place: Destination) -> bool:
        plan = steps(place, group, tag, commit, handed, signer, judged)
        if plan and (reasons := Candidates(place, tag, handed).reasons(catalogue, group)):
            raise errors.Failure(f"{place}/{group.name}:{tag} waits:\n  " + "\n  ".join(reasons))
        carry_out(plan, options.execute)
        return bool(plan)

    done, failed = _at_each(places, publish)
    if not failed and not any(something for _, something in done):
        print(f"{group.name}: {tag} is published: nothing to do", file=sys.stderr)
    wrong = options.execute and _report([place for place, _ in done], [group], tag)
    return 1 if failed or wrong else 0


def rollback() -> int:
    """Points latest of all images back to a dated tag. Without --execute it only says what it would do."""
    parser = _parser(str(rollback.__doc__), writes=True)
    parser.add_argument("tag", help="the dated tag, YYYY.MM.DD-N")
    parser.add_argument(
        "group", nargs="*", metavar="POLICY[-VARIANT]", help="what to take back (default: all that have the tag)"
    )
    options = parser.parse_args()
    catalogue = images.load()
    places, tag = _places(options, catalogue), _dated(options.tag)
    published, failed = _at_each(
        places, lambda place: [g.name for g in catalogue.groups() if _is_published(place, g, tag)]
    )
    names = options.group or list(dict.fromkeys(name for _, found in published for name in found))
    if not names and not failed:
        raise errors.Failure(f"nothing is published as {tag} at {', '.join(map(str, places))}")
    groups = [catalogue.group(name) for name in names]

    def take_back(place: Destination) -> bool:
        plan = [step for group in groups for step in rollback_steps(place, group, tag)]
        carry_out(plan, options.execute)
        return bool(plan)

    done, failed_now = _at_each([place for place, _ in published], take_back)
    failed = failed or failed_now
    if not failed and not any(something for _, something in done):
        print(f"{', '.join(group.name for group in groups)}: latest is at {tag}: nothing to do", file=sys.stderr)
    wrong = options.execute and _report([place for place, _ in done], groups, tag)
    return 1 if failed or wrong else 0


def _parser(description: str, writes: bool) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument(
        "--registry",
        action="append",
        metavar="HOST/NAMESPACE",
        help="where to publish, repeatable (default: the table's)",
    )
    parser.add_argument("--login", metavar="USER", help="log in as this user; standard input has the password")
    if writes:
        parser.add_argument("--execute", action="store_true", help="write to the registry")
    return parser


def _add_key(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--sign-key",
        type=Path,
        metavar="FILE",
        help="sign with this private key (PEM, P-256) instead of the identity of a workflow",
    )


def _add_group(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("group", metavar="POLICY[-VARIANT]", help="what is published together")
    parser.add_argument("tag", nargs="?", help="the dated tag, YYYY.MM.DD-N (default: that of HEAD)")


def _places(options: argparse.Namespace, catalogue: Catalogue) -> list[Destination]:
    """Where to publish, with the given login. Raises UserError for one login and several registries."""
    named = options.registry or [catalogue.registry]
    if options.login and len({text.partition("/")[0] for text in named}) > 1:
        raise errors.UserError(
            "--login is for one registry: for several, log in with `docker login` or `podman login` first"
        )
    login = read_login(options.login)
    return [Destination.parse(text, login) for text in named]


def _dated(given: str | None) -> str:
    """The given tag, else that of HEAD. Raises UserError for a tag that is not dated."""
    tag = given or checkout.version_tag()
    if not tags.dated(tag):
        raise errors.UserError(f"{tag!r} is not a dated tag, YYYY.MM.DD-N")
    return tag


def _push_everywhere(
    places: list[Destination], image: Image, local: str, tag: str, signer: Signer, execute: bool, compression: str
) -> int:
    """Pushes a local image to its candidate tag at each place; prints the repository and digest of each.

    Returns the exit status: 1 where a place could not be reached or has refused it."""
    published, failed = _at_each(places, lambda place: place.registry.digest(place.repository(image.name), tag))
    if not all(digest for _, digest in published):
        engine = choose.engine()
        found = pushing.tested(engine, image, local, revision())
    digests = {id(place): digest for place, digest in published}

    def push_to(place: Destination) -> None:
        digest = digests[id(place)]
        target = f"{place.registry.host}/{place.repository(image.name)}"
        if digest:
            print(f"{target}:{tag} is published already: nothing to do", file=sys.stderr)
        else:
            print(f"{'' if execute else 'would '}push {target}:{candidate(tag)}", file=sys.stderr)
        if not digest and execute:
            pushing.log_in(engine, place.registry)
            digest = pushing.push(engine, place, image, found, tag, signer, compression)
        if digest:
            print(f"{target}@{digest}")

    _, failed_now = _at_each([place for place, _ in published], push_to)
    return 1 if failed or failed_now else 0


def _at_each(places: list[Destination], do: Callable[[Destination], T]) -> tuple[list[tuple[Destination, T]], bool]:
    """Does something at each place, and what it returned there; also, whether it failed at one of several.

    One that is down does not keep the others from getting it; run the command again when it is back. The Failure of an
    only place is raised."""
    done, failed = [], False
    for place in places:
        try:
            done.append((place, do(place)))
        except errors.Failure as error:
            if len(places) == 1:
                raise
            print(f"error: {place}: {error}", file=sys.stderr)
            failed = True
    return done, failed


def _is_published(place: Destination, group: Group, tag: str) -> bool:
    return bool(place.registry.digest(place.repository(group.name), tag))


def _report(places: list[Destination], groups: list[Group], tag: str) -> int:
    """Says at each place whether a tag is complete. Returns the exit status: 1 if one of them is not."""
    status = 0
    for place in places:
        for group in groups:
            wrong = problems_of(place, group, tag)
            newer = is_ahead(place, group, tag)
            follows = f"latest is at {newer}" if newer else "latest follows it"
            print(
                "\n".join(f"{place}: {problem}" for problem in wrong) or f"{group.name}:{tag} is whole, and {follows}"
            )
            status = status or (1 if wrong else 0)
    return status
