"""Two builds in turns, ours and another one: the wall and processor seconds of each, and their ratios.

On a machine with other work the processor seconds are the figure to trust: only those of the builds themselves count.
"""

from __future__ import annotations

import resource
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from engine.engine import Engine
from portable import errors

CGROUPS = Path("/sys/fs/cgroup")
OURS, OTHER = "ours", "other"


class Cost(NamedTuple):
    """What one build has cost, in seconds; `processor` is the sum over all cores."""

    wall: float
    processor: float


def processor_seconds(engine: Engine, cgroups: Path = CGROUPS) -> float:
    """How long processors have worked for this engine's builds until now.

    For podman these are our own ended children. BuildKit runs every step below one cgroup, whose sum keeps those that
    have ended. Raises Failure where docker has no such cgroup on this machine: it appears with the first build."""
    if engine.is_podman:
        used = resource.getrusage(resource.RUSAGE_CHILDREN)
        return used.ru_utime + used.ru_stime
    for path in cgroups.glob("*cpuacct*/docker/buildkit/cpuacct.usage"):  # version 1, nanoseconds
        return int(path.read_text(encoding="ascii")) / 1e9
    for path in (*cgroups.glob("docker/buildkit/cpu.stat"), *cgroups.glob("*/docker/buildkit/cpu.stat")):
        stat = dict(line.split() for line in path.read_text(encoding="ascii").splitlines())
        if "usage_usec" in stat:
            return int(stat["usage_usec"]) / 1e6
    raise errors.Failure(f"{cgroups} has no docker/buildkit: build something with this docker here first")


def in_turns(
    builds: Mapping[str, Callable[[], object]], clock: Callable[[], float], rounds: int
) -> dict[str, list[Cost]]:
    """Runs each build once a round, every second round in the reverse order: neither profits from going last."""
    costs: dict[str, list[Cost]] = {name: [] for name in builds}
    for number in range(rounds):
        for name in list(builds)[:: -1 if number % 2 else 1]:
            wall, processor = time.monotonic(), clock()
            builds[name]()
            costs[name].append(Cost(time.monotonic() - wall, clock() - processor))
    return costs


def ratios(costs: Mapping[str, Sequence[Cost]]) -> Cost:
    """Ours divided by the other's, the median of all rounds; below 1 ours is cheaper."""
    pairs = list(zip(costs[OURS], costs[OTHER], strict=True))
    return Cost(
        statistics.median(ours.wall / other.wall for ours, other in pairs),
        statistics.median(ours.processor / other.processor for ours, other in pairs),
    )


def table(costs: Mapping[str, Sequence[Cost]], against: str) -> str:
    """The costs of each round and the ratios, for people."""
    lines = [f"{'':8} {OURS:>20} {against[-20:]:>20}"]
    for number, (ours, other) in enumerate(zip(costs[OURS], costs[OTHER], strict=True), 1):
        lines.append(f"round {number:<2} {_said(ours):>20} {_said(other):>20}")
    found = ratios(costs)
    return "\n".join([*lines, f"ratios: wall {found.wall:.2f}, processor {found.processor:.2f}", ""])


def _said(cost: Cost) -> str:
    return f"{cost.wall:.0f} s, {cost.processor:.0f} s"
