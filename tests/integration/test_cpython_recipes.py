"""The recipe of CPython against sources of the Debian archive: of each minor that upstream alone has, the nearest one.

The pinned sources of 3.8, 3.10, 3.12, 3.14 and 3.15 are upstream's alone. What the recipe edits and the options that it
gives to configure are tried with 3.9, 3.11 and 3.13.
"""

from __future__ import annotations

import os
import py_compile
import subprocess
import tarfile
from pathlib import Path

import pytest

from catalogue import paths, pins
from debian.archive import Archive
from debian.suites import Untrusted
from portable import errors, fetch
from portable.progress import Progress
from sources.from_debian import download_newest, read_tracking

pytestmark = [
    pytest.mark.network,
    pytest.mark.program("gpgv"),
]
MINORS = ("3.9", "3.11", "3.13")
LIBRARIES = paths.DOCKER / "build_scripts" / "lib"
WANTED = ("setup.py", "configure", "Makefile.pre.in", "Include/object.h")


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Minor -> a directory with those files of its source that the recipe touches before anything is compiled."""
    try:
        archive = Archive.of_this_machine()
        archive.open_suite("trixie")
    except (errors.UserError, Untrusted) as error:
        pytest.skip(f"no Debian mirror: {error}")
    top = tmp_path_factory.mktemp("sources")
    table = pins.read()
    lock = download_newest(
        {name: table[name] for name in (f"cpython-{minor}" for minor in MINORS)},
        read_tracking(),
        top,
        archive=archive,
        fetcher=fetch.Fetcher(),
        progress=Progress(quiet=True),
        jobs=3,
    )
    found = {}
    for minor in MINORS:
        found[minor] = top / minor
        (found[minor] / "Include").mkdir(parents=True)
        with tarfile.open(top / lock["pins"][f"cpython-{minor}"]["file"]) as packed:
            for member in packed:
                place = member.name.split("/", 1)[-1]
                if place in WANTED and (data := packed.extractfile(member)):
                    (found[minor] / place).write_bytes(data.read())
        (found[minor] / "configure").chmod(0o755)
    return found


def recipe(directory: Path, minor: str, steps: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Runs steps of the recipe in the source directory."""
    sourced = f"HERE={LIBRARIES.parent}; source {LIBRARIES}/lib.sh; source {LIBRARIES}/cpython.sh"
    script = f"set -Eeuo pipefail; {sourced}; {steps}"
    known = {"PATH": os.environ["PATH"], "MINOR": minor, "VERSION": minor, "ABI": minor, "BUILD_TRIPLE": ""}
    known |= {"TAG": f"cp{minor}-cp{minor}", "PREFIX": "/opt/cpython", "OPTIMISED": "1"}
    argv = ["bash", "-c", script]
    return subprocess.run(argv, cwd=directory, env=known | environment, text=True, capture_output=True, check=False)


@pytest.mark.parametrize("minor", MINORS)
def test_what_the_recipe_edits_is_there(sources: dict[str, Path], minor: str) -> None:
    """An edit that finds nothing ends with an error."""
    done = recipe(sources[minor], minor, "ask_gcc_for_multiarch; use_own_sqlite")
    assert (done.returncode, done.stderr) == (0, "")
    if minor != "3.13":
        py_compile.compile(str(sources[minor] / "setup.py"), doraise=True)
        said = (sources[minor] / "setup.py").read_text(encoding="utf-8")
        assert (": %s; /" in said, "/opt/_internal/sqlite3/lib" in said) == (True, minor == "3.9")


@pytest.mark.parametrize("minor", MINORS)
def test_make_install_compiles_no_bytecode(sources: dict[str, Path], minor: str) -> None:
    makefile = sources[minor] / "Makefile"
    makefile.write_bytes((sources[minor] / "Makefile.pre.in").read_bytes())
    done = recipe(sources[minor], minor, "skip_byte_compilation")
    assert (done.returncode, done.stderr) == (0, "")
    assert "DESTDIR)$(LIBDEST)/compileall" not in makefile.read_text(encoding="utf-8")
    aliasing = r"edit Makefile 's/\$\(CFLAGS_ALIASING\)/-x/' 's/^CFLAGS_ALIASING=.*/CFLAGS_ALIASING=/'"
    assert recipe(sources[minor], minor, aliasing).returncode == 0


@pytest.mark.parametrize(
    ("minor", "tag"),
    [*((minor, f"cp{minor}-cp{minor}") for minor in MINORS), ("3.13", "cp313-cp313t"), ("3.13", "shared-cpython-3.13")],
)
def test_configure_knows_every_option(sources: dict[str, Path], tmp_path: Path, minor: str, tag: str) -> None:
    """--version ends configure as soon as it has read its options."""
    configure = tmp_path / "configure"
    configure.write_text(f'#!/bin/sh\nexec {sources[minor]}/configure "$@" --version\n', encoding="utf-8")
    configure.chmod(0o755)
    done = recipe(tmp_path, minor, "configure", TAG=tag, BUILD_TRIPLE="x86_64-unknown-linux-gnu")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("python configure 3.")
    newer = recipe(tmp_path, minor, "at_least() { true; }; configure", TAG=tag)
    assert "unrecognized options: " in newer.stderr and newer.returncode != 0
