"""The trees of a finished image: what each stage of its build had left, found and taken out of it again.

A build takes those whose inputs are equal (docs/reuse.md). The manifest says which files are a tree's, files.sha256
what is in them. All times of a tree are one date. So a tree that was taken out has the bytes, modes and dates of the
one that its stage made, and becomes the same layer.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from describe import write

STATIC = "opt/_internal/static-libs-for-embedding-only.tar.xz"
TOGETHER = {"tcl": "tcltk", "tk": "tcltk", "pipx": "base-tools", "certifi": "base-tools"}  # rows that share a tree


@dataclass
class Tree:
    """One tree in an image: the line of files.sha256 of each file, and its part of the static libraries."""

    root: Path
    files: dict[Path, str] = field(default_factory=dict)
    directories: set[Path] = field(default_factory=set)  # its own, also the empty ones
    static: bytes | None = b""  # None: the archive is damaged

    @property
    def date(self) -> int:
        """The time that all its files have."""
        return int(next(iter(self.files)).lstat().st_mtime)

    def damage(self) -> str:
        """What is not as it was built; "" if the tree is whole."""
        if self.static is None:
            return f"/{STATIC} is not whole"
        for path, line in self.files.items():
            if not (path.is_symlink() or path.is_file()):
                return f"{self._name(path)} is missing"
            if write.line_of(self.root, path) != line:
                return f"{self._name(path)} is not what files.sha256 says"
            if path.lstat().st_mtime != self.date:
                return f"{self._name(path)} has another date than the rest"
        return ""

    def digest(self) -> str:
        """Of names, contents, modes, owners and the date."""
        told = hashlib.sha256(self.static or b"")
        for path in sorted([*self.files, *self.directories]):
            status = path.lstat()
            told.update(f"{self._name(path)} {status.st_mode:o} {status.st_uid} {status.st_gid}\n".encode())
            told.update(self.files.get(path, "").encode())
        told.update(str(self.date).encode())
        return told.hexdigest()

    def copy(self, tag: str, target: Path) -> None:
        """Writes the tree to `target`/rootfs, and the part of its static library to `target`/static."""
        for name in ("rootfs", "devroot", "static"):
            (target / name).mkdir(parents=True)
        for path in sorted(self.directories):
            place = target / "rootfs" / path.relative_to(self.root)
            place.mkdir(parents=True, exist_ok=True)
            _copy_status(path, place)
        links: dict[int, Path] = {}
        for path in self.files:
            place = target / "rootfs" / path.relative_to(self.root)
            place.parent.mkdir(parents=True, exist_ok=True)
            first = links.setdefault(path.lstat().st_ino, place)
            if first is place or path.is_symlink():
                shutil.copyfile(path, place, follow_symlinks=False)
                _copy_status(path, place)
            else:
                place.hardlink_to(first)
        if self.static:
            (target / "static" / f"{tag}.tar.xz").write_bytes(self.static)
        for path in [target, *target.rglob("*")]:
            os.utime(path, (self.date, self.date), follow_symlinks=False)

    def _name(self, path: Path) -> str:
        return f"/{path.relative_to(self.root)}"


def _copy_status(path: Path, place: Path) -> None:
    """Owner, mode and extended attributes; a change of the owner would reset the mode."""
    status = path.lstat()
    os.chown(place, status.st_uid, status.st_gid, follow_symlinks=False)
    shutil.copystat(path, place, follow_symlinks=False)


def trees(root: Path) -> dict[str, Tree]:
    """The trees of an image by name. Raises OSError or KeyError for an image that does not say which they are."""
    manifest = json.loads((root / write.MANIFEST).read_text(encoding="utf-8"))
    rows = [row for kind in write.KINDS for row in manifest[f"{kind}s"]]
    names = {row["name"]: TOGETHER.get(row["name"], row["name"]) for row in rows}
    if any(name.startswith("shared-") for name in names):
        names["openssl"] = "shared-openssl"  # which lies where the image's own OpenSSL would
    owners = {path: names[row["name"]] for row in rows for path in row["paths"]}
    owners |= dict.fromkeys(manifest["image"]["paths"], "")
    left = f"/{write.INTERNAL}/manifest.d"
    owners |= {f"{left}/{row}.{kind}": tree for row, tree in names.items() for kind in ("json", "spdx")}
    found = {name: Tree(root) for name in names.values()}
    lines = (root / write.FILE_LIST).read_text(encoding="utf-8").splitlines(keepends=True)
    for line in lines:
        path = line.rstrip("\n").partition("  ")[2]
        if tree := found.get(_owner(path, owners)):
            tree.files[root / path.lstrip("/")] = line
    for path, name in owners.items():
        if name and path.endswith("/"):
            top = root / path.strip("/")
            found[name].directories |= {Path(each) for each, _, _ in os.walk(top)}
    cpythons = [row["name"] for row in manifest["interpreters"] if row["name"].startswith("cp")]
    for name, part in _static(root, lines, cpythons).items():
        found[name].static = part
    return {name: tree for name, tree in found.items() if tree.files}


def _owner(path: str, owners: Mapping[str, str]) -> str:
    above = (f"{parent}/" for parent in PurePosixPath(path).parents)
    return next((owners[each] for each in (path, *above) if each in owners), "")


def _static(root: Path, lines: list[str], cpythons: list[str]) -> dict[str, bytes | None]:
    """The parts of the archive of static libraries, by interpreter; None for each if the archive is not whole.

    They are streams of xz in the order of their file names, and one of zeros ends them (join-static-libraries.sh)."""
    names = sorted(f"{name}.tar.xz" for name in cpythons)
    archive, parts = root / STATIC, []
    if archive.is_file() and write.line_of(root, archive) in lines:
        parts = re.split(rb"(?=\xfd7zXZ\0)", archive.read_bytes())[1:-1]
    if len(parts) != len(names):
        return dict.fromkeys(cpythons)
    return {name.removesuffix(".tar.xz"): part for name, part in zip(names, parts, strict=True)}


def show(root: Path) -> None:
    """Prints JSON: `inputs` as the manifest has them, `trees` with the digest of each that is whole, and what is wrong
    with each that is `damaged`."""
    manifest = json.loads((root / write.MANIFEST).read_text(encoding="utf-8"))
    found = trees(root)
    damaged = {name: damage for name, tree in found.items() if (damage := tree.damage())}
    whole = {name: tree.digest() for name, tree in found.items() if name not in damaged}
    json.dump({"inputs": manifest["build"].get("inputs", {}), "trees": whole, "damaged": damaged}, sys.stdout)


def take(root: Path, target: Path) -> None:
    """Copies every tree that is whole to `target`/TREE."""
    os.umask(0o022)
    for name, tree in trees(root).items():
        if damage := tree.damage():
            print(f"not taken: {name}: {damage}", file=sys.stderr)
        else:
            tree.copy(name, target / name)
