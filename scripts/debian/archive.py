"""Searches the signed source indices of the Debian archive that this machine's apt is configured with.

Trust is a chain: a key of a keyring on this machine has signed the InRelease of a suite, InRelease has the sha256 of
the index (Sources.xz), and the index has the sha256 of every source file. Nothing that fails a step is parsed.
"""

from __future__ import annotations

import contextlib
import hashlib
import lzma
import os
import re
import shutil
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

from debian.source_packages import SourcePackage, matching_stanzas, parse_stanza
from debian.suites import Suite, Untrusted, parse_suite, suite_names, verify, without_signature
from host import apt
from host.apt import KEYRINGS, AptSource
from portable import errors, fetch, files, places, transport
from portable.progress import Progress
from portable.verdicts import Unusable

KEYRING_VARIABLE = "MANYLINUX_DEBIAN_KEYRING"
KEPT_DAYS = 14  # how long the cache keeps an index that no run has used


@dataclass(frozen=True)
class SourceIndex:
    """What a search found: source packages, the suites that were searched, and suite -> why it could not be used."""

    sources: tuple[SourcePackage, ...]
    suites: tuple[Suite, ...]
    unusable: Mapping[str, str]

    def stale(self, now: datetime) -> list[Suite]:
        """The suites whose index has expired: the mirror no longer follows the archive."""
        return [suite for suite in self.suites if suite.valid_until and suite.valid_until < now]


def find_sources(
    environment: Mapping[str, str] | None = None, directory: Path = apt.APT, as_apt: bool = False
) -> tuple[AptSource, ...]:
    """The roots of Debian's archive that this machine uses, as apt.read finds them.

    `as_apt`: accept what apt accepts without a signature. Otherwise, and always where $MANYLINUX_DEBIAN_KEYRING names
    a keyring, everything must be signed. If only the main archive is configured, the security archive is expected
    beside it. Raises errors.UserError when there is no root."""
    found = apt.read(environment, directory).sources
    if not found:
        raise errors.UserError(
            f"apt has no Debian mirror in {directory}/sources.list and sources.list.d: "
            f"set {apt.MIRROR_VARIABLE}, for instance to http://mirror.example.org/debian"
        )
    if (os.environ if environment is None else environment).get(KEYRING_VARIABLE):
        found = tuple(replace(source, signed_by=None, options={}) for source in found)
    elif not as_apt:
        found = tuple(replace(source, options={}) for source in found)
    if not any("security" in source.pockets for source in found):
        beside = [source for source in found if source.root.endswith("/debian")]
        security = frozenset({"security"})
        found += tuple(replace(source, root=f"{source.root}-security", pockets=security) for source in beside)
    return found


def apt_fetcher(ca_bundle: Path | None = None) -> fetch.Fetcher:
    """A fetcher that reaches the archive as apt does; `ca_bundle`: the CAs where apt's settings name none."""
    settings = apt.read()
    return fetch.Fetcher(mirrors=None, ca_bundle=settings.certificates() or ca_bundle, proxies=settings.proxies())


def find_keyrings(environment: Mapping[str, str] | None = None) -> tuple[Path, ...]:
    """The keyrings to trust: $MANYLINUX_DEBIAN_KEYRING, else that of the package debian-archive-keyring.

    Raises errors.UserError when the keyring does not exist."""
    environment = os.environ if environment is None else environment
    named = environment.get(KEYRING_VARIABLE)
    for keyring in (Path(named),) if named else KEYRINGS:
        if keyring.is_file():
            return (keyring,)
    raise errors.UserError(
        f"no keyring to verify Debian's archive with ({named or ' or '.join(map(str, KEYRINGS))}): install the "
        f"package debian-archive-keyring or set {KEYRING_VARIABLE}"
    )


class Archive:
    """The Debian archive as this machine sees it."""

    def __init__(
        self,
        sources: Iterable[AptSource],
        keyrings: Iterable[Path],
        cache: Path,
        fetcher: fetch.Fetcher | None = None,
        more_keys: bytes = b"",
    ) -> None:
        """`keyrings` and `more_keys` are trusted for every source that names no keys.

        Raises errors.UserError when gpgv is not installed."""
        self._sources, self._keyrings, self._cache = tuple(sources), tuple(keyrings), cache
        self._more_keys = more_keys
        self._fetcher = fetcher or apt_fetcher()
        if not shutil.which("gpgv"):
            raise errors.UserError("gpgv is needed to verify Debian's archive: apt-get install gpgv")

    @classmethod
    def of_this_machine(cls, fetcher: fetch.Fetcher | None = None, as_apt: bool = False) -> Archive:
        """The archive that apt is configured with. Raises errors.UserError as find_sources and find_keyrings do.

        `as_apt`: what apt trusts is trusted, too: sources without a signature, and its keys for every source."""
        sources = find_sources(as_apt=as_apt)
        keyrings = find_keyrings() if any(source.signed_by is None for source in sources) else ()
        more_keys = apt.trusted_keys() if as_apt and not os.environ.get(KEYRING_VARIABLE) else b""
        return cls(sources, keyrings, places.cache() / "debian", fetcher, more_keys)

    def search(self, packages: str, suites: Iterable[str] = (), progress: Progress | None = None) -> SourceIndex:
        """All versions of the source packages whose whole name matches a regular expression.

        `suites`: the suites to search, by default all. Raises errors.Failure when one of these, or every suite, is
        unusable."""
        wanted = tuple(suites)
        progress = progress or Progress(quiet=True)
        pattern = re.compile(packages.encode())
        usable: list[Suite] = []
        unusable: dict[str, str] = {}
        names = suite_names(wanted)
        with progress.task("signed index of Debian's suites", len(names), "") as task:

            def try_suite(name: str) -> Suite | str:
                result = self._try_suite(name)
                task.advance(1)
                return result

            for name, result in zip(names, fetch.in_parallel(try_suite, names, 8, self._fetcher), strict=True):
                if isinstance(result, Suite):
                    usable.append(result)
                elif result or name in wanted:
                    unusable[name] = result or "no mirror has it"
            task.note = f"{len(usable)} suites"
        if not usable or (wanted and unusable):
            reasons = "".join(f"\n  {name}: {reason}" for name, reason in unusable.items())
            roots = ", ".join(transport.without_password(source.root) for source in self._sources)
            raise errors.Failure(f"no usable suite on {roots}{reasons}")

        def read(suite: Suite) -> list[SourcePackage] | Unusable:
            try:
                return self._packages(suite, pattern, progress)
            except Unusable as error:
                return error

        sources: list[SourcePackage] = []
        for suite, found in zip(tuple(usable), fetch.in_parallel(read, usable, 4, self._fetcher), strict=True):
            if isinstance(found, Unusable):
                if suite.name in wanted:
                    raise found
                usable.remove(suite)
                unusable[suite.name] = " ".join(str(found).split())
            else:
                sources += found
        self._forget_old({suite.sha256 for suite in usable})
        return SourceIndex(tuple(sources), tuple(usable), unusable)

    def open_suite(self, name: str) -> Suite | None:
        """The verified suite; None where no mirror has it. Raises Untrusted."""
        pockets = {"security"} if name.endswith("-security") else set(apt.POCKETS) - {"security"}
        sources: dict[str, AptSource] = {}
        for source in self._sources:
            if source.pockets & pockets:
                sources.setdefault(source.root, source)
        problems = []
        for source in sources.values():
            try:
                return parse_suite(name, tuple(sources), self._release(source, name))
            except Unusable as error:
                if not error.missing:
                    problems.append(" ".join(str(error).split()))
            except Untrusted as error:
                problems.append(f"{transport.without_password(source.root)}: {error}")
        if problems:
            raise Untrusted("; ".join(problems))
        return None

    def _release(self, source: AptSource, name: str) -> str:
        """The text of a suite's index, verified unless the source is trusted. Raises Untrusted and Unusable."""
        place = f"{source.root}/dists/{name}"
        try:
            signed = self._fetcher.read(f"{place}/InRelease", most=4 << 20)
        except Unusable as error:
            if not (error.missing and source.trusted):
                raise
            signed = self._fetcher.read(f"{place}/Release", most=4 << 20)
        if source.trusted:
            return without_signature(signed)
        if source.signed_by is None:
            return verify(signed, self._keyrings, self._more_keys)
        if not source.signed_by:
            raise Untrusted("the keys that apt's source names for it cannot be read")
        return verify(signed, (), source.signed_by)

    def _try_suite(self, name: str) -> Suite | str:
        """The suite, or why it cannot be used, which is "" where no mirror has it."""
        try:
            return self.open_suite(name) or ""
        except Untrusted as error:
            return str(error)

    def _packages(self, suite: Suite, pattern: re.Pattern[bytes], progress: Progress) -> list[SourcePackage]:
        """The matching source packages of a suite."""
        key = hashlib.sha256(pattern.pattern).hexdigest()[:16]
        known = self._cache / f"{suite.sha256}.{key}.txt"
        if not known.is_file():
            compressed = self._cache / f"{suite.sha256}.xz"
            base, directory = f"dists/{suite.name}", suite.index.rpartition("/")[0]
            paths = [f"{base}/{directory}/by-hash/SHA256/{suite.sha256}"] if suite.by_hash else []
            urls = [f"{root}/{path}" for path in (*paths, f"{base}/{suite.index}") for root in suite.roots]
            with progress.task(f"index of {suite.name}", suite.size) as task:
                self._fetcher.download(
                    urls[0], compressed, sha256=suite.sha256, size=suite.size, alternatives=urls[1:], task=task
                )
                with lzma.open(compressed) as stream:
                    stanzas = list(matching_stanzas(stream, pattern))
            files.write(known, b"\n\n".join(stanzas))
        os.utime(known)
        return [parse_stanza(stanza, suite) for stanza in known.read_bytes().split(b"\n\n") if stanza]

    def _forget_old(self, used: set[str]) -> None:
        oldest = time.time() - KEPT_DAYS * 24 * 3600
        for path in self._cache.iterdir():
            with contextlib.suppress(FileNotFoundError):  # another process gave its download a name meanwhile
                if path.name.partition(".")[0] not in used and path.stat().st_mtime < oldest:
                    path.unlink()
