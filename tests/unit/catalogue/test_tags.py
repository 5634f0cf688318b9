"""Tags: one grammar, one order, and no day that a calendar lacks."""

from __future__ import annotations

import datetime

import pytest

from catalogue import images, tags


@pytest.mark.parametrize(
    "tag",
    [
        "2026.13.45-0",
        "2026.11.21-0",
        "2026.11.21-01",
        "2026.02.29-1",
        "2026.11.21-",
        "2026.11.21-1\n",
        "2026.11.21-\uff11",
        "\uff12\uff10\uff12\uff16.11.21-1",
        "\u0662\u0660\u0662\u0666.11.21-\u0661",
        "2026-11-21-1",
        "2026.11.21-1-untested",
        "candidate-2026.11.21-1",
        "latest",
        "",
    ],
)
def test_what_is_no_dated_tag(tag: str) -> None:
    assert tags.dated(tag) is None


def test_dated_tags_are_ordered_by_day_and_number() -> None:
    rising = ["2025.12.31-12", "2026.01.01-1", "2026.01.01-2", "2026.01.01-10", "2026.01.02-1"]
    parsed = [found for tag in rising if (found := tags.dated(tag))]
    assert parsed == sorted(parsed) and [str(each) for each in parsed] == rising


@pytest.mark.parametrize(
    ("tag", "day"),
    [
        ("2026.11.21-3", datetime.date(2026, 11, 21)),
        ("candidate-2026.11.21-3", datetime.date(2026, 11, 21)),
        ("untested-2026.11.21-3", datetime.date(2026, 11, 21)),
        ("2021-02-06-3d322a5", datetime.date(2021, 2, 6)),
        ("2021-02-30-3d322a5", None),
        ("2021-02-06-\u0663d322a5", None),
        ("2021-02-06-nightly", None),
    ],
)
def test_the_day_of_a_tag(tag: str, day: datetime.date | None) -> None:
    assert tags.day_of(tag) == day


def test_the_tags_of_the_table_have_a_day() -> None:
    catalogue = images.load(overlay=images.NO_OVERLAY)
    named = [kept.tag for kept in catalogue.retention.keep] + [r.last_tag for r in catalogue.retired.values()]
    assert named and [tag for tag in named if not tags.day_of(tag)] == []
