"""docker/build_scripts/lib/lib.sh: downloads verified before use, and results that are the same every time."""

from __future__ import annotations

import hashlib
import io
import os
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest
from tests.support import servers

from catalogue import pins

SCRIPTS = pins.DOCKERFILE.parent / "build_scripts" / "lib"
SOURCE = pins.DOCKERFILE.parent / "src" / "baseline-compiler.c"


def bash(script: str, *arguments: object, **environment: str) -> subprocess.CompletedProcess[str]:
    """Runs a few lines after lib.sh."""
    return subprocess.run(
        ["bash", "-c", f"set -Eeuo pipefail; source lib.sh; {script}", "bash", *map(str, arguments)],
        cwd=environment.pop("cwd", SCRIPTS),
        env={"PATH": os.environ["PATH"], **environment},
        capture_output=True,
        text=True,
        check=False,
    )


def scripts_with_mirrors(tmp_path: Path, mirrors: str) -> Path:
    """A copy of lib.sh with its own list of mirrors; its pauses between attempts are cut."""
    directory = tmp_path / "build_scripts" / "lib"
    directory.mkdir(parents=True)
    text = (SCRIPTS / "lib.sh").read_text(encoding="utf-8")
    (directory / "lib.sh").write_text(text.replace("sleep $((attempt * 2))", ":"), encoding="utf-8")
    (tmp_path / "mirrors.txt").write_text(mirrors, encoding="utf-8")
    return directory


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


@pytest.mark.program("curl")
def test_a_verified_download_is_kept(tmp_path: Path, server: servers.Server) -> None:
    server.routes["/a.tar"] = servers.good(b"archive")
    scripts = scripts_with_mirrors(tmp_path, "# none\n")
    done = bash('download "$@"', server.url("/a.tar"), sha256(b"archive"), tmp_path / "a", cwd=str(scripts))
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "a").read_bytes() == b"archive"


@pytest.mark.program("curl")
def test_a_page_instead_of_the_file_is_refused(tmp_path: Path, server: servers.Server) -> None:
    server.routes["/a.tar"] = servers.good(servers.HTML)
    scripts = scripts_with_mirrors(tmp_path, "")
    done = bash('download "$@"', server.url("/a.tar"), sha256(b"archive"), tmp_path / "a", cwd=str(scripts))
    assert done.returncode == 1
    assert "gave 54 bytes that are not sha256" in done.stderr
    assert f"error: cannot download {server.url('/a.tar')}" in done.stderr
    assert not (tmp_path / "a").exists()


@pytest.mark.program("curl")
def test_a_mirror_stands_in(tmp_path: Path, server: servers.Server) -> None:
    server.routes["/mirror/a.tar"] = servers.good(b"archive")
    scripts = scripts_with_mirrors(
        tmp_path, " ".join(server.url(f"/{name}/") for name in ("original", "nowhere", "mirror"))
    )
    done = bash('download "$@"', server.url("/original/a.tar"), sha256(b"archive"), tmp_path / "a", cwd=str(scripts))
    assert done.returncode == 0, done.stderr
    assert done.stderr.index("/original/") < done.stderr.index("/nowhere/") < done.stderr.index("/mirror/")
    assert (tmp_path / "a").read_bytes() == b"archive"


def test_a_file_larger_than_any_source_is_cut_off(tmp_path: Path, server: servers.Server) -> None:
    server.routes["/a.tar"] = servers.good(b"x" * 300_000)
    scripts = scripts_with_mirrors(tmp_path, "")
    script = 'MAX_SOURCE_KIB=100; download "$@"'
    done = bash(script, server.url("/a.tar"), sha256(b"x" * 300_000), tmp_path / "a", cwd=str(scripts))
    assert done.returncode == 1
    assert not (tmp_path / "a").exists()


@pytest.mark.program("curl")
def test_what_a_stage_makes_is_dated_like_its_source(tmp_path: Path, server: servers.Server) -> None:
    source = tmp_path / "name-1.0"
    source.mkdir()
    for name, date in (("old", 1_000_000_000), ("new", 1_200_000_000)):
        (source / name).write_text(name)
        os.utime(source / name, (date, date))
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as archive:
        archive.add(source, arcname="name-1.0")
    server.routes["/name-1.0.tar.gz"] = servers.good(packed.getvalue())
    digest = sha256(packed.getvalue())
    scripts = scripts_with_mirrors(tmp_path, "")
    result = tmp_path / "result"
    result.mkdir()
    (result / "link").symlink_to("nowhere")
    script = 'fetch_source "$1" "$2" "$3"; clamp_times "$4"; echo "${SOURCE_DATE_EPOCH}"'
    done = bash(script, server.url("/name-1.0.tar.gz"), digest, tmp_path / "unpacked", result, cwd=str(scripts))
    assert done.stdout == "1200000000\n", done.stderr
    assert (tmp_path / "unpacked" / "new").read_text() == "new"
    assert {path.lstat().st_mtime for path in (result, result / "link")} == {1_200_000_000}


def test_nothing_is_dated_before_what_zip_can_hold_in_every_time_zone(tmp_path: Path) -> None:
    (tmp_path / "old").touch()
    script = 'SOURCE_DATE_EPOCH=315532800; clamp_times "$1"'  # 1980-01-01, as in many wheels
    assert bash(script, tmp_path).returncode == 0
    for zone in ("UTC", "UTC+12", "UTC-14"):
        code = f"import zipfile; print(zipfile.ZipInfo.from_file({str(tmp_path / 'old')!r}).date_time[0])"
        done = subprocess.run(
            [sys.executable, "-c", f"{code}; zipfile.ZipFile('x.zip', 'w').write({str(tmp_path / 'old')!r})"],
            env={"TZ": zone},
            cwd=tmp_path,
            text=True,
            capture_output=True,
        )
        assert (done.stdout, done.stderr) == ("1980\n", ""), zone


def test_identical_files_become_one(tmp_path: Path) -> None:
    for name, text in (("a", "same"), ("b", "same"), ("c", "other"), ("empty1", ""), ("empty2", "")):
        (tmp_path / name).write_text(text)
    (tmp_path / "program").write_text("same")
    (tmp_path / "program").chmod(0o755)
    assert bash('link_duplicates "$1"', tmp_path).returncode == 0
    inodes = {path.name: path.stat().st_ino for path in tmp_path.iterdir()}
    assert inodes["a"] == inodes["b"]
    assert len(set(inodes.values())) == 5  # c, both empty ones and the program stand alone
    assert (tmp_path / "program").stat().st_mode & 0o111


@pytest.mark.parametrize(
    ("script", "shown"),
    [
        ("shows '^1$' seq 100000", True),  # a pipe into `grep -q` would fail here: seq could not print the rest
        ("shows '^x$' seq 100000", False),
        ("shows '^1$' bash -c 'echo 1; exit 3'", False),
    ],
)
def test_shows(script: str, shown: bool) -> None:
    assert (bash(script).returncode == 0) is shown


PIN = {"GIT_LFS_VERSION": "3.7.1", "GIT_LFS_URL": "https://example.org/a b", "GIT_LFS_SHA256": "amd64:0 386:1"}


def test_a_pin_is_read_by_its_name() -> None:
    done = bash('read_pin git-lfs; printf "%s|" "$VERSION" "$URL" "$SHA256"; sh -c \'echo "${VERSION-}"\'', **PIN)
    assert (done.returncode, done.stdout) == (0, "3.7.1|https://example.org/a b|amd64:0 386:1|\n")


@pytest.mark.parametrize("missing", PIN)
@pytest.mark.parametrize("rest", [{}, {"VERSION": "1", "URL": "u", "SHA256": "s"}])
def test_a_pin_that_the_stage_does_not_declare_is_an_error(missing: str, rest: dict[str, str]) -> None:
    done = bash("read_pin git-lfs; echo went on", **(PIN | {missing: ""} | rest))
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith(f"error: no {missing} in the environment: ")


def test_a_site_without_secrets_changes_nothing() -> None:
    done = bash('use_site; echo "${PIP_CERT-none}"')
    assert done.stdout == "none\n"


@pytest.mark.parametrize(
    ("arguments", "added"),
    [
        ((), ["-march=x86-64", "-mtune=generic"]),
        (("-c", "a b.c"), ["-march=x86-64", "-mtune=generic"]),
        (("-march=native",), []),
        (("-O2", "-march=haswell", "-mtune=skylake"), []),
        (("-mtune=native", "", "x"), ["-march=x86-64"]),
    ],
)
@pytest.mark.program("gcc")
@pytest.mark.parametrize("name", ["gcc", "g++", "x86_64-redhat-linux-gcc"])
def test_compiler_wrapper(tmp_path: Path, name: str, arguments: tuple[str, ...], added: list[str]) -> None:
    real, local = tmp_path / "real", tmp_path / "local"
    real.mkdir()
    local.mkdir()
    (real / name).write_text('#!/bin/sh\nprintf "%s\\n" "$0" "$@"\nexit 7\n')
    (real / name).chmod(0o755)
    subprocess.run(
        ["gcc", "-Wall", "-Wextra", "-Werror", f'-DREAL_DIRECTORY="{real}"', "-o", local / "wrapper", SOURCE],
        check=True,
    )
    (local / name).symlink_to("wrapper")
    done = subprocess.run([name, *arguments], env={"PATH": str(local)}, capture_output=True, text=True, check=False)
    assert done.returncode == 7
    assert done.stdout.splitlines() == [str(real / name), *added, *arguments]


@pytest.mark.program("gcc")
def test_compiler_wrapper_says_what_is_missing(tmp_path: Path) -> None:
    wrapper = tmp_path / "gcc"
    subprocess.run(["gcc", '-DREAL_DIRECTORY="/nonexistent"', "-o", wrapper, SOURCE], check=True)
    done = subprocess.run([wrapper], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (127, "/nonexistent/gcc: No such file or directory\n")


# --- Edits of what upstream wrote -----------------------------------------------------------------------------------


def test_an_edit_changes_the_file_and_keeps_its_mode(tmp_path: Path) -> None:
    path = tmp_path / "script"
    path.write_text("Libs: -lz\nOther: 1\n", encoding="utf-8")
    path.chmod(0o751)
    done = bash("""edit "$1" 's|^Libs:.*|& -Wl,-rpath|' '/^Other/d'""", path)
    assert (done.returncode, done.stderr) == (0, "")
    assert path.read_text(encoding="utf-8") == "Libs: -lz -Wl,-rpath\n"
    assert path.stat().st_mode & 0o777 == 0o751


def test_an_edit_that_finds_nothing_is_an_error_and_names_who_must_change(tmp_path: Path) -> None:
    path = tmp_path / "zstd.pc"
    path.write_text("Libs: -lz\n", encoding="utf-8")
    (tmp_path / "recipe.sh").write_text(f"\nedit {path} 's/^Libs/&/;s/lz/lzstd/' 's/-lcrypt//'\n", encoding="utf-8")
    done = bash('source "$1"; echo went on', tmp_path / "recipe.sh")
    assert (done.returncode, done.stdout) == (1, "")
    wanted = f"error: {path} has nothing for sed -E 's/-lcrypt//' to change: adapt recipe.sh, line 2\n"
    assert done.stderr == wanted


def test_an_expression_that_sed_does_not_understand_ends_the_build(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text("text\n", encoding="utf-8")
    assert bash("""edit "$1" 's/text'; echo went on""", path).stdout == ""
    assert bash("""edit "$1" 's/a/b/'; echo went on""", tmp_path / "missing").stdout == ""
