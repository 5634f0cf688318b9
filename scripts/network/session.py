"""HTTP for the registry client: a session of `requests` with one login, without cookies, with limits."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from http.cookiejar import DefaultCookiePolicy
from typing import Any

import requests
import urllib3
from requests.auth import AuthBase, HTTPBasicAuth
from requests.utils import get_auth_from_url

from network.web import LIMITS, Refused, Unreachable
from portable import environment, transport


class _NamedLogin(AuthBase):
    """The login in the URL or a header. With an auth of its own, a session of requests ignores .netrc."""

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        login = get_auth_from_url(request.url or "")
        return HTTPBasicAuth(*login)(request) if any(login) and "Authorization" not in request.headers else request


class Session(requests.Session):
    """Sends no login but the given one, not even that of a .netrc, and keeps no cookies."""

    def __init__(self) -> None:
        super().__init__()
        self.auth = _NamedLogin()
        self.verify = str(environment.ca_bundle() or "") or True  # requests reads some of its variables only
        self.headers.update({"Accept-Encoding": "identity"})  # what is compressed can be larger than it looks
        self.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))

    def rebuild_auth(self, prepared_request: requests.PreparedRequest, response: requests.Response) -> None:
        """Removes the login after a redirect to another host."""
        if self.should_strip_auth(response.request.url, prepared_request.url):  # type: ignore[no-untyped-call]
            prepared_request.headers.pop("Authorization", None)


def chunks(answer: requests.Response, limit: int) -> Iterator[bytes]:
    """The body as it arrives. Raises Refused after `limit` bytes, Unreachable when it breaks off or is too slow."""
    url, started, size = transport.without_password(answer.url), time.monotonic(), 0
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


def innermost(error: BaseException) -> str:
    """The innermost cause in a few words, without the addresses of Python objects."""
    cause: Any = error
    while isinstance(inner := getattr(cause, "reason", None) or next(iter(cause.args), None), BaseException):
        cause = inner
    if isinstance(cause, urllib3.exceptions.NameResolutionError):
        return "name not known"
    words = re.sub(r"^(<.*>|\w+\(host=.*?\)): ", "", str(cause))
    return " ".join(re.sub(r"\[Errno -?\d+\] ", "", words).split()) or type(cause).__name__
