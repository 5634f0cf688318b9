"""cibuildwheel's environment: an image, this machine's engine, and what its site needs in the container."""

from __future__ import annotations

import contextlib
import re
import shlex
from collections.abc import Iterator, Sequence
from pathlib import Path

from catalogue.interpreters import Interpreter
from catalogue.model import Image
from engine.commands import Mount
from engine.engine import Engine
from host.mirror import debian_suite
from host.site import Site
from plan import cibuildwheel

INSTALL = {  # family -> how a build gets packages of the distribution
    "debian": "apt-get -o APT::Update::Error-Mode=any update -qq && apt-get install -qq --no-install-recommends",
    "rhel": "yum install -q -y",
    "alpine": "apk add --no-progress",
}


@contextlib.contextmanager
def surroundings(
    engine: Engine, image: Image, reference: str, interpreters: Sequence[Interpreter]
) -> Iterator[dict[str, str]]:
    """The environment in which cibuildwheel uses `reference`, without the caller's own settings for it."""
    site, suite = Site.of_this_machine(), debian_suite(image.policy.distribution)
    with site.pip_conf_mount() as mounts, site.written(suite) as secrets:
        if "apt" in secrets:
            # The image has the distribution's keys; what the site's own apt knows beyond them, builds unpack.
            plain = secrets["apt"].with_name("sources.list")
            plain.write_text(re.sub(r" signed-by=\S+?(?=[\] ])", "", secrets["apt"].read_text(encoding="utf-8")))
            mounts = [*mounts, Mount(plain, "/etc/apt/sources.list")]
        env = {name: value for name, value in engine.environment().items() if not name.startswith("CIBW_")}
        env |= cibuildwheel.variables(engine, image, reference, interpreters, site.ca, mounts)
        yield {**env, "PATH": f"{Path(engine.launcher()).parent}:{env['PATH']}"}


def installing(image: Image, packages: Sequence[str]) -> str:
    """The shell command that installs packages of the distribution in a container; "" without packages."""
    return f"{INSTALL[image.policy.family]} {shlex.join(packages)}" if packages else ""
