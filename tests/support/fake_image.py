"""The part of an image that its own commands need, as the Dockerfile puts it together, below a temporary directory."""

from __future__ import annotations

import bz2
import gzip
import hashlib
import io
import json
import lzma
import os
import shutil
import subprocess
import sys
import tarfile
import textwrap
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

PROJECT = Path(__file__).resolve().parents[2]

# Stands in for an interpreter: writes down how it is called, says its versions, and as pip leaves a script.
INTERPRETER = """\
#!/bin/sh
top=$(dirname "$(dirname "$(readlink -f "$0")")")
mkdir -p "$top/lib/__pycache__" && touch "$top/lib/__pycache__/os.pyc"
echo "$*" >>"$top/calls"
case "$*" in
    *pip\\ check)
        echo 'cffi 1.18 requires pycparser, which is not installed.'
        [ -e "{root}/lock-lacks" ] && echo 'build 1.5.0 requires packaging, which is not installed.'
        exit 1
        ;;
    *import\\ build*) [ ! -e "{root}/imports-fail" ] ;;
    -IB\\ -c*) echo '["{version}", "{implementation}", "{implementation_version}"]' ;;
    *pip\\ install*)
        env >"$top/environment"
        if [ -e "{root}/pip-fails" ]; then
            echo 'pip: no matching distribution' >&2
            exit 1
        fi
        [ -e "{root}/pip-goes-elsewhere" ] || echo "#!$top/bin/python" >"$top/bin/pip3"
        ;;
esac
"""

CLANG = f"""
[clang]
stable_major = 21
url = "https://example.org/{{version}}/{{file}}"
archive = "clang-{{machine}}.tar.xz"
[static_clang]
"v21.1.8.1" = "{"0" * 64}"
"""


@dataclass(frozen=True)
class FakeImage:
    """Files of an image below `root`, and its environment."""

    root: Path
    environment: dict[str, str]

    def command(self, name: str, *arguments: str) -> list[str]:
        """The command line of one of the image's commands, run by this Python."""
        return [sys.executable, "-IB", str(self.root / "usr/local/bin" / name), *arguments]

    def run(self, name: str, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        """Runs one of the image's commands; never waits longer than 30 seconds."""
        return subprocess.run(
            self.command(name, *arguments),
            env=self.environment | environment,
            text=True,
            capture_output=True,
            timeout=30,
            check=False,
        )

    def add_interpreter(self, tag: str, version: str) -> None:
        """Installs a stand-in for a CPython."""
        prefix = self.root / "opt/_internal" / tag
        (prefix / "bin").mkdir(parents=True)
        (prefix / "bin/python").write_bytes(stand_in(self.root, version, "cpython", version))
        (prefix / "bin/python").chmod(0o755)
        (self.root / "opt/python").mkdir(exist_ok=True)
        (self.root / "opt/python" / tag).symlink_to(prefix)

    def write_downloads(self, text: str) -> None:
        """Replaces the table of downloads; it has some release of clang, too."""
        text = textwrap.dedent(text) + ("" if "[clang]" in text else CLANG)
        (self.root / "opt/_internal/manylinux/downloads.toml").write_text(text, encoding="utf-8")

    def files(self) -> set[str]:
        """Every file and directory, to tell that a failure left nothing behind."""
        return {str(path.relative_to(self.root)) for path in self.root.rglob("*")}


def make(root: Path, policy: str = "manylinux_2_36", platform: str = "x86_64") -> FakeImage:
    """An image without interpreters."""
    shutil.copytree(PROJECT / "docker/rootfs", root, ignore=shutil.ignore_patterns("__pycache__"))
    library = root / "opt/_internal/manylinux"
    shutil.copy(PROJECT / "docker/downloads.toml", library)
    for room in ("portable", "doctor"):
        shutil.copytree(PROJECT / "scripts" / room, library / room, ignore=shutil.ignore_patterns("__pycache__"))
    (library / "requirements").mkdir()
    for minor in ("3.11", "3.12"):
        (library / f"requirements/{minor}.txt").write_text("pip==1\nbuild==1.5.0\n", encoding="utf-8")
    facts = {
        "policy": policy,
        "platform": platform,
        "libc": "musl" if policy.startswith("musl") else "glibc",
        "triple": f"{platform}-unknown-linux-gnu",
        "march": "x86-64",
        "toolset_root": "/opt/rh/gcc-toolset-14/root",
    }
    (root / "opt/_internal/manifest.json").write_text(json.dumps({"image": facts}), encoding="utf-8")
    environment = {"PATH": os.environ["PATH"], "AUDITWHEEL_POLICY": policy, "AUDITWHEEL_ARCH": platform}
    return FakeImage(root, environment)


def stand_in(root: Path, version: str, implementation: str, implementation_version: str) -> bytes:
    """An executable that behaves like an interpreter as far as these tests go."""
    script = INTERPRETER.replace("{root}", str(root)).replace("{version}", version)
    script = script.replace("{implementation}", implementation)
    return script.replace("{implementation_version}", implementation_version).encode()


def archive(files: dict[str, bytes], compression: Literal["gz", "bz2", "xz"]) -> bytes:
    """A tar archive of executable files, owned by a user that exists nowhere."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:") as tar:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size, member.mode, member.mtime = len(content), 0o755, 1_600_000_000
            member.uid = member.gid = 4711
            tar.addfile(member, io.BytesIO(content))
    compress: dict[str, Callable[[bytes], bytes]] = {"gz": gzip.compress, "bz2": bz2.compress, "xz": lzma.compress}
    return compress[compression](buffer.getvalue())


def sha256(content: bytes) -> str:
    """In hexadecimal."""
    return hashlib.sha256(content).hexdigest()
