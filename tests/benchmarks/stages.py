"""How long each stage of a build took, by what docker-buildx and podman print."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from catalogue.paths import DOCKER

DOCKERFILE = DOCKER / "Dockerfile"


class Line(NamedTuple):
    """One line of a build's output, and when it came: seconds since the build began."""

    seconds: float
    text: str


def stage_seconds(lines: Sequence[Line]) -> dict[str, float]:
    """How long each stage took from its first to its last step, side by side with the others; longest first."""
    found = _buildkit_stages(lines) or _podman_stages(lines)
    return dict(sorted(((stage, took) for stage, took in found.items() if took > 0), key=lambda item: -item[1]))


def _buildkit_stages(lines: Sequence[Line]) -> dict[str, float]:
    """`#23 [stage 3/4] RUN ...` names a step, `#23 DONE 92.1s` ends it."""
    stage: dict[str, str] = {}
    found: dict[str, float] = {}
    for line in lines:
        if match := re.match(r"#(\d+) \[(?:\S+ )?([\w.-]+) +\d+/\d+\] ", line.text):
            stage[match[1]] = match[2]
        elif (match := re.match(r"#(\d+) DONE ([\d.]+)s", line.text)) and match[1] in stage:
            name = stage[match[1]]
            found[name] = found.get(name, 0.0) + float(match[2])
    return found


def _podman_stages(lines: Sequence[Line], parents: Mapping[str, str] | None = None) -> dict[str, float]:
    """`[3/72] STEP 1/5: FROM id AS stage` begins a stage; `--> id` ends a step, the last one of its parent.

    `parents`: which stage each stage is built from; podman prints its id only. Default: as the Dockerfile says."""
    parents = stage_parents(DOCKERFILE.read_text(encoding="utf-8")) if parents is None else parents
    began: dict[str, float] = {}
    made: dict[str, float] = {}
    result: dict[str, str] = {}
    for line in lines:
        if match := re.match(r"\[\d+/\d+\] STEP 1/\d+: FROM (\S+) AS (\S+)", line.text):
            began.setdefault(match[2], line.seconds)
            result[parents.get(match[2], "")] = match[1][:11]
        elif match := re.match(r"--> ([0-9a-f]{11})", line.text):
            made.setdefault(match[1], line.seconds)
    return {stage: made[result[stage]] - start for stage, start in began.items() if result.get(stage) in made}


def stage_parents(dockerfile: str) -> dict[str, str]:
    """Stage -> the stage it is built from; where a switch decides, the one that really builds something."""
    stages = re.findall(r"(?m)^FROM (\S+) AS (\S+)$", dockerfile)
    real = {match[1]: name for _, name in stages if (match := re.match(r"(?:component|interpreter|tool)-(.+)", name))}
    return {name: real.get(name, source) if source.startswith("${") else source for source, name in stages}
