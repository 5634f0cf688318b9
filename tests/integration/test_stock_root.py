"""README's command for developers on a new Debian that has python3, git and ca-certificates and nothing else."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from catalogue import paths
from debian import base as debian_base
from host.mirror import Mirror
from host.site import Site

SUITE = "bookworm"
SITE = "etc/apt/site"
BUNDLE = Path("/etc/ssl/certs/ca-certificates.crt")
KEPT = ("http_proxy", "https_proxy", "no_proxy", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY")


@pytest.fixture(scope="module")
def stock(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A root made with mmdebstrap that has this project at /manylinux, and what its owner has set up for this site."""
    if os.geteuid() != 0 or not shutil.which("mmdebstrap"):
        pytest.skip("making a Debian root takes root and mmdebstrap")
    site = Site.of_this_machine()
    if site.mirror is None:
        pytest.skip("this machine has no Debian mirror")
    architecture = subprocess.run(["dpkg", "--print-architecture"], capture_output=True, text=True, check=True).stdout
    mirror, _ = site.mirror.usable(SUITE, architecture.strip())
    root = tmp_path_factory.mktemp("stock") / "root"
    mirror.write_files(root.parent)
    options = [f"--aptopt={option}" for option in debian_base.apt_options(mirror, root.parent)]
    command = ["mmdebstrap", "--quiet", "--variant=minbase", "--include=python3,git,ca-certificates", *options]
    sources = "\n".join((*mirror.lines(SUITE, directory=root.parent), ""))
    subprocess.run([*command, SUITE, str(root), "-"], input=sources, text=True, check=True)
    try:
        clone = ["git", "clone", "--quiet", "--no-local", str(paths.ROOT), str(root / "manylinux")]
        subprocess.run(clone, check=True)
        for path in (BUNDLE, Path("/etc/resolv.conf"), Path("/etc/hosts")):
            if path.exists():
                shutil.copyfile(path, root / path.relative_to("/"))
        (root / "etc/pip.conf").write_text(site.indexes.pip_conf())
        set_up_apt(root, mirror)
        root.chmod(0o755)
        yield root
    finally:
        shutil.rmtree(root)


def set_up_apt(root: Path, mirror: Mirror) -> None:
    """The mirror, as apt in there finds it."""
    shutil.rmtree(root / "etc/apt/sources.list.d")
    (root / SITE).mkdir()
    for name, content in mirror.files(Path("/", SITE)).items():
        (root / SITE / name).write_bytes(content)
    if (root / SITE / "apt.conf").exists():
        (root / SITE / "apt.conf").rename(root / "etc/apt/apt.conf.d/site")
    lines = mirror.lines(SUITE, directory=Path("/", SITE))
    (root / "etc/apt/sources.list").write_text("\n".join((*lines, "")))


@pytest.mark.network
@pytest.mark.slow
def test_the_environment_makes_itself_for_root_and_for_a_user_with_umask_077(stock: Path) -> None:
    inside = ["unshare", "--mount", "--pid", "--fork", f"--mount-proc={stock}/proc", "chroot", str(stock)]
    env = {name: os.environ[name] for name in KEPT if name in os.environ}
    done = subprocess.run(
        [*inside, "/manylinux/.ci/stock", "./scripts/dev", "nox", "-l"],
        env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", **env},
        capture_output=True,
        text=True,
        timeout=1200,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    root, user = done.stdout.split("=== as ")[1:]
    assert root.startswith("root, umask 022") and user.startswith("stock, umask 077")
    for said in (root, user):
        assert "* lint -> " in said
    assert done.stderr.count("dev: making .venv") == 2
