"""Locks among the builds of one user."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Iterator
from typing import IO

from portable import files, places


@contextlib.contextmanager
def held(name: str) -> Iterator[IO[str] | None]:
    """Holds the lock of this name. The file is its holder's to write to; None when another build holds the lock."""
    directory = places.state() / "builds"
    directory.mkdir(parents=True, exist_ok=True)
    path = directory / hashlib.sha256(name.encode()).hexdigest()[:16]
    with path.open("a+", encoding="utf-8") as file:
        yield file if files.try_lock(file.fileno()) else None
