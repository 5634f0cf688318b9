"""The native pins: reading and moving the ARGs that open the Dockerfile."""

from __future__ import annotations

import difflib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from catalogue import pins
from portable import errors

A, B, C = "a" * 64, "b" * 64, "c" * 64
DOCKERFILE = f"""\
# pins
ARG GIT_VERSION=2.54.0
ARG GIT_SHA256={A}
ARG GIT_URL=https://example.org/git/git-${{GIT_VERSION}}.tar.gz

ARG SQLITE_VERSION=3.53.2
ARG SQLITE_SHA256={A}
ARG SQLITE_URL=https://example.org/2026/sqlite-autoconf-3530200.tar.gz

ARG GIT_LFS_VERSION=3.7.1
ARG GIT_LFS_SHA256="amd64:{A} 386:{B}"
ARG GIT_LFS_URL=https://example.org/v${{GIT_LFS_VERSION}}/git-lfs-linux-{{goarch}}-v${{GIT_LFS_VERSION}}.tar.gz

ARG CPYTHON_3_13_VERSION=3.13.15
ARG CPYTHON_3_13_SHA256={B}
ARG CPYTHON_3_13_URL=https://example.org/${{CPYTHON_3_13_VERSION}}/Python-${{CPYTHON_3_13_VERSION}}.tar.xz

ARG STATIC_CLANG_VERSION=22.1.8.1
ARG STATIC_CLANG_IMAGE=example.org/static-clang:${{STATIC_CLANG_VERSION}}

ARG BASEIMAGE=debian:12
FROM ${{BASEIMAGE}} AS base
ARG GIT_VERSION
"""


def changed_lines(before: str, after: str) -> int:
    return sum(line.startswith("+ ") for line in difflib.ndiff(before.splitlines(), after.splitlines()))


def test_parse() -> None:
    found = pins.parse(DOCKERFILE)
    assert list(found) == ["git", "sqlite", "git-lfs", "cpython-3.13", "static-clang"]
    assert found["git"] == pins.Pin("git", "2.54.0", "https://example.org/git/git-2.54.0.tar.gz", A)
    assert found["cpython-3.13"].file_name == "Python-3.13.15.tar.xz"
    assert found["static-clang"].url == "example.org/static-clang:22.1.8.1"


def test_an_architecture_of_a_prebuilt_pin() -> None:
    lfs = pins.parse(DOCKERFILE)["git-lfs"]
    assert lfs.for_arch("386") == pins.Pin(
        "git-lfs", "3.7.1", "https://example.org/v3.7.1/git-lfs-linux-386-v3.7.1.tar.gz", B
    )
    with pytest.raises(errors.UserError, match="no file for mips"):
        lfs.for_arch("mips")
    git = pins.parse(DOCKERFILE)["git"]
    assert git.for_arch("mips") is git


@pytest.mark.parametrize("name", ["git", "git-lfs", "cpython-3.13", "static-clang", "automake"])
def test_names_and_prefixes_are_inverse(name: str) -> None:
    assert pins.pin_name(pins.env_prefix(name)) == name


def test_a_bump_is_two_lines_where_the_url_interpolates() -> None:
    url = "https://example.org/git/git-2.55.0.tar.gz"
    moved = pins.replace(DOCKERFILE, "git", version="2.55.0", url=url, sha256=C)
    assert changed_lines(DOCKERFILE, moved) == 2
    assert pins.parse(moved)["git"] == pins.Pin("git", "2.55.0", url, C)


def test_another_compression_keeps_the_interpolation() -> None:
    url = "https://example.org/git/git-2.55.0.tar.xz"
    moved = pins.replace(DOCKERFILE, "git", version="2.55.0", url=url, sha256=C)
    assert "ARG GIT_URL=https://example.org/git/git-${GIT_VERSION}.tar.xz\n" in moved


def test_a_url_without_the_version_is_a_third_line() -> None:
    url = "https://example.org/2027/sqlite-autoconf-3540000.tar.gz"
    moved = pins.replace(DOCKERFILE, "sqlite", version="3.54.0", url=url, sha256=C)
    assert changed_lines(DOCKERFILE, moved) == 3
    assert pins.parse(moved)["sqlite"].url == url


def test_prebuilt_digests_stay_on_one_line() -> None:
    url = "https://example.org/v3.8.1/git-lfs-linux-{goarch}-v3.8.1.tar.gz"
    moved = pins.replace(DOCKERFILE, "git-lfs", version="3.8.1", url=url, sha256={"amd64": C, "386": A})
    assert f'ARG GIT_LFS_SHA256="amd64:{C} 386:{A}"\n' in moved


@given(
    st.from_regex(r"[0-9]{1,3}\.[0-9]{1,3}\.[0-9]{1,3}", fullmatch=True), st.from_regex(r"[0-9a-f]{64}", fullmatch=True)
)
def test_replace_reads_back_and_touches_nothing_else(version: str, digest: str) -> None:
    url = f"https://example.org/git/git-{version}.tar.gz"
    moved = pins.replace(DOCKERFILE, "git", version=version, url=url, sha256=digest)
    before, after = pins.parse(DOCKERFILE), pins.parse(moved)
    assert after.pop("git") == pins.Pin("git", version, url, digest)
    before.pop("git")
    assert before == after


def test_unknown_pin() -> None:
    with pytest.raises(errors.Failure, match="no pin curl"):
        pins.replace(DOCKERFILE, "curl", version="8", url="https://example.org/curl-8.tar.gz", sha256=C)


@pytest.mark.parametrize("line", ["ARG GIT_VERSION=2.54.0\n", f"ARG GIT_SHA256={A}\n"])
def test_half_a_pin_is_an_error(line: str) -> None:
    with pytest.raises(errors.UserError, match="git"):
        pins.parse(DOCKERFILE.replace(line, "", 1))


def test_a_malformed_digest_is_an_error() -> None:
    with pytest.raises(errors.UserError, match="git: SHA256 must be a valid sha256"):
        pins.parse(DOCKERFILE.replace(f"ARG GIT_SHA256={A}", "ARG GIT_SHA256=abc"))
