"""The tests do not depend on how they were started."""

from __future__ import annotations

import signal
import subprocess
import sys

from catalogue import paths


def test_in_the_background_of_a_shell_the_tests_pass_too() -> None:
    """Such a job ignores SIGINT, and so does all that it starts: tests that send one would wait in vain."""
    test = "tests/unit/build/test_many.py::test_told_to_end_it_lets_builds_clean_up_and_begins_no_more[2]"
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", test]
    ignoring = ["bash", "-c", "trap '' INT QUIT HUP; exec \"$@\"", "bash"]
    done = subprocess.run([*ignoring, *command], cwd=paths.ROOT, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout
    assert "1 passed" in done.stdout
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
