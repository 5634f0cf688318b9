"""A registry in memory that knows referrers, as docker-registry 2.8 does not: enough of the OCI API for every client.

    with small_registry.running() as registry:
        Registry(registry.host)

`registry.blobs` and `registry.manifests` may be spoiled by a test; nothing is checked when it is read.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import re
import threading
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

INDEX = "application/vnd.oci.image.index.v1+json"
_PATH = re.compile(r"/v2/(?P<name>.+?)/(?P<what>manifests|blobs|referrers|tags)/(?P<rest>.+)")


@dataclass
class SmallRegistry:
    """`page`: the rows of a page of referrers (cosign 3.1 reads the first page only); `filters`: whether it filters."""

    host: str = ""
    page: int = 100
    filters: bool = True
    blobs: dict[tuple[str, str], bytes] = field(default_factory=dict)  # by repository and digest
    manifests: dict[tuple[str, str], tuple[str, bytes]] = field(default_factory=dict)  # type and content, by digest
    tags: dict[tuple[str, str], str] = field(default_factory=dict)  # digests

    def referrers(self, name: str, digest: str, kind: str) -> list[dict[str, Any]]:
        """The rows about one subject."""
        rows = []
        for (repository, theirs), (media_type, content) in self.manifests.items():
            document = json.loads(content)
            if repository == name and document.get("subject", {}).get("digest") == digest:
                row = {"mediaType": media_type, "digest": theirs, "size": len(content)}
                row["artifactType"] = document.get("artifactType") or document["config"]["mediaType"]
                rows.append({**row, "annotations": document.get("annotations", {})})
        return [row for row in rows if not kind or not self.filters or row["artifactType"] == kind]

    def spoil(self, repository: str, digest: str, content: bytes) -> None:
        """Stores something else as a blob."""
        assert self.blobs[repository, digest] != content
        self.blobs[repository, digest] = content


def digest_of(content: bytes) -> str:
    """`sha256:<hex>`."""
    return "sha256:" + hashlib.sha256(content).hexdigest()


@contextlib.contextmanager
def running() -> Iterator[SmallRegistry]:
    """The registry on a free port of the loopback interface."""
    state = SmallRegistry()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def handle_any(self) -> None:
            self.close_connection = True
            body = self._body()
            parts = urlsplit(self.path)
            query = {key: values[0] for key, values in parse_qs(parts.query).items()}
            if parts.path.rstrip("/") == "/v2":
                return self.answer(200)
            match = _PATH.fullmatch(parts.path)
            if not match:
                return self.answer(404)
            verb = "GET" if self.command == "HEAD" else self.command
            method = getattr(self, f"{verb.lower()}_{match['what']}", None)
            if method:
                method(match["name"], match["rest"], query, body)
            else:
                self.answer(405)

        def _body(self) -> bytes:
            if self.headers.get("Transfer-Encoding", "") != "chunked":
                return self.rfile.read(int(self.headers.get("Content-Length", 0)))
            chunks = []
            while size := int(self.rfile.readline().strip(), 16):
                chunks.append(self.rfile.read(size))
                self.rfile.readline()
            self.rfile.readline()
            return b"".join(chunks)

        def get_manifests(self, name: str, reference: str, query: dict[str, str], body: bytes) -> None:
            digest = reference if ":" in reference else state.tags.get((name, reference), "")
            if (name, digest) not in state.manifests:
                return self.answer(404, b'{"errors": [{"code": "MANIFEST_UNKNOWN"}]}')
            media_type, content = state.manifests[name, digest]
            return self.answer(200, content, {"Content-Type": media_type, "Docker-Content-Digest": digest})

        def put_manifests(self, name: str, reference: str, query: dict[str, str], body: bytes) -> None:
            digest = digest_of(body)
            state.manifests[name, digest] = (self.headers["Content-Type"], body)
            if ":" not in reference:
                state.tags[name, reference] = digest
            subject = json.loads(body).get("subject", {}).get("digest")
            headers = {"OCI-Subject": subject} if subject else {}
            return self.answer(
                201, b"", {**headers, "Docker-Content-Digest": digest, "Location": f"/v2/{name}/manifests/{digest}"}
            )

        def delete_manifests(self, name: str, reference: str, query: dict[str, str], body: bytes) -> None:
            for key in [key for key, digest in state.tags.items() if key[0] == name and digest == reference]:
                del state.tags[key]
            return self.answer(202 if state.manifests.pop((name, reference), None) else 404)

        def get_referrers(self, name: str, digest: str, query: dict[str, str], body: bytes) -> None:
            kind, start = query.get("artifactType", ""), int(query.get("from", 0))
            rows = state.referrers(name, digest, kind)
            headers = {"Content-Type": INDEX}
            if kind and state.filters:
                headers["OCI-Filters-Applied"] = "artifactType"
            if len(rows) > start + state.page:
                following = f"/v2/{name}/referrers/{digest}?from={start + state.page}"
                headers["Link"] = f'<{following}{f"&artifactType={kind}" if kind else ""}>; rel="next"'
            document = {"schemaVersion": 2, "mediaType": INDEX, "manifests": rows[start : start + state.page]}
            return self.answer(200, json.dumps(document).encode(), headers)

        def get_tags(self, name: str, rest: str, query: dict[str, str], body: bytes) -> None:
            tags = [tag for repository, tag in state.tags if repository == name]
            return self.answer(200 if tags else 404, json.dumps({"name": name, "tags": tags}).encode())

        def get_blobs(self, name: str, digest: str, query: dict[str, str], body: bytes) -> None:
            content = state.blobs.get((name, digest))
            return self.answer(404 if content is None else 200, content or b"", {"Docker-Content-Digest": digest})

        def post_blobs(self, name: str, rest: str, query: dict[str, str], body: bytes) -> None:
            digest = query.get("mount", "")
            content = state.blobs.get((query.get("from", ""), digest))
            if content is None:
                return self.answer(202, b"", {"Location": f"/v2/{name}/blobs/uploads/{uuid.uuid4()}?state=x"})
            state.blobs[name, digest] = content
            return self.answer(201, b"", {"Location": f"/v2/{name}/blobs/{digest}"})

        def patch_blobs(self, name: str, rest: str, query: dict[str, str], body: bytes) -> None:
            state.blobs[name, rest] = state.blobs.pop((name, rest), b"") + body
            return self.answer(202, b"", {"Location": self.path, "Range": f"0-{len(state.blobs[name, rest]) - 1}"})

        def put_blobs(self, name: str, rest: str, query: dict[str, str], body: bytes) -> None:
            content = state.blobs.pop((name, rest), b"") + body
            if digest_of(content) != query["digest"]:
                return self.answer(400)
            state.blobs[name, query["digest"]] = content
            return self.answer(201, b"", {"Location": f"/v2/{name}/blobs/{query['digest']}"})

        def answer(self, status: int, content: bytes = b"", headers: dict[str, str] | None = None) -> None:
            self.send_response(status)
            for key, value in {"Content-Length": str(len(content)), "Connection": "close", **(headers or {})}.items():
                self.send_header(key, value)
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(content)

        do_GET = do_HEAD = do_PUT = do_POST = do_PATCH = do_DELETE = handle_any

        def log_message(self, *_: object) -> None:
            """Stays silent."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    state.host = f"127.0.0.1:{server.server_port}"
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
    try:
        yield state
    finally:
        server.shutdown()
        server.server_close()
