"""Publishes images, checks what is published, and takes it back: `push`, `manifest`, `verify`, `rollback`.

Commands that write to a registry only say what they would do, unless --execute is given."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from catalogue import checkout, images, tags
from catalogue.model import Catalogue, Group, Image
from engine import choose
from host import inputs
from portable import errors
from publish import push as pushing
from publish.destination import Destination, read_login
from publish.push import candidate
from publish.steps import carry_out, is_ahead, problems_of, read_handed, revision, rollback_steps, steps


def push() -> int:
    """Pushes a tested local image to its candidate tag. Without --execute it only says what it would do."""
    parser = _parser(str(push.__doc__), writes=True)
    parser.add_argument("image", help="its name, such as manylinux_2_28_x86_64")
    parser.add_argument(
        "--local", metavar="REFERENCE", help="what to push (default: `latest` of the image, as it was built here)"
    )
    options = parser.parse_args()
    catalogue = images.load()
    image = catalogue.image(options.image)
    local = inputs.reference("--local", options.local) if options.local else f"{image.repository}:latest"
    _push_everywhere(_places(options, catalogue), image, local, checkout.version_tag(), options.execute)
    return 0


def manifest() -> int:
    """Publishes the candidates of all platforms: dated tags, index, latest.

    Without --execute it only says what it would do."""
    parser = _parser(str(manifest.__doc__), writes=True)
    _add_group(parser)
    parser.add_argument(
        "--candidates", type=Path, metavar="PATH", help="the output of push, a file or a directory of files"
    )
    options = parser.parse_args()
    catalogue = images.load()
    places, tag, group = _places(options, catalogue), _dated(options.tag), catalogue.group(options.group)
    handed = read_handed(options.candidates) if options.candidates else None
    plans = [steps(place, group, tag, revision(), handed) for place in places]
    for plan in plans:
        carry_out(plan, options.execute)
    if not any(plans):
        print(f"{group.name}: {tag} is published: nothing to do", file=sys.stderr)
    return _report(places, [group], tag) if options.execute else 0


def verify() -> int:
    """Says whether a published tag is complete, and where latest points. Ends with 1 if the tag is not complete."""
    parser = _parser(str(verify.__doc__), writes=False)
    _add_group(parser)
    options = parser.parse_args()
    catalogue = images.load()
    return _report(_places(options, catalogue), [catalogue.group(options.group)], _dated(options.tag))


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
    names = options.group or [g.name for g in catalogue.groups() if _is_published(places, g, tag)]
    if not names:
        raise errors.Failure(f"nothing is published as {tag} at {', '.join(map(str, places))}")
    groups = [catalogue.group(name) for name in names]
    plans = [rollback_steps(place, group, tag) for place in places for group in groups]
    for plan in plans:
        carry_out(plan, options.execute)
    if not any(plans):
        print(f"{', '.join(group.name for group in groups)}: latest is at {tag}: nothing to do", file=sys.stderr)
    return _report(places, groups, tag) if options.execute else 0


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


def _push_everywhere(places: list[Destination], image: Image, local: str, tag: str, execute: bool) -> None:
    """Pushes a local image to its candidate tag at each place; prints the repository and digest of each."""
    published = [place.registry.digest(place.repository(image.name), tag) for place in places]
    if not all(published):
        engine = choose.engine()
        found = pushing.tested(engine, image, local, revision())
    for place, digest in zip(places, published, strict=True):
        target = f"{place.registry.host}/{place.repository(image.name)}"
        if digest:
            print(f"{target}:{tag} is published already: nothing to do", file=sys.stderr)
        else:
            print(f"{'' if execute else 'would '}push {target}:{candidate(tag)}", file=sys.stderr)
        if not digest and execute:
            pushing.log_in(engine, place.registry)
            digest = pushing.push(engine, place, image, found, tag)
        if digest:
            print(f"{target}@{digest}")


def _is_published(places: list[Destination], group: Group, tag: str) -> bool:
    return any(place.registry.digest(place.repository(group.name), tag) for place in places)


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
