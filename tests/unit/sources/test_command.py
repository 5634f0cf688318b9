"""Filling the sources directory: upstream, the Debian archive with its lock, and the wheelhouse."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from tests.support import servers
from tests.support.debian_mirrors import LIMITS, DebianServer, Package, package

from catalogue import images, pins
from catalogue.pins import Pin
from plan.plan import Request, plan
from portable import errors, fetch, files
from portable.progress import Progress
from sources import command as prefetch
from sources import lock as source_lock
from sources.command import Tracked

needs_gpgv = pytest.mark.skipif(not shutil.which("gpgv"), reason="needs gpgv: apt-get install gpgv")
CATALOGUE = images.load()
QUIET = Progress(quiet=True)
PINS = {
    "git": Pin("git", "2.54.0", "https://example.org/git-2.54.0.tar.gz", "a" * 64),
    "openssl": Pin("openssl", "3.5.7", "https://example.org/openssl-3.5.7.tar.gz", "b" * 64),
    "tcl": Pin("tcl", "8.6.18", "https://example.org/tcl8.6.18-src.tar.gz", "c" * 64),
    "cpython-3.9": Pin("cpython-3.9", "3.9.25", "https://example.org/Python-3.9.25.tar.xz", "d" * 64),
    "git-lfs": Pin("git-lfs", "3.7.1", "https://example.org/{goarch}.tar.gz", {"amd64": "e" * 64}),
    "static-clang": Pin("static-clang", "22.1.8.1", "registry.example.org/static-clang:22.1.8.1", ""),
}
TRACKED = {
    "git": Tracked("2", "git", True, {}),
    "openssl": Tracked("3.5", "openssl", True, {}),
    "tcl": Tracked("8.6", r"tcl8\.6", True, {}),
    "cpython-3.9": Tracked("3.9", r"python3\.9", False, {}),
}


@pytest.fixture
def mirror(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[DebianServer]:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with servers.running() as server:
        yield DebianServer(server, tmp_path)


def locked(*names: str) -> source_lock.Lock:
    """A lock of these pins."""
    return source_lock.Lock(
        source="debian",
        created="2026-11-21T09:57:46+00:00",
        suites=["sid"],
        pins={
            name: source_lock.LockedPin(
                version="1",
                url=f"https://example.org/{name}_1.tar.xz",
                sha256="a" * 64,
                file=f"{name}/{name}_1.tar.xz",
                package=name,
                suite="sid",
                verbatim=True,
            )
            for name in names
        },
        missing={},
    )


class Lines(Progress):
    """A display that keeps what it was told to say."""

    def __init__(self) -> None:
        super().__init__(quiet=True)
        self.lines: list[str] = []

    def say(self, line: str) -> None:
        self.lines.append(line)


def debian(mirror: DebianServer, progress: Progress = QUIET, **more: Any) -> source_lock.Lock:
    """Prefetches PINS from the mirror."""
    fetcher = fetch.Fetcher(limits=LIMITS, mirrors=None)
    return prefetch.from_debian(
        more.pop("pins", PINS),
        more.pop("tracked", TRACKED),
        mirror.directory / "sources",
        archive=mirror.archive(),
        fetcher=fetcher,
        progress=progress,
        **more,
    )


def withdraw(mirror: DebianServer, *words: str) -> None:
    """The pool loses its files whose names hold one of these words, while the index goes on listing them."""
    for path in list(mirror.server.routes):
        if "/pool/" in path and any(word in path for word in words):
            del mirror.server.routes[path]


@needs_gpgv
def test_the_newest_version_that_can_be_downloaded_wins(mirror: DebianServer) -> None:
    mirror.publish("trixie", [package("git", "1:2.47.3-1"), package("openssl", "3.5.6-1~deb13u2", suffix="tar.gz")])
    mirror.publish(
        "sid",
        [
            package("git", "1:2.55.0-1"),
            package("git", "1:2.56.0-1"),
            package("git", "1:2.57.0~rc1-1"),
            package("git", "1:2.55.0+next.20260731-1"),
            package("openssl", "3.6.5-1", suffix="tar.gz"),
            package("git-lfs", "3.8.1-1"),
        ],
    )
    withdraw(mirror, "git_2.56")
    shown = Lines()
    lock = debian(mirror, shown, pins={name: PINS[name] for name in ("git", "openssl")})
    assert {name: (row["version"], row["suite"]) for name, row in lock["pins"].items()} == {
        "git": ("2.55.0", "sid"),
        "openssl": ("3.5.6", "trixie"),
    }
    assert lock["missing"] == {}
    assert "git 2.56.0 is passed over: the mirror lists it but does not have it" in shown.lines
    git = lock["pins"]["git"]
    assert git["url"] == mirror.server.url("/debian/pool/main/g/git/git_2.55.0.orig.tar.xz")
    assert git["file"] == "git/git_2.55.0.orig.tar.xz"
    assert files.digest(mirror.directory / "sources" / git["file"]) == git["sha256"]
    assert git["verbatim"]


@needs_gpgv
def test_repacked_tarballs_are_marked(mirror: DebianServer) -> None:
    mirror.publish("sid", [package("tcl8.6", "8.6.18+dfsg-1", suffix="tar.gz")])
    row = debian(mirror)["pins"]["tcl"]
    assert (row["version"], row["verbatim"]) == ("8.6.18", False)
    assert row["url"].endswith("/tcl8.6_8.6.18+dfsg.orig.tar.gz"), "lib.sh looks for the last part of the URL"


@needs_gpgv
def test_what_debian_lacks_is_named(mirror: DebianServer) -> None:
    mirror.publish("trixie", [package("git", "1:2.47.3-1"), package("openssl", "3.5.6-1")])
    withdraw(mirror, "openssl")
    lock = debian(mirror, prebuilt=["pp311-pypy311_pp73"])
    assert list(lock["pins"]) == ["git"]
    assert lock["missing"]["tcl"] == "the Debian archive has no version of the series 8.6"
    assert lock["missing"]["openssl"].startswith("no version of it can be downloaded (3.5.6: the mirror lists it")
    assert "prebuilt" in lock["missing"]["pp311-pypy311_pp73"]
    assert "binary" in lock["missing"]["git-lfs"]
    assert "static-clang" not in lock["missing"], "not a source"
    summary = "\n".join(prefetch.describe_lock(lock, PINS))
    assert re.search(r"git +2\.47\.3 +pinned: 2\.54\.0, trixie", summary)
    for name in lock["missing"]:
        assert name in summary
    assert "cibuildwheel cannot use" in summary


def test_the_summary_warns_only_without_cp39() -> None:
    lock = source_lock.Lock(source="debian", created="", suites=[], pins={}, missing={"cpython-3.8": "none"})
    assert "cibuildwheel" not in "\n".join(prefetch.describe_lock(lock, PINS))


@needs_gpgv
def test_refused_versions_are_passed_over_with_their_reason(mirror: DebianServer) -> None:
    mirror.publish("sid", [package("git", "1:2.55.0-1"), package("git", "1:2.56.0-1")])
    shown = Lines()
    tracked = {**TRACKED, "git": Tracked("2", "git", True, {"2.56.0": "its signature is bad"})}
    assert debian(mirror, shown, tracked=tracked)["pins"]["git"]["version"] == "2.55.0"
    assert "git 2.56.0 is passed over: its signature is bad" in shown.lines


@needs_gpgv
def test_prereleases_only_for_pins_that_are_one(mirror: DebianServer) -> None:
    mirror.publish("sid", [package("python3.16", "3.16.0~b3-1")])
    tracked = {"cpython-3.16": Tracked("3.16", r"python3\.16", False, {})}
    for version, expected in (("3.16.0b1", ["3.16.0b3"]), ("3.16.0", [])):
        pin = Pin("cpython-3.16", version, "https://example.org/x.tar.xz", "a" * 64)
        lock = debian(mirror, pins={pin.name: pin}, tracked=tracked)
        assert [row["version"] for row in lock["pins"].values()] == expected


@needs_gpgv
def test_what_moves_together_stays_together(mirror: DebianServer) -> None:
    versions = {"tcl8.6": ("8.6.18+dfsg", "8.6.16+dfsg", "8.6.13+dfsg"), "tk8.6": ("8.6.17", "8.6.16", "8.6.13")}
    mirror.publish("sid", [package(name, f"{v}-1", suffix="tar.gz") for name, vs in versions.items() for v in vs])
    tracked = {name: Tracked("8.6", rf"{name}8\.6", True, {}, mate) for name, mate in (("tcl", "tk"), ("tk", "tcl"))}
    both = {name: Pin(name, "8.6.18", f"https://example.org/{name}8.6.18-src.tar.gz", "a" * 64) for name in tracked}
    for gone, expected in ("nothing", "8.6.16"), ("tk8.6_8.6.16", "8.6.13"), ("tk8.6_8.6.13", None):
        withdraw(mirror, gone)
        shutil.rmtree(mirror.directory / "sources", ignore_errors=True)
        lock = debian(mirror, pins=both, tracked=tracked)
        if expected:
            assert {name: row["version"] for name, row in lock["pins"].items()} == dict.fromkeys(both, expected)
    assert set(lock["missing"]) == {"tk"}, "no common version: without tk there is no component"


@needs_gpgv
def test_damaged_files_are_passed_over(mirror: DebianServer) -> None:
    newest = package("git", "1:2.55.0-1")
    mirror.publish("sid", [newest, package("git", "1:2.54.0-1")])
    path = f"/debian/{newest.directory}/git_2.55.0.orig.tar.xz"
    body = newest.files["git_2.55.0.orig.tar.xz"]
    shown = Lines()
    for sent in (body[:-1] + b"?", body[:-1], servers.HTML, b""):
        mirror.server.routes[path] = servers.good(sent)
        assert debian(mirror, shown)["pins"]["git"]["version"] == "2.54.0"
    assert sum("git 2.55.0 is passed over" in line for line in shown.lines) == 4
    assert [entry.name for entry in (mirror.directory / "sources/git").iterdir()] == ["git_2.54.0.orig.tar.xz"]


@needs_gpgv
def test_the_same_version_rebuilt_in_another_suite(mirror: DebianServer) -> None:
    ours, theirs = package("git", "1:2.55.0-1"), package("git", "1:2.55.0-2", content=b"\xfd7zXZ\x00 repacked")
    mirror.publish("trixie", [ours], pool=False)
    mirror.publish("sid", [theirs])
    row = debian(mirror)["pins"]["git"]
    assert row["sha256"] == hashlib.sha256(theirs.files["git_2.55.0.orig.tar.xz"]).hexdigest()


@needs_gpgv
def test_a_second_run_downloads_nothing(mirror: DebianServer) -> None:
    mirror.publish("trixie", [package("git", "1:2.47.3-1")])
    mirror.publish("trixie-security", [package("openssl", "3.5.7-1~deb13u1")], root="/debian-security")
    first = debian(mirror, suites=["trixie", "trixie-security"])
    mirror.server.requests.clear()
    second = debian(mirror, suites=["trixie", "trixie-security"])
    assert {**first, "created": ""} == {**second, "created": ""}
    assert all(path.endswith("/InRelease") for _, path, _ in mirror.server.requests)
    assert first["suites"] == ["trixie", "trixie-security"]
    path = mirror.directory / "lock.json"
    assert source_lock.save(first, path)
    before = path.read_bytes()
    assert not source_lock.save({**first, "created": "later"}, path), "a lock that says the same stays as it is"
    assert path.read_bytes() == before
    assert source_lock.load(path) == first


@needs_gpgv
def test_a_lock_drives_a_plan(mirror: DebianServer) -> None:
    table = pins.read()
    tracked = prefetch.read_tracking()
    found = {"cpython-3.13": package("python3.13", "3.13.99-1"), "git": package("git", "1:2.99.0-1")}
    mirror.publish("sid", list(found.values()))
    lock = debian(mirror, pins=table, tracked=tracked, prebuilt=["pp311-pypy311_pp73"])
    image = CATALOGUE.image("manylinux_2_36_x86_64")
    decided = plan(image, Request(lock=lock))
    assert [interpreter.tag for interpreter in decided.interpreters] == ["cp313-cp313", "cp313-cp313t"]
    assert decided.components == ("git",)
    assert decided.pins["git"].version == "2.99.0"
    assert not decided.complete
    assert {"cp38-cp38", "cp39-cp39", "pp311-pypy311_pp73", "sqlite"} <= set(decided.left_out)
    assert decided.build_args["GIT_URL"].endswith("/git_2.99.0.orig.tar.xz")


@needs_gpgv
def test_passwords_of_the_mirror_stay_out_of_the_lock(mirror: DebianServer) -> None:
    mirror.publish("trixie", [package("git", "1:2.47.3-1")])
    index = mirror.archive().search("git")
    source = index.sources[0]
    secret = type(source)(
        **{**vars(source), "roots": tuple(root.replace("//", "//me:secret@") for root in source.roots)}
    )
    row = prefetch._newest(
        PINS["git"],
        TRACKED["git"],
        None,
        type(index)((secret,), index.suites, {}),
        mirror.directory / "sources",
        fetch.Fetcher(limits=LIMITS, mirrors=None),
        QUIET,
    )
    assert not isinstance(row, str)
    assert "secret" not in json.dumps(row)


def test_tracking_knows_every_source_pin() -> None:
    tracked = prefetch.read_tracking()
    sources = {name for name, pin in pins.read().items() if isinstance(pin.sha256, str) and pin.sha256}
    assert set(tracked) == sources
    for name, row in tracked.items():
        assert f"{pins.read()[name].version}.".startswith(f"{row.series}."), name
        re.compile(row.source)
    assert re.fullmatch(tracked["cpython-3.13"].source, "python3.13")
    assert not re.fullmatch(tracked["cpython-3.13"].source, "python3-13")
    assert "signature" in tracked["libtool"].refuse["2.6.2"]


# --- Upstream --------------------------------------------------------------------------------------------------------


def wanted(mirror: DebianServer, name: str, body: bytes) -> prefetch.Wanted:
    url = mirror.server.url(f"/{name}.tar.gz")
    mirror.server.routes[f"/{name}.tar.gz"] = servers.good(body)
    return prefetch.Wanted(name, "1", url, hashlib.sha256(body).hexdigest(), Path(name, f"{name}.tar.gz"))


def test_upstream(mirror: DebianServer, tmp_path: Path) -> None:
    items = [wanted(mirror, f"pin{number}", b"\x1f\x8b%d" % number) for number in range(6)]
    fetcher = fetch.Fetcher(limits=LIMITS, mirrors=None)
    prefetch.from_upstream(items, tmp_path / "sources", fetcher, QUIET, 3)
    assert (tmp_path / "sources/pin5/pin5.tar.gz").read_bytes() == b"\x1f\x8b5"
    asked = len(mirror.server.requests)
    prefetch.from_upstream(items, tmp_path / "sources", fetcher, QUIET, 3)
    assert len(mirror.server.requests) == asked == 6


def test_one_failure_hides_nothing_else(mirror: DebianServer, tmp_path: Path) -> None:
    items = [wanted(mirror, name, b"\x1f\x8b" + name.encode()) for name in ("one", "two", "three")]
    mirror.server.routes["/one.tar.gz"] = servers.html()
    del mirror.server.routes["/two.tar.gz"]
    with pytest.raises(errors.Failure) as caught:
        prefetch.from_upstream(items, tmp_path, fetch.Fetcher(limits=LIMITS, mirrors=None), QUIET, 1)
    message = str(caught.value)
    assert "2 of 3 files are missing" in message and "HTML" in message and "--from debian" in message
    assert "three.tar.gz" not in message
    assert (tmp_path / "three/three.tar.gz").is_file()


def test_wanted_files_are_the_pins_of_the_platform() -> None:
    table = pins.read()
    found = {item.name: item for item in prefetch.wanted_files("aarch64", table, CATALOGUE)}
    assert set(found) == {*table, "pp311-pypy311_pp73"} - {"static-clang"}
    assert found["git"].file == Path("git", table["git"].file_name)
    assert found["git-lfs"].sha256 == table["git-lfs"].for_arch("arm64").sha256
    assert found["git-lfs"].url.endswith(found["git-lfs"].file.name) and "arm64" in found["git-lfs"].file.name
    assert found["pp311-pypy311_pp73"].file.name.endswith("-aarch64.tar.bz2")
    assert "pp311-pypy311_pp73" not in {item.name for item in prefetch.wanted_files("s390x", table, CATALOGUE)}
    with pytest.raises(errors.UserError, match="did you mean x86_64"):
        prefetch.wanted_files("x86-64", table, CATALOGUE)


# --- Wheelhouse ------------------------------------------------------------------------------------------------------

LOCK_TEXT = """\
# made by a tool
setuptools==75.3.4 ; python_version < '3.9' \\
    --hash=sha256:{one} \\
    --hash=sha256:{other}
    # via -r smoke.in
wheel==0.45.1 --hash=sha256:{two}
"""


def smoke_lock(tmp_path: Path, minor: str) -> Path:
    directory = tmp_path / "locks"
    directory.mkdir(exist_ok=True)
    one, two = (hashlib.sha256(name).hexdigest() for name in (b"one", b"two"))
    (directory / f"{minor}.txt").write_text(LOCK_TEXT.format(one=one, two=two, other="0" * 64))
    return directory


def test_wheelhouse(tmp_path: Path) -> None:
    calls: list[list[str]] = []

    def run_pip(arguments: Sequence[str], directory: Path) -> None:
        calls.append([*arguments])
        (name,) = (word.partition("=")[2] for word in arguments if word.startswith("--requirement="))
        text = (directory / name).read_text()
        assert "python_version" not in text and text.count("--hash=sha256:") == 3
        (directory / "setuptools-75.3.4-py3-none-any.whl").write_bytes(b"one")
        (directory / "wheel-0.45.1-py3-none-any.whl").write_bytes(b"two")

    locks = smoke_lock(tmp_path, "3.8")
    smoke_lock(tmp_path, "3.13")
    house = tmp_path / "house"
    assert prefetch.smoke_minors(directory=locks) == ["3.8", "3.13"]
    prefetch.fill_wheelhouse(["3.8", "3.13"], house, locks=locks, run_pip=run_pip, progress=QUIET)
    assert len(calls) == 1, "the second minor needs nothing new"
    assert {"download", "--require-hashes", "--no-deps", "--only-binary=:all:", "--python-version=3.8"} <= {*calls[0]}
    assert sorted(path.suffix for path in house.iterdir()) == [".whl", ".whl"]
    prefetch.fill_wheelhouse(["3.8", "3.13"], house, locks=locks, run_pip=run_pip, progress=QUIET)
    assert len(calls) == 1
    (house / "wheel-0.45.1-py3-none-any.whl").write_bytes(b"damaged")
    prefetch.fill_wheelhouse(["3.8"], house, locks=locks, run_pip=run_pip, progress=QUIET)
    assert len(calls) == 2


@pytest.mark.parametrize(
    ("libc", "version", "platforms"),
    [
        ("glibc", "2.17", ["manylinux2014_aarch64", "manylinux_2_17_aarch64"]),
        ("musl", "1.2", ["musllinux_1_1_aarch64", "musllinux_1_2_aarch64"]),
    ],
)
def test_wheels_for_a_variant_suit_the_image(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, libc: str, version: str, platforms: list[str]
) -> None:
    calls: list[list[str]] = []

    def run_pip(arguments: Sequence[str], directory: Path) -> None:
        assert directory.parent == tmp_path / "house" / "shared-here"
        calls.append([*arguments])
        (directory / "a.whl").write_bytes(b"one")
        (directory / "b.whl").write_bytes(b"two")

    monkeypatch.setattr(prefetch, "SHARED_LOCKS", smoke_lock(tmp_path, "3.13"))
    shared = {"pyinstaller": "shared-here", "interpreters": [{"minor": "3.13"}]}
    expected = {"libc": libc, "libc_version": version, "platform": "aarch64", "shared": shared}
    for _ in range(2):
        prefetch.fill_shared_wheelhouse(expected, tmp_path / "house", run_pip=run_pip)
    assert len(calls) == 1
    assert [word.partition("=")[2] for word in calls[0] if word.startswith("--platform=")] == platforms
    for nothing in ({}, {"pyinstaller": "", "interpreters": []}):
        prefetch.fill_shared_wheelhouse({**expected, "shared": nothing}, tmp_path / "other", run_pip=run_pip)
    assert len(calls) == 1


def test_an_incomplete_wheelhouse_is_a_failure(tmp_path: Path) -> None:
    with pytest.raises(errors.Failure, match=r"did not download setuptools 75\.3\.4, wheel 0\.45\.1"):
        prefetch.fill_wheelhouse(
            ["3.8"], tmp_path, locks=smoke_lock(tmp_path, "3.8"), run_pip=lambda *_: None, progress=QUIET
        )
    assert list(tmp_path.glob("requirements*")) == []


def test_minors_that_the_lock_leaves_out_need_no_wheels(tmp_path: Path) -> None:
    locks = smoke_lock(tmp_path, "3.8")
    lock = source_lock.Lock(source="debian", created="", suites=[], pins={}, missing={"cpython-3.8": "none"})
    assert prefetch.smoke_minors(lock, locks) == []


def test_pip_is_found_or_asked_for(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(prefetch, "find_spec", lambda name: None)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(errors.Failure, match="no pip, and there is no uv"):
        prefetch.choose_pip()
    uv = tmp_path / "uv"
    uv.write_text('#!/bin/sh\necho "$@"; exit 3\n')
    uv.chmod(0o755)
    with pytest.raises(errors.Failure, match="tool run pip download"):
        prefetch.choose_pip()(["download"], tmp_path)


def test_two_builds_fill_one_wheelhouse(tmp_path: Path) -> None:
    """Neither disturbs the other, and none ever sees half a wheel."""
    both = threading.Barrier(2, timeout=10)
    house = tmp_path / "house"
    locks = smoke_lock(tmp_path, "3.13")

    def run_pip(arguments: Sequence[str], directory: Path) -> None:
        (name,) = (word.partition("=")[2] for word in arguments if word.startswith("--requirement="))
        assert (directory / name).is_file()
        for wheel, content in (("a.whl", b"one"), ("b.whl", b"two")):
            both.wait()
            (directory / wheel).write_bytes(content[:1])
            assert list(house.glob("*.whl")) == []
            both.wait()
            (directory / wheel).write_bytes(content)
        both.wait()
        assert (directory / name).is_file(), "the other build is not done yet"

    fetcher = fetch.Fetcher(limits=LIMITS, mirrors=None)

    def fill(_: int) -> None:
        prefetch.fill_wheelhouse(["3.13"], house, locks=locks, run_pip=run_pip, progress=QUIET)

    fetch.in_parallel(fill, range(2), 2, fetcher)
    assert sorted(path.name for path in house.iterdir()) == ["a.whl", "b.whl"]


# --- The command -----------------------------------------------------------------------------------------------------


def command(monkeypatch: pytest.MonkeyPatch, *words: str) -> int:
    monkeypatch.setattr("sys.argv", ["prefetch.py", *words])
    return errors.run(prefetch.main)


def test_wrong_use(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    for words, expected in (
        (["--suite", "sid"], "--suite only goes with --from debian"),
        (["--platform", "x86-64"], "did you mean x86_64"),
        (["--only", "gti"], "did you mean git"),
        (["--ca-bundle", "/none.pem"], "/none.pem cannot be used"),
    ):
        assert command(monkeypatch, *words) == 2
        assert expected in capsys.readouterr().err


@needs_gpgv
def test_the_command(mirror: DebianServer, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    items: list[Package] = [package("git", "1:2.55.0-1"), package("python3.11", "3.11.2-6+deb12u9", suffix="tar.gz")]
    mirror.publish("sid", items)
    monkeypatch.setenv("MANYLINUX_DEBIAN_MIRROR", mirror.server.url("/debian"))
    monkeypatch.setenv("MANYLINUX_DEBIAN_KEYRING", str(mirror.keyring()))
    monkeypatch.setenv("XDG_CACHE_HOME", str(mirror.directory))
    dest = mirror.directory / "sources"
    words = ["--from", "debian", "--dest", str(dest), "--platform", "x86_64", "--no-wheels"]
    assert command(monkeypatch, *words) == 0
    answer = capsys.readouterr()
    assert answer.out == "" and "cibuildwheel cannot use" in answer.err
    lock = source_lock.load(dest / "lock.json")
    assert set(lock["pins"]) == {"git", "cpython-3.11"}
    assert all(files.holds(dest / row["file"], row["sha256"]) for row in lock["pins"].values())
    assert "pp311-pypy311_pp73" in lock["missing"]
    mirror.publish("forky", [package("git", "1:2.56.0-1")])
    assert command(monkeypatch, *words, "--only", "git") == 0
    renewed = source_lock.load(dest / "lock.json")
    assert renewed["pins"]["git"]["version"] == "2.56.0"
    rest = {name: row for name, row in lock["pins"].items() if name != "git"}
    assert renewed["pins"] == {**rest, "git": renewed["pins"]["git"]}, "what was not asked for stays"
    assert renewed["missing"] == lock["missing"]
    (dest / "lock.json").write_text("nonsense")
    assert command(monkeypatch, *words, "--only", "git") == 2
    assert (dest / "lock.json").read_text() == "nonsense", "nobody knows what it said about the others"
    assert command(monkeypatch, *words, "--suite", "woody") == 1
    assert "woody: no mirror has it" in capsys.readouterr().err


@needs_gpgv
def test_what_moves_together_is_taken_together(mirror: DebianServer, monkeypatch: pytest.MonkeyPatch) -> None:
    versions = {"tcl8.6": "8.6.18+dfsg-1", "tk8.6": "8.6.18-1"}
    mirror.publish("sid", [package(name, version, suffix="tar.gz") for name, version in versions.items()])
    monkeypatch.setenv("MANYLINUX_DEBIAN_MIRROR", mirror.server.url("/debian"))
    monkeypatch.setenv("MANYLINUX_DEBIAN_KEYRING", str(mirror.keyring()))
    monkeypatch.setenv("XDG_CACHE_HOME", str(mirror.directory))
    dest = mirror.directory / "sources"
    words = ["--from", "debian", "--dest", str(dest), "--platform", "x86_64", "--no-wheels"]
    assert command(monkeypatch, *words, "--only", "tcl") == 0
    assert set(source_lock.load(dest / "lock.json")["pins"]) == {"tcl", "tk"}


def test_upstream_replaces_an_older_lock(mirror: DebianServer, monkeypatch: pytest.MonkeyPatch) -> None:
    body = b"\x1f\x8bgit"
    item = wanted(mirror, "git", body)
    monkeypatch.setattr(prefetch, "wanted_files", lambda *_: [item])
    dest = mirror.directory / "sources"
    lock = locked("git", "zstd")
    source_lock.save(lock, dest / "lock.json")
    words = ["--dest", str(dest), "--no-wheels", "--platform", "s390x"]
    assert command(monkeypatch, *words, "--only", "git") == 0
    assert source_lock.load(dest / "lock.json") == {**lock, "pins": {"zstd": lock["pins"]["zstd"]}}
    assert command(monkeypatch, *words) == 0
    assert [path.name for path in dest.iterdir()] == ["git"]
