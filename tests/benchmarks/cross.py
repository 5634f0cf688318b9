#!/usr/bin/env python3
"""Measures how much faster clang compiles for another architecture than the image's gcc does, emulated.

Components of an image are built alone, once by each; all other stages come from the cache. --write keeps the figures
that README quotes. Needs QEMU in binfmt_misc and what `./build.sh --bootstrap` leaves for that platform: a base image
and sources. The clang is the one that MANYLINUX_STATIC_CLANG_IMAGE names, see `python3 scripts clang`.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "scripts"))

from catalogue import images
from catalogue.model import Image
from catalogue.paths import ROOT
from debian import base as debian_base
from host import machine
from portable import errors
from sources.lock import LOCK, LockedPin, SourcesLock, load_lock

RESULTS = ROOT / "tests" / "benchmarks" / "cross.json"
CLANG = "MANYLINUX_STATIC_CLANG_IMAGE"


def moved(lock: SourcesLock, pin: str) -> SourcesLock:
    """The lock with one source at another address, so that only the stage of that source is built anew.

    The file is in docker/sources: nothing is downloaded."""
    row = lock["pins"][pin]
    url = f"https://example.org/{uuid.uuid4().hex}/{row['url'].rpartition('/')[2]}"
    changed: LockedPin = {**row, "url": url}
    return {**lock, "pins": {**lock["pins"], pin: changed}}


def build(image: Image, component: str, lock: Path, settings: Mapping[str, str]) -> float:
    """Builds the stage of a component; returns the seconds it took. Raises Failure with the last lines."""
    command = [ROOT / "build.sh", "--base", debian_base.debian_base_of(image).reference, "--offline", "--lock", lock]
    command += ["--stage", f"component-{component}"]
    env = {**os.environ, "POLICY": image.policy.name, "PLATFORM": image.platform.name, "COMMIT_SHA": "benchmark"}
    start = time.monotonic()
    done = subprocess.run(
        list(map(str, command)), env={**env, **settings}, capture_output=True, text=True, errors="replace"
    )
    if done.returncode:
        raise errors.Failure(f"building {component} failed:\n{done.stderr[-3000:]}")
    return time.monotonic() - start


def measure(image: Image, components: Sequence[str], scratch: Path) -> dict[str, Any]:
    """All figures, as JSON-ready data: seconds, without those that a build takes in which nothing has changed."""
    if not os.environ.get(CLANG):
        raise errors.UserError(f"{CLANG} must name an image with a clang: `python3 scripts clang` makes one")
    lock = load_lock(LOCK)
    path = scratch / "lock.json"
    found: dict[str, dict[str, float]] = {}
    for component in components:
        build(image, component, LOCK, {})  # fills the cache of all other stages
        found[component] = {}
        for compiler, settings in {"clang": {}, "gcc": {"MANYLINUX_DISABLE_CLANG": "1"}}.items():
            path.write_text(json.dumps(moved(lock, component)), encoding="utf-8")
            took = build(image, component, path, settings)
            found[component][compiler] = round(took - build(image, component, path, settings), 1)
            print(f"==> {component} with {compiler}: {found[component][compiler]} s", file=sys.stderr, flush=True)
    return {
        "image": image.name,
        "machine": machine.platform(),
        "cores": os.cpu_count() or 1,
        "clang": os.environ[CLANG].rpartition("/")[2],
        "seconds": found,
    }


def table(result: Mapping[str, Any]) -> str:
    """The figures for people."""
    lines = [f"{result['image']} on {result['machine']}, {result['cores']} cores, {result['clang']}", ""]
    for component, took in result["seconds"].items():
        ratio = took["gcc"] / took["clang"]
        lines.append(f"{component}: gcc {took['gcc']} s, clang {took['clang']} s: {ratio:.1f} times faster")
    return "\n".join([*lines, ""])


def main() -> None:
    """Measures compiling for another architecture."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--image", default="manylinux_2_36_aarch64", help="default: %(default)s")
    parser.add_argument("--components", default="mpdecimal,zstd", metavar="NAME,...", help="default: %(default)s")
    parser.add_argument("--write", action="store_true", help=f"keep the figures in {RESULTS.relative_to(ROOT)}")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="manylinux-benchmark-") as scratch:
        result = measure(images.load().image(options.image), options.components.split(","), Path(scratch))
    print(table(result), end="")
    if options.write:
        RESULTS.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    sys.exit(errors.run(main))
