"""Where things lie that outlive a run and belong to no checkout: state and caches, as the XDG base directories say.

A container started with --user often has no HOME, `/` as HOME or one that it cannot write, and no entry of its user in
/etc/passwd: then a directory of that user alone, below the one for temporary files, serves. Standard library only.
"""

from __future__ import annotations

import functools
import os
import pwd
import stat
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

from portable import errors

NAME = "manylinux"
BELOW_HOME = {"XDG_STATE_HOME": ".local/state", "XDG_CACHE_HOME": ".cache", "XDG_DATA_HOME": ".local/share"}


def home(env: Mapping[str, str] = os.environ) -> Path | None:
    """The user's home directory, where programs look for their settings; None for a user that has none."""
    if env.get("HOME"):
        return Path(env["HOME"])
    try:
        return Path(pwd.getpwuid(os.getuid()).pw_dir)
    except KeyError:
        return None


def state(env: Mapping[str, str] = os.environ) -> Path:
    """Our directory for what is learned about this machine and must last. It need not exist yet.

    Raises UserError where no place can be written."""
    return _place("XDG_STATE_HOME", env) / NAME


def cache(env: Mapping[str, str] = os.environ) -> Path:
    """Our directory for what can be had again; need not exist yet. Raises UserError where no place can be written."""
    return _place("XDG_CACHE_HOME", env) / NAME


def settled(env: Mapping[str, str] = os.environ) -> dict[str, str]:
    """The environment in which other programs find these places, too: theirs would be below `~`, `/` or not writable.

    Raises UserError where no place can be written."""
    found, own = dict(env), home(env)
    for variable, below in BELOW_HOME.items():
        place = _place(variable, env)
        if own is None or place != own / below:
            found[variable] = str(place)
    if own is None or own == Path("/") or not os.access(own, os.X_OK):  # others may hold settings
        found["HOME"] = str(_temporary(own, os.getuid()))
    return found


def writable(path: Path) -> bool:
    """Whether a directory can be written, or made."""
    while not os.path.lexists(path):
        path = path.parent
    return os.access(path, os.W_OK | os.X_OK) and path.is_dir()


def _place(variable: str, env: Mapping[str, str]) -> Path:
    named = Path(env.get(variable, ""))
    if named.is_absolute():  # the specification ignores others
        if not writable(named / NAME):
            raise errors.UserError(f"{variable}={named} cannot be written: name another directory, or unset it")
        return named
    own, below = home(env), BELOW_HOME[variable]
    if own and own.is_absolute() and own != Path("/") and writable(own / below / NAME):
        return own / below
    return _temporary(own, os.getuid()) / below


@functools.cache
def _temporary(own: Path | None, user: int) -> Path:
    """A directory that nobody else can have prepared. Raises UserError where somebody has."""
    advice = f"HOME ({own or 'not set'}) cannot be written: set it, or {' and '.join(BELOW_HOME)}, to a place that can"
    try:
        path = Path(tempfile.gettempdir(), f"{NAME}-{user}")
        path.mkdir(mode=0o700, exist_ok=True)
        found = path.lstat()
    except OSError as error:
        raise errors.UserError(f"{advice} ({error})") from None
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != user or stat.S_IMODE(found.st_mode) & 0o022:
        raise errors.UserError(f"{advice}; {path} in its place is not this user's own directory")
    print(f"note: {advice}; until then {path} serves", file=sys.stderr)
    return path
