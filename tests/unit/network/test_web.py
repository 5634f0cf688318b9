"""HTTP for the updaters, against a server that misbehaves."""

from __future__ import annotations

import hashlib
import threading
import time
from dataclasses import replace
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest
from tests.support import certificates, servers

from network import session, web

BODY = b"\x1f\x8b" + bytes(range(256)) * 100


@pytest.fixture
def client(monkeypatch: pytest.MonkeyPatch) -> web.Client:
    monkeypatch.setattr(web, "LIMITS", replace(web.LIMITS, stall=1, retry_after=1))
    return web.Client()


def test_a_good_download(server: servers.Server, client: web.Client, tmp_path: Path) -> None:
    server.routes["/a.tar.gz"] = servers.good(BODY)
    file = client.download(server.url("/a.tar.gz"), tmp_path)
    assert file.path == tmp_path / "a.tar.gz"
    assert file.path.read_bytes() == BODY
    assert file.sha256 == hashlib.sha256(BODY).hexdigest()


@pytest.mark.parametrize(
    ("route", "complaint"),
    [
        (servers.html(), "an HTML page"),
        (servers.good(b"PK" * 10000), "not gz data"),
        (servers.good(b""), "only 0 bytes"),
        (servers.good(b"\x1f\x8b tiny"), "only 7 bytes"),
        (servers.status(418), "answers 418"),
    ],
)
def test_what_cannot_be_the_file(
    server: servers.Server, client: web.Client, tmp_path: Path, route: servers.Route, complaint: str
) -> None:
    server.routes["/a.tar.gz"] = route
    with pytest.raises(web.Refused, match=complaint):
        client.download(server.url("/a.tar.gz"), tmp_path)


def test_a_file_that_breaks_off(server: servers.Server, client: web.Client, tmp_path: Path) -> None:
    server.routes["/a.tar.gz"] = servers.truncated(BODY, 5000)
    with pytest.raises(web.Unreachable, match=f"ended after 5000 of {len(BODY)} bytes"):
        client.download(server.url("/a.tar.gz"), tmp_path)


def test_a_file_without_end(server: servers.Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(web, "LIMITS", replace(web.LIMITS, most=1 << 20))
    server.routes["/a.tar.gz"] = servers.endless(BODY)
    with pytest.raises(web.Refused, match="longer than"):
        web.Client().download(server.url("/a.tar.gz"), tmp_path)


def test_a_redirect_loop(server: servers.Server, client: web.Client) -> None:
    server.routes["/loop"] = servers.redirecting("/loop")
    with pytest.raises(web.Refused, match="redirects more than 5 times"):
        client.get(server.url("/loop"))
    assert server.asked("/loop") <= 7


def test_missing_is_told_from_silent(server: servers.Server, client: web.Client) -> None:
    with pytest.raises(web.Missing, match="404"):
        client.get(server.url("/nothing"))
    with pytest.raises(web.Unreachable, match="refused"):
        client.get(f"http://127.0.0.1:{servers.closed_port()}/")


def test_errors_that_pass_are_waited_out(server: servers.Server, client: web.Client) -> None:
    server.routes["/"] = servers.failing(2, 503, then=servers.good(b"fine"))
    assert client.get(server.url("/")) == b"fine"


def test_a_server_that_stays_broken_is_unreachable(server: servers.Server, client: web.Client) -> None:
    server.routes["/"] = servers.status(500)
    with pytest.raises(web.Unreachable, match="answers 500"):
        client.get(server.url("/"))


def test_twelve_hours_are_not_waited(server: servers.Server, client: web.Client) -> None:
    """python.org has answered 429 with a Retry-After of half a day."""
    server.routes["/"] = servers.status(429, {"Retry-After": "42578"})
    started = time.monotonic()
    with pytest.raises(web.Unreachable, match="answers 429"):
        client.get(server.url("/"))
    assert time.monotonic() - started < 15


def test_a_slow_drip_ends(server: servers.Server, client: web.Client, tmp_path: Path) -> None:
    server.routes["/a.tar.gz"] = servers.dripping(BODY, 100, 0.2)
    started = time.monotonic()
    with pytest.raises(web.Unreachable, match="slower than"):
        client.download(server.url("/a.tar.gz"), tmp_path)
    assert time.monotonic() - started < 15


def test_silence_ends(server: servers.Server, client: web.Client) -> None:
    server.routes["/"] = servers.stalling(30)
    started = time.monotonic()
    with pytest.raises(web.Unreachable):
        client.get(server.url("/"))
    assert time.monotonic() - started < 25


def test_a_dead_host_is_asked_once(client: web.Client) -> None:
    url = f"http://127.0.0.1:{servers.closed_port()}"
    with pytest.raises(web.Unreachable):
        client.get(f"{url}/a")
    started = time.monotonic()
    for number in range(20):
        with pytest.raises(web.Unreachable):
            client.get(f"{url}/{number}")
    assert time.monotonic() - started < 5


def test_everybody_gets_the_one_answer(server: servers.Server, client: web.Client) -> None:
    server.routes["/"] = servers.good(b"fine")
    found: list[bytes] = []
    threads = [threading.Thread(target=lambda: found.append(client.get(server.url("/")))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [b"fine"] * 8
    assert server.asked("/") == 1


def test_head_says_size_and_date(server: servers.Server, client: web.Client) -> None:
    headers = {"Last-Modified": "Wed, 02 Sep 2026 05:48:56 GMT", "Content-Length": "4711"}
    server.routes["/"] = servers.status(200, headers)
    head = client.head(server.url("/"))
    assert head.modified == datetime(2026, 9, 2, 5, 48, 56, tzinfo=UTC)
    assert [method for method, *_ in server.requests] == ["HEAD"]


def test_a_server_without_head(server: servers.Server, client: web.Client) -> None:
    def route(handler: object) -> None:
        method = handler.command  # type: ignore[attr-defined]
        (servers.status(405) if method == "HEAD" else servers.good(BODY))(handler)  # type: ignore[arg-type]

    server.routes["/"] = route
    assert client.head(server.url("/")).size == len(BODY)


def test_a_date_that_is_none(server: servers.Server, client: web.Client) -> None:
    server.routes["/"] = servers.status(200, {"Last-Modified": "yesterday"})
    assert client.head(server.url("/")).modified is None


def test_the_token_goes_to_github_only(server: servers.Server) -> None:
    client = web.Client(token="secret")
    assert client.headers_for("https://api.github.com/repos/a/b") == {"Authorization": "Bearer secret"}
    for url in (
        "http://api.github.com/",
        "https://api.github.com.example.org/",
        "https://github.com/",
        "https://example.org/api.github.com",
    ):
        assert client.headers_for(url) == {}
    server.routes["/"] = servers.good(b"fine")
    client.get(server.url("/"))
    assert "Authorization" not in server.requests[0][2]


def test_a_password_is_sent_and_not_shown(server: servers.Server, client: web.Client, tmp_path: Path) -> None:
    """A Debian mirror may want one."""
    server.routes["/short"] = servers.truncated(BODY, 10)
    server.routes["/loop"] = servers.redirecting("/loop")
    server.routes["/busy"] = servers.status(503)
    server.routes["/a.tar.gz"] = servers.html()
    closed = f"http://me:secret@127.0.0.1:{servers.closed_port()}"
    place = server.url("").replace("http://", "http://me:secret@")
    for url in (f"{place}/none", f"{place}/short", f"{place}/loop", f"{place}/busy", f"{closed}/", f"{closed}/"):
        with pytest.raises((web.Missing, web.Refused, web.Unreachable)) as caught:
            client.get(url)
        assert "secret" not in str(caught.value) and "127.0.0.1" in str(caught.value)
    with pytest.raises(web.Refused) as caught:
        client.download(f"{place}/a.tar.gz", tmp_path)
    assert "secret" not in str(caught.value)
    assert {headers["Authorization"] for _, _, headers in server.requests} == {"Basic bWU6c2VjcmV0"}


def test_cookies_are_not_kept(server: servers.Server, client: web.Client) -> None:
    server.routes["/a"] = servers.status(200, {"Set-Cookie": "who=you"})
    server.routes["/b"] = servers.good(b"fine")
    client.get(server.url("/a"))
    client.get(server.url("/b"))
    assert "Cookie" not in server.requests[1][2]


def test_json_that_is_none(server: servers.Server, client: web.Client) -> None:
    server.routes["/"] = servers.html()
    with pytest.raises(web.Refused, match="is not JSON"):
        client.json(server.url("/"))


def test_tls_is_not_left(server: servers.Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ca, certificate = certificates.make(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(ca))
    server.routes["/b"] = servers.good(b"page")
    with servers.running(certificate) as encrypted:
        encrypted.routes["/a"] = servers.redirecting(server.url("/b"))
        encrypted.routes["/c"] = servers.good(b"page")
        with pytest.raises(web.Refused, match="redirects to unencrypted"):
            web.Client().get(encrypted.url("/a"))
        assert web.Client().get(encrypted.url("/c")) == b"page"
    assert server.requests == []


def test_the_token_does_not_follow_a_redirect(server: servers.Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """For instance to the host that keeps what a release holds."""
    client = web.Client("secret")
    monkeypatch.setattr(client, "headers_for", lambda url: {"Authorization": "Bearer secret"})
    with servers.running() as other:
        other.routes["/page"] = servers.good(b"page")
        server.routes["/here"] = servers.redirecting("/there")
        server.routes["/there"] = servers.redirecting(other.url("/page"))
        assert client.get(server.url("/here")) == b"page"
        assert [headers["Authorization"] for _, _, headers in server.requests] == ["Bearer secret"] * 2
        assert other.requests[0][2]["Authorization"] is None


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("Content-Length", "²"),
        ("Content-Length", "9" * 5000),
        ("Last-Modified", "Fri, 01 Jan 2027 00:00:00 +99999999999999"),
        ("Last-Modified", "Fri, 31 Dec 9999 23:59:59 -2359"),
    ],
)
def test_a_header_that_means_nothing(server: servers.Server, client: web.Client, name: str, value: str) -> None:
    def route(handler: BaseHTTPRequestHandler) -> None:
        servers.head(handler, 200, {name: value})

    server.routes["/"] = route
    assert client.head(server.url("/")) == web.Head(None, None)


@pytest.mark.parametrize("value", ["²", "soon", "Fri, 01 Jan 2027 00:00:00 +99999999999999"])
def test_a_meaningless_retry_after(server: servers.Server, client: web.Client, value: str) -> None:
    server.routes["/"] = servers.failing(1, 429, then=servers.good(b"fine"), headers={"Retry-After": value})
    assert client.get(server.url("/")) == b"fine"


@pytest.mark.parametrize("what", servers.ENDLESS)
def test_what_drips_around_a_page_is_limited(
    server: servers.Server, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    monkeypatch.setattr(web, "LIMITS", replace(web.LIMITS, stall=0.3, attempts=1))
    server.routes["/"] = servers.ENDLESS[what]
    started = time.monotonic()
    with pytest.raises((web.Unreachable, web.Missing)):
        web.Client().get(server.url("/"))
    assert time.monotonic() - started < 15


@pytest.mark.parametrize(
    ("code", "meaning"),
    [(401, web.Unreachable), (403, web.Unreachable), (501, web.Unreachable), (410, web.Missing), (400, web.Refused)],
)
def test_what_a_status_means(
    server: servers.Server, client: web.Client, tmp_path: Path, code: int, meaning: type[Exception]
) -> None:
    """For a page, and for a file that HEAD said was there."""
    server.routes["/"] = servers.status(code)
    with pytest.raises(meaning, match=f"answers {code}"):
        client.get(server.url("/"))

    def route(handler: BaseHTTPRequestHandler) -> None:
        servers.status(200 if handler.command == "HEAD" else code)(handler)

    server.routes["/a.tar.gz"] = route
    with pytest.raises(meaning, match=f"answers {code}"):
        client.download(server.url("/a.tar.gz"), tmp_path)


def test_no_login_comes_from_netrc(
    server: servers.Server, client: web.Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither beside our own login, which it would replace, nor where we have none, nor after a redirect."""
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login stored password secret\n", encoding="utf-8")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    server.routes["/page"] = servers.good(b"page")
    server.routes["/there"] = servers.redirecting(server.url("/page"))
    client.get(server.url("/there"))
    session.Session().get(server.url("/there"), headers={"Authorization": "Bearer ours"})
    assert [headers["Authorization"] for _, _, headers in server.requests] == [None, None, "Bearer ours", "Bearer ours"]
    session.Session().get(
        server.url("/there").replace("127.0.0.1", "localhost"), headers={"Authorization": "Bearer ours"}
    )
    assert [headers["Authorization"] for _, _, headers in server.requests[4:]] == ["Bearer ours", None]


def test_json_that_is_too_deep(server: servers.Server, client: web.Client) -> None:
    server.routes["/deep.json"] = servers.good(b"[" * 200_000)
    with pytest.raises(web.Refused, match="is not JSON"):
        client.json(server.url("/deep.json"))
