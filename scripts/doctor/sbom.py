"""manylinux-sbom: says in a repaired wheel where the libraries come from that auditwheel has grafted into it (PEP 770).

It lies in this room because images carry the room anyway. auditwheel names a grafted library after the sha256 of what
it copies: `libfoo-0a1b2c3d.so.1` was a libfoo.so.1 whose sha256 begins with 0a1b2c3d. So where it comes from can
still be told after patchelf has changed it.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import re
import shutil
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from portable import errors, outputs
from portable.files import replacing

from . import rewriting
from .elf import MAGIC
from .origins import Container, Origin, purl
from .wheel import NotAWheel, Wheel, canonical

NAME = "manylinux.cdx.json"
SCHEMA = 1  # of --json

_GRAFTED = re.compile(r"(?P<base>[^.]+)-(?P<digest>[0-9a-f]{8})\.(?P<rest>[^/]+)")
_LIBRARIES = re.compile(r"[^/]+\.libs/[^/]+")  # where auditwheel puts them

EPILOG = """
Run it right after `auditwheel repair`, in the same container: a library that is no longer there cannot be identified.

exit status: 0: written, or nothing is grafted; 1: it failed, or a file is not identified and --strict was given;
             2: invalid usage, or not a wheel
"""


@dataclass(frozen=True)
class Grafted:
    """A file of a wheel that was copied from elsewhere: its name there, sha256 as it is in the wheel, and origin."""

    path: str
    sha256: str
    origin: Origin | None

    @property
    def identified(self) -> bool:
        """Whether it is known who brings the file that it was copied from."""
        return self.origin is not None and self.origin.owner is not None

    @property
    def reason(self) -> str:
        """Why it is not identified."""
        if self.origin is None:
            return "no file of this container is what it was copied from"
        return f"copied from {self.origin.path}, which no package and no component of the image owns"

    def row(self) -> dict[str, Any]:
        """For --json."""
        origin, owner = self.origin, self.origin.owner if self.origin else None
        return {
            "file": self.path,
            "identified": self.identified,
            "name": owner.name if owner else None,
            "version": owner.version if owner else None,
            "purl": owner.purl if owner else None,
            "source_file": origin.path if origin else None,
            "source_file_sha256": origin.sha256 if origin else None,
        }

    def component(self) -> dict[str, Any]:
        """As CycloneDX has it."""
        said: dict[str, Any] = {"type": "library", "bom-ref": self.path, "name": _source_name(self.path)}
        properties = {"file": self.path}
        if self.origin:
            properties |= {"source-file": self.origin.path, "source-file-sha256": self.origin.sha256}
        if self.origin and (owner := self.origin.owner):
            said |= {"name": owner.name, "version": owner.version, "purl": owner.purl}
            references: list[dict[str, Any]] = []
            if owner.source:
                hashes = [{"alg": "SHA-256", "content": owner.source_sha256}]
                references.append({"type": "source-distribution", "url": owner.source})
                references[0] |= {"hashes": hashes} if owner.source_sha256 else {}
            if owner.homepage:
                references.append({"type": "website", "url": owner.homepage})
            said |= {"externalReferences": references} if references else {}
        else:
            properties["not-identified"] = self.reason
        said["hashes"] = [{"alg": "SHA-256", "content": self.sha256}]
        said["properties"] = [{"name": f"manylinux:{key}", "value": value} for key, value in properties.items()]
        return said


def _source_name(path: str) -> str:
    """The name of the file that a grafted one was copied from."""
    name = path.rpartition("/")[2]
    match = _GRAFTED.fullmatch(name)
    return f"{match['base']}.{match['rest']}" if match else name


def grafted(wheel: Wheel, container: Container) -> list[Grafted]:
    """The grafted files of a wheel, in order of names: all in `*.libs/`, elsewhere those that can be identified.

    Raises NotAWheel for a damaged one."""
    digests: dict[str, str] = {}
    for path in wheel.members:
        if _LIBRARIES.fullmatch(path) or _GRAFTED.fullmatch(path.rpartition("/")[2]):
            content = wheel.read(path)
            if content.startswith(MAGIC):
                digests[path] = hashlib.sha256(content).hexdigest()
    named: dict[str, list[tuple[str, str]]] = {}
    for path in digests:
        if match := _GRAFTED.fullmatch(path.rpartition("/")[2]):
            # A file that had the hash in its name before is not renamed.
            named[path] = [(name, match["digest"]) for name in (_source_name(path), match[0])]
    found = container.find(pair for pairs in named.values() for pair in pairs)
    every = []
    for path, digest in sorted(digests.items()):
        origin = next((found[pair] for pair in named.get(path, []) if pair in found), None)
        if origin or _LIBRARIES.fullmatch(path):
            every.append(Grafted(path, digest, origin))
    return every


def document(wheel: Wheel, files: Iterable[Grafted], image: str) -> bytes:
    """The SBOM; without a date or serial number, since the same wheel is to give the same bytes."""
    name, version = wheel.file_name.name, wheel.file_name.version
    top = purl("pypi", canonical(name), version, file_name=wheel.path.name)
    components = [each.component() for each in files]
    made = {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {
            "component": {"type": "library", "bom-ref": top, "name": name, "version": version, "purl": top},
            "tools": {"components": [{"type": "application", "name": "manylinux-sbom"}]},
            "properties": [{"name": "manylinux:image", "value": image}],
        },
        "components": components,
        "dependencies": [
            {"ref": top, "dependsOn": [each["bom-ref"] for each in components]},
            *({"ref": each["bom-ref"]} for each in components),
        ],
    }
    return json.dumps(made, indent=1, ensure_ascii=True).encode() + b"\n"


def treat(path: Path, target: Path, container: Container) -> list[Grafted]:
    """Adds the SBOM to a wheel, which is written as `target`; returns the grafted files. One without is left as it is.

    Raises UserError for what is not a wheel."""
    try:
        with Wheel.open(path) as wheel:
            if files := grafted(wheel, container):
                content = document(wheel, files, str(container.manifest["image"]["name"]))
                rewriting.add(wheel, f"{wheel.dist_info}/sboms/{NAME}", content, target)
            elif not target.exists() or not target.samefile(path):
                with replacing(target, path.stat().st_mode & 0o777) as stream, path.open("rb") as source:
                    shutil.copyfileobj(source, stream)
            return files
    except NotAWheel as error:
        raise errors.UserError(str(error)) from None
    except FileNotFoundError:
        raise errors.UserError(f"{path}: there is no such file") from None


def targets(wheels: list[Path], output: Path | None) -> list[Path]:
    """Where the wheels are written: in their own place unless `output` says otherwise, a directory or, for one, a file.

    Raises UserError where they cannot be."""
    if output is None:
        resolved = [wheel.resolve() for wheel in wheels]  # what a link leads to is replaced, not the link
    elif output.is_dir():
        resolved = [output / wheel.name for wheel in wheels]
    elif len(wheels) == 1 and output.suffix == ".whl":
        resolved = [output]
    else:
        raise errors.UserError(f"--output {output}: name a directory that is there or, for one wheel, a file .whl")
    for path in resolved:
        outputs.file("--output" if output else "WHEEL", path)
    return resolved


def main(root: Path) -> int:
    """Adds an SBOM to wheels, and says what is in it. `root`: "/" in a container."""
    parser = argparse.ArgumentParser(
        prog="manylinux-sbom",
        description="Adds the SBOM .dist-info/sboms/manylinux.cdx.json (CycloneDX, PEP 770) to repaired wheels: a "
        "component for every library that auditwheel\nhas grafted, with package URL, version, hashes and where its "
        "source is.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("wheels", nargs="+", type=Path, metavar="WHEEL")
    parser.add_argument("--output", type=Path, help="directory, or file for one wheel (default: the wheel itself)")
    parser.add_argument("--json", action="store_true", help="print what was found as JSON")
    parser.add_argument("--strict", action="store_true", help="exit with 1 when a file could not be identified")
    options = parser.parse_args()
    container, rows, unknown = Container(root), [], 0
    for wheel, target in zip(options.wheels, targets(options.wheels, options.output), strict=True):
        files = treat(wheel, target, container)
        rows.append({"wheel": wheel.name, "files": [each.row() for each in files]})
        unknown += sum(not each.identified for each in files)
        if not options.json:
            say(wheel.name, files)
        for each in files:
            if not each.identified:
                print(f"warning: {wheel.name}: {each.path} is not identified: {each.reason}", file=sys.stderr)
    if options.json:
        print(json.dumps({"schema": SCHEMA, "wheels": rows}, indent=1))
    return 1 if options.strict and unknown else 0


def say(wheel: str, files: list[Grafted]) -> None:
    """Prints for people what the SBOM of a wheel has."""
    known = sum(each.identified for each in files)
    print(f"{wheel}: {known} of {len(files)} grafted files identified" if files else f"{wheel}: nothing is grafted")
    for each in files:
        owner = each.origin.owner if each.origin else None
        print(f"  {each.path}  {f'{owner.name} {owner.version}' if owner else '?'}")
