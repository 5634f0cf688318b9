"""The page of our own table, on a day of 2026."""

from __future__ import annotations

import datetime
from collections.abc import Mapping

from catalogue import images
from page.facts import Tables
from page.published import Published
from page.site import Pages

TODAY = datetime.date(2026, 11, 26)
ADDRESS = "https://example.org/images/"


def made(published: Mapping[str, Published] | None = None) -> Pages:
    """With what is known of published images."""
    tables = Tables(TODAY, published or {}, images.load(overlay=images.NO_OVERLAY))
    return Pages(tables, ADDRESS, "0" * 40)
