"""Renews the doctor's tables: docker/doctor/policies.json from the policies of the auditwheel that the images carry,
docker/doctor/symbols.json from the .symbols files of Debian's newest libraries.

The auditwheel is the one that requirements/tools/auditwheel.txt pins, by its hash, from the index of pip; Debian's
packages come through apt of this machine, in a directory of its own, and apt checks their signatures.
"""

from __future__ import annotations

import functools
import json
import re
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from catalogue.paths import ROOT
from doctor.policies import Policies, numbers
from host import apt
from portable import environment, errors
from update import pipeline
from update.pipeline import Bump, Outcome, Subject
from update.report import Row, State

POLICIES, SYMBOLS = "docker/doctor/policies.json", "docker/doctor/symbols.json"
LOCK = "requirements/tools/auditwheel.txt"
SUITE = "sid"  # its libraries have what every release has, and more
PACKAGES = ("libstdc++6", "libc6", "libgcc-s1", "zlib1g", "libatomic1")
ARCHITECTURES = ("amd64", "i386")  # one of 64 and one of 32 bits: names of C++ differ by that
_SYMBOL = re.compile(r" (?P<name>[^@\s]+)@(?P<version>[A-Z]+_[\d.]+) ")


def policy_table(version: str, read: Callable[[str], Any]) -> dict[str, Any]:
    """policies.json: since which policy each version and library is allowed, from auditwheel's `<libc>-policy.json`.

    Raises Failure where a later policy does not allow what an earlier one does: then "since" would be wrong."""
    policies: list[dict[str, Any]] = []
    versions: dict[str, dict[str, dict[str, dict[str, str]]]] = {}
    libraries: dict[str, dict[str, str]] = {}
    for libc in ("manylinux", "musllinux"):
        rows = sorted((row for row in read(libc) if row["priority"]), key=lambda row: -row["priority"])
        known = versions.setdefault(libc, {})
        first = libraries.setdefault(libc, {})
        for row in rows:
            allowed = row["symbol_versions"]
            policies.append(
                {
                    "name": row["name"],
                    "libc": libc,
                    "platforms": sorted(allowed),
                    "forbidden": {library: sorted(names) for library, names in sorted(row["blacklist"].items())},
                }
            )
            if lost := set(first) - set(row["lib_whitelist"]):
                raise errors.Failure(f"auditwheel's {row['name']} no longer allows {', '.join(sorted(lost))}")
            for library in row["lib_whitelist"]:
                first.setdefault(library, row["name"])
            for platform, families in allowed.items():
                seen = known.setdefault(platform, {})
                for family, names in families.items():
                    if lost := set(seen.get(family, {})) - set(names):
                        raise errors.Failure(f"auditwheel's {row['name']} has no {family}_{min(lost)} on {platform}")
                    for name in names:
                        seen.setdefault(family, {}).setdefault(name, row["name"])
    return {"auditwheel": version, "policies": policies, "versions": versions, "libraries": libraries}


def symbol_table(source: str, files: Sequence[str]) -> dict[str, Any]:
    """symbols.json: library -> version -> symbols, each under the lowest version of all that has it.

    What the oldest policy allows is left out: it never matters."""
    lowest: dict[str, tuple[tuple[int, ...], str, str]] = {}
    for text in files:
        library = ""
        for line in text.splitlines():
            if line[:1] not in ("|", "*", " "):
                library = line.split()[0]
            elif (match := _SYMBOL.match(line)) and match["name"] != match["version"]:
                found = numbers(match["version"].partition("_")[2]), match["version"], library
                lowest[match["name"]] = min(found, lowest.get(match["name"], found))
    known = Policies.of("manylinux", "x86_64")
    libraries: dict[str, dict[str, list[str]]] = {}
    for name, (_, version, library) in sorted(lowest.items()):
        if known and known.since(version) not in (known.names[0], None):
            libraries.setdefault(library, {}).setdefault(version, []).append(name)
    return {"source": source, "libraries": libraries}


def fetch_policies(lock: str, directory: Path) -> dict[str, Any]:
    """The table of the auditwheel that a lock pins. Raises Failure where pip cannot get it."""
    pinned = re.search(r"^auditwheel==(\S+)(?: \\\n +--hash=\S+)+", lock, re.MULTILINE)
    if not pinned:
        raise errors.Failure(f"{LOCK} does not pin auditwheel: `nox -s update_python_dependencies`")
    requirement = directory / "auditwheel.txt"
    requirement.write_text(pinned[0] + "\n", encoding="utf-8")
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--require-hashes", "--only-binary"]
    run([*command, ":all:", "--dest", str(directory), "--requirement", str(requirement)])
    (wheel,) = directory.glob("auditwheel-*.whl")
    with zipfile.ZipFile(wheel) as archive:
        return policy_table(pinned[1], lambda libc: json.loads(archive.read(f"auditwheel/policy/{libc}-policy.json")))


def fetch_symbols(directory: Path) -> dict[str, Any]:
    """The table of Debian's newest libraries. Raises Failure where apt or dpkg-deb is missing, or apt fails."""
    if missing := [program for program in ("apt-get", "dpkg-deb") if not shutil.which(program)]:
        raise errors.Failure(f"{' and '.join(missing)} is needed to read Debian's packages")
    settings = apt.read()
    sources = [source for source in settings.sources if "security" not in source.root]
    if not sources:
        raise errors.Failure("apt has no source of Debian: set MANYLINUX_DEBIAN_MIRROR to one")
    keyring = "/usr/share/keyrings/debian-archive-keyring.gpg"
    (directory / "sources.list").write_text(f"deb [signed-by={keyring}] {sources[0].root} {SUITE} main\n")
    (directory / "status").touch()
    own = {
        "Dir::Etc::SourceList": f"{directory}/sources.list",
        "Dir::Etc::SourceParts": "-",
        "Dir::State::status": f"{directory}/status",
        "APT::Architectures": ",".join(ARCHITECTURES),
    }
    options = apt.private_options(directory / "apt", own)
    run(["apt-get", "-qq", "update", *options])
    wanted = [f"{name}:{architecture}" for architecture in ARCHITECTURES for name in PACKAGES]
    run(["apt-get", "-qq", "download", *wanted, *options], cwd=directory)
    packages = sorted(directory.glob("*.deb"))
    texts = []
    for package in packages:
        run(["dpkg-deb", "--control", str(package), str(directory / "control")])
        texts.append((directory / "control" / "symbols").read_text(encoding="utf-8"))
        shutil.rmtree(directory / "control")
    names = sorted({" ".join(package.name.split("_")[:2]).replace("%3a", ":") for package in packages})
    return symbol_table(f"Debian {SUITE}: {', '.join(names)}", texts)


def run(command: Sequence[str], cwd: Path | None = None) -> None:
    """Runs a command. Raises Failure with its own words."""
    done = subprocess.run(
        command, cwd=cwd, capture_output=True, text=True, env={**environment.for_pip(), "LC_ALL": "C"}
    )
    if done.returncode:
        words = " ".join(done.stderr.split()) or f"it ended with status {done.returncode}"
        raise errors.Failure(f"{' '.join(command[:3])}: {words}")


def look(path: str, root: Path, make: Callable[[Path], dict[str, Any]], version: str) -> Outcome:
    """The outcome for one table. `version`: the key of it that says what it was made from."""
    old = (root / path).read_text(encoding="utf-8")
    with tempfile.TemporaryDirectory() as directory:
        table = make(Path(directory))
    new = json.dumps(table, indent=1, sort_keys=True) + "\n"
    before, after = json.loads(old)[version], table[version]
    name = Path(path).stem
    is_same = json.loads(old) == {**table, version: before}  # Debian's versions move, and mostly nothing else
    if is_same and (before == after or path == SYMBOLS):
        return Outcome([Row(name, before, State.CURRENT)])
    bump = Bump(f"Renew {path}", f"{version}: {after}", lambda read: {path: new})
    return Outcome([Row(name, before, State.UPDATE, "", after, after)], bump)


def main(arguments: Sequence[str] | None = None, root: Path = ROOT) -> int:
    """Renews what the doctor knows of auditwheel's policies and of Debian's symbols; a commit for each."""
    options = pipeline.parse(str(main.__doc__), arguments)
    lock = (root / LOCK).read_text(encoding="utf-8")
    subjects = [
        Subject(
            {"policies": json.loads((root / POLICIES).read_text(encoding="utf-8"))["auditwheel"]},
            functools.partial(look, POLICIES, root, functools.partial(fetch_policies, lock), "auditwheel"),
        ),
        Subject(
            {"symbols": json.loads((root / SYMBOLS).read_text(encoding="utf-8"))["source"]},
            functools.partial(look, SYMBOLS, root, fetch_symbols, "source"),
        ),
    ]
    return pipeline.run("The doctor's tables", subjects, options, root)
