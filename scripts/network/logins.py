"""Logins for registries as `docker login` and `podman login` store them, in their files or with their helpers.

The format is that of Docker's config.json and podman's auth.json: `auths` has user and password, or an identity token,
as plain base64; `credHelpers` and `credsStore` name programs that store them.
"""

from __future__ import annotations

import base64
import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

from network import oci
from network.answers import Answer
from portable import errors, places

Login = tuple[str, str]
IDENTITY_TOKEN = "<token>"  # the user of a login whose second part is an identity token instead of a password
HELPER_SECONDS = 60
_HUB_KEY = "https://index.docker.io/v1/"
_HELPER = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_NOT_STORED = "credentials not found in native keychain"  # every helper says so on standard output


def stored(host: str) -> Login | None:
    """User and password for a registry, or IDENTITY_TOKEN and the token; None where nothing is stored.

    Raises Failure for a file or a helper that cannot be read."""
    for path in _files():
        document = _read(path)
        if login := document and (_from_helper(document, host) or _from_file(document, host)):
            return login
    return None


def _files() -> Iterator[Path]:
    """Where container engines keep logins, the most specific first."""
    environment, home = os.environ, places.home()
    if named := environment.get("REGISTRY_AUTH_FILE"):
        yield Path(named)
    runtime = environment.get("XDG_RUNTIME_DIR")
    session = Path(f"{runtime}/containers" if runtime else f"/run/containers/{os.getuid()}", "auth.json")
    if not _is_shut_off(session):  # as after `su`, or where only root's podman has made /run/containers
        yield session
    if podman := environment.get("XDG_CONFIG_HOME") or (home and home / ".config"):
        yield Path(podman, "containers", "auth.json")
    if docker := environment.get("DOCKER_CONFIG") or (home and home / ".docker"):
        yield Path(docker, "config.json")


def _is_shut_off(path: Path) -> bool:
    """Whether a directory above the file is another user's and closed."""
    try:
        path.stat()
    except OSError as error:
        return isinstance(error, PermissionError)
    return False


def _read(path: Path) -> Answer | None:
    """A file of logins; None where it does not exist or is empty."""
    try:
        content = path.read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise errors.Failure(f"{path}: {error.strerror}") from None
    return Answer.parse(content, str(path)) if content.strip() else None


def _keys(host: str) -> tuple[str, ...]:
    """The names of a registry in these files; the first is the one that Docker writes."""
    if host == oci.DOCKER_HUB:
        return (_HUB_KEY, "docker.io", "index.docker.io", "https://index.docker.io", "registry-1.docker.io")
    return (host, *(f"{scheme}://{host}{path}" for scheme in ("https", "http") for path in ("", "/v1/", "/v2/")))


def _from_file(document: Answer, host: str) -> Login | None:
    auths = document["auths"].members()
    for key in _keys(host):
        if key not in auths:
            continue
        entry = auths[key]
        if token := entry["identitytoken"].text(default=""):
            return IDENTITY_TOKEN, token
        if encoded := entry["auth"].text(default=""):
            return _decoded(encoded, entry["auth"].where)
    return None


def _decoded(encoded: str, where: str) -> Login:
    try:
        user, colon, password = base64.b64decode(encoded, validate=True).decode().partition(":")
    except ValueError:
        colon = ""
    if not colon:
        raise errors.Failure(f"{where} is not the base64 of user:password: log in again")
    return user, password


def _from_helper(document: Answer, host: str) -> Login | None:
    helpers = document["credHelpers"].members()
    for key in _keys(host):
        if key in helpers:
            return _ask(helpers[key], key)
    store = document["credsStore"]
    return _ask(store, _keys(host)[0]) if store.text(default="") else None


def _ask(helper: Answer, key: str) -> Login | None:
    """The login that a credential helper, docker-credential-NAME, has for a registry; None if it has none."""
    program = f"docker-credential-{helper.text(_HELPER)}"
    where = f"{program} (named by {helper.where})"
    try:
        done = subprocess.run(
            [program, "get"], input=key.encode(), capture_output=True, check=False, timeout=HELPER_SECONDS
        )
    except OSError as error:
        raise errors.Failure(f"{where}: {error.strerror}") from None
    except subprocess.TimeoutExpired:
        raise errors.Failure(f"{where}: no answer within {HELPER_SECONDS} seconds") from None
    if done.returncode:
        said = (done.stdout + done.stderr).decode(errors="replace").strip()
        if _NOT_STORED in said:
            return None
        raise errors.Failure(f"{where}: {next(iter(said.splitlines()), 'it says nothing')[:200]}")
    answer = Answer.parse(done.stdout, where)
    return answer["Username"].text(), answer["Secret"].text()
