"""Where an object's machine code lies, function by function, as .eh_frame says.

Between functions there may be tables and padding that are no instructions; a stripped object still has .eh_frame.
Format: the Linux Standard Base, "Exception Frames".
"""

from __future__ import annotations

import struct
from bisect import bisect_right
from dataclasses import dataclass

from .elf import PF_X, PT_GNU_EH_FRAME, PT_LOAD, Elf

MAX_FUNCTIONS = 2_000_000
SHF_EXECUTABLE_NAMES = {".text", ".text.unlikely", ".text.hot", ".text.startup", ".init", ".fini"}
NOP = b"\x90" * 16  # longer than any instruction: what is decoded wrongly at the end of a function ends there
_SIZES = {0: 0, 2: 2, 3: 4, 4: 8, 10: 2, 11: 4, 12: 8}  # of DW_EH_PE formats; 0 is the machine's word


@dataclass(frozen=True)
class Region:
    """Code: its address in memory, its place in the file, and its size in bytes."""

    address: int
    offset: int
    size: int


@dataclass(frozen=True)
class Code:
    """Regions put one after another, with NOP after each, and the address of each byte."""

    data: bytes
    starts: tuple[int, ...]
    regions: tuple[Region, ...]

    def address(self, at: int) -> int:
        """The address in memory of the byte at `at`."""
        index = bisect_right(self.starts, at) - 1
        return self.regions[index].address + at - self.starts[index]


def regions(elf: Elf, data: bytes) -> list[Region]:
    """The functions of an object, in order; whole sections or segments where .eh_frame leaves most of them out."""
    found, whole = functions(elf, data), executable(elf, data)
    covered = sum(region.size for region in found)
    return found if 2 * covered >= sum(region.size for region in whole) else whole


def executable(elf: Elf, data: bytes) -> list[Region]:
    """The sections that hold code, by address; the segments of an object without sections."""
    whole = [
        Region(section.address, section.offset, section.size)
        for section in elf.sections
        if section.name in SHF_EXECUTABLE_NAMES and section.offset + section.size <= len(data)
    ]
    if not whole:
        loads = [segment for segment in elf.segments if segment.type == PT_LOAD and segment.flags & PF_X]
        whole = [Region(load.address, load.offset, min(load.file_size, len(data) - load.offset)) for load in loads]
    return sorted((region for region in whole if region.size > 0), key=lambda region: region.address)


def between(elf: Elf, data: bytes, found: list[Region]) -> list[Region]:
    """What executable sections have beside `found`: hand-written assembly, tables, padding."""
    gaps = []
    for whole in executable(elf, data):
        inside = [region for region in found if whole.address <= region.address < whole.address + whole.size]
        at = whole.address
        for start, end in [(r.address, r.address + r.size) for r in inside] + [(whole.address + whole.size,) * 2]:
            if start > at:
                gaps.append(Region(at, at - whole.address + whole.offset, start - at))
            at = max(at, end)
    return gaps


def functions(elf: Elf, data: bytes) -> list[Region]:
    """The functions that .eh_frame describes, by address, without what overlaps or lies outside the file."""
    try:
        found = _frames(elf, data)
    except (struct.error, ValueError, IndexError, OverflowError):
        return []
    executable = [s for s in elf.segments if s.type == PT_LOAD and s.flags & PF_X]
    result: list[Region] = []
    end = 0
    for address, size in sorted(set(found)):
        segment = next((s for s in executable if s.address <= address < s.address + s.file_size), None)
        if segment is None or not size or address < end:
            continue
        size = min(size, segment.address + segment.file_size - address)
        end = address + size
        offset = address - segment.address + segment.offset
        if offset + size <= len(data):
            result.append(Region(address, offset, size))
    return result


def join(found: list[Region], data: bytes) -> Code:
    """The bytes of regions, to be decoded at one go."""
    starts, parts, at = [], [], 0
    for region in found:
        starts.append(at)
        parts += [data[region.offset : region.offset + region.size], NOP]
        at += region.size + len(NOP)
    return Code(b"".join(parts), tuple(starts), tuple(found))


def _frames(elf: Elf, data: bytes) -> list[tuple[int, int]]:
    """(address, size) of every frame description entry, in file order."""
    header = next(segment for segment in (*elf.segments, None) if segment is None or segment.type == PT_GNU_EH_FRAME)
    if header is None:
        return []
    word = elf.bits // 8
    version, pointer_format = struct.unpack_from("BB", data, header.offset)
    if version != 1:
        return []
    address, _ = _pointer(elf, data, header.offset + 4, header.address + 4, pointer_format)
    at = elf.offset(address)
    shift = address - at
    formats: dict[int, int] = {}
    found: list[tuple[int, int]] = []
    while len(found) < MAX_FUNCTIONS and at + 8 <= len(data):
        (length,) = struct.unpack_from(elf.order + "I", data, at)
        if length in (0, 0xFFFFFFFF):
            break
        body, end = at + 4, at + 4 + length
        (back,) = struct.unpack_from(elf.order + "I", data, body)
        if back:
            common = body - back
            if common not in formats:
                formats[common] = _pointer_format(data, common)
            start, size = _pointer(elf, data, body + 4, body + 4 + shift, formats[common])
            extent, _ = _pointer(elf, data, body + 4 + size, 0, formats[common] & 0x0F & ~8)
            found.append((start & (1 << 8 * word) - 1, extent))
        at = end
    return found


def _pointer_format(data: bytes, at: int) -> int:
    """The format of the addresses of the entries that share the common information entry at `at`."""
    if at < 0:
        raise ValueError("a frame refers to before the file")
    at += 9  # its length, id and version
    end = data.index(b"\0", at, at + 16)
    augmentation, at = data[at:end], end + 1
    if not augmentation.startswith(b"z"):
        return 0
    for _ in range(4):  # code and data alignment, return register, the augmentation's length: LEB128
        while data[at] & 0x80:
            at += 1
        at += 1
    for letter in augmentation[1:]:
        if letter == ord("R"):
            return data[at]
        if letter == ord("L"):
            at += 1
        elif letter == ord("P"):
            size = _SIZES[data[at] & 0x0F]
            at += 1 + (size or 8)
    return 0


def _pointer(elf: Elf, data: bytes, at: int, address: int, form: int) -> tuple[int, int]:
    """A pointer of a DW_EH_PE format, and its size. Raises ValueError for formats that compilers do not use here."""
    size = _SIZES.get(form & 0x0F)
    if size is None:
        raise ValueError(f"a pointer of format {form:#x}")
    size = size or elf.bits // 8
    letter = {2: "h", 4: "i", 8: "q"}[size]
    (value,) = struct.unpack_from(elf.order + (letter if form & 8 else letter.upper()), data, at)
    if form & 0x70 == 0x10:
        value += address
    elif form & 0x70:
        raise ValueError(f"a pointer relative to {form & 0x70:#x}")
    return value, size
