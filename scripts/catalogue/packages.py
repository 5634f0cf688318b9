"""The distribution packages of an image, read from docker/packages.

The build reads the same files in docker/build_scripts/lib/system.sh; tests hold both readers to the same answers.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterable
from pathlib import Path

from catalogue import images
from catalogue import pins as native_pins
from catalogue.paths import DOCKER
from portable import errors
from portable.toml import near_matches, read_text

PACKAGES = DOCKER / "packages"
LAYERS = ("policy", "runtime", "base", "toolchain", "build")
KEPT_LAYERS = LAYERS[:-1]  # what the finished image has: `build` is for the builds alone

_LINE = re.compile(
    r"(?P<name>[a-zA-Z0-9][a-zA-Z0-9.+_-]*)(?: +\[(?P<negated>!?)(?P<platform>\w+)\])? *(?:#.*)?", re.ASCII
)


def read(
    sets: Iterable[str], platform: str, layers: Iterable[str] = KEPT_LAYERS, directory: Path = PACKAGES
) -> tuple[str, ...]:
    """Package names in the order in which they are installed: by layer, then by set.

    Raises UserError for an unknown set, a layer that no set has and a line that cannot be read."""
    sets, known = tuple(sets), (*LAYERS, *native_pins.components())
    names: list[str] = []
    for layer in layers:
        found = False
        for name in sets:
            if not (directory / name).is_dir():
                raise errors.UserError(f"no package set {name!r} in {directory}")
            for path in (directory / name).glob("*.txt"):
                if path.stem not in known:
                    raise errors.UserError(f"{path}: no layer {path.stem!r}{near_matches(path.stem, known)}")
            path = directory / name / f"{layer}.txt"
            if path.is_file():
                found = True
                names += _read_file(path, platform)
        if not found:
            raise errors.UserError(f"no package set of {' '.join(sets)!r} has a layer {layer!r}")
    return tuple(names)


@functools.cache
def _platforms() -> frozenset[str]:
    return frozenset(images.load(overlay=images.NO_OVERLAY).platforms)


def _read_file(path: Path, platform: str) -> list[str]:
    names: list[str] = []
    for number, line in enumerate(read_text(path).splitlines(), 1):
        if not line.partition("#")[0].strip():
            continue
        match = _LINE.fullmatch(line.strip())
        if match is None:
            raise errors.UserError(f"{path}:{number}: write 'name', 'name [platform]' or 'name [!platform]'")
        known = _platforms()
        if match["platform"] is not None and match["platform"] not in known:
            problem = f"unknown platform {match['platform']!r}{near_matches(match['platform'], known)}"
            raise errors.UserError(f"{path}:{number}: {problem}")
        if match["platform"] is None or (match["platform"] == platform) != bool(match["negated"]):
            if match["name"] in names:
                raise errors.UserError(f"{path}:{number}: {match['name']} is listed twice")
            names.append(match["name"])
    return names
