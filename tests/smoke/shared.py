"""The shared variant: interpreters with a shared libpython, their OpenSSL, and what embedders make of them."""

from __future__ import annotations

import json
import os
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from . import configuration, elf, interpreters, restricted, stdlib
from .context import LOCAL_BIN, Context, InstalledSharedInterpreter
from .interpreters import identity
from .registry import RESTRICTED, check, differences
from .venvs import bare_environment
from .wheels import symbol_problems

# What holds for every interpreter holds for these, too.
for _name, _function in {
    "version": interpreters.version,
    "path": interpreters.path,
    "bin": interpreters.bin_directory,
    "launcher": interpreters.launchers,
    "pip": interpreters.pip,
    "packages": interpreters.packages,
    "package-files": interpreters.package_files,
    "sysconfig-compilers": configuration.golden,
    "sysconfig-foreign": configuration.foreign,
    "sysconfig-paths": configuration.paths,
    "sysconfig-build": configuration.build,
    "headers": configuration.headers,
    "python-config": configuration.python_config,
    "stdlib-imports": stdlib.imports,
    "stdlib-extensions": stdlib.extensions,
    "test-package": stdlib.test_package,
    "sqlite": stdlib.sqlite_ours,
    "sqlite-extensions": stdlib.sqlite_extensions,
    "certificates": stdlib.ssl,
    "decimal": stdlib.decimal,
    "tkinter": stdlib.tkinter,
}.items():
    check(f"shared-{_name}", shared=True)(_function)
check("shared-zstd", shared=True, suits=lambda i: i.key >= (3, 14))(stdlib.zstd)
check("shared-restricted", shared=True, container=RESTRICTED)(restricted.interpreter)

SAY_MAPS = "import _ssl, _hashlib\nfor line in open('/proc/self/maps'): print(line.split(None, 5)[-1].strip())"


def library(interpreter: InstalledSharedInterpreter) -> Path:
    """Its libpython."""
    return Path(interpreter.prefix) / "lib" / f"libpython{interpreter.minor}.so.1.0"


@check("shared-library", shared=True)
def shared_library(context: Context, interpreter: InstalledSharedInterpreter) -> Iterator[str]:
    """The interpreter is a small program that finds libpython beside it, by its own RUNPATH and whatever is set."""
    wanted = str(library(interpreter))
    for environment in ({}, {"LD_LIBRARY_PATH": ""}, {"LD_LIBRARY_PATH": "/nonexistent"}, context.environment):
        for program in (interpreter.python, LOCAL_BIN / interpreter.launchers[0]):
            mapped = context.output([program, "-c", SAY_MAPS], env=environment).splitlines()
            if found := {path for path in mapped if "/libpython" in path} ^ {wanted}:
                yield f"{program} loads {', '.join(sorted(found))}, expected {wanted} alone"
    for path in (os.path.realpath(interpreter.python), wanted):
        file = elf.parse(Path(path).read_bytes())
        if f"{interpreter.prefix}/lib" not in file.runpath.split(":") or file.rpath:
            yield f"{path} has RUNPATH {file.runpath!r} and RPATH {file.rpath!r}"
    for entry in context.before.below(interpreter.prefix):
        if entry.path.endswith(".a"):
            yield f"{entry.path} is a static library"


@check("shared-sysconfig", shared=True)
def sysconfig(context: Context, interpreter: InstalledSharedInterpreter) -> Iterator[str]:
    """It was configured as promised, with the optimisation that the table says."""
    variables = identity(context, interpreter)["variables"]
    wanted: dict[str, Any] = {
        "prefix": interpreter.prefix,
        "Py_ENABLE_SHARED": 1,
        "LDLIBRARY": f"libpython{interpreter.minor}.so",
        "INSTSONAME": library(interpreter).name,
        "LIBDIR": f"{interpreter.prefix}/lib",
        "Py_DEBUG": 0,
        "Py_GIL_DISABLED": 0,
    }
    yield from differences(wanted, variables)
    options = shlex.split(variables["CONFIG_ARGS"])
    for option in ("--enable-shared", "--with-lto", "--with-computed-gotos", "--enable-ipv6"):
        if option not in options:
            yield f"it was configured without {option}"
    if ("--enable-optimizations" in options) != interpreter.optimised:
        yield f"optimised by a profile: {not interpreter.optimised}, expected {interpreter.optimised}"


@check("shared-openssl", when=lambda e: bool(e.shared_interpreters))
def openssl(context: Context) -> Iterator[str]:
    """OpenSSL is whole: program, headers, pkg-config; all of the variant's interpreters load it."""
    version = context.expected.shared["openssl"]["version"]
    prefix = context.expected.openssl_prefix
    said = context.output([prefix / "bin/openssl", "version"], env=bare_environment())
    if f"OpenSSL {version} " not in said:
        yield f"{prefix}/bin/openssl says {said!r}, expected {version}"
    for name in ("openssl", "libssl", "libcrypto"):
        environment = {**context.environment, "PKG_CONFIG_PATH": str(prefix / "lib/pkgconfig")}
        said = context.output(["pkg-config", "--modversion", "--print-errors", name], env=environment)
        if said != version:
            yield f"pkg-config says that {name} is {said!r}, expected {version}"
    for name in ("ssl.h", "evp.h", "opensslv.h"):
        if not (prefix / "include/openssl" / name).is_file():
            yield f"{prefix}/include/openssl/{name} is missing"
    for interpreter in context.expected.shared_interpreters:
        said = context.output([interpreter.python, "-c", "import ssl; print(ssl.OPENSSL_VERSION)"])
        if f"OpenSSL {version} " not in said:
            yield f"{interpreter.tag} has {said!r}, expected {version}"
        mapped = context.output([interpreter.python, "-c", SAY_MAPS], env={}).splitlines()
        loaded = {path for path in mapped if Path(path).name.startswith(("libssl.", "libcrypto."))}
        if loaded != {str(prefix / "lib" / name) for name in ("libssl.so.3", "libcrypto.so.3")}:
            yield f"{interpreter.tag} loads {', '.join(sorted(loaded)) or 'no OpenSSL'}"


@check("shared-embedding", shared=True)
def embedding(context: Context, interpreter: InstalledSharedInterpreter) -> Iterator[str]:
    """A program that embeds the interpreter links libpython by what python-config says."""
    config = Path(interpreter.prefix) / "bin/python3-config"
    flags = shlex.split(context.output([config, "--includes"]) + " " + context.output([config, "--ldflags", "--embed"]))
    program = context.directory("shared-embedding") / interpreter.tag
    source = context.projects / "programs/embed.c"
    context.run(["gcc", "-O0", source, "-o", program, *flags, f"-Wl,-rpath,{interpreter.prefix}/lib"])
    said = context.output([program], env={**bare_environment(), "PYTHONHOME": interpreter.prefix})
    if said != interpreter.minor:
        yield f"a program that embeds it says {said!r}"


@check("shared-pyinstaller", shared=True, when=lambda e: bool(e.get("shared", {}).get("pyinstaller")), heavy=True)
def pyinstaller(context: Context, interpreter: InstalledSharedInterpreter) -> Iterator[str]:
    """One file of PyInstaller's with ssl, sqlite3 and zstd runs with what it brings alone, on the policy's glibc."""
    directory = context.directory(f"pyinstaller-{interpreter.tag}")
    python = directory / "venv/bin/python"
    wheels = context.wheelhouse / context.expected.shared["pyinstaller"]
    context.run([interpreter.python, "-m", "venv", "--without-pip", directory / "venv"])
    pip: list[str | Path] = [interpreter.python, "-m", "pip", "--python", python, "install", "-q", "--no-index"]
    context.run([*pip, "--find-links", wheels, "pyinstaller"])
    places = [word for name in ("dist", "work", "spec") for word in (f"--{name}path", str(directory / name))]
    argv: list[str | Path] = [python, "-m", "PyInstaller", "--onefile", "--log-level", "WARN", "--name", "app", *places]
    environment = {**context.environment, "PYINSTALLER_CONFIG_DIR": str(directory / "cache")}
    context.run([*argv, context.projects / "pyinstaller/app.py"], env=environment, timeout=1800)

    program, unpacked = directory / "dist/app", directory / "unpacked"
    said = json.loads(context.output([program, unpacked], env={}))
    built = context.expected.components
    if f"OpenSSL {context.expected.shared['openssl']['version']} " not in said["ssl"]:
        yield f"it has {said['ssl']}"
    if "sqlite" in built and said["sqlite"] != built["sqlite"]["version"]:
        yield f"it has SQLite {said['sqlite']}"
    if "zstd" in built and interpreter.key >= (3, 14) and said["zstd"] != built["zstd"]["version"]:
        yield f"it has zstd {said['zstd']}"
    if f"{said['root']}/{library(interpreter).name}" not in said["maps"]:
        yield "it does not run with the libpython that it brings"
    yield from (f"it loads {path} of the image" for path in said["maps"] if path.startswith(("/opt/", "/usr/local/")))
    files = [path for path in [program, *sorted(unpacked.rglob("*"))] if path.is_file() and elf.is_elf(path)]
    if len(files) < 10:
        yield f"it brings {len(files)} ELF files"
    for path in files:
        yield from symbol_problems(context.expected, path.name, elf.parse(path.read_bytes()))
