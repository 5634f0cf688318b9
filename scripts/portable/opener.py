"""Opens URLs and reads bodies within limits of time, size and redirects; uses the proxies and CAs of this machine.

Standard library only; images carry this module.
"""

from __future__ import annotations

import base64
import contextlib
import http.client
import json
import re
import ssl
import string
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from portable import environment, errors, transport, verdicts
from portable.verdicts import Rejected, TryAgain, Unanswered

USER_AGENT = "manylinux-fetch"
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_CHUNK = 1 << 16


@dataclass(frozen=True)
class Limits:
    """What a download may take. Times are in seconds, sizes in bytes, speeds in bytes a second."""

    connect: float = 10
    stall: float = 30  # without a single byte
    slowest: float = 10_000  # on average, once `stall` seconds have passed
    total: float = 3600  # for one file, all attempts and mirrors together
    attempts: int = 4  # for each URL
    silent: int | None = None  # of these, how many may bring no answer at all
    backoff: float = 1  # before the second attempt, doubled for each further one
    retry_after: float = 60  # longest Retry-After that is obeyed; python.org has asked for twelve hours
    redirects: int = 5
    least: int = 1
    most: int = 1 << 30


class Opener:
    """Opens URLs under one set of limits and certificates; may be used from many threads."""

    def __init__(self, limits: Limits, ca_bundle: Path | None, proxies: Mapping[str, str]) -> None:
        """`ca_bundle` overrides environment.CA_VARIABLES; `proxies` (scheme -> URL, "" for a direct connection)
        override those of the environment.

        Raises UserError when the bundle cannot be read."""
        self._limits = limits
        self._stopped = threading.Event()
        context = _tls_context(ca_bundle)
        known = {**urllib.request.getproxies(), **proxies}
        self._director = urllib.request.OpenerDirector()
        for handler in (
            urllib.request.ProxyHandler({scheme: proxy for scheme, proxy in known.items() if proxy}),
            _Http(limits),
            _Https(limits, context),
            urllib.request.FileHandler(),
            urllib.request.UnknownHandler(),
            urllib.request.HTTPErrorProcessor(),
            urllib.request.HTTPDefaultErrorHandler(),
        ):
            self._director.add_handler(handler)

    @contextlib.contextmanager
    def open(
        self,
        url: str,
        deadline: float,
        offset: int = 0,
        version: str = "",
        method: str = "GET",
        headers: Mapping[str, str] = MappingProxyType({}),
    ) -> Iterator[http.client.HTTPResponse]:
        """The answer to a request for a file from byte `offset` on, if it is still this version of the file.

        Redirects from TLS to anything else and away from HTTP are refused. The login of the URL and `headers` are for
        its host and go to no other. Raises Rejected or TryAgain."""
        place = ""
        try:
            place, secret = _authorization(url)
            secret |= headers
            wanted = {"User-Agent": USER_AGENT}
            if offset:
                wanted |= {"Range": f"bytes={offset}-"} | ({"If-Range": version} if version else {})
            for _ in range(self._limits.redirects + 1):
                self.go_on()
                left = deadline - time.monotonic()
                if left <= 0:
                    raise Unanswered(self._late())
                request = urllib.request.Request(place, headers={**wanted, **secret}, method=method)
                try:
                    answer = self._director.open(request, timeout=min(self._limits.stall, left))
                except urllib.error.HTTPError as error:
                    with error:
                        if realm := _realm(place, error, secret):
                            secret |= self._token(realm, min(self._limits.stall, left))
                            continue
                        if error.code not in _REDIRECTS or "Location" not in error.headers:
                            verdicts.judge(error.code, error.headers, self._limits.retry_after, offset)
                        there = _redirected(place, error.headers["Location"])
                    if urllib.parse.urlsplit(there).netloc != urllib.parse.urlsplit(place).netloc:
                        secret = {}
                    place = there
                else:
                    break
            else:
                raise Rejected(f"it redirects more than {self._limits.redirects} times")
        except (OSError, http.client.HTTPException, ValueError) as error:
            verdicts.explain(error, urllib.parse.urlsplit(place).netloc)
        with answer:
            if answer.status == http.client.PARTIAL_CONTENT and not offset:
                raise Rejected("it sends a part of the file where all of it was asked for")
            yield answer

    def chunks(self, answer: http.client.HTTPResponse, have: int, most: int, deadline: float) -> Iterator[bytes]:
        """The body as it arrives, within the limits of size, speed and time. Raises Rejected or TryAgain.

        `have`: the bytes of the file that an earlier attempt brought; they count towards `most`."""
        begun_at, started = have, time.monotonic()
        while True:
            self.go_on()
            slowest = started + self._limits.stall + (have - begun_at) / self._limits.slowest
            if isinstance(answer, transport.Response):  # a file on this machine has no pace
                answer.pace.in_body, answer.pace.until = True, min(slowest, deadline)
            problem = None
            try:
                chunk = answer.read1(_CHUNK)
            except (OSError, http.client.HTTPException) as error:
                problem = error
            now = time.monotonic()
            if now >= deadline:
                raise Unanswered(self._late())
            if now >= slowest:
                raise TryAgain(f"it comes slower than {self._limits.slowest / 1000:g} kB a second")
            if problem:
                raise TryAgain(f"it broke off after {have} bytes: {verdicts.in_words(problem)}")
            if not chunk:
                return
            have += len(chunk)
            if have > most:
                raise Rejected(f"it is longer than {most} bytes")
            yield chunk

    def stop(self) -> None:
        """Ends every request at the next opportunity, for good."""
        self._stopped.set()

    def go_on(self) -> None:
        """Raises Rejected once `stop` was called."""
        if self._stopped.is_set():
            raise Rejected("it was stopped")

    def wait(self, seconds: float) -> None:
        """Waits, but not after `stop` was called."""
        self._stopped.wait(max(0.0, seconds))

    def _token(self, realm: str, seconds: float) -> dict[str, str]:
        """The header with the token that a registry gives to everybody (distribution.github.io, "token").

        Raises Rejected where it gives none."""
        request = urllib.request.Request(realm, headers={"User-Agent": USER_AGENT})
        with self._director.open(request, timeout=seconds) as answer:
            try:
                said = json.loads(answer.read(_CHUNK))
            except (ValueError, RecursionError):
                said = None
        token = (said.get("token") or said.get("access_token")) if isinstance(said, dict) else None
        if not isinstance(token, str):
            raise Rejected(f"{realm} gives no token")
        return {"Authorization": f"Bearer {token}"}

    def _late(self) -> str:
        return f"it was not complete within {self._limits.total:.0f} seconds"


class _Http(urllib.request.HTTPHandler):
    def __init__(self, limits: Limits) -> None:
        super().__init__()
        self._limits = limits

    def http_open(self, req: urllib.request.Request) -> http.client.HTTPResponse:
        return self.do_open(transport.connection(http.client.HTTPConnection, self._limits.connect), req)


class _Https(urllib.request.HTTPSHandler):
    def __init__(self, limits: Limits, context: ssl.SSLContext) -> None:
        super().__init__(context=context)
        self._limits, self._tls = limits, context

    def https_open(self, req: urllib.request.Request) -> http.client.HTTPResponse:
        kind = transport.connection(http.client.HTTPSConnection, self._limits.connect)
        return self.do_open(kind, req, context=self._tls)


def _tls_context(ca_bundle: Path | None) -> ssl.SSLContext:
    bundle = ca_bundle or environment.ca_bundle()
    try:
        context = ssl.create_default_context(cafile=str(bundle) if bundle else None)
    except OSError as error:
        raise errors.UserError(f"the CA bundle {bundle} cannot be used: {error}") from None
    # Python 3.13 began to refuse certificates that lack extensions, as those of proxies that inspect TLS often do.
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    return context


def _authorization(url: str) -> tuple[str, dict[str, str]]:
    """The URL without its user name and password, and the header that carries them instead."""
    parts = urllib.parse.urlsplit(url)
    if "@" not in parts.netloc:
        return url, {}
    user, password = (urllib.parse.unquote(part or "") for part in (parts.username, parts.password))
    token = base64.b64encode(f"{user}:{password}".encode()).decode()
    return transport.without_password(url), {"Authorization": f"Basic {token}"}


def _realm(place: str, error: urllib.error.HTTPError, secret: Mapping[str, str]) -> str:
    """Where a registry that refuses an anonymous request gives out tokens; "" for any other refusal."""
    scheme, _, rest = error.headers.get("WWW-Authenticate", "").partition(" ")
    fields = dict(re.findall(r'(\w+)="([^"]*)"', rest))
    parts, realm = urllib.parse.urlsplit(place), fields.pop("realm", "")
    if (
        error.code != 401
        or scheme.lower() != "bearer"
        or not parts.path.startswith("/v2/")
        or "Authorization" in secret
    ):
        return ""
    if not realm.startswith(f"{parts.scheme}://"):
        raise Rejected(f"it asks for a token of {realm!a}")
    return f"{realm}?{urllib.parse.urlencode({name: fields[name] for name in ('service', 'scope') if name in fields})}"


def _redirected(place: str, location: str) -> str:
    """Where a redirect leads, without a password. Raises Rejected where it must not be followed."""
    quoted = urllib.parse.quote(location, safe=string.punctuation, encoding="iso-8859-1")
    there = transport.without_password(urllib.parse.urljoin(place, quoted))
    encrypted = place.startswith("https:")
    if not re.match("https:" if encrypted else "https?:", there):
        raise Rejected(f"it redirects to {'unencrypted ' if encrypted else ''}{there}")
    return there
