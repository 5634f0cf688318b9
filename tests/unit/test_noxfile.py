"""The sessions run commands that there are; and what nox makes of their exit status: its own failures are all 1."""

from __future__ import annotations

from pathlib import Path

import noxfile
import pytest
import yaml
from tests.support.command_lines import commands


class Session:
    """As much of nox.Session as a session that runs a script needs."""

    posargs = ("--only", "name")

    def log(self, text: str) -> None:
        pass

    def error(self, reason: str) -> None:
        raise AssertionError(reason)


@pytest.mark.parametrize(
    ("status", "outcome"), [(0, None), (1, AssertionError("update native ended with status 1")), (2, SystemExit(2))]
)
def test_wrong_use_ends_nox_with_its_status(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, status: int, outcome: BaseException | None
) -> None:
    (tmp_path / "scripts").mkdir()
    dev = tmp_path / "scripts" / "dev"
    dev.write_text(f'#!/bin/sh\ntest "$*" = "python scripts update native --only name" && exit {status}\n')
    dev.chmod(0o755)
    monkeypatch.setattr(noxfile, "ROOT", tmp_path)
    caught: BaseException | None = None
    try:
        noxfile.script(Session(), "update", "native")  # type: ignore[arg-type]
    except (AssertionError, SystemExit) as error:
        caught = error
    assert repr(caught) == repr(outcome)


def test_every_session_runs_a_command_that_there_is(monkeypatch: pytest.MonkeyPatch) -> None:
    called: dict[str, set[str]] = {}
    for name, session in vars(noxfile).items():
        if hasattr(session, "tags") and name not in ("lint", "tests"):
            words = called.setdefault("update" if "update" in session.tags else "", set())
            monkeypatch.setattr(noxfile, "script", lambda session, *command, words=words: words.add(" ".join(command)))
            session(None)
    assert called[""] <= commands()
    assert called["update"] == {name for name in commands() if name.startswith("update ")}


@pytest.mark.parametrize(
    ("given", "linters"),
    [
        (["README.md"], ["ruff format", "python scripts"]),
        (["build.sh"], ["shellcheck", "shfmt", "python scripts"]),
        (["noxfile.py", "docs/building.md"], ["ruff check", "ruff format", "mypy", "python scripts"]),
        ([".github/dependabot.yml"], ["python scripts", "yamllint", "check-jsonschema", "zizmor"]),
    ],
)
def test_files_are_shown_to_the_linters_that_are_about_them(
    monkeypatch: pytest.MonkeyPatch, given: list[str], linters: list[str]
) -> None:
    lines: list[str] = []
    monkeypatch.setattr(noxfile, "check", lambda session, command, names: lines.append(command))
    monkeypatch.setattr(Session, "posargs", given)
    noxfile.lint(Session())
    assert len(lines) == len(linters)
    assert all(line.startswith(linter) for line, linter in zip(lines, linters, strict=True))


def test_a_commit_is_checked_by_the_same_linters() -> None:
    hooks = yaml.safe_load((noxfile.ROOT / ".pre-commit-config.yaml").read_text(encoding="utf-8"))["repos"][0]["hooks"]
    assert [hook["entry"] for hook in hooks if "stages" not in hook] == ["./scripts/dev nox -s lint --"]


def test_every_linter_finds_something() -> None:
    every = noxfile.files()
    assert [row for row in noxfile.LINTERS if not any(noxfile.concerns(row[1], name) for name in every)] == []
    assert {"scripts/sources/command.py", "scripts/build/command.py", ".github/workflows/checks.yml"} <= set(every)
