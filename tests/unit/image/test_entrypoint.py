"""The shell commands of the images: manylinux-entrypoint and the pipx wrapper, with stand-ins for what they call."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from portable import files

COMMANDS = Path(__file__).resolve().parents[3] / "docker/rootfs/usr/local/bin"
ENTRYPOINT = COMMANDS / "manylinux-entrypoint"
SHOW = "import os, sys; print([sys.argv[1:], os.environ.get('_PYTHON_HOST_PLATFORM'), os.environ.get('LINUX32')])"

# Arguments that a careless script would split, expand, drop or join.
AWKWARD = ["two words", "", "  ", '"double"', "'single'", "$HOME", "`id`", "*", "\\", "-n", "--", "new\nline", "ä"]


needs_root = pytest.mark.skipif(os.getuid() != 0, reason="only root can run a command as another user")


@pytest.fixture
def scratch() -> Iterator[Path]:
    """A directory that other users can read, unlike pytest's own."""
    directory = Path(tempfile.mkdtemp())
    directory.chmod(0o755)
    yield directory
    shutil.rmtree(directory)


def write(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8")
    path.chmod(0o755)


def environment(scratch: Path, arch: str, machine: str = "x86_64", machine32: str = "i686") -> dict[str, str]:
    """An environment with a kernel that calls itself `machine`, and `machine32` where linux32 is used."""
    write(scratch / "uname", f'#!/bin/sh\n[ "$LINUX32" = 1 ] && echo {machine32} || echo {machine}\n')
    write(scratch / "linux32", '#!/bin/sh\nLINUX32=1 exec "$@"\n')
    return {"PATH": f"{scratch}:{os.environ['PATH']}", "AUDITWHEEL_ARCH": arch, "TMPDIR": str(scratch)}


@pytest.mark.parametrize(
    ("arch", "machine", "machine32", "host_platform", "linux32"),
    [
        ("x86_64", "x86_64", "i686", None, None),
        ("i686", "x86_64", "i686", None, "1"),
        ("i686", "i686", "i686", None, None),
        ("aarch64", "aarch64", "armv8l", None, None),
        ("armv7l", "armv7l", "armv7l", None, None),
        ("armv7l", "aarch64", "armv8l", "linux-armv7l", "1"),
        ("armv7l", "armv8l", "armv8l", "linux-armv7l", "1"),
        ("armv7l", "aarch64", "armv7l", None, "1"),
        ("s390x", "s390x", "s390", None, None),
    ],
)
def test_machine(
    scratch: Path, arch: str, machine: str, machine32: str, host_platform: str | None, linux32: str | None
) -> None:
    command = [str(ENTRYPOINT), sys.executable, "-c", SHOW, *AWKWARD]
    result = subprocess.run(
        command, env=environment(scratch, arch, machine, machine32), text=True, capture_output=True, check=True
    )
    assert result.stdout == f"{[AWKWARD, host_platform, linux32]}\n"


@pytest.mark.parametrize("arch", ["x86_64", "i686"])
def test_exit_status_and_signals_are_those_of_the_command(scratch: Path, arch: str) -> None:
    given = environment(scratch, arch)
    assert subprocess.run([ENTRYPOINT, "sh", "-c", "exit 37"], env=given, check=False).returncode == 37
    missing = subprocess.run([ENTRYPOINT, "no-such-command"], env=given, capture_output=True, text=True, check=False)
    assert missing.returncode == 127
    assert "no-such-command" in missing.stderr

    sleeper = "import os, time; print(os.getpid(), flush=True); time.sleep(30)"
    command = [str(ENTRYPOINT), sys.executable, "-c", sleeper]
    with subprocess.Popen(command, env=given, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert int(process.stdout.readline()) == process.pid
        process.terminate()
        assert process.wait(timeout=10) == -signal.SIGTERM


def test_standard_input_reaches_the_command(scratch: Path) -> None:
    given = environment(scratch, "i686")
    result = subprocess.run([ENTRYPOINT, "cat"], env=given, input="through", text=True, capture_output=True, check=True)
    assert result.stdout == "through"


def test_a_command_that_looks_like_an_option(scratch: Path) -> None:
    write(scratch / "-c", "#!/bin/sh\necho called\n")
    given = environment(scratch, "x86_64")
    assert (
        subprocess.run([ENTRYPOINT, "-c"], env=given, text=True, capture_output=True, check=True).stdout == "called\n"
    )


def test_without_a_command_it_is_a_shell(scratch: Path) -> None:
    given = environment(scratch, "i686")
    script = "echo $0 $LINUX32"
    result = subprocess.run([ENTRYPOINT], env=given, input=script, text=True, capture_output=True, check=True)
    assert result.stdout == "/bin/bash 1\n"


def test_an_emptied_environment_is_named(scratch: Path) -> None:
    result = subprocess.run([ENTRYPOINT, "true"], env={}, text=True, capture_output=True, check=False)
    assert result.returncode != 0
    assert "AUDITWHEEL_ARCH" in result.stderr


# --- The home directory ---


def home_of(scratch: Path, user: int | None = None, **variables: str) -> str:
    """The HOME that a command of the entry point sees."""
    given = environment(scratch, "x86_64") | variables
    command = [str(scratch / "entrypoint"), "sh", "-c", 'echo "${HOME-unset}"']
    shutil.copy(ENTRYPOINT, scratch / "entrypoint")  # where any user can read it
    files.share(scratch / "entrypoint")
    done = subprocess.run(command, env=given, user=user, text=True, capture_output=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout.rstrip("\n")


def test_a_home_that_can_be_written_stays(scratch: Path) -> None:
    kept = scratch / "my home"
    kept.mkdir()
    assert home_of(scratch, HOME=str(kept), TMPDIR=str(scratch)) == str(kept)


@pytest.mark.parametrize("home", [None, "", "/", "/nonexistent", "/etc", "/dev/null"])
@needs_root
def test_who_has_no_home_gets_one(scratch: Path, home: str | None) -> None:
    temporary = scratch / "temporary files"
    temporary.mkdir()
    temporary.chmod(0o1777)
    found = Path(home_of(scratch, 65534, TMPDIR=str(temporary), **({} if home is None else {"HOME": home})))
    assert found.parent == temporary
    assert (found.stat().st_uid, found.stat().st_mode & 0o777) == (65534, 0o700)
    assert home_of(scratch, 65534, TMPDIR=str(temporary)) != str(found), "each has its own"


@pytest.mark.parametrize("home", [None, "/"])
@needs_root
def test_where_nothing_can_be_written_the_command_runs_all_the_same(scratch: Path, home: str | None) -> None:
    """No word about it either: standard error is the command's."""
    given = {} if home is None else {"HOME": home}
    assert home_of(scratch, 65534, TMPDIR="/proc", **given) == (home or "unset")


# --- pipx -------------------------------------------------------------------------------------------------------------


def run_pipx(scratch: Path, *arguments: str, user: int | None = None, **extra: str) -> list[str]:
    """What the wrapper hands over: its environment's PIPX variables, then the arguments."""
    show = '[ "$1 $2" != "environment --value" ] || { echo "$PIPX_HOME"; exit; }\n'
    show += 'printf "%s\\n" "$PIPX_HOME" "$PIPX_BIN_DIR" "$PIPX_MAN_DIR" "$@"\n'
    write(scratch / "pipx", f"#!/bin/sh\n{show}")
    write(scratch / "python", '#!/bin/sh\nshift 2\necho movable: "$@"\n')
    wrapper = (COMMANDS / "pipx").read_text(encoding="utf-8")
    assert wrapper.endswith('\nexec /opt/_internal/tools/bin/pipx "$@"\n')
    write(scratch / "wrapper", wrapper.replace("/opt/_internal/tools/bin/", f"{scratch}/"))
    command = [str(scratch / "wrapper"), *arguments]
    given = {"PATH": os.environ["PATH"], **extra}
    result = subprocess.run(command, env=given, user=user, text=True, capture_output=True, check=True)
    return result.stdout.split("\n")[:-1]


@needs_root
def test_root_installs_where_the_image_does(scratch: Path) -> None:
    arguments = ["install", "two words", "", "$HOME"]
    home, programs, manuals, *rest = run_pipx(scratch, *arguments)
    assert [home, programs, manuals] == ["/opt/_internal/pipx", "/usr/local/bin", "/usr/local/share/man"]
    assert rest == arguments


@needs_root
def test_what_the_user_chose_stays(scratch: Path) -> None:
    assert run_pipx(scratch, PIPX_HOME="/srv/pipx")[:2] == ["/srv/pipx", "/usr/local/bin"]


@needs_root
def test_others_get_pipxs_own_places(scratch: Path) -> None:
    assert run_pipx(scratch, "list", user=65534) == ["", "", "", "list"]


@pytest.mark.parametrize(
    ("command", "movable"),
    [
        ("reinstall cmake", "cmake"),
        ("reinstall --python python3 Two_Words", "two-words"),
        ("reinstall absent", ""),
        ("reinstall-all --skip cmake", "cmake swig two-words"),
        ("repair --all", "cmake swig two-words"),
        ("interpreter upgrade", "cmake swig two-words"),
        ("interpreter list", ""),
        ("list", ""),
        ("uninstall cmake", ""),
    ],
)
def test_environments_that_pipx_renames_can_be_renamed(scratch: Path, command: str, movable: str) -> None:
    for name in ("cmake", "swig", "two-words"):
        (scratch / "home/venvs" / name).mkdir(parents=True)
    said = run_pipx(scratch, *command.split(), PIPX_HOME=str(scratch / "home"))
    places = [f"{scratch}/home/venvs/{name}" for name in movable.split()]
    expected = [" ".join(["movable:", *places])] if places else []
    assert said[: len(expected)] == expected
    assert said[-len(command.split()) :] == command.split()
    assert len(said) == len(expected) + 3 + len(command.split())


def test_a_copy_that_fails_ends_before_pipx(scratch: Path) -> None:
    (scratch / "home/venvs/cmake").mkdir(parents=True)
    run_pipx(scratch, "list", PIPX_HOME=str(scratch / "home"))
    write(scratch / "python", "#!/bin/sh\nexit 1\n")
    given = {"PATH": os.environ["PATH"], "PIPX_HOME": str(scratch / "home")}
    done = subprocess.run([scratch / "wrapper", "reinstall", "cmake"], env=given, capture_output=True, check=False)
    assert (done.returncode, done.stdout) == (1, b"")
