"""Which published tags may go: every rule of the retention table, on its own."""

from __future__ import annotations

import datetime

import pytest

import errors
import images
import prune
from prune import Decision, Pin

CATALOGUE = images.load()
TODAY = datetime.date(2026, 11, 21)
IMAGE, OTHER = "manylinux_2_28_x86_64", "musllinux_1_2_s390x"


def decide(tags: dict[str, dict[str, str]], pins: list[Pin] | None = None) -> dict[str, Decision]:
    decisions, _ = prune.decide(CATALOGUE, tags, pins or [], TODAY)
    return {f"{d.name}:{d.tag}": d for d in decisions}


def going(tags: dict[str, dict[str, str]], pins: list[Pin] | None = None) -> set[str]:
    return {name for name, decision in decide(tags, pins).items() if not decision.keep}


def test_five_years() -> None:
    tags = {IMAGE: {"2021-11-20-abc1234": "a", "2021-11-21-abc1235": "b", "2021.11.20-7": "c", "2026.11.01-1": "d"}}
    assert going(tags) == {f"{IMAGE}:2021-11-20-abc1234", f"{IMAGE}:2021.11.20-7"}


def test_a_leap_day_counts_from_the_28th() -> None:
    assert prune.years_before(datetime.date(2028, 2, 29), 5) == datetime.date(2023, 2, 28)
    assert prune.years_before(datetime.date(2028, 3, 1), 4) == datetime.date(2024, 3, 1)


@pytest.mark.parametrize("tag", ["2021-02-30-abc1234", "nightly", "v1", "20210101-1", "sha256-abcd.sig"])
def test_a_tag_without_a_date_stays_with_a_warning(tag: str) -> None:
    decisions, warnings = prune.decide(CATALOGUE, {IMAGE: {tag: "a"}}, [], TODAY)
    assert [d.keep for d in decisions] == [True]
    assert warnings == [f"{IMAGE}:{tag} stays because its date cannot be read"]


def test_a_tag_kept_for_one_image_is_kept_for_all() -> None:
    tags = {
        IMAGE: {"2020-01-01-aaaaaaa": "a"},
        OTHER: {"2020-01-01-aaaaaaa": "b"},
        "manylinux_2_28": {"2020-01-01-aaaaaaa": "c"},
    }
    assert len(going(tags)) == 3
    assert going(tags, [Pin(IMAGE, "2020-01-01-aaaaaaa", "", "v1.10.0")]) == set()


def test_other_tags_of_a_kept_digest_stay() -> None:
    tags = {IMAGE: {"2020-01-01-aaaaaaa": "same", "latest": "same", "2020-01-02-bbbbbbb": "other"}}
    assert going(tags) == {f"{IMAGE}:2020-01-02-bbbbbbb"}


def test_a_pinned_digest_stays_whatever_its_tag() -> None:
    tags = {IMAGE: {"2020-01-01-aaaaaaa": "sha256:1", "2020-01-02-bbbbbbb": "sha256:2"}}
    pins = [Pin(IMAGE, "2019-01-01-ccccccc", "sha256:2", "v4.1.1")]
    decisions, warnings = prune.decide(CATALOGUE, tags, pins, TODAY)
    assert [d.keep for d in decisions] == [False, True]
    assert warnings == [f"{IMAGE}:2019-01-01-ccccccc is pinned by cibuildwheel v4.1.1 but does not exist"]


def test_the_newest_of_a_retired_policy_stays() -> None:
    tags = {"manylinux1_i686": {"2019-03-01-aaaaaaa": "a", "2019-04-01-bbbbbbb": "b"}}
    assert going(tags) == {"manylinux1_i686:2019-03-01-aaaaaaa"}
    assert (
        decide(tags)["manylinux1_i686:2019-04-01-bbbbbbb"].reason == "the newest of manylinux1_i686, which is retired"
    )


def test_the_newest_by_number_not_by_letter() -> None:
    tags = {"musllinux_1_1": {"2019.04.01-9": "a", "2019.04.01-10": "b"}}
    assert going(tags) == {"musllinux_1_1:2019.04.01-9"}


@pytest.mark.parametrize("tag", ["2021-02-06-3d322a5", "2021-05-01-28d233a", "2025-05-03-cdd80a2", "2025.05.03-1"])
def test_listed_tags_stay(tag: str) -> None:
    decisions, _ = prune.decide(CATALOGUE, {IMAGE: {tag: "a"}}, [], datetime.date(2099, 1, 1))
    assert [d.keep for d in decisions] == [True]
    assert decisions[0].reason.startswith("last with Python")


PINS = """\
[x86_64]
manylinux1 = quay.io/pypa/manylinux1_x86_64:2024-04-29-76807b8
manylinux_2_28 = quay.io/pypa/manylinux_2_28_x86_64@sha256:{digest}  # 2026.08.04-1

[pypy_x86_64]
manylinux2010 = pypywheels/manylinux2010-pypy_x86_64:2020-12-11-f1e0e80
"""


def test_both_forms_of_a_pin() -> None:
    digest = "0" * 64
    assert prune.parse_pins(PINS.format(digest=digest), "v9") == [
        Pin("manylinux1_x86_64", "2024-04-29-76807b8", "", "v9"),
        Pin("manylinux_2_28_x86_64", "2026.08.04-1", f"sha256:{digest}", "v9"),
        Pin("manylinux2010-pypy_x86_64", "2020-12-11-f1e0e80", "", "v9"),
    ]


@pytest.mark.parametrize(
    "value",
    ["quay.io/pypa/manylinux1_x86_64", "quay.io/pypa/x@sha256:" + "0" * 64, "quay.io/pypa/x@sha256:12  # 2026.01.01-1"],
)
def test_an_entry_that_cannot_be_read_is_an_error(value: str) -> None:
    with pytest.raises(errors.Failure, match="cannot read manylinux1"):
        prune.parse_pins(f"[x86_64]\nmanylinux1 = {value}\n", "v9")


@pytest.mark.parametrize("text", ["manylinux1 = x:1\n", "[x86_64]\na = x:2021-01-01-a\na = x:2021-01-01-a\n"])
def test_a_list_that_cannot_be_read_is_an_error(text: str) -> None:
    with pytest.raises(errors.Failure, match=r"cibuildwheel v9: "):
        prune.parse_pins(text, "v9")


def test_tags_before_publication_go_with_their_date() -> None:
    tags = {IMAGE: {"candidate-2021.11.20-1": "a", "untested-2021.11.20-1": "b", "candidate-2025.05.03-1": "c"}}
    assert going(tags) == {f"{IMAGE}:candidate-2021.11.20-1", f"{IMAGE}:untested-2021.11.20-1"}


def test_repositories_hold_images_indexes_and_retired_ones() -> None:
    names = prune.repositories(CATALOGUE)
    assert {
        IMAGE,
        "manylinux_2_28",
        "manylinux2014_x86_64-shared",
        "manylinux2014-shared",
        "manylinux1_i686",
        "manylinux1",
    } <= set(names)
    assert len(names) == len(set(names))
    assert "manylinux_2_38_loongarch64" not in names
