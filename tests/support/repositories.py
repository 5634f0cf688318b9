"""Real git repositories for tests, with a fixed author and no configuration of this machine."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from catalogue import checkout
from publish.cibuildwheel import PINS_FILE

SETTINGS = ("-c", "user.name=Tester", "-c", "user.email=tester@example.org", "-c", "commit.gpgsign=false")


def git(directory: Path, *command: str, date: str = "") -> str:
    """Runs git in a directory; returns its output. `date` is that of the commit it makes."""
    dates = {"GIT_AUTHOR_DATE": date, "GIT_COMMITTER_DATE": date} if date else {}
    return checkout.call(*SETTINGS, *command, at=directory, env=dates).strip()


def repository(path: Path, **files: str) -> Path:
    """A new repository with one commit of these files."""
    path.mkdir(parents=True)
    git(path, "init", "--quiet", "--initial-branch=main")
    for name, text in files.items():
        (path / name).write_text(text, encoding="utf-8")
    git(path, "add", "--all")
    git(path, "commit", "--quiet", "--allow-empty", "--message", "Start")
    return path


def cibuildwheel(path: Path, releases: Mapping[str, str | None]) -> str:
    """A repository like cibuildwheel's, with one commit and tag a release, and its URL.

    `releases`: the image that each release pins; None: without the list of pins."""
    repository(path)
    file = path / PINS_FILE
    file.parent.mkdir(parents=True)
    for release, image in releases.items():
        file.unlink(missing_ok=True)
        (path / "version").write_text(release, encoding="utf-8")
        if image is not None:
            file.write_text(f"[x86_64]\nmanylinux_2_28 = {image}\n", encoding="utf-8")
        git(path, "add", "--all")
        git(path, "commit", "--quiet", "--message", release)
        git(path, "tag", release)
    return f"file://{path}"
