"""Is this file what its authors released? OpenPGP through pysequoia, keyless signatures through sigstore.

Both libraries stay behind the few functions of this module. Each returns who signed, or raises BadSignature;
nothing here decides what to do about it.
"""

from __future__ import annotations

import functools
import json
import logging
from collections.abc import Callable, Collection
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:  # both take a second to load, and most runs need neither
    import pysequoia
    from sigstore.models import Bundle
    from sigstore.verify.policy import Identity
    from sigstore.verify.verifier import Verifier

T = TypeVar("T")


class BadSignature(Exception):
    """The signature does not prove what it should: the message says why, in one line."""


def certificate(armored: bytes, fingerprint: str) -> bytes:
    """The certificate with this primary fingerprint (upper case) out of a keyring, armored.

    Raises BadSignature when the keyring lacks it. Wherever it comes from, the fingerprint identifies it."""
    import pysequoia

    try:
        certificates = pysequoia.Cert.split_bytes(armored)
    except Exception as error:
        raise BadSignature(f"not an OpenPGP keyring: {_first_line(error)}") from None
    for found in certificates:
        if found.fingerprint.upper() == fingerprint:
            return str(found).encode()
    raise BadSignature(f"the keyring does not hold the pinned key {fingerprint}")


def openpgp_detached(file: Path, signature: bytes, keys: Collection[bytes]) -> str:
    """The fingerprint of the one of `keys` (armored) that made a detached signature over `file`."""
    import pysequoia

    def verify() -> str:
        packet = pysequoia.Sig.from_bytes(signature)
        certificates = [pysequoia.Cert.from_bytes(key) for key in keys]
        result = pysequoia.verify(file=file, store=lambda _: certificates, signature=packet)
        return _signer([valid.certificate for valid in result.valid_sigs], certificates)

    return _guarded(verify, f"{file.name} and its signature")


def openpgp_cleartext(document: bytes, keys: Collection[bytes]) -> tuple[str, str]:
    """The fingerprint of the signer of a clear-signed file, and the text that is really signed."""
    import pysequoia

    def verify() -> tuple[str, str]:
        certificates = [pysequoia.Cert.from_bytes(key) for key in keys]
        result = pysequoia.verify(bytes=document, store=lambda _: certificates)
        signer = _signer([valid.certificate for valid in result.valid_sigs], certificates)
        return signer, (result.bytes or b"").decode()

    return _guarded(verify, "the clear-signed text and its signature")


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

    def verify(verifier: Verifier, parsed: Bundle, policy: Identity) -> None:
        _, payload = verifier.verify_dsse(parsed, policy)
        subjects = json.loads(payload)["subject"]
        if digest not in [subject["digest"].get(algorithm) for subject in subjects]:
            raise BadSignature("the attestation is about other files")

    return _sigstore(bundle, identity, issuer, verify)


def _sigstore(bundle: bytes, identity: str, issuer: str, verify: Callable[[Verifier, Bundle, Identity], None]) -> str:
    from sigstore.errors import Error
    from sigstore.models import Bundle, InvalidBundle
    from sigstore.verify.policy import Identity

    try:
        verify(_verifier(), Bundle.from_json(bundle), Identity(identity=identity, issuer=issuer))
    except (Error, InvalidBundle, ValueError, KeyError) as error:
        raise BadSignature(f"sigstore: {_first_line(error)}") from None
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


def _signer(fingerprints: list[str], keys: list[pysequoia.Cert]) -> str:
    """The first signer that is one of ours: the verifier accepts any certificate that its store returned."""
    ours = {key.fingerprint.upper() for key in keys}
    for fingerprint in fingerprints:
        if fingerprint.upper() in ours:
            return fingerprint.upper()
    raise BadSignature("no signature by a pinned key")


def _guarded(verify: Callable[[], T], what: str) -> T:
    """The result of `verify`; pysequoia reports everything as RuntimeError with a Rust backtrace."""
    try:
        return verify()
    except BadSignature:
        raise
    except Exception as error:
        raise BadSignature(f"OpenPGP: {what} do not belong together ({_first_line(error)})") from None


def _first_line(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[0].rstrip(".") if lines else type(error).__name__
