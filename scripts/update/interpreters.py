"""Moves the prebuilt interpreters, PyPy and GraalPy, in docker/downloads.toml; one commit with all architectures.

A tag names its ABI, and with it the series that it stays in: pp311-pypy311_pp73 is PyPy 7.3 with Python 3.11, and
graalpy312-graalpy250_312_native is GraalPy 25.0 with Python 3.12. Series without a tag of ours are only reported.
Neither project signs its archives: each archive must match the checksum that the project publishes elsewhere.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import tomlkit
from packaging.version import Version

from catalogue import paths
from network import web
from network.bundles import BadSignature
from portable import archives, downloads, errors
from update import pipeline
from update.choice import Choice, PassedOver, RunContext, choose
from update.pipeline import Bump, Outcome, Subject
from update.releases import date, is_version, understood
from update.report import Row, State

DOWNLOADS = "docker/downloads.toml"
COOLDOWN = 7  # days
PYPY_VERSIONS = "https://downloads.python.org/pypy/versions.json"
PYPY_CHECKSUMS = "https://raw.githubusercontent.com/pypy/pypy.org/main/pages/checksums.rst"
PYPY_PLATFORMS = {"x64": "x86_64", "aarch64": "aarch64", "i686": "i686"}
GRAALPY_RELEASES = "https://api.github.com/repos/oracle/graalpython/releases?per_page=100"
GRAALPY_PLATFORMS = {"amd64": "x86_64", "aarch64": "aarch64"}
# GraalPy's assets are named graalpy-25.0.3-... or graalpy3.12-25.1.0-...; its tags do not always say the same.
GRAALPY_ASSET = re.compile(r"graalpy(?:3\.\d+)?-(?P<version>\d+(?:\.\d+){2,3})-linux-(?P<arch>amd64|aarch64)\.tar\.gz")


@dataclass(frozen=True)
class Build:
    """One release for one Python: platform -> URL, and where each URL's sha256 is published."""

    version: str
    python: str
    published: datetime | None
    urls: Mapping[str, str]


@dataclass(frozen=True)
class TrackedTag:
    """An interpreter tag of ours, and the line of releases that its ABI allows."""

    name: str
    pinned: str
    platforms: Sequence[str]
    series: str
    python: str

    @classmethod
    def read(cls, name: str, entry: downloads.Prebuilt) -> TrackedTag:
        """The tag with its series. Raises UserError for a tag of an unknown form."""
        if pypy := re.fullmatch(r"pp(\d)(\d+)-pypy\d+_pp(\d)(\d+)", name):
            series, python = f"{pypy[3]}.{pypy[4]}", f"{pypy[1]}.{pypy[2]}"
        elif graalpy := re.fullmatch(r"graalpy(\d)(\d+)-graalpy(\d+)(\d)_\d+_native", name):
            series, python = f"{graalpy[3]}.{graalpy[4]}", f"{graalpy[1]}.{graalpy[2]}"
        else:
            raise errors.UserError(f"{DOWNLOADS}: no update source knows the interpreter {name}")
        return cls(name, entry.version, list(entry.files), series, python)

    @property
    def is_pypy(self) -> bool:
        return self.name.startswith("pp")

    def fits(self, build: Build) -> bool:
        """Whether a build has this tag's ABI. Where GraalPy's asset does not name the Python, the series implies it."""
        return f"{build.version}.".startswith(f"{self.series}.") and build.python in (self.python, "")


def pypy_builds(client: web.Client) -> Iterator[Build]:
    """The stable releases in PyPy's versions.json (one entry for each Python). It gives the URLs as well."""
    with understood(PYPY_VERSIONS):
        for entry in client.json(PYPY_VERSIONS):
            version = str(entry.get("pypy_version", ""))
            if entry.get("stable") and is_version(version) and re.fullmatch(r"\d+(\.\d+)+", version):
                urls = {
                    PYPY_PLATFORMS[file["arch"]]: file["download_url"]
                    for file in entry["files"]
                    if file["platform"] == "linux" and file["arch"] in PYPY_PLATFORMS
                }
                python = ".".join(str(entry["python_version"]).split(".")[:2])
                yield Build(version, python, date(entry.get("date")), urls)


def graalpy_builds(client: web.Client) -> Iterator[Build]:
    """GraalPy's releases. The names of assets have the version: tags were renamed afterwards."""
    with understood(GRAALPY_RELEASES):
        for release in client.json(GRAALPY_RELEASES):
            if release.get("prerelease") or release.get("draft"):
                continue
            found: dict[str, dict[str, str]] = {}
            for asset in release["assets"]:
                match = GRAALPY_ASSET.fullmatch(asset["name"])
                if match and is_version(match["version"]):
                    urls = found.setdefault(match["version"], {})
                    urls[GRAALPY_PLATFORMS[match["arch"]]] = asset["browser_download_url"]
            for version, urls in found.items():
                yield Build(version, "", date(release.get("published_at")), urls)


def pypy_checksum(client: web.Client, url: str) -> str:
    """The sha256 in the list on pypy.org. Raises PassedOver while it is not listed."""
    name = re.escape(url.rpartition("/")[2])
    listed = re.search(rf"(?m)^\s*([0-9a-f]{{64}})\s+{name}\s*$", client.get(PYPY_CHECKSUMS).decode(errors="replace"))
    if not listed:
        raise PassedOver(State.PENDING, f"{PYPY_CHECKSUMS} does not list {url.rpartition('/')[2]}")
    return listed[1]


def graalpy_checksum(client: web.Client, url: str) -> str:
    """The sha256 in the file beside the archive. Raises PassedOver where there is none."""
    try:
        text = client.get(f"{url}.sha256").decode(errors="replace")
    except web.Missing as error:
        raise PassedOver(State.PENDING, str(error)) from None
    if not (digest := re.match(r"[0-9a-f]{64}\b", text)):
        raise BadSignature(f"{url}.sha256 holds no sha256")
    return digest[0]


def examine(context: RunContext, tag: TrackedTag, build: Build) -> dict[str, tuple[str, str]]:
    """Platform -> (URL, sha256), every archive downloaded and compared. Raises PassedOver or BadSignature."""
    missing = set(tag.platforms) - set(build.urls)
    if missing:
        raise PassedOver(State.PENDING, f"there is no archive for {', '.join(sorted(missing))}")
    dated = context.dated(tag.name, build.version, (build.published, "published"))
    if dated.age < COOLDOWN and tag.name not in context.eager:
        raise PassedOver(State.PENDING, f"{dated.source} {dated.age} days ago, to be taken after {COOLDOWN}")
    checksum = pypy_checksum if tag.is_pypy else graalpy_checksum
    found = {}
    for platform in tag.platforms:
        url = build.urls[platform]
        expected = checksum(context.client, url)
        try:
            file = context.client.download(url, context.directory)
        except (web.Missing, web.Refused) as error:
            raise PassedOver(State.PENDING, str(error)) from None
        if file.sha256 != expected:
            raise BadSignature(f"{url} is not the file that the published checksum names")
        try:
            archives.check(file.path, rf"(py|graal)py(\d\.\d+)?-v?{re.escape(build.version)}-[\w-]+")
        except archives.BadArchive as error:
            raise BadSignature(f"{url} is not what its name says: {error}") from None
        file.path.unlink()
        found[platform] = (url, file.sha256)
    return found


def look(
    context: RunContext, tag: TrackedTag, tags: Iterable[TrackedTag], builds: Callable[[web.Client], Iterator[Build]]
) -> Outcome:
    """The outcome for one interpreter tag."""
    listed = context.client.once(builds.__name__, lambda: tuple(builds(context.client)))
    ours = {build.version: build for build in listed if tag.fits(build)}
    newer = sorted((v for v in ours if Version(v) > Version(tag.pinned)), key=Version, reverse=True)
    choice = choose(newer, lambda version: examine(context, tag, ours[version]))
    newest = max([tag.pinned, *ours], key=Version)
    state, reason = choice.state, ""
    lines = [line for line in _new_lines(listed, tags, tag) if state is State.CURRENT and context.news(tag.name, line)]
    if lines:
        state, reason = State.NEW_SERIES, f"there is also {', '.join(lines)}"
    row = Row(
        name=tag.name,
        pinned=tag.pinned,
        state=state,
        reason=reason,
        newest=newest,
        acceptable=choice.version or tag.pinned,
        trust="checksum" if choice.taken else "",
        passed_over=tuple(choice.passed_over),
        unchecked=choice.unchecked,
        alarms=tuple(choice.alarms),
    )
    return Outcome([row], _bump(tag, choice) if choice.taken else None)


def _new_lines(listed: Iterable[Build], tags: Iterable[TrackedTag], tag: TrackedTag) -> list[str]:
    """Newer series that no tag of ours can take: "8.0 (Python 3.12)"."""
    lines = {}
    for build in listed:
        line = ".".join(build.version.split(".")[:2])
        if Version(line) > Version(tag.series) and not any(other.fits(build) for other in tags):
            lines[line, build.python] = f"{line} (Python {build.python})" if build.python else line
    return [lines[key] for key in sorted(lines, key=lambda key: (Version(key[0]), key[1]))]


def _bump(tag: TrackedTag, choice: Choice[dict[str, tuple[str, str]]]) -> Bump:
    files = choice.taken or {}

    def edit(read: Callable[[str], str]) -> Mapping[str, str]:
        document = tomlkit.parse(read(DOWNLOADS))
        entry: Any = document["interpreters"][tag.name]
        entry["version"] = choice.version
        for platform, (url, sha256) in files.items():
            entry[platform]["url"], entry[platform]["sha256"] = url, sha256
        return {DOWNLOADS: tomlkit.dumps(document)}

    lines = [f"{platform}: {url}\nsha256: {sha256}" for platform, (url, sha256) in files.items()]
    body = "\n".join([*lines, "Trust: checksum published by the project, compared with every file"])
    return Bump(f"Bump {tag.name} {tag.pinned} → {choice.version}", body, edit)


def _join(outcomes: Sequence[Outcome]) -> Bump | None:
    """One commit for everything that moves."""
    bumps = [outcome.bump for outcome in outcomes if outcome.bump]
    if len(bumps) < 2:
        return next(iter(bumps), None)
    return pipeline.together("Bump prebuilt interpreters", "\n\n".join(f"{b.subject}\n{b.body}" for b in bumps), bumps)


def main(arguments: Sequence[str] | None = None, root: Path = paths.ROOT) -> int:
    """Looks for new releases of PyPy and GraalPy, and commits the bumps of all interpreter tags that can move."""
    options = pipeline.parse(str(main.__doc__), arguments)
    tags = [TrackedTag.read(name, entry) for name, entry in downloads.load(root / DOWNLOADS).interpreters.items()]
    with RunContext.open([], options.no_cooldown, dry_run=options.dry_run) as context:
        subjects = [
            Subject(
                {tag.name: tag.pinned},
                functools.partial(look, context, tag, [t for t in tags if t.is_pypy == tag.is_pypy], builds),
            )
            for tag in tags
            for builds in (pypy_builds if tag.is_pypy else graalpy_builds,)
        ]
        return pipeline.run("Prebuilt interpreters", subjects, options, root, join=_join)
