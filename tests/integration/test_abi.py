"""Releases whose ABI differs from the pinned one's, described and compared by libabigail itself."""

from __future__ import annotations

import random
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
from tests.support import servers
from tests.support.repositories import git
from tests.support.upstreams import World, archive, sha256

from catalogue import pins
from host.apt import MIRROR_VARIABLE
from update import native, sightings

pytestmark = pytest.mark.program("gcc", "abidiff")

HEADER = "typedef struct thing { long count; int kind; struct state *inside; } thing;\n"
INTERNAL = "struct state { int depth; };\n"
SOURCE = """\
#include "Include/thing.h"
#include "Include/internal/state.h"
int thing_kind(thing *it) { return it->kind + it->inside->depth; }
void thing_clear(thing *it) { it->count = 0; }
"""
Change = Mapping[str, str]  # file -> what is replaced by what, both around " -> "; "cut": the description lacks its end


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    monkeypatch.setenv(MIRROR_VARIABLE, f"http://127.0.0.1:{servers.closed_port()}/debian")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv(sightings.SEEN_VARIABLE, str(tmp_path / "seen.json"))
    monkeypatch.delenv("GITHUB_STEP_SUMMARY", raising=False)
    with servers.running() as server:
        yield World(tmp_path, server)


def described(directory: Path, change: Change) -> bytes:
    """libabigail's description of a small library, as CPython's developers make theirs."""
    (directory / "Include" / "internal").mkdir(parents=True)
    for name, text in {"Include/thing.h": HEADER, "Include/internal/state.h": INTERNAL, "thing.c": SOURCE}.items():
        for old, new in (each.split(" -> ") for path, each in change.items() if path == name):
            assert old in text
            text = text.replace(old, new)
        (directory / name).write_text(text, encoding="utf-8")
    subprocess.run(["gcc", "-g", "-shared", "-fPIC", "-I.", "thing.c", "-o", "libthing.so"], cwd=directory, check=True)
    subprocess.run(["abidw", "libthing.so", "--out-file", "thing.abi"], cwd=directory, check=True)
    content = (directory / "thing.abi").read_bytes()
    return content[: len(content) * 3 // 4] if "cut" in change else content


def committed(world: World, *releases: tuple[str, Change | None], accepted: str = "", first: str = "1.0.0") -> str:
    """Runs the updater on a pin at the first of these releases; returns where the pin is then.

    A release without a change has no description at all."""
    files = {}
    project = world.project("thing")
    for version, change in releases:
        files[version] = {f"thing-{version}/data": random.Random(version).randbytes(20_000)}
        if change is not None:
            files[version][f"thing-{version}/Doc/thing.abi"] = described(world.directory / version, change)
        project.tag(version)
        project.serve(version, archive(files[version]))
    world.rows["thing"] = project.row.replace(r"'\d+\.\d+\.\d+'", r"'\d+\.\d+\.\d+((a|b|rc)\d+)?'")
    world.rows["thing"] += f'abi = "Doc/thing.abi"\n{accepted}'
    repository = world.commit(pins={"thing": first})
    dockerfile = repository / "docker" / "Dockerfile"
    text = dockerfile.read_text(encoding="utf-8")
    was = pins.read(dockerfile)["thing"].sha256
    assert isinstance(was, str)
    dockerfile.write_text(text.replace(was, sha256(archive(files[first]))), encoding="utf-8")
    git(repository, "commit", "--quiet", "--all", "--message", "The file's own sum")
    assert native.main(["--no-cooldown", "thing"], repository) == 0
    return pins.read(dockerfile)["thing"].version


SPOILED: dict[str, tuple[Change, str]] = {
    "removed": ({"thing.c": "thing_clear -> thing_reset"}, "thing_clear"),
    "renamed": ({"Include/thing.h": "int kind -> int sort", "thing.c": "it->kind -> it->sort"}, "thing::sort"),
    "widened": ({"Include/thing.h": "int kind -> long kind"}, "thing::kind"),
}


@pytest.mark.parametrize("kind", SPOILED)
def test_another_abi_is_held_back_by_name(world: World, kind: str, capsys: pytest.CaptureFixture[str]) -> None:
    change, name = SPOILED[kind]
    assert committed(world, ("1.0.0", {}), ("1.0.1", {}), ("1.0.2", change)) == "1.0.1"
    said = " ".join(capsys.readouterr().out.split())
    assert "passed over 1.0.2: its ABI is not that of 1.0.0" in said
    assert name in said
    assert 'abi_accepted = { "1.0.2" = "..." }' in said
    assert "ABI: as in 1.0.0" in git(world.repository, "log", "-1", "--format=%b")


def test_what_no_extension_sees_may_change(world: World) -> None:
    change = {"Include/internal/state.h": "int depth -> long more, depth"}
    assert committed(world, ("1.0.0", {}), ("1.0.1", change)) == "1.0.1"


def test_a_person_lets_a_difference_pass(world: World) -> None:
    accepted = 'abi_accepted = { "1.0.1" = "nobody has called it for years" }\n'
    change = {"thing.c": "thing_clear -> thing_reset"}
    assert committed(world, ("1.0.0", {}), ("1.0.1", change), ("1.0.2", change), accepted=accepted) == "1.0.1"
    assert "accepted: nobody has called it for years" in git(world.repository, "log", "-1", "--format=%b")


def test_a_description_that_vanishes_is_held_back(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    assert committed(world, ("1.0.0", {}), ("1.0.1", None)) == "1.0.0"
    assert "1.0.0 has Doc/thing.abi, this archive does not" in " ".join(capsys.readouterr().out.split())


def test_a_description_that_was_cut_off_is_held_back(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    assert committed(world, ("1.0.0", {}), ("1.0.1", {"cut": ""})) == "1.0.0"
    assert "its ABI is not compared: abidiff ended with status" in " ".join(capsys.readouterr().out.split())


def test_where_there_was_no_description_nothing_is_compared(world: World) -> None:
    assert committed(world, ("1.0.0", None), ("1.0.1", {})) == "1.0.1"
    assert "not compared: 1.0.0 has no Doc/thing.abi" in git(world.repository, "log", "-1", "--format=%b")


@pytest.mark.parametrize(("first", "then", "taken"), [("1.0.0b4", "1.0.0rc1", True), ("1.0.0rc1", "1.0.0rc2", False)])
def test_an_abi_is_frozen_from_the_first_candidate_on(world: World, first: str, then: str, *, taken: bool) -> None:
    change = {"thing.c": "thing_clear -> thing_reset"}
    assert committed(world, (first, {}), (then, change), first=first) == (then if taken else first)


def test_a_pinned_file_that_is_another_now_is_no_measure(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    project = world.project("thing", "1.0.0", "1.0.1")
    world.rows["thing"] = f'{project.row}abi = "Doc/thing.abi"\n'
    world.commit(pins={"thing": "1.0.0"})
    project.serve("1.0.0", archive({"thing-1.0.0/data": random.Random(0).randbytes(20_000)}))
    assert native.main(["--dry-run", "--json"], world.repository) == 0
    assert "thing-1.0.0.tar.gz of 1.0.0 is not the pinned file" in capsys.readouterr().out
