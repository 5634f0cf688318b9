"""manylinux-sbom: it identifies the libraries that auditwheel grafts, the image's own and the distribution's."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from .context import INTERNAL, LOCAL_BIN, Context, Problem
from .layout import FILE_LIST
from .registry import check, difference
from .wheels import built_wheel, repaired_wheel

SQLITE = INTERNAL / "sqlite3/lib/libsqlite3.so.0"
# Names of a library of the distribution, the first that is there.
LZMA, GOMP, BZ2 = ("liblzma.so.5",), ("libgomp.so.1",), ("libbz2.so.1.0", "libbz2.so.1")

OWNERS_OF_LIBRARIES = """
import sys
from pathlib import Path

sys.path.insert(0, "/opt/_internal/manylinux")
from doctor.origins import Container

container = Container(Path("/"))
print(*(path for path in sys.stdin.read().split() if container.owner_in_image(path) is None))
"""


def library(context: Context, names: tuple[str, ...]) -> Path:
    """Where the distribution has a library. Raises Problem where it has none of the names."""
    for name in names:
        found = Path(context.output(["gcc", f"-print-file-name={name}"]))
        if found.is_absolute():
            return found
    raise Problem(f"the distribution has no {' or '.join(names)}")


def linked_wheel(context: Context, kind: str, libraries: list[Path]) -> Path:
    """The wheel of projects/<kind>, linked with libraries that it does not use, after auditwheel."""
    interpreter = context.expected.interpreter(context.expected.tools_python)
    flags = " ".join(["-Wl,--no-as-needed", *map(str, libraries)])
    built = built_wheel(context, interpreter, kind, LDFLAGS=flags)
    target = context.directory(f"linked-{kind}")
    context.run([LOCAL_BIN / "auditwheel", "repair", "--only-plat", "--wheel-dir", target, built])
    (wheel,) = target.iterdir()
    return wheel


def described(context: Context, wheel: Path, problems: list[str]) -> dict[str, dict[str, Any]]:
    """What the SBOM says of each grafted file; `problems` gets what differs from the wheel's files."""
    target = context.directory(f"sbom-{wheel.name}")
    context.run([LOCAL_BIN / "manylinux-sbom", "--output", target, wheel])
    with zipfile.ZipFile(target / wheel.name) as archive:
        names = archive.namelist()
        (sbom,) = (name for name in names if name.endswith(".dist-info/sboms/manylinux.cdx.json"))
        components = {each["bom-ref"]: each for each in json.loads(archive.read(sbom))["components"]}
    grafted = {name for name in names if ".libs/" in name and not name.endswith("/")}
    problems += difference(f"grafted files in the SBOM of {wheel.name}", grafted, components)
    return components


def owners(components: dict[str, dict[str, Any]]) -> set[str]:
    """`<kind of package URL>:<library>` of each."""
    return {
        f"{each.get('purl', '?').partition('/')[0]}:{ref.rpartition('/')[2].partition('-')[0]}"
        for ref, each in components.items()
    }


@check("sbom-grafted", heavy=True)
def grafted(context: Context) -> Iterator[str]:
    """The image's libsqlite3, the distribution's liblzma and libgomp, and libbz2 alone."""
    wheels = {
        "cxx": {"libsqlite3": SQLITE, "liblzma": library(context, LZMA), "libgomp": library(context, GOMP)},
        "c": {"libbz2": library(context, BZ2)},
    }
    for kind, libraries in wheels.items():
        problems: list[str] = []
        wheel = linked_wheel(context, kind, list(libraries.values()))
        found = owners(described(context, wheel, problems))
        yield from problems
        for name, path in libraries.items():
            distribution = {f"pkg:{manager}:{name}" for manager in ("deb", "rpm", "apk")}
            if not found & ({f"pkg:generic:{name}"} if path == SQLITE else distribution):
                yield f"the SBOM of {wheel.name} does not identify {path}: it has {', '.join(sorted(found))}"


@check("sbom-private", heavy=True)
def private(context: Context) -> Iterator[str]:
    """Libraries that a user compiled are in the SBOM with their place, as not identified."""
    interpreter = context.expected.interpreter(context.expected.tools_python)
    problems: list[str] = []
    wheel = repaired_wheel(context, interpreter, "graft", "--only-plat").path
    components = described(context, wheel, problems)
    yield from problems
    for ref, each in components.items():
        properties = {row["name"]: row["value"] for row in each["properties"]}
        if "smoke_" in ref and ("purl" in each or "/libsmoke_" not in properties["manylinux:not-identified"]):
            yield f"{ref} is a private library, but the SBOM says {each}"


@check("sbom-components")
def components(context: Context) -> Iterator[str]:
    """Every shared library of ours is known to belong to a component or an interpreter."""
    python = context.expected.interpreter(context.expected.tools_python).python
    lines = (line.partition("  ") for line in FILE_LIST.read_text(encoding="utf-8").splitlines())
    ours = [path for digest, _, path in lines if not digest.startswith("link:") and "/site-packages/" not in path]
    libraries = [path for path in ours if Path(path).name.startswith("lib") and ".so" in Path(path).name]
    if not libraries:
        yield f"{FILE_LIST} has no library"
    done = context.run([python, "-IBc", OWNERS_OF_LIBRARIES], stdin="\n".join(libraries))
    if done.stdout.strip():
        yield f"manylinux-sbom does not know whose these are (`paths` in the manifest): {done.stdout}"
