"""docs/example in a real image: the command of its README builds, repairs and tests a wheel with each CPython.

It needs an image and a Python index: MANYLINUX_TEST_IMAGE=REFERENCE pytest tests/integration/test_example.py
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from catalogue import paths
from engine import choose
from engine.commands import Mount
from host.site import Site

IMAGE = os.environ.get("MANYLINUX_TEST_IMAGE", "")
EXAMPLE = paths.ROOT / "docs" / "example"


@pytest.mark.engine
@pytest.mark.skipif(not IMAGE, reason="MANYLINUX_TEST_IMAGE is not set")
def test_the_example_becomes_a_wheel_for_each_cpython(tmp_path: Path) -> None:
    engine = choose.engine()
    project = tmp_path / "project"
    shutil.copytree(EXAMPLE, project)
    site = Site.of_this_machine()
    with site.pip_conf_mount() as mounts:
        ca = [Mount(site.ca, "/opt/_internal/certs.pem")] if site.ca else []
        argv = engine.run(
            IMAGE,
            ["/io/build-wheels.sh"],
            mounts=[Mount(project, "/io", read_only=False), *ca, *mounts],
            env={"PIP_CERT": "/opt/_internal/certs.pem"},
            inherited=site.proxies,
            network=None,
        )
        environment = {**os.environ, **engine.env}
        done = subprocess.run(argv, env=environment, text=True, capture_output=True, check=False)
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-4000:]

    tags = set(re.findall(r"^=== (\S+)$", done.stdout, re.MULTILINE))
    wheels = [path.name for path in (project / "wheelhouse").glob("*.whl")]
    assert tags and {"-".join(name.split("-")[2:4]) for name in wheels} == tags
    assert all(re.search(r"(many|musl)linux_\d", name) for name in wheels)
