"""What an image and its interpreters can do: the facts that users notice when they change."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from describe.installed import output
from doctor import elf

INSIDE = Path(__file__).with_name("inside.py")
# Not an image's: what engines mount, and what a build has there until its end.
OUTSIDE = {"proc", "sys", "dev", "run", "manylinux", ".dockerenv"}
TARGET = ("march", "mcpu", "mtune", "mabi", "mfpu", "mfloat-abi")
_MUSL = ("lib", "usr/lib", "usr/local/lib")


def of_image(root: Path) -> dict[str, Any]:
    """The facts that all interpreters of an image share; lists are sorted."""
    libraries = _libraries(root)
    versions = _versions(libraries.get("libstdc++.so.6"))
    return {
        "target": _target(),
        "libc": _libc(root),
        "glibcxx": newest("GLIBCXX", versions),
        "cxxabi": newest("CXXABI", versions),
        "sonames": sorted(libraries),
        "pkg_config": sorted({line.split()[0] for line in _said("pkg-config", "--list-all").splitlines()}),
        "commands": sorted(_commands(os.environ["PATH"].split(":"))),
        "root": sorted({path.name for path in root.iterdir()} - OUTSIDE),
    }


def of_interpreters(pythons: Mapping[str, Path]) -> dict[str, Any]:
    """What each interpreter says of itself, by tag. Raises CalledProcessError for one that does not run.

    They run side by side: under emulation each takes some seconds."""
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        said = pool.map(_inside, pythons.values())
        return dict(zip(pythons, map(json.loads, said), strict=True))


def _inside(python: Path) -> str:
    # Neither the build's environment nor the terminal may show in the facts.
    environment = {"PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8", "TERM": "dumb"}
    environment |= {name: value for name in ("LD_LIBRARY_PATH",) if (value := os.environ.get(name))}
    command = [str(python), "-IB", "-W", "ignore", str(INSIDE)]
    return subprocess.run(command, env=environment, check=True, text=True, stdout=subprocess.PIPE).stdout


def newest(name: str, versions: Iterable[str]) -> str:
    """The highest of the versions of a name, 3.4.30 of GLIBCXX_3.4 and GLIBCXX_3.4.30; empty without any."""
    found = [match[1] for version in versions if (match := re.fullmatch(rf"{name}_([\d.]+)", version))]
    return max(found, key=lambda version: [int(part) for part in version.split(".")], default="")


def _versions(library: Path | None) -> tuple[str, ...]:
    return elf.parse(library.read_bytes()).defined_versions if library else ()


def _target() -> dict[str, str]:
    """What gcc compiles for unless it is told otherwise, {"march": "x86-64"}; empty values are left out."""
    said = _said("gcc", "-Q", "--help=target")
    values = {name: re.search(rf"(?m)^ +-{name}=\s+(\S+)$", said) for name in TARGET}
    return {name: match[1] for name, match in values.items() if match}


def _libc(root: Path) -> str:
    """`glibc 2.36` or `musl 1.2.5`."""
    for loader in sorted(root.glob("lib/ld-musl-*.so.1")):
        said = subprocess.run([loader], text=True, capture_output=True, check=False).stderr
        return "musl " + "".join(re.findall(r"(?m)^Version (\S+)$", said)[:1])
    return _said("getconf", "GNU_LIBC_VERSION").strip()


def _libraries(root: Path) -> dict[str, Path]:
    """Where the loader and the linker find each library by default, by file name."""
    if not any(root.glob("lib/ld-musl-*.so.1")):
        found = re.findall(r"(?m)^\t(\S+) \(.*\) => (\S+)$", _said("ldconfig", "-p"))
        return {name: Path(path) for name, path in reversed(found)}
    places = [root / directory for directory in reversed(_MUSL)]
    return {path.name: path for place in places for path in place.glob("lib*.so*")}


def _commands(directories: Iterable[str]) -> set[str]:
    found = set()
    for directory in filter(os.path.isdir, directories):
        with os.scandir(directory) as entries:
            found |= {entry.name for entry in entries if entry.is_file() and os.access(entry.path, os.X_OK)}
    return found


def _said(*command: str) -> str:
    """What a command prints; nothing where there is no such command."""
    return output(*command) if shutil.which(command[0]) else ""
