"""Hostile and mistaken values at the door: exit 2, one line with place and fix, before anything is done."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from build import command as build
from catalogue import images, paths, tags
from host import inputs
from portable import errors
from portable.toml import read_toml

CATALOGUE = images.load(overlay=images.NO_OVERLAY)
ROOT = paths.ROOT

BAD_TAGS = [
    " ",
    "a b",
    "a\n",
    "a\nb",
    "\ta",
    "-a",
    ".a",
    "--print",
    "a/b",
    "a:b",
    "a@b",
    "a@sha256:" + "0" * 64,
    "a,b",
    "a;b",
    "a=b",
    "a+b",
    "a~b",
    "a#b",
    "a?b",
    "a*b",
    "a'b",
    'a"b',
    "a\\b",
    "$(id)",
    "`id`",
    "${HOME}",
    "a|b",
    "a&b",
    "../a",
    "é",
    "\u0661",
    "\uff11",
    "\u202ea",
    "a\u200bb",
    "\x1b[31m",
    "a\x7f",
    "\udcff",
    "a" * 120,
    "a" * 128,
    "a" * 5000,
]
GOOD_TAGS = ["latest", "2026.01.02-3", "_", "A.b_c-d", "0", "a" * 119, "81c0328" + "0" * 33]
BAD_REFERENCES = [
    " ",
    "a b",
    "a\n",
    "A",
    "-a",
    "a:",
    "a:-b",
    "a//b",
    "/a",
    "a/",
    "http://a/b",
    "docker://a/b",
    "a@sha256:12",
    "a@md5:" + "0" * 64,
    "a:b:c",
    "host:port/a",
    "a,b",
    "$(id)",
    "é",
    "a" * 256,
    "a:" + "b" * 129,
    "a__-b",
    "a..b",
]
GOOD_REFERENCES = [
    "debian:12",
    "scratch",
    "localhost/manylinux-base:debian-12-amd64",
    "localhost:5000/a",
    "127.0.0.1:5000/acme/a-b__c.d:T",
    "[::1]:5000/a",
    "registry.example.org/a@sha256:" + "0" * 64,
    "registry.example.org/a:b@sha256:" + "0" * 64,
    "sha256:" + "0" * 64,
    "0123456789ab",
]


@pytest.mark.parametrize("value", BAD_TAGS)
def test_no_tags(value: str) -> None:
    with pytest.raises(errors.UserError, match=r"\ACOMMIT_SHA: .* is not a tag: give up to 119 letters") as caught:
        inputs.tag("COMMIT_SHA", value)
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 250


@pytest.mark.parametrize("value", GOOD_TAGS)
def test_tags(value: str) -> None:
    assert inputs.tag("--tag", value) == value
    assert len(value + tags.UNTESTED_HERE) <= tags.LONGEST


@pytest.mark.parametrize("value", BAD_REFERENCES)
def test_no_references(value: str) -> None:
    with pytest.raises(errors.UserError, match=r"\A--base: .* is not a reference of an image: give one") as caught:
        inputs.reference("--base", value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("value", GOOD_REFERENCES)
def test_references(value: str) -> None:
    assert inputs.reference("--base", value) == value


def test_what_the_tables_name_passes() -> None:
    bases = {image.policy.base for image in CATALOGUE.all_images} | set(read_toml(ROOT / "docker" / "bases.toml"))
    assert bases and all(inputs.reference("base", base) for base in bases)
    assert inputs.namespace("registry", CATALOGUE.registry)
    assert all(inputs.repository("image", image.repository) for image in CATALOGUE.all_images)
    for platform in CATALOGUE.platforms.values():
        assert inputs.architecture(inputs.BUILDARCH, platform.go, CATALOGUE) == platform.go


@pytest.mark.parametrize(
    "value", ["quay.io", "quay.io/", "/pypa", "quay.io/Pypa", "https://quay.io/pypa", "quay.io/a:b"]
)
def test_no_namespaces(value: str) -> None:
    with pytest.raises(errors.UserError, match=r"--registry: .* is not <host>/<namespace>"):
        inputs.namespace("--registry", value)


# --- Whole commands ---------------------------------------------------------------------------------------------------


@pytest.fixture
def called(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine where every program leaves a trace in this file, and nothing is set."""
    programs, trace = tmp_path / "bin", tmp_path / "called"
    programs.mkdir()
    for name in ("git", "docker", "podman", "apt-get", "mmdebstrap", "apt-config", "pip", "pip3"):
        (programs / name).write_text(f'#!/bin/sh\necho "{name} $*" >>{trace}\nexit 1\n', encoding="utf-8")
        (programs / name).chmod(0o755)
    for name in [name for name in os.environ if name.startswith("MANYLINUX_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PATH", f"{programs}:{Path(sys.executable).parent}:/usr/bin:/bin")
    monkeypatch.setenv("MANYLINUX_IMAGES_OVERLAY", os.devnull)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    return trace


def refused(called: Path, status: int, out: str, said: str, message: str) -> None:
    """Whether it ended with 2 and one line, and had done nothing."""
    assert status == 2, said
    assert re.match(f"error: {message}", said), said
    assert said.count("\n") == 1 and out == ""
    assert not called.exists(), called.read_text()
    assert not (called.parent / "state").exists()


def run(*command: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command, cwd=ROOT, env={**os.environ, **environment}, capture_output=True, text=True, check=False, timeout=60
    )


BUILD = [
    ({"COMMIT_SHA": "a b"}, (), "COMMIT_SHA: 'a b' is not a tag: "),
    ({"COMMIT_SHA": "a" * 120}, (), "COMMIT_SHA: 'aaaa.* is not a tag: give up to 119 "),
    ({"COMMIT_SHA": "a" * 114}, ("--stage", "component-zstd"), "COMMIT_SHA: 'aaaa.* is not a tag: give up to 113 "),
    ({inputs.BUILDARCH: "x86_64"}, (), f"{inputs.BUILDARCH}: 'x86_64' is not an architecture .*did you mean amd64\\?"),
    ({inputs.BUILDARCH: "linux/arm/v7"}, (), f"{inputs.BUILDARCH}: .*did you mean arm\\?"),
    ({inputs.BUILDARCH: "AMD64"}, (), f"{inputs.BUILDARCH}: 'AMD64' is not an architecture .*Known: 386, amd64"),
    ({inputs.BUILDARCH: " amd64"}, (), f"{inputs.BUILDARCH}: .*did you mean amd64"),
    ({inputs.BUILDARCH: "mips"}, (), f"{inputs.BUILDARCH}: .*Known: "),
    ({inputs.DISABLE_CLANG: "false"}, (), f"{inputs.DISABLE_CLANG}: 'false' is neither 0 nor 1"),
    ({inputs.DISABLE_CLANG: "yes"}, (), f"{inputs.DISABLE_CLANG}: "),
    ({inputs.DISABLE_CLANG: "01"}, (), f"{inputs.DISABLE_CLANG}: "),
    ({inputs.DISABLE_CLANG: "\u0661"}, (), f"{inputs.DISABLE_CLANG}: "),
    ({inputs.DISABLE_CLANG_FOR_CPYTHON: "True"}, (), f"{inputs.DISABLE_CLANG_FOR_CPYTHON}: 'True' is neither"),
    ({inputs.STATIC_CLANG_IMAGE: "A B"}, (), f"{inputs.STATIC_CLANG_IMAGE}: 'A B' is not a reference"),
    ({"MANYLINUX_BUILD_FRONTEND": "buildah"}, (), "MANYLINUX_BUILD_FRONTEND=buildah: it must be one of"),
    ({}, ("--base", "a b"), "--base: 'a b' is not a reference"),
    ({}, ("--base", ""), "--base: '' is not a reference"),
    ({}, ("--stage", "nonsense"), "--stage: 'nonsense' is unknown; Known: "),
    ({}, ("--stage", "component-zst"), "--stage: .*did you mean component-zstd"),
    ({}, ("--components", "tcl"), "unknown component 'tcl'; did you mean tcltk"),
    ({}, ("--components", "cpython-3.13"), "unknown component 'cpython-3.13'"),
    ({}, ("--interpreters", "cp27-cp27m"), ".* has no interpreter 'cp27-cp27m'"),
    ({}, ("--bootstrap", "--interpreters", "cp27-cp27m"), ".* has no interpreter 'cp27-cp27m'"),
    ({}, ("--bootstrap", "--components", "tcl"), "unknown component 'tcl'"),
    ({}, ("--bootstrap", "--base", "debian:12"), "--bootstrap makes the base image itself: leave out --base"),
    ({"POLICY": "manylinux_2_28"}, ("--bootstrap",), "--bootstrap makes Debian base images, and manylinux_2_28 is"),
    ({}, ("--cache-from", ""), "--cache-from: it is empty"),
]


@pytest.mark.parametrize(("environment", "words", "message"), BUILD)
@pytest.mark.parametrize("shown", [(), ("--print",)], ids=["build", "print"])
def test_build_sh_refuses(
    called: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    environment: dict[str, str],
    words: tuple[str, ...],
    message: str,
    shown: tuple[str, ...],
) -> None:
    for name, value in {"POLICY": "manylinux_2_36", "PLATFORM": "x86_64", **environment}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(sys, "argv", ["build", *shown, *words])
    status = errors.run(build.main)
    refused(called, status, *capsys.readouterr(), message)


def test_build_sh_ends_with_that_status(called: Path) -> None:
    done = run(str(ROOT / "build.sh"), COMMIT_SHA="a b")
    refused(called, done.returncode, done.stdout, done.stderr, "COMMIT_SHA: 'a b' is not a tag")


@pytest.mark.parametrize(
    ("words", "environment", "message"),
    [
        (("bake", "--tag", "a b"), {}, "--tag: 'a b' is not a tag"),
        (("bake", "--tag", ""), {}, "--tag: '' is not a tag"),
        (("bake", "--cache", "registry.example.org/a:b"), {}, "--cache: .* is not a repository"),
        (("bake",), {inputs.BUILDARCH: "aarch64"}, f"{inputs.BUILDARCH}: .*did you mean arm64"),
        (("bake",), {inputs.DISABLE_CLANG: "no"}, f"{inputs.DISABLE_CLANG}: 'no' is neither"),
        (("many", "*_x86_64", "--tag", "a/b"), {}, "--tag: 'a/b' is not a tag"),
        (("many", "*_x86_64", "--jobs", "0"), {}, "--jobs must be 1 or more"),
        (("many", "*_x86_64"), {"COMMIT_SHA": "\u00e9"}, "COMMIT_SHA: .* is not a tag"),
        (("smoke", "a b"), {}, "the image: 'a b' is not a reference"),
        (("smoke", "a", "--jobs", "-1"), {}, "--jobs must be 0"),
        (("push", "--registry", "quay.io", "manylinux_2_36_x86_64"), {}, "--registry: 'quay.io' is not"),
        (("rollback", "2026.13.45-0"), {}, "'2026.13.45-0' is not a dated tag"),
        (("manifest", "--verify", "manylinux_2_36", "latest"), {}, "'latest' is not a dated tag"),
    ],
)
def test_commands_refuse(called: Path, words: tuple[str, ...], environment: dict[str, str], message: str) -> None:
    done = run(sys.executable, "scripts", *words, **environment)
    refused(called, done.returncode, done.stdout, done.stderr, message)


@pytest.mark.parametrize(
    "words",
    [
        ("build", "-i", "manylinux_2_36_x86_64", "--tag", "a b"),
        ("build", "-i", "manylinux_2_36_*", "--tag", "a b"),
        ("test", "-i", "manylinux_2_36_x86_64", "--tag", "a b"),
        ("shell", "-i", "manylinux_2_36_x86_64", "--tag", "a b"),
        ("bake", "--tag", "a b"),
    ],
)
def test_tasks_refuse(called: Path, words: tuple[str, ...]) -> None:
    done = run(sys.executable, "-m", "invoke", *words)
    refused(called, done.returncode, done.stdout, done.stderr, "--tag: 'a b' is not a tag")


def test_a_bootstrap_is_shown_as_what_it_would_do() -> None:
    """Not as a build on the table's base image, which is not what follows."""
    done = run(str(ROOT / "build.sh"), "--bootstrap", "--print", POLICY="manylinux_2_36", PLATFORM="x86_64")
    if done.returncode == 2:
        assert re.search("works on Debian|only root can install", done.stderr)
    else:
        assert done.returncode == 0, done.stderr
        assert "make the base image localhost/manylinux-base:debian-12-amd64 with mmdebstrap" in done.stdout
        assert "docker.io" not in done.stdout
