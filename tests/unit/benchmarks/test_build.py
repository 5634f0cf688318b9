"""How the benchmark reads what engines print and save, and the release that it invents for a bump."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import tarfile
from pathlib import Path
from typing import Any

import pytest
from tests.benchmarks import build as benchmark

from sources.lock import LockedPin, SourcesLock


def saved(path: Path, *contents: bytes, compressed: bool = False, steps: list[str] | None = None) -> list[str]:
    """An image as `save` writes it; returns the digests of its layers."""
    digests = [f"sha256:{hashlib.sha256(content).hexdigest()}" for content in contents]
    history: list[dict[str, Any]] = [{"created_by": "ENV A=1", "empty_layer": True}]
    steps = steps or [f"COPY --from=stage{n} /rootfs / # buildkit" for n in range(len(contents))]
    history += [{"created_by": step} for step in steps]
    names = [f"layer{number}.tar" for number in range(len(contents))]
    files = {
        "manifest.json": json.dumps([{"Config": "config.json", "Layers": names}]).encode(),
        "config.json": json.dumps({"history": history, "rootfs": {"diff_ids": digests}}).encode(),
        **{n: gzip.compress(c) if compressed else c for n, c in zip(names, contents, strict=True)},
    }
    with tarfile.open(path, "w") as tar:
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return digests


@pytest.mark.parametrize("compressed", [False, True])
def test_layers_have_their_step_and_both_sizes(tmp_path: Path, compressed: bool) -> None:
    digests = saved(tmp_path / "image.tar", b"a" * 9000, b"b" * 500, compressed=compressed)
    first, second = benchmark.layers(tmp_path / "image.tar")
    assert [first.digest, second.digest] == digests
    assert (first.size, second.size) == (9000, 500)
    assert first.compressed < 100
    assert [first.made_by, second.made_by] == ["stage0", "stage1"]


def test_what_podman_copied_is_named_by_the_dockerfile(tmp_path: Path) -> None:
    steps = ["/bin/sh -c #(nop) ADD file:1 in / ", *(f"/bin/sh -c #(nop) COPY dir:{n} in / " for n in range(3))]
    saved(tmp_path / "image.tar", b"base", b"scripts", b"git", b"uv", steps=steps)
    dockerfile = (
        "FROM base AS base-system\nCOPY scripts /x\n"
        "FROM base-system AS image\nCOPY --from=git /rootfs /\nARG A\nCOPY --from=uv /rootfs /\n"
        "FROM image AS shared\nCOPY --from=more /rootfs /\n"
    )
    names = [layer.made_by for layer in benchmark.layers(tmp_path / "image.tar", dockerfile)]
    assert names[2:] == ["git", "uv"]
    assert names[1].startswith("COPY")


def test_only_layers_that_are_not_there_yet_are_downloaded(tmp_path: Path) -> None:
    saved(tmp_path / "old.tar", b"kept", b"old")
    saved(tmp_path / "new.tar", b"kept", b"new")
    old, new = (benchmark.layers(tmp_path / name) for name in ("old.tar", "new.tar"))
    assert benchmark.downloaded_again(old, old) == 0
    assert benchmark.downloaded_again(old, new) == pytest.approx(
        new[1].compressed / (new[0].compressed + new[1].compressed)
    )


@pytest.mark.parametrize(
    ("made_by", "expected"),
    [
        ("COPY --from=git /rootfs / # buildkit", "git"),
        ("/bin/sh -c #(nop) COPY --from=cp313-cp313 /rootfs / ", "cp313-cp313"),
        ("RUN /bin/bash -c /manylinux/build_scripts/update-system.sh && b.sh # buildkit", "update-system"),
        ("COPY docker/build_scripts/a.sh /manylinux/ # buildkit", "COPY docker/build_scripts/a.sh /manylinux/ # bui"),
        ("", "base image"),
    ],
)
def test_a_layer_is_named_after_what_made_it(made_by: str, expected: str) -> None:
    assert benchmark.describe_step(made_by) == expected


def test_a_bump_is_another_release_in_one_file(tmp_path: Path) -> None:
    real = tmp_path / "cpython-3.11" / "Python-3.11.2.tar.gz"
    real.parent.mkdir()
    with tarfile.open(real, "w:gz") as tar:
        for name, data in (("Python-3.11.2/Lib/this.py", b"zen\n"), ("Python-3.11.2/README", b"read\n")):
            info = tarfile.TarInfo(name)
            info.size, info.mtime = len(data), 1_600_000_000
            tar.addfile(info, io.BytesIO(data))
    row: LockedPin = {
        "version": "3.11.2",
        "url": "https://example.org/a.tar.gz",
        "sha256": "0" * 64,
        "file": "cpython-3.11/Python-3.11.2.tar.gz",
        "package": "python3.11",
        "suite": "bookworm",
        "verbatim": False,
    }
    lock: SourcesLock = {
        "source": "debian",
        "created": "",
        "suites": [],
        "pins": {"cpython-3.11": row},
        "missing": {},
    }
    moved = benchmark.bump_lock(lock, "cpython-3.11", tmp_path)["pins"]["cpython-3.11"]
    file = tmp_path / moved["file"]
    assert moved["version"] == "3.11.2"
    assert moved["url"].endswith(f"/{file.name}")
    assert moved["sha256"] == hashlib.sha256(file.read_bytes()).hexdigest()
    with tarfile.open(file) as tar:
        texts = {member.name: tar.extractfile(member).read() for member in tar}  # type: ignore[union-attr]
    assert texts == {"Python-3.11.2/Lib/this.py": b"zen\n# A new release.\n", "Python-3.11.2/README": b"read\n"}
    assert lock["pins"]["cpython-3.11"] == row


def test_the_checks_that_take_longest_come_first(tmp_path: Path) -> None:
    rows = [{"check": f"c{n}", "interpreter": "cp39-cp39" if n % 2 else "", "seconds": float(n)} for n in range(20)]
    path = tmp_path / "smoke.json"
    path.write_text(json.dumps({"results": rows}), encoding="utf-8")
    assert list(benchmark.longest_checks(path, 3).items()) == [
        ("c19[cp39-cp39]", 19.0),
        ("c18", 18.0),
        ("c17[cp39-cp39]", 17.0),
    ]
