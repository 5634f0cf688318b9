"""Asks the Debian archive which upstream files its signed source index names, and since when.

All data come from the signed index (debian/suites.py) or match its sha256. The archive counts as unreachable where this
machine has no Debian mirror, or lacks the keyring or program that verifies the index.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path

from catalogue.dependencies import Dependency
from debian import changelog
from debian.archive import Archive, SourceIndex
from debian.source_packages import SourceFile, SourcePackage, UpstreamVersion, upstream_version
from network import web
from portable import errors


class Witness:
    """The archive, which is read once, at the first question."""

    def __init__(self, client: web.Client, dependencies: Iterable[Dependency]) -> None:
        self._client = client
        self._packages = {row.name: row.fill(row.debian.source) for row in dependencies if row.debian.source}

    def index(self) -> SourceIndex:
        """What the archive has of all tracked packages. Raises web.Unreachable when it cannot be asked or trusted."""
        return self._client.once("debian", self._search)

    def versions(self, dependency: Dependency) -> Mapping[str, Sequence[SourcePackage]]:
        """Upstream version -> the source packages, of every suite, that can count as upstream's own file.

        A package counts if a person has marked the row as verbatim, or the package carries upstream's signature, unless
        a person has refused that version."""
        found: dict[str, list[SourcePackage]] = {}
        for upstream, source in self._packages_of(dependency):
            if upstream.repacked or upstream.text in dependency.debian.refuse:
                continue
            if source.original and (dependency.debian.verbatim or source.signature):
                found.setdefault(upstream.text, []).append(source)
        return found

    def released(self, dependency: Dependency) -> set[str]:
        """Every upstream version that the archive has, also repackaged ones, whose files are not taken."""
        return {upstream.text for upstream, _ in self._packages_of(dependency)}

    def head(self, sources: Sequence[SourcePackage]) -> SourcePackage:
        """The first source package with a tarball on the mirror; an index can be ahead of it. Raises web.Missing."""
        for source in sources:
            for url in source.urls(_original(source)):
                try:
                    self._client.head(url)
                    return source
                except web.Missing as error:
                    missing = error
        raise missing

    def download(self, source: SourcePackage, directory: Path) -> web.Download:
        """The upstream tarball. Raises web.Refused when it is not the one that the signed index names."""
        original = _original(source)
        return self._client.download(source.urls(original)[0], directory, original.sha256)

    def signature(self, source: SourcePackage) -> bytes | None:
        """Upstream's detached signature, where the source package carries it."""
        return self._read(source, source.signature) if source.signature else None

    def published(self, version: str, sources: Sequence[SourcePackage]) -> datetime | None:
        """The date of the changelog entry that first carried an upstream version, if it can be read."""
        for source in sources:
            if packaging := source.packaging:
                try:
                    entries = changelog.from_archive(self._read(source, packaging))
                except (web.Missing, web.Refused, changelog.NoChangelog):
                    continue
                if dates := dates_of(entries, version):
                    return min(dates)
        return None

    def _packages_of(self, dependency: Dependency) -> Iterator[tuple[UpstreamVersion, SourcePackage]]:
        if name := self._packages.get(dependency.name):
            for source in self.index().sources:
                if re.fullmatch(name, source.package) and (upstream := source.upstream):
                    yield upstream, source

    def _search(self) -> SourceIndex:
        try:
            return Archive.of_this_machine().search("|".join(f"(?:{name})" for name in self._packages.values()))
        except (errors.UserError, errors.Failure) as error:
            raise web.Unreachable(f"the Debian archive: {error}") from None

    def _read(self, source: SourcePackage, file: SourceFile) -> bytes:
        return self._client.get(source.urls(file)[0], file.sha256)


def dates_of(entries: Iterable[changelog.ChangelogEntry], version: str) -> list[datetime]:
    """The dates of the entries of a changelog whose upstream version this is."""
    dates = []
    for entry in entries:
        upstream = upstream_version(entry.version)
        if upstream and upstream.text == version and entry.date:
            dates.append(entry.date)
    return dates


def _original(source: SourcePackage) -> SourceFile:
    assert source.original is not None, "versions() lists no source without a tarball"
    return source.original
