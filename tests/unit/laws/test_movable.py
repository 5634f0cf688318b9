"""Directories of a lower layer: on a real overlay file system where root may mount one, and when something fails."""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[3]
LIBRARY = ROOT / "docker/rootfs/opt/_internal/manylinux"
OVERLAY = """
mount -t tmpfs none "$1" && cd "$1" && mkdir lower upper work merged && cp -a "$2" lower/old &&
mount -t overlay overlay -o lowerdir=lower,upperdir=upper,workdir=work merged && shift 2 && cd merged && exec "$@"
"""
RENAMES = "import os; os.rename('old', 'new'); os.rename('new', 'old')"


def in_overlay(directory: Path, old: Path, script: str) -> subprocess.CompletedProcess[str]:
    """Runs a script where `old` is a directory of the lower layer."""
    directory.mkdir()
    command = ["unshare", "--mount", "sh", "-ec", OVERLAY, "sh", str(directory), str(old), "sh", "-ec", script]
    return subprocess.run(command, text=True, capture_output=True, timeout=30, check=False)


@pytest.fixture
def old(tmp_path: Path) -> Path:
    """A directory with a file, a hard link to it, a symbolic link and one that leads nowhere."""
    directory = tmp_path / "old"
    (directory / "below").mkdir(parents=True)
    (directory / "below/file").write_text("content", encoding="utf-8")
    os.utime(directory / "below/file", (1_600_000_000, 1_600_000_000))
    (directory / "same").hardlink_to(directory / "below/file")
    (directory / "link").symlink_to("below")
    (directory / "dangling").symlink_to("/nowhere")
    return directory


@pytest.fixture
def overlay(tmp_path: Path, old: Path) -> Path:
    """Where `in_overlay` may work; that a lower layer's directory cannot be renamed there is made sure of."""
    done = in_overlay(tmp_path / "probe", old, f'{sys.executable} -c "{RENAMES}"')
    if "Invalid cross-device link" not in done.stderr:
        pytest.skip(f"this machine mounts no overlay file system that refuses renames: {done.stderr.strip()[-200:]}")
    return tmp_path / "overlay"


def movable(*arguments: str) -> str:
    """The command line of movable.py."""
    return f"PYTHONPATH={ROOT}/scripts {sys.executable} -B {LIBRARY}/movable.py {' '.join(arguments)}"


def test_a_directory_of_a_lower_layer_can_be_renamed_then(overlay: Path, old: Path) -> None:
    script = f"""{movable("old")}
    {sys.executable} -c "{RENAMES}"
    find . | sort
    stat -c "%h %Y" old/same
    readlink old/link old/dangling"""
    done = in_overlay(overlay, old, script)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == [
        *(". ./old ./old/below ./old/below/file ./old/dangling ./old/link ./old/same".split()),
        *("2 1600000000 below /nowhere".split()),
    ]


def test_a_copy_that_fails_leaves_the_directory(overlay: Path, old: Path) -> None:
    script = f"""mkdir ../bin; printf '#!/bin/sh\\nexit 3\\n' >../bin/cp; chmod +x ../bin/cp
    PATH="$PWD/../bin:$PATH"; {movable("old")} || echo "status $?"
    find . | sort; cat old/same"""
    done = in_overlay(overlay, old, script)
    assert done.stdout.split("\n")[0] == "status 1"
    assert done.stdout.split()[2:] == [
        *(". ./old ./old/below ./old/below/file ./old/dangling ./old/link ./old/same".split()),
        "content",
    ]
    assert done.stderr.startswith("error: old could not be copied")


@pytest.fixture
def library(monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    """The module, in this process."""
    monkeypatch.syspath_prepend(str(LIBRARY))
    import movable as found

    yield found
    for name in ("movable", "clang", "toolbox"):
        sys.modules.pop(name, None)


def test_a_removal_that_fails_brings_everything_back(
    library: ModuleType, old: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = sorted(str(path) for path in old.rglob("*"))
    rename, remove = Path.rename, shutil.rmtree

    def refuse(self: Path, target: Path) -> Path:
        if self == old:
            raise OSError(errno.EXDEV, "Invalid cross-device link")
        return rename(self, target)

    def interrupted(path: Path, ignore_errors: bool = False, onerror: Any = None) -> None:
        if path == old and not ignore_errors:
            (old / "same").unlink()
            raise KeyboardInterrupt
        remove(path, ignore_errors=ignore_errors, onerror=onerror)

    monkeypatch.setattr(Path, "rename", refuse)
    monkeypatch.setattr(shutil, "rmtree", interrupted)
    with pytest.raises(KeyboardInterrupt):
        library.make_movable(old)
    monkeypatch.undo()
    assert sorted(str(path) for path in old.rglob("*")) == before
    assert [path.name for path in old.parent.iterdir()] == ["old"]


def test_another_error_is_said(old: Path) -> None:
    done = subprocess.run(movable(str(old / "absent")), shell=True, text=True, capture_output=True, check=False)
    assert done.returncode == 1
    assert done.stderr.startswith("error: ") and "absent" in done.stderr


@pytest.mark.usefixtures("library")
def test_the_old_clang_comes_back_when_the_new_one_cannot_be_moved(tmp_path: Path) -> None:
    import clang

    (tmp_path / "clang").mkdir()
    (tmp_path / "clang/old").touch()
    with pytest.raises(FileNotFoundError):
        clang.replace(tmp_path / "clang", tmp_path / "absent", tmp_path / "aside")
    assert [path.name for path in (tmp_path / "clang").iterdir()] == ["old"]
