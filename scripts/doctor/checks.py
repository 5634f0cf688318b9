"""The checks of policies, libraries and loading. Each yields findings; `findings.CHECKS` lists them."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

from . import loading
from .analysis import OUTSIDE, SUFFIX, Analysis, Need, Object, fits, search_path
from .findings import Level, Say, Symptom, check
from .policies import Policies, Promise

# The index of the Python project takes these platforms (warehouse/forklift/legacy.py).
_INDEX = {
    "manylinux": set("x86_64 i686 aarch64 armv7l ppc64 ppc64le s390x riscv64".split()),
    "musllinux": set("x86_64 i686 aarch64 armv7l ppc64le s390x riscv64".split()),
    "linux": {"armv6l", "armv7l"},
}
_DESKTOP = re.compile(r"lib(X11|Xext|Xrender|ICE|SM|GL|gobject-2\.0|gthread-2\.0|glib-2\.0|expat|nsl)\.so")
# What libstdc++ itself defines and no template of a program does.
_STDCXX = {"__cxa_throw", "__cxa_begin_catch", "__gxx_personality_v0", "_ZSt4cout", "_ZSt9terminatev", "_ZSt7nothrow"}


def strict(analysis: Analysis) -> tuple[Policies, Promise] | None:
    """The strictest promise of the tags, with the policies of the platform; None without any."""
    if not analysis.policies or not analysis.promises:
        return None
    return analysis.policies, analysis.promises[0]


@check("Link against an older library (build in the image of an older policy), or claim the newer policy in the tag.")
def symbol_version(analysis: Analysis, say: Say) -> Iterator[Symptom]:
    """Versions of symbols that the policy of the tag does not have yet."""
    for path, needs in _grouped(analysis, lambda need: bool(need.version) and need.is_versioned):
        wanted = max(needs, key=lambda need: _index(analysis, need))
        what = f"{wanted.library} with {wanted.version}"
        lines = [f"{need.version} of {need.library}: {_named(need)}" for need in needs]
        yield say(
            Level.ERROR,
            path,
            f"It needs {what}, which {_since(wanted)}: on older systems that the tag promises, it cannot be loaded.",
            tuple(lines),
        )


@check(
    "Link the object with the library itself (no --allow-shlib-undefined, -z undefs or stub libraries), so that the "
    "linker records versions; then build in the image of an older policy, or claim the newer policy."
)
def unversioned_symbol(analysis: Analysis, say: Say) -> Iterator[Symptom]:
    """Symbols without a version that the libraries of the policy do not define yet; auditwheel does not see them."""
    for path, needs in _grouped(analysis, lambda need: bool(need.version) and not need.is_versioned):
        wanted = max(needs, key=lambda need: _index(analysis, need))
        yield say(
            Level.ERROR,
            path,
            f"It uses symbols without a version that {wanted.library} has from {wanted.version} on, which "
            f"{_since(wanted)}: on older systems that the tag promises, importing it fails with `undefined symbol`.",
            tuple(f"{need.symbols[0]} ({need.library} from {need.version} on)" for need in needs),
        )


@check("Repair the wheel with auditwheel, so that it carries the library, or link the library statically.")
def library(analysis: Analysis, say: Say) -> Iterator[Symptom]:
    """Libraries that are neither in the wheel nor allowed by the policy."""
    if not analysis.policies:
        return
    inside = {name for _, name, where in analysis.unresolved if where}
    loaded = {n for other in analysis.native for n in inside & set(other.elf.needed) if analysis.reached(other, n)}
    for each, name, where in analysis.unresolved:
        if where:
            sure = not (analysis.preloads or name in loaded or each.elf.is_program)
            yield say(
                Level.ERROR if sure else Level.WARNING,
                each.path,
                f"It needs {name}, which is in the wheel, but its RPATH or RUNPATH does not lead there: "
                + ("it cannot be loaded." if sure else "it loads only after something else has loaded that library."),
                advice="Give it a RUNPATH that begins with $ORIGIN and leads to the library (patchelf --set-rpath).",
                where="everywhere" if sure else "",
            )
        elif (provider := analysis.elsewhere(name)) == "a driver":
            yield say(Level.WARNING, each.path, f"It needs {name}, which comes with a driver: it loads only there.")
        elif provider:
            yield say(
                Level.NOTE,
                each.path,
                f"It needs {name}, which {provider} of Requires-Dist seems to bring; that was not looked at.",
                advice=f"Make sure that {provider} is loaded first, or that the RUNPATH leads there.",
            )
        else:
            yield say(
                Level.ERROR,
                each.path,
                f"It needs {name}, which is neither in the wheel nor among the libraries that the policy allows: where "
                "the system lacks that library, it cannot be loaded.",
                where="everywhere",
            )
    for need in analysis.needs:
        found = strict(analysis)
        if found and not need.version and found[0].index(need.since) > found[1].index:
            yield say(
                Level.ERROR, need.object, f"It needs {need.library}, which only {need.since} and later policies allow."
            )
    for each, refused in analysis.forbidden:
        found = strict(analysis)
        for policy in [found[0].names[max(found[1].index, 0)]] if found else []:
            if policy in refused:
                names = ", ".join(refused[policy])
                yield say(
                    Level.ERROR,
                    each.path,
                    f"It uses what a library keeps to itself ({names}); {policy} forbids that.",
                    advice="Use the library's documented functions, or link a copy of the library statically.",
                )


@check("Build every object for the platform that the tag names; name extension modules after their own interpreter.")
def architecture(analysis: Analysis, say: Say) -> Iterator[Symptom]:
    """Objects for another machine than the tag's, and modules whose suffix no interpreter of the tag looks for."""
    needed = {name for each in analysis.native for name in each.elf.needed}
    tagged = bool(analysis.linux_tags)
    for each in analysis.objects:
        if tagged and not fits(each.elf.machine, analysis.platforms):
            machine = each.elf.machine if not each.elf.machine[:1].isdigit() else f"machine {each.elf.machine}"
            sure = (bool(each.modules) and not _twins(analysis, each)) or (
                bool(each.names & needed) and not any(n in analysis.by_name for n in each.names)
            )
            yield say(
                Level.ERROR if sure else Level.WARNING,
                each.path,
                f"It is for {machine}, the wheel for {' and '.join(analysis.platforms)}: it cannot be loaded there.",
                where="everywhere" if sure else "",
            )
    yield from _suffixes(analysis, say)


def _twins(analysis: Analysis, each: Object) -> bool:
    """Whether another object defines the same module for the wheel's platform."""
    return any(set(each.modules) & set(other.modules) for other in analysis.native)


def _suffixes(analysis: Analysis, say: Say) -> Iterator[Symptom]:
    minors = {tag.python[2:] for tag in analysis.file_name.tags if re.fullmatch(r"cp3\d+", tag.python)}
    if not minors or any(not re.fullmatch(r"cp3\d+", tag.python) for tag in analysis.file_name.tags):
        return
    abi3 = any("abi3" in tag.abi for tag in analysis.file_name.tags)
    by_stem: dict[str, list[tuple[Object, bool]]] = {}
    for each in analysis.native:
        match = SUFFIX.search(each.place)
        if each.modules and match:
            fitting = not match["minor"] or match["minor"] in minors or abi3
            machines = [_TRIPLETS[word] for word in match["tag"].split("-") if word in _TRIPLETS]
            wrong = bool(machines) and machines[0] not in analysis.platforms
            by_stem.setdefault(each.place[: match.start()], []).append((each, fitting and not wrong))
    for found in by_stem.values():
        if not any(fits_ for _, fits_ in found):
            yield say(
                Level.ERROR,
                found[0][0].path,
                "No interpreter of the wheel's tags looks for a module with this suffix: importing it fails.",
                where="everywhere",
            )


_TRIPLETS = {"x86_64": "x86_64", "i386": "i686", "i686": "i686", "aarch64": "aarch64", "s390x": "s390x",
             "powerpc64le": "ppc64le", "riscv64": "riscv64", "arm": "armv7l"}  # fmt: skip


@check('Link with -Wl,-z,noexecstack; in assembly, add `.section .note.GNU-stack,"",%progbits`.')
def executable_stack(analysis: Analysis, say: Say) -> Iterator[Symptom]:
    """Libraries that want an executable stack: glibc 2.41 no longer loads them."""
    for each in analysis.native:
        if why := loading.executable_stack(each.elf):
            if analysis.libc == "musllinux" or each.elf.is_program:
                yield say(Level.WARNING, each.path, f"{why}: hardened systems do not run it.")
            else:
                yield say(
                    Level.ERROR,
                    each.path,
                    f"{why}: from glibc 2.41 on (Debian 13, Ubuntu 25.04, Fedora 42), importing it fails with "
                    "`cannot enable executable stack`.",
                    where="glibc 2.41",
                )


@check("Compile everything in it with -fPIC (assembly too), and link with -Wl,-z,text, which refuses the rest.")
def text_relocations(analysis: Analysis, say: Say) -> Iterator[Symptom]:
    """Code that the loader has to change before it runs."""
    for each in analysis.native:
        if each.elf.text_relocations:
            yield say(
                Level.WARNING, each.path, "It has text relocations: where SELinux forbids them, it does not load."
            )


@check("Link with -Wl,-z,max-page-size=65536; use a patchelf that keeps the alignment (not 0.11, 0.17.0 or 0.18.0).")
def alignment(analysis: Analysis, say: Say) -> Iterator[Symptom]:
    """Segments that a loader refuses, everywhere or where pages are larger than 4 KiB."""
    for each in analysis.native:
        if found := loading.misaligned(each.elf):
            page = loading.page_size(each.elf)
            small = all("less than a page" in line for line in found)
            where = f"where the kernel's pages have {page >> 10} KiB (RHEL 8, for instance)" if small else "anywhere"
            if page == 0x1000:
                where = "anywhere"
            yield say(
                Level.ERROR,
                each.path,
                f"Its segments are misaligned or damaged: it does not load {where}.",
                tuple(found),
                where="" if where != "anywhere" else "everywhere",
            )


@check("Begin every entry with $ORIGIN and stay inside the wheel; auditwheel repair does that.")
def search_paths(analysis: Analysis, say: Say) -> Iterator[Symptom]:
    """RPATHs and RUNPATHs that lead out of where wheels are installed."""
    for each in analysis.native:
        kind = "RUNPATH" if each.elf.runpath else "RPATH"
        paths = each.elf.runpath or each.elf.rpath
        for entry in dict.fromkeys(paths.split(":") if paths else ()):
            if entry.startswith(("$ORIGIN", "${ORIGIN}")):
                continue
            if entry.startswith("/"):
                text = f"Its {kind} has {entry}, a directory of the machine that built it: whoever can write there on "
                yield say(Level.WARNING, each.path, f"{text}the user's machine decides what is loaded.")
            else:
                named = f"{entry}, relative to" if entry else "an empty entry, which means"
                text = f"Its {kind} has {named} the working directory: what is loaded depends on where "
                yield say(Level.WARNING, each.path, f"{text}the program was started.")
        out = [path for path in search_path(each) if path.split("/")[0] == ".."]
        if out and not each.place.startswith(OUTSIDE):
            yield say(Level.WARNING, each.path, f"Its {kind} leads out of site-packages: {', '.join(out)}.")


@check("Link libstdc++ dynamically and leave it out of the wheel: every system has it, and the policy allows it.")
def several_copies(analysis: Analysis, say: Say) -> Iterator[Symptom]:
    """Several copies of libstdc++ in one process."""
    copies = [each for each in analysis.native if re.match(r"libstdc\+\+[.-]", each.place.rpartition("/")[2])]
    users = [each for each in analysis.native if "libstdc++.so.6" in each.elf.needed and each not in copies]
    if copies and (len(copies) > 1 or any(not analysis.reached(each, "libstdc++.so.6") for each in users)):
        yield say(
            Level.WARNING,
            copies[0].path,
            "Several copies of libstdc++ get into one process: exceptions and iostreams that pass from one to the "
            "other crash.",
            tuple(each.path for each in [*copies, *users][:20]),
        )


@check(
    "Hide them: link with -Wl,--exclude-libs,ALL and compile with -fvisibility=hidden, or link libstdc++ dynamically."
)
def exports_libstdcxx(analysis: Analysis, say: Say) -> Iterator[Symptom]:
    """Extension modules that bring libstdc++'s own symbols into the process."""
    for each in analysis.native:
        found = sorted(_STDCXX & {symbol.name for symbol in each.elf.exports})
        if found and "libstdc++" not in each.place.rpartition("/")[2] and not each.elf.is_program:
            text = "It exports symbols of the libstdc++ that is linked into it: other modules may bind to them."
            yield say(Level.WARNING, each.path, text, tuple(found))


@check("Install them on the user's machine, or avoid what needs them.")
def desktop_library(analysis: Analysis, say: Say) -> Iterator[Symptom]:
    """Libraries that the policy allows and a minimal system lacks."""
    for each in analysis.native:
        found = [name for name in each.elf.needed if _DESKTOP.match(name) and not analysis.reached(each, name)]
        if found and analysis.libc == "manylinux":
            text = f"It needs {', '.join(found)}: the policy allows that, minimal systems and containers lack it."
            yield say(Level.NOTE, each.path, text)


@check("Repair the wheel with auditwheel, which writes the tag; `invoke choose` says which policy reaches whom.")
def tags(analysis: Analysis, say: Say) -> Iterator[Symptom]:
    """Tags that the index refuses, that differ from WHEEL, or that say too little."""
    for policy, platform in analysis.linux_tags:
        kind = re.match(r"[a-z]+", policy)
        if policy == "linux" and platform not in _INDEX["linux"]:
            yield say(Level.ERROR, "", f"Its tag linux_{platform} promises nothing, and the Python index refuses it.")
        elif kind and platform not in _INDEX[kind[0]]:
            text = f"The Python index does not take {policy}_{platform}: publish it elsewhere."
            yield say(Level.WARNING, "", text, advice="Use an index of your own for this platform.")
    named = {str(tag) for tag in analysis.file_name.tags}
    if analysis.metadata_tags and named != set(analysis.metadata_tags):
        lines = tuple(sorted(named ^ set(analysis.metadata_tags))[:20])
        yield say(
            Level.NOTE, "", "The tags in its name and in WHEEL differ.", lines, advice="Rename it with `wheel tags`."
        )
    if not analysis.linux_tags and not analysis.is_foreign and analysis.objects:
        yield say(
            Level.WARNING,
            "",
            f"Its tag says that it runs on any platform, yet it holds objects for {', '.join(analysis.platforms)}.",
            advice="Build a wheel for each platform, unless the objects are optional.",
        )


@check("Build it again; a damaged object cannot be judged.")
def damaged(analysis: Analysis, say: Say) -> Iterator[Symptom]:
    """Files that begin like ELF and cannot be read."""
    for path, reason in analysis.damaged:
        yield say(Level.WARNING, path, f"It begins like an ELF file and cannot be read as one: {reason}.")


def _grouped(analysis: Analysis, wanted: Callable[[Need], bool]) -> Iterator[tuple[str, list[Need]]]:
    """The needs of each object that the strictest promise does not cover."""
    found: dict[str, list[Need]] = {}
    for need in analysis.needs:
        promised = strict(analysis)
        if promised and wanted(need) and not promised[0].allows(promised[1], need.version):
            found.setdefault(need.object, []).append(need)
    yield from found.items()


def _index(analysis: Analysis, need: Need) -> int:
    return analysis.policies.index(need.since) if analysis.policies else 0


def _since(need: Need) -> str:
    return f"the policies have since {need.since}" if need.since else "no policy has"


def _named(need: Need) -> str:
    shown = ", ".join(need.symbols[:8]) or "no symbol, a marker of the linker"
    return f"{shown} and {len(need.symbols) - 8} more" if len(need.symbols) > 8 else shown
