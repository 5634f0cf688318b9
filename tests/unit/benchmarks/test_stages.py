"""How the benchmark reads the stages of what engines print."""

from __future__ import annotations

from typing import Any

import pytest
from tests.benchmarks import stages

# What docker buildx 0.13 prints with --progress=plain, shortened.
BUILDKIT = """\
#1 [internal] load build definition from Dockerfile
#1 DONE 0.0s
#7 [base-system  2/18] RUN mkdir /a
#7 DONE 20.5s
#9 [interpreter-cp313-cp313 2/3] COPY a b
#8 [component-git 3/4] RUN build-git.sh
#9 DONE 0.1s
#8 0.512 checking for gcc
#8 DONE 61.0s
#10 [interpreter-cp313-cp313 3/3] RUN build-cpython.sh
#10 DONE 80.2s
#11 [linux/arm64 tool-uv 1/1] RUN install
#11 CACHED
"""
# What podman 4.3 prints with --jobs 2, shortened: the second of two builds side by side ends first.
PODMAN = """\
[1/6] STEP 1/2: FROM localhost/base AS base-system
[1/6] STEP 2/2: RUN update-system.sh
--> 1111111111a
[2/6] STEP 1/2: FROM 1111111111abcdef AS component-git
[3/6] STEP 1/2: FROM 1111111111abcdef AS interpreter-cp313-cp313
[2/6] STEP 2/2: RUN build-git.sh
[3/6] STEP 2/2: RUN build-cpython.sh
--> 3333333333a
[4/6] STEP 1/1: FROM 3333333333abcdef AS cp313-cp313
--> 2222222222a
[5/6] STEP 1/1: FROM 2222222222abcdef AS git
"""
PARENTS = {
    "base-system": "${BASEIMAGE}",
    "component-git": "base-system",
    "interpreter-cp313-cp313": "base-system",
    "git": "component-git",
    "cp313-cp313": "interpreter-cp313-cp313",
}


def lines(text: str) -> list[Any]:
    """A line every ten seconds."""
    return [stages.Line(10.0 * number, line) for number, line in enumerate(text.splitlines())]


def test_buildkit_says_how_long_each_step_took() -> None:
    assert stages.stage_seconds(lines(BUILDKIT)) == pytest.approx(
        {"interpreter-cp313-cp313": 80.3, "component-git": 61.0, "base-system": 20.5}
    )


def test_podman_stages_end_where_their_image_is_first_seen() -> None:
    took = stages._podman_stages(lines(PODMAN), PARENTS)
    assert {stage: seconds for stage, seconds in took.items() if seconds > 0} == {
        "base-system": 20.0,
        "component-git": 60.0,
        "interpreter-cp313-cp313": 30.0,
    }


def test_the_dockerfile_says_what_each_stage_is_built_from() -> None:
    parents = stages.stage_parents(stages.DOCKERFILE.read_text(encoding="utf-8"))
    assert parents["git"] == "component-git"
    assert parents["cp313-cp313t"] == "interpreter-cp313-cp313t"
    assert parents["uv"] == "tool-uv"
