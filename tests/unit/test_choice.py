"""Which release is taken: properties of the choice, whatever upstream lists and whatever the checks say."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from unittest import mock

import pytest
from hypothesis import given
from hypothesis import strategies as st
from packaging.version import Version

import choice
import dependencies
import errors
import releases
import update_native_dependencies
import web
from choice import Choice, Context, Listing, PassedOver, Taken, choose
from pins import Pin
from proof import Proof
from releases import Release
from report import State
from signatures import BadSignature
from update_native_dependencies import Run
from witness import changelog_dates

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

    return choose(map(str, range(len(verdicts))), examine)


@given(st.lists(st.sampled_from(VERDICTS)))
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


def look(listed: list[str], pinned: str, passing: set[str], *, gone: bool) -> tuple[State, str, bool]:
    """State, acceptable version and whether there is a commit, for openssl with this list and these good releases."""
    row = ROWS["openssl"]
    pin = Pin("openssl", pinned, f"https://example.org/openssl-{pinned}.tar.gz", "0" * 64)
    context = Context(mock.Mock(), mock.Mock(), mock.Mock(), (), NOW, Path(), {})
    run = Run({"openssl": row}, {"openssl": pin}, {"openssl": ["docker/Dockerfile"]}, {}, context)

    def examine(context: Context, row: dependencies.Dependency, pin: Pin, release: Release) -> Taken:
        if release.version not in passing:
            raise PassedOver(State.PENDING, "no")
        return Taken(Proof("https://example.org/x.tar.gz", "1" * 64, "openpgp", "F" * 40), "published 2026-11-01", 9)

    versions = {version: Release(version) for version in listed if not (gone and version == pinned)}
    listing = Listing(versions, True, ())
    with (
        mock.patch.object(update_native_dependencies, "listing", lambda *_: listing),
        mock.patch.object(update_native_dependencies, "examine", examine),
        mock.patch.object(releases, "listed", lambda *_: tuple(versions.values())),
    ):
        outcome = update_native_dependencies.look(run, [row])
    return outcome.rows[0].state, outcome.rows[0].acceptable, outcome.bump is not None


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
    state, acceptable, moves = look([*listed, pinned], pinned, passing, gone=False)
    assert Version(acceptable) >= Version(pinned)
    assert acceptable == pinned or (acceptable in passing and ROWS["openssl"].accepts(acceptable, pinned))
    assert moves == (acceptable != pinned) == (state is State.UPDATE)


@given(LISTED, NUMBERS, st.data())
def test_only_a_withdrawn_pin_goes_down(listed: list[str], patch: int, data: st.DataObject) -> None:
    pinned = f"3.5.{patch}"
    passing = set(data.draw(st.lists(st.sampled_from([*listed, pinned]))))
    state, acceptable, moves = look(listed, pinned, passing, gone=True)
    known = [v for v in listed if v != pinned and ROWS["openssl"].accepts(v, pinned)]
    lower_only = bool(known) and all(Version(version) < Version(pinned) for version in known)
    assert (state is State.WITHDRAWN) == lower_only
    if moves:
        assert acceptable in passing
        assert (Version(acceptable) < Version(pinned)) == lower_only


def test_sightings_survive_a_broken_file(tmp_path: Path) -> None:
    path = tmp_path / "state" / "seen.json"
    with mock.patch.dict("os.environ", {choice.SEEN_VARIABLE: str(path)}):
        sightings = choice.Sightings.of_this_user()
        assert sightings.first("tool", "1.0", NOW) == NOW
        sightings.save()
        assert choice.Sightings.of_this_user().first("tool", "1.0", datetime.now(UTC)) == NOW
        path.write_text("{")
        assert choice.Sightings.of_this_user().first("tool", "1.0", NOW) == NOW


def test_sightings_that_cannot_be_kept_are_told(tmp_path: Path) -> None:
    (tmp_path / "state").write_text("no directory")
    sightings = choice.Sightings(tmp_path / "state" / "seen.json")
    sightings.save()
    sightings.first("tool", "1.0", NOW)
    with pytest.raises(errors.Failure, match=rf"cannot be written .*: set {choice.SEEN_VARIABLE}"):
        sightings.save()


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
    dates = changelog_dates(CHANGELOG, "8.22.0")
    assert min(dates) == datetime(2026, 9, 2, 6, 27, 46, tzinfo=UTC)
    assert changelog_dates(CHANGELOG, "8.21.0") == []
