"""build.sh without an engine: from the environment and the command line to the engine's argument list."""

from __future__ import annotations

import datetime
import platform
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.support.programs import program, values

from build import command
from catalogue import images
from catalogue.paths import ROOT
from portable import errors

CATALOGUE = images.load()
IMAGES = [image.name for image in CATALOGUE.images(published_only=False, variants=True)]


Printed = Callable[..., list[str]]


@pytest.fixture
def printed(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Printed:
    """Returns the words of the command that `build.sh --print` shows for options and environment variables."""

    def run(*words: str, **environment: str) -> list[str]:
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        monkeypatch.setattr(sys, "argv", ["build.py", "--print", *words])
        command.main()
        return shlex.split(capsys.readouterr().out)

    return run


@pytest.mark.parametrize(
    ("frontend", "start"),
    [
        ("docker-buildx", ["BUILDX_NO_DEFAULT_ATTESTATIONS=1", "docker", "buildx", "build", "--load"]),
        ("docker", ["DOCKER_BUILDKIT=1", "BUILDX_NO_DEFAULT_ATTESTATIONS=1", "docker", "build"]),
        ("podman", ["podman", "build", "--layers=true"]),
        ("", ["BUILDX_NO_DEFAULT_ATTESTATIONS=1", "docker", "buildx", "build", "--load"]),
    ],
)
def test_print_needs_no_engine(
    frontend: str, start: list[str], printed: Printed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "git").symlink_to(shutil.which("git") or "")
    monkeypatch.setenv("PATH", str(tmp_path))
    argv = printed(PLATFORM="x86_64", MANYLINUX_BUILD_FRONTEND=frontend)
    assert argv[: len(start)] == start
    assert argv[-1] == str(ROOT)


@pytest.mark.parametrize("name", IMAGES)
def test_print_works_for_every_image(name: str, printed: Printed) -> None:
    image = CATALOGUE.image(name)
    argv = printed(POLICY=image.policy.name, PLATFORM=image.platform.name, VARIANT=image.variant)
    assert values(argv, "--platform") == [image.platform.oci]
    assert values(argv, "--tag") == [f"quay.io/pypa/{name}:latest-untested"]
    assert values(argv, "--target") == [image.variant or "image"]
    arguments = dict(word.split("=", 1) for word in values(argv, "--build-arg"))
    assert (arguments["POLICY"], arguments["PLATFORM"]) == (image.policy.name, image.platform.name)
    declared = (ROOT / "docker" / "Dockerfile").read_text(encoding="utf-8")
    assert [key for key in arguments if f"ARG {key}" not in declared] == []


def test_the_option_overrides_the_environment(printed: Printed) -> None:
    wanted = {"POLICY": "manylinux_2_36", "PLATFORM": "x86_64"}
    assert values(printed("--variant", "shared", **wanted), "--target") == ["shared"]
    argv = printed(VARIANT="shared", **wanted)
    assert values(argv, "--tag") == ["quay.io/pypa/manylinux_2_36_x86_64-shared:latest-untested"]
    assert values(printed("--variant", ""), "--target") == ["image"]


def test_defaults_are_this_machine_and_the_default_policy(printed: Printed, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(platform, "machine", lambda: "aarch64")
    assert values(printed(), "--tag") == ["quay.io/pypa/manylinux_2_28_aarch64:latest-untested"]


def test_a_request_that_is_less_than_the_table_is_partial(printed: Printed) -> None:
    words = ["--interpreters", "cp39-cp39,cp313-cp313", "--base", "localhost/base"]
    argv = printed(*words, POLICY="manylinux_2_36", PLATFORM="x86_64")
    assert values(argv, "--tag") == ["quay.io/pypa/manylinux_2_36_x86_64:latest-partial-untested"]
    assert "org.pypa.manylinux.complete=false" in values(argv, "--label")
    assert "CP314_CP314_STAGE=empty" in values(argv, "--build-arg")
    assert "BASEIMAGE=localhost/base" in values(argv, "--build-arg")
    # A builder in a container of its own would look for it in a registry.
    assert values(argv, "--builder") == ["default"]


def test_a_tag_that_is_asked_for_is_not_changed(printed: Printed) -> None:
    argv = printed("--interpreters", "cp313-cp313", COMMIT_SHA="2026.01.02-3")
    assert values(argv, "--tag")[0].endswith(":2026.01.02-3-untested")
    assert "org.opencontainers.image.version=2026.01.02-3" in values(argv, "--label")


def test_clang_is_asked_for_in_the_build(printed: Printed) -> None:
    argv = printed(
        POLICY="manylinux_2_28",
        PLATFORM="aarch64",
        MANYLINUX_BUILDARCH="amd64",
        MANYLINUX_STATIC_CLANG_IMAGE="localhost/clang",
    )
    arguments = dict(word.split("=", 1) for word in values(argv, "--build-arg"))
    assert (arguments["CLANG_STAGE"], arguments["CLANG_FOR_CPYTHON_STAGE"]) == ("cross-clang", "empty")
    assert (arguments["CLANG_PLATFORM"], arguments["STATIC_CLANG_IMAGE"]) == ("linux/amd64", "localhost/clang")
    assert values(argv, "--builder") == ["default"], "others would look for it in a registry"


def test_a_system_is_updated_once_a_day_and_only_when_asked(printed: Printed) -> None:
    assert not [word for word in printed() if word.startswith(("IMAGE_SYSTEM", "SYSTEM_UPDATED"))]
    argv = printed("--update-system")
    assert "IMAGE_SYSTEM=updated-system" in argv
    (day,) = [word.partition("=")[2] for word in argv if word.startswith("SYSTEM_UPDATED=")]
    assert datetime.date.fromisoformat(day)


def test_one_stage_alone_has_a_tag_of_its_own(printed: Printed) -> None:
    argv = printed("--stage", "component-zstd", PLATFORM="x86_64")
    assert values(argv, "--target") == ["component-zstd"]
    assert values(argv, "--tag") == ["quay.io/pypa/manylinux_2_28_x86_64:latest-component-zstd"]


def test_layers_of_each_image_go_to_a_directory_of_their_own(printed: Printed, tmp_path: Path) -> None:
    argv = printed("--cache", str(tmp_path), "--cache-from", "type=gha", POLICY="manylinux_2_36", PLATFORM="x86_64")
    assert values(argv, "--cache-from") == ["type=gha"], "nothing is there yet"
    assert values(argv, "--cache-to") == [f"type=local,dest={tmp_path}/manylinux_2_36_x86_64.new,mode=max"]


def test_what_is_left_out_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    command.describe({"cp39-cp39": "not in the archive", "pp311": "not in the archive", "git-lfs": "sources only"})
    said = capsys.readouterr().err
    assert "left out: cp39-cp39, pp311 (not in the archive)" in said
    assert "left out: git-lfs (sources only)" in said
    assert "cibuildwheel" in said


@pytest.mark.parametrize(
    ("environment", "words", "message"),
    [
        ({"POLICY": "manylinux_2_82"}, (), r"unknown policy 'manylinux_2_82'; did you mean .*manylinux_2_28.*Known: "),
        ({"PLATFORM": "x86-64"}, (), r"unknown platform 'x86-64'; did you mean x86_64.*Known: "),
        ({"POLICY": "musllinux_1_2", "PLATFORM": "sparc"}, (), r"unknown platform 'sparc'; Known: "),
        ({"POLICY": "manylinux_2_31", "PLATFORM": "x86_64"}, (), r"manylinux_2_31 has no x86_64 image: it has armv7l"),
        ({"POLICY": "manylinux2010"}, (), r"ended on 2022-08-01 .*:2022-08-05-4535177"),
        ({}, ("--interpreters", "cp27-cp27m"), r"no interpreter 'cp27-cp27m'"),
        ({}, ("--variant", "sharde"), r"unknown variant 'sharde'; did you mean shared"),
        ({"VARIANT": "sharde"}, (), r"unknown variant 'sharde'; did you mean shared"),
        ({"VARIANT": "shared", "PLATFORM": "i686"}, (), r"manylinux_2_28_i686 has no shared variant; there are "),
        ({}, ("--lock", "/nowhere/lock.json"), r"/nowhere/lock.json does not exist: write it with"),
        ({"MANYLINUX_BUILD_FRONTEND": "buildah"}, (), r"MANYLINUX_BUILD_FRONTEND=buildah: .*docker-buildx, docker"),
    ],
)
def test_wrong_input_is_one_line(
    environment: dict[str, str], words: tuple[str, ...], message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(platform, "machine", lambda: "x86_64")
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(sys, "argv", ["build.py", *words])
    with pytest.raises(errors.UserError, match=message) as caught:
        command.main()
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("option", ["--junit", "--cache"])
def test_what_is_written_at_the_end_is_looked_at_first(
    option: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setattr(sys, "argv", ["build.py", option, str(tmp_path / "file" / "x")])
    monkeypatch.setenv("PATH", "/nowhere")  # no engine is asked
    with pytest.raises(errors.UserError, match=option):
        command.main()


def test_a_missing_ca_file_is_wrong_input_for_the_whole_command(tmp_path: Path) -> None:
    done = subprocess.run(
        [ROOT / "build.sh", "--ca-bundle", tmp_path / "missing.pem"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1 and "missing.pem" in done.stderr
    assert done.stdout == ""


def test_help_names_every_variable() -> None:
    done = subprocess.run([ROOT / "build.sh", "--help"], capture_output=True, text=True, check=True)
    for word in (
        *("POLICY", "PLATFORM", "COMMIT_SHA", "MANYLINUX_BUILD_FRONTEND", "MANYLINUX_BUILDARCH"),
        *("MANYLINUX_DISABLE_CLANG", "MANYLINUX_DISABLE_CLANG_FOR_CPYTHON", "SSL_CERT_FILE", "manylinux_2_28"),
    ):
        assert word in done.stdout


def test_without_a_python_or_uv_it_says_what_to_install(tmp_path: Path) -> None:
    for name in ("dirname", "bash"):
        (tmp_path / name).symlink_to(f"/usr/bin/{name}")
    done = subprocess.run(
        ["/bin/bash", ROOT / "build.sh"], env={"PATH": str(tmp_path)}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert "Python 3.11" in done.stderr and "uv" in done.stderr


def test_an_old_python_is_passed_over_for_uv(tmp_path: Path) -> None:
    for name, script in {"python3": "exit 1", "uv": 'echo "$@"'}.items():
        program(tmp_path / name, script)
    (tmp_path / "dirname").symlink_to("/usr/bin/dirname")
    done = subprocess.run(
        ["/bin/bash", ROOT / "build.sh", "--print"],
        env={"PATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert shlex.split(done.stdout)[-3:] == [str(ROOT / "scripts"), "build", "--print"]
