"""The Debian archive: apt's configuration, the chain of trust, source indices. All indices are made and signed here."""

from __future__ import annotations

import io
import lzma
import os
import re
import shutil
import tracemalloc
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path

import pysequoia
import pytest
from tests.support import servers
from tests.support.debian_mirrors import LIMITS, DebianServer, package

from debian import archive as debian_archive
from debian.archive import Mirror as Root
from debian.archive import find_mirrors, upstream_version
from portable import errors, fetch

needs_gpgv = pytest.mark.skipif(not shutil.which("gpgv"), reason="needs gpgv: apt-get install gpgv")


@pytest.fixture
def mirror(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[DebianServer]:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with servers.running() as server:
        yield DebianServer(server, tmp_path)


def apt(tmp_path: Path, **files: str) -> Path:
    """An apt configuration directory; `__` in a name stands for a dot."""
    (tmp_path / "sources.list.d").mkdir(parents=True)
    for name, text in files.items():
        folder = tmp_path if name == "sources__list" else tmp_path / "sources.list.d"
        (folder / name.replace("__", ".")).write_text(text)
    return tmp_path


MAIN, SECURITY = (
    Root("http://mirror.example.org/debian", False),
    Root("http://mirror.example.org/debian-security", True),
)


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
    assert find_mirrors({}, apt(tmp_path, debian__sources=text)) == (MAIN, SECURITY)


def test_one_line_sources(tmp_path: Path) -> None:
    text = """\
# deb http://commented.example.org/debian bookworm main
deb [arch=amd64 signed-by=/x.gpg] http://mirror.example.org/debian stable main contrib # trailing
deb-src http://mirror.example.org/debian-security/ buster/updates main
deb http://mirror.example.org/debian-security stable-security main
"""
    assert find_mirrors({}, apt(tmp_path, sources__list=text)) == (MAIN, SECURITY)


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
        find_mirrors({}, folder)


@pytest.mark.parametrize("value", ["mirror.example.org", "file:///srv/debian", "http://", "http://ok.example.org/ x"])
def test_a_mirror_that_is_no_address_is_refused(value: str, tmp_path: Path) -> None:
    with pytest.raises(errors.UserError, match=r"MANYLINUX_DEBIAN_MIRROR: .* is not an http or https address"):
        find_mirrors({debian_archive.MIRROR_VARIABLE: value}, tmp_path)


def test_list_of_mirrors(tmp_path: Path) -> None:
    (tmp_path / "mirrors").mkdir()
    names = tmp_path / "mirrors" / "debian.list"
    names.write_text("# best first\nhttp://one.example.org/debian priority:1\nhttp://two.example.org/debian\n")
    text = f"deb mirror+file:{names} trixie main\ndeb mirror+file:/none/security.list trixie-security main\n"
    found = find_mirrors({}, apt(tmp_path / "apt", sources__list=text))
    assert [(root.root, root.security) for root in found] == [
        ("http://one.example.org/debian", False),
        ("http://two.example.org/debian", False),
        ("http://one.example.org/debian-security", True),
        ("http://two.example.org/debian-security", True),
    ]


def test_the_variable_wins(tmp_path: Path) -> None:
    folder = apt(tmp_path, sources__list="deb http://other.example.org/debian sid main\n")
    assert find_mirrors({"MANYLINUX_DEBIAN_MIRROR": "http://mirror.example.org/debian/"}, folder) == (MAIN, SECURITY)
    both = {"MANYLINUX_DEBIAN_MIRROR": "http://mirror.example.org/debian http://mirror.example.org/debian-security"}
    assert find_mirrors(both, folder) == (MAIN, SECURITY)


def test_a_mirror_with_an_unusual_name_has_no_guessed_security_archive(tmp_path: Path) -> None:
    found = find_mirrors({"MANYLINUX_DEBIAN_MIRROR": "http://example.org/d12"}, tmp_path)
    assert found == (Root("http://example.org/d12", False),)


def test_proxies_of_apt(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    said = ["Acquire ", "Acquire::http ", "Acquire::http::Proxy http://cache.example.org:3142/"]
    said += ["Acquire::http::Proxy::own.example.org DIRECT", "Acquire::https::Proxy DIRECT"]
    config = tmp_path / "apt-config"
    config.write_text("#!/bin/sh\nprintf '%s\\n' " + " ".join(f"'{line}'" for line in said) + "\n")
    config.chmod(0o755)
    assert debian_archive.apt_proxies() == {"http": "http://cache.example.org:3142/"}
    config.unlink()
    monkeypatch.setenv("PATH", str(tmp_path))
    assert debian_archive.apt_proxies() == {}


@pytest.mark.parametrize(
    ("version", "text", "number", "repacked", "prerelease"),
    [
        ("1:2.55.0-1", "2.55.0", (2, 55, 0), False, False),
        ("3.5.7-1~deb13u2", "3.5.7", (3, 5, 7), False, False),
        ("8.6.18+dfsg-1", "8.6.18", (8, 6, 18), True, False),
        ("1.5.4+dfsg2-5", "1.5.4", (1, 5, 4), True, False),
        ("1.0~dfsg.1-1", "1.0", (1, 0), True, False),
        ("2.69-3.1", "2.69", (2, 69), False, False),
        ("8.23.0~rc3-1", "8.23.0rc3", (8, 23, 0), False, True),
        ("3.15.0~b3-1", "3.15.0b3", (3, 15, 0), False, True),
        ("5.6.1+really5.4.5-1", "5.4.5", (5, 4, 5), False, False),
        ("1.2", "1.2", (1, 2), False, False),
    ],
)
def test_upstream_versions(version: str, text: str, number: tuple[int, ...], repacked: bool, prerelease: bool) -> None:
    found = upstream_version(version)
    assert found
    assert (found.text, found.number, found.repacked, found.prerelease) == (text, number, repacked, prerelease)


@pytest.mark.parametrize(
    "version", ["1:4.5.2+20251210-1", "1:2.55.0+next.20260731-1", "1.1.1w-0+deb11u1", "0~20200101-1", "2.6+git1-1"]
)
def test_snapshots_are_no_releases(version: str) -> None:
    assert upstream_version(version) is None


def test_releases_order_after_their_candidates() -> None:
    order = ["3.14.9-1", "3.15.0~a7-1", "3.15.0~b3-1", "3.15.0~rc1-1", "3.15.0-1", "3.15.1-1"]
    found = [upstream_version(version) for version in order]
    assert sorted(found, key=lambda version: (version.number, version.pre) if version else ((), "")) == found


def test_every_pocket_of_every_suite_is_searched() -> None:
    names = debian_archive.suite_names()
    assert {"bullseye", "bookworm-security", "trixie-updates", "trixie-backports", "sid", "experimental"} <= {*names}
    assert "sid-security" not in names
    assert debian_archive.suite_names(["trixie"]) == ("trixie",)


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
    monkeypatch.setattr(debian_archive, "KEPT_DAYS", -1)
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


def untrusted(mirror: DebianServer, reason: str) -> None:
    """The suite must be refused for this reason, and nothing of it looked at."""
    with pytest.raises(errors.Failure) as caught:
        mirror.archive().search("git", ["trixie"])
    assert reason in str(caught.value)
    assert not any("/main/source/" in path for _, path, _ in mirror.server.requests)


@needs_gpgv
def test_a_changed_release_is_refused(mirror: DebianServer) -> None:
    release = mirror.publish("trixie", [package("git", "1:2.47.3-1")])
    changed = re.sub(rb"[0-9a-f]{64}( +\d+ main/)", rb"1" * 64 + rb"\1", release)
    mirror.server.routes["/debian/dists/trixie/InRelease"] = servers.good(changed)
    untrusted(mirror, "its signature is wrong")


@needs_gpgv
def test_another_key_is_refused(mirror: DebianServer) -> None:
    ours = mirror.key
    mirror.key = pysequoia.Tsk.generate("Somebody <else@example.org>")
    mirror.publish("trixie", [package("git", "1:2.47.3-1")])
    mirror.key = ours
    untrusted(mirror, "update debian-archive-keyring")


@needs_gpgv
def test_an_expired_key_is_refused(mirror: DebianServer) -> None:
    mirror.publish("trixie", [package("git", "1:2.47.3-1")])
    mirror.certificate = mirror.certificate.set_expiration(
        datetime.now(UTC) - timedelta(seconds=1), mirror.key.certifier()
    )
    untrusted(mirror, "expired")


@needs_gpgv
def test_a_revoked_key_is_refused(mirror: DebianServer) -> None:
    mirror.publish("trixie", [package("git", "1:2.47.3-1")])
    revocation = mirror.certificate.revoke(mirror.key.certifier())
    mirror.certificate = pysequoia.Cert.from_bytes(bytes(mirror.certificate) + bytes(revocation))
    untrusted(mirror, "revoked")


@needs_gpgv
@pytest.mark.parametrize("sent", [b"Codename: trixie\n", b"", servers.HTML])
def test_no_signature_is_refused(mirror: DebianServer, sent: bytes) -> None:
    mirror.server.routes["/debian/dists/trixie/InRelease"] = servers.good(sent)
    untrusted(mirror, "no valid signature")


@needs_gpgv
def test_text_around_the_signed_one_is_not_believed(mirror: DebianServer) -> None:
    release = mirror.publish("trixie", [package("git", "1:2.47.3-1")])
    for forged in (b"Codename: x\nSHA256:\n\n" + release, release + b"\nCodename: x\n"):
        mirror.server.routes["/debian/dists/trixie/InRelease"] = servers.good(forged)
        try:
            suite = mirror.archive().open_suite("trixie")
        except debian_archive.Untrusted:
            continue
        assert suite and suite.name == "trixie"


@needs_gpgv
def test_another_suite_in_its_place_is_refused(mirror: DebianServer) -> None:
    release = mirror.publish("bookworm", [package("git", "1:2.39.5-1")])
    mirror.server.routes["/debian/dists/trixie/InRelease"] = servers.good(release)
    untrusted(mirror, "sends the index of bookworm in its place")


@needs_gpgv
def test_a_suite_without_sources(mirror: DebianServer) -> None:
    text = f"Codename: trixie\nDate: Sat, 14 Nov 2026 08:00:00 UTC\nSHA256:\n {'0' * 64} 1 main/binary-amd64/Packages\n"
    mirror.server.routes["/debian/dists/trixie/InRelease"] = servers.good(mirror.sign(text))
    untrusted(mirror, "has no sources")


@needs_gpgv
def test_a_suite_under_its_other_name(mirror: DebianServer) -> None:
    mirror.publish("experimental", [package("git", "1:2.60.0-1")], code_name="rc-buggy")
    assert [suite.name for suite in mirror.archive().search("git").suites] == ["experimental"]


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
    roots = [Root(mirror.server.url("/one/debian"), False), Root(mirror.server.url("/two/debian"), False)]
    fetcher = fetch.Fetcher(limits=LIMITS, mirrors=None)
    archive = debian_archive.Archive(roots, [mirror.keyring()], mirror.directory / "cache", fetcher)
    (source,) = archive.search("git").sources
    assert source.original and len(source.urls(source.original)) == 2


def test_stanzas_are_found_by_whole_name_only() -> None:
    index = "\n".join(package(name, "1.0-1").stanza() for name in ("git", "git-lfs", "legit", "git")).encode()
    for block in (1, 2, 7, len(index)):
        found = list(debian_archive.matching_stanzas(io.BytesIO(index), re.compile(b"git"), block))
    assert len(found) == 2
    assert all(stanza.startswith(b"Package: git\n") and stanza.count(b"Package: ") == 1 for stanza in found)
    assert list(debian_archive.matching_stanzas(io.BytesIO(), re.compile(b"git"))) == []


def test_an_index_is_never_in_memory_as_a_whole() -> None:
    """Sources of Debian's unstable is 70 MB, and those of four suites are read at a time."""

    class Endless(io.BytesIO):
        left = 40

        def read(self, size: int | None = -1) -> bytes:
            self.left -= 1
            return stanzas if self.left >= 0 else b""

    stanzas = b"Package: other\nVersion: 1\n\n" * 40_000
    tracemalloc.start()
    try:
        assert list(debian_archive.matching_stanzas(Endless(), re.compile(b"git"))) == []
        assert tracemalloc.get_traced_memory()[1] < 6 * len(stanzas)
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("field", ["Date", "Valid-Until"])
def test_a_suite_without_a_date_is_not_trusted(field: str) -> None:
    now = format_datetime(datetime.now(UTC), usegmt=True)
    text = f"Codename: sid\nDate: {now}\nValid-Until: {now}\nSHA256:\n {'a' * 64} 1 main/source/Sources.xz\n"
    assert debian_archive._suite("sid", (), text).valid_until
    for value in ("soon", "", "²", "Fri, 01 Jan 2027 00:00:00 +99999999999999"):
        with pytest.raises(debian_archive.Untrusted, match=f"its {field} is no date"):
            debian_archive._suite("sid", (), text.replace(f"{field}: {now}", f"{field}: {value}"))
    assert debian_archive._suite("sid", (), text.replace("Valid-Until", "Valid")).valid_until is None


def test_a_stanza_without_directory() -> None:
    suite = debian_archive.Suite("trixie", (), "", "", 0, False, datetime.now(UTC), None)
    with pytest.raises(errors.Failure, match="without 'Directory'"):
        debian_archive.parse_stanza(b"Package: git\nVersion: 1\nChecksums-Sha256:\n", suite)


def test_keyrings(tmp_path: Path) -> None:
    (tmp_path / "ring.gpg").touch()
    variable = debian_archive.KEYRING_VARIABLE
    assert debian_archive.find_keyrings({variable: str(tmp_path / "ring.gpg")}) == (tmp_path / "ring.gpg",)
    with pytest.raises(errors.UserError, match="install the package debian-archive-keyring"):
        debian_archive.find_keyrings({variable: str(tmp_path / "none.gpg")})


def test_gpgv_is_demanded(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(errors.UserError, match="apt-get install gpgv"):
        debian_archive.Archive([], [], tmp_path)


@needs_gpgv
def test_the_archive_of_this_machine(mirror: DebianServer, monkeypatch: pytest.MonkeyPatch) -> None:
    mirror.publish("trixie", [package("git", "1:2.47.3-1")])
    monkeypatch.setenv(debian_archive.MIRROR_VARIABLE, mirror.server.url("/debian"))
    monkeypatch.setenv(debian_archive.KEYRING_VARIABLE, str(mirror.keyring()))
    monkeypatch.setenv("XDG_CACHE_HOME", str(mirror.directory))
    (found,) = debian_archive.Archive.of_this_machine().search("git", ["trixie"]).sources
    assert (found.package, found.version, found.suite) == ("git", "1:2.47.3-1", "trixie")
