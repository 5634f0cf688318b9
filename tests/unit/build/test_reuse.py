"""What a build takes from another image, and what it compiles instead; the engine is a stand-in."""

from __future__ import annotations

import io
import json
import subprocess
from collections.abc import Sequence
from typing import Any

import pytest

from build import options, reuse, run
from build.base import BaseImage
from build.cross import CrossClang
from build.options import BuildOptions
from build.reuse import TreeSource
from catalogue import images
from engine.commands import Commands
from engine.engine import Engine
from host.site import Site
from plan.plan import Request, decide
from plan.trees import Inputs, tree_of
from portable import errors

IMAGE = images.load().image("manylinux_2_36_x86_64")
PLAN = decide(IMAGE, Request())
INPUTS = Inputs(PLAN.build_args)
WHOLE = TreeSource.of_description("example.org/image@sha256:1", INPUTS.digests)
NO_CLANG = CrossClang("amd64", used=False, for_cpython=False)
ID = "4" * 64


class Here(Engine):
    """An engine that has one image, which says `said` of its trees; in a registry it has the digest `digest`."""

    said: Any = None
    digest = "example.org/image@sha256:1"
    status = 0

    def ask(self, argv: Sequence[str]) -> str | None:
        if "inspect" not in argv or argv[-1] not in (
            "quay.io/pypa/manylinux_2_36_x86_64:latest",
            "example.org/image:1",
        ):
            return None
        row = {"Os": "linux", "Architecture": "amd64", "RepoDigests": [self.digest] if self.digest else []}
        return ID if "{{.Id}}" in argv else json.dumps(row)

    def contain(
        self, reference: str, argv: Sequence[str], seconds: float | None = None, **options: Any
    ) -> subprocess.CompletedProcess[str]:
        assert (reference, options["entrypoint"]) == (ID, reuse.PYTHON)
        assert "network" not in options  # none is the default
        said = "" if self.status else json.dumps(self.said)
        return subprocess.CompletedProcess(argv, self.status, said, "error: no manifest")


def engine(name: str = "docker", **facts: Any) -> Here:
    made = Here(name, name)
    for key, value in facts.items():
        object.__setattr__(made, key, value)
    return made


def described(source: TreeSource | None = None, **options: Any) -> dict[str, str]:
    made = run.build_of(PLAN, BuildOptions(**options), Site(), NO_CLANG, {}, BaseImage("base"), source)
    return dict(made.args)


def test_what_has_equal_inputs_is_not_compiled(capsys: pytest.CaptureFixture[str]) -> None:
    args = described(WHOLE)
    switches = {name: stage for name, stage in args.items() if stage.startswith("reused-")}
    assert switches == {switch: f"reused-{tree_of(stage)}" for stage, switch in INPUTS.trees.items()}
    assert args["REUSEDIMAGE"] == WHOLE.reference
    assert f"taking {len(switches)} of {len(switches)} trees from {WHOLE.origin}" in capsys.readouterr().err


def test_an_image_says_the_same_of_itself_whether_its_trees_were_taken_or_not() -> None:
    """So it has the same bytes. Where trees are from is said in a label."""
    assert described(WHOLE)["DESCRIPTION"] == described()["DESCRIPTION"]
    assert json.loads(described()["DESCRIPTION"])["inputs"] == dict(sorted(INPUTS.digests.items()))
    made = run.build_of(PLAN, BuildOptions(), Site(), NO_CLANG, {}, BaseImage("base"), WHOLE)
    assert made.labels["org.pypa.manylinux.reused"] == WHOLE.origin
    plain = run.build_of(PLAN, BuildOptions(), Site(), NO_CLANG, {}, BaseImage("base"))
    assert "org.pypa.manylinux.reused" not in plain.labels and "REUSEDIMAGE" not in plain.args


def test_why_something_is_compiled() -> None:
    moved = {"ZSTD_VERSION": "99.0", "GIT_LFS_VERSION": "99.0"}
    theirs = dict(Inputs({**PLAN.build_args, **moved}).digests)
    del theirs["component-git"]
    found = {tree_of(s): why for s, why in reuse.unfit(INPUTS, TreeSource.of_description("", theirs)).items()}
    assert found["zstd"] == found["git-lfs"] == "its own inputs differ"
    assert found["cp313-cp313"] == found["uv"] == "the inputs of component-zstd differ"
    assert found["git"] == "the image does not have it"
    assert found["sqlite"] == "interpreter-base is compiled against it"
    assert not {"autoconf", "automake", "libtool"} & set(found)


def test_a_damaged_tree_is_compiled_with_what_it_is_compiled_against() -> None:
    trees = {tree: digest for tree, digest in WHOLE.trees.items() if tree not in ("cp313-cp313", "uv")}
    source = TreeSource("", "", WHOLE.inputs, trees, {"cp313-cp313": "/opt/a is missing"})
    found = {tree_of(stage): why for stage, why in reuse.unfit(INPUTS, source).items()}
    assert found.pop("cp313-cp313") == "/opt/a is missing"
    assert found.pop("uv") == "the image does not have it"
    assert set(found) == {"sqlite", "mpdecimal", "zstd"}


def test_an_image_is_looked_at_by_its_id() -> None:
    """And a build starts from its digest, or from a tag that build.sh gives to the Id."""
    said = {"inputs": {"tool-uv": "1"}, "trees": {"uv": "2"}, "damaged": {"swig": "gone"}}
    found = reuse.look(engine(said=said), IMAGE, "latest")
    assert found == TreeSource(Here.digest, Here.digest, {"tool-uv": "1"}, {"uv": "2"}, {"swig": "gone"})
    for made in (engine(said=said, digest=""), engine("podman", said=said)):
        found = reuse.look(made, IMAGE, "example.org/image:1")
        assert found is not None and found.reference == ID


def test_an_image_that_gives_nothing_stops_no_build(capsys: pytest.CaptureFixture[str]) -> None:
    assert reuse.look(engine(), IMAGE, "example.org/another:1") is None
    assert "it is neither here nor can it be pulled" in capsys.readouterr().err
    assert reuse.look(engine(status=1), IMAGE, "latest") is None
    assert "taking nothing from example.org/image@sha256:1: error: no manifest" in capsys.readouterr().err
    assert reuse.look(engine(said={"inputs": []}), IMAGE, "latest") is None
    nothing = TreeSource.of_description("example.org/old", {})
    assert "REUSEDIMAGE" not in described(nothing)


def test_a_builder_of_its_own_sees_no_image_of_this_machine() -> None:
    source = TreeSource(ID, "localhost/manylinux-reused:1", WHOLE.inputs, WHOLE.trees)
    made = run.build_of(PLAN, BuildOptions(), Site(), NO_CLANG, {}, BaseImage("base"), source)
    assert "--builder" in Commands("docker-buildx", "docker").build(made)


def test_two_images_are_compared_by_what_equal_inputs_gave() -> None:
    mine = TreeSource("", "", {"tool-a": "1", "tool-b": "1", "tool-c": "1"}, {"a": "x", "b": "x", "c": "x"})
    other = TreeSource("", "", {"tool-a": "1", "tool-b": "1", "tool-c": "2"}, {"a": "x", "b": "y", "c": "z"})
    assert reuse.differences(mine, other) == (["b"], ["a"])


def test_what_nobody_may_move_gets_a_tag_that_the_build_removes() -> None:
    said: dict[str, Any] = {"inputs": {}, "trees": {}, "damaged": {}}
    left = io.StringIO()
    calls: list[list[str]] = []
    made = engine(said=said, digest="", call=calls.append)
    source = run.source_of(made, PLAN, BuildOptions(reuse="latest"), left)
    assert source is not None and source.origin == ID
    assert source.reference.startswith("localhost/") and left.getvalue() == f"{source.reference}\n"
    assert calls == [made.tag(ID, source.reference)]
    source = run.source_of(engine(said=said), PLAN, BuildOptions(reuse="latest"), left)
    assert source is not None and source.reference == Here.digest
    assert run.source_of(engine(said=said), PLAN, BuildOptions(), left) is None


def test_a_comparison_fails_closed() -> None:
    with pytest.raises(errors.Failure, match="there is nothing to compare with"):
        run.source_of(engine(status=1), PLAN, BuildOptions(compare="latest"), io.StringIO())
    with pytest.raises(errors.Failure, match="does not say which trees it has"):
        run.compare(engine(status=1), ID, PLAN, WHOLE)
    said = {"inputs": WHOLE.inputs, "trees": {**WHOLE.trees, "uv": "other"}, "damaged": {}}
    with pytest.raises(errors.Failure, match="uv: other files than in "):
        run.compare(engine(said=said), ID, PLAN, WHOLE)
    run.compare(engine(said={**said, "trees": WHOLE.trees}), ID, PLAN, WHOLE)
    run.compare(engine(said={**said, "inputs": {**WHOLE.inputs, "tool-uv": "other"}}), ID, PLAN, WHOLE)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"reuse": "a b"}, "--reuse: 'a b' is not a tag"),
        ({"reuse": "example.org/"}, "--reuse: .* is not a reference of an image"),
        ({"compare": "-x"}, "--compare: '-x' is not a tag"),
        ({"reuse": "latest", "stage": "component-zstd"}, "leave out --reuse"),
        ({"reuse": "latest", "compare": "latest"}, "--compare compiles everything"),
    ],
)
def test_wrong_options(given: dict[str, Any], said: str) -> None:
    with pytest.raises(errors.UserError, match=said):
        options.check(BuildOptions(**given))
