"""What builds take from a real image: MANYLINUX_TEST_IMAGE=REFERENCE pytest tests/integration/test_reuse.py

Everything that it has is taken by the stages of docker/Dockerfile, and becomes the layers that the image itself has."""

from __future__ import annotations

import json
import os
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from build import reuse
from build.reuse import TreeSource
from catalogue import images, pins
from catalogue.paths import ROOT
from engine import choose
from engine.commands import ImageBuild
from engine.engine import Engine
from plan.trees import REUSED, tree_of

NAME = os.environ.get("MANYLINUX_TEST_IMAGE", "")
pytestmark = [
    pytest.mark.engine,
    pytest.mark.slow,
    pytest.mark.skipif(not NAME, reason="MANYLINUX_TEST_IMAGE is not set"),
]


@pytest.fixture(scope="module")
def engine() -> Engine:
    return choose.engine()


@pytest.fixture(scope="module")
def source(engine: Engine) -> TreeSource:
    """What the image has to give."""
    found = reuse.look(engine, images.load().image("manylinux_2_36_x86_64"), NAME)
    assert found is not None and found.inputs, f"{NAME} does not say what went into it: build it again"
    return found


@pytest.fixture
def tag(engine: Engine) -> Iterator[str]:
    made = f"localhost/manylinux-test-reuse:{uuid.uuid4().hex}"
    yield made
    engine.ask(engine.remove(made))


def build(engine: Engine, tag: str, dockerfile: Path, context: Path, **args: str) -> None:
    made = ImageBuild(context, dockerfile, tag, args=args, target="made")
    said: list[str] = []
    assert engine.stream(engine.build(made), said.append) == 0, "".join(said[-20:])


def layers(engine: Engine, reference: str) -> list[str]:
    found: list[str] = json.loads(engine.ask(engine.inspect(reference, "{{json .RootFS.Layers}}")) or "[]")
    return found


def test_a_tree_that_is_taken_is_the_layer_that_was_compiled(
    engine: Engine, source: TreeSource, tag: str, tmp_path: Path
) -> None:
    trees = sorted(source.trees)
    assert {tree_of(stage) for stage in source.inputs if stage.startswith(("component-", "tool-"))} <= set(trees)
    dockerfile = tmp_path / "Dockerfile"
    copies = "".join(f"COPY --from={tree} /rootfs /\n" for tree in trees)
    text = pins.DOCKERFILE.read_text(encoding="utf-8")
    dockerfile.write_text(f"{text}\nFROM ${{BASEIMAGE}} AS made\n{copies}", encoding="utf-8")
    switches = {f"{pins.env_prefix(tree)}_STAGE": f"{REUSED}{tree}" for tree in trees}
    build(engine, tag, dockerfile, ROOT, BASEIMAGE=NAME, REUSEDIMAGE=NAME, **switches)
    taken = dict(zip(trees, layers(engine, tag)[-len(trees) :], strict=True))
    compiled = set(layers(engine, NAME))
    assert [tree for tree, layer in taken.items() if layer not in compiled] == []


def test_a_tree_of_which_one_byte_has_changed_is_not_taken(
    engine: Engine, source: TreeSource, tag: str, tmp_path: Path
) -> None:
    (tmp_path / "Dockerfile").write_text(
        f"FROM {NAME} AS made\n"
        "RUN printf x | dd of=/opt/_internal/pipx/venvs/uv/bin/uv bs=1 seek=100000 conv=notrunc && "
        "touch -d @1 /opt/_internal/tools/bin/pipx && rm /usr/local/bin/git-shell\n",
        encoding="utf-8",
    )
    build(engine, tag, tmp_path / "Dockerfile", tmp_path)
    found = reuse.examined(engine, engine.identity(tag), tag)
    assert found is not None
    assert found.damaged == {
        "uv": "/opt/_internal/pipx/venvs/uv/bin/uv is not what files.sha256 says",
        "base-tools": "/opt/_internal/tools/bin/pipx has another date than the rest",
        "git": "/usr/local/bin/git-shell is missing",
    }
    assert found.trees == {tree: digest for tree, digest in source.trees.items() if tree not in found.damaged}
