"""The file system as it was before the suite ran anything."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

# Not part of an image: the kernel's, the engine's, and what scripts/smoke mounts.
OUTSIDE = frozenset(
    {"/proc", "/sys", "/dev", "/smoke", "/doctor", "/wheelhouse", "/smoke-expect.json", "/.dockerenv", "/run"}
)


@dataclass(frozen=True)
class FoundPath:
    """One path: its permission bits with type, owner and, for a symbolic link, what it points to."""

    path: str
    mode: int
    uid: int
    gid: int
    size: int
    target: str

    @property
    def is_link(self) -> bool:
        """Whether it is a symbolic link."""
        return stat.S_ISLNK(self.mode)

    @property
    def is_file(self) -> bool:
        """Whether it is a regular file."""
        return stat.S_ISREG(self.mode)

    @property
    def is_directory(self) -> bool:
        """Whether it is a directory, and not a link to one."""
        return stat.S_ISDIR(self.mode)


@dataclass(frozen=True)
class Snapshot:
    """Every path of the image, in no particular order."""

    entries: dict[str, FoundPath]

    @classmethod
    def take(cls, root: str = "/", outside: frozenset[str] = OUTSIDE) -> Snapshot:
        """Walks the file system without following links; unreadable directories are left out."""
        return cls({entry.path: entry for entry in _walk(root.rstrip("/"), outside)})

    def below(self, prefix: str) -> Iterator[FoundPath]:
        """Everything under a directory, itself not included."""
        start = prefix.rstrip("/") + "/"
        return (entry for path, entry in self.entries.items() if path.startswith(start))

    def names(self, directory: str) -> set[str]:
        """What `ls -A` shows."""
        start = directory.rstrip("/") + "/"
        return {e.path[len(start) :] for e in self.below(directory) if "/" not in e.path[len(start) :]}


def _walk(root: str, outside: frozenset[str]) -> Iterator[FoundPath]:
    pending = [root or "/"]
    while pending:
        try:
            with os.scandir(pending.pop()) as listing:
                children = list(listing)
        except OSError:
            continue
        for child in children:
            if child.path in outside:
                continue
            status = child.stat(follow_symlinks=False)
            target = os.readlink(child.path) if child.is_symlink() else ""
            yield FoundPath(child.path, status.st_mode, status.st_uid, status.st_gid, status.st_size, target)
            if child.is_dir(follow_symlinks=False):
                pending.append(child.path)


def is_dangling(entry: FoundPath, root: Path = Path("/")) -> bool:
    """Whether a symbolic link leads nowhere."""
    return entry.is_link and not os.path.exists(root / entry.path.lstrip("/"))
