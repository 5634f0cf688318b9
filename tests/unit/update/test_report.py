"""The report that all updaters share, and the pipeline that fills it."""

from __future__ import annotations

import json
import re
import threading
import time
from datetime import date
from pathlib import Path

import pytest

from network import web
from portable import errors
from portable.progress import Progress
from update import pipeline, report
from update.pipeline import Options, Outcome, Subject
from update.report import Commit, Report, Row, State

ROWS = [
    Row("curl", "8.21.0", State.UPDATE, "why", "8.23.0", "8.22.0", 80, "openpgp 27EDEAF2", ("8.23.0: answers 404",)),
    Row("git", "2.54.0", State.CURRENT, newest="2.54.0", acceptable="2.54.0"),
]
BUMP = Commit(
    "Bump curl 8.21.0 → 8.22.0",
    "Changelog: https://curl.se/ch/8.22.0.html\nCompare: https://github.com/curl/curl/compare/curl-8_21_0...curl-8_22_0\n"
    f"Tarball: https://curl.se/download/curl-8.22.0.tar.xz\nsha256: {'1' * 64}\n\nTrust: openpgp {'F' * 40}",
)
READERS = ("debian/archive", "update/choice", "update/report", "update/sightings")  # of environment variables
LOOK_ONLY = Options(dry_run=True, json=True, allow_unreachable=False, only=(), no_cooldown=())


def test_a_hold_that_nobody_has_looked_at_for_over_a_year_is_named() -> None:
    today = date(2026, 11, 26)
    holds = [("tcl 8.6.15", date(2024, 9, 15), "it did not build"), ("demo<2", date(2025, 11, 26), "2.0 eats files")]
    (note,) = report.old_holds(holds, today)
    assert note.startswith("Hold on tcl 8.6.15: since 2024-09-15 nobody has looked") and "it did not build" in note
    assert len(report.old_holds(holds, date(2026, 11, 27))) == 2
    for text in (Report("Pins", ROWS, [note]).table(200), Report("Pins", ROWS, [note]).markdown()):
        assert "Hold on tcl 8.6.15: since 2024-09-15" in text


def test_the_table_has_a_line_for_each_pin_and_its_reasons_below() -> None:
    lines = Report("Pins", ROWS).table(80).splitlines()
    assert lines[2].split() == ["name", "pinned", "newest", "acceptable", "age", "trust", "state"]
    assert lines[4].split() == ["curl", "8.21.0", "8.23.0", "8.22.0", "80", "d", "openpgp", "27EDEAF2", "update"]
    assert [line.strip() for line in lines[5:7]] == ["why", "passed over 8.23.0: answers 404"]
    assert lines[7].split() == ["git", "2.54.0", "2.54.0", "2.54.0", "current"]
    assert lines[-1] == "2 in all: 1 current, 1 update"


def test_json_has_every_field() -> None:
    document = json.loads(Report("Pins", ROWS, commits=[BUMP]).as_json())
    assert document["rows"][0] == {
        "name": "curl",
        "pinned": "8.21.0",
        "newest": "8.23.0",
        "acceptable": "8.22.0",
        "age_days": 80,
        "trust": "openpgp 27EDEAF2",
        "state": "update",
        "reason": "why",
        "passed_over": ["8.23.0: answers 404"],
        "alarms": [],
        "unreachable": False,
    }
    assert (document["commits"], document["exit_code"]) == ([BUMP.subject], 0)
    assert document["changes"] == [{"subject": BUMP.subject, "body": BUMP.body, "committed": True}]


@pytest.mark.parametrize(("dry_run", "verb"), [(True, "would commit"), (False, "committed")])
def test_a_reviewer_sees_the_whole_commit(dry_run: bool, verb: str) -> None:
    """Subject, addresses, hash and links, in whatever the report is written: it becomes the pull request's text."""
    found = Report("Pins", ROWS, commits=[BUMP], dry_run=dry_run)
    document = json.loads(found.as_json())
    assert document["commits"] == ([] if dry_run else [BUMP.subject])
    assert document["changes"] == [{"subject": BUMP.subject, "body": BUMP.body, "committed": not dry_run}]
    table = [line.strip() for line in found.table(80).splitlines()]
    markdown = found.markdown().splitlines()
    assert f"{verb}: {BUMP.subject}" in table
    assert f"### {verb.capitalize()}: {BUMP.subject}" in markdown
    for line in BUMP.body.splitlines():
        assert not line or f"- {line}" in markdown
        assert all(word in table or any(word in text.split() for text in table) for word in line.split())


LONG = [
    Row(
        "static-clang",
        "22.1.8.1",
        State.NEW_SERIES,
        "https://github.com/mayeut/static-clang-images/a-name-with-hyphens says-with-a-hyphenated-word " * 3,
        "22.1.9.0",
        "22.1.9.0",
        12,
        "sigstore mayeut/static-clang-images",
        ("23.1.0.0: \x1b[2Jhttps://example.org/" + "x" * 150,),
        ("a bad signature",),
    ),
    Row("cpython-3.14", "3.14.7", State.END_OF_LIFE, newest="3.14.10", acceptable="3.14.10", age=100),
]


@pytest.mark.parametrize("width", [*range(60, 100), 120, 200])
@pytest.mark.parametrize("rows", [ROWS, LONG, [Row(f"https://example.org/{'x' * 80}", "1.2.3", State.CURRENT)]])
def test_no_line_is_wider_than_the_terminal(width: int, rows: list[Row]) -> None:
    """But for single words, which are not cut: an address that is cut cannot be followed."""
    notes = ["Releases younger than 7 days were left alone. The locks move together or not at all, as everybody knows."]
    text = Report("Pins", rows, notes, commits=[BUMP]).table(width)
    assert "\x1b" not in text
    for line in text.splitlines():
        assert len(line) <= width or " " not in line.strip(), line
    given = " ".join(text for row in rows for text in (row.name, *row.remarks())) + f" {BUMP.body}"
    for address in set(re.findall(r"https://[!-~]+", given)):
        assert text.count(address) == given.count(address)
    for row in rows:
        assert row.name in text
        assert row.trust in text


def test_the_columns_stay_together_where_they_fit() -> None:
    wide = Report("Pins", LONG).table(200).splitlines()
    assert wide[2].split() == list(report.HEADINGS)
    assert "sigstore mayeut/static-clang-images" in wide[4]
    narrow = Report("Pins", LONG).table(80).splitlines()
    assert narrow[2].split() == [name for name in report.HEADINGS if name != "trust"]
    assert narrow[5] == "    trust: sigstore mayeut/static-clang-images"


def test_what_could_not_be_asked_fails_the_run_whatever_the_state_says() -> None:
    rows = [Row("a", "1", State.UPDATE, unchecked=True)]
    assert (Report("Pins", rows).exit_code, Report("Pins", rows, allow_unreachable=True).exit_code) == (1, 0)
    assert "--allow-unreachable makes them a warning" in Report("Pins", rows).summary()
    assert json.loads(Report("Pins", rows).as_json())["rows"][0]["unreachable"] is True


def test_markdown_is_inert() -> None:
    row = Row("a|b", "1", State.FAILED, "<script>alert(1)</script> @everybody\n| x |")
    text = Report("Pins", [row]).markdown()
    assert "| a&#124;b | 1 |" in text
    assert "<script>" not in text
    assert "@everybody" not in text
    assert sum(line.startswith("|") for line in text.splitlines()) == 3


@pytest.mark.parametrize(
    ("state", "alarms", "allowed", "code"),
    [
        *((state, (), False, 0) for state in State if state not in (State.FAILED, State.UNREACHABLE)),
        (State.FAILED, (), False, 1),
        (State.FAILED, (), True, 1),
        (State.UNREACHABLE, (), False, 1),
        (State.UNREACHABLE, (), True, 0),
        (State.UPDATE, ("bad signature",), True, 1),
    ],
)
def test_the_exit_status(state: State, alarms: tuple[str, ...], allowed: bool, code: int) -> None:
    assert Report("Pins", [Row("a", "1", state, alarms=alarms)], allow_unreachable=allowed).exit_code == code


def test_the_summary_names_the_flag() -> None:
    rows = [Row("a", "1", State.UNREACHABLE)]
    assert "--allow-unreachable" in Report("Pins", rows).summary()
    assert "only a warning: --allow-unreachable" in Report("Pins", rows, allow_unreachable=True).summary()


def test_the_step_summary_is_appended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "summary.md"
    path.write_text("before\n")
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(path))
    Report("Pins", ROWS).publish(as_json=False)
    assert path.read_text().startswith("before\n## Pins\n")


def ask(*subjects: Subject, patience: float = 30) -> list[Row]:
    return [row for outcome in pipeline.ask(subjects, Progress(quiet=True), patience) for row in outcome.rows]


def current(name: str) -> Outcome:
    return Outcome([Row(name, "1", State.CURRENT)])


def test_everything_is_asked_at_the_same_time() -> None:
    meeting = threading.Barrier(20, timeout=10)

    def look() -> Outcome:
        meeting.wait()
        return current("a")

    assert {row.state for row in ask(*[Subject({"a": "1"}, look)] * 20)} == {State.CURRENT}


@pytest.mark.parametrize(
    ("error", "state", "reason"),
    [
        (web.Unreachable("host: silent"), State.UNREACHABLE, "host: silent"),
        (web.Refused("not JSON"), State.FAILED, "not JSON"),
        (web.Missing("404"), State.FAILED, "404"),
        (errors.Failure("no"), State.FAILED, "no"),
        (ZeroDivisionError("oops"), State.FAILED, "internal error: ZeroDivisionError: oops"),
    ],
)
def test_whatever_one_raises_the_others_are_reported(error: Exception, state: State, reason: str) -> None:
    def look() -> Outcome:
        raise error

    rows = ask(Subject({"bad": "1", "worse": "2"}, look), Subject({"good": "1"}, lambda: current("good")))
    assert [(row.name, row.state) for row in rows] == [("bad", state), ("worse", state), ("good", State.CURRENT)]
    assert rows[0].reason == reason


def test_a_look_up_that_hangs_is_left_behind() -> None:
    def look() -> Outcome:
        time.sleep(60)
        return current("slow")

    started = time.monotonic()
    rows = ask(Subject({"slow": "1"}, look), Subject({"good": "1"}, lambda: current("good")), patience=0.5)
    assert [row.state for row in rows] == [State.UNREACHABLE, State.CURRENT]
    assert "no answer within" in rows[0].reason
    assert time.monotonic() - started < 30


def test_a_pin_that_is_not_reached_is_a_failure() -> None:
    rows = ask(Subject({"a": "1", "b": "1"}, lambda: current("a")))
    assert [(row.name, row.state) for row in rows] == [("a", State.FAILED), ("b", State.FAILED)]


def test_the_help_says_what_a_workflow_must_know(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    with pytest.raises(SystemExit) as caught:
        pipeline.parse("Looks for updates.", ["--help"])
    assert caught.value.code == 0
    text = capsys.readouterr().out
    sources = [Path(pipeline.__file__).parents[1].joinpath(f"{name}.py").read_text() for name in READERS]
    asked = {name for source in sources for name in re.findall(r'"((?:MANYLINUX|GITHUB)_[A-Z_]+)"', source)}
    assert {"MANYLINUX_UPDATE_STATE", "GITHUB_API_TOKEN", "MANYLINUX_DEBIAN_KEYRING"} <= asked
    for name in (*asked, "XDG_STATE_HOME", "XDG_CACHE_HOME"):
        assert name in text
    assert re.findall(r"(?m)^  (\d)  ", text) == ["0", "1", "2"]
    assert "take these releases without waiting" in " ".join(text.split())
    assert "warn of hosts that do not answer, instead of failing" in " ".join(text.split())
    assert max(map(len, text.splitlines())) <= 80


def test_unknown_names_are_wrong_use(capsys: pytest.CaptureFixture[str]) -> None:
    subject = Subject({"curl": "1"}, lambda: current("curl"))
    for options in (
        Options(True, False, False, ["crul"], ()),
        Options(True, False, False, (), ["crul"]),
    ):
        with pytest.raises(errors.UserError, match="no pin 'crul'; did you mean curl"):
            pipeline.run("Pins", [subject], options)
    assert capsys.readouterr().out == ""


def test_the_report_goes_to_stdout_alone(capsys: pytest.CaptureFixture[str]) -> None:
    status = pipeline.run("Pins", [Subject({"a": "1"}, lambda: current("a"))], LOOK_ONLY)
    document = json.loads(capsys.readouterr().out)
    assert (status, document["rows"][0]["name"], document["notes"]) == (0, "a", ["Dry run: nothing was changed."])
