"""The Debian archive: apt's configuration, the chain of trust, source indices. All indices are made and signed here."""

from __future__ import annotations

import lzma
from datetime import UTC, datetime
from pathlib import Path

import pytest
from tests.support import servers
from tests.support.debian_mirrors import LIMITS, DebianServer, needs_gpgv, package

from debian import archive
from debian.archive import find_sources
from host.apt import MIRROR_VARIABLE, AptSource
from portable import errors, fetch


def apt(tmp_path: Path, **files: str) -> Path:
    """An apt configuration directory; `__` in a name stands for a dot."""
    (tmp_path / "sources.list.d").mkdir(parents=True)
    for name, text in files.items():
        folder = tmp_path if name == "sources__list" else tmp_path / "sources.list.d"
        (folder / name.replace("__", ".")).write_text(text)
    return tmp_path


MAIN, SECURITY = "http://mirror.example.org/debian", "http://mirror.example.org/debian-security"


def roots(environment: dict[str, str], folder: Path) -> list[str]:
    """Where suites, and then where security updates, are looked for."""
    sources = find_sources(environment, folder)
    main = [source.root for source in sources if source.pockets - {"security"}]
    security = [source.root for source in sources if "security" in source.pockets]
    return list(dict.fromkeys(main)) + list(dict.fromkeys(security))


def test_deb822_sources(tmp_path: Path) -> None:
    text = """\
# managed by nobody
Types: deb
# http://snapshot.example.org/archive
URIs: http://mirror.example.org/debian/
Suites: bookworm bookworm-updates
Components: main
Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg

Types: deb deb-src
URIs: http://mirror.example.org/debian-security
Suites: bookworm-security
Components: main contrib
Signed-By:
 -----BEGIN PGP PUBLIC KEY BLOCK-----
 .
 mQINBF
"""
    assert roots({}, apt(tmp_path, debian__sources=text)) == [MAIN, SECURITY]


def test_one_line_sources(tmp_path: Path) -> None:
    text = """\
# deb http://commented.example.org/debian bookworm main
deb [arch=amd64 signed-by=/x.gpg] http://mirror.example.org/debian stable main contrib # trailing
deb-src http://mirror.example.org/debian-security/ buster/updates main
deb http://mirror.example.org/debian-security stable-security main
"""
    assert roots({}, apt(tmp_path, sources__list=text)) == [MAIN, SECURITY]


def test_what_is_not_debian_is_ignored(tmp_path: Path) -> None:
    others = """\
deb https://packages.example.org/apt cloud-sdk-bookworm main
deb https://docker.example.org/linux/debian bookworm stable
deb https://postgres.example.org/pub bookworm-pgdg main
deb http://archive.example.org/ubuntu noble main
deb cdrom:[Debian]/ bookworm main
"""
    disabled = "Types: deb\nEnabled: no\nURIs: http://off.example.org/debian\nSuites: trixie\nComponents: main\n"
    folder = apt(
        tmp_path,
        others__list=others,
        off__sources=disabled,
        old__list__save="deb http://x.example.org/debian sid main\n",
    )
    with pytest.raises(errors.UserError, match="MANYLINUX_DEBIAN_MIRROR"):
        find_sources({}, folder)


@pytest.mark.parametrize("value", ["mirror.example.org", "file:///srv/debian", "http://", "http://ok.example.org/ x"])
def test_a_mirror_that_is_no_address_is_refused(value: str, tmp_path: Path) -> None:
    with pytest.raises(errors.UserError, match=r"MANYLINUX_DEBIAN_MIRROR: .* is not an http or https address"):
        find_sources({MIRROR_VARIABLE: value}, tmp_path)


def test_list_of_mirrors(tmp_path: Path) -> None:
    (tmp_path / "mirrors").mkdir()
    names = tmp_path / "mirrors" / "debian.list"
    names.write_text("# best first\nhttp://one.example.org/debian priority:1\nhttp://two.example.org/debian\n")
    text = f"deb mirror+file:{names} trixie main\ndeb mirror+file:/none/security.list trixie-security main\n"
    assert roots({}, apt(tmp_path / "apt", sources__list=text)) == [
        "http://one.example.org/debian",
        "http://two.example.org/debian",
        "http://one.example.org/debian-security",
        "http://two.example.org/debian-security",
    ]


def test_the_variable_wins(tmp_path: Path) -> None:
    folder = apt(tmp_path, sources__list="deb http://other.example.org/debian sid main\n")
    assert roots({"MANYLINUX_DEBIAN_MIRROR": "http://mirror.example.org/debian/"}, folder) == [MAIN, SECURITY]
    both = {"MANYLINUX_DEBIAN_MIRROR": "http://mirror.example.org/debian http://mirror.example.org/debian-security"}
    assert roots(both, folder) == [MAIN, SECURITY]


def test_a_mirror_with_an_unusual_name_has_no_guessed_security_archive(tmp_path: Path) -> None:
    assert roots({"MANYLINUX_DEBIAN_MIRROR": "http://example.org/d12"}, tmp_path) == ["http://example.org/d12"]


@needs_gpgv
def test_search(mirror: DebianServer) -> None:
    git = package("git", "1:2.47.3-0+deb13u1")
    mirror.publish("trixie", [package("git-lfs", "3.6.1-1"), git, package("zlib", "1.3-1")], code_name="trixie")
    mirror.publish("trixie-security", [package("git", "1:2.47.4-1")], root="/debian-security")
    mirror.publish("stray-security", [package("git", "1:9-1")])  # no such suite is ever asked for
    index = mirror.archive().search("git|git-x")
    assert [(s.package, s.version, s.suite) for s in index.sources] == [
        ("git", "1:2.47.3-0+deb13u1", "trixie"),
        ("git", "1:2.47.4-1", "trixie-security"),
    ]
    assert [suite.name for suite in index.suites] == ["trixie", "trixie-security"]
    assert index.unusable == {}
    found = index.sources[0]
    assert found.original and found.signature and found.packaging
    assert found.original.name == "git_2.47.3.orig.tar.xz"
    assert found.original.size == len(git.files["git_2.47.3.orig.tar.xz"])
    assert found.signature.name == "git_2.47.3.orig.tar.xz.asc"
    assert found.packaging.name == "git_2.47.3-0+deb13u1.debian.tar.xz"
    assert found.urls(found.original) == (mirror.server.url("/debian/pool/main/g/git/git_2.47.3.orig.tar.xz"),)
    security = index.sources[1]
    assert security.original
    assert security.urls(security.original)[0].startswith(mirror.server.url("/debian-security/pool/"))


@needs_gpgv
def test_the_second_run_downloads_no_index_again(mirror: DebianServer) -> None:
    mirror.publish("trixie", [package("git", "1:2.47.3-1")])
    first = mirror.archive().search("git", ["trixie"])
    mirror.server.requests.clear()
    assert mirror.archive().search("git", ["trixie"]) == first
    assert [path for _, path, _ in mirror.server.requests] == ["/debian/dists/trixie/InRelease"]
    mirror.publish("trixie", [package("git", "1:2.47.4-1")])
    assert [source.version for source in mirror.archive().search("git", ["trixie"]).sources] == ["1:2.47.4-1"]
    mirror.server.requests.clear()
    assert mirror.archive().search("hg", ["trixie"]).sources == (), "another search in the same index"
    assert [path for _, path, _ in mirror.server.requests] == ["/debian/dists/trixie/InRelease"]


@needs_gpgv
def test_what_no_run_uses_leaves_the_cache(mirror: DebianServer, monkeypatch: pytest.MonkeyPatch) -> None:
    mirror.publish("trixie", [package("git", "1:2.47.3-1")])
    mirror.archive().search("git", ["trixie"])
    old = {path.name for path in (mirror.directory / "cache").iterdir()}
    assert len(old) == 2
    mirror.publish("trixie", [package("git", "1:2.47.4-1")])
    mirror.archive().search("git", ["trixie"])
    assert old < {path.name for path in (mirror.directory / "cache").iterdir()}, "younger than KEPT_DAYS"
    monkeypatch.setattr(archive, "KEPT_DAYS", -1)
    mirror.archive().search("git", ["trixie"])
    assert not old & {path.name for path in (mirror.directory / "cache").iterdir()}


@needs_gpgv
def test_another_process_tidies_or_downloads_too(mirror: DebianServer) -> None:
    """A name that is there no more when it is looked at: another run's temporary file, for example."""
    mirror.publish("trixie", [package("git", "1:2.47.3-1")])
    (mirror.directory / "cache").mkdir()
    (mirror.directory / "cache" / "tmpgone").symlink_to("nowhere")
    assert len(mirror.archive().search("git", ["trixie"]).sources) == 1


@needs_gpgv
def test_mirrors_without_by_hash_or_out_of_step(mirror: DebianServer) -> None:
    mirror.publish("bookworm", [package("git", "1:2.39.5-1")], by_hash=False)
    mirror.publish("trixie", [package("git", "1:2.47.3-1")])
    lists = [path for path in mirror.server.routes if "/trixie/main/" in path]
    mirror.server.routes["/debian/dists/trixie/main/source/Sources.xz"] = mirror.server.routes.pop(lists[0])
    assert len(mirror.archive().search("git").sources) == 2


@needs_gpgv
def test_a_broken_index_costs_only_its_suite(mirror: DebianServer) -> None:
    mirror.publish("bookworm", [package("git", "1:2.39.5-1")])
    mirror.publish("trixie", [package("git", "1:2.47.3-1")])
    (path,) = (path for path in mirror.server.routes if "/trixie/main/" in path)
    forged = lzma.compress(package("git", "1:9.0-1").stanza().encode())
    mirror.server.routes[path] = servers.good(forged)
    index = mirror.archive().search("git")
    assert [source.suite for source in index.sources] == ["bookworm"]
    assert list(index.unusable) == ["trixie"]
    with pytest.raises(errors.Failure, match="could not be downloaded"):
        mirror.archive().search("git", ["trixie"])


@needs_gpgv
def test_a_tampered_index_of_the_same_size(mirror: DebianServer) -> None:
    mirror.publish("trixie", [package("git", "1:2.47.3-1")])
    (path,) = (path for path in mirror.server.routes if "/trixie/main/" in path)
    archive = mirror.archive()
    suite = archive.open_suite("trixie")
    assert suite
    mirror.server.routes[path] = servers.good(b"\xfd7zXZ\x00" + b"?" * (suite.size - 6))
    with pytest.raises(errors.Failure, match="not what was pinned"):
        archive.search("git", ["trixie"])


@needs_gpgv
def test_a_suite_that_is_not_there(mirror: DebianServer) -> None:
    mirror.publish("trixie", [package("git", "1:2.47.3-1")])
    with pytest.raises(errors.Failure, match="woody: no mirror has it"):
        mirror.archive().search("git", ["trixie", "woody"])
    mirror.server.routes.clear()
    with pytest.raises(errors.Failure, match="no usable suite on http://127"):
        mirror.archive().search("git")


@needs_gpgv
def test_outdated_indices_are_told(mirror: DebianServer) -> None:
    mirror.publish("sid", [package("git", "1:2.55.0-1")], valid_until="Sat, 21 Nov 2026 08:00:00 UTC")
    mirror.publish("trixie", [package("git", "1:2.47.3-1")])
    index = mirror.archive().search("git")
    assert index.stale(datetime(2026, 11, 20, tzinfo=UTC)) == []
    assert [suite.name for suite in index.stale(datetime(2026, 11, 22, tzinfo=UTC))] == ["sid"]


@needs_gpgv
def test_the_second_mirror_stands_in(mirror: DebianServer) -> None:
    mirror.publish("trixie", [package("git", "1:2.47.3-1")], root="/two/debian")
    sources = [AptSource(mirror.server.url(f"/{name}/debian"), frozenset({""})) for name in ("one", "two")]
    fetcher = fetch.Fetcher(limits=LIMITS, mirrors=None)
    found = archive.Archive(sources, [mirror.keyring()], mirror.directory / "cache", fetcher)
    (source,) = found.search("git").sources
    assert source.original and len(source.urls(source.original)) == 2


def test_keyrings(tmp_path: Path) -> None:
    (tmp_path / "ring.gpg").touch()
    variable = archive.KEYRING_VARIABLE
    assert archive.find_keyrings({variable: str(tmp_path / "ring.gpg")}) == (tmp_path / "ring.gpg",)
    with pytest.raises(errors.UserError, match="install the package debian-archive-keyring"):
        archive.find_keyrings({variable: str(tmp_path / "none.gpg")})


def test_gpgv_is_demanded(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(errors.UserError, match="apt-get install gpgv"):
        archive.Archive([], [], tmp_path)


@needs_gpgv
def test_the_archive_of_this_machine(mirror: DebianServer, monkeypatch: pytest.MonkeyPatch) -> None:
    mirror.publish("trixie", [package("git", "1:2.47.3-1")])
    monkeypatch.setenv(MIRROR_VARIABLE, mirror.server.url("/debian"))
    monkeypatch.setenv(archive.KEYRING_VARIABLE, str(mirror.keyring()))
    monkeypatch.setenv("XDG_CACHE_HOME", str(mirror.directory))
    (found,) = archive.Archive.of_this_machine().search("git", ["trixie"]).sources
    assert (found.package, found.version, found.suite) == ("git", "1:2.47.3-1", "trixie")
