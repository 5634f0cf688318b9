"""Pruning a real registry through the OCI API, cibuildwheel's pins from a git repository, quay's own tag list."""

from __future__ import annotations

import datetime
import json
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import git
import pytest
from tests.integration import registries

import errors
import images
import prune
from publish import Place
from registry import Registry

needs_registry = pytest.mark.skipif(
    not registries.AVAILABLE, reason="needs Debian's docker-registry: apt-get install docker-registry"
)
CATALOGUE = images.load()
IMAGE = "manylinux_2_28_x86_64"


@needs_registry
def test_prune_a_registry(tmp_path: Path) -> None:
    with registries.running(tmp_path) as host:
        where = Place(Registry(host), "pypa")
        for number, tag in enumerate(("2019-01-01-aaaaaaa", "2019-01-02-bbbbbbb", "2026.11.01-1")):
            registries.store_image(host, where.repository(IMAGE), tag, {}, f"{number}".encode())
        kept = where.registry.manifest(where.repository(IMAGE), "2019-01-02-bbbbbbb")
        where.registry.put_manifest(where.repository(IMAGE), "latest", kept)
        tags = prune.list_tags(where, prune.repositories(CATALOGUE))
        assert list(tags) == [IMAGE]
        decisions, warnings = prune.decide(CATALOGUE, tags, [], datetime.date(2026, 11, 21))
        assert warnings == []
        assert prune.delete(where, decisions) == []
        left = prune.list_tags(where, [IMAGE])[IMAGE]
        assert set(left) == {"2019-01-02-bbbbbbb", "2026.11.01-1", "latest"}
        assert prune.delete(where, decisions) == []  # what is gone already is no failure


@needs_registry
def test_a_failing_deletion_does_not_stop_the_rest(tmp_path: Path) -> None:
    with registries.running(tmp_path) as host:
        proxy = registries.FailingProxy(host)
        where = Place(Registry(proxy.host), "pypa")
        for number, tag in enumerate(("2019-01-01-aaaaaaa", "2019-01-02-bbbbbbb")):
            registries.store_image(host, where.repository(IMAGE), tag, {}, f"{number}".encode())
        decisions, _ = prune.decide(CATALOGUE, prune.list_tags(where, [IMAGE]), [], datetime.date(2026, 11, 21))
        proxy.arm(1, took_effect=False)
        failures = prune.delete(where, decisions)
        assert len(failures) == 1
        assert failures[0].startswith(f"{IMAGE}@sha256:")
        assert len(prune.list_tags(where, [IMAGE])[IMAGE]) == 1
        proxy.close()


def cibuildwheel(path: Path, releases: dict[str, str | None]) -> str:
    """A repository with one commit and tag a release; None: without the list of pins."""
    repository = git.Repo.init(path, initial_branch="main")
    with repository.config_writer() as configuration:
        configuration.set_value("user", "name", "Somebody")
        configuration.set_value("user", "email", "somebody@example.org")
    file = path / prune.PINS_FILE
    file.parent.mkdir(parents=True)
    for release, value in releases.items():
        file.unlink(missing_ok=True)
        (path / "version").write_text(release, encoding="utf-8")
        if value is not None:
            file.write_text(f"[x86_64]\nmanylinux_2_28 = {value}\n", encoding="utf-8")
        repository.git.add("--all")
        repository.git.commit("-m", release)
        repository.git.tag(release)
    return f"file://{path}"


def test_pins_of_every_release(tmp_path: Path) -> None:
    digest = "sha256:" + "1" * 64
    url = cibuildwheel(
        tmp_path / "repository",
        {
            "v1.9.0": None,
            "v1.10.0": f"quay.io/pypa/{IMAGE}:2021-01-01-aaaaaaa",
            "v4.0.0rc1": f"quay.io/pypa/{IMAGE}:2026.01.01-1",
            "v4.1.1": f"quay.io/pypa/{IMAGE}@{digest}  # 2026.07.19-1",
            "examples": None,
        },
    )
    found = {pin.cibuildwheel: (pin.tag, pin.digest) for pin in prune.cibuildwheel_pins(url, "1.10.0")}
    assert found == {
        "v1.10.0": ("2021-01-01-aaaaaaa", ""),
        "v4.0.0rc1": ("2026.01.01-1", ""),
        "v4.1.1": ("2026.07.19-1", digest),
    }


@needs_registry
def test_the_command_lists_with_reasons_and_deletes_when_told_to(tmp_path: Path) -> None:
    """As the workflow runs it, with cibuildwheel's pins from a repository and a registry that speaks OCI only."""
    pinned, old = "2019-01-01-aaaaaaa", "2019-01-02-bbbbbbb"
    other = "musllinux_1_2_s390x"
    limit = prune.years_before(datetime.datetime.now(datetime.UTC).date(), 5)
    url = cibuildwheel(tmp_path / "repository", {"v2.0.0": f"quay.io/pypa/{IMAGE}:{pinned}"})
    (tmp_path / "registry").mkdir()
    with registries.running(tmp_path / "registry") as host:
        where = Place(Registry(host), "pypa")
        for name in (IMAGE, other):
            for tag in (pinned, old, "2026.11.01-1"):
                registries.store_image(host, where.repository(name), tag, {}, f"{name} {tag}".encode())

        def run(*options: str) -> subprocess.CompletedProcess[str]:
            command = [
                sys.executable,
                "scripts/prune.py",
                "--registry",
                f"{host}/pypa",
                "--cibuildwheel",
                url,
                *options,
            ]
            return subprocess.run(command, cwd=images.ROOT, capture_output=True, text=True, check=False)

        dry = run("--all", "--json", str(tmp_path / "decisions.json"))
        assert dry.returncode == 0, dry.stderr
        lines = [re.sub(r"sha256:\w+", "DIGEST", line) for line in dry.stdout.splitlines()]
        assert sorted(lines) == sorted(
            line
            for name in (IMAGE, other)
            for line in (
                f"keep {name}:{pinned} DIGEST: pinned by cibuildwheel v2.0.0",
                f"would delete {name}:{old} DIGEST: older than {limit}",
                f"keep {name}:2026.11.01-1 DIGEST: not yet 5 years old",
            )
        )
        assert dry.stderr == "2 of 6 tags go\n"
        assert [row["keep"] for row in json.loads((tmp_path / "decisions.json").read_text())].count(False) == 2
        assert len(prune.list_tags(where, [IMAGE])[IMAGE]) == 3
        done = run("--execute")
        assert done.returncode == 0, done.stderr
        assert done.stdout.count("\ndelete ") + done.stdout.startswith("delete ") == 2
        assert set(prune.list_tags(where, [IMAGE])[IMAGE]) == {pinned, "2026.11.01-1"}


@pytest.mark.parametrize("value", [None, f"quay.io/pypa/{IMAGE}"])
def test_a_release_whose_pins_are_unknown_stops_everything(tmp_path: Path, value: str | None) -> None:
    url = cibuildwheel(tmp_path / "repository", {"v2.0.0": value})
    with pytest.raises(errors.Failure):
        prune.cibuildwheel_pins(url, "1.10.0")


def test_a_repository_without_releases_stops_everything(tmp_path: Path) -> None:
    url = cibuildwheel(tmp_path / "repository", {"other": None})
    with pytest.raises(errors.Failure, match="refusing to prune"):
        prune.cibuildwheel_pins(url, "1.10.0")


@pytest.fixture
def quay() -> Iterator[str]:
    """An API that answers like quay's tag list (GET /api/v1/repository/<name>/tag/), 250 tags in pages of 100."""
    rows = [{"name": f"2020.01.01-{n}", "manifest_digest": f"sha256:{n:064}"} for n in range(250)]

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            match = re.fullmatch(
                r"/api/v1/repository/pypa/known/tag/\?limit=100&page=(\d+)&onlyActiveTags=true", self.path
            )
            start = (int(match[1]) - 1) * 100 if match else 0
            document = {"tags": rows[start : start + 100], "page": 1, "has_additional": start + 100 < len(rows)}
            self.send_response(200 if match else 404)
            self.end_headers()
            self.wfile.write(json.dumps(document).encode())

        def log_message(self, *_: object) -> None:
            """Stays silent."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def test_quay_lists_its_tags_in_pages(quay: str) -> None:
    registry = Registry("quay.io")
    found = prune.quay_tags(registry, "pypa/known", quay)
    assert len(found) == 250
    assert found["2020.01.01-249"] == f"sha256:{249:064}"
    with pytest.raises(errors.Failure, match="does not exist"):
        prune.quay_tags(registry, "pypa/unknown", quay)
