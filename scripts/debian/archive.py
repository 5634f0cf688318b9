"""Reads the signed source indices of the Debian archive that this machine's apt is configured with.

Trust goes in one line: a keyring on this machine signs the InRelease of a suite, InRelease holds the sha256 of the
index (Sources.xz), the index holds the sha256 of every source file. Nothing that fails a step is parsed.
"""

from __future__ import annotations

import contextlib
import hashlib
import lzma
import os
import re
import shutil
import subprocess
import tempfile
import time
import urllib.parse
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import IO

from host import apt as apt_settings
from host.apt import CODE_NAMES, COMPONENT, KEYRINGS
from portable import errors, fetch, files, places, transport
from portable.progress import Progress
from portable.verdicts import Unusable

MIRROR_VARIABLE = apt_settings.MIRROR_VARIABLE
KEYRING_VARIABLE = "MANYLINUX_DEBIAN_KEYRING"
POCKETS = ("", "-updates", "-backports", "-security")
_NO_POCKETS = frozenset({"sid", "experimental"})
KEPT_DAYS = 14  # how long the cache keeps an index that no run has used

_VERSION = re.compile(
    r"(?P<number>[0-9]{1,18}(?:\.[0-9]{1,18})*)(?:~?(?P<pre>(?:a|b|rc|alpha|beta)[0-9]+))?"
    r"(?P<repack>[+~.](?:dfsg|ds|repack)[0-9.]*)?"
)
_SIGNED = re.compile(r"(?s)\A-----BEGIN PGP SIGNED MESSAGE-----\n.*?\n\n(.*\n)-----BEGIN PGP SIGNATURE-----.*\Z")
_HASH_LINE = re.compile(r"^ ([0-9a-f]{64}) +([0-9]{1,18}) (\S+)$", re.MULTILINE)


class Untrusted(Exception):
    """A suite that cannot be used, with the reason."""


@dataclass(frozen=True)
class Mirror:
    """One archive root, for instance http://mirror.example.org/debian, without a slash at the end."""

    root: str
    security: bool
    signed_by: bytes | None = field(default=None, compare=False, repr=False)  # keys of its own, instead of Debian's
    more_keys: bytes = field(default=b"", compare=False, repr=False)  # trusted besides Debian's
    unsigned: bool = field(default=False, compare=False)  # what it says counts without a signature


@dataclass(frozen=True, order=True)
class Upstream:
    """The upstream part of a Debian version. Orders as releases do; `pre` is "~" for a final release."""

    number: tuple[int, ...]
    pre: str
    text: str = field(compare=False)
    repacked: bool = field(compare=False)

    @property
    def prerelease(self) -> bool:
        """Whether this is an alpha, beta or release candidate."""
        return self.pre != "~"


@dataclass(frozen=True)
class Suite:
    """A suite whose InRelease was verified. `index` is the path of Sources.xz below dists/<name>/."""

    name: str
    roots: tuple[str, ...]
    index: str
    sha256: str
    size: int
    by_hash: bool
    date: datetime
    valid_until: datetime | None


@dataclass(frozen=True)
class SourceFile:
    """A file of a source package, as the signed index describes it; `size` in bytes."""

    name: str
    size: int
    sha256: str


@dataclass(frozen=True)
class Source:
    """A source package in one suite."""

    package: str
    version: str
    suite: str
    roots: tuple[str, ...]
    directory: str
    files: tuple[SourceFile, ...]

    @property
    def upstream(self) -> Upstream | None:
        """Its upstream version; None for snapshots and other versions that are no plain release."""
        return upstream_version(self.version)

    @property
    def original(self) -> SourceFile | None:
        """The main upstream tarball."""
        name = re.escape(f"{self.package}_{_without_epoch(self.version).rpartition('-')[0]}")
        return self._file(rf"{name}\.orig\.tar\.(?:xz|gz|bz2|zst)")

    @property
    def signature(self) -> SourceFile | None:
        """Upstream's detached signature of `original`, where the source package carries it."""
        return self._file(re.escape(self.original.name) + r"\.asc") if self.original else None

    @property
    def packaging(self) -> SourceFile | None:
        """The tarball with debian/: its changelog, and upstream's signing keys."""
        return self._file(r".*\.debian\.tar\.(?:xz|gz|bz2|zst)")

    def urls(self, file: SourceFile) -> tuple[str, ...]:
        """Where the file should be, one URL a mirror."""
        return tuple(f"{root}/{self.directory}/{urllib.parse.quote(file.name, safe='+~')}" for root in self.roots)

    def _file(self, pattern: str) -> SourceFile | None:
        return next((file for file in self.files if re.fullmatch(pattern, file.name)), None)


@dataclass(frozen=True)
class Index:
    """What a search found: sources, the suites they were searched in, and suite -> reason for the unusable ones."""

    sources: tuple[Source, ...]
    suites: tuple[Suite, ...]
    unusable: Mapping[str, str]

    def stale(self, now: datetime) -> list[Suite]:
        """The suites whose index says that it is outdated: the mirror does not follow the archive."""
        return [suite for suite in self.suites if suite.valid_until and suite.valid_until < now]


def find_mirrors(
    environment: Mapping[str, str] | None = None, apt: Path = apt_settings.APT, as_apt: bool = False
) -> tuple[Mirror, ...]:
    """The Debian mirrors of this machine, by apt_settings.read. `as_apt`: whatever apt trusts is trusted, too, sources
    without a signature and keys for every source; otherwise only keyrings that are named for a source, and Debian's.

    Where only the main archive is configured, the security archive is expected beside it. Raises errors.UserError
    when there is none."""
    settings = apt_settings.read(environment, apt)
    if not settings.sources:
        raise errors.UserError(
            f"apt has no Debian mirror in {apt}/sources.list and sources.list.d: "
            f"set {MIRROR_VARIABLE}, for instance to http://mirror.example.org/debian"
        )
    environment = os.environ if environment is None else environment
    named = bool(environment.get(KEYRING_VARIABLE))  # which goes before all that apt says
    more = apt_settings.trusted_keys(apt) if as_apt and not named else b""
    found = []
    for place in settings.sources:
        unsigned = as_apt and place.trusted and not named
        keys = None if named else place.signed_by
        if "security" in place.pockets:
            found.append(Mirror(place.root, True, keys, more, unsigned))
        if place.pockets - {"security"}:
            found.append(Mirror(place.root, False, keys, more, unsigned))
    if not any(mirror.security for mirror in found):
        beside = [mirror for mirror in found if mirror.root.endswith("/debian")]
        found += [replace(mirror, root=f"{mirror.root}-security", security=True) for mirror in beside]
    return tuple(dict.fromkeys(found))


def apt_fetcher(ca_bundle: Path | None = None) -> fetch.Fetcher:
    """A fetcher that reaches the archive as apt does; `ca_bundle`: what apt's own CAs go before."""
    certificates = apt_settings.read().certificates()
    return fetch.Fetcher(mirrors=None, ca_bundle=certificates or ca_bundle, proxies=apt_proxies())


def apt_proxies() -> dict[str, str]:
    """Scheme -> proxy ("": none), where apt's own configuration says: its mirrors may be reachable that way only."""
    return apt_settings.read().proxies()


def suite_names(wanted: Iterable[str] = ()) -> tuple[str, ...]:
    """The suites to ask a mirror for: the wanted ones, else everything that a Debian archive may have."""
    return tuple(wanted) or tuple(
        f"{code}{pocket}" for code in CODE_NAMES for pocket in (("",) if code in _NO_POCKETS else POCKETS)
    )


def upstream_version(version: str) -> Upstream | None:
    """The upstream version in a Debian one: no epoch, revision or repacking suffix. None where it is no release."""
    text = _without_epoch(version)
    text = (text.rpartition("-")[0] or text).rpartition("+really")[2]
    match = _VERSION.fullmatch(text)
    if not match:
        return None
    number = tuple(int(part) for part in match["number"].split("."))
    return Upstream(number, match["pre"] or "~", match["number"] + (match["pre"] or ""), bool(match["repack"]))


def find_keyrings(environment: Mapping[str, str] | None = None) -> tuple[Path, ...]:
    """The keyrings to trust: $MANYLINUX_DEBIAN_KEYRING, else the one of the package debian-archive-keyring.

    Raises errors.UserError when there is none."""
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
        self, mirrors: Iterable[Mirror], keyrings: Iterable[Path], cache: Path, fetcher: fetch.Fetcher | None = None
    ) -> None:
        """Raises errors.UserError when gpgv is not installed."""
        self._mirrors, self._keyrings, self._cache = tuple(mirrors), tuple(keyrings), cache
        self._fetcher = fetcher or apt_fetcher()
        if not shutil.which("gpgv"):
            raise errors.UserError("gpgv is needed to verify Debian's archive: apt-get install gpgv")

    @classmethod
    def of_this_machine(cls, fetcher: fetch.Fetcher | None = None, as_apt: bool = False) -> Archive:
        """The archive that apt is configured with. Raises errors.UserError as find_mirrors and find_keyrings do."""
        mirrors = find_mirrors(as_apt=as_apt)
        keyrings = find_keyrings() if any(mirror.signed_by is None for mirror in mirrors) else ()
        return cls(mirrors, keyrings, places.cache() / "debian", fetcher)

    def search(self, packages: str, suites: Iterable[str] = (), progress: Progress | None = None) -> Index:
        """Every version of the source packages whose whole name matches the pattern, in all suites or the given ones.

        Raises errors.Failure when no suite can be used, or a given one cannot."""
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
            roots = ", ".join(transport.without_password(mirror.root) for mirror in self._mirrors)
            raise errors.Failure(f"no usable suite on {roots}{reasons}")

        def read(suite: Suite) -> list[Source] | Unusable:
            try:
                return self._sources(suite, pattern, progress)
            except Unusable as error:
                return error

        sources: list[Source] = []
        for suite, found in zip(tuple(usable), fetch.in_parallel(read, usable, 4, self._fetcher), strict=True):
            if isinstance(found, Unusable):
                if suite.name in wanted:
                    raise found
                usable.remove(suite)
                unusable[suite.name] = " ".join(str(found).split())
            else:
                sources += found
        self._forget_old({suite.sha256 for suite in usable})
        return Index(tuple(sources), tuple(usable), unusable)

    def open_suite(self, name: str) -> Suite | None:
        """The suite, verified; None where no mirror has it. Raises Untrusted."""
        security = name.endswith("-security")
        mirrors = [mirror for mirror in self._mirrors if mirror.security == security]
        roots = tuple(mirror.root for mirror in mirrors)
        problems = []
        for mirror in mirrors:
            try:
                return _suite(name, roots, self._release(mirror, name))
            except Unusable as error:
                if not error.missing:
                    problems.append(" ".join(str(error).split()))
            except Untrusted as error:
                problems.append(f"{transport.without_password(mirror.root)}: {error}")
        if problems:
            raise Untrusted("; ".join(problems))
        return None

    def _release(self, mirror: Mirror, name: str) -> str:
        """The index of a suite, as far as the mirror is trusted. Raises Untrusted and Unusable."""
        place = f"{mirror.root}/dists/{name}"
        try:
            signed = self._fetcher.read(f"{place}/InRelease", most=4 << 20)
        except Unusable as error:
            if not (error.missing and mirror.unsigned):
                raise
            signed = self._fetcher.read(f"{place}/Release", most=4 << 20)
        if mirror.unsigned:
            return _SIGNED.sub(r"\1", signed.decode(errors="replace"))
        if mirror.signed_by is None:
            return verify(signed, self._keyrings, mirror.more_keys)
        if not mirror.signed_by:
            raise Untrusted("the keys that apt's source names for it cannot be read")
        return verify(signed, (), mirror.signed_by)

    def _try_suite(self, name: str) -> Suite | str:
        """The suite, or why it cannot be used; "" where there simply is none."""
        try:
            return self.open_suite(name) or ""
        except Untrusted as error:
            return str(error)

    def _sources(self, suite: Suite, pattern: re.Pattern[bytes], progress: Progress) -> list[Source]:
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


def verify(signed: bytes, keyrings: Iterable[Path], keys: bytes = b"") -> str:
    """The text of a clear-signed message that a key of the keyrings, or one of `keys`, has signed. Raises Untrusted."""
    with tempfile.TemporaryDirectory() as directory:
        message, text = Path(directory, "message"), Path(directory, "text")
        message.write_bytes(signed)
        own = Path(directory, "keys.gpg")
        own.write_bytes(keys)
        rings = [f"--keyring={keyring.absolute()}" for keyring in (*keyrings, *((own,) if keys else ()))]
        result = subprocess.run(
            ["gpgv", "--homedir", directory, *rings, "--status-fd=1", "--output", str(text), str(message)],
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            check=False,
        )
        states = [line.split()[1] for line in result.stdout.splitlines() if line.startswith("[GNUPG:] ")]
        if "BADSIG" in states:
            raise Untrusted("its signature is wrong: the index was changed after it was signed")
        if not {"GOODSIG", "VALIDSIG"} <= set(states):
            if "NO_PUBKEY" in states:
                raise Untrusted(
                    "it is signed by a key that this machine's keyring lacks: update debian-archive-keyring"
                )
            if {"EXPKEYSIG", "EXPSIG"} & set(states):
                raise Untrusted("its signature or the key that made it has expired: update debian-archive-keyring")
            if "REVKEYSIG" in states:
                raise Untrusted("the key that signed it was revoked")
            raise Untrusted(f"it has no valid signature ({result.stderr.strip() or 'gpgv says nothing'})")
        return text.read_text(encoding="utf-8")


def matching_stanzas(index: IO[bytes], pattern: re.Pattern[bytes], block: int = 1 << 20) -> Iterator[bytes]:
    """The stanzas of a source index whose package name matches as a whole; looks at nothing else.

    Reads `block` bytes at a time: a whole index is some 70 MB, and several are read at once."""
    rest = b""
    while chunk := index.read(block):
        whole, _, rest = (rest + chunk).rpartition(b"\n\n")
        yield from _matching(whole, pattern)
    yield from _matching(rest, pattern)


def _matching(index: bytes, pattern: re.Pattern[bytes]) -> Iterator[bytes]:
    marker = b"\nPackage: "
    index = b"\n" + index.strip() + b"\n"
    start = index.find(marker)
    while start >= 0:
        name_at = start + len(marker)
        if pattern.fullmatch(index, name_at, index.index(b"\n", name_at)):
            end = index.find(b"\n\n", name_at)
            yield index[start + 1 : end if end >= 0 else len(index) - 1]
        start = index.find(marker, name_at)


def parse_stanza(stanza: bytes, suite: Suite) -> Source:
    """A source package from its stanza. Raises errors.Failure for a stanza without the fields that Debian demands."""
    fields = dict(apt_settings.stanza(stanza.decode()))
    try:
        files = tuple(
            SourceFile(match[3], int(match[2]), match[1]) for match in _HASH_LINE.finditer(fields["Checksums-Sha256"])
        )
        return Source(fields["Package"], fields["Version"], suite.name, suite.roots, fields["Directory"], files)
    except KeyError as missing:
        raise errors.Failure(f"{suite.name}: the index has a source package without {missing}") from None


def _suite(name: str, roots: tuple[str, ...], release: str) -> Suite:
    """The suite that a verified Release text describes. Raises Untrusted."""
    fields = dict(apt_settings.stanza(release))
    if name not in (fields.get("Codename"), fields.get("Suite")):
        raise Untrusted(f"the mirror sends the index of {fields.get('Codename')} in its place")
    wanted = f"{COMPONENT}/source/Sources.xz"
    entry = next((match for match in _HASH_LINE.finditer(fields.get("SHA256", "")) if match[3] == wanted), None)
    if not entry:
        raise Untrusted(f"it has no sources ({wanted} is not in its index)")
    return Suite(
        name=name,
        roots=roots,
        index=wanted,
        sha256=entry[1],
        size=int(entry[2]),
        by_hash=fields.get("Acquire-By-Hash") == "yes",
        date=_date(fields, "Date"),
        valid_until=_date(fields, "Valid-Until") if "Valid-Until" in fields else None,
    )


def _date(fields: Mapping[str, str], name: str) -> datetime:
    if found := transport.moment(fields.get(name, "")):
        return found
    raise Untrusted(f"its {name} is no date: {fields.get(name, '')!r}")


def _without_epoch(version: str) -> str:
    return version.partition(":")[2] or version
