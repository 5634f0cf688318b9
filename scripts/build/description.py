"""What a build tells the image of itself, for the manifest: nothing that differs between two builds of one commit."""

from __future__ import annotations

import json
from collections.abc import Mapping

from build.base import BaseImage
from build.cross import CrossClang
from catalogue import checkout, pins
from plan.plan import Plan


def of_build(plan: Plan, base: BaseImage, clang: CrossClang, update_system: bool, inputs: Mapping[str, str]) -> str:
    """The part `build` of the manifest as JSON (docs/manifest.md)."""
    used = {name: plan.pins[name].for_arch(plan.image.platform.go) for name in sorted(plan.source_pins)}
    description = {
        "commit": checkout.revision(),
        "date": checkout.date(),
        "source": plan.image.source,
        "base": {"name": plan.base, "digest": base.digest},
        "platform": plan.image.platform.oci,
        "builder": {
            "compiler": "clang" if clang.used else "gcc",
            "image": (clang.image or pins.read()["static-clang"].url) if clang.used else "",
            "platform": f"linux/{clang.builder}" if clang.used else "",
        },
        "options": {
            "complete": plan.complete,
            "left_out": dict(sorted(plan.left_out.items())),
            "moved": sorted(plan.moved),
            "missing_pockets": list(plan.missing_pockets),
            "update_system": update_system,
        },
        "pins": {name: {"version": pin.version, "url": pin.url, "sha256": pin.sha256} for name, pin in used.items()},
        "inputs": dict(sorted(inputs.items())),
    }
    return json.dumps(description, separators=(",", ":"))
