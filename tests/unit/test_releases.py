"""Reading upstream's release lists: each fixture has the shape of the page that its test names."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit import servers
from tests.unit.repositories import git, repository

import dependencies
import releases
import web
from dependencies import Source
from releases import Release

ROW = dependencies.load()["curl"]


@pytest.fixture
def server() -> Iterator[servers.Server]:
    with servers.running() as running:
        yield running


def listed(server: servers.Server, kind: str, body: str | bytes, pattern: str = "(.*)") -> dict[str, Release]:
    server.routes["/list"] = servers.good(body if isinstance(body, bytes) else body.encode())
    found = releases.listed(ROW, Source(kind, server.url("/list"), pattern, "*"), web.Client())
    return {release.version: release for release in found}


def test_python_org_version_2(server: servers.Server) -> None:
    """www.python.org/api/v2/downloads/release/ (pythondotorg, downloads/serializers.py): a list."""
    rows = [
        {
            "name": "Python 3.13.15",
            "slug": "python-31315",
            "is_published": True,
            "release_date": "2026-08-12T10:00:00Z",
        },
        {"name": "Python 3.15.0rc2", "slug": "python-3150rc2", "is_published": True, "release_date": None},
        {"name": "Python install manager 26.1", "slug": "pymanager-261", "is_published": True},
        {"name": "Python 3.13.16", "slug": "python-31316", "is_published": False},
    ]
    found = listed(server, "python-org", json.dumps(rows))
    assert set(found) == {"3.13.15", "3.15.0rc2"}
    assert found["3.13.15"].published == datetime(2026, 8, 12, 10, tzinfo=UTC)
    assert found["3.15.0rc2"].published is None


def test_python_org_version_1(server: servers.Server) -> None:
    """www.python.org/api/v1/downloads/release/ (pythondotorg, downloads/api.py, Tastypie): rows below `objects`."""
    row = {
        "name": "Python 3.12.14",
        "slug": "python-31214",
        "is_published": True,
        "release_date": "2026-08-01T00:00:00",
    }
    found = listed(server, "python-org", json.dumps({"meta": {"limit": 0}, "objects": [row]}))
    assert found["3.12.14"].published == datetime(2026, 8, 1, tzinfo=UTC)


def test_gnu_listing(server: servers.Server) -> None:
    """ftp.gnu.org/gnu/libtool/: the listing of a web server, with signatures and other packages' files beside."""
    page = """<html><body><table><tr><td><a href="/gnu/">Parent Directory</a></td></tr>
    <tr><td><a href="libtool-2.5.4.tar.gz">libtool-2.5.4.tar.gz</a></td><td>2024-11-20 22:16</td></tr>
    <tr><td><a href="libtool-2.5.4.tar.gz.sig">libtool-2.5.4.tar.gz.sig</a></td></tr>
    <tr><td><a href='./libtool-2.6.2.tar.xz'>libtool-2.6.2.tar.xz</a></td></tr>
    <tr><td><a href="libtool-2.4.2-2.4.3.diff.gz">x</a></td></tr></table></body></html>"""
    assert set(listed(server, "listing", page, r"libtool-([0-9.]+)\.tar\.[gx]z")) == {"2.5.4", "2.6.2"}


def test_mpdecimal_page(server: servers.Server) -> None:
    """www.bytereef.org/mpdecimal/download.html: links to the files below another path."""
    page = '<p><a class="reference" href="../software/mpdecimal/releases/mpdecimal-4.0.1.tar.gz">mpdecimal</a></p>'
    assert set(listed(server, "listing", page, r"mpdecimal-(\d+\.\d+\.\d+)\.tar\.gz")) == {"4.0.1"}


def test_curl_info(server: servers.Server) -> None:
    """curl.se/info.json: one release."""
    body = {"Version": "8.22.0", "Date": "2026-09-02", "sha256": "0" * 64, "git tag": "curl-8_22_0"}
    found = listed(server, "curl-info", json.dumps(body))
    assert found["8.22.0"].published == datetime(2026, 9, 2, tzinfo=UTC)


SQLITE = """<!-- Download product data for scripts to read
PRODUCT,VERSION,RELATIVE-URL,SIZE-IN-BYTES,SHA3-HASH
PRODUCT,3.53.2,2026/sqlite-autoconf-3530200.tar.gz,3256789,{a}
PRODUCT,3.53.4,2026/sqlite-autoconf-3530400.tar.gz,3256790,{b},a-new-column
PRODUCT,3.51.3,2026/sqlite-autoconf-3510300.tar.gz,,{a}
PRODUCT,3.53.4,2026/sqlite-amalgamation-3530400.zip,2800000,{b}
-->""".format(a="a" * 64, b="b" * 64)


@pytest.mark.parametrize("ending", ["\n", "\r\n"])
def test_sqlite_table(server: servers.Server, ending: str) -> None:
    """sqlite.org/download.html: CSV in a comment; older releases too, in any order; new columns on the right."""
    page = SQLITE.replace("\n", ending)
    found = listed(server, "sqlite-csv", page, r"\d{4}/sqlite-autoconf-(\d{7})\.tar\.gz")
    assert set(found) == {"3.53.2", "3.53.4"}
    newest = found["3.53.4"]
    assert (newest.path, newest.size, newest.sha3_256) == ("2026/sqlite-autoconf-3530400.tar.gz", 3256790, "b" * 64)


@given(st.integers(0, 99), st.integers(0, 99), st.integers(0, 99))
def test_sqlite_numbers(minor: int, patch: int, branch: int) -> None:
    expected = f"3.{minor}.{patch}" + (f".{branch}" if branch else "")
    assert releases.sqlite_version(f"3{minor:02}{patch:02}{branch:02}") == expected


def test_git_tags_of_a_real_repository(tmp_path: Path) -> None:
    root = repository(tmp_path / "origin")
    for tag in ("curl-8_22_0", "curl-8_21_0", "rc-8_22_0-2", "tiny-curl-8_4_0"):
        git(root, "tag", "--annotate", "--message", tag, tag)
    source = Source("git-tags", root.as_uri(), r"curl-(\d+_\d+_\d+)", "curl-*")
    assert {release.version for release in releases.listed(ROW, source, web.Client())} == {"8.22.0", "8.21.0"}


def test_a_repository_that_is_not_there(tmp_path: Path) -> None:
    source = Source("git-tags", (tmp_path / "none").as_uri(), "(.*)", "*")
    with pytest.raises(web.Unreachable, match="git ls-remote"):
        releases.listed(ROW, source, web.Client())


@pytest.mark.parametrize("kind", ["listing", "sqlite-csv", "python-org", "curl-info"])
def test_a_page_that_changed_its_shape_is_no_empty_list(server: servers.Server, kind: str) -> None:
    with pytest.raises(web.Refused):
        listed(server, kind, servers.HTML, "never-(matches)")


def test_one_request_serves_all_rows(server: servers.Server) -> None:
    server.routes["/list"] = servers.good(
        json.dumps([{"name": "Python 3.9.1", "slug": "python-391", "is_published": True}]).encode()
    )
    source, client = Source("python-org", server.url("/list"), "(.*)", "*"), web.Client()
    for _ in range(8):
        releases.listed(ROW, source, client)
    assert server.asked("/list") == 1
