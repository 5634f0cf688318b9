"""The other update sessions, each against servers on loopback that answer in the shape of the real ones."""

from __future__ import annotations

import hashlib
import json
import re
import tomllib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tests.support import servers, upstreams
from tests.support.repositories import git
from tests.support.upstreams import ROOT, days_ago, serve_repository, sha256

from catalogue import dependencies
from network import bundles, oci, web
from update import bases as update_base_images
from update import interpreters as update_interpreters_download
from update import links, native, sightings, signatures, static_clang


class Place:
    """A repository of ours with the tables as they are, and a server that plays every host."""

    def __init__(self, directory: Path, server: servers.Server, capfd: pytest.CaptureFixture[str]) -> None:
        self.server, self._capfd = server, capfd
        self.repository = directory / "ours"
        docker = self.repository / "docker"
        docker.mkdir(parents=True)
        for name in (
            "Dockerfile",
            "dependencies.toml",
            "downloads.toml",
            "mirrors.txt",
            "bases.toml",
            "unconfirmed.toml",
        ):
            text = (ROOT / "docker" / name).read_text(encoding="utf-8")
            # Who signed is the same wherever the file comes from.
            text = re.sub(r'(?<!identity = ")(?<!issuer = ")https://', server.url("/"), text)
            (docker / name).write_text(text, encoding="utf-8")
        git(self.repository, "init", "--quiet")
        git(self.repository, "config", "user.name", "Tester")
        git(self.repository, "config", "user.email", "tester@example.org")
        self.commit("Start")

    def commit(self, message: str) -> None:
        git(self.repository, "add", ".")
        git(self.repository, "commit", "--quiet", "--message", message)

    def route(self, url: str, body: bytes, headers: dict[str, str] | None = None) -> str:
        """Serves what stands at an https URL; returns the URL under which it is served."""
        path = url.replace("https://", "/")
        self.server.routes[path] = servers.status(200, headers, body)
        return self.server.url(path)

    def run(self, module: Any, *arguments: str) -> tuple[int, dict[str, Any]]:
        status = module.main(["--json", *arguments], self.repository)
        report = json.loads(self._capfd.readouterr().out)
        return status, report

    def table(self, name: str) -> dict[str, Any]:
        return tomllib.loads((self.repository / "docker" / name).read_text(encoding="utf-8"))

    def log(self) -> list[str]:
        return git(self.repository, "log", "--format=%s", "--reverse").splitlines()[1:]


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Iterator[Place]:
    monkeypatch.setenv(sightings.SEEN_VARIABLE, str(tmp_path / "seen.json"))
    monkeypatch.delenv("GITHUB_STEP_SUMMARY", raising=False)
    monkeypatch.setattr(web, "LIMITS", replace(web.LIMITS, stall=2))
    with servers.running() as server:
        yield Place(tmp_path, server, capfd)


# --- PyPy and GraalPy


def tarball(name: str, version: str) -> bytes:
    """An archive of that name as these projects make it: the folder is the name."""
    return upstreams.tarball(name, version, folder=name.partition(".tar.")[0])


def pypy(
    place: Place, version: str, python: str = "3.11.13", *, stable: bool = True, ending: str = "tar.gz"
) -> dict[str, Any]:
    """An entry of downloads.python.org/pypy/versions.json, its files, and their lines on pypy.org/checksums.html."""
    files = []
    for arch, platform in (("x64", "linux"), ("aarch64", "linux"), ("i686", "linux"), ("arm64", "darwin")):
        name = f"pypy{python[:4]}-v{version}-{arch}-{platform}.{ending}"
        url = place.route(f"https://downloads.python.org/pypy/{name}", tarball(name, version))
        files.append({"filename": name, "arch": arch, "platform": platform, "download_url": url})
    return {
        "pypy_version": version,
        "python_version": python,
        "stable": stable,
        "latest_pypy": True,
        "date": "2026-09-01",
        "files": files,
    }


def checksums(entries: list[dict[str, Any]]) -> bytes:
    lines = [
        f"    {sha256(tarball(file['filename'], entry['pypy_version']))}  {file['filename']}"
        for entry in entries
        for file in entry["files"]
    ]
    return "\n".join(["Checksums", "=========", "", *lines]).encode()


@pytest.fixture
def interpreters(place: Place, monkeypatch: pytest.MonkeyPatch) -> Place:
    for name in ("PYPY_VERSIONS", "PYPY_CHECKSUMS", "GRAALPY_RELEASES"):
        url = getattr(update_interpreters_download, name)
        monkeypatch.setattr(update_interpreters_download, name, url.replace("https://", place.server.url("/")))
    place.route("https://api.github.com/repos/oracle/graalpython/releases?per_page=100", b"[]")
    return place


def publish_pypy(place: Place, entries: list[dict[str, Any]], sums: bytes | None = None) -> None:
    place.route("https://downloads.python.org/pypy/versions.json", json.dumps(entries).encode())
    url = "https://raw.githubusercontent.com/pypy/pypy.org/main/pages/checksums.rst"
    place.route(url, checksums(entries) if sums is None else sums)


def test_pypy_moves_within_its_abi(interpreters: Place) -> None:
    entries = [
        pypy(interpreters, "7.3.24"),
        pypy(interpreters, "7.3.25", stable=False),
        pypy(interpreters, "8.0.1"),
        pypy(interpreters, "8.0.1", python="3.12.9"),
        pypy(interpreters, "nightly"),
    ]
    publish_pypy(interpreters, entries)
    status, report = interpreters.run(update_interpreters_download)
    rows = {row["name"]: row for row in report["rows"]}
    assert (status, rows["pp311-pypy311_pp73"]["acceptable"]) == (0, "7.3.24")
    entry = interpreters.table("downloads.toml")["interpreters"]["pp311-pypy311_pp73"]
    assert entry["version"] == "7.3.24"
    assert set(entry) == {"version", "x86_64", "aarch64", "i686"}
    assert entry["i686"]["url"].endswith("pypy3.11-v7.3.24-i686-linux.tar.gz")
    assert entry["i686"]["sha256"] == sha256(tarball("pypy3.11-v7.3.24-i686-linux.tar.gz", "7.3.24"))
    assert interpreters.log() == ["Bump pp311-pypy311_pp73 7.3.23 → 7.3.24"]
    _, report = interpreters.run(update_interpreters_download)
    rows = {row["name"]: row for row in report["rows"]}
    assert rows["pp311-pypy311_pp73"]["state"] == "new series"
    assert rows["pp311-pypy311_pp73"]["reason"] == "there is also 8.0 (Python 3.11), 8.0 (Python 3.12)"
    assert report["commits"] == []
    _, report = interpreters.run(update_interpreters_download)
    assert {row["state"] for row in report["rows"] if row["name"].startswith("pp311")} == {"current"}, "said once"


def test_pypy_needs_its_checksum_and_every_platform(interpreters: Place) -> None:
    lacking, unlisted, wrong = (pypy(interpreters, version) for version in ("7.3.26", "7.3.25", "7.3.24"))
    del lacking["files"][1]
    sums = checksums([wrong]).replace(
        sha256(tarball("pypy3.11-v7.3.24-x64-linux.tar.gz", "7.3.24")).encode(), b"0" * 64
    )
    publish_pypy(interpreters, [lacking, unlisted, wrong], sums)
    status, report = interpreters.run(update_interpreters_download)
    row = next(row for row in report["rows"] if row["name"] == "pp311-pypy311_pp73")
    assert (status, row["state"], interpreters.log()) == (1, "failed", [])
    assert row["passed_over"][0] == "7.3.26: there is no archive for aarch64"
    assert "does not list pypy3.11-v7.3.25-x64-linux.tar.gz" in row["passed_over"][1]
    assert "7.3.24 is refused" in row["alarms"][0]


def test_a_checksum_does_not_say_what_is_inside(interpreters: Place) -> None:
    """Another version under a new name, with a published checksum of just that file."""
    entry = pypy(interpreters, "7.3.24")
    url = entry["files"][0]["download_url"]
    content = tarball("pypy3.11-v7.3.22-x64-linux.tar.gz", "7.3.22")
    interpreters.server.routes[url.removeprefix(interpreters.server.url(""))] = servers.good(content)
    sums = checksums([entry]).replace(
        sha256(tarball(entry["files"][0]["filename"], "7.3.24")).encode(), sha256(content).encode()
    )
    publish_pypy(interpreters, [entry], sums)
    status, report = interpreters.run(update_interpreters_download)
    row = next(row for row in report["rows"] if row["name"] == "pp311-pypy311_pp73")
    assert (status, row["state"], interpreters.log()) == (1, "failed", [])
    assert "is not what its name says: it holds 'pypy3.11-v7.3.22-x64-linux'" in row["alarms"][0]


def test_a_newer_interpreter_that_could_not_be_asked_for_is_not_hidden(interpreters: Place) -> None:
    newest, older = pypy(interpreters, "7.3.25"), pypy(interpreters, "7.3.24")
    publish_pypy(interpreters, [newest, older])
    path = newest["files"][0]["download_url"].removeprefix(interpreters.server.url(""))
    interpreters.server.routes[path] = servers.status(500)
    status, report = interpreters.run(update_interpreters_download)
    row = next(row for row in report["rows"] if row["name"] == "pp311-pypy311_pp73")
    assert (status, row["state"], row["acceptable"], row["unreachable"]) == (1, "update", "7.3.24", True)


@pytest.mark.parametrize(
    "text", [b"null", b"1", b"[1]", b"[[]]", b'{"a": 1}', b'[{"stable": true, "pypy_version": "7.3.99"}]']
)
def test_a_document_of_another_shape_is_a_failure_and_no_traceback(
    interpreters: Place, text: bytes, capfd: pytest.CaptureFixture[str]
) -> None:
    for url in (
        "https://downloads.python.org/pypy/versions.json",
        "https://api.github.com/repos/oracle/graalpython/releases?per_page=100",
    ):
        interpreters.route(url, text)
    status, report = interpreters.run(update_interpreters_download)
    assert status == 1
    assert "internal error" not in str(report)
    states = {row["name"][:2]: row["state"] for row in report["rows"]}
    assert states["pp"] == "failed"


def graalpy(place: Place, tag: str, version: str, prefix: str = "graalpy", **facts: Any) -> dict[str, Any]:
    """A release of github.com/oracle/graalpython as GitHub's API has it, with the assets and their .sha256 files."""
    assets = []
    for arch in ("amd64", "aarch64"):
        name = f"{prefix}-{version}-linux-{arch}.tar.gz"
        url = f"https://github.com/oracle/graalpython/releases/download/{tag}/{name}"
        content = tarball(name, version)
        place.route(f"{url}.sha256", f"{sha256(content)}  {name}\n".encode())
        assets.append({"name": name, "browser_download_url": place.route(url, content)})
    assets.append({"name": f"graalpy-jvm-{version}-linux-amd64.tar.gz", "browser_download_url": "https://example.org/"})
    return {
        "tag_name": tag,
        "published_at": "2026-09-01T08:00:00Z",
        "draft": False,
        "prerelease": False,
        "assets": assets,
    } | facts


def test_graalpy_takes_the_version_from_the_asset(interpreters: Place) -> None:
    """The tag graal-25.3.4.1 became graal-25.3.4 while its assets kept 25.3.4.1; from 25.1 on names say the Python."""
    publish_pypy(interpreters, [pypy(interpreters, "7.3.23")])
    releases = [
        graalpy(interpreters, "graal-25.0.4", "25.0.4.1"),
        graalpy(interpreters, "graal-25.0.5", "25.0.5", prerelease=True),
        graalpy(interpreters, "graal-25.1.0", "25.1.0", "graalpy3.12"),
        {"tag_name": "vm-25.0.9", "assets": []},
    ]
    url = "https://api.github.com/repos/oracle/graalpython/releases?per_page=100"
    interpreters.route(url, json.dumps(releases).encode())
    status, report = interpreters.run(update_interpreters_download)
    rows = {row["name"]: row for row in report["rows"]}
    assert (status, rows["graalpy312-graalpy250_312_native"]["acceptable"]) == (0, "25.0.4.1")
    entry = interpreters.table("downloads.toml")["interpreters"]["graalpy312-graalpy250_312_native"]
    assert entry["x86_64"]["url"].endswith("/graal-25.0.4/graalpy-25.0.4.1-linux-amd64.tar.gz")
    assert rows["graalpy311-graalpy242_311_native"]["reason"] == "there is also 25.1"
    text = (interpreters.repository / "docker" / "downloads.toml").read_text()
    assert text.splitlines()[0] == (ROOT / "docker" / "downloads.toml").read_text().splitlines()[0]


def test_pypy_and_graalpy_move_in_one_commit(interpreters: Place) -> None:
    publish_pypy(interpreters, [pypy(interpreters, "7.3.24")])
    releases = [graalpy(interpreters, "graal-25.0.4", "25.0.4.1")]
    interpreters.route(
        "https://api.github.com/repos/oracle/graalpython/releases?per_page=100", json.dumps(releases).encode()
    )
    status, report = interpreters.run(update_interpreters_download)
    assert (status, report["commits"], interpreters.log()) == (0, *[["Bump prebuilt interpreters"]] * 2)
    body = git(interpreters.repository, "log", "-1", "--format=%b")
    assert "Bump pp311-pypy311_pp73 7.3.23 → 7.3.24\n" in body
    assert "Bump graalpy312-graalpy250_312_native 25.0.3 → 25.0.4.1\n" in body
    table = interpreters.table("downloads.toml")["interpreters"]
    assert table["pp311-pypy311_pp73"]["version"] == "7.3.24"
    assert table["graalpy312-graalpy250_312_native"]["version"] == "25.0.4.1"


# --- Static clang


def test_static_clang_grows_on_top(place: Place, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    upstream = tmp_path / "static-clang-images"
    upstream.mkdir()
    git(upstream, "init", "--quiet")
    git(upstream, "commit", "--quiet", "--allow-empty", "--message", "x")
    for tag in ("v22.1.8.1", "v22.1.9.0", "v23.1.0.0", "v23.1.1.0", "v23.1.2.0", "v23.2.0.0-rc1"):
        git(upstream, "tag", tag)
    table = place.repository / "docker" / "dependencies.toml"
    text = table.read_text()
    text = text.replace(
        place.server.url('/github.com/mayeut/static-clang-images"'),
        serve_repository(place.server, "static-clang", upstream) + '"',
    )
    table.write_text(text.replace("ghcr.io/", f"127.0.0.1:{place.server.port}/"))
    place.commit("Use the server")
    for version in ("22.1.9.0", "23.1.0.0", "23.1.1.0", "23.1.2.0"):
        base = f"https://github.com/mayeut/static-clang-images/releases/download/v{version}"
        place.route(f"{base}/sha256sums.txt", version.encode(), days_ago(1 if version == "23.1.1.0" else 9))
        place.route(f"{base}/attestation-bundle.json", b"{}")
        place.server.routes[f"/v2/mayeut/static-clang/manifests/{version}"] = servers.good(
            json.dumps(INDEX).encode(), content_type=oci.INDEX_TYPES[0]
        )
    silent = "/github.com/mayeut/static-clang-images/releases/download/v23.1.2.0/sha256sums.txt"
    place.server.routes[silent] = servers.status(500)
    asked: list[tuple[str, str]] = []

    def attested(bundle: bytes, algorithm: str, digest: str, identity: str, issuer: str) -> str:
        asked.append((digest, identity))
        return identity

    monkeypatch.setattr(bundles, "sigstore_attestation", attested)
    status, report = place.run(static_clang)
    row = report["rows"][0]
    assert (row["newest"], row["acceptable"], row["state"]) == ("23.1.2.0", "23.1.0.0", "update")
    assert (status, row["unreachable"]) == (1, True), "one could not be asked for"
    assert row["passed_over"][1:] == ["23.1.1.0: published 1 days ago, to be taken after 7"]
    known = place.table("downloads.toml")["static_clang"]
    assert list(known)[:3] == ["v23.1.0.0", "v22.1.9.0", "v22.1.8.1"]
    assert known["v23.1.0.0"] == sha256(b"23.1.0.0")
    assert asked[0][1].endswith("static-clang-images/.github/workflows/ci.yml@refs/tags/v23.1.0.0")
    assert place.log()[1:] == ["Bump static clang on demand 22.1.8.1 → 23.1.0.0"]


# --- Base images


INDEX = {"schemaVersion": 2, "mediaType": oci.INDEX_TYPES[0], "manifests": []}


def test_base_images_are_pinned_to_what_their_tags_mean(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """The token flow of the OCI distribution specification: 401 with WWW-Authenticate, a token, the manifest."""
    references = [
        f"127.0.0.1:{place.server.port}/library/debian:12",
        f"127.0.0.1:{place.server.port}/library/alpine:3.22",
    ]
    monkeypatch.setattr(update_base_images, "references", lambda: references)
    index = json.dumps(INDEX).encode()

    def manifest(handler: Any) -> None:
        if handler.headers.get("Authorization") == "Bearer good":
            servers.status(200, {"Content-Type": oci.INDEX_TYPES[0]}, index)(handler)
        else:
            realm = f'Bearer realm="{place.server.url("/token")}",service="registry"'
            servers.status(401, {"WWW-Authenticate": realm})(handler)

    place.server.routes["/v2/library/debian/manifests/12"] = manifest
    scope = "service=registry&scope=repository%3Alibrary%2Fdebian%3Apull"
    place.server.routes[f"/token?{scope}"] = servers.good(b'{"token": "good"}')
    status, report = place.run(update_base_images)
    rows = {row["name"]: row for row in report["rows"]}
    assert (status, rows[references[0]]["state"], rows[references[1]]["state"]) == (1, "update", "failed")
    digest = "sha256:" + hashlib.sha256(index).hexdigest()
    assert place.table("bases.toml") == {references[0]: digest}
    assert place.log() == [f"Bump {references[0]} unpinned → {digest[7:19]}"]
    _, report = place.run(update_base_images)
    assert report["rows"][0]["state"] == "current"


def test_the_files_of_the_bot_are_as_the_bot_writes_them() -> None:
    bases = (ROOT / "docker" / "bases.toml").read_text(encoding="utf-8")
    assert update_base_images.write(tomllib.loads(bases)) == bases
    unconfirmed = (ROOT / "docker" / "unconfirmed.toml").read_text(encoding="utf-8")
    assert unconfirmed.startswith(native.UNCONFIRMED_HEAD)


def test_every_base_of_the_table_is_asked_for() -> None:
    references = update_base_images.references()
    assert "docker.io/library/debian:12" in references
    assert len(references) == len(set(references))


# --- Links


def test_every_link_is_asked_for(place: Place) -> None:
    found = {url for _, _, url in links.links(place.repository)}
    for url in found:
        place.server.routes[re.sub(r"http://127\.0\.0\.1:\d+", "", url)] = servers.good(b"x")
    status, report = place.run(links)
    assert (status, {row["state"] for row in report["rows"]}) == (0, {"current"})
    assert {method for method, *_ in place.server.requests} == {"HEAD"}
    hosts = {url.split("/")[3] for url in found}
    assert {"www.python.org", "downloads.python.org", "github.com", "curl.se", "ftp.gnu.org", "www.sqlite.org"} <= hosts


def test_a_dead_link_is_named(place: Place) -> None:
    found = sorted({url for _, _, url in links.links(place.repository)})
    for url in found[1:]:
        place.server.routes[re.sub(r"http://127\.0\.0\.1:\d+", "", url)] = servers.good(b"x")
    status, report = place.run(links)
    assert status == 1
    assert [row["name"] for row in report["rows"] if row["state"] != "current"] == [found[0]]


# --- What they share


def test_the_stored_keys_are_those_of_their_names() -> None:
    paths = sorted((ROOT / "docker" / "keys").glob("*.asc"))
    assert paths
    wanted = {signer for row in dependencies.load().values() if row.openpgp for signer in row.openpgp.signers}
    for path in paths:
        assert path.stem in wanted
        assert signatures.certificate(path.read_bytes(), path.stem)
