"""Whose a library of this container is: a component of the image, an interpreter's, or a package of the distribution.

The image knows its own files (/opt/_internal/files.sha256 and manifest.json); for the rest dpkg, rpm or apk is asked.
"""

from __future__ import annotations

import functools
import hashlib
import json
import os
import re
import shutil
import subprocess
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

from portable import errors

INTERNAL = "opt/_internal"

# Where sources of a distribution's packages stay, by the ID of its os-release.
SOURCES_OF = {
    "debian": "https://sources.debian.org/src/{source}/{version}/",
    "ubuntu": "https://launchpad.net/ubuntu/+source/{source}/{version}",
}

DPKG_FIELDS = ("Package", "Version", "Architecture", "source:Package", "source:Version", "Homepage")
RPM_FORMAT = "%{NAME}\\t%|EPOCH?{%{EPOCH}}|\\t%{VERSION}-%{RELEASE}\\t%{ARCH}\\t%{SOURCERPM}\\t%{URL}\\n"


@dataclass(frozen=True)
class Owner:
    """A component, an interpreter or a package that brings files; what is not known is empty."""

    name: str
    version: str
    purl: str
    homepage: str = ""
    source: str = ""  # where its source is
    source_sha256: str = ""


@dataclass(frozen=True)
class Origin:
    """A file of the container and whose it is."""

    path: str
    sha256: str
    owner: Owner | None


@dataclass(frozen=True)
class Container:
    """The file system of a container, an image's with whatever was installed since; `root` is "/" but in tests."""

    root: Path

    def find(self, wanted: Iterable[tuple[str, str]]) -> dict[tuple[str, str], Origin]:
        """Where files come from, by name and the beginning of the sha256 in hexadecimal; those that are found.

        Of several such files it is one that somebody owns."""
        wanted = set(wanted)
        found = {each: origin for each in wanted if (origin := self._of_image(*each))}
        missing = wanted - found.keys()
        for path in self._named({name for name, _ in missing}):
            real = path.resolve()
            digest = _sha256(real) if real.is_file() else ""
            for each in missing:
                name, beginning = each
                if path.name != name or not digest.startswith(beginning) or (each in found and found[each].owner):
                    continue
                origin = self._of_system(real, digest)
                if each not in found or origin.owner:
                    found[each] = origin
        return found

    # --- The image's own files ---------------------------------------------------------------------------------

    @functools.cached_property
    def manifest(self) -> dict[str, Any]:
        """The image's manifest. Raises Failure where there is none."""
        path = self.root / INTERNAL / "manifest.json"
        try:
            found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
            return found
        except FileNotFoundError:
            raise errors.Failure(f"{path} is missing: run this in a manylinux or musllinux image") from None
        except ValueError as error:
            raise errors.Failure(f"{path} is damaged ({error}): pull the image again") from None

    @functools.cached_property
    def listed(self) -> dict[str, dict[str, str]]:
        """What the image says of its own shared libraries: sha256 by path, by name."""
        path, found = self.root / INTERNAL / "files.sha256", dict[str, dict[str, str]]()
        if path.is_file():
            for line in path.read_text(encoding="utf-8").splitlines():
                digest, _, name = line.partition("  ")
                if ".so" in name and not digest.startswith("link:"):
                    found.setdefault(name.rpartition("/")[2], {})[name] = digest
        return found

    def _of_image(self, name: str, digest: str) -> Origin | None:
        for path, known in self.listed.get(name, {}).items():
            if known.startswith(digest):
                return Origin(path, known, self.owner_in_image(path))
        return None

    def owner_in_image(self, path: str) -> Owner | None:
        """Which interpreter or component brings a file below /opt or /usr/local; None where neither does."""
        found, longest = None, ""
        for kind in ("interpreters", "components"):
            for row in self.manifest.get(kind, []):
                for each in row["paths"]:
                    fits = path == each or (each.endswith("/") and path.startswith(each))
                    if fits and len(each) > len(longest):
                        found, longest = _generic(_project(kind, row["name"]), row), each
        return found

    # --- What lies elsewhere -----------------------------------------------------------------------------------

    def _named(self, names: Iterable[str]) -> Iterator[Path]:
        """The files with one of the names, in order of paths: on the container's own file system and, as auditwheel
        does, in the directories of LD_LIBRARY_PATH. What is mounted is left out: it may be the whole host."""
        names, found = frozenset(names), set[Path]()
        if not names:
            return iter(())
        device = self.root.stat().st_dev
        for directory, below, files in os.walk(self.root):
            below[:] = [name for name in below if _device(f"{directory}/{name}") == device]
            found |= {Path(directory, name) for name in names.intersection(files)}
        for place in filter(None, os.environ.get("LD_LIBRARY_PATH", "").split(":")):
            found |= {path for name in names if (path := Path(place, name)).exists()}
        return iter(sorted(found))

    def _of_system(self, path: Path, digest: str) -> Origin:
        root = self.root.resolve()
        inside = f"/{path.relative_to(root)}" if path.is_relative_to(root) else str(path)
        return Origin(inside, digest, self._package(inside))

    def _package(self, path: str) -> Owner | None:
        """The distribution's package that owns a file; asked by the path below /usr, too, and by the one without.

        Before Debian 13 packages own /lib/..., although that directory is /usr/lib by now."""
        spelled = path.removeprefix("/usr") if path.startswith("/usr/lib") else f"/usr{path}"
        for program, ask in (("dpkg-query", self._dpkg), ("rpm", self._rpm), ("apk", self._apk)):
            if shutil.which(program):
                return next(filter(None, (ask(each) for each in (path, spelled))), None)
        return None

    def _dpkg(self, path: str) -> Owner | None:
        for line in _said("dpkg-query", "--search", path).splitlines():
            names, _, owned = line.rpartition(": ")
            if owned != path or line.startswith("diversion by "):
                continue
            name = names.split(", ")[0]
            form = "\\t".join(f"${{{field}}}" for field in DPKG_FIELDS)
            fields = _said("dpkg-query", "--show", "--showformat", form, name).split("\t")
            package, version, architecture, source, source_version, homepage = fields
            upstream = source if source_version == version else f"{source}@{source_version}"
            address = SOURCES_OF.get(self._system["ID"], "").format(
                source=quote(source), version=quote(source_version, safe=":~+")
            )
            purl = self._purl("deb", package, version, arch=architecture, upstream=upstream)
            return Owner(package, version, purl, homepage, address)
        return None

    def _rpm(self, path: str) -> Owner | None:
        fields = _said("rpm", "--query", "--queryformat", RPM_FORMAT, "--file", path).splitlines()[:1]
        if not fields or fields[0].count("\t") != 5:
            return None
        name, epoch, version, architecture, source, homepage = fields[0].split("\t")
        purl = self._purl("rpm", name, version, arch=architecture, epoch=epoch, upstream=source)
        return Owner(name, f"{epoch}:{version}" if epoch else version, purl, homepage)

    def _apk(self, path: str) -> Owner | None:
        match = re.search(r" is owned by (\S+)-([^-\s]+-r\d+)\s*$", _said("apk", "info", "--who-owns", path))
        if not match:
            return None
        name, version = match.groups()
        rows = _said("apk", "list", "--installed", name)
        listed = re.search(rf"(?m)^{re.escape(name)}-{re.escape(version)} (\S+) {{([^}}]*)}}", rows)
        architecture, source = listed.groups() if listed else ("", "")
        homepage = next(iter(re.findall(r"(?m)^https?://\S+$", _said("apk", "info", "--webpage", name))), "")
        return Owner(name, version, self._purl("apk", name, version, arch=architecture, upstream=source), homepage)

    @functools.cached_property
    def _system(self) -> dict[str, str]:
        """ID and VERSION_ID of the distribution."""
        found = {"ID": "linux", "VERSION_ID": ""}
        for place in ("etc/os-release", "usr/lib/os-release"):
            if (path := self.root / place).is_file():
                lines = (line.partition("=") for line in path.read_text(encoding="utf-8").splitlines())
                return found | {key: value.strip("\"'") for key, _, value in lines}
        return found

    def _purl(self, kind: str, name: str, version: str, **qualifiers: str) -> str:
        qualifiers["distro"] = "-".join(filter(None, (self._system["ID"], self._system["VERSION_ID"])))
        return purl(f"{kind}/{self._system['ID']}", name, version, **qualifiers)


def purl(kind: str, name: str, version: str, **qualifiers: str) -> str:
    """A package URL (ECMA-427): `kind` is type and namespace; qualifiers without a value are left out."""
    said = "&".join(f"{key}={quote(value, safe=':')}" for key, value in sorted(qualifiers.items()) if value)
    return f"pkg:{kind}/{quote(name, safe='')}@{quote(version, safe=':')}" + (f"?{said}" if said else "")


def _project(kind: str, name: str) -> str:
    """The upstream project of a row of the manifest: of an interpreter, its implementation."""
    return name if kind == "components" else "cpython" if "cp" in name else name.partition("-")[0]


def _generic(name: str, row: Mapping[str, str]) -> Owner:
    """The owner that a row of the manifest is."""
    url, digest = row.get("url", ""), row.get("sha256", "")
    checksum = f"sha256:{digest}" if digest else ""
    purl_ = purl("generic", name, row["version"], checksum=checksum, download_url=url)
    return Owner(name, row["version"], purl_, "", url, digest)


def _said(*argv: str) -> str:
    """What a command prints; nothing where it fails."""
    done = subprocess.run(argv, capture_output=True, text=True, errors="replace", env={**os.environ, "LC_ALL": "C"})
    return done.stdout if done.returncode == 0 else ""


def _device(path: str) -> int:
    try:
        return os.lstat(path).st_dev
    except OSError:
        return -1


def _sha256(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
