"""Which release is taken: properties of the choice, whatever upstream lists and whatever the checks say."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import cast
from unittest import mock

import pytest
from hypothesis import given
from hypothesis import strategies as st
from packaging.version import Version

from catalogue import dependencies
from catalogue.pins import Pin
from debian import changelog
from network import web
from network.bundles import BadSignature
from update import choice, native, releases
from update.choice import Choice, Dated, Listing, PassedOver, RunContext, Taken, choose
from update.native import Run
from update.proof import Proof
from update.releases import Release
from update.report import Row, State
from update.sightings import Sightings
from update.witness import dates_of

ROWS = dependencies.load()
NOW = datetime(2026, 11, 21, tzinfo=UTC)
VERDICTS = (
    None,
    PassedOver(State.PENDING, "young"),
    PassedOver(State.HELD, "held"),
    BadSignature("bad"),
    web.Unreachable("x"),
)


def walk(verdicts: list[Exception | None]) -> Choice[int]:
    def examine(version: str) -> int:
        verdict = verdicts[int(version)]
        if verdict:
            raise verdict
        return int(version)

    return choose([str(number) for number in range(len(verdicts))], examine)


@given(st.lists(st.sampled_from(VERDICTS), max_size=12))
def test_the_first_that_passes_is_taken_and_every_other_is_explained(verdicts: list[Exception | None]) -> None:
    found = walk(verdicts)
    expected = verdicts.index(None) if None in verdicts else None
    assert found.taken == expected
    refused = verdicts[:expected]
    assert len(found.passed_over) + len(found.alarms) == len(refused)
    assert len(found.alarms) == sum(isinstance(verdict, BadSignature) for verdict in refused)
    if expected is not None:
        assert found.state is State.UPDATE
    elif any(isinstance(verdict, BadSignature) for verdict in verdicts):
        assert found.state is State.FAILED
    else:
        assert (found.state is State.CURRENT) == (not verdicts)


def look(
    listed: list[str], pinned: str, passing: set[str], *, gone: bool, left: bool = False, upstream: bool = True
) -> Row:
    """The row for openssl with this list and these good releases; `left`: the file of the pin is still there."""
    row = ROWS["openssl"]
    pin = Pin("openssl", pinned, f"https://example.org/openssl-{pinned}.tar.gz", "0" * 64)
    client = mock.Mock()
    if not left:
        client.head.side_effect = web.Missing("answers 404")
    context = RunContext(client, mock.Mock(), mock.Mock(), (), NOW, Path(), {}, dry_run=True)
    run = Run({"openssl": row}, {"openssl": pin}, {"openssl": ["docker/Dockerfile"]}, {}, context)

    def examine(context: RunContext, candidates: Sequence[tuple[dependencies.Dependency, Pin, Release]]) -> list[Taken]:
        ((_, _, release),) = candidates
        if release.version not in passing:
            raise PassedOver(State.PENDING, "no")
        proof = Proof("https://example.org/x.tar.gz", "1" * 64, "openpgp", "F" * 40)
        return [Taken(proof, Dated(NOW, "published", 9))]

    versions = {version: Release(version) for version in listed if not (gone and version == pinned)}
    listing = Listing(versions, upstream, ())
    with (
        mock.patch.object(native, "listing", lambda *_: listing),
        mock.patch.object(native, "examine", examine),
        mock.patch.object(releases, "listed", lambda *_: tuple(versions.values())),
    ):
        outcome = native.look(run, [row])
    assert (outcome.bump is not None) == (outcome.rows[0].acceptable in passing - {pinned})
    return outcome.rows[0]


NUMBERS = st.integers(0, 30)
LISTED = st.lists(
    st.one_of(
        st.builds("3.5.{}".format, NUMBERS),
        st.builds("3.6.{}".format, NUMBERS),
        st.builds("4.0.{}".format, NUMBERS),
        st.builds("3.5.{}rc1".format, NUMBERS),
        st.builds("3.5.{}-beta1".format, NUMBERS),
    ),
    max_size=12,
    unique=True,
)


@given(LISTED, NUMBERS, st.data())
def test_a_pin_never_goes_down_and_never_leaves_its_rules(listed: list[str], patch: int, data: st.DataObject) -> None:
    pinned = f"3.5.{patch}"
    passing = set(data.draw(st.lists(st.sampled_from([*listed, pinned]))))
    row = look([*listed, pinned], pinned, passing, gone=False)
    assert Version(row.acceptable) >= Version(pinned)
    assert row.acceptable == pinned or (row.acceptable in passing and ROWS["openssl"].accepts(row.acceptable, pinned))
    assert (row.acceptable != pinned) == (row.state is State.UPDATE)


@given(LISTED, NUMBERS, st.booleans(), st.data())
def test_only_a_withdrawn_pin_goes_down(listed: list[str], patch: int, left: bool, data: st.DataObject) -> None:
    pinned = f"3.5.{patch}"
    passing = set(data.draw(st.lists(st.sampled_from([*listed, pinned]))))
    row = look(listed, pinned, passing, gone=True, left=left)
    known = [v for v in listed if v != pinned and ROWS["openssl"].accepts(v, pinned)]
    withdrawn = not left and all(Version(version) < Version(pinned) for version in known)
    lower = sorted((v for v in known if Version(v) < Version(pinned)), key=Version, reverse=True)[:3]
    if not withdrawn:
        assert row.state is not State.WITHDRAWN
        assert Version(row.acceptable) >= Version(pinned)
    elif fitting := [version for version in lower if version in passing]:
        assert (row.state, row.acceptable) == (State.WITHDRAWN, fitting[0])
    else:
        assert row.acceptable == ""
        assert "nothing can take the place" in row.alarms[0]


def test_the_archive_alone_lowers_nothing() -> None:
    row = look(["3.5.6"], "3.5.7", {"3.5.6"}, gone=True, upstream=False)
    assert (row.state, row.acceptable) == (State.CURRENT, "3.5.7")


def test_a_walk_ends() -> None:
    asked = []

    def examine(version: str) -> int:
        asked.append(version)
        raise PassedOver(State.PENDING, "answers 404")

    choice = choose([f"1.{number}" for number in range(600, 0, -1)], examine)
    assert (len(asked), choice.state) == (12, State.PENDING)
    assert choice.passed_over[-1] == "1.588 and 587 older: not looked at after so many"


@pytest.mark.parametrize("other", [PassedOver(State.PENDING, "young"), PassedOver(State.HELD, "held")])
def test_what_could_not_be_asked_is_not_hidden(other: Exception) -> None:
    """Neither by what waits nor by what was taken behind it."""
    both: list[list[Exception | None]] = [[other, web.Unreachable("x")], [web.Unreachable("x"), other]]
    for verdicts in both:
        assert (walk(verdicts).state, walk(verdicts).unchecked) == (State.UNREACHABLE, True)
    taken = walk([web.Unreachable("x"), None])
    assert (taken.state, taken.unchecked) == (State.UPDATE, True)
    assert not walk([other, None]).unchecked


def context(tmp_path: Path, now: datetime = NOW) -> RunContext:
    seen = Sightings(tmp_path / "seen.json")
    return RunContext(mock.Mock(), mock.Mock(), seen, (), now, tmp_path, {})


@pytest.mark.parametrize(
    ("moment", "source", "age"),
    [
        (NOW - timedelta(days=7), "published", 7),
        (NOW - timedelta(days=6), "published", 6),
        (NOW + timedelta(hours=20), "published", 0),
        (NOW + timedelta(days=2), "nothing dates it, first seen", 0),
        (datetime(1970, 1, 1, tzinfo=UTC), "nothing dates it, first seen", 0),
        (datetime(1980, 1, 1, tzinfo=UTC), "nothing dates it, first seen", 0),
        (None, "nothing dates it, first seen", 0),
    ],
)
def test_a_date_that_cannot_be_true_dates_nothing(
    tmp_path: Path, moment: datetime | None, source: str, age: int
) -> None:
    found = context(tmp_path).dated("tool", "1.0", (moment, "published"))
    assert (found.source, found.age) == (source, age)
    second = context(tmp_path).dated("tool", "1.0", (moment, "published"), (NOW - timedelta(days=20), "entered Debian"))
    assert (second.source, second.age) == ((source, age) if source == "published" else ("entered Debian", 20))


def test_a_week_is_a_week_for_a_schedule_that_jitters(tmp_path: Path) -> None:
    """GitHub starts a weekly job some minutes earlier or later."""
    monday = datetime(2026, 11, 23, 4, 31, tzinfo=UTC)
    first = context(tmp_path, monday)
    assert first.dated("tool", "1.0").age == 0
    first.sightings.save()
    assert context(tmp_path, monday + timedelta(days=7, minutes=-14)).dated("tool", "1.0").age == 7
    assert context(tmp_path, monday + timedelta(days=6, hours=19)).dated("tool", "1.0").age == 6


def test_every_pin_of_a_group_waits_at_the_same_time(tmp_path: Path) -> None:
    """tk is dated even while tcl is too young: otherwise its own time begins only then."""
    where, asked = context(tmp_path), []

    def head(url: str) -> web.Head:
        asked.append(url.rpartition("/")[2])
        return web.Head(1, None)

    where.client.head.side_effect = head  # type: ignore[attr-defined]
    pair = [(ROWS[name], Pin(name, "8.6.17", "", "0" * 64), Release("8.6.19")) for name in ("tcl", "tk")]
    with pytest.raises(PassedOver, match="nothing dates it, first seen 0 days ago"):
        choice.examine(where, pair)
    assert asked == ["tcl8.6.19-src.tar.gz", "tk8.6.19-src.tar.gz"]
    assert where.sightings.seen("tk", "8.6.19") == NOW


@pytest.mark.parametrize("kind", ["git-tags", "listing"])
def test_no_list_is_asked_after_a_whole_one(tmp_path: Path, kind: dependencies.Kind) -> None:
    urls = ["https://example.org/first", "https://example.org/second"]
    row = dataclasses.replace(ROWS["openssl"], sources=tuple(dependencies.Source(kind, url) for url in urls))
    asked = []

    def listed(row: dependencies.Dependency, source: dependencies.Source, client: web.Client) -> tuple[Release, ...]:
        asked.append(source.url)
        return (Release("3.5.7"),)

    with mock.patch.object(releases, "listed", listed):
        assert choice.listing(context(tmp_path), row, "3.5.5").releases == {"3.5.7": Release("3.5.7")}
    assert asked == urls[:1]


@pytest.mark.parametrize(
    ("carried", "answers"), [("3.5.5", True), ("3.5.10", True), ("3.5.4", False), ("3.6.1", False)]
)
def test_debian_answers_with_the_series_from_the_pinned_release_on(tmp_path: Path, carried: str, answers: bool) -> None:
    where = context(tmp_path)
    suite = SimpleNamespace(name="trixie", date=NOW, valid_until=None)
    index = SimpleNamespace(unusable={}, suites=[suite], stale=lambda now: [])
    witness = cast(mock.Mock, where.witness)
    witness.index.return_value = index
    witness.versions.return_value = {carried: [SimpleNamespace(suite="trixie")]}
    witness.released.return_value = {carried}
    with mock.patch.object(releases, "listed", side_effect=web.Unreachable("no answer")):
        if answers:
            found = choice.listing(where, ROWS["openssl"], "3.5.5")
            assert (list(found.releases), found.upstream) == ([carried], False)
        else:
            with pytest.raises(web.Unreachable, match="no answer; Debian"):
                choice.listing(where, ROWS["openssl"], "3.5.5")


CHANGELOG = """curl (8.22.0-2) unstable; urgency=medium

  * Something.

 -- A Person <a@example.org>  Thu, 10 Sep 2026 10:00:00 +0200

curl (8.22.0-1) unstable; urgency=medium

  * New upstream version.

 -- A Person <a@example.org>  Tue, 01 Sep 2026 23:27:46 -0700

curl (8.22.0~rc3-1) unstable; urgency=medium

  * New upstream version.

 -- A Person <a@example.org>  Wed, 26 Aug 2026 19:36:54 -0700
"""


def test_the_changelog_of_a_package() -> None:
    """The shape of curl's debian/changelog (Debian Policy 4.4)."""
    dates = dates_of(changelog.entries(CHANGELOG), "8.22.0")
    assert min(dates) == datetime(2026, 9, 2, 6, 27, 46, tzinfo=UTC)
    assert dates_of(changelog.entries(CHANGELOG), "8.21.0") == []


@pytest.mark.parametrize(
    ("date", "found"),
    [
        ("Tue, 01 Sep 2026 23:27:46 -0000", [datetime(2026, 9, 1, 23, 27, 46, tzinfo=UTC)]),
        ("Tue, 01 Sep 2026 23:27:46", [datetime(2026, 9, 1, 23, 27, 46, tzinfo=UTC)]),
        ("last week", []),
        ("Tue, 99 Sep 2026 23:27:46 +0000", []),
    ],
)
def test_a_changelog_with_odd_dates(date: str, found: list[datetime]) -> None:
    text = CHANGELOG.replace("Tue, 01 Sep 2026 23:27:46 -0700", date).replace("Thu, 10 Sep 2026 10:00:00 +0200", date)
    assert set(dates_of(changelog.entries(text), "8.22.0")) == set(found)
