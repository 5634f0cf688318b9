"""A fork's overlay: its images, names and workflow matrices change; what it shares with us does not."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from fnmatch import fnmatchcase
from pathlib import Path

import pytest
from tests.support.tables import OVERLAY

from catalogue import checkout, images, paths
from publish import prune
from update import bases

CATALOGUE = images.load(overlay=images.NO_OVERLAY)


@pytest.fixture
def overlay(tmp_path: Path) -> Path:
    path = tmp_path / "acme.toml"
    path.write_text(OVERLAY, encoding="utf-8")
    return path


def run(overlay: Path, *command: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """One of the repository's commands, as the fork's maintainers and workflows run it."""
    return subprocess.run(
        command,
        cwd=paths.ROOT,
        env={**os.environ, "MANYLINUX_IMAGES_OVERLAY": str(overlay), **environment},
        capture_output=True,
        text=True,
        check=False,
    )


def matrix(overlay: Path, verb: str) -> object:
    """What the build workflow reads."""
    done = run(overlay, sys.executable, "scripts", verb)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_the_matrix_has_the_images_of_the_fork(overlay: Path) -> None:
    rows = matrix(overlay, "matrix")
    assert isinstance(rows, dict)
    debian = [i.name for i in CATALOGUE.images() if fnmatchcase(i.name, "manylinux_2_36_*")]
    names = [row["image"] for row in rows["include"]]
    assert set(names) == {*debian, "manylinux_2_36_ppc64le-shared", "musllinux_1_2_x86_64"}
    assert len(set(names)) == len(names)
    (shared,) = [row for row in rows["include"] if row["variant"]]
    assert (shared["policy"], shared["platform"], shared["qemu"]) == ("manylinux_2_36", "ppc64le", True)


def test_the_groups_are_what_the_fork_publishes(overlay: Path) -> None:
    assert matrix(overlay, "groups") == ["manylinux_2_36", "manylinux_2_36-shared", "musllinux_1_2"]
    fork = images.load(overlay=overlay)
    assert [image.name for image in fork.group("musllinux_1_2").members] == ["musllinux_1_2_x86_64"]
    assert "manylinux2014" not in prune.live_repositories(fork)


def test_an_image_has_the_name_and_the_interpreters_of_the_fork(overlay: Path) -> None:
    image = images.load(overlay=overlay).image("manylinux_2_36_x86_64")
    assert image.repository == "registry.example.org/wheels/manylinux_2_36_x86_64"
    assert [i.tag for i in image.interpreters] == ["cp39-cp39", "cp313-cp313"]
    assert "pp310-pypy310_pp73" in [i.tag for i in image.on_demand]
    done = run(overlay, "./build.sh", "--print", PLATFORM="x86_64", POLICY="")
    assert done.returncode == 0, done.stderr
    assert "--tag registry.example.org/wheels/manylinux_2_36_x86_64:latest-untested" in done.stdout
    assert "--label org.pypa.manylinux.complete=true" in done.stdout
    assert "--label org.opencontainers.image.source=https://example.org/acme/manylinux" in done.stdout


def test_what_the_fork_does_not_build_is_refused(overlay: Path) -> None:
    done = run(overlay, "./build.sh", "--print", POLICY="manylinux2014", PLATFORM="x86_64")
    assert done.returncode == 2
    assert "not among the images that the overlay selects" in done.stderr


def test_a_fork_without_variants(tmp_path: Path) -> None:
    path = tmp_path / "plain.toml"
    path.write_text("[variants.shared]\nimages = {}\n", encoding="utf-8")
    assert [image.name for image in images.load(overlay=path).images(variants=True)] == [
        image.name for image in CATALOGUE.images()
    ]


def test_rendered_text_does_not_depend_on_the_overlay(overlay: Path) -> None:
    done = run(overlay, sys.executable, "scripts", "render", "--check")
    assert done.returncode == 0, done.stderr


def test_the_updaters_keep_all_that_the_table_needs(overlay: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MANYLINUX_IMAGES_OVERLAY", str(overlay))
    assert set(bases.references()) == {i.policy.base for i in CATALOGUE.images(published_only=False)}


def test_the_overlay_can_be_committed() -> None:
    with pytest.raises(checkout.GitRefused, match="status 1"):  # nothing ignores it
        checkout.call("check-ignore", "--no-index", str(images.LOCAL_OVERLAY), at=paths.ROOT)
