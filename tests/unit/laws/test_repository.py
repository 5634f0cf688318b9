"""What the repository says about itself is true: paths, commands, rendered text, locks, and no fact in two places."""

from __future__ import annotations

import contextlib
import re
import shutil
import stat
from importlib import import_module
from pathlib import Path
from urllib.parse import urlsplit

import noxfile
import pytest
from tests.support.command_lines import build_options, wrong_invocations
from tests.support.repositories import git

from catalogue import checkout, images, paths
from catalogue import pins as native_pins
from catalogue.interpreters import OLDEST_TOOLS_PYTHON
from catalogue.versions import version_key
from debian import archive
from portable import errors
from render import command as render
from sources.wheelhouse import smoke_minors
from update import python as locks

ROOT = paths.ROOT
CATALOGUE = images.load(overlay=images.NO_OVERLAY)
README = (ROOT / "README.md").read_text(encoding="utf-8")
DOCUMENTS = sorted(
    str(path.relative_to(ROOT))
    for path in [
        *ROOT.glob("*.md"),
        *ROOT.glob("docs/**/*.md"),
        *ROOT.glob("docker/**/*.md"),
        *ROOT.glob("scripts/*.md"),
        *ROOT.glob("tests/*.md"),
    ]
)
LOCKS = sorted((ROOT / "requirements").rglob("*.txt"))
FIRST_COMMANDS = ["./build.sh --bootstrap", "./scripts/dev nox -s tests"]


def _tracked() -> list[Path]:
    """The files of the repository, new ones included."""
    names = checkout.call("ls-files", "-z", "--cached", "--others", "--exclude-standard", at=ROOT).split("\0")
    return [path for name in names if name and (path := ROOT / name).is_file()]


def _commands(document: str) -> list[str]:
    """Every command that a document shows: in blocks marked `console`, and in backquotes."""
    text = (ROOT / document).read_text(encoding="utf-8")
    blocks = re.findall(r"```console\n(.*?)```", text, re.DOTALL)
    lines = [line.strip() for block in blocks for line in block.splitlines()]
    return lines + re.findall(r"`([^`\n]+)`", text)


def test_every_file_is_text_that_somebody_can_review() -> None:
    def is_text(path: Path) -> bool:
        try:
            return "\0" not in path.read_text(encoding="utf-8")
        except UnicodeDecodeError:
            return False

    assert [str(path.relative_to(ROOT)) for path in _tracked() if not is_text(path)] == []


# --- What the documents name ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("document", DOCUMENTS)
def test_every_path_that_a_document_names_exists(document: str) -> None:
    text = (ROOT / document).read_text(encoding="utf-8")
    named = re.findall(r"`((?:docker|docs|scripts|requirements|tests|\.ci|\.github)/[^`\s]*)`", text)
    named += re.findall(r"`([\w.-]+\.(?:md|sh|py|toml|yaml|csv))`", text)
    linked = re.findall(r"\]\(([^):#]+)(?:#[^)]*)?\)", text)
    made_by_people = {"docker/images.local.toml", "docker/sources", "docker/sources/lock.json"}
    made_by_people |= {".github/workflows/wheels.yml"}  # of a project that copies docs/example
    beside = (ROOT / document).parent
    missing = [
        name
        for name in named
        if name not in made_by_people
        and not (beside / name).exists()
        and not list(ROOT.glob(re.sub(r"<[\w-]+>", "*", name).rstrip("/")))
    ]
    missing += [name for name in linked if not (beside / name).exists()]
    assert not missing


def test_the_readme_opens_with_the_main_job_and_the_tests() -> None:
    blocks = re.findall(r"```console\n(.*?)```", README, re.DOTALL)
    assert [block.strip() for block in blocks[:2]] == FIRST_COMMANDS


def test_ci_runs_what_the_readme_says() -> None:
    text = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    assert all(command in text for command in FIRST_COMMANDS)


@pytest.mark.parametrize("document", DOCUMENTS)
def test_every_session_and_task_that_a_document_names_exists(document: str) -> None:
    sessions = {name for name in dir(noxfile) if not name.startswith("_")}
    for command in _commands(document):
        if match := re.search(r"\bnox -s ((?:\w+ ?)+)", command):
            assert set(match[1].split()) <= sessions, command
        assert not list(wrong_invocations(command))


@pytest.mark.parametrize("document", DOCUMENTS)
def test_every_option_of_build_sh_that_a_document_names_exists(document: str) -> None:
    for command in _commands(document):
        if "build.sh" in command:
            options = re.findall(r"--[a-z-]+", command.split("build.sh", 1)[1])
            assert set(options) <= build_options(), command


# The last commit before subjects had a limit.
BEFORE_THE_LIMIT = "a10169fa9eb4c729dda61e0a4cbf4bffa4b2c086"


def test_no_subject_of_a_commit_is_longer_than_72_characters() -> None:
    try:
        checkout.call("merge-base", "--is-ancestor", BEFORE_THE_LIMIT, "HEAD", at=ROOT)
        new = [f"{BEFORE_THE_LIMIT}..HEAD"]
    except checkout.GitRefused:
        new = ["-1"]  # a shallow clone
    subjects = checkout.call("log", "--format=%h %s", *new, at=ROOT).splitlines()
    assert [line for line in subjects if len(line.partition(" ")[2]) > 72] == []


# --- Rendered text ----------------------------------------------------------------------------------------------------


def test_rendering_changes_nothing() -> None:
    for path, (before, after) in render.all_files(CATALOGUE).items():
        assert before == after, f"{path}: run `{render.COMMAND}`"


def test_every_policy_is_in_the_documents() -> None:
    for policy in CATALOGUE.policies.values():
        assert all(f"`{tag}`" in README for tag in policy.tags)
    kept = (ROOT / "docs" / "retention.md").read_text(encoding="utf-8")
    assert all(f"`{name}`" in kept and retired.last_tag in kept for name, retired in CATALOGUE.retired.items())


# --- Locks ------------------------------------------------------------------------------------------------------------


def test_there_is_a_lock_for_whatever_uses_one_and_no_other() -> None:
    wanted = {ROOT / lock.path for lock in locks.locks(CATALOGUE, native_pins.read())}
    assert set(LOCKS) == wanted
    assert set((ROOT / "requirements").rglob("*.in")) == {
        ROOT / lock.source for lock in locks.locks(CATALOGUE, native_pins.read())
    }


@pytest.mark.parametrize("path", LOCKS, ids=lambda path: str(path.relative_to(ROOT / "requirements")))
def test_a_lock_has_hashes_and_names_no_index(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    entries = re.split(r"\n(?=\S)", text.split("\n", 1)[1])
    assert entries
    for entry in entries:
        assert re.match(r"[a-z0-9-]+==\S+( ;[^\\\n]+)? \\\n    --hash=sha256:[0-9a-f]{64}", entry), entry[:80]
    assert "://" not in text
    assert "index-url" not in text


@pytest.mark.parametrize("lock", locks.locks(CATALOGUE, native_pins.read()), ids=lambda lock: str(lock.path))
def test_a_lock_has_what_its_source_asks_for(lock: locks.Lock) -> None:
    source = re.sub(r"#.*", "", (ROOT / lock.source).read_text(encoding="utf-8"))
    asked = {re.split(r"[ ;<>=]", line)[0] for line in source.splitlines() if line.strip()}
    assert asked
    assert asked <= set(locks.versions((ROOT / lock.path).read_text(encoding="utf-8")))


def test_held_tools_are_below_their_hold() -> None:
    for tool in CATALOGUE.tools.values():
        if tool.hold:
            text = (ROOT / "requirements" / "tools" / f"{tool.name}.txt").read_text(encoding="utf-8")
            version = locks.versions(text)[tool.name]
            assert version_key(version) < version_key(tool.hold.below)


def test_git_is_driven_by_a_version_that_does_not_pass_on_options() -> None:
    text = (ROOT / "requirements" / "dev.txt").read_text(encoding="utf-8")
    assert version_key(locks.versions(text)["gitpython"]) >= (3, 2, 1)


# --- One place for each fact ------------------------------------------------------------------------------------------


def registry_hosts() -> set[str]:
    """The hosts of the Python index that pip takes by itself, and of this machine's Debian mirrors."""
    index = import_module("pip._internal.models.index").PyPI
    hosts = {index.netloc, index.file_storage_domain}
    with contextlib.suppress(errors.UserError, errors.Failure):  # not a Debian machine
        hosts |= {urlsplit(source.root).hostname or "" for source in archive.find_sources()}
    return {host for host in hosts if "." in host}


def test_no_file_names_a_package_registry_or_the_mirror_of_one_machine() -> None:
    hosts = re.compile("|".join(re.escape(host) for host in registry_hosts()))
    found = []
    for path in _tracked():
        try:
            text = path.read_text(encoding="utf-8")
        except UnicodeDecodeError:
            continue
        if hosts.search(text):
            found.append(str(path.relative_to(ROOT)))
    assert not found


def test_a_stock_machine_runs_the_first_commands_of_the_readme() -> None:
    text = (ROOT / ".ci" / "stock").read_text(encoding="utf-8")
    first, second = FIRST_COMMANDS
    assert f'as_root=("{first}" "{second}")\nas_user=("{second}")\n' in text


def test_what_is_run_can_be_run() -> None:
    wrong = []
    for path in _tracked():
        first = path.read_bytes()[:2]
        executable = bool(path.stat().st_mode & stat.S_IXUSR)
        if executable and first != b"#!":
            wrong.append(f"{path}: executable without an interpreter")
    for name in ("build.sh", "scripts/dev", ".ci/run", ".ci/stock"):
        if not (ROOT / name).stat().st_mode & stat.S_IXUSR:
            wrong.append(f"{name}: not executable")
    assert not wrong


def test_who_installs_a_lock_takes_nothing_else() -> None:
    """A lock is closed: an old pip resolves it anew all the same and wants what was published since."""
    users = []
    for path in _tracked():
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
        if path.suffix in (".md", ".txt") or path == Path(__file__):
            continue
        for number, line in enumerate(lines):
            if "--require-hashes" in line:
                users.append(path)
                statement = lines[max(number - 2, 0) : number + 2]  # it may be broken into several lines
                assert any("--no-deps" in part for part in statement), f"{path}:{number + 1}"
    assert len(users) >= 5


APT_UPDATE = re.compile(r"""apt-get\b[^\n`']*\bupdate\b|\binstaller, [^\n]*"update"|(?:^ *|\$\()apt [^\n]*\bupdate\b""")


def test_an_index_that_apt_cannot_fetch_is_an_error_wherever_we_ask() -> None:
    """apt-get ends with 0 otherwise. Not by --error-on, which an old apt does not know and refuses."""
    callers = set()
    for path in _tracked():
        if path.suffix in (".md", ".txt", ".csv") or path == Path(__file__) or path.name == "stand_in.sh":
            continue
        text = path.read_text(encoding="utf-8", errors="replace")
        assert "--error-" + "on" not in text, path
        for line in text.splitlines():
            if APT_UPDATE.search(line) and "--print-uris" not in line and not re.match(r"\s*(#|\"\"\")", line):
                callers.add(path.relative_to(ROOT).as_posix())
                private = "apt.private_options(" in text or '"APT::Update::Error-Mode": "any"' in text
                settings = private and "*options]" in line
                assert "APT::Update::Error-Mode=any" in line or settings, f"{path}: {line.strip()}"
    assert {".ci/run", "docker/build_scripts/lib/debian.sh", "noxfile.py", "scripts/debian/base.py"} <= callers


def test_the_oldest_tools_python_is_what_the_tools_are_locked_for() -> None:
    universal = [lock for lock in locks.locks(CATALOGUE, native_pins.read()) if lock.universal]
    assert universal
    assert {lock.python for lock in universal} == {OLDEST_TOOLS_PYTHON}


def test_the_wheelhouse_has_a_lock_for_every_minor() -> None:
    assert set(smoke_minors()) == {i.minor for i in CATALOGUE.interpreters.values()}


# --- How git hands the files out --------------------------------------------------------------------------------------


def test_a_clone_has_the_same_bytes_with_autocrlf(tmp_path: Path) -> None:
    """As Git for Windows is set up: carriage returns would break the scripts inside the containers."""
    for name in _tracked():
        target = tmp_path / "origin" / name.relative_to(ROOT)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(name, target)
    git(tmp_path / "origin", "init", "--quiet")
    git(tmp_path / "origin", "add", "--all", "--force")
    git(tmp_path / "origin", "commit", "--quiet", "--message", "x")
    git(tmp_path, "-c", "core.autocrlf=true", "clone", "--quiet", (tmp_path / "origin").as_uri(), "clone")
    same = {
        path: (tmp_path / "clone" / path.relative_to(ROOT)).read_bytes() == path.read_bytes() for path in _tracked()
    }
    assert len(same) > 300 and [path for path, equal in same.items() if not equal] == []
    assert git(tmp_path / "clone", "-c", "core.autocrlf=true", "status", "--porcelain") == ""


def test_what_commands_write_is_folded_in_diffs_and_nothing_else_is() -> None:
    goldens = sorted((ROOT / "tests" / "integration" / "families" / "expected").glob("*.txt"))
    marked = {ROOT / name for name in git(ROOT, "ls-files", ":(attr:linguist-generated)").splitlines()}
    assert goldens and {*LOCKS, *goldens} <= marked
    assert [
        path for path in marked if path.suffix not in (".txt", ".json", ".svg") or path.is_relative_to(ROOT / "docker")
    ] == []
