"""A shared library of any class and byte order, made without a compiler."""

from __future__ import annotations

import struct


def shared_library(bits: int = 64, order: str = "<", machine: int = 62) -> bytes:
    """A small shared library: two PT_LOADs, a dynamic section with names, versions it defines and versions it needs."""
    wide = bits == 64
    names = b"\0libp.so.1\0libm.so.6\0$ORIGIN/x\0SMOKE_1\0GLIBC_2.17\0.shstrtab\0.text\0"
    at = {name: names.index(b"\0" + name + b"\0") + 1 for name in names.split(b"\0") if name}
    strings = 0x400
    tags = [(14, at[b"libp.so.1"]), (1, at[b"libm.so.6"]), (29, at[b"$ORIGIN/x"]), (5, strings)]
    tags += [(0x6FFFFFFC, 0x600), (0x6FFFFFFD, 1), (0x6FFFFFFE, 0x700), (0x6FFFFFFF, 1), (0, 0)]
    dynamic = b"".join(struct.pack(order + ("qQ" if wide else "iI"), *tag) for tag in tags)
    defined = struct.pack(order + "HHHHIII", 1, 0, 1, 1, 0, 20, 0) + struct.pack(order + "II", at[b"SMOKE_1"], 0)
    needed = struct.pack(order + "HHIII", 1, 1, at[b"libm.so.6"], 16, 0)
    needed += struct.pack(order + "IHHII", 0, 0, 2, at[b"GLIBC_2.17"], 0)
    # type, flags, offset, address, file size, memory size, alignment
    segments = [
        (1, 5, 0, 0, 0x1000, 0x1000, 0x1000),
        (1, 6, 0x1000, 0x1000, 0x1000, 0x1000, 0x1000),
        (2, 6, 0x500, 0x500, len(dynamic), len(dynamic), 8),
        (0x6474E551, 6, 0, 0, 0, 0, 16),
    ]
    # name, type, address, offset, size, link, info, alignment
    sections = [
        (0, 0, 0, 0, 0, 0, 0, 0),
        (at[b".shstrtab"], 3, 0, strings, len(names), 0, 0, 1),
        (0, 0x6FFFFFFD, 0, 0x600, len(defined), 1, 1, 4),
        (0, 0x6FFFFFFE, 0, 0x700, len(needed), 1, 1, 4),
        (at[b".text"], 1, 0x800, 0x800, 16, 0, 0, 16),
    ]
    content = bytearray(0x3000)
    head = (
        b"\x7fELF"
        + bytes([bits // 32, 1 if order == "<" else 2, 1])
        + bytes(9)
        + struct.pack(order + "HHI", 3, machine, 1)
    )
    sizes = (64, 56, 64) if wide else (52, 32, 40)
    layout = order + ("QQQIHHHHHH" if wide else "IIIIHHHHHH")
    head += struct.pack(layout, 0, sizes[0], 0x2000, 0, sizes[0], sizes[1], len(segments), sizes[2], len(sections), 1)
    table = b"".join(
        struct.pack(order + "IIQQQQQQ", kind, flags, offset, address, address, size, memory, align)
        if wide
        else struct.pack(order + "IIIIIIII", kind, offset, address, address, size, memory, flags, align)
        for kind, flags, offset, address, size, memory, align in segments
    )
    rows = b"".join(
        struct.pack(
            order + ("IIQQQQIIQQ" if wide else "IIIIIIIIII"), name, kind, 0, address, offset, size, link, info, align, 0
        )
        for name, kind, address, offset, size, link, info, align in sections
    )
    parts = {0: head + table, strings: names, 0x500: dynamic, 0x600: defined, 0x700: needed, 0x2000: rows}
    for start, part in parts.items():
        content[start : start + len(part)] = part
    return bytes(content)
