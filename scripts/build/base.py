"""The base image of a build: its digest, whether it is here, and whether it runs."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from catalogue import bases
from engine import probe
from engine.engine import Engine
from plan.plan import Plan
from portable import errors


@dataclass(frozen=True)
class BaseImage:
    """An image to build on: how the engine is asked for it, and its digest, "" if that is not known."""

    reference: str
    digest: str = ""

    @property
    def local(self) -> bool:
        """Whether it was made here and is in no registry."""
        return self.reference.startswith("localhost/")


def base_of(plan: Plan, path: Path | None = None) -> BaseImage:
    """The base of a plan, by the digest that docker/bases.toml pins, if it pins one."""
    digest = bases.load(path).get(plan.base, "")
    if not digest:
        return BaseImage(plan.base, plan.base.partition("@")[2])
    head, _, tail = plan.base.rpartition("/")  # podman refuses a tag together with a digest
    return BaseImage(f"{head}/{tail.partition(':')[0]}@{digest}", digest)


def ensure(engine: Engine, base: BaseImage, platform: str) -> BaseImage:
    """Pulls a base image unless it is here; returns it with its digest. Raises Failure, in one line, if it cannot."""
    digests = pulled(engine, base, platform)
    if digests is None:
        raise errors.Failure(
            f"the base image {base.reference} ({platform}) is neither here nor can it be pulled; where a Debian mirror "
            "but no registry can be reached, use ./build.sh --bootstrap, or name an image that is here with --base"
        )
    if base.local or base.digest or not digests:
        return base
    return BaseImage(base.reference, digests[0].rpartition("@")[2])


def pulled(engine: Engine, image: BaseImage, platform: str) -> list[str] | None:
    """The registry digests of an image, which is pulled if it is not here; None if it cannot be had."""
    digests = _here(engine, image, platform)
    if digests is None and not image.local:
        engine.ask(engine.pull(image.reference, platform))
        digests = _here(engine, image, platform)
    return digests


def _here(engine: Engine, image: BaseImage, platform: str) -> list[str] | None:
    """The registry digests of an image; None if it is not here, or only for another platform."""
    said = engine.ask(engine.inspect(image.reference, "{{json .}}"))
    if said is None:
        return None
    found = json.loads(said)
    found = found[0] if isinstance(found, list) else found  # podman's template gets a list
    wanted = [*platform.split("/"), ""][:3]
    # Not every engine tells the variant, and arm64 has only one.
    variant = found.get("Variant") or wanted[2]
    if [found["Os"], found["Architecture"]] != wanted[:2] or (wanted[2] and variant != wanted[2]):
        return None
    return found.get("RepoDigests") or []


def check_runs(engine: Engine, base: BaseImage, platform: str) -> None:
    """Raises Failure, naming binfmt, when containers of a platform do not run on this machine."""
    done = engine.contain(base.reference, ["/bin/true"], probe.SECONDS, platform=platform, entrypoint="")
    if done.returncode:
        raise errors.Failure(
            f"{base.reference} does not run here as {platform}: a foreign architecture needs QEMU in binfmt_misc "
            "(on Debian: the packages qemu-user-static and binfmt-support, and `update-binfmts --enable` where no "
            "service has done that)"
        )
