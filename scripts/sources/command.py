"""Fills docker/sources, the local mirror that builds look into first, and the wheelhouse of the smoke tests.

The files come from upstream, or from the Debian archive with a lock. Each is compared with its sha256, pinned or from
the archive's signed index, before it gets its name.
"""

from __future__ import annotations

import argparse
import contextlib
from collections.abc import Sequence
from pathlib import Path

from catalogue import images
from catalogue import pins as native_pins
from debian.archive import Archive, apt_fetcher
from host import machine
from portable import errors, fetch
from portable.environment import CA_VARIABLES
from portable.progress import Progress
from portable.toml import near_matches
from sources.from_debian import describe_lock, download_newest, read_tracking
from sources.from_upstream import download_pinned, prebuilt_interpreters, wanted_files
from sources.lock import LOCK, SOURCES, SourcesLock, load_lock, renew_lock, save_lock
from sources.wheelhouse import WHEELHOUSE, fill_wheelhouse, smoke_minors

JOBS = 4


def prefetch(
    *,
    source: str = "upstream",
    suites: Sequence[str] = (),
    platform: str | None = None,
    dest: Path = SOURCES,
    only: Sequence[str] = (),
    jobs: int = JOBS,
    ca_bundle: Path | None = None,
    wheels: bool = True,
    progress: Progress | None = None,
) -> SourcesLock | None:
    """The whole command: fills sources and wheelhouse; returns the lock if there is one afterwards.

    `source`: "upstream" or "debian". `only`: these pins and interpreter tags, and the pins that share a version with
    them; the lock keeps what it says of the others. `progress`: a display that is shown already.
    Raises errors.UserError and errors.Failure."""
    if suites and source != "debian":
        raise errors.UserError("--suite goes only with --from debian: add it, or leave out --suite")
    catalogue = images.load()
    platform = machine.platform(platform or "")
    pins = native_pins.read()
    wanted = wanted_files(platform, pins, catalogue)
    known = [*pins, *prebuilt_interpreters(platform, catalogue)]
    for name in only:
        if name not in known:
            raise errors.UserError(f"unknown pin {name!r}" + near_matches(name, known))
    tracked = read_tracking()
    together = {tracked[name].together for name in only if name in tracked}
    chosen = {name for name in known if not only or name in only or name in together}
    path = dest / LOCK.name
    if only and path.exists():
        load_lock(path)  # before anything is downloaded: a malformed one cannot be kept
    fetcher = apt_fetcher(ca_bundle) if source == "debian" else fetch.Fetcher(ca_bundle=ca_bundle)
    lock = None
    with contextlib.nullcontext(progress) if progress else Progress() as shown:
        if source == "debian":
            lock = download_newest(
                {name: pin for name, pin in pins.items() if name in chosen},
                tracked,
                dest,
                archive=Archive.of_this_machine(fetcher, as_apt=True),
                fetcher=fetcher,
                suites=suites,
                prebuilt=[tag for tag in prebuilt_interpreters(platform, catalogue) if tag in chosen],
                progress=shown,
                jobs=jobs,
            )
            if only:
                lock = renew_lock(path, chosen, lock) or lock
            else:
                save_lock(lock, path)
            for line in describe_lock(lock, pins):
                shown.say(line)
        else:
            download_pinned([item for item in wanted if item.name in chosen], dest, fetcher, shown, jobs)
            if only:
                lock = renew_lock(path, chosen, None)
            else:
                path.unlink(missing_ok=True)  # what is here now is what the Dockerfile pins
        if wheels:
            fill_wheelhouse(smoke_minors(lock), dest / WHEELHOUSE.name, progress=shown)
    return lock


def main() -> None:
    """Downloads everything that images are built from into docker/sources, so that builds need no upstream host."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument(
        "--from",
        dest="source",
        choices=("upstream", "debian"),
        default="upstream",
        help="upstream: exactly the pinned files; debian: the newest of each series in the Debian archive, with a lock",
    )
    parser.add_argument(
        "--suite", action="append", default=[], help="with --from debian: search only this suite (repeatable)"
    )
    parser.add_argument("--platform", help="fetch the prebuilt files of this platform (default: this machine's)")
    parser.add_argument(
        "--only",
        action="append",
        default=[],
        metavar="PIN",
        help="fetch only this pin (repeatable); the lock keeps what it says of the others",
    )
    parser.add_argument("--dest", type=Path, default=SOURCES, help="directory to fill (default: docker/sources)")
    parser.add_argument(
        "--jobs", type=int, default=JOBS, metavar="N", help="number of parallel downloads (default: %(default)s)"
    )
    named = ", ".join(CA_VARIABLES)
    parser.add_argument(
        "--ca-bundle", type=Path, metavar="FILE", help=f"PEM file of the CAs to trust (default: the first of {named})"
    )
    parser.add_argument("--no-wheels", action="store_true", help="do not fill the wheelhouse of the smoke tests")
    options = parser.parse_args()
    if options.jobs < 1:
        parser.error("--jobs must be 1 or more")
    prefetch(
        source=options.source,
        suites=options.suite,
        platform=options.platform,
        dest=options.dest,
        only=options.only,
        jobs=options.jobs,
        ca_bundle=options.ca_bundle,
        wheels=not options.no_wheels,
    )
