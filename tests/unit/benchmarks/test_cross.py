"""The benchmark of compiling for other architectures: what it builds anew, and what it says."""

from __future__ import annotations

import pytest
from tests.benchmarks import cross as benchmark

from catalogue import images, paths
from portable import errors
from sources.lock import LockedPin, SourcesLock


def test_only_the_address_of_a_source_moves() -> None:
    row: LockedPin = {
        "version": "1.5.7",
        "url": "https://example.net/pool/zstd_1.5.7.tar.xz",
        "sha256": "0" * 64,
        "file": "zstd/zstd_1.5.7.tar.xz",
        "package": "libzstd",
        "suite": "trixie",
        "verbatim": False,
    }
    lock: SourcesLock = {
        "source": "debian",
        "created": "2026-11-21T09:57:46+00:00",
        "suites": ["trixie"],
        "pins": {"zstd": row, "git": row},
        "missing": {},
    }
    first, second = (benchmark.moved(lock, "zstd") for _ in range(2))
    assert first["pins"]["zstd"]["url"] != second["pins"]["zstd"]["url"], "each time another, or the cache would serve"
    assert first["pins"]["zstd"]["url"].endswith("/zstd_1.5.7.tar.xz"), "what docker/sources has it under"
    assert {**first["pins"]["zstd"], "url": row["url"]} == row
    assert first["pins"]["git"] == row


def test_the_ratio_is_what_it_is_about() -> None:
    seconds = {"zstd": {"gcc": 120.0, "clang": 10.0}}
    result = {"image": "a_b", "machine": "x86_64", "cores": 2, "clang": "clang:19", "seconds": seconds}
    assert "zstd: gcc 120.0 s, clang 10.0 s: 12.0 times faster" in benchmark.table(result)


def test_it_wants_a_clang(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(benchmark.CLANG, raising=False)
    with pytest.raises(errors.UserError, match="python3 scripts clang"):
        benchmark.measure(images.load().image("manylinux_2_36_aarch64"), ["zstd"], paths.ROOT)
