"""From a plan to the engine's build, its sources, tags and lock."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from tests.support.descriptions import SCHEMA
from tests.support.programs import values

from build import run
from build.base import BaseImage
from build.cross import CrossClang
from build.options import BuildOptions
from catalogue import images
from engine.commands import Commands
from host.site import Site
from plan.plan import Plan, Request, decide
from portable import errors

IMAGE = images.load().image("manylinux_2_36_x86_64")
NO_CLANG = CrossClang("amd64", used=False, for_cpython=False)


def plan_of(**request: Any) -> Plan:
    return decide(IMAGE, Request(**request))


def test_offline_names_what_is_missing_or_wrong(tmp_path: Path) -> None:
    plan = plan_of(interpreters=("cp313-cp313",), components=("zstd", "tcltk"))
    (tmp_path / "zstd").mkdir()
    (tmp_path / "zstd" / plan.pins["zstd"].file_name).write_text("not it", encoding="utf-8")
    with pytest.raises(errors.UserError) as caught:
        run.check_sources(plan, tmp_path)
    said = str(caught.value)
    assert "zstd" in said and "is not what its pin says" in said
    assert f"tcl {plan.pins['tcl'].version} is missing" in said and "tk " in said and "cpython-3.13" in said
    assert "invoke prefetch" in said
    with pytest.raises(errors.UserError) as caught:
        run.check_sources(plan, tmp_path, "component-zstd")
    assert "tcl " in str(caught.value) and "cpython" not in str(caught.value)


def test_a_build_names_its_base() -> None:
    plan = plan_of()
    made = run.build_of(plan, BuildOptions(), Site(), NO_CLANG, {}, BaseImage("example.org/base@sha256:1", "sha256:1"))
    assert made.labels["org.opencontainers.image.base.digest"] == "sha256:1"
    assert made.labels["org.opencontainers.image.base.name"] == plan.base
    assert made.args["BASEIMAGE"] == "example.org/base@sha256:1"


def test_a_build_tells_the_image_of_itself() -> None:
    plan = plan_of(interpreters=("cp313-cp313",), components=("zstd", "git-lfs"))
    clang = CrossClang("arm64", used=True, for_cpython=False, image="example.org/clang:1")
    base = BaseImage("example.org/base@sha256:1", f"sha256:{'1' * 64}")
    made = run.build_of(plan, BuildOptions(), Site(proxies=("https_proxy",)), clang, {}, base)
    told = json.loads(made.args["DESCRIPTION"])
    jsonschema.validate(told, {**SCHEMA["$defs"]["build"], "$defs": SCHEMA["$defs"]}, jsonschema.Draft202012Validator)
    assert told["commit"] == made.labels["org.opencontainers.image.revision"]
    assert told["base"] == {"name": plan.base, "digest": base.digest}
    assert told["builder"] == {"compiler": "clang", "image": "example.org/clang:1", "platform": "linux/arm64"}
    assert set(told["pins"]) == {"cpython-3.13", "git-lfs", "zstd"}
    assert told["pins"]["git-lfs"] == {
        "version": plan.pins["git-lfs"].version,
        "url": plan.pins["git-lfs"].for_arch("amd64").url,
        "sha256": plan.pins["git-lfs"].for_arch("amd64").sha256,
    }
    assert told["options"]["complete"] is False and "cp39-cp39" in told["options"]["left_out"]
    again = run.build_of(plan, BuildOptions(), Site(), clang, {}, base)
    assert again.args["DESCRIPTION"] == made.args["DESCRIPTION"]  # nothing of the machine, its site or the hour


def test_settings_of_the_site_enter_as_secrets_and_names(tmp_path: Path) -> None:
    secrets = {"ca": tmp_path / "ca", "pip": tmp_path / "pip"}
    site = Site(proxies=("https_proxy",))
    made = run.build_of(plan_of(), BuildOptions(), site, NO_CLANG, secrets, BaseImage("base"))
    docker = Commands("docker", "docker").build(made)
    assert values(docker, "--secret") == [f"id=ca,src={tmp_path}/ca", f"id=pip,src={tmp_path}/pip"]
    assert "https_proxy" in values(docker, "--build-arg")
    assert "https_proxy" not in values(Commands("podman", "podman").build(made), "--build-arg")


def test_one_build_of_a_reference_at_a_time() -> None:
    with run.alone("example.org/image:1"):
        with pytest.raises(errors.UserError, match="is being built already"), run.alone("example.org/image:1"):
            pass
        with run.alone("example.org/image:2"):
            pass
    with run.alone("example.org/image:1"):
        pass


def test_each_run_has_a_temporary_tag_of_its_own() -> None:
    plan = plan_of(tag="t" * 119)
    names = {run.temporary_tag(plan, each) for each in ("one", "two", "")}
    assert len(names) == 3
    assert all(len(name.rpartition(":")[2]) <= 128 and name.endswith("-untested") for name in names)
