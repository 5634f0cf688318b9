"""TLS on the loopback: an authority in the image's store is trusted, a self-signed certificate is not."""

from __future__ import annotations

import contextlib
import http.server
import os
import ssl
import threading
from collections.abc import Iterator
from pathlib import Path

from .context import INTERNAL, Context, InstalledInterpreter, Problem
from .registry import check

CLIENT = """
import ssl, sys, urllib.error, urllib.request
try:
    print(urllib.request.urlopen(sys.argv[1], timeout=20).read().decode())
except urllib.error.URLError as error:
    print(type(error.reason).__name__, error.reason)
"""


class _Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        """Answers with the protocol version."""
        connection = self.connection
        version = connection.version() if isinstance(connection, ssl.SSLSocket) else ""
        body = f"hello over {version}".encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Says nothing."""


@contextlib.contextmanager
def server(certificate: Path, key: Path) -> Iterator[str]:
    """The URL of an HTTPS server on the loopback with that certificate."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Handler) as httpd:
        httpd.socket = context.wrap_socket(httpd.socket, server_side=True)
        thread = threading.Thread(target=httpd.serve_forever, daemon=True)
        thread.start()
        try:
            yield f"https://localhost:{httpd.server_address[1]}/"
        finally:
            httpd.shutdown()
            thread.join()


def bundle(context: Context) -> Path:
    """The image's bundle with the test authority added, as a site would mount it."""

    def make() -> Path:
        path = context.scratch / "bundle.pem"
        original = (INTERNAL / "certs.pem").read_text(encoding="utf-8")
        path.write_text(original + (context.data / "tls/authority.pem").read_text(encoding="utf-8"), encoding="utf-8")
        return path

    return context.once("certificate bundle", make)


def _ask(context: Context, interpreter: InstalledInterpreter, url: str, certificates: Path | str) -> str:
    environment = {**context.environment, "SSL_CERT_FILE": str(certificates)}
    environment.pop("SSL_CERT_DIR", None)
    return context.output([interpreter.python, "-c", CLIENT, url], env=environment)


@check("regression-25-tls", each_interpreter=True)
def trust(context: Context, interpreter: InstalledInterpreter) -> Iterator[str]:
    """With the authority in the bundle the server is trusted, over TLS 1.3; without it, or self-signed, it is not."""
    data = context.data / "tls"
    with server(data / "server.pem", data / "server.key") as url:
        said = _ask(context, interpreter, url, bundle(context))
        if said != "hello over TLSv1.3":
            yield f"a certificate of an authority in SSL_CERT_FILE is refused: {said}"
        said = _ask(context, interpreter, url, INTERNAL / "certs.pem")
        if "CERTIFICATE_VERIFY_FAILED" not in said:
            yield f"a certificate of an unknown authority is accepted: {said}"
    with server(data / "self-signed.pem", data / "self-signed.key") as url:
        said = _ask(context, interpreter, url, bundle(context))
        if "CERTIFICATE_VERIFY_FAILED" not in said:
            yield f"a self-signed certificate is accepted: {said}"


@check("tls-pip-and-curl")
def other_clients(context: Context) -> Iterator[str]:
    """pip and uv follow SSL_CERT_FILE; git and curl have authorities of their own."""
    data = context.data / "tls"
    interpreter = context.expected.interpreter(context.expected.tools_python)
    environment = {
        key: value
        for key, value in context.environment.items()
        if not key.startswith(("PIP_", "SSL_", "UV_", "REQUESTS_", "CURL_"))
    }
    environment["PIP_CONFIG_FILE"] = os.devnull
    trusting = {**environment, "SSL_CERT_FILE": str(bundle(context))}
    with server(data / "server.pem", data / "server.key") as url:
        pip = [
            interpreter.python,
            "-m",
            "pip",
            "download",
            "--no-cache-dir",
            "--retries",
            "0",
            "-d",
            str(context.scratch),
            "-i",
            url,
            "no-such-package",
        ]
        for env, accepted in ((trusting, True), (environment | {"SSL_CERT_FILE": str(INTERNAL / "certs.pem")}, False)):
            done = context.run(pip, env=env, status=None)
            refused = "CERTIFICATE_VERIFY_FAILED" in done.stdout + done.stderr
            if refused is accepted:
                verb = "refuses" if accepted else "accepts"
                yield f"pip {verb} the server: {(done.stdout + done.stderr).strip()[-400:]}"
        done = context.run(["curl", "-sS", "--cacert", bundle(context), url], env=environment, status=None)
        if not done.stdout.startswith("hello"):
            yield f"curl refuses the server with the authority given: {done.stderr.strip()}"
        done = context.run(["curl", "-sS", url], env=environment, status=None)
        if done.returncode != 60:
            yield f"curl accepts an unknown authority: exit status {done.returncode} {done.stderr.strip()}"
        done = context.run(
            ["git", "ls-remote", url + "x"], env={**environment, "GIT_SSL_CAINFO": str(bundle(context))}, status=None
        )
        if "certificate" in done.stderr.lower():
            yield f"git refuses the server with the authority given: {done.stderr.strip()}"
    store = next(
        (p for p in ("/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt") if os.path.exists(p)), ""
    )
    if not store:
        raise Problem("the distribution's certificate bundle is missing")
    count = Path(store).read_text(encoding="utf-8", errors="replace").count("BEGIN CERTIFICATE")
    if count < 100:
        yield f"{store} holds {count} certificates"
