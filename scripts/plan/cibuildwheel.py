"""How cibuildwheel is told to use one of our images with this machine's engine and the site's CAs."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Sequence
from pathlib import Path

from catalogue.interpreters import Interpreter
from catalogue.model import Image
from engine.commands import Mount, executable_of
from engine.engine import Engine
from plan.plan import CERTIFICATES


def create_options(engine: Engine, ca: Path | None, mounts: Iterable[Mount] = ()) -> list[str]:
    """Options for a container that reaches the network from this machine, with the site's CAs in its store."""
    network = [f"--network={engine.settings.network}"] if engine.settings.network else []
    certificates = [Mount(ca, CERTIFICATES)] if ca else []
    return [*engine.settings.options(), *network, *(f"--volume={m.option()}" for m in (*certificates, *mounts))]


def variables(
    engine: Engine,
    image: Image,
    reference: str,
    interpreters: Sequence[Interpreter] | None = None,
    ca: Path | None = None,
    mounts: Iterable[Mount] = (),
) -> dict[str, str]:
    """The environment variables that make cibuildwheel use the image `reference`.

    `interpreters`: those to build for (default: whatever cibuildwheel builds for); `ca`: a bundle with the site's CAs;
    `mounts`: what the container has besides."""
    kind = "manylinux" if image.policy.libc == "glibc" else "musllinux"
    platform = image.platform.name
    settings = {f"CIBW_{kind.upper()}_{platform.upper()}_IMAGE": reference}
    if interpreters is not None:
        settings["CIBW_BUILD"] = " ".join(f"{i.tag.rpartition('-')[2]}-{kind}_{platform}" for i in interpreters)
    options = create_options(engine, ca, mounts)
    if options or engine.is_podman:
        created = f"; create_args: {shlex.join(options)}" if options else ""
        settings["CIBW_CONTAINER_ENGINE"] = executable_of(engine.name) + created
    if ca:
        settings["CIBW_ENVIRONMENT"] = f"PIP_CERT={CERTIFICATES}"  # the pips of 3.8 and 3.9 read no SSL_CERT_FILE
    return settings
