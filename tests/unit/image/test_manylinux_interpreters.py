"""manylinux-interpreters as its users call it, against servers on loopback and archives made here."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from tests.support import certificates, fake_image, servers
from tests.support.fake_image import FakeImage

PYPY, OTHER_PYPY = "pp311-pypy311_pp73", "pp310-pypy310_pp73"
GRAALPY = "graalpy312-graalpy250_312_native"
CPYTHONS = {"cp310-cp310": "3.10.21", "cp39-cp39": "3.9.25", "cp313-cp313t": "3.13.15", "cp313-cp313": "3.13.15"}
PYPY_FILE, GRAALPY_FILE = "/7.3.23/pypy.tar.bz2", "/25.0.3/graalpy.tar.gz"
COMMAND = "manylinux-interpreters"


@dataclass
class Installable:
    """An image with some CPythons whose downloads come from `server`."""

    image: FakeImage
    server: servers.Server
    pypy: bytes

    def run(self, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        return self.image.run(COMMAND, *arguments, **environment)


@pytest.fixture
def image(tmp_path: Path) -> FakeImage:
    made = fake_image.make(tmp_path / "root")
    for tag, version in CPYTHONS.items():
        made.add_interpreter(tag, version)
    return made


@pytest.fixture
def installable(image: FakeImage) -> Iterator[Installable]:
    with servers.running() as server:
        yield make_installable(image, server)


def make_installable(image: FakeImage, server: servers.Server) -> Installable:
    pypy = fake_image.archive(
        {
            "pypy3.11-v7/bin/pypy3": fake_image.stand_in(image.root, "3.11.13", "pypy", "7.3.23"),
            "pypy3.11-v7/bin/libpypy3-c.so.debug": b"large",
            "pypy3.11-v7/lib/pypy3.11/json/__pycache__/shipped.pyc": b"",
            "pypy3.11-v7/lib/pypy3.11/ensurepip/_bundled/pip-24.0-py3-none-any.whl": os.urandom(200_000),
        },
        "bz2",
    )
    graalpy = fake_image.archive(
        {"graalpy-25/bin/graalpy": fake_image.stand_in(image.root, "3.12.8", "graalpy", "25.0.3")}, "gz"
    )
    server.routes = {PYPY_FILE: servers.good(pypy), GRAALPY_FILE: servers.good(graalpy)}
    image.write_downloads(
        f"""
        [interpreters.{PYPY}]
        version = "7.3.23"
        x86_64 = {{ url = "{server.url(PYPY_FILE)}", sha256 = "{fake_image.sha256(pypy)}" }}
        [interpreters.{GRAALPY}]
        version = "25.0.3"
        x86_64 = {{ url = "{server.url(GRAALPY_FILE)}", sha256 = "{fake_image.sha256(graalpy)}" }}
        [interpreters.{OTHER_PYPY}]
        version = "7.3.19"
        aarch64 = {{ url = "{server.url("/7.3.19")}", sha256 = "{"0" * 64}" }}
        """
    )
    return Installable(image, server, pypy)


def paths(server: servers.Server) -> list[str]:
    """What a server was asked for."""
    return [path for _, path, _ in server.requests]


def test_a_prerelease_of_cpython_can_be_had_once_there_is_an_archive(image: FakeImage) -> None:
    """Until then the tag is unknown, which says what is known."""
    done = image.run(COMMAND, "ensure", "cp316-cp316")
    assert done.returncode == 2 and "unknown tag 'cp316-cp316'" in done.stderr
    (image.root / "opt/_internal/manylinux/requirements/3.16.txt").write_text("pip==1\nbuild==1.5.0\n")
    tree = {
        "python/bin/python3.16": fake_image.stand_in(image.root, "3.16.0a2", "cpython", "3.16.0a2"),
        "python/lib/python3.16/ensurepip/_bundled/pip-26.3-py3-none-any.whl": b"",
    }
    archive = fake_image.archive(tree, "gz")
    with servers.running() as server:
        server.routes = {"/3.16.0a2.tar.gz": servers.good(archive)}
        row = f'{{ url = "{server.url("/3.16.0a2.tar.gz")}", sha256 = "{fake_image.sha256(archive)}" }}'
        image.write_downloads(f'[interpreters.cp316-cp316]\nversion = "3.16.0a2"\nx86_64 = {row}\n')
        done = image.run(COMMAND, "ensure", "cp316-cp316")
    assert done.returncode == 0, done.stderr
    (said,) = (r for r in json.loads(image.run(COMMAND, "list", "--format", "json").stdout) if "316" in r["identifier"])
    assert (said["installed"], said["implementation_version"]) == (True, "3.16.0a2")
    assert (image.root / "usr/local/bin/cpython3.16").is_file()


# --- list -------------------------------------------------------------------------------------------------------------


def test_list_orders_by_implementation_and_number(image: FakeImage) -> None:
    result = image.run(COMMAND, "list")
    assert result.returncode == 0
    assert result.stdout.splitlines() == [
        "cp39-cp39",
        "cp310-cp310",
        "cp313-cp313",
        "cp313-cp313t",
        "graalpy311-graalpy242_311_native",
        "graalpy312-graalpy250_312_native",
        "pp39-pypy39_pp73",
        "pp310-pypy310_pp73",
        "pp311-pypy311_pp73",
    ]
    (line,) = result.stderr.splitlines()
    days = re.findall(r"(\S+) on (\d{4}-\d\d-\d\d)", line)
    assert [tag for tag, _ in days] == ["cp39-cp39", "cp310-cp310", "pp39-pypy39_pp73", "pp310-pypy310_pp73"]
    assert image.run(COMMAND, "list", "--format", "json").stderr == "", "JSON is for programs"


def test_list_installed(image: FakeImage) -> None:
    for option in ("-i", "--installed"):
        tags = ["cp39-cp39", "cp310-cp310", "cp313-cp313", "cp313-cp313t"]
        assert image.run(COMMAND, "list", option).stdout.splitlines() == tags


@pytest.mark.parametrize(
    ("policy", "platform", "downloads"),
    [("musllinux_1_2", "x86_64", 0), ("manylinux_2_28", "i686", 3), ("manylinux_2_28", "s390x", 0)],
)
def test_what_can_be_downloaded_depends_on_the_image(
    tmp_path: Path, policy: str, platform: str, downloads: int
) -> None:
    image = fake_image.make(tmp_path / "root", policy, platform)
    assert len(image.run(COMMAND, "list").stdout.split()) == downloads
    emptied = subprocess.run(image.command(COMMAND, "list"), env={}, text=True, capture_output=True, check=True)
    assert len(emptied.stdout.split()) == downloads


def test_verbose_list(image: FakeImage) -> None:
    (image.root / "opt/python/cp313-cp313t").unlink()
    image.add_interpreter("cp315-cp315", "3.15.0b3")
    lines = image.run(COMMAND, "list", "-v").stdout
    assert (
        f"""\
cp315-cp315:
  installed:              yes
  python version:         3.15.0b3
  implementation:         cpython
  implementation version: 3.15.0b3
  install_path:           {image.root}/opt/python/cp315-cp315
graalpy311-graalpy242_311_native:
  installed:              no
  python version:         3.11
  implementation:         graalpy
  implementation version: 24.2.2
  install_path:           {image.root}/opt/python/graalpy311-graalpy242_311_native
"""
        in lines
    )


def test_json_list(image: FakeImage) -> None:
    result = image.run(COMMAND, "list", "--format", "json")
    rows = json.loads(result.stdout)
    assert result.stdout == json.dumps(rows, indent=2) + "\n"
    assert rows[0] == {
        "identifier": "cp39-cp39",
        "installed": True,
        "python_version": "3.9.25",
        "implementation": "cpython",
        "implementation_version": "3.9.25",
        "install_path": f"{image.root}/opt/python/cp39-cp39",
    }
    assert rows[-1] == {
        "identifier": "pp311-pypy311_pp73",
        "installed": False,
        "python_version": "3.11",
        "implementation": "pypy",
        "implementation_version": "7.3.23",
        "install_path": f"{image.root}/opt/python/pp311-pypy311_pp73",
    }


def test_the_question_is_answered_by_a_real_python(image: FakeImage) -> None:
    python = image.root / "opt/python/cp39-cp39/bin/python"
    python.write_text('#!/bin/sh\nexec python3 "$@"\n', encoding="utf-8")
    row = json.loads(image.run(COMMAND, "list", "-i", "--format", "json").stdout)[0]
    ask = ["python3", "-c", "import platform as p; print(p.python_version(), p.python_implementation().lower())"]
    answer = subprocess.run(ask, text=True, capture_output=True, check=True).stdout.split()
    assert [row["python_version"], row["implementation"]] == answer


def test_a_damaged_interpreter_is_named(image: FakeImage) -> None:
    (image.root / "opt/python/cp39-cp39/bin/python").unlink()
    result = image.run(COMMAND, "list", "-v")
    assert result.returncode == 1
    assert "cp39-cp39 is damaged" in result.stderr


# --- wrong use --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "arguments", [[], ["ensure"], ["remove"], ["list", "--nonsense"], ["list", "--format", "xml"], ["ensure", "cp2"]]
)
def test_wrong_use_exits_with_2(image: FakeImage, arguments: list[str]) -> None:
    result = image.run(COMMAND, *arguments)
    assert (result.returncode, result.stdout) == (2, "")
    assert "usage: manylinux-interpreters" in result.stderr


def test_an_unknown_tag_lists_the_known_ones_and_installs_nothing(installable: Installable) -> None:
    result = installable.run("ensure", PYPY, "cp27-cp27m")
    assert result.returncode == 2
    known = f"cp39-cp39, cp310-cp310, cp313-cp313, cp313-cp313t, {GRAALPY}, {PYPY}"
    assert f"unknown tag 'cp27-cp27m'; known: {known}" in result.stderr
    assert installable.server.requests == []


def test_help(image: FakeImage) -> None:
    result = image.run(COMMAND, "--help")
    assert result.returncode == 0
    for name in ("list", "ensure", "ensure-all", "MANYLINUX_DOWNLOAD_MIRROR", "MANYLINUX_INTERPRETERS_NO_CHECK"):
        assert name in result.stdout


# --- ensure -----------------------------------------------------------------------------------------------------------


def test_ensure_of_an_installed_interpreter(image: FakeImage) -> None:
    before = image.files()
    result = image.run(COMMAND, "ensure", "cp39-cp39")
    assert (result.returncode, result.stderr) == (0, "")
    assert result.stdout == f"'cp39-cp39' already installed at '{image.root}/opt/python/cp39-cp39'\n"
    assert image.files() == before


@pytest.mark.parametrize("tag", [OTHER_PYPY, "cp27-cp27m"])
def test_without_check_what_this_image_cannot_have_is_skipped(installable: Installable, tag: str) -> None:
    result = installable.run("ensure", tag, MANYLINUX_INTERPRETERS_NO_CHECK="1")
    assert (result.returncode, result.stdout) == (0, f"skipping '{tag}' for 'x86_64' architecture\n")
    assert installable.run("ensure", tag, MANYLINUX_INTERPRETERS_NO_CHECK="0").returncode == 2


def test_pypy_is_installed_and_finished(installable: Installable) -> None:
    root = installable.image.root
    before = installable.image.files()
    result = installable.run("ensure", PYPY)
    assert result.returncode == 0, result.stderr
    assert result.stdout == f"installing '{PYPY}' at '{root}/opt/python/{PYPY}'\n"

    prefix, link = root / "opt/_internal" / PYPY, root / "opt/python" / PYPY
    assert link.readlink() == prefix
    assert not list(prefix.rglob("*.debug"))
    assert [path.name for path in prefix.rglob("*.pyc")] == ["shipped.pyc"]
    assert (prefix / "bin/python").stat().st_uid == os.getuid()
    assert (prefix / "bin/pip").readlink() == Path("pip3")
    shebang = (prefix / "bin/pip").read_text(encoding="utf-8").splitlines()[0]
    assert shebang == f"#!{prefix}/bin/python"
    calls = (prefix / "calls").read_text(encoding="utf-8")
    assert f"{prefix}/lib/pypy3.11/ensurepip/_bundled/pip-24.0-py3-none-any.whl/pip install " in calls
    assert "--no-deps --require-hashes --only-binary :all: " in calls
    assert f"--requirement {root}/opt/_internal/manylinux/requirements/3.11.txt\n" in calls
    assert calls.index("pip install") < calls.index("-m pip check\n")

    launcher = root / "usr/local/bin/pypy3.11"
    answer = subprocess.run([launcher, "-IB", "-c", "versions"], text=True, capture_output=True, check=True)
    assert json.loads(answer.stdout)[1] == "pypy"
    new = {name for name in installable.image.files() - before if not name.startswith(f"opt/_internal/{PYPY}")}
    assert new == {f"opt/python/{PYPY}", "usr/local/bin/pypy3.11"}


def test_graalpy_keeps_its_own_pip(installable: Installable) -> None:
    root = installable.image.root
    assert installable.run("ensure", GRAALPY).returncode == 0
    calls = (root / "opt/_internal" / GRAALPY / "calls").read_text(encoding="utf-8").splitlines()
    assert calls[:2] == ["-m ensurepip", "-m pip uninstall --yes --quiet setuptools"]
    assert calls[2].startswith("-m pip install ")
    assert calls[2].endswith("/requirements/3.12.txt")
    assert (root / "usr/local/bin/graalpy3.12").exists()
    assert not (root / "usr/local/bin/python3.12").exists()


def test_a_second_run_does_nothing(installable: Installable) -> None:
    assert installable.run("ensure", PYPY, PYPY).returncode == 0
    asked, before = len(installable.server.requests), installable.image.files()
    result = installable.run("ensure", PYPY)
    assert (result.returncode, result.stderr) == (0, "")
    assert "already installed" in result.stdout
    assert (len(installable.server.requests), installable.image.files()) == (asked, before)


def test_ensure_all(installable: Installable) -> None:
    result = installable.run("ensure-all")
    assert result.returncode == 0, result.stderr
    assert [line.split("'")[0] + line.split("'")[1] for line in result.stdout.splitlines()] == [
        *CPYTHONS_SORTED,
        f"installing {GRAALPY}",
        f"installing {PYPY}",
    ]
    installed = installable.run("list", "-i").stdout.split()
    assert installed == installable.run("list").stdout.split()


CPYTHONS_SORTED = ["cp39-cp39", "cp310-cp310", "cp313-cp313", "cp313-cp313t"]


def test_an_interrupted_download_goes_on_where_it_stopped(installable: Installable) -> None:
    server, pypy = installable.server, installable.pypy
    cut = servers.truncated(pypy, 50_000)
    server.routes[PYPY_FILE] = servers.in_turn(servers.status(503), cut, servers.status(500), servers.good(pypy))
    assert installable.run("ensure", PYPY).returncode == 0
    assert [headers.get("Range") for _, _, headers in server.requests] == [None, None, *["bytes=50000-"] * 2]


def test_a_wrong_checksum_leaves_nothing_behind(installable: Installable) -> None:
    before = installable.image.files()
    installable.server.routes[PYPY_FILE] = servers.good(b"BZh" + b"x" * 1000)
    result = installable.run("ensure", PYPY)
    assert result.returncode == 1
    assert "its sha256 is" in result.stderr
    assert fake_image.sha256(installable.pypy) in result.stderr
    assert f"not installed: {PYPY}" in result.stderr
    assert installable.image.files() == before


def test_an_archive_that_leads_outwards_is_refused(installable: Installable) -> None:
    """With the hash that the table has: whoever wrote the table may have been fooled."""
    evil = fake_image.archive({"pypy3.11-v7/a": b"", "../../../opt/python/evil/bin/python": b"evil"}, "bz2")
    table = installable.image.root / "opt/_internal/manylinux/downloads.toml"
    old, new = fake_image.sha256(installable.pypy), fake_image.sha256(evil)
    installable.image.write_downloads(table.read_text(encoding="utf-8").replace(old, new))
    installable.server.routes[PYPY_FILE] = servers.good(evil)
    before = installable.image.files()
    result = installable.run("ensure", PYPY)
    assert result.returncode == 1
    assert "leads out of it" in result.stderr and "Traceback" not in result.stderr
    assert installable.image.files() == before


def test_an_error_page_is_named(installable: Installable) -> None:
    installable.server.routes[PYPY_FILE] = servers.html()
    result = installable.run("ensure", PYPY)
    assert result.returncode == 1
    assert "HTML page" in result.stderr


def test_a_failing_pip_leaves_nothing_behind(installable: Installable) -> None:
    before = installable.image.files()
    (installable.image.root / "pip-fails").touch()
    result = installable.run("ensure", PYPY)
    assert result.returncode == 1
    assert "no matching distribution" in result.stderr
    assert f"'{PYPY}' could not be installed: exit status 1 of {installable.image.root}/" in result.stderr
    (installable.image.root / "pip-fails").unlink()
    assert installable.image.files() == before


def test_a_pip_that_installs_elsewhere_is_noticed(installable: Installable) -> None:
    (installable.image.root / "pip-goes-elsewhere").touch()
    result = installable.run("ensure", PYPY)
    assert result.returncode == 1
    assert f"not into {installable.image.root}/opt/_internal/{PYPY}/bin" in result.stderr


def test_packages_that_cannot_be_imported_are_noticed(installable: Installable) -> None:
    before = installable.image.files()
    (installable.image.root / "imports-fail").touch()
    result = installable.run("ensure", PYPY)
    assert result.returncode == 1
    assert "import build, packaging, pip" in result.stderr
    assert installable.image.files() - before == {"imports-fail"}


def test_a_lock_that_lacks_something_is_noticed(installable: Installable) -> None:
    (installable.image.root / "lock-lacks").touch()
    result = installable.run("ensure", PYPY)
    assert result.returncode == 1
    assert "not complete: build 1.5.0 requires packaging" in result.stderr
    assert "cffi" not in result.stderr.partition("not complete")[2], "PyPy brings it, and no pycparser"


def test_one_failure_does_not_stop_the_others(installable: Installable) -> None:
    del installable.server.routes[GRAALPY_FILE]
    result = installable.run("ensure", GRAALPY, PYPY)
    assert result.returncode == 1
    assert f"not installed: {GRAALPY}\n" in result.stderr
    assert PYPY in installable.run("list", "-i").stdout


def wait_for(happened: list[Any], seconds: float = 10) -> None:
    """Until a list is not empty."""
    end = time.monotonic() + seconds
    while not happened:
        assert time.monotonic() < end
        time.sleep(0.02)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGKILL])
def test_a_stopped_installation_can_be_repeated(installable: Installable, number: signal.Signals) -> None:
    image, before = installable.image, installable.image.files()
    installable.server.routes[PYPY_FILE] = servers.dripping(installable.pypy, 100_000, 3)
    process = subprocess.Popen(image.command(COMMAND, "ensure", PYPY), env=image.environment, stderr=subprocess.PIPE)
    wait_for(installable.server.requests)
    process.send_signal(number)
    process.communicate(timeout=10)
    assert process.returncode in {-number, 128 + number}
    if number != signal.SIGKILL:
        assert image.files() == before
    installable.server.routes[PYPY_FILE] = servers.good(installable.pypy)
    assert installable.run("ensure", PYPY).returncode == 0
    assert not list((image.root / "opt/_internal").glob(".*"))


def test_remains_without_a_link_are_replaced(installable: Installable) -> None:
    remains = installable.image.root / "opt/_internal" / PYPY / "half"
    remains.parent.mkdir()
    remains.touch()
    assert installable.run("ensure", PYPY).returncode == 0
    assert not remains.exists()


def test_a_dangling_link_is_replaced(installable: Installable) -> None:
    link = installable.image.root / "opt/python" / PYPY
    link.symlink_to("/opt/_internal/gone")
    assert installable.run("ensure", PYPY).returncode == 0
    assert link.exists()


def test_two_at_once_download_once(installable: Installable) -> None:
    image = installable.image
    installable.server.routes[PYPY_FILE] = servers.dripping(installable.pypy, 100_000, 0.3)
    command = image.command(COMMAND, "ensure", PYPY)
    both = [subprocess.Popen(command, env=image.environment, stderr=subprocess.PIPE, text=True) for _ in range(2)]
    said = [process.communicate(timeout=20)[1] for process in both]
    assert [process.returncode for process in both] == [0, 0]
    assert "".join(said).count("waiting for another process") == 1, "nobody waits without a word"
    assert paths(installable.server) == [PYPY_FILE]


# --- where files come from --------------------------------------------------------------------------------------------


def test_mirrors_are_tried_in_order_before_the_url(installable: Installable) -> None:
    path = f"/127.0.0.1:{installable.server.port}{PYPY_FILE}"
    with servers.running() as empty, servers.running() as mirror:
        mirror.routes[f"/all{path}"] = servers.good(installable.pypy)
        result = installable.run("ensure", PYPY, MANYLINUX_DOWNLOAD_MIRROR=f"{empty.url('')} {mirror.url('/all/')}")
        assert result.returncode == 0, result.stderr
        assert (paths(empty), paths(mirror)) == ([path], [f"/all{path}"])
    assert installable.server.requests == []


def test_a_mirror_with_other_content_is_passed_over(installable: Installable) -> None:
    with servers.running() as mirror:
        mirror.routes[f"/127.0.0.1:{installable.server.port}{PYPY_FILE}"] = servers.good(b"BZh something else")
        assert installable.run("ensure", PYPY, MANYLINUX_DOWNLOAD_MIRROR=mirror.url("")).returncode == 0
        assert mirror.requests
    assert paths(installable.server) == [PYPY_FILE]


def test_a_mirror_may_be_a_directory(installable: Installable, tmp_path: Path) -> None:
    file = tmp_path / f"mirror/127.0.0.1:{installable.server.port}{PYPY_FILE}"
    file.parent.mkdir(parents=True)
    file.write_bytes(installable.pypy)
    assert installable.run("ensure", PYPY, MANYLINUX_DOWNLOAD_MIRROR=f"file://{tmp_path}/mirror").returncode == 0
    assert installable.server.requests == []


def test_sources_on_disk_come_first_if_they_are_right(installable: Installable, tmp_path: Path) -> None:
    (tmp_path / "pypy.tar.bz2").write_bytes(installable.pypy)
    assert installable.run("ensure", PYPY, MANYLINUX_SOURCES=str(tmp_path)).returncode == 0
    assert installable.server.requests == []

    (tmp_path / "graalpy.tar.gz").write_bytes(b"old")
    result = installable.run("ensure", GRAALPY, MANYLINUX_SOURCES=str(tmp_path))
    assert result.returncode == 0
    assert "graalpy.tar.gz is not what is pinned" in result.stderr
    assert paths(installable.server) == [GRAALPY_FILE]


def test_behind_a_ca(image: FakeImage, tmp_path: Path) -> None:
    ca, certificate = certificates.make(tmp_path)
    with servers.running(certificate) as server:
        installable = make_installable(image, server)
        refused = installable.run("ensure", PYPY)
        assert refused.returncode == 1
        assert "SSL_CERT_FILE" in refused.stderr

        assert installable.run("ensure", PYPY, SSL_CERT_FILE=str(ca)).returncode == 0
        said = (image.root / "opt/_internal" / PYPY / "environment").read_text(encoding="utf-8").splitlines()
        assert f"REQUESTS_CA_BUNDLE={ca}" in said

        # A bundle mounted over the image's own serves even where the environment was emptied.
        (image.root / "opt/_internal/certs.pem").write_bytes(ca.read_bytes())
        assert installable.run("ensure", GRAALPY).returncode == 0


def test_pip_sees_the_users_settings_but_no_python_variables(installable: Installable) -> None:
    given = {"PIP_INDEX_URL": "https://index.example.org/simple", "PYTHONHOME": "/nowhere", "REQUESTS_CA_BUNDLE": "/x"}
    assert installable.run("ensure", PYPY, SSL_CERT_FILE="/etc/ssl/certs/ca-certificates.crt", **given).returncode == 0
    said = (installable.image.root / "opt/_internal" / PYPY / "environment").read_text(encoding="utf-8").splitlines()
    assert "PIP_INDEX_URL=https://index.example.org/simple" in said
    assert "REQUESTS_CA_BUNDLE=/x" in said
    assert not [line for line in said if line.startswith("PYTHONHOME=")]


def test_progress_goes_to_stderr(installable: Installable) -> None:
    result = installable.run("ensure", PYPY)
    assert "pypy.tar.bz2" in result.stderr
    assert "pypy.tar.bz2" not in result.stdout


# --- Odd input --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("tag", ["", ".", "..", "../x", "/etc", "cp313 cp313", "ä", "cp313-cp313/bin"])
def test_what_is_no_tag_is_refused_even_without_check(image: FakeImage, tag: str) -> None:
    for check in ("0", "1"):
        done = image.run("manylinux-interpreters", "ensure", tag, MANYLINUX_INTERPRETERS_NO_CHECK=check)
        assert (done.returncode, done.stdout) == (2, "")
        assert f"unknown tag {tag!r}" in done.stderr


@pytest.mark.parametrize("answer", ["echo nonsense", "echo '[1]'", "echo 3", r"printf '\377'", "exit 3", "kill -9 $$"])
def test_an_interpreter_that_answers_nonsense_is_named(image: FakeImage, answer: str) -> None:
    python = image.root / "opt/_internal/cp313-cp313/bin/python"
    python.write_text(f"#!/bin/sh\n{answer}\n", encoding="utf-8")
    done = image.run("manylinux-interpreters", "list", "--format", "json")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("error: cp313-cp313 is damaged: ") and done.stderr.count("\n") == 1


@pytest.mark.parametrize("manifest", [b"", b"[]", b"{}", b'{"image": []}', b'{"image": {"policy": "x"}}', b"\xff"])
def test_a_damaged_manifest_is_named(image: FakeImage, manifest: bytes) -> None:
    (image.root / "opt/_internal/manifest.json").write_bytes(manifest)
    done = image.run("manylinux-interpreters", "list", AUDITWHEEL_POLICY="", AUDITWHEEL_ARCH="")
    assert (done.returncode, done.stdout) == (1, "")
    assert "manifest.json is damaged" in done.stderr and done.stderr.count("\n") == 1
