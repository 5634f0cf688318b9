"""Sigstore bundles that two real releases were published with, and who signed what."""

from __future__ import annotations

from pathlib import Path

DATA = Path(__file__).resolve().parent.parent / "data" / "sigstore"
BUNDLE = (DATA / "pypi_attestation_models-0.0.4a2.tar.gz.sigstore").read_bytes()
DIGEST = "c9709ce6fd5b67b59b4a28758cf14d3f411803c4b89b6068b1f1a8e4ee94c8ef"
IDENTITY = "https://github.com/trailofbits/pypi-attestation-models/.github/workflows/release.yml@refs/tags/v0.0.4a2"
ISSUER = "https://token.actions.githubusercontent.com"

FILE_BUNDLE = (DATA / "rfc8785-0.1.2-py3-none-any.whl.sigstore").read_bytes()
FILE_DIGEST = "c4e92e9ecc828bef2aa7dba1de8ac983511f7532a0df11c770d39099a25cf201"
FILE_IDENTITY = "https://github.com/trailofbits/rfc8785.py/.github/workflows/release.yml@refs/tags/v0.1.2"
