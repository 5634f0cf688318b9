"""What becomes of abidiff's answer, whatever it is. tests/integration/test_abi.py runs the real program."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.support.programs import program

from update import abi

REPORT = """\
Leaf changes summary: 1 artifact changed
Changed leaf types summary: 0 leaf type changed
Removed/Changed/Added functions summary: 1 Removed, 0 Changed, 0 Added function

1 Removed function:

  [D] 'function void PyDict_Clear(PyObject*)'    {PyDict_Clear}
"""


@pytest.fixture
def abidiff(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory that is the whole PATH, for a stand-in of abidiff."""
    (tmp_path / "report").write_text(REPORT, encoding="utf-8")
    (tmp_path / "bin").mkdir()
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}")
    return tmp_path / "bin" / abi.PROGRAM


def test_no_difference(abidiff: Path) -> None:
    program(abidiff, "exit 0")
    assert abi.differences(b"old", b"new") == []


@pytest.mark.parametrize("status", [4, 12])
def test_a_difference_is_named_without_the_summaries(abidiff: Path, status: int) -> None:
    program(abidiff, f'/bin/cat "{abidiff.parent.parent}/report"; exit {status}')
    assert abi.differences(b"old", b"new") == ["[D] 'function void PyDict_Clear(PyObject*)'    {PyDict_Clear}"]


def test_it_is_told_both_descriptions_and_what_does_not_count(abidiff: Path) -> None:
    program(abidiff, '[[ "$(<"${@: -2:1}")" == old && "$(<"${@: -1}")" == new && "$*" == *--suppressions* ]]')
    assert abi.differences(b"old", b"new") == []


@pytest.mark.parametrize("end", ["exit 0", "exit 1", "exit 3", "exit 5", "exit 127", "kill -ABRT $$"])
def test_a_failure_is_no_verdict(abidiff: Path, end: str) -> None:
    """With status 0 abidiff complains of a description that was cut off. Status 5 is an error beside a difference.
    Version 2.2 aborts where it does not understand a description."""
    program(abidiff, f"echo 'Unknown content type' >&2; {end}")
    with pytest.raises(abi.OtherAbi, match=r"not compared: abidiff ended with status .*Unknown content type"):
        abi.differences(b"old", b"new")


def test_an_endless_comparison_is_no_verdict(abidiff: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program(abidiff, "exec /bin/sleep 60")
    monkeypatch.setattr(abi, "TIME_LIMIT", 0.2)
    with pytest.raises(abi.OtherAbi, match="did not end"):
        abi.differences(b"old", b"new")


@pytest.mark.usefixtures("abidiff")
def test_a_missing_program_is_named_with_its_package() -> None:
    with pytest.raises(abi.OtherAbi, match="apt-get install abigail-tools"):
        abi.differences(b"old", b"new")
