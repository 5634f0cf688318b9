"""Downloads files and compares their sha256.

A file gets its name when its sha256 is right; until then it is `<name>.part`, and a later attempt continues it. Every
request has time, size and redirect limits. Error pages, truncated, oversized and dripping bodies are refused; the
message names the file, the URL, what was wrong and what to do. Standard library only; images carry this module.
"""

from __future__ import annotations

import contextlib
import http.client
import os
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from email.message import Message
from pathlib import Path
from typing import Annotated, TypeVar

from portable import errors, files, toml, transport, verdicts
from portable.opener import Limits, Opener
from portable.progress import Task
from portable.verdicts import Rejected, TryAgain, Unusable

T = TypeVar("T")
R = TypeVar("R")

MIRRORS_TXT = Path(__file__).resolve().parents[2] / "docker" / "mirrors.txt"
USUAL = Limits()


@dataclass(frozen=True)
class Page:
    """The headers and the body of a page."""

    headers: Message
    body: bytes


@dataclass(frozen=True)
class _Job:
    """One file to download. `deadline` is a time.monotonic(); `versions`: URL -> the ETag or date that it sent."""

    target: Path
    part: Path
    sha256: str | None
    size: int | None
    deadline: float
    task: Task | None
    versions: dict[str, str] = field(default_factory=dict)

    def done(self) -> bool:
        """Whether the target exists and is right."""
        right_size = self.target.is_file() and self.size in (None, self.target.stat().st_size)
        return right_size and files.digest(self.target) == self.sha256

    def forget(self) -> None:
        """Drops what was downloaded so far. The empty file stays: it is locked."""
        os.truncate(self.part, 0)


def in_parallel(function: Callable[[T], R], items: Iterable[T], jobs: int, fetcher: Fetcher) -> list[R]:
    """The results of `function` for all items, in order, `jobs` at a time.

    An exception, Ctrl-C too, stops the fetcher, so that nobody waits for downloads that are not needed any more."""
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
        limits: Limits = USUAL,
        mirrors: Path | None = MIRRORS_TXT,
        ca_bundle: Path | None = None,
        proxies: Mapping[str, str] | None = None,
    ) -> None:
        """`mirrors`: a file like docker/mirrors.txt, or None. `ca_bundle` and `proxies` are those of Opener.

        Raises errors.UserError when the bundle cannot be read or a line of the mirrors is malformed."""
        self.limits = limits
        self._mirrors = read_mirrors(mirrors) if mirrors else {}
        self._opener = Opener(limits, ca_bundle, proxies or {})

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
        """Downloads a file, unless it is at `target` already and right; returns `target`.

        `url` is tried first, then its mirrors, then `alternatives`; `size`: the exact number of bytes, if known.
        Without `sha256`, which only an updater may not know, the file is complete and its format is right, no more.
        Raises Unusable, naming what was wrong with each URL, and errors.Failure when `target` cannot be written."""
        part = target.with_name(f"{target.name}.part")
        job = _Job(target, part, sha256, size, time.monotonic() + self.limits.total, task)
        problems: dict[str, Exception] = {}
        try:
            if job.done():
                return target
            target.parent.mkdir(parents=True, exist_ok=True)
            with self._alone_with(job):
                if job.done():  # another process has downloaded it meanwhile
                    return target
                if files.digest(part) == sha256:  # an earlier run was stopped just before the file got its name
                    part.replace(target)
                    return target
                for candidate in dict.fromkeys((url, *self.mirrors_of(url), *alternatives)):
                    try:
                        self._attempts(candidate, job)
                        return target
                    except (Rejected, TryAgain) as error:
                        problems[transport.without_password(candidate)] = error
        except (Rejected, TryAgain) as error:
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
    ) -> Page:
        """A page of at most `most` bytes, unverified; `unread`: without its body. Raises Unusable.

        `headers` are sent to the host of the URL and to no other."""
        deadline = time.monotonic() + self.limits.total

        def attempt(_: bool) -> Page:
            with self._opener.open(url, deadline, method=method, headers=headers or {}) as answer:
                body = bytearray()
                if not unread and method != "HEAD":
                    for chunk in self._opener.chunks(answer, 0, most, deadline):
                        body += chunk
                    verdicts.expect_whole(answer.headers, len(body))
                return Page(answer.headers, bytes(body))

        try:
            return self._repeat(attempt, deadline)
        except (Rejected, TryAgain) as error:
            raise Unusable(url.rpartition("/")[2], {transport.without_password(url): error}) from None

    def stop(self) -> None:
        """Ends every download soon and for good. Parts stay, so that a later run continues them."""
        self._opener.stop()

    def mirrors_of(self, url: str) -> list[str]:
        """The URLs of the same file at its mirrors."""
        return [
            alternative + url.removeprefix(prefix)
            for prefix, alternatives in self._mirrors.items()
            if url.startswith(prefix)
            for alternative in alternatives
        ]

    @contextlib.contextmanager
    def _alone_with(self, job: _Job) -> Iterator[None]:
        """Holds the lock on the `.part` file, so that no other thread or process writes it; removes it if it is empty.

        Raises TryAgain where another one holds the lock for as long as the download may take."""
        part = job.part
        while True:
            with part.open("ab") as stream:
                locked = files.try_lock(stream.fileno()) and part.exists()
                if locked and os.path.samestat(os.fstat(stream.fileno()), part.stat()):
                    try:
                        yield
                    finally:
                        if part.exists() and part.stat().st_size == 0:
                            part.unlink()
                    return
            if job.task:
                job.task.note = "another process downloads it"
            if time.monotonic() > job.deadline:
                raise TryAgain(f"another process has kept it locked for {self.limits.total:.0f} seconds")
            self._opener.wait(0.1)
            self._opener.go_on()

    def _attempts(self, url: str, job: _Job) -> None:
        """Downloads from one URL. Raises Rejected, or the last TryAgain."""

        def attempt(whole: bool) -> None:
            resumed = self._stream(url, job, whole)
            found = files.digest(job.part)
            if job.sha256 in (None, found):
                job.part.replace(job.target)
                if job.task:
                    job.task.note = ""
                return
            job.forget()
            if not resumed:
                raise Rejected(f"the content is not what was pinned: its sha256 is {found}, expected {job.sha256}")
            raise TryAgain("an earlier part did not fit the rest")

        self._repeat(attempt, job.deadline, job.task)

    def _repeat(self, attempt: Callable[[bool], T], deadline: float, task: Task | None = None) -> T:
        """The result of `attempt`, which is called again while that may help. Its argument: ask for the whole file.

        Raises Rejected, or the last TryAgain."""
        problem: TryAgain | None = None
        silent = 0
        for number in range(1, self.limits.attempts + 1):
            if problem:
                if task:
                    task.note = f"attempt {number}: {problem}"
                wait = max(problem.wait, self.limits.backoff * 2 ** (number - 2))
                self._opener.wait(min(wait, deadline - time.monotonic()))
            last = number == self.limits.attempts
            try:
                return attempt(problem is not None and (problem.whole or (problem.ranged and last)))
            except TryAgain as error:
                problem = error
                silent += bool(error.silent)
            if silent == self.limits.silent:
                break
        assert problem is not None
        raise problem

    def _stream(self, url: str, job: _Job, whole: bool) -> bool:
        """Completes the `.part` file, or for `whole` begins again; returns whether an earlier part was continued."""
        known = job.versions.get(url, "")
        # Without a hash, nothing would show that two parts belong to different files.
        have = 0 if whole or not (job.sha256 or known) else job.part.stat().st_size
        with self._opener.open(url, job.deadline, have, known) as answer:
            if answer.status != http.client.PARTIAL_CONTENT:
                have = 0
            else:
                verdicts.expect_rest(answer.headers, have, known)
            if version := verdicts.version(answer.headers):
                job.versions[url] = version
            length = transport.number(answer.headers.get("Content-Length", ""))
            announced = have + length if length is not None else None
            wanted = announced if job.size is None else job.size
            most = self.limits.most if job.size is None else job.size
            if announced is not None and (announced > most or announced != wanted):
                job.forget()
                expected = f"more than the {most} allowed" if job.size is None else f"not the expected {most} bytes"
                hint = " (an HTML page)" if "html" in answer.headers.get("Content-Type", "") else ""
                raise Rejected(f"it is {announced} bytes long{hint}, {expected}")
            if job.task:
                job.task.restart(have, wanted)
            resumed = have > 0
            with job.part.open("ab" if have else "wb") as stream:
                for chunk in self._opener.chunks(answer, have, most, job.deadline):
                    if have == 0:
                        verdicts.expect_format(job.target.name, chunk)
                    stream.write(chunk)
                    have += len(chunk)
                    if job.task:
                        job.task.advance(len(chunk))
            if wanted is not None and have < wanted:
                raise TryAgain(f"it ended after {have} of {wanted} bytes")
            if have < self.limits.least:
                job.forget()
                raise Rejected(f"it is only {have} bytes long")
            return resumed


@dataclass(frozen=True)
class _Mirrors:
    """A line of docker/mirrors.txt."""

    places: tuple[Annotated[toml.Url, toml.form(r".*/", "an https:// address that ends in /")], ...]


def read_mirrors(path: Path) -> dict[str, list[str]]:
    """URL prefix -> other prefixes, from a file like docker/mirrors.txt. Raises UserError for a malformed line."""
    found: dict[str, list[str]] = {}
    for number, line in enumerate(toml.read_text(path).splitlines(), start=1):
        if line.startswith("#") or not line:
            continue
        where = f"{path.name}:{number}:"
        places = toml.read(_Mirrors, {"places": line.split(" ")}, where).places
        if len(places) < 2 or places[0] in found:
            raise errors.UserError(f"{where} write each prefix once, followed by those that can replace it")
        found[places[0]] = list(places[1:])
    return found
