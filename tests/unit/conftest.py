"""What unit tests of several rooms play with."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.support import servers
from tests.support.debian_mirrors import DebianServer


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[servers.Server]:
    """A server on loopback, which is reached without a proxy."""
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with servers.running() as running:
        yield running


@pytest.fixture
def mirror(server: servers.Server, tmp_path: Path) -> DebianServer:
    """An empty archive of Debian on loopback, with a key of its own."""
    return DebianServer(server, tmp_path)
