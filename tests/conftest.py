"""What a test may need of the machine: a test whose mark asks for more than there is, is skipped and says why."""

from __future__ import annotations

import functools
import os
import signal
import socket
from collections.abc import Iterator

import hypothesis
import pytest

from catalogue import images
from engine import choose
from host.site import Site
from portable import errors
from tests.skips import pytest_sessionfinish, pytest_terminal_summary
from tests.support.programs import require

__all__ = ["pytest_sessionfinish", "pytest_terminal_summary"]  # hooks

# Whatever repository, author or setting the caller's git has (a hook's, too) is neither read nor written.
for name in [name for name in os.environ if name.startswith("GIT_") and not name.startswith("GIT_SSL_")]:
    del os.environ[name]
os.environ["GIT_CONFIG_GLOBAL"] = os.environ["GIT_CONFIG_SYSTEM"] = os.devnull

# The tests are about the table itself: they hold in a fork, whatever its overlay chooses.
os.environ["MANYLINUX_IMAGES_OVERLAY"] = str(images.NO_OVERLAY)

# What tests start inherits which signals are ignored: nohup and a script's background jobs ignore some.
signal.signal(signal.SIGINT, signal.default_int_handler)
for number in (signal.SIGTERM, signal.SIGHUP):
    signal.signal(number, signal.SIG_DFL)

# A busy machine is no reason to fail: what an example may take is not what these tests are about.
hypothesis.settings.register_profile(
    "patient", hypothesis.settings(), deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)
hypothesis.settings.load_profile("patient")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--update-golden", action="store_true", help="rewrite what tests expect, in files, by what is now")


@pytest.fixture(scope="session")
def update_golden(pytestconfig: pytest.Config) -> bool:
    """Whether files of expectations are rewritten instead of compared: read the difference before it is committed."""
    return bool(pytestconfig.getoption("--update-golden"))


@pytest.fixture(autouse=True)
def signals_of_the_foreground() -> Iterator[None]:
    """What a test starts is told of Ctrl+C, also when the tests are a shell's job in the background or under nohup."""
    wanted = {signal.SIGINT: signal.default_int_handler, signal.SIGQUIT: signal.SIG_DFL, signal.SIGHUP: signal.SIG_DFL}
    before = {number: signal.signal(number, handler) for number, handler in wanted.items()}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


def pytest_runtest_setup(item: pytest.Item) -> None:
    for mark, lacking in (("engine", no_engine), ("network", no_network)):
        if item.get_closest_marker(mark) and (reason := lacking()):
            pytest.skip(reason)
    for mark in item.iter_markers("program"):
        require(*mark.args)


@functools.cache
def no_engine() -> str:
    """Why there is no container engine; empty when there is one."""
    try:
        choose.engine(Site.of_this_machine().reach())
    except (errors.UserError, errors.Failure) as error:
        return " ".join(str(error).split())
    return ""


@functools.cache
def no_network() -> str:
    """Why neither a distribution mirror nor a Python index can be asked; empty when one can."""
    reach = Site.of_this_machine().reach()
    if reach is None:
        return "this machine names neither a Debian mirror nor a Python index of its own"
    try:
        with socket.create_connection(reach, timeout=20):
            return ""
    except OSError as error:
        return f"{reach[0]}:{reach[1]} does not answer: {error}"
