"""The reader of ELF: what readelf says of the same file, and nothing worse than ValueError for a damaged one."""

from __future__ import annotations

import re
import struct
import subprocess
import sys
import time
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.support.elf_files import shared_library
from tests.support.programs import require

from doctor import code, elf, loading

SOURCE = """
#include <stdio.h>
#include <string.h>
__attribute__((constructor)) static void start(void) { puts("start"); }
__attribute__((weak)) extern int maybe(void);
int exported(char *a) { return maybe ? maybe() : (int)strlen(a); }
int data_exported = 4;
"""


def compiled(directory: Path, *options: str, source: str = SOURCE, name: str = "libt.so") -> bytes:
    (directory / "t.c").write_text(source, encoding="ascii")
    require("gcc")
    command = ["gcc", "-O1", "-fPIC", "-shared", "-o", name, "t.c", *options]
    subprocess.run(command, cwd=directory, check=True)
    return (directory / name).read_bytes()


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    return compiled(tmp_path_factory.mktemp("elf"), "-Wl,-soname,libt.so.1", "-Wl,-rpath,$ORIGIN/x")


@pytest.mark.parametrize("options", [[], ["-Wl,--hash-style=sysv"], ["-Wl,--hash-style=gnu", "-s"]])
def test_symbols_are_those_of_readelf(tmp_path: Path, options: list[str]) -> None:
    found = elf.parse(compiled(tmp_path, *options))
    said = subprocess.run(
        ["readelf", "--dyn-syms", "-W", "libt.so"], cwd=tmp_path, capture_output=True, text=True, check=True
    ).stdout
    rows = re.findall(r"^ +\d+: \w+ +\d+ \w+ +(GLOBAL|WEAK) +\w+ +(\w+) (\w+)(?:@+([\w.]+))?", said, re.MULTILINE)
    weak = {"GLOBAL": elf.STB_GLOBAL, "WEAK": elf.STB_WEAK}
    assert {(s.name, s.bind, s.version) for s in found.imports} == {
        (name, weak[bind], version) for bind, section, name, version in rows if section == "UND"
    }
    assert {s.name for s in found.exports} == {name for _, section, name, _ in rows if section != "UND"}
    assert {s.name for s in found.imports if s.used} >= {"puts", "strlen", "maybe"}


def test_what_runs_at_load_is_found(library: bytes, tmp_path: Path) -> None:
    found = elf.parse(library)
    (tmp_path / "libt.so").write_bytes(library)
    said = subprocess.run(["nm", "libt.so"], cwd=tmp_path, capture_output=True, text=True, check=True).stdout
    (start,) = re.findall(r"^(\w+) t start$", said, re.MULTILINE)
    assert int(start, 16) in found.init
    assert (found.soname, found.runpath, found.needed) == ("libt.so.1", "$ORIGIN/x", ("libc.so.6",))
    assert not found.is_program
    assert elf.parse(Path(sys.executable).resolve().read_bytes()).is_program


def test_relr_and_text_relocations_are_seen(library: bytes, tmp_path: Path) -> None:
    assert not elf.parse(library).relr
    pointers = (
        '#include <stdio.h>\nvoid f(void) { puts(""); } static int a[9]; int *p[] = {a, a + 1, a + 2, a + 3, a + 4};'
    )
    packed = elf.parse(compiled(tmp_path, "-Wl,-z,pack-relative-relocs", source=pointers))
    assert packed.relr
    assert ("libc.so.6", "GLIBC_ABI_DT_RELR") in packed.needed_versions
    text = 'int x; __asm__(".text\\n.quad x\\n");'
    assert elf.parse(compiled(tmp_path, "-Wl,-z,notext", source=text)).text_relocations
    assert not elf.parse(library).text_relocations


def test_the_stack_of_an_object(library: bytes, tmp_path: Path) -> None:
    assert loading.executable_stack(elf.parse(library)) == ""
    wild = elf.parse(compiled(tmp_path, "-Wl,-z,execstack"))
    assert "GNU_STACK is executable" in loading.executable_stack(wild)
    silent = bytearray(library)
    at = silent.index(struct.pack("<I", elf.PT_GNU_STACK))
    silent[at : at + 4] = struct.pack("<I", 0)
    assert "no GNU_STACK" in loading.executable_stack(elf.parse(bytes(silent)))


def test_the_note_of_the_processor_level(tmp_path: Path) -> None:
    for flag, bits in (("-Wl,-z,x86-64-v2", 2), ("-Wl,-z,x86-64-v3", 4)):
        data = compiled(tmp_path, flag)
        assert loading.isa_needed(elf.parse(data), data) & bits


class TestDamaged:
    @settings(max_examples=300, deadline=2000, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(st.data())
    def test_cut_off_or_flipped(self, library: bytes, data: st.DataObject) -> None:
        changed = bytearray(library)
        size = data.draw(st.integers(0, len(changed)))
        words = data.draw(st.lists(st.tuples(st.integers(0, 0x700), st.binary(min_size=1, max_size=8)), max_size=6))
        tail = data.draw(st.lists(st.tuples(st.integers(0, len(changed) - 8), st.just(b"\xff" * 8)), max_size=4))
        for at, value in words + tail:
            changed[at : at + len(value)] = value
        self.survives(bytes(changed[: size if data.draw(st.booleans()) else len(changed)]))

    @settings(max_examples=300, deadline=2000)
    @given(st.integers(0, 3), st.lists(st.tuples(st.integers(4, 0x800), st.binary(min_size=1, max_size=8))))
    def test_other_classes_and_orders(self, kind: int, changes: list[tuple[int, bytes]]) -> None:
        changed = bytearray(shared_library(*[(64, "<", 62), (32, "<", 3), (64, ">", 22), (32, ">", 8)][kind]))
        for at, value in changes:
            changed[at : at + len(value)] = value
        self.survives(bytes(changed))

    def survives(self, data: bytes) -> None:
        try:
            found = elf.parse(data)
        except ValueError:
            return
        loading.defects(found)
        loading.isa_needed(found, data)
        regions = code.regions(found, data)
        for region in (*regions, *code.between(found, data, regions)):
            assert region.offset >= 0 and region.size > 0 and region.offset + region.size <= len(data)

    def test_overlapping_names_and_a_million_symbols_cost_bounded_time(self) -> None:
        """A million symbols whose names are the tails of one long text."""
        count, tail = 1_000_000, 60_000
        head = bytearray(shared_library()[:0x500])
        strings, symbols = 0x10000, 0x20000
        tags = [(5, strings), (6, symbols), (4, 0x600), (0, 0)]
        head += b"".join(struct.pack("<qQ", *tag) for tag in tags)
        head = head.ljust(0x600, b"\0") + struct.pack("<II", 0, count)
        size = symbols + count * 24
        struct.pack_into("<QQ", head, 64 + 32, size, size)
        struct.pack_into("<QQ", head, 64 + 2 * 56 + 32, 64, 64)
        head = head.ljust(strings, b"\0") + b"a" * tail + b"\0"
        head = head.ljust(symbols, b"\0")
        head += b"".join(struct.pack("<IBBHQQ", i % tail + 1, 0x12, 0, 1, 0, 0) for i in range(count))
        start = time.monotonic()
        with pytest.raises(ValueError, match="names have more than"):
            elf.parse(bytes(head))
        assert time.monotonic() - start < 20
