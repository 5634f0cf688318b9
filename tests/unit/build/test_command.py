"""build.sh without an engine: from the environment and the command line to the engine's argument list."""

from __future__ import annotations

import argparse
import datetime
import os
import platform
import shlex
import shutil
import stat
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from build import command
from catalogue import images
from engine.commands import ENGINES
from engine.engine import Engine
from host.site import Site
from plan import plan as plans
from portable import environment, errors

ROOT = Path(__file__).resolve().parents[3]
CATALOGUE = images.load()
IMAGES = [image.name for image in CATALOGUE.images(published_only=False, variants=True)]
VARIABLES = ("POLICY", "PLATFORM", "VARIANT", "COMMIT_SHA", *environment.CA_VARIABLES)


@pytest.fixture(autouse=True)
def plain_machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No request in the environment, and a machine without settings of a site."""
    for name in (*VARIABLES, *(name for name in os.environ if name.startswith(("MANYLINUX_", "PIP_", "UV_")))):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("MANYLINUX_IMAGES_OVERLAY", str(images.NO_OVERLAY))
    monkeypatch.setattr(Site, "of_this_machine", lambda option=None: Site())
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))


def options_of(*words: str) -> argparse.Namespace:
    return command.parser(CATALOGUE).parse_args(words)


def printed(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, *words: str) -> list[str]:
    """The words of the command that `build.sh --print` shows."""
    monkeypatch.setattr(sys, "argv", ["build.py", "--print", *words])
    command.main()
    return shlex.split(capsys.readouterr().out)


def values(argv: Sequence[str], option: str) -> list[str]:
    return [argv[i + 1] for i, word in enumerate(argv) if word == option]


@pytest.fixture(scope="session")
def only_git(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory for PATH with git and nothing else."""
    path = tmp_path_factory.mktemp("bin")
    (path / "git").symlink_to(shutil.which("git") or "")
    return path


@pytest.mark.parametrize("name", IMAGES)
@pytest.mark.parametrize("frontend", ENGINES)
def test_print_works_for_every_image_and_engine(
    name: str, frontend: str, only_git: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    image = CATALOGUE.image(name)
    monkeypatch.setenv("PATH", str(only_git))
    monkeypatch.setenv("POLICY", image.policy.name)
    monkeypatch.setenv("PLATFORM", image.platform.name)
    monkeypatch.setenv("MANYLINUX_BUILD_FRONTEND", frontend)
    monkeypatch.setenv("VARIANT", image.variant)
    argv = printed(capsys, monkeypatch)
    start = {
        "docker-buildx": ["BUILDX_NO_DEFAULT_ATTESTATIONS=1", "docker", "buildx", "build", "--load"],
        "docker": ["DOCKER_BUILDKIT=1", "BUILDX_NO_DEFAULT_ATTESTATIONS=1", "docker", "build"],
        "podman": ["podman", "build", "--layers=true"],
    }[frontend]
    assert argv[: len(start)] == start
    assert argv[-1] == str(ROOT)
    assert values(argv, "--platform") == [image.platform.oci]
    assert values(argv, "--tag") == [f"quay.io/pypa/{name}:latest-untested"]
    assert values(argv, "--target") == [image.variant or "image"]
    arguments = dict(word.split("=", 1) for word in values(argv, "--build-arg"))
    assert (arguments["POLICY"], arguments["PLATFORM"]) == (image.policy.name, image.platform.name)
    declared = (ROOT / "docker" / "Dockerfile").read_text(encoding="utf-8")
    assert [key for key in arguments if f"ARG {key}" not in declared] == []


def test_the_option_counts_rather_than_the_environment(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("POLICY", "manylinux_2_36")
    monkeypatch.setenv("PLATFORM", "x86_64")
    assert values(printed(capsys, monkeypatch, "--variant", "shared"), "--target") == ["shared"]
    monkeypatch.setenv("VARIANT", "shared")
    argv = printed(capsys, monkeypatch)
    assert values(argv, "--tag") == ["quay.io/pypa/manylinux_2_36_x86_64-shared:latest-untested"]
    assert values(printed(capsys, monkeypatch, "--variant", ""), "--target") == ["image"]


def test_defaults_are_this_machine_and_the_default_policy(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(platform, "machine", lambda: "aarch64")
    argv = printed(capsys, monkeypatch)
    assert values(argv, "--tag") == ["quay.io/pypa/manylinux_2_28_aarch64:latest-untested"]


def test_a_request_that_is_less_than_the_table_is_partial(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("POLICY", "manylinux_2_36")
    monkeypatch.setenv("PLATFORM", "x86_64")
    argv = printed(capsys, monkeypatch, "--interpreters", "cp39-cp39,cp313-cp313", "--base", "localhost/base")
    assert values(argv, "--tag") == ["quay.io/pypa/manylinux_2_36_x86_64:latest-partial-untested"]
    assert "org.pypa.manylinux.complete=false" in values(argv, "--label")
    assert "CP314_CP314_STAGE=empty" in values(argv, "--build-arg")
    assert "BASEIMAGE=localhost/base" in values(argv, "--build-arg")
    # A builder in a container of its own would look for it in a registry.
    assert values(argv, "--builder") == ["default"]


def test_a_tag_that_is_asked_for_is_not_changed(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COMMIT_SHA", "2026.01.02-3")
    argv = printed(capsys, monkeypatch, "--interpreters", "cp313-cp313")
    assert values(argv, "--tag")[0].endswith(":2026.01.02-3-untested")
    assert "org.opencontainers.image.version=2026.01.02-3" in values(argv, "--label")


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
        ({}, ("--lock", "/nowhere/lock.json"), r"there is no /nowhere/lock.json"),
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
        program = tmp_path / name
        program.write_text(f"#!/bin/bash\n{script}\n", encoding="utf-8")
        program.chmod(program.stat().st_mode | stat.S_IXUSR)
    (tmp_path / "dirname").symlink_to("/usr/bin/dirname")
    done = subprocess.run(
        ["/bin/bash", ROOT / "build.sh", "--print"],
        env={"PATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert shlex.split(done.stdout)[-3:] == [str(ROOT / "scripts"), "build", "--print"]


# --- clang ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "builder", "environment", "used", "for_cpython"),
    [
        ("manylinux_2_28_x86_64", "amd64", {}, False, False),
        ("manylinux_2_28_i686", "amd64", {}, False, False),
        ("manylinux_2_28_s390x", "amd64", {}, True, True),
        ("manylinux_2_28_aarch64", "amd64", {}, True, False),
        ("manylinux_2_31_armv7l", "arm64", {}, False, False),
        ("manylinux_2_31_armv7l", "amd64", {}, True, False),
        ("musllinux_1_2_aarch64", "amd64", {}, True, True),
        ("manylinux_2_28_ppc64le", "ppc64le", {}, False, False),
        ("manylinux_2_28_s390x", "ppc64le", {}, False, False),
        ("manylinux_2_28_s390x", "amd64", {"MANYLINUX_DISABLE_CLANG": "1"}, False, False),
        ("manylinux_2_28_s390x", "amd64", {"MANYLINUX_DISABLE_CLANG": "0"}, True, True),
        ("manylinux_2_28_s390x", "amd64", {"MANYLINUX_DISABLE_CLANG_FOR_CPYTHON": "1"}, True, False),
        ("manylinux_2_28_aarch64", "amd64", {"MANYLINUX_DISABLE_CLANG_FOR_CPYTHON": "0"}, True, True),
        ("manylinux_2_28_aarch64", "amd64", {"MANYLINUX_BUILDARCH": "arm64"}, False, False),
    ],
)
def test_clang_is_for_foreign_architectures(
    name: str, builder: str, environment: dict[str, str], used: bool, for_cpython: bool
) -> None:
    clang = command.clang_for(CATALOGUE.image(name), builder, False, environment)
    assert (clang.used, clang.for_cpython) == (used, for_cpython)
    assert bool(clang.args) == used


def test_clang_comes_from_a_registry_so_offline_only_a_named_one() -> None:
    s390x = CATALOGUE.image("manylinux_2_28_s390x")
    assert not command.clang_for(s390x, "amd64", True, {}).args
    named = {"MANYLINUX_STATIC_CLANG_IMAGE": "localhost/clang"}
    assert command.clang_for(s390x, "amd64", True, named).args == {
        "CLANG_STAGE": "cross-clang",
        "CLANG_FOR_CPYTHON_STAGE": "cross-clang",
        "CLANG_PLATFORM": "linux/amd64",
        "STATIC_CLANG_IMAGE": "localhost/clang",
    }
    assert not command.clang_for(s390x, "amd64", True, {**named, "MANYLINUX_DISABLE_CLANG": "1"}).args


def test_clang_is_asked_for_in_the_build(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("POLICY", "manylinux_2_28")
    monkeypatch.setenv("PLATFORM", "aarch64")
    monkeypatch.setenv("MANYLINUX_BUILDARCH", "amd64")
    monkeypatch.setenv("MANYLINUX_STATIC_CLANG_IMAGE", "localhost/clang")
    argv = printed(capsys, monkeypatch)
    arguments = dict(word.split("=", 1) for word in values(argv, "--build-arg"))
    assert (arguments["CLANG_STAGE"], arguments["CLANG_FOR_CPYTHON_STAGE"]) == ("cross-clang", "empty")
    assert (arguments["CLANG_PLATFORM"], arguments["STATIC_CLANG_IMAGE"]) == ("linux/amd64", "localhost/clang")
    assert values(argv, "--builder") == ["default"], "others would look for it in a registry"


def test_a_clang_that_cannot_be_had_is_said_before_anything_is_built(tmp_path: Path) -> None:
    docker = tmp_path / "docker"
    docker.write_text("#!/bin/sh\nexit 1\n", encoding="utf-8")
    docker.chmod(0o755)
    engine = Engine("docker", str(docker))
    clang = command.clang_for(CATALOGUE.image("manylinux_2_28_s390x"), "amd64", False, {})
    with pytest.raises(errors.Failure, match=r"static-clang.*linux/amd64.*MANYLINUX_DISABLE_CLANG=1"):
        command.ensure_clang(engine, clang)
    command.ensure_clang(engine, command.clang_for(CATALOGUE.image("manylinux_2_28_i686"), "amd64", False, {}))


def test_a_system_is_updated_once_a_day_and_only_when_asked(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    argv = printed(capsys, monkeypatch)
    assert not [word for word in argv if word.startswith(("IMAGE_SYSTEM", "SYSTEM_UPDATED"))]
    argv = printed(capsys, monkeypatch, "--update-system")
    assert "IMAGE_SYSTEM=updated-system" in argv
    (day,) = [word.partition("=")[2] for word in argv if word.startswith("SYSTEM_UPDATED=")]
    assert datetime.date.fromisoformat(day)


def test_one_stage_alone_has_a_tag_of_its_own(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PLATFORM", "x86_64")
    argv = printed(capsys, monkeypatch, "--stage", "component-zstd")
    assert values(argv, "--target") == ["component-zstd"]
    assert values(argv, "--tag") == ["quay.io/pypa/manylinux_2_28_x86_64:latest-component-zstd"]


# --- sources and bases ----------------------------------------------------------------------------------------


def test_offline_names_what_is_missing_or_wrong(tmp_path: Path) -> None:
    plan = plans.plan(
        CATALOGUE.image("manylinux_2_36_x86_64"),
        plans.Request(interpreters=("cp313-cp313",), components=("zstd", "tcltk")),
    )
    (tmp_path / "zstd").mkdir()
    (tmp_path / "zstd" / plan.pins["zstd"].file_name).write_text("not it", encoding="utf-8")
    with pytest.raises(errors.UserError) as caught:
        command.check_sources(plan, tmp_path)
    said = str(caught.value)
    assert "zstd" in said and "is not what its pin says" in said
    assert f"tcl {plan.pins['tcl'].version} is missing" in said and "tk " in said and "cpython-3.13" in said
    assert "invoke prefetch" in said
    with pytest.raises(errors.UserError) as caught:
        command.check_sources(plan, tmp_path, "component-zstd")
    assert "tcl " in str(caught.value) and "cpython" not in str(caught.value)


def test_a_pinned_base_is_asked_for_by_its_digest(tmp_path: Path) -> None:
    plan = plans.plan(CATALOGUE.image("manylinux_2_28_x86_64"), plans.Request())
    table = tmp_path / "bases.toml"
    table.write_text(f'"{plan.base}" = "sha256:{"a" * 64}"\n', encoding="utf-8")
    base = command.base_of(plan, table)
    assert base.reference == f"quay.io/almalinuxorg/almalinux@sha256:{'a' * 64}"
    made = command.build_of(plan, options_of(), Site(), command.Clang("amd64", False, False), {}, base)
    assert made.labels["org.opencontainers.image.base.digest"] == f"sha256:{'a' * 64}"
    assert made.labels["org.opencontainers.image.base.name"] == plan.base
    assert made.args["BASEIMAGE"] == base.reference
    table.write_text("", encoding="utf-8")
    assert command.base_of(plan, table) == command.Base(plan.base, "")


def test_settings_of_the_site_enter_as_secrets_and_names(tmp_path: Path) -> None:
    plan = plans.plan(CATALOGUE.image("manylinux_2_36_x86_64"), plans.Request())
    site = Site(proxies=("https_proxy",))
    secrets = {"ca": tmp_path / "ca", "pip": tmp_path / "pip"}
    made = command.build_of(
        plan, options_of(), site, command.Clang("amd64", False, False), secrets, command.Base(plan.base, "")
    )
    docker = Engine("docker", "docker").build(made)
    assert values(docker, "--secret") == [f"id=ca,src={tmp_path}/ca", f"id=pip,src={tmp_path}/pip"]
    assert "https_proxy" in values(docker, "--build-arg")
    assert "https_proxy" not in values(Engine("podman", "podman").build(made), "--build-arg")


def test_one_build_of_a_reference_at_a_time(tmp_path: Path) -> None:
    with command.alone("example.org/image:1"):
        with pytest.raises(errors.UserError, match="is being built already"), command.alone("example.org/image:1"):
            pass
        with command.alone("example.org/image:2"):
            pass
    with command.alone("example.org/image:1"):
        pass


def test_what_is_left_out_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    lock = {"pins": {}, "missing": {"cpython-3.9": "not in the archive", "git-lfs": "sources only"}}
    command.describe(plans.plan(CATALOGUE.image("manylinux_2_36_x86_64"), plans.Request(lock=lock)))
    said = capsys.readouterr().err
    assert "left out: cp39-cp39 (not in the archive)" in said
    assert "left out: git-lfs (sources only)" in said
    assert "cibuildwheel" in said


def has(tmp_path: Path, said: str) -> Engine:
    """An engine that says this of every image."""
    docker = tmp_path / "docker"
    docker.write_text(f"#!/bin/sh\necho '{said}'\n", encoding="utf-8")
    docker.chmod(0o755)
    return Engine("docker", str(docker))


@pytest.mark.parametrize(
    ("said", "platform", "taken"),
    [
        ('{"Os": "linux", "Architecture": "arm"}', "linux/arm64", False),
        ('{"Os": "linux", "Architecture": "arm64"}', "linux/arm/v7", False),
        ('{"Os": "linux", "Architecture": "arm64", "Variant": "v8"}', "linux/arm64", True),
        ('{"Os": "linux", "Architecture": "arm", "Variant": "v7"}', "linux/arm/v7", True),
        ('{"Os": "linux", "Architecture": "arm", "Variant": ""}', "linux/arm/v7", True),
        ('{"Os": "linux", "Architecture": "arm", "Variant": "v6"}', "linux/arm/v7", False),
        ('{"Os": "windows", "Architecture": "amd64"}', "linux/amd64", False),
        ('{"Os": "linux", "Architecture": "amd64", "RepoDigests": null}', "linux/amd64", True),
    ],
)
def test_a_base_counts_for_its_own_platform_alone(said: str, platform: str, taken: bool, tmp_path: Path) -> None:
    base = command.Base("localhost/base", "")
    if taken:
        assert command.ensure_base(has(tmp_path, said), base, platform) == base
    else:
        with pytest.raises(errors.Failure, match="neither here"):
            command.ensure_base(has(tmp_path, said), base, platform)


# --- Layers in a directory -------------------------------------------------------------------------------------

IMAGE = CATALOGUE.image("manylinux_2_36_x86_64")


def test_a_cache_is_for_one_build_at_a_time(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    options = options_of("--cache", str(tmp_path / "cache"))
    with command.cache_alone(options, IMAGE) as first, command.cache_alone(options, IMAGE) as second:
        assert first.cache == options.cache and second.cache is None
        assert "another build is using" in capsys.readouterr().err
        with command.cache_alone(options, CATALOGUE.image("manylinux_2_36_i686")) as other:
            assert other.cache == options.cache
    with command.cache_alone(options, IMAGE) as again:
        assert again.cache == options.cache


def test_what_a_killed_build_has_left_in_a_cache_is_mended(tmp_path: Path) -> None:
    options = options_of("--cache", str(tmp_path))
    for suffix in ("old", "new"):
        (tmp_path / f"{IMAGE.name}.{suffix}").mkdir()
        (tmp_path / f"{IMAGE.name}.{suffix}" / "index.json").write_text(suffix)
    with command.cache_alone(options, IMAGE):
        assert (tmp_path / IMAGE.name / "index.json").read_text() == "old", "it was being replaced"
        assert not (tmp_path / f"{IMAGE.name}.new").exists()


def test_layers_that_cannot_be_kept_are_no_failure(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    options = options_of("--cache", str(tmp_path))
    made = tmp_path / f"{IMAGE.name}.new"
    made.mkdir()
    (tmp_path / f"{IMAGE.name}.old").write_text("in the way")
    (tmp_path / IMAGE.name).mkdir()
    command.keep_cache(options, IMAGE)
    assert "are not kept" in capsys.readouterr().err
    (tmp_path / f"{IMAGE.name}.old").unlink()
    command.keep_cache(options, IMAGE)
    assert (tmp_path / IMAGE.name).is_dir() and not made.exists()


def test_each_run_has_a_temporary_tag_of_its_own() -> None:
    plan = plans.plan(IMAGE, plans.Request(tag="t" * 119))
    names = {command.temporary_tag(plan, run) for run in ("one", "two", "")}
    assert len(names) == 3
    assert all(len(name.rpartition(":")[2]) <= 128 and name.endswith("-untested") for name in names)


@pytest.mark.parametrize("option", ["--junit", "--cache"])
def test_what_is_written_at_the_end_is_looked_at_first(
    option: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setattr(sys, "argv", ["build.py", option, str(tmp_path / "file" / "x")])
    monkeypatch.setenv("PATH", "/nowhere")  # no engine is asked
    with pytest.raises(errors.UserError, match=option):
        command.main()
