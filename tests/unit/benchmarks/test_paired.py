"""Builds in turns: their order, whose processor seconds count, and the ratios."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from tests.benchmarks import paired
from tests.benchmarks.paired import OTHER, OURS, Cost

from engine.engine import Engine
from portable import errors

DOCKER, PODMAN = Engine("docker-buildx", "docker"), Engine("podman", "podman")


def test_neither_build_is_always_the_last() -> None:
    ran: list[str] = []
    builds = {name: lambda name=name: ran.append(name) for name in (OURS, OTHER)}
    costs = paired.in_turns(builds, lambda: 10.0 * len(ran), rounds=3)
    assert ran == [OURS, OTHER, OTHER, OURS, OURS, OTHER]
    assert [cost.processor for cost in costs[OURS] + costs[OTHER]] == [10.0] * 6


def test_ratios_are_of_pairs() -> None:
    costs = {OURS: [Cost(50, 80), Cost(100, 81), Cost(60, 82)], OTHER: [Cost(100, 100)] * 3}
    assert paired.ratios(costs) == Cost(0.6, 0.81)
    assert "ratios: wall 0.60, processor 0.81" in paired.table(costs, "somewhere")


@pytest.mark.parametrize(
    ("path", "content"),
    [
        ("cpuacct/docker/buildkit/cpuacct.usage", "12500000000\n"),
        ("cpu,cpuacct/docker/buildkit/cpuacct.usage", "12500000000\n"),
        ("docker/buildkit/cpu.stat", "usage_usec 12500000\nuser_usec 1\n"),
        ("system.slice/docker/buildkit/cpu.stat", "usage_usec 12500000\nuser_usec 1\n"),
    ],
)
def test_buildkit_keeps_the_seconds_of_its_steps(path: str, content: str, tmp_path: Path) -> None:
    (tmp_path / path).parent.mkdir(parents=True)
    (tmp_path / path).write_text(content, encoding="ascii")
    assert paired.processor_seconds(DOCKER, tmp_path) == 12.5


def test_a_docker_that_has_built_nothing_here_cannot_be_measured(tmp_path: Path) -> None:
    with pytest.raises(errors.Failure, match="build something with this docker"):
        paired.processor_seconds(DOCKER, tmp_path)


def test_what_podman_starts_is_ours() -> None:
    before = paired.processor_seconds(PODMAN)
    burn = "import time\nwhile time.process_time() < 0.3: pass"
    subprocess.run(["sh", "-c", '"$0" -c "$1"; true', sys.executable, burn], check=True)
    assert paired.processor_seconds(PODMAN) - before >= 0.3
