"""In continuous integration only what is listed may be skipped."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from tests import skips

from catalogue import paths

ROOT = paths.ROOT
SKIPPED = """\
import pytest
def test_passes(): pass
@pytest.mark.skipif(True, reason="{reason}")
def test_skipped(): pass
"""


def run(tmp_path: Path, reason: str, *options: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """A run of pytest with one test that passes and one that is skipped."""
    (tmp_path / "tests" / "integration").mkdir(parents=True, exist_ok=True)
    (tmp_path / "tests" / "integration" / "test_x.py").write_text(SKIPPED.format(reason=reason), encoding="utf-8")
    plain = {name: value for name, value in os.environ.items() if name not in ("CI", "GITHUB_ACTIONS")}
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "tests.skips", "-p", "no:cacheprovider", "--rootdir=.", *options],
        cwd=tmp_path,
        env={**plain, "PYTHONPATH": str(ROOT), **environment},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize("options", [(), ("-n", "2")], ids=["alone", "workers"])
def test_a_skip_that_is_not_listed_fails_the_run(tmp_path: Path, options: tuple[str, ...]) -> None:
    done = run(tmp_path, "no time", *options, CI="true")
    assert done.returncode == 1
    assert "test_x.py::test_skipped: no time" in done.stdout
    assert run(tmp_path, "no time", *options).returncode == 0


def test_a_skip_is_allowed_where_the_list_says(tmp_path: Path) -> None:
    reason = "MANYLINUX_TEST_IMAGE is not set"
    assert run(tmp_path, reason, CI="true", GITHUB_ACTIONS="true").returncode == 0
    assert run(tmp_path, reason, CI="true").returncode == 1, ".ci/run sets it"
    assert run(tmp_path, "MANYLINUX_TEST_EMULATED is not set", CI="true").returncode == 1, "of another file"


def test_every_row_is_about_tests_that_there_are() -> None:
    for row in skips.allowed():
        files = list(ROOT.glob(row["tests"]))
        assert files, row
        words = re.split(r"[(|.\\]", row["reason"].strip("("))[0]
        assert any(words in path.read_text(encoding="utf-8") for path in [*files, ROOT / "tests" / "conftest.py"]), row


def test_whoever_writes_a_skip_decides_whether_ci_may_do_it() -> None:
    """By a row of the list, or among what continuous integration always has."""
    undecided, unused = [], set(skips.never())
    given = re.compile(r"""(?:\bskip\(|\breason=)\s*f?"((?:[^"\\]|\\.)+)\"""")
    for path in sorted((ROOT / "tests").rglob("*.py")):
        text = path.read_text(encoding="utf-8")
        if path == Path(__file__) or not re.search(r"\bskip(?:if)?\(", text):
            continue
        file = str(path.relative_to(ROOT))
        for reason in given.findall(text):
            filled = re.sub(r"\{[^}]*\}", "x", reason)
            never = {pattern for pattern in skips.never() if re.fullmatch(pattern, filled)}
            unused -= never
            if not never and not any(skips.may_be_skipped(file, filled, where) for where in skips.PLACES):
                undecided.append(f"{file}: {reason}")
    assert (undecided, unused) == ([], set()), "see tests/allowed_skips.toml"


@pytest.mark.parametrize(
    ("file", "reason"),
    [
        (
            "tests/integration/test_commits.py",
            "no container engine works here: there is neither docker nor podman on PATH",
        ),
        ("tests/integration/test_publish.py", "needs docker-registry: apt-get install docker-registry"),
        ("tests/unit/sources/test_command.py", "needs gpgv: apt-get install gpgv"),
    ],
)
def test_what_every_machine_must_have_is_not_listed(file: str, reason: str) -> None:
    assert not any(skips.may_be_skipped(file, reason, where) for where in ("github", "debian"))


def test_ci_and_the_weekly_job_set_what_the_long_tests_want() -> None:
    ci = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    assert all(f"MANYLINUX_TEST_{name}" in ci for name in ("IMAGE", "EMULATED", "EXPECTATIONS", "MUTATIONS"))
    weekly = (ROOT / ".github" / "workflows" / "weekly.yml").read_text(encoding="utf-8")
    assert "/.ci/run" in weekly and "MANYLINUX_TEST_MUTATIONS=1" in weekly
