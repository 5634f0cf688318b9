"""What becomes of canaries: the comparison with the last time, and the three forms of the results."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from canary.needs import WheelNeeds
from canary.results import CanaryResult, CanaryResults, Fate, compared
from catalogue import images
from page.published import JUnitResults, read_published
from portable import errors

IMAGE = "manylinux_2_28_x86_64"


def needs(tag: str = "cp313-cp313", **versions: str) -> WheelNeeds:
    return WheelNeeds(f"p-1-{tag}.whl", tag, "manylinux_2_17", {"GLIBC": "2.14", **versions}, ("libc.so.6",))


def result(*wheels: WheelNeeds, sha256: str = "a" * 64, name: str = "p") -> CanaryResult:
    return CanaryResult(name, name, "1", sha256, wheels=wheels or (needs(),))


def results(*rows: CanaryResult) -> CanaryResults:
    return CanaryResults(IMAGE, "sha256:" + "1" * 64, "", rows)


def test_more_than_before_is_a_failure_by_name() -> None:
    found = compared(result(needs(GLIBCXX="3.4.32")), result(needs(GLIBCXX="3.4.29")), ())
    assert (found.fate, found.reason) == (Fate.FAILED, "needs more than before: GLIBCXX_3.4.32 (cp313-cp313)")
    found = compared(result(needs(GLIBCXX="3.4.32")), result(needs()), ["GLIBCXX_3.4.32"])
    assert found.fate is Fate.PASSED
    assert found.notes == ("needs more than before, which is accepted: GLIBCXX_3.4.32",)
    assert compared(result(), result(needs(GLIBCXX="3.4.32")), ()).fate is Fate.PASSED  # less is fine


def test_only_wheels_of_one_source_and_interpreter_are_compared() -> None:
    raised = needs(GLIBCXX="3.4.32")
    for before in (None, result(sha256="b" * 64), CanaryResult("p", "p", "1", "a" * 64, Fate.FAILED, "no")):
        found = compared(result(raised), before, ())
        assert found.fate is Fate.PASSED and "nothing to compare with" in found.notes[0]
    found = compared(result(needs(), needs("cp314-cp314", GLIBCXX="3.4.32")), result(), ())
    assert found.fate is Fate.PASSED


def test_the_document_is_read_as_it_was_written() -> None:
    written = results(result(), CanaryResult("q", "quick", "2", "b" * 64, Fate.FAILED, "it broke", 7, (), ("a note",)))
    assert CanaryResults.parse(written.as_json(), "here").as_json() == written.as_json()
    spoils: list[dict[str, Any]] = [{"schema": 2}, {"canaries": [{}]}, {"image": 1}]
    for spoil in spoils:
        with pytest.raises(errors.Failure, match=r"^here"):
            CanaryResults.parse(json.dumps({**json.loads(written.as_json()), **spoil}), "here")
    odd = written.as_json().replace('"fate": "failed"', '"fate": "odd"')
    with pytest.raises(errors.Failure, match="fate does not look like"):
        CanaryResults.parse(odd, "here")


def test_the_page_reads_the_junit(tmp_path: Path) -> None:
    rows = [result(), CanaryResult("rust", "rpds-py", "1", "b" * 64, Fate.UNTRIED, "no crates")]
    rows += [CanaryResult("bad", "bad", "1", "c" * 64, Fate.FAILED, "bell \a and ü"), result(name="excused")]
    (tmp_path / IMAGE).mkdir()
    (tmp_path / IMAGE / "canaries.xml").write_text(results(*rows).junit(), encoding="utf-8")
    assert read_published(tmp_path, images.load())[IMAGE].canaries == JUnitResults(4, ("bad",))


def test_nothing_is_known_of_an_image_without_a_canary_that_passed() -> None:
    rows = [CanaryResult("a", "a", "1", "a" * 64, fate, "why") for fate in (Fate.EXCUSED, Fate.UNTRIED)]
    assert not results(*rows).passed
    assert "no canary passed" in results(*rows).summary()
    assert results(*rows, result()).passed
    failed = results(result(), CanaryResult("a", "a", "1", "a" * 64, Fate.FAILED, "why"))
    assert not failed.passed
    assert failed.summary().splitlines()[-2:] == ["FAILED a: why", f"{IMAGE}: canaries: 1 passed, 1 failed"]
