"""What newer packages of a distribution mend: from Debian's changelogs, RPM's updateinfo and Alpine's secdb."""

from __future__ import annotations

import io
import lzma
import re
import xml.etree.ElementTree as ElementTree
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from univers.versions import AlpineLinuxVersion, DebianVersion, InvalidVersion, RpmVersion

from debian import changelog
from debian.archive import Archive
from debian.source_packages import SourcePackage
from network import web
from network.answers import Answer
from portable import archives, errors, fetch

CVE = re.compile(r"CVE-\d{4}-\d{4,7}", re.ASCII)
POCKETS = ("", "-updates", "-security")  # of a suite, what an image is built from
MOST_UNPACKED = 256 << 20  # bytes of a list of advisories
JOBS = 4

_REPOMD = "{http://linux.duke.edu/metadata/repo}"


@dataclass(frozen=True)
class InstalledPackage:
    """A package of a distribution as the manifest lists it. `source`: what it is built from, and that one's version."""

    name: str
    version: str
    source: str
    source_version: str


@dataclass(frozen=True)
class Fix:
    """A vulnerability that a newer version of a package mends. `package`: the name that the distribution's data use."""

    package: str
    installed: str
    id: str
    fixed: str


@dataclass(frozen=True)
class Fixes:
    """What was found, and what could not be looked at: package -> why."""

    found: tuple[Fix, ...]
    unread: Mapping[str, str]


def from_debian(packages: Iterable[InstalledPackage], suite: str, archive: Archive, client: web.Client) -> Fixes:
    """The CVEs that Debian's changelogs name between the installed version of a source package and the newest one.

    Raises Failure if the archive cannot be asked."""
    installed = {package.source: package.source_version for package in packages}
    names = "|".join(re.escape(name) for name in sorted(installed))
    index = archive.search(names, tuple(f"{suite}{pocket}" for pocket in POCKETS))
    newest: dict[str, list[SourcePackage]] = {}  # the same version can be in several suites
    for source in index.sources:
        known = newest.setdefault(source.package, [source])
        if DebianVersion(known[0].version) < DebianVersion(source.version):
            newest[source.package] = [source]
        elif known[0].version == source.version and source not in known:
            known.append(source)
    outdated = [
        sources
        for name, sources in newest.items()
        if DebianVersion(installed[name]) < DebianVersion(sources[0].version)
    ]

    def read(sources: Sequence[SourcePackage]) -> list[Fix] | str:
        name, reason = sources[0].package, ""
        for source in sources:
            try:
                return list(_named_after(_changelog(source, client), name, installed[name]))
            except (web.Missing, web.Refused, web.Unreachable, changelog.NoChangelog) as error:
                reason = str(error)
        return f"{sources[0].version} is newer, and its changelog cannot be read: {reason}"

    found: list[Fix] = []
    unread = dict.fromkeys(installed.keys() - newest.keys(), f"{suite} does not have it")
    answers = fetch.in_parallel(read, outdated, JOBS, fetch.Fetcher(mirrors=None))
    for sources, answer in zip(outdated, answers, strict=True):
        if isinstance(answer, str):
            unread[sources[0].package] = answer
        else:
            found += answer
    return Fixes(tuple(found), unread)


def _changelog(source: SourcePackage, client: web.Client) -> list[changelog.ChangelogEntry]:
    """From the packaging, or from the only archive of a package that is Debian's own. Raises as the client does."""
    file = source.packaging or source.diff or next((file for file in source.files if ".tar." in file.name), None)
    if file is None:
        raise changelog.NoChangelog("its source package has no archive")
    read = changelog.from_diff if file == source.diff else changelog.from_archive
    for url in source.urls(file):
        try:
            return read(client.get(url, file.sha256))
        except web.Missing as error:
            missing = error
    raise missing


def _named_after(entries: Iterable[changelog.ChangelogEntry], package: str, installed: str) -> Iterator[Fix]:
    """Each CVE once, with the oldest version that names it; versions up to the installed one have mended theirs."""
    fixed: dict[str, str] = {}
    mended: set[str] = set()
    for entry in entries:  # newest first
        ids = CVE.findall(entry.text)
        if DebianVersion(installed) < DebianVersion(entry.version):
            fixed |= dict.fromkeys(ids, entry.version)
        else:
            mended.update(ids)
    for id, version in fixed.items():
        if id not in mended:
            yield Fix(package, installed, id, version)


def from_updateinfo(packages: Iterable[InstalledPackage], repositories: Iterable[str], client: web.Client) -> Fixes:
    """The CVEs of the security advisories of repositories that name a newer package than the installed one.

    `repositories`: addresses that end in /. Raises Failure for one that cannot be read."""
    installed = {package.name: package.version for package in packages}
    found: dict[tuple[str, str], Fix] = {}
    for repository in repositories:
        for package, fixed, ids in _advisories(repository, client):
            here = installed.get(package)
            if here is None or ("module" in fixed) != ("module" in here) or not RpmVersion(here) < RpmVersion(fixed):
                continue
            for id in ids:
                known = found.get((package, id))
                if known is None or RpmVersion(fixed) < RpmVersion(known.fixed):
                    found[package, id] = Fix(package, here, id, fixed)
    return Fixes(tuple(found.values()), {})


def _advisories(repository: str, client: web.Client) -> Iterator[tuple[str, str, list[str]]]:
    """Package, version and CVEs of each security advisory of a repository."""
    index = _parse(_get(client, f"{repository}repodata/repomd.xml"), repository)
    places = [
        location.get("href", "")
        for data in index.iter(f"{_REPOMD}data")
        if data.get("type") == "updateinfo"
        for location in data.iter(f"{_REPOMD}location")
    ]
    if not places:
        raise errors.Failure(f"{repository} has no advisories (updateinfo in repodata/repomd.xml)")
    url = f"{repository}{places[0]}"
    for update in _parse(_unpacked(_get(client, url), url), url).iter("update"):
        ids = [reference.get("id", "") for reference in update.iter("reference") if reference.get("type") == "cve"]
        if update.get("type") == "security" and ids:
            for package in update.iter("package"):
                epoch = package.get("epoch") or "0"
                version = f"{package.get('version')}-{package.get('release')}"
                yield package.get("name", ""), version if epoch == "0" else f"{epoch}:{version}", ids


def from_secdb(packages: Iterable[InstalledPackage], databases: Iterable[str], client: web.Client) -> Fixes:
    """The CVEs that Alpine's security databases say a newer package mends. Raises Failure for one that is malformed."""
    installed = {package.source: package.version for package in packages}
    found = []
    for url in databases:
        for row in Answer.parse(_get(client, url), url)["packages"].rows():
            name = row["pkg"]["name"].text()
            here = installed.get(name)
            for fixed, ids in row["pkg"]["secfixes"].members().items() if here else ():
                if fixed != "0" and _older(here or "", fixed):  # "0": Alpine was never affected
                    for text in ids.rows(optional=True):
                        found += [Fix(name, here or "", id, fixed) for id in CVE.findall(text.text())]
    return Fixes(tuple(found), {})


def _older(here: str, fixed: str) -> bool:
    try:
        return bool(AlpineLinuxVersion(here) < AlpineLinuxVersion(fixed))
    except InvalidVersion:
        return False  # a version that Alpine itself could not have built


def _get(client: web.Client, url: str) -> bytes:
    try:
        return client.get(url)
    except (web.Missing, web.Refused, web.Unreachable) as error:
        raise errors.Failure(f"{url}: {error}") from None


def _unpacked(content: bytes, url: str) -> bytes:
    opener = archives.OPENERS.get(url.rpartition(".")[2])
    if opener is None:
        return content
    try:
        with opener(io.BytesIO(content)) as stream:
            unpacked: bytes = stream.read(MOST_UNPACKED + 1)
    except (OSError, EOFError, zlib.error, lzma.LZMAError) as error:
        raise errors.Failure(f"{url} cannot be unpacked: {error}") from None
    if len(unpacked) > MOST_UNPACKED:
        raise errors.Failure(f"{url} unpacks to more than {MOST_UNPACKED} bytes")
    return unpacked


def _parse(content: bytes, url: str) -> ElementTree.Element:
    try:
        return ElementTree.fromstring(content)
    except ElementTree.ParseError as error:
        raise errors.Failure(f"{url} is not XML: {error}") from None
