"""What a case of one release says of its file, without a network."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from unittest import mock

import pytest

from catalogue import dependencies
from catalogue.pins import Pin
from network import web
from update.proof import Case
from update.releases import Release

OLD, YOUNG = datetime(2026, 9, 1, tzinfo=UTC), datetime(2026, 11, 1, tzinfo=UTC)


def case(tmp_path: Path, arches: dict[str, datetime | None]) -> Case:
    """A release with a file for each architecture, whose server says when they were modified."""
    client = mock.Mock()
    client.head.side_effect = lambda url: web.Head(1, arches[url.rpartition("/")[2]])
    row = dependencies.load()["git-lfs"]
    pin = Pin("git-lfs", "3.7.0", "https://example.org/{goarch}", dict.fromkeys(arches, "0" * 64))
    release, url = Release("3.7.1"), "https://example.org/{goarch}"
    return Case(row, pin, release, client, mock.Mock(), tmp_path, {}, url)


@pytest.mark.parametrize("arches", [{"amd64": OLD, "arm64": YOUNG}, {"amd64": YOUNG, "arm64": OLD}])
def test_of_several_files_the_youngest_dates_the_release(tmp_path: Path, arches: dict[str, datetime | None]) -> None:
    """Otherwise a file that was replaced yesterday would not wait."""
    head = case(tmp_path, arches).head()
    assert head and head.modified == YOUNG


def test_a_file_without_a_date_leaves_the_release_without_one(tmp_path: Path) -> None:
    head = case(tmp_path, {"amd64": OLD, "arm64": None, "s390x": YOUNG}).head()
    assert head and head.modified is None
