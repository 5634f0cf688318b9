"""The doctor on wheels of the Python index: those that are known to fail in the field, and popular ones that do not."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from doctor import command
from portable import environment

pytestmark = pytest.mark.network

MANYLINUX = ["2_5", "2_12", "2_17", "2_24", "2_26", "2_27", "2_28", "2_31", "2_34", "2_39"]
# By version: what is published tomorrow is not what a test of today is about.
X86_64 = (
    "numpy==2.4.6 scipy==1.17.1 lxml==6.1.3 pillow==13.0.0 cryptography==50.0.2 pydantic-core==2.50.5 pyzmq==27.3.0 "
    "pyarrow==26.0.1 orjson==3.13.0 markupsafe==3.0.4 psutil==7.2.2 grpcio==1.85.3 pandas==3.1.1 scikit-learn==1.9.1 "
    "matplotlib==3.11.2 tokenizers==0.23.3 psycopg2-binary==2.9.13 shapely==2.2.0 h5py==3.16.0 greenlet==3.5.6 "
    "ruff==0.17.6 uv==0.13.9"
).split()
OTHERS = [
    ("numpy==2.4.6", "manylinux", "aarch64", "cp"),
    ("pyzmq==27.3.0", "manylinux", "aarch64", "cp"),
    ("pydantic-core==2.50.5", "manylinux", "s390x", "cp"),
    ("pydantic-core==2.50.5", "manylinux", "armv7l", "cp"),
    ("pydantic-core==2.50.5", "manylinux", "x86_64", "pp"),
    ("markupsafe==3.0.4", "manylinux", "riscv64", "cp"),
    ("markupsafe==3.0.2", "manylinux", "i686", "cp"),
    ("lxml==6.1.3", "musllinux", "x86_64", "cp"),
    ("numpy==2.4.6", "musllinux", "aarch64", "cp"),
]


def download(
    directory: Path, requirement: str, libc: str = "manylinux", platform: str = "x86_64", kind: str = "cp"
) -> Path:
    """A wheel of the index that pip is configured with. Skips where the index has none, or does not answer."""
    tags = MANYLINUX if libc == "manylinux" else ["1_1", "1_2"]
    words = ["--no-deps", "--quiet", "--only-binary", ":all:", "--dest", str(directory), "--python-version"]
    words += ["313" if platform == "riscv64" else "311", "--implementation", kind]
    words += ["--abi", "pypy311_pp73"] if kind == "pp" else []
    words += [word for tag in tags for word in ("--platform", f"{libc}_{tag}_{platform}")]
    done = subprocess.run(
        [sys.executable, "-m", "pip", "download", *words, requirement],
        capture_output=True,
        text=True,
        env=environment.for_pip(),
    )
    if done.returncode:
        pytest.skip(f"the Python index has no {requirement} for {libc} on {platform}")
    (wheel,) = directory.glob("*.whl")
    return wheel


def report(wheel: Path, *, scan: bool = True) -> dict[str, Any]:
    return command.examine(wheel, scan).as_json()


def errors_of(found: dict[str, Any]) -> list[tuple[str, str, list[str]]]:
    rows = [row for row in found["findings"] if row["level"] == "error"]
    return [(row["check"], row["object"], row["details"]) for row in rows]


def runs(found: dict[str, Any]) -> dict[str, bool]:
    return {row["id"]: row["runs"] for row in found["distributions"]}


def test_an_executable_stack(tmp_path: Path) -> None:
    found = report(download(tmp_path, "ctranslate2==4.5.0"), scan=False)
    name = "ctranslate2.libs/libctranslate2-bc15bf3f.so.4.5.0"
    assert errors_of(found) == [("executable-stack", name, [])]
    assert [row["object"] for row in found["findings"] if row["check"] == "search-paths"] == [
        "ctranslate2.libs/libcudnn-74a4c495.so.9.1.0"
    ]
    assert (runs(found)["debian-12"], runs(found)["debian-13"]) == (True, False)


def test_symbols_without_a_version(tmp_path: Path) -> None:
    found = report(download(tmp_path, "xgrammar==0.2.3"))
    ((check, name, details),) = errors_of(found)
    assert (check, name) == ("unversioned-symbol", "xgrammar/libxgrammar_bindings.so")
    assert [line.split()[0] for line in details] == [
        "_ZSt28__throw_bad_array_new_lengthv",
        "_ZNSt7__cxx1119basic_ostringstreamIcSt11char_traitsIcESaIcEEC1Ev",
        "_ZNSt7__cxx1118basic_stringstreamIcSt11char_traitsIcESaIcEEC1Ev",
    ]
    assert found["lowest"] == "manylinux_2_34"
    failing = {name for name in ("rhubi-8", "debian-11", "ubuntu-20.04") if not runs(found)[name]}
    assert failing == {"rhubi-8", "debian-11", "ubuntu-20.04"}
    assert runs(found)["debian-12"]


@pytest.mark.parametrize("name", X86_64)
def test_popular_wheels_are_fit(tmp_path: Path, name: str) -> None:
    found = report(download(tmp_path, name))
    assert (errors_of(found), found["fit"], found["unscanned"]) == ([], True, "")
    assert found["lowest"]


@pytest.mark.parametrize(("name", "libc", "platform", "kind"), OTHERS)
def test_popular_wheels_of_other_platforms(tmp_path: Path, name: str, libc: str, platform: str, kind: str) -> None:
    found = report(download(tmp_path, name, libc, platform, kind))
    assert (errors_of(found), found["fit"], found["platforms"]) == ([], True, [platform])
    assert found["libc"] == {"manylinux": "glibc", "musllinux": "musl"}[libc]
    assert found["lowest"]
