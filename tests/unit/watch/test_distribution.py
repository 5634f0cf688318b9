"""What the data of Debian, RPM and Alpine say of installed packages, with archives and repositories on loopback."""

from __future__ import annotations

import gzip
import io
import json
import lzma
import tarfile

import pytest
from tests.support import servers
from tests.support.debian_mirrors import DebianServer, needs_gpgv, package
from tests.support.debian_mirrors import Package as SourceOnMirror

from network import web
from portable import errors
from watch.distribution import Fix, InstalledPackage, from_debian, from_secdb, from_updateinfo


def installed(source: str, version: str, name: str = "") -> InstalledPackage:
    return InstalledPackage(name or source, version, source, version)


# --- Debian -----------------------------------------------------------------------------------------------------------


def entry(version: str, text: str) -> str:
    signature = " -- A <a@example.org>  Sat, 14 Nov 2026 08:00:00 +0000"
    return f"zlib ({version}) bookworm; urgency=high\n\n  * {text}\n\n{signature}\n"


def packaging(*entries: str, folder: str = "") -> bytes:
    archive, text = io.BytesIO(), "\n".join(entries).encode()
    with tarfile.open(fileobj=archive, mode="w:xz") as tar:
        member = tarfile.TarInfo(f"{folder}debian/changelog")
        member.size = len(text)
        tar.addfile(member, io.BytesIO(text))
    return archive.getvalue()


def with_changelog(name: str, version: str, *entries: str) -> SourceOnMirror:
    made = package(name, version)
    return SourceOnMirror(name, version, {**made.files, f"{name}_{version}.debian.tar.xz": packaging(*entries)})


ZLIB = (
    entry("1:1.2.13-1+deb12u3", "Fix CVE-2026-0003 and, completely now, CVE-2026-0002"),
    entry("1:1.2.13-1+deb12u2", "Fix CVE-2026-0002 (Closes: #1)"),
    entry("1:1.2.13-1+deb12u1", "Fix CVE-2026-0001"),
    entry("1:1.2.13-1", "Initial"),
)


@needs_gpgv
def test_debian_names_what_is_mended_between_two_versions(mirror: DebianServer) -> None:
    newest = with_changelog("zlib", "1.2.13-1+deb12u3", *(text.replace("1:", "") for text in ZLIB))
    mirror.publish("bookworm", [package("zlib", "1.2.13-1"), package("bash", "5.2-2")])
    mirror.publish("bookworm-updates", [])
    mirror.publish("bookworm-security", [newest], root="/debian-security")
    here = [installed("zlib", "1.2.13-1+deb12u1", "zlib1g"), installed("bash", "5.2-2"), installed("ours", "1")]
    fixes = from_debian(here, "bookworm", mirror.archive(), web.Client())
    assert set(fixes.found) == {
        Fix("zlib", "1.2.13-1+deb12u1", "CVE-2026-0002", "1.2.13-1+deb12u2"),
        Fix("zlib", "1.2.13-1+deb12u1", "CVE-2026-0003", "1.2.13-1+deb12u3"),
    }
    assert fixes.unread == {"ours": "bookworm does not have it"}
    # One that has everything has nothing to fear.
    assert from_debian([installed("zlib", "1.2.13-1+deb12u3")], "bookworm", mirror.archive(), web.Client()).found == ()


@needs_gpgv
def test_a_cve_that_an_older_version_has_mended_is_not_open(mirror: DebianServer) -> None:
    """Changelogs repeat themselves: "the fix of CVE-... is complete now"."""
    text = [entry("1.2-2", "Tidy the patch of CVE-2026-0001"), entry("1.2-1", "Fix CVE-2026-0001")]
    for suite in ("bookworm", "bookworm-updates"):
        mirror.publish(suite, [with_changelog("zlib", "1.2-2", *text)])
    mirror.publish("bookworm-security", [], root="/debian-security")
    assert from_debian([installed("zlib", "1.2-1")], "bookworm", mirror.archive(), web.Client()).found == ()


@needs_gpgv
def test_a_package_of_debian_itself_has_its_changelog_in_its_only_archive(mirror: DebianServer) -> None:
    content = packaging(entry("2", "Fix CVE-2026-0004"), entry("1", "x"), folder="dpkg-2/")
    mirror.publish("bookworm", [SourceOnMirror("dpkg", "2", {"dpkg_2.tar.xz": content})])
    mirror.publish("bookworm-updates", [])
    mirror.publish("bookworm-security", [], root="/debian-security")
    fixes = from_debian([installed("dpkg", "1")], "bookworm", mirror.archive(), web.Client())
    assert fixes.found == (Fix("dpkg", "1", "CVE-2026-0004", "2"),)


@needs_gpgv
@pytest.mark.parametrize("spoiled", [False, True])
def test_a_package_of_source_format_1_has_its_changelog_in_a_patch(mirror: DebianServer, spoiled: bool) -> None:
    """As pcre2 of Debian 12; what `diff -Naur` writes, with another file before and after the changelog."""
    text = "\n".join([entry("1.2-2", "Fix CVE-2026-0005"), entry("1.2-1", "Initial; --- not the end")])
    files = {"debian/a": "CVE-2026-9999\n", "debian/changelog": text, "debian/control": "CVE-2026-9998\n"}
    patch = "".join(
        f"--- pcre-1.2.orig/{name}\n+++ pcre-1.2/{name}\n@@ -0,0 +1,{content.count(chr(10))} @@\n"
        + "".join(f"+{line}\n" for line in content.splitlines())
        for name, content in files.items()
        if not (spoiled and name == "debian/changelog")
    )
    sources = {"pcre_1.2.orig.tar.gz": packaging("x"), "pcre_1.2-2.diff.gz": gzip.compress(patch.encode())}
    mirror.publish("bookworm", [SourceOnMirror("pcre", "1.2-2", sources)])
    mirror.publish("bookworm-updates", [])
    mirror.publish("bookworm-security", [], root="/debian-security")
    fixes = from_debian([installed("pcre", "1.2-1")], "bookworm", mirror.archive(), web.Client())
    assert fixes.found == (() if spoiled else (Fix("pcre", "1.2-1", "CVE-2026-0005", "1.2-2"),))
    assert ("it adds no debian/changelog" in fixes.unread.get("pcre", "")) == spoiled


@needs_gpgv
@pytest.mark.parametrize("spoiled", ["gone", "changed", "empty"])
def test_a_changelog_that_cannot_be_read_is_named(mirror: DebianServer, spoiled: str) -> None:
    newest = with_changelog("zlib", "1.2-2", *ZLIB) if spoiled != "empty" else package("zlib", "1.2-2")
    mirror.publish("bookworm", [newest])
    mirror.publish("bookworm-updates", [])
    mirror.publish("bookworm-security", [], root="/debian-security")
    place = f"/debian/{newest.directory}/zlib_1.2-2.debian.tar.xz"
    if spoiled == "gone":
        del mirror.server.routes[place]
    elif spoiled == "changed":
        mirror.server.routes[place] = servers.good(packaging(entry("1.2-2", "nothing happened")))
    fixes = from_debian([installed("zlib", "1.2-1")], "bookworm", mirror.archive(), web.Client())
    assert fixes.found == ()
    assert "1.2-2 is newer, and its changelog cannot be read" in fixes.unread["zlib"]


@needs_gpgv
def test_an_archive_without_security_is_a_failure(mirror: DebianServer) -> None:
    mirror.publish("bookworm", [package("zlib", "1.2-1")])
    mirror.publish("bookworm-updates", [])
    with pytest.raises(errors.Failure, match="bookworm-security"):
        from_debian([installed("zlib", "1.2-1")], "bookworm", mirror.archive(), web.Client())


# --- RPM --------------------------------------------------------------------------------------------------------------


def update(package: str, version: str, *cves: str, kind: str = "security", epoch: str = "0") -> str:
    number, _, release = version.partition("-")
    return (
        f'<update type="{kind}"><id>A</id><references>'
        + "".join(f'<reference type="cve" id="{cve}"/>' for cve in cves)
        + '<reference type="bugzilla" id="7"/></references><pkglist><collection>'
        f'<package name="{package}" version="{number}" release="{release}" epoch="{epoch}" arch="x86_64"/>'
        "</collection></pkglist></update>"
    )


def repository(server: servers.Server, *updates: str, suffix: str = "gz") -> str:
    content = f"<updates>{''.join(updates)}</updates>".encode()
    packed = {"gz": gzip.compress(content), "xz": lzma.compress(content), "xml": content}[suffix]
    name = "repodata/abc-updateinfo.xml" + ("" if suffix == "xml" else f".{suffix}")
    server.routes["/os/repodata/repomd.xml"] = servers.good(
        b'<repomd xmlns="http://linux.duke.edu/metadata/repo"><data type="primary"><location href="no"/></data>'
        b'<data type="updateinfo"><location href="' + name.encode() + b'"/></data></repomd>'
    )
    server.routes[f"/os/{name}"] = servers.good(packed)
    return server.url("/os/")


@pytest.mark.parametrize("suffix", ["gz", "xz", "xml"])
def test_advisories_of_newer_rpm_packages_count(server: servers.Server, suffix: str) -> None:
    place = repository(
        server,
        update("openssl-libs", "1.1.1k-14.el8", "CVE-2026-0001", epoch="1"),
        update("openssl-libs", "1.1.1k-15.el8", "CVE-2026-0001", "CVE-2026-0002", epoch="1"),
        update("openssl-libs", "1.1.1k-9.el8", "CVE-2025-0009", epoch="1"),
        update("zlib", "1.2.11-30.el8", "CVE-2026-0003", kind="bugfix"),
        update("perl", "5.32-9.module_el8", "CVE-2026-0004"),
        update("bash", "5.0-1.el8", "CVE-2026-0005"),
        suffix=suffix,
    )
    here = [
        installed("openssl", "1:1.1.1k-12.el8", "openssl-libs"),
        installed("zlib", "1.2.11-25.el8"),
        installed("perl", "5.26-1.el8"),  # another stream of a module is not an update
    ]
    assert from_updateinfo(here, [place], web.Client()).found == (
        Fix("openssl-libs", "1:1.1.1k-12.el8", "CVE-2026-0001", "1:1.1.1k-14.el8"),
        Fix("openssl-libs", "1:1.1.1k-12.el8", "CVE-2026-0002", "1:1.1.1k-15.el8"),
    )


# Without ids, the names of the tests would hold the hour that gzip writes.
@pytest.mark.parametrize(
    "content",
    [b"", b"<updates>", gzip.compress(b"<a/>")[:-9], b"\x1f\x8b"],
    ids=["empty", "not packed", "truncated", "too short"],
)
def test_a_damaged_list_of_advisories_is_a_failure(server: servers.Server, content: bytes) -> None:
    place = repository(server)
    server.routes["/os/repodata/abc-updateinfo.xml.gz"] = servers.good(content)
    with pytest.raises(errors.Failure, match=r"updateinfo\.xml\.gz"):
        from_updateinfo([installed("zlib", "1-1")], [place], web.Client())


def test_a_repository_without_advisories_is_a_failure(server: servers.Server) -> None:
    server.routes["/os/repodata/repomd.xml"] = servers.good(b"<repomd/>")
    with pytest.raises(errors.Failure, match="has no advisories"):
        from_updateinfo([installed("zlib", "1-1")], [server.url("/os/")], web.Client())
    with pytest.raises(errors.Failure, match="404"):
        from_updateinfo([installed("zlib", "1-1")], [server.url("/gone/")], web.Client())


# --- Alpine -----------------------------------------------------------------------------------------------------------


def test_alpine_says_which_version_mends_what(server: servers.Server) -> None:
    fixes = {
        "1.3.1-r0": ["CVE-2026-0001", "CVE-2026-0002 GHSA-aaaa-bbbb-cccc"],
        "1.2.12-r2": ["CVE-2022-0001"],
        "0": ["CVE-2026-0009"],
    }
    rows = [
        {"pkg": {"name": "zlib", "secfixes": fixes}},
        {"pkg": {"name": "other", "secfixes": {"9-r0": ["CVE-2026-1"]}}},
    ]
    server.routes["/main.json"] = servers.good(json.dumps({"packages": rows}).encode())
    here = [InstalledPackage("zlib-dev", "1.2.13-r1", "zlib", "1.2.13-r1")]
    assert from_secdb(here, [server.url("/main.json")], web.Client()).found == (
        Fix("zlib", "1.2.13-r1", "CVE-2026-0001", "1.3.1-r0"),
        Fix("zlib", "1.2.13-r1", "CVE-2026-0002", "1.3.1-r0"),
    )
    server.routes["/main.json"] = servers.good(b'{"packages": [{"pkg": 7}]}')
    with pytest.raises(errors.Failure, match=r"main\.json"):
        from_secdb(here, [server.url("/main.json")], web.Client())
