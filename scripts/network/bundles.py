"""Sigstore bundles: who signed a file or an in-toto statement. Keyless ones through sigstore, others with a key.

Only this module uses sigstore and cryptography. What verifies returns, or raises BadSignature; callers decide what
follows from that. A statement is signed in an envelope of DSSE; the sigstore library signs keyless only, so that the
bundle of a key is written and read here (https://github.com/sigstore/protobuf-specs, BUNDLE_SPEC of cosign).
"""

from __future__ import annotations

import base64
import functools
import hashlib
import json
import logging
import threading
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from network.answers import Answer
from portable import errors

if TYPE_CHECKING:  # both take a second to load, and most runs need neither
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey, EllipticCurvePublicKey
    from sigstore.models import Bundle
    from sigstore.verify.policy import Identity
    from sigstore.verify.verifier import Verifier

BUNDLE_TYPE = "application/vnd.dev.sigstore.bundle.v0.3+json"
STATEMENT_TYPE = "application/vnd.in-toto+json"
GITHUB = "https://token.actions.githubusercontent.com"  # vouches for the identities of workflows
_LOADING = threading.Lock()  # one thread loads sigstore and fetches its root, the others wait
_NEW_KEY = "`openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out FILE` makes one"


class BadSignature(Exception):
    """The signature does not prove what it should; the message says why, in one line."""


def first_line(error: Exception) -> str:
    """The first line of a library's error, for a message."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[0].rstrip(".") if lines else type(error).__name__


# --- With a key -----------------------------------------------------------------------------------------------


def private_key(path: Path) -> EllipticCurvePrivateKey:
    """The key in a PEM file, on the curve P-256, without a password. Raises UserError for anything else."""
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    try:
        key = serialization.load_pem_private_key(_read(path), password=None)
    except (ValueError, TypeError) as error:
        raise errors.UserError(
            f"{path} is not a private key without a password ({first_line(error)}): {_NEW_KEY}"
        ) from None
    if not isinstance(key, ec.EllipticCurvePrivateKey) or not isinstance(key.curve, ec.SECP256R1):
        raise errors.UserError(f"{path} is not a key on the curve P-256: {_NEW_KEY}")
    return key


def public_key(path: Path) -> EllipticCurvePublicKey:
    """The public key in a PEM file, on the curve P-256. Raises UserError for anything else."""
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    try:
        key = serialization.load_pem_public_key(_read(path))
    except (ValueError, TypeError) as error:
        raise errors.UserError(
            f"{path} is not a public key ({first_line(error)}): `openssl pkey -in KEY -pubout` writes one"
        ) from None
    if not isinstance(key, ec.EllipticCurvePublicKey) or not isinstance(key.curve, ec.SECP256R1):
        raise errors.UserError(f"{path} is not a key on the curve P-256: {_NEW_KEY}")
    return key


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise errors.UserError(f"{path}: {error.strerror}") from None


def sign_with_key(statement: bytes, key: EllipticCurvePrivateKey) -> bytes:
    """The bundle of an in-toto statement that a key has signed. Its hint is the digest of the public key."""
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric import ec

    signature = key.sign(_signed(statement), ec.ECDSA(hashes.SHA256()))
    bundle = {
        "mediaType": BUNDLE_TYPE,
        "verificationMaterial": {"publicKey": {"hint": _hint(key.public_key())}},
        "dsseEnvelope": {
            "payload": base64.b64encode(statement).decode(),
            "payloadType": STATEMENT_TYPE,
            "signatures": [{"sig": base64.b64encode(signature).decode()}],
        },
    }
    return json.dumps(bundle, separators=(",", ":")).encode()


def statement_by_key(bundle: bytes, key: EllipticCurvePublicKey) -> bytes:
    """The in-toto statement of a bundle that the key has signed."""
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric import ec

    try:
        envelope = Answer.parse(bundle, "the bundle")["dsseEnvelope"]
        if envelope["payloadType"].text() != STATEMENT_TYPE:
            raise BadSignature("the bundle does not hold an in-toto statement")
        payload = base64.b64decode(envelope["payload"].text(), validate=True)
        signatures = [base64.b64decode(row["sig"].text(), validate=True) for row in envelope["signatures"].rows()]
        if len(signatures) != 1:
            raise BadSignature(f"the bundle has {len(signatures)} signatures instead of one")
        key.verify(signatures[0], _signed(payload), ec.ECDSA(hashes.SHA256()))
    except InvalidSignature:
        raise BadSignature("the signature is not by this key, or not over this statement") from None
    except (errors.Failure, ValueError) as error:
        raise BadSignature(f"the bundle cannot be read: {first_line(error)}") from None
    return payload


def _signed(statement: bytes) -> bytes:
    """What DSSE signs for a statement: its pre-authentication encoding."""
    kind = STATEMENT_TYPE.encode()
    return b"DSSEv1 %d %s %d %s" % (len(kind), kind, len(statement), statement)


def _hint(key: EllipticCurvePublicKey) -> str:
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    der = key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return base64.b64encode(hashlib.sha256(der).digest()).decode()


# --- Keyless --------------------------------------------------------------------------------------------------


def sign_keyless(statement: bytes) -> bytes | None:
    """The bundle of an in-toto statement that this machine's identity has signed; None where it has no identity.

    A GitHub workflow with `id-token: write` has one. Raises Failure where sigstore's public instance refuses it."""
    with _LOADING:
        from sigstore.dsse import Statement
        from sigstore.models import ClientTrustConfig
        from sigstore.oidc import IdentityToken, detect_credential
        from sigstore.sign import SigningContext

    try:
        credential = detect_credential()
        if credential is None:
            return None
        context = SigningContext.from_trust_config(ClientTrustConfig.production())
        with context.signer(IdentityToken(credential)) as signer:
            return signer.sign_dsse(Statement(statement)).to_json().encode()
    except Exception as error:  # of several libraries, without a common class
        raise errors.Failure(f"sigstore cannot sign: {first_line(error)}") from None


def sigstore_digest(bundle: bytes, sha256: str, identity: str, issuer: str) -> str:
    """Verifies that `identity`, vouched for by `issuer`, signed a file with this digest; returns it."""
    from sigstore.hashes import Hashed
    from sigstore_models.common.v1 import HashAlgorithm

    hashed = Hashed(algorithm=HashAlgorithm.SHA2_256, digest=bytes.fromhex(sha256))

    def verify(verifier: Verifier, parsed: Bundle, policy: Identity) -> None:
        verifier.verify_artifact(hashed, parsed, policy)

    return _sigstore(bundle, identity, issuer, verify)


def sigstore_attestation(bundle: bytes, algorithm: str, digest: str, identity: str, issuer: str) -> str:
    """Like sigstore_digest for an in-toto attestation, which must have a subject with this digest (hex)."""

    try:
        subjects = json.loads(sigstore_statement(bundle, identity, issuer))["subject"]
        if digest not in [subject["digest"].get(algorithm) for subject in subjects]:
            raise BadSignature("the attestation is about other files")
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise BadSignature(f"the attestation is not an in-toto statement: {first_line(error)}") from None
    return identity


def sigstore_statement(bundle: bytes, identity: str, issuer: str) -> bytes:
    """The in-toto statement that `identity`, vouched for by `issuer`, signed."""
    payloads = []

    def verify(verifier: Verifier, parsed: Bundle, policy: Identity) -> None:
        payloads.append(verifier.verify_dsse(parsed, policy)[1])

    _sigstore(bundle, identity, issuer, verify)
    return payloads[0]


def _sigstore(bundle: bytes, identity: str, issuer: str, verify: Callable[[Verifier, Bundle, Identity], None]) -> str:
    with _LOADING:
        from sigstore.errors import Error
        from sigstore.models import Bundle, InvalidBundle
        from sigstore.verify.policy import Identity

        verifier = _verifier()
    try:
        verify(verifier, Bundle.from_json(bundle), Identity(identity=identity, issuer=issuer))
    except (Error, InvalidBundle, ValueError, KeyError) as error:
        raise BadSignature(f"sigstore: {first_line(error)}") from None
    return identity


@functools.cache
def _verifier() -> Verifier:
    """The verifier of sigstore's public instance.

    Its trusted root is refreshed over the network. Where that cannot be reached, the one inside the sigstore
    package counts: our hash-locked requirements pin it."""
    from sigstore.errors import Error
    from sigstore.verify.verifier import Verifier

    logging.getLogger("sigstore").setLevel(logging.ERROR)
    try:
        return Verifier.production()
    except Error:
        return Verifier.production(offline=True)
