"""A real registry on loopback (Debian's docker-registry), a proxy in front of it that fails on demand, tiny images."""

from __future__ import annotations

import contextlib
import hashlib
import http.client
import json
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urljoin

import requests

from network.oci import MANIFEST_TYPES, Manifest


@contextlib.contextmanager
def running(directory: Path, login: str = "") -> Iterator[str]:
    """A registry that keeps its data in `directory` and allows deletions; yields its host:port.

    `login`: a line of an htpasswd file, for a registry that asks for it."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        host = f"127.0.0.1:{probe.getsockname()[1]}"
    configuration = directory / "config.yml"
    configuration.write_text(
        f"version: 0.1\nlog: {{level: error, accesslog: {{disabled: true}}}}\n"
        f"storage: {{filesystem: {{rootdirectory: {directory / 'data'}}}, delete: {{enabled: true}}}}\n"
        f"http: {{addr: {host}}}\n"
        + (f"auth: {{htpasswd: {{realm: test, path: {directory / 'htpasswd'}}}}}\n" if login else ""),
        encoding="utf-8",
    )
    (directory / "htpasswd").write_text(f"{login}\n", encoding="utf-8")
    with (directory / "log").open("wb") as log:
        server = subprocess.Popen(["docker-registry", "serve", str(configuration)], stdout=log, stderr=log)
    try:
        for _ in range(100):
            with contextlib.suppress(requests.ConnectionError):
                requests.get(f"http://{host}/v2/", timeout=5)
                break
            time.sleep(0.05)
        yield host
    finally:
        server.terminate()
        server.wait()


def spoiler(directory: Path) -> Callable[[str, str, bytes], None]:
    """Stores something else as a blob of the registry that keeps its data in `directory`."""

    def overwrite(repository: str, digest: str, content: bytes) -> None:
        hexes = digest.removeprefix("sha256:")
        path = directory / "data/docker/registry/v2/blobs/sha256" / hexes[:2] / hexes / "data"
        assert path.read_bytes() != content
        path.write_bytes(content)

    return overwrite


class FailingProxy:
    """Forwards to a registry and answers 500 to the request of a given number, before or after it took effect.

    `meanwhile` is called before the request of number `meanwhile_at` is forwarded, and none is until it ends."""

    def __init__(self, upstream: str) -> None:
        self.count, self.fail_at, self.took_effect = 0, 0, False
        self.meanwhile_at = 0
        self.log: list[tuple[str, str]] = []  # method and path of every request since it counts
        self.meanwhile: Callable[[], None] = lambda: None
        lock = threading.Lock()
        proxy = self

        class Handler(BaseHTTPRequestHandler):
            def handle_any(self) -> None:
                with lock:
                    proxy.count += 1
                    proxy.log.append((self.command, self.path))
                    failing = proxy.count == proxy.fail_at
                    if proxy.count == proxy.meanwhile_at:
                        proxy.meanwhile()
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                if failing and not proxy.took_effect:
                    return self.answer(500, {}, b"")
                connection = http.client.HTTPConnection(upstream, timeout=20)
                # The Host header stays, so that the registry's own links lead through here.
                connection.request(self.command, self.path, body, dict(self.headers))
                answer = connection.getresponse()
                content = answer.read()
                connection.close()
                if failing:
                    return self.answer(500, {}, b"")
                headers = {k: v for k, v in answer.getheaders() if k.lower() not in ("content-length", "date")}
                size = answer.getheader("Content-Length", "0") if self.command == "HEAD" else str(len(content))
                return self.answer(answer.status, {**headers, "Content-Length": size}, content)

            def answer(self, status: int, headers: dict[str, str], content: bytes) -> None:
                self.send_response(status)
                for name, value in ({"Content-Length": "0"} | headers).items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(content)

            do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = do_PATCH = handle_any

            def log_message(self, *_: object) -> None:
                """Stays silent."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.host = f"127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def interrupt(self, at: int, meanwhile: Callable[[], None]) -> None:
        """Counts anew, and lets something else happen before that request."""
        self.count, self.log, self.meanwhile_at, self.meanwhile = 0, [], at, meanwhile

    def arm(self, fail_at: int, took_effect: bool) -> None:
        """Counts anew, and fails that request."""
        self.count, self.fail_at, self.took_effect = 0, fail_at, took_effect

    def close(self) -> None:
        """Ends the server."""
        self._server.shutdown()
        self._server.server_close()


def store_image(
    host: str,
    repository: str,
    tag: str,
    labels: dict[str, str],
    content: bytes = b"layer",
    platform: str = "linux/amd64",
) -> Manifest:
    """Stores an image with one layer and these labels; returns its manifest."""
    names = dict(zip(("os", "architecture", "variant"), platform.split("/"), strict=False))
    rootfs = {"type": "layers", "diff_ids": [_digest(content)]}
    configuration = json.dumps({**names, "rootfs": rootfs, "config": {"Labels": labels}}).encode()
    for blob in (configuration, content):
        start = requests.post(f"http://{host}/v2/{repository}/blobs/uploads/", timeout=10)
        start.raise_for_status()
        location = urljoin(f"http://{host}/", start.headers["Location"])
        requests.put(location, params={"digest": _digest(blob)}, data=blob, timeout=10).raise_for_status()
    document = {
        "schemaVersion": 2,
        "mediaType": MANIFEST_TYPES[0],
        "config": {
            "mediaType": "application/vnd.oci.image.config.v1+json",
            "digest": _digest(configuration),
            "size": len(configuration),
        },
        "layers": [
            {
                "mediaType": "application/vnd.oci.image.layer.v1.tar+gzip",
                "digest": _digest(content),
                "size": len(content),
            }
        ],
    }
    manifest = Manifest(json.dumps(document).encode(), MANIFEST_TYPES[0])
    requests.put(
        f"http://{host}/v2/{repository}/manifests/{tag}",
        data=manifest.content,
        headers={"Content-Type": manifest.media_type},
        timeout=10,
    ).raise_for_status()
    return manifest


def _digest(content: bytes) -> str:
    return "sha256:" + hashlib.sha256(content).hexdigest()
