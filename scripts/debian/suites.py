"""The signed indices (InRelease) of the suites of the Debian archive. Nothing that fails verification is parsed."""

from __future__ import annotations

import re
import subprocess
import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from host import apt
from host.apt import CODE_NAMES, COMPONENT
from portable import transport

POCKETS = ("", "-updates", "-backports", "-security")
HASH_LINE = re.compile(r"^ ([0-9a-f]{64}) +([0-9]{1,18}) (\S+)$", re.MULTILINE)

_NO_POCKETS = frozenset({"sid", "experimental"})
_SIGNED = re.compile(r"(?s)\A-----BEGIN PGP SIGNED MESSAGE-----\n.*?\n\n(.*\n)-----BEGIN PGP SIGNATURE-----.*\Z")


class Untrusted(Exception):
    """A suite must not be used; the message says why."""


@dataclass(frozen=True)
class Suite:
    """A suite whose InRelease was verified. `index` is the path of Sources.xz below dists/<name>/."""

    name: str
    roots: tuple[str, ...]
    index: str
    sha256: str
    size: int
    by_hash: bool
    date: datetime
    valid_until: datetime | None


def suite_names(wanted: Iterable[str] = ()) -> tuple[str, ...]:
    """The suites to ask a mirror for: the wanted ones, else everything that a Debian archive may have."""
    return tuple(wanted) or tuple(
        f"{code}{pocket}" for code in CODE_NAMES for pocket in (("",) if code in _NO_POCKETS else POCKETS)
    )


def verify(signed: bytes, keyrings: Iterable[Path], keys: bytes = b"") -> str:
    """The text of a clear-signed message, if a key of the keyrings or of `keys` has signed it. Raises Untrusted."""
    with tempfile.TemporaryDirectory() as directory:
        message, text = Path(directory, "message"), Path(directory, "text")
        message.write_bytes(signed)
        own = Path(directory, "keys.gpg")
        own.write_bytes(keys)
        rings = [f"--keyring={keyring.absolute()}" for keyring in (*keyrings, *((own,) if keys else ()))]
        result = subprocess.run(
            ["gpgv", "--homedir", directory, *rings, "--status-fd=1", "--output", str(text), str(message)],
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            check=False,
        )
        states = [line.split()[1] for line in result.stdout.splitlines() if line.startswith("[GNUPG:] ")]
        if "BADSIG" in states:
            raise Untrusted("its signature is wrong: the index was changed after it was signed")
        if not {"GOODSIG", "VALIDSIG"} <= set(states):
            if "NO_PUBKEY" in states:
                raise Untrusted(
                    "it is signed by a key that this machine's keyring lacks: update debian-archive-keyring"
                )
            if {"EXPKEYSIG", "EXPSIG"} & set(states):
                raise Untrusted("its signature or the key that made it has expired: update debian-archive-keyring")
            if "REVKEYSIG" in states:
                raise Untrusted("the key that signed it was revoked")
            raise Untrusted(f"it has no valid signature ({result.stderr.strip() or 'gpgv says nothing'})")
        return text.read_text(encoding="utf-8")


def without_signature(signed: bytes) -> str:
    """The text of a clear-signed message, or of one that is not signed, unverified."""
    return _SIGNED.sub(r"\1", signed.decode(errors="replace"))


def parse_suite(name: str, roots: tuple[str, ...], release: str) -> Suite:
    """The suite that a verified Release text describes. Raises Untrusted."""
    fields = dict(apt.stanza(release))
    if name not in (fields.get("Codename"), fields.get("Suite")):
        raise Untrusted(f"the mirror sends the index of {fields.get('Codename')} in its place")
    wanted = f"{COMPONENT}/source/Sources.xz"
    entry = next((match for match in HASH_LINE.finditer(fields.get("SHA256", "")) if match[3] == wanted), None)
    if not entry:
        raise Untrusted(f"it has no sources ({wanted} is not in its index)")
    return Suite(
        name=name,
        roots=roots,
        index=wanted,
        sha256=entry[1],
        size=int(entry[2]),
        by_hash=fields.get("Acquire-By-Hash") == "yes",
        date=_date(fields, "Date"),
        valid_until=_date(fields, "Valid-Until") if "Valid-Until" in fields else None,
    )


def _date(fields: Mapping[str, str], name: str) -> datetime:
    if found := transport.moment(fields.get(name, "")):
        return found
    raise Untrusted(f"its {name} is not a date: {fields.get(name, '')!r}")
