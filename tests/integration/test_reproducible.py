"""Two cold builds give the same layers, and the bump of one interpreter changes its layer only.

The first build is the image that `./build.sh --bootstrap` has left; the second one is made here, without any cache:
MANYLINUX_TEST_IMAGE=REFERENCE pytest tests/integration/test_reproducible.py
"""

from __future__ import annotations

import json
import os

import pytest
from tests.benchmarks import build as benchmark

from catalogue import images
from debian import base as debian_base
from engine import choose
from sources.lock import LOCK, SOURCES, load_lock

IMAGE = os.environ.get("MANYLINUX_TEST_IMAGE", "")
SAME, BUMPED = "cp313-cp313", "cp311-cp311"
pytestmark = [
    pytest.mark.engine,
    pytest.mark.network,
    pytest.mark.slow,
    pytest.mark.skipif(not IMAGE, reason="MANYLINUX_TEST_IMAGE is not set"),
    pytest.mark.skipif(not LOCK.exists(), reason="there is no lock: ./build.sh --bootstrap makes it"),
]


@pytest.fixture(scope="module")
def builds(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, str], dict[str, str]]:
    """The layers of both builds: what made one -> its digest."""
    scratch = tmp_path_factory.mktemp("layers")
    engine = choose.engine()
    image = images.load().image(IMAGE.rpartition(":")[0].rpartition("/")[2])
    lock = load_lock(LOCK)
    (pin,) = (i.pin for i in image.interpreters if i.tag == BUMPED)
    moved = scratch / "lock.json"
    moved.write_text(json.dumps(benchmark.bump_lock(lock, pin, SOURCES)), encoding="utf-8")
    options = ["--interpreters", f"{BUMPED},{SAME}", "--no-cache"]
    benchmark.build(image, debian_base.debian_base_of(image).reference, moved, options, engine)
    first, second = (
        {layer.made_by: layer.digest for layer in benchmark.saved_layers(engine, reference, scratch)}
        for reference in (IMAGE, f"{image.repository}:{benchmark.TAG}")
    )
    return first, second


def test_everything_of_ours_is_the_same_after_a_cold_build(builds: tuple[dict[str, str], dict[str, str]]) -> None:
    first, second = builds
    tools = [tool.name for tool in images.load().tools.values()]
    for name in (SAME, "base-tools", *tools, "autoconf", "git", "mpdecimal", "sqlite", "zstd", "image-files"):
        assert second[name] == first[name], name


def test_a_bump_changes_the_layer_of_its_interpreter(builds: tuple[dict[str, str], dict[str, str]]) -> None:
    first, second = builds
    assert second[BUMPED] != first[BUMPED]
