#!/usr/bin/env python3
"""Ends a build: writes a manifest of what the image is made of, and the sha256 of every file that we add.

/opt/_internal/manifest.json lists the distribution's packages, the compilers, and the entries that the stages left in
/opt/_internal/manifest.d; that directory is removed. Build arguments in the environment describe the image: POLICY,
PLATFORM, LIBC, TRIPLE, MARCH, DEVTOOLSET_ROOTPATH (the last two may be empty) and VARIANT (may be unset).

/opt/_internal/files.sha256 has a line for each file below /opt and /usr/local: `<sha256>  <path>`, or
`link:<target>  <path>` for a symbolic link. `sha256sum --check` verifies the files and so finds damage of an image.

In an image that is built on another image of ours, the manifest that is there keeps its rows, and new parts replace
theirs.

The same image gives the same bytes: both files are sorted and have no date. Run Python with -B: otherwise its .pyc
files get into the list.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

SCHEMA = 1
FACTS = {  # in the manifest: in the environment
    "policy": "POLICY",
    "platform": "PLATFORM",
    "libc": "LIBC",
    "triple": "TRIPLE",
    "march": "MARCH",
    "toolset_root": "DEVTOOLSET_ROOTPATH",
}
KINDS = ("interpreter", "tool", "component")
OURS = ("opt", "usr/local")
FILE_LIST = "opt/_internal/files.sha256"
MANIFEST = "opt/_internal/manifest.json"

# Each prints name, version and architecture, separated by tabs.
PACKAGE_QUERIES = (
    ("dpkg-query", "--show", "--showformat", "${Package}\\t${Version}\\t${Architecture}\\n"),
    ("rpm", "--query", "--all", "--queryformat", "%{NAME}\\t%|EPOCH?{%{EPOCH}:}:{}|%{VERSION}-%{RELEASE}\\t%{ARCH}\\n"),
)
COMPILERS = ("gcc", "g++", "gfortran", "ld")


def manifest(internal: Path, environment: Mapping[str, str]) -> dict[str, Any]:
    """The manifest of the image. Raises ValueError when stages contradict each other or left nothing."""
    facts = {fact: environment[name] for fact, name in FACTS.items()}
    variant = environment.get("VARIANT", "")
    name = f"{facts['policy']}_{facts['platform']}" + (f"-{variant}" if variant else "")
    entries: dict[str, list[dict[str, Any]]] = {kind: [] for kind in KINDS}
    for path in sorted((internal / "manifest.d").glob("*.json")):
        entry = {key: value for key, value in json.loads(path.read_text(encoding="utf-8")).items() if value != ""}
        kind = entry.pop("kind")
        if kind not in entries:
            raise ValueError(f"{path.name}: unknown kind {kind!r}; known: {', '.join(KINDS)}")
        if any(entry["name"] == other["name"] for other in entries[kind]):
            raise ValueError(f"{path.name}: {kind} {entry['name']} is already in the manifest")
        entries[kind].append(entry)
    if (internal / "manifest.json").exists():
        before = json.loads((internal / "manifest.json").read_text(encoding="utf-8"))
        for kind, rows in entries.items():
            replaced = {row["name"] for row in rows}
            rows += [row for row in before[f"{kind}s"] if row["name"] not in replaced]
    if not entries["interpreter"]:
        raise ValueError(f"{internal}/manifest.d has no interpreter: every one is switched off")
    return {
        "schema": SCHEMA,
        "image": {"name": name, **facts},
        **{f"{kind}s": sorted(entries[kind], key=lambda entry: str(entry["name"])) for kind in KINDS},
        "packages": packages(),
        "compilers": {program: version for program in COMPILERS if (version := first_line(program))},
    }


def packages() -> list[dict[str, str]]:
    """Name, version and architecture of the distribution's packages, by whichever package manager is here."""
    for query in PACKAGE_QUERIES:
        if shutil.which(query[0]):
            rows = [line.split("\t") for line in output(*query).splitlines()]
            break
    else:
        architecture = output("apk", "--print-arch").strip()
        split = (line.rsplit("-", 2) for line in output("apk", "info", "--verbose").splitlines())
        rows = [[name, f"{version}-{release}", architecture] for name, version, release in split]
    return [dict(zip(("name", "version", "architecture"), row, strict=True)) for row in sorted(rows)]


def first_line(program: str) -> str:
    """The first line of `program --version`; empty if there is no such program."""
    return output(program, "--version").splitlines()[0] if shutil.which(program) else ""


def output(*command: str) -> str:
    """What a command prints. Raises CalledProcessError."""
    return subprocess.run(command, check=True, text=True, stdout=subprocess.PIPE).stdout


def file_list(root: Path) -> Iterator[str]:
    """The lines of files.sha256, in order of paths, without itself. Raises ValueError for a name it cannot hold."""
    for path in sorted(path for top in OURS for path in _files(root / top) if path != root / FILE_LIST):
        name = f"/{path.relative_to(root)}"
        if "\n" in name or "\\" in name:
            raise ValueError(f"{name!r} has a line feed or a backslash: sha256sum would escape the name")
        if path.is_symlink():
            yield f"link:{path.readlink()}  {name}\n"
        else:
            with path.open("rb") as stream:
                yield f"{hashlib.file_digest(stream, 'sha256').hexdigest()}  {name}\n"


def _files(top: Path) -> Iterator[Path]:
    for directory, names, files in os.walk(top):
        yield from (Path(directory, name) for name in files)
        yield from (path for name in names if (path := Path(directory, name)).is_symlink())


def main() -> None:
    """Writes manifest.json and files.sha256 into /opt/_internal: the last step of an image's build."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--root", type=Path, default=Path("/"), help="directory of the image's files (default: /)")
    options = parser.parse_args()
    internal = options.root / "opt" / "_internal"
    missing = [name for name in FACTS.values() if name not in os.environ]
    if missing:
        parser.error(f"not in the environment: {' '.join(missing)}")
    content = manifest(internal, os.environ)
    (options.root / MANIFEST).write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    shutil.rmtree(internal / "manifest.d")
    (options.root / FILE_LIST).write_text("".join(file_list(options.root)), encoding="utf-8")


if __name__ == "__main__":
    main()
