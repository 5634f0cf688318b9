"""The commands of docker-buildx, docker and podman as argument lists."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest
from tests.support.programs import values

from engine.commands import ENGINES, Commands, ImageBuild, Mount, executable_of
from engine.settings import EngineSettings

DOCKER, PODMAN = Commands("docker", "docker"), Commands("podman", "podman")


@pytest.fixture(params=ENGINES)
def engine(request: pytest.FixtureRequest) -> Commands:
    return Commands(request.param, executable_of(request.param))


def test_a_build_carries_everything(engine: Commands, tmp_path: Path) -> None:
    argv = engine.build(
        ImageBuild(
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
    for args, jobs in (({}, "4"), ({"CLANG_PLATFORM": "linux/amd64"}, "1")):
        argv = PODMAN.build(ImageBuild(Path("/context"), Path("/Dockerfile"), "tag", args=args))
        assert values(argv, "--jobs") == [jobs]


def test_docker_always_builds_with_buildkit_and_attests_nothing() -> None:
    line = DOCKER.shell(["docker", "build", "a b"])
    assert line == "DOCKER_BUILDKIT=1 BUILDX_NO_DEFAULT_ATTESTATIONS=1 docker build 'a b'"
    assert Commands("docker-buildx", "docker").env == {"BUILDX_NO_DEFAULT_ATTESTATIONS": "1"}
    assert PODMAN.env == {}


def test_a_run_goes_away_and_has_no_network_unless_told(engine: Commands, tmp_path: Path) -> None:
    argv = engine.run("image", ["a b"], mounts=[Mount(tmp_path, "/x"), Mount(tmp_path, "/y", read_only=False)])
    assert "--rm" in argv and values(argv, "--network") == ["none"]
    assert values(argv, "--volume") == [f"{tmp_path}:/x:ro", f"{tmp_path}:/y"]
    assert argv[-2:] == ["image", "a b"]
    wide = replace(engine, settings=EngineSettings(network="host"))
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
    for option, value in (("--user", "1000:1000"), ("--tmpfs", "/tmp:exec"), ("--name", "n"), ("--workdir", "/w")):
        assert values(argv, option) == [value]


def test_an_imported_image_has_its_platform() -> None:
    argument_lists = [
        engine.import_(Path("/r.tar"), "localhost/base", "linux/arm/v7", {"made-from": 'a "b"'})
        for engine in (PODMAN, DOCKER)
    ]
    podman, docker = argument_lists
    assert [values(podman, o) for o in ("--os", "--arch", "--variant")] == [["linux"], ["arm"], ["v7"]]
    assert values(docker, "--platform") == ["linux/arm/v7"]
    for argv in argument_lists:
        assert values(argv, "--change") == [r'LABEL made-from="a \"b\""']
        assert argv[-2:] == ["/r.tar", "localhost/base"]


def test_a_registry_on_loopback_has_no_tls(engine: Commands) -> None:
    option = ["--tls-verify=false"] if engine.is_podman else []
    for host in ("127.0.0.1:5000", "localhost", "[::1]:80"):
        assert engine.pull(f"{host}/debian@sha256:1", "linux/386")[2:] == [
            *("--quiet", *option, "--platform", "linux/386"),
            f"{host}/debian@sha256:1",
        ]
    for reference in ("quay.io/127.0.0.1/debian:12", "127.0.0.1.example.org/debian:12", "debian:12"):
        assert "--tls-verify=false" not in engine.pull(reference, "linux/386")


def test_untagging_keeps_what_was_built() -> None:
    # `podman rmi` would remove the layers that the next build could go on from.
    assert PODMAN.untag("x:1") == ["podman", "untag", "x:1", "x:1"]


def test_own_mounts_stand_before_the_engine() -> None:
    argv = replace(PODMAN, settings=EngineSettings(own_mounts=True)).command("images")
    assert argv[0] == "unshare" and argv[-2:] == ["podman", "images"]


def test_labels_of_selinux_can_be_taken_off_builds_and_runs(engine: Commands, tmp_path: Path) -> None:
    build = ImageBuild(tmp_path, tmp_path / "Dockerfile", "tag")
    for argv in (engine.build(build), engine.run("image")):
        assert "--security-opt" not in argv
    free = replace(engine, settings=EngineSettings(unlabelled=True))
    for argv in (free.build(build), free.run("image")):
        assert values(argv, "--security-opt") == ["label=disable"]
        assert argv.index("--security-opt") < len(argv) - 1, "an option, not a word of the command"
