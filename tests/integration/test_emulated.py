"""An image for another architecture, as far as one component: QEMU runs the image, a clang of this machine compiles.

QEMU takes its time for the packages of the image, so this only runs when it is asked for:
MANYLINUX_TEST_EMULATED=1 pytest tests/integration/test_emulated.py
"""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from build.cross import CLANG_BUILDERS
from catalogue import images
from debian import base as debian_base
from engine import choose
from engine.engine import Engine
from host import machine
from sources.lock import LOCK, load_lock

pytestmark = [
    pytest.mark.engine,
    pytest.mark.network,
    pytest.mark.slow,
    pytest.mark.skipif(not os.environ.get("MANYLINUX_TEST_EMULATED"), reason="MANYLINUX_TEST_EMULATED is not set"),
]

ROOT = Path(__file__).resolve().parents[2]
CATALOGUE = images.load()
FOREIGN = "aarch64" if machine.go_architecture() == "amd64" else "x86_64"
IMAGE = CATALOGUE.find(CATALOGUE.bootstrap_policy, FOREIGN)
MACHINES = {"aarch64": 183, "x86_64": 62}  # e_machine of an ELF file: EM_AARCH64, EM_X86_64
HOW = shlex.join(debian_base.install_command(debian_base.QEMU_PACKAGES)) + " && update-binfmts --enable"


def script(name: str, *words: str, **environment: str) -> str:
    """What a program of the repository prints; it ends well."""
    done = subprocess.run(
        [name, *words], cwd=ROOT, env={**os.environ, **environment}, stdout=subprocess.PIPE, text=True, check=True
    )
    return done.stdout.strip()


@pytest.fixture(scope="module")
def engine() -> Engine:
    """The engine that builds, which has to be able to run the platform."""
    if machine.go_architecture() not in CLANG_BUILDERS:
        pytest.skip(f"clang compiles for other architectures on {' and '.join(CLANG_BUILDERS)} only")
    if not debian_base.runs(IMAGE.platform.debian):
        pytest.skip(f"this machine does not run {FOREIGN}: as root, {HOW}")
    if not LOCK.exists() or "zstd" not in load_lock(LOCK)["pins"]:
        pytest.skip("docker/sources has no zstd: run ./build.sh --bootstrap")
    return choose.engine()


@pytest.fixture(scope="module")
def built(engine: Engine) -> Callable[[str], str]:
    """Builds a stage of the foreign image with our clang; returns its name."""
    settings = {"PLATFORM": FOREIGN, "POLICY": IMAGE.policy.name, "COMMIT_SHA": "emulated"}
    settings |= {"MANYLINUX_BUILD_FRONTEND": engine.name}
    clang = script(sys.executable, "scripts", "clang", **settings)
    settings |= {"MANYLINUX_STATIC_CLANG_IMAGE": clang}
    return lambda stage: script("./build.sh", "--bootstrap", "--stage", stage, **settings)


def test_clang_compiles_what_runs_in_the_image(engine: Engine, built: Callable[[str], str]) -> None:
    command = "cat /rootfs/opt/_internal/zstd/lib/libzstd.so.1"
    done = subprocess.run(
        engine.run(built("component-zstd"), ["sh", "-c", command], platform=IMAGE.platform.oci),
        env=engine.environment(),
        stdout=subprocess.PIPE,
        check=True,
    )
    assert done.stdout.startswith(b"\x7fELF")
    assert int.from_bytes(done.stdout[18:20], "little") == MACHINES[FOREIGN]
    assert b"clang version" in done.stdout and b"LLD" in done.stdout


def test_the_image_keeps_its_own_gcc_alone(engine: Engine, built: Callable[[str], str]) -> None:
    """It starts from the stage base-system; clang is in the stages that compile."""
    command = "uname -m && gcc --version && test ! -e /opt/clang/bin"
    said = engine.ask(engine.run(built("base-system"), ["sh", "-c", command], platform=IMAGE.platform.oci))
    assert said is not None and said.startswith(f"{FOREIGN}\ngcc ")
