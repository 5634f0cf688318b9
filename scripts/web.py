"""HTTP for the updaters: every request has time and size limits, a bounded wait, and is made once in a run.

Three outcomes besides success, because they mean different things to an updater: the host did not answer
(`Unreachable`), it answered that the thing is not there (`Missing`), it sent something unusable (`Refused`).
"""

from __future__ import annotations

import email.utils
import hashlib
import json
import re
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from http.cookiejar import DefaultCookiePolicy
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

import requests
import urllib3
from requests.adapters import HTTPAdapter

import fetch

T = TypeVar("T")

USER_AGENT = "manylinux-updater"
CONNECT_SECONDS, READ_SECONDS = 10, 30
RETRY_AFTER_SECONDS = 20  # the longest Retry-After obeyed: python.org has asked for twelve hours
SLOWEST = 10_000  # bytes a second on average, after READ_SECONDS of grace
PAGE_LIMIT = 16 << 20
FILE_LEAST, FILE_LIMIT = 10_000, 400 << 20
GITHUB_API = "api.github.com"


class Unreachable(Exception):
    """The host did not answer, not in time, or only that it cannot answer now."""


class Missing(Exception):
    """The host answered: there is no such thing."""


class Refused(Exception):
    """The host answered with something that is not what was asked for."""


@dataclass(frozen=True)
class Head:
    """What a server says about a file: size in bytes, last modification, where it says so."""

    size: int | None
    modified: datetime | None
    headers: Mapping[str, str]


@dataclass(frozen=True)
class File:
    """A complete and plausible download."""

    path: Path
    size: int
    sha256: str
    sha3_256: str


class Client:
    """The HTTP of one run: may be used from many threads, remembers answers and hosts that are down."""

    def __init__(self, token: str | None = None) -> None:
        self._token = token
        self._session = requests.Session()
        self._session.max_redirects = 5
        self._session.headers.update({"User-Agent": USER_AGENT, "Accept-Encoding": "identity"})
        self._session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
        retry = urllib3.Retry(
            total=2,
            connect=1,
            backoff_factor=0.3,
            status_forcelist=(429, 500, 502, 503, 504),
            raise_on_status=False,
            retry_after_max=RETRY_AFTER_SECONDS,
        )
        for scheme in ("http://", "https://"):
            self._session.mount(scheme, HTTPAdapter(max_retries=retry, pool_maxsize=64))
        self._lock = threading.Lock()
        self._once: dict[str, Future[Any]] = {}
        self._down: dict[str, str] = {}

    def get(self, url: str) -> bytes:
        """A page of at most PAGE_LIMIT bytes."""

        def fetch() -> bytes:
            with self._answer("GET", url) as answer:
                return b"".join(_chunks(answer, PAGE_LIMIT))

        return self.once(("GET", url), fetch)

    def json(self, url: str) -> Any:
        """A parsed JSON document. Raises Refused where it is none."""
        try:
            return json.loads(self.get(url))
        except ValueError as error:
            raise Refused(f"{url} is not JSON: {error}") from None

    def head(self, url: str) -> Head:
        """What the server says about a URL, by HEAD, or by an unread GET where it does not do HEAD."""

        def fetch() -> Head:
            try:
                with self._answer("HEAD", url) as answer:
                    return _head(answer)
            except Refused:
                with self._answer("GET", url) as answer:
                    return _head(answer)

        return self.once(("HEAD", url), fetch)

    def download(self, url: str, directory: Path) -> File:
        """A file, stored in `directory` under the last part of its URL.

        Raises Refused for a size or first bytes that no
        release of this name can have: too small, too big, HTML."""
        name = urlsplit(url).path.rpartition("/")[2]
        path = directory / name
        sha256, sha3, size = hashlib.sha256(), hashlib.sha3_256(), 0
        with self._answer("GET", url) as answer, path.open("wb") as stream:
            for chunk in _chunks(answer, FILE_LIMIT):
                if size == 0:
                    _expect_format(url, name, chunk)
                stream.write(chunk)
                sha256.update(chunk)
                sha3.update(chunk)
                size += len(chunk)
        if size < FILE_LEAST:
            raise Refused(f"{url} is only {size} bytes long")
        return File(path, size, sha256.hexdigest(), sha3.hexdigest())

    def once(self, key: object, make: Callable[[], T]) -> T:
        """The result (or exception) of `make`, called by the first caller with this key; the others wait."""
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
        """The token goes to GitHub's API over TLS and nowhere else."""
        parts = urlsplit(url)
        if self._token and (parts.scheme, parts.hostname) == ("https", GITHUB_API):
            return {"Authorization": f"Bearer {self._token}"}
        return {}

    @contextmanager
    def _answer(self, method: str, url: str) -> Iterator[requests.Response]:
        host = urlsplit(url).netloc
        if reason := self._down.get(host):
            raise Unreachable(f"{host}: {reason}")
        try:
            answer = self._session.request(
                method,
                url,
                headers=self.headers_for(url),
                timeout=(CONNECT_SECONDS, READ_SECONDS),
                stream=True,
                allow_redirects=True,
            )
            with answer:
                _judge(url, answer)
                yield answer
        except requests.TooManyRedirects:
            raise Refused(f"{url} redirects for ever") from None
        except requests.ConnectionError as error:
            if error.request and error.request.url:
                host = urlsplit(error.request.url).netloc  # not the one that redirected there
            self._down[host] = _plain(error)
            raise Unreachable(f"{host}: {_plain(error)}") from None
        except requests.Timeout:
            raise Unreachable(f"{host}: no answer within {READ_SECONDS} seconds") from None
        except requests.RequestException as error:
            raise Unreachable(f"{host}: {_plain(error)}") from None


def _judge(url: str, answer: requests.Response) -> None:
    """Raises what the status means; a redirect from TLS to plain HTTP is refused."""
    hops = [urlsplit(hop.url).scheme for hop in (*answer.history, answer)]
    if "https" in hops and hops[-1] != "https":
        raise Refused(f"{url} redirects to plain {answer.url}")
    status = answer.status_code
    if status in (404, 410):
        raise Missing(f"{url} answers {status}")
    if status in (401, 403, 408, 425, 429) or status >= 500:
        raise Unreachable(f"{urlsplit(url).netloc}: status {status} for {url}")
    if status != 200:
        raise Refused(f"{url} answers {status}")


def _chunks(answer: requests.Response, limit: int) -> Iterator[bytes]:
    """The body as it arrives. Raises Refused beyond `limit` bytes, Unreachable when it breaks off or is slow."""
    started, size = time.monotonic(), 0
    try:
        while chunk := answer.raw.read1(1 << 16):
            size += len(chunk)
            if size > limit:
                raise Refused(f"{answer.url} is longer than {limit} bytes")
            if time.monotonic() - started > READ_SECONDS + size / SLOWEST:
                raise Unreachable(f"{answer.url} comes slower than {SLOWEST // 1000} kB a second")
            yield chunk
    except urllib3.exceptions.HTTPError:
        raise Unreachable(f"{answer.url} breaks off after {size} bytes") from None


def _head(answer: requests.Response) -> Head:
    length, modified = answer.headers.get("Content-Length"), answer.headers.get("Last-Modified")
    try:
        when = email.utils.parsedate_to_datetime(modified).astimezone(UTC) if modified else None
    except ValueError:
        when = None
    return Head(int(length) if length and length.isdigit() else None, when, answer.headers)


def _expect_format(url: str, name: str, start: bytes) -> None:
    magic = fetch.MAGIC.get(Path(name).suffix)
    if magic and not start.startswith(magic):
        what = "an HTML page" if start.lstrip()[:1] == b"<" else f"not {Path(name).suffix[1:]} data"
        raise Refused(f"{url} is {what}")


def _plain(error: BaseException) -> str:
    """The innermost cause in a few words, without addresses of Python objects."""
    cause: Any = error
    while isinstance(inner := getattr(cause, "reason", None) or next(iter(cause.args), None), BaseException):
        cause = inner
    if isinstance(cause, urllib3.exceptions.NameResolutionError):
        return "name not known"
    words = re.sub(r"^(<.*>|\w+\(host=.*?\)): ", "", str(cause))
    return " ".join(re.sub(r"\[Errno -?\d+\] ", "", words).split()) or type(cause).__name__
