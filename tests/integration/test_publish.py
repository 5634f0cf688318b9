"""Publishing against a real registry: whole policies or nothing, whatever fails on the way."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.integration import registries
from tests.unit.repositories import git, repository

import build
import errors
import images
import publish
from publish import COMPLETE_LABEL, REVISION_LABEL, Place
from registry import INDEX_TYPES, Manifest, Registry

pytestmark = pytest.mark.skipif(
    not registries.AVAILABLE, reason="needs Debian's docker-registry: apt-get install docker-registry"
)

COMMIT = "c0ffee" * 6 + "c0ff"
BASE = "sha256:" + "0" * 64
TAG, OLDER = "2026.11.21-1", "2026.11.14-2"
GROUP = images.load().group("manylinux_2_39")  # two platforms
LABELS = {
    COMPLETE_LABEL: "true",
    REVISION_LABEL: COMMIT,
    publish.BASE_DIGEST_LABEL: BASE,
}


@pytest.fixture(autouse=True)
def pinned_bases(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A docker/bases.toml with a digest for every base of the group."""
    path = tmp_path / "bases.toml"
    lines = {f'"{image.policy.base}" = "{BASE}"\n' for image in GROUP.members}
    path.write_text("".join(sorted(lines)), encoding="utf-8")
    monkeypatch.setattr(build, "BASES_TOML", path)
    return path


@pytest.fixture
def host(tmp_path: Path) -> Iterator[str]:
    with registries.running(tmp_path) as host:
        yield host


def place(host: str, namespace: str = "pypa") -> Place:
    return Place(Registry(host), namespace)


def candidates(where: Place, tag: str = TAG, labels: dict[str, str] = LABELS) -> dict[str, Manifest]:
    """A candidate for every platform of the group."""
    return {
        image.name: registries.store_image(
            where.registry.host,
            where.repository(image.name),
            publish.candidate(tag),
            labels,
            f"{image.name} {tag}".encode(),
        )
        for image in GROUP.members
    }


def execute(where: Place, tag: str = TAG) -> None:
    publish.carry_out(publish.steps(where, GROUP, tag, COMMIT), execute=True)


def dated(where: Place, tag: str = TAG) -> dict[str, str | None]:
    """Name -> digest of the dated tag, the index included."""
    names = [image.name for image in GROUP.members] + [GROUP.name]
    return {name: where.registry.digest(where.repository(name), tag) for name in names}


def test_whole_policy(host: str) -> None:
    where = place(host)
    manifests = candidates(where)
    execute(where)
    assert publish.verify(where, GROUP, TAG) == []
    for name, manifest in manifests.items():
        assert dated(where)[name] == manifest.digest
    index = where.registry.manifest(where.repository(GROUP.name), "latest").document
    assert [row["platform"] for row in index["manifests"]] == [
        {"os": "linux", "architecture": "arm64"},
        {"os": "linux", "architecture": "riscv64"},
    ]
    # The index can be followed to its last blob in its own repository.
    for row in index["manifests"]:
        for blob in where.registry.manifest(where.repository(GROUP.name), row["digest"]).blobs:
            assert where.registry.blob(where.repository(GROUP.name), blob)
    assert publish.steps(where, GROUP, TAG, COMMIT) == []


def test_dry_run_writes_nothing(host: str, capsys: pytest.CaptureFixture[str]) -> None:
    where = place(host)
    candidates(where)
    publish.carry_out(publish.steps(where, GROUP, TAG, COMMIT), execute=False)
    assert set(dated(where).values()) == {None}
    assert f"would index {host}/pypa/manylinux_2_39:{TAG}" in capsys.readouterr().err


def test_a_missing_platform_publishes_nothing(host: str) -> None:
    where = place(host)
    present = GROUP.members[0]
    registries.store_image(host, where.repository(present.name), publish.candidate(TAG), LABELS)
    with pytest.raises(errors.Failure, match="manylinux_2_39_riscv64: there is no candidate"):
        execute(where)
    assert set(dated(where).values()) == {None}


@pytest.mark.parametrize(
    ("labels", "reason"),
    [
        ({COMPLETE_LABEL: "false"}, "partial image"),
        ({REVISION_LABEL: "deadbeef"}, "built from deadbeef"),
        ({REVISION_LABEL: f"{COMMIT}-dirty"}, "changes that no commit has"),
        ({publish.BASE_DIGEST_LABEL: ""}, f"base image is unknown, not the pinned {BASE}"),
        ({publish.BASE_DIGEST_LABEL: "sha256:1"}, "base image is sha256:1, not the pinned"),
    ],
)
def test_unfit_images_are_refused(host: str, labels: dict[str, str], reason: str) -> None:
    where = place(host)
    candidates(where, labels=LABELS | labels)
    with pytest.raises(errors.Failure, match=reason):
        execute(where)
    assert set(dated(where).values()) == {None}


def test_a_base_that_nobody_has_pinned_is_refused(host: str, pinned_bases: Path) -> None:
    where = place(host)
    candidates(where)  # built on what the tag stood for on that day
    pinned_bases.write_text("", encoding="utf-8")
    with pytest.raises(errors.Failure, match="base image is not pinned"):
        execute(where)
    assert set(dated(where).values()) == {None}


def test_attestations_of_buildkit_do_not_hide_the_image(host: str) -> None:
    where = place(host)
    manifests = candidates(where)
    image = GROUP.members[0]
    repository, real = where.repository(image.name), manifests[image.name]
    attestation = registries.store_image(host, repository, "attestation", {}, b"provenance")
    rows = [
        {
            "mediaType": m.media_type,
            "digest": m.digest,
            "size": len(m.content),
            "platform": {"os": system, **where_it_runs},
        }
        for m, system, where_it_runs in (
            (real, "linux", {"architecture": "arm64"}),
            (attestation, "unknown", {"architecture": "unknown"}),
        )
    ]
    document = {"schemaVersion": 2, "mediaType": INDEX_TYPES[0], "manifests": rows}
    index = Manifest(json.dumps(document).encode(), INDEX_TYPES[0])
    where.registry.put_manifest(repository, publish.candidate(TAG), index)
    execute(where)
    assert dated(where)[image.name] == real.digest
    assert publish.verify(where, GROUP, TAG) == []
    document["manifests"] = [rows[0], rows[0]]
    where.registry.put_manifest(
        repository, publish.candidate(OLDER), Manifest(json.dumps(document).encode(), INDEX_TYPES[0])
    )
    with pytest.raises(errors.Failure, match="holds 2 images instead of one"):
        publish.steps(where, GROUP, OLDER, COMMIT)


def test_latest_goes_back_by_rollback_only(host: str) -> None:
    """As when the workflow of an older commit is run again, or ends after that of a newer one."""
    where = place(host)
    candidates(where, OLDER)
    candidates(where, TAG)
    execute(where, TAG)
    before = {name: where.registry.digest(where.repository(name), "latest") for name in dated(where)}
    execute(where, OLDER)
    assert None not in dated(where, OLDER).values()
    assert {name: where.registry.digest(where.repository(name), "latest") for name in before} == before
    assert publish.verify(where, GROUP, OLDER) == publish.verify(where, GROUP, TAG) == []
    assert publish.overtaken(where, GROUP, OLDER) == TAG
    assert publish.overtaken(where, GROUP, "2026.11.21-10") == ""


def test_a_rebuild_of_the_same_commit_publishes_nothing(host: str) -> None:
    where = place(host)
    candidates(where)
    execute(where)
    before = dated(where)
    for image in GROUP.members:
        registries.store_image(host, where.repository(image.name), publish.candidate(TAG), LABELS, b"rebuilt")
    assert publish.steps(where, GROUP, TAG, COMMIT) == []
    assert dated(where) == before


def test_a_dated_index_is_never_overwritten(host: str) -> None:
    where = place(host)
    candidates(where)
    registries.store_image(host, where.repository(GROUP.name), TAG, LABELS, b"something else")
    with pytest.raises(errors.Failure, match="never overwritten"):
        execute(where)


@pytest.mark.parametrize("took_effect", [False, True], ids=["refused", "answer-lost"])
def test_any_request_may_fail(host: str, took_effect: bool) -> None:
    """Request n fails, for every n: no dated tag is ever wrong, a mixed state is named, a second run completes it."""
    proxy = registries.FailingProxy(host)
    n = 0
    try:
        while True:
            n += 1
            where = place(proxy.host, f"run{n}-{int(took_effect)}")
            manifests = candidates(place(host, where.namespace))
            proxy.arm(n, took_effect)
            try:
                execute(where)
                break  # more than all requests of a run have succeeded
            except errors.Failure:
                proxy.arm(0, False)
            for name, digest in dated(where).items():
                assert digest in (None, manifests[name].digest if name in manifests else digest)
            whole = None not in dated(where).values() and not publish.steps(where, GROUP, TAG, COMMIT)
            assert bool(publish.verify(where, GROUP, TAG)) != whole
            execute(where)
            assert publish.verify(where, GROUP, TAG) == []
    finally:
        proxy.close()
    assert n > 20


def test_rollback(host: str) -> None:
    where = place(host)
    for tag in (OLDER, TAG):
        candidates(where, tag)
        execute(where, tag)
    assert publish.verify(where, GROUP, TAG) == []
    publish.carry_out(publish.rollback_steps(where, GROUP, OLDER), execute=True)
    assert publish.verify(where, GROUP, OLDER) == []
    assert [problem.split()[0] for problem in publish.verify(where, GROUP, TAG)] == ["latest"] * 3
    with pytest.raises(errors.Failure, match=r"is not whole:\n  manylinux_2_39_aarch64 has no 2020\.01\.01-1"):
        publish.rollback_steps(where, GROUP, "2020.01.01-1")


def test_a_tag_of_a_day_that_has_not_come_does_not_hold_latest(host: str) -> None:
    """As a machine with a wrong clock once left it."""
    where = place(host)
    for tag in ("2099.01.01-1", TAG):
        candidates(where, tag)
        execute(where, tag)
    assert publish.overtaken(where, GROUP, TAG) == ""
    assert publish.verify(where, GROUP, TAG) == []


def test_a_dirty_tree_has_no_revision(tmp_path: Path) -> None:
    root = repository(tmp_path / "repository")
    assert publish.revision(root) == git(root, "rev-parse", "HEAD")
    (root / "new").write_text("x", encoding="utf-8")
    with pytest.raises(errors.Failure, match=r"not committed \(new\)"):
        publish.revision(root)
