"""How a canary is built: its source by hash, cibuildwheel's settings, and what is told of a failure."""

from __future__ import annotations

import gzip
import hashlib
import os
import shlex
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tests.support import indexes as local_indexes
from tests.support import servers

from canary.build import CanaryBuilder, Nest, last_words
from canary.results import Fate
from canary.surroundings import surroundings
from catalogue import canaries, images
from catalogue.canaries import Canary
from engine.engine import Engine
from portable import errors, fetch
from portable.opener import Limits

IMAGE = images.load(overlay=images.NO_OVERLAY).image("manylinux_2_28_x86_64")
TABLE = canaries.load()
CONTENT = gzip.compress(b"an sdist", mtime=0)


def builder() -> CanaryBuilder:
    return CanaryBuilder(TABLE, fetch.Fetcher(mirrors=None, limits=Limits(attempts=1)))


def canary(**changes: Any) -> Canary:
    row = {"name": "small", "stands_for": "C", "version": "1", "sha256": hashlib.sha256(CONTENT).hexdigest()}
    return Canary(**{**row, "interpreters": ("cp313-cp313",), "test": "true", "project": "Small.Canary", **changes})


def nest(*interpreters: str) -> Nest:
    found = [each for each in IMAGE.interpreters if each.tag in interpreters]
    return Nest(Engine("docker", "docker"), IMAGE, "sha256:1", found)


@pytest.fixture
def index(server: servers.Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """An index with the sdist; pip is configured to use it after an index that lacks it."""
    for name in [name for name in os.environ if name.startswith(("PIP_", "UV_"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    path = tmp_path / "small_canary-1.tar.gz"
    path.write_bytes(CONTENT)
    address = local_indexes.offer(server, [path])
    server.routes["/simple/small-canary/"] = server.routes.pop("/simple/small_canary/")
    monkeypatch.setenv("PIP_INDEX_URL", server.url("/without"))
    monkeypatch.setenv("PIP_EXTRA_INDEX_URL", address)
    return address


def test_the_source_is_the_file_with_its_hash_in_a_configured_index(index: str, tmp_path: Path) -> None:
    found = builder().sdist(canary(), tmp_path / "place")
    assert (found.name, found.read_bytes()) == ("small_canary-1.tar.gz", CONTENT)


def test_another_file_of_that_name_is_not_the_source(index: str, server: servers.Server, tmp_path: Path) -> None:
    with pytest.raises(errors.Failure, match="lists no file with the sha256 of small 1"):
        builder().sdist(canary(sha256="f" * 64), tmp_path)
    server.routes["/files/small_canary-1.tar.gz"] = servers.good(gzip.compress(b"another"))
    with pytest.raises(errors.Failure, match="not what was pinned"):
        builder().sdist(canary(), tmp_path / "place")


def test_what_the_image_or_the_network_lacks_is_not_a_failure(server: servers.Server, tmp_path: Path) -> None:
    found = builder().build(canary(), tmp_path / "s.tar.gz", nest("cp312-cp312"), tmp_path)
    assert (found.fate, found.reason) == (Fate.UNTRIED, "the image has none of cp313-cp313")
    needing = canary(hosts=(server.url("/config.json"),))
    found = builder().build(needing, tmp_path / "s.tar.gz", nest("cp313-cp313"), tmp_path)
    assert found.fate is Fate.UNTRIED
    assert found.reason.startswith("its build needs a host that does not answer: ") and "/config.json" in found.reason


def test_cibuildwheel_gets_our_settings_and_none_of_the_callers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CIBW_BEFORE_BUILD", "rm -rf /")
    monkeypatch.setenv("SSL_CERT_FILE", "")
    wanted = [each for each in IMAGE.interpreters if each.tag in ("cp313-cp313", "cp314-cp314t")]
    own = canary(packages={"rhel": ("libpq-devel",)}, environment={"X": "a b"}, test_requires=("pytest",))
    with surroundings(Engine("docker", "/usr/bin/docker"), IMAGE, "sha256:1", wanted) as env:
        assert not [name for name in env if name == "CIBW_BEFORE_BUILD"]
        assert env["CIBW_MANYLINUX_X86_64_IMAGE"] == "sha256:1"
        assert env["CIBW_BUILD"].split() == ["cp313-manylinux_x86_64", "cp314t-manylinux_x86_64"]
        found = builder().settings(own, IMAGE, env)
    assert {"X=a b", f"PIP_UPLOADED_PRIOR_TO={TABLE.index_date}"} <= set(shlex.split(found["CIBW_ENVIRONMENT"]))
    assert found["CIBW_BEFORE_ALL"] == "yum install -q -y libpq-devel"
    assert (found["CIBW_TEST_COMMAND"], found["CIBW_TEST_REQUIRES"]) == ("true", "pytest")


def test_what_is_stopped_leaves_no_container(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    engine, python, asked = tmp_path / "engine", tmp_path / "python", tmp_path / "asked"
    engine.write_text(f'#!/bin/sh\necho "$*" >>{asked}\n[ "$1" != ps ] || echo c0ffee\n', encoding="utf-8")
    python.write_text(f'#!/bin/sh\necho "$CIBW_CONTAINER_ENGINE" >{tmp_path}/told\nsleep 600\n', encoding="utf-8")
    for program in (engine, python):
        program.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(python))  # stands in for the one that has cibuildwheel
    running, place = builder(), replace(nest("cp313-cp313"), engine=Engine("docker", str(engine)))
    with ThreadPoolExecutor(1) as pool:
        future = pool.submit(running.build, canary(), tmp_path / "s.tar.gz", place, tmp_path / "out")
        while not (tmp_path / "told").exists() and not future.done():
            time.sleep(0.05)
        running.stop()
        found = future.result(60)
    assert (found.fate, found.reason) == (Fate.FAILED, "it was stopped")
    told = (tmp_path / "told").read_text(encoding="utf-8").strip()
    label = told.rpartition("--label=")[2]
    assert told.startswith("docker; create_args: ") and label.startswith("manylinux-canary=")
    assert asked.read_text(encoding="utf-8").splitlines() == [
        f"ps --all --quiet --filter label={label}",
        "rm --force c0ffee",
    ]
    again = running.build(canary(), tmp_path / "s.tar.gz", place, tmp_path / "out")  # nothing starts any more
    assert again.reason == "it was stopped"


LOG = """\
Building cp313-manylinux_x86_64 wheel
Setting up build environment...
    ✓ 0.2s
Building wheel...
    + python -m build /project
  src/m.c:1:2: error: #error broken
  error: command '/usr/bin/gcc' failed with exit code 1
ERROR Backend subprocess exited when trying to invoke build_wheel
\x1b[31m    ✕ 3.1s\x1b[0m
cibuildwheel: Command ['python', '-m', 'build'] failed with code 1.
"""


def test_the_step_and_its_error_are_told() -> None:
    assert last_words(LOG) == "Building wheel: src/m.c:1:2: error: #error broken"
    without = LOG.replace("error", "oops").replace("ERROR", "OOPS")
    assert last_words(without) == "Building wheel: cibuildwheel: Command ['python', '-m', 'build'] failed with code 1."
    assert last_words("") == "cibuildwheel: it said nothing"
