"""Makes an image with Debian's clang in /opt/clang, and prints its name for MANYLINUX_STATIC_CLANG_IMAGE.

Builds cross-compile with this clang where the registry of the static clang cannot be reached. /opt/clang has the
loader and the C library of its programs, too: mounted into a root of any distribution and architecture, they run there
on this machine's processor. Needs Debian, mmdebstrap and the engine of the build (MANYLINUX_BUILD_FRONTEND).
"""

from __future__ import annotations

import argparse
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Sequence
from pathlib import Path

from catalogue import images
from debian import base
from engine import choose
from engine.engine import Engine, reason
from host import machine
from host.mirror import Mirror, debian_suite
from host.site import Site
from portable import errors

VERSION = 19  # the newest of Debian 12; configuration files are read without being asked for from 16 on
PACKAGES = (f"clang-{VERSION}", f"lld-{VERSION}", f"llvm-{VERSION}", "patchelf")
LLVM = Path(f"usr/lib/llvm-{VERSION}")
HOME = Path("/opt/clang")
# Programs and the other names under which they are called; an LLVM program does what its name says.
PROGRAMS = {
    "clang": ("clang++", "clang-cpp"),
    "lld": ("ld.lld",),
    "llvm-ar": ("ar", "ranlib"),
    "llvm-nm": ("nm",),
    "llvm-objcopy": ("objcopy", "strip"),
    "llvm-readobj": ("readelf",),
}


class Tools:
    """The programs of an unpacked root, run on this machine with the root's own loader and libraries."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.loader = next(path for path in sorted(root.rglob("ld-linux-*.so.*")) if path.is_file()).resolve()
        places = [path.parent for path in root.rglob("*.so.*") if path.is_file()]
        self.path = ":".join(map(str, dict.fromkeys(places)))

    def run(self, *argv: str) -> str:
        """The output of a program. Raises Failure when it fails."""
        done = subprocess.run(
            [str(self.loader), "--library-path", self.path, *argv], capture_output=True, text=True, errors="replace"
        )
        if done.returncode:
            raise errors.Failure(f"{' '.join(argv)}: {reason(done.stderr)}")
        return done.stdout

    def libraries(self, program: Path) -> list[Path]:
        """The shared libraries of a program, without the loader."""
        listed = re.findall(r"=> (\S+)", self.run("--list", str(program)))
        return [Path(path) for path in listed if not Path(path).name.startswith("ld-linux")]


def unpack_command(mirror: Mirror, suite: str, architecture: str, root: Path) -> list[str]:
    """Unpacks the packages and their dependencies without configuring them; reads sources from standard input."""
    return [
        "mmdebstrap",
        "--variant=extract",
        "--format=directory",
        f"--architectures={architecture}",
        f"--include={','.join(PACKAGES)}",
        *(f"--aptopt={option}" for option in base.apt_options(mirror, root.parent)),
        suite,
        str(root),
        "-",
    ]


def collect(root: Path, target: Path) -> None:
    """Copies clang from an unpacked root to `target`, for libraries and a loader that will be below HOME."""
    tools = Tools(root)
    (target / "bin").mkdir(parents=True)
    (target / "lib").mkdir()
    for program, names in PROGRAMS.items():
        source = (root / LLVM / "bin" / program).resolve()
        shutil.copy(source, target / "bin" / program)
        for name in names:
            (target / "bin" / name).symlink_to(program)
        for library in tools.libraries(source):
            shutil.copy(library, target / "lib" / library.name)
    loader = HOME / "lib" / tools.loader.name
    shutil.copy(tools.loader, target / "lib")
    # The compiler's own headers: in Debian their directory is a link out of this tree.
    headers = next(path for path in root.rglob(f"clang/{VERSION}*/include") if (path / "stddef.h").is_file())
    shutil.copytree(headers, target / "lib" / "clang" / str(VERSION) / "include")
    patchelf = str(root / "usr" / "bin" / "patchelf")
    for program in PROGRAMS:
        tools.run(patchelf, "--set-interpreter", str(loader), str(target / "bin" / program))
    for path in (*(target / "bin" / name for name in PROGRAMS), *target.glob("lib/*.so*")):
        if path.name != loader.name:  # the loader has no libraries
            tools.run(patchelf, "--force-rpath", "--set-rpath", str(HOME / "lib"), str(path))


def make(engine: Engine, mirror: Mirror, reference: str, suite: str) -> None:
    """Makes the image. Raises Failure when mmdebstrap or the engine fails."""
    architecture = machine.debian_architecture()
    mirror, notes = mirror.usable(suite, architecture)
    for note in notes:
        print(note, file=sys.stderr)
    with tempfile.TemporaryDirectory(prefix="manylinux-clang-") as directory:
        root, target = Path(directory, "root"), Path(directory, "clang")
        mirror.write_files(Path(directory))
        sources = "\n".join((*mirror.lines(suite, architecture, Path(directory)), ""))
        if base.run_mmdebstrap(unpack_command(mirror, suite, architecture, root), sources, 0):
            raise errors.Failure("mmdebstrap failed, see above")
        collect(root, target)
        archive = Path(directory, "clang.tar")
        with tarfile.open(archive, "w") as tar:
            tar.add(target, str(HOME).lstrip("/"))
        platform = f"linux/{machine.go_architecture()}"
        engine.call(engine.import_(archive, reference, platform, {}))


def main(arguments: Sequence[str] | None = None) -> None:
    """Makes the image, unless it exists, and prints its name."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--force", action="store_true", help="make the image again although it exists")
    options = parser.parse_args(arguments)
    site = Site.of_this_machine()
    missing = () if shutil.which("mmdebstrap") else ("mmdebstrap",)
    base.check_machine(site.mirror, missing, root=False)
    assert site.mirror is not None
    engine = choose.engine(site.reach())
    catalogue = images.load()
    suite = debian_suite(catalogue.find(catalogue.bootstrap_policy, "x86_64").policy.distribution)
    reference = f"localhost/manylinux-clang:{VERSION}-{machine.go_architecture()}"
    if options.force or engine.ask(engine.inspect(reference, "{{.Id}}")) is None:
        make(engine, site.mirror, reference, suite)
    print(reference)
