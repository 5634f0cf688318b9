"""Locks of docker/sources, made up."""

from __future__ import annotations

from sources.lock import LockedPin, SourcesLock


def locked(*names: str) -> SourcesLock:
    """A lock of these pins."""
    return SourcesLock(
        source="debian",
        created="2026-11-21T09:57:46+00:00",
        suites=["sid"],
        pins={
            name: LockedPin(
                version="1",
                url=f"https://example.org/{name}_1.tar.xz",
                sha256="a" * 64,
                file=f"{name}/{name}_1.tar.xz",
                package=name,
                suite="sid",
                verbatim=True,
            )
            for name in names
        },
        missing={},
    )
