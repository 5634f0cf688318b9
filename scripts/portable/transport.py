"""Connections for downloads: a host's name is looked up once, and every answer has a deadline.

http.client limits the length of a header line and the wait for the next byte, not the time of a whole head: a byte
every few seconds, or one "100 Continue" after another, would go on for ever.
"""

from __future__ import annotations

import contextlib
import io
import re
import socket
import threading
import time
from collections.abc import Sequence
from concurrent.futures import Future
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http.client import HTTPException, HTTPResponse
from typing import Any

_LOOPBACK = re.compile(r"(localhost|127\.\d+\.\d+\.\d+|\[::1\])(:\d+)?")
MOST_OF_A_HEAD = 1 << 18  # bytes of status lines and headers, those of "100 Continue" included

_lookups: dict[tuple[str, int], Future[list[Any]]] = {}
_lookups_lock = threading.Lock()


class Pace(io.RawIOBase):
    """The bytes of one answer as they come from a socket. Raises TimeoutError for one that comes after `until`.

    `until` is a time.monotonic(), at first for the whole head: now and the socket's own time limit. What comes before
    `in_body` is set counts as part of the head."""

    def __init__(self, sock: socket.socket) -> None:
        self._socket, self._raw = sock, sock.makefile("rb", buffering=0)
        self._stall: float = sock.gettimeout() or 0
        self.until = time.monotonic() + self._stall
        self.in_body = False
        self._read = 0

    def makefile(self, mode: str) -> io.BufferedReader:
        """The one method of a socket that HTTPResponse calls."""
        return io.BufferedReader(self)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        left = self.until - time.monotonic()
        if left <= 0:
            raise TimeoutError("timed out")
        self._socket.settimeout(min(self._stall, left))
        count = self._raw.readinto(buffer)
        self._read += count or 0
        if self._read > MOST_OF_A_HEAD and not self.in_body:
            raise HTTPException(f"its headers are longer than {MOST_OF_A_HEAD} bytes")
        return count

    def close(self) -> None:
        self._raw.close()
        super().close()


class Response(HTTPResponse):
    """An answer whose bytes have deadlines."""

    def __init__(self, sock: socket.socket, *more: Any, **named: Any) -> None:
        self.pace = Pace(sock)
        super().__init__(self.pace, *more, **named)  # type: ignore[arg-type]  # all it asks for is makefile()


def connection(kind: Any, patience: float) -> Any:
    """A subclass of `kind` of http.client whose attempts to connect take at most `patience` seconds."""

    class Connection(kind):  # type: ignore[misc]
        response_class = Response
        timeout: float

        def connect(self) -> None:
            self._create_connection = connect  # socket.create_connection in http.client
            answer_within, self.timeout = self.timeout, min(self.timeout, patience)
            super().connect()
            self.sock.settimeout(answer_within)

    return Connection


def connect(address: tuple[str, int], timeout: float | None, source: Any = None) -> socket.socket:
    """A connection to the first address of a host that accepts one. Raises OSError."""
    problem = OSError(f"{address[0]} has no address")
    for place in addresses(*address):
        try:
            return socket.create_connection(place[:2], timeout, source)
        except OSError as error:
            problem = error
    raise problem


def addresses(host: str, port: int) -> Sequence[Any]:
    """The socket addresses of a host, looked up once by this process, however many threads ask.

    Resolvers lose some of many simultaneous questions, and each loss costs seconds. Raises OSError, which is not
    remembered."""
    key = (host, port)
    with _lookups_lock:
        asked = _lookups.get(key)
        mine = asked is None
        if asked is None:
            asked = _lookups[key] = Future()
    if mine:
        try:
            asked.set_result([row[4] for row in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)])
        except BaseException as error:
            with _lookups_lock:
                del _lookups[key]
            asked.set_exception(error)
    return asked.result()


def number(text: str) -> int | None:
    """The number in a header, None where there is none. isdigit() accepts digits that int() does not."""
    return int(text) if re.fullmatch(r"[0-9]{1,18}", text.strip(" \t")) else None


def moment(text: str) -> datetime | None:
    """The date in a header, in UTC, None where there is none."""
    with contextlib.suppress(ValueError, TypeError, IndexError, OverflowError):
        found = parsedate_to_datetime(text)
        return (found if found.tzinfo else found.replace(tzinfo=UTC)).astimezone(UTC)
    return None


def without_password(url: str) -> str:
    """The URL without user name and password."""
    return re.sub(r"^([A-Za-z0-9+.-]+://)[^/?#]*@", r"\1", url)


def is_loopback(host: str) -> bool:
    """Whether a registry is on this machine, where container engines use no TLS."""
    return _LOOPBACK.fullmatch(host) is not None
