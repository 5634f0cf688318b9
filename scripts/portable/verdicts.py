"""What the answer to a request means for a download: try again, try the next URL, or give up.

Standard library only; images carry this module.
"""

from __future__ import annotations

import http.client
import re
import socket
import ssl
import time
import urllib.error
from collections.abc import Mapping
from email.message import Message
from pathlib import Path
from typing import NoReturn

from portable import errors, transport

MAGIC = {
    ".gz": b"\x1f\x8b",
    ".tgz": b"\x1f\x8b",
    ".xz": b"\xfd7zXZ\x00",
    ".bz2": b"BZh",
    ".zst": b"\x28\xb5\x2f\xfd",
    ".zip": b"PK",
    ".whl": b"PK",
}
_TRY_LATER = frozenset({408, 425, 429, 500, 502, 503, 504})


class Unusable(errors.Failure):
    """No URL gave the file. `reasons`: what was wrong, one text a URL.

    `missing`: every URL answered that there is no such file; `passing`: one of them may have it later;
    `unanswered`: one of them was not reached, or refused to be asked; `silent`: hosts that did not answer at all.
    """

    def __init__(self, name: str, problems: Mapping[str, Exception]) -> None:
        self.reasons = [f"{url}: {error}" for url, error in problems.items()]
        self.missing = all(isinstance(error, NotThere) for error in problems.values())
        self.passing = any(isinstance(error, TryAgain) for error in problems.values())
        self.unanswered = any(isinstance(error, TryAgain | Unanswered) for error in problems.values())
        self.silent = {host for error in problems.values() if (host := getattr(error, "silent", ""))}
        advice = ["It may work later: run the same command again."] if self.passing else []
        super().__init__("\n  ".join([f"{name} could not be downloaded:", *self.reasons, *advice]))


class Rejected(Exception):
    """This URL will not give the file, now or later: the next one is tried."""


class Unanswered(Rejected):
    """The server said nothing about the file. `silent`: the host, if it said nothing to anybody."""

    def __init__(self, reason: str, silent: str = "") -> None:
        super().__init__(reason)
        self.silent = silent


class NotThere(Rejected):
    """The server answered that there is no such file."""


class TryAgain(Exception):
    """The next attempt may work. `wait`: seconds the server asked for; `whole`: only if it asks for the whole file;
    `ranged`: this attempt asked for the rest of a file, which may be the reason; `silent`: the host that is silent."""

    def __init__(
        self, reason: str, wait: float = 0, whole: bool = False, ranged: bool = False, silent: str = ""
    ) -> None:
        super().__init__(reason)
        self.wait, self.whole, self.ranged, self.silent = wait, whole, ranged, silent


def expect_format(name: str, start: bytes) -> None:
    """Raises Rejected when a file of this name cannot begin with these bytes, as when they are an error page."""
    magic = MAGIC.get(Path(name).suffix)
    if magic and not start.startswith(magic[: len(start)]):
        what = "an HTML page" if start.lstrip()[:1] == b"<" else f"not {Path(name).suffix[1:]} data"
        raise Rejected(f"it is {what}")


def version(headers: Message) -> str:
    """The name of this state of a file, for If-Range: a strong ETag, else the date, else "" (RFC 9110, 13.1.5)."""
    tag: str = headers.get("ETag", "")
    return tag if tag.startswith('"') else headers.get("Last-Modified", "")


def expect_rest(headers: Message, offset: int, known: str) -> None:
    """Raises TryAgain, for the whole file, where a partial answer is not the rest of the `known` version."""
    start = re.match(r"bytes ([0-9]+)-", headers.get("Content-Range", ""))
    if not start or transport.number(start[1]) != offset:
        raise TryAgain("it answers with another part of the file than was asked for", whole=True)
    if known and version(headers) not in ("", known):
        raise TryAgain("the file has changed since an earlier attempt", whole=True)


def expect_whole(headers: Message, have: int) -> None:
    """Raises TryAgain where a body of `have` bytes is shorter than its headers say."""
    length = transport.number(headers.get("Content-Length", ""))
    if length is not None and have < length:
        raise TryAgain(f"it ended after {have} of {length} bytes")


def judge(status: int, headers: Message, longest_wait: float, offset: int) -> NoReturn:
    """Raises what an unsuccessful status means. `longest_wait`: the Retry-After that is still obeyed, in seconds."""
    if status in (http.client.NOT_FOUND, http.client.GONE):
        raise NotThere(f"it answers {status}: there is no such file")
    if status in _TRY_LATER:
        wait = _retry_after(headers.get("Retry-After", ""))
        if wait > longest_wait:
            raise Unanswered(f"it answers {status} and asks to wait {wait:.0f} seconds")
        raise TryAgain(f"it answers {status}", wait, ranged=offset > 0)
    if status == http.client.PROXY_AUTHENTICATION_REQUIRED:
        raise Unanswered("the proxy wants a user name and a password: put them into HTTPS_PROXY and HTTP_PROXY")
    if offset:
        raise TryAgain(f"it answers {status} to a request for the rest of the file", whole=True)
    raise (Unanswered if status in (401, 403) or status >= 500 else Rejected)(f"it answers {status}")


def explain(error: Exception, host: str) -> NoReturn:
    """Raises what a failed connection means."""
    reason = error.reason if isinstance(error, urllib.error.URLError) else error
    if isinstance(reason, ssl.SSLCertVerificationError):
        raise Unanswered(
            f"its certificate is not trusted ({reason.verify_message}): behind a proxy that inspects TLS, set "
            f"SSL_CERT_FILE to a bundle with its CA",
            host,
        )
    if isinstance(reason, socket.gaierror) and reason.errno == socket.EAI_NONAME:
        raise Unanswered("the host name is not known here", host)
    if isinstance(reason, FileNotFoundError):
        raise NotThere("there is no such file")
    if isinstance(reason, TimeoutError):
        raise TryAgain("it does not answer in time", silent=host)
    if isinstance(error, ValueError | http.client.InvalidURL):
        raise Rejected(f"this is not a URL to download from: {error}")
    raise TryAgain(f"the connection failed: {in_words(reason)}", silent=host)


def in_words(error: object) -> str:
    """What went wrong, in words for people."""
    if isinstance(error, TimeoutError):
        return "no data in time"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return str(error) or type(error).__name__


def _retry_after(value: str) -> float:
    """Seconds to wait; 0 where the header cannot be understood."""
    seconds = transport.number(value)
    if seconds is None and (date := transport.moment(value)):
        return max(0.0, date.timestamp() - time.time())
    return float(seconds or 0)
