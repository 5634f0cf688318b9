"""A client of the OCI distribution API, with what publishing, pruning and the digests of base images need.

Follows the OCI Distribution Specification 1.1 and the token flow of `WWW-Authenticate: Bearer`. Requests have limits of
time and size and are retried only where repeating them is harmless. Digests are computed from the content; headers are
not believed. Any answer of a registry becomes a result, NotFound, or a Failure with host and path.
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urljoin, urlsplit

import requests
import urllib3
from requests.adapters import HTTPAdapter

from catalogue.tags import SYNTAX
from network import logins, oci, session, web
from network.answers import Answer
from network.logins import Login
from network.oci import Configuration, Layer, Manifest
from portable import environment, errors
from portable.transport import is_loopback

TIMEOUT = (10, 60)  # seconds: to connect, between two bytes
MOST_BYTES = 4 << 20  # of one answer: what registries take as a manifest at most
MOST_DOCUMENT = 64 << 20  # bytes of a document that is attached to an image
MOST_PAGES = 1000  # of a list of tags
_HUB_API = "registry-1.docker.io"
_VISIBLE = re.compile(r"[!-~]+")


class NotFound(errors.Failure):
    """The registry answered that the manifest, blob or repository does not exist."""


@dataclass(frozen=True)
class Reply:
    """A complete answer. `following`: the URL of a list's next page, "" on the last one."""

    status: int
    headers: Mapping[str, str]
    content: bytes
    following: str


@dataclass
class Registry:
    """One registry. `credentials`: user and password; None: those that the engines' login files have.

    A registry on loopback is reached without TLS, as container engines do. May be used from several threads."""

    host: str
    credentials: Login | None = None
    _tokens: dict[str, str] = field(default_factory=dict)
    _session: session.Session = field(default_factory=session.Session)

    def __post_init__(self) -> None:
        if self.credentials is None:
            self.credentials = logins.stored(self.host)
        retry = urllib3.Retry(
            total=3,
            backoff_factor=0.5,
            status_forcelist=(429, 502, 503, 504),
            retry_after_max=60,
            raise_on_status=False,
        )
        self._session.verify = str(environment.ca_bundle() or "") or True  # requests reads some of its variables only
        for scheme in ("https://", "http://"):
            self._session.mount(scheme, HTTPAdapter(max_retries=retry))

    @property
    def base(self) -> str:
        """The root of the API."""
        host = _HUB_API if self.host == oci.DOCKER_HUB else self.host
        return f"{'http' if is_loopback(host) else 'https'}://{host}/v2/"

    def digest(self, repository: str, reference: str) -> str | None:
        """The digest of a tag, None if the tag does not exist."""
        try:
            return self.manifest(repository, reference).digest
        except NotFound:
            return None

    def manifest(self, repository: str, reference: str) -> Manifest:
        """The manifest or index of a tag or digest. Raises NotFound, or Failure for any other document."""
        path = f"{repository}/manifests/{reference}"
        accept = ", ".join((*oci.INDEX_TYPES, *oci.MANIFEST_TYPES))
        reply = self._call("GET", path, repository, "pull", headers={"Accept": accept})
        media_type = reply.headers.get("Content-Type", "").partition(";")[0].strip()
        found = Manifest(reply.content, media_type, f"{self.host}/{path}")
        if reference.startswith("sha256:") and found.digest != reference:
            raise errors.Failure(f"{self.host}/{path}: the registry sent {found.digest}")
        _ = found.entries if found.is_index else found.blobs  # raises where it is neither
        return found

    def blob(self, repository: str, digest: str, most: int = MOST_BYTES) -> bytes:
        """A blob of at most `most` bytes. Raises NotFound, or Failure if its digest is wrong."""
        path = f"{repository}/blobs/{digest}"
        content = self._call("GET", path, repository, "pull", most=most).content
        if oci.digest_of(content) != digest:
            raise errors.Failure(f"{self.host}/{path} arrived damaged")
        return content

    def check_layer(self, repository: str, layer: Layer, advance: Callable[[int], object] = int) -> None:
        """Reads a layer of any size and compares its digest; `advance` gets the number of bytes as they arrive.

        Raises NotFound, or Failure where it is another one."""
        path, seen = f"{repository}/blobs/{layer.digest}", hashlib.sha256()

        def read(chunk: bytes) -> None:
            seen.update(chunk)
            advance(len(chunk))

        self._call("GET", path, repository, "pull", most=layer.size, each=read)
        if f"sha256:{seen.hexdigest()}" != layer.digest:
            raise errors.Failure(f"{self.host}/{path} arrived damaged")

    def configuration(self, repository: str, manifest: Manifest) -> Configuration:
        """The configuration of an image."""
        digest = manifest.configuration
        return Configuration.parse(self.blob(repository, digest), f"{self.host}/{repository}/blobs/{digest}")

    def put_manifest(self, repository: str, reference: str, manifest: Manifest) -> bool:
        """Stores a manifest under a tag or its digest; the blobs it names must be there.

        Returns whether the registry lists it from now on among what refers to its subject."""
        reply = self._call(
            "PUT",
            f"{repository}/manifests/{reference}",
            repository,
            "pull,push",
            data=manifest.content,
            headers={"Content-Type": manifest.media_type},
        )
        return "OCI-Subject" in reply.headers

    def put_blob(self, repository: str, content: bytes) -> str:
        """Stores a blob unless it is there; returns its digest."""
        digest = oci.digest_of(content)
        if not self._exists(f"{repository}/blobs/{digest}", repository):
            path = f"{repository}/blobs/uploads/"
            location = self._call("POST", path, repository, "pull,push").headers.get("Location", "")
            to = self.path_of(path, location)
            headers = {"Content-Type": "application/octet-stream"}
            self._call("PUT", to, repository, "pull,push", data=content, headers=headers, params={"digest": digest})
        return digest

    def mount_blob(self, repository: str, digest: str, origin: str) -> None:
        """Adds a blob of the repository `origin` to `repository`; the registry copies it."""
        if self._exists(f"{repository}/blobs/{digest}", repository):
            return
        reply = self._call(
            "POST",
            f"{repository}/blobs/uploads/",
            repository,
            "pull,push",
            params={"mount": digest, "from": origin},
            also=f"repository:{origin}:pull",
        )
        if reply.status != 201:
            raise errors.Failure(f"{self.host}/{repository}/blobs/uploads/: it cannot mount {digest} of {origin}")

    def tags(self, repository: str) -> list[str]:
        """All tags of a repository, in the registry's order. Raises NotFound if the repository does not exist."""
        found: dict[str, None] = {}
        path, seen = f"{repository}/tags/list?n=100", set[str]()
        while path:
            seen.add(path)
            where = f"{self.host}/{path}"
            reply = self._call("GET", path, repository, "pull")
            answer = Answer.parse(reply.content, where)
            if "tags" not in answer.members():  # null is an empty list to some
                raise errors.Failure(f"{where}: tags is missing")
            found |= {row.text(SYNTAX): None for row in answer["tags"].rows(optional=True)}
            path = self.path_of(path, reply.following) if reply.following else ""
            if path in seen or len(seen) > MOST_PAGES:
                raise errors.Failure(f"{where}: its list of tags does not end")
        return list(found)

    def get_json(self, url: str) -> Answer:
        """A JSON document at any URL, without a login: registries have other interfaces. Raises NotFound or Failure."""
        reply = self._send("GET", url, url)
        if reply.status == 404:
            raise NotFound(f"{url} does not exist")
        if reply.status != 200:
            raise errors.Failure(f"{url} answers {reply.status}")
        return Answer.parse(reply.content, url)

    def delete(self, repository: str, digest: str) -> None:
        """Deletes a manifest and every tag that points to it."""
        self._call("DELETE", f"{repository}/manifests/{digest}", repository, "pull,push,delete")

    def _exists(self, path: str, repository: str) -> bool:
        try:
            self._call("HEAD", path, repository, "pull")
        except NotFound:
            return False
        return True

    def path_of(self, path: str, link: str) -> str:
        """The path, below the API's root, of a link in the answer to `path`. Raises Failure if it leads elsewhere."""
        try:
            url = urljoin(urljoin(self.base, path), link)
            elsewhere = not link or urlsplit(url)[:2] != urlsplit(self.base)[:2] or not url.startswith(self.base)
        except ValueError:
            elsewhere = True
        if elsewhere:
            raise errors.Failure(f"{self.host}/{path}: it leads to another place than the registry")
        return url.removeprefix(self.base)

    def ask(self, path: str, repository: str, accept: str) -> Reply:
        """The answer to a GET, whatever its status. Follows no redirect: it may lead to what is not the API."""
        return self._authorised("GET", path, repository, "pull", headers={"Accept": accept}, allow_redirects=False)

    def _authorised(
        self,
        method: str,
        path: str,
        repository: str,
        actions: str,
        *,
        headers: Mapping[str, str] | None = None,
        also: str | None = None,
        **options: Any,
    ) -> Reply:
        """One request, authorised as the registry asks, and its answer. Raises Failure where there is no answer."""
        scopes = [f"repository:{repository}:{actions}", *([also] if also else [])]
        key = " ".join(scopes)
        where = f"{self.host}/{path}"
        for attempt in (1, 2):
            sent = {**(headers or {}), **({"Authorization": self._tokens[key]} if key in self._tokens else {})}
            reply = self._send(method, urljoin(self.base, path), where, headers=sent, **options)
            if reply.status != 401 or attempt == 2:
                break
            self._tokens[key] = self._authorization(reply.headers.get("WWW-Authenticate", ""), where, scopes)
        return reply

    def _call(self, method: str, path: str, repository: str, actions: str, **options: Any) -> Reply:
        """Like `_authorised`; raises NotFound for 404, and Failure for any other error."""
        where = f"{self.host}/{path}"
        reply = self._authorised(method, path, repository, actions, **options)
        if reply.status == 404:
            raise NotFound(f"{where} does not exist")
        if reply.status in (401, 403):
            raise errors.Failure(f"{self.host} refuses {method} of {path}: log in first (docker login {self.host})")
        if reply.status not in ((200,) if method in ("GET", "HEAD") else range(200, 300)):
            said = ascii(reply.content[:200].decode(errors="replace"))
            raise errors.Failure(f"{self.host} answers {reply.status} to {method} {path}: {said}")
        return reply

    def _send(
        self,
        method: str,
        url: str,
        where: str,
        most: int = MOST_BYTES,
        each: Callable[[bytes], object] | None = None,
        **options: Any,
    ) -> Reply:
        """One request and its whole answer; `each` gets the content of a good one instead, piece by piece.

        Only reading requests follow redirects, and none away from TLS."""
        options = {"allow_redirects": method in ("GET", "HEAD"), **options}
        try:
            with self._session.request(method, url, timeout=TIMEOUT, stream=True, **options) as answer:
                if urlsplit(url).scheme == "https" and urlsplit(answer.url).scheme != "https":
                    raise errors.Failure(f"{where}: it redirects to a place without TLS")
                if answer.headers.get("Content-Encoding", "identity") != "identity":
                    raise errors.Failure(f"{where}: it is compressed although nobody asked for that")
                content = b""
                if each and answer.status_code == 200:
                    for chunk in session.chunks(answer, most):
                        each(chunk)
                else:
                    content = b"".join(session.chunks(answer, most))
                following = answer.links.get("next", {}).get("url", "")
                return Reply(answer.status_code, answer.headers, content, following)
        except (web.Refused, web.Unreachable) as error:
            raise errors.Failure(f"{where}: {error}") from None
        except (requests.RequestException, urllib3.exceptions.HTTPError, ValueError) as error:
            raise errors.Failure(f"{where}: no answer, {session.innermost(error)}") from None

    def _authorization(self, challenge: str, where: str, scopes: list[str]) -> str:
        """The Authorization header for the challenge of a 401."""
        scheme, _, rest = challenge.partition(" ")
        if scheme.lower() == "basic" and self.credentials:
            return _basic(self.credentials)
        if scheme.lower() != "bearer":
            raise errors.Failure(f"{where} asks for a login: docker login {self.host}")
        fields = dict(re.findall(r'(\w+)="([^"]*)"', rest))
        realm = fields.get("realm", "")
        if not _VISIBLE.fullmatch(realm) or not (
            realm.startswith("https://") or (is_loopback(self.host) and _is_local(realm))
        ):
            raise errors.Failure(f"{where} sends logins to {realm!a}, which is not https")
        service = ("service", fields.get("service", ""))
        if self.credentials and self.credentials[0] == logins.IDENTITY_TOKEN:
            form = {"grant_type": "refresh_token", "refresh_token": self.credentials[1], "client_id": "manylinux"}
            reply = self._send("POST", realm, realm, data=[*form.items(), service, ("scope", " ".join(scopes))])
        else:
            headers = {"Authorization": _basic(self.credentials)} if self.credentials else {}
            parameters = [service, *(("scope", scope) for scope in scopes)]
            reply = self._send("GET", realm, realm, params=parameters, headers=headers)
        if reply.status != 200:
            raise errors.Failure(f"{where}: no token, {realm} answers {reply.status}")
        answer = Answer.parse(reply.content, realm)
        token = answer["token"].text(default="") or answer["access_token"].text()
        return f"Bearer {Answer(token, f'{realm}: token').text(_VISIBLE)}"


def _basic(login: Login) -> str:
    return "Basic " + base64.b64encode(":".join(login).encode()).decode()


def _is_local(realm: str) -> bool:
    try:
        return realm.startswith("http://") and is_loopback(urlsplit(realm).netloc)
    except ValueError:
        return False


def only_image(registry: Registry, repository: str, manifest: Manifest) -> Manifest:
    """The manifest of the image itself, where an engine has pushed an index of it and BuildKit's attestations.

    Raises Failure for an index of several images."""
    if not manifest.is_index:
        return manifest
    entries = [entry for entry in manifest.entries if entry.platform != "unknown/unknown"]
    if len(entries) != 1:
        raise errors.Failure(
            f"{registry.host}/{repository}@{manifest.digest} holds {len(entries)} images instead of one"
        )
    return registry.manifest(repository, entries[0].digest)
