"""What git says of real repositories, whatever the caller's environment and configuration are."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest
from tests.support.repositories import git, repository

from catalogue import checkout, paths, tags
from portable import errors

SCRIPTS = paths.ROOT / "scripts"


def ask(root: Path, question: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """What a process of its own answers, where nothing has tidied the environment up before."""
    code = "import sys, pathlib; from catalogue import checkout; from portable import errors\n"
    code += f"root = pathlib.Path({str(root)!r}); "
    code += f"sys.exit(errors.run(lambda: print(checkout.{question})))"
    return subprocess.run(
        [sys.executable, "-c", code],
        cwd=root,
        env={**os.environ, "PYTHONPATH": str(SCRIPTS), **environment},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return repository(tmp_path / "repository", file="text\n")


# --- The caller's git -----------------------------------------------------------------------------------------


def test_what_git_calls_local_is_dropped() -> None:
    listed = checkout.call("rev-parse", "--local-env-vars").split()
    assert {"GIT_DIR", "GIT_INDEX_FILE", "GIT_WORK_TREE", "GIT_CONFIG_COUNT"} <= set(listed)
    assert checkout.environment(dict.fromkeys(listed, "x")) == {}
    assert checkout.environment({"GIT_NEWS": "x", "HOME": "/", "GIT_SSL_CAINFO": "ca"}) == {
        "HOME": "/",
        "GIT_SSL_CAINFO": "ca",
    }


def test_a_hook_of_another_repository_changes_no_answer(root: Path, tmp_path: Path) -> None:
    other = repository(tmp_path / "other", mine="x")
    hook = {
        "GIT_DIR": str(other / ".git"),
        "GIT_WORK_TREE": str(other),
        "GIT_INDEX_FILE": str(other / ".git" / "index"),
        "GIT_PREFIX": "",
        "GIT_CONFIG_COUNT": "1",
        "GIT_CONFIG_KEY_0": "core.bare",
        "GIT_CONFIG_VALUE_0": "true",
    }
    assert ask(root, "revision(root)", **hook).stdout.strip() == git(root, "rev-parse", "HEAD")


HOSTILE = """
[log]
    showSignature = true
    date = relative
    follow = true
[color]
    ui = always
    status = always
[core]
    pager = false
    quotePath = true
[status]
    short = true
    branch = true
    showUntrackedFiles = no
    relativePaths = true
[format]
    pretty = oneline
[i18n]
    logOutputEncoding = UTF-16
[column]
    ui = always
[tag]
    sort = -creatordate
"""


def test_the_users_configuration_changes_no_answer(root: Path, tmp_path: Path) -> None:
    config, ignored = tmp_path / "gitconfig", tmp_path / "ignored"
    ignored.write_text("*\n", encoding="utf-8")
    config.write_text(f"{HOSTILE}[core]\n    excludesFile = {ignored}\n", encoding="utf-8")
    user = {"GIT_CONFIG_GLOBAL": str(config)}
    assert ask(root, "version_tag(root)", **user).stdout.strip() == checkout.version_tag(root)
    assert ask(root, "revision(root)", **user).stdout.strip() == git(root, "rev-parse", "HEAD")
    (root / "new").touch()
    assert ask(root, "revision(root)", **user).stdout.strip() == git(root, "rev-parse", "HEAD") + "-dirty"


def test_a_tag_beside_a_signature_is_the_tag(root: Path, tmp_path: Path) -> None:
    """`git log` would say what gpg says before each commit."""
    gpg = tmp_path / "gpg"
    gpg.write_text(
        '#!/bin/sh\ncat >/dev/null\necho "[GNUPG:] SIG_CREATED " >&2\n'
        'echo "-----BEGIN PGP SIGNATURE-----"\necho "gpg: Signature made" >&2\n',
        encoding="utf-8",
    )
    gpg.chmod(0o755)
    git(root, "config", "gpg.program", str(gpg))
    git(root, "config", "log.showSignature", "true")
    git(root, "-c", "commit.gpgsign=true", "commit", "--allow-empty", "--message", "signed")
    assert "Signature made" in git(root, "log", "--format=%cd")
    assert tags.dated(checkout.version_tag(root))


def test_one_place_runs_git() -> None:
    """GitPython makes the updaters' commits; what images are tested by (tests/smoke) has none of our modules."""
    files = checkout.call("ls-files", "-z", "--cached", "--others", "--exclude-standard", at=paths.ROOT).split("\0")
    python = [paths.ROOT / name for name in files if name.endswith(".py") and not name.startswith("tests/smoke/")]
    called = re.compile(r"""(?:(?:run|Popen|call|check_\w+)\(\s*|\b(?:command|argv|words) = )\[\s*["']git["'],""")
    texts = {str(path.relative_to(paths.ROOT)): path.read_text(encoding="utf-8") for path in python if path.is_file()}
    assert [name for name, text in texts.items() if called.search(text)] == ["scripts/catalogue/checkout.py"]
    imported = [name for name, text in texts.items() if re.search(r"(?m)^(?:import git\b|from git\b)", text)]
    assert [name for name in imported if name.startswith("scripts/")] == ["scripts/update/commits.py"]


# --- What it refuses ------------------------------------------------------------------------------------------


def test_a_tree_without_a_repository(tmp_path: Path) -> None:
    done = ask(tmp_path, "revision(root)")
    assert done.returncode == 1
    assert "fatal: not a git repository" in done.stderr and "clone the repository" in done.stderr


def test_a_tree_below_another_repository_has_not_its_commit(root: Path) -> None:
    (root / "vendor").mkdir()
    with pytest.raises(checkout.GitRefused, match="not a git repository"):
        checkout.revision(root / "vendor")


def test_a_repository_of_somebody_else(root: Path, tmp_path: Path) -> None:
    """As git refuses it: its own test suite says so by this variable, which needs no second user."""
    program = tmp_path / "bin" / "git"
    program.parent.mkdir()
    real = shutil.which("git")
    program.write_text(
        f'#!/bin/sh\nGIT_TEST_ASSUME_DIFFERENT_OWNER=1 exec "{real}" "$@"\n',
        encoding="utf-8",
    )
    program.chmod(0o755)
    path = {"PATH": f"{program.parent}:{os.environ['PATH']}"}
    for question in ("revision(root)", "version_tag(root)"):
        done = ask(root, question, **path)
        assert done.returncode == 1
        assert "dubious ownership" in done.stderr and "git config --global --add safe.directory" in done.stderr
        assert "Traceback" not in done.stderr


@pytest.mark.parametrize(("path", "said"), [("/nowhere", "git cannot be run"), (None, "Needed a single revision")])
def test_no_git_or_no_commit(tmp_path: Path, path: str | None, said: str) -> None:
    git(tmp_path, "init", "--quiet")
    done = ask(tmp_path, "revision(root)", **({"PATH": path} if path else {}))
    assert (done.returncode, "Traceback" in done.stderr) == (1, False)
    assert said in done.stderr


def test_an_answer_of_another_form_is_refused(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "git"
    program.write_text("#!/bin/sh\necho 'hint: something new'\n", encoding="utf-8")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    for asked in (checkout.commit, checkout.changes):
        with pytest.raises(errors.Failure, match="hint: something new"):
            asked(root)


def runs(pid: int) -> bool:
    try:
        return "State:\tZ" not in Path(f"/proc/{pid}/status").read_text(encoding="utf-8")
    except OSError:
        return False


def test_what_takes_too_long_is_gone_with_all_that_it_started(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "git"
    program.write_text(f"#!/bin/sh\nsleep 300 &\necho $! >{tmp_path}/pid\nwait\n", encoding="utf-8")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    with pytest.raises(TimeoutError, match="git ls-remote: no answer within 3 seconds"):
        checkout.call("ls-remote", seconds=3)
    started = int((tmp_path / "pid").read_text())
    deadline = time.monotonic() + 30
    while runs(started) and time.monotonic() < deadline:  # a busy machine takes a moment to kill it
        time.sleep(0.05)
    assert not runs(started)


# --- The revision ---------------------------------------------------------------------------------------------


def test_whatever_differs_from_the_commit_makes_it_dirty(root: Path) -> None:
    clean = checkout.revision(root)
    assert re.fullmatch("[0-9a-f]{40}", clean)
    (root / "new").touch()
    assert (checkout.revision(root), checkout.changes(root)) == (f"{clean}-dirty", ("new",))
    git(root, "add", "new")
    assert checkout.revision(root) == f"{clean}-dirty"
    git(root, "rm", "--quiet", "--force", "new")
    assert checkout.revision(root) == clean
    (root / "file").write_text("other\n", encoding="utf-8")
    assert checkout.revision(root) == f"{clean}-dirty"
    git(root, "checkout", "--quiet", ".")
    (root / "file").chmod(0o755)
    assert checkout.revision(root) == f"{clean}-dirty"
    (root / "file").chmod(0o644)
    (root / ".gitignore").write_text("made\n", encoding="utf-8")
    git(root, "add", ".gitignore")
    git(root, "commit", "--quiet", "--message", "ignore")
    (root / "made").touch()
    assert checkout.revision(root) == git(root, "rev-parse", "HEAD")


# --- The tag --------------------------------------------------------------------------------------------------


def commit(root: Path, date: str) -> str:
    """Makes a commit of that date; returns the tag that it would be published as, had the time come."""
    git(root, "commit", "--quiet", "--allow-empty", "--message", "x", date=date)
    return checkout.version_tag(root, now=4_000_000_000)


def empty(path: Path) -> Path:
    path.mkdir()
    git(path, "init", "--quiet", "--initial-branch=main")
    return path


def test_it_counts_first_parent_commits_of_the_utc_day(tmp_path: Path) -> None:
    root = empty(tmp_path / "origin")
    commit(root, "2026-11-20T23:30:00-0800")  # already the 21st in UTC
    commit(root, "2026-11-21T10:00:00Z")
    git(root, "checkout", "--quiet", "-b", "side")
    commit(root, "2026-11-21T11:00:00Z")
    git(root, "checkout", "--quiet", "main")
    git(root, "merge", "--quiet", "--no-ff", "--no-edit", "side", date="2026-11-21T12:00:00Z")
    assert checkout.version_tag(root, now=4_000_000_000) == "2026.11.21-3"
    git(tmp_path, "clone", "--quiet", "--depth=1", root.as_uri(), "clone")
    with pytest.raises(errors.Failure, match="git fetch --unshallow"):
        checkout.version_tag(tmp_path / "clone")


def test_no_tag_comes_twice_and_they_grow_although_dates_run_back(tmp_path: Path) -> None:
    root = empty(tmp_path / "repository")
    days = ("20T10", "21T10", "20T23", "21T09", "19T00", "21T11", "22T01", "21T01", "23T00")
    made = [commit(root, f"2026-11-{day}:00:00Z") for day in days]
    assert made == [f"2026.11.{tag}" for tag in "20-1 21-1 21-2 21-3 21-4 21-5 22-1 22-2 23-1".split()]
    parsed = [found for tag in made if (found := tags.dated(tag))]
    assert parsed == sorted(set(parsed)) and len(parsed) == len(made)


def test_a_clock_that_was_wrong_is_refused_and_holds_nothing_up(tmp_path: Path) -> None:
    root = empty(tmp_path / "repository")
    now = 1_795_255_200  # 2026-11-21 10:00 UTC
    commit(root, "2026-11-21T08:00:00Z")
    git(root, "commit", "--quiet", "--allow-empty", "--message", "x", date="2099-01-01T00:00:00Z")
    with pytest.raises(errors.Failure, match=r"HEAD is dated 2099-01-01, in the future: .*git commit --amend"):
        checkout.version_tag(root, now)
    commit(root, "2026-11-21T09:00:00Z")
    assert checkout.version_tag(root, now) == "2026.11.21-3"
    commit(root, "2026-11-22T09:00:00Z")  # by a clock that is a little ahead of ours
    assert checkout.version_tag(root, now) == checkout.version_tag(root, now + 7 * 24 * 3600) == "2026.11.22-1"
    git(root, "commit", "--quiet", "--allow-empty", "--message", "x", date="@99999999999999 +0000")
    with pytest.raises(errors.Failure, match="in the future"):
        checkout.version_tag(root, now)


# --- Whole commands ---------------------------------------------------------------------------------------------------


def hook_of(other: Path) -> dict[str, str]:
    """The environment of a hook of another repository."""
    return {"GIT_DIR": str(other / ".git"), "GIT_INDEX_FILE": str(other / ".git" / "index"), "GIT_PREFIX": ""}


def test_the_tests_write_nothing_into_the_repository_whose_hook_runs_them(tmp_path: Path) -> None:
    """Among them one that makes commits by GitPython, and one that configures its repository."""
    other = repository(tmp_path / "other", mine="x")

    def state() -> dict[str, bytes]:
        return {str(p.relative_to(other)): p.read_bytes() for p in other.rglob("*") if p.is_file()}

    before = state()
    tests = [
        "tests/integration/test_commits.py::test_a_commit_holds_the_change_and_nothing_else",
        "tests/integration/test_prune_registry.py::test_pins_of_every_release",
        "tests/unit/catalogue/test_checkout.py::test_it_counts_first_parent_commits_of_the_utc_day",
    ]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", f"--basetemp={tmp_path / 'base'}", *tests],
        cwd=paths.ROOT,
        env={**os.environ, **hook_of(other)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    assert "3 passed" in done.stdout
    assert state() == before


def test_a_commit_of_ours_goes_where_it_belongs(root: Path, tmp_path: Path) -> None:
    other = repository(tmp_path / "other", file="theirs\n")
    git(root, "config", "user.name", "Tester")
    git(root, "config", "user.email", "tester@example.org")
    code = "import pathlib, sys; from update import commits\n"
    code += "with commits.writer(pathlib.Path(sys.argv[1])) as writer:\n"
    code += "    writer.commit(commits.Change('Move it', '', {'file': 'moved\\n'}))"
    environment = {**os.environ, **hook_of(other), "GIT_WORK_TREE": str(other), "PYTHONPATH": str(SCRIPTS)}
    subprocess.run([sys.executable, "-c", code, str(root)], env=environment, check=True)
    assert git(root, "show", "--format=%s", "--name-only").split() == ["Move", "it", "file"]
    assert git(other, "log", "--format=%s") == "Start"
    assert (git(root, "status", "--porcelain"), git(other, "status", "--porcelain")) == ("", "")


def label(done: subprocess.CompletedProcess[str]) -> str:
    found = re.search(r"org\.opencontainers\.image\.revision=(\S+)", done.stdout)
    return found[1] if found else done.stderr


def test_build_sh_labels_an_image_with_its_own_commit(tmp_path: Path) -> None:
    """A copy without a repository is refused in git's words: an image that nobody can trace is of no use."""
    other = repository(tmp_path / "other", mine="x")

    def build(where: Path) -> subprocess.CompletedProcess[str]:
        environment = {**os.environ, **hook_of(other), "POLICY": "manylinux_2_36", "PLATFORM": "x86_64"}
        return subprocess.run(
            [where / "build.sh", "--print"], env=environment, capture_output=True, text=True, check=False
        )

    assert label(build(paths.ROOT)) == checkout.revision()
    copy = tmp_path / "copy"
    for name, unwanted in (("scripts", "__pycache__"), ("docker", "sources"), ("requirements", "")):
        shutil.copytree(paths.ROOT / name, copy / name, ignore=shutil.ignore_patterns(unwanted))
    shutil.copy(paths.ROOT / "build.sh", copy)
    done = build(copy)
    assert done.returncode == 1
    assert "fatal: not a git repository" in done.stderr and "Traceback" not in done.stderr
    git(copy, "init", "--quiet")
    git(copy, "add", "--all")
    git(copy, "commit", "--quiet", "--message", "x")
    assert label(build(copy)) == git(copy, "rev-parse", "HEAD")
    (copy / "docker" / "rootfs" / "new").touch()
    assert label(build(copy)) == git(copy, "rev-parse", "HEAD") + "-dirty"
