"""What leaves the images: dates by rule, dates by hand, and where they are said."""

from __future__ import annotations

import datetime
import json
import sys
from pathlib import Path

import pytest

from catalogue import command, dependencies, deprecations, images
from plan.plan import Request, decide
from portable import errors

CATALOGUE = images.load(overlay=images.NO_OVERLAY)
ROWS = dependencies.load()
RULES = {"cpython_grace_months": 6, "base_grace_months": 12}


def parsed(**ends: dict[str, object]) -> dict[str, deprecations.Deprecation]:
    found = deprecations.parse({"rules": RULES, "ends": ends}, "deprecations.toml:", CATALOGUE, ROWS)
    assert [d.ends for d in found] == sorted(d.ends for d in found)
    return {d.name: d for d in found}


def test_rules_count_from_the_end_of_upstreams_support() -> None:
    found = parsed()
    assert found["cp38-cp38"].ends == datetime.date(2025, 4, 7)  # CPython 3.8 ended on 2024-10-07
    assert found["cp38-cp38"].replacement == "cp39-cp39"
    assert found["cp313-cp313t"].replacement == "cp314-cp314t"
    assert found["manylinux2014"].ends == datetime.date(2025, 6, 30)  # CentOS 7 ended on 2024-06-30
    assert found["manylinux2014"].replacement == "manylinux_2_28"
    assert found["manylinux_2_31"].replacement == "manylinux_2_35", "the next that has armv7l"
    assert "pp311-pypy311_pp73" not in found, "nobody knows when PyPy ends"


def test_a_date_by_hand_comes_before_the_rule() -> None:
    end = {"on": datetime.date(2031, 1, 1), "reason": "users asked", "last_tag": "2030.12.01-0"}
    found = parsed(**{"cp38-cp38": end, "swig": end, "musllinux_1_2": end})
    assert found["cp38-cp38"].ends == end["on"]
    assert found["cp38-cp38"].upstream == datetime.date(2024, 10, 7)
    assert (found["swig"].kind, found["swig"].last_tag) == ("tool", "2030.12.01-0")
    assert found["swig"].sentence() == "swig leaves the images on 2031-01-01 (users asked)"


def test_a_fork_reads_the_endings_of_what_it_has(tmp_path: Path) -> None:
    overlay = tmp_path / "overlay.toml"
    overlay.write_text('images = ["musllinux*"]\ninterpreters = ["cp313-cp313"]\n')
    found = deprecations.load(images.load(overlay=overlay), ROWS)
    on_demand = {"pp39-pypy39_pp73", "pp310-pypy310_pp73"}
    assert {d.name for d in found} == {"musllinux_1_2", "cp313-cp313", *on_demand}


@pytest.mark.parametrize(
    ("end", "complaint"),
    [
        ({"cp38-cp83": {}}, "no policy, interpreter or tool is called 'cp38-cp83'; did you mean cp38-cp38"),
        ({"cp38-cp38": {"replacement": "cp39"}}, "ends.cp38-cp38: no policy, interpreter or tool is called 'cp39'"),
    ],
)
def test_names_that_do_not_exist_are_refused(end: dict[str, dict[str, object]], complaint: str) -> None:
    rest = {"on": datetime.date(2031, 1, 1), "reason": "users asked"}
    with pytest.raises(errors.UserError, match=complaint):
        parsed(**{name: rest | keys for name, keys in end.items()})


@pytest.mark.parametrize(
    ("day", "months", "later"),
    [("2024-10-31", 36, "2027-10-31"), ("2024-08-31", 6, "2025-02-28"), ("2023-12-31", 2, "2024-02-29")],
)
def test_months_later(day: str, months: int, later: str) -> None:
    assert deprecations.months_later(datetime.date.fromisoformat(day), months).isoformat() == later


def test_the_label_of_an_image_is_the_day_of_its_policy(tmp_path: Path) -> None:
    days = {d.name: d.ends.isoformat() for d in deprecations.load(CATALOGUE, ROWS)}
    for image in CATALOGUE.all_images:
        assert decide(image, Request()).labels["org.pypa.manylinux.ends"] == days[image.policy.name]
    table = tmp_path / "deprecations.toml"
    table.write_text(
        "rules = { cpython_grace_months = 6, base_grace_months = 12 }\n"
        '[ends.manylinux2014]\non = 2029-01-01\nreason = "x"\n'
    )
    assert deprecations.end_of(CATALOGUE.policies["manylinux2014"], table) == datetime.date(2029, 1, 1)


def test_list_says_what_ends(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(sys, "argv", ["list", "--ends", "--json"])
    command.list_images()
    rows = {row["name"]: row for row in json.loads(capsys.readouterr().out)}
    assert rows["cp38-cp38"]["upstream"] == "2024-10-07"
    monkeypatch.setattr(sys, "argv", ["list", "--ends"])
    command.list_images()
    assert f"cp38-cp38 leaves the images on {rows['cp38-cp38']['ends']} (" in capsys.readouterr().out


def test_list_names_a_policy_only_in_its_last_year(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    end = deprecations.end_of(CATALOGUE.policies["manylinux2014"])

    monkeypatch.setattr(sys, "argv", ["list"])
    for days, said in ((300, True), (400, False)):
        today = end - datetime.timedelta(days=days)
        monkeypatch.setattr(command, "today", lambda today=today: today)
        command.list_images()
        found = capsys.readouterr()
        assert ("manylinux2014 leaves the images on" in found.err) is said
        assert "leaves" not in found.out
