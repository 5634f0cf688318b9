"""The rows of docker/dependencies.toml as they are: every pin moves when its upstream has a newer release."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.benchmarks.update import Upstreams, newer
from tests.support import debian_mirrors, servers
from tests.support.repositories import git

from catalogue import pins
from debian import archive
from host.apt import MIRROR_VARIABLE
from network import bundles
from update import native, sightings
from update.report import State


@pytest.fixture
def upstreams(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Upstreams]:
    with servers.running() as server:
        mirror = debian_mirrors.DebianServer(server, tmp_path)
        mirror.publish("sid", [debian_mirrors.package("other", "1.0-1")])
        monkeypatch.setenv(MIRROR_VARIABLE, server.url("/debian"))
        monkeypatch.setenv(archive.KEYRING_VARIABLE, str(mirror.keyring()))
        monkeypatch.setenv(sightings.SEEN_VARIABLE, str(tmp_path / "seen.json"))
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
        monkeypatch.delenv("GITHUB_STEP_SUMMARY", raising=False)
        root = tmp_path / "ours"
        root.mkdir()
        found = Upstreams(server, None, root, days_of_sigstore=30)
        git(root, "init", "--quiet")
        git(root, "config", "user.name", "Tester")
        git(root, "config", "user.email", "tester@example.org")
        git(root, "add", ".")
        git(root, "commit", "--quiet", "--message", "Start")
        yield found


def test_every_pin_moves(
    upstreams: Upstreams, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    signers: dict[str, str] = {}

    def signed(bundle: bytes, digest: str, identity: str, issuer: str) -> str:
        signers[identity] = issuer
        return identity

    monkeypatch.setattr(bundles, "sigstore_digest", signed)
    monkeypatch.setattr(bundles, "sigstore_attestation", lambda *arguments: arguments[3])
    before = pins.read(upstreams.root / "docker" / "Dockerfile")
    status = native.main(["--json"], upstreams.root)
    report = json.loads(capfd.readouterr().out)
    assert {row["name"]: row["state"] for row in report["rows"]} == dict.fromkeys(before, State.UPDATE)
    assert status == 0
    after = pins.read(upstreams.root / "docker" / "Dockerfile")
    for name, pin in after.items():
        assert pin.version == newer(before[name].version)
        assert pin.version in pin.url or name == "sqlite"
    subjects = git(upstreams.root, "log", "--format=%s", "--reverse").splitlines()[1:]
    assert subjects == report["commits"]
    assert len(subjects) == len(before) - 1, "tcl and tk move together"
    assert f"Bump tcl, tk {before['tcl'].version} → {after['tcl'].version}" in subjects
    assert len(signers) == 4, "one release manager for each pair of CPython minors"
    assert after["static-clang"].url.endswith(f"/static-clang:{after['static-clang'].version}")
    assert set(after["git-lfs"].sha256) == set(before["git-lfs"].sha256)
    assert native.main(["--json"], upstreams.root) == 0
    assert json.loads(capfd.readouterr().out)["commits"] == []
