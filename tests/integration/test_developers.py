"""scripts/dev with the pips that stable distributions have, which this machine's index and mirror hand out."""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.support import indexes, servers
from tests.support.checkouts import Checkout, new_checkout

from host import developers

OLD_PIP = "23.0.1"  # Debian 12's

pytestmark = pytest.mark.network


@pytest.fixture
def checkout(tmp_path: Path) -> Iterator[Checkout]:
    with servers.running() as server:
        yield new_checkout(tmp_path, server)


@pytest.fixture
def old_pip(tmp_path: Path) -> Path:
    """Debian 12's pip, of this machine's index."""
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", str(tmp_path)]
    subprocess.run([*command, f"pip=={OLD_PIP}"], check=True)
    return tmp_path / f"pip-{OLD_PIP}-py3-none-any.whl"


def test_an_old_pip_takes_what_the_lock_says(
    checkout: Checkout, old_pip: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    lock = checkout.root / "requirements/dev.txt"
    lock.write_text(lock.read_text() + indexes.locked(old_pip))
    wheels = sorted((tmp_path / "wheels").iterdir())
    monkeypatch.setenv("PIP_INDEX_URL", indexes.offer(checkout.server, [*wheels, old_pip]))
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.delenv("PIP_FIND_LINKS", raising=False)
    monkeypatch.setattr(developers, "ROOT", checkout.root)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    venv = checkout.root / ".venv"
    developers.make(venv, lock)
    assert developers.is_ready(venv, lock)
    said = subprocess.run([venv / "bin/python", "-m", "pip", "list"], capture_output=True, text=True, check=True).stdout
    assert {line.split()[0]: line.split()[1] for line in said.splitlines()[2:]} == {
        "nox": "1",
        "base": "1",
        "pip": OLD_PIP,
    }


@pytest.mark.skipif(not shutil.which("apt-get"), reason="there is no apt-get here")
def test_the_distributions_pip_without_being_root(tmp_path: Path) -> None:
    wheel = developers.distribution_pip(tmp_path)
    said = subprocess.run(
        [sys.executable, f"{wheel}/pip", "--version"], capture_output=True, text=True, check=True
    ).stdout
    assert str(wheel) in said
