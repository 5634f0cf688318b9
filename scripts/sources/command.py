"""Fills docker/sources, the local mirror that builds look into first, and the wheelhouse of the smoke tests.

From upstream: every file that the Dockerfile and docker/downloads.toml pin. From the Debian archive: the newest version
of each pinned series that can really be downloaded there; a lock then says which versions these are, and what is
missing. Every file is compared with its sha256, pinned or from the archive's signed index, before it gets its name.
"""

from __future__ import annotations

import argparse
import contextlib
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

from catalogue import dependencies, images
from catalogue import pins as native_pins
from catalogue.model import Catalogue
from catalogue.paths import DOCKER, ROOT
from catalogue.pins import Pin
from debian import archive as debian_archive
from debian.archive import Archive, Index, Source, Upstream, upstream_version
from host import machine
from portable import downloads, environment, errors, fetch, files, transport
from portable.progress import Progress
from portable.toml import near_matches
from portable.verdicts import Unusable
from sources import lock as source_lock
from sources.lock import Lock, LockedPin

SOURCES = DOCKER / "sources"
LOCK = SOURCES / "lock.json"
WHEELHOUSE = SOURCES / "wheelhouse"
SMOKE_LOCKS = ROOT / "requirements" / "smoke"
SHARED_LOCKS = ROOT / "requirements" / "smoke-shared"
UTILITY_PIN = "cpython-3.9"  # cibuildwheel 3 and 4 start the image's cp39-cp39 whatever they build for
JOBS = 4

_REQUIREMENT = re.compile(r"(?m)^(?P<name>[A-Za-z0-9._-]+)==(?P<version>[^\s;\\]+)(?P<rest>(?:[^\n]*\\\n)*[^\n]*)")
_HASH = re.compile(r"--hash=sha256:([0-9a-f]{64})")

PipRunner = Callable[[Sequence[str], Path], None]
"""Runs `pip <arguments>` with the directory as its working directory. Raises errors.Failure when that fails."""


class Tracked(NamedTuple):
    """What docker/dependencies.toml says about one pin in the Debian archive. `together`: a pin of the same version."""

    series: str
    source: str
    verbatim: bool
    refuse: Mapping[str, str]
    together: str = ""


@dataclass(frozen=True)
class Wanted:
    """A file to download, `file` relative to the sources directory."""

    name: str
    version: str
    url: str
    sha256: str
    file: Path


def wanted_files(platform: str, pins: Mapping[str, Pin], catalogue: Catalogue) -> list[Wanted]:
    """Every file that images of a platform are built from, as pinned. Raises errors.UserError for an unknown one."""
    if platform not in catalogue.platforms:
        raise errors.UserError(f"unknown platform {platform!r}" + near_matches(platform, catalogue.platforms))
    goarch = catalogue.platforms[platform].go
    plain = [pin.for_arch(goarch) for pin in pins.values() if isinstance(pin.sha256, str) or goarch in pin.sha256]
    found = [_wanted(pin.name, pin.version, pin.url, str(pin.sha256)) for pin in plain if pin.sha256]
    prebuilt = downloads.load().interpreters
    for tag in prebuilt_interpreters(platform, catalogue):
        row = prebuilt[tag]
        found.append(_wanted(tag, row.version, row.files[platform].url, row.files[platform].sha256))
    return found


def prebuilt_interpreters(platform: str, catalogue: Catalogue) -> list[str]:
    """The tags of the interpreters that images of a platform take ready-made."""
    here = (image for image in catalogue.images(False, True) if image.platform.name == platform)
    return sorted({i.tag for image in here for i in image.interpreters if i.implementation != "cpython"})


def from_upstream(wanted: Iterable[Wanted], dest: Path, fetcher: fetch.Fetcher, progress: Progress, jobs: int) -> None:
    """Downloads every file, several at a time. Raises errors.Failure naming those that could not be had."""

    def download(item: Wanted) -> str | None:
        if files.holds(dest / item.file, item.sha256):
            return None
        try:
            with progress.task(f"{item.name} {item.version}") as task:
                fetcher.download(item.url, dest / item.file, sha256=item.sha256, task=task)
        except Unusable as error:
            return str(error)
        return None

    items = list(wanted)
    problems = [problem for problem in fetch.in_parallel(download, items, jobs, fetcher) if problem]
    if problems:
        listed = "\n".join(problems)
        raise errors.Failure(
            f"{len(problems)} of {len(items)} files are missing in {dest}\n{listed}\n"
            "Where only a Debian mirror can be reached: prefetch --from debian"
        )
    progress.say(f"{len(items)} files in {dest}, all as pinned")


def from_debian(
    pins: Mapping[str, Pin],
    tracked: Mapping[str, Tracked],
    dest: Path,
    *,
    archive: Archive,
    fetcher: fetch.Fetcher,
    suites: Sequence[str] = (),
    prebuilt: Iterable[str] = (),
    progress: Progress,
    jobs: int = JOBS,
) -> Lock:
    """Downloads what the archive has of the pins and returns the lock. Raises errors.Failure for no usable suite.

    `prebuilt`: tags of interpreters that only upstream has, so that the lock names them as missing."""
    named = {name: pin for name, pin in pins.items() if pin.sha256}  # the others are container images
    index = archive.search("|".join(f"(?:{row.source})" for row in tracked.values()), suites, progress)
    for line in describe_index(index):
        progress.say(line)

    def obtain(pin: Pin, most: Upstream | None = None) -> LockedPin | str:
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
    return Lock(
        source="debian",
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        suites=[suite.name for suite in index.suites],
        pins={name: result for name, result in results.items() if not isinstance(result, str)},
        missing=missing,
    )


def _versions(results: Mapping[str, LockedPin | str], *names: str) -> dict[str, Upstream]:
    """The versions found for some pins, as far as there are any."""
    found = {name: upstream_version(row["version"]) for name in names if isinstance(row := results.get(name), dict)}
    return {name: version for name, version in found.items() if version}


def candidates(
    pin: Pin, row: Tracked, sources: Iterable[Source], most: Upstream | None = None
) -> tuple[list[Source], list[str]]:
    """The versions in the archive that may stand in for a pin, newest first, and why newer ones may not.

    `most`: versions above this one are left out."""
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
            refused.append(f"{pin.name} {upstream.text} is passed over: {reason}")
        else:
            found.append((upstream, source))
    found.sort(key=lambda pair: pair[0], reverse=True)
    return [source for _, source in found], sorted(set(refused))


def _newest(
    pin: Pin, row: Tracked, most: Upstream | None, index: Index, dest: Path, fetcher: fetch.Fetcher, progress: Progress
) -> LockedPin | str:
    """The newest version, not newer than `most`, that can be downloaded, or why there is none."""
    usable, refused = candidates(pin, row, index.sources, most)
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
            progress.say(f"{pin.name} {upstream.text} is passed over: {reason}")
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


def describe_index(index: Index) -> list[str]:
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


def describe_lock(lock: Lock, pins: Mapping[str, Pin]) -> list[str]:
    """The summary of a lock for people: version by version, then what is missing and what that means."""
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


def smoke_minors(lock: Lock | None = None, directory: Path = SMOKE_LOCKS) -> list[str]:
    """The minors whose smoke-test requirements are locked, without those that the lock leaves out."""
    minors = sorted((path.stem for path in directory.glob("*.txt")), key=lambda minor: int(minor.partition(".")[2]))
    return [minor for minor in minors if not lock or f"cpython-{minor}" not in lock["missing"]]


def fill_wheelhouse(
    minors: Iterable[str],
    dest: Path = WHEELHOUSE,
    *,
    locks: Path = SMOKE_LOCKS,
    platforms: Sequence[str] = (),
    run_pip: PipRunner | None = None,
    progress: Progress | None = None,
) -> None:
    """Downloads the wheels that the smoke tests of these minors need, exactly those that the locks name.

    `platforms`: platform tags of wheels that suit, where not all of them suit all. Does nothing where they are there
    already. `run_pip` defaults to the pip of this Python, else that of uv. Raises errors.Failure when there is neither
    or a download fails."""
    dest.mkdir(parents=True, exist_ok=True)
    with contextlib.nullcontext(progress) if progress else Progress() as shown:
        for minor in minors:
            lock = (locks / f"{minor}.txt").read_text(encoding="utf-8")
            if wheels_missing(lock, dest):
                with shown.task(f"wheels for the smoke tests of Python {minor}") as task:
                    _download_wheels(lock, minor, dest, platforms, run_pip or choose_pip())
                    task.note = "complete"
                if absent := wheels_missing(lock, dest):
                    raise errors.Failure(f"pip did not download {', '.join(absent)} for Python {minor}")


def fill_shared_wheelhouse(
    expectations: Mapping[str, Any], dest: Path = WHEELHOUSE, *, run_pip: PipRunner | None = None
) -> None:
    """What the smoke tests of a variant with shared interpreters need beyond that, in a directory of its own; nothing
    for any other image. Raises errors.Failure as `fill_wheelhouse` does."""
    shared = expectations.get("shared") or {}
    if not shared.get("pyinstaller"):
        return
    platform, (major, minor) = expectations["platform"], map(int, expectations["libc_version"].split("."))
    if expectations["libc"] == "glibc":
        tags = ["manylinux2014", *(f"manylinux_{major}_{number}" for number in range(17, minor + 1))]
    else:
        tags = [f"musllinux_{major}_{number}" for number in range(1, minor + 1)]
    fill_wheelhouse(
        [row["minor"] for row in shared["interpreters"]],
        dest / shared["pyinstaller"],
        locks=SHARED_LOCKS,
        platforms=[f"{tag}_{platform}" for tag in tags],
        run_pip=run_pip,
    )


def wheels_missing(lock: str, directory: Path) -> list[str]:
    """The requirements of a lock's text for which the directory has no wheel with one of the locked hashes."""
    present = {files.digest(path) for path in directory.glob("*.whl")}
    return [
        f"{match['name']} {match['version']}"
        for match in _REQUIREMENT.finditer(lock)
        if present.isdisjoint(_HASH.findall(match["rest"]))
    ]


def choose_pip() -> PipRunner:
    """A runner for the pip of this Python, else for that of uv. Raises errors.Failure when there is neither."""
    if find_spec("pip"):
        command = [sys.executable, "-m", "pip"]
    elif uv := shutil.which("uv"):
        command = [uv, "tool", "run", "pip"]
    else:
        raise errors.Failure("this Python has no pip, and there is no uv: install one of them to download wheels")

    def run(arguments: Sequence[str], directory: Path) -> None:
        result = subprocess.run(
            [*command, *arguments],
            cwd=directory,
            env=environment.for_pip(),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        if result.returncode:
            raise errors.Failure(f"pip {' '.join(arguments)} failed:\n{result.stdout}")

    return run


def _download_wheels(lock: str, minor: str, dest: Path, platforms: Sequence[str], run_pip: PipRunner) -> None:
    # pip judges environment markers for the Python it runs on, not for --python-version: the lock is one minor's, so
    # whatever it names is needed.
    plain = "".join(
        f"{match['name']}=={match['version']} {' '.join(f'--hash=sha256:{h}' for h in _HASH.findall(match['rest']))}\n"
        for match in _REQUIREMENT.finditer(lock)
    )
    # Another build may fill the same wheelhouse now: each file comes into it whole, and under its own name.
    with tempfile.TemporaryDirectory(dir=dest, prefix=".downloading-") as scratch:
        Path(scratch, "requirements.txt").write_text(plain, encoding="utf-8")
        run_pip(
            [
                *("download", "--quiet", "--disable-pip-version-check", "--require-hashes", "--no-deps"),
                *("--only-binary=:all:", f"--python-version={minor}", "--requirement=requirements.txt", "--dest=."),
                *(f"--platform={platform}" for platform in platforms),
            ],
            Path(scratch),
        )
        for wheel in Path(scratch).glob("*.whl"):
            wheel.replace(dest / wheel.name)


def run(
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
) -> Lock | None:
    """The whole command: sources, lock and wheelhouse. Returns the lock where there is one.

    `only`: these pins and interpreter tags, those of the same version, and no others; what a lock says of others stays.
    `progress`: a display that is already shown.
    Raises errors.UserError and errors.Failure."""
    if suites and source != "debian":
        raise errors.UserError("--suite only goes with --from debian")
    catalogue = images.load()
    platform = machine.platform(platform or "")
    wanted = wanted_files(platform, native_pins.read(), catalogue)
    pins = native_pins.read()
    known = [*pins, *prebuilt_interpreters(platform, catalogue)]
    for name in only:
        if name not in known:
            raise errors.UserError(f"unknown pin {name!r}" + near_matches(name, known))
    tracked = read_tracking()
    together = {tracked[name].together for name in only if name in tracked}
    chosen = {name for name in known if not only or name in only or name in together}
    path = dest / LOCK.name
    if only and path.exists():
        source_lock.load(path)  # before anything is downloaded: it is to be kept
    fetcher = debian_archive.apt_fetcher(ca_bundle) if source == "debian" else fetch.Fetcher(ca_bundle=ca_bundle)
    lock = None
    with contextlib.nullcontext(progress) if progress else Progress() as shown:
        if source == "debian":
            lock = from_debian(
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
                lock = source_lock.renew(path, chosen, lock) or lock
            else:
                source_lock.save(lock, path)
            for line in describe_lock(lock, pins):
                shown.say(line)
        else:
            from_upstream([item for item in wanted if item.name in chosen], dest, fetcher, shown, jobs)
            if only:
                lock = source_lock.renew(path, chosen, None)
            else:
                path.unlink(missing_ok=True)  # what is here now is what the Dockerfile pins
        if wheels:
            fill_wheelhouse(smoke_minors(lock), dest / WHEELHOUSE.name, progress=shown)
    return lock


def _wanted(name: str, version: str, url: str, sha256: str) -> Wanted:
    return Wanted(name, version, url, sha256, Path(name, url.rpartition("/")[2]))


def main() -> None:
    """Downloads what images are built from into docker/sources, so that builds need no upstream host."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument(
        "--from",
        dest="source",
        choices=("upstream", "debian"),
        default="upstream",
        help="upstream: exactly the pinned files; debian: the newest of each series in the Debian archive, with a lock",
    )
    parser.add_argument("--suite", action="append", default=[], help="search only this Debian suite (repeatable)")
    parser.add_argument("--platform", help="whose prebuilt files to fetch (default: this machine's)")
    parser.add_argument(
        "--only", action="append", default=[], metavar="PIN", help="only this pin; the lock keeps the others"
    )
    parser.add_argument("--dest", type=Path, default=SOURCES, help="directory to fill (default: docker/sources)")
    parser.add_argument(
        "--jobs", type=int, default=JOBS, metavar="N", help="downloads at a time (default: %(default)s)"
    )
    parser.add_argument("--ca-bundle", type=Path, metavar="FILE", help="CAs to trust, PEM (default: $SSL_CERT_FILE)")
    parser.add_argument("--no-wheels", action="store_true", help="leave the smoke tests' wheelhouse alone")
    options = parser.parse_args()
    if options.jobs < 1:
        parser.error("--jobs must be 1 or more")
    run(
        source=options.source,
        suites=options.suite,
        platform=options.platform,
        dest=options.dest,
        only=options.only,
        jobs=options.jobs,
        ca_bundle=options.ca_bundle,
        wheels=not options.no_wheels,
    )
