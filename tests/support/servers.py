"""A real HTTP server on loopback that behaves as badly as asked, for every test of something that downloads.

    with servers.running() as server:
        server.routes["/a.tar.gz"] = servers.failing(2, 500, then=servers.good(body))
        url = server.url("/a.tar.gz")

A route is a function of the request handler; it writes the whole answer. `server.requests` lists what was asked.
"""

from __future__ import annotations

import socket
import ssl
import struct
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

Route = Callable[[BaseHTTPRequestHandler], None]
HTML = b"<!DOCTYPE html><html><body>Please log in</body></html>"


@dataclass
class Server:
    """The running server. `requests` holds method, path and headers of every request in order."""

    port: int
    scheme: str = "http"
    routes: dict[str, Route] = field(default_factory=dict)
    requests: list[tuple[str, str, Message]] = field(default_factory=list)

    def url(self, path: str) -> str:
        return f"{self.scheme}://127.0.0.1:{self.port}{path}"

    def asked(self, path: str) -> int:
        """How often a path was asked for."""
        return sum(1 for _, asked, _ in self.requests if asked == path)


@contextmanager
def running(certificate: Path | None = None) -> Iterator[Server]:
    """A server on a free port of the loopback interface; it speaks TLS with `certificate` (a file with its key too)."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            self.body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            state.requests.append((self.command, self.path, self.headers))
            self.close_connection = True
            state.routes.get(self.path, status(404))(self)

        do_HEAD = do_PUT = do_POST = do_DELETE = do_GET

        def log_message(self, format: str, *args: object) -> None:
            pass

    class Quiet(ThreadingHTTPServer):
        daemon_threads = True
        request_queue_size = 64  # a full queue would cost a client one second
        block_on_close = False

        def handle_error(self, request: object, client_address: object) -> None:
            pass  # clients hang up on servers like this one

    server = Quiet(("127.0.0.1", 0), Handler)
    state = Server(server.server_address[1], "https" if certificate else "http")
    if certificate:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate)
        server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield state
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def good(body: bytes, *, ranges: bool = True, content_type: str = "application/octet-stream") -> Route:
    """The whole body, or the part that was asked for unless the server knows no ranges."""

    def route(handler: BaseHTTPRequestHandler) -> None:
        start = handler.headers.get("Range", "").removeprefix("bytes=").removesuffix("-")
        if ranges and start and int(start) >= len(body):
            return send(handler, 416, b"")
        if ranges and start:
            offset = int(start)
            rest = {"Content-Range": f"bytes {offset}-{len(body) - 1}/{len(body)}", "Content-Type": content_type}
            return send(handler, 206, body[offset:], rest)
        return send(handler, 200, body, {"Content-Type": content_type})

    return route


def status(code: int, headers: dict[str, str] | None = None, body: bytes = b"") -> Route:
    """Always this status."""
    return lambda handler: send(handler, code, body, headers)


def html() -> Route:
    """An error page with status 200, as captive portals and some download sites send."""
    return good(HTML, content_type="text/html; charset=utf-8")


def in_turn(*routes: Route) -> Route:
    """Each route once, then the last one for ever."""
    left = list(routes)
    return lambda handler: (left.pop(0) if len(left) > 1 else left[0])(handler)


def failing(times: int, code: int, *, then: Route, headers: dict[str, str] | None = None) -> Route:
    """So many errors, then something else."""
    return in_turn(*[status(code, headers)] * times, then)


def truncated(body: bytes, at: int, headers: dict[str, str] | None = None) -> Route:
    """Announces the whole body and hangs up after `at` bytes."""

    def route(handler: BaseHTTPRequestHandler) -> None:
        head(handler, 200, {"Content-Length": str(len(body)), **(headers or {})})
        handler.wfile.write(body[:at])

    return route


def dripping(body: bytes, step: int, pause: float) -> Route:
    """Sends `step` bytes every `pause` seconds."""

    def route(handler: BaseHTTPRequestHandler) -> None:
        head(handler, 200, {"Content-Length": str(len(body))})
        for at in range(0, len(body), step):
            handler.wfile.write(body[at : at + step])
            handler.wfile.flush()
            time.sleep(pause)

    return route


def stalling(seconds: float) -> Route:
    """Says nothing at all for a while."""
    return lambda handler: time.sleep(seconds)


def endless(chunk: bytes) -> Route:
    """A body that says no length and does not end."""

    def route(handler: BaseHTTPRequestHandler) -> None:
        head(handler, 200, {})
        while True:
            handler.wfile.write(chunk)

    return route


def redirecting(to: str) -> Route:
    """A redirect; to its own path it is a loop."""
    return status(302, {"Location": to})


def resetting(handler: BaseHTTPRequestHandler) -> None:
    """Closes the connection with a reset."""
    handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    handler.connection.close()


def closed_port() -> int:
    """A port of the loopback interface that refuses connections."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port: int = found.getsockname()[1]
    return port


def head(handler: BaseHTTPRequestHandler, code: int, headers: dict[str, str]) -> None:
    """Status line and headers."""
    handler.send_response(code)
    for name, value in {"Connection": "close", **headers}.items():
        handler.send_header(name, value)
    handler.end_headers()


def send(handler: BaseHTTPRequestHandler, code: int, body: bytes, headers: dict[str, str] | None = None) -> None:
    """A complete answer."""
    head(handler, code, {"Content-Length": str(len(body)), **(headers or {})})
    if handler.command != "HEAD":
        handler.wfile.write(body)


def raw(*pieces: bytes, pause: float = 0.05, times: int = 10_000) -> Route:
    """Sends the first piece, then the others again and again, with pauses, until the client hangs up."""

    def route(handler: BaseHTTPRequestHandler) -> None:
        handler.wfile.write(pieces[0])
        for _ in range(times):
            for piece in pieces[1:]:
                handler.wfile.write(piece)
                time.sleep(pause)

    return route


# What goes on for ever around a body, byte by byte or fast.
ENDLESS = {
    "a status line": raw(b"HTTP/1.1 ", b"2"),
    "a header": raw(b"HTTP/1.1 200 OK\r\nX-Long: ", b"x"),
    "headers": raw(b"HTTP/1.1 200 OK\r\n", b"X-Many: x\r\n"),
    "continue": raw(b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
    "fast continue": raw(b"", b"HTTP/1.1 100 Continue\r\n\r\n" * 1000, pause=0),
    "fast header": raw(b"HTTP/1.1 200 OK\r\nX-Long: ", b"x" * 10_000, pause=0),
    "the size of a chunk": raw(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"0"),
    "trailers": raw(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n", b"X-Many: x\r\n"),
    "a redirect": raw(b"HTTP/1.1 302 Found\r\nLocation: /none\r\n\r\n", b"x"),
}
