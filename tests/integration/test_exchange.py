"""Wheels that go from one real image to another and back: MANYLINUX_TEST_IMAGE=REFERENCE names one with a CPython."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from engine import choose
from engine.commands import ImageBuild
from engine.engine import Engine
from smoke.exchange import exchange

IMAGE = os.environ.get("MANYLINUX_TEST_IMAGE", "")
TAG = "cp313-cp313"  # it runs the tools
GOOD, SPOILED = "localhost/exchange:good", "localhost/exchange:spoiled"
# An interpreter that refuses an extension, and a compiler that makes nothing
SPOIL = (
    "cd /opt/python/*/lib/python3.13 && echo 'import sys; sys.modules[\"smoke_c\"] = None' >sitecustomize.py"
    " && ln -sf /bin/false /usr/local/bin/g++"
)
pytestmark = [
    pytest.mark.engine,
    pytest.mark.skipif(not IMAGE, reason="MANYLINUX_TEST_IMAGE is not set"),
]


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    """An engine with the image twice, reduced to one interpreter each: as it is, and spoiled."""
    engine, directory = choose.engine(), tmp_path_factory.mktemp("images")
    for reference, spoil in ((GOOD, "true"), (SPOILED, SPOIL)):
        text = f"FROM {IMAGE}\nRUN find /opt/python -mindepth 1 -not -name {TAG} -delete && {spoil}\n"
        (directory / "Dockerfile").write_text(text, encoding="utf-8")
        engine.call(engine.build(ImageBuild(directory, directory / "Dockerfile", reference, keep_layers=False)))
    yield engine
    for reference in (GOOD, SPOILED):
        engine.ask(engine.remove(reference))


def test_wheels_of_the_same_image_go_both_ways(engine: Engine, capsys: pytest.CaptureFixture[str]) -> None:
    assert exchange(engine, GOOD, GOOD) == []
    assert capsys.readouterr().err.count(f"2 of 2 wheels of {GOOD} work in {GOOD}") == 2


def test_what_does_not_go_is_named(engine: Engine) -> None:
    problems = exchange(engine, GOOD, SPOILED)
    for expected in (
        f"smoke_c[{TAG}] of {GOOD} does not work in {SPOILED}: python ended with status 1",
        f"{SPOILED}: smoke_cxx[{TAG}] cannot be made: g++ ended with status 1",
    ):
        assert [problem for problem in problems if problem.startswith(expected)], problems
    assert not [problem for problem in problems if problem.startswith(f"smoke_cxx[{TAG}] of {GOOD}")], problems
