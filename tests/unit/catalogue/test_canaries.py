"""docker/canaries.toml: its laws, and that every processor and C library has an image whose canaries are built."""

from __future__ import annotations

import datetime
import json
import sys
import tomllib
from typing import Any

import pytest

from catalogue import canaries, command, images
from portable import errors

CATALOGUE = images.load(overlay=images.NO_OVERLAY)
TABLE = canaries.load()


def parsed(**changes: Any) -> canaries.Canaries:
    """The table with one canary, some of whose keys are others."""
    row = {
        "stands_for": "C",
        "version": "1",
        "sha256": "0" * 64,
        "interpreters": ["cp313-cp313"],
        "test": "python -c 1",
    }
    raw = {"index_date": datetime.date(2026, 1, 2), "images": ["*"], "canaries": {"small": {**row, **changes}}}
    return canaries.parse(raw, "canaries.toml:", CATALOGUE)


def test_every_processor_and_c_library_has_canaries() -> None:
    published = CATALOGUE.images()
    guarded = [image for image in published if TABLE.guards(image)]
    assert {image.place for image in guarded} == {image.place for image in published}
    lonely = {image.name for image in guarded if not TABLE.of(image)}
    assert lonely == set()
    policies = {image.policy.name for image in published if image.platform.name == "x86_64"}
    assert {image.policy.name for image in guarded if image.platform.name == "x86_64"} == policies


def test_the_projects_that_the_table_stands_for() -> None:
    kinds = " ".join(canary.stands_for for canary in TABLE.canaries.values())
    for word in (
        "C with",
        "Cython",
        "pybind11",
        "nanobind",
        "Fortran",
        "meson",
        "scikit-build-core",
        "Rust",
        "PEP 803",
    ):
        assert word in kinds
    assert {canary.stable_abi for canary in TABLE.canaries.values()} >= {"abi3", "abi3t"}
    assert TABLE.index_date < datetime.date.today()


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"interpreters": ["cp399-cp399"]}, "canaries.small.interpreters: images.toml has no CPython cp399-cp399"),
        ({"interpreters": ["pp311-pypy311_pp73"]}, "images.toml has no CPython pp311"),
        ({"images": ["manylinux_2_82_*"]}, "canaries.small.images: no image is called manylinux_2_82_*; did you mean"),
        ({"interpreters": []}, "interpreters must be filled in"),
        ({"packages": {"gentoo": ["libpq"]}}, "gentoo"),
        ({"packages": {"debian": ["libpq; reboot"]}}, "must be a package of the distribution, or a file of one"),
        ({"stable_abi": "abi4"}, "stable_abi must be abi3 or abi3t"),
        ({"test": "rm x"}, "canaries.small.test must be a command that begins with python"),
        ({"excuse": "it is old"}, "unknown key 'excuse'; did you mean excused"),
        ({"hosts": ["http://example.org/"]}, "must be an https:// address"),
    ],
)
def test_a_mistake_is_named(changes: dict[str, Any], said: str) -> None:
    with pytest.raises(errors.UserError) as caught:
        parsed(**changes)
    assert said in str(caught.value)
    assert str(caught.value).startswith("canaries.toml: canaries.small")


def test_a_canary_is_for_images_that_its_globs_name() -> None:
    table = parsed(images=["*_x86_64"])
    assert [each.name for each in table.of(CATALOGUE.image("manylinux_2_28_x86_64"))] == ["small"]
    assert table.of(CATALOGUE.image("manylinux_2_28_aarch64")) == ()
    assert not table.guards(CATALOGUE.image("musllinux_1_2_x86_64-shared"))
    with pytest.raises(errors.UserError, match="--only: no canary is called smal; did you mean small"):
        table.named("--only", ("smal",))


def test_the_matrix_of_canaries_has_the_guarded_images(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["scripts matrix", "--canaries"])
    command.matrix()
    rows = json.loads(capsys.readouterr().out)["include"]
    catalogue = images.load()
    assert [row["image"] for row in rows] == [each.name for each in catalogue.images() if TABLE.guards(each)]
    assert all({"runner", "qemu", "goarch"} <= row.keys() for row in rows)


def test_keys_are_explained_in_the_file() -> None:
    text = canaries.CANARIES_TOML.read_text(encoding="utf-8")
    head = text.partition("[canaries.")[0]
    known = {key for row in tomllib.loads(text)["canaries"].values() for key in row}
    assert [key for key in known if key not in head] == []
