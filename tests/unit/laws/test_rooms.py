"""The order of the rooms of scripts/: who imports whom, and what `./build.sh` may need."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest
from tests.support.command_lines import commands

from catalogue.paths import ROOT

SCRIPTS = ROOT / "scripts"
# A room imports only from lines further down; rooms on one line never import each other.
LINES = [
    "build publish update render page watch canary",
    "pictures",
    "smoke explain prove",
    "plan sources",
    "debian",
    "host",
    "engine network",
    "catalogue describe",
    "doctor",
    "portable",
]
LEVEL = {room: level for level, line in enumerate(reversed(LINES)) for room in line.split()}
# What may run where nothing is installed.
BUILDING = ["list", "matrix", "groups", "build", "many", "bootstrap", "clang", "smoke", "prefetch"]


def run(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, *words], cwd=ROOT, capture_output=True, text=True)


def test_every_room_has_its_line() -> None:
    assert {path.parent.name for path in SCRIPTS.glob("*/__init__.py")} == set(LEVEL)
    assert [path.name for path in SCRIPTS.glob("*.py")] == ["__main__.py"]


def test_a_room_imports_only_from_lines_further_down() -> None:
    wrong = []
    for path in SCRIPTS.glob("*/*.py"):
        room = path.parent.name
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            names += [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            for other in {name.partition(".")[0] for name in names} - {room}:
                if LEVEL.get(other, -1) >= LEVEL[room]:
                    wrong.append(f"{room}/{path.name} imports {other}")
    assert wrong == []


@pytest.mark.parametrize("command", BUILDING)
def test_what_builds_need_is_the_standard_library(command: str) -> None:
    done = run("-S", "scripts", command, "--help")  # -S leaves out what is installed
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("usage: ")


def test_the_list_of_commands() -> None:
    shown = run("-S", "scripts", "--help")
    assert (shown.returncode, shown.stderr) == (0, "")
    assert all(f"\n  {name} " in shown.stdout for name in commands())
    for words, near in ((["biuld"], "did you mean build"), (["update"], "update native"), (["update", "x"], "update")):
        wrong = run("scripts", *words)
        assert (wrong.returncode, wrong.stdout) == (2, "")
        assert near in wrong.stderr
    assert run("scripts").returncode == 2


@pytest.mark.parametrize("command", sorted(commands() - {"dev"}))
def test_every_command_has_help(command: str) -> None:
    done = run("scripts", *command.split(), "--help")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith((f"usage: scripts {command} ", "usage: ./build.sh "))


@pytest.mark.parametrize(
    "path",
    [path for path in sorted((ROOT / "tests/benchmarks").glob("*.py")) if '__name__ == "__main__"' in path.read_text()],
    ids=lambda path: path.stem,
)
def test_every_benchmark_starts_by_itself(path: Path) -> None:
    done = run(str(path), "--help")
    assert (done.returncode, done.stderr) == (0, "")


def test_what_tests_share_is_in_tests_support() -> None:
    """A test module that another imports cannot be moved, renamed or run by itself."""
    sharing = re.compile(r"^ *(?:from|import) tests\.(?:unit|integration)\b", re.MULTILINE)
    files = [path for path in (ROOT / "tests").rglob("*.py") if sharing.search(path.read_text(encoding="utf-8"))]
    assert files == []
