"""Engines at work, where each is only a script: what they say, where they run, and how they are ended."""

from __future__ import annotations

import os
import signal
import subprocess
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from tests.support.programs import FAILS, RECORDS, python, recorded, values, wait_until

from engine.engine import Engine, contained, reason
from engine.settings import EngineSettings
from portable import errors, places

Program = Callable[[str, str], Path]
FORGETFUL = f"{RECORDS}\n[[ $1 != run ]] || exec /bin/sleep 30"


def test_a_launcher_stands_for_an_engine_with_settings(program: Program) -> None:
    podman = program("podman", 'echo "$STORAGE_DRIVER $*"')
    plain = Engine("podman", str(podman))
    assert plain.launcher() == str(podman)
    assert Engine("docker", "docker").launcher() == "docker", "what only builds need does not matter to it"
    launcher = replace(plain, settings=EngineSettings(storage="vfs")).launcher()
    assert launcher != str(podman)
    assert subprocess.run([launcher, "a b", "c"], capture_output=True, text=True, check=True).stdout == "vfs a b c\n"


@pytest.mark.parametrize(
    ("text", "line"),
    [
        (
            "STEP 1\nerror running container: no cgroups\n: exit status 1\nError: building\n",
            "error running container: no cgroups",
        ),
        ("something\nlast\n\n", "last"),
        ("", "it said nothing"),
    ],
)
def test_the_line_that_says_why(text: str, line: str) -> None:
    assert reason(text) == line


def test_what_fails_is_told_with_the_reason(program: Program) -> None:
    engine = Engine("docker", str(program("docker", FAILS)))
    with pytest.raises(errors.Failure, match="docker tag: Error: no such daemon"):
        engine.call(engine.tag("a", "b"))
    assert engine.ask(engine.inspect("a", "{{.Id}}")) is None


def test_an_image_is_known_by_its_id(program: Program) -> None:
    engine = Engine("docker", str(program("docker", '[[ "$*" == *gone* ]] && exit 1; echo sha256:1')))
    assert engine.identity("image") == "sha256:1"
    with pytest.raises(errors.UserError, match="docker has no image gone: build it"):
        engine.identity("gone")


def test_an_engine_has_a_home_where_the_user_has_none(
    program: Program, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name in places.BELOW_HOME:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", "/nonexistent/home")
    monkeypatch.setattr(places, "writable", lambda path: not path.is_relative_to("/nonexistent"))
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    engine = Engine("podman", str(program("podman", 'echo "$HOME $XDG_DATA_HOME"')))
    home = tmp_path / f"manylinux-{os.getuid()}"
    assert engine.ask([engine.executable]) == f"{home} {home}/.local/share"


def test_an_engine_knows_nothing_of_the_callers_repository(program: Program, monkeypatch: pytest.MonkeyPatch) -> None:
    """buildx runs git in the context, and could label the image with what that says."""
    engine = Engine("docker-buildx", str(program("docker", "/usr/bin/env")))
    for name, value in {"GIT_DIR": "/elsewhere/.git", "BUILDX_GIT_LABELS": "full", "BUILDX_BUILDER": "mine"}.items():
        monkeypatch.setenv(name, value)
    said = (engine.ask([engine.executable]) or "").splitlines()
    assert "BUILDX_BUILDER=mine" in said and "BUILDX_NO_DEFAULT_ATTESTATIONS=1" in said
    assert [line for line in said if line.startswith(("GIT_DIR=", "BUILDX_GIT_"))] == []


# --- The end of what was started ------------------------------------------------------------------------------


def test_a_container_that_does_not_end_is_removed(program: Program) -> None:
    engine = Engine("docker", str(program("docker", FORGETFUL)))
    with pytest.raises(errors.Failure, match=r"image: sleep 9 did not end within 3 s"):
        engine.contain("image", ["sleep", "9"], 3)
    run, removed = recorded(Path(engine.executable))
    (name,) = values(run.split(), "--name")
    assert removed == f"rm --force {name}"


def test_a_container_is_removed_when_we_are_interrupted(program: Program) -> None:
    docker = program("docker", FORGETFUL)
    code = (
        "import sys; from engine.engine import Engine; from portable import errors\n"
        f"engine = Engine('docker', {str(docker)!r})\n"
        "sys.exit(errors.run(lambda: engine.contain('image', ['sleep', '9']).returncode))\n"
    )
    with python(code, stderr=subprocess.PIPE) as process:
        wait_until(Path(f"{docker}.calls").exists)
        process.send_signal(signal.SIGHUP)
        process.communicate(timeout=20)
    assert process.returncode == 130
    assert recorded(docker)[-1].startswith("rm --force manylinux-")


def stream_interrupted(engine: Engine, grace: float) -> tuple[str, str]:
    """The first line of a build that is streamed and then interrupted, and what is said afterwards.

    The build has `grace` seconds to end: short where it never does, long where it must, for a busy machine."""
    code = (
        "import signal; from engine.engine import Engine\n"
        "signal.signal(signal.SIGTERM, signal.default_int_handler)\n"
        f"engine = Engine({engine.name!r}, {engine.executable!r})\n"
        "show = lambda line: print(line, end='', flush=True)\n"
        f"try: engine.stream([engine.executable, 'build'], show, grace={grace})\n"
        "except KeyboardInterrupt: print('interrupted')\n"
    )
    with python(code, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        first = process.stdout.readline().strip()
        process.send_signal(signal.SIGTERM)
        return first, process.communicate(timeout=30)[0]


LOOP = "echo $$; while :; do read -r -t 0.1 < <(:); done"


def test_a_docker_is_told_to_end(program: Program, tmp_path: Path) -> None:
    docker = program("docker", f"trap 'touch {tmp_path}/told; exit 1' TERM; {LOOP}")
    assert stream_interrupted(Engine("docker", str(docker)), 20)[1] == "interrupted\n"
    assert (tmp_path / "told").exists()


def test_a_command_that_does_not_end_is_killed(program: Program) -> None:
    pid, said = stream_interrupted(Engine("podman", str(program("podman", f"trap '' INT TERM; {LOOP}"))), 0.5)
    assert said == "interrupted\n"
    assert not Path(f"/proc/{pid}").exists()


def test_only_other_pid_namespaces_count_as_contained() -> None:
    with subprocess.Popen(["sleep", "30"]) as child:
        assert child.pid not in contained(os.getpid())
        child.kill()
