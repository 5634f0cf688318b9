"""The law of configure's shared answers: what a CPython publishes is the same with them and without."""

from __future__ import annotations

import os

import pytest

from catalogue.paths import DOCKER
from engine import choose
from engine.commands import Mount
from sources.lock import LOCK, SOURCES, load_lock

IMAGE = os.environ.get("MANYLINUX_TEST_IMAGE", "")
LIMIT = 1200  # seconds, for what takes one minute on an idle machine
SCRIPT = r"""
set -eu
/manylinux/build_scripts/answer-configure.sh
mkdir /tmp/source && cd /tmp/source && tar --extract --strip-components=1 --file "$1"
configured() { CONFIG_SITE="$1" CC=gcc CXX=g++ ./configure --disable-shared --with-ensurepip=no >"$2.log"; }
configured /answers/config.site with
mkdir with && mv pyconfig.h Makefile with/
configured /dev/null without
diff -u with/pyconfig.h pyconfig.h && diff -u with/Makefile Makefile
grep -c '(cached)' with.log
"""

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not IMAGE, reason="MANYLINUX_TEST_IMAGE is not set"),
    pytest.mark.skipif(not LOCK.exists(), reason="there is no lock: ./build.sh --bootstrap makes it"),
]


@pytest.mark.parametrize("which", [0, -1], ids=["oldest", "newest"])
def test_a_cpython_publishes_the_same_without_them(which: int) -> None:
    pins = load_lock(LOCK)["pins"]
    names = sorted((name for name in pins if name.startswith("cpython-")), key=lambda name: int(name.split(".")[1]))
    mounts = [Mount(DOCKER / "build_scripts", "/manylinux/build_scripts"), Mount(SOURCES, "/sources")]
    command = ["bash", "-c", SCRIPT, "configure", f"/sources/{pins[names[which]]['file']}"]
    done = choose.engine().contain(IMAGE, command, LIMIT, mounts=mounts)
    assert done.returncode == 0, done.stdout[-5000:] + done.stderr[-5000:]
    assert int(done.stdout.split()[-1]) > 200
