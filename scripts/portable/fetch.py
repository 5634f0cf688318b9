"""Downloads files that are only usable when they are exactly what was asked for.

A file gets its name after its sha256 was compared; until then it is `<name>.part`, from which a later attempt goes on.
Every request has time, size and redirect limits. What a server sends is judged before it is trusted: an error page, a
truncated or oversized body or a body that drips are refused with a message that says which file, which URL, what was
wrong and what to do. The proxies and the CA bundle of the environment are used.
"""

from __future__ import annotations

import base64
import contextlib
import fcntl
import hashlib
import http.client
import os
import re
import socket
import ssl
import string
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from email.message import Message
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, NoReturn, TypeVar

from portable import environment, errors, toml, transport
from portable.progress import Task

T = TypeVar("T")
R = TypeVar("R")

MIRRORS_TXT = Path(__file__).resolve().parents[2] / "docker" / "mirrors.txt"
USER_AGENT = "manylinux-fetch"
MAGIC = {
    ".gz": b"\x1f\x8b",
    ".tgz": b"\x1f\x8b",
    ".xz": b"\xfd7zXZ\x00",
    ".bz2": b"BZh",
    ".zst": b"\x28\xb5\x2f\xfd",
    ".zip": b"PK",
    ".whl": b"PK",
}
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_TRY_LATER = frozenset({408, 425, 429, 500, 502, 503, 504})
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


class Unusable(errors.Failure):
    """No URL gave the file. `reasons` has what was wrong with each of them.

    `missing`: every one of them answered that there is no such file; `passing`: one of them may have it later;
    `unanswered`: one of them was not reached, or did not want to be asked; `silent`: hosts that did not answer at all.
    """

    def __init__(self, name: str, problems: Mapping[str, Exception]) -> None:
        self.reasons = [f"{url}: {error}" for url, error in problems.items()]
        self.missing = all(isinstance(error, _Missing) for error in problems.values())
        self.passing = any(isinstance(error, _Again) for error in problems.values())
        self.unanswered = any(isinstance(error, _Again | _Closed) for error in problems.values())
        self.silent = {host for error in problems.values() if (host := getattr(error, "silent", ""))}
        advice = ["It may work later: run the same command again."] if self.passing else []
        super().__init__("\n  ".join([f"{name} could not be downloaded:", *self.reasons, *advice]))


class _Refused(Exception):
    """This URL will not give the file, now or later: try the next one."""


class _Closed(_Refused):
    """Nothing was said about the file. `silent`: the host, where it is because of it that nothing was said at all."""

    def __init__(self, reason: str, silent: str = "") -> None:
        super().__init__(reason)
        self.silent = silent


class _Missing(_Refused):
    """The server answered that there is no such file."""


class _Again(Exception):
    """It may work in a moment. `wait`: seconds the server asked for; `whole`: only a request for all of it may;
    `ranged`: that request was one for the rest, which may be the reason; `silent`: the host that did not answer."""

    def __init__(
        self, reason: str, wait: float = 0, whole: bool = False, ranged: bool = False, silent: str = ""
    ) -> None:
        super().__init__(reason)
        self.wait, self.whole, self.ranged, self.silent = wait, whole, ranged, silent


@dataclass(frozen=True)
class Answer:
    """What a server said about a page, and the page."""

    headers: Message
    body: bytes


@dataclass(frozen=True)
class _Job:
    """One file to download; `deadline` is a time.monotonic(), `versions` what each URL said to have sent (ETag)."""

    target: Path
    part: Path
    sha256: str | None
    size: int | None
    deadline: float
    task: Task | None
    versions: dict[str, str] = field(default_factory=dict)

    def done(self) -> bool:
        """Whether the target is there and right."""
        right_size = self.target.is_file() and self.size in (None, self.target.stat().st_size)
        return right_size and digest(self.target) == self.sha256

    def forget(self) -> None:
        """What was downloaded so far is of no use. The file stays: it carries the lock."""
        os.truncate(self.part, 0)


def in_parallel(function: Callable[[T], R], items: Iterable[T], jobs: int, fetcher: Fetcher) -> list[R]:
    """The results of `function` for all items, in order, `jobs` at a time.

    An exception, Ctrl-C too, stops the fetcher: nobody waits for downloads that are of no use any more."""
    with ThreadPoolExecutor(jobs) as pool:
        try:
            return list(pool.map(function, items))
        except BaseException:
            fetcher.stop()
            pool.shutdown(wait=False, cancel_futures=True)
            raise


class Fetcher:
    """Downloads with one set of limits, mirrors and certificates; may be used from many threads."""

    def __init__(
        self,
        *,
        limits: Limits = Limits(),
        mirrors: Path | None = MIRRORS_TXT,
        ca_bundle: Path | None = None,
        proxies: Mapping[str, str] | None = None,
    ) -> None:
        """`ca_bundle` wins over environment.CA_VARIABLES, `proxies` over those of the environment.

        `proxies` are scheme -> URL, or "" for none.

        Raises errors.UserError when the bundle cannot be read."""
        self.limits = limits
        self._stopped = threading.Event()
        self._mirrors = read_mirrors(mirrors) if mirrors else {}
        context = _tls_context(ca_bundle)
        known = {**urllib.request.getproxies(), **(proxies or {})}
        self._opener = urllib.request.OpenerDirector()
        for handler in (
            urllib.request.ProxyHandler({scheme: proxy for scheme, proxy in known.items() if proxy}),
            _Http(limits),
            _Https(limits, context),
            urllib.request.FileHandler(),
            urllib.request.UnknownHandler(),
            urllib.request.HTTPErrorProcessor(),
            urllib.request.HTTPDefaultErrorHandler(),
        ):
            self._opener.add_handler(handler)

    def download(
        self,
        url: str,
        target: Path,
        *,
        sha256: str | None,
        size: int | None = None,
        alternatives: Iterable[str] = (),
        task: Task | None = None,
    ) -> Path:
        """The file at `target`, downloaded unless it is there already and right.

        `url` is tried first, then its mirrors, then `alternatives`; `size` is the exact number of bytes where known.
        Without `sha256`, which only an updater may not know, the file is complete and has the right format, no more.
        Raises Unusable, naming what was wrong with each of them, and errors.Failure when it cannot be written."""
        part = target.with_name(f"{target.name}.part")
        job = _Job(target, part, sha256, size, time.monotonic() + self.limits.total, task)
        problems: dict[str, Exception] = {}
        try:
            if job.done():
                return target
            target.parent.mkdir(parents=True, exist_ok=True)
            with self._alone_with(job):
                if job.done():  # somebody else has downloaded it meanwhile
                    return target
                if digest(part) == sha256:  # stopped just before the file got its name
                    part.replace(target)
                    return target
                for candidate in dict.fromkeys((url, *self.mirrors_of(url), *alternatives)):
                    try:
                        self._attempts(candidate, job)
                        return target
                    except (_Refused, _Again) as error:
                        problems[without_password(candidate)] = error
        except (_Refused, _Again) as error:
            problems[str(part)] = error
        except OSError as error:
            raise errors.Failure(f"{target} cannot be written: {error.strerror}") from None
        raise Unusable(target.name, problems)

    def read(self, url: str, *, most: int = 64 << 20) -> bytes:
        """The body of a small page, unverified: the caller must check it. Raises Unusable."""
        return self.ask(url, most=most).body

    def ask(
        self,
        url: str,
        *,
        method: str = "GET",
        headers: Mapping[str, str] | None = None,
        most: int = 64 << 20,
        unread: bool = False,
    ) -> Answer:
        """A page of at most `most` bytes, unverified; `unread`: without its body. Raises Unusable.

        `headers` are for the host of the URL and go nowhere else."""
        deadline = time.monotonic() + self.limits.total

        def attempt(_: bool) -> Answer:
            with self._open(url, deadline, method=method, headers=headers or {}) as answer:
                body = bytearray()
                if not unread and method != "HEAD":
                    for chunk in self._chunks(answer, 0, most, deadline):
                        body += chunk
                    _expect_whole(answer, len(body))
                return Answer(answer.headers, bytes(body))

        try:
            return self._repeat(attempt, deadline)
        except (_Refused, _Again) as error:
            raise Unusable(url.rpartition("/")[2], {without_password(url): error}) from None

    def stop(self) -> None:
        """Ends every download at the next opportunity, for good; parts stay, so that a later run goes on from them."""
        self._stopped.set()

    def mirrors_of(self, url: str) -> list[str]:
        """The other places of docker/mirrors.txt that should hold the same file."""
        return [
            alternative + url.removeprefix(prefix)
            for prefix, alternatives in self._mirrors.items()
            if url.startswith(prefix)
            for alternative in alternatives
        ]

    @contextlib.contextmanager
    def _alone_with(self, job: _Job) -> Iterator[None]:
        """Holds the lock on the `.part` file, which no other thread or process can then write; removes an empty one.

        Raises _Again where another one holds it for as long as the download may take."""
        part = job.part
        while True:
            with part.open("ab") as stream:
                try:
                    fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    mine = part.exists() and os.path.samestat(os.fstat(stream.fileno()), part.stat())
                except BlockingIOError:
                    mine = False
                if mine:
                    try:
                        yield
                    finally:
                        if part.exists() and part.stat().st_size == 0:
                            part.unlink()
                    return
            if job.task:
                job.task.note = "somebody else downloads it"
            if time.monotonic() > job.deadline:
                raise _Again(f"another process has kept it locked for {self.limits.total:.0f} seconds")
            self._stopped.wait(0.1)
            self._go_on()

    def _attempts(self, url: str, job: _Job) -> None:
        """Downloads from one URL. Raises _Refused, or the last _Again."""

        def attempt(whole: bool) -> None:
            resumed = self._stream(url, job, whole)
            found = digest(job.part)
            if job.sha256 in (None, found):
                job.part.replace(job.target)
                if job.task:
                    job.task.note = ""
                return
            job.forget()
            if not resumed:
                raise _Refused(f"the content is not what was pinned: its sha256 is {found}, expected {job.sha256}")
            raise _Again("an earlier part did not fit the rest")

        self._repeat(attempt, job.deadline, job.task)

    def _repeat(self, attempt: Callable[[bool], T], deadline: float, task: Task | None = None) -> T:
        """What `attempt` returns, called again while that may help, and told whether to ask for the whole file.

        Raises _Refused, or the last _Again."""
        problem: _Again | None = None
        silent = 0
        for number in range(1, self.limits.attempts + 1):
            if problem:
                if task:
                    task.note = f"attempt {number}: {problem}"
                self._pause(problem, number - 1, deadline)
            last = number == self.limits.attempts
            try:
                return attempt(problem is not None and (problem.whole or (problem.ranged and last)))
            except _Again as error:
                problem = error
                silent += bool(error.silent)
            if silent == self.limits.silent:
                break
        assert problem is not None
        raise problem

    def _stream(self, url: str, job: _Job, whole: bool) -> bool:
        """Completes the `.part` file, or begins again for `whole`; returns whether its beginning is an earlier one."""
        known = job.versions.get(url, "")
        # Without a hash nothing would tell that two parts are of different files.
        have = 0 if whole or not (job.sha256 or known) else job.part.stat().st_size
        with self._open(url, job.deadline, have, known) as answer:
            if answer.status != http.client.PARTIAL_CONTENT:
                have = 0
            else:
                _expect_rest(answer.headers, have, known)
            if version := _version(answer.headers):
                job.versions[url] = version
            length = transport.number(answer.headers.get("Content-Length", ""))
            announced = have + length if length is not None else None
            wanted = announced if job.size is None else job.size
            most = self.limits.most if job.size is None else job.size
            if announced is not None and (announced > most or announced != wanted):
                job.forget()
                expected = f"more than the {most} allowed" if job.size is None else f"not the expected {most} bytes"
                hint = " (an HTML page)" if "html" in answer.headers.get("Content-Type", "") else ""
                raise _Refused(f"it is {announced} bytes long{hint}, {expected}")
            if job.task:
                job.task.restart(have, wanted)
            resumed = have > 0
            with job.part.open("ab" if have else "wb") as stream:
                for chunk in self._chunks(answer, have, most, job.deadline):
                    if have == 0:
                        expect_format(job.target.name, chunk)
                    stream.write(chunk)
                    have += len(chunk)
                    if job.task:
                        job.task.advance(len(chunk))
            if wanted is not None and have < wanted:
                raise _Again(f"it ended after {have} of {wanted} bytes")
            if have < self.limits.least:
                job.forget()
                raise _Refused(f"it is only {have} bytes long")
            return resumed

    def _chunks(self, answer: http.client.HTTPResponse, have: int, most: int, deadline: float) -> Iterator[bytes]:
        """The body as it arrives, within the limits of size, speed and time."""
        begun_at, started = have, time.monotonic()
        while True:
            self._go_on()
            slowest = started + self.limits.stall + (have - begun_at) / self.limits.slowest
            if isinstance(answer, transport.Response):  # a file on this machine has no pace
                answer.pace.in_body, answer.pace.until = True, min(slowest, deadline)
            problem = None
            try:
                chunk = answer.read1(_CHUNK)
            except (OSError, http.client.HTTPException) as error:
                problem = error
            now = time.monotonic()
            if now >= deadline:
                raise _Closed(self._late())
            if now >= slowest:
                raise _Again(f"it comes slower than {self.limits.slowest / 1000:g} kB a second")
            if problem:
                raise _Again(f"it broke off after {have} bytes: {_plain(problem)}")
            if not chunk:
                return
            have += len(chunk)
            if have > most:
                raise _Refused(f"it is longer than {most} bytes")
            yield chunk

    @contextlib.contextmanager
    def _open(
        self,
        url: str,
        deadline: float,
        offset: int = 0,
        version: str = "",
        method: str = "GET",
        headers: Mapping[str, str] = MappingProxyType({}),
    ) -> Iterator[http.client.HTTPResponse]:
        """The answer to a request from byte `offset` on, if the file is still this version, its status judged.

        Redirects are followed: not from TLS to anything else, not away from HTTP, and with a password or another
        header that is for one host to no other."""
        place = ""
        try:
            place, secret = _authorization(url)
            secret |= headers
            wanted = {"User-Agent": USER_AGENT}
            if offset:
                wanted |= {"Range": f"bytes={offset}-"} | ({"If-Range": version} if version else {})
            for _ in range(self.limits.redirects + 1):
                self._go_on()
                left = deadline - time.monotonic()
                if left <= 0:
                    raise _Closed(self._late())
                request = urllib.request.Request(place, headers={**wanted, **secret}, method=method)
                try:
                    answer = self._opener.open(request, timeout=min(self.limits.stall, left))
                except urllib.error.HTTPError as error:
                    with error:
                        if error.code not in _REDIRECTS or "Location" not in error.headers:
                            _judge(error.code, error.headers, self.limits, offset)
                        there = _redirected(place, error.headers["Location"])
                    if urllib.parse.urlsplit(there).netloc != urllib.parse.urlsplit(place).netloc:
                        secret = {}
                    place = there
                else:
                    break
            else:
                raise _Refused(f"it redirects more than {self.limits.redirects} times")
        except (OSError, http.client.HTTPException, ValueError) as error:
            _explain(error, urllib.parse.urlsplit(place).netloc)
        with answer:
            if answer.status == http.client.PARTIAL_CONTENT and not offset:
                raise _Refused("it sends a part of the file where all of it was asked for")
            yield answer

    def _late(self) -> str:
        return f"it was not complete within {self.limits.total:.0f} seconds"

    def _pause(self, problem: Exception, attempt: int, deadline: float) -> None:
        wait = max(getattr(problem, "wait", 0), self.limits.backoff * 2 ** (attempt - 1))
        self._stopped.wait(max(0.0, min(wait, deadline - time.monotonic())))

    def _go_on(self) -> None:
        if self._stopped.is_set():
            raise _Refused("it was stopped")


@dataclass(frozen=True)
class _Mirrors:
    """A line of docker/mirrors.txt."""

    places: tuple[Annotated[toml.Url, toml.form(r".*/", "an https:// address that ends in /")], ...]


def read_mirrors(path: Path) -> dict[str, list[str]]:
    """URL prefix -> alternative prefixes, of a file like docker/mirrors.txt. Raises UserError for a malformed line."""
    found: dict[str, list[str]] = {}
    for number, line in enumerate(toml.read_text(path).splitlines(), start=1):
        if line.startswith("#") or not line:
            continue
        where = f"{path.name}:{number}:"
        places = toml.read(_Mirrors, {"places": line.split(" ")}, where).places
        if len(places) < 2 or places[0] in found:
            raise errors.UserError(f"{where} write a prefix once, and behind it those that can stand in its place")
        found[places[0]] = list(places[1:])
    return found


def digest(path: Path, algorithm: str = "sha256") -> str:
    """The sha256 or another digest of a file, in hexadecimal."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, algorithm).hexdigest()


def holds(path: Path, sha256: str) -> bool:
    """Whether a file is there and has this digest."""
    return path.is_file() and digest(path) == sha256


def expect_format(name: str, start: bytes) -> None:
    """Raises when a file of this name cannot begin with these bytes, for instance because they are an error page."""
    magic = MAGIC.get(Path(name).suffix)
    if magic and not start.startswith(magic[: len(start)]):
        what = "an HTML page" if start.lstrip()[:1] == b"<" else f"no {Path(name).suffix[1:]} data"
        raise _Refused(f"it is {what}")


def without_password(url: str) -> str:
    """The URL without user name and password."""
    return re.sub(r"^([A-Za-z0-9+.-]+://)[^/?#]*@", r"\1", url)


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
    return without_password(url), {"Authorization": f"Basic {token}"}


def _redirected(place: str, location: str) -> str:
    """Where a redirect leads, without a password. Raises _Refused where nobody may be led to."""
    quoted = urllib.parse.quote(location, safe=string.punctuation, encoding="iso-8859-1")
    there = without_password(urllib.parse.urljoin(place, quoted))
    encrypted = place.startswith("https:")
    if not re.match("https:" if encrypted else "https?:", there):
        raise _Refused(f"it redirects to {'unencrypted ' if encrypted else ''}{there}")
    return there


def _version(headers: Message) -> str:
    """What names this state of a file in If-Range: a strong ETag, else its date, else nothing (RFC 9110, 13.1.5)."""
    tag: str = headers.get("ETag", "")
    return tag if tag.startswith('"') else headers.get("Last-Modified", "")


def _expect_rest(headers: Message, offset: int, version: str) -> None:
    """Raises _Again, to ask for the whole file, where a partial answer is not the rest of this version."""
    start = re.match(r"bytes ([0-9]+)-", headers.get("Content-Range", ""))
    if not start or transport.number(start[1]) != offset:
        raise _Again("it answers with another part of the file than was asked for", whole=True)
    if version and _version(headers) not in ("", version):
        raise _Again("the file has changed since an earlier attempt", whole=True)


def _judge(status: int, headers: Message, limits: Limits, offset: int) -> NoReturn:
    """Raises what an unsuccessful status means for the next attempt."""
    if status in (http.client.NOT_FOUND, http.client.GONE):
        raise _Missing(f"it answers {status}: there is no such file")
    if status in _TRY_LATER:
        wait = _retry_after(headers.get("Retry-After", ""))
        if wait > limits.retry_after:
            raise _Closed(f"it answers {status} and asks to wait {wait:.0f} seconds")
        raise _Again(f"it answers {status}", wait, ranged=offset > 0)
    if status == http.client.PROXY_AUTHENTICATION_REQUIRED:
        raise _Closed("the proxy wants a user name and a password: put them into HTTPS_PROXY and HTTP_PROXY")
    if offset:
        raise _Again(f"it answers {status} to a request for the rest of the file", whole=True)
    raise (_Closed if status in (401, 403) or status >= 500 else _Refused)(f"it answers {status}")


def _retry_after(value: str) -> float:
    """Seconds to wait; 0 where the header says nothing that can be understood."""
    seconds = transport.number(value)
    if seconds is None and (date := transport.moment(value)):
        return max(0.0, date.timestamp() - time.time())
    return float(seconds or 0)


def _explain(error: Exception, host: str) -> NoReturn:
    """Raises what a failed connection means for the next attempt."""
    reason = error.reason if isinstance(error, urllib.error.URLError) else error
    if isinstance(reason, ssl.SSLCertVerificationError):
        raise _Closed(
            f"its certificate is not trusted ({reason.verify_message}): behind a proxy that inspects TLS, set "
            f"SSL_CERT_FILE to a bundle with its CA",
            host,
        )
    if isinstance(reason, socket.gaierror) and reason.errno == socket.EAI_NONAME:
        raise _Closed("the host name is not known here", host)
    if isinstance(reason, FileNotFoundError):
        raise _Missing("there is no such file")
    if isinstance(reason, TimeoutError):
        raise _Again("it does not answer in time", silent=host)
    if isinstance(error, ValueError | http.client.InvalidURL):
        raise _Refused(f"this is no URL to download from: {error}")
    raise _Again(f"the connection failed: {_plain(reason)}", silent=host)


def _expect_whole(answer: http.client.HTTPResponse, have: int) -> None:
    length = transport.number(answer.headers.get("Content-Length", ""))
    if length is not None and have < length:
        raise _Again(f"it ended after {have} of {length} bytes")


def _plain(error: object) -> str:
    if isinstance(error, TimeoutError):
        return "no data in time"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return str(error) or type(error).__name__
