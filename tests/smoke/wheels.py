"""Wheels: built by `build`, repaired by auditwheel and patchelf, installed by pip and uv, run in a bare environment."""

from __future__ import annotations

import json
import os
import re
import shutil
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from doctor.wheel import parse_name

from . import elf
from .context import LOCAL_BIN, Context, Expected, InstalledInterpreter, Problem, describe_exit, version_key
from .registry import check, difference
from .venvs import bare_environment, builder_venv

# What auditwheel leaves outside of a wheel; everything else is grafted (auditwheel's policies).
LEFT_OUT = re.compile(
    r"lib(atomic|gcc_s|stdc\+\+|m|anl|dl|rt|c|nsl|util|pthread|X11|Xext|Xrender|ICE|SM|GL|gobject-2\.0|gthread-2\.0|glib-2\.0"
    r"|resolv|expat|z|mvec)\.so(\.\d+)?$|ld-linux.*|ld64\.so.*"
)
LEFT_OUT_MUSL = re.compile(r"libc\.(so|musl-\w+\.so\.1)$|libz\.so\.1$|ld-musl.*")


@dataclass(frozen=True)
class RepairedWheel:
    """A repaired wheel, and where its files were unpacked."""

    path: Path
    files: Path

    @property
    def platforms(self) -> set[str]:
        """The platform tags of its file name."""
        return set(parse_name(self.path.name).platforms)

    def elves(self) -> dict[str, elf.Elf]:
        """Every ELF file in it, by name."""
        paths = sorted(path for path in self.files.rglob("*") if path.is_file() and elf.is_elf(path))
        return {str(path.relative_to(self.files)): elf.parse(path.read_bytes()) for path in paths}


def has_stable_abi(interpreter: InstalledInterpreter) -> bool:
    """Whether the interpreter builds and loads cp38-abi3 wheels: PyPy and free-threaded builds do not."""
    return interpreter.is_cpython and not interpreter.threaded


def has_stable_abi_of_both(interpreter: InstalledInterpreter) -> bool:
    """Whether the interpreter builds and loads cp315-abi3.abi3t wheels (PEP 803), with or without the GIL."""
    return interpreter.is_cpython and interpreter.key >= (3, 15)


def kinds(interpreter: InstalledInterpreter) -> list[str]:
    """The projects that every such interpreter builds."""
    stable = {"abi3": has_stable_abi(interpreter), "abi3t": has_stable_abi_of_both(interpreter)}
    return ["c", "cxx", "graft", *(kind for kind, built in stable.items() if built)]


PRIVATE_LIBRARIES = ("smoke_private", *(f"smoke_many{number}" for number in range(1, 31)))


def private_libraries(context: Context) -> Path:
    """The directory into which cmake installed private libraries, with its default prefix; ldconfig has run."""

    def make() -> Path:
        build = context.directory("private-libraries")
        context.run(["cmake", "-S", context.projects / "private", "-B", build, "-DCMAKE_BUILD_TYPE=Release"])
        context.run(["cmake", "--build", build, "--parallel", str(os.cpu_count() or 1)])
        context.run(["cmake", "--install", build])
        directory = Path((build / "libdir").read_text(encoding="utf-8"))
        context.run(["strip", directory / "libsmoke_private.so", *directory.glob("libsmoke_many1*.so")])
        if context.expected.is_glibc:
            context.run(["ldconfig"])
        return directory

    return context.once("private libraries", make)


def built_wheel(context: Context, interpreter: InstalledInterpreter, kind: str, **variables: str) -> Path:
    """The wheel of projects/<kind>; "c" is built in isolation as users do, the others in a prepared environment."""
    label = "-".join([kind, *(f"{name}={value}" for name, value in variables.items())])

    def make() -> Path:
        source = context.directory(f"build-{interpreter.tag}") / label
        shutil.copytree(context.projects / kind, source)
        target = context.directory(f"built-{interpreter.tag}-{label}")
        environment = {**context.environment, **variables}
        if kind == "graft":
            # The default prefix must do without help: pypa/manylinux #1886
            private_libraries(context)
        if kind == "c":
            environment |= {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(context.wheelhouse)}
            argv: list[str | Path] = [interpreter.python, "-m", "build", "--wheel"]
        else:
            argv = [builder_venv(context, interpreter), "-m", "build", "--wheel", "--no-isolation"]
        context.run([*argv, "--outdir", target, source], env=environment)
        return _only(target)

    return context.once(f"building smoke-{label} with {interpreter.tag}", make)


def repaired_wheel(
    context: Context, interpreter: InstalledInterpreter, kind: str, *options: str, **variables: str
) -> RepairedWheel:
    """The wheel after auditwheel, which takes the policy from the image's environment."""
    said = [f"{name}={value}" for name, value in variables.items()]
    label = "-".join([kind, *(option.strip("-") for option in options), *said])

    def make() -> RepairedWheel:
        wheel = built_wheel(context, interpreter, kind, **variables)
        target = context.directory(f"repaired-{interpreter.tag}-{label}")
        context.run([LOCAL_BIN / "auditwheel", "repair", *options, "--wheel-dir", target, wheel])
        path = _only(target)
        files = context.directory(f"unpacked-{interpreter.tag}-{label}")
        with zipfile.ZipFile(path) as archive:
            archive.extractall(files)
        return RepairedWheel(path, files)

    return context.once(f"repairing smoke-{label} of {interpreter.tag}", make)


def _only(directory: Path) -> Path:
    found = list(directory.iterdir())
    if len(found) != 1:
        raise Problem(f"{directory} holds {[path.name for path in found]}, expected one wheel")
    return found[0]


def python_tag(interpreter: InstalledInterpreter, kind: str) -> str:
    """Python and ABI tag of a wheel, which may name several ABIs."""
    return {"abi3": "cp38-abi3", "abi3t": "cp315-abi3.abi3t"}.get(kind, interpreter.tag)


def tag_problems(
    expected: Expected, interpreter: InstalledInterpreter, kind: str, wheel: RepairedWheel
) -> Iterator[str]:
    """What is wrong with the names and tags of a wheel that was repaired for the image's policy only."""
    wanted = {f"{policy}_{expected.platform}" for policy in expected.policy_tags}
    yield from difference(f"platform tags in {wheel.path.name}", wanted, wheel.platforms)
    name = f"smoke_{kind}-1.0-{python_tag(interpreter, kind)}-"
    if not wheel.path.name.startswith(name):
        yield f"the wheel is called {wheel.path.name}, expected {name}..."
    text = next(wheel.files.glob("*.dist-info/WHEEL")).read_text(encoding="utf-8")
    tags = set(re.findall(r"(?m)^Tag: (\S+)", text))
    python, abis = python_tag(interpreter, kind).split("-")
    each = {f"{python}-{abi}-{platform}" for abi in abis.split(".") for platform in wanted}
    yield from difference("tags in WHEEL", each, tags)


def structure_problems(expected: Expected, wheel: RepairedWheel) -> Iterator[str]:
    """What is wrong with the ELF files of a repaired wheel, as far as that can be seen without running them."""
    elves = wheel.elves()
    if not elves:
        yield f"{wheel.path.name} holds no ELF file"
    inside = {name.rsplit("/", 1)[-1] for name in elves}
    left_out = LEFT_OUT if expected.is_glibc else LEFT_OUT_MUSL
    for name, file in elves.items():
        yield from (f"{name}: {defect}" for defect in elf.defects(file))
        if file.machine != expected.platform:
            yield f"{name} is for {file.machine}"
        for needed in file.needed:
            if needed not in inside and not left_out.fullmatch(needed):
                yield f"{name} needs {needed}, which is neither in the wheel nor allowed outside"
        for path in filter(None, (file.rpath + ":" + file.runpath).split(":")):
            if not path.startswith("$ORIGIN"):
                yield f"{name} has an absolute path in its RPATH: {path}"
        yield from symbol_problems(expected, name, file)


def symbol_problems(expected: Expected, name: str, file: elf.Elf) -> Iterator[str]:
    """Symbol versions newer than what the policy promises."""
    limits = dict(expected.get("symbols") or {})
    if expected.is_glibc:
        limits["GLIBC"] = expected.libc_version
    for library, version in file.needed_versions:
        family, _, number = version.partition("_")
        if family in limits and re.fullmatch(r"[\d.]+", number) and version_key(number) > version_key(limits[family]):
            yield f"{name} needs {version} of {library}, the policy allows {limits[family]}"


def _register(kind: str) -> None:
    @check(
        f"wheel-{kind}",
        each_interpreter=True,
        suits=lambda interpreter: kind in kinds(interpreter),
        heavy=True,
    )
    def wheel(context: Context, interpreter: InstalledInterpreter) -> Iterator[str]:
        repaired = repaired_wheel(context, interpreter, kind, "--only-plat")
        yield from tag_problems(context.expected, interpreter, kind, repaired)
        yield from structure_problems(context.expected, repaired)


for _kind in ("c", "cxx", "abi3", "abi3t"):
    _register(_kind)


@check("regression-01-graft", each_interpreter=True, heavy=True)
def graft(context: Context, interpreter: InstalledInterpreter) -> Iterator[str]:
    """A wheel that links private libraries gets them grafted, with patchelf: into an extension and into a program."""
    repaired = repaired_wheel(context, interpreter, "graft", "--only-plat")
    yield from tag_problems(context.expected, interpreter, "graft", repaired)
    yield from structure_problems(context.expected, repaired)
    grafted = sorted(name for name in repaired.elves() if name.startswith("smoke_graft.libs/libsmoke_"))
    if len(grafted) != len(PRIVATE_LIBRARIES):
        yield f"{len(grafted)} of {len(PRIVATE_LIBRARIES)} private libraries were grafted"
    for name, file in repaired.elves().items():
        outside = [needed for needed in file.needed if re.fullmatch(r"libsmoke_\w+\.so(\.1)?", needed)]
        if outside:
            yield f"{name} still needs {', '.join(outside)} from outside"
        if name == "smoke_graft/tool" or name.startswith("smoke_graft/_graft."):
            if sum(needed.startswith("libsmoke_") for needed in file.needed) != len(PRIVATE_LIBRARIES):
                yield f"{name} lost some of its {len(PRIVATE_LIBRARIES)} private libraries"
            if "SMOKE_2" not in {version for _, version in file.needed_versions}:
                yield f"{name} lost the version of smoke_private"


@check("regression-02-graft-runs", each_interpreter=True, heavy=True)
def graft_runs(context: Context, interpreter: InstalledInterpreter) -> Iterator[str]:
    """What patchelf rewrote runs: extension and program, bound at once, with nothing but the wheel's own libraries."""
    files = repaired_wheel(context, interpreter, "graft", "--only-plat").files
    environment = {**bare_environment(), "LD_BIND_NOW": "1", "PYTHONPATH": str(files)}
    tool = files / "smoke_graft/tool"
    tool.chmod(0o755)  # zipfile does not keep modes
    code = "import smoke_graft; print(smoke_graft.total())"
    rows: list[list[str | Path]] = [[interpreter.python, "-B", "-c", code], [tool]]
    for argv in rows:
        if (said := context.output(argv, env=environment)) != "467":
            yield f"{argv[0]} says {said!r}, expected 467"


@check("regression-22-default-prefix", when=lambda e: bool(e.is_glibc), heavy=True)
def default_prefix(context: Context) -> None:
    """A library that cmake installed with its default prefix is found by the linker and at run time, without help."""
    private_libraries(context)
    program = context.directory("default-prefix") / "tool"
    source = context.projects / "graft/tool.c"
    context.run(["gcc", "-O0", source, "-o", program, *(f"-l{name}" for name in PRIVATE_LIBRARIES)])
    context.run([program], env=bare_environment())


@check("regression-03-patchelf-alignment", each_interpreter=True, heavy=True)
def alignment(context: Context, interpreter: InstalledInterpreter) -> Iterator[str]:
    """binutils read what patchelf wrote without complaint, and can strip it."""
    repaired = repaired_wheel(context, interpreter, "graft", "--only-plat")
    files = [path for path in repaired.files.rglob("*") if elf.is_elf(path)]
    # One extension, one program and three grafted libraries stand for all.
    chosen = [path for path in files if ".libs" not in str(path)] + [p for p in files if ".libs" in str(p)][:3]
    directory = context.directory(f"stripped-{interpreter.tag}")
    done = context.run(["objdump", "-h", *chosen])
    if done.stderr.strip():
        yield f"objdump complains: {done.stderr.strip()[:500]}"
    for path in chosen:
        done = context.run(["strip", "-o", directory / path.name, path])
        if done.stderr.strip():
            yield f"strip complains: {done.stderr.strip()[:500]}"
        yield from (
            f"{path.name} after strip: {d}" for d in elf.defects(elf.parse((directory / path.name).read_bytes()))
        )


@check("regression-04-wheel-names", heavy=True)
def names(context: Context) -> Iterator[str]:
    """Without --only-plat the wheel also carries the older policies it fits: the image's own is always among them."""
    interpreter = context.expected.interpreter(context.expected.tools_python)
    repaired = repaired_wheel(context, interpreter, "c")
    for policy in context.expected.policy_tags:
        if f"{policy}_{context.expected.platform}" not in repaired.platforms:
            yield f"{repaired.path.name} is not tagged {policy}_{context.expected.platform}"
    for platform in repaired.platforms:
        if not platform.startswith(("manylinux", "musllinux")) or not platform.endswith(
            f"_{context.expected.platform}"
        ):
            yield f"{repaired.path.name} carries the tag {platform}"


# --- Installing and running -------------------------------------------------------------------------------


def _use(context: Context, interpreter: InstalledInterpreter, environment: Path) -> Iterator[str]:
    names = [f"smoke_{kind}" for kind in kinds(interpreter)]
    worker = Path(__file__).parent / "workers" / "use_wheels.py"
    for variables in (bare_environment(), {**bare_environment(), "LD_LIBRARY_PATH": "/nonexistent"}):
        said = json.loads(context.output([environment / "bin/python", "-B", worker, *names], env=variables))
        for name, problem in said["problems"].items():
            yield f"{name} with the environment {variables}: {problem}"
        for path in said["maps"]:
            if "libsmoke_" in path and not path.startswith(str(environment)):
                yield f"{path} was loaded instead of the grafted library"


def _wheels(context: Context, interpreter: InstalledInterpreter) -> list[Path]:
    return [repaired_wheel(context, interpreter, kind, "--only-plat").path for kind in kinds(interpreter)]


@check("wheel-install-pip", each_interpreter=True, heavy=True)
def install_pip(context: Context, interpreter: InstalledInterpreter) -> Iterator[str]:
    """pip installs the repaired wheels into a new venv, where they run with an empty environment."""
    environment = context.scratch / f"installed-{interpreter.tag}"
    context.run([interpreter.python, "-m", "venv", "--without-pip", environment])
    # The pip that early micros bundle is too old for manylinux_x_y: the interpreter's own is the one that is promised.
    pip = [interpreter.python, "-m", "pip", "--python", str(environment / "bin/python"), "install", "-q"]
    context.run([*pip, "--no-index", "--no-deps", *_wheels(context, interpreter)])
    yield from _use(context, interpreter, environment)


def has_uv(expected: Expected) -> bool:
    """Whether the image has uv."""
    return "uv" in expected.tools


@check(
    "wheel-install-uv", each_interpreter=True, when=has_uv, suits=lambda i: i.implementation != "graalpy", heavy=True
)
def install_uv(context: Context, interpreter: InstalledInterpreter) -> Iterator[str]:
    """uv makes a venv of the interpreter and installs the repaired wheels."""
    environment = context.scratch / f"uv-{interpreter.tag}"
    offline = {**context.environment, "UV_OFFLINE": "1", "UV_CACHE_DIR": str(context.scratch / "uv-cache")}
    offline |= {"UV_PYTHON_DOWNLOADS": "never", "UV_LINK_MODE": "copy"}
    uv = LOCAL_BIN / "uv"
    context.run([uv, "venv", "-q", "--python", interpreter.python, environment], env=offline)
    wheels = _wheels(context, interpreter)
    python = environment / "bin/python"
    context.run([uv, "pip", "install", "-q", "--no-index", "--no-deps", "--python", python, *wheels], env=offline)
    yield from _use(context, interpreter, environment)


# --- C++ --------------------------------------------------------------------------------------------------


@check("regression-15-libstdcxx", heavy=True)
def libstdcxx(context: Context) -> Iterator[str]:
    """A module that uses much of libstdc++ still repairs to the image's policy and runs."""
    interpreter = context.expected.interpreter(context.expected.tools_python)
    repaired = repaired_wheel(context, interpreter, "torture", "--only-plat")
    yield from tag_problems(context.expected, interpreter, "torture", repaired)
    yield from structure_problems(context.expected, repaired)
    environment = {**bare_environment(), "PYTHONPATH": str(repaired.files), "LD_BIND_NOW": "1"}
    said = context.output(
        [interpreter.python, "-B", "-c", "import smoke_torture; print(smoke_torture.run())"], env=environment
    )
    if said != "10":
        yield f"{said} of 10 things worked"


@check("wheel-cxx-pair", heavy=True)
def cxx_pair(context: Context) -> Iterator[str]:
    """Two C++ wheels live in one process, whichever comes first: exceptions, std::call_once, thread_local."""
    interpreter = context.expected.interpreter(context.expected.tools_python)
    wheels = [
        repaired_wheel(context, interpreter, "pair", "--only-plat", SMOKE_PAIR=name) for name in ("first", "second")
    ]
    for wheel in wheels:
        yield from structure_problems(context.expected, wheel)
    environment = {**bare_environment(), "PYTHONPATH": ":".join(str(wheel.files) for wheel in wheels)}
    worker = Path(__file__).parent / "workers" / "use_pair.py"
    for names in (["smoke_first", "smoke_second"], ["smoke_second", "smoke_first"]):
        done = context.run([interpreter.python, "-B", worker, *names], env=environment, status=None)
        if done.returncode:
            said = describe_exit(done.returncode) + "".join(f": {line}" for line in done.stderr.splitlines()[-1:])
            yield f"{names[0]} before {names[1]}: {said}"
