"""Which published tags may go: every rule of the retention table, on its own."""

from __future__ import annotations

import datetime
from unittest import mock

import pytest

from catalogue import images
from network.registry import NotFound
from portable import errors
from portable.downloads import Kept, KeptLayer
from publish import prune
from publish.cibuildwheel import PinnedImage
from publish.prune import Decision

CATALOGUE = images.load()
TODAY = datetime.date(2026, 11, 21)
IMAGE, OTHER = "manylinux_2_28_x86_64", "musllinux_1_2_s390x"


def with_latest(tags: dict[str, dict[str, str]]) -> dict[str, dict[str, str]]:
    """A `latest` for every repository, which points to something else than the rest."""
    return {name: {"latest": "newest", **having} for name, having in tags.items()}


def decide(tags: dict[str, dict[str, str]], pins: list[PinnedImage] | None = None) -> dict[str, Decision]:
    decisions, _ = prune.decide(CATALOGUE, with_latest(tags), pins or [], TODAY)
    return {f"{d.name}:{d.tag}": d for d in decisions}


def going(tags: dict[str, dict[str, str]], pins: list[PinnedImage] | None = None) -> set[str]:
    return {name for name, decision in decide(tags, pins).items() if not decision.keep}


def test_five_years() -> None:
    tags = {IMAGE: {"2021-11-20-abc1234": "a", "2021-11-21-abc1235": "b", "2021.11.20-7": "c", "2026.11.01-1": "d"}}
    assert going(tags) == {f"{IMAGE}:2021-11-20-abc1234", f"{IMAGE}:2021.11.20-7"}


def test_years_before_a_day_and_a_leap_day_counts_from_the_28th() -> None:
    assert prune.years_before(TODAY, 5) == datetime.date(2021, 11, 21)
    assert prune.years_before(datetime.date(2028, 2, 29), 5) == datetime.date(2023, 2, 28)
    assert prune.years_before(datetime.date(2028, 3, 1), 4) == datetime.date(2024, 3, 1)


@pytest.mark.parametrize("tag", ["2021-02-30-abc1234", "nightly", "v1", "20210101-1", "sha256-abcd.sig"])
def test_a_tag_without_a_date_stays_with_a_warning(tag: str) -> None:
    decisions, warnings = prune.decide(CATALOGUE, with_latest({IMAGE: {tag: "a"}}), [], TODAY)
    assert [d.keep for d in decisions] == [True, True]
    assert warnings == [f"{IMAGE}:{tag} stays because its date cannot be read"]


def test_a_tag_kept_for_one_image_is_kept_for_all() -> None:
    tags = {
        IMAGE: {"2020-01-01-aaaaaaa": "a"},
        OTHER: {"2020-01-01-aaaaaaa": "b"},
        "manylinux_2_28": {"2020-01-01-aaaaaaa": "c"},
    }
    assert len(going(tags)) == 3
    assert going(tags, [PinnedImage(IMAGE, "2020-01-01-aaaaaaa", "", "v1.10.0")]) == set()


def test_other_tags_of_a_kept_digest_stay() -> None:
    tags = {IMAGE: {"2020-01-01-aaaaaaa": "same", "latest": "same", "2020-01-02-bbbbbbb": "other"}}
    assert going(tags) == {f"{IMAGE}:2020-01-02-bbbbbbb"}


def test_a_pinned_digest_stays_whatever_its_tag() -> None:
    tags = {IMAGE: {"2020-01-01-aaaaaaa": "sha256:1", "2020-01-02-bbbbbbb": "sha256:2"}}
    pins = [PinnedImage(IMAGE, "2019-01-01-ccccccc", "sha256:2", "v4.1.1")]
    decisions, warnings = prune.decide(CATALOGUE, with_latest(tags), pins, TODAY)
    assert [d.keep for d in decisions] == [True, False, True]
    assert warnings == [f"{IMAGE}:2019-01-01-ccccccc is pinned by cibuildwheel v4.1.1 but does not exist"]


def test_the_tag_of_a_layer_that_interpreters_are_installed_from_stays() -> None:
    row = KeptLayer("https://example.org/v2/a/b/blobs/sha256:1", "1" * 64, "2019-01-01-aaaaaaa")
    layers = {"cp38-cp38": Kept("3.8.20", {"manylinux_2_28_x86_64": row, "manylinux_2_28_i686": row})}
    tags = with_latest(
        {name: {"2019-01-01-aaaaaaa": name, "2019-01-02-bbbbbbb": f"{name}b"} for name in (IMAGE, OTHER)}
    )
    decisions, warnings = prune.decide(CATALOGUE, tags, [], TODAY, layers=layers)
    kept = {(each.name, each.tag) for each in decisions if each.keep and each.tag != "latest"}
    assert kept == {(name, "2019-01-01-aaaaaaa") for name in (IMAGE, OTHER)}  # of all images, as any tag that one keeps
    missing = {"manylinux_2_28_x86_64": {"latest": "new", "2026.11.01-1": "new"}}
    _, warnings = prune.decide(CATALOGUE, missing, [], TODAY, layers=layers)
    assert warnings == [
        "manylinux_2_28_x86_64:2019-01-01-aaaaaaa does not exist, but cp38-cp38 is installed from its layer"
    ]


def test_the_newest_of_a_retired_policy_stays() -> None:
    tags = {"manylinux1_i686": {"2019-03-01-aaaaaaa": "a", "2019-04-01-bbbbbbb": "b"}}
    assert going(tags) == {"manylinux1_i686:2019-03-01-aaaaaaa"}
    assert (
        decide(tags)["manylinux1_i686:2019-04-01-bbbbbbb"].reason == "the newest of manylinux1_i686, which is retired"
    )


def test_the_newest_by_day_and_then_by_number() -> None:
    tags = {"musllinux_1_1": {"2019.04.01-9": "a", "2019.04.01-10": "b"}}
    assert going(tags) == {"musllinux_1_1:2019.04.01-9"}
    tags["musllinux_1_1"]["2019.04.02-1"] = "c"
    assert going(tags) == {"musllinux_1_1:2019.04.01-9", "musllinux_1_1:2019.04.01-10"}


@pytest.mark.parametrize("tag", ["2021-02-06-3d322a5", "2021-05-01-28d233a", "2025-05-03-cdd80a2", "2025.05.03-1"])
def test_listed_tags_stay(tag: str) -> None:
    decisions, _ = prune.decide(CATALOGUE, with_latest({IMAGE: {tag: "a"}}), [], datetime.date(2099, 1, 1))
    assert [d.keep for d in decisions] == [True, True]
    assert decisions[1].reason.startswith("last with Python")


def test_tags_before_publication_go_with_their_date() -> None:
    tags = {IMAGE: {"candidate-2021.11.20-1": "a", "untested-2021.11.20-1": "b", "candidate-2025.05.03-1": "c"}}
    assert going(tags) == {f"{IMAGE}:candidate-2021.11.20-1", f"{IMAGE}:untested-2021.11.20-1"}


def test_repositories_hold_images_indexes_and_retired_ones() -> None:
    names = [*prune.live_repositories(CATALOGUE), *prune.retired_repositories(CATALOGUE)]
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


def test_a_repository_without_latest_is_left_alone() -> None:
    """Whatever hides it: then nobody knows what is in use."""
    tags = {
        IMAGE: {"2020-01-01-aaaaaaa": "a", "2020-01-02-bbbbbbb": "b"},
        OTHER: {"latest": "c", "2020-01-01-aaaaaaa": "d"},
    }
    decisions, warnings = prune.decide(CATALOGUE, tags, [], TODAY)
    assert {d.name for d in decisions if not d.keep} == {OTHER}
    assert warnings == [f"{IMAGE} has no latest, which would protect what is in use: it is left alone"]
    assert prune.decide(CATALOGUE, {IMAGE: {}}, [], TODAY) == ([], [])


def test_what_an_index_that_stays_lists_stays() -> None:
    tags = {IMAGE: {"latest": "index", "2020-01-01-aaaaaaa": "child", "2020-01-02-bbbbbbb": "other"}}
    decisions, _ = prune.decide(CATALOGUE, tags, [], TODAY, {"index": ["child"], "unused": ["other"]})
    assert {d.tag: d.keep for d in decisions} == {
        "latest": True,
        "2020-01-01-aaaaaaa": True,
        "2020-01-02-bbbbbbb": False,
    }


def test_the_candidate_of_the_newest_of_a_retired_policy_keeps_its_tag() -> None:
    tags = {"musllinux_1_1": {"candidate-2019.04.01-2": "a", "2019.04.01-1": "b"}, OTHER: {"2019.04.01-2": "c"}}
    assert going(tags) == {"musllinux_1_1:2019.04.01-1"}


LIVE = [IMAGE, OTHER]


@pytest.mark.parametrize(
    ("newest", "today"),
    [
        ("2026.11.14-1", datetime.date(2026, 11, 21)),
        ("2026-11-14-abcdef0", datetime.date(2027, 11, 14)),
        ("candidate-2026.11.14-1", datetime.date(2026, 11, 13)),
    ],
)
def test_a_clock_that_fits_what_was_published(newest: str, today: datetime.date) -> None:
    prune.check_clock({IMAGE: {"2020.01.01-1": "a", newest: "b"}}, LIVE, today)


@pytest.mark.parametrize(
    ("tags", "today"),
    [
        ({IMAGE: {"2026.11.14-1": "a"}}, datetime.date(2040, 1, 1)),
        ({IMAGE: {"2026.11.14-1": "a"}}, datetime.date(2027, 11, 21)),
        ({IMAGE: {"2099.11.14-1": "a"}}, TODAY),
        ({IMAGE: {"2026.11.14-1": "a"}}, datetime.date(1970, 1, 1)),
        ({IMAGE: {"latest": "a"}}, TODAY),
        ({"manylinux1_i686": {"2026.11.14-1": "a"}}, TODAY),  # retired: says nothing about the clock
        ({}, TODAY),
    ],
)
def test_a_clock_that_does_not(tags: dict[str, dict[str, str]], today: datetime.date) -> None:
    with pytest.raises(errors.Failure, match="refusing to prune: today is"):
        prune.check_clock(tags, LIVE, today)


@pytest.mark.parametrize(
    ("going", "of", "consent", "message"),
    [
        (0, 0, None, ""),
        (10, 100, None, ""),
        (11, 100, None, "more than 10 % of all tags go: look at the list, then add --consent 11"),
        (11, 100, 11, ""),
        (100, 100, 100, ""),
        (12, 100, 11, "12 tags go now, not the 11 of --consent: look at the list again"),
        (1, 100, 2, "1 tags go now, not the 2 of --consent: look at the list again"),
        (1, 100, 0, "1 tags go now, not the 0 of --consent: look at the list again"),
    ],
)
def test_the_brake(going: int, of: int, consent: int | None, message: str) -> None:
    assert prune.brake(going, of, consent) == message


@pytest.mark.parametrize(
    ("tags", "refused"),
    [
        ({"latest": "a", "2020-01-01-aaaaaaa": "b"}, True),
        ({"latest": "a"}, False),
        ({"latest": "a", "odd": "b"}, False),
    ],
)
def test_a_wrong_clock_stops_only_a_run_that_would_delete(tags: dict[str, str], refused: bool) -> None:
    def read(name: str) -> dict[str, str]:
        if name != IMAGE:
            raise NotFound("not there")
        return tags

    reader = mock.Mock(is_quick=False, inside={}, quick=read)
    run = prune.Pruning(CATALOGUE, reader, [], datetime.date(2099, 1, 1))
    if refused:
        with pytest.raises(errors.Failure, match="refusing to prune"):
            run.read()
    else:
        run.read()
    assert run.tags == {IMAGE: tags}


# --- What is attached to images -------------------------------------------------------------------------------

A, B, C, ATTACHED = ("sha256:" + letter * 64 for letter in "abcf")


def tag_of(digest: str, suffix: str = "") -> str:
    return digest.replace(":", "-") + suffix


def attached_to(
    having: dict[str, str], inside: dict[str, tuple[str, ...]] | None = None, gone: tuple[str, ...] = ()
) -> dict[str, tuple[bool, str]]:
    """What happens to each tag of the image, and why."""
    pairs = [(IMAGE, digest) for digest in gone]
    decisions, warnings = prune.decide(CATALOGUE, {IMAGE: having}, [], TODAY, inside, pairs)
    assert "latest" not in having or warnings == []
    return {d.tag: (d.keep, d.reason) for d in decisions}


@pytest.mark.parametrize("suffix", ["", ".sig", ".att"])
def test_what_is_attached_goes_with_its_image_and_stays_with_it(suffix: str) -> None:
    old, new = tag_of(A, suffix), tag_of(B, suffix)
    found = attached_to({"2020-01-01-aaaaaaa": A, "latest": B, old: ATTACHED, new: C})
    assert found[old] == (False, f"{A} goes, to which this belongs")
    assert found[new] == (True, f"{B} stays, to which this belongs")


def test_an_image_that_anything_keeps_keeps_what_is_attached() -> None:
    having = {"2020-01-01-aaaaaaa": A, "latest": B, tag_of(A): ATTACHED}
    assert not attached_to(having)[tag_of(A)][0]
    assert attached_to({**having, "2026.11.01-1": A})[tag_of(A)][0]  # another tag of it
    assert attached_to({**having, "latest": C}, {C: (A, B)})[tag_of(A)][0]  # an index that lists it
    decisions, _ = prune.decide(
        CATALOGUE, {IMAGE: having}, [PinnedImage(IMAGE, "2019-01-01-ccccccc", A, "v4.1.1")], TODAY
    )
    assert all(decision.keep for decision in decisions)


def test_what_is_attached_to_an_image_without_a_tag_stays_until_the_image_is_gone() -> None:
    """Users pin digests, and a registry keeps an image for a while that a tag has left."""
    having = {"latest": B, tag_of(A): ATTACHED}
    assert attached_to(having)[tag_of(A)] == (True, f"{A} has no tag any more, but may be in use")
    assert attached_to(having, gone=(A,))[tag_of(A)] == (False, f"{A} is gone, to which this belongs")
    assert attached_to(having, gone=(A, B))["latest"][0]


def test_what_is_attached_to_the_images_of_an_index_that_goes() -> None:
    found = attached_to({"2020-01-01-aaaaaaa": A, "latest": B, tag_of(C): ATTACHED}, {A: (C,)})
    assert found[tag_of(C)] == (False, f"{C} goes, to which this belongs")
    assert attached_to({"2020-01-01-aaaaaaa": A, "latest": B, tag_of(C): ATTACHED}, {A: (C,), B: (C,)})[tag_of(C)][0]


def test_a_list_that_two_images_share_stays_with_either() -> None:
    """Two empty lists have the same digest: deleting one would delete the other."""
    found = attached_to({"2020-01-01-aaaaaaa": A, "latest": B, tag_of(A): ATTACHED, tag_of(B): ATTACHED})
    assert found[tag_of(A)][0] and found[tag_of(B)][0]


def test_nothing_is_taken_from_a_repository_without_latest() -> None:
    found = attached_to({"2020-01-01-aaaaaaa": A, tag_of(A): ATTACHED, tag_of(B): C}, gone=(B,))
    assert all(keep for keep, _ in found.values())
