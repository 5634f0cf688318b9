"""What the scripts repair in the compilers of RHEL and its toolsets, played by this machine's gcc: a default beyond
baseline x86-64, and a libstdc++.so that is a linker script."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

from catalogue import pins

DOCKER = pins.DOCKERFILE.parent
NAMES = ("gcc", "cc", "cpp", "g++", "c++", "gfortran", "x86_64-redhat-linux-gcc", "gcc-14", "gcc-ar")
SHOW = ("-dM", "-E", "-x", "c", "/dev/null")  # prints the macros of the chosen processor, __AVX2__ among them

needs_gcc = pytest.mark.program("gcc")
needs_x86_64 = pytest.mark.skipif(platform.machine() != "x86_64", reason="x86-64-v3 is a processor of x86_64 only")


@dataclass(frozen=True)
class Machine:
    """A compiler with all its names in `real`, whose default is `march`, and an empty `local` that is before it."""

    scripts: Path
    real: Path
    local: Path

    def environment(self) -> dict[str, str]:
        return {"PATH": f"{self.local}:{self.real}:{os.environ['PATH']}", "PLATFORM": "x86_64"}

    def install(self, **environment: str) -> subprocess.CompletedProcess[str]:
        """Runs install-gcc-wrapper.sh."""
        script = self.scripts / "install-gcc-wrapper.sh"
        return subprocess.run(
            ["bash", script], env=self.environment() | environment, capture_output=True, text=True, check=False
        )

    def run(self, name: str, *arguments: str) -> str:
        return subprocess.run(
            [name, *arguments], env=self.environment(), capture_output=True, text=True, check=True
        ).stdout


def machine(directory: Path, march: str) -> Machine:
    """The gcc of this machine as one that is configured with another processor as its default."""
    local, real = directory / "local", directory / "real"
    for path in (local, real):
        path.mkdir()
    scripts = Path(shutil.copytree(DOCKER / "build_scripts", directory / "build_scripts"))
    shutil.copytree(DOCKER / "src", directory / "src")
    script = scripts / "install-gcc-wrapper.sh"
    text = script.read_text(encoding="utf-8")
    assert "/usr/local/bin" in text
    script.write_text(text.replace("/usr/local/bin", str(local)), encoding="utf-8")
    for name in NAMES:  # of several -march the last one counts, so this is a default
        (real / name).write_text(f'#!/bin/sh\nexec {shutil.which("gcc")} -march={march} "$@"\n', encoding="utf-8")
        (real / name).chmod(0o755)
    return Machine(scripts, real, local)


@needs_gcc
@needs_x86_64
def test_every_compiler_comes_back_to_the_baseline(tmp_path: Path) -> None:
    v3 = machine(tmp_path, "x86-64-v3")
    assert "__AVX2__" in v3.run("gcc", *SHOW)
    done = v3.install()
    assert done.returncode == 0, done.stderr
    wrapped = {path.name for path in v3.local.iterdir()} - {"manylinux-baseline-compiler"}
    assert wrapped == {*NAMES} - {"gcc-ar"}
    for name in sorted(wrapped):
        assert "__AVX2__" not in v3.run(name, *SHOW), name
        assert "__AVX2__" in v3.run(name, "-march=x86-64-v3", *SHOW), name
        assert "__AVX2__" not in v3.run(name, "-mtune=haswell", *SHOW), name
    assert v3.install().returncode == 0  # again, when there is nothing left to do


@needs_gcc
@needs_x86_64
@pytest.mark.parametrize(("march", "asked_for"), [("x86-64", "x86_64"), ("x86-64-v3", "i686")])
def test_other_compilers_are_left_alone(tmp_path: Path, march: str, asked_for: str) -> None:
    usual = machine(tmp_path, march)
    assert usual.install(PLATFORM=asked_for).returncode == 0
    assert list(usual.local.iterdir()) == []


@needs_gcc
@needs_x86_64
def test_a_wrapper_that_is_not_first_on_path_is_noticed(tmp_path: Path) -> None:
    v3 = machine(tmp_path, "x86-64-v3")
    done = v3.install(PATH=f"{v3.real}:{v3.local}:{os.environ['PATH']}")
    assert (done.returncode, done.stderr) == (1, "error: gcc still compiles for x86-64-v3\n")


# --- libstdc++.so ---------------------------------------------------------------------------------------------------


def toolset(directory: Path) -> Path:
    """A toolset whose libstdc++.so names the system's library, then a static one that needs it; returns its place.

    The program below needs the static part alone, as with __glibcxx_assert_fail of GCC 14."""
    place = directory / "usr/lib/gcc/x86_64-redhat-linux/14"
    place.mkdir(parents=True)
    sources = {
        "system": "int in_the_system(void) { return 42; }",
        "nonshared": "int in_the_system(void); int in_the_static_part(void) { return in_the_system(); }",
        "main": "int in_the_static_part(void); int main(void) { return in_the_static_part() - 42; }",
    }
    for name, text in sources.items():
        (directory / f"{name}.c").write_text(text + "\n", encoding="utf-8")
    system = directory / "libstdc++.so.6"
    commands: list[list[str | Path]] = [
        ["gcc", "-shared", "-fPIC", "-Wl,-soname,libstdc++.so.6", "-o", system, directory / "system.c"],
        ["gcc", "-c", "-fPIC", "-o", directory / "nonshared.o", directory / "nonshared.c"],
        ["ar", "rc", place / "libstdc++_nonshared.a", directory / "nonshared.o"],
    ]
    for command in commands:
        subprocess.run(command, check=True)
    script = f"/* GNU ld script */\nOUTPUT_FORMAT(elf64-x86-64)\nINPUT ( {system} -lstdc++_nonshared )\n"
    (place / "libstdc++.so").write_text(script, encoding="utf-8")
    return place


def link(directory: Path, place: Path) -> subprocess.CompletedProcess[str]:
    """Links the program as so many projects do."""
    source, program = directory / "main.c", directory / "main"
    options = ["-Wl,--as-needed", f"-L{place}", f"-Wl,-rpath,{directory}"]
    command: list[str | Path] = ["gcc", source, *options, "-o", program, "-lstdc++"]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def repair(directory: Path, name: str) -> subprocess.CompletedProcess[str]:
    """What the RHEL family does to a toolset."""
    environment = {
        "HERE": str(DOCKER / "build_scripts"),
        "DISTRIBUTION": "almalinux-9",
        "PLATFORM": "x86_64",
        "TOOLSET": name,
        "DEVTOOLSET_ROOTPATH": str(directory),
    }
    return subprocess.run(
        ["bash", "-euc", "source lib/lib.sh; source lib/rhel.sh; repair_toolset"],
        cwd=DOCKER / "build_scripts",
        env={"PATH": os.environ["PATH"], **environment},
        capture_output=True,
        text=True,
        check=False,
    )


@needs_gcc
@needs_x86_64
def test_the_static_part_of_libstdcxx_finds_the_library(tmp_path: Path) -> None:
    place = toolset(tmp_path)
    before = link(tmp_path, place)
    assert before.returncode != 0
    assert "in_the_system" in before.stderr
    for _ in range(2):  # the steps of an image may be repeated
        done = repair(tmp_path, "gcc-toolset-14")
        assert done.returncode == 0, done.stderr
        text = (place / "libstdc++.so").read_text(encoding="utf-8")
        system = tmp_path / "libstdc++.so.6"
        assert text.endswith(f"INPUT ( {system} -lstdc++_nonshared {system} )\n")
    after = link(tmp_path, place)
    assert after.returncode == 0, after.stderr
    assert subprocess.run([tmp_path / "main"], check=False).returncode == 0


def test_a_toolset_that_nobody_has_looked_at_is_refused(tmp_path: Path) -> None:
    done = repair(tmp_path, "devtoolset-99")
    assert done.returncode == 1
    assert "unknown toolset 'devtoolset-99'" in done.stderr
