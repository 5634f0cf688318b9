"""Checks before a long run that its output can be written at the end."""

from __future__ import annotations

import os
from pathlib import Path

from portable import errors


def file(option: str, path: Path | None) -> None:
    """Raises UserError, naming the option, when the file cannot be written. Does nothing without a path."""
    if path is None:
        return
    if path.is_dir():
        raise errors.UserError(f"{option} {path}: that is a directory: name a file in it")
    if not path.parent.is_dir():
        raise errors.UserError(f"{option} {path}: the directory {path.parent} does not exist: make it first")
    if not os.access(path if path.exists() else path.parent, os.W_OK):
        raise errors.UserError(f"{option} {path}: it cannot be written: name another file, or change its permissions")


def directory(option: str, path: Path | None) -> None:
    """Raises UserError, naming the option, when a directory can be neither written nor made; does nothing for None."""
    if path is None:
        return
    there = path.absolute()
    while not os.path.lexists(there) and there != there.parent:
        there = there.parent
    if not there.is_dir():
        raise errors.UserError(f"{option} {path}: {there} is not a directory: name another one")
    if not os.access(there, os.W_OK | os.X_OK):
        raise errors.UserError(f"{option} {path}: {there} cannot be written: name another, or change its permissions")
