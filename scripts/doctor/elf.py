"""What the dynamic loader sees of an ELF file, for both classes and byte orders.

The file may be hostile: every count and offset in it is checked against the file's size and the limits below, so that a
parse takes time and memory in proportion to the file. Sections are read where they are whole; the loader ignores them.
Rules: the gABI (https://gabi.xinuos.com), the Linux Standard Base for versions, and glibc's elf.h for the GNU parts.
Over 350 lines, since one class reads the whole format.
"""

from __future__ import annotations

import struct
import sys
from array import array
from dataclasses import dataclass
from typing import Any

from .machines import IRELATIVE, machine_name

MAGIC = b"\x7fELF"
ET_REL, ET_EXEC, ET_DYN = 1, 2, 3
PT_LOAD, PT_DYNAMIC, PT_INTERP = 1, 2, 3
PT_GNU_EH_FRAME, PT_GNU_STACK = 0x6474E550, 0x6474E551
PF_X, PF_W = 1, 2
SHT_SYMTAB, SHT_NOBITS, SHT_DYNSYM = 2, 8, 11
DT_NEEDED, DT_PLTRELSZ, DT_HASH, DT_STRTAB, DT_SYMTAB, DT_RELA, DT_RELASZ, DT_INIT = 1, 2, 4, 5, 6, 7, 8, 12
DT_SONAME, DT_RPATH, DT_REL, DT_RELSZ, DT_PLTREL, DT_TEXTREL, DT_JMPREL = 14, 15, 17, 18, 20, 22, 23
DT_INIT_ARRAY, DT_INIT_ARRAYSZ, DT_RUNPATH, DT_FLAGS, DT_RELRSZ = 25, 27, 29, 30, 35
DT_GNU_HASH, DT_VERSYM, DT_FLAGS_1 = 0x6FFFFEF5, 0x6FFFFFF0, 0x6FFFFFFB
DT_VERDEF, DT_VERDEFNUM, DT_VERNEED, DT_VERNEEDNUM = 0x6FFFFFFC, 0x6FFFFFFD, 0x6FFFFFFE, 0x6FFFFFFF
DF_TEXTREL, DF_1_PIE = 4, 0x08000000
STB_LOCAL, STB_GLOBAL, STB_WEAK, STB_GNU_UNIQUE = 0, 1, 2, 10
STT_GNU_IFUNC = 10
MAX_NAME = 0x10000  # bytes; the longest C++ names in use have some 10,000
MAX_NAMES = 1 << 28  # bytes of all names together: overlapping ones could be many times as long as the file
MAX_SYMBOLS = 2_000_000
MAX_ENTRIES = 100_000  # dynamic tags, versions: real files have a few hundred


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


@dataclass(frozen=True, slots=True)
class Symbol:
    """A global dynamic symbol. `library` is the file that an import's version comes from, "" without a version.

    `used`: some relocation names it; only such an import is ever looked up."""

    name: str
    version: str
    library: str
    bind: int
    type: int
    address: int
    used: bool


@dataclass(frozen=True)
class Elf:
    """An ELF file; versions are (library, version) pairs such as ("libc.so.6", "GLIBC_2.17").

    `init` holds the addresses of the functions that run when the file is loaded."""

    machine: str
    bits: int
    order: str
    type: int
    flags: int
    segments: tuple[Segment, ...]
    sections: tuple[Section, ...]
    has_whole_sections: bool
    interpreter: str
    needed: tuple[str, ...]
    soname: str
    rpath: str
    runpath: str
    needed_versions: tuple[tuple[str, str], ...]
    defined_versions: tuple[str, ...]
    imports: tuple[Symbol, ...]
    exports: tuple[Symbol, ...]
    init: tuple[int, ...]
    is_dynamic: bool
    is_program: bool
    text_relocations: bool
    relr: bool
    ifunc: bool
    size: int

    def section(self, name: str) -> Section | None:
        """The section of that name."""
        return next((section for section in self.sections if section.name == name), None)

    def offset(self, address: int) -> int:
        """Where in the file an address of memory comes from. Raises ValueError where no segment holds it."""
        return file_offset(self.segments, address)


def parse(data: bytes) -> Elf:
    """Reads an ELF file. Raises ValueError where it is not one, is cut off, or contradicts itself."""
    if data[:4] != MAGIC or len(data) < 20:
        raise ValueError("not an ELF file")
    if data[4] not in (1, 2) or data[5] not in (1, 2):
        raise ValueError(f"an ELF file of unknown class {data[4]} or byte order {data[5]}")
    try:
        return _Reader(data).elf()
    except (struct.error, IndexError, OverflowError) as error:
        raise ValueError(f"a truncated ELF file: {error}") from error


def file_offset(segments: tuple[Segment, ...], address: int) -> int:
    """Where in the file an address of memory comes from. Raises ValueError where no segment holds it."""
    for segment in segments:
        if segment.type == PT_LOAD and segment.address <= address < segment.address + segment.file_size:
            return address - segment.address + segment.offset
    raise ValueError(f"no segment holds the address {address:#x}")


class _Reader:
    def __init__(self, data: bytes) -> None:
        self.data = data
        self.wide = data[4] == 2
        self.order = "<" if data[5] == 1 else ">"
        self.word = 8 if self.wide else 4
        self.names_left = MAX_NAMES
        self.segments: tuple[Segment, ...] = ()
        self.tags: dict[int, list[int]] = {}

    def unpack(self, layout: str, at: int) -> tuple[Any, ...]:
        return struct.unpack_from(self.order + layout, self.data, at)

    def elf(self) -> Elf:
        file_type, code = self.unpack("HH", 16)
        header = self.unpack("QQQIHHHHHH" if self.wide else "IIIIHHHHHH", 24)
        _, phoff, shoff, flags, _, phentsize, phnum, shentsize, shnum, shstrndx = header
        self.segments = tuple(self.segment(phoff + index * phentsize) for index in range(phnum))
        self.code, self.tags = code, self.dynamic()
        strings = file_offset(self.segments, self.tags[DT_STRTAB][0]) if DT_STRTAB in self.tags else 0
        sections = self.sections(shoff, shentsize, shnum, shstrndx)

        def text(tag: int) -> tuple[str, ...]:
            return tuple(self.string(strings + value) for value in self.tags.get(tag, []))

        needed, versions = self.needed_versions(strings)
        defined, own = self.defined_versions(strings)
        used, ifunc = self.relocations()
        imports, exports = self.symbols(strings, sections, used, {**own, **versions})
        interpreter = [self.string(s.offset) for s in self.segments if s.type == PT_INTERP and s.file_size]
        pie = bool(self.tag(DT_FLAGS_1) & DF_1_PIE)
        return Elf(
            machine=machine_name(code, self.wide, self.order),
            bits=64 if self.wide else 32,
            order=self.order,
            type=file_type,
            flags=flags,
            segments=self.segments,
            sections=sections,
            has_whole_sections=len(sections) == shnum,
            interpreter="".join(interpreter[:1]),
            needed=text(DT_NEEDED),
            soname="".join(text(DT_SONAME)),
            rpath=":".join(text(DT_RPATH)),
            runpath=":".join(text(DT_RUNPATH)),
            needed_versions=needed,
            defined_versions=defined,
            imports=imports,
            exports=exports,
            init=self.init(),
            is_dynamic=bool(self.tags),
            is_program=file_type == ET_EXEC or pie or (bool(interpreter) and DT_SONAME not in self.tags),
            text_relocations=DT_TEXTREL in self.tags or bool(self.tag(DT_FLAGS) & DF_TEXTREL),
            relr=self.tag(DT_RELRSZ) > 0,
            ifunc=ifunc or any(symbol.type == STT_GNU_IFUNC for symbol in exports),
            size=len(self.data),
        )

    def segment(self, at: int) -> Segment:
        if self.wide:
            kind, flags, offset, address, _, filesz, memsz, align = self.unpack("IIQQQQQQ", at)
        else:
            kind, offset, address, _, filesz, memsz, flags, align = self.unpack("IIIIIIII", at)
        return Segment(kind, flags, offset, address, filesz, memsz, align)

    def sections(self, shoff: int, step: int, count: int, names: int) -> tuple[Section, ...]:
        """The section headers; none where they or their names lie outside the file: the loader does not read them."""
        layout = "IIQQQQIIQQ" if self.wide else "IIIIIIIIII"
        try:
            raw = [self.unpack(layout, shoff + index * step) for index in range(count)]
            base = raw[names][4] if raw else 0
            return tuple(Section(self.string(base + r[0]), r[1], r[3], r[4], r[5], r[6], r[7], r[8]) for r in raw)
        except (struct.error, IndexError, OverflowError, ValueError):
            return ()

    def tag(self, tag: int) -> int:
        """The first value of a dynamic tag, 0 without."""
        return self.tags.get(tag, [0])[0]

    def dynamic(self) -> dict[int, list[int]]:
        found: dict[int, list[int]] = {}
        for segment in self.segments:
            if segment.type != PT_DYNAMIC:
                continue
            for index in range(min(segment.file_size // (2 * self.word), MAX_ENTRIES)):
                tag, value = self.unpack("qQ" if self.wide else "iI", segment.offset + index * 2 * self.word)
                if tag == 0:
                    break
                found.setdefault(tag, []).append(value)
        return found

    def string(self, at: int) -> str:
        end = self.data.find(b"\0", at, at + MAX_NAME)
        if end < 0:
            raise ValueError(f"no text ends within {MAX_NAME} bytes of {at:#x}")
        self.names_left -= end - at
        if self.names_left < 0:
            raise ValueError(f"its names have more than {MAX_NAMES} bytes")
        return self.data[at:end].decode("utf-8", "replace")

    def words(self, address: int, size: int, width: int) -> array[int]:
        """The unsigned numbers of `width` bytes at an address of memory, as many as the file has of `size` bytes."""
        at = file_offset(self.segments, address)
        size = max(0, min(size, len(self.data) - at))
        numbers = array({2: "H", 4: "I", 8: "Q"}[width], self.data[at : at + size - size % width])
        if (sys.byteorder == "little") != (self.order == "<"):
            numbers.byteswap()
        return numbers

    def needed_versions(self, strings: int) -> tuple[tuple[tuple[str, str], ...], dict[int, tuple[str, str]]]:
        found, by_index = [], {}
        at = file_offset(self.segments, self.tag(DT_VERNEED)) if DT_VERNEED in self.tags else 0
        for _ in range(min(self.tag(DT_VERNEEDNUM), MAX_ENTRIES) if at else 0):
            _, count, file, first, step = self.unpack("HHIII", at)
            library, version_at = self.string(strings + file), at + first
            for _ in range(count):
                _, _, index, name, following = self.unpack("IHHII", version_at)
                by_index[index & 0x7FFF] = (library, self.string(strings + name))
                found.append(by_index[index & 0x7FFF])
                if len(found) > MAX_ENTRIES:
                    raise ValueError(f"it needs more than {MAX_ENTRIES} versions")
                version_at += following
            if not step:
                break
            at += step
        return tuple(found), by_index

    def defined_versions(self, strings: int) -> tuple[tuple[str, ...], dict[int, tuple[str, str]]]:
        found, by_index = [], {}
        at = file_offset(self.segments, self.tag(DT_VERDEF)) if DT_VERDEF in self.tags else 0
        for _ in range(min(self.tag(DT_VERDEFNUM), MAX_ENTRIES) if at else 0):
            _, _, index, _, _, first, step = self.unpack("HHHHIII", at)
            found.append(self.string(strings + self.unpack("I", at + first)[0]))
            by_index[index & 0x7FFF] = ("", found[-1])
            if not step:
                break
            at += step
        return tuple(found), by_index

    def relocations(self) -> tuple[set[int], bool]:
        """The numbers of the symbols that relocations name, and whether any relocation calls a resolver."""
        used: set[int] = set()
        ifunc = False
        jump_step = 3 if self.tag(DT_PLTREL) == DT_RELA else 2
        for table, size, step in ((DT_RELA, DT_RELASZ, 3), (DT_REL, DT_RELSZ, 2), (DT_JMPREL, DT_PLTRELSZ, jump_step)):
            if self.tag(table) and self.tag(size):
                distinct = set(self.words(self.tag(table), self.tag(size), self.word)[1::step])
                shift, mask = (32, 0xFFFFFFFF) if self.wide else (8, 0xFF)
                used.update(info >> shift for info in distinct)
                ifunc = ifunc or any(info & mask == IRELATIVE.get(self.code) for info in distinct)
        return used - {0}, ifunc

    def symbols(
        self, strings: int, sections: tuple[Section, ...], used: set[int], versions: dict[int, tuple[str, str]]
    ) -> tuple[tuple[Symbol, ...], tuple[Symbol, ...]]:
        if DT_SYMTAB not in self.tags:
            return (), ()
        step = 24 if self.wide else 16
        at = file_offset(self.segments, self.tag(DT_SYMTAB))
        count = max(self.hashed(), max(used, default=0) + 1)
        count = max([count, *(s.size // step for s in sections if s.type == SHT_DYNSYM and s.offset == at)])
        count = min(count, (len(self.data) - at) // step)
        if count > MAX_SYMBOLS:
            raise ValueError(f"it has more than {MAX_SYMBOLS} symbols")
        numbers = self.words(self.tag(DT_VERSYM), count * 2, 2) if DT_VERSYM in self.tags else ()
        imports: list[Symbol] = []
        exports: list[Symbol] = []
        layout = self.order + ("IBBHQQ" if self.wide else "IIIBBH")
        table = self.data[at : at + count * step]
        for index, raw in enumerate(struct.iter_unpack(layout, table)):
            if self.wide:
                name, info, _, section, value, _ = raw
            else:
                name, value, _, info, _, section = raw
            if info >> 4 == STB_LOCAL or not name:
                continue
            number = numbers[index] & 0x7FFF if index < len(numbers) else 1
            library, version = versions.get(number, ("", "")) if number > 1 else ("", "")
            bind, kind, text = info >> 4, info & 15, self.string(strings + name)
            (exports if section else imports).append(Symbol(text, version, library, bind, kind, value, index in used))
        return tuple(imports), tuple(exports)

    def hashed(self) -> int:
        """How many symbols the hash tables count; the GNU one leaves out what is not defined here."""
        count = 0
        width = 8 if self.code == 22 and self.wide else 4  # s390x has 64-bit words
        if DT_HASH in self.tags:
            count = [*self.words(self.tag(DT_HASH), 2 * width, width), 0, 0][1]
        if DT_GNU_HASH in self.tags:
            buckets, first, bloom = self.unpack("III", file_offset(self.segments, self.tag(DT_GNU_HASH)))
            start = self.tag(DT_GNU_HASH) + 16 + bloom * self.word
            last = max(self.words(start, buckets * 4, 4), default=0)
            if last >= first:
                chain = self.words(start + buckets * 4 + (last - first) * 4, MAX_SYMBOLS * 4, 4)
                last += next((number for number, value in enumerate(chain) if value & 1), len(chain))
                count = max(count, last + 1)
        return count

    def init(self) -> tuple[int, ...]:
        """The addresses of the functions that run at load: DT_INIT, and the array's, in place or from relocations."""
        found = [self.tag(DT_INIT)]
        start, size = self.tag(DT_INIT_ARRAY), self.tag(DT_INIT_ARRAYSZ)
        if start and size:
            found += self.words(start, min(size, MAX_ENTRIES * self.word), self.word)
            if self.tag(DT_RELA) and self.tag(DT_RELASZ):
                rela = self.words(self.tag(DT_RELA), self.tag(DT_RELASZ), self.word)
                for place, info, addend in zip(rela[0::3], rela[1::3], rela[2::3], strict=False):
                    if start <= place < start + size:
                        found.append(self.symbol_value(info >> (32 if self.wide else 8)) + addend)
        nothing = (0, (1 << self.word * 8) - 1)
        return tuple(dict.fromkeys(address for address in found if address not in nothing))

    def symbol_value(self, number: int) -> int:
        """The address of a symbol by its number, 0 for number 0."""
        at = file_offset(self.segments, self.tag(DT_SYMTAB)) + number * (24 if self.wide else 16)
        return int(self.unpack("Q" if self.wide else "I", at + (8 if self.wide else 4))[0]) if number else 0
