"""Proves that the file of a release is genuine, with one function for each trust level of docker/dependencies.toml.

Levels are tried in the row's order, the next one only where a host does not answer: a bad signature is final, and so is
a missing one where the host answers. Where Debian carries the unmodified file, its digest must be the same.
At every level the file itself is read, and its top folder must name the project and the version.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path

from catalogue.dependencies import Dependency, OpenPgp
from catalogue.paths import DOCKER
from catalogue.pins import Pin
from debian.source_packages import SourcePackage
from network import bundles, web
from network.bundles import BadSignature
from portable import archives, files
from update import signatures
from update.releases import Release
from update.witness import Witness

KEYS = DOCKER / "keys"

Digests = str | Mapping[str, str]


class NotYet(Exception):
    """Nothing is wrong with the release, but something that proves it is not published yet."""


@dataclass(frozen=True)
class Proof:
    """A verified file: the pin's new URL and digest, the trust level, and who vouches for it."""

    url: str
    sha256: Digests
    level: str
    by: str


@dataclass
class Case:
    """One release of one dependency under examination."""

    dependency: Dependency
    pin: Pin
    release: Release
    client: web.Client
    witness: Witness
    directory: Path
    mirrors: Mapping[str, Sequence[str]]
    url: str = ""
    from_debian: SourcePackage | None = None

    def __post_init__(self) -> None:
        self.url = self.url or self.dependency.location(self.release.version, self.release.path)
        self.place = self.url  # the address to download from: `url` or a mirror

    @property
    def version(self) -> str:
        return self.release.version

    @property
    def arches(self) -> Sequence[str]:
        """The architectures (Go's names) that have a file of their own; a single "" where one file serves all."""
        return [""] if isinstance(self.pin.sha256, str) else list(self.pin.sha256)

    def fill(self, text: str) -> str:
        """A text of the row with its fields filled in. A signature is beside the file, also on a mirror."""
        return self.dependency.fill(text, self.version, self.place, self.pin.version, self.release.path)

    def head(self) -> web.Head | None:
        """What upstream's server says about the file; None where only the Debian archive answers.

        Of one file for each architecture, it is the youngest. Afterwards `url` has the compression of the file to be
        used. Raises web.Missing where the file does not exist, and web.Unreachable where no host answers."""
        silent = []
        for place in self._places():
            try:
                heads = [self.client.head(place.replace("{goarch}", arch)) for arch in self.arches]
                self.place = place
                return max(heads, key=lambda head: head.modified or datetime.max.replace(tzinfo=UTC))
            except web.Unreachable as error:
                silent.append(str(error))
        if not self.debian:
            raise web.Unreachable(", ".join([*silent, "the Debian archive has no such file of upstream's"]))
        self.from_debian = self.witness.head(self.debian)
        assert self.from_debian.original is not None
        self.url = self.dependency.location(self.version, self.release.path, self.from_debian.original.name)
        self.place = self.url
        return None

    def _places(self) -> Iterator[str]:
        yield self.url
        for prefix, others in self.mirrors.items():
            if self.url.startswith(prefix):
                yield from (other + self.url.removeprefix(prefix) for other in others)

    @cached_property
    def debian(self) -> Sequence[SourcePackage]:
        """The source packages that carry the release; none where the archive cannot be asked."""
        try:
            return self.witness.versions(self.dependency).get(self.version, ())
        except web.Unreachable:
            return ()

    @cached_property
    def files(self) -> Mapping[str, web.Download]:
        """The file, or one for each of `arches`, downloaded once. Raises web.Missing where one does not exist."""
        if self.from_debian:
            return {"": self.witness.download(self.from_debian, self.directory)}
        places = {arch: self.place.replace("{goarch}", arch) for arch in self.arches}
        return {arch: self.client.download(place, self.directory) for arch, place in places.items()}

    @property
    def file(self) -> web.Download:
        """The file, where one serves all architectures. Raises web.Refused where there are several."""
        if "" not in self.files:
            raise web.Refused(f"only a signed list can prove the files of {len(self.files)} architectures")
        return self.files[""]

    def prove(self, levels: Sequence[str]) -> Proof:
        """The proof at the first level whose hosts answer.

        Raises BadSignature, NotYet, and web.Unreachable when no level could be asked."""
        silent = []
        for level in levels:
            try:
                sha256, by = LEVELS[level](self)
            except web.Unreachable as error:
                silent.append(f"{level}: {error}")
                continue
            self._debian_agrees(sha256)
            self._holds_its_release()
            return Proof(self.url, sha256, level, by)
        raise web.Unreachable("; ".join(silent))

    def unmodified(self) -> Mapping[str, SourcePackage]:
        """sha256 -> source package, where Debian carries upstream's own file in the compression of `url`."""
        ending = ".tar." + self.url.rpartition(".tar.")[2]
        sources = self.debian if self.dependency.debian.verbatim else ()
        return {s.original.sha256: s for s in sources if s.original and s.original.name.endswith(ending)}

    def _holds_its_release(self) -> None:
        """Raises BadSignature where an archive does not hold this version of this project."""
        if not self.dependency.folder:
            return
        for arch, file in self.files.items():
            url = self.url.replace("{goarch}", arch)
            folder = self.dependency.fill(self.dependency.folder, self.version, url, listed=self.release.path)
            try:
                archives.check(file.path, re.escape(folder))
            except archives.BadArchive as error:
                raise BadSignature(f"{file.path.name} is signed, but not what its name says: {error}") from None

    def _debian_agrees(self, sha256: Digests) -> None:
        """Raises BadSignature where Debian's signed index names another file for this release."""
        named = self.unmodified()
        if named and sha256 not in named:
            source = next(iter(named.values()))
            raise BadSignature(f"Debian's signed index names another file ({source.package} {source.version})")


def _sigstore(case: Case) -> tuple[Digests, str]:
    row = case.dependency.sigstore
    assert row is not None
    bundle, identity = _published(case, row.url), case.fill(row.identity)
    small = not case.dependency.folder  # such as a list of checksums
    digest = hashlib.sha256(case.client.get(case.url)).hexdigest() if small else case.file.sha256
    if row.attestation:
        return digest, bundles.sigstore_attestation(bundle, "sha256", digest, identity, row.issuer)
    return digest, bundles.sigstore_digest(bundle, digest, identity, row.issuer)


def _openpgp(case: Case) -> tuple[Digests, str]:
    row = case.dependency.openpgp
    assert row is not None
    if row.sums:
        signer, text = _verified(case, row, _published(case, row.url), signatures.openpgp_cleartext)
        return _from_sums(case, text), signer
    try:
        signature = _published(case, row.url)
    except web.Unreachable:
        carried = case.witness.signature(case.from_debian) if case.from_debian else None
        if carried is None:
            raise
        signature = carried
    file = case.file

    def verify(signature: bytes, keys: Sequence[bytes]) -> tuple[str, str]:
        return signatures.openpgp_detached(file.path, signature, keys), ""

    return file.sha256, _verified(case, row, signature, verify)[0]


def _verified(
    case: Case, row: OpenPgp, signed: bytes, verify: Callable[[bytes, Sequence[bytes]], tuple[str, str]]
) -> tuple[str, str]:
    """Verifies with the keys of docker/keys; if that fails, with fresh copies of the same keys.

    A fresh copy may have a later date of expiry, but never another fingerprint."""
    stored = [path.read_bytes() for signer in row.signers if (path := KEYS / f"{signer}.asc").exists()]
    if stored:
        try:
            return verify(signed, stored)
        except BadSignature as error:
            bad = error
    fetched, silent = [], None
    for signer in row.signers if row.keys else ():
        try:
            keyring = case.client.get(case.fill(row.keys).replace("{signer}", signer))
            fetched.append(signatures.certificate(keyring, signer))
        except (web.Unreachable, web.Missing, web.Refused, BadSignature) as error:
            silent = error
    if fetched:
        return verify(signed, fetched)
    if stored:
        raise bad
    raise web.Unreachable(f"no key of {case.dependency.name} could be fetched: {silent}")


def _from_sums(case: Case, text: str) -> Digests:
    """The digest of the file, or of each architecture's file, from a list of `<sha256>  <name>`."""
    lines = re.finditer(r"^([0-9a-f]{64})\s+\*?(\S+)$", text, re.MULTILINE)
    sums = {line[2]: line[1] for line in lines}

    def digest(url: str) -> str:
        name = url.rpartition("/")[2]
        if name not in sums:
            raise BadSignature(f"the signed list does not name {name}")
        return sums[name]

    expected = {arch: digest(case.url.replace("{goarch}", arch)) for arch in case.arches}
    for arch, file in case.files.items():
        if file.sha256 != expected[arch]:
            raise BadSignature(f"{file.path.name} is not the file that the signed list names")
    return expected.get("") or expected


def _checksum(case: Case) -> tuple[Digests, str]:
    row = case.dependency.checksum
    assert row is not None
    if not row.url:
        if not case.release.sha3_256:
            raise NotYet("the release list has no checksum for it")
        path = case.file.path
        if (files.digest(path, "sha3_256"), path.stat().st_size) != (case.release.sha3_256, case.release.size):
            raise BadSignature("the file has another SHA3-256 or size than the release list says")
        return case.file.sha256, "SHA3-256 in the release list"
    page = case.client.get(case.fill(row.url)).decode(errors="replace")
    found = re.search(case.fill(row.pattern), page)
    if not found:
        raise NotYet(f"{case.fill(row.url)} has no checksum for it yet")
    if found[1] != case.file.sha256:
        raise BadSignature(f"the file has another sha256 than {case.fill(row.url)} says")
    return case.file.sha256, case.fill(row.url)


def _two_places(case: Case) -> tuple[Digests, str]:
    """Upstream's file is also in an independent place, which may be the Debian archive where it is unmodified there."""
    file = case.file
    if case.from_debian:
        raise web.Unreachable("only the Debian archive answers")
    second = case.fill(case.dependency.second)
    try:
        (elsewhere := case.directory / "second").mkdir(exist_ok=True)
        other, where = case.client.download(second, elsewhere).sha256, second
    except (web.Unreachable, web.Missing) as error:
        if not (named := case.unmodified()):
            raise NotYet(f"no second place has it: {error}") from None
        other, where = next(iter(named)), "Debian's signed index"
    if other != file.sha256:
        raise BadSignature(f"{where} has another file")
    return file.sha256, where


def _debian_index(case: Case) -> tuple[Digests, str]:
    """Only the Debian archive vouches, for a row that a person has marked as unmodified there."""
    named = case.unmodified()
    if not named:
        raise web.Unreachable("the Debian archive does not have it")
    if not (source := named.get(case.file.sha256)):
        raise BadSignature("the file is not the one that Debian's signed index names")
    return case.file.sha256, f"{source.package} {source.version} in {source.suite}"


def _published(case: Case, url: str) -> bytes:
    """A signature. A missing or unusable one, where the host answers, is as final as a bad one."""
    try:
        return case.client.get(case.fill(url))
    except (web.Missing, web.Refused) as error:
        raise BadSignature(f"no signature: {error}") from None


LEVELS: dict[str, Callable[[Case], tuple[Digests, str]]] = {
    "sigstore": _sigstore,
    "openpgp": _openpgp,
    "checksum": _checksum,
    "two-places": _two_places,
    "debian-index": _debian_index,
}
