"""Cross-compiling with a static clang, where the engine's machine would have to emulate the image's gcc."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass

from build.base import BaseImage, pulled
from catalogue import pins
from catalogue.model import Image
from engine.engine import Engine
from host import inputs, machine
from portable import errors

CLANG_BUILDERS = ("amd64", "arm64")  # architectures for which a static clang is used as cross compiler


@dataclass(frozen=True)
class CrossClang:
    """Whether a static clang of the builder's architecture compiles the image's components, and CPython.

    `image` contains the clang; "": the image that the Dockerfile names."""

    builder: str
    used: bool
    for_cpython: bool
    image: str = ""

    @property
    def args(self) -> dict[str, str]:
        """Build arguments; what equals the Dockerfile's default is left out."""
        if not self.used:
            return {}
        args = {"CLANG_STAGE": "cross-clang", "CLANG_PLATFORM": f"linux/{self.builder}"}
        args |= {"CLANG_FOR_CPYTHON_STAGE": "cross-clang"} if self.for_cpython else {}
        return args | ({"STATIC_CLANG_IMAGE": self.image} if self.image else {})


def clang_for(image: Image, builder: str, offline: bool, env: Mapping[str, str] = os.environ) -> CrossClang:
    """The decision for an image and a builder, in Go's spelling; an image that runs natively never has a clang.

    The Dockerfile's clang comes from a registry: an offline build uses one only if the environment names it."""
    builder = env.get(inputs.BUILDARCH) or builder
    named = env.get(inputs.STATIC_CLANG_IMAGE) or ""
    wanted = not _disabled(env, inputs.DISABLE_CLANG, "0") and bool(named or not offline)
    used = wanted and not runs_natively(image, builder) and builder in CLANG_BUILDERS
    prefers_gcc = image.policy.libc == "glibc" and image.platform.cpython_prefers_gcc
    without = _disabled(env, inputs.DISABLE_CLANG_FOR_CPYTHON, "1" if prefers_gcc else "0")
    return CrossClang(builder, used, used and not without, named)


def runs_natively(image: Image, builder: str) -> bool:
    """Whether a builder, in Go's spelling, runs an image without emulation."""
    return machine.is_native(image.platform.name, builder)


def builder_of(engine: Engine) -> str:
    """The architecture of the engine's machine in Go's spelling; this machine's if the engine does not say."""
    template = "{{.Host.Arch}}" if engine.is_podman else "{{.Architecture}}"
    return machine.go_architecture(engine.ask(engine.command("info", "--format", template)) or "")


def ensure(engine: Engine, clang: CrossClang) -> None:
    """Pulls the image of a clang that is used, unless it is here. Raises Failure, naming the ways out, if it cannot."""
    if not clang.used:
        return
    wanted = BaseImage(clang.image or pins.read()["static-clang"].url)
    platform = f"linux/{clang.builder}"
    if pulled(engine, wanted, platform) is None:
        raise errors.Failure(
            f"the clang that compiles for other architectures, {wanted.reference} ({platform}), is neither here nor "
            "can it be pulled: make one with `python3 scripts clang` and name it in MANYLINUX_STATIC_CLANG_IMAGE, or "
            "set MANYLINUX_DISABLE_CLANG=1 to compile with the image's own gcc, emulated"
        )


def _disabled(env: Mapping[str, str], name: str, default: str) -> bool:
    return inputs.switch(name, env.get(name) or default)
