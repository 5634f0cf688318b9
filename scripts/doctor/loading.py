"""What makes a loader or the processor refuse an object: segments, the stack's flags, the note of the x86 level."""

from __future__ import annotations

import itertools
import struct

from .elf import ET_DYN, PF_W, PF_X, PT_GNU_STACK, PT_LOAD, SHT_NOBITS, Elf

PT_NOTE, PT_GNU_PROPERTY = 4, 0x6474E553
NT_GNU_PROPERTY_TYPE_0, GNU_PROPERTY_X86_ISA_1_NEEDED = 5, 0xC0008002
MAX_NOTES = 0x10000  # bytes
# Pages of these machines may be 64 KiB: segments must be aligned to that (pypa/manylinux #739, #1480).
PAGE_SIZES = {"aarch64": 0x10000, "ppc64le": 0x10000, "ppc64": 0x10000, "loongarch64": 0x4000}
STACK_BY_DEFAULT = {"ppc64le", "ppc64"}  # without PT_GNU_STACK, glibc gives these a stack that is not executable


def page_size(elf: Elf) -> int:
    """The largest page, in bytes, that a system of this machine may use."""
    return PAGE_SIZES.get(elf.machine, 0x1000)


def executable_stack(elf: Elf) -> str:
    """Why glibc wants an executable stack for an object, "" where it does not."""
    if elf.type == ET_DYN or elf.is_program:
        stacks = [segment for segment in elf.segments if segment.type == PT_GNU_STACK]
        if any(segment.flags & PF_X for segment in stacks):
            return "GNU_STACK is executable"
        if not stacks and elf.machine not in STACK_BY_DEFAULT:
            return "it has no GNU_STACK, which means an executable stack"
    return ""


def misaligned(elf: Elf) -> list[str]:
    """Why a loader refuses to map the segments: rules of the gABI and of glibc's elf/dl-load.c.

    Offset and address of a PT_LOAD agree modulo its alignment, which is at least a page; PT_LOADs ascend."""
    found = []
    page = page_size(elf)
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
    for first, second in itertools.pairwise(loads):
        if second.address < first.address + first.memory_size:
            found.append(f"PT_LOAD at {second.address:#x} overlaps or precedes the one at {first.address:#x}")
    return found


def defects(elf: Elf) -> list[str]:
    """What a rewriting tool may have broken: segments, an executable stack, misaligned or cut-off sections."""
    found = misaligned(elf)
    for number, load in enumerate(segment for segment in elf.segments if segment.type == PT_LOAD):
        if load.flags & PF_X and load.flags & PF_W:
            found.append(f"PT_LOAD {number} is writable and executable")
    for segment in elf.segments:
        if segment.type == PT_GNU_STACK and segment.flags & PF_X:
            found.append("asks for an executable stack")
    if not elf.has_whole_sections:
        found.append("the section headers or their names lie outside the file")
    for section in elf.sections:
        if section.address and section.align > 1 and section.address % section.align:
            found.append(f"section {section.name} at {section.address:#x} is not aligned to {section.align}")
        if section.type != SHT_NOBITS and section.offset + section.size > elf.size:
            found.append(f"section {section.name} reaches beyond the end of the file")
    return found


def isa_needed(elf: Elf, data: bytes) -> int:
    """The bits of GNU_PROPERTY_X86_ISA_1_NEEDED: 1 baseline, 2 v2, 4 v3, 8 v4; 0 without the note."""
    for segment in elf.segments:
        if segment.type not in (PT_NOTE, PT_GNU_PROPERTY):
            continue
        notes = data[segment.offset : segment.offset + min(segment.file_size, MAX_NOTES)]
        align = 8 if segment.align == 8 else 4
        at = 0
        while at + 12 <= len(notes):
            name_size, size, kind = struct.unpack_from(elf.order + "III", notes, at)
            name, start = notes[at + 12 : at + 12 + name_size], at + 12 + (name_size + 3) // 4 * 4
            if name == b"GNU\0" and kind == NT_GNU_PROPERTY_TYPE_0:
                return _property(notes[start : start + size], elf)
            at = start + (size + align - 1) // align * align
    return 0


def _property(data: bytes, elf: Elf) -> int:
    word, at = elf.bits // 8, 0
    while at + 12 <= len(data):
        kind, size = struct.unpack_from(elf.order + "II", data, at)
        if kind == GNU_PROPERTY_X86_ISA_1_NEEDED:
            return int(struct.unpack_from(elf.order + "I", data, at + 8)[0])
        at += 8 + (size + word - 1) // word * word
    return 0
