"""sysconfig: what extension builds inherit from the way an interpreter was built."""

from __future__ import annotations

import json
import os
import re
import shlex
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from .context import Context, Expected, InstalledInterpreter
from .interpreters import identity
from .registry import check, difference, differences

FLAGS = (
    "CC CXX LDSHARED LDCXXSHARED BLDSHARED CPP AR CFLAGS CPPFLAGS LDFLAGS CCSHARED LINKFORSHARED OPT BASECFLAGS "
    "PY_CFLAGS PY_CPPFLAGS PY_LDFLAGS EXTRA_CFLAGS ARFLAGS LIBS SYSLIBS"
).split()
# What a compiler of another kind understands, or what only hardened our own build.
FOREIGN = re.compile(
    r"clang|-fuse-ld=lld|-mno-thumb|--gcc-toolchain|--gcc-triple|-D_FORTIFY_SOURCE|-fstack-protector"
    r"|-fdebug-prefix-map|-ffile-prefix-map|-Wdate-time|-Bsymbolic|-z,now|-Werror=format-security|/tmp/|/build/|/sources/|/rootfs"
)


def _is_cpython(interpreter: InstalledInterpreter) -> bool:
    return interpreter.is_cpython


# What configure chooses by itself, from the named minor on.
CFLAGS = {
    (3, 8): "-Wno-unused-result -Wsign-compare -DNDEBUG -g -fwrapv -O3 -Wall",
    (3, 11): "-Wsign-compare -DNDEBUG -g -fwrapv -O3 -Wall",
    (3, 12): "-fno-strict-overflow -Wsign-compare -DNDEBUG -g -O3 -Wall",
}


# From 3.15 on every extension keeps frame pointers (PEP 831), by the flags that the platform's gcc takes.
FRAME_POINTERS_FROM = (3, 15)
FRAME_POINTERS = {
    "x86_64": "-fno-omit-frame-pointer -mno-omit-leaf-frame-pointer",
    "i686": "-fno-omit-frame-pointer -mno-omit-leaf-frame-pointer",
    "aarch64": "-fno-omit-frame-pointer -mno-omit-leaf-frame-pointer",
    "armv7l": "-fno-omit-frame-pointer -marm",
    "ppc64le": "",
    "s390x": "-fno-omit-frame-pointer -mbackchain",
    "riscv64": "-fno-omit-frame-pointer -mno-omit-leaf-frame-pointer",
    "loongarch64": "-fno-omit-frame-pointer",
}
FRAME_POINTER = re.compile(r"-\S*(?:frame-pointer|backchain)\S*|-marm\b|-mno-thumb\b")


@check("sysconfig-frame-pointers", each_interpreter=True, suits=_is_cpython)
def frame_pointers(context: Context, interpreter: InstalledInterpreter) -> Iterator[str]:
    """What sysconfig hands on about frame pointers is what PEP 831 asks for here, and nothing before 3.15."""
    platform = context.expected.platform
    wanted = FRAME_POINTERS[platform] if interpreter.key >= FRAME_POINTERS_FROM else ""
    for name in ("CFLAGS", "BASECFLAGS", "PY_CFLAGS"):
        said = FRAME_POINTER.findall(identity(context, interpreter)["variables"][name])
        yield from difference(f"flags of frame pointers in {name} of {platform}", wanted.split(), said)


def compilers(expected: Expected, interpreter: InstalledInterpreter) -> dict[str, str]:
    """The golden values: gcc and g++, with -pthread while the C library keeps threads apart (glibc before 2.34)."""
    pthread = " -pthread" if expected.is_glibc and expected.libc_tuple < (2, 34) else ""
    stack = " -Wl,-z,stack-size=1048576" if not expected.is_glibc and interpreter.key >= (3, 15) else ""
    shared = " -shared" + stack
    values = {"CC": "gcc" + pthread, "CXX": "g++" + pthread, "LDSHARED": "gcc" + pthread + shared}
    if interpreter.key >= (3, 9):
        values["LDCXXSHARED"] = "g++" + pthread + shared
    values |= {"AR": "ar", "CCSHARED": "-fPIC"}
    if interpreter.key < (3, 15):
        values["CFLAGS"] = CFLAGS[max(minor for minor in CFLAGS if minor <= interpreter.key)]
    if "openssl" not in expected.components:  # otherwise old minors find it by a flag
        values["LDFLAGS"] = ""
    return values


@check("sysconfig-compilers", each_interpreter=True, suits=_is_cpython)
def golden(context: Context, interpreter: InstalledInterpreter) -> Iterator[str]:
    """The compilers are gcc and g++, spelled exactly like this."""
    yield from differences(compilers(context.expected, interpreter), identity(context, interpreter)["variables"])


@check("regression-14-sysconfig-clang", each_interpreter=True, suits=_is_cpython)
def foreign(context: Context, interpreter: InstalledInterpreter) -> Iterator[str]:
    """No flag or path of our own build is published: not by sysconfig, not by the Makefile, not by python-config."""
    variables = identity(context, interpreter)["variables"]
    for name in FLAGS:
        if found := FOREIGN.search(str(variables.get(name, ""))):
            yield f"sysconfig variable {name} holds {found[0]!r}: {variables[name]!r}"
    for name, value in variables.items():
        if name not in ("CONFIG_ARGS",) and re.search(r"\bclang\b|clang\+\+", str(value)):
            yield f"sysconfig variable {name} names clang: {value!r}"
    for option in ("--cflags", "--ldflags", "--includes", "--libs"):
        said = context.output([Path(interpreter.prefix) / "bin/python3-config", option])
        if found := FOREIGN.search(said):
            yield f"python3-config {option} holds {found[0]!r}: {said}"
    text = Path(identity(context, interpreter)["makefile"]).read_text(encoding="utf-8", errors="replace")
    for line in re.findall(r"(?m)^(?:CC|CXX|LDSHARED|LDCXXSHARED|CFLAGS|BASECFLAGS|OPT|CONFIGURE_CFLAGS)=.*$", text):
        if found := FOREIGN.search(line):
            yield f"Makefile holds {found[0]!r}: {line.strip()}"


@check("sysconfig-variables", each_interpreter=True, suits=_is_cpython)
def variables(context: Context, interpreter: InstalledInterpreter) -> Iterator[str]:
    """Prefixes, version, suffixes and shape of the build are as they must be."""
    said = identity(context, interpreter)["variables"]
    expected = context.expected
    suffix = interpreter.minor + ("t" if interpreter.threaded else "")
    wanted: dict[str, Any] = {
        "prefix": interpreter.prefix,
        "exec_prefix": interpreter.prefix,
        "VERSION": interpreter.minor,
        "LDVERSION": suffix,
        "Py_ENABLE_SHARED": 0,
        "Py_DEBUG": 0,
        "LIBRARY": f"libpython{suffix}.a",
        "EXE": "",
    }
    if interpreter.key >= (3, 13):
        wanted["Py_GIL_DISABLED"] = int(interpreter.threaded)
    yield from differences(wanted, said)
    if identity(context, interpreter)["platform"] != f"linux-{expected.platform}":
        yield f"sysconfig.get_platform() is {identity(context, interpreter)['platform']}"


@check("regression-17-extension-suffix", each_interpreter=True, suits=_is_cpython)
def extension_suffix(context: Context, interpreter: InstalledInterpreter) -> Iterator[str]:
    """Extensions are named for this interpreter and C library: elsewhere others are not found where they should run."""
    said, expected = identity(context, interpreter)["variables"], context.expected
    digits = interpreter.minor.replace(".", "") + ("t" if interpreter.threaded else "")
    libc = "gnu" if expected.is_glibc else "musl"
    if not re.fullmatch(rf"cpython-{digits}-[a-z0-9_]+-linux-{libc}\w*", said["SOABI"]):
        yield f"SOABI is {said['SOABI']}, expected cpython-{digits}-...-linux-{libc}"
    if said["EXT_SUFFIX"] != f".{said['SOABI']}.so":
        yield f"EXT_SUFFIX is {said['EXT_SUFFIX']}"


@check("sysconfig-paths", each_interpreter=True)
def paths(context: Context, interpreter: InstalledInterpreter) -> Iterator[str]:
    """Headers, library and scripts are inside the prefix, and exist."""
    said = identity(context, interpreter)
    for name in ("stdlib", "purelib", "platlib", "include", "scripts"):
        path = os.path.realpath(said["paths"][name])
        if not path.startswith(f"{interpreter.prefix}/"):
            yield f"the path of {name} is {path}"
        elif not os.path.isdir(path):
            yield f"{path} ({name}) does not exist"
    names = ["config_h"] if not interpreter.is_cpython else ["makefile", "config_h"]
    yield from (f"{said[name]} does not exist" for name in names if not os.path.isfile(said[name]))
    if interpreter.is_cpython:
        config = Path(said["makefile"]).parent
        present = set(os.listdir(config))
        yield from difference(
            f"files in {config}",
            {"Makefile", "Setup", "config.c", "install-sh", "makesetup"} - present,
            {name for name in present if name.endswith(".a")},
        )


def build_details_problems(details: Mapping[str, Any], interpreter: InstalledInterpreter) -> Iterator[str]:
    """What is wrong with build-details.json (PEP 739): a key that it must have, or a path that is not there."""
    program = f"{interpreter.prefix}/bin/python{interpreter.minor}" + ("t" if interpreter.threaded else "")
    wanted = {"schema_version": "1.0", "base_prefix": interpreter.prefix, "base_interpreter": program}
    yield from differences(wanted, dict(details))
    yield from differences({"version": interpreter.minor}, details.get("language", {}))
    yield from differences({"name": interpreter.implementation}, details.get("implementation", {}))
    paths = {key: details[key] for key in ("base_prefix", "base_interpreter") if key in details}
    for section in ("libpython", "c_api"):
        for key, value in details.get(section, {}).items():
            if isinstance(value, str):  # whether the interpreter itself links libpython is not a path
                paths[f"{section}.{key}"] = value
    for key, value in paths.items():
        if not os.path.exists(os.path.join(interpreter.prefix, value)):
            yield f"{key} is {value}, which does not exist"


@check("build-details", each_interpreter=True, suits=lambda i: i.is_cpython and i.key >= (3, 14))
def build_details(context: Context, interpreter: InstalledInterpreter) -> Iterator[str]:
    """build-details.json (PEP 739) is true of the finished interpreter, and the interpreter that it names runs."""
    details = json.loads((interpreter.stdlib / "build-details.json").read_text(encoding="utf-8"))
    yield from build_details_problems(details, interpreter)
    said = identity(context, interpreter)
    if details["platform"] != said["platform"]:
        yield f"platform is {details['platform']}, sysconfig says {said['platform']}"
    version = context.output([details["base_interpreter"], "-c", "import platform; print(platform.python_version())"])
    if version != interpreter.version:
        yield f"{details['base_interpreter']} is {version}, expected {interpreter.version}"


# One header of each part of the C API; that all of them are there is what the compile check shows.
@check("headers", each_interpreter=True, suits=_is_cpython)
def headers(context: Context, interpreter: InstalledInterpreter) -> Iterator[str]:
    """Every public header compiles on its own after Python.h."""
    include = Path(identity(context, interpreter)["paths"]["include"])
    wanted = HEADERS | (HEADERS_39 if interpreter.key >= (3, 9) else set())
    wanted -= {"parsetok.h"} if interpreter.key >= (3, 10) else set()
    yield from (f"{include / name} is missing" for name in sorted(wanted) if not (include / name).is_file())
    if not any((include / "internal").glob("*.h")) or not any((include / "cpython").glob("*.h")):
        yield f"{include} lacks the headers of internal/ or cpython/"


HEADERS = set(
    """Python.h abstract.h bltinmodule.h boolobject.h bytearrayobject.h bytesobject.h ceval.h codecs.h compile.h
    complexobject.h descrobject.h dictobject.h dynamic_annotations.h enumobject.h errcode.h fileobject.h fileutils.h
    floatobject.h frameobject.h import.h intrcheck.h iterobject.h listobject.h longobject.h marshal.h memoryobject.h
    methodobject.h modsupport.h moduleobject.h object.h objimpl.h opcode.h osdefs.h patchlevel.h pyconfig.h pydtrace.h
    pyerrors.h pyframe.h pyhash.h pylifecycle.h pymacconfig.h pymacro.h pymath.h pymem.h pyport.h pystate.h pystrcmp.h
    pystrtod.h pythonrun.h pythread.h rangeobject.h setobject.h sliceobject.h structmember.h sysmodule.h traceback.h
    tupleobject.h typeslots.h unicodeobject.h warnings.h weakrefobject.h""".split()
) - {"pyframe.h"}
HEADERS_39 = {"exports.h", "genericaliasobject.h"}


@check("sysconfig-build", each_interpreter=True, suits=_is_cpython)
def build(context: Context, interpreter: InstalledInterpreter) -> Iterator[str]:
    """The image's compilers accept every published flag, for C and for C++, and the result imports."""
    said = identity(context, interpreter)
    variables = {name: str(said["variables"].get(name) or "") for name in FLAGS}
    directory = context.directory(f"sysconfig-{interpreter.tag}")
    for name, source, compiler, linker in (
        ("smoke_c", context.projects / "c/smoke_c.c", "CC", "LDSHARED"),
        ("smoke_cxx", context.projects / "cxx/smoke_cxx.cpp", "CXX", "LDCXXSHARED"),
    ):
        flags = " ".join(variables[key] for key in ("CFLAGS", "CPPFLAGS", "CCSHARED", "OPT", "BASECFLAGS"))
        compile_flags = [
            flag for flag in shlex.split(flags) if "prototypes" not in flag and flag != "-Wstrict-prototypes"
        ]
        target = directory / f"{name}.o"
        argv = [
            *shlex.split(variables[compiler]),
            *compile_flags,
            "-O0",
            f"-I{said['paths']['include']}",
            "-Werror=unknown-pragmas",
        ]
        argv += ["-std=c++17"] if compiler == "CXX" else []
        context.run([*argv, "-c", str(source), "-o", str(target)])
        link = shlex.split(variables.get(linker) or variables["LDSHARED"].replace("gcc", "g++"))
        shared = directory / f"{name}{said['variables']['EXT_SUFFIX']}"
        context.run([*link, *shlex.split(variables["LDFLAGS"]), str(target), "-lm", "-o", str(shared)])
    code = "import smoke_c, smoke_cxx; assert smoke_c.hypotenuse(3, 4) == 5 and smoke_cxx.sum(4) == 10"
    context.run([interpreter.python, "-c", code], env={**context.environment, "PYTHONPATH": str(directory)})
    yield from ()


@check("python-config", each_interpreter=True, suits=_is_cpython)
def python_config(context: Context, interpreter: InstalledInterpreter) -> Iterator[str]:
    """python-config knows its place, and its flags compile."""
    directory = Path(interpreter.prefix) / "bin"
    suffix = interpreter.minor + ("t" if interpreter.threaded else "")
    for name in ("python3-config", f"python{suffix}-config"):
        for option, wanted in (("--prefix", interpreter.prefix), ("--abiflags", "t" if interpreter.threaded else "")):
            said = context.output([directory / name, option])
            if os.path.realpath(said) != wanted and said != wanted:
                yield f"{name} {option} says {said!r}, expected {wanted!r}"
    include = context.output([directory / "python3-config", "--includes"])
    source = context.projects / "c/smoke_c.c"
    context.run(["gcc", *shlex.split(include), "-fsyntax-only", str(source)])
    pkgconfig = Path(interpreter.prefix) / "lib/pkgconfig"
    for name in (f"python-{interpreter.minor}", f"python-{interpreter.minor}-embed", "python3", "python3-embed"):
        suffix_name = name.replace(interpreter.minor, suffix)
        if not any((pkgconfig / f"{candidate}.pc").exists() for candidate in (name, suffix_name)):
            yield f"{pkgconfig}/{name}.pc is missing"
