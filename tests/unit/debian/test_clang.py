"""A clang from Debian's packages: how its parts are found and run away from home; tests/integration has it compile."""

from __future__ import annotations

import platform
from pathlib import Path

import pytest

from debian import clang
from engine import probe
from host.mirror import Mirror
from portable import errors

MIRROR = Mirror("http://me:secret@example.org/debian", "", "", ("check-valid-until=no",))


@pytest.fixture
def tools(tmp_path: Path) -> clang.Tools:
    """A root with one program."""
    if platform.libc_ver()[0] != "glibc":
        pytest.skip("the loader of Debian is glibc's")
    probe.copy_with_libraries("ls", tmp_path)
    return clang.Tools(tmp_path)


def test_programs_run_with_the_loader_and_the_libraries_of_their_root(tools: clang.Tools) -> None:
    program = tools.root / "bin" / "ls"
    assert "ls" in tools.run(str(program), str(program.parent)).split()
    libraries = tools.libraries(program)
    assert {path.name for path in libraries} >= {"libc.so.6"}
    assert all(path.is_relative_to(tools.root) for path in libraries)
    assert tools.loader.name not in {path.name for path in libraries}
    with pytest.raises(errors.Failure, match="nothing-there"):
        tools.run(str(program), str(tools.root / "nothing-there"))


def test_mmdebstrap_gets_no_password_as_an_argument() -> None:
    argv = clang.unpack_command(MIRROR, "bookworm", "amd64", Path("/root"))
    assert argv[-3:] == ["bookworm", "/root", "-"]
    assert '--aptopt=Acquire::Check-Valid-Until "false"' in argv
    assert "secret" not in " ".join(argv)


def test_every_name_of_a_program_is_one_that_clang_or_a_build_looks_for() -> None:
    names = {name for names in clang.PROGRAMS.values() for name in names}
    assert names >= {"ld.lld", "clang++", "clang-cpp", "ar", "ranlib", "strip"}
    assert not names & {"gcc", "cc", "g++", "ld"}, "install-cross-compiler.sh gives those names, in one image"
