"""The page without descriptions."""

from __future__ import annotations

import pytest
from tests.support.site_pages import made


@pytest.fixture(scope="session")
def plain() -> dict[str, str]:
    """Every file of it."""
    return dict(made().files())
