"""Logins that engines have stored: where they are found, and that a file of another form is named, not passed over."""

from __future__ import annotations

import base64
import json
import os
import tempfile
from pathlib import Path

import pytest

from network import logins
from portable import errors, files

HUB = "https://index.docker.io/v1/"


def encoded(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


STRANGER = 4711  # a user that this machine does not know
AUTH = {"auth": encoded("me:a:secret")}


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home directory without logins, and a PATH with nothing but what a test puts there."""
    for name in ("REGISTRY_AUTH_FILE", "XDG_CONFIG_HOME", "DOCKER_CONFIG"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path / "run"))
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{os.environ['PATH']}")
    (tmp_path / "bin").mkdir()
    return tmp_path


def store(home: Path, document: object, path: str = ".docker/config.json") -> Path:
    file = home / path
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(document if isinstance(document, str) else json.dumps(document), encoding="utf-8")
    return file


def helper(home: Path, name: str, script: str) -> None:
    program = home / "bin" / f"docker-credential-{name}"
    program.write_text(f"#!/bin/sh\n{script}\n", encoding="utf-8")
    program.chmod(0o755)


@pytest.mark.parametrize(
    ("host", "key"),
    [
        ("docker.io", HUB),
        ("docker.io", "docker.io"),
        ("docker.io", "index.docker.io"),
        ("registry.example.org", "registry.example.org"),
        ("registry.example.org:5000", "https://registry.example.org:5000"),
        ("registry.example.org", "https://registry.example.org/v1/"),
        ("registry.example.org", "http://registry.example.org/v2/"),
    ],
)
def test_every_name_of_a_registry(home: Path, host: str, key: str) -> None:
    store(home, {"auths": {"another.example.org": {"auth": encoded("no:no")}, key: AUTH}})
    assert logins.stored(host) == ("me", "a:secret")
    assert logins.stored("example.org") is None


@pytest.mark.parametrize(
    "path",
    [
        "run/containers/auth.json",
        ".config/containers/auth.json",
        ".docker/config.json",
    ],
)
def test_every_place(home: Path, path: str) -> None:
    assert logins.stored("example.org") is None
    store(home, {"auths": {"example.org": AUTH}}, path)
    assert logins.stored("example.org") == ("me", "a:secret")


def test_places_that_the_environment_names(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store(home, {"auths": {"example.org": {"auth": encoded("home:home")}}})
    for variable, path in (
        ("DOCKER_CONFIG", "docker/config.json"),
        ("XDG_CONFIG_HOME", "config/containers/auth.json"),
        ("REGISTRY_AUTH_FILE", "file"),
    ):
        store(home, {"auths": {"example.org": {"auth": encoded(f"{variable}:x")}}}, path)
        monkeypatch.setenv(variable, str(home / path.split("/")[0]))
        assert logins.stored("example.org") == (variable, "x")


def test_podman_of_a_user_without_a_session(monkeypatch: pytest.MonkeyPatch) -> None:
    """As root in a chroot: podman itself writes to /run/containers/<uid>."""
    monkeypatch.delenv("XDG_RUNTIME_DIR")
    monkeypatch.setattr(logins, "_is_shut_off", lambda path: False)
    assert Path(f"/run/containers/{os.getuid()}/auth.json") in list(logins._files())


def test_a_closed_directory_of_another_user_has_no_logins_of_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    """XDG_RUNTIME_DIR after `su`, or /run/containers, which root's podman makes."""
    with tempfile.TemporaryDirectory() as name:
        home = Path(name)
        store(home, {"auths": {"example.org": AUTH}})
        store(home, {}, "run/containers/auth.json")
        files.share(home)
        home.chmod(0o755)
        (home / "run").chmod(0o700 if os.geteuid() == 0 else 0)
        monkeypatch.setenv("HOME", name)
        monkeypatch.setenv("XDG_RUNTIME_DIR", str(home / "run"))
        before = os.geteuid()
        os.seteuid(STRANGER if before == 0 else before)
        try:
            assert logins.stored("example.org") == ("me", "a:secret")
        finally:
            os.seteuid(before)
            (home / "run").chmod(0o700)


def test_nothing_is_stored_in_an_empty_file(home: Path) -> None:
    for text in ("", "\n", "{}", '{"auths": {}}', '{"auths": {"example.org": {}}}'):
        store(home, text)
        assert logins.stored("example.org") is None


# --- Helpers --------------------------------------------------------------------------------------------------

ANSWERS = """read -r key; printf '{"ServerURL": "%s", "Username": "of %s", "Secret": "s"}' "$key" "$key" """


def test_a_store_is_asked_by_dockers_own_names(home: Path) -> None:
    helper(home, "vault", ANSWERS)
    store(home, {"credsStore": "vault", "auths": {"example.org": {}}})
    assert logins.stored("example.org") == ("of example.org", "s")
    assert logins.stored("docker.io") == (f"of {HUB}", "s")


@pytest.mark.parametrize(("host", "key"), [("docker.io", HUB), ("docker.io", "docker.io"), ("a.example.org",) * 2])
def test_a_helper_for_one_registry_counts_before_the_store(home: Path, host: str, key: str) -> None:
    helper(home, "vault", ANSWERS)
    helper(home, "store", "exit 7")
    store(home, {"credsStore": "store", "credHelpers": {key: "vault"}})
    assert logins.stored(host) == (f"of {key}", "s")


def test_a_helper_that_has_nothing(home: Path) -> None:
    helper(home, "vault", "echo credentials not found in native keychain; exit 1")
    store(home, {"credsStore": "vault"})
    assert logins.stored("example.org") is None
    store(home, {"credsStore": "vault", "auths": {"example.org": AUTH}})
    assert logins.stored("example.org") == ("me", "a:secret")


@pytest.mark.parametrize(
    ("script", "problem"),
    [
        ("echo the keychain is locked; echo more; exit 1", "the keychain is locked"),
        ("exit 3", "it says nothing"),
        ("echo '[]'", "is a list, expected an object"),
        ("echo no JSON", "this is not JSON"),
        ("""echo '{"Username": "a"}'""", "Secret is missing"),
        ("""echo '{"Username": 7, "Secret": "very secret"}'""", "Username is a number"),
        ("exec sleep 60", "no answer within 3 seconds"),
    ],
)
def test_a_helper_that_fails(home: Path, script: str, problem: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logins, "HELPER_SECONDS", 3)
    helper(home, "vault", script)
    file = store(home, {"credsStore": "vault"})
    with pytest.raises(errors.Failure) as caught:
        logins.stored("example.org")
    said = str(caught.value)
    assert said.startswith(f"docker-credential-vault (named by {file}: credsStore)")
    assert problem in said and "secret" not in said and "more" not in said


@pytest.mark.parametrize("name", ["missing", "../../tmp/x", "a b", "-x", 7, ["a"]])
def test_a_helper_that_is_none(home: Path, name: object) -> None:
    file = store(home, {"credHelpers": {"example.org": name}})
    with pytest.raises(errors.Failure, match=str(file)):
        logins.stored("example.org")


# --- Files of another form ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "document",
    [
        [],
        "no JSON",
        "null",
        "7",
        "[" * 100_000,
        {"auths": []},
        {"auths": "x"},
        {"auths": {"example.org": "x"}},
        {"auths": {"example.org": None}},
        {"auths": {"example.org": {"auth": 7}}},
        {"auths": {"example.org": {"auth": "very secret"}}},
        {"auths": {"example.org": {"auth": encoded("no colon, but very secret")}}},
        {"auths": {"example.org": {"auth": base64.b64encode(b"\xff:\xff").decode()}}},
        {"auths": {"example.org": {"identitytoken": ["very secret"]}}},
        {"credsStore": {}},
        {"credHelpers": []},
    ],
    ids=lambda document: json.dumps(document)[:60],
)
def test_a_file_of_another_form_is_named(home: Path, document: object) -> None:
    file = store(home, document)
    with pytest.raises(errors.Failure) as caught:
        logins.stored("example.org")
    assert str(caught.value).startswith(str(file)) and "secret" not in str(caught.value)


def test_a_file_that_cannot_be_read_is_named(home: Path) -> None:
    (home / ".docker" / "config.json").mkdir(parents=True)
    with pytest.raises(errors.Failure, match=r"config\.json: Is a directory"):
        logins.stored("example.org")


def test_bytes_that_are_no_text(home: Path) -> None:
    store(home, {}).write_bytes(b"\xff\xfe\x00")
    with pytest.raises(errors.Failure, match=r"config\.json: this is not JSON"):
        logins.stored("example.org")


def test_an_identity_token(home: Path) -> None:
    store(home, {"auths": {"example.org": {"auth": encoded("0000:"), "identitytoken": "t"}}})
    assert logins.stored("example.org") == (logins.IDENTITY_TOKEN, "t")
