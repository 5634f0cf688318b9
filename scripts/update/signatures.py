"""Verifies who signed a file with OpenPGP, through pysequoia; network/bundles.py does the same for sigstore.

Only this module uses that library. Each function returns who signed, or raises BadSignature; callers decide what
follows from that.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from network.bundles import BadSignature, first_line

if TYPE_CHECKING:  # it takes a second to load, and most runs do not need it
    import pysequoia

_ARMORED = re.compile(rb"-----BEGIN PGP SIGNATURE-----.*?-----END PGP SIGNATURE-----", re.DOTALL)
_MOST_SIGNATURES = 8  # to try: each try reads the whole file


def certificate(armored: bytes, fingerprint: str) -> bytes:
    """The certificate with this primary fingerprint (upper case) out of a keyring, armored.

    Raises BadSignature when the keyring lacks it. The fingerprint identifies it, so that any source will do."""
    import pysequoia

    try:
        certificates = pysequoia.Cert.split_bytes(armored)
    except Exception as error:
        raise BadSignature(f"not an OpenPGP keyring: {first_line(error)}") from None
    for found in certificates:
        if found.fingerprint.upper() == fingerprint:
            return str(found).encode()
    raise BadSignature(f"the keyring does not hold the pinned key {fingerprint}")


def openpgp_detached(file: Path, signature: bytes, keys: Collection[bytes]) -> str:
    """The fingerprint of that one of `keys` (armored) which made a detached signature over `file`.

    One of several signatures is enough: a key and its successor often sign side by side."""
    import pysequoia

    certificates = _certificates(keys)
    problems = []
    for packet in _packets(signature):
        try:
            result = pysequoia.verify(file=file, store=lambda _: certificates, signature=packet)
            return _signer([valid.certificate for valid in result.valid_sigs], certificates)
        except Exception:  # pysequoia reports everything as RuntimeError with a Rust backtrace
            problems.append(_why_not(packet, certificates, file.name))
    raise BadSignature(_told(problems) or f"OpenPGP: there is no signature of {file.name}")


def openpgp_cleartext(document: bytes, keys: Collection[bytes]) -> tuple[str, str]:
    """The fingerprint of the signer of a clear-signed file, and the text that is really signed."""
    import pysequoia

    certificates = _certificates(keys)
    try:
        result = pysequoia.verify(bytes=document, store=lambda _: certificates)
        signer = _signer([valid.certificate for valid in result.valid_sigs], certificates)
        return signer, (result.bytes or b"").decode()
    except Exception:
        problems = [_why_not(packet, certificates, "the text") for packet in _packets(document)]
    raise BadSignature(_told(problems) or "OpenPGP: there is no signature in the text")


def _certificates(keys: Iterable[bytes]) -> list[pysequoia.Cert]:
    import pysequoia

    try:
        return [pysequoia.Cert.from_bytes(key) for key in keys]
    except Exception as error:
        raise BadSignature(f"OpenPGP: a pinned key cannot be read ({first_line(error)})") from None


def _packets(text: bytes) -> list[pysequoia.Sig]:
    """Every signature of a file: packets one after the other, in several armored blocks or none."""
    import pysequoia
    from pysequoia.packet import PacketPile

    found = []
    for block in _ARMORED.findall(text) or [text]:
        try:
            found += [pysequoia.Sig.from_bytes(bytes(packet)) for packet in PacketPile.from_bytes(block)]
        except Exception:  # not a signature; the other blocks may be
            continue
    return found[:_MOST_SIGNATURES]


def _why_not(signature: pysequoia.Sig, certificates: Iterable[pysequoia.Cert], what: str) -> str:
    """Why a signature proves nothing, as far as the signature itself tells.

    The most useful answer is the key that made it: upstream may have a new release manager."""
    from pysequoia.packet import HashAlgorithm, PacketPile

    issuer = signature.issuer_fingerprint or signature.issuer_key_id or ""
    key = f"key {issuer.upper()}" if issuer else "a key that it does not name"
    for certificate in certificates:
        packets = list(PacketPile.from_bytes(bytes(certificate)))
        if issuer and issuer in {known for packet in packets for known in (packet.fingerprint, packet.key_id)}:
            break
    else:
        return f"it is signed by {key}, which is none of the pinned: a new release manager, or a stranger"
    if certificate.is_revoked:
        return f"it is signed by {key}, which was revoked"
    if signature.hash_algorithm in (HashAlgorithm.MD5, HashAlgorithm.RipeMD, HashAlgorithm.SHA1):
        algorithm = str(signature.hash_algorithm).rpartition(".")[2]
        return f"the signature of {key} is over a {algorithm} digest, which proves nothing any more"
    try:
        until = certificate.expiration
    except Exception as error:
        return f"{key} binds itself in a way that proves nothing any more ({first_line(error)})"
    if until and signature.created and signature.created >= until:
        return f"it is signed by {key}, which had expired on {until:%Y-%m-%d}"
    return f"the signature of {key} and {what} do not belong together"


def _told(problems: Iterable[str]) -> str:
    told = "; ".join(dict.fromkeys(problems))
    return f"OpenPGP: {told}" if told else ""


def _signer(fingerprints: list[str], keys: list[pysequoia.Cert]) -> str:
    """The first signer among our keys: the verifier accepts any certificate that its store returns."""
    ours = {key.fingerprint.upper() for key in keys}
    for fingerprint in fingerprints:
        if fingerprint.upper() in ours:
            return fingerprint.upper()
    raise BadSignature("no signature by a pinned key")
