"""Interpreters that new images no longer have, taken out of the layer that brought them into a published image.

docker/downloads.toml names the layer by its digest, which is its sha256: whatever registry sends it. The table is
written by `invoke keep`, and retention keeps the images that it names.
"""

from __future__ import annotations

import gzip
import importlib
import re
import tarfile
from pathlib import Path, PurePosixPath
from typing import Any

from portable import errors

MOST = 1 << 30  # bytes that a layer may unpack to: the largest has a tenth of it
GZIP, ZSTD = b"\x1f\x8b", b"\x28\xb5\x2f\xfd"
RECORDS = "/opt/_internal/manifest.d"  # what the manifest of the image was made of that had the layer
CHECK = "import bz2, ctypes, hashlib, lzma, sqlite3, ssl, zlib; ssl.create_default_context()"


def unpack(layer: Path, directory: Path, tag: str) -> tuple[Path, list[Path]]:
    """Unpacks a layer with one interpreter below a directory; returns its home and its launchers there.

    Raises Failure for anything in it that does not belong to that interpreter."""
    ours = _ours(tag)
    home = ""
    try:
        with _opened(layer) as stream, tarfile.open(fileobj=stream, mode="r|") as tar:
            left = MOST
            for member in tar:
                name = PurePosixPath("/", member.name)
                if member.isdir() and not ours.fullmatch(str(name)):
                    continue  # /opt, /usr/local: they are there
                if name.parent == PurePosixPath(RECORDS):
                    continue
                left -= member.size
                if not ours.fullmatch(str(name)) or ".." in name.parts or name.name.startswith(".wh.") or left < 0:
                    raise errors.Failure(f"its layer holds {member.name}, which is not a part of {tag}")
                if member.islnk() and not ours.fullmatch(str(PurePosixPath("/", member.linkname))):
                    raise errors.Failure(f"its layer links {member.name} to {member.linkname}, not a part of {tag}")
                if str(name) == f"/opt/python/{tag}":
                    home = member.linkname
                    continue  # the last thing that an installation makes
                if any(parent.is_symlink() for parent in (directory / str(name)[1:]).parents):
                    raise errors.Failure(f"its layer writes {member.name} through a link")
                member.uid, member.gid, member.uname, member.gname = 0, 0, "", ""
                _extract(tar, member, directory)
    except (tarfile.TarError, EOFError, ValueError, OSError) as error:
        if isinstance(error, OSError) and error.errno:
            raise
        raise errors.Failure(f"its layer cannot be read: {error}") from None
    if not re.fullmatch(r"/opt/_internal/cpython-[\w.+-]+", home) or not (directory / home[1:]).is_dir():
        raise errors.Failure(f"its layer does not hold {tag}")
    return directory / home[1:], sorted((directory / "usr/local/bin").glob("*"))


def _ours(tag: str) -> re.Pattern[str]:
    """The paths that an interpreter may have, apart from directories that hold others as well."""
    found = re.fullmatch(r"cp(3)(\d+)-cp3\d+(t?)", tag)
    if not found:
        raise errors.Failure(f"{tag} is not the tag of a CPython")
    minor = re.escape(f"{found[1]}.{found[2]}")
    nogil = "-nogil" if found[3] else ""
    return re.compile(
        rf"/opt/_internal/cpython-{minor}\.[\w.]+{nogil}(/.*)?|/opt/python/{tag}|/usr/local/bin/c?python{minor}{found[3]}",
        re.DOTALL,
    )


def _opened(layer: Path) -> Any:
    with layer.open("rb") as stream:
        magic = stream.read(4)
    if magic.startswith(GZIP):
        return gzip.open(layer)
    if magic == ZSTD:
        try:
            return importlib.import_module("compression.zstd").open(layer)
        except ImportError:
            raise errors.Failure("its layer is compressed by zstd, which only Python 3.14 and later read") from None
    return layer.open("rb")


def _extract(tar: tarfile.TarFile, member: tarfile.TarInfo, directory: Path) -> None:
    # Every entry is checked already; the first releases of 3.11 have no filters.
    rules: Any = {"filter": "fully_trusted"} if hasattr(tarfile, "fully_trusted_filter") else {}
    tar.extract(member, directory, **rules)
