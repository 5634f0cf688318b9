"""A machine without settings of its own, so that a build depends on what a test says alone."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from catalogue import images
from host.site import Site
from portable import environment

VARIABLES = ("POLICY", "PLATFORM", "VARIANT", "COMMIT_SHA", *environment.CA_VARIABLES)


@pytest.fixture(autouse=True)
def plain_machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No request in the environment, and a machine without settings of a site."""
    for name in (*VARIABLES, *(name for name in os.environ if name.startswith(("MANYLINUX_", "PIP_", "UV_")))):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("MANYLINUX_IMAGES_OVERLAY", str(images.NO_OVERLAY))
    monkeypatch.setattr(Site, "of_this_machine", lambda option=None: Site())
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
