"""Sigstore bundles: keyless ones that real releases were published with, and those of keys made here."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)
from tests.support.sigstore_bundles import (
    BUNDLE,
    DIGEST,
    FILE_BUNDLE,
    FILE_DIGEST,
    FILE_IDENTITY,
    IDENTITY,
    ISSUER,
)

from network import bundles
from network.bundles import BadSignature
from portable import errors

STATEMENT = b'{"_type": "https://in-toto.io/Statement/v1", "subject": []}'
KEY, STRANGER = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())


@pytest.fixture(autouse=True)
def offline(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No cache of an earlier run: what counts is the root inside the sigstore package."""
    for variable in ("XDG_DATA_HOME", "XDG_CACHE_HOME", "HOME"):
        monkeypatch.setenv(variable, str(tmp_path))


def test_a_real_bundle() -> None:
    assert bundles.sigstore_attestation(BUNDLE, "sha256", DIGEST, IDENTITY, ISSUER) == IDENTITY


def test_another_file_than_the_attested() -> None:
    with pytest.raises(BadSignature, match="about other files"):
        bundles.sigstore_attestation(BUNDLE, "sha256", f"0{DIGEST[1:]}", IDENTITY, ISSUER)


@pytest.mark.parametrize(
    ("identity", "issuer"),
    [
        (IDENTITY.replace("v0.0.4a2", "v0.0.5"), ISSUER),
        (IDENTITY.replace("trailofbits", "somebody"), ISSUER),
        (IDENTITY, "https://accounts.google.com"),
    ],
)
def test_another_identity(identity: str, issuer: str) -> None:
    with pytest.raises(BadSignature, match=r"does not match|do not match"):
        bundles.sigstore_attestation(BUNDLE, "sha256", DIGEST, identity, issuer)


def test_a_changed_statement() -> None:
    bundle = json.loads(BUNDLE)
    statement = base64.b64decode(bundle["dsseEnvelope"]["payload"]).replace(DIGEST.encode(), f"0{DIGEST[1:]}".encode())
    bundle["dsseEnvelope"]["payload"] = base64.b64encode(statement).decode()
    with pytest.raises(BadSignature, match="sigstore"):
        bundles.sigstore_attestation(json.dumps(bundle).encode(), "sha256", f"0{DIGEST[1:]}", IDENTITY, ISSUER)


@pytest.mark.parametrize("bundle", [b"{}", b"not json", b"[]", b"null"])
def test_what_is_no_bundle(bundle: bytes) -> None:
    with pytest.raises(BadSignature):
        bundles.sigstore_attestation(bundle, "sha256", DIGEST, IDENTITY, ISSUER)


def test_a_real_bundle_of_a_file() -> None:
    assert bundles.sigstore_digest(FILE_BUNDLE, FILE_DIGEST, FILE_IDENTITY, ISSUER) == FILE_IDENTITY


@pytest.mark.parametrize(
    ("digest", "identity", "issuer"),
    [
        (f"0{FILE_DIGEST[1:]}", FILE_IDENTITY, ISSUER),
        (FILE_DIGEST, FILE_IDENTITY.replace("v0.1.2", "v0.1.3"), ISSUER),
        (FILE_DIGEST, "hugo@python.org", ISSUER),
        (FILE_DIGEST, FILE_IDENTITY, "https://github.com/login/oauth"),
    ],
)
def test_another_file_or_another_signer(digest: str, identity: str, issuer: str) -> None:
    with pytest.raises(BadSignature):
        bundles.sigstore_digest(FILE_BUNDLE, digest, identity, issuer)


def test_a_bundle_that_claims_another_digest() -> None:
    bundle = json.loads(FILE_BUNDLE)
    bundle["messageSignature"]["messageDigest"]["digest"] = base64.b64encode(bytes(32)).decode()
    forged = json.dumps(bundle).encode()
    with pytest.raises(BadSignature):
        bundles.sigstore_digest(forged, "00" * 32, FILE_IDENTITY, ISSUER)


def test_an_attestation_is_no_signature_of_a_file() -> None:
    with pytest.raises(BadSignature):
        bundles.sigstore_digest(BUNDLE, DIGEST, IDENTITY, ISSUER)


def test_several_threads_load_the_verifier_once(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[int] = []

    def slow(**options: object) -> object:
        made.append(1)
        time.sleep(0.1)
        return object()

    monkeypatch.setattr("sigstore.verify.verifier.Verifier.production", slow)
    bundles._verifier.cache_clear()
    try:
        with ThreadPoolExecutor(4) as pool:
            wrong = [pool.submit(bundles.sigstore_digest, b"{}", "00" * 32, IDENTITY, ISSUER) for _ in range(4)]
        assert all(isinstance(each.exception(), BadSignature) for each in wrong)
        assert len(made) == 1
    finally:
        bundles._verifier.cache_clear()


def test_the_statement_of_a_real_bundle() -> None:
    (subject,) = json.loads(bundles.sigstore_statement(BUNDLE, IDENTITY, ISSUER))["subject"]
    assert subject["digest"] == {"sha256": DIGEST}
    with pytest.raises(BadSignature, match=r"do not match|does not match"):
        bundles.sigstore_statement(BUNDLE, f"{IDENTITY}x", ISSUER)


def test_nobody_signs_without_an_identity(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sigstore.oidc.detect_credential", lambda: None)
    assert bundles.sign_keyless(STATEMENT) is None
    monkeypatch.setattr("sigstore.oidc.detect_credential", lambda: "not a token")
    with pytest.raises(errors.Failure, match="sigstore cannot sign: "):
        bundles.sign_keyless(STATEMENT)


# --- Keys -----------------------------------------------------------------------------------------------------


def test_what_a_key_signs() -> None:
    bundle = bundles.sign_with_key(STATEMENT, KEY)
    assert bundles.statement_by_key(bundle, KEY.public_key()) == STATEMENT
    with pytest.raises(BadSignature, match="not by this key"):
        bundles.statement_by_key(bundle, STRANGER.public_key())


def edited(edit: Callable[[dict[str, Any]], object]) -> bytes:
    bundle = json.loads(bundles.sign_with_key(STATEMENT, KEY))
    edit(bundle)
    return json.dumps(bundle).encode()


@pytest.mark.parametrize(
    ("bundle", "reason"),
    [
        (
            edited(lambda b: b["dsseEnvelope"].update(payload=base64.b64encode(b"{}").decode())),
            "not by this key, or not",
        ),
        (edited(lambda b: b["dsseEnvelope"]["signatures"][0].update(sig="AAAA")), "not by this key, or not"),
        (edited(lambda b: b["dsseEnvelope"]["signatures"][0].update(sig="?")), "cannot be read"),
        (edited(lambda b: b["dsseEnvelope"]["signatures"][0].pop("sig")), "sig is missing"),
        (edited(lambda b: b["dsseEnvelope"]["signatures"].clear()), "0 signatures instead of one"),
        (edited(lambda b: b["dsseEnvelope"]["signatures"].append({"sig": "AAAA"})), "2 signatures instead of one"),
        (edited(lambda b: b["dsseEnvelope"].update(payloadType="text/plain")), "does not hold an in-toto statement"),
        (edited(lambda b: b.pop("dsseEnvelope")), "dsseEnvelope is missing"),
        (b"<html>", "is not JSON"),
        (BUNDLE, "not by this key"),
        (FILE_BUNDLE, "dsseEnvelope is missing"),
    ],
)
def test_what_is_not_signed_by_the_key(bundle: bytes, reason: str) -> None:
    with pytest.raises(BadSignature, match=reason):
        bundles.statement_by_key(bundle, KEY.public_key())


def pem(key: Any, password: bytes = b"") -> bytes:
    encryption = BestAvailableEncryption(password) if password else NoEncryption()
    content: bytes = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, encryption)
    return content


def public(key: Any) -> bytes:
    content: bytes = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    return content


def test_keys_are_read_from_files(tmp_path: Path) -> None:
    (tmp_path / "key").write_bytes(pem(KEY))
    (tmp_path / "key.pub").write_bytes(public(KEY))
    bundle = bundles.sign_with_key(STATEMENT, bundles.private_key(tmp_path / "key"))
    assert bundles.statement_by_key(bundle, bundles.public_key(tmp_path / "key.pub")) == STATEMENT


@pytest.mark.parametrize("content", [pem(KEY, b"secret"), public(KEY), b"", b"-----BEGIN", None])
def test_what_is_not_a_private_key(tmp_path: Path, content: bytes | None) -> None:
    if content is not None:
        (tmp_path / "key").write_bytes(content)
    with pytest.raises(errors.UserError, match=f"{tmp_path}/key"):
        bundles.private_key(tmp_path / "key")


@pytest.mark.parametrize("content", [pem(KEY), b"", b"-----BEGIN", None])
def test_what_is_not_a_public_key(tmp_path: Path, content: bytes | None) -> None:
    if content is not None:
        (tmp_path / "key").write_bytes(content)
    with pytest.raises(errors.UserError, match=f"{tmp_path}/key"):
        bundles.public_key(tmp_path / "key")


@pytest.mark.parametrize("key", [ec.generate_private_key(ec.SECP384R1()), ed25519.Ed25519PrivateKey.generate()])
def test_a_key_of_another_kind(tmp_path: Path, key: Any) -> None:
    (tmp_path / "key").write_bytes(pem(key))
    (tmp_path / "key.pub").write_bytes(public(key))
    for read, name in ((bundles.private_key, "key"), (bundles.public_key, "key.pub")):
        with pytest.raises(errors.UserError, match=f"{name} is not a key on the curve P-256"):
            read(tmp_path / name)
