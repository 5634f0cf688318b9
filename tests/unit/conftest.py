"""What unit tests of several rooms play with."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.support import servers
from tests.support.debian_mirrors import DebianServer


@pytest.fixture
def mirror(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[DebianServer]:
    """An empty archive of Debian on loopback, with a key of its own."""
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with servers.running() as server:
        yield DebianServer(server, tmp_path)
