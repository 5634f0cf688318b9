"""The check of the processor level: by the linker's note, and by the instructions themselves."""

from __future__ import annotations

import re
from collections.abc import Iterator

from .analysis import Analysis, Object
from .findings import Level, Say, Symptom, check
from .instructions import Scan

_NOTES = {2: 2, 4: 3, 8: 4}  # bit of GNU_PROPERTY_X86_ISA_1_NEEDED -> level
# Names of files that something chooses by what the processor has.
_CHOSEN = re.compile(
    r"(?i)(?<![a-z])(?:avx\w*|s?sse\w*|fma\d?|bmi\d?|p?clmul(?:qdq)?|aes[_-]?ni|popcnt|haswell|broadwell|skylake\w*|icelake\w*|sapphire\w*|sandybridge|"
    r"ivybridge|alderlake|cooperlake|cascadelake|zen\d?|x86[_-]64[_-]?v\d|v[234])(?![a-z])"
)


@check(
    "Compile for the baseline (-march=x86-64, no -march=native), and choose faster code at run time: "
    "`__builtin_cpu_supports`, target_clones, or a library that does (Highway, xsimd, std::arch in Rust)."
)
def processor_level(analysis: Analysis, say: Say) -> Iterator[Symptom]:
    """Instructions that processors of the baseline do not have."""
    promised = allowed(analysis)
    for each in analysis.native:
        noted = max((level for bit, level in _NOTES.items() if each.isa_needed & bit), default=1)
        if noted > promised:
            yield say(
                Level.ERROR,
                each.path,
                f"Its note GNU_PROPERTY_X86_ISA_1_NEEDED asks for x86-64-v{noted}: where the loader heeds it, older "
                "processors refuse it. auditwheel takes no such wheel.",
                advice="Link with the baseline's start files, or with -Wl,-z,x86-64-baseline.",
            )
        if each.scan:
            yield from _instructions(analysis, each, each.scan, promised, say)


def allowed(analysis: Analysis) -> int:
    """The level that the variant's label promises the processor has; 1 without a variant, 4 for an unknown label."""
    label = analysis.file_name.variant
    match = re.search(r"v([1-4])(?!\d)", label)
    return int(match[1]) if match else 4 if label else 1


def _instructions(analysis: Analysis, each: Object, scan: Scan, promised: int, say: Say) -> Iterator[Symptom]:
    above = sum(scan.counts[f"v{level}"] for level in (3, 4) if level > promised)
    first = tuple(f"{scan.counts[level]} of {level}, the first at {scan.first[level]}" for level in sorted(scan.first))
    if above and (scan.entry or scan.has_no_choice) and promised < 3:
        sure = not _is_chosen(analysis, each, scan)
        what = "it ends with `Illegal instruction` there" if sure else "something has to choose it by the processor"
        reason = "runs instructions above x86-64-v2 when it is loaded" if scan.entry else "is compiled for x86-64-v3"
        yield say(
            Level.ERROR if sure else Level.NOTE,
            each.path,
            f"It {reason}: on processors without AVX, which the tag promises to serve, {what}.",
            (*scan.entry, *first),
        )
    elif (above or (scan.counts["v2"] and promised < 2)) and not scan.dispatch:
        chosen = _CHOSEN.search(each.place.rpartition("/")[2])
        which = f"above x86-64-v{max(promised, 2)}" if above else "of x86-64-v2 (SSE3 to SSE4.2, POPCNT, CMPXCHG16B)"
        older = "older processors" if above else "x86-64 processors from before 2009"
        wrong = " (LZCNT: with wrong results)" if above else ""
        risk = f"where they are reached, {older} end with `Illegal instruction`{wrong}."
        yield say(
            Level.NOTE if chosen else Level.WARNING,
            each.path,
            f"It has instructions {which}, and nothing in it looks at the processor: "
            + ("something has to choose it by the processor." if chosen else risk),
            first,
        )


def _is_chosen(analysis: Analysis, each: Object, scan: Scan) -> bool:
    """Whether an object seems to be one of several, of which the right one is loaded."""
    name = each.place.rpartition("/")[2]
    if _CHOSEN.search(name):
        return True
    needed = any(set(other.elf.needed) & each.names for other in analysis.native)
    others = any(other.scan and other.scan.dispatch for other in analysis.native if other is not each)
    return not (needed or each.modules or each.elf.is_program or scan.entry) and others
