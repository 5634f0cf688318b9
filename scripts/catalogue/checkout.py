"""What git says of a checkout: its commit, which files differ from it, and the tag that it is published as.

Every call of git goes through `call`, also in the tests. It works on the repository it is given, whatever repository,
index or configuration the caller's environment names (as in a hook). Only plumbing commands are asked, whose output no
configuration changes, and each answer is checked against its form. Standard library only: build.sh needs it.
"""

from __future__ import annotations

import datetime
import os
import re
import signal
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path

from catalogue.paths import ROOT
from catalogue.tags import DatedTag
from portable import errors

DIRTY = "-dirty"  # appended to a commit that files of the checkout differ from
CLOCKS_DIFFER = 24 * 3600  # seconds by which a commit may be ahead of this machine's clock

_COMMIT = re.compile(r"[0-9a-f]{40}(?:[0-9a-f]{24})?")
# What git may know of its caller: how to reach and trust a server, where the user's configuration is, and who commits.
# Everything else that begins with GIT_ goes. What `git rev-parse --local-env-vars` lists is never among these.
_KEPT = re.compile(
    r"GIT_(?:ASKPASS|TERMINAL_PROMPT|SSH|SSH_COMMAND|SSH_VARIANT|SSL_\w+|PROXY_\w+|HTTP_\w+|ALLOW_PROTOCOL|EXEC_PATH"
    r"|CONFIG_GLOBAL|CONFIG_SYSTEM|CONFIG_NOSYSTEM|(?:AUTHOR|COMMITTER)_(?:NAME|EMAIL))"
)


class GitRefused(errors.Failure):
    """git ended with an error; the message quotes it."""


def environment(base: Mapping[str, str] | None = None) -> dict[str, str]:
    """An environment (this process's by default) without anything that ties git to a repository of the caller."""
    base = os.environ if base is None else base
    return {name: value for name, value in base.items() if not name.startswith("GIT_") or _KEPT.fullmatch(name)}


def forget_caller() -> None:
    """Removes the same variables from this process's own environment, for libraries that start git themselves."""
    for name in set(os.environ) - set(environment()):
        del os.environ[name]


def call(
    *arguments: str, at: Path | None = None, env: Mapping[str, str] | None = None, seconds: float | None = None
) -> str:
    """What a git command prints, run in `at` (default: the current directory) with `env` on top of the environment.

    Raises GitRefused when git fails or is not installed, and TimeoutError when it takes more than `seconds`; whatever
    git has started is killed then, too."""
    # In English, whatever the user's language: callers look for words in messages.
    clean = environment() | {"LC_ALL": "C"} | dict(env or {})
    verb = _verb(arguments)
    try:
        process = subprocess.Popen(
            ["git", *arguments],
            cwd=at,
            env=clean,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            encoding="utf-8",
            errors="surrogateescape",
            start_new_session=seconds is not None,
        )
    except OSError as error:
        missing = at is not None and not at.is_dir()
        why = f"there is no directory {at}" if missing else f"git cannot be run: {error.strerror}; install it"
        raise GitRefused(f"git {verb}: {why}") from None
    with process:
        try:
            out, said = process.communicate(timeout=seconds)
        except BaseException as error:
            if seconds is not None:
                os.killpg(process.pid, signal.SIGKILL)
            process.kill()
            if isinstance(error, subprocess.TimeoutExpired):
                raise TimeoutError(f"git {verb}: no answer within {seconds:g} seconds") from None
            raise
    if process.returncode:
        raise GitRefused(f"git {verb}: {said.strip() or f'ended with status {process.returncode} and said nothing'}")
    return out


def commit(root: Path = ROOT) -> str:
    """The commit of HEAD, in full. Raises GitRefused without one, or where `root` is not the top of a work tree."""
    return _checked(_COMMIT, _of(root, "rev-parse", "--verify", "HEAD^{commit}").strip(), "rev-parse")


def changes(root: Path = ROOT, untracked: bool = True) -> tuple[str, ...]:
    """The files that differ from HEAD, by default with untracked ones. Only the repository's own .gitignore counts.

    A user's global list does not: files that it ignores could still get into an image."""
    settings = ("-c", "core.excludesFile=", "-c", "core.fsmonitor=false", "-c", "status.renames=false")
    which = "normal" if untracked else "no"
    said = _of(root, *settings, "status", "--porcelain=v1", "-z", f"--untracked-files={which}")
    lines = [line for line in said.split("\0") if line]
    return tuple(_checked(_STATUS, line, "status")[3:] for line in lines)


def revision(root: Path = ROOT) -> str:
    """What an image built from the checkout is labelled with: its commit, `-dirty` behind it where files differ."""
    return commit(root) + (DIRTY if changes(root) else "")


def date(root: Path = ROOT) -> int:
    """When the commit of HEAD was made, in seconds since 1970."""
    said = _of(root, "--no-replace-objects", "rev-list", "--timestamp", "--max-count=1", "HEAD").strip()
    return int(_checked(_DATE, said, "rev-list").partition(" ")[0])


def tags(root: Path = ROOT) -> list[str]:
    """The names of the git tags that are here."""
    return _of(root, "for-each-ref", "--format=%(refname:strip=2)", "refs/tags").splitlines()


def version_tag(root: Path = ROOT, now: float | None = None) -> str:
    """`YYYY.MM.DD-N` of HEAD: its UTC day, and its number among the first-parent commits of that day, from 1.

    A commit dated before its parent counts as of the parent's day, so that no tag comes twice and tags grow along the
    branch. So does a commit dated in the future (more than a day after `now`, in seconds since 1970) that has children.
    Raises Failure where HEAD itself is dated in the future, and in a shallow clone, where N cannot be known."""
    if _of(root, "rev-parse", "--is-shallow-repository").strip() != "false":
        raise errors.Failure("this clone is shallow, its commits cannot be counted: run `git fetch --unshallow` first")
    limit = (time.time() if now is None else now) + CLOCKS_DIFFER
    said = _of(root, "--no-replace-objects", "rev-list", "--first-parent", "--timestamp", "HEAD").splitlines()
    dates = [int(_checked(_DATE, line, "rev-list").partition(" ")[0]) for line in said]
    if dates[0] > limit:
        raise errors.Failure(
            f"HEAD is dated {_day(dates[0])}, in the future: set the clock right, then `git commit --amend --no-edit`"
        )
    latest, number = datetime.date.min, 0
    for date in reversed(dates):
        day = max(latest, _day(date)) if date <= limit else latest
        latest, number = day, number + 1 if day == latest else 1
    return str(DatedTag(latest, number))


_DATE = re.compile(r"[0-9]{1,20} [0-9a-f]{40,64}")
_STATUS = re.compile(r"[ MTADRCU?!]{2} .+", re.DOTALL)


def _of(root: Path, *arguments: str) -> str:
    """git's answer about the work tree whose top is `root`, never about a work tree around it."""
    try:
        # A killed `git status` would otherwise leave the index locked, and git would refuse everything from then on.
        ceiling = {"GIT_CEILING_DIRECTORIES": str(root.resolve().parent)}
        return call("--no-optional-locks", *arguments, at=root, env=ceiling)
    except GitRefused as error:
        if "not a git repository" not in str(error):
            raise
        hint = "clone the repository with git: images are labelled with the commit that they are built from"
        raise GitRefused(f"{root}: {error}\n{hint}") from None


def _day(date: int) -> datetime.date:
    try:
        return datetime.datetime.fromtimestamp(date, datetime.UTC).date()
    except (ValueError, OverflowError, OSError):
        return datetime.date.max


def _checked(form: re.Pattern[str], text: str, verb: str) -> str:
    if not form.fullmatch(text):
        raise errors.Failure(f"git {verb} says {text!r}, which is not what was asked for")
    return text


def _verb(arguments: tuple[str, ...]) -> str:
    """The command among git's arguments, for messages."""
    words = list(arguments)
    while words and words[0].startswith("-"):
        del words[: 2 if words[0] in ("-c", "-C") else 1]
    return words[0] if words else ""
