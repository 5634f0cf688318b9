"""The certificate authorities of this machine that containers must trust, too."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import re
import ssl
from collections.abc import Mapping
from pathlib import Path

from portable import errors
from portable.environment import CA_VARIABLES, system_bundle

DISTRIBUTION_CAS = "/usr/share/ca-certificates"  # what Debian's ca-certificates package itself brings

_CERTIFICATE = re.compile(r"-----BEGIN CERTIFICATE-----(.*?)-----END CERTIFICATE-----", re.DOTALL)


def bundle(option: Path | None = None, env: Mapping[str, str] = os.environ) -> Path | None:
    """The PEM file with the CAs that containers must trust; None where their own are enough.

    It is `option`, else what the first set variable of CA_VARIABLES names, else the system's bundle if that holds CAs
    that certifi lacks. Without a certifi, the bundle is compared with the distribution's own package of CAs, and is
    used if there is no such package. Raises UserError for a named file that is missing, has no certificate, has one
    that cannot be read, or has a private key: containers would get the key, too."""
    named = [(str(option), "--ca-bundle")] if option else [(env[key], key) for key in CA_VARIABLES if env.get(key)]
    if named:
        path, source = named[0]
        text = _readable(path, source)
        if not certificates(text):
            raise errors.UserError(f"{source}={path}: no PEM certificate in that file")
        if "PRIVATE KEY-----" in text:
            raise errors.UserError(f"{source}={path} holds a private key: name a file with the certificates alone")
        try:
            ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(cadata=only_certificates(text))
        except (ssl.SSLError, ValueError) as error:
            raise errors.UserError(f"{source}={path}: a certificate in that file cannot be read: {error}") from None
        return Path(path).resolve()
    system = system_bundle()
    if system is None:
        return None
    known = certifi_cas(system) or distribution_cas()
    return system if certificates(_read(system)) - known else None


def certificates(text: str) -> frozenset[str]:
    """The certificates of a PEM text, each as its base64 without white space."""
    return frozenset("".join(body.split()) for body in _CERTIFICATE.findall(text))


def only_certificates(text: str) -> str:
    """The certificates of a PEM text as PEM, without its comments and keys."""
    return "".join(f"{match[0]}\n" for match in _CERTIFICATE.finditer(text))


def certifi_cas(system: Path) -> frozenset[str]:
    """The certificates of certifi, or of pip's copy of it; empty if there is neither.

    Debian's packages of both point to the `system` bundle, which cannot be compared with itself."""
    for name in ("certifi", "pip._vendor.certifi"):
        with contextlib.suppress(ImportError):
            spec = importlib.util.find_spec(name)
            bundle = Path(spec.origin).with_name("cacert.pem") if spec and spec.origin else system
            if bundle.is_file() and bundle.resolve() != system.resolve():
                return certificates(_read(bundle))
    return frozenset()


def distribution_cas() -> frozenset[str]:
    """The certificates that the distribution's own package of CAs installs; empty where there is no such package."""
    return frozenset().union(*(certificates(_read(path)) for path in Path(DISTRIBUTION_CAS).rglob("*.crt")))


def _read(path: Path) -> str:
    return path.read_text(encoding="utf-8", errors="replace")


def _readable(path: str, source: str) -> str:
    try:
        return _read(Path(path))
    except OSError as error:
        raise errors.UserError(f"{source}={path}: {error.strerror}; name a PEM file") from None
