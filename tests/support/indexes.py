"""A Python index on loopback (the Simple API as HTML), with wheels that are made for a test."""

from __future__ import annotations

import hashlib
import zipfile
from collections.abc import Iterable
from pathlib import Path

from tests.support import servers


def wheel(
    directory: Path, name: str, version: str, requires: Iterable[str] = (), extra: str = "", command: str = ""
) -> Path:
    """The smallest wheel: a module of that name that holds its version; `command`: what bin/<command> prints it."""
    path = directory / f"{name}-{version}-py3-none-any.whl"
    information = f"{name}-{version}.dist-info"
    metadata = [f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}"]
    metadata += [f"Requires-Dist: {requirement}" for requirement in requires]
    metadata += [f"Provides-Extra: {extra}"] if extra else []
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(f"{name}.py", f"version = {version!r}\n\n\ndef main():\n    print(version)\n")
        archive.writestr(f"{information}/METADATA", "\n".join([*metadata, ""]))
        archive.writestr(f"{information}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        if command:
            archive.writestr(f"{information}/entry_points.txt", f"[console_scripts]\n{command} = {name}:main\n")
        archive.writestr(f"{information}/RECORD", "")
    return path


def offer(server: servers.Server, wheels: Iterable[Path]) -> str:
    """Serves the wheels; returns the address of the index."""
    pages: dict[str, list[str]] = {}
    for path in wheels:
        content = path.read_bytes()
        link = f'<a href="../../files/{path.name}#sha256={hashlib.sha256(content).hexdigest()}">{path.name}</a>'
        pages.setdefault(path.name.partition("-")[0], []).append(link)
        server.routes[f"/files/{path.name}"] = servers.good(content)
    for name, links in pages.items():
        page = f"<!DOCTYPE html><html><body>{''.join(links)}</body></html>".encode()
        server.routes[f"/simple/{name}/"] = servers.good(page, content_type="text/html")
    return server.url("/simple")


def locked(path: Path, markers: str = "", extras: str = "") -> str:
    """The lines of a lock for this wheel."""
    name, version = path.name.split("-")[:2]
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    return f"{name}{extras}=={version}{f' ; {markers}' if markers else ''} \\\n    --hash=sha256:{digest}\n"
