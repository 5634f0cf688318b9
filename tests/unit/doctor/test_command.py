"""The doctor as its users call it: on the host, in a made image, with every kind of file."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from tests.support.built_wheels import INIT, MODULE, NAME, RUN_TIME_CHOICE, WIDE, compiled, packed
from tests.support.elf_files import shared_library

from catalogue.paths import ROOT
from doctor import command, decoders, distributions, elf
from doctor.instructions import Scanner

SCHEMA = json.loads((ROOT / "docs" / "doctor.schema.json").read_text(encoding="utf-8"))


def doctor(*words: str | Path, cwd: Path = ROOT, status: int = 0) -> str:
    command = [sys.executable, "-S", str(ROOT / "scripts"), "doctor", *map(str, words)]
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True)
    assert done.returncode == status, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    return done.stdout + done.stderr


def as_json(*words: str | Path, status: int = 0) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(doctor("--json", *words, status=status))
    jsonschema.validate(found, SCHEMA)
    return found


@pytest.fixture
def module(tmp_path: Path) -> bytes:
    return compiled(tmp_path, INIT)


def test_the_verdict_in_two_lines(tmp_path: Path, module: bytes) -> None:
    lines = doctor(packed(tmp_path, {MODULE: module})).splitlines()
    assert lines[1] == "  claims manylinux_2_17_x86_64, manylinux2014_x86_64; fits manylinux_2_5 and newer"
    assert lines[2] == "  FIT to publish"
    assert "    older than the tag: Oracle Linux 6" in lines


@pytest.mark.parametrize("build", ["", "-1"])
def test_a_variant_is_judged_by_its_tags(tmp_path: Path, module: bytes, build: str) -> None:
    """Draft PEP 825: six or seven fields in the name, and variant.json in the wheel."""
    name = NAME.replace("-cp", f"{build}-cp", 1).replace(".whl", "-x86_64_v3.whl")
    path = packed(tmp_path, {MODULE: module, "p-1.dist-info/variant.json": "{}"}, name)
    lines = doctor(path).splitlines()
    assert lines[1:3] == doctor(packed(tmp_path, {MODULE: module})).splitlines()[1:3]
    (said,) = as_json(path)["wheels"]
    assert said["findings"] == []


@pytest.mark.parametrize(("machine", "status"), [("x86_64", 0), ("aarch64", 1)])
def test_the_stable_abi_of_3_15_names_the_machine(tmp_path: Path, module: bytes, machine: str, status: int) -> None:
    """PEP 803: one wheel with and without the GIL; from 3.15 on its modules may have the triplet in their names."""
    name = NAME.replace("cp311-cp311", "cp315-abi3.abi3t")
    path = packed(tmp_path, {f"p/m.abi3t-{machine}-linux-gnu.so": module}, name)
    said = as_json(path, status=status)["wheels"][0]["findings"]
    assert ["No interpreter of the wheel's tags looks for" in finding["message"] for finding in said] == [True] * status


def test_what_raises_it_object_by_object(tmp_path: Path) -> None:
    data = compiled(tmp_path, "#include <stdlib.h>\nunsigned f(void) { return arc4random(); }" + INIT)
    text = doctor(packed(tmp_path, {MODULE: data}), status=1)
    assert f"What keeps it at manylinux_2_36:\n    {MODULE}\n      GLIBC_2.36 of libc.so.6: arc4random\n" in text
    assert "NOT FIT to publish: 1 error" in text
    (wheel,) = as_json(tmp_path / NAME, status=1)["wheels"]
    assert wheel["raises"] == [
        {"object": MODULE, "library": "libc.so.6", "version": "GLIBC_2.36", "symbols": ["arc4random"],
         "since": "manylinux_2_36", "versioned": True}
    ]  # fmt: skip


def test_one_release(tmp_path: Path) -> None:
    data = compiled(tmp_path, INIT, "-Wl,-z,execstack")
    path = packed(tmp_path, {MODULE: data})
    assert "Debian 12: runs" in doctor("--for", "Debian 12", path)
    assert "Debian 13: does not run: " in doctor("--for", "trixie", path, status=1)
    assert "RHEL 8" in doctor("--for", "RHEL 5", path, status=2)
    (wheel,) = as_json("--for", "debian-12", "--for", "RHEL 8.10", path)["wheels"]
    assert [(row["id"], row["runs"]) for row in wheel["asked"]] == [("debian-12", True), ("rhubi-8", True)]
    assert "Alpine 3.22 has musl" in doctor("--for", "Alpine 3.22", path, status=1)


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("AlmaLinux 9", "almalinux-9"), ("ubuntu-20.04", "ubuntu-20.04"), ("Debian bookworm", "debian-12"),
        ("RHEL 8.10", "rhubi-8"), ("Red Hat Enterprise Linux 9", "rhubi-9"), ("CentOS Stream 9", "centos-stream9"),
        ("Amazon Linux 2023", "amazonlinux-2023"), ("rocky 9", "rockylinux-9"), ("noble", "ubuntu-24.04"),
    ],
)  # fmt: skip
def test_names_of_releases(name: str, found: str) -> None:
    assert distributions.find(name) == found


def test_strict(tmp_path: Path) -> None:
    path = packed(tmp_path, {MODULE: compiled(tmp_path, INIT, "-Wl,-rpath,lib")})
    doctor(path)
    assert "NOT FIT to publish: 1 warning" in doctor("--strict", path, status=1)


def test_patterns_are_expanded(tmp_path: Path, module: bytes) -> None:
    packed(tmp_path, {MODULE: module})
    packed(tmp_path, {"q/a.py": ""}, "q-1-py3-none-any.whl")
    text = doctor(f"{tmp_path}/*.whl")
    assert text.splitlines()[-3] == "Summary:"
    assert text.splitlines()[-2:] == [f"  {NAME}: FIT to publish", "  q-1-py3-none-any.whl: FIT to publish"]
    assert len(as_json(f"{tmp_path}/*", tmp_path / NAME, status=2)["wheels"]) > 2  # what gcc has left is no wheel
    assert "no file" in doctor(f"{tmp_path}/*.zip", status=2)
    assert "is a directory" in doctor(tmp_path, status=2)
    assert "usage:" in doctor(status=2)


class TestOtherWheels:
    @pytest.mark.parametrize(
        ("name", "kind", "text"),
        [
            ("p-1-py3-none-any.whl", "pure", "pure Python"),
            ("p-1-cp311-cp311-win_amd64.whl", "foreign", "not for Linux"),
            ("p-1-cp311-cp311-macosx_11_0_arm64.whl", "foreign", "not for Linux"),
            ("p-1-cp311-abi3-musllinux_1_2_s390x.whl", "linux", "fits musllinux_1_1"),
            ("p-1-pp311-pypy311_pp73-manylinux_2_17_i686.whl", "linux", "fits manylinux_2_5"),
            ("p-1-cp315-abi3.abi3t-manylinux_2_28_aarch64.whl", "linux", "fits manylinux_2_17"),
            ("p-1-cp311-cp311-manylinux_2_28_x86_64-x86_64_v3.whl", "linux", "fits manylinux_2_5"),
        ],
    )
    def test_their_kind(self, tmp_path: Path, name: str, kind: str, text: str) -> None:
        path = packed(tmp_path, {"p/a.py": ""}, name)
        assert text in doctor(path)
        assert as_json(path)["wheels"][0]["kind"] == kind

    @pytest.mark.parametrize(
        ("bits", "order", "machine", "platform"),
        [(32, "<", 3, "i686"), (32, "<", 40, "armv7l"), (64, ">", 22, "s390x"), (64, "<", 243, "riscv64"),
         (64, "<", 21, "ppc64le")],
    )  # fmt: skip
    def test_other_classes_and_orders(self, tmp_path: Path, bits: int, order: str, machine: int, platform: str) -> None:
        members: dict[str, bytes | str] = {"p/libp.so.1": shared_library(bits, order, machine)}
        found = command.examine(packed(tmp_path, members, f"p-1-py3-none-manylinux_2_31_{platform}.whl"), scan=True)
        wheel = found.as_json()
        assert (wheel["platforms"], wheel["objects"]) == ([platform], ["p/libp.so.1"])
        oldest = "manylinux_2_31" if platform == "riscv64" else "manylinux_2_17"
        assert wheel["lowest"] == oldest
        assert {verdict.distribution.platform for verdict in found.verdicts} == {platform}

    @pytest.mark.parametrize("content", [b"", b"PK\x03\x04", b"\x7fELF" * 99])
    def test_what_is_no_wheel(self, tmp_path: Path, content: bytes) -> None:
        (tmp_path / NAME).write_bytes(content)
        assert "not a wheel: " in doctor(tmp_path / NAME, status=2)
        assert as_json(tmp_path / NAME, status=2)["wheels"][0]["fit"] is None

    def test_a_damaged_one_beside_a_good_one(self, tmp_path: Path, module: bytes) -> None:
        good = packed(tmp_path, {MODULE: module})
        bad = tmp_path / NAME.replace("p-1", "q-1")
        bad.write_bytes(good.read_bytes()[:-30])
        text = doctor(good, bad, status=2)
        assert f"  {NAME}: FIT to publish" in text and f"  {bad.name}: not a wheel" in text


class TestDecoders:
    """objdump and iced-x86 say the same of the same object."""

    @pytest.fixture(params=[RUN_TIME_CHOICE, WIDE, "int f(int a) { return __builtin_popcount(a) + a % 7; }"])
    def data(self, request: pytest.FixtureRequest, tmp_path: Path) -> bytes:
        return compiled(tmp_path, request.param + INIT, "-O3", "-mavx2", "-mpopcnt")

    @pytest.mark.parametrize(
        "instruction",
        ["vcmpunordps %ymm0, %ymm1, %ymm2", "vcmpnge_uqsd %xmm0, %xmm1, %xmm2", "vpcmpnequb %zmm0, %zmm1, %k1",
         "vpcmpeqb %ymm0, %ymm1, %ymm2", "vpclmulhqlqdq %ymm0, %ymm1, %ymm2"],
    )  # fmt: skip
    def test_names_with_an_operand(self, tmp_path: Path, instruction: str) -> None:
        data = compiled(tmp_path, f'void f(void) {{ __asm__ volatile("{instruction}"); }}' + INIT)
        iced, objdump = decoders.find(), decoders.Objdump("objdump")
        assert isinstance(iced, decoders.Iced)
        found = Scanner(iced).scan(elf.parse(data), data)
        assert found and found.first
        assert found == Scanner(objdump).scan(elf.parse(data), data)

    def test_both(self, data: bytes) -> None:
        iced, objdump = decoders.find(), decoders.Objdump("objdump")
        assert isinstance(iced, decoders.Iced)
        found = elf.parse(data)
        assert Scanner(iced).scan(found, data) == Scanner(objdump).scan(found, data)

    @pytest.mark.program("objdump")
    def test_a_large_one(self) -> None:
        data = Path("/bin/bash").read_bytes()
        iced = decoders.find()
        assert isinstance(iced, decoders.Iced)
        found = Scanner(iced).scan(elf.parse(data), data)
        assert found == Scanner(decoders.Objdump("objdump")).scan(elf.parse(data), data)
        assert found and found.counts["legacy"] > 100

    def test_the_same_report(self, tmp_path: Path, data: bytes) -> None:
        path = packed(tmp_path, {MODULE: data})
        words = [str(ROOT / "scripts"), "doctor", "--json", str(path)]
        said = [
            subprocess.run([sys.executable, *options, *words], capture_output=True, text=True).stdout
            for options in ([], ["-S"])  # -S: without installed packages
        ]
        assert said[0] == said[1]
        assert json.loads(said[0])["wheels"][0]["unscanned"] == ""


def test_a_wheel_of_many_libraries_that_need_each_other_takes_bounded_time(tmp_path: Path) -> None:
    """Each of 300 objects needs the same thirty, with an RPATH that its dependants inherit and nothing lies on."""
    names = [f"lib{number:02}.so" for number in range(30)]
    for name in names:
        (tmp_path / name).write_bytes(compiled(tmp_path, "int y;", "-nostdlib", f"-Wl,-soname,{name}"))
    linked = ["-L.", "-Wl,--no-as-needed", "-Wl,--disable-new-dtags,-rpath,$ORIGIN/no"]
    needing = compiled(tmp_path, "int z;", "-nostdlib", *linked, *(f"-l:{name}" for name in names))
    members: dict[str, bytes | str] = {f"p/d{number}/{names[number % 30]}": needing for number in range(300)}
    start = time.monotonic()
    found = command.examine(packed(tmp_path, members), scan=False)
    assert found.fit is False
    assert time.monotonic() - start < 60
