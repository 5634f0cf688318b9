"""What a real engine leaves in the layers of an image, and where it keeps layers."""

from __future__ import annotations

import gzip
import json
import os
import re
import tarfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import IO

import pytest
from tests.support.tiny_builds import MARK, MIRROR, READS_SECRETS, Project, imported, root_with

from catalogue import checkout
from catalogue.paths import ROOT
from engine import choose
from engine.commands import ImageBuild
from engine.engine import Engine
from host import authorities
from host.mirror import Mirror
from host.site import Site
from portable import environment

pytestmark = pytest.mark.engine


def test_layers_stay_in_a_directory_where_the_builder_can_keep_them_there(
    project: Project, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    cache, engine = tmp_path / "cache", project.engine

    def built() -> str | None:
        project.build("--no-test", "--cache", str(cache))
        return engine.ask(engine.run(project.plan.reference, ["/bin/bash", "-c", "echo $(</made)"]))

    project.dockerfile("echo $RANDOM$RANDOM$RANDOM >/made")
    first = built()
    assert first
    if not engine.exports_cache(local=True):
        assert "the engine's own cache" in capfd.readouterr().err
        assert not cache.exists()
        return
    engine.call(engine.remove(project.plan.reference))
    engine.call(engine.command("builder", "prune", "--all", "--force"))
    assert built() == first
    project.dockerfile("echo $RANDOM$RANDOM$RANDOM >/made; echo new")
    assert built() != first
    assert [path.name for path in cache.iterdir()] == [project.plan.image.name]


def test_nothing_of_the_site_is_in_the_image(project: Project, tmp_path: Path) -> None:
    project.dockerfile(READS_SECRETS)
    project.build("--no-test")
    for needle in (f"secret{MARK}", f"password{MARK}", f"{MARK}.example.org"):
        assert found_in_layers(project.engine, project.plan.reference, [needle], tmp_path) == []
    # The search would find it: the same words as a file of the context are in a layer.
    assert found_in_layers(project.engine, project.plan.reference, [MARK], tmp_path) == [MARK]


def test_an_image_without_what_the_mirror_lacks_is_not_complete(project: Project) -> None:
    def label() -> str | None:
        project.dockerfile("exit 0")
        project.build("--no-test")
        template = '{{index .Config.Labels "org.pypa.manylinux.complete"}}'
        return project.engine.ask(project.engine.inspect(project.plan.reference, template))

    assert label() == "false"
    whole = Mirror(MIRROR.main, MIRROR.main, MIRROR.main)
    project.site = replace(project.site, mirror=whole)
    assert label() == "true"


def test_the_umask_of_the_clone_is_not_in_the_layers(each_engine: Engine, tmp_path: Path) -> None:
    """One clone is as tight as can be, the other one is writable for the group."""
    small = root_with(tmp_path / "small", "chmod", "find", "mkdir", "touch")  # for the stage `checkout`
    with imported(each_engine, small, "small") as base:
        (first, listing), (second, other) = (
            checkout_layer(each_engine, base, umask, tmp_path) for umask in (0o077, 0o002)
        )
    assert {line.split()[0] for line in listing.splitlines()} == {"644", "755"}
    assert "755 315619200.0000000000 /usr/local/bin/manylinux-entrypoint" in listing
    assert listing == other
    assert first == second != ""


def checkout_layer(engine: Engine, base: str, umask: int, directory: Path) -> tuple[str, str]:
    """The digest of the last layer of an image with what a clone made under a umask ships, and a list of its files."""
    context = directory / f"clone-{umask:o}"
    before = os.umask(umask)
    try:
        checkout.call("checkout-index", "--all", f"--prefix={context}/", at=ROOT)
    finally:
        os.umask(before)
    assert (context / "docker").stat().st_mode & 0o777 == 0o777 & ~umask
    dockerfile = directory / "Dockerfile"
    # Later stages are not needed, and podman would look for their base images all the same.
    stages, middle, _ = (context / "docker/Dockerfile").read_text(encoding="utf-8").partition("AS image-files\n")
    final = "FROM ${BASEIMAGE} AS probe\n"
    final += "COPY --from=checkout /manylinux /manylinux\nCOPY --from=image-files /rootfs /\n"
    dockerfile.write_text(stages + middle + final, encoding="utf-8")
    tag = f"localhost/manylinux-test-clone:{MARK}-{umask:o}"
    engine.call(
        engine.build(ImageBuild(context, dockerfile, tag, args={"BASEIMAGE": base}, target="probe", no_cache=True))
    )
    layers = json.loads(engine.ask(engine.inspect(tag, "{{json .RootFS.Layers}}")) or '[""]')
    find = ["/bin/find", "/usr/local", "/opt", "/manylinux", "-mindepth", "1", "-printf", "%m %T@ %p\\n"]
    listing = engine.ask(engine.run(tag, find, entrypoint="")) or ""
    engine.ask(engine.remove(tag))
    return layers[-1], listing


def test_a_changed_search_path_is_not_taken_from_the_cache(each_engine: Engine, tmp_path: Path) -> None:
    """podman's cache knows an ENV by its text alone, so a RUN with the same ARGs has to stand before it."""
    text = (ROOT / "docker/Dockerfile").read_text(encoding="utf-8")
    start = re.search(r"(?ms)^FROM \$\{BASEIMAGE\} AS base-system\n.*?^ENV (?:[^\n\\]|\\\n)+\n", text)
    assert start
    dockerfile, tag = tmp_path / "Dockerfile", f"localhost/manylinux-test-path:{MARK}"
    dockerfile.write_text(f"ARG BASEIMAGE\n{start[0]}", encoding="utf-8")
    small, seen = root_with(tmp_path / "small"), []
    with imported(each_engine, small, "small") as base:
        for path in ("/one", "/two", "/one"):
            args = {"BASEIMAGE": base, "PREPEND_PATH": f"{path}:"}
            each_engine.call(each_engine.build(ImageBuild(small, dockerfile, tag, args=args)))
            env = json.loads(each_engine.ask(each_engine.inspect(tag, "{{json .Config.Env}}")) or "[]")
            seen += [value.partition(":")[0] for value in env if value.startswith("PATH=")]
    each_engine.ask(each_engine.remove(tag))
    assert seen == ["PATH=/one", "PATH=/two", "PATH=/one"]


def found_in_layers(engine: Engine, reference: str, needles: Sequence[str], directory: Path) -> list[str]:
    """Which words are anywhere in an image: its layers, its configuration, its history."""
    saved = directory / "saved.tar"
    saved.unlink(missing_ok=True)
    engine.call(engine.command("save", "--output", str(saved), reference))
    found: set[str] = set()
    with tarfile.open(saved) as archive:
        for member in archive:
            if content := archive.extractfile(member):
                compressed = content.read(2) == b"\x1f\x8b"
                content.seek(0)
                found |= found_in(gzip.GzipFile(fileobj=content) if compressed else content, needles)
    saved.unlink()
    return [needle for needle in needles if needle in found]


def found_in(stream: IO[bytes] | gzip.GzipFile, needles: Sequence[str]) -> set[str]:
    """The words that a stream holds; they may lie across the border of two reads."""
    wanted = {needle: needle.encode() for needle in needles}
    longest = max(map(len, wanted.values()))
    found, window = set(), b""
    while chunk := stream.read(1 << 22):
        window = window[-longest:] + chunk
        found |= {needle for needle, raw in wanted.items() if raw in window}
    return found


@pytest.mark.slow
@pytest.mark.skipif(not os.environ.get("MANYLINUX_TEST_IMAGE"), reason="MANYLINUX_TEST_IMAGE is not set")
def test_nothing_of_this_site_is_in_a_real_image(tmp_path: Path) -> None:
    site = Site.of_this_machine()
    needles = [line for line in site.secrets("bookworm").get("apt", "").splitlines() if line.startswith("deb ")]
    needles += [value for key in environment.PIP_PLACES for value in site.indexes.settings.get(key, ())]
    if site.ca:
        public = authorities.distribution_cas() | authorities.certifi_cas(site.ca)
        own = authorities.certificates(site.ca.read_text(encoding="utf-8")) - public
        needles += [body[64:128] for body in own]  # the second line of each
    if not needles:
        pytest.skip("this machine has no settings of a site")
    engine = choose.engine()
    assert found_in_layers(engine, os.environ["MANYLINUX_TEST_IMAGE"], needles, tmp_path) == []
