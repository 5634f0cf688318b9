"""What an engine needs on this machine beyond its defaults, and podman's configuration file for it.

Nothing in /etc is edited: settings are options, environment variables, or a file in the state directory.
"""

from __future__ import annotations

import json
import resource
from dataclasses import dataclass
from pathlib import Path

from portable import places

# For a chroot whose root is not a mount point: an engine can neither change the propagation of "/" there nor pivot
# away from it. In a mount namespace of its own, the root is bound onto /proc, which then is a mount point; nothing of
# that is seen outside. /proc, because that mount exists everywhere and can be made private.
OWN_MOUNTS = (
    "unshare",
    "--mount",
    "--propagation=unchanged",
    "sh",
    "-c",
    'mount --make-private /proc && mount --rbind / /proc && mount --make-rprivate /proc && cd "/proc$PWD"'
    ' && exec chroot /proc "$@"',
    "sh",
)


@dataclass(frozen=True)
class EngineSettings:
    """What an engine needs on this machine beyond its defaults."""

    own_mounts: bool = False  # run it in a mount namespace of its own, see OWN_MOUNTS
    limits: bool = False  # podman's default limits are above what this process may set
    runtime: str = ""  # podman's OCI runtime
    storage: str = ""  # podman's storage driver
    network: str = ""  # for containers that need the network; "": the engine's default
    unlabelled: bool = False  # take SELinux labels off containers: labelled ones cannot read the files that we mount

    def __str__(self) -> str:
        named = {
            "a mount namespace of its own": self.own_mounts,
            "lower limits": self.limits,
            f"runtime {self.runtime}": self.runtime,
            f"storage driver {self.storage}": self.storage,
            f"network {self.network}": self.network,
            "SELinux labels disabled": self.unlabelled,
        }
        return ", ".join(name for name, used in named.items() if used)

    def prefix(self) -> tuple[str, ...]:
        """The words before the engine's own command."""
        return OWN_MOUNTS if self.own_mounts else ()

    def options(self) -> list[str]:
        """The options of every container, including those that builds work in."""
        return ["--security-opt", "label=disable"] if self.unlabelled else []

    def env(self) -> dict[str, str]:
        """The environment variables that the engine needs."""
        env = {"CONTAINERS_CONF": str(containers_conf())} if self.limits or self.runtime else {}
        return env | ({"STORAGE_DRIVER": self.storage} if self.storage else {})

    def podman_conf(self) -> str:
        """The text of containers.conf: limits that this process may set, and the runtime."""
        lines = []
        if self.limits:
            lines += ["[containers]", f"default_ulimits = {json.dumps(_limits())}"]
        if self.runtime:
            lines += ["[engine]", f"runtime = {json.dumps(self.runtime)}"]
        return "\n".join(lines) + "\n"


def containers_conf() -> Path:
    """Our settings for podman, for CONTAINERS_CONF: a probe writes the file where podman's own defaults fail."""
    return places.state() / "containers.conf"


def _limits() -> list[str]:
    named = (("nofile", resource.RLIMIT_NOFILE, 16384), ("nproc", resource.RLIMIT_NPROC, 32768))
    allowed = []
    for name, which, wanted in named:
        hard = resource.getrlimit(which)[1]
        value = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        allowed.append(f"{name}={value}:{value}")
    return allowed
