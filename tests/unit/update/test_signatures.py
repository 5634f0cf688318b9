"""OpenPGP with keys and signatures made here."""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pysequoia
import pytest
from pysequoia import SignatureMode
from tests.support.programs import require

from network.bundles import BadSignature
from update import signatures


@pytest.fixture(scope="module")
def key() -> pysequoia.Tsk:
    return pysequoia.Tsk.generate("Maintainer <maintainer@example.org>")


@pytest.fixture(scope="module")
def stranger() -> pysequoia.Tsk:
    return pysequoia.Tsk.generate("Stranger <stranger@example.org>")


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "tool-1.2.tar.gz"
    path.write_bytes(b"what the maintainer released")
    return path


def public(key: pysequoia.Tsk) -> bytes:
    return str(key.extract_certificate()).encode()


def fingerprint(key: pysequoia.Tsk) -> str:
    return str(key.extract_certificate().fingerprint).upper()


def detached(key: pysequoia.Tsk, content: bytes) -> bytes:
    return bytes(pysequoia.sign(key.signer(), content, mode=SignatureMode.DETACHED))


def cleartext(key: pysequoia.Tsk, text: bytes) -> bytes:
    return bytes(pysequoia.sign(key.signer(), text, mode=SignatureMode.CLEAR))


def test_a_good_detached_signature(key: pysequoia.Tsk, file: Path) -> None:
    signature = detached(key, file.read_bytes())
    assert signatures.openpgp_detached(file, signature, [public(key)]) == fingerprint(key)


def test_signatures_and_keyrings_need_no_armor(key: pysequoia.Tsk, stranger: pysequoia.Tsk, file: Path) -> None:
    """GNU publishes both in binary."""
    signature = bytes(pysequoia.sign(key.signer(), file.read_bytes(), mode=SignatureMode.DETACHED, armor=False))
    keyring = bytes(stranger.extract_certificate()) + bytes(key.extract_certificate())
    ours = signatures.certificate(keyring, fingerprint(key))
    assert signatures.openpgp_detached(file, signature, [ours]) == fingerprint(key)


def test_one_of_several_signers_is_enough(key: pysequoia.Tsk, stranger: pysequoia.Tsk, file: Path) -> None:
    signature = detached(key, file.read_bytes())
    assert signatures.openpgp_detached(file, signature, [public(stranger), public(key)]) == fingerprint(key)


def test_a_key_that_is_not_pinned(key: pysequoia.Tsk, stranger: pysequoia.Tsk, file: Path) -> None:
    signature = detached(stranger, file.read_bytes())
    signer = str(pysequoia.Sig.from_bytes(signature).issuer_fingerprint).upper()
    with pytest.raises(
        BadSignature, match=f"signed by key {signer}, which is none of the pinned: a new release manager"
    ):
        signatures.openpgp_detached(file, signature, [public(key)])


def test_the_signature_of_another_file(key: pysequoia.Tsk, file: Path) -> None:
    with pytest.raises(BadSignature, match="do not belong together"):
        signatures.openpgp_detached(file, detached(key, b"something else"), [public(key)])


def test_a_file_that_changed(key: pysequoia.Tsk, file: Path) -> None:
    signature = detached(key, file.read_bytes())
    file.write_bytes(file.read_bytes() + b"!")
    with pytest.raises(BadSignature):
        signatures.openpgp_detached(file, signature, [public(key)])


def test_a_key_that_had_expired_when_it_signed(key: pysequoia.Tsk, file: Path) -> None:
    certificate = key.extract_certificate()
    before = datetime.now(UTC) - timedelta(seconds=30)  # a key starts a minute in the past
    expired = str(certificate.set_expiration(before, key.certifier())).encode()
    with pytest.raises(BadSignature, match=f"had expired on {before:%Y-%m-%d}"):
        signatures.openpgp_detached(file, detached(key, file.read_bytes()), [expired])


@pytest.mark.parametrize(
    "signature", [b"", b"<html>", b"-----BEGIN PGP SIGNATURE-----\n\nAAAA\n-----END PGP SIGNATURE-----\n"]
)
def test_what_is_no_signature(key: pysequoia.Tsk, file: Path, signature: bytes) -> None:
    with pytest.raises(BadSignature):
        signatures.openpgp_detached(file, signature, [public(key)])


def test_a_good_cleartext_signature(key: pysequoia.Tsk) -> None:
    signer, text = signatures.openpgp_cleartext(cleartext(key, b"abc  tool.tar.gz\n"), [public(key)])
    assert signer == fingerprint(key)
    assert text.strip() == "abc  tool.tar.gz"


def test_text_outside_the_cleartext_signature_does_not_count(key: pysequoia.Tsk) -> None:
    document = b"evil  tool.tar.gz\n" + cleartext(key, b"abc  tool.tar.gz\n") + b"evil  tool.tar.gz\n"
    try:
        _, text = signatures.openpgp_cleartext(document, [public(key)])
    except BadSignature:
        return
    assert "evil" not in text


def test_a_revoked_key(key: pysequoia.Tsk, file: Path) -> None:
    certificate = key.extract_certificate()
    revoked = bytes(certificate) + bytes(certificate.revoke(key.certifier()))
    with pytest.raises(BadSignature, match=r"signed by key [0-9A-F]{40}, which was revoked"):
        signatures.openpgp_detached(file, detached(key, file.read_bytes()), [revoked])


@pytest.fixture
def gpg(tmp_path: Path) -> Iterator[Callable[..., bytes]]:
    """Runs gpg with the keys of `old` and `new`, as most release managers do."""
    require("gpg")
    with tempfile.TemporaryDirectory() as home:  # short: gpg-agent's socket has its name

        def run(*arguments: str, text: bytes = b"") -> bytes:
            command = ["gpg", "--homedir", home, "--batch", "--quiet", "--passphrase", "", *arguments]
            return subprocess.run(command, input=text, capture_output=True, check=True).stdout

        try:
            for name in ("old", "new"):
                run("--quick-generate-key", f"{name}@example.org", "rsa2048", "sign,cert", "never")
            yield run
        finally:
            subprocess.run(["gpgconf", "--homedir", home, "--kill", "all"], check=False)


def test_one_of_several_signatures_is_enough(gpg: Callable[..., bytes], file: Path) -> None:
    content = file.read_bytes()
    old, new = (gpg("--export", f"{name}@example.org") for name in ("old", "new"))
    by_old, by_new = (gpg("-u", f"{name}@example.org", "--detach-sign", text=content) for name in ("old", "new"))
    armored = [gpg("-u", f"{n}@example.org", "--armor", "--detach-sign", text=content) for n in ("old", "new")]
    both = gpg("-u", "old@example.org", "-u", "new@example.org", "--armor", "--detach-sign", text=content)
    clear = gpg("-u", "old@example.org", "-u", "new@example.org", "--clear-sign", text=b"abc  tool.tar.gz\n")
    for key in (old, new):
        wanted = pysequoia.Cert.from_bytes(key).fingerprint.upper()
        for signature in (by_old + by_new, by_new + by_old, both, b"".join(armored), b"".join(armored[::-1])):
            assert signatures.openpgp_detached(file, signature, [key]) == wanted
        assert signatures.openpgp_cleartext(clear, [key])[0] == wanted
    with pytest.raises(BadSignature, match="do not belong together"):
        signatures.openpgp_detached(file, gpg("-u", "old@example.org", "--detach-sign", text=b"x") * 2, [old])


def test_sha1_proves_nothing(gpg: Callable[..., bytes], file: Path) -> None:
    key = gpg("--export", "old@example.org")
    sign = ("-u", "old@example.org", "--digest-algo", "SHA1")
    said = f"the signature of key {pysequoia.Cert.from_bytes(key).fingerprint.upper()} is over a SHA1 digest"
    with pytest.raises(BadSignature, match=said):
        signatures.openpgp_detached(file, gpg(*sign, "--detach-sign", text=file.read_bytes()), [key])
    with pytest.raises(BadSignature, match=said):
        signatures.openpgp_cleartext(gpg(*sign, "--clear-sign", text=b"abc  tool.tar.gz\n"), [key])


def test_a_changed_cleartext(key: pysequoia.Tsk) -> None:
    document = cleartext(key, b"abc  tool.tar.gz\n").replace(b"abc", b"abd")
    with pytest.raises(BadSignature, match="do not belong together"):
        signatures.openpgp_cleartext(document, [public(key)])


def test_a_cleartext_of_somebody_else(key: pysequoia.Tsk, stranger: pysequoia.Tsk) -> None:
    with pytest.raises(BadSignature, match="none of the pinned"):
        signatures.openpgp_cleartext(cleartext(stranger, b"abc  tool.tar.gz\n"), [public(key)])


def test_a_certificate_is_known_by_its_fingerprint(key: pysequoia.Tsk, stranger: pysequoia.Tsk) -> None:
    keyring = public(stranger) + public(key)
    assert pysequoia.Cert.from_bytes(
        signatures.certificate(keyring, fingerprint(key))
    ).fingerprint.upper() == fingerprint(key)
    with pytest.raises(BadSignature, match="does not hold the pinned key"):
        signatures.certificate(public(stranger), fingerprint(key))
    with pytest.raises(BadSignature, match="not an OpenPGP keyring"):
        signatures.certificate(b"<html>", fingerprint(key))
