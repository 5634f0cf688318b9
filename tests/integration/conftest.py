"""A tiny project, built by each engine of this machine."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.support.tiny_builds import MARK, MIRROR, Project, imported, root_with

from build import run
from catalogue import images
from engine import choose
from engine.commands import ENGINES, executable_of
from engine.engine import Engine
from host import machine
from host.indexes import Indexes
from host.mirror import Mirror
from host.site import Site
from plan.plan import Request, decide


@pytest.fixture(params=ENGINES)
def each_engine(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Engine:
    """Each engine of this machine; podman with a store of its own, so that nothing else is seen or left there."""
    found, reason = found_engine(request.param)
    if found is None:
        pytest.skip(reason)
    storage = tmp_path / "storage.conf"
    storage.write_text(
        f'[storage]\ndriver = "{found.settings.storage or "overlay"}"\n'
        f'graphroot = "{tmp_path}/graph"\nrunroot = "{tmp_path}/run"\n',
        encoding="utf-8",
    )
    monkeypatch.setenv("CONTAINERS_STORAGE_CONF", str(storage))
    return found


@functools.cache
def found_engine(name: str) -> tuple[Engine | None, str]:
    """The engine of that name, or why it does not do."""
    found, attempts = choose.find(name, Site.of_this_machine().reach())
    return found, "; ".join(map(str, attempts)) or f"there is no {executable_of(name)} on PATH"


@pytest.fixture
def project(each_engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Project]:
    """A project on a base image of its own; its images are removed afterwards."""
    root = root_with(tmp_path / "root")
    (root / "bin" / "true").symlink_to("bash")
    context = tmp_path / "project"
    context.mkdir()
    (context / "mark").write_text(MARK, encoding="utf-8")
    monkeypatch.setattr(run, "ROOT", context)
    monkeypatch.setattr(run, "DOCKERFILE", context / "Dockerfile")
    monkeypatch.setattr(run, "SOURCES", tmp_path / "sources")
    monkeypatch.setattr(run, "fill_wheelhouse", lambda minors, **rest: None)
    monkeypatch.setattr(Mirror, "usable", lambda mirror, suite, architecture: (mirror, ()))
    ca = tmp_path / "ca.pem"
    ca.write_text(f"-----BEGIN CERTIFICATE-----\nsecret{MARK}\n-----END CERTIFICATE-----\n", encoding="utf-8")
    site = Site(ca, Indexes({"index-url": (f"https://user:password{MARK}@example.org/simple",)}), MIRROR)
    image = images.load().find("manylinux_2_36", machine.platform())
    with imported(each_engine, root, "base") as base:
        plan = decide(image, Request(base=base, tag=f"test-{MARK}"))
        made = Project(each_engine, context, plan, site)
        yield made
        for reference in (plan.reference, *made.temporary()):
            each_engine.ask(each_engine.remove(reference))
