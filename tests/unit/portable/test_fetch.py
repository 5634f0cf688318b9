"""Downloads against a real server on loopback that misbehaves in every way seen in the field."""

from __future__ import annotations

import dataclasses
import fcntl
import hashlib
import threading
import time
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest
from tests.support import certificates, servers

from portable import environment, errors, fetch
from portable.opener import Limits
from portable.progress import Progress
from portable.verdicts import Unusable

BODY = b"\x1f\x8b" + hashlib.sha256(b"seed").digest() * 2000  # begins like gzip
SHA256 = hashlib.sha256(BODY).hexdigest()
PATIENT = 15  # seconds: what a busy machine may take for what is quick, and far less than what never ends
QUICK = Limits(connect=1, stall=0.4, slowest=1000, total=5, attempts=3, backoff=0.01, retry_after=0.3)


@pytest.fixture
def fetcher() -> fetch.Fetcher:
    return fetch.Fetcher(limits=QUICK, mirrors=None)


def get(fetcher: fetch.Fetcher, url: str, tmp_path: Path, size: int | None = None, sha256: str = SHA256) -> Path:
    return fetcher.download(url, tmp_path / "deep" / "a.tar.gz", sha256=sha256, size=size)


def refused(fetcher: fetch.Fetcher, url: str, tmp_path: Path, *words: str, size: int | None = None) -> Unusable:
    """The error of a download that must fail: it names file, URL and reason, and leaves nothing that looks complete."""
    with pytest.raises(Unusable) as caught:
        get(fetcher, url, tmp_path, size)
    for word in ("a.tar.gz", url, *words):
        assert word in str(caught.value)
    assert not (tmp_path / "deep" / "a.tar.gz").exists()
    return caught.value


@pytest.mark.parametrize("size", [None, len(BODY)])
def test_good(server: servers.Server, fetcher: fetch.Fetcher, tmp_path: Path, size: int | None) -> None:
    server.routes["/a"] = servers.good(BODY)
    target = get(fetcher, server.url("/a"), tmp_path, size)
    assert target.read_bytes() == BODY
    assert [path.name for path in target.parent.iterdir()] == ["a.tar.gz"]
    get(fetcher, server.url("/a"), tmp_path, size)
    assert server.asked("/a") == 1, "a file that is there and right is not downloaded again"


def test_a_damaged_file_is_replaced(server: servers.Server, fetcher: fetch.Fetcher, tmp_path: Path) -> None:
    server.routes["/a"] = servers.good(BODY)
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "a.tar.gz").write_bytes(BODY[:-1] + b"?")
    assert get(fetcher, server.url("/a"), tmp_path).read_bytes() == BODY


@pytest.mark.parametrize("code", [408, 425, 429, 500, 502, 503, 504])
def test_errors_that_pass(server: servers.Server, fetcher: fetch.Fetcher, tmp_path: Path, code: int) -> None:
    server.routes["/a"] = servers.failing(2, code, then=servers.good(BODY))
    assert get(fetcher, server.url("/a"), tmp_path).read_bytes() == BODY
    assert server.asked("/a") == 3


def test_errors_that_stay(server: servers.Server, fetcher: fetch.Fetcher, tmp_path: Path) -> None:
    server.routes["/a"] = servers.status(503)
    error = refused(fetcher, server.url("/a"), tmp_path, "503", "same command again")
    assert server.asked("/a") == QUICK.attempts
    assert not error.missing


@pytest.mark.parametrize("code", [404, 410])
def test_missing(server: servers.Server, fetcher: fetch.Fetcher, tmp_path: Path, code: int) -> None:
    server.routes["/a"] = servers.status(code)
    assert refused(fetcher, server.url("/a"), tmp_path, "there is no such file").missing
    assert server.asked("/a") == 1


@pytest.mark.parametrize("code", [401, 403, 418])
def test_other_errors_are_not_repeated(
    server: servers.Server, fetcher: fetch.Fetcher, tmp_path: Path, code: int
) -> None:
    server.routes["/a"] = servers.status(code)
    assert not refused(fetcher, server.url("/a"), tmp_path, str(code)).missing
    assert server.asked("/a") == 1


def test_retry_after_is_obeyed(server: servers.Server, tmp_path: Path) -> None:
    fetcher = fetch.Fetcher(limits=Limits(backoff=0, retry_after=2), mirrors=None)
    server.routes["/a"] = servers.failing(1, 429, then=servers.good(BODY), headers={"Retry-After": "1"})
    started = time.monotonic()
    get(fetcher, server.url("/a"), tmp_path)
    assert time.monotonic() - started >= 1


@pytest.mark.parametrize("value", ["42578", "Fri, 01 Jan 2100 00:00:00 GMT"])
def test_a_huge_retry_after_is_not(server: servers.Server, fetcher: fetch.Fetcher, tmp_path: Path, value: str) -> None:
    server.routes["/a"] = servers.status(429, {"Retry-After": value})
    started = time.monotonic()
    refused(fetcher, server.url("/a"), tmp_path, "429", "asks to wait")
    assert time.monotonic() - started < PATIENT
    assert server.asked("/a") == 1


@pytest.mark.parametrize("value", ["soon", "²", "-1", "", "9" * 5000, "Fri, 01 Jan 0001 00:00:00 +9999999999999"])
def test_a_meaningless_retry_after_is_ignored(
    server: servers.Server, fetcher: fetch.Fetcher, tmp_path: Path, value: str
) -> None:
    server.routes["/a"] = servers.failing(1, 429, then=servers.good(BODY), headers={"Retry-After": value})
    assert get(fetcher, server.url("/a"), tmp_path).read_bytes() == BODY


def test_truncated_goes_on_where_it_stopped(server: servers.Server, fetcher: fetch.Fetcher, tmp_path: Path) -> None:
    server.routes["/a"] = servers.in_turn(servers.truncated(BODY, 1000), servers.good(BODY))
    assert get(fetcher, server.url("/a"), tmp_path).read_bytes() == BODY
    assert server.requests[1][2]["Range"] == "bytes=1000-"


def test_truncated_for_ever(server: servers.Server, fetcher: fetch.Fetcher, tmp_path: Path) -> None:
    server.routes["/a"] = servers.truncated(BODY, 1000)
    refused(fetcher, server.url("/a"), tmp_path, f"ended after 1000 of {len(BODY)} bytes")


def test_the_next_run_resumes(server: servers.Server, fetcher: fetch.Fetcher, tmp_path: Path) -> None:
    server.routes["/a"] = servers.truncated(BODY, 1000)
    refused(fetcher, server.url("/a"), tmp_path)
    server.routes["/a"] = servers.good(BODY)
    server.requests.clear()
    assert get(fetcher, server.url("/a"), tmp_path).read_bytes() == BODY
    assert [headers["Range"] for _, _, headers in server.requests] == ["bytes=1000-"]


def test_a_server_without_ranges_starts_again(server: servers.Server, fetcher: fetch.Fetcher, tmp_path: Path) -> None:
    server.routes["/a"] = servers.in_turn(servers.truncated(BODY, 1000), servers.good(BODY, ranges=False))
    assert get(fetcher, server.url("/a"), tmp_path).read_bytes() == BODY


@pytest.mark.parametrize("part", [b"\x1f\x8bsomething else", BODY + b"more", BODY[:-1] + b"?"])
def test_a_part_that_does_not_fit_is_dropped(
    server: servers.Server, fetcher: fetch.Fetcher, tmp_path: Path, part: bytes
) -> None:
    server.routes["/a"] = servers.good(BODY)
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "a.tar.gz.part").write_bytes(part)
    assert get(fetcher, server.url("/a"), tmp_path).read_bytes() == BODY


def test_a_complete_part_needs_no_request(server: servers.Server, fetcher: fetch.Fetcher, tmp_path: Path) -> None:
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "a.tar.gz.part").write_bytes(BODY)
    assert get(fetcher, server.url("/a"), tmp_path).read_bytes() == BODY
    assert server.requests == []


WRONG_RANGES = {
    "another range": servers.status(206, {"Content-Range": f"bytes 0-{len(BODY) - 1}/{len(BODY)}"}, BODY),
    "no range": servers.status(206, {}, BODY[1000:]),
    "a range that is none": servers.status(206, {"Content-Range": "bytes ²-³/*"}, BODY[1000:]),
    "a status": servers.status(400),
    "a crash": servers.status(500),
    "not satisfiable": servers.status(416),
}


@pytest.mark.parametrize("wrong", WRONG_RANGES)
def test_a_server_that_does_ranges_wrongly(
    server: servers.Server, fetcher: fetch.Fetcher, tmp_path: Path, wrong: str
) -> None:
    """An earlier part must not stand in the way of the whole file, not in this run and not in the next."""

    def route(handler: BaseHTTPRequestHandler) -> None:
        (WRONG_RANGES[wrong] if handler.headers["Range"] else servers.good(BODY))(handler)

    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "a.tar.gz.part").write_bytes(BODY[:1000])
    server.routes["/a"] = route
    assert get(fetcher, server.url("/a"), tmp_path).read_bytes() == BODY


def test_a_part_nobody_asked_for(server: servers.Server, fetcher: fetch.Fetcher, tmp_path: Path) -> None:
    server.routes["/a"] = servers.status(206, {"Content-Range": f"bytes 0-999/{len(BODY)}"}, BODY[:1000])
    refused(fetcher, server.url("/a"), tmp_path, "a part of the file where all of it")
    with pytest.raises(Unusable, match="a part of the file"):
        fetcher.read(server.url("/a"))


@pytest.mark.parametrize("name", ["ETag", "Last-Modified"])
def test_a_file_that_changes_meanwhile_is_not_joined(
    server: servers.Server, fetcher: fetch.Fetcher, tmp_path: Path, name: str
) -> None:
    """Without a hash nothing else would tell: servers that know If-Range send all of it, others the wrong rest."""
    newer = BODY.replace(b"\x00", b"\x01")
    assert len(newer) == len(BODY) and newer != BODY
    versions = (
        ['"one"', '"two"'] if name == "ETag" else ["Wed, 02 Sep 2026 05:48:56 GMT", "Thu, 03 Sep 2026 05:48:56 GMT"]
    )
    for knows_if_range in (True, False):

        def second(handler: BaseHTTPRequestHandler, knows: bool = knows_if_range) -> None:
            asked = handler.headers["Range"]
            if asked and knows:
                assert handler.headers["If-Range"] == versions[0]
            if asked and not knows:
                rest = {"Content-Range": f"bytes 1000-{len(BODY) - 1}/{len(BODY)}", name: versions[1]}
                servers.send(handler, 206, newer[1000:], rest)
            else:
                servers.send(handler, 200, newer, {name: versions[1]})

        server.routes["/a"] = servers.in_turn(servers.truncated(BODY, 1000, {name: versions[0]}), second)
        target = tmp_path / f"{knows_if_range}.tar.gz"
        assert fetcher.download(server.url("/a"), target, sha256=None).read_bytes() == newer


def test_a_part_of_unknown_origin_is_not_joined(server: servers.Server, fetcher: fetch.Fetcher, tmp_path: Path) -> None:
    (tmp_path / "a.tar.gz.part").write_bytes(b"\x1f\x8b another file")
    server.routes["/a"] = servers.good(BODY)
    assert fetcher.download(server.url("/a"), tmp_path / "a.tar.gz", sha256=None).read_bytes() == BODY
    assert server.requests[0][2]["Range"] is None


def test_html_instead_of_a_tarball(server: servers.Server, fetcher: fetch.Fetcher, tmp_path: Path) -> None:
    server.routes["/a"] = servers.html()
    refused(fetcher, server.url("/a"), tmp_path, "an HTML page")
    refused(fetcher, server.url("/a"), tmp_path, "an HTML page", size=len(BODY))
    assert server.asked("/a") == 2, "not asked again in the same run"
    assert list((tmp_path / "deep").iterdir()) == [], "no part that a later run would go on from"


def test_another_format(server: servers.Server, fetcher: fetch.Fetcher, tmp_path: Path) -> None:
    server.routes["/a"] = servers.good(b"\xfd7zXZ\x00" + BODY)
    refused(fetcher, server.url("/a"), tmp_path, "not gz data")


def test_other_content(server: servers.Server, fetcher: fetch.Fetcher, tmp_path: Path) -> None:
    other = BODY[:-1] + b"?"
    server.routes["/a"] = servers.good(other)
    refused(fetcher, server.url("/a"), tmp_path, "not what was pinned", SHA256, hashlib.sha256(other).hexdigest())
    assert server.asked("/a") == 1
    assert list((tmp_path / "deep").iterdir()) == []


def test_a_file_that_nothing_is_known_about(server: servers.Server, fetcher: fetch.Fetcher, tmp_path: Path) -> None:
    """For updaters, which have other proofs: still complete, of its format, and the one that is there now."""
    target = tmp_path / "a.tar.gz"
    target.write_bytes(b"from an earlier attempt")
    server.routes["/a"] = servers.in_turn(servers.truncated(BODY, 1000), servers.good(BODY))
    assert fetcher.download(server.url("/a"), target, sha256=None).read_bytes() == BODY
    server.routes["/a"] = servers.html()
    with pytest.raises(Unusable, match="an HTML page") as caught:
        fetcher.download(server.url("/a"), target, sha256=None)
    assert not caught.value.passing


def test_empty(server: servers.Server, fetcher: fetch.Fetcher, tmp_path: Path) -> None:
    server.routes["/a"] = servers.good(b"")
    refused(fetcher, server.url("/a"), tmp_path, "only 0 bytes")


@pytest.mark.parametrize("body", [BODY + b"?", BODY[:-1]])
def test_wrong_size(server: servers.Server, fetcher: fetch.Fetcher, tmp_path: Path, body: bytes) -> None:
    server.routes["/a"] = servers.good(body)
    refused(fetcher, server.url("/a"), tmp_path, f"{len(body)} bytes long", str(len(BODY)), size=len(BODY))


def test_too_large(server: servers.Server, tmp_path: Path) -> None:
    fetcher = fetch.Fetcher(limits=Limits(most=1000), mirrors=None)
    server.routes["/announced"] = servers.good(BODY)
    server.routes["/endless"] = servers.endless(BODY)
    refused(fetcher, server.url("/announced"), tmp_path, "more than the 1000 allowed")
    refused(fetcher, server.url("/endless"), tmp_path, "longer than 1000 bytes")


def test_a_drip_is_given_up(server: servers.Server, fetcher: fetch.Fetcher, tmp_path: Path) -> None:
    server.routes["/a"] = servers.dripping(BODY, 2, 0.05)
    refused(fetcher, server.url("/a"), tmp_path, "slower than 1 kB a second")


def test_silence_is_given_up(server: servers.Server, fetcher: fetch.Fetcher, tmp_path: Path) -> None:
    server.routes["/a"] = servers.stalling(2)
    refused(fetcher, server.url("/a"), tmp_path, "does not answer in time")
    server.routes["/a"] = servers.dripping(BODY, 40_000, 2)
    refused(fetcher, server.url("/a"), tmp_path, "broke off after", "no data in time")


@pytest.mark.parametrize("what", servers.ENDLESS)
def test_what_drips_around_a_body_is_limited(server: servers.Server, tmp_path: Path, what: str) -> None:
    """Each byte comes in time; only a limit for all of them together ends it."""
    limits = dataclasses.replace(QUICK, attempts=1, stall=0.3)
    fetcher = fetch.Fetcher(limits=limits, mirrors=None)
    server.routes["/a"] = servers.ENDLESS[what]
    started = time.monotonic()
    refused(fetcher, server.url("/a"), tmp_path)
    with pytest.raises(Unusable):
        fetcher.read(server.url("/a"))
    assert time.monotonic() - started < PATIENT


def test_all_attempts_together_are_limited(server: servers.Server, tmp_path: Path) -> None:
    limits = dataclasses.replace(QUICK, total=0.6, stall=0.4, attempts=50, backoff=10)
    fetcher = fetch.Fetcher(limits=limits, mirrors=None)
    for route in (servers.stalling(1), servers.status(503)):
        server.routes["/a"] = route
        started = time.monotonic()
        refused(fetcher, server.url("/a"), tmp_path)
        with pytest.raises(Unusable):
            fetcher.read(server.url("/a"))
        assert time.monotonic() - started < PATIENT


def test_waiting_for_another_process_is_limited_and_shown(server: servers.Server, tmp_path: Path) -> None:
    fetcher = fetch.Fetcher(limits=dataclasses.replace(QUICK, total=0.5), mirrors=None)
    with (tmp_path / "a.tar.gz.part").open("w") as stream, Progress(quiet=True) as progress:
        fcntl.flock(stream, fcntl.LOCK_EX)
        task = progress.task("a")
        started = time.monotonic()
        with pytest.raises(Unusable, match=r"a\.tar\.gz\.part: another process has kept it locked") as caught:
            fetcher.download(server.url("/a"), tmp_path / "a.tar.gz", sha256=SHA256, task=task)
        assert 0.5 <= time.monotonic() - started < PATIENT
        assert caught.value.passing and "another process" in task.describe()
    assert server.requests == []


def test_the_total_time_is_limited(server: servers.Server, tmp_path: Path) -> None:
    fetcher = fetch.Fetcher(limits=Limits(total=0.2), mirrors=None)
    server.routes["/a"] = servers.dripping(BODY, 1000, 0.05)
    refused(fetcher, server.url("/a"), tmp_path, "not complete within")


def test_redirects(server: servers.Server, fetcher: fetch.Fetcher, tmp_path: Path) -> None:
    server.routes["/a"] = servers.redirecting("/b")
    server.routes["/b"] = servers.good(BODY)
    assert get(fetcher, server.url("/a"), tmp_path).read_bytes() == BODY


def test_a_redirect_loop(server: servers.Server, fetcher: fetch.Fetcher, tmp_path: Path) -> None:
    server.routes["/a"] = servers.redirecting("/b")
    server.routes["/b"] = servers.redirecting("/a")
    refused(fetcher, server.url("/a"), tmp_path, "redirects more than 5 times")
    assert len(server.requests) <= 2 * (QUICK.redirects + 1)


@pytest.mark.parametrize("to", ["ftp://127.0.0.1:1/a", "file:///etc/hostname", "data:,a"])
def test_no_redirect_away_from_http(server: servers.Server, fetcher: fetch.Fetcher, tmp_path: Path, to: str) -> None:
    server.routes["/a"] = servers.redirecting(to)
    refused(fetcher, server.url("/a"), tmp_path, f"redirects to {to}")


def test_no_redirect_from_tls_to_plain_http(server: servers.Server, tmp_path: Path) -> None:
    ca, certificate = certificates.make(tmp_path)
    fetcher = fetch.Fetcher(limits=QUICK, mirrors=None, ca_bundle=ca)
    server.routes["/b"] = servers.good(BODY)
    with servers.running(certificate) as encrypted:
        encrypted.routes["/a"] = servers.redirecting(server.url("/b"))
        refused(fetcher, encrypted.url("/a"), tmp_path, f"redirects to unencrypted {server.url('/b')}")
        server.routes["/c"] = servers.redirecting(encrypted.url("/d"))
        encrypted.routes["/d"] = servers.good(BODY)
        assert get(fetcher, server.url("/c"), tmp_path).read_bytes() == BODY


def test_a_password_stays_with_its_host_and_out_of_messages(
    server: servers.Server, fetcher: fetch.Fetcher, tmp_path: Path
) -> None:
    with servers.running() as other:
        other.routes["/a"] = servers.good(BODY)
        server.routes["/a"] = servers.redirecting(other.url("/a"))
        url = server.url("/a").replace("http://", "http://me:s%40cret@")
        assert get(fetcher, url, tmp_path).read_bytes() == BODY
        assert server.requests[0][2]["Authorization"] == "Basic bWU6c0BjcmV0"
        assert other.requests[0][2]["Authorization"] is None
    with pytest.raises(Unusable) as caught:
        fetcher.download(url.replace("/a", "/none"), tmp_path / "none", sha256=SHA256)
    assert "cret" not in str(caught.value)


def test_connection_reset_and_refused(server: servers.Server, fetcher: fetch.Fetcher, tmp_path: Path) -> None:
    server.routes["/a"] = servers.resetting
    refused(fetcher, server.url("/a"), tmp_path, "the connection failed")
    assert server.asked("/a") == QUICK.attempts
    refused(fetcher, f"http://127.0.0.1:{servers.closed_port()}/a", tmp_path, "refused")


@pytest.mark.parametrize("url", ["nonsense", "gopher://127.0.0.1/a", "http://127.0.0.1:port/a", "http://[/a"])
def test_urls_that_are_none(fetcher: fetch.Fetcher, tmp_path: Path, url: str) -> None:
    refused(fetcher, url, tmp_path)


def test_mirrors_and_alternatives_in_order(server: servers.Server, tmp_path: Path) -> None:
    text = f"# comment\n\n{server.url('/one/')} {server.url('/two/')} {server.url('/three/')}\n"
    (tmp_path / "mirrors.txt").write_text(text)
    fetcher = fetch.Fetcher(limits=QUICK, mirrors=tmp_path / "mirrors.txt")
    server.routes["/two/a"] = servers.html()
    server.routes["/three/a"] = servers.good(BODY[:-1] + b"?")
    server.routes["/four"] = servers.good(BODY)
    target = tmp_path / "a.tar.gz"
    fetcher.download(server.url("/one/a"), target, sha256=SHA256, alternatives=[server.url("/four")])
    assert target.read_bytes() == BODY
    assert [path for _, path, _ in server.requests] == ["/one/a", "/two/a", "/three/a", "/four"]


def test_the_error_names_every_place(server: servers.Server, fetcher: fetch.Fetcher, tmp_path: Path) -> None:
    server.routes["/two"] = servers.html()
    with pytest.raises(Unusable) as caught:
        fetcher.download(server.url("/one"), tmp_path / "a.tar.gz", sha256=SHA256, alternatives=[server.url("/two")])
    lines = str(caught.value).splitlines()
    assert "/one: it answers 404" in lines[1] and "/two: it is an HTML page" in lines[2]
    assert not caught.value.missing, "one of the places did not say that the file does not exist"


def test_file_urls(fetcher: fetch.Fetcher, tmp_path: Path) -> None:
    (tmp_path / "source").write_bytes(BODY)
    assert get(fetcher, (tmp_path / "source").as_uri(), tmp_path).read_bytes() == BODY
    assert refused_missing(fetcher, (tmp_path / "none").as_uri(), tmp_path)


def refused_missing(fetcher: fetch.Fetcher, url: str, tmp_path: Path) -> bool:
    with pytest.raises(Unusable) as caught:
        fetcher.download(url, tmp_path / "other", sha256=SHA256)
    return caught.value.missing


def test_an_exception_stops_the_other_downloads(server: servers.Server, tmp_path: Path) -> None:
    fetcher = fetch.Fetcher(mirrors=None)
    server.routes["/drip"] = servers.dripping(BODY, 100, 0.1)
    dripping = threading.Event()

    def work(name: str) -> Path:
        if name == "interrupt":
            dripping.wait()
            time.sleep(0.1)
            raise KeyboardInterrupt
        dripping.set()
        return get(fetcher, server.url(f"/{name}"), tmp_path)

    started = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        fetch.in_parallel(work, ["interrupt", "drip", "never started"], 2, fetcher)
    assert time.monotonic() - started < PATIENT, "the drip alone would take a minute"
    assert server.asked("/never started") == 0
    assert (tmp_path / "deep" / "a.tar.gz.part").stat().st_size > 0, "the next run goes on from here"


def test_two_at_once_share_one_download(server: servers.Server, tmp_path: Path) -> None:
    fetcher = fetch.Fetcher(limits=QUICK, mirrors=None)
    server.routes["/a"] = servers.dripping(BODY, 20_000, 0.02)
    targets = fetch.in_parallel(lambda _: get(fetcher, server.url("/a"), tmp_path), range(4), 4, fetcher)
    assert {target.read_bytes() for target in targets} == {BODY}
    assert server.asked("/a") == 1
    assert [path.name for path in (tmp_path / "deep").iterdir()] == ["a.tar.gz"]


def test_a_place_that_cannot_be_written(server: servers.Server, fetcher: fetch.Fetcher, tmp_path: Path) -> None:
    server.routes["/a"] = servers.good(BODY)
    (tmp_path / "deep").write_text("no directory")
    with pytest.raises(errors.Failure, match=r"a\.tar\.gz cannot be written: (Not a directory|File exists)"):
        get(fetcher, server.url("/a"), tmp_path)


def test_proxy(server: servers.Server, tmp_path: Path) -> None:
    server.routes["http://mirror.example.org/a"] = servers.good(BODY)
    fetcher = fetch.Fetcher(limits=QUICK, mirrors=None, proxies={"http": server.url("")})
    assert get(fetcher, "http://mirror.example.org/a", tmp_path).read_bytes() == BODY
    server.routes["http://mirror.example.org/b"] = servers.status(407)
    refused(fetcher, "http://mirror.example.org/b", tmp_path / "b", "the proxy wants a user name")


def test_pages(server: servers.Server, fetcher: fetch.Fetcher) -> None:
    server.routes["/page"] = servers.failing(1, 500, then=servers.good(b"text"))
    server.routes["/short"] = servers.truncated(b"text", 2)
    assert fetcher.read(server.url("/page")) == b"text"
    with pytest.raises(Unusable, match="ended after 2 of 4 bytes"):
        fetcher.read(server.url("/short"))
    with pytest.raises(Unusable, match="longer than 3 bytes"):
        fetcher.read(server.url("/page"), most=3)


def test_ca_bundle(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "empty.pem").write_text("")
    with pytest.raises(errors.UserError, match=r"none\.pem cannot be used"):
        fetch.Fetcher(ca_bundle=tmp_path / "none.pem")
    with pytest.raises(errors.UserError, match=r"empty\.pem cannot be used"):
        fetch.Fetcher(ca_bundle=tmp_path / "empty.pem")
    for name in environment.CA_VARIABLES:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(tmp_path / "none.pem"))
    with pytest.raises(errors.UserError, match=r"none\.pem"):
        fetch.Fetcher()


def test_the_projects_mirrors_are_well_formed() -> None:
    found = fetch.read_mirrors(fetch.MIRRORS_TXT)
    assert found
    for prefix, alternatives in found.items():
        assert alternatives, f"{prefix} has no alternative"
        for url in (prefix, *alternatives):
            assert url.startswith("https://") and url.endswith("/"), url
