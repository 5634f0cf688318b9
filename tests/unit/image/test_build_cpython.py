"""build_scripts/lib/cpython.sh: what a CPython compiled by clang publishes for gcc, and how shared ones differ."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from catalogue import images, pins
from catalogue.versions import version_key

SCRIPTS = pins.DOCKERFILE.parent / "build_scripts"
CPYTHON = SCRIPTS / "lib" / "cpython.sh"
MAKEFILE = """\
CFLAGS_ALIASING=-fno-strict-aliasing
CONFIGURE_CFLAGS=
CONFIGURE_CFLAGS_NODIST=-O2 -std=c11
OPT=\t\t-DNDEBUG -g -O3 -Wall
BASECFLAGS=\t -fno-strict-overflow -fno-omit-frame-pointer -mno-omit-leaf-frame-pointer -mno-thumb -Wsign-compare
CFLAGS= $(BASECFLAGS) $(OPT) $(CONFIGURE_CFLAGS) -mno-thumb
\t$(CC) -c $(PY_CORE_CFLAGS) $(CFLAGS_ALIASING) -o $@ $<
"""


def program(path: Path, script: str) -> None:
    path.parent.mkdir(exist_ok=True)
    path.write_text(f"#!/bin/sh\n{script}\n", encoding="utf-8")
    path.chmod(0o755)


def published(tmp_path: Path, first: str) -> list[str]:
    """The Makefile's lines afterwards; `first`: what the first gcc on PATH calls itself."""
    refused = 'case "$*" in *-mno-*) exit 1;; esac'
    program(tmp_path / "clang" / "gcc", f"echo '{first}'")
    program(tmp_path / "bin" / "gcc", f"{refused}; echo 'gcc (GCC) 12'")
    text = CPYTHON.read_text(encoding="utf-8").replace("/opt/clang/bin", str(tmp_path / "clang"))
    (tmp_path / "cpython.sh").write_text(text, encoding="utf-8")
    (tmp_path / "Makefile").write_text(MAKEFILE, encoding="utf-8")
    subprocess.run(
        ["bash", "-c", f"set -Eeuo pipefail; source {SCRIPTS}/lib/lib.sh; source cpython.sh; keep_flags_of_clang"],
        cwd=tmp_path,
        env={"PATH": f"{tmp_path / 'clang'}:{tmp_path / 'bin'}:{os.environ['PATH']}"},
        check=True,
    )
    return (tmp_path / "Makefile").read_text(encoding="utf-8").splitlines()


def test_flags_that_gcc_refuses_stay_with_this_build(tmp_path: Path) -> None:
    lines = published(tmp_path, "clang version 22")
    assert lines[2] == "CONFIGURE_CFLAGS_NODIST=-O2 -std=c11 -mno-omit-leaf-frame-pointer -mno-thumb"
    assert lines[4].split() == ["BASECFLAGS=", "-fno-strict-overflow", "-fno-omit-frame-pointer", "-Wsign-compare"]
    assert [lines[0], lines[6]] == ["CFLAGS_ALIASING=", "\t$(CC) -c $(PY_CORE_CFLAGS) -fno-strict-aliasing -o $@ $<"]
    assert [lines[1], lines[3], lines[5]] == [MAKEFILE.splitlines()[number] for number in (1, 3, 5)]


@pytest.mark.parametrize("compiler", ["gcc (GCC) 12", "gcc (Debian 12.2.0-14) 12.2.0"])
def test_what_gcc_has_configured_is_left_alone(tmp_path: Path, compiler: str) -> None:
    assert published(tmp_path, compiler) == MAKEFILE.splitlines()


INSTALL = """\
OBJS=\t\tPython/a.o \\
\t\tPython/b.o
libinstall:
\t-PYTHONPATH=$(DESTDIR)$(LIBDEST) $(RUNSHARED) \\
\t\t$(PYTHON_FOR_BUILD) -Wi $(DESTDIR)$(LIBDEST)/compileall.py \\
\t\t$(DESTDIR)$(LIBDEST)
\t@ # done
"""


def test_the_library_is_not_byte_compiled_and_variables_keep_their_lines(tmp_path: Path) -> None:
    (tmp_path / "Makefile").write_text(INSTALL, encoding="utf-8")
    step(tmp_path, "skip_byte_compilation")
    wanted = "OBJS=\t\tPython/a.o \\\n\t\tPython/b.o\nlibinstall:\n\t@ # done\n"
    assert (tmp_path / "Makefile").read_text(encoding="utf-8") == wanted


# --- The shared variant ---------------------------------------------------------------------------------------------

NORMAL = {"TAG": "cp313-cp313", "PREFIX": "/opt/_internal/cpython-3.13.15"}
SHARED = {"TAG": "shared-cpython-3.13", "PREFIX": "/opt/shared-cpython-3.13", "OPTIMISED": "1"}


def step(tmp_path: Path, function: str, **environment: str) -> str:
    """What one function of cpython.sh prints, with the programs of tmp_path/bin."""
    (tmp_path / "bin").mkdir(exist_ok=True)
    libraries = f"source {SCRIPTS}/lib/lib.sh; source {SCRIPTS}/lib/jobserver.sh; source {CPYTHON}"
    script = f"set -Eeuo pipefail; HERE=.; {libraries}; {function}"
    path = f"{tmp_path / 'bin'}:{os.environ['PATH']}"
    fixed = {"PATH": path, "VERSION": "3.13.15", "MINOR": "3.13", "ABI": "3.13", "BUILD_TRIPLE": ""}
    argv = ["bash", "-c", script]
    return subprocess.run(
        argv, cwd=tmp_path, env=fixed | environment, check=True, stdout=subprocess.PIPE, text=True
    ).stdout


SHARED_OPTIONS = "--enable-shared --without-static-libpython --with-lto --with-computed-gotos --enable-ipv6".split()


@pytest.mark.parametrize(
    ("environment", "options"),
    [
        (NORMAL, ["--disable-shared"]),
        (SHARED, [*SHARED_OPTIONS, "--enable-optimizations"]),
        (SHARED | {"OPTIMISED": "0"}, SHARED_OPTIONS),
    ],
)
def test_configuration(tmp_path: Path, environment: dict[str, str], options: list[str]) -> None:
    program(tmp_path / "configure", 'echo "$LDFLAGS_NODIST"; printf "%s\\n" "$@"')
    flags, *said = step(tmp_path, "configure", **environment).splitlines()
    first = ["--enable-option-checking=fatal", f"--prefix={environment['PREFIX']}"]
    assert said[: len(options) + 3] == [*first, *options, "--with-ensurepip=no"]
    assert ("-Wl,-rpath,/opt/shared-cpython-3.13/lib -Wl,--enable-new-dtags" in flags) == (environment is not NORMAL)


# Option of configure -> the minor that brought it, after docs.python.org/3/using/configure.html; tried with the
# configure of 3.9.2, 3.11.2 and 3.13.15. None of these was removed up to 3.16.
KNOWN_FROM = dict.fromkeys(
    """--enable-option-checking --prefix --build --disable-shared --enable-shared --with-ensurepip --with-openssl
    --with-lto --enable-optimizations --with-computed-gotos --enable-ipv6""".split(),
    "3.8",
) | {
    "--disable-test-modules": "3.10",
    "--with-openssl-rpath": "3.10",
    "--without-static-libpython": "3.10",
    "--disable-gil": "3.13",
    "--with-missing-stdlib-config": "3.15",
    "--with-curses": "3.16",
}
SHARED_MINORS = images.load().variants["shared"].minors
MINORS = sorted({i.minor for i in images.load().interpreters.values() if i.implementation == "cpython"} | {"3.16"})


@pytest.mark.parametrize("minor", MINORS)
def test_configure_gets_no_option_that_the_minor_does_not_know(tmp_path: Path, minor: str) -> None:
    program(tmp_path / "configure", 'printf "%s\\n" "$@"')
    tags = [f"cp{minor}-cp{minor}", *([f"cp{minor}-cp{minor}t"] if version_key(minor) >= (3, 13) else [])]
    tags += [f"shared-cpython-{minor}"] if minor in SHARED_MINORS else []
    for tag in tags:
        environment = SHARED | {"TAG": tag, "MINOR": minor, "BUILD_TRIPLE": "arm-linux-musleabihf"}
        said = step(tmp_path, "configure", **environment).splitlines()
        names = [word.split("=")[0] for word in said if word.startswith("-")]
        assert names and all(version_key(KNOWN_FROM[name]) <= version_key(minor) for name in names), names


def test_what_is_left_out_is_said_in_the_words_of_3_15(tmp_path: Path) -> None:
    program(tmp_path / "configure", "true")
    step(tmp_path, "configure", **NORMAL | {"TAG": "cp315-cp315", "MINOR": "3.15"})
    (said,) = json.loads((tmp_path / "missing-stdlib.json").read_text(encoding="utf-8")).items()
    assert said[0] == "test" and "tests" in said[1]


def test_build_details_forget_the_static_library_and_nothing_else(tmp_path: Path) -> None:
    details = tmp_path / "lib/python3.15t/build-details.json"
    details.parent.mkdir(parents=True)
    content = {
        "schema_version": "1.0",
        "libpython": {"static": "/x.a", "link_extensions": False},
        "c_api": {"headers": "/h"},
    }
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/python").symlink_to(sys.executable)
    environment = {"PREFIX": str(tmp_path), "ABI": "3.15t"}
    step(tmp_path, "forget_static_library", **environment, MINOR="3.13")  # it has no such file
    details.write_text(json.dumps(content), encoding="utf-8")
    step(tmp_path, "forget_static_library", **environment, MINOR="3.15")
    content["libpython"] = {"link_extensions": False}
    assert json.loads(details.read_text(encoding="utf-8")) == content


def test_the_profile_is_made_the_same_way_every_time(tmp_path: Path) -> None:
    program(tmp_path / "bin" / "make", 'echo "$LC_ALL ${PYTHONHASHSEED-random}"')
    assert step(tmp_path, "compile", **NORMAL) == "C random\n"
    said = step(tmp_path, 'compile; echo "$LC_ALL ${PYTHONHASHSEED-random}"', **SHARED)
    assert said == "en_US.UTF-8 0\nC random\n"


def test_launchers(tmp_path: Path) -> None:
    (tmp_path / "usr/local/bin").mkdir(parents=True)
    for environment in (NORMAL, SHARED):
        step(tmp_path, f"ROOTFS={tmp_path}; write_launchers", **environment)
    launchers = tmp_path / "usr/local/bin"
    assert sorted(path.name for path in launchers.iterdir()) == ["cpython3.13", "py3.13", "python3.13"]
    assert (launchers / "py3.13").read_text() == '#!/bin/sh\nexec /opt/shared-cpython-3.13/bin/python3.13 "$@"\n'
    assert (launchers / "cpython3.13").read_text() == '#!/bin/sh\nexec /opt/python/cp313-cp313/bin/python3.13 "$@"\n'
    assert (launchers / "python3.13").readlink() == Path("cpython3.13")
    assert [path.name for path in (tmp_path / "opt/python").iterdir()] == ["cp313-cp313"]


def test_the_sbom_of_the_source_is_kept_where_there_is_one(tmp_path: Path) -> None:
    (tmp_path / "opt/_internal/manifest.d").mkdir(parents=True)
    step(tmp_path, f"ROOTFS={tmp_path}; keep_sbom", **NORMAL)
    (tmp_path / "Misc").mkdir()
    (tmp_path / "Misc/sbom.spdx.json").write_text('{"packages": []}', encoding="utf-8")
    step(tmp_path, f"ROOTFS={tmp_path}; keep_sbom", **NORMAL | {"TAG": "cp313-cp313t"})
    (kept,) = (tmp_path / "opt/_internal/manifest.d").iterdir()
    assert (kept.name, kept.read_text()) == ("cp313-cp313t.spdx", '{"packages": []}')


def test_openssl_is_built_for_interpreters_or_whole() -> None:
    environment = {"PATH": os.environ["PATH"], "KEEP": "some"}
    environment |= {"OPENSSL_VERSION": "3.5.7", "OPENSSL_URL": "u", "OPENSSL_SHA256": "s"}
    argv = ["bash", str(SCRIPTS / "build-openssl.sh")]
    done = subprocess.run(argv, env=environment | {"PLATFORM": "x86_64"}, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr.splitlines()[0][:18]) == (1, "error: KEEP=some: ")


@pytest.mark.parametrize(
    ("minor", "answer"), [("3.9", "aarch64-linux-gnu"), ("3.11", "aarch64-linux-gnu"), ("3.12", "")]
)
def test_setup_py_asks_the_images_own_gcc_where_libraries_are(tmp_path: Path, minor: str, answer: str) -> None:
    program(tmp_path / "clang" / "gcc", "exit 1")
    program(tmp_path / "bin" / "gcc", '[ "$1" != -print-multiarch ] || echo aarch64-linux-gnu')
    text = CPYTHON.read_text(encoding="utf-8").replace("/opt/clang/bin", str(tmp_path / "clang"))
    (tmp_path / "cpython.sh").write_text(text, encoding="utf-8")
    setup = "import os\nos.system('%s -print-multiarch > %s 2> /dev/null' % ('gcc -pthread', 'multiarch'))\n"
    (tmp_path / "setup.py").write_text(setup, encoding="utf-8")
    subprocess.run(
        [
            "bash",
            "-c",
            f"set -Eeuo pipefail; MINOR={minor}; source {SCRIPTS}/lib/lib.sh; source cpython.sh; "
            "ask_gcc_for_multiarch; python3 setup.py",
        ],
        cwd=tmp_path,
        env={"PATH": f"{tmp_path / 'clang'}:{tmp_path / 'bin'}:{os.environ['PATH']}"},
        check=True,
    )
    assert (tmp_path / "multiarch").read_text(encoding="utf-8").strip() == answer
