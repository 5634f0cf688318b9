"""`--reuse`: the trees that an image gives to a build, so that they need not be compiled again (docs/reuse.md).

The image is asked by its Id, which never moves. Each of its files is compared with the image's own list, in a container
without network. A tree whose inputs differ or that is damaged is compiled; so is all that it is compiled against.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from build.base import BaseImage, pulled
from catalogue.model import Image
from catalogue.paths import ROOT
from engine.commands import Mount
from engine.engine import Engine, reason
from host import inputs
from plan.trees import REUSED, Inputs, tree_of
from portable.progress import say

PYTHON = "/opt/_internal/tools/bin/python"
DESCRIBE = Mount(ROOT / "scripts" / "describe", "/manylinux/describe")


@dataclass(frozen=True)
class TreeSource:
    """An image that gives trees: `inputs` are the digests in its manifest, `trees` the digest of each whole tree."""

    origin: str  # by which everybody finds it: a digest in a registry, or the Id of an image of this machine
    reference: str  # by which a build starts from it
    inputs: Mapping[str, str]
    trees: Mapping[str, str]
    damaged: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def of_description(cls, origin: str, inputs: Mapping[str, str]) -> TreeSource:
        """An image that nobody has looked into: all its trees count as whole."""
        trees = {tree_of(stage): "" for stage in inputs}
        if "shared-openssl" in trees:
            trees.pop("openssl", None)  # it lies where the image's own would
        return cls(origin, origin, inputs, trees)


def arguments(needed: Inputs, source: TreeSource) -> dict[str, str]:
    """The build arguments that put stand-ins in the place of the stages whose trees are taken. Says which are not."""
    compiled = unfit(needed, source)
    stages = {switch: REUSED + tree_of(stage) for stage, switch in needed.trees.items() if stage not in compiled}
    say(f"taking {len(stages)} of {len(needed.trees)} trees from {source.origin}")
    for stage, why in compiled.items():
        say(f"compiling {tree_of(stage)}: {why}")
    return {"REUSEDIMAGE": source.reference, **stages} if stages else {}


def unfit(needed: Inputs, source: TreeSource) -> dict[str, str]:
    """The trees that a build cannot take from an image, by their stages, each with the reason."""
    compiled: dict[str, str] = {}
    for stage in needed.trees:
        tree = tree_of(stage)
        if stage not in source.inputs:
            compiled[stage] = "the image does not have it"
        elif changed := needed.changed(stage, source.inputs):
            compiled[stage] = _differing(stage, changed)
        elif tree not in source.trees:
            compiled[stage] = source.damaged.get(tree, "the image does not have it")
    for stage, user in needed.compiled_against(compiled).items():
        compiled[stage] = f"{user} is compiled against it"
    return compiled


def check(option: str, wanted: str) -> None:
    """Raises UserError for what is neither the reference of an image nor a tag."""
    (inputs.reference if "/" in wanted or ":" in wanted else inputs.tag)(option, wanted)


def named(image: Image, wanted: str) -> str:
    """The reference of the image that gives trees: a tag alone is one of the repository of `image`."""
    return wanted if "/" in wanted or ":" in wanted else f"{image.repository}:{wanted}"


def look(engine: Engine, image: Image, wanted: str) -> TreeSource | None:
    """What an image has to give; None, having said why, if it gives nothing."""
    reference = named(image, wanted)
    digests = pulled(engine, BaseImage(reference), image.platform.oci)
    if digests is None:
        say(f"taking nothing from {reference} ({image.platform.oci}): it is neither here nor can it be pulled")
        return None
    # A builder in a container of its own sees no image of this machine; podman invents digests for those.
    identity = engine.identity(reference)
    return examined(engine, identity, digests[0] if digests and not engine.is_podman else identity)


def examined(engine: Engine, identity: str, reference: str) -> TreeSource | None:
    """What an image that is here says of its trees; None, having said why, if it does not say anything."""
    argv = ["-IB", DESCRIBE.target, "--trees"]
    done = engine.contain(identity, argv, mounts=[DESCRIBE], entrypoint=PYTHON)
    try:
        found = json.loads(done.stdout)
        return TreeSource(reference, reference, *(dict(found[key]) for key in ("inputs", "trees", "damaged")))
    except (ValueError, TypeError, KeyError):
        say(f"taking nothing from {reference}: {reason(done.stderr or done.stdout)}")
        return None


def differences(mine: TreeSource, other: TreeSource) -> tuple[list[str], list[str]]:
    """Of the trees that two images have from equal inputs: those whose files differ, and those that are equal."""
    same = {tree_of(stage) for stage, digest in mine.inputs.items() if other.inputs.get(stage) == digest}
    both = sorted(same & mine.trees.keys() & other.trees.keys())
    differing = [tree for tree in both if mine.trees[tree] != other.trees[tree]]
    return differing, [tree for tree in both if tree not in differing]


def _differing(stage: str, changed: Collection[str]) -> str:
    return "its own inputs differ" if changed == {stage} else f"the inputs of {', '.join(sorted(changed))} differ"
