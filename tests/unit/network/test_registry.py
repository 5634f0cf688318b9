"""The registry client against a server that answers anything: there is a result, or a Failure with host and path."""

from __future__ import annotations

import base64
import copy
import gzip
import json
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest
from tests.support import servers
from tests.support.mutations import documents_like
from tests.support.servers import Route

from network import logins, oci, registry
from network.oci import INDEX_TYPES, MANIFEST_TYPES, Configuration, Manifest
from network.registry import NotFound, Registry
from portable import errors
from publish import listing

REPOSITORY = "pypa/image"
PATH = f"/v2/{REPOSITORY}"
CONFIGURATION = {
    "os": "linux",
    "architecture": "arm",
    "variant": "v7",
    "config": {"Labels": {"title": "x"}, "Env": ["A=b"], "Cmd": ["sh"], "Entrypoint": None},
    "rootfs": {"type": "layers", "diff_ids": ["sha256:" + "1" * 64]},
}
BLOB = json.dumps(CONFIGURATION).encode()
DIGEST = oci.digest_of(BLOB)
IMAGE = {
    "schemaVersion": 2,
    "mediaType": MANIFEST_TYPES[0],
    "config": {"digest": DIGEST, "size": len(BLOB)},
    "layers": [{"digest": "sha256:" + "2" * 64, "size": 7}],
    "annotations": {"a": "b"},
}
INDEX = {
    "schemaVersion": 2,
    "mediaType": INDEX_TYPES[0],
    "manifests": [
        {"digest": DIGEST, "platform": {"os": "linux", "architecture": "arm64", "variant": "v8"}},
        {"digest": DIGEST, "platform": {"os": "unknown", "architecture": "unknown"}},
        {"digest": DIGEST},
    ],
    "annotations": {"a": "b"},
}
ARTIFACT = {
    **IMAGE,
    "artifactType": "application/x",
    "config": {"mediaType": oci.EMPTY_TYPE, "digest": DIGEST},
    "subject": {"digest": DIGEST},
}
MANIFEST = json.dumps(IMAGE).encode()
SCHEMA_1 = {"schemaVersion": 1, "name": REPOSITORY, "tag": "latest", "fsLayers": [], "history": [], "signatures": []}


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[servers.Server]:
    monkeypatch.setenv("HOME", str(tmp_path))  # without logins
    for name in ("REGISTRY_AUTH_FILE", "DOCKER_CONFIG", "XDG_CONFIG_HOME", "XDG_RUNTIME_DIR"):
        monkeypatch.setenv(name, str(tmp_path / "none"))
    with servers.running() as running:
        running.routes[f"{PATH}/manifests/latest"] = image = servers.good(MANIFEST, content_type=MANIFEST_TYPES[0])
        running.routes[f"{PATH}/manifests/{oci.digest_of(MANIFEST)}"] = image
        running.routes[f"{PATH}/blobs/{DIGEST}"] = servers.good(BLOB)
        running.routes[f"{PATH}/tags/list?n=100"] = servers.good(b'{"tags": ["latest", "2026.11.01-1"]}')
        yield running


@pytest.fixture
def client(server: servers.Server) -> Registry:
    return Registry(f"127.0.0.1:{server.port}")


def test_what_it_is_for(client: Registry) -> None:
    found = client.manifest(REPOSITORY, "latest")
    assert found.digest == client.digest(REPOSITORY, "latest") == oci.digest_of(MANIFEST)
    assert found.blobs == (DIGEST, "sha256:" + "2" * 64)
    assert (found.is_index, found.annotations) == (False, {"a": "b"})
    configuration = client.configuration(REPOSITORY, client.manifest(REPOSITORY, found.digest))
    assert (configuration.platform, configuration.labels) == ("linux/arm", {"title": "x"})
    assert client.tags(REPOSITORY) == ["latest", "2026.11.01-1"]
    assert client.digest(REPOSITORY, "missing") is None


# --- Any answer to any request --------------------------------------------------------------------------------

DEEP = b"[" * 200_000
BODIES = {
    "nothing": b"",
    "html": servers.HTML,
    "null": b"null",
    "true": b"true",
    "number": b"7",
    "huge number": b"9" * 5000,
    "text": b'"text"',
    "list": b"[]",
    "object": b"{}",
    "not a number": b"NaN",
    "deep": DEEP,
    "deep object": b'{"a":' * 900 + b"1" + b"}" * 900,
    "cut off": MANIFEST[:-9],
    "two": MANIFEST + b"{}",
    "not UTF-8": b'{"schemaVersion": "\xff"}',
    "UTF-16": MANIFEST.decode().encode("utf-16"),
    "surrogate": rb'{"tags": ["\ud800"], "token": "\ud800", "schemaVersion": 2, "manifests": "\ud800"}',
    "schema 1": json.dumps(SCHEMA_1).encode(),
    "error": b'{"errors": [{"code": "UNKNOWN"}]}',
    "token list": b'{"token": []}',
    "no tags": b'{"tags": null}',
    "tags object": b'{"tags": {}}',
    "tag with slash": b'{"tags": ["../../x"]}',
    "tag number": b'{"tags": [7]}',
}
TYPES = (
    MANIFEST_TYPES[0],
    INDEX_TYPES[1],
    "text/html",
    "application/vnd.docker.distribution.manifest.v1+prettyjws",
    "",
)
ANSWERS: dict[str, Route] = {
    **{f"{name} as {kind}": servers.good(body, content_type=kind) for name, body in BODIES.items() for kind in TYPES},
    **{f"status {code}": servers.status(code) for code in (101, 201, 204, 206, 300, 304, 400, 401, 403, 418, 500)},
    "html 404": servers.status(404, body=servers.HTML),
    "challenge without scheme": servers.status(401, {"WWW-Authenticate": ""}),
    "challenge basic": servers.status(401, {"WWW-Authenticate": 'Basic realm="x"'}),
    "challenge without realm": servers.status(401, {"WWW-Authenticate": "Bearer"}),
    "challenge elsewhere": servers.status(401, {"WWW-Authenticate": 'Bearer realm="http://example.org/token"'}),
    "challenge to a file": servers.status(401, {"WWW-Authenticate": 'Bearer realm="file:///etc/passwd"'}),
    "challenge to nonsense": servers.status(401, {"WWW-Authenticate": 'Bearer realm="http://["'}),
    "redirect to itself": servers.redirecting(f"{PATH}/tags/list?n=100"),
    "redirect to a file": servers.redirecting("file:///etc/passwd"),
    "redirect to nonsense": servers.redirecting("http://["),
    "redirect to no host": servers.redirecting("http://"),
    "redirect to a port": servers.redirecting("http://127.0.0.1:99999/"),
    "redirect to the manifest": servers.redirecting(f"{PATH}/manifests/latest"),
    "too long": servers.good(b" " * (registry.MOST_BYTES + 1)),
    "endless": servers.endless(b"x" * 65536),
    "broken off": servers.truncated(MANIFEST, 9),
    "compressed": servers.status(200, {"Content-Encoding": "gzip"}, gzip.compress(bytes(300 << 20), 1)),
    "compressed wrongly": servers.status(200, {"Content-Encoding": "gzip"}, b"x"),
    "compressed unknown": servers.status(200, {"Content-Encoding": "x"}, MANIFEST),
    "length nonsense": servers.status(200, {"Content-Length": "-5"}),
    "endless link": servers.status(200, {"Link": f"<{PATH}/tags/list?n=100>; rel=next"}, b'{"tags": []}'),
    "odd link": servers.status(200, {"Link": "<http://[>; rel=next"}, b'{"tags": []}'),
}
CALLS: dict[str, tuple[str, Callable[[Registry], object]]] = {
    "manifest": (f"{PATH}/manifests/latest", lambda r: r.manifest(REPOSITORY, "latest")),
    "digest": (f"{PATH}/manifests/latest", lambda r: r.digest(REPOSITORY, "latest")),
    "manifest by digest": (f"{PATH}/manifests/{DIGEST}", lambda r: r.manifest(REPOSITORY, DIGEST)),
    "configuration": (
        f"{PATH}/blobs/{DIGEST}",
        lambda r: r.configuration(REPOSITORY, Manifest(MANIFEST, MANIFEST_TYPES[0])),
    ),
    "tags": (f"{PATH}/tags/list?n=100", lambda r: r.tags(REPOSITORY)),
    "put": (
        f"{PATH}/manifests/new",
        lambda r: r.put_manifest(REPOSITORY, "new", Manifest(MANIFEST, MANIFEST_TYPES[0])),
    ),
    "mount": (
        f"{PATH}/blobs/uploads/?mount={DIGEST.replace(':', '%3A')}&from=pypa%2Fother",
        lambda r: r.mount_blob(REPOSITORY, DIGEST, "pypa/other"),
    ),
    "upload": (f"{PATH}/blobs/uploads/", lambda r: r.put_blob(REPOSITORY, b"new")),
    "layer": (f"{PATH}/blobs/{DIGEST}", lambda r: r.check_layer(REPOSITORY, oci.Layer(DIGEST, len(BLOB)))),
    "delete": (f"{PATH}/manifests/{DIGEST}", lambda r: r.delete(REPOSITORY, DIGEST)),
    "quay": (
        f"/api/v1/repository/{REPOSITORY}/tag/?limit=100&page=1&onlyActiveTags=true",
        lambda r: listing.quay_tags(r, REPOSITORY, r.base.removesuffix("/v2/")),
    ),
}


def check(server: servers.Server, path: str, error: errors.Failure) -> None:
    """A message names host and path, and fits into a line of a terminal."""
    said = str(error)
    assert f"127.0.0.1:{server.port}" in said and path in said
    assert said.isascii() and said.isprintable() and len(said) < 700


@pytest.mark.parametrize("call", CALLS)
def test_any_answer(server: servers.Server, client: Registry, call: str) -> None:
    """What writes is content with any success; what reads with nothing but what it asked for."""
    path, do = CALLS[call]
    if call == "mount":
        del server.routes[f"{PATH}/blobs/{DIGEST}"]
    right = {
        "digest": {"html 404"},
        "tags": {f"no tags as {kind}" for kind in TYPES},
        "mount": {"status 201"},
    }.get(call, set())
    for name, answer in ANSWERS.items():
        server.routes[path] = answer
        try:
            do(client)
        except errors.Failure as error:
            check(server, path.split("?")[0].removeprefix("/v2/"), error)
            assert name not in right
        else:
            assert name in right or call in ("put", "delete"), name


def test_any_answer_of_a_token_server(server: servers.Server, client: Registry) -> None:
    challenge = f'Bearer realm="{server.url("/token")}"'
    server.routes[f"{PATH}/tags/list?n=100"] = servers.status(401, {"WWW-Authenticate": challenge})
    for name, answer in ANSWERS.items():
        server.routes["/token?service=&scope=repository%3Apypa%2Fimage%3Apull"] = answer
        with pytest.raises(errors.Failure) as caught:
            client.tags(REPOSITORY)
        assert caught.value, name
        check(server, "/token", caught.value)


def test_any_document() -> None:
    """Every part of every document, left out or of another kind, is understood or refused."""
    refused = 0
    engine = {
        "Os": "linux",
        "Architecture": "arm",
        "Config": CONFIGURATION["config"],
        "RootFS": {"Layers": ["sha256:1"]},
    }
    readers: list[tuple[Any, Callable[[bytes], object]]] = [
        (IMAGE, lambda content: Manifest(content, MANIFEST_TYPES[0]).blobs),
        (IMAGE, lambda content: Manifest(content, MANIFEST_TYPES[0]).annotations),
        (INDEX, lambda content: Manifest(content, INDEX_TYPES[0]).entries),
        (INDEX, lambda content: Manifest(content, INDEX_TYPES[0]).annotations),
        (ARTIFACT, lambda content: Manifest(content, MANIFEST_TYPES[0]).layers),
        (ARTIFACT, lambda content: Manifest(content, MANIFEST_TYPES[0]).subject),
        (ARTIFACT, lambda content: Manifest(content, MANIFEST_TYPES[0]).kind),
        (CONFIGURATION, lambda content: Configuration.parse(content, "here")),
        (engine, lambda content: Configuration.of_engine(content.decode(), "here")),
        ([engine], lambda content: Configuration.of_engine(content.decode(), "here")),
    ]
    for document, reader in readers:
        reader(json.dumps(copy.deepcopy(document)).encode())
        for mutation in (*documents_like(document), *documents_like([document])):
            try:
                reader(json.dumps(mutation).encode())
            except errors.Failure as error:
                refused += 1
                assert str(error).isascii() and str(error).isprintable()
    assert refused > 500


@pytest.mark.parametrize(
    ("names", "same"),
    [
        (("linux", "arm64", "v8"), "linux/arm64"),
        (("linux", "arm64", ""), "linux/arm64"),
        (("linux", "arm", "v7"), "linux/arm"),
        (("linux", "arm", "v6"), "linux/arm/v6"),
        (("linux", "amd64", "v1"), "linux/amd64"),
        (("linux", "amd64", "v2"), "linux/amd64/v2"),
        (("linux", "386", ""), "linux/386"),
    ],
)
def test_platforms_have_one_spelling(names: tuple[str, str, str], same: str) -> None:
    assert oci.platform_name(*names) == same


# --- Lists ----------------------------------------------------------------------------------------------------


def test_a_list_goes_on_at_the_registry_only(server: servers.Server, client: Registry) -> None:
    with servers.running() as other:
        for link in (
            f"http://127.0.0.1:{other.port}{PATH}/tags/list?last=a",
            f"//127.0.0.1:{other.port}{PATH}/tags/list?last=a",
            f"https://127.0.0.1:{server.port}{PATH}/tags/list?last=a",
            f"http://localhost:{server.port}{PATH}/tags/list?last=a",
            f"http://me@127.0.0.1:{server.port}{PATH}/tags/list?last=a",
            "/token",
        ):
            page = servers.status(200, {"Link": f'<{link}>; rel="next"'}, b'{"tags": ["a"]}')
            server.routes[f"{PATH}/tags/list?n=100"] = page
            with pytest.raises(errors.Failure, match="it leads to another place than the registry"):
                client.tags(REPOSITORY)
        assert other.requests == []
    assert {path for _, path, _ in server.requests} == {f"{PATH}/tags/list?n=100"}


def test_pages_that_lead_on(server: servers.Server, client: Registry) -> None:
    links = (f"{PATH}/tags/list?last=b", "list?last=c", server.url(f"{PATH}/tags/list?last=d"), "")
    path = f"{PATH}/tags/list?n=100"
    for tag, link in zip("abcd", links, strict=True):
        headers = {"Link": f'<{link}>; rel="next"'} if link else {}
        server.routes[path] = servers.status(200, headers, json.dumps({"tags": [tag, "same"]}).encode())
        path = f"{PATH}/tags/list?last={chr(ord(tag) + 1)}"
    assert client.tags(REPOSITORY) == ["a", "same", "b", "c", "d"]


def test_a_list_without_end(server: servers.Server, client: Registry, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "MOST_PAGES", 20)

    class Pages(dict[str, Route]):
        def get(self, key: str, default: Any = None) -> Route:
            link = f'<{PATH}/tags/list?page={len(server.requests)}>; rel="next"'
            return servers.status(200, {"Link": link}, b'{"tags": ["a"]}')

    server.routes = Pages()
    with pytest.raises(errors.Failure, match="list of tags does not end"):
        client.tags(REPOSITORY)
    assert len(server.requests) == 21


def test_quays_list_without_end(server: servers.Server, client: Registry) -> None:
    rows = [{"name": "a", "manifest_digest": DIGEST}]
    for page in range(1, 9):
        path = f"/api/v1/repository/{REPOSITORY}/tag/?limit=100&page={page}&onlyActiveTags=true"
        server.routes[path] = servers.good(json.dumps({"tags": rows, "has_additional": True}).encode())
    with pytest.raises(errors.Failure, match="list of tags does not end"):
        listing.quay_tags(client, REPOSITORY, server.url(""))
    assert len(server.requests) == 2


# --- Logins ---------------------------------------------------------------------------------------------------


def guarded(server: servers.Server, wanted: str, challenge: str) -> Callable[[BaseHTTPRequestHandler], None]:
    """The list of tags for who sends the right Authorization header."""
    right = servers.good(b'{"tags": ["a"]}')
    refusal = servers.status(401, {"WWW-Authenticate": challenge})
    return lambda handler: (right if handler.headers.get("Authorization") == wanted else refusal)(handler)


def basic(user: str, password: str) -> str:
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


@pytest.fixture
def netrc(server: servers.Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An entry for the registry, which requests would take instead of any other login."""
    file = tmp_path / "netrc"
    file.write_text("machine 127.0.0.1 login stored password wrong\n", encoding="utf-8")
    file.chmod(0o600)
    monkeypatch.setenv("NETRC", str(file))


@pytest.mark.usefixtures("netrc")
@pytest.mark.parametrize("password", ["secret", "pässwörd €", "a:b"])
def test_a_basic_login(server: servers.Server, password: str) -> None:
    wanted = basic("me", password)
    server.routes[f"{PATH}/tags/list?n=100"] = guarded(server, wanted, 'Basic realm="x"')
    assert Registry(f"127.0.0.1:{server.port}", ("me", password)).tags(REPOSITORY) == ["a"]
    assert [headers["Authorization"] for _, _, headers in server.requests] == [None, wanted]
    with pytest.raises(errors.Failure, match="log in first"):
        Registry(f"127.0.0.1:{server.port}", ("me", "wrong")).tags(REPOSITORY)
    with pytest.raises(errors.Failure, match="asks for a login: docker login"):
        Registry(f"127.0.0.1:{server.port}").tags(REPOSITORY)


@pytest.mark.usefixtures("netrc")
@pytest.mark.parametrize("key", ["token", "access_token"])
def test_a_token(server: servers.Server, key: str) -> None:
    challenge = f'Bearer realm="{server.url("/token")}",service="it"'
    server.routes[f"{PATH}/tags/list?n=100"] = guarded(server, "Bearer t.o-k_e=n", challenge)
    server.routes["/token?service=it&scope=repository%3Apypa%2Fimage%3Apull"] = servers.good(
        json.dumps({key: "t.o-k_e=n"}).encode()
    )
    host = f"127.0.0.1:{server.port}"
    assert Registry(host).tags(REPOSITORY) == Registry(host, ("me", "€")).tags(REPOSITORY) == ["a"]
    sent = [headers["Authorization"] for _, path, headers in server.requests if path.startswith("/token")]
    assert sent == [None, basic("me", "€")]


def test_an_identity_token_is_exchanged(server: servers.Server) -> None:
    """The form of OAuth 2 that Docker's token servers take; the token is not a password and not in the address."""
    bodies: list[bytes] = []

    def token(handler: BaseHTTPRequestHandler) -> None:
        bodies.append(handler.body)  # type: ignore[attr-defined]
        servers.send(handler, 200, b'{"access_token": "short"}')

    challenge = f'Bearer realm="{server.url("/token")}",service="it"'
    server.routes[f"{PATH}/tags/list?n=100"] = guarded(server, "Bearer short", challenge)
    server.routes["/token"] = token
    assert Registry(f"127.0.0.1:{server.port}", (logins.IDENTITY_TOKEN, "long")).tags(REPOSITORY) == ["a"]
    form = b"grant_type=refresh_token&refresh_token=long&client_id=manylinux&service=it"
    assert bodies == [form + b"&scope=repository%3Apypa%2Fimage%3Apull"]


def test_a_login_does_not_follow_a_redirect_to_another_host(server: servers.Server) -> None:
    with servers.running() as other:
        other.routes["/elsewhere"] = servers.good(BLOB)
        moved = servers.redirecting(other.url("/elsewhere").replace("127.0.0.1", "localhost"))
        refused = servers.status(401, {"WWW-Authenticate": "Basic"})
        server.routes[f"{PATH}/blobs/{DIGEST}"] = lambda handler: (
            moved if handler.headers["Authorization"] else refused
        )(handler)
        assert Registry(f"127.0.0.1:{server.port}", ("me", "secret")).blob(REPOSITORY, DIGEST) == BLOB
        assert [headers["Authorization"] for _, _, headers in other.requests] == [None]


def test_what_writes_follows_no_redirect(server: servers.Server, client: Registry) -> None:
    server.routes[f"{PATH}/manifests/new"] = servers.redirecting(f"{PATH}/manifests/latest")
    with pytest.raises(errors.Failure, match=f"answers 302 to PUT {REPOSITORY}/manifests/new"):
        client.put_manifest(REPOSITORY, "new", Manifest(MANIFEST, MANIFEST_TYPES[0]))
    with pytest.raises(NotFound):
        client.delete(REPOSITORY, DIGEST)


def test_a_header_does_not_decide_about_a_digest(server: servers.Server, client: Registry) -> None:
    headers = {"Content-Type": MANIFEST_TYPES[0], "Docker-Content-Digest": DIGEST}
    server.routes[f"{PATH}/manifests/latest"] = servers.status(200, headers, MANIFEST)
    assert client.digest(REPOSITORY, "latest") == oci.digest_of(MANIFEST)
    server.routes[f"{PATH}/manifests/{DIGEST}"] = servers.status(200, headers, MANIFEST)
    with pytest.raises(errors.Failure, match=f"the registry sent {oci.digest_of(MANIFEST)}"):
        client.manifest(REPOSITORY, DIGEST)
    server.routes[f"{PATH}/blobs/{DIGEST}"] = servers.status(200, {"Docker-Content-Digest": DIGEST}, MANIFEST)
    with pytest.raises(errors.Failure, match="arrived damaged"):
        client.blob(REPOSITORY, DIGEST)
