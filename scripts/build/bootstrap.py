"""What `./build.sh --bootstrap` does before the build: an engine, a base image and sources, from a Debian mirror."""

from __future__ import annotations

import argparse
import os
import shlex
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

from catalogue import images
from catalogue.model import Image
from debian import base as debian_base
from debian.base import Base
from engine import choose
from engine.engine import Engine
from host import machine
from host.site import Site
from plan import cibuildwheel
from plan.plan import Plan
from portable.progress import say
from sources.command import prefetch

ENGINE_PACKAGES = ("podman", "runc", "iptables", "ca-certificates")


def missing_packages(engine: Engine | None, base: Base) -> tuple[str, ...]:
    """The Debian packages to install: an engine if none works, and what making and running the base needs."""
    native = base.architecture == machine.debian_architecture()
    tools = ("mmdebstrap",) if native else ("mmdebstrap", "arch-test")
    missing = [tool for tool in tools if not shutil.which(tool)]
    return (
        *(() if engine else ENGINE_PACKAGES),
        *missing,
        *(() if debian_base.runs(base.architecture) else debian_base.QEMU_PACKAGES),
    )


def _needed(image: Image, site: Site) -> tuple[Base, Engine | None, tuple[str, ...]]:
    """The base to make, the engine that works here, if any does, and the packages to install.

    Raises UserError and Failure where a bootstrap is not possible."""
    base = debian_base.debian_base_of(image)
    frontend = choose.wanted()
    engine, attempts = choose.find(frontend, site.reach())
    if not engine and frontend not in ("", "podman"):
        choose.engine(site.reach())  # says why it does not work: podman, which we install, was not asked for
    packages = missing_packages(engine, base)
    debian_base.check_machine(site.mirror, packages, os.geteuid() == 0, choose.listed(attempts))
    return base, engine, packages


def prepare(image: Image, site: Site) -> tuple[Engine, str]:
    """Installs and makes what a build needs; returns the engine and the base image.

    First says what it is going to do. Raises UserError and Failure where that is not possible."""
    base, engine, packages = _needed(image, site)
    assert site.mirror is not None
    for number, step in enumerate(steps(engine, packages, base, image), 1):
        say(f"step {number}: {step}")
    if packages:
        debian_base.install(packages)
    debian_base.register_qemu(base.architecture)
    engine = engine or choose.engine(site.reach())
    say(f"using {engine.name} ({engine.executable})" + (f" with {engine.settings}" if str(engine.settings) else ""))
    reference = debian_base.ensure_base(engine, base, site.mirror)
    prefetch(source="debian", platform=image.platform.name, ca_bundle=site.ca, wheels=False)
    return engine, reference


def show(image: Image, site: Site) -> None:
    """Prints what a bootstrap would do here. Raises UserError and Failure where it is not possible."""
    base, engine, packages = _needed(image, site)
    print("\n".join(steps(engine, packages, base, image)))


def steps(engine: Engine | None, packages: Sequence[str], base: Base, image: Image) -> list[str]:
    """What a bootstrap is going to do, in words."""
    install = f"install {', '.join(packages)} and what they need, from this machine's apt sources"
    return [
        *([install] if packages else []),
        f"make the base image {base.reference} with mmdebstrap, unless it is up to date",
        "download the sources that the Debian archive has to docker/sources",
        f"build {image.name} with {engine.name if engine else 'podman'}, and smoke-test it",
    ]


def tell_how_to_use(engine: Engine, plan: Plan, ca: Path | None = None) -> None:
    """Prints the commands that use the image with this machine's engine and CAs."""
    run = shlex.join([engine.launcher(), "run", "--rm", *cibuildwheel.create_options(engine, ca)])
    words = [f"{name}={shlex.quote(value)}" for name, value in cibuildwheel_settings(engine, plan, ca).items()]
    if (launcher := engine.launcher()) != engine.executable:
        words.append(f'PATH={shlex.quote(str(Path(launcher).parent))}:"$PATH"')
    lines = [
        "",
        f"{plan.reference} is ready. What is in it:",
        f"  {run} {plan.reference} manylinux-interpreters list --installed",
        "A shell in it, with the current directory as /io:",
        f'  {run} -it --volume "$PWD":/io {plan.reference}',
        "With cibuildwheel:",
        f"  {' '.join([*words, 'cibuildwheel'])}",
    ]
    print("\n".join(lines), file=sys.stderr, flush=True)


def cibuildwheel_settings(engine: Engine, plan: Plan, ca: Path | None = None) -> dict[str, str]:
    """The environment variables that make cibuildwheel use the image; `ca`: a bundle with the site's CAs."""
    usual = None
    if any(i.tag in plan.left_out for i in plan.image.interpreters):
        # By default cibuildwheel builds for every Python that it knows, free-threaded ones only on demand.
        usual = [i for i in plan.interpreters if i.implementation == "cpython" and not i.threaded]
    return cibuildwheel.variables(engine, plan.image, plan.reference, usual, ca)


def main() -> None:
    """Shows what ./build.sh --bootstrap would install and make here, and does none of it."""
    argparse.ArgumentParser(description=main.__doc__).parse_args()
    catalogue = images.load()
    image = catalogue.find(
        os.environ.get("POLICY") or catalogue.bootstrap_policy,
        machine.platform(os.environ.get("PLATFORM", "")),
        os.environ.get("VARIANT", ""),
    )
    show(image, Site.of_this_machine())
