"""Compilers, linker, autotools, cmake and pkg-config, and what they find."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

from . import elf
from .context import Context, Expected, Problem, version_key
from .registry import check, difference
from .venvs import bare_environment

CXX_STANDARDS = {9: "17", 10: "20", 11: "20", 12: "20"}  # GCC major -> newest standard worth linking; later ones: 23

SUFFIXES = {"c": ".c", "c++": ".cpp", "fortran": ".f90"}


def triples(context: Context) -> dict[str, list[str]]:
    """Every name by which the compilers can be called, by language."""
    machine = context.output(["gcc", "-dumpmachine"])
    names = {"c": ["gcc", "cc", f"{machine}-gcc"], "c++": ["g++", "c++", f"{machine}-g++"], "fortran": ["gfortran"]}
    return {language: [name for name in found if _must_exist(name)] for language, found in names.items()}


def _must_exist(name: str) -> bool:
    # The prefixed names are the distribution's habit; the plain ones are promised.
    return "-" not in name or shutil.which(name) is not None


@check("compiler-version")
def compiler_version(context: Context) -> Iterator[str]:
    """gcc, g++ and gfortran are the toolset's, of the expected major version."""
    root = context.expected.env["DEVTOOLSET_ROOTPATH"]
    for name in ("gcc", "g++", "gfortran", "cc", "c++", "cpp"):
        path = shutil.which(name)
        if path is None:
            yield f"{name} is not there"
            continue
        major = context.output([name, "-dumpversion"]).split(".")[0]
        if major != str(context.expected.gcc_major):
            yield f"{name} ({path}) is version {major}, expected {context.expected.gcc_major}"
        if root and not path.startswith((f"{root}/", "/usr/local/bin/")):
            yield f"{name} is {path}, outside {root}"
    for name in (
        "ld",
        "as",
        "ar",
        "nm",
        "objdump",
        "objcopy",
        "ranlib",
        "readelf",
        "strip",
        "strings",
        "addr2line",
        "c++filt",
        "size",
    ):
        context.run([name, "--version"])


@check("compile-and-run")
def compile_and_run(context: Context) -> Iterator[str]:
    """Every compiler name makes programs that run, with an empty environment too."""
    directory = context.directory("programs")
    for language, names in triples(context).items():
        source = context.projects / f"programs/program{SUFFIXES[language]}"
        for name in names:
            program = directory / f"{name}-{language.replace('+', 'x')}"
            try:
                context.run([name, "-Wall", "-Werror", source, "-o", program, "-lm"])
                context.run([program], env=bare_environment())
            except Problem as problem:
                yield f"{name}: {problem}"


@check("regression-12-default-isa")
def default_isa(context: Context) -> Iterator[str]:
    """No compiler name uses instructions beyond the platform's baseline unless told to: C, C++ and Fortran."""
    platform = context.expected.platform
    for language, names in triples(context).items():
        source = context.projects / f"programs/bits{SUFFIXES[language]}"
        for name in names:
            assembly = context.output([name, "-O2", "-S", source, "-o", "-"])
            if platform in ("x86_64", "i686") and re.search(r"\bpopcnt[lq]?\b", assembly):
                yield f"{name} uses popcnt, which is x86-64-v2, by default"
            if language == "fortran":
                continue
            macros = set(
                re.findall(r"(?m)^#define (\w+) ", context.output([name, "-dM", "-E", "-x", language, "/dev/null"]))
            )
            yield from (f"{name} defines {macro} by default" for macro in sorted(macros & BEYOND.get(platform, set())))
            yield from (f"{name} does not define {macro}" for macro in sorted(REQUIRED.get(platform, set()) - macros))
            options = ["-march=x86-64-v3"] if platform == "x86_64" else []
            if options and "__AVX2__" not in context.output([name, *options, "-dM", "-E", "-x", language, "/dev/null"]):
                yield f"{name} ignores {options[0]}"


# What must not, and what must be assumed about every machine of a platform.
BEYOND = {
    "x86_64": {"__SSE3__", "__SSSE3__", "__SSE4_1__", "__SSE4_2__", "__POPCNT__", "__AVX__", "__AVX2__", "__CRC32__"},
    "i686": {"__SSE3__", "__SSSE3__", "__SSE4_1__", "__SSE4_2__", "__POPCNT__", "__AVX__", "__AVX2__", "__x86_64__"},
    "aarch64": {"__ARM_FEATURE_SVE", "__ARM_FEATURE_ATOMICS", "__ARM_FEATURE_BTI_DEFAULT"},
    "armv7l": {"__ARM_FEATURE_IDIV", "__ARM_FEATURE_CRC32"},
}
REQUIRED = {
    "x86_64": {"__SSE2__", "__x86_64__"},
    "i686": {"__i386__"},
    "aarch64": {"__aarch64__"},
    "armv7l": {"__ARM_PCS_VFP"},
    "ppc64le": {"__powerpc64__"},
    "s390x": {"__s390x__"},
    "riscv64": {"__riscv"},
}


@check("regression-13-as-needed", heavy=True)
def as_needed(context: Context) -> Iterator[str]:
    """C++ links and runs with every usual linker option: a toolset's libstdc++ once lost symbols with --as-needed."""
    source = context.projects / "programs/as_needed.cpp"
    directory = context.directory("as-needed")
    newest = CXX_STANDARDS.get(context.expected.gcc_major, "23")
    # One object serves several ways of linking: these headers take seconds to compile.
    compiled = {
        "17": [],
        newest: ["-D_GLIBCXX_ASSERTIONS"],
        "17 -flto": ["-flto"],
    }
    linked = [
        ("17", ["-Wl,--as-needed"]),
        ("17", ["-Wl,--as-needed", "-shared", "-Wl,-z,defs"]),
        (newest, ["-Wl,--as-needed"]),
        (newest, ["-Wl,--as-needed", "-Wl,--no-undefined", "-static-libstdc++"]),
        ("17 -flto", ["-Wl,--as-needed", "-flto"]),
    ]
    for name, options in compiled.items():
        standard = f"-std=c++{name.split()[0]}"
        context.run(["g++", standard, "-O0", "-fPIC", *options, "-c", source, "-o", directory / f"{name}.o"])
    for number, (name, options) in enumerate(linked):
        program = directory / f"program-{number}"
        try:
            context.run(["g++", "-O0", directory / f"{name}.o", "-o", program, *options, "-pthread"])
            if "-shared" not in options:
                context.run([program], env={**bare_environment(), "LD_BIND_NOW": "1"})
        except Problem as problem:
            yield f"c++{name} {' '.join(options)}: {problem}"
        else:
            yield from elf.defects(elf.parse(program.read_bytes()))


@check("linker-path", when=lambda e: bool(e.is_glibc))
def linker_path(context: Context) -> Iterator[str]:
    """Libraries in /usr/local/lib and lib64 are found by compilers and at run time (regression 22)."""
    configuration = Path("/etc/ld.so.conf.d/00-manylinux.conf")
    if not configuration.exists():
        yield f"{configuration} is missing"
        return
    if os.path.lexists("/etc/ld.so.preload"):
        yield "/etc/ld.so.preload puts a library into every program"
    lines = configuration.read_text().split()
    if "/usr/local/lib" not in lines:
        yield f"{configuration} lacks /usr/local/lib"
    if os.path.isdir("/usr/local/lib64") and "/usr/local/lib64" not in lines:
        yield f"{configuration} lacks /usr/local/lib64"
    if not re.search(r"(?m)^include\s+(/etc/)?ld\.so\.conf\.d/\*\.conf", Path("/etc/ld.so.conf").read_text()):
        yield "/etc/ld.so.conf does not include /etc/ld.so.conf.d/*.conf"
    if "libc.so.6" not in context.output(["ldconfig", "-p"]):
        yield "the linker's cache is empty"


SONAMES = (
    "libc libm libdl libpthread librt libutil libresolv libstdc++ libgcc_s libatomic libgfortran libquadmath "
    "libX11 libXext libXrender libICE libSM libGL libglib-2.0 libgobject-2.0 libgthread-2.0 libz libexpat"
).split()


@check("regression-09-sonames", when=lambda e: bool(e.is_glibc))
def sonames(context: Context) -> Iterator[str]:
    """Libraries that the policies promise, and libgfortran, are in the linker's cache."""
    cached = set(re.findall(r"(?m)^\s+(\S+?)\.so", context.output(["ldconfig", "-p"])))
    missing = set(SONAMES) - cached
    if context.expected.platform not in ("x86_64", "i686", "ppc64le"):
        missing -= {"libquadmath"}
    if context.expected.platform in ("riscv64", "loongarch64") or context.expected.libc_tuple >= (2, 34):
        missing -= {"libdl", "libpthread", "librt", "libutil"}  # kept for old binaries only
    yield from (f"{name}.so is not in the linker's cache" for name in sorted(missing))


# Header, what it is used for, how to link: one row a development package that the policy promises.
PROMISED = {
    "zlib": ("zlib.h", "zlibVersion()", ["-lz"]),
    "expat": ("expat.h", "XML_ExpatVersion()", ["-lexpat"]),
    "x11": ("X11/Xlib.h", "XDisplayName(0)", ["-lX11"]),
    "xext": ("X11/Xlib.h>\n#include <X11/extensions/Xext.h", "XMissingExtension(0, 0)", ["-lXext", "-lX11"]),
    "xrender": (
        "X11/Xlib.h>\n#include <X11/extensions/Xrender.h",
        "XRenderQueryVersion(0, 0, 0)",
        ["-lXrender", "-lX11"],
    ),
    "ice": ("X11/ICE/ICElib.h", "IceConnectionNumber(0)", ["-lICE"]),
    "sm": ("X11/SM/SMlib.h", "SmcVendor(0)", ["-lSM", "-lICE"]),
    "gl": ("GL/gl.h", "glGetError()", ["-lGL"]),
    "glx": ("GL/glx.h", "glXGetCurrentContext()", ["-lGL"]),
    "glib-2.0": ("glib.h", 'g_str_hash("x")', []),
    "gobject-2.0": ("glib-object.h", "g_type_name(0)", []),
    "gthread-2.0": ("glib.h", "g_thread_self()", []),
}
PKG_CONFIG = "zlib expat x11 xext xrender ice sm gl glib-2.0 gobject-2.0 gthread-2.0".split()


@check("promised-libraries", heavy=True)
def promised_libraries(context: Context) -> Iterator[str]:
    """Every library that the policies promise compiles and links by its header and by pkg-config."""
    directory = context.directory("promised")
    for name, (header, call, libraries) in PROMISED.items():
        source = directory / f"{name}.c"
        # volatile: the call must reach the linker, not run
        source.write_text(
            f"#include <{header}>\nint main(int n, char **a) {{ (void)a; if (n > 5) (void)({call}); return 0; }}\n"
        )
        try:
            flags = context.output(["pkg-config", "--cflags", "--libs", name]).split() if name in PKG_CONFIG else []
            context.run(
                [
                    "gcc",
                    "-O0",
                    "-Werror=implicit-function-declaration",
                    source,
                    "-o",
                    directory / name,
                    *flags,
                    *libraries,
                ]
            )
            context.run([directory / name])
        except Problem as problem:
            yield f"{name}: {problem}"
    for header in "features.h pthread.h dlfcn.h sys/socket.h linux/types.h asm/unistd.h X11/Xutil.h zconf.h".split():
        try:
            context.run(["gcc", "-fsyntax-only", "-include", header, "-x", "c", "/dev/null"])
        except Problem as problem:
            yield f"{header}: {problem}"


@check("pkg-config-path")
def pkg_config(context: Context) -> Iterator[str]:
    """pkg-config looks where local libraries go, as the linker does; SQLite is there exactly where it is promised."""
    for place in context.expected.env["PKG_CONFIG_PATH"].split(":"):
        with _offered(Path(place, "smoke-local.pc")):
            if context.run(["pkg-config", "--exists", "smoke-local"], status=None).returncode:
                yield f"pkg-config does not look into {place}"
    offered = context.run(["pkg-config", "--exists", "sqlite3"], status=None).returncode == 0
    if offered and not context.expected.sqlite_exposed:
        yield "pkg-config offers sqlite3, which this policy does not promise"
    if context.expected.sqlite_exposed and "sqlite" in context.expected.components:
        if not offered:
            yield "pkg-config does not find sqlite3"
            return
        version = context.output(["pkg-config", "--modversion", "sqlite3"])
        if version != context.expected.components["sqlite"]["version"]:
            yield f"pkg-config offers sqlite3 {version}"
        shell = context.output(["/opt/_internal/sqlite3/bin/sqlite3", ":memory:", "select sqlite_version()"])
        if shell != version:
            yield f"the sqlite3 command says {shell}"
    for name in ("openssl", "libcurl", "libmpdec", "libzstd"):
        if context.run(["pkg-config", "--exists", name], status=None).returncode == 0:
            yield f"pkg-config offers {name}: only the builds of the image may see it (regression 23)"


@contextlib.contextmanager
def _offered(file: Path) -> Iterator[None]:
    """The description of a library, there for a while."""
    made = [directory for directory in (file.parent, *file.parent.parents) if not directory.exists()]
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("Name: x\nDescription: x\nVersion: 1\n", encoding="utf-8")
    try:
        yield
    finally:
        file.unlink()
        for directory in made:
            directory.rmdir()


@check("cmake-project", heavy=True)
def cmake(context: Context) -> None:
    """cmake configures and builds a project in C, C++ and Fortran, with SQLite where that is promised."""
    build = context.directory("cmake")
    options = []
    if context.expected.sqlite_exposed and "sqlite" in context.expected.components:
        options = ["-DSMOKE_SQLITE=3.50"]
    context.run(["cmake", "-S", context.projects / "cmake", "-B", build, *options])
    context.run(["cmake", "--build", build])
    context.run([build / "smoke"])


@check("regression-11-autotools", heavy=True)
def autotools(context: Context) -> Iterator[str]:
    """autoreconf finds libtool's, automake's and pkg-config's macros; the result configures, builds and runs."""
    source = context.scratch / "autotools"
    shutil.copytree(context.projects / "autotools", source)
    (source / "m4").mkdir()
    context.run(["autoreconf", "-fi"], cwd=source)
    context.run(["./configure", "--disable-static", "--disable-dependency-tracking", "CFLAGS=-O0"], cwd=source)
    context.run(["make", "-s"], cwd=source)
    context.run(["./smoke"], cwd=source)
    yield from ()


@check("regression-11-aclocal-both-ways")
def aclocal(context: Context) -> Iterator[str]:
    """aclocal searches the system's macros (pkg.m4) and those of /usr/local (libtool.m4), wherever it is from."""
    directory = context.directory("aclocal")
    shutil.copy(context.projects / "autotools/configure.ac", directory)
    (directory / "m4").mkdir()
    context.run(["aclocal", "--output=-"], cwd=directory)
    searched = _macro_directories(context, "aclocal")
    for name in ("pkg.m4", "libtool.m4"):
        if not any((Path(path) / name).exists() for path in searched):
            yield f"aclocal finds no {name} in {', '.join(searched)}"


def _macro_directories(context: Context, program: str) -> list[str]:
    main = context.output([program, "--print-ac-dir"])
    listed = Path(main, "dirlist")
    extra = listed.read_text().split() if listed.exists() else []
    return [main, *extra]


AUTOTOOLS = {"autoconf": "autoconf", "automake": "automake", "libtool": "libtoolize"}
MINIMUM = {"autoconf": (2, 72), "automake": (1, 17), "libtool": (2, 5, 3)}


@check("autotools-versions")
def autotools_versions(context: Context) -> Iterator[str]:
    """autoconf, automake and libtool are those that were built, or the system's if that is as new."""
    for name, command in AUTOTOOLS.items():
        said = context.output([command, "--version"]).splitlines()[0].split()[-1]
        built = context.expected.components.get(name)
        wanted = context.kept_autotools.get(name) or (built and built["version"])
        if wanted and said != wanted:
            yield f"{command} is {said}, expected {wanted}"
        elif not built and context.expected.complete and version_key(said) < MINIMUM[name]:
            yield f"{command} is {said}, expected at least {MINIMUM[name]}"
    for command in ("autoheader", "autom4te", "autoreconf", "autoscan", "autoupdate", "ifnames", "aclocal", "libtool"):
        context.run([command, "--version"])


def yasm_expected(expected: Expected) -> bool:
    """yasm is on x86_64 only."""
    return bool(expected.platform == "x86_64")


@check("yasm", when=yasm_expected)
def yasm(context: Context) -> Iterator[str]:
    """yasm assembles."""
    directory = context.directory("yasm")
    (directory / "a.asm").write_text("bits 64\nglobal f\nf: mov rax, 1\nret\n")
    context.run(["yasm", "-f", "elf64", directory / "a.asm", "-o", directory / "a.o"])
    if not elf.is_elf(directory / "a.o"):
        yield "yasm wrote no ELF file"


COMMANDS = (
    "bash sh make patch unzip bzip2 xz gzip tar diff cmp file curl bison gpg git pkg-config find hostname which sed "
    "awk grep linux32 m4 perl sha256sum ldd ldconfig locale hardlink"
).split()


@check("base-commands")
def base_commands(context: Context) -> Iterator[str]:
    """What users call in their own build steps is there."""
    # Alpine has neither locales nor a command to show them.
    wanted = set(COMMANDS) - ({"locale", "hardlink"} if context.expected.family == "alpine" else set())
    yield from difference("commands", wanted, filter(shutil.which, wanted))
    directory = context.directory("archives")
    (directory / "text").write_text("text\n")
    for suffix in ("gz", "bz2", "xz"):
        context.run(["tar", "-caf", f"a.tar.{suffix}", "text"], cwd=directory)
        if context.output(["tar", "-tf", f"a.tar.{suffix}"], cwd=directory) != "text":
            yield f"tar cannot read its own .tar.{suffix}"
    if "GNU tar" not in context.output(["tar", "--version"]):
        yield "tar is not GNU tar"
    context.run(["unzip", "-v"])
    context.run(["bison", "--version"])
    context.run(["patch", "--version"])
    context.run(["make", "--version"])
