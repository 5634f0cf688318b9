"""`gate`: what an image lost holds it back, by name, unless a commit says that it is meant."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.support.descriptions import description
from tests.support.repositories import git, repository

from catalogue import images
from portable import errors
from publish import gate

Held = Callable[..., tuple[int, str]]
Spoil = Callable[[dict[str, Any]], object]


@pytest.fixture
def held(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Held:
    """Runs the gate on a spoiled description; returns its status and all that it says."""
    monkeypatch.setenv("MANYLINUX_IMAGES_OVERLAY", str(images.NO_OVERLAY))

    def run(spoil: Spoil, before: Spoil = lambda made: None, excuses: tuple[str, ...] = ()) -> tuple[int, str]:
        for side, change in (("old", before), ("new", spoil)):
            made = description()
            change(made)
            (tmp_path / f"{side}.json").write_text(json.dumps(made), encoding="utf-8")
        monkeypatch.setattr(gate, "excused", lambda since: excuses)
        monkeypatch.setattr(sys, "argv", ["gate", str(tmp_path / "old.json"), str(tmp_path / "new.json")])
        status = errors.run(gate.main)
        said = capsys.readouterr()
        return status or 0, said.out + said.err

    return run


def of_python(made: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = made["capabilities"]["interpreters"]["cp313-cp313"]
    return found


LOSSES = {
    "module `_ssl` in `cp313-cp313`": lambda made: of_python(made)["modules"].remove("_ssl"),
    "tag `cp313-cp313` in `cp313-cp313`": lambda made: of_python(made)["tags"].clear(),
    "suffix `.so` in `cp313-cp313`": lambda made: of_python(made)["suffixes"].clear(),
    "command `git`": lambda made: made["capabilities"]["image"]["commands"].remove("git"),
    "library `libz.so.1`": lambda made: made["capabilities"]["image"]["sonames"].clear(),
    "module of pkg-config `zlib`": lambda made: made["capabilities"]["image"]["pkg_config"].clear(),
    "newest GLIBCXX: 3.4.25 → 3.4.26": lambda made: made["capabilities"]["image"].update(glibcxx="3.4.26"),
    "C library: glibc 2.28 → glibc 2.34": lambda made: made["capabilities"]["image"].update(libc="glibc 2.34"),
    "tool `uv` 1.0": lambda made: made["tools"].pop(),
}


@pytest.mark.parametrize("loss", LOSSES)
def test_a_loss_is_named_and_holds_the_image_back(held: Held, loss: str) -> None:
    status, said = held(LOSSES[loss])
    assert status == 1
    assert f"LOST: {loss} (manylinux_2_28_x86_64)" in said
    assert f"Accepts-Loss: {loss}" in said
    for excuse in (loss, loss[:-3] + "*"):
        status, said = held(LOSSES[loss], excuses=(excuse,))
        assert status == 0 and f"excused: {loss}" in said
    assert held(LOSSES[loss], excuses=("something else",))[0] == 1


def with_flags(flags: str) -> Callable[[dict[str, Any]], object]:
    return lambda made: of_python(made)["sysconfig"].update(CFLAGS=flags)


def test_each_flag_of_sysconfig_counts(held: Held) -> None:
    before = with_flags("-O3 -fwrapv -Wall")
    assert held(with_flags("-Wall -O3 -fwrapv -g"), before=before)[0] == 0, "one more, in another order, is no loss"
    status, said = held(with_flags("-O3 -Wall"), before=before)
    assert status == 1 and "LOST: -fwrapv of `CFLAGS` in `cp313-cp313` (" in said


@pytest.mark.parametrize(
    "spoil",
    [
        lambda made: made["capabilities"]["image"].update(glibcxx="3.4.24"),
        lambda made: made["capabilities"]["image"]["commands"].append("rg"),
        lambda made: made["interpreters"][0].update(version="3.12.16"),
        lambda made: made["packages"].pop(),
    ],
)
def test_what_is_no_loss_passes(held: Held, spoil: Spoil) -> None:
    assert held(spoil) == (0, "")


def test_an_image_from_before_descriptions_is_nothing_to_compare_with(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "new.json").write_text(json.dumps(description()), encoding="utf-8")
    (tmp_path / "old").mkdir()
    monkeypatch.setattr(sys, "argv", ["gate", str(tmp_path / "old"), str(tmp_path / "new.json")])
    assert gate.main() == 0
    assert "nothing to compare with" in capsys.readouterr().err
    monkeypatch.setattr(sys, "argv", ["gate", str(tmp_path / "new.json"), str(tmp_path / "old")])
    with pytest.raises(errors.Failure, match="no description"):
        gate.main()


def test_trailers_of_the_commits_since_the_base_excuse(tmp_path: Path) -> None:
    root = repository(tmp_path / "r", a="1")
    git(root, "commit", "--quiet", "--allow-empty", "-m", "Old\n\nAccepts-Loss: command `old`")
    base = git(root, "rev-parse", "HEAD")
    git(
        root,
        "commit",
        "--quiet",
        "--allow-empty",
        "-m",
        "Drop it\n\nNobody used it.\n\nAccepts-Loss: module `imp` in *",
    )
    git(root, "commit", "--quiet", "--allow-empty", "-m", "More\n\nAccepts-Loss: command `rg`\nAccepts-Loss: tool `x`")
    assert set(gate.excused(base, root)) == {"module `imp` in *", "command `rg`", "tool `x`"}
    assert gate.excused("", root) == ()
