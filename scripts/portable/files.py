"""Files of this machine: their digests, files written in one step, and locks that one process at a time holds.

Standard library only; images carry this module.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import stat
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO


def digest(path: Path, algorithm: str = "sha256") -> str:
    """The sha256 or another digest of a file, in hexadecimal."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, algorithm).hexdigest()


def holds(path: Path, sha256: str) -> bool:
    """Whether a file exists and has this digest."""
    return path.is_file() and digest(path) == sha256


def write(path: Path, content: str | bytes) -> None:
    """Writes a file in one step: a process that is killed leaves the old content or the new one.

    Makes the directory. The mode stays as it was; that of a new file is 0644, whatever the umask is."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path, path.stat().st_mode & 0o777 if path.exists() else 0o644) as stream:
        stream.write(content if isinstance(content, bytes) else content.encode())


@contextlib.contextmanager
def replacing(path: Path, mode: int) -> Iterator[IO[bytes]]:
    """A file beside `path` that takes its place at the end, with this mode; after a failure it is gone."""
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(descriptor, "w+b") as stream:
            yield stream
            stream.flush()
            os.fsync(descriptor)
        Path(name).chmod(mode)
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def write_private(path: Path, content: str | bytes) -> Path:
    """Writes a new file that only this user can read; returns its path. Raises OSError if it exists."""
    path.touch(mode=0o600, exist_ok=False)
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def shared_mode(path: Path) -> int:
    """The permission bits of a file or directory, with its owner's rights to read and to run for everybody."""
    mode = stat.S_IMODE(path.stat().st_mode)
    return mode | (mode & 0o500) >> 3 | (mode & 0o500) >> 6


def share(tree: Path) -> None:
    """Lets everybody read and run what its owner may: a file, or a directory with all that is in it."""
    for path in (tree, *tree.rglob("*")):
        path.chmod(shared_mode(path))


def try_lock(descriptor: int) -> bool:
    """Locks an open file or directory until it is closed; False where another process has locked it."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


@contextlib.contextmanager
def locked(path: Path, busy: Callable[[], None] | None = None) -> Iterator[int]:
    """Holds the lock on a file or directory that exists; yields the descriptor that is locked.

    Where another process holds the lock, calls `busy` and waits. The lock leaves no file behind."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        if not try_lock(descriptor):
            if busy:
                busy()
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield descriptor
    finally:
        os.close(descriptor)
