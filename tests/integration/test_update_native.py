"""Whole runs of update_native_dependencies against real git repositories, HTTP servers and keys, all on loopback."""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pysequoia
import pytest
from tests.support import debian_mirrors, servers, sigstore_bundles
from tests.support.repositories import git
from tests.support.upstreams import World, days_ago, entry, packaging, serve_repository, sha256, tarball

from catalogue import pins
from debian.archive import KEYRING_VARIABLE
from host.apt import MIRROR_VARIABLE
from network import web
from portable import errors
from update import native, sightings

Run = Callable[..., "Result"]


class Result:
    """The exit status and the report of a run."""

    def __init__(self, status: int, output: str) -> None:
        self.status = status
        self.report: dict[str, Any] = json.loads(output)
        self.rows = {row["name"]: row for row in self.report["rows"]}


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with servers.running() as server:
        yield World(tmp_path, server)


@pytest.fixture(autouse=True)
def closed_network(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No Debian mirror but the test's, no state of this user, short waits."""
    monkeypatch.setenv(MIRROR_VARIABLE, f"http://127.0.0.1:{servers.closed_port()}/debian")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv(sightings.SEEN_VARIABLE, str(tmp_path / "seen.json"))
    monkeypatch.delenv("GITHUB_STEP_SUMMARY", raising=False)
    monkeypatch.setattr(web, "LIMITS", replace(web.LIMITS, stall=2, retry_after=1))


@pytest.fixture
def run(world: World, capfd: pytest.CaptureFixture[str]) -> Run:
    def run(*arguments: str) -> Result:
        status = native.main(["--json", *arguments], world.repository)
        return Result(status, capfd.readouterr().out)

    return run


def pinned(world: World, name: str) -> pins.Pin:
    return pins.read(world.repository / "docker" / "Dockerfile")[name]


def log(world: World) -> list[str]:
    return git(world.repository, "log", "--format=%s", "--reverse").splitlines()[1:]


def test_the_newest_good_release_is_committed(world: World, run: Run) -> None:
    project = world.project("alpha", "1.0.0", "1.1.0", "1.2.0")
    for odd in ("1.3.0-rc1", "1.3.0-kernel", "nightly"):
        project.tag(odd)
    world.commit(pins={"alpha": "1.0.0"})
    dry = run("--dry-run")
    assert dry.rows["alpha"]["state"] == "update"
    assert (log(world), dry.report["commits"]) == ([], [])
    result = run()
    assert result.status == 0
    assert dry.report["changes"] == [{**change, "committed": False} for change in result.report["changes"]]
    (change,) = result.report["changes"]
    message = git(world.repository, "log", "-1", "--format=%B")
    assert f"{change['subject']}\n\n{change['body']}" == message
    row = result.rows["alpha"]
    assert (row["newest"], row["acceptable"], row["age_days"], row["state"]) == ("1.2.0", "1.2.0", 30, "update")
    assert pinned(world, "alpha").sha256 == sha256(tarball("alpha", "1.2.0"))
    assert log(world) == ["Bump alpha 1.0.0 → 1.2.0"] == result.report["commits"]
    body = git(world.repository, "log", "-1", "--format=%b")
    for line in (
        "Changelog: https://example.org/alpha/1.2.0",
        "Compare: https://example.org/alpha/1.0.0...1.2.0",
        f"Tarball: {world.server.url('/alpha/alpha-1.2.0.tar.gz')}",
        f"sha256: {sha256(tarball('alpha', '1.2.0'))}",
        f"Trust: openpgp {project.fingerprint}",
        "Age: 30 days",
    ):
        assert line in body
    assert git(world.repository, "show", "--stat", "--format=").splitlines()[-1].startswith(" 1 file changed, 2 insert")
    again = run()
    assert (again.status, again.rows["alpha"]["state"], log(world)) == (0, "current", ["Bump alpha 1.0.0 → 1.2.0"])
    assert git(world.repository, "status", "--porcelain") == ""


def test_a_young_release_waits_and_the_older_one_is_taken(world: World, run: Run) -> None:
    project = world.project("alpha", "1.0.0", "1.1.0")
    project.release("1.2.0", days=2)
    world.commit(pins={"alpha": "1.0.0"})
    row = run("--dry-run").rows["alpha"]
    assert (row["newest"], row["acceptable"], row["state"]) == ("1.2.0", "1.1.0", "update")
    assert row["passed_over"] == ["1.2.0: published 2 days ago, to be taken after 7"]
    assert run("--dry-run", "--no-cooldown", "alpha").rows["alpha"]["acceptable"] == "1.2.0"


@pytest.mark.parametrize(("days", "state"), [(6, "pending"), (7, "update")])
def test_a_young_release_alone_is_pending(world: World, run: Run, days: int, state: str) -> None:
    world.project("alpha", "1.0.0").release("1.1.0", days=days)
    world.commit(pins={"alpha": "1.0.0"})
    result = run()
    assert (result.status, result.rows["alpha"]["state"], len(log(world))) == (0, state, state == "update")


def test_what_nothing_dates_is_as_old_as_our_own_sighting(world: World, run: Run, tmp_path: Path) -> None:
    world.project("alpha", "1.0.0").release("1.1.0", days=None)
    world.commit(pins={"alpha": "1.0.0"})
    row = run("--dry-run").rows["alpha"]
    assert row["state"] == "pending"
    assert "nothing dates it, first seen 0 days ago" in row["passed_over"][0]
    seen = tmp_path / "seen.json"
    first = json.loads(seen.read_text())
    run("--dry-run")
    assert json.loads(seen.read_text()) == first
    first["alpha"]["1.1.0"] = (datetime.now(UTC) - timedelta(days=8)).isoformat()
    seen.write_text(json.dumps(first))
    assert run("--dry-run").rows["alpha"]["state"] == "update"


@pytest.mark.parametrize(
    ("route", "reason"),
    [
        (servers.status(404), "answers 404"),
        (servers.html(), "an HTML page"),
        (servers.good(b""), "only 0 bytes"),
        (servers.good(b"\x1f\x8b" + b"x" * 100), "only 102 bytes"),
        (servers.redirecting("/alpha/alpha-1.2.0.tar.gz"), "redirects more than 5 times"),
        (servers.status(500), "answers 500"),
        (servers.status(429, {"Retry-After": "86400"}), "answers 429"),
        (servers.truncated(tarball("alpha", "1.2.0"), 9000), "ended after 9000"),
    ],
)
def test_what_is_no_tarball_is_passed_over(world: World, run: Run, route: servers.Route, reason: str) -> None:
    project = world.project("alpha", "1.0.0", "1.1.0", "1.2.0")
    world.server.routes[project.path("1.2.0")] = route
    world.commit(pins={"alpha": "1.0.0"})
    row = run("--dry-run", "--no-cooldown", "alpha").rows["alpha"]
    assert row["acceptable"] == "1.1.0"
    assert reason in row["passed_over"][0]


def test_a_newer_release_that_could_not_be_asked_for_is_not_hidden(world: World, run: Run) -> None:
    project = world.project("alpha", "1.0.0", "1.1.0", "1.2.0")
    world.server.routes[project.path("1.2.0")] = servers.status(500)
    world.commit(pins={"alpha": "1.0.0"})
    row = run("--dry-run", "--allow-unreachable").rows["alpha"]
    assert (row["state"], row["acceptable"], row["unreachable"]) == ("update", "1.1.0", True)
    assert run().status == 1
    assert log(world) == ["Bump alpha 1.0.0 → 1.1.0"]


def test_a_slow_drip_is_given_up(world: World, run: Run) -> None:
    project = world.project("alpha", "1.0.0", "1.2.0")
    drip = servers.dripping(tarball("alpha", "1.2.0"), 50, 0.2)

    def route(handler: Any) -> None:
        (servers.status(200, days_ago(30)) if handler.command == "HEAD" else drip)(handler)

    world.server.routes[project.path("1.2.0")] = route
    world.project("beta", "1.0.0", "1.1.0")
    world.commit(pins={"alpha": "1.0.0", "beta": "1.0.0"})
    rows = run("--dry-run").rows
    assert "slower than" in rows["alpha"]["passed_over"][0]
    assert rows["beta"]["state"] == "update"


def test_a_bad_signature_is_an_alarm(world: World, run: Run) -> None:
    project = world.project("alpha", "1.0.0")
    project.release("1.1.0", by=pysequoia.Tsk.generate("Stranger <stranger@example.org>"))
    world.commit(pins={"alpha": "1.0.0"})
    result = run("--allow-unreachable")
    assert (result.status, result.rows["alpha"]["state"], log(world)) == (1, "failed", [])
    assert "1.1.0 is refused: OpenPGP" in result.rows["alpha"]["alarms"][0]


def test_the_good_release_behind_a_bad_one_is_taken_with_the_alarm(world: World, run: Run) -> None:
    project = world.project("alpha", "1.0.0", "1.1.0")
    project.release("1.2.0", by=pysequoia.Tsk.generate("Stranger <stranger@example.org>"))
    world.commit(pins={"alpha": "1.0.0"})
    result = run()
    assert (result.status, log(world)) == (1, ["Bump alpha 1.0.0 → 1.1.0"])
    assert result.rows["alpha"]["alarms"]


@pytest.mark.parametrize(
    ("content", "found"),
    [
        (tarball("alpha", "1.0.0"), "'alpha-1.0.0', not the folder alpha-1.1.0"),
        (tarball("beta", "1.1.0"), "'beta-1.1.0', not the folder alpha-1.1.0"),
    ],
)
def test_a_genuine_signature_of_another_release(world: World, run: Run, content: bytes, found: str) -> None:
    """Somebody who can replace files, but not sign: an older version, or another project of the same maintainer."""
    project = world.project("alpha", "1.0.0", "1.1.0")
    project.serve("1.1.0", content)
    world.commit(pins={"alpha": "1.0.0"})
    result = run("--allow-unreachable")
    assert (result.status, result.rows["alpha"]["state"], log(world)) == (1, "failed", [])
    assert found in result.rows["alpha"]["alarms"][0]


def test_a_genuine_bundle_of_another_file(world: World, run: Run) -> None:
    """What sigstore signed is another file than the one that the URL has."""
    project = world.project("alpha", "1.0.0", "1.1.0")
    world.server.routes[project.path("1.1.0") + ".sigstore"] = servers.good(sigstore_bundles.FILE_BUNDLE)
    signed = f'identity = "{sigstore_bundles.FILE_IDENTITY}", issuer = "{sigstore_bundles.ISSUER}"'
    row = project.row.replace('["openpgp"]', '["sigstore"]')
    world.rows["alpha"] = row + f'sigstore = {{ url = "{{url}}.sigstore", {signed} }}\n'
    world.commit(pins={"alpha": "1.0.0"})
    result = run("--allow-unreachable")
    assert (result.status, result.rows["alpha"]["state"], log(world)) == (1, "failed", [])
    assert "sigstore: " in result.rows["alpha"]["alarms"][0]


@pytest.mark.parametrize("route", [servers.status(404), servers.html()])
def test_an_absent_signature_is_no_reason_for_less_trust(world: World, run: Run, route: servers.Route) -> None:
    project = world.project("alpha", "1.0.0", "1.1.0")
    world.server.routes[project.path("1.1.0") + ".asc"] = route
    world.rows["alpha"] = project.row.replace('["openpgp"]', '["openpgp", "checksum"]') + (
        f'checksum = {{ url = "{world.server.url("/sums")}", pattern = "([0-9a-f]{{64}})" }}\n'
    )
    world.server.routes["/sums"] = servers.good(sha256(tarball("alpha", "1.1.0")).encode())
    world.commit(pins={"alpha": "1.0.0"})
    result = run()
    assert (result.status, result.rows["alpha"]["state"], log(world)) == (1, "failed", [])


def test_a_published_checksum(world: World, run: Run) -> None:
    project = world.project("alpha", "1.0.0", "1.1.0", "1.2.0")
    world.rows["alpha"] = re.sub(r"openpgp = .*\n", "", project.row).replace('"openpgp"', '"checksum"') + (
        f'checksum = {{ url = "{world.server.url("/sums")}", pattern = "([0-9a-f]{{64}})  {{file}}" }}\n'
    )
    world.commit(pins={"alpha": "1.0.0"})
    lines = f"{sha256(tarball('alpha', '1.1.0'))}  alpha-1.1.0.tar.gz\n"
    world.server.routes["/sums"] = servers.good(lines.encode())
    row = run("--dry-run").rows["alpha"]
    assert (row["acceptable"], row["trust"]) == ("1.1.0", "checksum")
    assert "has no checksum for it yet" in row["passed_over"][0]
    world.server.routes["/sums"] = servers.good((lines + f"{'0' * 64}  alpha-1.2.0.tar.gz\n").encode())
    result = run("--dry-run")
    assert (result.status, result.rows["alpha"]["acceptable"]) == (1, "1.1.0")
    assert "another sha256" in result.rows["alpha"]["alarms"][0]


def test_two_places_must_agree(world: World, run: Run) -> None:
    project = world.project("alpha", "1.0.0", "1.1.0", "1.2.0")
    world.rows["alpha"] = re.sub(r"openpgp = .*\n", "", project.row).replace('"openpgp"', '"two-places"') + (
        f'second = "{world.server.url("/copy")}/alpha-{{version}}.tar.gz"\n'
    )
    world.commit(pins={"alpha": "1.0.0"})
    world.server.routes["/copy/alpha-1.1.0.tar.gz"] = servers.good(tarball("alpha", "1.1.0"))
    row = run("--dry-run").rows["alpha"]
    assert (row["acceptable"], row["trust"]) == ("1.1.0", "two-places")
    assert "no second place has it" in row["passed_over"][0]
    world.server.routes["/copy/alpha-1.2.0.tar.gz"] = servers.good(tarball("alpha", "another"))
    assert "has another file" in run("--dry-run").rows["alpha"]["alarms"][0]


def test_a_clear_signed_list_and_a_file_for_each_architecture(world: World, run: Run) -> None:
    """As git-lfs publishes: binaries, and sha256sums.asc beside them."""
    project = world.project("alpha", "1.0.0")
    project.tag("1.1.0")
    arches = ("amd64", "arm64")
    names = {arch: f"alpha-{arch}-1.1.0.tar.gz" for arch in arches}
    contents = {arch: tarball(name, "1.1.0", folder="alpha-1.1.0") for arch, name in names.items()}
    text = "".join(f"{sha256(contents[arch])} *{name}\n" for arch, name in names.items())
    signed = pysequoia.sign(project.key.signer(), text.encode(), mode=pysequoia.SignatureMode.CLEAR)
    world.server.routes["/alpha/1.1.0/sums.asc"] = servers.good(bytes(signed))
    for arch, name in names.items():
        world.server.routes[f"/alpha/{name}"] = servers.status(200, days_ago(9), contents[arch])
    url = world.server.url("/alpha/alpha-{goarch}-")
    world.rows["alpha"] = re.sub(r"url = .*\.tar\.gz\"", f'url = "{url}{{version}}.tar.gz"', project.row).replace(
        '"{url}.asc"', f'"{world.server.url("/alpha")}/{{version}}/sums.asc", sums = true'
    )
    repository = world.commit(pins={"alpha": "1.0.0"})
    dockerfile = repository / "docker" / "Dockerfile"
    old = " ".join(f"{arch}:{'0' * 64}" for arch in arches)
    text = re.sub(r"SHA256=.*", f'SHA256="{old}"', dockerfile.read_text())
    dockerfile.write_text(re.sub(r"URL=.*", f"URL={url}${{ALPHA_VERSION}}.tar.gz", text))
    git(repository, "commit", "--quiet", "--all", "--message", "One file for each architecture")
    late = world.server.routes.pop(f"/alpha/{names['arm64']}")
    row = run("--dry-run").rows["alpha"]
    assert (row["state"], row["passed_over"]) == (
        "pending",
        [f"1.1.0: {url}1.1.0.tar.gz: it answers 404: there is no such file".replace("{goarch}", "arm64")],
    )
    world.server.routes[f"/alpha/{names['arm64']}"] = servers.status(200, days_ago(1), contents["arm64"])
    assert run("--dry-run").rows["alpha"]["passed_over"] == ["1.1.0: published 1 days ago, to be taken after 7"]
    world.server.routes[f"/alpha/{names['arm64']}"] = servers.status(200, days_ago(9), contents["amd64"])
    result = run("--dry-run")
    assert (result.status, result.rows["alpha"]["state"]) == (1, "failed")
    assert "alpha-arm64-1.1.0.tar.gz is not the file that the signed list names" in result.rows["alpha"]["alarms"][0]
    world.server.routes[f"/alpha/{names['arm64']}"] = late
    assert run().status == 0
    assert pinned(world, "alpha").sha256 == {arch: sha256(contents[arch]) for arch in arches}


def test_a_list_without_the_pin_lowers_nothing_while_its_file_is_there(world: World, run: Run) -> None:
    """A mirror's list of last month: zstd 1.5.7 became 1.5.6, and 1.4.0 where more was missing."""
    project = world.project("alpha", "1.0.0", "1.1.0", "1.2.0")
    world.commit(pins={"alpha": "1.2.0"})
    git(project.repository, "tag", "--delete", "v1.2.0")
    result = run()
    assert (result.status, result.rows["alpha"]["state"], log(world)) == (0, "current", [])
    assert "no list has 1.2.0, but its file is still there" in result.rows["alpha"]["reason"]


def test_a_file_that_cannot_be_asked_for_proves_nothing(world: World, run: Run) -> None:
    project = world.project("alpha", "1.0.0", "1.1.0", "1.2.0")
    world.commit(pins={"alpha": "1.2.0"})
    project.withdraw("1.2.0")
    world.server.routes[project.path("1.2.0")] = servers.status(500)
    result = run()
    assert (result.status, result.rows["alpha"]["state"], log(world)) == (1, "unreachable", [])
    assert "1.2.0 is no longer listed, and its file cannot be asked for" in result.rows["alpha"]["reason"]


def test_what_is_withdrawn_needs_a_successor_that_can_be_checked(world: World, run: Run) -> None:
    project = world.project("alpha", "1.0.0", "1.1.0", "1.2.0")
    world.commit(pins={"alpha": "1.2.0"})
    project.withdraw("1.2.0")
    for version in ("1.0.0", "1.1.0"):
        world.server.routes[project.path(version)] = servers.status(500)
    result = run("--allow-unreachable")
    row = result.rows["alpha"]
    assert (result.status, row["state"], row["unreachable"], row["acceptable"]) == (1, "unreachable", True, "")
    assert row["alarms"] == ["nothing can take the place of 1.2.0, which is gone upstream"]


def test_only_the_next_older_releases_can_take_the_place(world: World, run: Run) -> None:
    versions = [f"1.{number}.0" for number in range(9)]
    project = world.project("alpha", *versions)
    world.commit(pins={"alpha": "1.8.0"})
    project.withdraw("1.8.0")
    for version in versions[4:8]:
        world.server.routes[project.path(version)] = servers.status(404)
    result = run()
    assert (result.status, result.rows["alpha"]["state"], log(world)) == (1, "pending", [])
    assert [text.partition(":")[0] for text in result.rows["alpha"]["passed_over"]] == versions[7:4:-1]


def test_where_withdrawn_files_are_left_a_young_list_must_say_it_twice(world: World, run: Run, tmp_path: Path) -> None:
    """As SQLite 3.52.0, whose file could still be had after it had been withdrawn."""
    project = world.project("alpha", "1.0.0", "1.1.0", "1.2.0")
    seen = tmp_path / "seen.json"

    def publish(*versions: str, days: float) -> None:
        links = "".join(f'<a href="alpha-{version}.tar.gz">' for version in versions)
        world.server.routes["/list"] = servers.status(200, days_ago(days), links.encode())

    def days_pass(days: float) -> None:
        moments = json.loads(seen.read_text())["alpha"]
        for what in moments:
            moments[what] = (datetime.fromisoformat(moments[what]) - timedelta(days=days)).isoformat()
        seen.write_text(json.dumps({"alpha": moments}))

    source = f'sources = [{{ kind = "listing", url = "{world.server.url("/list")}", pattern = "alpha-(.*).tar.gz" }}]'
    world.rows["alpha"] = re.sub(r"sources = .*", lambda _: source, project.row) + "keeps_withdrawn = true\n"
    world.commit(pins={"alpha": "1.2.0"})
    publish("1.0.0", "1.1.0", days=1)
    row = run().rows["alpha"]
    assert row["state"] == "current"
    assert "lacks 1.2.0, but need not be younger than its bump" in row["reason"]
    publish("1.0.0", "1.1.0", days=-0.5)
    row = run().rows["alpha"]
    assert row["state"] == "current"
    assert "withdrawn if that is still so after 7 days" in row["reason"]
    publish("1.0.0", "1.1.0", days=1)
    result = run()
    assert (result.status, result.rows["alpha"]["state"]) == (1, "unreachable")
    assert "an old copy" in result.rows["alpha"]["reason"]
    publish("1.0.0", "1.1.0", "1.2.0", days=-0.6)
    days_pass(6)
    assert run().rows["alpha"]["reason"] == ""
    publish("1.0.0", "1.1.0", days=-0.7)
    days_pass(8)
    assert "has not been listed since" in run().rows["alpha"]["reason"], "it had been listed in between"
    days_pass(7)
    result = run()
    assert (result.status, result.rows["alpha"]["state"]) == (0, "withdrawn")
    assert log(world) == ["Bump alpha 1.2.0 → 1.1.0 (withdrawn upstream)"]


def test_a_withdrawn_release_gives_way(world: World, run: Run) -> None:
    project = world.project("alpha", "1.0.0", "1.1.0", "1.2.0")
    world.commit(pins={"alpha": "1.2.0"})
    project.withdraw("1.2.0")
    result = run()
    assert (result.status, result.rows["alpha"]["state"], result.rows["alpha"]["acceptable"]) == (
        0,
        "withdrawn",
        "1.1.0",
    )
    assert log(world) == ["Bump alpha 1.2.0 → 1.1.0 (withdrawn upstream)"]
    assert run().rows["alpha"]["state"] == "current"


def test_one_old_list_lowers_nothing(world: World, run: Run, tmp_path: Path) -> None:
    project = world.project("alpha", "1.0.0", "1.1.0", "1.2.0")
    stale = tmp_path / "stale"
    git(tmp_path, "clone", "--quiet", "--bare", str(project.repository), str(stale))
    git(stale, "tag", "--delete", "v1.2.0")
    source = '{ kind = "git-tags", url = "%s", pattern = \'v(.*)\' }'
    both = ", ".join(source % url for url in (serve_repository(world.server, "stale", stale), project.repository_url))
    world.rows["alpha"] = re.sub(r"sources = .*", lambda _: f"sources = [{both}]", project.row)
    world.commit(pins={"alpha": "1.2.0"})
    assert run().rows["alpha"]["state"] == "current"
    world.server.routes[project.path("1.2.0")] = servers.status(404)
    assert run().rows["alpha"]["state"] == "current", "another list has it"
    assert log(world) == []


def test_a_hold_holds_until_its_day(world: World, run: Run) -> None:
    project = world.project("alpha", "1.0.0", "1.1.0", "1.2.0")
    held = 'hold = [{ version = "1.2.0", reason = "it breaks wheels", since = 2019-12-31, until = 2020-01-01 }]\n'
    later = held.replace("2020-01-01", "2099-01-01")
    world.rows["alpha"] = project.row + later
    world.commit(pins={"alpha": "1.1.0"})
    row = run("--dry-run").rows["alpha"]
    assert (row["state"], row["acceptable"]) == ("held", "1.1.0")
    assert row["passed_over"] == ["1.2.0: held until 2099-01-01: it breaks wheels"]
    assert "Hold on alpha 1.2.0: since 2019-12-31 nobody has looked" in run("--dry-run").report["notes"][0]
    table = world.repository / "docker" / "dependencies.toml"
    table.write_text(table.read_text().replace(later, held))
    assert run("--dry-run").rows["alpha"]["acceptable"] == "1.2.0"


def test_another_series_is_reported_only(world: World, run: Run) -> None:
    world.project("alpha", "1.0.0", "2.0.0", "2.1.0")
    world.commit(pins={"alpha": "1.0.0"})
    result = run()
    row = result.rows["alpha"]
    assert (result.status, row["state"], log(world)) == (0, "new series", [])
    assert row["reason"].startswith("2.1.0 is outside the series 1; ")


def test_a_new_series_is_said_once(world: World, run: Run) -> None:
    project = world.project("alpha", "1.0.0", "2.0.0")
    world.commit(pins={"alpha": "1.0.0"})
    states = [run(*options).rows["alpha"]["state"] for options in (["--dry-run"], ["--dry-run"], [], [])]
    assert states == ["new series", "new series", "new series", "current"]
    project.release("2.1.0")
    assert run().rows["alpha"]["state"] == "current"
    project.release("3.0.0")
    assert run().rows["alpha"]["state"] == "new series"


@pytest.mark.parametrize(("known", "state"), [("2", "new series"), ("3", "current"), ("4", "current")])
def test_a_series_that_a_person_knows_is_not_said(world: World, run: Run, known: str, state: str) -> None:
    project = world.project("alpha", "1.0.0", "2.0.0", "3.1.0")
    world.rows["alpha"] = project.row + f'acknowledged = "{known}"\n'
    world.commit(pins={"alpha": "1.0.0"})
    assert run().rows["alpha"]["state"] == state


def test_what_mends_a_vulnerability_does_not_wait(world: World, run: Run) -> None:
    project = world.project("alpha", "1.0.0")
    project.release("1.1.0", days=1)
    page = world.server.url("/news/{version}")
    world.rows["alpha"] = project.row + f'security = {{ url = "{page}", pattern = \'"fixed": "{{version}}"\' }}\n'
    world.commit(pins={"alpha": "1.0.0"})
    waits = "1.1.0: published 1 days ago, to be taken after 7"
    world.server.routes["/news/1.1.0"] = servers.status(500)
    row = run("--dry-run").rows["alpha"]
    assert row["state"] == "pending"
    assert row["passed_over"][0].startswith(f"{waits}; whether it mends a vulnerability is not known: ")
    world.server.routes["/news/1.1.0"] = servers.good(b'{"fixed": "1.0.9"}')
    assert run("--dry-run").rows["alpha"]["passed_over"] == [waits]
    world.server.routes["/news/1.1.0"] = servers.good(b'{"fixed": "1.1.0"}')
    result = run()
    said = world.server.url("/news/1.1.0")
    assert (result.status, log(world)) == (0, ["Bump alpha 1.0.0 → 1.1.0"])
    assert result.rows["alpha"]["reason"] == f"no cool-down, for it mends a vulnerability: {said}"
    assert f"Security: without cool-down: {said}" in git(world.repository, "log", "-1", "--format=%b")


def test_what_mends_a_vulnerability_is_proved_like_everything(world: World, run: Run) -> None:
    project = world.project("alpha", "1.0.0")
    project.release("1.1.0", days=1, by=pysequoia.Tsk.generate("Stranger <stranger@example.org>"))
    world.server.routes["/news"] = servers.good(b"CVE-2026-1")
    page = world.server.url("/news")
    world.rows["alpha"] = project.row + f"security = {{ url = \"{page}\", pattern = 'CVE-' }}\n"
    world.commit(pins={"alpha": "1.0.0"})
    result = run()
    assert (result.status, result.rows["alpha"]["state"], log(world)) == (1, "failed", [])


def test_the_end_of_life_is_announced(world: World, run: Run) -> None:
    project = world.project("alpha", "1.0.0")
    soon = datetime.now(UTC).date() + timedelta(days=90)
    world.rows["alpha"] = project.row + f"end_of_life = {soon}\n"
    world.commit(pins={"alpha": "1.0.0"})
    row = run("--dry-run").rows["alpha"]
    assert (row["state"], row["reason"]) == ("end of life near", f"the series 1 ends on {soon}")


def test_a_dead_list_is_replaced_by_the_next(world: World, run: Run) -> None:
    project = world.project("alpha", "1.0.0", "1.1.0")
    dead = f'{{ kind = "listing", url = "http://127.0.0.1:{servers.closed_port()}/" }}, '
    world.rows["alpha"] = project.row.replace("sources = [", f"sources = [{dead}")
    world.commit(pins={"alpha": "1.0.0"})
    row = run("--dry-run").rows["alpha"]
    assert row["state"] == "update"
    assert "refused" in row["reason"]


def test_a_list_of_the_newest_alone_is_completed_by_the_next(world: World, run: Run) -> None:
    """As curl's info.json: while its release is too young, the one before must still be found."""
    project = world.project("alpha", "1.0.0", "1.1.0")
    project.release("1.2.0", days=1)
    world.server.routes["/info.json"] = servers.good(b'{"Version": "1.2.0"}')
    newest = f'{{ kind = "curl-info", url = "{world.server.url("/info.json")}" }}, '
    world.rows["alpha"] = project.row.replace("sources = [", f"sources = [{newest}")
    world.commit(pins={"alpha": "1.0.0"})
    row = run("--dry-run").rows["alpha"]
    assert (row["newest"], row["acceptable"]) == ("1.2.0", "1.1.0")


def test_a_list_that_cannot_be_read_is_a_failure(world: World, run: Run) -> None:
    project = world.project("alpha", "1.0.0")
    world.server.routes["/list"] = servers.html()
    source = f'sources = [{{ kind = "listing", url = "{world.server.url("/list")}", pattern = "alpha-(.*)" }}]'
    world.rows["alpha"] = re.sub(r"sources = .*", lambda _: source, project.row)
    world.commit(pins={"alpha": "1.0.0"})
    result = run("--dry-run", "--allow-unreachable")
    assert (result.status, result.rows["alpha"]["state"]) == (1, "failed")


def test_a_dead_host_hides_nothing(world: World, run: Run) -> None:
    project = world.project("alpha", "1.0.0")
    dead = f'sources = [{{ kind = "listing", url = "http://127.0.0.1:{servers.closed_port()}/" }}]'
    world.rows["alpha"] = re.sub(r"sources = .*", lambda _: dead, project.row)
    world.project("beta", "1.0.0", "1.1.0")
    world.commit(pins={"alpha": "1.0.0", "beta": "1.0.0"})
    result = run()
    assert (result.status, result.rows["alpha"]["state"], log(world)) == (1, "unreachable", ["Bump beta 1.0.0 → 1.1.0"])
    assert run("--allow-unreachable").status == 0


def test_every_bump_is_its_own_commit(world: World, run: Run) -> None:
    names = ("alpha", "beta", "gamma")
    for name in names:
        world.project(name, "1.0.0", "1.1.0")
    world.commit(pins=dict.fromkeys(names, "1.0.0"))
    assert run("--only", "alpha", "gamma").status == 0
    assert log(world) == ["Bump alpha 1.0.0 → 1.1.0", "Bump gamma 1.0.0 → 1.1.0"]
    run()
    assert log(world)[2:] == ["Bump beta 1.0.0 → 1.1.0"]


def test_what_moves_together_moves_in_one_commit(world: World, run: Run) -> None:
    tcl, tk = world.project("tcl", "1.0.0", "1.1.0", "1.2.0"), world.project("tk", "1.0.0", "1.1.0")
    world.rows |= {"tcl": tcl.row + 'together = "tk"\n', "tk": tk.row + 'together = "tcl"\n'}
    world.commit(pins={"tcl": "1.0.0", "tk": "1.0.0"})
    result = run()
    assert log(world) == ["Bump tcl, tk 1.0.0 → 1.1.0"]
    assert [row["acceptable"] for row in result.rows.values()] == ["1.1.0", "1.1.0"]
    assert result.rows["tk"]["passed_over"] == ["1.2.0: not all of them have it"]
    assert run().rows["tcl"]["state"] == "pending"
    tk.release("1.2.0", by=pysequoia.Tsk.generate("Stranger <stranger@example.org>"))
    assert run().rows["tcl"]["state"] == "failed"
    assert len(log(world)) == 1


def test_a_dirty_tree_is_refused_before_anything_is_asked(world: World, run: Run) -> None:
    world.project("alpha", "1.0.0", "1.1.0")
    repository = world.commit(pins={"alpha": "1.0.0"})
    with (repository / "docker" / "Dockerfile").open("a") as dockerfile:
        dockerfile.write("# my own change\n")
    with pytest.raises(errors.UserError, match="docker/Dockerfile"):
        run()
    assert world.server.requests == []
    assert run("--dry-run").rows["alpha"]["state"] == "update"


def test_wrong_use(world: World, run: Run) -> None:
    world.project("alpha", "1.0.0")
    repository = world.commit(pins={"alpha": "1.0.0"})
    with pytest.raises(errors.UserError, match="no pin 'alhpa'; did you mean alpha"):
        run("--only", "alhpa")
    with pytest.raises(SystemExit) as caught:
        run("--onyl", "alpha")
    assert caught.value.code == 2
    (repository / "docker" / "dependencies.toml").write_text("")
    with pytest.raises(errors.UserError, match="pin alpha has no row"):
        run("--dry-run")


# --- Only the Debian archive answers


class Archive:
    """A Debian mirror with packages of the world's projects, as a closed network has it."""

    def __init__(self, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
        self.world = world
        self.mirror = debian_mirrors.DebianServer(world.server, world.directory)
        monkeypatch.setenv(MIRROR_VARIABLE, world.server.url("/debian"))
        monkeypatch.setenv(KEYRING_VARIABLE, str(self.mirror.keyring()))

    def publish(
        self, *versions: str, days: float = 30, signed: bool = True, missing: str = "", content: bytes = b""
    ) -> None:
        """Publishes alpha in suites as the archive has them, one version each."""
        project = self.world.projects["alpha"]
        for suite, version in zip(("sid", "trixie", "bookworm"), versions, strict=False):
            body = content or tarball("alpha", version)
            date = datetime.now(UTC) - timedelta(days=days)
            files = {
                f"alpha_{version}.orig.tar.gz": body,
                f"alpha_{version}-2.debian.tar.xz": packaging(
                    entry("alpha", f"{version}-2", datetime.now(UTC)) + "\n" + entry("alpha", f"{version}-1", date)
                ),
            }
            if signed:
                signature = pysequoia.sign(project.key.signer(), body, mode=pysequoia.SignatureMode.DETACHED)
                files[f"alpha_{version}.orig.tar.gz.asc"] = bytes(signature)
            package = debian_mirrors.Package("alpha", f"{version}-2", files)
            self.mirror.publish(suite, [package])
            if version == missing:
                del self.world.server.routes[f"/debian/{package.directory}/alpha_{version}.orig.tar.gz"]


@pytest.fixture
def archive(world: World, monkeypatch: pytest.MonkeyPatch) -> Archive:
    return Archive(world, monkeypatch)


def closed(row: str, *, verbatim: bool = True) -> str:
    """A row whose upstream hosts refuse every connection; the key is still to be had."""
    row = re.sub(r'url = "http://127\.0\.0\.1:\d+', f'url = "http://127.0.0.1:{servers.closed_port()}', row)
    dead = f'sources = [{{ kind = "listing", url = "http://127.0.0.1:{servers.closed_port()}/" }}]'
    row = re.sub(r"sources = .*", lambda _: dead, row).replace('["openpgp"]', '["openpgp", "debian-index"]')
    return row + f'debian = {{ source = "alpha", verbatim = {str(verbatim).lower()} }}\n'


def test_a_closed_network_works_through_debian(world: World, run: Run, archive: Archive) -> None:
    world.rows["alpha"] = closed(world.project("alpha", "1.0.0").row)
    archive.publish("1.2.0", "1.1.0", "1.0.0", missing="1.2.0")
    world.commit(pins={"alpha": "1.0.0"})
    result = run()
    row = result.rows["alpha"]
    assert (result.status, row["newest"], row["acceptable"], row["age_days"]) == (0, "1.2.0", "1.1.0", 30)
    assert "answers 404" in row["passed_over"][0]
    assert row["trust"].startswith("openpgp")
    assert pinned(world, "alpha").sha256 == sha256(tarball("alpha", "1.1.0"))
    assert "127.0.0.1/debian" not in git(world.repository, "log", "-1", "--format=%B")


def test_the_changelog_dates_the_first_revision(world: World, run: Run, archive: Archive) -> None:
    world.rows["alpha"] = closed(world.project("alpha", "1.0.0").row)
    archive.publish("1.1.0", "1.0.0", days=3)
    world.commit(pins={"alpha": "1.0.0"})
    row = run("--dry-run").rows["alpha"]
    assert (row["state"], row["passed_over"]) == ("pending", ["1.1.0: entered Debian 3 days ago, to be taken after 7"])


def test_a_suite_that_could_not_be_read_is_told(world: World, run: Run, archive: Archive) -> None:
    """What it has is not seen then, and neither "current" nor "Debian does not have it" is the whole truth."""
    world.rows["alpha"] = closed(world.project("alpha", "1.1.0", "1.2.0").row)
    world.rows["beta"] = closed(world.project("beta", "1.0.0").row).replace("alpha", "beta")
    archive.publish("1.2.0", "1.1.0")
    for path in [path for path in world.server.routes if "/dists/sid/main" in path]:
        world.server.routes[path] = servers.status(404)
    world.commit(pins={"alpha": "1.1.0", "beta": "1.0.0"})
    result = run("--dry-run")
    rows = result.rows
    assert (result.status, rows["alpha"]["state"], rows["beta"]["state"]) == (1, "current", "unreachable")
    for row in rows.values():
        assert "Debian's sid could not be used: " in row["reason"]
    assert "Debian's trixie of 2026-11-14 was asked" in rows["alpha"]["reason"]


def test_a_tarball_that_a_person_refused_is_no_alarm(world: World, run: Run, archive: Archive) -> None:
    """As libtool 2.6.2 in the archive, whose tarball does not match upstream's signature: everybody knows."""
    project = world.project("alpha", "1.0.0")
    reason = "it does not match the signature"
    row = closed(project.row).replace("verbatim = true", f'verbatim = true, refuse = {{ "1.2.0" = "{reason}" }}')
    world.rows["alpha"] = row
    archive.publish("1.2.0", "1.1.0", "1.0.0", content=b"")
    project.key = pysequoia.Tsk.generate("Stranger <stranger@example.org>")
    archive.publish("1.2.0")
    world.commit(pins={"alpha": "1.0.0"})
    result = run()
    row_found = result.rows["alpha"]
    assert (result.status, row_found["acceptable"], row_found["alarms"]) == (0, "1.1.0", [])
    assert f"Debian's 1.2.0 is not used: {reason}" in row_found["reason"]


def test_an_index_past_its_date_is_told(world: World, run: Run, archive: Archive) -> None:
    world.rows["alpha"] = closed(world.project("alpha", "1.0.0").row)
    archive.publish("1.1.0", "1.0.0")
    packages = [debian_mirrors.Package("alpha", "1.1.0-2", {"alpha_1.1.0.orig.tar.gz": tarball("alpha", "1.1.0")})]
    archive.mirror.publish("sid", packages, valid_until="Sat, 21 Nov 2020 08:00:00 UTC")
    world.commit(pins={"alpha": "1.0.0"})
    assert "Debian's index of sid is outdated since 2020-11-21" in run("--dry-run").rows["alpha"]["reason"]


def test_debian_does_not_stand_in_for_what_moves_together(world: World, run: Run, archive: Archive) -> None:
    """tk was "current" on the word of the archive, although neither its upstream nor tcl's answered."""
    alpha, beta = world.project("alpha", "1.0.0"), world.project("beta", "1.0.0")
    rows = [closed(project.row).replace(', "debian-index"', "") for project in (alpha, beta)]
    world.rows |= {"alpha": rows[0] + 'together = "beta"\n', "beta": rows[1] + 'together = "alpha"\n'}
    archive.publish("1.0.0")
    world.commit(pins={"alpha": "1.0.0", "beta": "1.0.0"})
    result = run("--dry-run")
    assert {row["state"] for row in result.rows.values()} == {"unreachable"}
    world.rows["beta"] = beta.row
    table = world.repository / "docker" / "dependencies.toml"
    table.write_text(world.rows["alpha"] + beta.row + 'together = "alpha"\n')
    result = run("--dry-run")
    assert {name: row["state"] for name, row in result.rows.items()} == {"alpha": "unreachable", "beta": "current"}


def test_debians_word_counts_where_a_person_marked_the_row_and_is_confirmed_later(
    world: World, run: Run, archive: Archive
) -> None:
    project = world.project("alpha", "1.0.0")
    world.rows["alpha"] = closed(project.row)
    archive.publish("1.1.0", "1.0.0", signed=False)
    repository = world.commit(pins={"alpha": "1.0.0"})
    result = run()
    assert (result.status, result.rows["alpha"]["trust"], log(world)) == (
        0,
        "debian-index",
        ["Bump alpha 1.0.0 → 1.1.0"],
    )
    assert "Trust: debian-index" in git(repository, "log", "-1", "--format=%b")
    unconfirmed = repository / "docker" / "unconfirmed.toml"
    assert set(tomllib.loads(unconfirmed.read_text())) == {"alpha"}
    assert run().rows["alpha"]["trust"] == "debian-index, unconfirmed"

    project.release("1.0.0-again")
    project.release("1.1.0")
    table, dockerfile = repository / "docker" / "dependencies.toml", repository / "docker" / "Dockerfile"
    table.write_text(project.row.replace('["openpgp"]', '["openpgp", "debian-index"]') + archive_row())
    dockerfile.write_text(re.sub(r"URL=http://127\.0\.0\.1:\d+", f"URL={world.server.url('')}", dockerfile.read_text()))
    git(repository, "commit", "--quiet", "--all", "--message", "The network is open")
    result = run()
    assert (result.status, log(world)[-1]) == (0, "Confirm alpha 1.1.0 at upstream")
    assert tomllib.loads(unconfirmed.read_text()) == {}
    assert run().report["commits"] == []


def archive_row() -> str:
    return 'debian = { source = "alpha", verbatim = true }\n'


def test_upstream_may_contradict_debian(world: World, run: Run, archive: Archive) -> None:
    project = world.project("alpha", "1.0.0")
    world.rows["alpha"] = project.row + archive_row()
    archive.publish("1.0.0")
    repository = world.commit(pins={"alpha": "1.0.0"})
    (repository / "docker" / "unconfirmed.toml").write_text('["alpha"]\nurl = "https://example.org/a"\nby = "a"\n')
    dockerfile = repository / "docker" / "Dockerfile"
    dockerfile.write_text(re.sub(r"SHA256=.*", f"SHA256={'1' * 64}", dockerfile.read_text()))
    git(repository, "commit", "--quiet", "--all", "--message", "Taken on Debian's word")
    result = run("--allow-unreachable")
    assert (result.status, result.rows["alpha"]["state"]) == (1, "failed")
    assert "upstream does not confirm it" in result.rows["alpha"]["alarms"][0]


def test_without_the_mark_debians_word_is_not_enough(world: World, run: Run, archive: Archive) -> None:
    row = closed(world.project("alpha", "1.0.0").row, verbatim=False).replace(', "debian-index"', "")
    world.rows["alpha"] = row
    archive.publish("1.1.0", "1.0.0", signed=False)
    world.commit(pins={"alpha": "1.0.0"})
    result = run()
    assert (result.status, result.rows["alpha"]["state"], log(world)) == (1, "unreachable", [])


def test_a_bad_signature_in_debian_is_final(world: World, run: Run, archive: Archive) -> None:
    """As libtool 2.6.2 in the archive of 2026, whose tarball does not fit upstream's signature."""
    project = world.project("alpha", "1.0.0")
    world.rows["alpha"] = closed(project.row)
    project.key = pysequoia.Tsk.generate("Stranger <stranger@example.org>")
    archive.publish("1.1.0", "1.0.0")
    world.commit(pins={"alpha": "1.0.0"})
    result = run("--allow-unreachable")
    assert (result.status, result.rows["alpha"]["state"], log(world)) == (1, "failed", [])


def test_debian_contradicts_upstream(world: World, run: Run, archive: Archive) -> None:
    """A genuine signature of a file that Debian, which has it unmodified, names otherwise: somebody must look."""
    project = world.project("alpha", "1.0.0", "1.1.0")
    world.rows["alpha"] = project.row + archive_row()
    archive.publish("1.1.0", content=tarball("alpha", "another"))
    world.commit(pins={"alpha": "1.0.0"})
    result = run()
    assert (result.status, log(world)) == (1, [])
    assert "Debian's signed index" in result.rows["alpha"]["alarms"][0]
