"""The command prefetch: its options, the lock it leaves, and what it keeps of an older one."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.support.debian_mirrors import DebianServer, Package, needs_gpgv, package, wanted
from tests.support.locks import locked

from portable import errors, files
from sources import command
from sources.lock import load_lock, save_lock


def call(monkeypatch: pytest.MonkeyPatch, *words: str) -> int:
    monkeypatch.setattr("sys.argv", ["prefetch", *words])
    return errors.run(command.main)


def here(mirror: DebianServer, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, list[str]]:
    """This machine's archive is `mirror`: a directory for sources, and the options that fill it from there."""
    monkeypatch.setenv("MANYLINUX_DEBIAN_MIRROR", mirror.server.url("/debian"))
    monkeypatch.setenv("MANYLINUX_DEBIAN_KEYRING", str(mirror.keyring()))
    monkeypatch.setenv("XDG_CACHE_HOME", str(mirror.directory))
    dest = mirror.directory / "sources"
    return dest, ["--from", "debian", "--dest", str(dest), "--platform", "x86_64", "--no-wheels"]


def test_wrong_use(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    for words, expected in (
        (["--suite", "sid"], "--suite goes only with --from debian"),
        (["--platform", "x86-64"], "did you mean x86_64"),
        (["--only", "gti"], "did you mean git"),
        (["--ca-bundle", "/none.pem"], "/none.pem cannot be used"),
    ):
        assert call(monkeypatch, *words) == 2
        assert expected in capsys.readouterr().err


@needs_gpgv
def test_the_command(mirror: DebianServer, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    items: list[Package] = [package("git", "1:2.55.0-1"), package("python3.11", "3.11.2-6+deb12u9", suffix="tar.gz")]
    mirror.publish("sid", items)
    dest, words = here(mirror, monkeypatch)
    assert call(monkeypatch, *words) == 0
    answer = capsys.readouterr()
    assert answer.out == "" and "cibuildwheel cannot use" in answer.err
    lock = load_lock(dest / "lock.json")
    assert set(lock["pins"]) == {"git", "cpython-3.11"}
    assert all(files.holds(dest / row["file"], row["sha256"]) for row in lock["pins"].values())
    assert "pp311-pypy311_pp73" in lock["missing"]
    mirror.publish("forky", [package("git", "1:2.56.0-1")])
    assert call(monkeypatch, *words, "--only", "git") == 0
    renewed = load_lock(dest / "lock.json")
    assert renewed["pins"]["git"]["version"] == "2.56.0"
    rest = {name: row for name, row in lock["pins"].items() if name != "git"}
    assert renewed["pins"] == {**rest, "git": renewed["pins"]["git"]}, "what was not asked for stays"
    assert renewed["missing"] == lock["missing"]
    (dest / "lock.json").write_text("nonsense")
    assert call(monkeypatch, *words, "--only", "git") == 2
    assert (dest / "lock.json").read_text() == "nonsense", "nobody knows what it said about the others"
    assert call(monkeypatch, *words, "--suite", "woody") == 1
    assert "woody: no mirror has it" in capsys.readouterr().err


@needs_gpgv
def test_what_moves_together_is_taken_together(mirror: DebianServer, monkeypatch: pytest.MonkeyPatch) -> None:
    versions = {"tcl8.6": "8.6.18+dfsg-1", "tk8.6": "8.6.18-1"}
    mirror.publish("sid", [package(name, version, suffix="tar.gz") for name, version in versions.items()])
    dest, words = here(mirror, monkeypatch)
    assert call(monkeypatch, *words, "--only", "tcl") == 0
    assert set(load_lock(dest / "lock.json")["pins"]) == {"tcl", "tk"}


def test_upstream_replaces_an_older_lock(mirror: DebianServer, monkeypatch: pytest.MonkeyPatch) -> None:
    item = wanted(mirror, "git", b"\x1f\x8bgit")
    monkeypatch.setattr(command, "wanted_files", lambda *_: [item])
    dest = mirror.directory / "sources"
    lock = locked("git", "zstd")
    save_lock(lock, dest / "lock.json")
    words = ["--dest", str(dest), "--no-wheels", "--platform", "s390x"]
    assert call(monkeypatch, *words, "--only", "git") == 0
    assert load_lock(dest / "lock.json") == {**lock, "pins": {"zstd": lock["pins"]["zstd"]}}
    assert call(monkeypatch, *words) == 0
    assert [path.name for path in dest.iterdir()] == ["git"]
