"""The files of an image whose build is about to end, with stand-ins of its package manager and compilers.

Interpreters are this test's own Python under another name, so what they say of themselves is real."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from tests.support.elf_files import shared_library
from tests.support.programs import program

from catalogue.paths import ROOT

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
    "sha256": "1" * 64,
}
PREFIX = "opt/_internal/cpython-3.13.15"

DPKG = r"""
form='${Package}\t${Version}\t${Architecture}\t${source:Package}\t${source:Version}\n'
[ "$*" = "--show --showformat $form" ] || exit 9
printf 'zlib1g-dev\t1:1.2.13.dfsg-1\tamd64\tzlib\t1:1.2.13.dfsg-1\n'
printf 'libstdc++6\t12.2.0-14+deb12u1\tamd64\tgcc-12\t12.2.0-14+deb12u1\n'
printf 'bash\t5.2.15-2+b7\tamd64\tbash\t5.2.15-2\n'
"""
RPM = r"""
form='%{NAME}\t%|EPOCH?{%{EPOCH}:}:{}|%{VERSION}-%{RELEASE}\t%{ARCH}\t%{SOURCERPM}\t%{LICENSE}\n'
[ "$*" = "--query --all --queryformat $form" ] || exit 9
printf 'zlib-devel\t1.2.11-25.el8\tx86_64\tzlib-1.2.11-25.el8.src.rpm\tzlib and Boost\n'
printf 'tar\t2:1.30-9.el8\tx86_64\ttar-1.30-9.el8.src.rpm\tGPL-3.0-or-later\n'
printf 'gpg-pubkey\tced7258b-6525146f\t(none)\t(none)\tpubkey\n'
"""
APK = """\
C:Q1abc=
P:musl-utils
V:1.2.5-r10
A:x86_64
T:the musl c library (libc) implementation
L:MIT AND BSD-2-Clause AND GPL-2.0-or-later
o:musl
F:usr
R:ldd

P:bash
V:5.2.37-r0
A:x86_64
L:GPL-3.0-or-later
o:bash
"""


class ImageTree:
    """The root of an image of a family (debian, rhel, alpine) and the programs that its build can call."""

    def __init__(self, directory: Path, family: str = "debian") -> None:
        self.root, self.programs = directory / "root", directory / "programs"
        for name in ("opt/_internal/manifest.d", "opt/python", "usr/local/bin", "etc"):
            (self.root / name).mkdir(parents=True)
        self.programs.mkdir()
        if family == "alpine":
            (self.root / "lib/apk/db").mkdir(parents=True)
            (self.root / "lib/apk/db/installed").write_text(APK, encoding="utf-8")
            program(self.root / "lib/ld-musl-x86_64.so.1", r"printf 'musl libc\nVersion 1.2.5\nUsage\n' >&2; exit 1")
            (self.root / "usr/lib").mkdir()
            (self.root / "usr/lib/libz.so.1").touch()
        else:
            self.program(*{"debian": ("dpkg-query", DPKG), "rhel": ("rpm", RPM)}[family])
            self.program("getconf", "echo glibc 2.36")
            self.program("ldconfig", r"printf '1 libs\n\tlibz.so.1 (libc6,x86-64) => /lib/libz.so.1\n'")
        release = {"debian": ("debian", "12"), "rhel": ("almalinux", "8.10"), "alpine": ("alpine", "3.22.1")}[family]
        (self.root / "etc/os-release").write_text('ID="{}"\nVERSION_ID="{}"\n'.format(*release), encoding="utf-8")
        says = r"printf '  -march=   \t\tx86-64\n  -mcpu=  \t\t\n  Known -march=\n'"
        self.program("gcc", f"""[ "$1" = --version ] && printf 'gcc (GCC) 14.2.1\\nCopyright\\n' || {says}""")
        self.program("pkg-config", r"printf 'zlib   zlib - compression\nexpat  expat - XML\n'")

    def program(self, name: str, body: str) -> None:
        """Adds a stand-in to PATH."""
        program(self.programs / name, body)

    def entry(self, file: str, content: dict[str, str]) -> None:
        """What a stage leaves."""
        path = self.root / "opt/_internal/manifest.d" / file
        path.write_text(json.dumps(content), encoding="utf-8")

    def interpreter(self, tag: str = "cp313-cp313", prefix: str = PREFIX, **changes: str) -> None:
        """Installs an interpreter with its launcher, its link and its entry."""
        top = self.root / prefix
        (top / "bin").mkdir(parents=True)
        program(top / "bin/python", f'exec {sys.executable} "$@"')
        (top / "lib/python3/lib-dynload").mkdir(parents=True)
        (top / "lib/python3/lib-dynload/_decimal.so").write_bytes(shared_library())
        (self.root / "opt/python" / tag).symlink_to(f"/{prefix}")
        launcher = self.root / f"usr/local/bin/{prefix.rpartition('/')[2]}"
        launcher.write_text(f'#!/bin/sh\nexec /opt/python/{tag}/bin/python3 "$@"\n', encoding="utf-8")
        self.entry(f"{tag}.json", CPYTHON | {"name": tag} | changes)

    def install(self, path: str, content: bytes = b"") -> None:
        """Writes a file."""
        (self.root / path).parent.mkdir(parents=True, exist_ok=True)
        (self.root / path).write_bytes(content)

    def run(self, **changes: str | None) -> subprocess.CompletedProcess[str]:
        """Ends the build; `None` unsets a variable."""
        environment = {"PATH": str(self.programs), **FACTS, **changes}
        given = {name: value for name, value in environment.items() if value is not None}
        command = [sys.executable, "-IB", str(ROOT / "scripts/describe"), "--root", str(self.root)]
        return subprocess.run(command, env=given, text=True, capture_output=True, check=False)

    def read(self, name: str) -> str:
        """A file of /opt/_internal."""
        return (self.root / "opt/_internal" / name).read_text(encoding="utf-8")

    def manifest(self, **changes: str | None) -> dict[str, Any]:
        """Ends the build, which has to succeed without a word, and returns the manifest."""
        done = self.run(**changes)
        assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
        found: dict[str, Any] = json.loads(self.read("manifest.json"))
        return found
