"""Container engines as argument lists, and the choice among engines that are only scripts here."""

from __future__ import annotations

import os
import resource
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from engine import engine as engines
from engine.engine import Build, Engine, Mount, Settings
from portable import errors, places

ENGINES = [Engine(name, engines.executable_of(name)) for name in engines.NAMES]
PODMAN = Engine("podman", "podman")
Program = Callable[[str, str], Path]


def values(argv: Sequence[str], option: str) -> list[str]:
    return [argv[i + 1] for i, word in enumerate(argv) if word == option]


@pytest.fixture
def program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Program:
    """Makes a script that stands in for a program, first on PATH."""
    directory, tools = tmp_path / "bin", tmp_path / "tools"
    for each in (directory, tools):
        each.mkdir()
    for name in ("bash", "grep", "ldd", "mv", "timeout", "touch"):
        (tools / name).symlink_to(shutil.which(name) or name)
    monkeypatch.setenv("PATH", f"{directory}:{tools}")
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setattr(engines, "_root_is_mount_point", lambda: True)  # whatever the machine, a chroot too

    def make(name: str, script: str) -> Path:
        path = directory / name
        path.write_text(f"#!/bin/bash\n{script}\n", encoding="utf-8")
        path.chmod(path.stat().st_mode | stat.S_IXUSR)
        return path

    return make


# --- What is asked of an engine -------------------------------------------------------------------------------


@pytest.mark.parametrize("engine", ENGINES, ids=engines.NAMES)
def test_a_build_carries_everything(engine: Engine, tmp_path: Path) -> None:
    argv = engine.build(
        Build(
            context=tmp_path,
            dockerfile=tmp_path / "Dockerfile",
            tag="example.org/image:1",
            platform="linux/386",
            args={"A": "one two", "B": ""},
            labels={"org.example": "x y"},
            secrets={"pip": tmp_path / "pip.conf"},
            target="shared",
            no_cache=True,
        )
    )
    assert values(argv, "--build-arg") == ["A=one two", "B="]
    assert values(argv, "--label") == ["org.example=x y"]
    assert values(argv, "--secret") == [f"id=pip,src={tmp_path}/pip.conf"]
    assert values(argv, "--platform") == ["linux/386"]
    assert values(argv, "--target") == ["shared"]
    assert "--no-cache" in argv and argv[-1] == str(tmp_path)
    assert "--network" not in argv


def test_podman_builds_stages_of_two_platforms_one_after_another(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "cpu_count", lambda: 4)
    jobs = []
    for args in ({}, {"CLANG_PLATFORM": "linux/amd64"}):
        argv = Engine("podman", "podman").build(Build(Path("/context"), Path("/Dockerfile"), "tag", args=args))
        jobs.append(argv[argv.index("--jobs") + 1])
    assert jobs == ["4", "1"]


def test_the_old_builder_of_docker_is_never_used() -> None:
    assert Engine("docker", "docker").environment()["DOCKER_BUILDKIT"] == "1"
    line = Engine("docker", "docker").shell(["docker", "build", "a b"])
    assert line == "DOCKER_BUILDKIT=1 BUILDX_NO_DEFAULT_ATTESTATIONS=1 docker build 'a b'"


@pytest.mark.parametrize("engine", ENGINES, ids=engines.NAMES)
def test_a_run_goes_away_and_has_no_network_unless_told(engine: Engine, tmp_path: Path) -> None:
    argv = engine.run("image", ["a b"], mounts=[Mount(tmp_path, "/x"), Mount(tmp_path, "/y", read_only=False)])
    assert "--rm" in argv and values(argv, "--network") == ["none"]
    assert values(argv, "--volume") == [f"{tmp_path}:/x:ro", f"{tmp_path}:/y"]
    assert argv[-2:] == ["image", "a b"]
    wide = replace(engine, settings=Settings(network="host"))
    assert values(wide.run("image", network=None), "--network") == ["host"]
    assert "--network" not in engine.run("image", network=None)


def test_a_run_can_be_restricted() -> None:
    argv = PODMAN.run(
        "image",
        ["id"],
        user="1000:1000",
        read_only=True,
        tmpfs=["/tmp:exec"],
        env={"A": "b c"},
        inherited=["https_proxy"],
        name="n",
        entrypoint="",
        workdir="/w",
    )
    assert "--read-only" in argv and "--entrypoint=" in argv
    assert values(argv, "--env") == ["A=b c", "https_proxy"]
    assert [values(argv, o) for o in ("--user", "--tmpfs", "--name", "--workdir")] == [
        ["1000:1000"],
        ["/tmp:exec"],
        ["n"],
        ["/w"],
    ]


def test_an_imported_image_has_its_platform() -> None:
    labels = {"made-from": 'a "b"'}
    podman = PODMAN.import_(Path("/r.tar"), "localhost/base", "linux/arm/v7", labels)
    assert [values(podman, o) for o in ("--os", "--arch", "--variant")] == [["linux"], ["arm"], ["v7"]]
    docker = Engine("docker", "docker").import_(Path("/r.tar"), "localhost/base", "linux/arm/v7", labels)
    assert values(docker, "--platform") == ["linux/arm/v7"]
    for argv in (podman, docker):
        assert values(argv, "--change") == [r'LABEL made-from="a \"b\""']
        assert argv[-2:] == ["/r.tar", "localhost/base"]


def test_untagging_keeps_what_was_built() -> None:
    # `podman rmi` would remove the layers that the next build could go on from.
    assert PODMAN.untag("x:1") == ["podman", "untag", "x:1", "x:1"]


def test_own_mounts_stand_before_the_engine() -> None:
    argv = replace(PODMAN, settings=Settings(own_mounts=True)).command("images")
    assert argv[0] == "unshare" and argv[-2:] == ["podman", "images"]


def test_settings_are_options_or_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    engine = replace(PODMAN, settings=Settings(limits=True, runtime="/usr/bin/runc", storage="vfs"))
    assert engine.env == {
        "CONTAINERS_CONF": str(tmp_path / "manylinux" / "containers.conf"),
        "STORAGE_DRIVER": "vfs",
    }
    assert PODMAN.env == {}


def test_a_launcher_stands_for_an_engine_with_settings(program: Program) -> None:
    podman = program("podman", 'echo "$STORAGE_DRIVER $*"')
    plain = Engine("podman", str(podman))
    assert plain.launcher() == str(podman)
    launcher = replace(plain, settings=Settings(storage="vfs")).launcher()
    assert launcher != str(podman)
    assert subprocess.run([launcher, "a b", "c"], capture_output=True, text=True, check=True).stdout == "vfs a b c\n"


def test_limits_are_those_that_this_process_may_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda which: (100, 4096 if which == resource.RLIMIT_NOFILE else -1))
    assert engines.podman_settings(Settings(limits=True)) == (
        '[containers]\ndefault_ulimits = ["nofile=4096:4096", "nproc=32768:32768"]\n'
    )


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (
            "STEP 1\nerror running container: no cgroups\n: exit status 1\nError: building\n",
            "error running container: no cgroups",
        ),
        ("something\nlast\n\n", "last"),
        ("", "it said nothing"),
    ],
)
def test_the_line_that_says_why(text: str, reason: str) -> None:
    assert engines.reason(text) == reason


@pytest.mark.parametrize("engine", ENGINES, ids=engines.NAMES)
def test_labels_of_selinux_can_be_taken_off_builds_and_runs(engine: Engine, tmp_path: Path) -> None:
    build = Build(tmp_path, tmp_path / "Dockerfile", "tag")
    for argv in (engine.build(build), engine.run("image")):
        assert "--security-opt" not in argv
    free = replace(engine, settings=Settings(unlabelled=True))
    for argv in (free.build(build), free.run("image")):
        assert values(argv, "--security-opt") == ["label=disable"]
        assert argv.index("--security-opt") < len(argv) - 1, "an option, not a word of the command"


@pytest.mark.parametrize("name", ["docker-buildx", "docker"])
def test_builds_of_docker_attest_nothing(name: str) -> None:
    engine = Engine(name, "docker")
    assert engine.environment()["BUILDX_NO_DEFAULT_ATTESTATIONS"] == "1"
    assert engine.launcher() == "docker", "which who only runs containers need not know of"
    assert "BUILDX_NO_DEFAULT_ATTESTATIONS" not in PODMAN.env


# --- Choosing -------------------------------------------------------------------------------------------------

WORKS = 'echo "$@" >>"$0.calls"'
FAILS = "echo noise >&2; echo 'Error: no such daemon' >&2; exit 1"
NEEDS_RUNC = f"""{WORKS}
[[ $1 != build ]] || grep -q '^runtime = .*runc' "$CONTAINERS_CONF" || {{ echo 'Error: no crun' >&2; exit 1; }}"""


def test_the_first_that_works_is_chosen(program: Program) -> None:
    program("docker", FAILS)
    podman = program("podman", WORKS)
    engine = engines.choose()
    assert (engine.name, engine.executable) == ("podman", str(podman))


def test_docker_without_buildx_is_still_docker(program: Program) -> None:
    program("docker", f"[[ $1 != buildx ]] || {{ {FAILS}; }}")
    program("podman", WORKS)
    assert engines.choose().name == "docker"


def test_every_executable_on_path_is_tried(program: Program, tmp_path: Path) -> None:
    working = program("docker", WORKS).rename(tmp_path / "tools" / "docker")
    program("docker", FAILS)
    assert engines.choose().executable == str(working)


def test_a_directory_on_path_that_cannot_be_looked_into_is_passed_over(
    program: Program, monkeypatch: pytest.MonkeyPatch
) -> None:
    podman = program("podman", WORKS)
    monkeypatch.setenv("PATH", f"/{'x' * 300}:{os.environ['PATH']}")  # refused to root, too
    assert engines.choose().executable == str(podman)


def test_podman_is_tried_with_ever_more_settings_and_these_are_remembered(program: Program) -> None:
    program("runc", "")
    podman = program("podman", NEEDS_RUNC)
    engine, attempts = engines.find()
    assert engine is not None and engine.settings.runtime.endswith("/runc") and engine.settings.limits
    assert {attempt.reason for attempt in attempts} == {"Error: no crun"}
    assert "lower limits" in "".join(map(str, attempts))
    calls = Path(f"{podman}.calls")
    calls.unlink()
    again, attempts = engines.find()
    assert (again, attempts) == (engine, [])


def test_a_remembered_setting_that_no_longer_works_is_given_up(program: Program) -> None:
    program("runc", "")
    program("podman", NEEDS_RUNC)
    engines.find()
    program("podman", f"[[ -z ${{CONTAINERS_CONF-}} ]] || exit 1\n{WORKS}")
    engine, attempts = engines.find()
    assert engine is not None and engine.settings.runtime == ""
    assert attempts


def test_a_broken_memory_is_no_memory(program: Program) -> None:
    program("podman", WORKS)
    places.state().mkdir(parents=True)
    (places.state() / "podman.json").write_text("{", encoding="utf-8")
    assert engines.choose().name == "podman"


def test_an_engine_of_choice_is_the_only_one_tried(program: Program) -> None:
    program("docker", FAILS)
    program("podman", WORKS)
    with pytest.raises(errors.Failure, match="MANYLINUX_BUILD_FRONTEND=docker does not work") as caught:
        engines.choose("docker")
    assert "Error: no such daemon" in str(caught.value) and "podman (" not in str(caught.value)


def test_without_an_engine_it_says_what_was_tried_and_what_to_do(program: Program) -> None:
    with pytest.raises(errors.Failure, match="neither docker nor podman") as caught:
        engines.choose()
    assert "--bootstrap" in str(caught.value)
    docker = program("docker", FAILS)
    with pytest.raises(errors.Failure, match="no container engine works") as caught:
        engines.choose()
    assert f"docker-buildx ({docker}): Error: no such daemon" in str(caught.value)
    assert f"docker ({docker}): Error: no such daemon" in str(caught.value)


def test_an_unknown_engine_is_wrong_input() -> None:
    with pytest.raises(errors.UserError, match="docker-buildx, docker, podman"):
        engines.choose("buildah")


DENIES_LABELLED = f"""{WORKS}
[[ "$*" == *label=disable* || $1 != @(build|buildx|run) ]] || {{ echo 'Error: Permission denied' >&2; exit 1; }}"""


@pytest.mark.parametrize("name", ["docker", "podman"])
def test_where_selinux_forbids_mounts_labels_are_taken_off(
    name: str, program: Program, monkeypatch: pytest.MonkeyPatch
) -> None:
    executable = program(name, f"shopt -s extglob\n{DENIES_LABELLED}")
    assert engines.find()[0] is None
    monkeypatch.setattr(engines, "_selinux", lambda: True)
    engine, attempts = engines.find()
    assert engine is not None and engine.settings.unlabelled and attempts
    assert "SELinux labels disabled" in str(engine.settings)
    calls = Path(f"{executable}.calls").read_text(encoding="utf-8").splitlines()
    assert any(call.startswith("run") and "--security-opt label=disable" in call for call in calls)
    program(name, WORKS)
    assert engines.choose().settings.unlabelled == (name == "podman"), "as podman's settings are remembered"


def test_the_network_is_one_that_a_build_can_use(program: Program) -> None:
    program("docker", f'[[ "$*" != *"buildx build"* || "$*" == *"--network "* ]] || {{ {FAILS}; }}\n{WORKS}')
    assert engines.choose().settings.network == "host"
    program("docker", WORKS)
    assert engines.choose().settings.network == ""


# --- Running --------------------------------------------------------------------------------------------------


def test_what_fails_is_told_with_the_reason(program: Program) -> None:
    engine = Engine("docker", str(program("docker", FAILS)))
    with pytest.raises(errors.Failure, match="docker tag: Error: no such daemon"):
        engine.call(engine.tag("a", "b"))
    assert engine.ask(engine.inspect("a", "{{.Id}}")) is None


FORGETFUL = """echo "$@" >>"$0.calls"
[[ $1 != run ]] || exec /bin/sleep 30"""


def test_a_container_that_does_not_end_is_removed(program: Program) -> None:
    engine = Engine("docker", str(program("docker", FORGETFUL)))
    with pytest.raises(errors.Failure, match=r"image: sleep 9 did not end within 0.5 s"):
        engine.contain("image", ["sleep", "9"], 0.5)
    run, removed = Path(f"{engine.executable}.calls").read_text(encoding="utf-8").splitlines()
    (name,) = values(run.split(), "--name")
    assert removed == f"rm --force {name}"


def test_a_container_is_removed_when_we_are_interrupted(program: Program) -> None:
    engine = Engine("docker", str(program("docker", FORGETFUL)))
    code = (
        "import sys; sys.path.insert(0, 'scripts'); from engine import engine as engines; from portable import errors\n"
        f"engine = engines.Engine({engine.name!r}, {engine.executable!r})\n"
        "sys.exit(errors.run(lambda: engine.contain('image', ['sleep', '9']).returncode))\n"
    )
    calls = Path(f"{engine.executable}.calls")
    root = Path(__file__).resolve().parents[3]
    with subprocess.Popen([sys.executable, "-c", code], cwd=root, stderr=subprocess.PIPE) as process:
        deadline = time.monotonic() + 20
        while not calls.exists() and time.monotonic() < deadline:
            time.sleep(0.05)
        process.send_signal(signal.SIGHUP)
        process.communicate(timeout=20)
    assert process.returncode == 130
    assert "rm --force manylinux-" in calls.read_text(encoding="utf-8")


def test_an_image_is_known_by_its_id(program: Program) -> None:
    engine = Engine("docker", str(program("docker", '[[ "$*" == *gone* ]] && exit 1; echo sha256:1')))
    assert engine.identity("image") == "sha256:1"
    with pytest.raises(errors.UserError, match="docker has no image gone: build it"):
        engine.identity("gone")


def interrupted(engine: Engine, argv: Sequence[str], ready: Path) -> subprocess.CompletedProcess[str]:
    """Runs `Engine.stream` in a process that is terminated as soon as the file is there."""
    code = (
        "import signal, sys; sys.path.insert(0, 'scripts'); from engine import engine as engines\n"
        "def stop(*a): raise KeyboardInterrupt\n"
        "signal.signal(signal.SIGTERM, stop)\n"
        f"engine = engines.Engine({engine.name!r}, {engine.executable!r})\n"
        f"try: engine.stream({list(argv)!r}, grace=2)\n"
        "except KeyboardInterrupt: print('interrupted')\n"
    )
    root = Path(__file__).resolve().parents[3]
    process = subprocess.Popen([sys.executable, "-c", code], cwd=root, stdout=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 20
    while not ready.exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    time.sleep(1)  # on a busy machine the child may be ready before its parent has returned from starting it
    process.send_signal(signal.SIGTERM)
    out, _ = process.communicate(timeout=30)
    return subprocess.CompletedProcess(process.args, process.returncode, out)


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


def test_a_docker_is_told_to_end(program: Program, tmp_path: Path) -> None:
    ready, told = tmp_path / "ready", tmp_path / "told"
    script = f"trap 'touch {told}; exit 1' TERM; touch {ready}; while :; do read -r -t 0.1 < <(:); done"
    engine = Engine("docker", str(program("docker", script)))
    assert interrupted(engine, [engine.executable, "build"], ready).stdout == "interrupted\n"
    assert told.exists()


def test_a_command_that_does_not_end_is_killed(program: Program, tmp_path: Path) -> None:
    ready = tmp_path / "ready"
    script = (
        f"trap '' INT TERM; echo $$ >{ready}.part; mv {ready}.part {ready}; while :; do read -r -t 0.1 < <(:); done"
    )
    engine = Engine("podman", str(program("podman", script)))
    start = time.monotonic()
    assert interrupted(engine, [engine.executable, "build"], ready).stdout == "interrupted\n"
    assert time.monotonic() - start < 15
    assert not Path(f"/proc/{ready.read_text().strip()}").exists()


def test_only_other_pid_namespaces_count_as_contained() -> None:
    child = subprocess.Popen(["sleep", "30"])
    try:
        assert child.pid not in engines.contained(os.getpid())
    finally:
        child.kill()
        child.wait()


def test_an_engine_knows_nothing_of_the_callers_repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """buildx runs git in the context, and could label the image with what that says."""
    docker = tmp_path / "docker"
    docker.write_text("#!/bin/sh\nenv\n", encoding="utf-8")
    docker.chmod(0o755)
    for name, value in {"GIT_DIR": "/elsewhere/.git", "BUILDX_GIT_LABELS": "full", "BUILDX_BUILDER": "mine"}.items():
        monkeypatch.setenv(name, value)
    said = (engines.Engine("docker-buildx", str(docker)).ask([str(docker)]) or "").splitlines()
    assert "BUILDX_BUILDER=mine" in said
    assert [line for line in said if line.startswith(("GIT_DIR=", "BUILDX_GIT_"))] == []
