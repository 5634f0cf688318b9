"""Pruning a real registry through the OCI API, cibuildwheel's pins from a git repository, quay's own tag list."""

from __future__ import annotations

import contextlib
import dataclasses
import datetime
import functools
import json
import re
import subprocess
import sys
import threading
from collections.abc import Iterable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from tests.support import registries, repositories, servers, small_registry

from catalogue import images, paths
from catalogue.model import Catalogue
from network import oci, referrers
from network.oci import MANIFEST_TYPES, Manifest
from network.referrers import Artifact
from network.registry import Registry
from portable import errors
from publish import cibuildwheel as pinned
from publish import listing, prune
from publish.destination import Destination
from publish.listing import TagReader
from publish.prune import Pruning

needs_registry = pytest.mark.program("docker-registry")
CATALOGUE = images.load()
IMAGE = "manylinux_2_28_x86_64"


TODAY = datetime.date(2026, 11, 21)
SMALL = dataclasses.replace(CATALOGUE, all_images=(CATALOGUE.image(IMAGE),), retired={})  # few repositories to ask for
OLD, OLDER, NEW = "2019-01-02-bbbbbbb", "2019-01-01-aaaaaaa", "2026.11.01-1"


def store(where: Destination, tag: str, name: str = IMAGE, content: str = "") -> Manifest:
    return registries.store_image(where.registry.host, where.repository(name), tag, {}, (content or tag).encode())


def shelf(where: Destination, name: str = IMAGE) -> dict[str, Manifest]:
    """A repository with two old tags, a new one, and `latest` at the new one."""
    found = {tag: store(where, tag, name) for tag in (OLDER, OLD, NEW)}
    where.registry.put_manifest(where.repository(name), "latest", found[NEW])
    return found


def pruning(where: Destination, catalogue: Catalogue = SMALL) -> Pruning:
    return Pruning(catalogue, TagReader(where), [], TODAY)


def prune_all(where: Destination) -> tuple[list[str], set[str]]:
    """Reads, decides and deletes; returns the failures and the tags that are left."""
    run = pruning(where)
    run.read()
    return run.delete(run.decide()[0]), set(where.registry.tags(where.repository(IMAGE)))


@pytest.fixture
def where(tmp_path: Path) -> Iterator[Destination]:
    with registries.running(tmp_path) as host:
        yield Destination(Registry(host), "pypa")


@needs_registry
def test_prune_a_registry(where: Destination) -> None:
    found = shelf(where)
    where.registry.put_manifest(where.repository(IMAGE), "latest", found[OLD])
    run = pruning(where, CATALOGUE)
    run.read()
    assert list(run.tags) == [IMAGE]
    decisions, warnings = run.decide()
    assert warnings == []
    assert run.delete(decisions) == []
    assert set(where.registry.tags(where.repository(IMAGE))) == {OLD, NEW, "latest"}
    assert run.delete(decisions) == []  # what is gone already is no failure


@needs_registry
def test_a_failing_deletion_does_not_stop_the_rest(where: Destination) -> None:
    shelf(where)
    proxy = registries.FailingProxy(where.registry.host)
    run = pruning(Destination(Registry(proxy.host), "pypa"))
    run.read()
    proxy.arm(1, took_effect=False)
    failures = run.delete(run.decide()[0])
    assert len(failures) == 1
    assert failures[0].startswith(f"{IMAGE}@sha256:")
    assert len(where.registry.tags(where.repository(IMAGE))) == 3
    proxy.close()


# --- Fooling it -----------------------------------------------------------------------------------------------


@needs_registry
@pytest.mark.parametrize("took_effect", [False, True], ids=["refused", "answer-lost"])
def test_whatever_cannot_be_read_protects(where: Destination, took_effect: bool) -> None:
    """Request n fails, for every n: what stays by the rules is there afterwards, and what goes is at most what may."""
    n = 0
    proxy = registries.FailingProxy(where.registry.host)
    while not n or proxy.count >= n:
        n += 1
        here = Destination(where.registry, f"run{n}")
        found = shelf(here)
        here.registry.put_manifest(here.repository(IMAGE), "latest", found[OLD])
        proxy.arm(n, took_effect)
        with contextlib.suppress(errors.Failure):
            prune_all(Destination(Registry(proxy.host), here.namespace))
        assert set(here.registry.tags(here.repository(IMAGE))) - {OLDER} == {OLD, NEW, "latest"}
    proxy.close()
    assert n > 5


def take_back(where: Destination, old: Manifest) -> None:
    with contextlib.suppress(errors.Failure):  # it is gone by then
        where.registry.put_manifest(where.repository(IMAGE), "latest", old)


@needs_registry
def test_latest_that_is_taken_back_at_any_moment_protects(where: Destination) -> None:
    """`latest` goes back to an old tag before request n, for every n up to the last look at it before the deletion."""
    n, kept = 0, 0
    proxy = registries.FailingProxy(where.registry.host)
    while not n or proxy.count >= n:
        n += 1
        here = Destination(where.registry, f"run{n}")
        old = shelf(here)[OLD]
        proxy.interrupt(n, functools.partial(take_back, here, old))
        with contextlib.suppress(errors.Failure):  # this registry answers 500 to who reads what is being written
            prune_all(Destination(Registry(proxy.host), here.namespace))
        path = f"/v2/{here.repository(IMAGE)}/manifests"
        if ("DELETE", f"{path}/{old.digest}") in proxy.log:
            before = proxy.log[: proxy.log.index(("DELETE", f"{path}/{old.digest}"))]
            assert n > max(at for at, request in enumerate(before, 1) if request == ("GET", f"{path}/latest"))
        else:
            kept += 1
            assert {OLD, "latest"} <= set(here.registry.tags(here.repository(IMAGE)))
    proxy.close()
    assert kept > 5


# --- What is attached -----------------------------------------------------------------------------------------

NOTES = [Artifact("application/vnd.example.note", "note", b"hello"), Artifact("application/spdx+json", "sbom", b"{}")]


@pytest.fixture(params=["tag", "list"])
def home(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Destination]:
    """A registry that knows no referrers, and one that does."""
    with contextlib.ExitStack() as stack:
        if request.param == "list":
            host = stack.enter_context(small_registry.running()).host
        else:
            host = stack.enter_context(registries.running(tmp_path))
        yield Destination(Registry(host), "pypa")


def attached(where: Destination, subject: Manifest, name: str = IMAGE) -> list[str]:
    """The manifests of what is attached to an image, whether or not a list names them."""
    made = (note.manifest(subject).digest for note in NOTES)
    return [digest for digest in made if where.registry.digest(where.repository(name), digest)]


def attach(where: Destination, subjects: Iterable[Manifest], name: str = IMAGE) -> None:
    for subject in subjects:
        referrers.attach(where.registry, where.repository(name), subject, NOTES)


@needs_registry
def test_what_is_attached_goes_after_its_image(home: Destination) -> None:
    found = shelf(home)
    attach(home, found.values())
    before = set(home.registry.tags(home.repository(IMAGE)))
    failures, after = prune_all(home)
    assert failures == []
    assert before - after == {OLD, OLDER, *(before & {referrers.tag_of(found[tag].digest) for tag in (OLD, OLDER)})}
    assert {tag: len(attached(home, manifest)) for tag, manifest in found.items()} == {OLDER: 0, OLD: 0, NEW: 2}
    assert len(referrers.referrers(home.registry, home.repository(IMAGE), found[NEW].digest)) == 2
    assert prune_all(home) == ([], after)


@needs_registry
@pytest.mark.parametrize("took_effect", [False, True], ids=["refused", "answer-lost"])
def test_what_is_attached_never_goes_before_its_image(home: Destination, took_effect: bool) -> None:
    """Request n fails, for every n; another run then leaves nothing of the old image on docker-registry."""
    proxy = registries.FailingProxy(home.registry.host)
    n = 0
    while not n or proxy.count >= n:
        n += 1
        here = Destination(home.registry, f"run{n}")
        found = {tag: store(here, tag) for tag in (OLD, NEW)}
        here.registry.put_manifest(here.repository(IMAGE), "latest", found[NEW])
        attach(here, found.values())
        proxy.arm(n, took_effect)
        with contextlib.suppress(errors.Failure):
            prune_all(Destination(Registry(proxy.host), here.namespace))
        assert len(attached(here, found[NEW])) == 2
        if here.registry.digest(here.repository(IMAGE), found[OLD].digest):
            assert len(attached(here, found[OLD])) == 2
        has_tag = referrers.tag_of(found[OLD].digest) in here.registry.tags(here.repository(IMAGE))
        assert prune_all(here)[0] == []
        if has_tag:
            assert attached(here, found[OLD]) == []
    proxy.close()
    assert n > 8


@needs_registry
def test_an_index_that_goes_takes_its_images_along(home: Destination) -> None:
    """Those in its own repository, unless another index lists them; then what is attached to them."""
    name = "manylinux_2_28"
    catalogue = SMALL
    first, second = (store(home, tag, name, f"platform {tag}") for tag in ("x", "y"))

    def index(*images: Manifest) -> Manifest:
        rows = [{"mediaType": i.media_type, "digest": i.digest, "size": len(i.content)} for i in images]
        document = {"schemaVersion": 2, "mediaType": oci.INDEX_TYPES[0], "manifests": rows}
        return Manifest(json.dumps(document).encode(), oci.INDEX_TYPES[0])

    old, new = index(first, second), index(second)
    for tag, each in ((OLD, old), (NEW, new), ("latest", new)):
        home.registry.put_manifest(home.repository(name), tag, each)
    attach(home, (first, second, old, new), name)
    shelf(home)
    for tag in ("x", "y"):  # untagged, as publishing leaves them
        home.registry.put_manifest(home.repository(name), tag, new)
    run = pruning(home, catalogue)
    run.read()
    assert run.delete(run.decide()[0]) == []
    assert [len(attached(home, each, name)) for each in (first, second, old, new)] == [0, 2, 0, 2]
    there = [home.registry.digest(home.repository(name), each.digest) for each in (first, second, old, new)]
    assert there == [None, second.digest, None, new.digest]


@needs_registry
def test_a_list_cannot_make_another_image_go(where: Destination) -> None:
    """An index under the tag of an old image that lists a new one."""
    found = shelf(where)
    row = {"mediaType": found[NEW].media_type, "digest": found[NEW].digest, "size": len(found[NEW].content)}
    document = {"schemaVersion": 2, "mediaType": oci.INDEX_TYPES[0], "manifests": [row]}
    lie = Manifest(json.dumps(document).encode(), oci.INDEX_TYPES[0])
    where.registry.put_manifest(where.repository(IMAGE), referrers.tag_of(found[OLD].digest), lie)
    assert prune_all(where) == ([], {NEW, "latest"})


# --- Lies -----------------------------------------------------------------------------------------------------

LIES: dict[str, tuple[str, servers.Route]] = {
    "none": ("/nowhere", servers.status(404)),
    "latest answers 404": ("/manifests/latest", servers.status(404)),
    "a tag that stays answers 404": (f"/manifests/{NEW}", servers.status(404)),
    "latest is an HTML page": ("/manifests/latest", servers.html()),
    "the list is an HTML page": ("/tags/list?n=100", servers.html()),
    "the list is null": ("/tags/list?n=100", servers.good(b"null")),
    "the list is a number": ("/tags/list?n=100", servers.good(b'{"tags": 7}')),
    "the list has no latest": ("/tags/list?n=100", servers.good(json.dumps({"tags": [OLD, OLDER, NEW]}).encode())),
    "the list has no new tag": ("/tags/list?n=100", servers.good(json.dumps({"tags": [OLD, "latest"]}).encode())),
    "the list is empty": ("/tags/list?n=100", servers.good(b'{"tags": []}')),
    "there is no repository": ("/tags/list?n=100", servers.status(404)),
    "the registry is busy": ("/tags/list?n=100", servers.status(500)),
}


@pytest.mark.parametrize("always", [True, False], ids=["always", "from the second time on"])
@pytest.mark.parametrize("lie", LIES)
def test_a_registry_that_lies_loses_nothing(lie: str, always: bool) -> None:
    """`latest` is at an old tag. Headers name other digests than the content has, and no request to delete is made."""
    path = f"/v2/pypa/{IMAGE}"
    manifest = {"schemaVersion": 2, "config": {"digest": "sha256:" + "0" * 64}, "layers": []}
    contents = {tag: json.dumps({**manifest, "annotations": {"tag": tag}}).encode() for tag in (OLDER, OLD, NEW)}
    wrong = {"Content-Type": MANIFEST_TYPES[0], "Docker-Content-Digest": oci.digest_of(contents[NEW])}
    with servers.running() as server:
        for tag, content in {**contents, "latest": contents[OLD]}.items():
            server.routes[f"{path}/manifests/{tag}"] = servers.status(200, wrong, content)
        tags = json.dumps({"name": f"pypa/{IMAGE}", "tags": [*contents, "latest"]}).encode()
        server.routes[f"{path}/tags/list?n=100"] = servers.good(tags)
        where, (at, route) = Destination(Registry(f"127.0.0.1:{server.port}"), "pypa"), LIES[lie]
        server.routes[path + at] = route if always else servers.in_turn(server.routes.get(path + at, route), route)
        with contextlib.suppress(errors.Failure):
            prune_all(where)
        gone = {requested for method, requested, _ in server.requests if method == "DELETE"}
        assert gone <= {f"{path}/manifests/{oci.digest_of(contents[OLDER])}"}
        assert lie != "none" or gone, "nothing would go without a lie, either"
        assert lie == "none" or not (gone and always)


def test_pins_of_every_release(tmp_path: Path) -> None:
    digest = "sha256:" + "1" * 64
    url = repositories.cibuildwheel(
        tmp_path / "repository",
        {
            "v1.9.0": None,
            "v1.10.0": f"quay.io/pypa/{IMAGE}:2021-01-01-aaaaaaa",
            "v4.0.0rc1": f"quay.io/pypa/{IMAGE}:2026.01.01-1",
            "v4.1.1": f"quay.io/pypa/{IMAGE}@{digest}  # 2026.07.19-1",
            "examples": None,
        },
    )
    found = {pin.cibuildwheel: (pin.tag, pin.digest) for pin in pinned.cibuildwheel_pins(url, "1.10.0")}
    assert found == {
        "v1.10.0": ("2021-01-01-aaaaaaa", ""),
        "v4.0.0rc1": ("2026.01.01-1", ""),
        "v4.1.1": ("2026.07.19-1", digest),
    }


@needs_registry
def test_the_command_lists_with_reasons_and_deletes_when_told_to(tmp_path: Path) -> None:
    """As the workflow runs it, with cibuildwheel's pins from a repository and a registry that speaks OCI only."""
    today = datetime.datetime.now(datetime.UTC).date()
    kept, new, other = OLDER, f"{today:%Y.%m.%d}-1", "musllinux_1_2_s390x"
    limit = prune.years_before(today, 5)
    url = repositories.cibuildwheel(tmp_path / "repository", {"v2.0.0": f"quay.io/pypa/{IMAGE}:{kept}"})
    (tmp_path / "registry").mkdir()
    with registries.running(tmp_path / "registry") as host:
        where = Destination(Registry(host), "pypa")
        for name in (IMAGE, other):
            for tag in (kept, OLD, new):
                newest = store(where, tag, name, f"{name} {tag}")
            where.registry.put_manifest(where.repository(name), "latest", newest)

        def run(*options: str) -> subprocess.CompletedProcess[str]:
            words = ["--registry", f"{host}/pypa", "--cibuildwheel", url, *options]
            command = [sys.executable, "scripts", "prune", *words]
            return subprocess.run(command, cwd=paths.ROOT, capture_output=True, text=True, check=False)

        def left() -> list[set[str]]:
            return [set(where.registry.tags(where.repository(name))) for name in (IMAGE, other)]

        dry = run("--all", "--json", str(tmp_path / "decisions.json"))
        assert dry.returncode == 0, dry.stderr
        lines = [re.sub(r"sha256:\w+", "DIGEST", line) for line in dry.stdout.splitlines()]
        assert sorted(lines) == sorted(
            line
            for name in (IMAGE, other)
            for line in (
                f"keep {name}:{kept} DIGEST: pinned by cibuildwheel v2.0.0",
                f"would delete {name}:{OLD} DIGEST: older than {limit}",
                f"keep {name}:{new} DIGEST: not yet 5 years old",
                f"keep {name}:latest DIGEST: latest",
            )
        )
        note = "more than 10 % of all tags go: look at the list, then add --consent 2"
        assert dry.stderr == f"2 of 8 tags go\nnote: {note}\n"
        assert [row["keep"] for row in json.loads((tmp_path / "decisions.json").read_text())].count(False) == 2
        for options, status, problem in (
            (["--execute"], 1, f"error: {note}"),
            (["--execute", "--consent", "3"], 1, "error: 2 tags go now, not the 3 of --consent"),
            (["--json", str(tmp_path / "none" / "file")], 2, "none/file: No such file or directory"),
            (["--consent", "many"], 2, "invalid int value"),
        ):
            done = run(*options)
            assert (done.returncode, problem in done.stderr) == (status, True), done.stderr
            assert left() == [{kept, OLD, new, "latest"}] * 2
        done = run("--execute", "--consent", "2")
        assert done.returncode == 0, done.stderr
        assert done.stdout.count("\ndelete ") + done.stdout.startswith("delete ") == 2
        assert left() == [{kept, new, "latest"}] * 2


@pytest.mark.parametrize("value", [None, f"quay.io/pypa/{IMAGE}"])
def test_a_release_whose_pins_are_unknown_stops_everything(tmp_path: Path, value: str | None) -> None:
    url = repositories.cibuildwheel(tmp_path / "repository", {"v2.0.0": value})
    with pytest.raises(errors.Failure):
        pinned.cibuildwheel_pins(url, "1.10.0")


def test_a_repository_without_releases_stops_everything(tmp_path: Path) -> None:
    url = repositories.cibuildwheel(tmp_path / "repository", {"other": None})
    with pytest.raises(errors.Failure, match="refusing to prune"):
        pinned.cibuildwheel_pins(url, "1.10.0")


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
    found = listing.quay_tags(registry, "pypa/known", quay)
    assert len(found) == 250
    assert found["2020.01.01-249"] == f"sha256:{249:064}"
    with pytest.raises(errors.Failure, match="does not exist"):
        listing.quay_tags(registry, "pypa/unknown", quay)
