"""Which level of x86-64 the instructions of an object need, and whether anything chooses between levels at run time.

Levels are those of the x86-64 psABI. Two decoders give the same answer: objdump, which every image has, and iced-x86,
which the developers' environment has. Both get the functions alone, so that neither stumbles over tables in between.
"""

from __future__ import annotations

import os
import re
from collections import Counter, deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Protocol

from . import code
from .elf import Elf

CHUNK = 2 << 20  # bytes decoded at one go: about half a million instructions
MAX_CODE = 1 << 29  # bytes of code of one wheel
LEVEL_2 = frozenset(
    "addsubpd addsubps fisttp haddpd haddps hsubpd hsubps lddqu movddup movshdup movsldup "
    "pabsb pabsd pabsw palignr phaddd phaddsw phaddw phsubd phsubsw phsubw pmaddubsw pmulhrsw pshufb psignb psignd "
    "psignw blendpd blendps blendvpd blendvps dppd dpps extractps insertps movntdqa mpsadbw packusdw pblendvb pblendw "
    "pcmpeqq pextrb pextrd pextrq pextrw phminposuw pinsrb pinsrd pinsrq pmaxsb pmaxsd pmaxud pmaxuw pminsb pminsd "
    "pminud pminuw pmovsxbd pmovsxbq pmovsxbw pmovsxdq pmovsxwd pmovsxwq pmovzxbd pmovzxbq pmovzxbw pmovzxdq pmovzxwd "
    "pmovzxwq pmuldq pmulld ptest roundpd roundps roundsd roundss crc32 pcmpestri pcmpestrm pcmpgtq pcmpistri "
    "pcmpistrm popcnt cmpxchg16b lahf sahf".split()
)
LEVEL_3 = frozenset("lzcnt movbe".split())  # encoded as of old; the others have VEX
VEX_WITHOUT_V = frozenset("andn bextr blsi blsmsk blsr bzhi mulx pdep pext rorx sarx shlx shrx".split())
DISPATCH = frozenset(("cpuid", "xgetbv"))
_SYSTEM = re.compile(r"ver[rw]|vm(?:call|clear|func|launch|load|mcall|ptrld|ptrst|read|resume|run|save|write|xoff|xon)")
_MASK = re.compile(r"k(?:add|and|andn|mov|not|or|ortest|shift[lr]|test|unpck|xnor|xor)[a-z]{1,2}")
_LEGACY = re.compile(
    r"(?:add|sub|mul|div|min|max|sqrt|cmp[a-z]*|andn?|x?or|mova|movu|movnt|unpck[lh]|shuf|u?comis?|rcp|rsqrt|round|"
    r"blendv?|dp|hadd|hsub|addsub|movs?|movmsk|mov[hl]|movhl|movlh)(?:ps|pd|ss|sd)|cvt\w+|movdq[au]|movnt(?:dq|q)a?|"
    r"mov[dq]|movdq2q|movq2dq|p(?:abs|add|sub|and|avg|cmp|max|min|mul|madd|mov|sad|shuf|sign|unpck)\w*|por|pxor|"
    r"pandn|pack\w+|palignr|ps[lr][la]\w+|pinsr\w|pextr\w|pblend\w+|ptest|lddqu|mpsadbw|extractps|insertps"
)
_EXTRACT_TO_MEMORY = b"\x0f\x3a\x15"  # PEXTRW of SSE4.1; the one of SSE2 has another code
_SIGNS = re.compile(
    r"__cpu_(?:model|indicator_init)|__get_cpuid|getauxval|(?i:cpu_?(?:supports|features?|flags|info|id|detect))"
)


@dataclass(frozen=True)
class Decoded:
    """Instructions by name, and (place, name) of each that is above the baseline of 2003 or VEX- or EVEX-encoded."""

    counts: Counter[str]
    hits: list[tuple[int, str]]


class Decoder(Protocol):
    """Turns machine code of 32 or 64 bits into instructions, as Intel names them."""

    def decode(self, data: bytes, bits: int) -> Decoded:
        """Decodes from the first byte to the last. Raises errors.Failure where it cannot."""


@dataclass(frozen=True)
class Scan:
    """What the instructions of an object say.

    `counts`: the "bytes" of code, and how many instructions are "legacy" (SSE without VEX), "v2", "v3" and "v4" (with
    VEX or EVEX; LZCNT and MOVBE); `first`: the first of each level, as `0x1234 pshufb`. `entry`: instructions above v2
    in functions that run when the object is loaded. `dispatch`: what shows that something chooses between levels."""

    counts: dict[str, int]
    first: dict[str, str]
    entry: tuple[str, ...]
    dispatch: str

    @property
    def has_no_choice(self) -> bool:
        """Whether so much of it is above v2 that no dispatch can be meant: the baseline is higher.

        Objects with dispatch have from 0.15 to 10 SSE instructions for each with VEX or EVEX; those that were compiled
        for a newer processor have next to none."""
        above = self.counts["v3"] + self.counts["v4"]
        return above > (2000 if self.dispatch else 0) and 100 * self.counts["legacy"] < above


class Scanner:
    """Scans objects with one decoder, up to MAX_CODE bytes."""

    def __init__(self, decoder: Decoder) -> None:
        self.decoder = decoder
        self.left = MAX_CODE
        self.complaint = ""

    def scan(self, elf: Elf, data: bytes) -> Scan | None:
        """What the instructions of an object say; None where it is not x86, or the limit is reached."""
        if elf.machine not in ("x86_64", "i686"):
            return None
        found = code.regions(elf, data)
        size = sum(region.size for region in found)
        if size > self.left:
            self.complaint = f"only {MAX_CODE >> 20} MiB of code were scanned"
            return None
        self.left -= size
        totals: Counter[str] = Counter()
        first: dict[str, str] = {}
        signs: set[str] = set()
        for joined, decoded in self._decoded(elf, data, found):
            totals["legacy"] += sum(n for name, n in decoded.counts.items() if _LEGACY.fullmatch(name))
            signs |= DISPATCH & decoded.counts.keys()
            for at, name in decoded.hits:
                if level := level_of(name, joined.data[at : at + 15], elf.bits):
                    totals[level] += 1
                    first.setdefault(level, f"{joined.address(at):#x} {name}")
        names = (symbol.name for symbol in (*elf.imports, *elf.exports))
        signs |= {name for name in names if _SIGNS.search(name)} | ({"IFUNC"} if elf.ifunc else set())
        if first and not signs:  # what asks the processor may be hand-written assembly, without a frame
            for _, decoded in self._decoded(elf, data, code.between(elf, data, found)):
                signs |= DISPATCH & decoded.counts.keys()
        counts = {"bytes": size, **{name: totals[name] for name in ("legacy", "v2", "v3", "v4")}}
        entry = self._entry(elf, data, found) if counts["v3"] or counts["v4"] else ()
        return Scan(counts, first, entry, min(signs, default=""))

    def _decoded(self, elf: Elf, data: bytes, found: list[code.Region]) -> Iterator[tuple[code.Code, Decoded]]:
        """The chunks of an object, in order, decoded side by side: what waits is objdump, a process of its own."""
        workers = min(4, os.cpu_count() or 1) + 1  # one of them reads what objdump wrote
        waiting: deque[tuple[code.Code, Future[Decoded]]] = deque()
        with ThreadPoolExecutor(workers) as pool:
            for part in chunks(found):
                joined = code.join(part, data)
                waiting.append((joined, pool.submit(self.decoder.decode, joined.data, elf.bits)))
                if len(waiting) > workers:
                    joined, future = waiting.popleft()
                    yield joined, future.result()
            for joined, future in waiting:
                yield joined, future.result()

    def _entry(self, elf: Elf, data: bytes, found: list[code.Region]) -> tuple[str, ...]:
        starts = dict.fromkeys(elf.init, "a function that runs when it is loaded")
        for symbol in elf.exports:
            if symbol.name.startswith(("PyInit_", "PyModExport_")):
                starts[symbol.address] = symbol.name
        result = []
        for region in found:
            if name := starts.get(region.address):
                joined = code.join([region], data)
                for at, mnemonic in self.decoder.decode(joined.data, elf.bits).hits:
                    if level_of(mnemonic, joined.data[at : at + 15], elf.bits) in ("v3", "v4"):
                        result.append(f"{joined.address(at):#x} {mnemonic} in {name}")
                        break
        return tuple(result)


def chunks(found: Iterable[code.Region]) -> Iterable[list[code.Region]]:
    """Regions in groups of about CHUNK bytes; one that is longer is cut."""
    group: list[code.Region] = []
    size = 0
    for region in found:
        for start in range(0, region.size, CHUNK):
            part = code.Region(region.address + start, region.offset + start, min(CHUNK, region.size - start))
            group.append(part)
            size += part.size
            if size >= CHUNK:
                yield group
                group, size = [], 0
    if group:
        yield group


def is_interesting(name: str) -> bool:
    """Whether a mnemonic may be above the baseline."""
    if name in LEVEL_2 or name in LEVEL_3 or name in VEX_WITHOUT_V:
        return True
    return (name.startswith("v") and not _SYSTEM.fullmatch(name)) or bool(_MASK.fullmatch(name))


def level_of(name: str, data: bytes, bits: int) -> str:
    """The level of an instruction, by its name and bytes: "v2", "v3", "v4", or "" for the baseline."""
    if name in LEVEL_3:
        return "v3"
    if name in LEVEL_2:
        if name == "pextrw" and _EXTRACT_TO_MEMORY not in data[:6]:
            return ""
        return "" if bits == 32 and name in ("lahf", "sahf") else "v2"
    opening = data.lstrip(b"\x26\x2e\x36\x3e\x64\x65\x67")[:1]  # what may stand before VEX: segment, address size
    return "v4" if opening == b"\x62" or _MASK.fullmatch(name) else "v3"
