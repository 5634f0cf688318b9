"""What is known of an image as a whole: OSV on loopback with recorded records, excuses, newer images, the report."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest
from tests.support import servers

from catalogue import images
from network import web
from network.answers import Answer
from portable import errors, toml
from watch import advisories, command, osv, vulnerabilities

RECORDS: dict[str, dict[str, Any]] = {
    "BIT-python-2026-1": {
        "id": "BIT-python-2026-1",
        "aliases": ["CVE-2026-1000", "PSF-2026-1"],
        "affected": [{"ranges": [{"type": "SEMVER", "events": [{"introduced": "0"}, {"fixed": "3.13.16"}]}]}],
    },
    "CURL-CVE-2026-2000": {
        "id": "CURL-CVE-2026-2000",
        "aliases": ["CVE-2026-2000"],
        "affected": [{"ranges": [{"type": "GIT", "events": [{"introduced": "0"}, {"fixed": "0123abc"}]}]}],
    },
    "GHSA-pip": {"id": "GHSA-pip", "affected": [{"ranges": [{"type": "ECOSYSTEM", "events": [{"fixed": "99"}]}]}]},
    "GHSA-gone": {"id": "GHSA-gone", "withdrawn": "2026-01-01T00:00:00Z"},
}
KNOWN = {
    ("Bitnami", "python", "3.13.15"): ["BIT-python-2026-1"],
    ("GIT", "https://github.com/curl/curl", "8.21.0"): ["CURL-CVE-2026-2000"],
    ("PyPI", "pip", "26.0"): ["GHSA-pip", "GHSA-gone"],
    ("Ubuntu:20.04:LTS", "zlib", "1:1.2-1"): ["CURL-CVE-2026-2000"],
}
MANIFEST = {
    "schema": 2,
    "image": {"name": "manylinux2014_x86_64", "platform": "x86_64"},
    "build": {"date": 1764000000},
    "interpreters": [
        {
            "name": tag,
            "version": "3.13.15",
            "bundles": [
                {"name": "hacl-star", "version": "1"},
                {"name": "pip", "version": "26.0", "purl": "pkg:pypi/pip@26.0"},
            ],
            "python_packages": [{"name": "pip", "version": "26.0"}],
        }
        for tag in ("cp313-cp313", "cp313-cp313t")
    ],
    "tools": [{"name": "pipx", "version": "1", "python_packages": [{"name": "pip", "version": "27.0"}]}],
    "components": [
        {"name": "curl", "version": "8.21.0", "url": "https://example.org/curl.tar.gz"},
        {"name": "autoconf", "version": "2.73", "url": "https://example.org/autoconf.tar.gz"},
        {"name": "zstd", "version": "1.5.0"},
    ],
    "packages": [
        {"name": "zlib1g", "version": "1:1.2-1", "architecture": "x", "source": "zlib", "source_version": "1:1.2-1"}
    ],
}


def answering(pages: int = 1) -> Callable[[BaseHTTPRequestHandler], None]:
    """As OSV answers a batch; each query's identifiers come one a page where there are several pages."""

    def route(handler: BaseHTTPRequestHandler) -> None:
        results = []
        for query in json.loads(handler.body)["queries"]:  # type: ignore[attr-defined]
            package = query["package"]
            found = KNOWN.get((package["ecosystem"], package["name"], query["version"]), [])
            start = int(query.get("page_token", 0))
            shown = found[start : start + 1] if pages > 1 else found
            more = {"next_page_token": str(start + 1)} if pages > 1 and start + 1 < len(found) else {}
            results.append({"vulns": [{"id": id, "modified": "x"} for id in shown], **more} if shown else {})
        servers.send(handler, 200, json.dumps({"results": results}).encode(), {"Content-Type": "application/json"})

    return route


@pytest.fixture
def service(server: servers.Server) -> servers.Server:
    server.routes["/v1/querybatch"] = answering()
    for name, record in RECORDS.items():
        server.routes[f"/v1/vulns/{name}"] = servers.good(json.dumps(record).encode())
    return server


def table(server: servers.Server, **more: Any) -> advisories.Advisories:
    """The real table with other distributions, and OSV on loopback."""
    raw = toml.read_toml(advisories.ADVISORIES_TOML)
    raw["distributions"] = {"centos-7": {"nobody": "It ended"}, "ubuntu-20.04": {"osv": "Ubuntu:20.04:LTS"}}
    raw["osv"]["url"] = server.url("/v1")
    return advisories.parse({**raw, **more}, "advisories.toml:")


def assessed(
    manifest: dict[str, Any], rules: advisories.Advisories, name: str = "centos-7"
) -> vulnerabilities.Assessment:
    return vulnerabilities.assess(Answer(manifest, "manifest.json"), rules, name, web.Client())


def test_parts_of_ours_are_asked_for_once_a_version(service: servers.Server) -> None:
    found = assessed(MANIFEST, table(service))
    assert [(f.part, f.version, f.id, f.fixed, f.within) for f in found.findings] == [
        ("cpython", "3.13.15", "CVE-2026-1000", ("3.13.16",), ("cp313-cp313", "cp313-cp313t")),
        ("curl", "8.21.0", "CVE-2026-2000", (), ()),
        ("pip", "26.0", "GHSA-pip", ("99",), ("cp313-cp313", "cp313-cp313t")),
    ]
    assert found.findings[0].aliases == ("BIT-python-2026-1", "PSF-2026-1")
    assert found.unread["centos-7"] == "It ended"
    assert set(found.unread) == {"centos-7", "autoconf", "hacl-star"}, "zstd is the distribution's own"
    assert found.silent == ()


def test_a_distribution_that_osv_knows_better(service: servers.Server) -> None:
    found = assessed(MANIFEST, table(service), "ubuntu-20.04")
    assert [(f.part, f.id) for f in found.findings if f.kind == "distribution"] == [("zlib", "CVE-2026-2000")]
    assert "docker/advisories.toml" in assessed(MANIFEST, table(service), "plan9").unread["plan9"]


def test_pages_are_read_to_the_end(service: servers.Server) -> None:
    service.routes["/v1/querybatch"] = answering(pages=2)
    assert [f.id for f in assessed(MANIFEST, table(service)).findings][-1] == "GHSA-pip"
    assert service.asked("/v1/querybatch") == 2
    service.routes["/v1/querybatch"] = servers.good(b'{"results": [{"next_page_token": "again"}]}')
    with pytest.raises(errors.Failure, match="have no end"):
        osv.Osv(service.url("/v1")).known([osv.by_name("PyPI", "pip", "1")])


@pytest.mark.parametrize(
    "route",
    [servers.status(503), servers.good(b"<html>"), servers.good(b'{"results": []}'), servers.good(b'{"results": 7}')],
)
def test_who_does_not_answer_is_named_and_the_rest_is_said(service: servers.Server, route: servers.Route) -> None:
    service.routes["/v1/querybatch"] = route
    found = assessed(MANIFEST, table(service))
    assert found.findings == ()
    assert "/v1/querybatch" in found.silent[0]


def test_what_does_not_apply_is_set_apart(service: servers.Server) -> None:
    excuse = {
        "id": "CVE-2026-2000",
        "part": "curl",
        "why": "vulnerable_code_not_in_execute_path",
        "reason": "git does not use it",
    }
    found = assessed(MANIFEST, table(service, not_affected=[excuse]))
    assert "curl" not in {f.part for f in found.findings}
    document = vulnerabilities.openvex(found, "https://example.org/x", "2026-11-26T00:00:00Z")
    (statement,) = document["statements"]
    assert statement["vulnerability"] == {"name": "CVE-2026-2000"}
    assert statement["products"] == [{"@id": "pkg:generic/curl@8.21.0"}]
    assert (statement["status"], statement["justification"]) == ("not_affected", excuse["why"])


def test_the_first_newer_image_without_it_mends_it(service: servers.Server) -> None:
    rules = table(service)
    found = assessed(MANIFEST, rules)
    same = assessed(MANIFEST, rules)
    bumped = json.loads(json.dumps(MANIFEST))
    for row in bumped["interpreters"]:
        row["version"] = "3.13.16"
    newer = [
        ("2026.11.01-0", same),
        ("2026.11.08-0", assessed(bumped, rules)),
        ("2026.11.15-0", assessed(bumped, rules)),
    ]
    assert [vulnerabilities.mended_by(f, newer) for f in found.findings] == ["2026.11.08-0", "", ""]


# --- The command ------------------------------------------------------------------------------------------------------


@pytest.fixture
def run(service: servers.Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., int]:
    """Runs the command on MANIFEST, with our own services."""
    (tmp_path / "manifest.json").write_text(json.dumps(MANIFEST), encoding="utf-8")
    rules = table(service)
    monkeypatch.setattr(advisories, "load", lambda: rules)

    def run(*words: str) -> int:
        monkeypatch.setattr(sys, "argv", ["vulnerabilities", str(tmp_path / "manifest.json"), *words])
        return command.main()

    return run


def test_the_report_is_markdown_json_or_openvex(
    run: Callable[..., int], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert run() == 0
    text = capsys.readouterr().out
    assert "| cpython | 3.13.15 | cp313-cp313, cp313-cp313t | CVE-2026-1000 | 3.13.16 |" in text
    assert "- centos-7: It ended" in text
    assert run("--json", "--newer", str(tmp_path / "manifest.json"), "--strict") == 1
    (report,) = json.loads(capsys.readouterr().out)["images"]
    assert [row["mended_by"] for row in report["findings"]] == ["", "", ""]
    assert run("--openvex", "--output", str(tmp_path / "vex.json")) == 0
    assert json.loads((tmp_path / "vex.json").read_text())["timestamp"] == "2025-11-24T16:00:00Z"


def test_a_silent_service_ends_with_1(
    run: Callable[..., int], service: servers.Server, capsys: pytest.CaptureFixture[str]
) -> None:
    service.routes["/v1/querybatch"] = servers.status(503)
    assert run() == 1
    found = capsys.readouterr()
    assert "answered 503" in found.err and "## Incomplete" in found.out


def test_several_images_of_a_directory(
    run: Callable[..., int], capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("manylinux2014_x86_64", "manylinux2014_i686"):
        (tmp_path / "all" / name).mkdir(parents=True)
        content = json.dumps({**MANIFEST, "image": {"name": name, "platform": "x86_64"}})
        (tmp_path / "all" / name / "manifest.json").write_text(content, encoding="utf-8")
    monkeypatch.setattr(sys, "argv", ["vulnerabilities", str(tmp_path / "all")])
    assert command.main() == 0
    assert re.findall(r"# Known vulnerabilities of (\S+)", capsys.readouterr().out) == [
        "manylinux2014_i686",
        "manylinux2014_x86_64",
    ]


# --- The table --------------------------------------------------------------------------------------------------------


def test_the_table_has_a_row_for_every_distribution_of_the_images() -> None:
    names = {image.policy.distribution for image in images.load(overlay=images.NO_OVERLAY).all_images}
    assert set(advisories.load().distributions) == names


@pytest.mark.parametrize(
    ("row", "complaint"),
    [
        ({}, "debian-12: it says nothing"),
        ({"suite": "bookworm", "nobody": "x"}, "debian-12: it says suite and nobody"),
        ({"secdb": ["ftp://example.org"]}, "https"),
    ],
)
def test_a_distribution_says_exactly_one_thing(row: dict[str, Any], complaint: str) -> None:
    raw = toml.read_toml(advisories.ADVISORIES_TOML)
    raw["distributions"]["debian-12"] = row
    with pytest.raises(errors.UserError, match=complaint):
        advisories.parse(raw, "advisories.toml:")
