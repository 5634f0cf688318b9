"""How each pin is tracked: docker/dependencies.toml as typed, frozen rows, and their laws.

The head of that file explains the keys. Loading it needs the standard library only.
"""

from __future__ import annotations

import datetime
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

from catalogue.paths import DOCKER
from catalogue.pins import Pin
from portable import errors
from portable.toml import (
    MAY_BE_EMPTY,
    NAME,
    REST,
    Beside,
    ImageTemplate,
    Name,
    Prose,
    Template,
    Url,
    below,
    between,
    expression,
    filled,
    form,
    key,
    near_matches,
    part,
    read,
    read_toml,
)

DEPENDENCIES_TOML = DOCKER / "dependencies.toml"

FIELDS = (
    *("name", "series", "version", "old", "release", "underscored", "dashed", "oldunderscored", "olddashed"),
    *("url", "file", "stem", "listed", "goarch", "signer"),
)
NO_VERSIONS = ("", "x", "latest", "..", "--x", "1 2", "1/2")
ANY_PAGE = "<!DOCTYPE html> Release notes: version x (1.2.3), 2026-01-31. Changes; see https://example.org/ a\nb"
_FIELD = re.compile(r"\{([a-z]+)\}")


def _fields(text: str) -> str:
    """A law: the fields in braces are known."""
    unknown = [name for name in _FIELD.findall(text) if name not in FIELDS]
    return f"without the unknown field {unknown[0]}{near_matches(unknown[0], FIELDS)}" if unknown else ""


def _only_versions(pattern: str) -> str:
    """A law: the expression does not match texts that are not versions."""
    return next((f"narrower: it matches {text!r}" for text in NO_VERSIONS if re.fullmatch(pattern, text)), "")


def _rare(pattern: str) -> str:
    """A law: the expression does not occur on every page."""
    return "narrower: it occurs on any page" if re.search(_FIELD.sub("9", pattern), ANY_PAGE) else ""


Address = Annotated[Template, _fields]
Signature = Annotated[Beside, _fields]
Pattern = Annotated[
    str,
    expression(groups=1),
    form(r".*(\\d|\[0-9|\(\.\*\)).*", "a pattern with a group for digits, like v(\\d+)"),
    _fields,
]
Series = Annotated[str, form(r"\d+(\.\d+)*", "the first numbers of a version like 3.5")]
Fingerprint = Annotated[str, form(r"[0-9A-F]{40}", "a fingerprint (40 upper-case digits)")]
Member = Annotated[str, MAY_BE_EMPTY, form(r"[A-Za-z{][\w./{}-]*", "a file below the archive's folder"), _fields]
Version = Annotated[str, form(r"\d[\w.+~-]*", "a version")]
Days = Annotated[int, between(1, 90)]
Kind = Literal["git-tags", "listing", "python-org", "curl-info", "sqlite-csv"]
Level = Literal["sigstore", "openpgp", "checksum", "two-places", "debian-index"]


@dataclass(frozen=True)
class Source:
    """A place that lists releases. `pattern` has one group, the version; `glob` restricts git tags."""

    kind: Kind
    url: Address
    pattern: Pattern = "(.*)"
    glob: Annotated[str, form(r"[\w*][\w.*?-]*", "a glob of tags like v*")] = "*"


@dataclass(frozen=True)
class Hold:
    """Versions that are not taken before a day, and why. `version`: a version, or a comparison like >=9.

    `since`: the day on which somebody last saw that the reason holds."""

    version: Annotated[str, form(r"(==|>=|<=|>|<)?\d+(\.\d+)*\w*", "a version or a comparison like >=9")]
    reason: Prose
    since: datetime.date
    until: datetime.date

    @property
    def versions(self) -> str:
        """As a specifier of PEP 440."""
        return self.version if self.version[0] in "<>=" else f"=={self.version}"


@dataclass(frozen=True)
class Sigstore:
    """A keyless signature over the file, or an attestation about it: the signer, and who vouches for the signer."""

    url: Signature
    identity: Annotated[
        str, form(r"[\w.+-]+@[\w.-]+|https://[\w./@{}-]+", "a mail address or an https:// address"), _fields
    ]
    issuer: Url
    attestation: bool = False


@dataclass(frozen=True)
class OpenPgp:
    """A detached signature, or (`sums`) a clear-signed list of checksums.

    `signers` are primary-key fingerprints. Certificates are docker/keys/<fingerprint>.asc or come from the
    keyring at `keys`; only the fingerprint makes one acceptable."""

    url: Signature
    signers: Annotated[tuple[Fingerprint, ...], filled]
    keys: Address = ""
    sums: bool = False


@dataclass(frozen=True)
class Checksum:
    """A published checksum: the group of `pattern` on the page `url`, or (no URL) what the list has."""

    url: Address = ""
    pattern: Pattern = "([0-9a-f]{64}).*"


@dataclass(frozen=True)
class Security:
    """How upstream announces that a release fixes a vulnerability: `pattern` occurs on the page `url`."""

    url: Address
    pattern: Annotated[str, expression(), _fields, _rare]


@dataclass(frozen=True)
class Debian:
    """The Debian source package, a regular expression; empty where the archive has nothing of use.

    `verbatim`: a person has compared the tarball, and it is upstream's file byte for byte. `refuse`: version -> why the
    archive's tarball of that version must not be used."""

    source: Annotated[str, form(r"[a-z0-9][a-z0-9.+(){}\\?|*-]*", "a source package"), expression(), _fields]
    verbatim: bool
    refuse: Mapping[Version, Prose] = field(default_factory=dict)


@dataclass(frozen=True)
class Dependency:
    """One row: how a pin is tracked."""

    name: Annotated[Name, NAME]
    series: Series
    sources: Annotated[tuple[Source, ...], filled]
    url: Address
    trust: Annotated[tuple[Level, ...], filled]
    changelog: Address
    cooldown: Days
    version: Annotated[str, expression(), _only_versions] = r"\d+(\.\d+)+"
    folder: Annotated[str, MAY_BE_EMPTY, form(r"[A-Za-z0-9{][\w.{}-]*", "a folder"), _fields] = "{name}-{version}"
    second: Address = ""
    image: ImageTemplate = ""
    sigstore: Sigstore | None = None
    openpgp: OpenPgp | None = None
    checksum: Checksum | None = None
    debian: Debian = Debian("", False)
    security: Security | None = None
    abi: Member = ""
    abi_accepted: Mapping[Version, Prose] = field(default_factory=dict)
    keeps_withdrawn: bool = False
    acknowledged: Series = ""
    holds: Annotated[tuple[Hold, ...], key("hold")] = ()
    end_of_life: datetime.date = datetime.date.max
    compare: Address = ""
    together: Name = ""

    def accepts(self, version: str, pinned: str) -> bool:
        """Whether this pin may take a version at all. It takes a pre-release only if it is at a pre-release now."""
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
        """`text` with its fields, those of FIELDS, replaced.

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
        return _FIELD.sub(lambda match: values[match[1]], text)

    def location(self, version: str, listed: str = "", like: str = "") -> str:
        """The file's URL, in the compression of the file name `like`: Debian may carry another one than the row."""
        url = self.fill(self.url, version, listed=listed)
        if suffix := re.search(r"\.tar\.\w+$", like):
            url = re.sub(r"\.tar\.\w+$", suffix[0], url)
        return url


@dataclass(frozen=True)
class _Table:
    """The file: what rows share, and the rows."""

    rows: Annotated[Mapping[str, Mapping[str, Any]], REST]
    cooldown: Days = 7
    templates: Mapping[Name, Mapping[str, Any]] = field(default_factory=dict)


def load(path: Path = DEPENDENCIES_TOML) -> dict[str, Dependency]:
    """Every row by pin name. Raises UserError for a broken law, with the place in the file."""
    return parse(read_toml(path), f"{path.name}:")


def parse(raw: Mapping[str, Any], where: str) -> dict[str, Dependency]:
    """The rows of a parsed file; `where` begins every complaint."""
    table = read(_Table, raw, where)
    for name, template in table.templates.items():
        part(Dependency, template, below(f"{where} templates", name))
    rows = {}
    for name, row in table.rows.items():
        place = below(where, name)
        use = row.get("use")
        if "use" in row and use not in list(table.templates):
            raise errors.UserError(f"{place}.use: no template {use!r:.80}{near_matches(str(use), table.templates)}")
        shared = table.templates[use] if use else {}
        own = {key: value for key, value in row.items() if key != "use"}
        rows[name] = read(Dependency, {"cooldown": table.cooldown, **shared, **own}, place, name)
        for problem in _breaches(rows[name]):
            raise errors.UserError(f"{place}: {problem}")
    return rows


def _breaches(row: Dependency) -> Iterator[str]:
    """What is wrong between the keys of a row."""
    possible = {
        "sigstore": row.sigstore is not None,
        "openpgp": row.openpgp is not None,
        "checksum": row.checksum is not None,
        "two-places": bool(row.second) or row.debian.verbatim,
        "debian-index": row.debian.verbatim,
    }
    for level in row.trust:
        if not possible[level]:
            yield f"trust level {level} needs data that the row lacks"
    if row.together and "debian-index" in row.trust:
        yield "debian-index is not for pins that move together: remove it from trust"


def is_release(version: str, pattern: str) -> bool:
    """Whether a listed version is a final release by a row's `version` rule, whatever its series."""
    from packaging.version import Version

    return bool(re.fullmatch(pattern, version)) and not Version(version).is_prerelease


def check(rows: Mapping[str, Dependency], pins: Mapping[str, Pin]) -> None:
    """The laws between rows and pins. Raises UserError naming every breach."""
    pinned = {name: pin.version for name, pin in pins.items()}
    problems = [f"pin {name} has no row" for name in sorted(set(pinned) - set(rows))]
    problems += [f"row [{name}] tracks no pin of the Dockerfile" for name in sorted(set(rows) - set(pinned))]
    for name in sorted(set(rows) & set(pinned)):
        if not rows[name].in_series(pinned[name]):
            problems.append(f"{name} is pinned to {pinned[name]}, outside its series {rows[name].series}")
        if not re.fullmatch(rows[name].version, pinned[name]):
            problems.append(f"{name} is pinned to {pinned[name]}, which does not match `version` of its row")
        if bool(rows[name].image) == bool(pins[name].sha256):
            problems.append(f"{name} must be a container image in both its row (image) and its pin, or in neither")
        mate = rows[name].together
        if mate and (mate not in rows or rows[mate].together != name):
            problems.append(f"{name} moves together with {mate}, which does not say the same")
        elif mate and pinned.get(mate) != pinned[name]:
            problems.append(f"{name} and {mate} move together, but are pinned to different versions")
    if problems:
        raise errors.UserError(f"{DEPENDENCIES_TOML.name}: {'; '.join(problems)}")
