"""uv compiles locks from an index on loopback: cool-down, holds, hashes, one commit, and what is left when it fails."""

from __future__ import annotations

import datetime
import hashlib
import json
import threading
import urllib.request
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol

import git
import pytest
import uv
from tests.support import servers

from catalogue import paths
from network import web
from portable import errors
from update import pipeline
from update import python as updater
from update.python import Lock
from update.report import State

DEMO = Lock(Path("requirements/demo.txt"), Path("requirements/demo.in"), "3.11", universal=True)
MINOR = Lock(Path("requirements/minor/3.9.txt"), Path("requirements/demo.in"), "3.9", universal=False)
WRITE = pipeline.Options(dry_run=False, json=True, allow_unreachable=False, only=(), no_cooldown=())
DRY = replace(WRITE, dry_run=True)


class Run(Protocol):
    """Runs the session for some locks; returns its exit status and its report."""

    def __call__(self, root: Path, locks: list[Lock], options: pipeline.Options) -> tuple[int, dict[str, Any]]: ...


@pytest.fixture
def run(capfd: pytest.CaptureFixture[str]) -> Run:
    def run(root: Path, locks: list[Lock], options: pipeline.Options) -> tuple[int, dict[str, Any]]:
        status = updater.run(root, locks, options)
        return status, json.loads(capfd.readouterr().out)

    return run


def release(name: str, version: str, *, days: int, requires: str = "") -> dict[str, object]:
    """One wheel of PEP 691's index pages, published that many days ago. Its metadata stand beside it (PEP 658)."""
    time = datetime.datetime.now(datetime.UTC) - datetime.timedelta(days=days)
    return {
        "filename": f"{name}-{version}-py3-none-any.whl",
        "url": f"/files/{name}-{version}-py3-none-any.whl",
        "hashes": {"sha256": hashlib.sha256(f"{name} {version}".encode()).hexdigest()},
        "upload-time": time.strftime("%Y-%m-%dT%H:%M:%SZ"),
        "requires-python": requires,
        "core-metadata": True,
    }


def publish(index: servers.Server, name: str, *releases: dict[str, object], needs: str = "") -> None:
    """Puts a package on the index; all its releases need the same."""
    page = {"meta": {"api-version": "1.1"}, "name": name, "files": list(releases)}
    index.routes[f"/simple/{name}/"] = servers.good(
        json.dumps(page).encode(), content_type="application/vnd.pypi.simple.v1+json"
    )
    for row in releases:
        version = str(row["filename"]).split("-")[1]
        text = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n" + (
            f"Requires-Dist: {needs}\n" if needs else ""
        )
        index.routes[f"{row['url']}.metadata"] = servers.good(text.encode(), content_type="text/plain")


@pytest.fixture
def index(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[servers.Server]:
    with servers.running() as server:
        for name in ("UV_INDEX", "UV_EXTRA_INDEX_URL", "UV_INDEX_URL", "UV_FIND_LINKS", "UV_CONFIG_FILE"):
            monkeypatch.delenv(name, raising=False)
        monkeypatch.setenv("UV_DEFAULT_INDEX", server.url("/simple"))
        monkeypatch.setenv("UV_NO_CONFIG", "1")
        monkeypatch.setenv("UV_CACHE_DIR", str(tmp_path / "uv"))
        monkeypatch.setenv("UV_HTTP_RETRIES", "0")
        yield server


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A repository whose demo.in asks for one package."""
    path = tmp_path / "repository"
    (path / "requirements" / "minor").mkdir(parents=True)
    (path / "requirements" / "demo.in").write_text("demo\n", encoding="utf-8")
    repo = git.Repo.init(path)
    with repo.config_writer() as config:
        config.set_value("user", "name", "Somebody")
        config.set_value("user", "email", "somebody@example.org")
    repo.git.add("--all")
    repo.git.commit("-m", "begin")
    return path


def test_a_release_must_have_been_there_for_a_while(index: servers.Server, root: Path) -> None:
    publish(index, "demo", release("demo", "1.0", days=30), release("demo", "2.0", days=2))
    digest = hashlib.sha256(b"demo 1.0").hexdigest()
    text = updater.compile_lock(DEMO, root)
    assert text == (
        "# Compiled from requirements/demo.in by `nox -s update_python_dependencies`.\n"
        f"demo==1.0 \\\n    --hash=sha256:{digest}\n"
    )
    assert updater.versions(updater.compile_lock(DEMO, root, ["demo"])) == {"demo": "2.0"}


def test_a_hold_of_the_table_is_kept(index: servers.Server, root: Path) -> None:
    publish(index, "demo", release("demo", "1.0", days=30), release("demo", "2.0", days=20))
    held = replace(DEMO, constraint="demo<2", reason="2.0 eats files")
    text = updater.compile_lock(held, root)
    assert updater.versions(text) == {"demo": "1.0"}
    (row,) = updater.compare(held, text, text)
    assert (row.name, row.pinned, row.state, row.reason) == ("demo: demo", "1.0", State.HELD, "demo<2: 2.0 eats files")


def test_a_minor_gets_the_last_release_for_it_and_keeps_markers(index: servers.Server, root: Path) -> None:
    publish(
        index,
        "demo",
        release("demo", "1.0", days=60),
        release("demo", "2.0", days=30, requires=">=3.10"),
        needs="helper; implementation_name != 'graalpy'",
    )
    publish(index, "helper", release("helper", "0.5", days=30))
    text = updater.compile_lock(MINOR, root)
    assert updater.versions(text) == {"demo": "1.0", "helper": "0.5"}
    assert "helper==0.5 ; implementation_name != 'graalpy' \\" in text


def test_one_commit_has_every_lock_and_a_second_run_changes_nothing(
    index: servers.Server, root: Path, run: Run
) -> None:
    publish(index, "demo", release("demo", "1.0", days=30))
    _, report = run(root, [DEMO, MINOR], WRITE)
    assert report["commits"] == ["Bump Python dependencies"]
    publish(index, "demo", release("demo", "1.0", days=30), release("demo", "1.1", days=10), needs="helper")
    publish(index, "helper", release("helper", "0.5", days=30))
    _, report = run(root, [DEMO, MINOR], WRITE)
    moves = [(row["name"], row["pinned"], row["acceptable"], row["reason"]) for row in report["rows"]]
    assert moves == [
        ("demo: demo", "1.0", "1.1", ""),
        ("demo: helper", "", "0.5", "newly needed"),
        ("minor/3.9: demo", "1.0", "1.1", ""),
        ("minor/3.9: helper", "", "0.5", "newly needed"),
    ]
    repo = git.Repo(root)
    assert repo.git.log("-1", "--format=%B").split("\n\n")[1].splitlines() == [
        "demo 1.0 → 1.1 (demo, minor/3.9)",
        "helper - → 0.5 (demo, minor/3.9)",
    ]
    assert repo.git.show("--name-only", "--format=").split() == ["requirements/demo.txt", "requirements/minor/3.9.txt"]
    assert not repo.is_dirty(untracked_files=True)
    head = repo.head.commit.hexsha
    status, again = run(root, [DEMO, MINOR], WRITE)
    assert ({row["state"] for row in again["rows"]}, again["commits"], status) == ({State.CURRENT}, [], 0)
    assert repo.head.commit.hexsha == head


def test_a_dry_run_changes_nothing_and_needs_no_clean_tree(index: servers.Server, root: Path, run: Run) -> None:
    publish(index, "demo", release("demo", "1.0", days=30))
    (root / "requirements" / "demo.in").write_text("demo # changed\n", encoding="utf-8")
    status, report = run(root, [DEMO], DRY)
    assert (status, [row["state"] for row in report["rows"]]) == (0, [State.UPDATE])
    assert not (root / DEMO.path).exists()
    with pytest.raises(errors.UserError, match=r"requirements/demo\.in"):
        run(root, [DEMO], WRITE)


def test_one_lock_that_fails_keeps_the_others_back(index: servers.Server, root: Path, run: Run) -> None:
    publish(index, "demo", release("demo", "1.0", days=30))
    (root / "requirements" / "other.in").write_text("demo>1\n", encoding="utf-8")
    git.Repo(root).git.add("--all")
    git.Repo(root).git.commit("-m", "other")
    other = Lock(Path("requirements/other.txt"), Path("requirements/other.in"), "3.11", universal=True)
    status, report = run(root, [DEMO, other], WRITE)
    assert [row["state"] for row in report["rows"]] == [State.UPDATE, State.FAILED]
    assert "demo>1" in report["rows"][1]["reason"]
    assert (status, report["commits"]) == (1, [])
    assert not git.Repo(root).is_dirty(untracked_files=True)


def test_an_index_that_does_not_answer_is_unreachable(index: servers.Server, root: Path, run: Run) -> None:
    index.routes["/simple/demo/"] = servers.status(503)
    with pytest.raises(web.Unreachable, match="Failed to fetch"):
        updater.compile_lock(DEMO, root)
    assert run(root, [DEMO], DRY)[0] == 1
    assert run(root, [DEMO], replace(DRY, allow_unreachable=True))[0] == 0


def test_uv_is_looked_for_once_and_by_no_thread(
    index: servers.Server, root: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish(index, "demo", release("demo", "1.0", days=30))
    asked, program = [], uv.find_uv_bin()

    def find() -> str:
        asked.append(threading.current_thread())
        return program

    monkeypatch.setattr(uv, "find_uv_bin", find)
    updater.uv_program.cache_clear()
    assert run(root, [DEMO, MINOR], DRY)[0] == 0
    assert asked == [threading.main_thread()]


def test_an_unknown_lock_is_wrong_use() -> None:
    with pytest.raises(errors.UserError, match="did you mean tools/uv"):
        updater.main(["--dry-run", "--only", "tools/uw"])


# --- Whose settings count ---------------------------------------------------------------------------------------------

HOSTILE_TOML = """
resolution = "lowest"
prerelease = "allow"
exclude-newer = "2001-01-01T00:00:00Z"
override-dependencies = ["demo==0.1"]
constraint-dependencies = ["demo<1"]
no-binary = true
offline = true
[pip]
resolution = "lowest-direct"
prerelease = "allow"
emit-index-url = true
emit-index-annotation = true
emit-find-links = true
emit-build-options = true
no-emit-package = ["demo"]
strip-extras = false
output-file = "elsewhere.txt"
generate-hashes = false
universal = true
only-binary = [":none:"]
"""


@pytest.mark.parametrize("place", ["user", "named", "project", "variables"])
def test_the_callers_uv_changes_nothing(
    index: servers.Server, root: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, place: str
) -> None:
    publish(index, "demo", *(release("demo", version, days=30) for version in ("0.1", "1.0", "1.1", "2.0rc1")))
    plain = updater.compile_lock(DEMO, root), updater.compile_lock(MINOR, root)
    assert updater.versions(plain[0]) == {"demo": "1.1"}
    monkeypatch.delenv("UV_NO_CONFIG")
    url = index.url("/simple")
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    if place != "variables":
        monkeypatch.delenv("UV_DEFAULT_INDEX")
        user = tmp_path / "config" / "uv" / "uv.toml"
        user.parent.mkdir(parents=True)
        user.write_text(f'index-url = "{url}"\n' + (HOSTILE_TOML if place == "user" else ""))
    if place == "named":
        (tmp_path / "my.toml").write_text(f'index-url = "{url}"\n{HOSTILE_TOML}')
        monkeypatch.setenv("UV_CONFIG_FILE", str(tmp_path / "my.toml"))
    if place == "project":
        text = "[project]\nname = 'x'\nversion = '1'\n" + HOSTILE_TOML.replace("[pip]", "[tool.uv.pip]")
        (root / "pyproject.toml").write_text(
            text.replace('\nresolution = "lowest"', '\n[tool.uv]\nresolution = "lowest"')
        )
        (root / "uv.toml").write_text(HOSTILE_TOML)
    if place == "variables":
        (tmp_path / "limits.txt").write_text("demo==0.1\n")
        for name in ("OVERRIDE", "CONSTRAINT", "BUILD_CONSTRAINT", "EXCLUDE"):
            monkeypatch.setenv(f"UV_{name}", str(tmp_path / "limits.txt"))
        for name, value in (
            ("RESOLUTION", "lowest"),
            ("PRERELEASE", "allow"),
            ("EXCLUDE_NEWER", "2001-01-01"),
            ("CUSTOM_COMPILE_COMMAND", "make"),
            ("OFFLINE", "1"),
            ("NO_BINARY", "1"),
            ("PROJECT", str(tmp_path)),
            ("WORKING_DIR", str(tmp_path)),
            ("INDEX_STRATEGY", "unsafe-best-match"),
            ("FORK_STRATEGY", "requires-python"),
            ("PYTHON", "3.99"),
            ("TORCH_BACKEND", "cpu"),
        ):
            monkeypatch.setenv(f"UV_{name}", value)
        monkeypatch.setenv("PYTHONHOME", str(tmp_path))
    assert (updater.compile_lock(DEMO, root), updater.compile_lock(MINOR, root)) == plain
    assert not list(root.rglob("elsewhere.txt"))


def test_an_index_that_only_pip_is_told_of_counts(
    index: servers.Server, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish(index, "demo", release("demo", "1.0", days=30))
    monkeypatch.delenv("UV_DEFAULT_INDEX")
    monkeypatch.setenv("PIP_INDEX_URL", index.url("/simple"))
    assert updater.versions(updater.compile_lock(DEMO, root)) == {"demo": "1.0"}


def test_no_source_package_is_built(index: servers.Server, root: Path) -> None:
    """Its code would run here, with the tokens of a run that commits."""
    row = release("demo", "2.0", days=30)
    source = {**row, "filename": "demo-2.0.tar.gz", "url": "/files/demo-2.0.tar.gz", "core-metadata": False}
    publish(index, "demo", release("demo", "1.0", days=60))
    page = json.loads(index_page(index, "demo"))
    page["files"].append(source)
    index.routes["/simple/demo/"] = servers.good(
        json.dumps(page).encode(), content_type="application/vnd.pypi.simple.v1+json"
    )
    assert updater.versions(updater.compile_lock(DEMO, root)) == {"demo": "1.0"}
    assert index.asked("/files/demo-2.0.tar.gz") == 0


def index_page(index: servers.Server, name: str) -> bytes:
    """What the index says of a package."""
    with urllib.request.urlopen(index.url(f"/simple/{name}/")) as answer:
        body: bytes = answer.read()
    return body


# --- What is refused --------------------------------------------------------------------------------------------------


def commit_lock(root: Path, text: str) -> None:
    (root / DEMO.path).write_text(text, encoding="utf-8")
    git.Repo(root).git.add("--all")
    git.Repo(root).git.commit("-m", "lock")


def test_nothing_goes_down(index: servers.Server, root: Path, run: Run) -> None:
    publish(index, "demo", release("demo", "1.0", days=60), release("demo", "1.1", days=30))
    commit_lock(root, updater.compile_lock(DEMO, root))
    publish(index, "demo", release("demo", "1.0", days=60))
    status, report = run(root, [DEMO, MINOR], WRITE)
    (row, _) = report["rows"]
    assert (status, report["commits"], row["state"], row["pinned"]) == (1, [], State.FAILED, "1.1")
    assert row["reason"].startswith("it would go down to 1.0: to accept that")
    held = replace(DEMO, constraint="demo<1.1", reason="1.1 eats files")
    status, report = run(root, [held], WRITE)
    assert (status, report["commits"]) == (0, ["Bump Python dependencies"]), "the table says so"


def test_what_was_taken_before_its_cool_down_was_over_stays(index: servers.Server, root: Path, run: Run) -> None:
    publish(index, "demo", release("demo", "1.0", days=60), release("demo", "1.1", days=3), needs="helper")
    publish(index, "helper", release("helper", "0.5", days=30))
    assert run(root, [DEMO], replace(WRITE, no_cooldown=("demo",)))[0] == 0
    newest = (release("demo", "1.0", days=60), release("demo", "1.1", days=3), release("demo", "1.2", days=2))
    publish(index, "demo", *newest, needs="helper")
    publish(index, "helper", release("helper", "0.5", days=60), release("helper", "0.6", days=20))
    assert run(root, [DEMO], WRITE)[0] == 0
    assert updater.versions((root / DEMO.path).read_text()) == {"demo": "1.1", "helper": "0.6"}


def test_a_requirement_does_not_vanish(index: servers.Server, root: Path, run: Run) -> None:
    """A marker can be false for one Python; what was there before has to stay, and what has none always."""
    (root / "requirements" / "demo.in").write_text("demo\nhelper; python_version < '3.0' # never\n", encoding="utf-8")
    publish(index, "demo", release("demo", "1.0", days=60))
    publish(index, "helper", release("helper", "0.5", days=60))
    digest = hashlib.sha256(b"x").hexdigest()
    commit_lock(root, f"demo==1.0 \\\n    --hash=sha256:{digest}\n")
    assert run(root, [DEMO], DRY)[0] == 0
    commit_lock(root, f"demo==1.0 \\\n    --hash=sha256:{digest}\nhelper==0.5 \\\n    --hash=sha256:{digest}\n")
    status, report = run(root, [DEMO], WRITE)
    (row,) = report["rows"]
    assert (status, report["commits"], row["name"], row["state"]) == (1, [], "demo: helper", State.FAILED)
    assert "requirements/demo.in asks for it" in row["reason"]


@pytest.mark.parametrize(
    "text",
    [
        "--index-url https://me:secret@example.org/simple\n",
        "demo==1.0\n",
        "demo==1.0 \\\n",
        "demo @ file:///tmp/demo\n",
        "demo==1.0 \\\n    --hash=md5:00\n",
        f"    --hash=sha256:{'0' * 64}\ndemo\n",
        f"demo==1.0 \\\n    --hash=sha256:{'0' * 64}\n# from https://example.org/simple\n",
    ],
)
def test_what_has_no_place_in_a_lock(text: str) -> None:
    with pytest.raises(errors.Failure, match=r"does not belong in a lock|without hashes"):
        updater._expect_form(text)


def test_every_lock_of_the_project_has_the_form() -> None:
    for path in sorted((paths.ROOT / "requirements").rglob("*.txt")):
        header, _, text = path.read_text(encoding="utf-8").partition("\n")
        assert header.startswith("# Compiled from ")
        updater._expect_form(text)
        assert len(updater.versions(text)) > 0, path
