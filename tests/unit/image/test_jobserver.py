"""build_scripts/lib/jobserver.sh: makes that run side by side share the processors, whatever happens to one of them."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.support import programs

from catalogue import pins

JOBSERVER = pins.DOCKERFILE.parent / "build_scripts" / "lib" / "jobserver.sh"
DEFAULT = os.environ["PATH"]
PROCESSORS = 3
JOBS = 6
# Lines shorter than a pipe's buffer do not mix, so the log has the order in which jobs began and ended.
MAKEFILE = f"""\
all: {" ".join(f"job-{number}" for number in range(JOBS))}
job-%:
\t@echo begin >>log; sleep 0.2; echo end >>log
failing:
\t@exit 3
endless:
\t@echo begin >>log; sleep 300
"""

pytestmark = pytest.mark.program("make")


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A directory with a Makefile, an empty cache mount and a machine of PROCESSORS processors."""
    (tmp_path / "bin").mkdir()
    (tmp_path / "mount").mkdir()
    (tmp_path / "Makefile").write_text(MAKEFILE, encoding="utf-8")
    programs.program(tmp_path / "bin" / "nproc", f"echo {PROCESSORS}")
    return tmp_path


@pytest.fixture
def tokens(place: Path) -> Iterator[int]:
    """The FIFO, held open as by another stage: what is in it stays there."""
    os.mkfifo(place / "mount" / "tokens")
    opened = os.open(place / "mount" / "tokens", os.O_RDWR | os.O_NONBLOCK)
    yield opened
    os.close(opened)


def start(place: Path, target: str = "all", mount: str = "mount", more: str = DEFAULT) -> subprocess.Popen[bytes]:
    """A stage that compiles. `more`: where programs are, besides place/bin."""
    return subprocess.Popen(
        ["bash", "-c", f"set -Eeuo pipefail; source {JOBSERVER}; parallel_make {target}; echo after make"],
        cwd=place,
        env={"PATH": f"{place / 'bin'}:{more}", "JOBSERVER": str(place / mount)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )


def result(process: subprocess.Popen[bytes]) -> tuple[int, str]:
    """Its status, and what it printed."""
    output, _ = process.communicate(timeout=60)
    return process.returncode, output.decode()


def most_at_once(place: Path, jobs: int) -> int:
    """How many jobs ran at the same time, of as many as there were."""
    lines = (place / "log").read_text(encoding="utf-8").splitlines()
    assert lines.count("begin") == lines.count("end") == jobs
    running = [lines[: number + 1].count("begin") - lines[:number].count("end") for number in range(len(lines))]
    return max(running)


def test_together_they_use_all_processors_and_no_more(place: Path) -> None:
    stages = [start(place) for _ in range(4)]
    assert [result(stage)[0] for stage in stages] == [0] * 4
    assert most_at_once(place, 4 * JOBS) == PROCESSORS


def test_one_alone_has_all_processors(place: Path) -> None:
    status, output = result(start(place))
    assert (status, most_at_once(place, JOBS)) == (0, PROCESSORS)
    assert "warning" not in output


@pytest.mark.parametrize("mount", ["no-such-directory", "Makefile"], ids=["absent", "not for us"])
def test_where_nothing_can_be_shared_it_has_all_processors(place: Path, mount: str) -> None:
    status, output = result(start(place, mount=mount))
    assert (status, most_at_once(place, JOBS)) == (0, PROCESSORS)
    assert "mkfifo" not in output


def test_without_flock_it_has_all_processors(place: Path) -> None:
    for name in ("bash", "make", "mkfifo", "sh", "sleep"):
        (place / "bin" / name).symlink_to(shutil.which(name) or name)
    status, output = result(start(place, more="/nonexistent"))
    assert (status, most_at_once(place, JOBS)) == (0, PROCESSORS)
    assert "not found" not in output


@pytest.mark.parametrize(("target", "status"), [("all", 0), ("failing", 2)])
def test_all_tokens_come_back(place: Path, tokens: int, target: str, status: int) -> None:
    found, output = result(start(place, target))
    assert found == status
    assert ("after make" in output) == (status == 0)
    assert len(os.read(tokens, 100)) == PROCESSORS


def test_what_a_killed_stage_has_taken_is_there_again(place: Path) -> None:
    """An engine kills the stages of a build that fails or is interrupted."""
    killed = start(place, "endless")
    programs.wait_until((place / "log").exists)
    waiting = start(place)
    os.killpg(killed.pid, signal.SIGKILL)
    killed.communicate()
    (place / "log").unlink()
    assert result(waiting)[0] == 0
    assert most_at_once(place, JOBS) == PROCESSORS


@pytest.fixture
def working(place: Path) -> Iterator[list[subprocess.Popen[bytes]]]:
    """Stages that work on all processors, without end."""
    stages = [start(place, "endless") for _ in range(PROCESSORS)]
    programs.wait_until(lambda: (place / "log").exists() and (place / "log").read_text() == "begin\n" * PROCESSORS)
    yield stages
    kill(stages)


def kill(stages: list[subprocess.Popen[bytes]]) -> None:
    for stage in stages:
        if stage.poll() is None:
            os.killpg(stage.pid, signal.SIGKILL)
            stage.communicate()


def waits(stage: subprocess.Popen[bytes]) -> bool:
    try:
        stage.wait(timeout=2)
    except subprocess.TimeoutExpired:
        return True
    return False


def test_one_that_waits_replaces_the_tokens_of_killed_stages(
    place: Path, working: list[subprocess.Popen[bytes]]
) -> None:
    waiting = start(place)
    assert waits(waiting)
    kill(working)
    (place / "log").unlink()
    assert result(waiting)[0] == 0
    assert most_at_once(place, JOBS) == PROCESSORS


def test_it_waits_while_others_work_on_all_processors(place: Path, working: list[subprocess.Popen[bytes]]) -> None:
    """A make takes a token for its first job, too."""
    waiting = start(place, "failing")
    assert waits(waiting)
    os.killpg(working[0].pid, signal.SIGTERM)
    assert result(waiting)[0] == 2
    working[0].communicate()


def test_looking_for_the_dead_keeps_nobody_out(place: Path, working: list[subprocess.Popen[bytes]]) -> None:
    """A stage that has its token ends its own watch, which may be asking for the lock at that moment."""
    slowly = f'if [[ "$1" == -n ]]; then sleep 2; fi; exec {shutil.which("flock")} "$@"'
    programs.program(place / "bin" / "flock", slowly)
    waiting = start(place, "endless")
    time.sleep(3)  # it asked for two seconds whether somebody works, and its watch is asking now
    for stage in working:
        os.killpg(stage.pid, signal.SIGTERM)
        stage.communicate()
    assert result(start(place, "failing"))[0] == 2
    kill([waiting])
