"""Files that are written in one step, and the lock that one process at a time holds."""

from __future__ import annotations

import ast
import os
import stat
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from catalogue.paths import ROOT
from portable import files

SCRIPTS = ROOT / "scripts"


def test_digests(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"abc")
    sha256 = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"  # FIPS 180-2, B.1
    assert files.digest(path) == sha256
    assert files.digest(path, "md5") == "900150983cd24fb0d6963f7d28e17f72"  # RFC 1321, A.5
    assert files.holds(path, sha256) and not files.holds(path, "0" * 64)
    assert not files.holds(tmp_path / "none", sha256)


def test_a_file_is_replaced_and_keeps_its_mode(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "file"
    before = os.umask(0o077)
    try:
        files.write(path, "ä\r\n")
    finally:
        os.umask(before)
    assert path.read_bytes() == "ä\r\n".encode()
    assert stat.S_IMODE(path.stat().st_mode) == 0o644
    path.chmod(0o750)
    files.write(path, b"new")
    assert (path.read_bytes(), stat.S_IMODE(path.stat().st_mode)) == (b"new", 0o750)
    assert list(path.parent.iterdir()) == [path]


def test_a_write_that_fails_leaves_the_old_file_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "file"
    path.write_text("old")

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        files.write(path, "new")
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_private_file_is_new_and_for_its_owner_only(tmp_path: Path) -> None:
    path = files.write_private(tmp_path / "secret", "text")
    assert (path.read_text(), stat.S_IMODE(path.stat().st_mode)) == ("text", 0o600)
    with pytest.raises(FileExistsError):
        files.write_private(path, "other")


HOLDER = "import sys; from pathlib import Path; from portable import files\n"
HOLDER += "with files.locked(Path(sys.argv[1])): print('locked', flush=True); sys.stdin.read()"


def test_one_process_at_a_time_holds_the_lock(tmp_path: Path) -> None:
    argv = [sys.executable, "-c", HOLDER, str(tmp_path)]
    env = {**os.environ, "PYTHONPATH": str(SCRIPTS)}
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=env) as other:
        assert other.stdin and other.stdout and other.stdout.readline() == "locked\n"
        descriptor = os.open(tmp_path, os.O_RDONLY)
        assert not files.try_lock(descriptor)
        os.close(descriptor)
        waited: list[str] = []
        threading.Timer(0.2, other.stdin.close).start()
        with files.locked(tmp_path, lambda: waited.append("busy")):
            assert waited == ["busy"]
        with files.locked(tmp_path, lambda: waited.append("again")):
            pass
        assert waited == ["busy"]


def test_no_other_module_locks_files() -> None:
    rootfs = ROOT / "docker" / "rootfs"
    modules = [path for top in (SCRIPTS, rootfs) for path in top.rglob("*.py")]
    assert len(modules) > 60
    for path in modules:
        nodes = ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        imported = {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
        assert path.name == "files.py" or "fcntl" not in imported, path
