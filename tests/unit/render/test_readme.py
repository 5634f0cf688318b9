"""The figures and lists that the documents quote."""

from __future__ import annotations

import json
import re
from pathlib import Path

from catalogue import images
from render import readme

CATALOGUE = images.load(overlay=images.NO_OVERLAY)


def test_measured_figures_are_quoted(tmp_path: Path) -> None:
    path = tmp_path / "results.json"
    assert readme._measured(path) == ""
    figures = {"cold_seconds": 400, "unchanged_seconds": 20, "bump_seconds": 90, "downloaded_again": 0.0612}
    names = {"image": "manylinux_2_36_x86_64", "interpreters": ["cp39-cp39"], "engine": "podman", "cores": 2}
    sizes = {"size": 884_000_000, "compressed": 306_000_000, "smoke_seconds": {"1": 150, "2": 80}}
    path.write_text(json.dumps({**figures, **names, **sizes, "bump": "cpython-3.11"}), encoding="utf-8")
    text = readme._measured(path)
    assert "| manylinux_2_36_x86_64 with cp39-cp39, podman, 2 cores |  |" in text
    assert "| of the compressed image to download again after that bump | 6.1 % |" in text
    assert "| image, compressed | 884 MB, 306 MB |" in text
    assert "| rebuild after a bump of cpython-3.11 | 90 s, 0.23 of the cold build |" in text
    assert "compared" not in text
    assert "| smoke tests, 2 at a time | 80 s |" in text


def test_the_pair_is_quoted_as_ratios(tmp_path: Path) -> None:
    path = tmp_path / "results.json"
    seconds = {"cold_seconds": 400, "unchanged_seconds": 20, "bump_seconds": 90, "smoke_seconds": {}}
    names = {"image": "x", "interpreters": [], "engine": "podman", "cores": 2, "bump": "git", "downloaded_again": 0.5}
    ratios = {"against": "a10169f", "wall": 0.934, "processor": 0.9}
    figures = {**seconds, **names, "size": 1, "compressed": 1, "cold_ratios": ratios}
    path.write_text(json.dumps(figures), encoding="utf-8")
    said = "compared with that of commit a10169f, in turns | 0.93 of its time, 0.90 of its processor time |"
    assert f"| cold build, {said}" in readme._measured(path)


def test_figures_for_other_architectures_are_quoted(tmp_path: Path) -> None:
    path = tmp_path / "cross.json"
    assert readme._cross(path) == ""
    figures = {"image": "manylinux_2_36_aarch64", "machine": "x86_64", "cores": 2, "clang": "clang:19"}
    path.write_text(json.dumps({**figures, "seconds": {"zstd": {"gcc": 200.4, "clang": 16}}}), encoding="utf-8")
    text = readme._cross(path)
    assert "| manylinux_2_36_aarch64 on x86_64, 2 cores | gcc, emulated | clang | times faster |" in text
    assert "| zstd | 200 s | 16 s | 12.5 |" in text


def test_wheels_run_where_the_c_library_is_new_enough() -> None:
    oldest = readme.document_blocks(CATALOGUE)[Path("docs/where-wheels-run.md")]["oldest"]
    rows = {line.split("|")[1].strip(" `"): line for line in oldest.strip().splitlines()[2:]}
    expected = {
        "manylinux_2_17": "Debian 8 / Fedora 19 / RHEL 7 / Ubuntu 13.10",
        "manylinux_2_28": "Debian 10 / Fedora 29 / RHEL 8 / Ubuntu 18.10",
        "manylinux_2_31": "Debian 11 / Ubuntu 20.04",
        "manylinux_2_34": "Debian 12 / Fedora 35 / RHEL 9 / Ubuntu 21.10",
        "manylinux_2_35": "Debian 12 / Ubuntu 22.04",
        "manylinux_2_36": "Debian 12",
        "manylinux_2_39": "Debian 13 / Fedora 40 / RHEL 10 / Ubuntu 24.04",
        "manylinux_2_41": "Debian 13",
        "musllinux_1_2": "Alpine 3.13",
    }
    for tag, names in expected.items():
        assert all(re.search(rf" {re.escape(name)}[, ]", rows[tag]) for name in names.split(" / ")), tag
