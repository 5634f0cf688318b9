"""Where CI=true, a run that skips what tests/allowed_skips.toml does not name fails: nothing is left out in silence."""

from __future__ import annotations

import os
import re
import tomllib
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import pytest

LIST = Path(__file__).with_name("allowed_skips.toml")
PLACES = ("github", "debian", "anywhere")


def allowed() -> list[dict[str, str]]:
    """The rows of the list. Raises ValueError for one of another form."""
    rows: list[dict[str, str]] = _read()["skip"]
    for row in rows:
        if set(row) != {"tests", "reason", "where", "why"} or row["where"] not in PLACES:
            raise ValueError(f"{LIST}: {row}")
    return rows


def never() -> list[str]:
    """The reasons, as regular expressions, that continuous integration never has."""
    reasons: list[str] = _read()["never"]
    return reasons


def _read() -> dict[str, Any]:
    return tomllib.loads(LIST.read_text(encoding="utf-8"))


def may_be_skipped(file: str, reason: str, where: str) -> bool:
    """Whether a test of `file` (relative to the repository) may be skipped for that reason at that place."""
    return any(
        fnmatchcase(file, row["tests"]) and re.fullmatch(row["reason"], reason) and row["where"] in (where, "anywhere")
        for row in allowed()
    )


def unexpected(config: pytest.Config) -> list[str]:
    """What a run has skipped and should not have, with the reasons; nothing outside CI and in xdist's workers."""
    reporter: Any = config.pluginmanager.get_plugin("terminalreporter")
    if os.environ.get("CI") != "true" or hasattr(config, "workerinput") or reporter is None:
        return []
    where = "github" if os.environ.get("GITHUB_ACTIONS") == "true" else "debian"
    found = []
    for report in reporter.stats.get("skipped", ()):
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
        reason = " ".join(reason.removeprefix("Skipped: ").split())
        if not may_be_skipped(report.nodeid.partition("::")[0], reason, where):
            found.append(f"{report.nodeid}: {reason}")
    return found


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Makes a run fail that passed otherwise."""
    if unexpected(session.config) and session.exitstatus == pytest.ExitCode.OK:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    """Says why."""
    if found := unexpected(config):
        terminalreporter.section(f"skipped, which {LIST.name} does not allow here", red=True)
        for line in found:
            terminalreporter.write_line(line)
