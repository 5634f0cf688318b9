"""Reads docker/advisories.toml: who says which vulnerabilities are known, and which of them do not apply."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from catalogue.model import Distribution
from catalogue.paths import DOCKER
from host.apt import CODE_NAMES
from portable import errors
from portable.toml import NAME, Name, Prose, Template, Url, filled, form, read, read_toml

ADVISORIES_TOML = DOCKER / "advisories.toml"
KINDS = ("suite", "updateinfo", "secdb", "osv", "nobody")

Justification = Literal[  # of OpenVEX 0.2.0, for the status not_affected
    "component_not_present",
    "vulnerable_code_not_present",
    "vulnerable_code_not_in_execute_path",
    "vulnerable_code_cannot_be_controlled_by_adversary",
    "inline_mitigations_already_exist",
]


@dataclass(frozen=True)
class DistributionAdvisories:
    """Where a distribution says what its packages mend; exactly one of the fields is filled in."""

    name: Annotated[Distribution, NAME]
    suite: Annotated[str, form("|".join(CODE_NAMES), f"one of {', '.join(CODE_NAMES)}")] = ""
    updateinfo: tuple[Template, ...] = ()
    secdb: tuple[Url, ...] = ()
    osv: Annotated[str, form(r"([A-Z][\w :.]*)?", "an ecosystem of OSV like Ubuntu:22.04:LTS")] = ""
    nobody: Prose = ""


@dataclass(frozen=True)
class OsvPackage:
    """How OSV calls a part: an ecosystem, and a name in it."""

    ecosystem: Annotated[str, form(r"[A-Z][\w -]*", "an ecosystem of OSV like PyPI")]
    name: Annotated[str, form(r"(https://)?\w[\w.-]*(/\w[\w.-]*)*", "a package, or the address of a repository")]


@dataclass(frozen=True)
class OsvPlaces:
    """OSV's address, and how it calls what images compile: component, "cpython" or "pypy" -> package."""

    url: Url
    packages: Annotated[Mapping[Name, OsvPackage], filled]


@dataclass(frozen=True)
class NotAffected:
    """A vulnerability that is known of a part and does not apply in the images."""

    id: Annotated[str, form(r"[A-Z][\w-]*", "an identifier like CVE-2026-1234")]
    part: Annotated[str, form(r"[A-Za-z0-9][\w.+-]*", "a part as the report names it")]
    why: Justification
    reason: Prose


@dataclass(frozen=True)
class Advisories:
    """docker/advisories.toml."""

    distributions: Annotated[Mapping[str, DistributionAdvisories], filled]
    osv: OsvPlaces
    not_affected: tuple[NotAffected, ...] = ()


def load(path: Path = ADVISORIES_TOML) -> Advisories:
    """The table. Raises UserError for a broken law, with the place in the file."""
    return parse(read_toml(path), f"{path.name}:")


def parse(raw: Mapping[str, Any], where: str) -> Advisories:
    """The parsed file; `where` begins every complaint."""
    table = read(Advisories, raw, where)
    for row in table.distributions.values():
        said = [key for key in KINDS if getattr(row, key)]
        if len(said) != 1:
            listed = " and ".join(said) or "nothing"
            raise errors.UserError(
                f"{where} distributions.{row.name}: it says {listed}; write one of {', '.join(KINDS)}"
            )
    return table
