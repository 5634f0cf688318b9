"""A CPython that an image has lost, from the layer of a published image in a real registry.

MANYLINUX_TEST_IMAGE=REFERENCE names an image that has it; what is tested are the files of this checkout.
"""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.support import registries

from catalogue.paths import DOCKER, ROOT
from engine import choose
from engine.commands import ImageBuild, Mount
from engine.engine import Engine
from network import referrers
from network.referrers import Artifact
from network.registry import Registry
from portable import errors
from publish import keep

IMAGE = os.environ.get("MANYLINUX_TEST_IMAGE", "")
NAME, TAG, PUBLISHED = "manylinux_2_36_x86_64", "cp311-cp311", "2026.11.26-1"
LOST = "localhost/kept:lost"
INSIDE = "/opt/_internal/manylinux"
pytestmark = [
    pytest.mark.engine,
    pytest.mark.program("docker-registry"),
    pytest.mark.skipif(not IMAGE, reason="MANYLINUX_TEST_IMAGE is not set"),
]
# As a build leaves it: one layer with the interpreter and what the end of a build removes.
LAYER = f"""\
FROM {IMAGE} AS built
RUN mkdir -p /rootfs/opt/_internal/manifest.d && echo '{{}}' >/rootfs/opt/_internal/manifest.d/{TAG}.json && \\
    cp -a --parents /opt/python/{TAG} "$(readlink /opt/python/{TAG})" /usr/local/bin/*python3.11 /rootfs
FROM scratch
COPY --from=built /rootfs /
"""
WITHOUT = f"""\
FROM {IMAGE}
RUN rm -r /opt/python/{TAG} "$(readlink -f /opt/python/{TAG})" /usr/local/bin/*python3.11
"""
TRY = f"""\
set -e
manylinux-interpreters ensure {TAG}
/opt/python/{TAG}/bin/python -c 'import ssl, sqlite3; print(ssl.OPENSSL_VERSION)'
/opt/python/{TAG}/bin/pip --version
grep -F " $(readlink /opt/python/{TAG})/" /opt/_internal/files.sha256 | grep -v ^link: | sha256sum --quiet --check
python3.11 /exchanged.py make /projects /tmp
python3.11 /exchanged.py use /tmp
"""


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A registry with an image that has the interpreter; the engine has one that has lost it."""
    engine, directory = choose.engine(), tmp_path_factory.mktemp("kept")
    with registries.running(directory) as host:
        published = f"{host}/acme/{NAME}:{PUBLISHED}"
        for reference, text in ((published, LAYER), (LOST, WITHOUT)):
            (directory / "Dockerfile").write_text(text, encoding="utf-8")
            engine.call(engine.build(ImageBuild(directory, directory / "Dockerfile", reference, keep_layers=False)))
        engine.call(engine.command("push", *engine.without_tls(host), published))
        registry, home = Registry(host), f"acme/{NAME}"
        description = engine.read_files(IMAGE, ["/opt/_internal/manifest.json"])["/opt/_internal/manifest.json"]
        artifact = Artifact(referrers.DESCRIPTION, "manifest.json", description, {})
        referrers.attach(registry, home, registry.manifest(home, PUBLISHED), [artifact])
        yield host
        for reference in (published, LOST):
            engine.ask(engine.remove(reference))


def keeping(monkeypatch: pytest.MonkeyPatch, host: str, table: Path, tag: str = TAG) -> int:
    """`invoke keep`."""
    words = ["keep", tag, PUBLISHED, "-i", NAME, "--registry", f"{host}/acme", "--table", str(table)]
    monkeypatch.setattr(sys, "argv", words)
    return keep.main()


def test_it_is_installed_from_the_layer(host: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    table = tmp_path / "downloads.toml"
    shutil.copy(DOCKER / "downloads.toml", table)
    assert keeping(monkeypatch, host, table) == 0
    once = table.read_text(encoding="utf-8")
    assert keeping(monkeypatch, host, table) == 0
    assert table.read_text(encoding="utf-8") == once
    engine: Engine = choose.engine()
    mounts = [
        Mount(ROOT / "scripts" / "portable", f"{INSIDE}/portable"),
        *(Mount(path, f"{INSIDE}/{path.name}") for path in (DOCKER / "rootfs" / INSIDE[1:]).glob("*.py")),
        Mount(table, f"{INSIDE}/downloads.toml"),
        Mount(ROOT / "scripts" / "smoke" / "exchanged.py", "/exchanged.py"),
        Mount(ROOT / "tests" / "smoke" / "projects", "/projects"),
    ]
    done = engine.contain(LOST, ["bash", "-c", TRY], 600, mounts=mounts, network="host")
    assert done.returncode == 0, done.stderr
    assert "OpenSSL" in done.stdout
    assert f'"tag": "{TAG}", "project": "smoke_cxx", "problem": ""' in done.stdout
    assert '"problem": "' not in done.stdout.replace('"problem": ""', "")


def test_what_the_image_does_not_have_is_not_kept(host: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    table = tmp_path / "downloads.toml"
    shutil.copy(DOCKER / "downloads.toml", table)
    before = table.read_bytes()
    with pytest.raises(errors.Failure, match="does not have cp38-cp38: name a tag that has it"):
        keeping(monkeypatch, host, table, "cp38-cp38")
    assert table.read_bytes() == before
