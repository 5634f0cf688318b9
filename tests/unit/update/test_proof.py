"""What a case of one release says of its file, without a network."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
from tests.support.upstreams import sha256, tarball

from catalogue import dependencies
from catalogue.pins import Pin
from network import web
from network.bundles import BadSignature
from update.proof import Case, NotYet, Proof
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


def sqlite(tmp_path: Path, **changes: Any) -> Case:
    """A release of a project that publishes a SHA3-256 and the size in its list alone."""
    stem = "sqlite-autoconf-3530400"
    content = tarball("sqlite", "3530400", folder=stem)
    path = tmp_path / f"{stem}.tar.gz"
    path.write_bytes(content)
    listed = {"size": len(content), "sha3_256": hashlib.sha3_256(content).hexdigest(), **changes}
    client, witness = mock.Mock(), mock.Mock()
    client.download.return_value = web.Download(path, sha256(content))
    witness.versions.return_value = {}
    row, release = dependencies.load()["sqlite"], Release("3.53.4", path=f"2026/{path.name}", **listed)
    return Case(row, Pin("sqlite", "3.53.3", "", "0" * 64), release, client, witness, tmp_path, {})


def test_the_checksum_of_a_list_proves_the_file(tmp_path: Path) -> None:
    case = sqlite(tmp_path)
    assert case.prove(["checksum"]) == Proof(case.url, case.file.sha256, "checksum", "SHA3-256 in the release list")


@pytest.mark.parametrize("changes", [{"size": 1}, {"size": None}, {"sha3_256": "0" * 64}])
def test_a_file_that_the_list_contradicts_is_refused(tmp_path: Path, changes: dict[str, Any]) -> None:
    with pytest.raises(BadSignature, match="another SHA3-256 or size"):
        sqlite(tmp_path, **changes).prove(["checksum"])


def test_a_list_without_a_checksum_is_waited_for(tmp_path: Path) -> None:
    with pytest.raises(NotYet):
        sqlite(tmp_path, sha3_256="").prove(["checksum"])


def test_a_file_without_a_date_leaves_the_release_without_one(tmp_path: Path) -> None:
    head = case(tmp_path, {"amd64": OLD, "arm64": None, "s390x": YOUNG}).head()
    assert head and head.modified is None
