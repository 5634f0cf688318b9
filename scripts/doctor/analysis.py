"""Everything about one wheel that the checks look at: its promises, its objects, and where each finds its libraries."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from . import loading, symbols
from .elf import ET_REL, STB_WEAK, Elf, Symbol, parse
from .instructions import Scan, Scanner
from .policies import Policies, Promise
from .wheel import PLATFORM, FileName, Wheel, canonical

SUFFIX = re.compile(
    r"\.(?P<tag>cpython-(?P<minor>\d+)t?d?(-[\w-]+)?|abi3t?(-[\w-]+)?|pypy\d+-pp\d+(-[\w-]+)?|graalpy[\w-]+)\.so$"
)
_LOADS = re.compile(rb"\bCDLL\b|RTLD_GLOBAL|\bLoadLibrary\b|\bdlopen\b")
OUTSIDE = "@"  # where .data/scripts and the like are installed, seen from site-packages
MAX_OBJECTS, MAX_NEEDED, MAX_FOLDERS = 5_000, 50_000, 200  # of a wheel, of all its objects, of a search path
MAX_STEPS = 1_000_000  # from objects to those that load them


@dataclass(frozen=True)
class Object:
    """An ELF file of a wheel. `place` is where it is installed, below site-packages or OUTSIDE."""

    path: str
    place: str
    elf: Elf
    isa_needed: int
    scan: Scan | None

    @property
    def names(self) -> set[str]:
        """What others may call it in their NEEDED."""
        return {posixpath.basename(self.place), self.elf.soname} - {""}

    @property
    def modules(self) -> list[str]:
        """The functions with which Python starts it; an extension module has some."""
        start = ("PyInit_", "PyModExport_", "PyInitU_")
        return [symbol.name for symbol in self.elf.exports if symbol.name.startswith(start)]


@dataclass(frozen=True)
class Need:
    """A symbol version or a library that an object asks the system for, and the policy that first has it ("": none)."""

    object: str
    library: str
    version: str
    symbols: tuple[str, ...]
    since: str
    is_versioned: bool = True


@dataclass
class Analysis:
    """A wheel as the checks see it. `libc` is "manylinux" or "musllinux", "" where no tag and no object says."""

    file_name: FileName
    metadata_tags: tuple[str, ...]
    requires: tuple[str, ...]
    objects: list[Object] = field(default_factory=list)
    damaged: list[tuple[str, str]] = field(default_factory=list)
    preloads: bool = False
    unscanned: str = ""
    _paths: dict[str, tuple[str, ...]] = field(default_factory=dict, repr=False)
    _steps: int = 0

    @cached_property
    def linux_tags(self) -> list[tuple[str, str]]:
        """(policy, platform) of each Linux tag: ("manylinux_2_28", "x86_64"), ("linux", "armv7l")."""
        found = [PLATFORM.fullmatch(tag) for tag in self.file_name.platforms]
        return [(match["policy"], match["platform"]) for match in found if match]

    @property
    def is_foreign(self) -> bool:
        """Whether it is for other systems than Linux alone."""
        return not self.linux_tags and "any" not in self.file_name.platforms

    @cached_property
    def platforms(self) -> tuple[str, ...]:
        """The platforms of its tags, of its objects where the tags name none."""
        named = tuple(dict.fromkeys(platform for _, platform in self.linux_tags))
        return named or tuple(dict.fromkeys(each.elf.machine for each in self.objects))

    @cached_property
    def libc(self) -> str:
        for policy, _ in self.linux_tags:
            if policy != "linux":
                return "musllinux" if policy.startswith("musl") else "manylinux"
        if any("musl" in name for each in self.objects for name in each.elf.needed):
            return "musllinux"
        return "manylinux" if self.objects else ""

    @cached_property
    def policies(self) -> Policies | None:
        """The policies of its first platform."""
        return Policies.of(self.libc, self.platforms[0]) if self.platforms else None

    @cached_property
    def promises(self) -> list[Promise]:
        """What its tags promise, the strictest first."""
        found = [self.policies.promise(tag) for tag, _ in self.linux_tags] if self.policies else []
        return sorted((each for each in found if each), key=lambda each: each.libc)

    @cached_property
    def native(self) -> list[Object]:
        """The objects for the wheel's platforms; others are only there to be carried along."""
        return [each for each in self.objects if fits(each.elf.machine, self.platforms)]

    @cached_property
    def by_name(self) -> dict[str, list[Object]]:
        """Objects by the names that others may need them by."""
        found: dict[str, list[Object]] = {}
        for each in self.native:
            for name in each.names:
                found.setdefault(name, []).append(each)
        return found

    @cached_property
    def by_place(self) -> dict[str, Object]:
        return {each.place: each for each in self.native}

    @cached_property
    def defined(self) -> set[str]:
        """Every symbol that some object of the wheel defines."""
        return {symbol.name for each in self.native for symbol in each.elf.exports}

    @cached_property
    def loaders(self) -> dict[str, list[Object]]:
        """For each place, the objects whose NEEDED names what is there."""
        found: dict[str, list[Object]] = {}
        for each in self.native:
            for name in each.elf.needed:
                for target in self.by_name.get(name, [])[:100]:
                    found.setdefault(target.place, []).append(each)
        return found

    def reached(self, each: Object, library: str) -> bool:
        """Whether an object's search path leads to a library of the wheel; DT_RPATH counts for what it loads, too."""
        if library not in self.by_name:
            return False
        if each.place.startswith(OUTSIDE):
            return True  # relative to where scripts are installed, which differs
        return any(posixpath.normpath(posixpath.join(f, library)) in self.by_place for f in self._folders(each))

    def _folders(self, each: Object) -> tuple[str, ...]:
        """The search path of an object: its own, then the RPATHs of those that load it, unless it has a RUNPATH."""
        if each.place not in self._paths:
            found = dict.fromkeys(search_path(each))
            seen, todo = {each.place}, [] if each.elf.runpath else [each]
            while todo and self._steps < MAX_STEPS:
                loaders = self.loaders.get(todo.pop().place, [])
                self._steps += len(loaders)
                for loader in loaders:
                    if loader.place not in seen:
                        seen.add(loader.place)
                        todo.append(loader)
                        found |= dict.fromkeys([] if loader.elf.runpath else search_path(loader))
            self._paths[each.place] = tuple(found)[:MAX_FOLDERS]
        return self._paths[each.place]

    @cached_property
    def unresolved(self) -> list[tuple[Object, str, str]]:
        """(object, library, where): needed, and neither of a policy nor reached. `where` is "wheel" or ""."""
        found = []
        for each in self.native:
            policies = Policies.of(self.libc, each.elf.machine)
            for name in dict.fromkeys(each.elf.needed):
                if not self.reached(each, name) and not (policies and policies.library(name)):
                    found.append((each, name, "wheel" if name in self.by_name else ""))
        return found

    @cached_property
    def needs(self) -> list[Need]:
        """What the objects ask the system for, object by object."""
        return [need for each in self.native for need in self._needs(each)]

    def _needs(self, each: Object) -> Iterator[Need]:
        policies = Policies.of(self.libc, each.elf.machine)
        if policies is None:
            return
        by_version: dict[tuple[str, str], list[str]] = {}
        for symbol in each.elf.imports:
            by_version.setdefault((symbol.library, symbol.version), []).append(symbol.name)
        for library, version in dict.fromkeys(each.elf.needed_versions):
            if re.match(r"ld-linux|ld64\.so\.[12]$", library) or self.reached(each, library):
                continue
            since = policies.since(version)
            if since is not None:
                yield Need(each.path, library, version, tuple(sorted(by_version.get((library, version), []))), since)
        if self.libc == "manylinux":
            for name, (version, library) in self._unversioned(each.elf.imports):
                if (since := policies.since(version)) is not None:
                    yield Need(each.path, library, version, (name,), since, is_versioned=False)
        for library in dict.fromkeys(each.elf.needed):
            if (first := policies.library(library)) and first != policies.names[0]:
                yield Need(each.path, library, "", (), first)

    def _unversioned(self, imports: tuple[Symbol, ...]) -> Iterator[tuple[str, tuple[str, str]]]:
        for symbol in imports:
            if symbol.version or not symbol.used or symbol.bind == STB_WEAK or symbol.name in self.defined:
                continue
            if known := symbols.versions().get(symbol.name):
                yield symbol.name, known

    @cached_property
    def lowest(self) -> str:
        """The lowest policy that it fits, as auditwheel's table goes; "" where there is none."""
        if self.policies is None:
            return ""
        index = max((self.policies.index(need.since) for need in self.needs), default=0)
        if any(not where and not self.elsewhere(name) for _, name, where in self.unresolved):
            return ""
        if any(each.isa_needed & ~1 for each in self.native) and not self.file_name.variant:
            return ""  # all bits but the baseline's: auditwheel takes no such wheel
        refused = {name for _, found in self.forbidden for name in found}
        fitting = [name for name in self.policies.names[index:] if name not in refused]
        return fitting[0] if fitting else ""

    @cached_property
    def forbidden(self) -> list[tuple[Object, dict[str, list[str]]]]:
        """Objects that import what a library keeps to itself, with the policies that refuse that."""
        found = []
        for each in self.native:
            if policies := Policies.of(self.libc, each.elf.machine):
                names = {symbol.name for symbol in each.elf.imports if symbol.bind != STB_WEAK}
                if refused := policies.without(each.elf.needed, names):
                    found.append((each, refused))
        return found

    def elsewhere(self, library: str) -> str:
        """Who may bring a library that is neither in the wheel nor in a policy: `a driver` or a requirement's name."""
        return "a driver" if _DRIVERS.match(library) else self.provider(library)

    def provider(self, library: str) -> str:
        """The requirement that may bring a library, by its name; "" where none looks like it."""
        stem = re.sub(r"[^a-z0-9]", "", library.partition(".so")[0].removeprefix("lib").lower())
        own = canonical(self.file_name.name)
        for requirement in self.requires:
            asked, _, marker = requirement.partition(";")
            if _OTHER_SYSTEM.search(marker) and not re.search(r"\bor\b", marker):
                continue
            name = canonical(re.split(r"[ <>=!~\[(]", asked, maxsplit=1)[0])
            short = name.replace("-", "")
            words = [word for word in name.split("-") if len(word) > 3]
            if min(len(short), len(stem)) > 2 and (short in stem or stem in short):
                return name
            if any(word in stem for word in words):
                return name
            if any(stem.startswith(start) and any(word in name for word in brought) for start, brought in PROVIDERS):
                return name
            pin = re.search(r"={2,3}\s*(\d[\w.]*)", asked)
            if pin and (pin[1] == self.file_name.version or name.split("-")[0] in own):
                return name  # companions are pinned to one version
        return ""


_OTHER_SYSTEM = re.compile(r"(?:sys_platform|platform_system|os_name)\s*==\s*[\"'](?!linux|posix)", re.IGNORECASE)
_DRIVERS = re.compile(r"lib(cuda|nvidia-ml|nvcuvid|nvidia-encode|OpenCL|vulkan|ze_loader)\.so")
# Libraries whose name does not show which distribution brings them.
PROVIDERS = (
    ("c10", ("torch",)),
    ("torch", ("torch",)),
    ("shm", ("torch",)),
    *((name, ("nvidia", "cuda")) for name in ("cu", "nv", "nccl")),
    *((name, ("arrow",)) for name in ("arrow", "parquet", "gandiva")),
    *((name, ("qt", "pyside", "shiboken")) for name in ("qt5", "qt6", "pyside", "shiboken")),
    *((name, ("mkl", "intel", "dpc")) for name in ("mkl", "iomp", "sycl", "imf", "svml", "irc", "intlc", "ur")),
    *((name, ("rocm", "hip")) for name in ("amdhip", "rocm", "hip", "hsa")),
)


def fits(machine: str, platforms: tuple[str, ...]) -> bool:
    """Whether an object's machine is one of the platforms; armv6l and armv7l are one machine to ELF."""
    return machine in {re.sub("^armv[5678]l$", "armv7l", platform) for platform in platforms}


def search_path(each: Object) -> list[str]:
    """The folders, relative to site-packages, that the loader looks into for what an object needs."""
    here = posixpath.dirname(each.place)
    found = []
    for entry in (each.elf.runpath or each.elf.rpath).split(":")[:MAX_FOLDERS]:
        match = re.match(r"\$(ORIGIN|\{ORIGIN\})(?=/|$)", entry)
        if match:
            found.append(posixpath.normpath(posixpath.join(here, entry[match.end() :].lstrip("/"))))
    return found


def installed(path: str) -> str:
    """Where a file of a wheel is installed: relative to site-packages, or OUTSIDE of it."""
    match = re.match(r"[^/]+\.data/(\w+)/(.+)", path)
    if not match:
        return path
    return match[2] if match[1] in ("purelib", "platlib") else f"{OUTSIDE}{match[1]}/{match[2]}"


def analyse(path: Path, scanner: Scanner | None) -> Analysis:
    """Reads a wheel. Raises wheel.NotAWheel where it is none or is damaged, OSError where it cannot be read."""
    with Wheel.open(path) as wheel:
        found = Analysis(wheel.file_name, wheel.metadata_tags, wheel.requires)
        if found.is_foreign:
            return found
        needed = 0
        for name, data in wheel.objects():
            needed += len(found.objects[-1].elf.needed) if found.objects else 0
            if len(found.objects) + len(found.damaged) >= MAX_OBJECTS or needed > MAX_NEEDED:
                found.damaged.append((name, "no real wheel has so many objects: this and the rest were not looked at"))
                break
            try:
                elf = parse(data)
            except ValueError as error:
                found.damaged.append((name, str(error)))
                continue
            if elf.type == ET_REL:
                continue  # for a linker; no loader takes it
            scan = scanner.scan(elf, data) if scanner and fits(elf.machine, found.platforms or (elf.machine,)) else None
            found.objects.append(Object(name, installed(name), elf, loading.isa_needed(elf, data), scan))
        if any(where for _, _, where in found.unresolved):
            found.preloads = _preloads(wheel)
        found.unscanned = scanner.complaint if scanner else "not asked for"
    return found


def _preloads(wheel: Wheel) -> bool:
    """Whether some Python file of the wheel loads libraries itself, before the modules that need them."""
    for name, info in wheel.members.items():
        if name.endswith(".py") and info.file_size < 1 << 20 and _LOADS.search(wheel.read(name)):
            return True
    return False
