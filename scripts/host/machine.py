"""What this machine is, in the words of docker/images.toml, Go or Debian."""

from __future__ import annotations

import functools
import platform as kernel
import subprocess
from collections.abc import Mapping

from catalogue import images
from catalogue.model import Platform

# What the table does not have: the `uname -m` of other kernels, and GitHub's word for x86_64.
_OTHERS = {"x64": "x86_64", "i386": "i686", "i486": "i686", "i586": "i686", "x86": "i686", "armv8l": "armv7l"}
_ALSO_RUNS = {"x86_64": "i686", "aarch64": "armv7l"}  # the 32-bit platforms of 64-bit processors


def platform(said: str = "") -> str:
    """The platform that `said` names in any spelling (the kernel's, Go's, Debian's); by default this machine's.

    A name that the table does not know is returned as it is."""
    said = (said or kernel.machine()).lower()
    for row in _platforms().values():
        if said in (row.name, row.go, row.debian):
            return row.name
    return _OTHERS.get(said, said)


def go_architecture(said: str = "") -> str:
    """The same platform in Go's spelling, which container engines and static clang use."""
    name = platform(said)
    row = _platforms().get(name)
    return row.go if row else name


def is_native(wanted: str, processor: str) -> bool:
    """Whether a processor runs the programs of a platform without emulation; both in any spelling."""
    here = platform(processor)
    return platform(wanted) in (here, _ALSO_RUNS.get(here))


def debian_architecture() -> str:
    """This machine's architecture in Debian's spelling, as dpkg says; "" where there is no dpkg."""
    try:
        return subprocess.run(
            ["dpkg", "--print-architecture"], capture_output=True, text=True, check=True
        ).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return ""


@functools.cache
def _platforms() -> Mapping[str, Platform]:
    return images.load().platforms
