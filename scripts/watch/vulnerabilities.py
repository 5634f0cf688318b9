"""Which vulnerabilities are known of what an image holds: asks about everything in its manifest (docs/manifest.md)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from debian.archive import Archive
from network import web
from network.answers import Answer
from portable import errors
from watch import distribution, osv
from watch.advisories import Advisories, NotAffected
from watch.distribution import Fixes, InstalledPackage
from watch.osv import Query


@dataclass(frozen=True)
class KnownVulnerability:
    """A vulnerability that is known of a part of an image.

    `kind`: "distribution" or "ours"; `fixed`: versions that mend it, as far as they are known; `within`: the
    interpreters and tools that hold the part, where it is a Python package."""

    kind: str
    part: str
    version: str
    id: str
    aliases: tuple[str, ...]
    fixed: tuple[str, ...]
    within: tuple[str, ...] = ()


@dataclass(frozen=True)
class Assessment:
    """What is known of an image. `unread`: part -> why nobody can say anything of it; `silent`: who did not answer."""

    image: str
    findings: tuple[KnownVulnerability, ...]
    not_affected: tuple[tuple[KnownVulnerability, NotAffected], ...]
    unread: Mapping[str, str]
    silent: tuple[str, ...]


@dataclass
class _Part:
    """Something of ours with what OSV is asked about it."""

    name: str
    version: str
    query: Query
    within: list[str] = field(default_factory=list)


def assess(manifest: Answer, table: Advisories, distribution_name: str, client: web.Client) -> Assessment:
    """Asks everybody about one image; `distribution_name`: that of its policy, as docker/images.toml has it.

    Raises Failure for something else than a manifest."""
    image = manifest["image"]["name"].text()
    parts, unread = _parts(manifest, table)
    packages = [
        InstalledPackage(
            row["name"].text(),
            row["version"].text(),
            row["source"].text(default=row["name"].text()),
            row["source_version"].text(default=row["version"].text()),
        )
        for row in manifest["packages"].rows()
    ]
    service = osv.Osv(table.osv.url)
    findings: list[KnownVulnerability] = []
    silent = []
    try:
        for part, records in zip(parts, service.known([part.query for part in parts]), strict=True):
            for known in records:
                within = tuple(part.within)
                findings.append(
                    KnownVulnerability("ours", part.name, part.version, known.id, known.aliases, known.fixed, within)
                )
    except errors.Failure as error:
        silent.append(str(error))
    try:
        platform = manifest["image"]["platform"].text()
        fixes = _of_distribution(packages, table, distribution_name, platform, client, service)
        for fix in fixes.found:
            fixed = (fix.fixed,) if fix.fixed else ()
            findings.append(KnownVulnerability("distribution", fix.package, fix.installed, fix.id, (), fixed))
        unread |= fixes.unread
    except errors.Failure as error:
        silent.append(str(error))
    excused = {(row.part, row.id): row for row in table.not_affected}
    of_row = {finding: row for finding in findings if (row := excused.get((finding.part, finding.id)))}
    left = sorted((f for f in findings if f not in of_row), key=lambda f: (f.kind != "ours", f.part, f.version, f.id))
    return Assessment(image, tuple(left), tuple(of_row.items()), unread, tuple(silent))


def mended_by(finding: KnownVulnerability, newer: Iterable[tuple[str, Assessment]]) -> str:
    """The tag of the first newer image of which the vulnerability is not known, else ""; `newer`: oldest first."""
    for tag, assessment in newer:
        if all((found.part, found.id) != (finding.part, finding.id) for found in assessment.findings):
            return tag
    return ""


def _of_distribution(
    packages: Sequence[InstalledPackage],
    table: Advisories,
    name: str,
    platform: str,
    client: web.Client,
    service: osv.Osv,
) -> Fixes:
    row = table.distributions.get(name)
    if row is None or row.nobody:
        reason = row.nobody if row else f"docker/advisories.toml does not say who publishes the advisories of {name}"
        return Fixes((), {name: reason})
    if row.suite:
        return distribution.from_debian(packages, row.suite, Archive.of_this_machine(), client)
    if row.updateinfo:
        return distribution.from_updateinfo(packages, [url.format(platform=platform) for url in row.updateinfo], client)
    if row.secdb:
        return distribution.from_secdb(packages, row.secdb, client)
    sources = sorted({(package.source, package.source_version) for package in packages})
    answers = service.known([osv.by_name(row.osv, source, version) for source, version in sources])
    return Fixes(
        tuple(
            distribution.Fix(source, version, record.id, record.fixed[-1] if record.fixed else "")
            for (source, version), records in zip(sources, answers, strict=True)
            for record in records
        ),
        {},
    )


def _parts(manifest: Answer, table: Advisories) -> tuple[list[_Part], dict[str, str]]:
    """What of ours OSV can be asked about, each version once, and part -> why it cannot."""
    found: dict[tuple[str, str], _Part] = {}
    unread: dict[str, str] = {}

    def add(name: str, version: str, query: Query | None, within: str = "") -> None:
        if query is None:
            unread[name] = "docker/advisories.toml does not say how OSV calls it"
            return
        part = found.setdefault((name, version), _Part(name, version, query))
        if within and within not in part.within:
            part.within.append(within)

    def compiled(name: str, version: str) -> Query | None:
        package = table.osv.packages.get(name)
        return osv.by_name(package.ecosystem, package.name, version) if package else None

    for row in manifest["components"].rows():
        if row["url"].value is not None:  # else it is the distribution's own package
            add(row["name"].text(), row["version"].text(), compiled(row["name"].text(), row["version"].text()))
    for row in manifest["interpreters"].rows():
        tag, version = row["name"].text(), row["version"].text()
        kind = "cpython" if tag.startswith(("cp", "shared-cpython")) else "pypy" if tag.startswith("pp") else "graalpy"
        add(kind, version, compiled(kind, version), tag)
        for bundled in row["bundles"].rows():
            name, number = bundled["name"].text(), bundled["version"].text()
            is_python = bundled["purl"].text(default="").startswith("pkg:pypi/")
            add(name, number, osv.by_name("PyPI", name, number) if is_python else compiled(name, number), tag)
    for holder in (*manifest["interpreters"].rows(), *manifest["tools"].rows()):
        for row in holder["python_packages"].rows():
            name, version = row["name"].text(), row["version"].text()
            add(name, version, osv.by_name("PyPI", name, version), holder["name"].text())
    return list(found.values()), unread


# --- Saying it --------------------------------------------------------------------------------------------------------


def summary(assessment: Assessment, newer: Sequence[tuple[str, Assessment]]) -> dict[str, Any]:
    """The report of one image as JSON (docs/vulnerabilities.md)."""
    return {
        "image": assessment.image,
        "findings": [{**_plain(finding), "mended_by": mended_by(finding, newer)} for finding in assessment.findings],
        "not_affected": [
            {**_plain(finding), "justification": row.why, "reason": row.reason}
            for finding, row in assessment.not_affected
        ],
        "not_known": dict(sorted(assessment.unread.items())),
        "silent": list(assessment.silent),
    }


def _plain(finding: KnownVulnerability) -> dict[str, Any]:
    return {name: list(value) if isinstance(value, tuple) else value for name, value in vars(finding).items()}


def openvex(assessment: Assessment, source: str, moment: str) -> dict[str, Any]:
    """What does not apply, as OpenVEX 0.2.0. `moment`: of the document, in ISO 8601; `source`: of the project."""
    return {
        "@context": "https://openvex.dev/ns/v0.2.0",
        "@id": f"{source}/openvex/{assessment.image}",
        "author": source,
        "timestamp": moment,
        "version": 1,
        "statements": [
            {
                "vulnerability": {"name": finding.id},
                "products": [{"@id": f"pkg:generic/{finding.part}@{finding.version}"}],
                "status": "not_affected",
                "justification": row.why,
                "impact_statement": row.reason,
            }
            for finding, row in assessment.not_affected
        ],
    }
