"""Ends a build: writes what the image is made of and what it can do, its SBOM, and the sha256 of every file of ours.

/opt/_internal/manifest.json (docs/manifest.md) has the image, the build, the entries that the stages left in
/opt/_internal/manifest.d, the distribution's packages, the compilers and the capabilities.
Build arguments in the environment describe the image: POLICY, PLATFORM, LIBC, TRIPLE, MARCH, DEVTOOLSET_ROOTPATH (the
last two may be empty), VARIANT and DESCRIPTION (may be unset; the latter is the JSON of scripts/build/description.py).

/opt/_internal/sbom.spdx.json is derived from the manifest.

/opt/_internal/files.sha256 has a line for each file below /opt and /usr/local: `<sha256>  <path>`, or
`link:<target>  <path>` for a symbolic link. `sha256sum --check` verifies the files and so finds damage of an image.

In an image that is built on another image of ours, the manifest that is there keeps its rows, and new parts replace
theirs.

The same image gives the same bytes: everything is sorted and nothing has a date of its own. Run Python with -B:
otherwise its .pyc files get into the list.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from describe import bundles, capabilities, installed, owners, spdx

SCHEMA = 2
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
INTERNAL = "opt/_internal"
FILE_LIST = f"{INTERNAL}/files.sha256"
MANIFEST = f"{INTERNAL}/manifest.json"
SBOM = f"{INTERNAL}/sbom.spdx.json"
COMPILERS = ("gcc", "g++", "gfortran", "ld")
# Of an image that was not built by build.sh; the date is that of an empty repository.
NO_BUILD = {
    "commit": "",
    "date": 0,
    "source": "https://github.com/pypa/manylinux",
    "base": {"name": "", "digest": ""},
    "platform": "",
    "builder": {"compiler": "gcc", "image": "", "platform": ""},
    "options": {},
    "pins": {},
    "inputs": {},
}


def manifest(root: Path, environment: Mapping[str, str]) -> dict[str, Any]:
    """The manifest of the image. Raises ValueError when stages contradict each other or left nothing."""
    facts = {fact: environment[name] for fact, name in FACTS.items()}
    variant = environment.get("VARIANT", "")
    name = f"{facts['policy']}_{facts['platform']}" + (f"-{variant}" if variant else "")
    rows = entries(root / INTERNAL)
    tags = [row["name"] for row in rows["interpreter"]]
    kind, packages = installed.packages(root)
    pythons = {tag: root / owners.prefix(root, tag).lstrip("/") / "bin/python" for tag in tags}
    can = capabilities.of_interpreters(pythons)
    for row in rows["interpreter"]:
        tag, prefix = row["name"], pythons[row["name"]].parents[1]
        row["paths"] = owners.interpreter(root, tag)
        if "bundles" not in row:  # an image below has removed what tells of it
            sbom = root / INTERNAL / "manifest.d" / f"{tag}.spdx"
            row["bundles"] = bundles.bundled(prefix, sbom, can[tag]["libraries"])
        row["python_packages"] = bundles.distributions(prefix)
        for path in prefix.glob("lib/python3.*/build-details.json"):  # PEP 739: CPython from 3.14 on
            row["build_details"] = json.loads(path.read_text(encoding="utf-8"))
    for row in rows["tool"]:
        row["paths"] = owners.tool(root, row["name"])
        row["python_packages"] = owners.python_packages(root, row["name"])
    for row in rows["component"]:
        row["paths"] = owners.component(root, row["name"])
    return {
        "schema": SCHEMA,
        "image": {
            "name": name,
            **facts,
            "distribution": {**installed.distribution(root), "packages": kind},
            "paths": owners.own(root),
        },
        "build": NO_BUILD | json.loads(environment.get("DESCRIPTION") or "{}"),
        **{f"{kind}s": rows[kind] for kind in KINDS},
        "packages": packages,
        "compilers": {program: version for program in COMPILERS if (version := first_line(program))},
        "capabilities": {"image": capabilities.of_image(root), "interpreters": can},
    }


def entries(internal: Path) -> dict[str, list[dict[str, Any]]]:
    """What the stages left, by kind and in order of names. Raises ValueError for contradictions, or no interpreter."""
    found: dict[str, list[dict[str, Any]]] = {kind: [] for kind in KINDS}
    for path in sorted((internal / "manifest.d").glob("*.json")):
        entry = {key: value for key, value in json.loads(path.read_text(encoding="utf-8")).items() if value != ""}
        kind = entry.pop("kind")
        if kind not in found:
            raise ValueError(f"{path.name}: unknown kind {kind!r}; known: {', '.join(KINDS)}")
        if any(entry["name"] == other["name"] for other in found[kind]):
            raise ValueError(f"{path.name}: {kind} {entry['name']} is already in the manifest")
        found[kind].append(entry)
    if (internal / "manifest.json").exists():
        before = json.loads((internal / "manifest.json").read_text(encoding="utf-8"))
        for kind, rows in found.items():
            replaced = {row["name"] for row in rows}
            rows += [row for row in before[f"{kind}s"] if row["name"] not in replaced]
    if not found["interpreter"]:
        raise ValueError(f"{internal}/manifest.d has no interpreter: every one is switched off")
    return {kind: sorted(rows, key=lambda row: str(row["name"])) for kind, rows in found.items()}


def first_line(program: str) -> str:
    """The first line of `program --version`; empty if there is no such program."""
    return installed.output(program, "--version").splitlines()[0] if shutil.which(program) else ""


def file_list(root: Path) -> Iterator[str]:
    """The lines of files.sha256, in order of paths, without itself. Raises ValueError for a name it cannot hold."""
    for path in sorted(path for top in OURS for path in _files(root / top) if path != root / FILE_LIST):
        if "\n" in str(path) or "\\" in str(path):
            raise ValueError(f"{str(path)!r} has a line feed or a backslash: sha256sum would escape the name")
        yield line_of(root, path)


def line_of(root: Path, path: Path) -> str:
    """The line of files.sha256 for a file or a symbolic link."""
    if path.is_symlink():
        told = f"link:{path.readlink()}"
    else:
        with path.open("rb") as stream:
            told = hashlib.file_digest(stream, "sha256").hexdigest()
    return f"{told}  /{path.relative_to(root)}\n"


def _files(top: Path) -> Iterator[Path]:
    for directory, names, files in os.walk(top):
        yield from (Path(directory, name) for name in files)
        yield from (path for name in names if (path := Path(directory, name)).is_symlink())


def end_build(root: Path) -> None:
    """Writes manifest.json, sbom.spdx.json and files.sha256 into /opt/_internal."""
    content = manifest(root, os.environ)
    for name, value in (MANIFEST, content), (SBOM, spdx.document(content)):
        (root / name).write_text(json.dumps(value, indent=1) + "\n", encoding="utf-8")
    (root / FILE_LIST).write_text("".join(file_list(root)), encoding="utf-8")
