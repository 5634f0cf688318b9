"""Other programs that read registries, as users have them: cosign, oras, skopeo. Each is asked on loopback."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any


def output(*words: str) -> str:
    """What a program prints on both outputs; it ends well."""
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{words}: {done.stdout}{done.stderr}"
    return done.stdout + done.stderr


def cosign_options(key: Path, directory: Path) -> list[str]:
    """Options by which any cosign verifies with a public key alone, without the public service.

    `directory`: for a file that cosign 2 reads."""
    root = directory / "root.json"
    root.write_text('{"mediaType": "application/vnd.dev.sigstore.trustedroot+json;version=0.1"}', encoding="utf-8")
    options = ["--key", str(key), "--insecure-ignore-tlog", "--type", "slsaprovenance1"]
    is_old = "signing-config" not in output("cosign", "help")
    return [*options, *(["--new-bundle-format", "--trusted-root", str(root)] if is_old else [])]


def oras_referrers(reference: str) -> dict[str, str]:
    """Type -> digest of what oras finds attached to an image."""
    found: dict[str, Any] = json.loads(output("oras", "discover", "--plain-http", "--format", "json", reference))
    rows = found["referrers"] if "referrers" in found else found["manifests"]  # oras 1.2
    return {row["artifactType"]: row["digest"] for row in rows}


def skopeo_manifest(reference: str) -> bytes:
    """The manifest that skopeo reads, byte for byte."""
    return output("skopeo", "inspect", "--raw", "--tls-verify=false", f"docker://{reference}").encode()
