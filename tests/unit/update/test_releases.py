"""Reading upstream's release lists: each fixture has the shape of the page that its test names."""

from __future__ import annotations

import contextlib
import json
import time
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support import servers
from tests.support.repositories import git, repository

from catalogue import dependencies
from catalogue.dependencies import Source
from network import web
from update import releases
from update.releases import Release

ROW = dependencies.load()["curl"]


def listed(
    server: servers.Server, kind: dependencies.Kind, body: str | bytes, pattern: str = "(.*)"
) -> dict[str, Release]:
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


@pytest.mark.parametrize("size", ["9" * 5000, "\u0661", ""])
def test_a_size_that_is_none_is_no_release(server: servers.Server, size: str) -> None:
    row = "PRODUCT,3.53.2,2026/sqlite-autoconf-35302{}.tar.gz,{}," + "a" * 64 + "\n"
    page = row.format("00", 1) + row.format("01", size)
    assert set(listed(server, "sqlite-csv", page, r"\d{4}/sqlite-autoconf-(\d{7})\.tar\.gz")) == {"3.53.2"}


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
    with pytest.raises(web.Missing, match="no repository that can be read"):
        releases.listed(ROW, source, web.Client())


@pytest.mark.parametrize(
    ("route", "error"),
    [
        (servers.status(404), web.Missing),
        (servers.status(410), web.Missing),
        (servers.status(401, {"WWW-Authenticate": 'Basic realm="GitHub"'}), web.Missing),
        (servers.status(500), web.Unreachable),
        (servers.status(429), web.Unreachable),
    ],
)
def test_a_repository_that_is_gone_is_no_silent_host(
    server: servers.Server, route: servers.Route, error: type[Exception]
) -> None:
    """A host that does not answer may answer tomorrow; a repository that moved needs a person."""
    server.routes["/tool/info/refs?service=git-upload-pack"] = route
    with pytest.raises(error):
        releases.listed(ROW, Source("git-tags", server.url("/tool"), "(.*)", "*"), web.Client())


def test_a_git_that_waits_is_ended_with_its_helpers(server: servers.Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(releases, "GIT_SECONDS", 3)
    server.routes["/slow/info/refs?service=git-upload-pack"] = servers.stalling(20)
    url = server.url("/slow")
    with pytest.raises(web.Unreachable, match="no answer within 3 seconds"):
        releases.listed(ROW, Source("git-tags", url, "(.*)", "*"), web.Client())
    assert server.asked("/slow/info/refs?service=git-upload-pack") == 1
    deadline = time.monotonic() + 10  # a killed process is there until somebody has waited for it
    while (left := commands_with(url)) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not left


def commands_with(word: str) -> list[bytes]:
    """The command lines of living processes in which a word occurs."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            if is_alive(path.parent) and word.encode() in (command := path.read_bytes()):
                found.append(command)
    return found


def is_alive(process: Path) -> bool:
    """Whether this process still runs (a killed one may wait for its parent to notice)."""
    try:
        return (process / "stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_names_that_no_release_can_have_are_left_out(tmp_path: Path) -> None:
    """Digits of other alphabets, thousands of them, other encodings: git takes almost anything as a tag."""
    commit = git(repository(tmp_path / "tool"), "rev-parse", "HEAD")
    odd = ["v\u0661.\u0662.\u0663", f"v1.2.{'9' * 5000}", "v1.2.\uff13", "v1.2.3\u00b2"]
    lines = [f"{commit} refs/tags/{name}" for name in [*odd, "v1.2.3", "v1.2.4"]]
    packed = "\n".join(["# pack-refs with: peeled fully-peeled sorted ", *sorted(lines)]) + "\n"
    no_text = f"{commit} refs/tags/v".encode() + b"\xff.1\n"
    (tmp_path / "tool" / ".git" / "packed-refs").write_bytes(packed.encode() + no_text)
    for pattern in (r"v(\d+\.\d+\.\d+)", "v(.*)"):
        source = Source("git-tags", (tmp_path / "tool").as_uri(), pattern, "*")
        assert {release.version for release in releases.listed(ROW, source, web.Client())} == {"1.2.3", "1.2.4"}


@pytest.mark.parametrize("kind", ["python-org", "curl-info"])
@pytest.mark.parametrize(
    "text",
    [
        "null",
        "1",
        '"text"',
        "[]",
        "[1]",
        "[null]",
        '[{"name": null}]',
        '[{"name": "Python 3.9.1", "slug": 1}]',
        '{"objects": 1}',
        '{"objects": [[]]}',
        '{"version": null}',
        '{"version": {"a": 1}}',
    ],
)
def test_a_document_of_another_shape_is_refused(server: servers.Server, kind: dependencies.Kind, text: str) -> None:
    with pytest.raises(web.Refused):
        listed(server, kind, text)


@pytest.mark.parametrize("kind", ["listing", "sqlite-csv", "python-org", "curl-info"])
def test_a_page_that_changed_its_shape_is_no_empty_list(server: servers.Server, kind: dependencies.Kind) -> None:
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
