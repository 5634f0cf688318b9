"""The commands of a real image, without a network: its own Python, certificates, pip and paths.

They need an image with a glibc: MANYLINUX_TEST_IMAGE=REFERENCE pytest tests/integration/test_image_commands.py
"""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import time
import uuid
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.support import certificates, fake_image

from catalogue import paths
from engine import choose
from engine.commands import ImageBuild, Mount
from engine.engine import Engine
from portable import toml

IMAGE = os.environ.get("MANYLINUX_TEST_IMAGE", "")
# What `list` says for people, beside the tags.
LEAVING = re.compile(r"these leave the images: (\S+ on \d{4}-\d\d-\d\d(, )?)+\n")
TAG, SECOND, THIRD = "pp311-pypy311_pp73", "pp310-pypy310_pp73", "graalpy312-graalpy250_312_native"
HERE = Path(__file__).resolve().parent
TOOLS_PYTHON = "/opt/_internal/tools/bin/python"
pytestmark = [
    pytest.mark.engine,
    pytest.mark.skipif(not IMAGE, reason="MANYLINUX_TEST_IMAGE is not set"),
]


@pytest.fixture(scope="module")
def engine() -> Engine:
    return choose.engine()


def run(engine: Engine, *argv: str, **options: Any) -> subprocess.CompletedProcess[str]:
    command = engine.run(IMAGE, argv, **options)
    return subprocess.run(
        command, env=engine.environment(), text=True, capture_output=True, stdin=subprocess.DEVNULL, check=False
    )


@pytest.fixture(scope="module")
def seen(engine: Engine, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What install_in_image.py saw."""
    site = tmp_path_factory.mktemp("site")
    certificates.make(site)
    mounts = [
        Mount(site, "/certificates"),
        Mount(HERE.parent / "support" / "install_in_image.py", "/install_in_image.py"),
    ]
    done = run(engine, TOOLS_PYTHON, "-IB", "/install_in_image.py", "/certificates", mounts=mounts)
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_a_server_with_an_unknown_ca_is_refused(seen: dict[str, Any]) -> None:
    status, _, stderr = seen["untrusted"]
    assert status == 1
    assert "SSL_CERT_FILE" in stderr
    assert seen["left by a failure"] == []


def test_one_variable_makes_download_and_pip_trust_a_ca(seen: dict[str, Any]) -> None:
    status, stdout, stderr = seen["ensure"]
    assert status == 0, stderr
    assert stdout == f"installing '{TAG}' at '/opt/python/{TAG}'\n"
    assert seen["new"] == [f"/opt/_internal/{TAG}", f"/opt/python/{TAG}", "/usr/local/bin/pypy3.11"]


def test_a_second_run_does_nothing(seen: dict[str, Any]) -> None:
    assert seen["again"] == [0, f"'{TAG}' already installed at '/opt/python/{TAG}'\n", ""]


def test_launcher_and_pip(seen: dict[str, Any]) -> None:
    for how in ("launcher", "pip"):
        status, stdout, stderr = seen[how]
        assert status == 0, stderr
        assert f"/{TAG}/" in stdout


def test_the_new_interpreter_is_listed(seen: dict[str, Any]) -> None:
    row = seen["rows"][-1]
    assert (row["identifier"], row["installed"], row["install_path"]) == (TAG, True, f"/opt/python/{TAG}")


def test_nothing_is_compiled(seen: dict[str, Any]) -> None:
    assert seen["compiled"] == []


def test_lists_show_what_can_be_installed(seen: dict[str, Any]) -> None:
    status, stdout, stderr = seen["list"]
    assert status == 0 and LEAVING.fullmatch(stderr)
    tags = stdout.split()
    assert {TAG, SECOND, THIRD, "cp39-cp39"} <= set(tags)
    assert tags[-3:] == [THIRD, SECOND, TAG]
    status, stdout, _ = seen["verbose"]
    assert status == 0
    rows = stdout.split("\n")
    place = rows.index(f"{TAG}:")
    assert [row.partition(":")[2].strip() for row in rows[place + 1 : place + 6]] == [
        "no",
        "3.11",
        "pypy",
        "7.3.23",
        f"/opt/python/{TAG}",
    ]
    assert [line for line in rows if line.endswith(":")] == [f"{tag}:" for tag in tags]


def test_an_unknown_tag_is_wrong_use(seen: dict[str, Any]) -> None:
    status, stdout, stderr = seen["unknown"]
    assert (status, stdout) == (2, "")
    assert "unknown tag 'cp27-cp27mu'; known: " in stderr
    assert TAG in stderr


def test_a_wrong_checksum_installs_nothing(seen: dict[str, Any]) -> None:
    status, _, stderr = seen["wrong checksum"]
    assert status == 1
    assert "0" * 64 in stderr
    assert seen["left by failures"] == []


def test_a_download_that_is_killed_leaves_nothing(seen: dict[str, Any]) -> None:
    assert seen["killed"] == 128 + signal.SIGTERM
    assert seen["left by failures"] == []


def test_an_interrupted_download_is_tried_again(seen: dict[str, Any]) -> None:
    status, stdout, stderr = seen["interrupted"]
    assert status == 0, stderr
    assert stdout == f"installing '{SECOND}' at '/opt/python/{SECOND}'\n"
    assert seen["cuts"] == 2


def test_ensure_all_takes_the_rest_from_a_mirror(seen: dict[str, Any]) -> None:
    status, stdout, stderr = seen["mirror"]
    assert status == 0, stderr
    lines = stdout.splitlines()
    assert [line for line in lines if line.startswith("installing")] == [
        f"installing '{THIRD}' at '/opt/python/{THIRD}'"
    ]
    status, stdout, stderr = seen["all again"]
    assert (status, stderr) == (0, "")
    assert stdout == "".join(
        f"'{row['identifier']}' already installed at '{row['install_path']}'\n" for row in seen["all rows"]
    )
    assert all(row["installed"] for row in seen["all rows"])


def test_clang(seen: dict[str, Any]) -> None:
    assert seen["known clangs"] == [0, "v22.1.0.0\nv21.1.0.0\nv21.0.0.0\n", ""]
    assert seen["untrusted clang"][0] == 1
    status, stdout, stderr = seen["clang"]
    assert status == 0, stderr
    assert stdout == "static-clang toolchain v21.1.0.0 installed at '/opt/clang'\n"
    assert seen["clang runs"] == "v21.1.0.0\n"
    assert seen["first on PATH"] == "/opt/clang/bin/clang"
    assert len(seen["configuration"]) == 4


def test_a_clang_that_is_not_what_it_should_be_changes_nothing(seen: dict[str, Any]) -> None:
    assert seen["unknown clang"] == [1, "", "error: No known sha256 for static-clang toolchain v20.0.0.0\n"]
    status, _, stderr = seen["wrong sum"]
    assert status == 1
    assert "1" * 64 in stderr and "known " in stderr
    assert seen["tampered clang"][0] == 1
    assert seen["still"] == "v21.1.0.0\n"


def test_another_clang_takes_its_place(seen: dict[str, Any]) -> None:
    assert seen["latest clang"][0] == 0, seen["latest clang"][2]
    assert seen["then"] == "v22.1.0.0\n"
    assert seen["below /opt"] == ["_internal", "clang", "python"]


def test_who_may_not_write_is_told_why(engine: Engine) -> None:
    done = run(engine, "manylinux-interpreters", "ensure", "pp310-pypy310_pp73", user="1000")
    assert done.returncode == 1
    assert "only root can install" in done.stderr
    done = run(engine, "manylinux-interpreters", "ensure", "pp310-pypy310_pp73", read_only=True)
    assert done.returncode == 1
    assert "Read-only file system: '/opt/_internal/" in done.stderr


def test_the_entry_point_becomes_the_command(engine: Engine) -> None:
    show = "import os, sys; print(os.getpid(), sys.argv[1:]); sys.exit(37)"
    arguments = ["two words", "", '"', "$HOME", "--", "*"]
    done = run(engine, TOOLS_PYTHON, "-c", show, *arguments)
    assert (done.returncode, done.stdout) == (37, f"1 {arguments}\n")

    name = f"manylinux-test-{uuid.uuid4().hex[:12]}"
    catch = (
        "import signal, sys, time; signal.signal(signal.SIGTERM, lambda *_: sys.exit(42)); print('ready', flush=True);"
        "time.sleep(60)"
    )
    command = engine.run(IMAGE, [TOOLS_PYTHON, "-c", catch], name=name)
    with subprocess.Popen(command, env=engine.environment(), text=True, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        started = time.monotonic()
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=30) == 42
        assert time.monotonic() - started < 8


# --- Images that are derived from one -------------------------------------------------------------------------------


@pytest.fixture
def derived(engine: Engine, tmp_path: Path) -> Iterator[Callable[..., tuple[int, str]]]:
    """Builds an image on the image, with the files in `tmp_path`/context; the status and output of a command in it."""
    tags = []

    def build_and_run(lines: list[str], *argv: str) -> tuple[int, str]:
        tag = f"localhost/manylinux-test-derived:{uuid.uuid4().hex}"
        dockerfile = tmp_path / "Dockerfile"
        dockerfile.write_text("\n".join([f"FROM {IMAGE}", *lines]) + "\n", encoding="utf-8")
        engine.call(engine.build(ImageBuild(context=tmp_path / "context", dockerfile=dockerfile, tag=tag)))
        tags.append(tag)
        done = subprocess.run(engine.run(tag, argv), env=engine.environment(), text=True, capture_output=True)
        return done.returncode, done.stdout + done.stderr

    (tmp_path / "context").mkdir()
    yield build_and_run
    for tag in tags:
        engine.ask(engine.remove(tag))


def test_clang_is_replaced_in_a_later_layer(derived: Callable[..., tuple[int, str]], tmp_path: Path) -> None:
    settings = toml.read_toml(paths.ROOT / "docker/downloads.toml")["clang"]
    sums = {}
    for version in ("v98.0.0.0", "v99.0.0.0"):
        listed = ""
        for machine in ("amd64", "arm64"):
            program = {"clang/bin/clang": f"#!/bin/sh\necho {version}\n".encode(), f"clang/{version}": b""}
            name, content = settings["archive"].format(machine=machine), fake_image.archive(program, "xz")
            listed += f"{fake_image.sha256(content)}  {name}\n"
            save(tmp_path / "context", settings["url"].format(version=version, file=name), content)
        save(tmp_path / "context", settings["url"].format(version=version, file="sha256sums.txt"), listed.encode())
        sums[version] = fake_image.sha256(listed.encode())
    lines = ["COPY mirror /mirror", "ENV MANYLINUX_DOWNLOAD_MIRROR=file:///mirror"]
    lines += [f"RUN manylinux-install-clang -v {version} -c {digest}" for version, digest in sums.items()]
    # What cannot be installed leaves it as it is.
    lines += [f"RUN ! manylinux-install-clang -v v97 -c {digest}" for digest in list(sums.values())[:1]]
    status, said = derived(lines, "sh", "-c", "clang && LC_ALL=C ls /opt /opt/clang")
    assert status == 0, said
    assert said.split() == "v99.0.0.0 /opt: _internal clang python /opt/clang: bin v99.0.0.0".split()


def save(context: Path, url: str, content: bytes) -> None:
    """Where a mirror has a file."""
    path = context / "mirror" / url.partition("://")[2]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)


def test_pipx_reinstalls_in_a_later_layer(derived: Callable[..., tuple[int, str]], tmp_path: Path) -> None:
    (tmp_path / "context/wheels").mkdir()
    with zipfile.ZipFile(tmp_path / "context/wheels/demo_tool-1-py3-none-any.whl", "w") as wheel:
        info = "demo_tool-1.dist-info"
        files = {
            "demo_tool.py": "def main():\n    print('it runs')\n",
            f"{info}/METADATA": "Metadata-Version: 2.1\nName: demo-tool\nVersion: 1\n",
            f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: x\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
            f"{info}/entry_points.txt": "[console_scripts]\ndemo-tool = demo_tool:main\n",
        }
        files[f"{info}/RECORD"] = "".join(f"{name},,\n" for name in [*files, f"{info}/RECORD"])
        for name, text in files.items():
            wheel.writestr(name, text)
    lines = [
        "COPY wheels /wheels",
        "ENV PIP_NO_INDEX=1 PIP_FIND_LINKS=/wheels UV_OFFLINE=1 UV_FIND_LINKS=/wheels",
        "RUN pipx install demo-tool",
    ]
    lines += ["RUN pipx reinstall Demo_Tool", "RUN rm /wheels/*", "RUN ! pipx reinstall demo-tool && demo-tool"]
    status, said = derived(lines, "sh", "-c", "demo-tool && ls -A /opt/_internal/pipx/venvs")
    assert status == 0, said
    assert said.startswith("it runs\n")
    assert ".demo-tool-" not in said


@pytest.mark.parametrize("arguments", [{}, {"user": "4711:4711"}, {"user": "4711", "env": {"HOME": "/nonexistent"}}])
def test_a_user_that_the_image_does_not_know_has_a_home(engine: Engine, arguments: dict[str, Any]) -> None:
    script = 'test -w "$HOME" && uv cache dir && pipx environment --value PIPX_HOME && echo "$HOME"'
    done = run(engine, "sh", "-c", script, **arguments)
    assert done.returncode == 0, done.stderr
    home = done.stdout.splitlines()[-1]
    assert home.startswith("/tmp/home.") == bool(arguments), home
    nowhere = run(engine, "sh", "-c", "echo ran", read_only=True, **arguments)
    assert (nowhere.returncode, nowhere.stdout) == (0, "ran\n"), nowhere.stderr


def test_a_list_that_nobody_reads(engine: Engine) -> None:
    done = run(engine, "bash", "-c", "manylinux-interpreters list | true; echo ${PIPESTATUS[0]}")
    assert done.stdout in ("141\n", "0\n")
    assert not done.stderr or LEAVING.fullmatch(done.stderr)
