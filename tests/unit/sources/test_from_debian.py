"""What the Debian archive has of the pins: which version stands in for each, and the lock that says so."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
from typing import Any

from tests.support import servers
from tests.support.debian_mirrors import LIMITS, DebianServer, needs_gpgv, package

from catalogue import images, pins
from catalogue.pins import Pin
from plan.plan import Request, decide
from portable import fetch, files
from portable.progress import Progress
from sources import from_debian
from sources.from_debian import Tracked, describe_lock, download_newest, read_tracking
from sources.lock import SourcesLock, load_lock, save_lock

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


class Lines(Progress):
    """A display that keeps what it was told to say."""

    def __init__(self) -> None:
        super().__init__(quiet=True)
        self.lines: list[str] = []

    def say(self, line: str) -> None:
        self.lines.append(line)


def debian(mirror: DebianServer, progress: Progress = QUIET, **more: Any) -> SourcesLock:
    """Prefetches PINS from the mirror."""
    fetcher = fetch.Fetcher(limits=LIMITS, mirrors=None)
    return download_newest(
        more.pop("pins", PINS),
        more.pop("tracked", TRACKED),
        mirror.directory / "sources",
        archive=mirror.archive(),
        fetcher=fetcher,
        progress=progress,
        jobs=4,
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
    assert "git 2.56.0 is skipped: the mirror lists it but does not have it" in shown.lines
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
    summary = "\n".join(describe_lock(lock, PINS))
    assert re.search(r"git +2\.47\.3 +pinned: 2\.54\.0, trixie", summary)
    for name in lock["missing"]:
        assert name in summary
    assert "cibuildwheel cannot use" in summary


def test_the_summary_warns_only_without_cp39() -> None:
    lock = SourcesLock(source="debian", created="", suites=[], pins={}, missing={"cpython-3.8": "none"})
    assert "cibuildwheel" not in "\n".join(describe_lock(lock, PINS))


@needs_gpgv
def test_refused_versions_are_passed_over_with_their_reason(mirror: DebianServer) -> None:
    mirror.publish("sid", [package("git", "1:2.55.0-1"), package("git", "1:2.56.0-1")])
    shown = Lines()
    tracked = {**TRACKED, "git": Tracked("2", "git", True, {"2.56.0": "its signature is bad"})}
    assert debian(mirror, shown, tracked=tracked)["pins"]["git"]["version"] == "2.55.0"
    assert "git 2.56.0 is skipped: its signature is bad" in shown.lines


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
    assert sum("git 2.55.0 is skipped" in line for line in shown.lines) == 4
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
    assert save_lock(first, path)
    before = path.read_bytes()
    assert not save_lock({**first, "created": "later"}, path), "a lock that says the same stays as it is"
    assert path.read_bytes() == before
    assert load_lock(path) == first


@needs_gpgv
def test_a_lock_drives_a_plan(mirror: DebianServer) -> None:
    table = pins.read()
    tracked = read_tracking()
    found = {"cpython-3.13": package("python3.13", "3.13.99-1"), "git": package("git", "1:2.99.0-1")}
    mirror.publish("sid", list(found.values()))
    lock = debian(mirror, pins=table, tracked=tracked, prebuilt=["pp311-pypy311_pp73"])
    image = CATALOGUE.image("manylinux_2_36_x86_64")
    decided = decide(image, Request(lock=lock))
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
    row = from_debian._newest(
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
    tracked = read_tracking()
    sources = {name for name, pin in pins.read().items() if isinstance(pin.sha256, str) and pin.sha256}
    assert set(tracked) == sources
    for name, row in tracked.items():
        assert f"{pins.read()[name].version}.".startswith(f"{row.series}."), name
        re.compile(row.source)
    assert re.fullmatch(tracked["cpython-3.13"].source, "python3.13")
    assert not re.fullmatch(tracked["cpython-3.13"].source, "python3-13")
    assert "signature" in tracked["libtool"].refuse["2.6.2"]
