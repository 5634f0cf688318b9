"""`choose`: which policy serves whom, against the table of images and the figures as they are."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable
from dataclasses import replace
from datetime import date
from typing import Any

import pytest

from catalogue import images
from catalogue.distributions import read_releases
from catalogue.paths import ROOT
from catalogue.versions import version_key
from explain import choose, reach
from portable import errors

CATALOGUE = images.load(overlay=images.NO_OVERLAY)
TABLE = reach.load()
TODAY = date(2026, 11, 26)
Ask = Callable[..., tuple[int, Any]]


@pytest.fixture
def ask(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Ask:
    monkeypatch.setenv("MANYLINUX_IMAGES_OVERLAY", str(images.NO_OVERLAY))

    def run(*arguments: str) -> tuple[int, Any]:
        """Exit status and the parsed answer, or the text where --json is not among the arguments."""
        monkeypatch.setattr(sys, "argv", ["choose", *arguments])
        status = errors.run(choose.main)
        out, err = capsys.readouterr()
        return status, json.loads(out) if "--json" in arguments and out else out + err

    return run


def test_the_newest_policy_that_reaches_so_much(ask: Ask) -> None:
    status, found = ask("--python", ">=3.11", "--platform", "x86_64", "--reach", "99", "--json")
    (answer,) = found["answers"]
    assert (status, found["fits"], answer["policy"], answer["compiler"]) == (
        0,
        True,
        "manylinux_2_28",
        "GCC 14 (gcc-toolset-14)",
    )
    assert (answer["base"], answer["maintained_until"], answer["status"]) == ("AlmaLinux 8", "2029-03-01", "stable")
    assert answer["reaches"] >= 99 > answer["next_newer"]["reaches"]
    assert answer["reaches"] + answer["loses"] == pytest.approx(100)
    assert any("musl are not counted" in caveat for caveat in answer["caveats"])


def test_the_newest_policy_that_runs_on_all_of_them(ask: Ask) -> None:
    status, found = ask("--distribution", "RHEL 8", "--distribution", "Ubuntu 20.04", "--json")
    (answer,) = found["answers"]
    assert (status, answer["policy"], answer["runs_on"]) == (0, "manylinux_2_28", ["RHEL 8", "Ubuntu 20.04"])
    assert answer["next_newer"]["why_not"] == [
        "RHEL 8 has glibc 2.28, and manylinux_2_34 needs 2.34",
        "Ubuntu 20.04 has glibc 2.31, and manylinux_2_34 needs 2.34",
    ]
    _, newer = ask("--distribution", "Debian 13", "--json")
    assert newer["answers"][0]["policy"] == "manylinux_2_41"
    _, both = ask("--distribution", "Debian 13", "--reach", "99", "--json")
    assert both["answers"][0]["policy"] == "manylinux_2_28"


def test_people_read_the_same(ask: Ask) -> None:
    status, text = ask("--reach", "97", "--python", ">=3.11")
    assert (status, text.splitlines()[0]) == (0, "manylinux_2_34: quay.io/pypa/manylinux_2_34_x86_64")
    for line in (
        r"reaches   9\d\.\d\d % of the downloads on x86_64 with Python >=3\.11, loses \d\.\d\d % \([\d,]+ from",
        r"compiler  GCC 14 \(gcc-toolset-14\)",
        r"base      AlmaLinux 9, maintained until 2032-05-31",
        r"status    alpha",
        r"newer     no: manylinux_2_36 reaches",
        r"note      manylinux_2_34 is alpha: .*; the newest stable one is manylinux_2_28",
        r"note      AlmaLinux 9 is compiled for x86-64-v2",
        r"note      Continuous integration makes most downloads",
    ):
        assert re.search(rf"(?m)^  {line}", text), line


@pytest.mark.parametrize(("platform", "warned"), [("x86_64", True), ("aarch64", False)])
def test_the_processor_level_of_a_base_matters_on_x86_64(ask: Ask, platform: str, warned: bool) -> None:
    _, found = ask("--distribution", "RHEL 9", "--platform", platform, "--json")
    assert found["answers"][0]["policy"] == "manylinux_2_34"
    assert any("x86-64-v2" in caveat for caveat in found["answers"][0]["caveats"]) is warned


def test_debian_is_compiled_for_every_x86_64(ask: Ask) -> None:
    _, found = ask("--distribution", "Debian 12", "--json")
    assert found["answers"][0]["policy"] == "manylinux_2_36"
    assert not any("x86-64-v2" in caveat for caveat in found["answers"][0]["caveats"])


def test_where_none_fits_the_answer_says_why_and_which_comes_nearest(ask: Ask) -> None:
    status, text = ask("--platform", "armv7l", "--reach", "99.9")
    assert status == 1
    assert text.startswith("no policy is known to serve all of that on armv7l: manylinux_2_31 comes nearest\n")
    assert re.search(r"(?m)^  manylinux_2_31 reaches \d\d\.\d\d %, not 99\.9 %$", text)
    status, found = ask("--distribution", "Oracle Linux 6", "--distribution", "Debian 12", "--json")
    (answer,) = found["answers"]
    assert (status, found["fits"], answer["policy"]) == (1, False, "manylinux2014")
    assert answer["why_not"] == ["Oracle Linux 6 has glibc 2.12, and manylinux2014 needs 2.17"]
    assert answer["runs_on"] == ["Debian 12"]
    assert answer["caveats"][0].startswith("wheels of manylinux2010, which is retired, run on Oracle Linux 6")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--python", ">=4"], "nothing was counted on x86_64 with Python >=4, but with 2.7, "),
        (["--platform", "loongarch64", "--reach", "50"], "nothing was counted on loongarch64 with Python >=3"),
    ],
)
def test_what_nobody_has_counted_is_said(ask: Ask, arguments: list[str], message: str) -> None:
    status, found = ask(*arguments, "--json")
    assert (status, found["answers"][0]["reaches"], found["answers"][0]["downloads"]) == (1, None, 0)
    assert found["answers"][0]["why_not"][0].startswith(message)


def test_pythons_that_an_image_lacks_are_said(ask: Ask) -> None:
    status, found = ask("--python", "3.6", "--reach", "50", "--json")
    assert status == 0
    caveats = "\n".join(found["answers"][0]["caveats"])
    assert re.search(r"(?m)^\w+_x86_64 has no Python ==3\.6\.\*: it has 3\.8, 3\.9, ", caveats)


def test_musl_has_an_answer_of_its_own(ask: Ask) -> None:
    status, found = ask("--distribution", "Alpine 3.20", "--distribution", "Debian 12", "--json")
    assert (status, [answer["policy"] for answer in found["answers"]]) == (0, ["manylinux_2_36", "musllinux_1_2"])
    assert found["answers"][1]["reaches"] is None
    status, found = ask("--distribution", "Alpine 3.20", "--platform", "riscv64", "--json")
    assert (status, [answer["image"] for answer in found["answers"]]) == (0, ["quay.io/pypa/musllinux_1_2_riscv64"])
    _, found = ask("--distribution", "Alpine 3.20", "--reach", "90", "--json")
    assert [answer["policy"][:9] for answer in found["answers"]] == ["manylinux", "musllinux"]


def test_an_image_that_nobody_publishes_is_said_to_be_one(ask: Ask) -> None:
    status, found = ask("--platform", "loongarch64", "--distribution", "Debian 13", "--json")
    (answer,) = found["answers"]
    assert (status, answer["policy"], answer["published"]) == (0, "manylinux_2_38", False)
    assert "is not published" in answer["caveats"][0]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--reach", "0"], "--reach '0': give a percentage"),
        (["--reach", "101"], "--reach '101': give a percentage"),
        (["--reach", "nan"], "--reach 'nan': give a percentage"),
        (["--reach", "most"], "--reach 'most': give a percentage"),
        (["--platform", "x86_46"], "unknown platform 'x86_46'; did you mean x86_64?"),
        (["--python", "latest"], "--python 'latest': give a specifier"),
        (["--distribution", "Debain 12"], "did you mean Debian 12"),
    ],
)
def test_invalid_usage_is_refused_in_one_line(ask: Ask, arguments: list[str], message: str) -> None:
    status, text = ask(*arguments)
    assert (status, text.count("\n")) == (2, 1)
    assert text.startswith("error: ")
    assert message in text


def test_numbers_and_platforms_are_taken_in_any_usual_spelling(ask: Ask) -> None:
    assert ask("--reach", "99%", "--platform", "arm64", "--json")[1]["platform"] == "aarch64"


def test_a_base_whose_end_has_come_is_said() -> None:
    audience = choose.Audience("x86_64", reach.pythons(">=3.11"), 99, ())
    (selection,) = choose.select(CATALOGUE, TABLE, audience)
    end = selection.chosen.image.policy.eol
    assert not any("not been maintained" in said for said in choose.caveats(selection, CATALOGUE, TABLE, end))
    later = choose.caveats(selection, CATALOGUE, TABLE, end.replace(year=end.year + 1))
    assert later[0].startswith(f"AlmaLinux 8 has not been maintained since {end}")


def test_more_reach_never_gives_a_newer_policy() -> None:
    for platform in TABLE.downloads:
        chosen = []
        for share in (10, 50, 90, 95, 98, 99, 99.9, 100):
            audience = choose.Audience(platform, reach.pythons(">=3.10"), share, ())
            (selection,) = choose.select(CATALOGUE, TABLE, audience)
            chosen.append(version_key(selection.chosen.image.policy.libc_version))
            assert selection.fits is (selection.chosen.share is not None and selection.chosen.share >= share)
        assert chosen == sorted(chosen, reverse=True), platform


def test_what_is_chosen_for_a_release_is_the_newest_that_runs_there() -> None:
    for release in read_releases():
        audience = choose.Audience("x86_64", reach.pythons(">=3.11"), None, (release,))
        (selection,) = choose.select(CATALOGUE, TABLE, audience)
        runs = [each.image for each in selection.candidates if release.runs(each.image.policy)]
        assert selection.fits is bool(runs), release.title
        assert not runs or selection.chosen.image == runs[0], release.title


def test_few_downloads_are_a_rough_figure() -> None:
    few = replace(TABLE, downloads={"x86_64": {"3.12": {"2.28": 50}}})
    (selection,) = choose.select(CATALOGUE, few, choose.Audience("x86_64", reach.pythons("3.12"), 99, ()))
    assert "only 50 downloads were counted: the share is a rough one" in choose.caveats(
        selection, CATALOGUE, few, TODAY
    )


def test_every_key_of_the_json_is_documented(ask: Ask) -> None:
    text = (ROOT / "docs" / "choose.md").read_text(encoding="utf-8")
    _, found = ask("--reach", "99", "--json")
    keys = {*found, *found["counted"], *found["answers"][0], *found["answers"][0]["next_newer"]}
    assert {key for key in keys if f"`{key}`" not in text} == set()
    assert f"| `schema` | {found['schema']} |" in text
