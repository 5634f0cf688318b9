"""What the updaters ask of servers: every request has time and size limits, a bounded wait, and is made once in a run.

Pages and what HEAD says are read here; files are downloaded by fetch.py, as everywhere else.

Three outcomes besides success, because they mean different things to an updater: the host did not answer
(`Unreachable`), it answered that the thing is not there (`Missing`), it sent something unusable (`Refused`).
"""

from __future__ import annotations

import email.utils
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
from requests.auth import AuthBase, HTTPBasicAuth
from requests.utils import get_auth_from_url

import environment
import fetch

T = TypeVar("T")

USER_AGENT = "manylinux-updater"
# `least` and `most` are for files. Patience is shorter than a build's: there are other hosts to ask.
LIMITS = fetch.Limits(total=600, attempts=3, backoff=0.3, retry_after=20, least=10_000, most=400 << 20)
PAGE_LIMIT = 16 << 20
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
    sha256: str


class _NamedLogin(AuthBase):
    """The login that a URL or a header names: where requests knows of one, it looks for none in .netrc."""

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        login = get_auth_from_url(request.url or "")
        return HTTPBasicAuth(*login)(request) if any(login) and "Authorization" not in request.headers else request


class Session(requests.Session):
    """Sends no login but the one that it was given: what a .netrc says would replace that. It keeps no cookies."""

    def __init__(self) -> None:
        super().__init__()
        self.auth = _NamedLogin()
        self.verify = str(environment.ca_bundle() or "") or True  # requests reads some of its variables only
        self.headers.update({"Accept-Encoding": "identity"})  # what is compressed can be larger than it looks
        self.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))

    def rebuild_auth(self, prepared_request: requests.PreparedRequest, response: requests.Response) -> None:
        """After a redirect: the login goes to the host that it was meant for, and nowhere else."""
        if self.should_strip_auth(response.request.url, prepared_request.url):  # type: ignore[no-untyped-call]
            prepared_request.headers.pop("Authorization", None)


class Client:
    """The HTTP of one run: may be used from many threads, remembers answers and hosts that are down."""

    def __init__(self, token: str | None = None) -> None:
        self._token = token
        self._session = Session()
        self._session.max_redirects = LIMITS.redirects
        self._session.headers.update({"User-Agent": USER_AGENT})
        retry = urllib3.Retry(
            total=LIMITS.attempts - 1,
            connect=1,
            backoff_factor=LIMITS.backoff,
            status_forcelist=(429, 500, 502, 503, 504),
            raise_on_status=False,
            retry_after_max=int(LIMITS.retry_after),
        )
        for scheme in ("http://", "https://"):
            self._session.mount(scheme, HTTPAdapter(max_retries=retry, pool_maxsize=64))
        self._fetcher = fetch.Fetcher(limits=LIMITS, mirrors=None)
        self._lock = threading.Lock()
        self._once: dict[str, Future[Any]] = {}
        self._down: dict[str, str] = {}
        self._modified: dict[str, datetime | None] = {}

    def get(self, url: str) -> bytes:
        """A page of at most PAGE_LIMIT bytes."""

        def ask() -> bytes:
            with self._answer("GET", url) as answer:
                self._modified[url] = _head(answer).modified
                return b"".join(chunks(answer, PAGE_LIMIT))

        return self.once(("GET", url), ask)

    def modified(self, url: str) -> datetime | None:
        """The last modification of the very page that `get` returned, if it has and the server said so."""
        return self._modified.get(url)

    def json(self, url: str) -> Any:
        """A parsed JSON document. Raises Refused where it is none."""
        try:
            return json.loads(self.get(url))
        except (ValueError, RecursionError) as error:
            raise Refused(f"{url} is not JSON: {error}") from None

    def head(self, url: str) -> Head:
        """What the server says about a URL, by HEAD, or by an unread GET where it does not do HEAD."""

        def ask() -> Head:
            try:
                with self._answer("HEAD", url) as answer:
                    return _head(answer)
            except Refused:
                with self._answer("GET", url) as answer:
                    return _head(answer)

        return self.once(("HEAD", url), ask)

    def download(self, url: str, directory: Path, sha256: str | None = None) -> File:
        """A file, stored in `directory` under the last part of its URL; `sha256` where it is known before.

        Raises Refused for a size or first bytes that no release of this name can have: too small, too big, HTML."""
        self.head(url)  # tells a file that is not there from a host that does not answer
        path = directory / urlsplit(url).path.rpartition("/")[2]
        try:
            self._fetcher.download(url, path, sha256=sha256)
        except fetch.Unusable as error:
            problem = Missing if error.missing else Unreachable if error.passing else Refused
            raise problem("; ".join(error.reasons)) from None
        return File(path, sha256 or fetch.digest(path))

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
        host = _host(url)
        if reason := self._down.get(host):
            raise Unreachable(f"{host}: {reason}")
        try:
            answer = self._session.request(
                method,
                url,
                headers=self.headers_for(url),
                timeout=(LIMITS.connect, LIMITS.stall),
                stream=True,
                allow_redirects=True,
            )
            with answer:
                _judge(url, answer)
                yield answer
        except requests.TooManyRedirects:
            raise Refused(f"{fetch.without_password(url)} redirects for ever") from None
        except requests.ConnectionError as error:
            if error.request and error.request.url:
                host = _host(error.request.url)  # not the one that redirected there
            self._down[host] = plain(error)
            raise Unreachable(f"{host}: {plain(error)}") from None
        except requests.Timeout:
            raise Unreachable(f"{host}: no answer within {LIMITS.stall:.0f} seconds") from None
        except requests.RequestException as error:
            raise Unreachable(f"{host}: {plain(error)}") from None


def _host(url: str) -> str:
    return urlsplit(fetch.without_password(url)).netloc


def _judge(url: str, answer: requests.Response) -> None:
    """Raises what the status means; a redirect from TLS to plain HTTP is refused."""
    url = fetch.without_password(url)
    hops = [urlsplit(hop.url).scheme for hop in (*answer.history, answer)]
    if "https" in hops and hops[-1] != "https":
        raise Refused(f"{url} redirects to plain {answer.url}")
    status = answer.status_code
    if status in (404, 410):
        raise Missing(f"{url} answers {status}")
    if status in (401, 403, 408, 425, 429) or status >= 500:
        raise Unreachable(f"{_host(url)}: status {status} for {url}")
    if status != 200:
        raise Refused(f"{url} answers {status}")


def chunks(answer: requests.Response, limit: int) -> Iterator[bytes]:
    """The body as it arrives. Raises Refused beyond `limit` bytes, Unreachable when it breaks off or is slow."""
    url, started, size = fetch.without_password(answer.url), time.monotonic(), 0
    try:
        while chunk := answer.raw.read1(1 << 16):
            size += len(chunk)
            if size > limit:
                raise Refused(f"{url} is longer than {limit} bytes")
            if time.monotonic() - started > LIMITS.stall + size / LIMITS.slowest:
                raise Unreachable(f"{url} comes slower than {LIMITS.slowest / 1000:g} kB a second")
            yield chunk
    except urllib3.exceptions.HTTPError:
        raise Unreachable(f"{url} breaks off after {size} bytes") from None


def _head(answer: requests.Response) -> Head:
    length, modified = answer.headers.get("Content-Length"), answer.headers.get("Last-Modified")
    try:
        when = email.utils.parsedate_to_datetime(modified).astimezone(UTC) if modified else None
    except (ValueError, OverflowError):
        when = None
    return Head(int(length) if length and length.isdigit() else None, when, answer.headers)


def plain(error: BaseException) -> str:
    """The innermost cause in a few words, without addresses of Python objects."""
    cause: Any = error
    while isinstance(inner := getattr(cause, "reason", None) or next(iter(cause.args), None), BaseException):
        cause = inner
    if isinstance(cause, urllib3.exceptions.NameResolutionError):
        return "name not known"
    words = re.sub(r"^(<.*>|\w+\(host=.*?\)): ", "", str(cause))
    return " ".join(re.sub(r"\[Errno -?\d+\] ", "", words).split()) or type(cause).__name__
