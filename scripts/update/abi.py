"""Holds back a release of CPython with another ABI than the pinned one: wheels built for one must load in the other.

CPython's archives carry libabigail's description of the ABI (x86_64, default build) that its own `make check-abidump`
compares a build with. Of types, only those count that extensions see: the headers outside of Include/internal. Every
function and variable that an extension could link to counts, with its size. An ABI is frozen from the first release
candidate on.
"""

from __future__ import annotations

import re
import subprocess
import tempfile
from pathlib import Path

from packaging.version import Version

from portable import archives
from update.proof import Case

PROGRAM, PACKAGE = "abidiff", "abigail-tools"
TIME_LIMIT = 300  # seconds; it takes one
MOST = 20  # lines of abidiff's report that are shown
OPTIONS = ("--drop-private-types", "--no-architecture", "--no-added-syms", "--leaf-changes-only", "--harmless")
# The state of the runtime grows in most micros. Nothing outside of CPython knows its type, so its size binds nobody.
SUPPRESSIONS = """\
[suppress_type]
  source_location_not_regexp = Include/(cpython/)?[a-z_0-9]+[.]h$

[suppress_variable]
  name = _PyRuntime
  change_kind = variable-subtype-change
"""
_SUMMARY = re.compile(
    r"(Leaf changes|Changed leaf types|Removed/Changed/Added \w+) summary: |\d+ \w+ (function|variable)s?:$"
)


class OtherAbi(Exception):
    """The ABI differs, or could not be compared; the message says what to do."""


def compared(old: Case, new: Case) -> str:
    """What a commit says of the new release's ABI; empty where its row does not name a description.

    Raises OtherAbi, and web.Unreachable, web.Missing or web.Refused where the pinned release cannot be had."""
    row = new.dependency
    if not row.abi:
        return ""
    if row.abi_accepted.get(new.version):
        return f"another one than {old.version} has, accepted: {row.abi_accepted[new.version]}"
    if not (_frozen(old.version) and _frozen(new.version)):
        return "not compared: it is frozen from the first release candidate on"
    name = row.fill(row.abi, new.version)
    before = new.client.once(("abi", old.url), lambda: _pinned(old))
    after = _described(new)
    if before is None:
        return f"not compared: {old.version} has no {name}"
    if after is None:
        raise OtherAbi(f"its ABI is not known: {old.version} has {name}, this archive does not{_advice(new)}")
    if lines := differences(before, after):
        left = f"; and {len(lines) - MOST} more lines" if len(lines) > MOST else ""
        shown = "; ".join(lines[:MOST]).replace(":; ", ": ")
        raise OtherAbi(f"its ABI is not that of {old.version}: {shown}{left}{_advice(new)}")
    return f"as in {old.version}, says {PROGRAM}"


def differences(old: bytes, new: bytes) -> list[str]:
    """The lines in which abidiff names what two descriptions do not have in common; none if they are compatible.

    Raises OtherAbi where abidiff is missing or fails."""
    with tempfile.TemporaryDirectory() as scratch:
        paths = [Path(scratch, name) for name in ("old.abi", "new.abi", "suppressions")]
        for path, content in zip(paths, (old, new, SUPPRESSIONS.encode()), strict=True):
            path.write_bytes(content)
        command = [PROGRAM, *OPTIONS, "--suppressions", str(paths[2]), str(paths[0]), str(paths[1])]
        try:
            done = subprocess.run(command, capture_output=True, encoding="utf-8", errors="replace", timeout=TIME_LIMIT)
        except FileNotFoundError:
            raise OtherAbi(f"its ABI is not compared: {PROGRAM} is missing: apt-get install {PACKAGE}") from None
        except subprocess.TimeoutExpired:
            raise OtherAbi(f"its ABI is not compared: {PROGRAM} did not end within {TIME_LIMIT} seconds") from None
    # A bit field: 1 error, 2 invalid usage, 4 change, 8 incompatible change. Of a description that was cut off, abidiff
    # complains and ends with 0.
    if done.returncode not in (0, 4, 4 | 8) or done.stderr.strip():
        words = " ".join((done.stderr or done.stdout).replace(scratch, "").split())[-300:]
        raise OtherAbi(f"its ABI is not compared: {PROGRAM} ended with status {done.returncode}: {words}")
    lines = [line.strip() for line in done.stdout.splitlines()]
    named = [line for line in lines if line and not _SUMMARY.match(line)]
    return named if done.returncode else []


def _pinned(case: Case) -> bytes | None:
    """The description in the archive of the pinned release, from upstream or from Debian."""
    case.head()
    if case.file.sha256 != case.pin.sha256:
        raise OtherAbi(f"its ABI is not compared: {case.file.path.name} of {case.version} is not the pinned file")
    return _described(case)


def _described(case: Case) -> bytes | None:
    """The description in the archive of a release; None where it has none."""
    row = case.dependency
    folder = row.fill(row.folder, case.version, case.url, listed=case.release.path)
    return archives.member(case.file.path, f"{folder}/{row.fill(row.abi, case.version)}")


def _frozen(version: str) -> bool:
    pre = Version(version).pre
    return pre is None or pre[0] == "rc"


def _advice(case: Case) -> str:
    return (
        f'; to take it, say why: `abi_accepted = {{ "{case.version}" = "..." }}` in the row of {case.dependency.name}'
    )
