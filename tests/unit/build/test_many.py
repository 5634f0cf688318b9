"""Many builds side by side, with a stand-in for build.sh."""

from __future__ import annotations

import io
import re
import signal
import subprocess
from pathlib import Path

import pytest
from tests.support.programs import program, python, wait_until

from build import many
from build.many import Builder
from catalogue import images
from portable import progress
from portable.progress import Progress

CHOSEN = images.load().select(["manylinux_2_36_x86_64", "manylinux_2_36_i686", "musllinux_1_2_x86_64-shared"])


@pytest.fixture
def script(tmp_path: Path) -> Path:
    """Says what it was asked for, fails for i686, and notes when it began and ended."""
    return program(
        tmp_path / "build.sh",
        'trap "echo cleaned; exit 143" TERM\n'
        'echo "${POLICY} ${PLATFORM} ${VARIANT:-none} ${COMMIT_SHA:-none} $*"\n'
        f'echo "begin $(date +%s%N)" >>{tmp_path}/times\n'
        'echo "==> building"\n'
        '[[ "${MANYLINUX_BUILD_VERBOSE}" == 1 ]] && echo "#5 [component-git 2/2] RUN build"\n'
        "sleep ${SECONDS_EACH:-0.3} >/dev/null 2>&1 & wait $!\n"
        f'echo "end $(date +%s%N)" >>{tmp_path}/times\n'
        'if [[ "${PLATFORM}" == i686 ]]; then echo "error: no luck"; exit 1; fi',
    )


def most_at_a_time(times: Path) -> int:
    running = most = 0
    for line in sorted(times.read_text(encoding="utf-8").splitlines(), key=lambda line: int(line.split()[1])):
        running += 1 if line.startswith("begin") else -1
        most = max(most, running)
    return most


@pytest.mark.parametrize("jobs", [1, 3])
def test_a_failure_stops_no_other_and_each_has_its_log(
    tmp_path: Path, script: Path, jobs: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VARIANT", "other")  # the name of the image says it
    monkeypatch.setattr(progress, "HEARTBEAT_SECONDS", 0.05)
    stream = io.StringIO()
    builder = Builder(["--offline"], "local", tmp_path / "logs", script)
    with Progress(stream) as shown:
        outcomes = builder.all(CHOSEN, jobs, shown)
    assert [outcome.status for outcome in outcomes] == [0, 1, 0]
    assert [outcome.log.read_text(encoding="utf-8").splitlines()[0] for outcome in outcomes] == [
        "manylinux_2_36 x86_64 none local --offline",
        "manylinux_2_36 i686 none local --offline",
        "musllinux_1_2 x86_64 shared local --offline",
    ]
    assert most_at_a_time(tmp_path / "times") == jobs
    text = many.summary(outcomes).splitlines()
    assert text[1].startswith("failed  manylinux_2_36_i686")
    assert text[1].endswith("error: no luck")
    assert text[-1] == "2 of 3 built"
    assert "manylinux_2_36_x86_64: ok" in stream.getvalue()
    assert re.search(r"manylinux_2_36_x86_64 \d s component-git \d s", stream.getvalue()), "the stage it is at"


def two_long_builds(tmp_path: Path, script: Path) -> subprocess.Popen[str]:
    """A process of which both builds have begun."""
    code = (
        "import sys; from pathlib import Path; from build import many; from catalogue import images\n"
        "from portable import errors; from portable.progress import Progress\n"
        "chosen = images.load().select(['manylinux_2_36_*'])\n"
        f"builder = many.Builder((), '', Path({str(tmp_path / 'logs')!r}), Path({str(script)!r}))\n"
        "def main():\n"
        "    with Progress(quiet=True) as shown: builder.all(chosen, 2, shown)\n"
        "sys.exit(errors.run(main))\n"
    )
    process = python(code, {"SECONDS_EACH": "30"}, stderr=subprocess.DEVNULL)
    times = tmp_path / "times"
    wait_until(lambda: times.exists() and times.read_text().count("begin") == 2, 30)
    return process


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_told_to_end_it_lets_builds_clean_up_and_begins_no_more(
    tmp_path: Path, script: Path, number: signal.Signals
) -> None:
    process = two_long_builds(tmp_path, script)
    process.send_signal(number)
    assert process.wait(timeout=30) == 130
    logs = [path.read_text(encoding="utf-8") for path in (tmp_path / "logs").iterdir()]
    assert len(logs) == 2
    assert all("cleaned" in log for log in logs)


def test_in_the_background_of_a_shell_it_goes_on_after_ctrl_c_and_ends_by_sigterm(tmp_path: Path, script: Path) -> None:
    """A script's `./build.sh &`, or nohup: what is to be ignored there is for us, not for what we start to be ended."""
    for number in (signal.SIGINT, signal.SIGQUIT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    process = two_long_builds(tmp_path, script)
    for number in (signal.SIGINT, signal.SIGHUP):
        process.send_signal(number)
    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(timeout=0.5)
    process.terminate()
    assert process.wait(timeout=30) == 130
    assert all("cleaned" in path.read_text(encoding="utf-8") for path in (tmp_path / "logs").iterdir())
