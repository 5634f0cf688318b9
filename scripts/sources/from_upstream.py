"""Downloads exactly what is pinned: every file that the Dockerfile and docker/downloads.toml name."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from catalogue.model import Catalogue
from catalogue.pins import Pin
from portable import downloads, errors, fetch, files
from portable.progress import Progress
from portable.toml import near_matches
from portable.verdicts import Unusable


@dataclass(frozen=True)
class PinnedFile:
    """A file to download. `file`: its path below the sources directory."""

    name: str
    version: str
    url: str
    sha256: str
    file: Path


def wanted_files(platform: str, pins: Mapping[str, Pin], catalogue: Catalogue) -> list[PinnedFile]:
    """Every pinned file that images of a platform are built from. Raises errors.UserError for an unknown platform."""
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
    """The tags of the interpreters that images of a platform install as upstream has built them."""
    here = (image for image in catalogue.images(False, True) if image.platform.name == platform)
    return sorted({i.tag for image in here for i in image.interpreters if i.implementation != "cpython"})


def download_pinned(
    wanted: Iterable[PinnedFile], dest: Path, fetcher: fetch.Fetcher, progress: Progress, jobs: int
) -> None:
    """Downloads every file, `jobs` at a time. Raises errors.Failure, naming those that could not be downloaded."""

    def download(item: PinnedFile) -> str | None:
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
            "If only a Debian mirror can be reached: prefetch --from debian"
        )
    progress.say(f"{len(items)} files in {dest}, all as pinned")


def _wanted(name: str, version: str, url: str, sha256: str) -> PinnedFile:
    return PinnedFile(name, version, url, sha256, Path(name, url.rpartition("/")[2]))
