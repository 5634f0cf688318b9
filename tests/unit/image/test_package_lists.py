"""docker/packages, as docker/build_scripts and scripts/catalogue/packages.py read it."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import pytest

from catalogue import images, packages
from catalogue.model import Image
from portable import errors

ROOT = Path(__file__).resolve().parents[3]
BUILD_SCRIPTS = ROOT / "docker" / "build_scripts"
CATALOGUE = images.load()
IMAGES = CATALOGUE.images(published_only=False)


def packages_of(
    sets: str, layers: str, directory: Path, family: str = "alpine", distribution: str = "", platform: str = "x86_64"
) -> subprocess.CompletedProcess[str]:
    """What docker/build_scripts/lib/system.sh reads from a directory of package sets."""
    env = {
        "HERE": str(BUILD_SCRIPTS),
        "PATH": os.environ["PATH"],
        "FAMILY": family,
        "LIBC": "glibc",
        "DISTRIBUTION": distribution,
        "PLATFORM": platform,
        "PACKAGE_SETS": sets,
    }
    sourced = 'for name in lib system; do source "${HERE}/lib/${name}.sh"; done'
    script = sourced + '; PACKAGES="$1"; shift; for i; do packages_of "$i"; done'
    command = ["bash", "-euc", script, "bash", str(directory), *layers.split()]
    return subprocess.run(command, env=env, capture_output=True, text=True)


@pytest.mark.parametrize("image", IMAGES, ids=lambda image: image.name)
def test_bash_and_python_read_the_same_packages(image: Image) -> None:
    policy, platform = image.policy, image.platform.name
    layers = " ".join(packages.LAYERS)
    bash = packages_of(
        " ".join(policy.package_sets), layers, packages.PACKAGES, policy.family, policy.distribution, platform
    )
    assert bash.returncode == 0, bash.stderr
    assert tuple(bash.stdout.split()) == packages.read(policy.package_sets, platform, packages.LAYERS)


def test_every_package_file_is_used_and_sorted_out() -> None:
    used = {name for image in IMAGES for name in image.policy.package_sets}
    assert {path.name for path in packages.PACKAGES.iterdir() if path.is_dir()} == used
    components = {name for policy in CATALOGUE.policies.values() for name in policy.build}
    for path in packages.PACKAGES.glob("*/*.txt"):
        assert path.stem in {*packages.LAYERS, *components}, path
        names = re.findall(r"(?m)^([^\s#]+)", path.read_text(encoding="utf-8"))
        assert names and len(set(names)) == len(names), f"{path} is empty or names something twice"


@pytest.mark.parametrize(
    ("line", "x86_64", "i686"),
    [
        ("yasm", ("yasm",), ("yasm",)),
        ("yasm [x86_64]  # assembler", ("yasm",), ()),
        ("yasm [!x86_64]", (), ("yasm",)),
        ("# yasm", (), ()),
        ("g++", ("g++",), ("g++",)),
    ],
)
def test_a_line_may_be_for_some_platforms(
    tmp_path: Path, line: str, x86_64: tuple[str, ...], i686: tuple[str, ...]
) -> None:
    (tmp_path / "one").mkdir()
    (tmp_path / "one" / "base.txt").write_text(line + "\n", encoding="utf-8")
    assert packages.read(["one"], "x86_64", ["base"], tmp_path) == x86_64
    assert packages.read(["one"], "i686", ["base"], tmp_path) == i686


@pytest.mark.parametrize(
    ("sets", "layer", "message"),
    [
        (["two"], "base", "no package set 'two'"),
        (["one"], "fonts", "has a layer 'fonts'"),
        (["one"], "base", "base.txt:2: write 'name', 'name [platform]' or 'name [!platform]'"),
    ],
)
def test_a_wrong_list_is_refused(tmp_path: Path, sets: list[str], layer: str, message: str) -> None:
    (tmp_path / "one").mkdir()
    (tmp_path / "one" / "base.txt").write_text("# tools\ngcc g++\n", encoding="utf-8")
    with pytest.raises(errors.UserError, match=re.escape(message)):
        packages.read(sets, "x86_64", [layer], tmp_path)
    bash = packages_of(" ".join(sets), layer, tmp_path)
    assert bash.returncode == 1
    assert bash.stderr.startswith("error: ")
    assert bash.stdout == ""
