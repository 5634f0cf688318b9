"""How each pin is tracked: docker/dependencies.toml as typed, frozen rows, and the laws they obey.

The head of that file explains the keys. Loading it needs the standard library only.
"""

from __future__ import annotations

import datetime
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import errors
from tables import Fields, near_matches, read_toml

T = TypeVar("T")

ROOT = Path(__file__).resolve().parent.parent
DEPENDENCIES_TOML = ROOT / "docker" / "dependencies.toml"

LEVELS = ("sigstore", "openpgp", "checksum", "two-places", "debian-index")
KINDS = ("git-tags", "listing", "python-org", "curl-info", "sqlite-csv")
_FIELD = re.compile(r"\{([a-z]+)\}")


@dataclass(frozen=True)
class Source:
    """One place that lists releases. `pattern` has one group, the version; `glob` restricts git tags."""

    kind: str
    url: str
    pattern: str
    glob: str


@dataclass(frozen=True)
class Hold:
    """Versions not to be taken before a day, and why."""

    versions: str
    reason: str
    until: datetime.date


@dataclass(frozen=True)
class Sigstore:
    """A keyless signature over the file, or an attestation about it: by whom, and who vouches for that."""

    url: str
    identity: str
    issuer: str
    attestation: bool


@dataclass(frozen=True)
class OpenPgp:
    """A detached signature, or (`sums`) a clear-signed list of checksums.

    `signers` are primary-key fingerprints. Certificates are docker/keys/<fingerprint>.asc or come from the
    keyring at `keys`; only the fingerprint makes one acceptable."""

    url: str
    signers: tuple[str, ...]
    keys: str
    sums: bool


@dataclass(frozen=True)
class Checksum:
    """A published checksum: the group of `pattern` on the page `url`, or (no URL) what the list has."""

    url: str
    pattern: str


@dataclass(frozen=True)
class Security:
    """How upstream tells that a release mends a vulnerability: `pattern` occurs on the page `url`."""

    url: str
    pattern: str


@dataclass(frozen=True)
class Debian:
    """The Debian source package, a regular expression; empty where the archive has nothing of use.

    `verbatim`: a person compared its tarball and found upstream's file, byte for byte. `refuse`: version -> why the
    archive's tarball of it is not to be used."""

    source: str
    verbatim: bool
    refuse: Mapping[str, str]


@dataclass(frozen=True)
class Dependency:
    """One row: everything a pin's name does not say."""

    name: str
    series: str
    version: str
    cooldown: int
    sources: tuple[Source, ...]
    url: str
    folder: str
    second: str
    image: str
    trust: tuple[str, ...]
    sigstore: Sigstore | None
    openpgp: OpenPgp | None
    checksum: Checksum | None
    debian: Debian
    security: Security | None
    keeps_withdrawn: bool
    acknowledged: str
    holds: tuple[Hold, ...]
    end_of_life: datetime.date
    changelog: str
    compare: str
    together: str

    def accepts(self, version: str, pinned: str) -> bool:
        """Whether this pin may take a version at all: a pre-release only where the pin is one too."""
        from packaging.version import Version

        if not re.fullmatch(self.version, version):
            return False
        parsed, current = Version(version), Version(pinned)
        return self.in_series(version) and (current.is_prerelease or not parsed.is_prerelease)

    def in_series(self, version: str) -> bool:
        """Whether a version belongs to the pinned series: series "3.5" holds 3.5 and 3.5.7."""
        return f"{version}.".startswith(f"{self.series}.")

    def held(self, version: str, today: datetime.date) -> Hold | None:
        """The hold that keeps a version from being taken today."""
        from packaging.specifiers import SpecifierSet

        holds = (hold for hold in self.holds if SpecifierSet(hold.versions).contains(version, prereleases=True))
        return next((hold for hold in holds if today < hold.until), None)

    def fill(self, text: str, version: str = "", url: str = "", old: str = "", listed: str = "") -> str:
        """`text` with its fields replaced; raises UserError for an unknown one.

        `release` is the version without a pre-release suffix, `file` the end of the URL as a regular expression, `stem`
        the same as text and without .tar.gz, `listed` the path in the release list."""
        values = {
            "name": self.name,
            "series": self.series,
            "version": version,
            "old": old,
            "release": re.match(r"[0-9.]*", version)[0],  # type: ignore[index]  # matches the empty string too
            "underscored": version.replace(".", "_"),
            "dashed": version.replace(".", "-"),
            "oldunderscored": old.replace(".", "_"),
            "olddashed": old.replace(".", "-"),
            "url": url,
            "file": re.escape(url.rpartition("/")[2]),
            "stem": re.sub(r"\.tar\.\w+$", "", url.rpartition("/")[2]),
            "listed": listed,
            "goarch": "{goarch}",  # filled in where one architecture is meant
            "signer": "{signer}",  # filled in for each key
        }
        if unknown := set(_FIELD.findall(text)) - set(values):
            raise errors.UserError(f"[{self.name}]: {text!r} has an unknown field {', '.join(unknown)}")
        return _FIELD.sub(lambda match: values[match[1]], text)

    def location(self, version: str, listed: str = "", like: str = "") -> str:
        """The file's URL; `like` names a file whose compression it takes (Debian may have another one)."""
        url = self.fill(self.url, version, listed=listed)
        if suffix := re.search(r"\.tar\.\w+$", like):
            url = re.sub(r"\.tar\.\w+$", suffix[0], url)
        return url


def load(path: Path = DEPENDENCIES_TOML) -> dict[str, Dependency]:
    """Every row by pin name. Raises UserError for a broken law, with the place in the file."""
    raw = read_toml(path)
    templates: Mapping[str, Any] = raw.pop("templates", {})
    cooldown = raw.pop("cooldown", 7)
    rows = {}
    for name, row in raw.items():
        where = f"{path.name}: [{name}]"
        used = row.get("use", "")
        if used and used not in templates:
            raise errors.UserError(f"{where}: no template {used!r}{near_matches(used, templates)}")
        merged = {"cooldown": cooldown, **templates.get(used, {}), **row}
        rows[name] = _row(name, Fields(merged, where))
    return rows


def is_release(version: str, pattern: str) -> bool:
    """Whether a listed version is a final release by a row's `version` rule, whatever its series."""
    from packaging.version import Version

    return bool(re.fullmatch(pattern, version)) and not Version(version).is_prerelease


def check(rows: Mapping[str, Dependency], pinned: Mapping[str, str]) -> None:
    """The laws between rows and pins (name -> version). Raises UserError naming every breach."""
    problems = [f"pin {name} has no row in {DEPENDENCIES_TOML.name}" for name in sorted(set(pinned) - set(rows))]
    problems += [f"row [{name}] tracks no pin of the Dockerfile" for name in sorted(set(rows) - set(pinned))]
    for name in sorted(set(rows) & set(pinned)):
        if not rows[name].in_series(pinned[name]):
            problems.append(f"{name} is pinned to {pinned[name]}, outside its series {rows[name].series}")
        mate = rows[name].together
        if mate and (mate not in rows or rows[mate].together != name):
            problems.append(f"{name} moves together with {mate}, which does not say the same")
        elif mate and pinned.get(mate) != pinned[name]:
            problems.append(f"{name} and {mate} move together, but are pinned to different versions")
    if problems:
        raise errors.UserError("; ".join(problems))


def _row(name: str, fields: Fields) -> Dependency:
    fields.text("use", "")
    row = Dependency(
        name=name,
        series=fields.text("series"),
        version=_pattern(fields, "version", r"\d+(\.\d+)+", groups=None),
        cooldown=fields.get("cooldown", int),
        sources=tuple(_source(Fields(raw, f"{fields.where} sources")) for raw in fields.get("sources", list)),
        url=fields.text("url"),
        folder=fields.text("folder", "{name}-{version}"),
        second=fields.text("second", ""),
        image=fields.text("image", ""),
        trust=fields.texts("trust"),
        sigstore=_optional(fields, "sigstore", _sigstore),
        openpgp=_optional(fields, "openpgp", _openpgp),
        checksum=_optional(fields, "checksum", _checksum),
        debian=_optional(fields, "debian", _debian) or Debian("", False, {}),
        security=_optional(fields, "security", _security),
        keeps_withdrawn=fields.flag("keeps_withdrawn", False),
        acknowledged=fields.text("acknowledged", ""),
        holds=tuple(_hold(Fields(raw, f"{fields.where} hold")) for raw in fields.get("hold", list, [])),
        end_of_life=fields.get("end_of_life", datetime.date, datetime.date.max),
        changelog=fields.text("changelog"),
        compare=fields.text("compare", ""),
        together=fields.text("together", ""),
    )
    fields.done()
    possible = {
        "sigstore": row.sigstore is not None,
        "openpgp": row.openpgp is not None,
        "checksum": row.checksum is not None,
        "two-places": bool(row.second) or row.debian.verbatim,
        "debian-index": row.debian.verbatim,
    }
    for level in row.trust:
        if level not in LEVELS:
            raise errors.UserError(f"{fields.where}: no trust level {level!r}{near_matches(level, LEVELS)}")
        if not possible[level]:
            raise errors.UserError(f"{fields.where}: trust level {level} needs data that the row lacks")
    if row.together and "debian-index" in row.trust:
        raise errors.UserError(f"{fields.where}: what moves together is not taken on the word of the archive alone")
    texts = [row.url, row.folder, row.second, row.image, row.changelog, row.compare, row.debian.source]
    texts += [text for source in row.sources for text in (source.url, source.pattern)]
    texts += [row.sigstore.url, row.sigstore.identity] if row.sigstore else []
    texts += [row.openpgp.url, row.openpgp.keys] if row.openpgp else []
    texts += [row.checksum.url, row.checksum.pattern] if row.checksum else []
    texts += [row.security.url, row.security.pattern] if row.security else []
    for text in texts:
        row.fill(text)
    if not re.fullmatch(r"(\d+(\.\d+)*)?", row.acknowledged, re.ASCII):
        raise errors.UserError(f"{fields.where}: acknowledged is {row.acknowledged!r}, not the numbers of a series")
    if not row.trust or not row.sources:
        raise errors.UserError(f"{fields.where}: a row needs a source and a trust level")
    return row


def _source(fields: Fields) -> Source:
    source = Source(
        fields.one_of("kind", KINDS),
        fields.text("url"),
        _pattern(fields, "pattern", "(.*)", groups=1),
        fields.text("glob", "*"),
    )
    fields.done()
    return source


def _sigstore(fields: Fields) -> Sigstore:
    return Sigstore(
        fields.text("url"), fields.text("identity"), fields.text("issuer"), fields.flag("attestation", False)
    )


def _openpgp(fields: Fields) -> OpenPgp:
    found = OpenPgp(fields.text("url"), fields.texts("signers"), fields.text("keys", ""), fields.flag("sums", False))
    for signer in found.signers:
        if not re.fullmatch(r"[0-9A-F]{40}", signer):
            raise errors.UserError(f"{fields.where}: {signer!r} is not a fingerprint (40 upper-case digits)")
    return found


def _checksum(fields: Fields) -> Checksum:
    return Checksum(fields.text("url", ""), _pattern(fields, "pattern", "([0-9a-f]{64}).*", groups=1))


def _security(fields: Fields) -> Security:
    return Security(fields.text("url"), _pattern(fields, "pattern", "", groups=None))


def _debian(fields: Fields) -> Debian:
    return Debian(fields.text("source"), fields.flag("verbatim"), fields.mapping("refuse"))


def _optional(fields: Fields, key: str, read: Callable[[Fields], T]) -> T | None:
    """What `read` makes of the table at `key`, which must hold nothing else; None where there is none."""
    fields.seen.add(key)
    if key not in fields.raw:
        return None
    inner = Fields(fields.raw[key], f"{fields.where} {key}")
    value = read(inner)
    inner.done()
    return value


def _pattern(fields: Fields, key: str, default: str, groups: int | None) -> str:
    """A regular expression that compiles, with this many groups."""
    text = fields.text(key, default)
    try:
        found = re.compile(text).groups
    except re.error as error:
        raise errors.UserError(f"{fields.where}: {key} is no regular expression: {error}") from None
    if groups is not None and found != groups:
        raise errors.UserError(f"{fields.where}: {key} needs {groups} group, it has {found}")
    return text


def _hold(fields: Fields) -> Hold:
    text = fields.text("version")
    if not re.fullmatch(r"(==|>=|<=|>|<)?\d+(\.\d+)*\w*", text):
        raise errors.UserError(f"{fields.where}: {text!r} is neither a version nor a comparison like >=9")
    versions = text if text[0] in "<>=" else f"=={text}"
    hold = Hold(versions, fields.text("reason"), fields.get("until", datetime.date))
    fields.done()
    return hold
