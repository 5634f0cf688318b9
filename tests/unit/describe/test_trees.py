"""The trees of a finished image, played on a root of its own: which there are, if they are whole, and taken out."""

from __future__ import annotations

import json
import lzma
import os
import subprocess
import sys
import tarfile
from pathlib import Path
from typing import Any

import pytest
from tests.support.image_trees import PREFIX, ImageTree

from catalogue.paths import ROOT

DATE = 1_700_000_000
STATIC = "opt/_internal/static-libs-for-embedding-only.tar.xz"
PARTS = {name: lzma.compress(name.encode() * 50) for name in ("cp313-cp313", "cp313-cp313t")}


def dated(top: Path) -> None:
    for path in [top, *top.rglob("*")]:
        os.utime(path, (DATE, DATE), follow_symlinks=False)


def state(top: Path) -> dict[str, tuple[Any, ...]]:
    """What a layer would have of a directory: types, modes, dates, contents, and which files are one."""
    found: dict[str, tuple[Any, ...]] = {}
    names: dict[int, str] = {}
    for path in sorted(top.rglob("*")):
        status, name = path.lstat(), str(path.relative_to(top))
        content = str(path.readlink()) if path.is_symlink() else path.read_bytes() if path.is_file() else None
        one = names.setdefault(status.st_ino, name) if path.is_file() else name
        found[name] = (status.st_mode, status.st_uid, status.st_gid, status.st_mtime, content, one)
    return found


@pytest.fixture
def image(tmp_path: Path) -> ImageTree:
    """An image of two CPythons, of which one has hard links, an empty directory and another user's file, and a tool."""
    made = ImageTree(tmp_path)
    made.interpreter()
    made.interpreter("cp313-cp313t", f"{PREFIX}-nogil")
    top = made.root / PREFIX
    (top / "lib/empty").mkdir(mode=0o700)
    made.install(f"{PREFIX}/lib/a.py", b"pass\n")
    (top / "lib/b.py").hardlink_to(top / "lib/a.py")
    (top / "bin/python3").symlink_to("python")
    (top / "bin/nowhere").symlink_to("missing")
    (top / "lib/a.py").chmod(0o4750)
    if os.geteuid() == 0:
        os.chown(top / "lib/a.py", 7, 8)
        (top / "lib/a.py").chmod(0o4750)
    made.entry("uv.json", {"kind": "tool", "name": "uv", "version": "1"})
    made.install("opt/_internal/pipx/venvs/uv/bin/uv", b"uv\n")
    (made.root / "usr/local/bin/uv").symlink_to("/opt/_internal/pipx/venvs/uv/bin/uv")
    made.install("opt/_internal/manifest.d/cp313-cp313.spdx", b'{"packages": []}')
    made.install(STATIC, b"".join([*PARTS.values(), lzma.compress(bytes(1024))]))
    dated(made.root)
    made.manifest(DESCRIPTION=json.dumps({"inputs": {"tool-uv": "1" * 64}}))
    return made


def describe(image: ImageTree, *words: str | Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-IB", str(ROOT / "scripts/describe"), "--root", str(image.root), *map(str, words)]
    return subprocess.run(command, text=True, capture_output=True, check=False, env={"PATH": str(image.programs)})


def shown(image: ImageTree) -> dict[str, Any]:
    done = describe(image, "--trees")
    assert (done.returncode, done.stderr) == (0, "")
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_a_tree_comes_out_as_its_stage_had_left_it(image: ImageTree, tmp_path: Path) -> None:
    stage = tmp_path / "stage"
    left = [PREFIX, "opt/python/cp313-cp313", "usr/local/bin/cpython-3.13.15"]
    left += [f"opt/_internal/manifest.d/cp313-cp313.{kind}" for kind in ("json", "spdx")]
    archive = tmp_path / "stage.tar"  # keeps hard links and owners, as an engine's COPY does
    with tarfile.open(archive, "w") as tar:
        for name in left:
            tar.add(image.root / name, name)
    with tarfile.open(archive) as tar:
        tar.extractall(stage, filter="fully_trusted")
    for name in ("opt", "opt/python", "opt/_internal", "usr", "usr/local", "usr/local/bin", "opt/_internal/manifest.d"):
        (stage / name).chmod(0o755)
    dated(stage)
    done = describe(image, "--take", tmp_path / "taken")
    assert (done.returncode, done.stderr) == (0, "")
    assert state(tmp_path / "taken/cp313-cp313/rootfs") == state(stage)
    assert {path.name for path in (tmp_path / "taken").iterdir()} == {"cp313-cp313", "cp313-cp313t", "uv"}
    for name, part in PARTS.items():
        path = tmp_path / "taken" / name / "static" / f"{name}.tar.xz"
        assert (path.read_bytes(), path.stat().st_mtime) == (part, DATE)
    assert list((tmp_path / "taken/uv/static").iterdir()) == []


def test_what_an_image_has_to_give(image: ImageTree) -> None:
    found = shown(image)
    assert found["inputs"] == {"tool-uv": "1" * 64}
    assert set(found["trees"]) == {"cp313-cp313", "cp313-cp313t", "uv"} and found["damaged"] == {}
    assert shown(image) == found
    path = image.root / PREFIX / "lib/empty"
    path.chmod(0o755)
    os.utime(path, (DATE, DATE))
    after = shown(image)["trees"]
    assert {name for name in after if after[name] != found["trees"][name]} == {"cp313-cp313"}


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (
            "echo no >root/opt/_internal/pipx/venvs/uv/bin/uv",
            "/opt/_internal/pipx/venvs/uv/bin/uv is not what files.sh",
        ),
        ("rm root/opt/_internal/pipx/venvs/uv/bin/uv", "/opt/_internal/pipx/venvs/uv/bin/uv is missing"),
        ("ln -sf /bin/sh root/usr/local/bin/uv", "/usr/local/bin/uv is not what files.sha256 says"),
        ("touch root/opt/_internal/pipx/venvs/uv/bin/uv", "/opt/_internal/pipx/venvs/uv/bin/uv has another date"),
        ("echo >>root/opt/_internal/manifest.d/uv.json", "/opt/_internal/manifest.d/uv.json is not what files.sha256"),
    ],
)
def test_a_damaged_tree_is_not_taken(image: ImageTree, tmp_path: Path, damage: str, said: str) -> None:
    subprocess.run(damage, shell=True, cwd=tmp_path, check=True)
    found = shown(image)
    assert set(found["trees"]) == {"cp313-cp313", "cp313-cp313t"}
    assert list(found["damaged"]) == ["uv"] and found["damaged"]["uv"].startswith(said)
    done = describe(image, "--take", tmp_path / "taken")
    assert done.returncode == 0 and f"not taken: uv: {said}" in done.stderr
    assert {path.name for path in (tmp_path / "taken").iterdir()} == {"cp313-cp313", "cp313-cp313t"}


@pytest.mark.parametrize("content", [b"", PARTS["cp313-cp313"]])
def test_without_its_static_library_no_cpython_is_whole(image: ImageTree, content: bytes) -> None:
    image.install(STATIC, content)
    assert shown(image)["damaged"] == dict.fromkeys(PARTS, f"/{STATIC} is not whole")


def test_a_file_that_was_added_later_is_not_taken(image: ImageTree, tmp_path: Path) -> None:
    image.install(f"{PREFIX}/lib/late.py", b"")
    assert shown(image)["damaged"] == {}
    describe(image, "--take", tmp_path / "taken")
    assert not (tmp_path / "taken/cp313-cp313/rootfs" / PREFIX / "lib/late.py").exists()


def test_the_openssl_of_the_shared_variant_lies_where_the_images_own_does(image: ImageTree) -> None:
    image.entry("openssl.json", {"kind": "component", "name": "openssl", "version": "3.5.7"})
    image.install("opt/_internal/openssl-3.5/lib/libssl.so.3")
    dated(image.root)
    image.manifest()
    assert "openssl" in shown(image)["trees"]
    image.interpreter("shared-cpython-3.13", "opt/shared-cpython-3.13")
    (image.root / "opt/python/shared-cpython-3.13").unlink()
    dated(image.root)
    image.manifest(VARIANT="shared")
    assert {"shared-openssl", "shared-cpython-3.13"} <= set(shown(image)["trees"])
    assert "openssl" not in shown(image)["trees"]


def test_an_image_that_does_not_describe_itself_is_an_error(image: ImageTree) -> None:
    (image.root / "opt/_internal/files.sha256").unlink()
    assert describe(image, "--trees").returncode != 0
