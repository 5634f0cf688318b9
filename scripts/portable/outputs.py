"""What is going to be written at the end is looked at first: nobody wants to hear after an hour that it cannot be."""

from __future__ import annotations

import os
from pathlib import Path

from portable import errors


def file(option: str, path: Path | None) -> None:
    """Raises UserError, naming the option, when a file cannot be written there; None: nothing is asked for."""
    if path is None:
        return
    if path.is_dir():
        raise errors.UserError(f"{option} {path}: that is a directory: name a file in it")
    if not path.parent.is_dir():
        raise errors.UserError(f"{option} {path}: there is no directory {path.parent}: make it first")
    if not os.access(path if path.exists() else path.parent, os.W_OK):
        raise errors.UserError(f"{option} {path}: it cannot be written: name another file, or change its permissions")


def directory(option: str, path: Path | None) -> None:
    """Raises UserError, naming the option, when a directory can be neither written nor made; None: none is needed."""
    if path is None:
        return
    there = path.absolute()
    while not os.path.lexists(there) and there != there.parent:
        there = there.parent
    if not there.is_dir():
        raise errors.UserError(f"{option} {path}: {there} is no directory: name another one")
    if not os.access(there, os.W_OK | os.X_OK):
        raise errors.UserError(f"{option} {path}: {there} cannot be written: name another, or change its permissions")
