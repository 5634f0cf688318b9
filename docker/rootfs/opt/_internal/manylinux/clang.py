"""manylinux-install-clang: a statically linked clang in /opt/clang that compiles for this image."""

from __future__ import annotations

import getopt
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
from fnmatch import fnmatchcase
from pathlib import Path

from movable import make_movable
from portable import errors
from toolbox import ENVIRONMENT_HELP, ROOT, clean_up_when_terminated, image, obtain, table, unpack

OPT = ROOT / "opt"
SUMS = "sha256sums.txt"

# The names of machines, those of GitHub's RUNNER_ARCH among them, and what Go calls the same.
MACHINES = {
    "arm64": ("ARM64", "aarch64", "arm64", "arm64/*"),
    "arm": ("ARM", "armv7l", "armv8l", "arm", "arm/v7"),
    "amd64": ("X64", "x86_64", "amd64", "amd64/*"),
    "386": ("X86", "i686", "386"),
    "loong64": ("loongarch64",),
    "ppc64le": ("ppc64le",),
    "riscv64": ("riscv64",),
    "s390x": ("s390x",),
}

USAGE = """\
usage: manylinux-install-clang [-v VERSION] [-c SHA256] [-m MACHINE] [-l] [-h]

Installs a static clang into /opt/clang, which stands first on PATH. It compiles for this image and uses
its GCC's libraries.

  -v VERSION  stable (the default), latest or a release, with or without the leading v
  -c SHA256   sha256 of that release's sha256sums.txt; needed for a release that -l does not list
  -m MACHINE  machine that runs clang, for instance x86_64 in an emulated aarch64 container
              (default: $RUNNER_ARCH, else `uname -m`)
  -l          list the known releases, newest first
  -h          show this help
"""


def go_machine(machine: str) -> str:
    """Go's name of a machine. Raises Failure if there is no clang for it."""
    for name, spellings in MACHINES.items():
        if any(fnmatchcase(machine, spelling) for spelling in spellings):
            return name
    raise errors.Failure(f"No static-clang toolchain for {machine}")


def choose(version: str, given: str) -> tuple[str, str]:
    """The release and the sha256 of its sha256sums.txt. Raises Failure when it is not known or `given` contradicts."""
    known = table().static_clang
    newest = list(known)
    if version == "stable":
        version = next(v for v in newest if v.startswith(f"v{table().clang.stable_major}."))
    elif version == "latest":
        version = newest[0]
    version = f"v{version.removeprefix('v')}"
    expected = known.get(version, given)
    if not expected:
        raise errors.Failure(f"No known sha256 for static-clang toolchain {version}")
    if given and given != expected:
        raise errors.Failure(f"wrong sha256 for static-clang toolchain {version}: given {given}, known {expected}")
    if not re.fullmatch(r"[0-9a-f]{64}", expected):
        raise errors.Failure(f"{expected!r} is no sha256: 64 hexadecimal digits are")
    if not re.fullmatch(r"v[0-9]+(\.[0-9]+)*", version):
        raise errors.Failure(f"{version!r} is no release of static-clang: numbers with dots between them are")
    return version, expected


def install(version: str, sums_sha256: str, machine: str) -> None:
    """Replaces /opt/clang by this release. The old one stays until the new one is verified, unpacked and configured."""
    settings = table().clang
    archive_name = settings.archive.format(machine=machine)
    target = OPT / "clang"
    with tempfile.TemporaryDirectory(dir=OPT, prefix=".clang-") as scratch:
        directory = Path(scratch)
        sums = obtain(settings.url.format(version=version, file=SUMS), sums_sha256, directory)
        archive_sha256 = listed(sums.read_text(encoding="utf-8", errors="replace"), archive_name)
        archive = obtain(settings.url.format(version=version, file=archive_name), archive_sha256, directory)
        new = unpack(archive, directory / "unpacked")
        configure(new)
        if target.exists():
            make_movable(target)
        replace(target, new, directory / "old")
    print(f"static-clang toolchain {version} installed at '{target}'")


def replace(target: Path, new: Path, old: Path) -> None:
    """Moves what is there, if anything, to `old` and `new` in its place; if that fails, everything back."""
    had = target.exists()
    if had:
        target.rename(old)
    try:
        new.rename(target)
    except BaseException:
        if had:
            old.rename(target)
        raise


def listed(sums: str, name: str) -> str:
    """The sha256 of a file in what sha256sum wrote. Raises Failure when it is not there."""
    for line in sums.splitlines():
        sha256, _, file = line.partition(" ")
        if file.lstrip(" *") == name:
            return sha256
    raise errors.Failure(f"{SUMS} of this release does not list {name}")


def configure(clang: Path) -> None:
    """Writes the configuration files that make clang compile for this image with its GCC's libraries."""
    facts = image()
    lines = [f"-target {facts['triple']}"]
    if facts["march"]:
        lines.append(f"-march={facts['march']}")
    lines.append(f"--gcc-toolchain={facts['toolset_root']}/usr")
    if gcc := shutil.which("gcc"):
        asked = subprocess.run([gcc, "-dumpmachine"], check=False, text=True, errors="replace", stdout=subprocess.PIPE)
        if asked.returncode or not asked.stdout.strip():
            raise errors.Failure(f"{gcc} -dumpmachine does not say what it compiles for (status {asked.returncode})")
        lines.append(f"--gcc-triple={asked.stdout.strip()}")
    name = f"{facts['policy']}_{facts['platform']}.cfg"
    (clang / "bin" / name).write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    for program in ("clang", "clang++", "clang-cpp"):
        (clang / "bin" / f"{program}.cfg").write_text(f"@{name}\n", encoding="utf-8")


def main() -> int:
    """Runs the command: 0, or 1 after wrong use too."""
    try:
        options, rest = getopt.getopt(sys.argv[1:], "v:c:m:lh", ["help"])
        if rest:
            raise getopt.GetoptError(f"{rest[0]!r} is not understood")
    except getopt.GetoptError as error:
        print(f"error: {error}\n{USAGE}", end="", file=sys.stderr)
        return 1
    values = dict(options)
    if "-h" in values or "--help" in values:
        print(USAGE + ENVIRONMENT_HELP, end="")
        return 0
    if "-l" in values:
        print("\n".join(table().static_clang))
        return 0
    clean_up_when_terminated()
    try:
        machine = go_machine(values.get("-m") or os.environ.get("RUNNER_ARCH") or platform.machine())
        version, sha256 = choose(values.get("-v") or "stable", values.get("-c", "").lower())
        install(version, sha256, machine)
    except OSError as error:
        hint = ": only root can install" if isinstance(error, PermissionError) and os.geteuid() else ""
        raise errors.Failure(f"{error}{hint}") from None
    return 0
