"""The SBOM of an image as SPDX 2.3, derived from its manifest alone: the same manifest gives the same bytes.

The document describes one CONTAINER, which contains everything else; what an interpreter or a tool brings is contained
in it. Rules: https://spdx.github.io/spdx-spec/v2.3/, as spdx-tools judges them.
"""

from __future__ import annotations

import datetime
import hashlib
import json
import re
from collections.abc import Mapping
from typing import Any

from doctor.origins import purl

NO_ASSERTION = "NOASSERTION"
# Names in the NVD, by which scanners find what has no package: (vendor, product).
CPE = {
    "cpython": ("python", "python"),
    "curl": ("haxx", "curl"),
    "git": ("git-scm", "git"),
    "openssl": ("openssl", "openssl"),
    "sqlite": ("sqlite", "sqlite"),
    "tcl": ("tcl", "tcl"),
    "zstd": ("facebook", "zstandard"),
}
# The SPDX ids that packages of our distributions use most. What has another one is left out: an unknown id makes a
# document invalid, and package managers also know licences that SPDX does not.
LICENCES = set(
    """
    0BSD AFL-2.1 AGPL-3.0-only AGPL-3.0-or-later Apache-2.0 Artistic-1.0-Perl Artistic-2.0 BSD-1-Clause BSD-2-Clause
    BSD-2-Clause-Views BSD-3-Clause BSD-4-Clause BSD-4-Clause-UC BSD-Source-Code BSL-1.0 bzip2-1.0.6 CC-BY-3.0
    CC-BY-4.0 CC-BY-SA-3.0 CC-BY-SA-4.0 CC0-1.0 curl FSFAP FSFUL FSFULLR FTL GFDL-1.1-or-later GFDL-1.2-or-later
    GFDL-1.3-no-invariants-or-later GFDL-1.3-or-later GPL-1.0-or-later GPL-2.0-only GPL-2.0-or-later GPL-3.0-only
    GPL-3.0-or-later HPND HPND-sell-variant ICU IJG ISC LGPL-2.0-only LGPL-2.0-or-later LGPL-2.1-only
    LGPL-2.1-or-later LGPL-3.0-only LGPL-3.0-or-later Libpng libpng-2.0 libtiff MIT MIT-0 MIT-CMU MIT-Modern-Variant
    MIT-open-group MPL-1.1 MPL-2.0 NCSA NTP OFL-1.1 OLDAP-2.8 OpenSSL PSF-2.0 Python-2.0 Python-2.0.1 RSA-MD
    SGI-B-2.0 SISSL Sleepycat SMLNJ SSH-OpenSSH TCL TCP-wrappers Unicode-3.0 Unicode-DFS-2016 Unlicense Vim W3C
    WTFPL X11 XFree86-1.1 Zlib zlib-acknowledgement ZPL-2.1
    """.split()
)
EXCEPTIONS = set(
    """
    Autoconf-exception-2.0 Autoconf-exception-3.0 Bison-exception-2.2 Classpath-exception-2.0 GCC-exception-2.0
    GCC-exception-3.1 Libtool-exception LLVM-exception OCaml-LGPL-linking-exception openvpn-openssl-exception
    """.split()
)


def document(manifest: Mapping[str, Any]) -> dict[str, Any]:
    """The SBOM of the image that a manifest of schema 2 describes."""
    image, build = manifest["image"], manifest["build"]
    made = _Document()
    top = made.add("Image", image["name"], version=build["commit"], purpose="CONTAINER")
    made.relate("SPDXRef-DOCUMENT", "DESCRIBES", top)
    for row in manifest["components"]:
        made.add("Component", row["name"], row["version"], within=top, **_generic(row["name"], row))
    for row in manifest["interpreters"]:
        kind = "cpython" if "cp" in row["name"] else row["name"].partition("-")[0]
        whole = made.add("Interpreter", row["name"], row["version"], within=top, **_generic(kind, row))
        for part in row["bundles"]:
            facts = {key: part.get(key, "") for key in ("url", "sha256", "purl", "cpe")}
            made.add(f"Interpreter-{row['name']}", part["name"], part["version"], within=whole, **facts)
        made.add_python(f"Interpreter-{row['name']}", row["python_packages"], whole)
    for row in manifest["tools"]:
        whole = made.add("Tool", row["name"], row["version"], within=top, **_pypi(row))
        made.add_python(f"Tool-{row['name']}", [p for p in row["python_packages"] if p["name"] != row["name"]], whole)
    for row in manifest["packages"]:
        identity = f"{row['name']}-{row['version']}-{row['architecture']}"
        facts = {"purl": package_url(image["distribution"], row), "licence": row.get("licence", "")}
        made.add(f"Package-{identity}", row["name"], row["version"], within=top, **facts)
    digest = hashlib.sha256(json.dumps(manifest, sort_keys=True).encode()).hexdigest()
    date = datetime.datetime.fromtimestamp(build["date"], datetime.UTC)
    return {
        "spdxVersion": "SPDX-2.3",
        "dataLicense": "CC0-1.0",
        "SPDXID": "SPDXRef-DOCUMENT",
        "name": image["name"],
        "documentNamespace": f"{build['source']}/spdx/{image['name']}/{digest}",
        "creationInfo": {"created": f"{date:%Y-%m-%dT%H:%M:%SZ}", "creators": ["Tool: manylinux-describe"]},
        "packages": made.packages,
        "relationships": made.relationships,
    }


def package_url(distribution: Mapping[str, str], row: Mapping[str, str]) -> str:
    """The package URL of a distribution's package; scanners look for the name of its source."""
    kind, version, qualifiers = distribution["packages"], row["version"], {"arch": row["architecture"]}
    source, source_version = row.get("source", ""), row.get("source_version", "")
    if kind == "rpm":
        epoch, _, version = version.rpartition(":")
        qualifiers |= {"epoch": epoch, "upstream": f"{source}-{source_version}.src.rpm" if source else ""}
    elif kind == "deb" and source_version != version:
        qualifiers["upstream"] = f"{source}@{source_version}"
    else:
        qualifiers["upstream"] = source
    qualifiers["distro"] = "-".join(filter(None, (distribution["id"], distribution["version_id"])))
    return purl(f"{kind}/{distribution['id'] or 'linux'}", row["name"], version, **qualifiers)


def known_licence(expression: str) -> str:
    """A licence as SPDX may have it, empty for what is not made of known ids."""
    spoken = re.sub(r"(?<![\w.+-])(and|or|with)(?![\w.+-])", lambda match: match[0].upper(), expression)
    words = re.findall(r"[()]|[^\s()]+", spoken)
    form = r"[( ]*[\w.+-]+[) ]*((AND|OR|WITH) +[( ]*[\w.+-]+[) ]*)*"
    known = words.count("(") == words.count(")") and bool(re.fullmatch(form, spoken))
    for before, word in zip(["", *words], words, strict=False):
        if word not in ("(", ")", "AND", "OR", "WITH"):
            known = known and word in (EXCEPTIONS if before == "WITH" else LICENCES)
    return spoken if known else ""


class _Document:
    """Packages and relationships as they grow."""

    def __init__(self) -> None:
        self.packages: list[dict[str, Any]] = []
        self.relationships: list[dict[str, str]] = []

    def add(
        self,
        kind: str,
        name: str,
        version: str = "",
        *,
        within: str = "",
        purpose: str = "",
        url: str = "",
        sha256: str = "",
        purl: str = "",
        cpe: str = "",
        licence: str = "",
    ) -> str:
        """Adds a package that `within` contains; returns its id."""
        identity = spdx_id(kind if kind.startswith("Package-") else f"{kind}-{name}")
        references = [("PACKAGE-MANAGER", "purl", purl), ("SECURITY", "cpe23Type", cpe)]
        package: dict[str, Any] = {
            "SPDXID": identity,
            "name": name,
            "versionInfo": version,
            "downloadLocation": url or NO_ASSERTION,
            "filesAnalyzed": False,
            "licenseDeclared": known_licence(licence),
            "primaryPackagePurpose": purpose,
            "checksums": [{"algorithm": "SHA256", "checksumValue": sha256}] if sha256 else [],
            "externalRefs": [
                {"referenceCategory": category, "referenceType": kind, "referenceLocator": locator}
                for category, kind, locator in references
                if locator
            ],
        }
        self.packages.append({key: value for key, value in package.items() if value not in ("", [])})
        if within:
            self.relate(within, "CONTAINS", identity)
        return identity

    def add_python(self, kind: str, rows: list[dict[str, str]], within: str) -> None:
        """Adds installed Python packages."""
        for row in rows:
            self.add(f"{kind}-pypi", row["name"], row["version"], within=within, **_pypi(row))

    def relate(self, element: str, kind: str, other: str) -> None:
        self.relationships.append({"spdxElementId": element, "relationshipType": kind, "relatedSpdxElement": other})


def spdx_id(text: str) -> str:
    """An id; a character that ids do not have becomes its number, so that `a_b` and `a-b` stay apart."""
    return "SPDXRef-" + re.sub(r"[^A-Za-z0-9.-]", lambda match: f"-{ord(match[0]):x}-", text)


def _pypi(row: Mapping[str, str]) -> dict[str, str]:
    return {"purl": purl("pypi", row["name"], row["version"]), "licence": row.get("licence", "")}


def _generic(name: str, row: Mapping[str, str]) -> dict[str, str]:
    """What is known of a part that was compiled here: its source, and the names that scanners look for."""
    url, sha256, version = row.get("url", ""), row.get("sha256", ""), row["version"]
    checksum = f"sha256:{sha256}" if sha256 else ""
    cpe = "cpe:2.3:a:{}:{}:{}:*:*:*:*:*:*:*".format(*CPE[name], version) if name in CPE else ""
    facts = {"url": url, "sha256": sha256, "cpe": cpe}
    return facts | {"purl": purl("generic", name, version, checksum=checksum, download_url=url)}
