"""Holds back an image that lost something which the published one has, unless a commit says that it is meant.

A module, tag, flag, command, library or interpreter that is gone, or a newer GLIBCXX, breaks somebody's builds without
any version telling. The descriptions of both images say it (docs/manifest.md); a trailer `Accepts-Loss:` excuses it.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Mapping, Sequence
from fnmatch import fnmatchcase
from pathlib import Path

from catalogue import checkout, dependencies, images
from catalogue.paths import ROOT
from catalogue.versions import version_key
from explain.descriptions import Described, NotDescribed, described
from explain.notes import Difference, Risk, compared
from portable import errors

TRAILER = "Accepts-Loss"
RAISED = ("newest GLIBCXX:", "C library:")  # of these, more is a loss: wheels come to need it

EPILOG = f"""
OLD and NEW: as `invoke notes` takes them. A commit excuses a loss by a trailer, as the line shows it, or by a pattern:

    {TRAILER}: command `aclocal-1.16`
    {TRAILER}: module `imp` in *

exit status: 0: nothing is lost that no commit excuses, or OLD is from before images described themselves; 1: something
is, or a description cannot be had; 2: invalid usage
"""


def losses(old: Mapping[str, Described], new: Mapping[str, Described]) -> dict[str, tuple[str, ...]]:
    """What is lost, in words -> the images that have lost it; an image counts that both sides have."""
    notes = compared(old, new, dependencies.load(), ("", ""))
    found: dict[str, tuple[str, ...]] = {}
    for difference, names in notes.changes.items():
        for text in _lost(difference):
            found[text] = tuple(sorted({*found.get(text, ()), *names}))
    return found


def _lost(difference: Difference) -> Iterator[str]:
    if difference.section == Risk.GONE:
        yield difference.text
    elif difference.subject in RAISED:
        if version_key(difference.new) > version_key(difference.old):
            yield difference.text
    elif difference.section == Risk.CAPABILITIES:  # of sysconfig's values, each flag counts
        lost = [word for word in difference.old.split() if word not in difference.new.split()]
        yield from (f"{word} of {difference.subject.rstrip(':')}" for word in lost if word.startswith("-"))


def excused(since: str, root: Path = ROOT, trailer: str = TRAILER) -> tuple[str, ...]:
    """What the trailers of this name say in all commits after `since`. Raises GitRefused for an unknown commit."""
    if not since:
        return ()
    text = checkout.call("log", f"--format=%(trailers:key={trailer},valueonly)", f"{since}..HEAD", "--", at=root)
    return tuple(line.strip() for line in text.splitlines() if line.strip())


def is_excused(loss: str, patterns: Sequence[str]) -> bool:
    """Whether one of the trailers is the loss itself or a glob that matches it; `[` stands for itself."""
    return any(loss == pattern or fnmatchcase(loss, pattern.replace("[", "[[]")) for pattern in patterns)


def main() -> int:
    """Compares images that were built with the published ones, and fails for whatever was lost without a word."""
    parser = argparse.ArgumentParser(
        description=main.__doc__, epilog=EPILOG, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("old", metavar="OLD", help="the published images: latest, a tag, a digest, an image, files")
    parser.add_argument("new", metavar="NEW", help="what was built")
    parser.add_argument("-i", "--image", action="append", default=[], metavar="GLOB", help="repeatable (default: all)")
    parser.add_argument("--since", default="", metavar="COMMIT", help="commits after this one may excuse losses")
    options = parser.parse_args()
    catalogue = images.load()
    wanted = catalogue.wanted(options.image)
    patterns = excused(options.since)
    new = described(options.new, wanted)
    try:
        old = described(options.old, wanted)
    except NotDescribed as error:
        print(f"note: nothing to compare with: {error}", file=sys.stderr)
        return 0
    found = losses({name: each for name, each in old.items() if name in new}, new)
    for loss, names in found.items():
        verdict = "excused" if is_excused(loss, patterns) else "LOST"
        print(f"{verdict}: {loss} ({', '.join(names)})")
    if held := [loss for loss in found if not is_excused(loss, patterns)]:
        raise errors.Failure(
            f"{len(held)} things are lost: bring them back, or say in a commit that it is meant: {TRAILER}: {held[0]}"
        )
    return 0
