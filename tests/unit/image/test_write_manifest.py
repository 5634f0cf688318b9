"""The manifest and the file list that end a build, made from a small tree and stand-ins of package managers."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).resolve().parents[3] / "docker/build_scripts/write_manifest.py"
FACTS = {
    "POLICY": "manylinux_2_28",
    "PLATFORM": "x86_64",
    "LIBC": "glibc",
    "TRIPLE": "x86_64-unknown-linux-gnu",
    "MARCH": "x86-64",
    "DEVTOOLSET_ROOTPATH": "/opt/rh/gcc-toolset-14/root",
}
CPYTHON = {
    "kind": "interpreter",
    "name": "cp313-cp313",
    "version": "3.13.15",
    "url": "https://example.org/a",
    "sha256": "1",
}

PACKAGE_MANAGERS = {
    "dpkg-query": r"""
[ "$*" = '--show --showformat ${Package}\t${Version}\t${Architecture}\n' ] || exit 9
printf 'zlib1g-dev\t1:1.2.13.dfsg-1\tamd64\nbash\t5.2.15-2+b7\tamd64\n'
""",
    "rpm": r"""
[ "$*" = '--query --all --queryformat %{NAME}\t%|EPOCH?{%{EPOCH}:}:{}|%{VERSION}-%{RELEASE}\t%{ARCH}\n' ] || exit 9
printf 'zlib-devel\t1.2.11-25.el8\tx86_64\nbash\t4.4.20-5.el8\tx86_64\n'
""",
    "apk": r"""
case "$*" in
    --print-arch) echo x86_64 ;;
    'info --verbose') printf 'musl-utils-1.2.5-r10\nbash-5.2.37-r0\n' ;;
    *) exit 9 ;;
esac
""",
}
PACKAGES = {
    "dpkg-query": [["bash", "5.2.15-2+b7", "amd64"], ["zlib1g-dev", "1:1.2.13.dfsg-1", "amd64"]],
    "rpm": [["bash", "4.4.20-5.el8", "x86_64"], ["zlib-devel", "1.2.11-25.el8", "x86_64"]],
    "apk": [["bash", "5.2.37-r0", "x86_64"], ["musl-utils", "1.2.5-r10", "x86_64"]],
}


class Build:
    """The last step of a build: a root, the entries of its stages, a package manager and compilers."""

    def __init__(self, directory: Path) -> None:
        self.root, self.programs = directory / "root", directory / "programs"
        (self.root / "opt/_internal/manifest.d").mkdir(parents=True)
        (self.root / "usr/local/bin").mkdir(parents=True)
        self.programs.mkdir()
        self.program("gcc", "[ $1 = --version ] && printf 'gcc (GCC) 14.2.1\\nCopyright\\n'")

    def program(self, name: str, body: str) -> None:
        (self.programs / name).write_text(f"#!/bin/sh\n{body}\n", encoding="utf-8")
        (self.programs / name).chmod(0o755)

    def entry(self, file: str, content: dict[str, str]) -> None:
        path = self.root / "opt/_internal/manifest.d" / file
        path.write_text(json.dumps(content), encoding="utf-8")

    def run(self, **changes: str | None) -> subprocess.CompletedProcess[str]:
        environment = {"PATH": str(self.programs), **FACTS, **changes}
        given = {name: value for name, value in environment.items() if value is not None}
        command = [sys.executable, "-IB", str(SCRIPT), "--root", str(self.root)]
        return subprocess.run(command, env=given, text=True, capture_output=True, check=False)

    def read(self, name: str) -> str:
        return (self.root / "opt/_internal" / name).read_text(encoding="utf-8")


@pytest.fixture
def build(tmp_path: Path) -> Build:
    made = Build(tmp_path)
    made.program("dpkg-query", PACKAGE_MANAGERS["dpkg-query"])
    made.entry("cp313-cp313.json", CPYTHON)
    return made


@pytest.mark.parametrize("manager", PACKAGE_MANAGERS)
def test_manifest(tmp_path: Path, manager: str) -> None:
    build = Build(tmp_path)
    build.program(manager, PACKAGE_MANAGERS[manager])
    build.entry("zz.json", CPYTHON)
    build.entry("aa.json", CPYTHON | {"name": "cp39-cp39", "version": "3.9.25"})
    build.entry("git.json", {"kind": "component", "name": "git", "version": "2.54.0", "url": "u", "sha256": "s"})
    build.entry("uv.json", {"kind": "tool", "name": "uv", "version": "0.11.24", "url": ""})
    result = build.run()
    assert (result.returncode, result.stdout, result.stderr) == (0, "", "")
    assert json.loads(build.read("manifest.json")) == {
        "schema": 1,
        "image": {
            "name": "manylinux_2_28_x86_64",
            "policy": "manylinux_2_28",
            "platform": "x86_64",
            "libc": "glibc",
            "triple": "x86_64-unknown-linux-gnu",
            "march": "x86-64",
            "toolset_root": "/opt/rh/gcc-toolset-14/root",
        },
        "interpreters": [
            {"name": "cp313-cp313", "version": "3.13.15", "url": "https://example.org/a", "sha256": "1"},
            {"name": "cp39-cp39", "version": "3.9.25", "url": "https://example.org/a", "sha256": "1"},
        ],
        "tools": [{"name": "uv", "version": "0.11.24"}],
        "components": [{"name": "git", "version": "2.54.0", "url": "u", "sha256": "s"}],
        "packages": [dict(zip(("name", "version", "architecture"), row, strict=True)) for row in PACKAGES[manager]],
        "compilers": {"gcc": "gcc (GCC) 14.2.1"},
    }
    assert not (build.root / "opt/_internal/manifest.d").exists()


def test_the_variant_is_part_of_the_name(build: Build) -> None:
    assert build.run(VARIANT="shared", MARCH="", DEVTOOLSET_ROOTPATH="").returncode == 0
    assert json.loads(build.read("manifest.json"))["image"]["name"] == "manylinux_2_28_x86_64-shared"


def test_an_image_built_on_another_keeps_its_rows_but_for_new_ones(build: Build) -> None:
    openssl = {"kind": "component", "name": "openssl", "version": "3.5.7", "url": "u", "sha256": "old"}
    build.entry("openssl.json", openssl)
    build.entry("git.json", openssl | {"name": "git"})
    assert build.run().returncode == 0
    (build.root / "opt/_internal/manifest.d").mkdir()
    (build.root / "opt/shared-cpython-3.13").touch()
    build.entry("openssl.json", openssl | {"sha256": "new"})
    build.entry("shared-cpython-3.13.json", CPYTHON | {"name": "shared-cpython-3.13"})
    assert build.run(VARIANT="shared").returncode == 0
    content = json.loads(build.read("manifest.json"))
    assert content["image"]["name"] == "manylinux_2_28_x86_64-shared"
    assert [row["name"] for row in content["interpreters"]] == ["cp313-cp313", "shared-cpython-3.13"]
    assert [(row["name"], row["sha256"]) for row in content["components"]] == [("git", "old"), ("openssl", "new")]
    assert "  /opt/shared-cpython-3.13\n" in build.read("files.sha256")


def test_file_list(build: Build) -> None:
    files = {"/usr/local/bin/tool": b"#!/bin/sh\n", "/opt/two words": b"", "/opt/_internal/a.so": b"\x7fELF"}
    for name, content in files.items():
        (build.root / name[1:]).write_bytes(content)
    (build.root / "opt/python").mkdir()
    (build.root / "opt/python/cp313-cp313").symlink_to("/opt/_internal/cpython-3.13.15")
    (build.root / "usr/local/lib64").symlink_to("bin")
    (build.root / "etc").mkdir()
    (build.root / "etc/passwd").touch()
    assert build.run().returncode == 0

    files["/opt/_internal/manifest.json"] = build.read("manifest.json").encode()
    lines = {name: hashlib.sha256(content).hexdigest() for name, content in files.items()}
    lines |= {"/opt/python/cp313-cp313": "link:/opt/_internal/cpython-3.13.15", "/usr/local/lib64": "link:bin"}
    assert build.read("files.sha256") == "".join(f"{lines[name]}  {name}\n" for name in sorted(lines))


def test_the_same_image_gives_the_same_bytes(build: Build, tmp_path: Path) -> None:
    other = Build(tmp_path / "other")
    other.program("dpkg-query", PACKAGE_MANAGERS["dpkg-query"])
    for made, names in (build, "abc"), (other, "cba"):
        for name in names:
            made.entry(f"{name}.json", {"kind": "tool", "name": name, "version": "1"})
            (made.root / "opt" / name).touch()
        made.entry("cp313-cp313.json", CPYTHON)
        assert made.run().returncode == 0
    os.utime(other.root / "opt/a", (0, 0))
    for name in ("manifest.json", "files.sha256"):
        assert build.read(name) == other.read(name)


def test_sha256sum_reads_the_list(build: Build) -> None:
    (build.root / "opt/tool").write_bytes(b"right")
    assert build.run().returncode == 0
    moved = build.read("files.sha256").replace("  /", f"  {build.root}/")
    check = ["sha256sum", "--check", "--quiet", "-"]
    assert subprocess.run(check, input=moved, text=True, capture_output=True, check=False).returncode == 0
    (build.root / "opt/tool").write_bytes(b"wrong")
    result = subprocess.run(check, input=moved, text=True, capture_output=True, check=False)
    assert result.returncode == 1
    assert f"{build.root}/opt/tool: FAILED" in result.stdout


@pytest.mark.parametrize(
    ("file", "entry", "complaint"),
    [
        ("x.json", {"kind": "toy", "name": "x"}, "unknown kind 'toy'"),
        ("x.json", CPYTHON, "interpreter cp313-cp313 is already in the manifest"),
        ("cp313-cp313.json", {"kind": "tool", "name": "cp313-cp313"}, "has no interpreter"),
    ],
)
def test_contradictions_stop_the_build(build: Build, file: str, entry: dict[str, str], complaint: str) -> None:
    build.entry(file, entry)
    result = build.run()
    assert result.returncode != 0
    assert complaint in result.stderr
    assert (build.root / "opt/_internal/manifest.d").exists()


def test_a_missing_build_argument_is_named(build: Build) -> None:
    result = build.run(TRIPLE=None, LIBC=None)
    assert result.returncode == 2
    assert "not in the environment: LIBC TRIPLE" in result.stderr


def test_a_name_that_the_list_cannot_hold(build: Build) -> None:
    (build.root / "opt/new\nline").touch()
    result = build.run()
    assert result.returncode != 0
    assert "sha256sum would escape the name" in result.stderr
