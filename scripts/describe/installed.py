"""The distribution's packages that are installed, and what whichever package manager is there knows of them."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Iterable
from pathlib import Path

DPKG = "${Package}\\t${Version}\\t${Architecture}\\t${source:Package}\\t${source:Version}\\n"
RPM = "%{NAME}\\t%|EPOCH?{%{EPOCH}:}:{}|%{VERSION}-%{RELEASE}\\t%{ARCH}\\t%{SOURCERPM}\\t%{LICENSE}\\n"
APK_DATABASES = ("lib/apk/db/installed", "usr/lib/apk/db/installed")
OS_RELEASE = ("etc/os-release", "usr/lib/os-release")

_SOURCE_RPM = re.compile(r"(?P<name>.+)-(?P<version>[^-]+-[^-]+)\.(?:no)?src\.rpm")


def packages(root: Path) -> tuple[str, list[dict[str, str]]]:
    """The kind of the packages (deb, rpm or apk) as package URLs have it, and a row for each, sorted.

    A row has `name`, `version` (with the epoch), `architecture`, `source` and `source_version`, and `licence` where the
    package manager knows it (dpkg does not). Raises RuntimeError where there is no package manager."""
    if shutil.which("dpkg-query"):
        kind, rows = "deb", _dpkg(output("dpkg-query", "--show", "--showformat", DPKG))
    elif shutil.which("rpm"):
        kind, rows = "rpm", _rpm(output("rpm", "--query", "--all", "--queryformat", RPM))
    else:
        database = next((path for name in APK_DATABASES if (path := root / name).is_file()), None)
        if database is None:
            raise RuntimeError("no dpkg-query, rpm or apk knows what is installed here")
        kind, rows = "apk", _apk(database.read_text(encoding="utf-8"))
    known = [{key: value for key, value in row.items() if value or key == "architecture"} for row in rows]
    return kind, sorted(known, key=lambda row: (row["name"], row["version"], row["architecture"]))


def distribution(root: Path) -> dict[str, str]:
    """`id` and `version_id` of the distribution, as os-release has them; empty where it does not say."""
    found: dict[str, str] = {}
    for path in (root / name for name in OS_RELEASE):
        if path.is_file():
            lines = (line.partition("=") for line in path.read_text(encoding="utf-8").splitlines())
            found = {key: value.strip("\"'") for key, _, value in lines}
            break
    return {"id": found.get("ID", ""), "version_id": found.get("VERSION_ID", "")}


def _dpkg(said: str) -> Iterable[dict[str, str]]:
    names = ("name", "version", "architecture", "source", "source_version")
    return (dict(zip(names, line.split("\t"), strict=True)) for line in said.splitlines())


def _rpm(said: str) -> Iterable[dict[str, str]]:
    for line in said.splitlines():
        name, version, architecture, source, licence = ("" if cell == "(none)" else cell for cell in line.split("\t"))
        row = {"name": name, "version": version, "architecture": architecture, "licence": licence}
        match = _SOURCE_RPM.fullmatch(source)
        yield row | ({"source": match["name"], "source_version": match["version"]} if match else {})


def _apk(database: str) -> Iterable[dict[str, str]]:
    """Reads apk's database: paragraphs of `<letter>:<value>`; a package and its source have one version."""
    for paragraph in database.strip().split("\n\n"):
        cells = dict(line.split(":", 1) for line in paragraph.splitlines() if line[1:2] == ":")
        row = {"name": cells["P"], "version": cells["V"], "architecture": cells["A"]}
        yield row | {"source": cells.get("o", ""), "source_version": cells["V"], "licence": cells.get("L", "")}


def output(*command: str) -> str:
    """What a command prints. Raises CalledProcessError."""
    return subprocess.run(command, check=True, text=True, stdout=subprocess.PIPE).stdout
