"""The HTTP client of the updaters: it makes each request once in a run and remembers which hosts are down.

portable/fetch.py makes the requests. Three errors mean different things to an updater: the host did not answer
(`Unreachable`), it answered that there is no such thing (`Missing`), it sent something unusable (`Refused`).
"""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

from portable import fetch, files, transport
from portable.opener import Limits
from portable.verdicts import Unusable

T = TypeVar("T")

# `least` and `most` are for files. Patience is shorter than a build's: there are other hosts to ask.
LIMITS = Limits(total=600, attempts=3, silent=2, backoff=0.3, retry_after=20, least=10_000, most=400 << 20)
PAGE_LIMIT = 16 << 20
GITHUB_API = "api.github.com"


class Unreachable(Exception):
    """The host did not answer, did not answer in time, or answered that it cannot do so now."""


class Missing(Exception):
    """The host answered that there is no such thing."""


class Refused(Exception):
    """The host answered with something else than was asked for."""


@dataclass(frozen=True)
class Head:
    """What a server says about a file: its size in bytes and its last modification, None where it does not say."""

    size: int | None
    modified: datetime | None


@dataclass(frozen=True)
class Download:
    """A complete and plausible file that was downloaded."""

    path: Path
    sha256: str


class Client:
    """Remembers answers and hosts that are down for one run; may be used from many threads."""

    def __init__(self, token: str | None = None) -> None:
        self._token = token
        self._fetcher = fetch.Fetcher(limits=LIMITS, mirrors=None)
        self._lock = threading.Lock()
        self._once: dict[str, Future[Any]] = {}
        self._down: dict[str, str] = {}
        self._modified: dict[str, datetime | None] = {}

    def get(self, url: str, sha256: str = "") -> bytes:
        """A page of at most PAGE_LIMIT bytes. Raises Refused where it has another sha256 than the one that is known."""

        def ask() -> bytes:
            answer = self._ask("GET", url)
            self._modified[url] = _head(answer).modified
            return answer.body

        content = self.once(("GET", url), ask)
        if sha256 and hashlib.sha256(content).hexdigest() != sha256:
            raise Refused(f"{url} is not the file that is known by its sha256 ({sha256[:12]}...)")
        return content

    def modified(self, url: str) -> datetime | None:
        """The last modification of the page that `get` returned; None without such a page, or if unknown."""
        return self._modified.get(url)

    def json(self, url: str) -> Any:
        """A parsed JSON document. Raises Refused if it is not JSON."""
        try:
            return json.loads(self.get(url))
        except (ValueError, RecursionError) as error:
            raise Refused(f"{url} is not JSON: {error}") from None

    def head(self, url: str) -> Head:
        """What the server says about a URL: by HEAD, else by a GET whose body is not read."""

        def ask() -> Head:
            try:
                return _head(self._ask("HEAD", url))
            except Refused:
                return _head(self._ask("GET", url, unread=True))

        return self.once(("HEAD", url), ask)

    def download(self, url: str, directory: Path, sha256: str | None = None) -> Download:
        """Downloads a file to `directory`, under the last part of its URL. `sha256`: if it is known before.

        Raises Refused for a file that cannot be a release of this name: too small, too big, or HTML."""
        self.head(url)  # tells a file that is not there from a host that does not answer
        path = directory / urlsplit(url).path.rpartition("/")[2]
        try:
            self._fetcher.download(url, path, sha256=sha256)
        except Unusable as error:
            raise self._problem(error) from None
        return Download(path, sha256 or files.digest(path))

    def once(self, key: object, make: Callable[[], T]) -> T:
        """The result or exception of `make`. The first caller with this key calls it, the others wait."""
        with self._lock:
            future = self._once.get(repr(key))
            mine = future is None
            if future is None:
                future = self._once[repr(key)] = Future()
        if mine:
            try:
                future.set_result(make())
            except BaseException as error:
                future.set_exception(error)
        result: T = future.result()
        return result

    def headers_for(self, url: str) -> dict[str, str]:
        """The headers for a URL: the token goes only to GitHub's API, over TLS."""
        parts = urlsplit(url)
        if self._token and (parts.scheme, parts.hostname) == ("https", GITHUB_API):
            return {"Authorization": f"Bearer {self._token}"}
        return {}

    def _ask(self, method: str, url: str, *, unread: bool = False) -> fetch.Page:
        host = urlsplit(transport.without_password(url)).netloc
        if reason := self._down.get(host):
            raise Unreachable(reason)
        try:
            return self._fetcher.ask(url, method=method, headers=self.headers_for(url), most=PAGE_LIMIT, unread=unread)
        except Unusable as error:
            raise self._problem(error) from None

    def _problem(self, error: Unusable) -> Exception:
        """The updater's error for an unusable URL; remembers hosts that did not answer."""
        reasons = "; ".join(error.reasons)
        self._down |= dict.fromkeys(error.silent, reasons)
        return (Missing if error.missing else Unreachable if error.unanswered else Refused)(reasons)


def _head(answer: fetch.Page) -> Head:
    size, modified = answer.headers.get("Content-Length", ""), answer.headers.get("Last-Modified", "")
    return Head(transport.number(size), transport.moment(modified))
