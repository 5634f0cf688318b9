"""Wheels made in a test, with objects that the host's gcc makes."""

from __future__ import annotations

import subprocess
import zipfile
from pathlib import Path

from tests.support.programs import require

from doctor.wheel import parse_name

# Sources in C: an extension, a function for AVX2 that a check of the processor guards, and one that nothing guards.
INIT = "void *PyInit_m(void) { return 0; }\n"
RUN_TIME_CHOICE = """
__attribute__((target("avx2"))) static void wide(float *a) { for (int i = 0; i < 64; i++) a[i] *= a[i + 64]; }
static void narrow(float *a) { for (int i = 0; i < 64; i++) a[i] *= a[i + 64]; }
void f(float *a) { if (__builtin_cpu_supports("avx2")) wide(a); else narrow(a); }
"""
WIDE = "void f(float *a) { for (int i = 0; i < 64; i++) a[i] *= a[i + 64]; }"
NAME = "p-1-cp311-cp311-manylinux_2_17_x86_64.manylinux2014_x86_64.whl"
MODULE = "p/m.cpython-311-x86_64-linux-gnu.so"


def compiled(directory: Path, source: str, *options: str, language: str = "c") -> bytes:
    """A shared library; `options` come after the source, so that libraries may stand among them."""
    file, target = directory / f"source.{language}", directory / "target.so"
    file.write_text(source, encoding="ascii")
    compiler = {"c": "gcc", "cc": "g++"}[language]
    require(compiler)
    subprocess.run([compiler, "-O1", "-fPIC", "-shared", "-o", target, file, *options], cwd=directory, check=True)
    return target.read_bytes()


def packed(directory: Path, members: dict[str, bytes | str], name: str = NAME, metadata: str = "") -> Path:
    """A wheel of these files and the metadata that belongs to them; `metadata`: further lines of METADATA."""
    dist_info = "-".join(name.split("-")[:2]) + ".dist-info"
    tags = "".join(f"Tag: {tag}\n" for tag in parse_name(name).tags)
    own: dict[str, bytes | str] = {
        f"{dist_info}/WHEEL": f"Wheel-Version: 1.0\n{tags}",
        f"{dist_info}/METADATA": f"Metadata-Version: 2.1\nName: p\nVersion: 1\n{metadata}",
        f"{dist_info}/RECORD": "",
    }
    with zipfile.ZipFile(directory / name, "w", zipfile.ZIP_DEFLATED) as archive:
        for member, content in {**members, **own}.items():
            archive.writestr(member, content)
    return directory / name
