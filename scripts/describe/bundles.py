"""What an interpreter brings along: libraries that were compiled into it, wheels of ensurepip, installed packages."""

from __future__ import annotations

import email.parser
import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from doctor import elf

# The library that stands for a part where an interpreter is linked to one from outside: the part is not in it, then.
OUTSIDE = {"expat": "libexpat", "libb2": "libb2", "mpdecimal": "libmpdec"}


def bundled(prefix: Path, sbom: Path, libraries: Mapping[str, str]) -> list[dict[str, str]]:
    """The parts of others in an interpreter, in order of names: `name`, `version`, and what is known of `url`,
    `sha256`, `purl` and `cpe`.

    `sbom`: CPython's own (Misc/sbom.spdx.json of its tarball). It says what the tarball has, so what is linked from
    outside is left out. `libraries`: name -> version, as the interpreter's modules say; they are right where the SBOM
    says something else, and all there is where CPython has none. The wheels of ensurepip are in no SBOM."""
    outside = linked(prefix)
    if sbom.is_file():
        parts = [_corrected(_part(row), libraries) for row in json.loads(sbom.read_text(encoding="utf-8"))["packages"]]
    else:
        parts = [{"name": name, "version": libraries[name]} for name in OUTSIDE if libraries.get(name)]
    parts = [part for part in parts if OUTSIDE.get(part["name"], "") not in outside]
    for wheel in prefix.glob("lib/*/ensurepip/_bundled/*.whl"):
        name, version, *_ = wheel.name.split("-")
        parts.append({"name": name, "version": version, "purl": f"pkg:pypi/{name}@{version}"})
    return sorted(parts, key=lambda part: (part["name"], part["version"]))


def _part(row: Mapping[str, Any]) -> dict[str, str]:
    sums = {each["algorithm"]: each["checksumValue"] for each in row.get("checksums", [])}
    references = {each["referenceType"]: each["referenceLocator"] for each in row.get("externalRefs", [])}
    part = {"name": row["name"], "version": row["versionInfo"], "url": row.get("downloadLocation", "")}
    part |= {
        "sha256": sums.get("SHA256", ""),
        "purl": references.get("purl", ""),
        "cpe": references.get("cpe23Type", ""),
    }
    return {key: value for key, value in part.items() if value}


def _corrected(part: dict[str, str], libraries: Mapping[str, str]) -> dict[str, str]:
    """A part in the version that was compiled: CPython 3.13.5 has expat 2.7.1, and its SBOM says 2.6.3."""
    name, said = part["name"], part["version"]
    actual = libraries.get(name) or said
    if actual == said:
        return part
    names: dict[str, str] = {key: part[key].replace(said, actual) for key in ("purl", "cpe") if key in part}
    return {"name": name, "version": actual, **names}  # address and hash are those of the other version


def linked(prefix: Path) -> set[str]:
    """The libraries that an interpreter and its modules need, up to the first dot: {"libc", "libmpdec"}."""
    found = set()
    for path in (*prefix.glob("bin/python*"), *prefix.glob("lib/*.so*"), *prefix.glob("lib/*/lib-dynload/*.so")):
        if path.is_file() and not path.is_symlink() and (data := path.read_bytes()).startswith(elf.MAGIC):
            found |= {name.partition(".")[0] for name in elf.parse(data).needed}
    return found


def distributions(top: Path) -> list[dict[str, str]]:
    """Name, version and, where it is an SPDX expression, licence of the Python packages installed below a prefix."""
    return sorted(_distributions(top), key=lambda row: row["name"])


def _distributions(top: Path) -> Iterator[dict[str, str]]:
    for path in top.glob("lib/*/site-packages/*.dist-info/METADATA"):
        headers = email.parser.HeaderParser().parsestr(path.read_text(encoding="utf-8"))
        row = {"name": re.sub(r"[-_.]+", "-", headers["Name"]).lower(), "version": headers["Version"]}
        yield row | ({"licence": expression} if (expression := headers["License-Expression"]) else {})
