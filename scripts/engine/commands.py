"""The commands of docker-buildx, docker and podman as argument lists: nothing is run here."""

from __future__ import annotations

import json
import os
import shlex
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from engine.settings import EngineSettings
from portable.transport import is_loopback

ENGINES = ("docker-buildx", "docker", "podman")
LOCAL_IMAGES = ("BASEIMAGE", "STATIC_CLANG_IMAGE", "REUSEDIMAGE")  # arguments that name images of no registry, maybe

# BuildKit without its attestation, which would differ at every build and repeat the build arguments. A buildx that
# makes none ignores the variable.
NO_ATTESTATION = {"BUILDX_NO_DEFAULT_ATTESTATIONS": "1"}
BUILD_ENVIRONMENT = {"docker": {"DOCKER_BUILDKIT": "1", **NO_ATTESTATION}, "docker-buildx": NO_ATTESTATION}


def executable_of(name: str) -> str:
    """The program of an engine."""
    return "podman" if name == "podman" else "docker"


@dataclass(frozen=True)
class Mount:
    """A file or directory of this machine inside a container."""

    source: Path
    target: str
    read_only: bool = True

    def option(self) -> str:
        """The value of --volume."""
        return f"{self.source}:{self.target}" + (":ro" if self.read_only else "")


@dataclass(frozen=True)
class ImageBuild:
    """One build, as data. `secrets`: id -> file; `cache_from`, `cache_to`: for docker-buildx."""

    context: Path
    dockerfile: Path
    tag: str
    platform: str = ""
    args: Mapping[str, str] = field(default_factory=dict)
    inherited: tuple[str, ...] = ()  # arguments whose values come from the environment (podman passes proxies anyway)
    labels: Mapping[str, str] = field(default_factory=dict)
    secrets: Mapping[str, Path] = field(default_factory=dict)
    target: str = ""
    no_cache: bool = False
    keep_layers: bool = True  # for the next build, even when this one fails
    cache_from: tuple[str, ...] = ()
    cache_to: tuple[str, ...] = ()


@dataclass(frozen=True)
class Commands:
    """What an engine can be asked for: each method returns the argument list of one command."""

    name: str
    executable: str
    settings: EngineSettings = field(default_factory=EngineSettings)

    @property
    def is_podman(self) -> bool:
        return self.name == "podman"

    @property
    def env(self) -> dict[str, str]:
        """The environment variables that the commands need beyond the caller's."""
        return {**BUILD_ENVIRONMENT.get(self.name, {}), **self.settings.env()}

    def command(self, *arguments: str) -> list[str]:
        """Any command of the engine."""
        return [*self.settings.prefix(), self.executable, *arguments]

    def shell(self, argv: Sequence[str]) -> str:
        """A line for a shell that does what `argv` and `env` say."""
        return " ".join([*(f"{k}={shlex.quote(v)}" for k, v in self.env.items()), shlex.join(argv)])

    def build(self, build: ImageBuild) -> list[str]:
        """Builds an image; docker-buildx loads it into the engine's own images."""
        argv = ["buildx", "build", "--load"] if self.name == "docker-buildx" else ["build"]
        local = [name for name in LOCAL_IMAGES if build.args.get(name, "").startswith("localhost/")]
        if self.name == "docker-buildx" and local:
            argv[1:1] = ["--builder", "default"]  # a builder in a container of its own does not see local images
        if self.is_podman:
            # Side by side, podman 4.3 gives the platform of the stage with the clang to others as well.
            jobs = 1 if "CLANG_PLATFORM" in build.args else os.cpu_count() or 1
            argv += [f"--layers={str(build.keep_layers).lower()}", "--jobs", str(jobs)]
        argv += ["--file", str(build.dockerfile), "--tag", build.tag]
        argv += ["--platform", build.platform] if build.platform else []
        argv += ["--target", build.target] if build.target else []
        argv += ["--network", self.settings.network] if self.settings.network else []
        argv += self.settings.options()
        argv += ["--no-cache"] if build.no_cache else []
        for option, values in (("--cache-from", build.cache_from), ("--cache-to", build.cache_to)):
            for value in values:
                argv += [option, value]
        for name, path in build.secrets.items():
            argv += ["--secret", f"id={name},src={path}"]
        for name, value in build.args.items():
            argv += ["--build-arg", f"{name}={value}"]
        for name in () if self.is_podman else build.inherited:
            argv += ["--build-arg", name]
        for name, value in build.labels.items():
            argv += ["--label", f"{name}={value}"]
        return self.command(*argv, str(build.context))

    def run(
        self,
        reference: str,
        argv: Sequence[str] = (),
        *,
        mounts: Iterable[Mount] = (),
        network: str | None = "none",
        env: Mapping[str, str] | None = None,
        inherited: Iterable[str] = (),
        user: str = "",
        read_only: bool = False,
        tmpfs: Iterable[str] = (),
        platform: str = "",
        name: str = "",
        entrypoint: str | None = None,
        workdir: str = "",
    ) -> list[str]:
        """Runs a command in a new container, which is removed at its end. `network` None: one that reaches out."""
        options = ["run", "--rm", "--pull=never", *self.settings.options()]
        network = self.settings.network if network is None else network
        for option, value in (
            ("--network", network),
            ("--platform", platform),
            ("--name", name),
            ("--user", user),
            ("--workdir", workdir),
        ):
            options += [option, value] if value else []
        options += [f"--entrypoint={entrypoint}"] if entrypoint is not None else []
        options += ["--read-only"] if read_only else []
        for path in tmpfs:
            options += ["--tmpfs", path]
        for mount in mounts:
            options += ["--volume", mount.option()]
        for key, value in (env or {}).items():
            options += ["--env", f"{key}={value}"]
        for key in inherited:
            options += ["--env", key]
        return self.command(*options, reference, *argv)

    def tag(self, source: str, target: str) -> list[str]:
        return self.command("tag", source, target)

    def untag(self, reference: str) -> list[str]:
        """Removes a tag; what was built stays in the cache, which podman's `rmi` would remove as well."""
        return self.command(*(("untag", reference, reference) if self.is_podman else ("rmi", reference)))

    def remove(self, reference: str) -> list[str]:
        """Removes a tag, and the image if it has no other tag."""
        return self.command("rmi", reference)

    def remove_container(self, name: str) -> list[str]:
        return self.command("rm", "--force", name)

    def import_(self, archive: Path, reference: str, platform: str, labels: Mapping[str, str]) -> list[str]:
        """Makes an image with one layer from a tar archive of a root file system."""
        argv = ["import"]
        if self.is_podman:
            system, architecture, *variant = platform.split("/")
            argv += ["--os", system, "--arch", architecture, *(("--variant", variant[0]) if variant else ())]
        else:
            argv += ["--platform", platform]
        for key, value in labels.items():
            argv += ["--change", f"LABEL {key}={json.dumps(value)}"]
        return self.command(*argv, str(archive), reference)

    def inspect(self, reference: str, template: str) -> list[str]:
        """Prints a Go template filled in for an image."""
        return self.command("image", "inspect", "--format", template, reference)

    def pull(self, reference: str, platform: str) -> list[str]:
        return self.command("pull", "--quiet", *self.without_tls(reference), "--platform", platform, reference)

    def without_tls(self, reference: str) -> list[str]:
        """The option that podman needs for a registry on loopback; docker needs none."""
        return ["--tls-verify=false"] if self.is_podman and is_loopback(reference.partition("/")[0]) else []
