"""docker/build_scripts/cpython.sh: what a CPython compiled by clang publishes for extensions that gcc will compile."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

import pins

SCRIPTS = pins.DOCKERFILE.parent / "build_scripts"
MAKEFILE = """\
CONFIGURE_CFLAGS=
CONFIGURE_CFLAGS_NODIST=-O2 -std=c11
OPT=\t\t-DNDEBUG -g -O3 -Wall
BASECFLAGS=\t -fno-strict-overflow -fno-omit-frame-pointer -mno-omit-leaf-frame-pointer -mno-thumb -Wsign-compare
CFLAGS= $(BASECFLAGS) $(OPT) $(CONFIGURE_CFLAGS) -mno-thumb
"""


def program(path: Path, script: str) -> None:
    path.parent.mkdir(exist_ok=True)
    path.write_text(f"#!/bin/sh\n{script}\n", encoding="utf-8")
    path.chmod(0o755)


def published(tmp_path: Path, first: str) -> list[str]:
    """The Makefile's lines afterwards; `first`: what the first gcc on PATH calls itself."""
    refused = 'case "$*" in *-mno-*) exit 1;; esac'
    program(tmp_path / "clang" / "gcc", f"echo '{first}'")
    program(tmp_path / "bin" / "gcc", f"{refused}; echo 'gcc (GCC) 12'")
    text = (SCRIPTS / "cpython.sh").read_text(encoding="utf-8").replace("/opt/clang/bin", str(tmp_path / "clang"))
    (tmp_path / "cpython.sh").write_text(text, encoding="utf-8")
    (tmp_path / "Makefile").write_text(MAKEFILE, encoding="utf-8")
    subprocess.run(
        ["bash", "-c", "set -Eeuo pipefail; source cpython.sh; keep_flags_of_clang"],
        cwd=tmp_path,
        env={"PATH": f"{tmp_path / 'clang'}:{tmp_path / 'bin'}:{os.environ['PATH']}"},
        check=True,
    )
    return (tmp_path / "Makefile").read_text(encoding="utf-8").splitlines()


def test_flags_that_gcc_refuses_stay_with_this_build(tmp_path: Path) -> None:
    lines = published(tmp_path, "clang version 22")
    assert lines[1] == "CONFIGURE_CFLAGS_NODIST=-O2 -std=c11 -mno-omit-leaf-frame-pointer -mno-thumb"
    assert lines[3].split() == ["BASECFLAGS=", "-fno-strict-overflow", "-fno-omit-frame-pointer", "-Wsign-compare"]
    assert [lines[0], lines[2], lines[4]] == [MAKEFILE.splitlines()[number] for number in (0, 2, 4)]


@pytest.mark.parametrize("compiler", ["gcc (GCC) 12", "gcc (Debian 12.2.0-14) 12.2.0"])
def test_what_gcc_has_configured_is_left_alone(tmp_path: Path, compiler: str) -> None:
    assert published(tmp_path, compiler) == MAKEFILE.splitlines()
