"""manylinux-install-clang as its users call it, against servers on loopback and archives made here."""

from __future__ import annotations

import signal
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from tests.support import certificates, fake_image, servers
from tests.support.fake_image import FakeImage

COMMAND = "manylinux-install-clang"


@dataclass
class Releases:
    """An image and the clang releases v22.1.0.0, v21.2.0.0 and v21.1.0.0, known to it, and v30.0.0.0, unknown."""

    image: FakeImage
    server: servers.Server
    files: dict[str, bytes]
    sums: dict[str, str]

    def run(self, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        return self.image.run(COMMAND, *arguments, **environment)

    @property
    def asked(self) -> list[str]:
        """What the server was asked for."""
        return [path for _, path, _ in self.server.requests]

    @property
    def installed(self) -> str:
        """What the installed clang is: release and machine."""
        return (self.image.root / "opt/clang/bin/clang").read_text(encoding="utf-8").strip()


@pytest.fixture
def releases(tmp_path: Path) -> Iterator[Releases]:
    image = fake_image.make(tmp_path / "root", "manylinux_2_28", "x86_64")
    image.environment["RUNNER_ARCH"] = "X64"
    with servers.running() as server:
        files, sums = {}, {}
        for version in ("v22.1.0.0", "v21.2.0.0", "v21.1.0.0", "v30.0.0.0"):
            listed = ""
            for machine in ("amd64", "arm64", "arm"):
                name = f"static-clang-linux-{machine}.tar.xz"
                content = fake_image.archive({"clang/bin/clang": f"{version} {machine}\n".encode()}, "xz")
                files[f"/{version}/{name}"] = content
                listed += f"{fake_image.sha256(content)}  {name}\n"
            files[f"/{version}/sha256sums.txt"] = listed.encode()
            sums[version] = fake_image.sha256(listed.encode())
        known = "".join(f'"{version}" = "{sums[version]}"\n' for version in list(sums)[:3])
        image.write_downloads(
            f"""
            [clang]
            stable_major = 21
            url = "{server.url("/{version}/{file}")}"
            archive = "static-clang-linux-{{machine}}.tar.xz"
            [static_clang]
            {known}"""
        )
        server.routes = {name: servers.good(content) for name, content in files.items()}
        yield Releases(image, server, files, sums)


@pytest.mark.parametrize(
    ("arguments", "installed"),
    [
        ([], "v21.2.0.0 amd64"),
        (["-v", "stable"], "v21.2.0.0 amd64"),
        (["-v", "latest"], "v22.1.0.0 amd64"),
        (["-v", "v21.1.0.0"], "v21.1.0.0 amd64"),
        (["-v", "21.1.0.0"], "v21.1.0.0 amd64"),
        (["-m", "aarch64", "-v22.1.0.0"], "v22.1.0.0 arm64"),
    ],
)
def test_choice(releases: Releases, arguments: list[str], installed: str) -> None:
    result = releases.run(*arguments)
    assert result.returncode == 0, result.stderr
    assert releases.installed == installed
    assert (
        result.stdout
        == f"static-clang toolchain {installed.split()[0]} installed at '{releases.image.root}/opt/clang'\n"
    )


def test_a_given_checksum(releases: Releases) -> None:
    known, unknown = releases.sums["v21.2.0.0"], releases.sums["v30.0.0.0"]
    assert releases.run("-v", "v21.2.0.0", "-c", known.upper()).returncode == 0

    result = releases.run("-v", "v21.2.0.0", "-c", unknown)
    assert result.returncode == 1
    assert known in result.stderr
    assert unknown in result.stderr

    result = releases.run("-v", "30.0.0.0")
    assert (result.returncode, result.stderr) == (1, "error: No known sha256 for static-clang toolchain v30.0.0.0\n")
    result = releases.run("-v", "30.0.0.0", "-c", "12ab")
    assert result.returncode == 1
    assert "is no sha256" in result.stderr
    assert releases.installed == "v21.2.0.0 amd64"

    assert releases.run("-v", "30.0.0.0", "-c", unknown).returncode == 0
    assert releases.installed == "v30.0.0.0 amd64"


def test_list_and_help(releases: Releases) -> None:
    result = releases.run("-l")
    assert (result.returncode, result.stdout) == (0, "v22.1.0.0\nv21.2.0.0\nv21.1.0.0\n")
    for option in ("-h", "--help"):
        result = releases.run(option)
        assert (result.returncode, result.stderr) == (0, "")
        assert "usage: manylinux-install-clang [-v VERSION]" in result.stdout
        assert "MANYLINUX_DOWNLOAD_MIRROR" in result.stdout


@pytest.mark.parametrize("arguments", [["-x"], ["-v"], ["-c"], ["-m"], ["v22.1.0.0"], ["--latest"]])
def test_wrong_use_exits_with_1(releases: Releases, arguments: list[str]) -> None:
    result = releases.run(*arguments)
    assert (result.returncode, result.stdout) == (1, "")
    assert "usage: manylinux-install-clang" in result.stderr
    assert releases.asked == []


MACHINES = {
    "arm64": "ARM64 aarch64 arm64 arm64/v8",
    "arm": "ARM armv7l armv8l arm arm/v7",
    "amd64": "X64 x86_64 amd64 amd64/v2",
    "386": "X86 i686 386",
    "loong64": "loongarch64",
    "ppc64le": "ppc64le",
    "riscv64": "riscv64",
    "s390x": "s390x",
}


@pytest.mark.parametrize("machine", " ".join(MACHINES.values()).split())
def test_machines(releases: Releases, machine: str) -> None:
    name = next(name for name, spellings in MACHINES.items() if machine in spellings.split())
    sums = f"{'0' * 64} *static-clang-linux-{name}.tar.xz\n".encode()
    releases.server.routes["/v30/sha256sums.txt"] = servers.good(sums)
    assert releases.run("-v30", "-c", fake_image.sha256(sums), RUNNER_ARCH=machine).returncode == 1
    assert releases.asked == ["/v30/sha256sums.txt", f"/v30/static-clang-linux-{name}.tar.xz"]


def test_the_machine_is_that_of_the_kernel_unless_told(releases: Releases) -> None:
    del releases.image.environment["RUNNER_ARCH"]
    releases.run()
    machine = subprocess.run(["uname", "-m"], text=True, capture_output=True, check=True).stdout.strip()
    name = next(name for name, spellings in MACHINES.items() if machine in spellings.split())
    assert releases.asked[1].endswith(f"-{name}.tar.xz")


@pytest.mark.parametrize("machine", ["mips", "arm/v6", "x86", "amd64x"])
def test_an_unknown_machine_comes_before_an_unknown_version(releases: Releases, machine: str) -> None:
    result = releases.run("-m", machine, "-v", "v99")
    assert (result.returncode, result.stderr) == (1, f"error: No static-clang toolchain for {machine}\n")
    assert releases.run("-m", machine, "-l").returncode == 0


def test_configuration(releases: Releases) -> None:
    (releases.image.root / "gcc").mkdir()
    gcc = releases.image.root / "gcc/gcc"
    gcc.write_text('#!/bin/sh\n[ "$*" = -dumpmachine ] && echo x86_64-redhat-linux\n', encoding="utf-8")
    gcc.chmod(0o755)
    path = f"{gcc.parent}:{releases.image.environment['PATH']}"
    assert releases.run(PATH=path).returncode == 0
    programs = releases.image.root / "opt/clang/bin"
    assert (programs / "manylinux_2_28_x86_64.cfg").read_text(encoding="utf-8").splitlines() == [
        "-target x86_64-unknown-linux-gnu",
        "-march=x86-64",
        "--gcc-toolchain=/opt/rh/gcc-toolset-14/root/usr",
        "--gcc-triple=x86_64-redhat-linux",
    ]
    for program in ("clang", "clang++", "clang-cpp"):
        assert (programs / f"{program}.cfg").read_text(encoding="utf-8") == "@manylinux_2_28_x86_64.cfg\n"


@pytest.mark.parametrize("damaged", ["sha256sums.txt", "static-clang-linux-amd64.tar.xz"])
def test_the_old_clang_goes_only_after_both_checks(releases: Releases, damaged: str) -> None:
    assert releases.run("-v", "latest").returncode == 0
    before = releases.image.files()
    name = f"/v21.2.0.0/{damaged}"
    releases.server.routes[name] = servers.good(releases.files[name][:-1] + b"?")
    result = releases.run()
    assert result.returncode == 1
    assert damaged in result.stderr
    assert "its sha256 is" in result.stderr
    assert releases.installed == "v22.1.0.0 amd64"
    assert releases.image.files() == before

    assert releases.run("-v", "v21.1.0.0").returncode == 0
    assert releases.installed == "v21.1.0.0 amd64"
    assert releases.image.files() == before


def test_a_release_without_this_machine(releases: Releases) -> None:
    result = releases.run("-m", "s390x")
    assert result.returncode == 1
    assert "sha256sums.txt of this release does not list static-clang-linux-s390x.tar.xz" in result.stderr


def test_failing_servers_are_asked_again(releases: Releases) -> None:
    for name, content in releases.files.items():
        releases.server.routes[name] = servers.failing(2, 503, then=servers.good(content))
    assert releases.run().returncode == 0
    assert len(releases.asked) == 6


def test_mirror_behind_a_ca(releases: Releases, tmp_path: Path) -> None:
    ca, certificate = certificates.make(tmp_path)
    with servers.running(certificate) as mirror:
        for name, content in releases.files.items():
            mirror.routes[f"/127.0.0.1:{releases.server.port}{name}"] = servers.good(content)
        where = {"MANYLINUX_DOWNLOAD_MIRROR": mirror.url(""), "SSL_CERT_FILE": str(ca)}
        assert releases.run(**where).returncode == 0
        assert len(mirror.requests) == 2
    assert releases.asked == []


def test_a_terminated_installation_leaves_the_old_clang(releases: Releases) -> None:
    assert releases.run("-v", "latest").returncode == 0
    before, asked = releases.image.files(), len(releases.asked)
    archive = "/v21.2.0.0/static-clang-linux-amd64.tar.xz"
    releases.server.routes[archive] = servers.dripping(releases.files[archive], 50, 3)
    process = subprocess.Popen(releases.image.command(COMMAND), env=releases.image.environment, stderr=subprocess.PIPE)
    while len(releases.asked) < asked + 2:
        time.sleep(0.02)
    process.terminate()
    process.communicate(timeout=10)
    assert process.returncode == 128 + signal.SIGTERM
    assert releases.image.files() == before
    assert releases.installed == "v22.1.0.0 amd64"


@pytest.mark.parametrize(
    "version", ["../x", "v1/../../x", "1 2", " ", "ä", "v²", "%00", "{version}", "v1?x", "1\n", "vv1"]
)
def test_what_is_no_release_is_asked_for_nowhere(releases: Releases, version: str) -> None:
    result = releases.run("-v", version, "-c", "a" * 64)
    assert result.returncode == 1
    assert "is no release of static-clang" in result.stderr and result.stderr.count("\n") == 1
    assert releases.asked == []


def test_a_broken_gcc_leaves_the_old_clang(releases: Releases) -> None:
    assert releases.run("-v", "latest").returncode == 0
    before = releases.image.files()
    programs = releases.image.root.parent / "programs"
    programs.mkdir()
    (programs / "gcc").write_text("#!/bin/sh\nexit 4\n", encoding="utf-8")
    (programs / "gcc").chmod(0o755)
    result = releases.run(PATH=f"{programs}:{releases.image.environment['PATH']}")
    assert result.returncode == 1
    assert result.stderr.splitlines()[-1].endswith("gcc -dumpmachine does not say what it compiles for (status 4)")
    assert releases.image.files() == before
