"""Every package of the Debian images exists, for every architecture: apt's own resolver, asked with the real index."""

from __future__ import annotations

import concurrent.futures
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from catalogue import images, packages
from catalogue.model import Image
from debian import archive
from debian import base as debian_base

IMAGES = [i for i in images.load().images(published_only=False) if i.policy.distribution.startswith("debian-")]
SUBSTITUTES = sorted((packages.PACKAGES / "debian").glob("no-*.control"))

pytestmark = [pytest.mark.network, pytest.mark.skipif(not shutil.which("apt-get"), reason="there is no apt-get here")]


def isolated_apt(directory: Path, architecture: str, suite: str) -> list[str]:
    """apt-get with a state of its own: an empty machine of that architecture and suite, on this machine's mirrors."""
    keyring = next(iter(archive.find_keyrings()))
    # Names and dependencies are settled when a release is; its updates and security fixes bring none.
    mirror = next(source for source in archive.find_sources() if source.pockets - {"security"})
    source = f"deb [signed-by={keyring}] {mirror.root} {suite} main\n"
    (directory / "sources.list").write_text(source, encoding="utf-8")
    for name in ("lists/partial", "cache/archives/partial", "parts"):
        (directory / name).mkdir(parents=True)
    controls = [path.read_text(encoding="utf-8") for path in SUBSTITUTES]
    status = [control.replace("\n", "\nStatus: install ok installed\n", 1) for control in controls]
    (directory / "status").write_text("\n".join(status), encoding="utf-8")
    options = {
        "APT::Architecture": architecture,
        "APT::Architectures": architecture,
        "APT::Sandbox::User": "",
        "APT::Update::Error-Mode": "any",
        "Acquire::Languages": "none",
        "Dir::Etc::sourcelist": directory / "sources.list",
        "Dir::Etc::sourceparts": directory / "parts",
        "Dir::State::lists": directory / "lists",
        "Dir::State::status": directory / "status",
        "Dir::Cache": directory / "cache",
        "Debug::NoLocking": "true",
    }
    return ["apt-get", "-q", *(part for key, value in options.items() for part in ("-o", f"{key}={value}"))]


def resolve(image: Image, directory: Path) -> subprocess.CompletedProcess[str]:
    """What apt would install on an empty machine for all layers of an image."""
    apt = isolated_apt(directory, image.platform.debian, debian_base.debian_base_of(image).suite)
    names = packages.read(image.policy.package_sets, image.platform.name, packages.LAYERS)
    for command in (["update"], ["install", "-s", "--no-install-recommends", *names]):
        done = subprocess.run([*apt, *command], capture_output=True, text=True, timeout=600)
        if done.returncode:
            break
    return done


@pytest.fixture(scope="module")
def resolved(tmp_path_factory: pytest.TempPathFactory) -> dict[str, subprocess.CompletedProcess[str]]:
    """The answers for all images; most of the time goes into fetching ten megabytes of index for each."""
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        directories = [tmp_path_factory.mktemp(image.name) for image in IMAGES]
        return dict(zip((image.name for image in IMAGES), pool.map(resolve, IMAGES, directories), strict=True))


@pytest.mark.parametrize("image", IMAGES, ids=lambda image: image.name)
def test_every_package_resolves(image: Image, resolved: dict[str, subprocess.CompletedProcess[str]]) -> None:
    done = resolved[image.name]
    assert done.returncode == 0, done.stdout + done.stderr
    names = packages.read(image.policy.package_sets, image.platform.name, packages.LAYERS)
    installed = set(re.findall(r"(?m)^Inst (\S+) ", done.stdout))
    # In both releases util-linux provides hardlink, which is a package of its own in Ubuntu 20.04.
    assert set(names) - installed == {"hardlink"}
    assert "util-linux" in installed
    drivers = [name for name in installed if name.startswith(("libllvm", "libgl1-mesa-dri", "libglx-mesa"))]
    assert not drivers, "no-gl-driver.control no longer keeps OpenGL drivers out"
    sanitizers = [name for name in installed if re.fullmatch(r"lib\w+san\d+", name)]
    assert not sanitizers, "no-sanitizers.control no longer keeps sanitizers out: add the names"
