"""Commits of the updaters: the user's git decides, and the repository is whole at every moment."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.support import servers
from tests.support.repositories import git
from tests.support.upstreams import ROOT, World

from catalogue import checkout
from host.apt import MIRROR_VARIABLE
from portable import errors, files
from update import commits, native, sightings
from update.commits import Change

KILLS = 100


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    path = tmp_path / "repository"
    path.mkdir()
    git(path, "init", "--quiet", "--initial-branch=main")
    git(path, "config", "user.name", "Tester")
    git(path, "config", "user.email", "tester@example.org")
    (path / "pins").write_text("a 1\n", encoding="utf-8")
    (path / "other").write_text("other\n", encoding="utf-8")
    git(path, "add", ".")
    git(path, "commit", "--quiet", "--message", "Start")
    return path


def commit(repository: Path, text: str = "a 2\n") -> str:
    with commits.writer(repository) as writer:
        return writer.commit(Change("Bump a 1 → 2", "Why: because\n", {"pins": text}))


def hook(repository: Path, name: str, script: str) -> None:
    path = repository / ".git" / "hooks" / name
    path.parent.mkdir(exist_ok=True)
    path.write_text(f"#!/bin/sh\n{script}\n", encoding="utf-8")
    path.chmod(0o755)


def nothing_left(repository: Path) -> bool:
    """Whether neither our work trees nor anything git knows about them is there any more."""
    return list((repository / ".git").glob("manylinux-update-*")) == [] and not (repository / ".git/worktrees").exists()


def untouched(repository: Path, head: str) -> bool:
    return (
        git(repository, "rev-parse", "HEAD") == head
        and git(repository, "status", "--porcelain") == ""
        and nothing_left(repository)
        and (repository / "pins").read_text() == "a 1\n"
    )


def test_a_commit_holds_the_change_and_nothing_else(repository: Path) -> None:
    (repository / "untracked").write_text("mine\n", encoding="utf-8")
    made = commit(repository)
    assert git(repository, "rev-parse", "main") == made
    assert (repository / "pins").read_text() == "a 2\n"
    assert git(repository, "show", "--format=%s%n%b", "--name-only").split("\n") == [
        "Bump a 1 → 2",
        "Why: because",
        "",
        "",
        "pins",
    ]
    assert git(repository, "status", "--porcelain") == "?? untracked"
    assert nothing_left(repository)


def test_changes_of_the_user_are_refused(repository: Path) -> None:
    (repository / "other").write_text("mine\n", encoding="utf-8")
    with pytest.raises(errors.UserError, match=r"the work tree has changes \(other\)"):
        commit(repository)
    git(repository, "add", "other")
    with pytest.raises(errors.UserError, match="other"):
        commit(repository)


def test_outside_of_a_repository(tmp_path: Path) -> None:
    with pytest.raises(errors.UserError, match="not a git repository with a commit"):
        commits.require_clean(tmp_path)


@pytest.mark.parametrize("name", ["pre-commit", "commit-msg"])
def test_a_hook_that_refuses_leaves_everything_as_it_was(repository: Path, name: str) -> None:
    hook(repository, name, "echo 'not on a Friday' >&2; exit 1")
    head = git(repository, "rev-parse", "HEAD")
    with pytest.raises(errors.Failure) as caught:
        commit(repository)
    assert str(caught.value) == 'git refused "Bump a 1 → 2": not on a Friday'
    assert untouched(repository, head)


def test_a_hook_sees_the_change(repository: Path) -> None:
    hook(repository, "pre-commit", "test \"$(cat pins)\" = 'a 2' && touch $(git rev-parse --git-common-dir)/ran")
    commit(repository)
    assert (repository / ".git" / "ran").exists()


def test_signing_that_fails_leaves_everything_as_it_was(repository: Path) -> None:
    """`git commit` signs as the user configured it; GitPython's own commit would not."""
    git(repository, "config", "commit.gpgsign", "true")
    git(repository, "config", "gpg.program", "/bin/false")
    head = git(repository, "rev-parse", "HEAD")
    with pytest.raises(errors.Failure, match=r"(?i)gpg failed to sign"):
        commit(repository)
    assert untouched(repository, head)


def test_a_refusal_does_not_stop_the_next(repository: Path) -> None:
    hook(repository, "commit-msg", '! grep -q refuse "$1"')
    with commits.writer(repository) as writer:
        with pytest.raises(errors.Failure):
            writer.commit(Change("refuse me", "", {"pins": "b\n"}))
        assert writer.read("pins") == "a 1\n"
        writer.commit(Change("take me", "", {"pins": "a 2\n"}))
    assert git(repository, "log", "-1", "--format=%s") == "take me"


def test_what_the_user_commits_meanwhile_is_not_lost(repository: Path) -> None:
    with commits.writer(repository) as writer:
        (repository / "other").write_text("mine\n", encoding="utf-8")
        git(repository, "commit", "--quiet", "--all", "--message", "Mine")
        with pytest.raises(errors.Failure, match="git refused"):
            writer.commit(Change("Bump a 1 → 2", "", {"pins": "a 2\n"}))
    assert git(repository, "log", "-1", "--format=%s") == "Mine"
    assert git(repository, "status", "--porcelain") == ""


def test_the_rest_of_a_killed_run_is_tidied_away(repository: Path) -> None:
    stale = repository / ".git" / "manylinux-update-x"
    git(repository, "worktree", "add", "--quiet", "--detach", str(stale))
    (repository / ".git" / "manylinux-update-y").mkdir()
    running = repository / ".git" / "manylinux-update-z"
    running.mkdir()
    with files.locked(running):
        commit(repository)
    assert [path.name for path in (repository / ".git").glob("manylinux-update-*")] == [running.name]


def test_half_a_work_tree_is_tidied_away(repository: Path) -> None:
    """As a machine that stopped in `git worktree add` leaves it: locked, and at no commit. git fsck and git gc fail."""
    stale = repository / ".git" / "manylinux-update-x"
    git(repository, "worktree", "add", "--quiet", "--detach", str(stale))
    known = repository / ".git" / "worktrees" / stale.name
    (known / "locked").write_text("initializing")
    (known / "HEAD").write_text("0" * 40 + "\n")
    shutil.rmtree(stale)
    with pytest.raises(checkout.GitRefused):
        git(repository, "fsck")
    commit(repository)
    git(repository, "fsck", "--strict")
    assert nothing_left(repository)


def test_another_work_tree_of_the_user_is_left_alone(repository: Path, tmp_path: Path) -> None:
    git(repository, "worktree", "add", "--quiet", "--detach", str(tmp_path / "mine"))
    commit(repository)
    assert git(tmp_path / "mine", "status", "--porcelain") == ""
    assert git(repository, "worktree", "list").count("\n") == 1


def test_looking_for_changes_takes_no_lock(repository: Path) -> None:
    """A kill would leave the lock, and git would refuse everything from then on."""
    os.utime(repository / "other", (1, 1))
    index = repository / ".git" / "index"
    before = index.stat().st_ino
    commits.require_clean(repository)
    assert index.stat().st_ino == before
    git(repository, "status")
    assert index.stat().st_ino != before, "an index that needs no refreshing proves nothing"


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    monkeypatch.setenv(MIRROR_VARIABLE, f"http://127.0.0.1:{servers.closed_port()}/debian")
    monkeypatch.setenv(sightings.SEEN_VARIABLE, str(tmp_path / "seen.json"))
    monkeypatch.delenv("GITHUB_STEP_SUMMARY", raising=False)
    with servers.running() as server:
        world = World(tmp_path, server)
        for name in ("alpha", "beta", "gamma", "delta"):
            world.project(name, "1.0.0", "1.1.0")
        world.commit(pins=dict.fromkeys(world.projects, "1.0.0"))
        yield world


def test_a_refused_bump_is_reported_and_the_others_are_made(world: World, capfd: pytest.CaptureFixture[str]) -> None:
    hook(world.repository, "commit-msg", "! grep -q '^Bump beta' \"$1\"")
    assert native.main(["--json"], world.repository) == 1
    report = json.loads(capfd.readouterr().out)
    assert report["commits"] == [f"Bump {name} 1.0.0 → 1.1.0" for name in ("alpha", "gamma", "delta")]
    refused = next(row for row in report["rows"] if row["name"] == "beta")
    assert (refused["state"], "git refused" in refused["reason"]) == ("failed", True)
    assert git(world.repository, "status", "--porcelain") == ""


def test_killed_at_any_moment_the_repository_is_whole(world: World, tmp_path: Path) -> None:
    runs = tmp_path / "runs"
    runs.mkdir()
    seed = str(time.time_ns())
    command = [
        sys.executable,
        str(Path(__file__).parents[1] / "support" / "kill_runs.py"),
        str(world.repository),
        str(runs),
        str(KILLS),
        seed,
    ]
    (tmp_path / "scratch").mkdir()  # whoever is killed leaves his scratch directories
    env = os.environ | {"PYTHONPATH": str(ROOT / "scripts"), "TMPDIR": str(tmp_path / "scratch")}
    done = subprocess.run(command, env=env, stdout=subprocess.PIPE, text=True, check=True)
    killed = json.loads(done.stdout)
    wanted = [f"Bump {name} 1.0.0 → 1.1.0" for name in world.projects]
    assert git(runs / "whole", "log", "--format=%s", "--reverse").splitlines()[1:] == wanted
    lengths = set()
    for number, moment in enumerate(killed):
        repository = runs / str(number)
        about = f"seed {seed}, run {number}, killed at {moment}"
        made = git(repository, "log", "--format=%s", "--reverse").splitlines()[1:]
        assert made == wanted[: len(made)], about
        assert git(repository, "status", "--porcelain") == "", about
        assert list((repository / ".git").glob("*.lock")) == [], about
        git(repository, "fsck", "--strict", "--no-dangling")
        lengths.add(len(made))
    assert len(killed) == KILLS
    assert {0, 1, 2, 3} <= lengths, "the kills must have hit between the commits"
    for number in range(10):
        repository = runs / str(number)
        assert native.main([], repository) == 0
        assert git(repository, "log", "--format=%s", "--reverse").splitlines()[1:] == wanted
        assert nothing_left(repository)
