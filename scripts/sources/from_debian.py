"""Downloads the newest version of each pinned series from the Debian archive, in place of the pinned files.

A lock says which versions these are, and which pins the archive lacks.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

from catalogue import dependencies
from catalogue.pins import Pin
from debian.archive import Archive, SourceIndex
from debian.source_packages import SourcePackage, UpstreamVersion, upstream_version
from portable import fetch, files, transport
from portable.progress import Progress
from portable.verdicts import Unusable
from sources.lock import LockedPin, SourcesLock

UTILITY_PIN = "cpython-3.9"  # cibuildwheel 3 and 4 start the image's cp39-cp39 whatever they build for


class Tracked(NamedTuple):
    """What docker/dependencies.toml says about one pin in the Debian archive.

    `source`: a regular expression for the source package; `verbatim`: whether Debian's tarball is upstream's; `refuse`:
    version -> why it must not be taken; `together`: a pin that must have the same version."""

    series: str
    source: str
    verbatim: bool
    refuse: Mapping[str, str]
    together: str = ""


def download_newest(
    pins: Mapping[str, Pin],
    tracked: Mapping[str, Tracked],
    dest: Path,
    *,
    archive: Archive,
    fetcher: fetch.Fetcher,
    suites: Sequence[str] = (),
    prebuilt: Iterable[str] = (),
    progress: Progress,
    jobs: int,
) -> SourcesLock:
    """Downloads what the archive has of the pins, `jobs` at a time, and returns the lock.

    `prebuilt`: tags of interpreters that only upstream has; the lock names them as missing. Raises errors.Failure
    when no suite can be used."""
    named = {name: pin for name, pin in pins.items() if pin.sha256}  # the others are container images
    index = archive.search("|".join(f"(?:{row.source})" for row in tracked.values()), suites, progress)
    for line in describe_index(index):
        progress.say(line)

    def obtain(pin: Pin, most: UpstreamVersion | None = None) -> LockedPin | str:
        if pin.name not in tracked:
            return "the Debian archive has sources only, and the image takes upstream's binary"
        return _newest(pin, tracked[pin.name], most, index, dest, fetcher, progress)

    results = dict(zip(named, fetch.in_parallel(obtain, named.values(), jobs, fetcher), strict=True))
    for name, mate in ((name, tracked[name].together) for name in results if name in tracked):
        while len(versions := _versions(results, name, mate)) == 2 and versions[name] != versions[mate]:
            newer, older = sorted(versions, key=lambda pin: versions[pin], reverse=True)
            progress.say(f"{newer} must be the same version as {older}")
            results[newer] = obtain(named[newer], versions[older])
    missing = {name: result for name, result in results.items() if isinstance(result, str)}
    missing |= dict.fromkeys(prebuilt, "the Debian archive has no prebuilt interpreters")
    return SourcesLock(
        source="debian",
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        suites=[suite.name for suite in index.suites],
        pins={name: result for name, result in results.items() if not isinstance(result, str)},
        missing=missing,
    )


def _versions(results: Mapping[str, LockedPin | str], *names: str) -> dict[str, UpstreamVersion]:
    """The versions that were found for these pins."""
    found = {name: upstream_version(row["version"]) for name in names if isinstance(row := results.get(name), dict)}
    return {name: version for name, version in found.items() if version}


def replacements(
    pin: Pin, row: Tracked, sources: Iterable[SourcePackage], most: UpstreamVersion | None = None
) -> tuple[list[SourcePackage], list[str]]:
    """The packages whose version can take the place of a pin, newest first, and why others are refused.

    `most`: the highest version that is considered."""
    series = tuple(int(part) for part in row.series.split("."))
    prerelease = re.search(r"[a-z]", pin.version) is not None
    found, refused = [], []
    for source in sources:
        upstream = source.upstream
        if not upstream or not source.original or not re.fullmatch(row.source, source.package):
            continue
        if upstream.number[: len(series)] != series or (upstream.prerelease and not prerelease):
            continue
        if most and upstream > most:
            continue
        if reason := row.refuse.get(upstream.text):
            refused.append(f"{pin.name} {upstream.text} is skipped: {reason}")
        else:
            found.append((upstream, source))
    found.sort(key=lambda pair: pair[0], reverse=True)
    return [source for _, source in found], sorted(set(refused))


def _newest(
    pin: Pin,
    row: Tracked,
    most: UpstreamVersion | None,
    index: SourceIndex,
    dest: Path,
    fetcher: fetch.Fetcher,
    progress: Progress,
) -> LockedPin | str:
    """Downloads the newest possible version up to `most`; returns its row of the lock, or why there is none."""
    usable, refused = replacements(pin, row, index.sources, most)
    for line in refused:
        progress.say(line)
    tried: dict[str, str] = {}
    for source in usable:
        original, upstream = source.original, source.upstream
        assert original and upstream
        if original.sha256 in tried:
            continue
        file = Path(pin.name, original.name)
        urls = source.urls(original)
        try:
            if not files.holds(dest / file, original.sha256):
                with progress.task(f"{pin.name} {upstream.text}", original.size) as task:
                    fetcher.download(
                        urls[0],
                        dest / file,
                        sha256=original.sha256,
                        size=original.size,
                        alternatives=urls[1:],
                        task=task,
                    )
        except Unusable as error:
            reason = "the mirror lists it but does not have it" if error.missing else " ".join(str(error).split())
            tried[original.sha256] = f"{upstream.text}: {reason}"
            progress.say(f"{pin.name} {upstream.text} is skipped: {reason}")
            continue
        return LockedPin(
            version=upstream.text,
            url=transport.without_password(urls[0]),
            sha256=original.sha256,
            file=file.as_posix(),
            package=source.package,
            suite=source.suite,
            verbatim=row.verbatim and not upstream.repacked,
        )
    if tried:
        return f"no version of it can be downloaded ({'; '.join(tried.values())})"
    limit = f" up to {most.text}" if most else ""
    return f"the Debian archive has no version of the series {row.series}{limit}"


def read_tracking(path: Path = dependencies.DEPENDENCIES_TOML) -> dict[str, Tracked]:
    """The pins that have a Debian source package. Raises errors.UserError for a malformed table."""
    return {
        name: Tracked(
            row.series,
            row.debian.source.replace("{series}", re.escape(row.series)),
            row.debian.verbatim,
            row.debian.refuse,
            row.together,
        )
        for name, row in dependencies.load(path).items()
        if row.debian.source
    }


def describe_index(index: SourceIndex) -> list[str]:
    """What a person should know about the suites that were searched."""
    lines = [f"{suite} is not used: {reason}" for suite, reason in index.unusable.items()]
    stale = index.stale(datetime.now(UTC))
    if stale:
        oldest = min(suite.date for suite in stale)
        names = ", ".join(suite.name for suite in stale)
        lines.append(
            f"the mirror is behind the archive in {names} (index of {oldest:%Y-%m-%d}): newer versions may exist"
        )
    return lines


def describe_lock(lock: SourcesLock, pins: Mapping[str, Pin]) -> list[str]:
    """The summary of a lock for people: each version, then what is missing and what follows from that."""
    lines = [f"Sources from the Debian archive ({len(lock['suites'])} suites searched):"]
    for name, row in lock["pins"].items():
        pinned = pins[name].version
        remark = "as pinned" if row["version"] == pinned else f"pinned: {pinned}"
        lines.append(f"  {name:20} {row['version']:9} {remark}, {row['suite']}")
    if lock["missing"]:
        lines.append("Left out, as the Debian archive does not have them:")
        lines += [f"  {name:20} {reason}" for name, reason in lock["missing"].items()]
    if UTILITY_PIN in lock["missing"]:
        lines.append("cibuildwheel cannot use an image built from these: it needs cp39-cp39 in every image.")
    return lines
