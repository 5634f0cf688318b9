"""Look-ups of names, and what headers say, whatever they say."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import hypothesis
import pytest
from hypothesis import strategies
from tests.support import servers

from portable import fetch, transport


@pytest.fixture
def lookups(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """The names that are really looked up, each slowly, with nothing remembered before."""
    asked: list[str] = []
    real = socket.getaddrinfo

    def slow(host: str, *more: Any, **named: Any) -> Any:
        if not host.replace(".", "").replace(":", "").isdigit():  # an address is looked up by nobody
            asked.append(host)
            time.sleep(0.1)
        return real(host, *more, **named)

    monkeypatch.setattr(socket, "getaddrinfo", slow)
    monkeypatch.setattr(transport, "_lookups", {})
    yield asked


def test_a_name_is_looked_up_once_by_all_downloads_of_all_fetchers(lookups: list[str]) -> None:
    fetchers = [fetch.Fetcher(mirrors=None, proxies={"no": "*"}) for _ in range(2)]
    with servers.running() as server:
        server.routes["/a"] = servers.good(b"fine")
        url = server.url("/a").replace("127.0.0.1", "localhost")
        read = fetch.in_parallel(lambda number: fetchers[number % 2].read(url), range(20), 10, fetchers[0])
    assert read == [b"fine"] * 20
    assert lookups == ["localhost"]


def test_a_failed_lookup_is_shared_but_not_remembered(lookups: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    problems: list[OSError] = []

    def look() -> None:
        with pytest.raises(OSError) as caught:
            transport.addresses("none.invalid", 80)
        problems.append(caught.value)

    threads = [threading.Thread(target=look) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(problems) == 8 and lookups == ["none.invalid"]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: [(2, 1, 6, "", ("127.0.0.1", 80))])
    assert transport.addresses("none.invalid", 80) == [("127.0.0.1", 80)]


def test_numbers() -> None:
    assert transport.number("4711") == 4711 and transport.number(" 5 ") == 5
    for text in ("", "²", "٣", "-1", "+1", "1_0", "1.0", "9" * 5000, "5\n"):
        assert transport.number(text) is None, text


def test_dates() -> None:
    expected = datetime(2026, 9, 2, 5, 48, 56, tzinfo=UTC)
    for text in (
        "Wed, 02 Sep 2026 05:48:56 GMT",
        "Wed, 02 Sep 2026 05:48:56 -0000",
        "Wednesday, 02-Sep-26 05:48:56 GMT",
        "Wed, 02 Sep 2026 07:48:56 +0200",
    ):
        assert transport.moment(text) == expected, text
    for text in (
        "",
        " ",
        "soon",
        "Fri, 31 Dec 9999 23:59:59 -2359",
        "Fri, 01 Jan 2027 00:00:00 +99999999999999",
        f"Fri, 01 Jan {'9' * 5000} 00:00:00 GMT",
        "Fri, 40 Jan 2027 00:00:00 GMT",
    ):
        assert transport.moment(text) is None, text


@hypothesis.given(
    strategies.lists(
        strategies.sampled_from(["Fri", ",", "40", "Jan", "2027", "0", "²", "00:00:00", ":", "GMT", "+", "-9999", "("])
        | strategies.text(max_size=4)
    ),
    strategies.sampled_from(["", " "]),
)
def test_no_header_is_a_traceback(words: list[str], between: str) -> None:
    text = between.join(words)
    found = transport.moment(text)
    assert found is None or found.tzinfo is UTC
    transport.number(text)
