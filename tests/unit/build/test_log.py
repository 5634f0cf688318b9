"""The stages in what engines say: recorded words of BuildKit and podman, and what is shown and said of them."""

from __future__ import annotations

import io
import re
from pathlib import Path

import pytest
from tests.support.programs import program

from build import log as build_log
from build.log import Stages
from engine.commands import ImageBuild
from engine.engine import Engine
from portable import errors
from portable.progress import Progress

BUILDKIT = """\
#0 building with "default" instance using docker driver

#1 [internal] load build definition from Dockerfile
#1 transferring dockerfile: 366B 0.0s done
#1 DONE 0.0s

#4 [linux/amd64 component-x 1/2] FROM localhost/base
#4 CACHED

#5 [component-x 2/2] RUN build x
#5 0.106 compiling 1
#5 ...

#6 [first 2/3] RUN build first
#6 0.124 hello first
#6 DONE 0.4s

#7 [kept 2/2] COPY a /b
#7 CACHED

#5 [component-x 2/2] RUN build x
#5 0.206 compiling 2
#5 DONE 0.4s

#8 [first 3/3] RUN test first
#8 DONE 0.1s

#9 [image 4/4] RUN fail
#9 0.121 failing
#9 ERROR: process "fail" did not complete successfully: exit code: 3
------
 > [image 4/4] RUN fail:
0.121 failing
------
ERROR: failed to solve: process "fail" did not complete successfully: exit code: 3
"""
PODMAN = """\
[2/4] STEP 1/2: FROM localhost/base AS component-x
[1/4] STEP 1/3: FROM localhost/base AS first
[1/4] STEP 2/3: RUN ["/bin/bash", "-c", "build first"]
[2/4] STEP 2/2: RUN ["/bin/bash", "-c", "build x"]
hello first
--> 40360b63336
[1/4] STEP 3/3: RUN test first
compiling 1
--> fb9b846fe92
--> 013322f3980
[3/4] STEP 1/1: FROM 441ae2cf4cbc AS openssl
--> 441ae2cf4cbc
[4/4] STEP 1/4: FROM localhost/base AS image
[4/4] STEP 2/4: COPY --from=first /a /b
--> Using cache 02287838b1d
--> 02287838b1d
[4/4] STEP 4/4: RUN ["/bin/bash", "-c", "fail"]
failing
Error: building at STEP "RUN /bin/bash -c fail": while running runtime: exit status 3
"""


def followed(text: str, log: io.StringIO | None = None) -> tuple[Stages, str]:
    stream = io.StringIO()
    with Progress(stream) as shown:
        stages = Stages(shown, log)
        for line in text.splitlines(keepends=True):
            stages.line(line)
        stages.end(failed=True)
    return stages, stream.getvalue()


@pytest.mark.parametrize("text", [BUILDKIT, PODMAN], ids=["buildkit", "podman"])
def test_each_stage_is_a_line_with_its_time(text: str) -> None:
    log = io.StringIO()
    _, shown = followed(text, log)
    lines = sorted(re.sub(r"\d+ s", "N s", line) for line in shown.splitlines())
    assert lines == ["component-x: done (N s)", "first: done (N s)"], "what is in the cache, or failed, is none"
    assert log.getvalue() == text


@pytest.mark.parametrize("text", [BUILDKIT, PODMAN], ids=["buildkit", "podman"])
def test_the_stage_that_failed_and_its_last_lines(text: str) -> None:
    stages, _ = followed(text)
    assert stages.failed == "image"
    assert "failing" in stages.last_lines
    assert stages.last_lines[-1].startswith(('process "fail" did not', "Error: building at STEP"))


def test_buildkit_tells_apart_what_stages_say() -> None:
    stages, _ = followed(BUILDKIT)
    assert not [line for line in stages.last_lines if "compiling" in line]


def test_at_work_are_those_that_have_begun() -> None:
    stages = Stages()
    for line in BUILDKIT.partition("#6 DONE")[0].splitlines(keepends=True):
        stages.line(line)
    assert [name.partition(" ")[0] for name in stages.running] == ["component-x", "first"]
    stages = Stages()
    for line in PODMAN.partition("compiling 1")[0].splitlines(keepends=True):
        stages.line(line)
    assert [name.partition(" ")[0] for name in stages.running] == ["component-x", "first"]


def test_a_step_that_nobody_can_tell_apart_is_not_blamed() -> None:
    stages, _ = followed(PODMAN.replace('"RUN /bin/bash -c fail"', '"RUN other"').replace("--> 013322f3980\n", ""))
    assert stages.failed in ("", "image")


def test_a_dockerfile_with_one_stage_without_a_name() -> None:
    stages, shown = followed("STEP 1/2: FROM localhost/base\nSTEP 2/2: RUN true\n--> 0123\nCOMMIT x\n")
    assert re.fullmatch(r"image: done \(\d+ s\)\n", shown) and stages.failed == ""


@pytest.mark.parametrize("line", ["", "\n", "#\n", "# word\n", "#1 \n", "--> \n", "STEP\n", "\x1b[2K\n", "[1/2] x\n"])
def test_strange_lines_are_lines(line: str) -> None:
    assert followed(line)[0].failed == ""


# --- A build, of an engine that is a script ---------------------------------------------------------------------


@pytest.fixture
def engine(tmp_path: Path) -> Engine:
    """Says what BuildKit says, on both streams, if that is what it is asked for, and fails."""
    (tmp_path / "words").write_text(BUILDKIT, encoding="utf-8")
    script = f"[[ $BUILDKIT_PROGRESS == plain ]] || exit 9\ncat {tmp_path}/words >&2\nexit 1"
    return Engine("docker", str(program(tmp_path / "docker", script)))


BUILD = ImageBuild(Path("/context"), Path("/Dockerfile"), "tag")


def test_a_failure_names_the_stage_its_last_lines_and_the_log(
    engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("BUILDKIT_PROGRESS", "tty")
    log = tmp_path / "logs" / "x.log"
    with pytest.raises(errors.Failure) as caught:
        build_log.run(engine, BUILD, "example.org/x:1", log)
    said = str(caught.value)
    assert said.startswith("the build of example.org/x:1 failed in image; no tag was moved.")
    assert "\n    failing\n" in said and said.endswith(f"All of it: {log}")
    shown = capsys.readouterr().err
    assert str(log) in shown and "component-x: done" in shown and "compiling" not in shown
    assert log.read_text(encoding="utf-8") == BUILDKIT


def test_verbose_shows_all(engine: Engine, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(errors.Failure, match="failed in image, see above"):
        build_log.run(engine, BUILD, "example.org/x:1", None)
    assert capsys.readouterr().err == BUILDKIT
