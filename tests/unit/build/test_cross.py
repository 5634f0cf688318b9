"""When a static clang cross-compiles, and what a build is told of it."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.support.programs import program

from build import cross
from catalogue import images
from engine.engine import Engine
from portable import errors

CATALOGUE = images.load()


@pytest.mark.parametrize(
    ("name", "builder", "environment", "used", "for_cpython"),
    [
        ("manylinux_2_28_x86_64", "amd64", {}, False, False),
        ("manylinux_2_28_i686", "amd64", {}, False, False),
        ("manylinux_2_28_s390x", "amd64", {}, True, True),
        ("manylinux_2_28_aarch64", "amd64", {}, True, False),
        ("manylinux_2_31_armv7l", "arm64", {}, False, False),
        ("manylinux_2_31_armv7l", "amd64", {}, True, False),
        ("musllinux_1_2_aarch64", "amd64", {}, True, True),
        ("manylinux_2_28_ppc64le", "ppc64le", {}, False, False),
        ("manylinux_2_28_s390x", "ppc64le", {}, False, False),
        ("manylinux_2_28_s390x", "amd64", {"MANYLINUX_DISABLE_CLANG": "1"}, False, False),
        ("manylinux_2_28_s390x", "amd64", {"MANYLINUX_DISABLE_CLANG": "0"}, True, True),
        ("manylinux_2_28_s390x", "amd64", {"MANYLINUX_DISABLE_CLANG_FOR_CPYTHON": "1"}, True, False),
        ("manylinux_2_28_aarch64", "amd64", {"MANYLINUX_DISABLE_CLANG_FOR_CPYTHON": "0"}, True, True),
        ("manylinux_2_28_aarch64", "amd64", {"MANYLINUX_BUILDARCH": "arm64"}, False, False),
    ],
)
def test_clang_is_for_foreign_architectures(
    name: str, builder: str, environment: dict[str, str], used: bool, for_cpython: bool
) -> None:
    clang = cross.clang_for(CATALOGUE.image(name), builder, False, environment)
    assert (clang.used, clang.for_cpython) == (used, for_cpython)
    assert bool(clang.args) == used


def test_clang_comes_from_a_registry_so_offline_only_a_named_one() -> None:
    s390x = CATALOGUE.image("manylinux_2_28_s390x")
    assert not cross.clang_for(s390x, "amd64", True, {}).args
    named = {"MANYLINUX_STATIC_CLANG_IMAGE": "localhost/clang"}
    assert cross.clang_for(s390x, "amd64", True, named).args == {
        "CLANG_STAGE": "cross-clang",
        "CLANG_FOR_CPYTHON_STAGE": "cross-clang",
        "CLANG_PLATFORM": "linux/amd64",
        "STATIC_CLANG_IMAGE": "localhost/clang",
    }
    assert not cross.clang_for(s390x, "amd64", True, {**named, "MANYLINUX_DISABLE_CLANG": "1"}).args


def test_a_clang_that_cannot_be_had_is_said_before_anything_is_built(tmp_path: Path) -> None:
    engine = Engine("docker", str(program(tmp_path / "docker", "exit 1")))
    clang = cross.clang_for(CATALOGUE.image("manylinux_2_28_s390x"), "amd64", False, {})
    with pytest.raises(errors.Failure, match=r"static-clang.*linux/amd64.*MANYLINUX_DISABLE_CLANG=1"):
        cross.ensure(engine, clang)
    cross.ensure(engine, cross.clang_for(CATALOGUE.image("manylinux_2_28_i686"), "amd64", False, {}))
