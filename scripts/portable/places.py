"""The directories for state and caches that outlive a run and belong to no checkout, by the XDG specification.

In a container started with --user, HOME is often unset, `/` or not writable, and the user is not in /etc/passwd. A
private directory below the one for temporary files is used then. Standard library only; images carry this module.
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
    """The user's home directory, where programs look for their settings; None for a user without one."""
    if env.get("HOME"):
        return Path(env["HOME"])
    try:
        return Path(pwd.getpwuid(os.getuid()).pw_dir)
    except KeyError:
        return None


def state(env: Mapping[str, str] = os.environ) -> Path:
    """Our directory for what must last: what is known about this machine and its images. It may not exist yet.

    Raises UserError where no directory can be written."""
    return _place("XDG_STATE_HOME", env) / NAME


def cache(env: Mapping[str, str] = os.environ) -> Path:
    """Our directory for what can be made again; may not exist yet. Raises UserError where none can be written."""
    return _place("XDG_CACHE_HOME", env) / NAME


def settled(env: Mapping[str, str] = os.environ) -> dict[str, str]:
    """The environment in which other programs use directories that can be written, too.

    Raises UserError where no directory can be written."""
    found, own = dict(env), home(env)
    for variable, below in BELOW_HOME.items():
        place = _place(variable, env)
        if own is None or place != own / below:
            found[variable] = str(place)
    if own is None or own == Path("/") or not os.access(own, os.X_OK):  # others may hold settings
        found["HOME"] = str(_temporary(own, os.getuid()))
    return found


def writable(path: Path) -> bool:
    """Whether a directory can be written, or made if it does not exist."""
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
    """A private directory for temporary files. Raises UserError if somebody else may have prepared it."""
    advice = f"HOME ({own or 'not set'}) cannot be written: set it, or {' and '.join(BELOW_HOME)}, to a place that can"
    try:
        path = Path(tempfile.gettempdir(), f"{NAME}-{user}")
        path.mkdir(mode=0o700, exist_ok=True)
        found = path.lstat()
    except OSError as error:
        raise errors.UserError(f"{advice} ({error})") from None
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != user or stat.S_IMODE(found.st_mode) & 0o022:
        raise errors.UserError(f"{advice}; {path} in its place is not this user's own directory")
    print(f"note: {advice}; until then {path} is used", file=sys.stderr)
    return path
