"""Base images: by digest, and for their own platform."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.support.programs import program

from build import base
from build.base import BaseImage
from catalogue import images
from engine.engine import Engine
from plan.plan import Request, decide
from portable import errors

CATALOGUE = images.load()


def test_a_pinned_base_is_asked_for_by_its_digest(tmp_path: Path) -> None:
    plan = decide(CATALOGUE.image("manylinux_2_28_x86_64"), Request())
    table = tmp_path / "bases.toml"
    table.write_text(f'"{plan.base}" = "sha256:{"a" * 64}"\n', encoding="utf-8")
    digest = f"sha256:{'a' * 64}"
    assert base.base_of(plan, table) == BaseImage(f"quay.io/almalinuxorg/almalinux@{digest}", digest)
    table.write_text("", encoding="utf-8")
    assert base.base_of(plan, table) == BaseImage(plan.base)


@pytest.mark.parametrize(
    ("said", "platform", "taken"),
    [
        ('{"Os": "linux", "Architecture": "arm"}', "linux/arm64", False),
        ('{"Os": "linux", "Architecture": "arm64"}', "linux/arm/v7", False),
        ('{"Os": "linux", "Architecture": "arm64", "Variant": "v8"}', "linux/arm64", True),
        ('{"Os": "linux", "Architecture": "arm", "Variant": "v7"}', "linux/arm/v7", True),
        ('{"Os": "linux", "Architecture": "arm", "Variant": ""}', "linux/arm/v7", True),
        ('{"Os": "linux", "Architecture": "arm", "Variant": "v6"}', "linux/arm/v7", False),
        ('{"Os": "windows", "Architecture": "amd64"}', "linux/amd64", False),
        ('{"Os": "linux", "Architecture": "amd64", "RepoDigests": null}', "linux/amd64", True),
    ],
)
def test_a_base_counts_for_its_own_platform_alone(said: str, platform: str, taken: bool, tmp_path: Path) -> None:
    engine = Engine("docker", str(program(tmp_path / "docker", f"echo '{said}'")))
    wanted = BaseImage("localhost/base")
    if taken:
        assert base.ensure(engine, wanted, platform) == wanted
    else:
        with pytest.raises(errors.Failure, match="neither here"):
            base.ensure(engine, wanted, platform)


def test_a_base_that_is_not_here_is_pulled_and_known_by_its_digest(tmp_path: Path) -> None:
    said = '{"Os": "linux", "Architecture": "amd64", "RepoDigests": ["example.org/base@sha256:1"]}'
    script = f"[[ $1 != pull ]] || touch {tmp_path}/pulled\n[[ -e {tmp_path}/pulled ]] && echo '{said}'"
    engine = Engine("docker", str(program(tmp_path / "docker", script)))
    assert base.ensure(engine, BaseImage("example.org/base:1"), "linux/amd64").digest == "sha256:1"
