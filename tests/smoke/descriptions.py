"""What the image says of itself: whose each file is, what it can do, and its SBOM."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from typing import Any

from .context import INTERNAL, Context
from .registry import check, difference

# Below /opt and /usr/local, but the distribution's: packages of software collections, and a link of Debian's.
DISTRIBUTION = ("/opt/rh/", "/usr/local/man")
IMPORTANT = "_ctypes _decimal _lzma _sqlite3 _ssl bz2 lzma sqlite3 ssl zlib".split()


def read(name: str) -> Any:
    """A JSON document of /opt/_internal."""
    return json.loads((INTERNAL / name).read_text(encoding="utf-8"))


@check("manifest-files")
def files(context: Context) -> Iterator[str]:
    """Every file that the distribution did not bring belongs to one part of the image, and every path is there."""
    manifest = read("manifest.json")
    parts = [manifest["image"], *manifest["interpreters"], *manifest["tools"], *manifest["components"]]
    claims = Counter(path for part in parts for path in part["paths"])
    yield from (f"{path} belongs to {number} parts" for path, number in claims.items() if number > 1)
    trees = tuple(path for path in claims if path.endswith("/"))
    entries = context.before.entries
    for path in claims:
        if path.rstrip("/") not in entries:
            yield f"manifest.json: {path} is not there"
    for top in ("/opt", "/usr/local"):
        for entry in context.before.below(top):
            owned = entry.path in claims or entry.path.startswith(trees) or entry.path.startswith(DISTRIBUTION)
            if not entry.is_directory and not owned:
                yield f"{entry.path} belongs to no part: add it to scripts/describe/owners.py"


@check("manifest-capabilities")
def capabilities(context: Context) -> Iterator[str]:
    """The snapshot has every interpreter, with the modules, the tag and the platform that it is there for."""
    expected = context.expected
    can = read("manifest.json")["capabilities"]
    every = (*expected.interpreters, *expected.shared_interpreters)
    yield from difference("interpreters of the capabilities", (i.tag for i in every), can["interpreters"])
    libc = f"{expected.libc} {expected.libc_version}"
    if can["image"]["libc"].partition(".")[0] != libc.partition(".")[0]:
        yield f"manifest.json: the C library is {can['image']['libc']}, expected {libc}"
    yield from (f"manifest.json: {key} is empty" for key, value in can["image"].items() if not value)
    for interpreter in every:
        facts = can["interpreters"].get(interpreter.tag, {})
        missing = set(IMPORTANT) - set(facts.get("modules", ())) if interpreter.is_cpython else ()
        yield from (f"manifest.json: {interpreter.tag} lacks {name}" for name in sorted(missing))
        if interpreter in expected.interpreters and interpreter.tag not in facts.get("tags", ()):
            yield f"manifest.json: {interpreter.tag} does not accept its own tag"
        if expected.env["AUDITWHEEL_PLAT"] not in facts.get("platforms", ()):
            yield f"manifest.json: {interpreter.tag} does not accept {expected.env['AUDITWHEEL_PLAT']}"


@check("manifest-sbom")
def sbom(context: Context) -> Iterator[str]:
    """The SBOM describes one container, which contains every part of the manifest in its version."""
    manifest, document = read("manifest.json"), read("sbom.spdx.json")
    packages = {row["SPDXID"]: row for row in document["packages"]}
    if len(packages) != len(document["packages"]):
        yield "sbom.spdx.json uses an id twice"
    ends = [row["relatedSpdxElement"] for row in document["relationships"]]
    yield from difference("packages of the SBOM that something contains", packages, ends)
    described = [row for row in document["relationships"] if row["relationshipType"] == "DESCRIBES"]
    if len(described) != 1:
        yield f"sbom.spdx.json describes {len(described)} things"
    rows = [row for kind in ("interpreters", "tools", "components", "packages") for row in manifest[kind]]
    wanted = {(row["name"], row["version"]) for row in rows}
    found = {(row["name"], row.get("versionInfo", "")) for row in packages.values()}
    yield from (f"sbom.spdx.json lacks {name} {version}" for name, version in sorted(wanted - found))
