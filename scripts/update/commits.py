"""Makes one commit for each bump. The repository is consistent at every moment.

The commit is made in a linked work tree of the same repository. The user's own configuration, signing and hooks apply,
and a refusal or a crash there leaves the user's branch, index and files as they were. A finished commit reaches the
branch by one `git merge --ff-only`. The merge and the creation of the work tree run in sessions of their own, so that
they finish even if this process is killed with its whole group: half a work tree makes `git fsck` and `git gc` fail,
and half a merge leaves a dirty tree.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from catalogue import checkout
from portable import errors, files

os.environ.setdefault("GIT_PYTHON_REFRESH", "quiet")  # without git, our own first call reports that
import git

_PREFIX = "manylinux-update-"


@dataclass(frozen=True)
class Change:
    """New texts of some files, by path relative to the repository, and the message of their commit."""

    subject: str
    body: str
    texts: Mapping[str, str]

    @property
    def message(self) -> str:
        return f"{self.subject}\n\n{self.body.strip()}\n" if self.body.strip() else f"{self.subject}\n"


def require_clean(directory: Path) -> git.Repo:
    """The repository around `directory`, without the remains of killed runs; never the one of the caller's hook.

    Raises UserError where it has no commit yet, or a tracked file differs from the last commit."""
    checkout.forget_caller()  # GitPython and the hooks start programs with this process's environment
    try:
        top = Path(checkout.call("rev-parse", "--show-toplevel", at=directory).removesuffix("\n"))
        checkout.commit(top)
    except checkout.GitRefused as error:
        raise errors.UserError(
            f"{error}\n{directory} is not a git repository with a commit; --dry-run works without"
        ) from None
    if changed := checkout.changes(top, untracked=False):
        raise errors.UserError(
            f"the work tree has changes ({', '.join(sorted(changed))}): commit or stash them first, or use --dry-run"
        )
    repo = git.Repo(top)
    common = Path(repo.common_dir)
    with files.locked(common):
        for name in {path.name for top in (common, common / "worktrees") for path in top.glob(f"{_PREFIX}*")}:
            if not _in_use(common / name):
                _remove(common, name)
    return repo


def last_change(directory: Path, paths: Iterable[str], line: str) -> datetime | None:
    """The time of the last commit that changed a matching line of these files; `line` is a regular expression.

    None without such a commit, and without a repository."""
    command = ("log", "-1", "--no-show-signature", "--format=%cI", f"-G{line}", "--", *paths)
    try:
        said = checkout.call(*command, at=directory).strip()
    except checkout.GitRefused:
        return None
    return datetime.fromisoformat(said) if said else None


class Writer:
    """Makes commits on the current branch of a clean repository. Use `writer(directory)`."""

    def __init__(self, repo: git.Repo, side: git.Repo, tree: Path) -> None:
        self._repo, self._side, self._tree = repo, side, tree

    def read(self, path: str) -> str:
        """The text of a file in the last commit."""
        return (self._tree / path).read_text(encoding="utf-8")

    def commit(self, change: Change) -> str:
        """Makes one commit of exactly the files of `change` and returns its id.

        Raises Failure, which quotes git, when a hook, the signing or git itself refuses; then nothing has changed."""
        paths = sorted(change.texts)
        try:
            for path in paths:
                files.write(self._tree / path, change.texts[path])
            self._side.git.add("--", *paths)
            # The message is written as it is, whatever the user's configuration says about messages.
            side = self._side.git(c="i18n.commitEncoding=UTF-8")
            side.commit("--cleanup=whitespace", "-m", change.message, "--", *paths)
            made = str(self._side.head.commit.hexsha)
            _shielded(self._repo, "merge", "--ff-only", "--quiet", made)
        except git.GitCommandError as error:
            self._side.git.reset("--hard", "--quiet", self._repo.head.commit.hexsha)
            words = (error.stderr or error.stdout).strip().removeprefix("stderr: ").strip("'\n ")
            raise errors.Failure(f'git refused "{change.subject}": {words or error}') from None
        return made


@contextlib.contextmanager
def writer(directory: Path) -> Iterator[Writer]:
    """A Writer on the clean repository around `directory`. Its work tree is removed at the end."""
    with require_clean(directory) as repo:  # GitPython keeps git processes running until its objects are closed
        common = Path(repo.common_dir)
        with contextlib.ExitStack() as held:
            with files.locked(common):  # between the two steps nobody takes the directory for a remain
                tree = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=common))
                held.enter_context(files.locked(tree))
            held.callback(_remove, common, tree.name)
            _shielded(repo, "worktree", "add", "--detach", "--quiet", str(tree), "HEAD")
            with git.Repo(tree) as side:
                yield Writer(repo, side, tree)


def _in_use(tree: Path) -> bool:
    """Whether the run that made a work tree directory still runs: it holds a lock, which ends with its process."""
    try:
        descriptor = os.open(tree, os.O_RDONLY)
    except FileNotFoundError:
        return False
    try:
        return not files.try_lock(descriptor)
    finally:
        os.close(descriptor)


def _shielded(repo: git.Repo, *command: str) -> None:
    """Runs a git command that finishes whatever happens to this process."""
    repo.git.execute(["git", *command], start_new_session=True)  # passed on to subprocess.Popen


def _remove(common: Path, name: str) -> None:
    """Removes a work tree of ours and git's record of it, either of which may be incomplete.

    `git worktree remove` refuses incomplete ones and leaves one when it is killed; here the record goes in one step."""
    tree, known = common / name, common / "worktrees" / name
    if known.exists():
        tree.mkdir(exist_ok=True)
        known.rename(tree / "known")
    shutil.rmtree(tree, ignore_errors=True)
    with contextlib.suppress(OSError):  # where there are other work trees
        known.parent.rmdir()
