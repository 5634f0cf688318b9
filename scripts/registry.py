"""A client of the OCI distribution API: what publishing, pruning and the digests of base images need, no more.

Follows the OCI Distribution Specification 1.1 and the token flow of `WWW-Authenticate: Bearer`. Requests have time
limits and are retried only where repeating them is harmless.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urljoin, urlsplit

import requests
import urllib3
from requests.adapters import HTTPAdapter

import environment
import errors
import places

INDEX_TYPES = ("application/vnd.oci.image.index.v1+json", "application/vnd.docker.distribution.manifest.list.v2+json")
MANIFEST_TYPES = ("application/vnd.oci.image.manifest.v1+json", "application/vnd.docker.distribution.manifest.v2+json")
TIMEOUT = (10, 60)  # seconds: to connect, between two bytes
_DOCKER_HUB = "docker.io"
_DOCKER_HUB_API = "registry-1.docker.io"
_LOOPBACK = re.compile(r"(localhost|127\.\d+\.\d+\.\d+|\[::1\])(:\d+)?")


class NotFound(errors.Failure):
    """The registry answered that the manifest, blob or repository does not exist."""


@dataclass(frozen=True)
class Reference:
    """A parsed image reference; `tag` or `digest` may be empty."""

    host: str
    repository: str
    tag: str
    digest: str

    @classmethod
    def parse(cls, text: str) -> Reference:
        """Reads `[host/]repository[:tag][@digest]`; where the first part is no host, the host is Docker Hub."""
        name, _, digest = text.partition("@")
        head, slash, rest = name.partition("/")
        is_host = bool(slash) and (head == "localhost" or "." in head or ":" in head)
        host, path = (head, rest) if is_host else (_DOCKER_HUB, name)
        path, _, tag = path.partition(":")
        if host == _DOCKER_HUB and "/" not in path:
            path = f"library/{path}"
        if not path:
            raise errors.UserError(f"{text!r} is not an image reference")
        return cls(host, path, tag, digest)


@dataclass(frozen=True)
class Manifest:
    """A manifest or an index, byte for byte as the registry stores it."""

    content: bytes
    media_type: str

    @property
    def digest(self) -> str:
        """`sha256:<hex>` of the content."""
        return "sha256:" + hashlib.sha256(self.content).hexdigest()

    @property
    def document(self) -> dict[str, Any]:
        """The parsed JSON."""
        parsed: dict[str, Any] = json.loads(self.content)
        return parsed

    @property
    def is_index(self) -> bool:
        """Whether this lists manifests of several platforms."""
        return self.media_type in INDEX_TYPES

    @property
    def blobs(self) -> tuple[str, ...]:
        """The digests of the configuration and the layers of an image manifest."""
        document = self.document
        return (document["config"]["digest"], *(layer["digest"] for layer in document["layers"]))


@dataclass
class Registry:
    """One registry host. `credentials` is (user, password); None asks the engines' login files.

    A registry on loopback is spoken to without TLS, as the container engines do."""

    host: str
    credentials: tuple[str, str] | None = None
    _tokens: dict[str, str] = field(default_factory=dict)
    _session: requests.Session = field(default_factory=requests.Session)

    def __post_init__(self) -> None:
        if self.credentials is None:
            self.credentials = stored_credentials(self.host)
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
        host = _DOCKER_HUB_API if self.host == _DOCKER_HUB else self.host
        return f"{'http' if is_loopback(host) else 'https'}://{host}/v2/"

    def digest(self, repository: str, reference: str) -> str | None:
        """The digest behind a tag, or None where there is no such tag."""
        try:
            answer = self._manifest_request("HEAD", repository, reference)
        except NotFound:
            return None
        return answer.headers.get("Docker-Content-Digest") or self.manifest(repository, reference).digest

    def manifest(self, repository: str, reference: str) -> Manifest:
        """The manifest or index behind a tag or digest. Raises NotFound, or Failure where its digest is wrong."""
        answer = self._manifest_request("GET", repository, reference)
        found = Manifest(answer.content, answer.headers.get("Content-Type", "").partition(";")[0])
        if reference.startswith("sha256:") and found.digest != reference:
            raise errors.Failure(f"{self.host}/{repository}@{reference}: the registry sent {found.digest}")
        return found

    def blob(self, repository: str, digest: str) -> bytes:
        """A small blob, such as an image's configuration. Raises NotFound, or Failure where its digest is wrong."""
        content = self._call("GET", f"{repository}/blobs/{digest}", repository, "pull").content
        if "sha256:" + hashlib.sha256(content).hexdigest() != digest:
            raise errors.Failure(f"{self.host}/{repository}: blob {digest} arrived damaged")
        return content

    def put_manifest(self, repository: str, reference: str, manifest: Manifest) -> None:
        """Stores a manifest under a tag or its digest; the blobs it names must be there."""
        self._call(
            "PUT",
            f"{repository}/manifests/{reference}",
            repository,
            "pull,push",
            data=manifest.content,
            headers={"Content-Type": manifest.media_type},
        )

    def mount_blob(self, repository: str, digest: str, origin: str) -> None:
        """Makes a blob of the repository `origin` known in `repository`, without moving its bytes through here."""
        if self._exists(f"{repository}/blobs/{digest}", repository):
            return
        answer = self._call(
            "POST",
            f"{repository}/blobs/uploads/",
            repository,
            "pull,push",
            params={"mount": digest, "from": origin},
            also=f"repository:{origin}:pull",
        )
        if answer.status_code != 201:
            raise errors.Failure(f"{self.host} cannot mount {digest} of {origin} into {repository}")

    def tags(self, repository: str) -> list[str]:
        """Every tag of a repository, in the registry's order."""
        found: list[str] = []
        path: str | None = f"{repository}/tags/list?n=100"
        while path:
            answer = self._call("GET", path, repository, "pull")
            found += answer.json().get("tags") or []
            following = answer.links.get("next", {}).get("url")
            path = urljoin(self.base + path, following) if following else None
        return found

    def get_json(self, url: str) -> Any:
        """A JSON document of the registry's other, public interfaces. Raises NotFound or Failure."""
        try:
            answer = self._session.get(url, timeout=TIMEOUT)
        except requests.RequestException as error:
            raise errors.Failure(f"{url}: {error}") from None
        if answer.status_code == 404:
            raise NotFound(f"{url} does not exist")
        if not answer.ok:
            raise errors.Failure(f"{url} answers {answer.status_code}")
        return answer.json()

    def delete(self, repository: str, digest: str) -> None:
        """Deletes a manifest, and with it every tag that points to it."""
        self._call("DELETE", f"{repository}/manifests/{digest}", repository, "pull,push,delete")

    def _exists(self, path: str, repository: str) -> bool:
        try:
            self._call("HEAD", path, repository, "pull")
        except NotFound:
            return False
        return True

    def _manifest_request(self, method: str, repository: str, reference: str) -> requests.Response:
        accept = ", ".join((*INDEX_TYPES, *MANIFEST_TYPES))
        path = f"{repository}/manifests/{reference}"
        return self._call(method, path, repository, "pull", headers={"Accept": accept})

    def _call(
        self,
        method: str,
        path: str,
        repository: str,
        actions: str,
        *,
        headers: Mapping[str, str] | None = None,
        also: str | None = None,
        **options: Any,
    ) -> requests.Response:
        """One request, authorised as the registry asks. Raises NotFound for 404 and Failure for everything else."""
        scopes = [f"repository:{repository}:{actions}", *([also] if also else [])]
        key = " ".join(scopes)
        url = urljoin(self.base, path)
        try:
            for attempt in (1, 2):
                sent = {**(headers or {}), **({"Authorization": self._tokens[key]} if key in self._tokens else {})}
                answer = self._session.request(method, url, headers=sent, timeout=TIMEOUT, **options)
                if answer.status_code != 401 or attempt == 2:
                    break
                self._tokens[key] = self._authorization(answer, scopes)
        except requests.RequestException as error:
            raise errors.Failure(f"{self.host} does not answer: {error}") from None
        if answer.status_code == 404:
            raise NotFound(f"{self.host}/{path} does not exist")
        if answer.status_code in (401, 403):
            raise errors.Failure(f"{self.host} refuses {method} of {path}: log in first (docker login {self.host})")
        if not answer.ok:
            raise errors.Failure(f"{self.host} answers {answer.status_code} to {method} {path}: {answer.text[:200]}")
        return answer

    def _authorization(self, refusal: requests.Response, scopes: list[str]) -> str:
        """The Authorization header that answers a 401."""
        challenge = refusal.headers.get("WWW-Authenticate", "")
        scheme, _, rest = challenge.partition(" ")
        if scheme.lower() == "basic" and self.credentials:
            return "Basic " + base64.b64encode(":".join(self.credentials).encode()).decode()
        if scheme.lower() != "bearer":
            raise errors.Failure(f"{self.host} asks for a login: docker login {self.host}")
        fields = dict(re.findall(r'(\w+)="([^"]*)"', rest))
        realm = fields.get("realm", "")
        if not realm.startswith("https://") and not is_loopback(urlsplit(realm).netloc):
            raise errors.Failure(f"{self.host} sends logins to {realm!r}, which is not https")
        parameters = [("service", fields.get("service", "")), *(("scope", scope) for scope in scopes)]
        answer = self._session.get(realm, params=parameters, auth=self.credentials, timeout=TIMEOUT)
        if not answer.ok:
            raise errors.Failure(f"{self.host}: no token, {realm} answers {answer.status_code}")
        document = answer.json()
        return f"Bearer {document.get('token') or document['access_token']}"


def is_loopback(host: str) -> bool:
    """Whether a registry is on this very machine, where container engines do without TLS."""
    return _LOOPBACK.fullmatch(host) is not None


def stored_credentials(host: str) -> tuple[str, str] | None:
    """What `docker login` or `podman login` stored for a host as plain base64; None where nothing is stored."""
    for path in _login_files():
        try:
            logins = json.loads(path.read_text(encoding="utf-8")).get("auths", {})
        except (OSError, ValueError):
            continue
        for name in (host, f"https://{host}", f"https://{host}/v1/", f"https://{host}/v2/"):
            if encoded := logins.get(name, {}).get("auth"):
                user, _, password = base64.b64decode(encoded).decode().partition(":")
                return user, password
    return None


def _login_files() -> Iterator[Path]:
    """Where container engines keep logins, the most specific first."""
    if named := os.environ.get("REGISTRY_AUTH_FILE"):
        yield Path(named)
    if runtime := os.environ.get("XDG_RUNTIME_DIR"):
        yield Path(runtime, "containers", "auth.json")
    if named := os.environ.get("DOCKER_CONFIG"):
        yield Path(named, "config.json")
    elif home := places.home():
        yield home / ".docker" / "config.json"
