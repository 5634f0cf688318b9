"""Whether `usable` names what broke in an image: a dead package repository, a key that is gone, a vanished file.

The image is the bootstrap's, whose package manager gets this machine's mirror instead of Debian's own."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest
from tests.support import servers

from engine import choose
from engine.commands import Mount
from engine.engine import Engine
from host.mirror import Mirror
from network import web
from portable import downloads
from publish import usable

IMAGE = os.environ.get("MANYLINUX_TEST_IMAGE", "")
SITE = Path("/etc/apt/site")

pytestmark = pytest.mark.skipif(not IMAGE, reason="MANYLINUX_TEST_IMAGE is not set")


@pytest.fixture(scope="module")
def engine() -> Engine:
    return choose.engine()


@pytest.fixture
def apt(tmp_path: Path) -> Path:
    """What replaces /etc/apt/sources.list.d and /etc/apt/site in a container: this machine's mirror."""
    mirror = Mirror.of_this_machine()
    if mirror is None:
        pytest.skip("this machine has no Debian mirror")
    mirror, _ = mirror.usable("bookworm", "amd64")
    (tmp_path / "sources").mkdir()
    (tmp_path / "site").mkdir()
    for name, content in mirror.files(SITE).items():
        (tmp_path / "site" / name).write_bytes(content)
    lines = "\n".join((*mirror.lines("bookworm", "amd64", SITE), ""))
    (tmp_path / "sources" / "site.list").write_text(lines, encoding="utf-8")
    return tmp_path


def tried(engine: Engine, apt: Path, *more: Mount) -> dict[str, str]:
    """What was tried -> why it does not work, "" where it does."""
    mounts = [Mount(apt / "sources", "/etc/apt/sources.list.d"), Mount(apt / "site", str(SITE)), *more]
    if (apt / "site" / "apt.conf").exists():
        mounts.append(Mount(apt / "site" / "apt.conf", "/etc/apt/apt.conf.d/99site"))
    empty = apt / "empty"
    empty.touch()
    mounts.append(Mount(empty, "/etc/apt/sources.list"))
    client = web.Client()
    return {trial.what: trial.reason for trial in usable.try_image(engine, IMAGE, client, mounts=mounts)}


def table(tmp_path: Path, server: servers.Server) -> Mount:
    """A table of downloads whose files are on a server of ours."""
    real = (Path(usable.__file__).parents[2] / "docker/downloads.toml").read_text(encoding="utf-8")
    path = tmp_path / "downloads.toml"
    path.write_text(re.sub(r'https://[^"/]+/', server.url("/"), real), encoding="utf-8")
    return Mount(path, usable.DOWNLOADS)


def test_an_image_that_works_and_what_breaks_in_it(
    engine: Engine, apt: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with servers.running() as server:
        mount = table(tmp_path, server)
        urls = sorted({url for _, _, url in downloads.load(mount.source).urls()})
        assert all(any(name in url for url in urls) for name in ("/pypy3", "/graalpy-", "/static-clang-linux-"))
        for url in urls:
            server.routes[url.removeprefix(server.url(""))] = servers.good(b"x" * 20_000)
        found = tried(engine, apt, mount)
        assert found == dict.fromkeys(found, "")
        assert [what for what in found if what.startswith("package manager")] == [
            "package manager: signatures",
            "package manager: indices",
            "package manager: packages",
        ]

        # A file that vanished.
        gone = next(url for url in urls if "pypy" in url)
        del server.routes[gone.removeprefix(server.url(""))]
        sources = apt / "sources" / "site.list"
        good = sources.read_text(encoding="utf-8")
        # A repository that is dead, as those of distributions are some years after their end.
        sources.write_text(good + f"deb {server.url('/dead')} bookworm main\n", encoding="utf-8")
        found = tried(engine, apt, mount)
        assert "404" in found[gone] and [what for what in found if found[what] and what.startswith("http")] == [gone]
        assert "/dead" in found["package manager: indices"]

        # A key that the image does not have: the repository was signed anew.
        (apt / "site" / "empty.gpg").write_bytes(b"")
        rotated = re.sub(r"signed-by=\S+?(?=[\] ])", f"signed-by={SITE}/empty.gpg", good)
        assert rotated != good
        sources.write_text(rotated, encoding="utf-8")
        assert "NO_PUBKEY" in tried(engine, apt, mount)["package manager: indices"]

        # Somebody has helped himself.
        sources.write_text(good.replace("[", "[trusted=yes ", 1), encoding="utf-8")
        assert "switches the check of signatures off" in tried(engine, apt, mount)["package manager: signatures"]
