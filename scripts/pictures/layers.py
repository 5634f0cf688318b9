"""The layers of an image to scale, and what the next release of a CPython downloads again.

From what tests/benchmarks/build.py --write has measured last.
"""

from __future__ import annotations

import json
from pathlib import Path

from catalogue import images
from catalogue.model import Catalogue
from catalogue.paths import ROOT
from pictures.svg import Drawing

MEASURED_JSON = ROOT / "tests" / "benchmarks" / "results.json"
WIDTH = 900
KINDS = {  # in the order of an image: what people call them, their colour
    "base": ("base image", "pale"),
    "system": ("packages of the distribution", "plain"),
    "component": ("components", "muted"),
    "interpreter": ("interpreters", "accent"),
    "tool": ("tools", "soft"),
    "rest": ("everything else", "warm"),
}
FOLLOW = ("static-libraries", "finish-image")  # what is made of every interpreter


def layers(path: Path = MEASURED_JSON) -> Drawing:
    """The picture of the image that was measured. Raises KeyError where the measurement lacks a key."""
    catalogue = images.load(overlay=images.NO_OVERLAY)  # what was measured is ours, not a fork's
    result = json.loads(path.read_text(encoding="utf-8"))
    rows = [(kind_of(catalogue, row["made_by"]), row) for row in result["layers"]]
    again = [row for _, row in rows if downloaded_again(catalogue, result["bump"], row["made_by"])]
    total, new = (sum(row["compressed"] for row in part) for part in ([row for _, row in rows], again))
    python = result["bump"].replace("cpython-", "CPython ")
    shares = [
        f"{title} {_megabytes(sum(row['compressed'] for found, row in rows if found == kind))}"
        for kind, (title, _) in KINDS.items()
    ]
    made = Drawing(
        "layers", WIDTH, 196, f"What a release of {python} downloads again",
        f"The layers of {result['image']} with {len(result['interpreters'])} interpreters, compressed: "
        f"{', '.join(shares)}. After a release of {python}, {_megabytes(new)} of {_megabytes(total)} are downloaded "
        f"again, {100 * new / total:.1f} %.",
    )  # fmt: skip
    made.text(0, 16, "the first time", "bold")
    made.text(WIDTH, 16, _megabytes(total), "bold end")
    made.text(0, 92, f"again after a release of {python}", "bold")
    made.text(WIDTH, 92, f"{_megabytes(new)}, {100 * new / total:.1f} %", "bold end")
    x, scale = 0.0, WIDTH / total
    for kind in KINDS:
        for row in (row for found, row in rows if found == kind):
            width = row["compressed"] * scale
            if width >= 0.5:
                made.rectangle(x, 26, max(width - 1, 0.5), 34, KINDS[kind][1], 2)
                made.rectangle(x, 102, max(width - 1, 0.5), 34, KINDS[kind][1] if row in again else "track", 2)
            x += width
    made.legend(176, *((colour, title) for title, colour in KINDS.values()))
    return made


def measured_image(path: Path = MEASURED_JSON) -> str:
    """The image that was measured."""
    return str(json.loads(path.read_text(encoding="utf-8"))["image"])


def kind_of(catalogue: Catalogue, made_by: str) -> str:
    """A key of KINDS for what made a layer, by the names of the tables."""
    if made_by == "base image":
        return "base"
    if made_by == "update-system":
        return "system"
    if made_by in catalogue.interpreters:
        return "interpreter"
    if made_by in catalogue.tools:
        return "tool"
    return "component" if any(made_by in policy.build for policy in catalogue.policies.values()) else "rest"


def downloaded_again(catalogue: Catalogue, pin: str, made_by: str) -> bool:
    """Whether a layer is another one after a bump of the pin of an interpreter."""
    interpreter = catalogue.interpreters.get(made_by)
    return (interpreter is not None and interpreter.pin == pin) or made_by.endswith(FOLLOW)


def _megabytes(size: int) -> str:
    return f"{size / 1e6:.1f} MB" if size < 100e6 else f"{size / 1e6:.0f} MB"
