"""Just enough of ELF to judge extension modules and grafted libraries, for both classes and byte orders."""

from __future__ import annotations

import itertools
import struct
from dataclasses import dataclass
from pathlib import Path

MAGIC = b"\x7fELF"
PT_LOAD, PT_DYNAMIC, PT_INTERP, PT_GNU_STACK = 1, 2, 3, 0x6474E551
PF_X, PF_W = 1, 2
SHT_SYMTAB, SHT_NOBITS, SHT_GNU_VERNEED, SHT_GNU_VERDEF = 2, 8, 0x6FFFFFFE, 0x6FFFFFFD
DT_NEEDED, DT_SONAME, DT_RPATH, DT_RUNPATH = 1, 14, 15, 29
MACHINES = {3: "i686", 62: "x86_64", 183: "aarch64", 40: "armv7l", 21: "ppc64le", 22: "s390x", 243: "riscv64",
            258: "loongarch64"}  # fmt: skip
# Pages of these machines may be 64 KiB: segments must be aligned to that (pypa/manylinux #739, #1480).
PAGE_SIZES = {"aarch64": 0x10000, "ppc64le": 0x10000, "loongarch64": 0x4000}


@dataclass(frozen=True)
class Segment:
    """A program header."""

    type: int
    flags: int
    offset: int
    address: int
    file_size: int
    memory_size: int
    align: int


@dataclass(frozen=True)
class Section:
    """A section header with its name."""

    name: str
    type: int
    address: int
    offset: int
    size: int
    link: int
    info: int
    align: int


@dataclass(frozen=True)
class Elf:
    """What the checks ask of an ELF file; versions are (library, version) pairs such as ("libc.so.6", "GLIBC_2.17")."""

    machine: str
    bits: int
    segments: tuple[Segment, ...]
    sections: tuple[Section, ...]
    needed: tuple[str, ...]
    soname: str
    rpath: str
    runpath: str
    needed_versions: tuple[tuple[str, str], ...]
    defined_versions: tuple[str, ...]
    size: int

    def section(self, name: str) -> Section | None:
        """The section of that name."""
        return next((section for section in self.sections if section.name == name), None)


def is_elf(path: Path) -> bool:
    """Whether a file begins like ELF; unreadable ones do not."""
    try:
        with path.open("rb") as file:
            return file.read(4) == MAGIC
    except OSError:
        return False


def loader(program: Path) -> str:
    """The dynamic loader that a program names. Raises ValueError where it names none."""
    data = program.read_bytes()
    for segment in parse(data).segments:
        if segment.type == PT_INTERP:
            return _string(data, segment.offset)
    raise ValueError(f"{program} is not dynamically linked")


def parse(data: bytes) -> Elf:
    """Reads an ELF image. Raises ValueError where it is not one, or is cut off."""
    if data[:4] != MAGIC or len(data) < 20:
        raise ValueError("not an ELF file")
    try:
        return _parse(data)
    except (struct.error, IndexError) as error:
        raise ValueError(f"a truncated ELF file: {error}") from error


def _parse(data: bytes) -> Elf:
    wide = data[4] == 2
    order = "<" if data[5] == 1 else ">"
    machine = struct.unpack_from(order + "H", data, 18)[0]
    header = struct.unpack_from(order + ("QQQIHHHHHH" if wide else "IIIIHHHHHH"), data, 24)
    _, phoff, shoff, _, _, phentsize, phnum, shentsize, shnum, shstrndx = header
    segments = []
    for index in range(phnum):
        at = phoff + index * phentsize
        if wide:
            kind, flags, offset, address, _, filesz, memsz, align = struct.unpack_from(order + "IIQQQQQQ", data, at)
        else:
            kind, offset, address, _, filesz, memsz, flags, align = struct.unpack_from(order + "IIIIIIII", data, at)
        segments.append(Segment(kind, flags, offset, address, filesz, memsz, align))
    raw = []
    for index in range(shnum):
        layout = order + ("IIQQQQIIQQ" if wide else "IIIIIIIIII")
        raw.append(struct.unpack_from(layout, data, shoff + index * shentsize))
    names = raw[shstrndx][4] if raw else 0
    sections = tuple(Section(_string(data, names + r[0]), r[1], r[3], r[4], r[5], r[6], r[7], r[8]) for r in raw)
    tags = _dynamic(data, segments, order, wide)
    strings = _file_offset(segments, tags[5][0]) if 5 in tags else 0  # DT_STRTAB

    def text(tag: int) -> tuple[str, ...]:
        return tuple(_string(data, strings + value) for value in tags.get(tag, []))

    return Elf(
        machine=MACHINES.get(machine, str(machine)),
        bits=64 if wide else 32,
        segments=tuple(segments),
        sections=sections,
        needed=text(DT_NEEDED),
        soname="".join(text(DT_SONAME)),
        rpath=":".join(text(DT_RPATH)),
        runpath=":".join(text(DT_RUNPATH)),
        needed_versions=_needed_versions(data, sections, order),
        defined_versions=_defined_versions(data, sections, order),
        size=len(data),
    )


def _dynamic(data: bytes, segments: list[Segment], order: str, wide: bool) -> dict[int, list[int]]:
    found: dict[int, list[int]] = {}
    entry = order + ("qQ" if wide else "iI")
    step = struct.calcsize(entry)
    for segment in segments:
        if segment.type == PT_DYNAMIC:
            for at in range(segment.offset, segment.offset + segment.file_size, step):
                tag, value = struct.unpack_from(entry, data, at)
                if tag == 0:
                    break
                found.setdefault(tag, []).append(value)
    return found


def _file_offset(segments: list[Segment], address: int) -> int:
    for segment in segments:
        if segment.type == PT_LOAD and segment.address <= address < segment.address + segment.file_size:
            return address - segment.address + segment.offset
    raise ValueError(f"no segment holds the address {address:#x}")


def _string(data: bytes, at: int) -> str:
    return data[at : data.index(b"\0", at)].decode("utf-8", "replace")


def _needed_versions(data: bytes, sections: tuple[Section, ...], order: str) -> tuple[tuple[str, str], ...]:
    found = []
    for section in sections:
        if section.type != SHT_GNU_VERNEED:
            continue
        strings, at = sections[section.link].offset, section.offset
        for _ in range(section.info):
            _, count, file, first, step = struct.unpack_from(order + "HHIII", data, at)
            version_at = at + first
            for _ in range(count):
                _, _, _, name, following = struct.unpack_from(order + "IHHII", data, version_at)
                found.append((_string(data, strings + file), _string(data, strings + name)))
                version_at += following
            at += step
    return tuple(found)


def _defined_versions(data: bytes, sections: tuple[Section, ...], order: str) -> tuple[str, ...]:
    found = []
    for section in sections:
        if section.type != SHT_GNU_VERDEF:
            continue
        strings, at = sections[section.link].offset, section.offset
        for _ in range(section.info):
            _, _, _, _, _, first, step = struct.unpack_from(order + "HHHHIII", data, at)
            name = struct.unpack_from(order + "I", data, at + first)[0]
            found.append(_string(data, strings + name))
            at += step
    return tuple(found)


def defects(elf: Elf) -> list[str]:
    """What a rewriting tool may have broken: misaligned, overlapping or cut-off segments and sections.

    The rules are those of the gABI: offset and address of a PT_LOAD agree modulo its alignment, PT_LOADs ascend."""
    found = []
    page = PAGE_SIZES.get(elf.machine, 0x1000)
    loads = [segment for segment in elf.segments if segment.type == PT_LOAD]
    if not loads:
        found.append("no PT_LOAD segment")
    for number, load in enumerate(loads):
        if load.align > 1 and load.offset % load.align != load.address % load.align:
            found.append(
                f"PT_LOAD {number}: offset {load.offset:#x} and address {load.address:#x} disagree "
                f"modulo {load.align:#x}"
            )
        if load.align < page:
            found.append(f"PT_LOAD {number} is aligned to {load.align:#x}, less than a page of {page:#x}")
        if load.offset + load.file_size > elf.size:
            found.append(f"PT_LOAD {number} reaches beyond the end of the file")
        if load.file_size > load.memory_size:
            found.append(f"PT_LOAD {number} is larger in the file than in memory")
        if load.flags & PF_X and load.flags & PF_W:
            found.append(f"PT_LOAD {number} is writable and executable")
    for first, second in itertools.pairwise(loads):
        if second.address < first.address + first.memory_size:
            found.append(f"PT_LOAD at {second.address:#x} overlaps or precedes the one at {first.address:#x}")
    for segment in elf.segments:
        if segment.type == PT_GNU_STACK and segment.flags & PF_X:
            found.append("asks for an executable stack")
    for section in elf.sections:
        if section.address and section.align > 1 and section.address % section.align:
            found.append(f"section {section.name} at {section.address:#x} is not aligned to {section.align}")
        if section.type != SHT_NOBITS and section.offset + section.size > elf.size:
            found.append(f"section {section.name} reaches beyond the end of the file")
    return found
