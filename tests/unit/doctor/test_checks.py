"""Each check of the doctor on an object that gcc makes here: what it finds, and that its opposite is clean."""

from __future__ import annotations

import functools
import struct
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.support.built_wheels import INIT, MODULE, NAME, RUN_TIME_CHOICE, WIDE, compiled, packed

from doctor import command, elf
from doctor.findings import CHECKS, Level, Symptom
from doctor.report import Examination

NEWER = NAME.replace("manylinux_2_17_x86_64.manylinux2014_x86_64", "manylinux_2_36_x86_64")


class Bench:
    """Makes wheels below one directory and has the doctor look at them."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    def build(self, source: str, *options: str, language: str = "c") -> bytes:
        return compiled(self.directory, source, *options, language=language)

    def report(self, members: dict[str, bytes | str] | bytes, name: str = NAME, metadata: str = "") -> Examination:
        members = {MODULE: members} if isinstance(members, bytes) else members
        return command.examine(packed(self.directory, members, name, metadata), scan=True)

    def found(self, members: dict[str, bytes | str] | bytes, name: str = NAME, metadata: str = "") -> list[Symptom]:
        return self.report(members, name, metadata).findings


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def names(found: list[Symptom], level: Level = Level.ERROR) -> list[str]:
    return [finding.check for finding in found if finding.level is level]


def test_a_plain_module_is_fit(bench: Bench) -> None:
    report = bench.report(bench.build(INIT))
    assert (report.findings, report.fit, report.analysis and report.analysis.lowest) == ([], True, "manylinux_2_5")
    assert {verdict.distribution.id for verdict in report.verdicts if not verdict.runs} == {"oraclelinux-6"}


def test_every_check_says_what_to_do() -> None:
    assert len(CHECKS) > 10
    assert all(check.advice.endswith(".") for check in CHECKS.values())


def test_symbol_version(bench: Bench) -> None:
    data = bench.build("#include <stdlib.h>\nunsigned f(void) { return arc4random(); }" + INIT)
    report = bench.report(data)
    (finding,) = report.findings
    assert (finding.check, finding.level, finding.object) == ("symbol-version", Level.ERROR, MODULE)
    assert finding.details == ("GLIBC_2.36 of libc.so.6: arc4random",)
    assert report.analysis and report.analysis.lowest == "manylinux_2_36"
    assert not report.fit
    runs = {verdict.distribution.id: verdict.runs for verdict in report.verdicts}
    assert (runs["debian-11"], runs["debian-12"], runs["rhubi-9"]) == (False, True, False)
    assert bench.found(data, NEWER) == []


def test_packed_relocations(bench: Bench) -> None:
    pointers = "#include <stdio.h>\nvoid f(void) { puts(0); } int a[9]; static int *p[] = {a, a + 1}; int **q = p;"
    data = bench.build(pointers, "-Wl,-z,pack-relative-relocs", "-Wl,-Bsymbolic")
    (finding,) = bench.found(data)
    assert (finding.check, finding.details[0].split(":")[0]) == ("symbol-version", "GLIBC_ABI_DT_RELR of libc.so.6")
    assert bench.found(data, NEWER) == []


class TestUnversioned:
    SOURCE = "extern void _ZSt28__throw_bad_array_new_lengthv(void);\nvoid f(void) { %s; }\n" + INIT
    CALL = "_ZSt28__throw_bad_array_new_lengthv()"

    def test_a_symbol_that_is_called(self, bench: Bench) -> None:
        report = bench.report(bench.build(self.SOURCE % self.CALL))
        (finding,) = report.findings
        assert (finding.check, finding.level) == ("unversioned-symbol", Level.ERROR)
        assert finding.details == ("_ZSt28__throw_bad_array_new_lengthv (libstdc++.so.6 from GLIBCXX_3.4.29 on)",)
        assert report.analysis and report.analysis.lowest == "manylinux_2_34"
        assert bench.found(bench.build(self.SOURCE % self.CALL), NEWER) == []

    def test_one_that_no_relocation_names(self, bench: Bench) -> None:
        mention = '__asm__(".globl _ZSt21ios_base_library_initv");'
        data = bench.build(mention + INIT)
        assert b"_ZSt21ios_base_library_initv" in data
        assert bench.found(data) == []

    def test_one_that_the_wheel_defines(self, bench: Bench) -> None:
        own = bench.build("void _ZSt28__throw_bad_array_new_lengthv(void) {}")
        assert bench.found({MODULE: bench.build(self.SOURCE % self.CALL), "p/libown.so": own}) == []

    def test_one_that_may_be_missing(self, bench: Bench) -> None:
        weak = self.SOURCE.replace("extern", "__attribute__((weak)) extern") % f"if ({self.CALL[:-2]}) {self.CALL}"
        assert bench.found(bench.build(weak)) == []


class TestLibraries:
    def library(self, bench: Bench, *options: str) -> bytes:
        data = bench.build("int own(void) { return 1; }", "-Wl,-soname,libown.so.1", *options)
        (bench.directory / "libown.so").write_bytes(data)
        return data

    def module(self, bench: Bench, *options: str) -> bytes:
        source = "int own(void); int f(void) { return own(); }\n" + INIT
        return bench.build(source, "-L.", "-lown", *options)

    def test_one_that_is_nowhere(self, bench: Bench) -> None:
        self.library(bench)
        report = bench.report(self.module(bench))
        (finding,) = report.findings
        assert (finding.check, finding.level, finding.object) == ("library", Level.ERROR, MODULE)
        assert "libown.so.1, which is neither" in finding.message
        assert report.analysis and report.analysis.lowest == ""
        assert not any(verdict.runs for verdict in report.verdicts)

    def test_one_of_another_distribution(self, bench: Bench) -> None:
        self.library(bench)
        (finding,) = bench.found(self.module(bench), metadata="Requires-Dist: Own-Runtime>=1\n")
        assert finding.level is Level.NOTE and "own-runtime of Requires-Dist" in finding.message

    @pytest.mark.parametrize(
        ("requirement", "level"),
        [("q==1", Level.NOTE), ("p-data==2", Level.NOTE), ("q==2", Level.ERROR), ("ow", Level.ERROR),
         ("own==1; sys_platform == 'win32' and python_version == '3.11'", Level.ERROR),
         ("own==1; sys_platform == 'win32' or sys_platform == 'linux'", Level.NOTE)],
    )  # fmt: skip
    def test_who_may_bring_it(self, bench: Bench, requirement: str, level: Level) -> None:
        self.library(bench)
        (finding,) = bench.found(self.module(bench), metadata=f"Requires-Dist: {requirement}\n")
        assert (finding.check, finding.level) == ("library", level)

    @pytest.mark.parametrize("tag", ["--enable-new-dtags", "--disable-new-dtags"])
    def test_one_of_the_wheel(self, bench: Bench, tag: str) -> None:
        library = self.library(bench)
        module = self.module(bench, f"-Wl,{tag},-rpath,$ORIGIN/../p.libs")
        assert bench.found({MODULE: module, "p.libs/libown.so.1": library}) == []

    def test_one_that_no_path_leads_to(self, bench: Bench) -> None:
        library = self.library(bench)
        members: dict[str, bytes | str] = {MODULE: self.module(bench), "p.libs/libown.so.1": library}
        (finding,) = bench.found(members)
        assert finding.level is Level.ERROR and "does not lead there" in finding.message
        (finding,) = bench.found({**members, "p/__init__.py": "import ctypes; ctypes.CDLL('libown.so.1')"})
        assert finding.level is Level.WARNING

    @pytest.mark.parametrize(("tag", "inherits"), [("--disable-new-dtags", True), ("--enable-new-dtags", False)])
    def test_rpath_is_inherited_and_runpath_is_not(self, bench: Bench, tag: str, inherits: bool) -> None:
        library = self.library(bench)
        middle = bench.build("int own(void); int mid(void) { return own(); }", "-L.", "-lown", "-Wl,-soname,libmid.so")
        (bench.directory / "libmid.so").write_bytes(middle)
        options = ("-L.", "-lmid", f"-Wl,{tag},-rpath,$ORIGIN/../p.libs", "-Wl,--allow-shlib-undefined")
        module = bench.build("int mid(void); int f(void) { return mid(); }\n" + INIT, *options)
        found = bench.found({MODULE: module, "p.libs/libmid.so": middle, "p.libs/libown.so.1": library})
        assert (names(found) == []) is inherits


@pytest.mark.parametrize(
    ("path", "what"),
    [("lib", "relative to the working directory"), ("/opt/x", "of the machine that built it"),
     ("$ORIGIN/../../x", "leads out of site-packages"), ("$ORIGIN:", "an empty entry, which means the working")],
)  # fmt: skip
def test_search_paths(bench: Bench, path: str, what: str) -> None:
    (finding,) = bench.found(bench.build(INIT, f"-Wl,-rpath,{path}"))
    assert (finding.check, finding.level) == ("search-paths", Level.WARNING)
    assert what in finding.message


def test_executable_stack(bench: Bench) -> None:
    report = bench.report(bench.build(INIT, "-Wl,-z,execstack"))
    (finding,) = report.findings
    assert (finding.check, finding.level, finding.object) == ("executable-stack", Level.ERROR, MODULE)
    runs = {verdict.distribution.id: verdict.runs for verdict in report.verdicts}
    assert (runs["debian-12"], runs["debian-13"]) == (True, False)


def test_text_relocations(bench: Bench) -> None:
    (finding,) = bench.found(bench.build('int x; __asm__(".text\\n.quad x\\n");' + INIT, "-Wl,-z,notext"))
    assert (finding.check, finding.level) == ("text-relocations", Level.WARNING)


def changed_machine(data: bytes, machine: int) -> bytes:
    return data[:18] + struct.pack("<H", machine) + data[20:]


def test_alignment(bench: Bench) -> None:
    data = bench.build(INIT, "-nostdlib")
    small = changed_machine(data, 183)  # what gcc aligns for x86_64 is too little for aarch64
    name, place = NAME.replace("x86_64", "aarch64"), "p/m.abi3.so"
    (finding,) = bench.found({place: small}, name)
    assert (finding.check, finding.level) == ("alignment", Level.ERROR)
    assert "pages have 64 KiB" in finding.message
    large = changed_machine(bench.build(INIT, "-nostdlib", "-Wl,-z,max-page-size=65536"), 183)
    assert bench.found({place: large}, name) == []
    shifted = bytearray(data)
    offset = struct.unpack_from("<Q", shifted, 64 + 56 + 16)[0]
    struct.pack_into("<Q", shifted, 64 + 56 + 16, offset + 16)
    (finding,) = bench.found({MODULE: bytes(shifted)})
    assert finding.check == "alignment" and "does not load anywhere" in finding.message


class TestArchitecture:
    def test_a_module_for_another_machine(self, bench: Bench) -> None:
        (finding,) = bench.found(changed_machine(bench.build(INIT), 22))
        assert (finding.check, finding.level) == ("architecture", Level.ERROR)
        assert "It is for s390x, the wheel for x86_64" in finding.message or "machine 22" in finding.message

    def test_one_beside_that_of_the_wheel(self, bench: Bench) -> None:
        data = bench.build(INIT)
        found = bench.found({MODULE: data, "p/tools/other.so": changed_machine(data, 183)})
        assert (names(found), names(found, Level.WARNING)) == ([], ["architecture"])

    @pytest.mark.parametrize("suffix", ["cpython-312-x86_64-linux-gnu", "cpython-311-aarch64-linux-gnu"])
    def test_a_suffix_that_nobody_looks_for(self, bench: Bench, suffix: str) -> None:
        data = bench.build(INIT)
        assert names(bench.found({f"p/m.{suffix}.so": data})) == ["architecture"]
        assert bench.found({f"p/m.{suffix}.so": data, MODULE: data}) == []


class TestProcessorLevel:
    def level(self, bench: Bench, source: str, *options: str, name: str = NAME) -> list[tuple[Level, tuple[str, ...]]]:
        found = bench.found(bench.build(source + INIT, "-O3", *options), name)
        return [(finding.level, finding.details) for finding in found if finding.check == "processor-level"]

    def test_a_single_ssse3(self, bench: Bench) -> None:
        ((level, details),) = self.level(bench, 'void f(void) { __asm__ volatile("pshufb %xmm0, %xmm1"); }')
        assert level is Level.WARNING
        assert "1 of v2, the first at 0x" in details[0] and details[0].endswith("pshufb")

    def test_a_processor_that_assembly_looks_at(self, bench: Bench) -> None:
        single = 'void f(void) { __asm__ volatile("pshufb %xmm0, %xmm1"); }'
        bare = '__asm__(".text\\n.type look, @function\\nlook: cpuid\\nret\\n");'  # without a frame
        assert self.level(bench, single + bare) == []
        assert self.level(bench, single + bare.replace("cpuid", "rdtsc")) != []

    def test_a_module_named_after_what_it_needs(self, bench: Bench) -> None:
        data = bench.build('void f(void) { __asm__ volatile("pshufb %xmm0, %xmm1"); }' + INIT)
        found = bench.found({"p/_ghash_clmul.abi3.so": data}, NAME.replace("cp311-cp311", "cp311-abi3"))
        assert [(finding.check, finding.level) for finding in found] == [("processor-level", Level.NOTE)]

    def test_a_wrong_lzcnt(self, bench: Bench) -> None:
        ((level, details),) = self.level(bench, "int f(int a) { return __builtin_clz(a); }", "-mlzcnt")
        assert level is Level.ERROR and details[-1].endswith("lzcnt")

    def test_tzcnt_is_bsf_on_old_processors(self, bench: Bench) -> None:
        assert self.level(bench, "int f(int a) { return __builtin_ctz(a); }") == []

    def test_avx2_with_nothing_that_chooses(self, bench: Bench) -> None:
        ((level, _),) = self.level(bench, WIDE, "-mavx2", "-ftree-vectorize")
        assert level is Level.ERROR
        assert self.level(bench, WIDE, "-mavx2", name=NAME.replace(".whl", "-x86_64_v3.whl")) == []
        assert self.level(bench, WIDE, "-mavx512f", "-mprefer-vector-width=512", name=NAME[:-4] + "-x8664v3.whl") != []

    def test_avx2_where_the_processor_is_asked(self, bench: Bench) -> None:
        assert self.level(bench, RUN_TIME_CHOICE) == []

    def test_avx2_at_import_although_the_processor_is_asked(self, bench: Bench) -> None:
        eager = '__attribute__((constructor)) void g(void) { __asm__ volatile("vpxor %ymm0, %ymm0, %ymm0"); }'
        ((level, details),) = self.level(bench, RUN_TIME_CHOICE + eager)
        assert level is Level.ERROR
        assert "vpxor in a function that runs when it is loaded" in details[0]

    def test_one_of_several_that_something_chooses(self, bench: Bench) -> None:
        wide = bench.build(WIDE, "-O3", "-mavx2")
        found = bench.found({MODULE: bench.build(INIT), "p/libkernel-avx2.so": wide})
        assert (names(found), names(found, Level.NOTE)) == ([], ["processor-level"])

    def test_the_note_of_the_linker(self, bench: Bench) -> None:
        report = bench.report(bench.build(INIT, "-Wl,-z,x86-64-v2"))
        (finding,) = report.findings
        assert finding.level is Level.ERROR and "x86-64-v2" in finding.message
        assert report.analysis and report.analysis.lowest == ""


class TestStandardLibrary:
    SOURCE = '#include <iostream>\nextern "C" void *PyInit_m() { std::cout << 1; return 0; }'

    def test_two_copies(self, bench: Bench) -> None:
        data = bench.build(self.SOURCE, language="cc")
        copy = bench.build("int x;", "-Wl,-soname,libstdc++-1234abcd.so.6")
        found = bench.found({MODULE: data, "p.libs/libstdc++-1234abcd.so.6": copy}, NEWER)
        assert (names(found), names(found, Level.WARNING)) == ([], ["several-copies"])
        assert bench.found({MODULE: data}, NEWER) == []

    def test_exports_what_is_linked_in(self, bench: Bench) -> None:
        data = bench.build(self.SOURCE, "-static-libstdc++", language="cc")
        assert names(bench.found(data, NEWER), Level.WARNING) == ["exports-libstdcxx"]
        hidden = bench.build(self.SOURCE, "-static-libstdc++", "-Wl,--exclude-libs,ALL", language="cc")
        assert "exports-libstdcxx" not in names(bench.found(hidden, NEWER), Level.WARNING)


@pytest.mark.parametrize(
    ("name", "level"),
    [("manylinux_2_38_loongarch64", Level.WARNING), ("linux_x86_64", Level.ERROR), ("linux_armv7l", None)],
)
def test_tags_that_the_index_takes(bench: Bench, name: str, level: Level | None) -> None:
    found = bench.found({"p/a.py": ""}, f"p-1-py3-none-{name}.whl")
    assert [finding.level for finding in found] == ([level] if level else [])


@pytest.mark.parametrize(
    "make",
    [lambda data: data[:100], lambda data: data[:64] + b"\xff" * 500, lambda data: b"\x7fELF" + bytes(60)],
)
def test_a_damaged_object_is_said(bench: Bench, make: Callable[[bytes], bytes]) -> None:
    data = bench.build(INIT)
    found = bench.found({MODULE: data, "p/broken.so": make(data)})
    assert (names(found), names(found, Level.WARNING)) == ([], ["damaged"])


def test_what_only_a_linker_takes_is_left_alone(bench: Bench) -> None:
    data = bench.build("int x;", "-c")
    assert elf.parse(data).type == elf.ET_REL
    assert bench.found({MODULE: bench.build(INIT), "p/objects/init.o": data}) == []


def test_a_library_of_the_desktop_is_a_note(bench: Bench) -> None:
    (bench.directory / "libGL.so").write_bytes(bench.build("int gl(void) { return 1; }", "-Wl,-soname,libGL.so.1"))
    source = "int gl(void); int f(void) { return gl(); }\n" + INIT
    build = functools.partial(bench.build, source)
    found = bench.found(build("-L.", "-lGL"))
    assert names(found, Level.NOTE) == ["desktop-library"]
