"""Publishing against a real registry: whole policies or nothing, whatever fails on the way."""

from __future__ import annotations

import contextlib
import functools
import json
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from tests.support import registries
from tests.support.repositories import git, repository

from catalogue import bases, canaries, images
from catalogue.model import Image
from network import referrers
from network.oci import INDEX_TYPES, Manifest
from network.registry import Registry
from portable import errors
from publish import attachments, provenance, push, steps
from publish.canaries import Judged
from publish.destination import Destination
from publish.fitness import BASE_DIGEST_LABEL, COMPLETE_LABEL, REVISION_LABEL, TITLE_LABEL

pytestmark = pytest.mark.program("docker-registry")

COMMIT = "c0ffee" * 6 + "c0ff"
BASE = "sha256:" + "0" * 64
EACH = 3  # of the requests of a publication, which are over a hundred: those around an interrupted one are of its kind
TAG, OLDER = "2026.11.21-1", "2026.11.14-2"
GROUP = images.load().group("manylinux_2_39")  # two platforms
LABELS = {
    COMPLETE_LABEL: "true",
    REVISION_LABEL: COMMIT,
    BASE_DIGEST_LABEL: BASE,
}


@pytest.fixture(autouse=True)
def pinned_bases(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A docker/bases.toml with a digest for every base of the group."""
    path = tmp_path / "bases.toml"
    lines = {f'"{image.policy.base}" = "{BASE}"\n' for image in GROUP.members}
    path.write_text("".join(sorted(lines)), encoding="utf-8")
    monkeypatch.setattr(bases, "BASES_TOML", path)
    return path


@pytest.fixture
def host(tmp_path: Path) -> Iterator[str]:
    with registries.running(tmp_path) as host:
        yield host


def place(host: str, namespace: str = "pypa") -> Destination:
    return Destination(Registry(host), namespace)


def candidate(
    where: Destination,
    image: Image,
    tag: str = TAG,
    labels: dict[str, str] = LABELS,
    platform: str = "",
    content: str = "",
) -> Manifest:
    """A candidate for one platform of the group, with its provenance."""
    stored = registries.store_image(
        where.registry.host,
        where.repository(image.name),
        push.candidate(tag),
        {TITLE_LABEL: image.name, **labels},
        (content or f"{image.name} {tag}").encode(),
        platform or image.platform.oci,
    )
    registry, repository = where.registry, where.repository(image.name)
    configuration = registry.configuration(repository, stored)
    made = provenance.of_image(image, stored, configuration, {}, COMMIT, {})
    attachments.attach(registry, repository, stored, {}, made, attachments.UNSIGNED)
    return stored


def candidates(where: Destination, tag: str = TAG, labels: dict[str, str] = LABELS) -> dict[str, Manifest]:
    """A candidate for every platform of the group."""
    return {image.name: candidate(where, image, tag, labels) for image in GROUP.members}


def execute(where: Destination, tag: str = TAG) -> None:
    steps.carry_out(steps.steps(where, GROUP, tag, COMMIT), execute=True)


def dated(where: Destination, tag: str = TAG) -> dict[str, str | None]:
    """Name -> digest of the dated tag, the index included."""
    names = [image.name for image in GROUP.members] + [GROUP.name]
    return {name: where.registry.digest(where.repository(name), tag) for name in names}


def test_whole_policy(host: str) -> None:
    where = place(host)
    manifests = candidates(where)
    execute(where)
    assert steps.problems_of(where, GROUP, TAG) == []
    for name, manifest in manifests.items():
        assert dated(where)[name] == manifest.digest
    index = json.loads(where.registry.manifest(where.repository(GROUP.name), "latest").content)
    assert [row["platform"] for row in index["manifests"]] == [
        {"os": "linux", "architecture": "arm64"},
        {"os": "linux", "architecture": "riscv64"},
    ]
    # The index can be followed to its last blob in its own repository.
    for row in index["manifests"]:
        for blob in where.registry.manifest(where.repository(GROUP.name), row["digest"]).blobs:
            assert where.registry.blob(where.repository(GROUP.name), blob)
    assert steps.steps(where, GROUP, TAG, COMMIT) == []


def test_dry_run_writes_nothing(host: str, capsys: pytest.CaptureFixture[str]) -> None:
    where = place(host)
    candidates(where)
    steps.carry_out(steps.steps(where, GROUP, TAG, COMMIT), execute=False)
    assert set(dated(where).values()) == {None}
    assert f"would index {host}/pypa/manylinux_2_39:{TAG}" in capsys.readouterr().err


def test_a_missing_platform_publishes_nothing(host: str) -> None:
    where = place(host)
    candidate(where, GROUP.members[0])
    with pytest.raises(errors.Failure, match="manylinux_2_39_riscv64: there is no candidate"):
        execute(where)
    assert set(dated(where).values()) == {None}


@pytest.mark.parametrize(
    ("labels", "reason"),
    [
        ({COMPLETE_LABEL: "false"}, "partial image"),
        ({REVISION_LABEL: "deadbeef"}, "built from deadbeef"),
        ({REVISION_LABEL: f"{COMMIT}-dirty"}, "uncommitted changes"),
        ({BASE_DIGEST_LABEL: ""}, f"base image is unknown, not the pinned {BASE}"),
        ({BASE_DIGEST_LABEL: "sha256:" + "1" * 64}, "base image is sha256:1+, not the pinned"),
    ],
)
def test_unfit_images_are_refused(host: str, labels: dict[str, str], reason: str) -> None:
    where = place(host)
    candidates(where, labels=LABELS | labels)
    with pytest.raises(errors.Failure, match=reason):
        execute(where)
    assert set(dated(where).values()) == {None}


@pytest.mark.parametrize(
    ("platform", "labels", "reason"),
    [
        ("linux/amd64", {}, "it is for linux/amd64, not for linux/arm64"),
        ("linux/arm/v7", {}, "it is for linux/arm, not for linux/arm64"),
        ("windows/arm64", {}, "it is for windows/arm64"),
        ("linux/arm64/v9", {}, "it is for linux/arm64/v9"),
        ("linux/arm64", {TITLE_LABEL: "manylinux_2_39_i686"}, "it says that it is manylinux_2_39_i686, not"),
        ("linux/arm64", {TITLE_LABEL: ""}, "it says that it is nothing"),
        ("linux/arm64", {TITLE_LABEL: "\x1b[2J\u202e"}, re.escape(r"it says that it is \x1b[2J\u202e, not")),
    ],
)
def test_another_image_under_the_name_of_a_platform(
    host: str, platform: str, labels: dict[str, str], reason: str
) -> None:
    """As candidate, as dated tag that is there already, and as one that is verified or rolled back to."""
    where, first = place(host), GROUP.members[0]
    candidates(where)
    right = where.registry.manifest(where.repository(first.name), push.candidate(TAG))
    wrong = candidate(where, first, labels=LABELS | labels, platform=platform, content="wrong")
    with pytest.raises(errors.Failure, match=f"manylinux_2_39_aarch64: {reason}"):
        execute(where)
    where.registry.put_manifest(where.repository(first.name), push.candidate(TAG), right)
    execute(where)
    where.registry.put_manifest(where.repository(first.name), TAG, wrong)
    with pytest.raises(errors.Failure, match=f"manylinux_2_39_aarch64: {reason}"):
        steps.steps(where, GROUP, TAG, COMMIT)
    assert any(
        re.match(f"manylinux_2_39_aarch64:{TAG}: {reason}", each) for each in steps.problems_of(where, GROUP, TAG)
    )
    with pytest.raises(errors.Failure, match=reason):
        steps.rollback_steps(where, GROUP, TAG)


@pytest.mark.parametrize("platform", ["linux/arm64", "linux/arm64/v8"])
def test_the_variant_that_goes_without_saying(host: str, platform: str) -> None:
    where = place(host)
    candidates(where)
    candidate(where, GROUP.members[0], platform=platform)
    execute(where)
    assert steps.problems_of(where, GROUP, TAG) == []


# --- What was handed over -------------------------------------------------------------------------------------


def test_a_candidate_tag_that_has_moved_publishes_what_was_handed_over(host: str) -> None:
    where = place(host)
    handed = {f"{where}/{name}": manifest.digest for name, manifest in candidates(where).items()}
    moved = candidate(where, GROUP.members[0], content="pushed by somebody else")
    steps.carry_out(steps.steps(where, GROUP, TAG, COMMIT, handed), execute=True)
    assert steps.problems_of(where, GROUP, TAG) == []
    assert dated(where) == {
        **{i.name: handed[f"{where}/{i.name}"] for i in GROUP.members},
        GROUP.name: dated(where)[GROUP.name],
    }
    assert steps.steps(where, GROUP, TAG, COMMIT, handed) == []
    with pytest.raises(errors.Failure, match="never overwritten"):
        steps.steps(where, GROUP, TAG, COMMIT, {**handed, f"{where}/{GROUP.members[0].name}": moved.digest})


def test_nothing_is_published_that_was_not_handed_over(host: str) -> None:
    where, (first, *others) = place(host), GROUP.members
    handed = {f"{where}/{name}": manifest.digest for name, manifest in candidates(where).items()}
    with pytest.raises(errors.Failure, match=f"{others[0].name}:{TAG} cannot be published: --candidates has no"):
        steps.steps(where, GROUP, TAG, COMMIT, {f"{where}/{first.name}": handed[f"{where}/{first.name}"]})
    gone = {**handed, f"{where}/{first.name}": "sha256:" + "0" * 64}
    with pytest.raises(errors.Failure, match=f"{first.name}: there is no candidate"):
        steps.steps(where, GROUP, TAG, COMMIT, gone)
    assert set(dated(where).values()) == {None}


# --- Two at once ----------------------------------------------------------------------------------------------


def test_a_newer_publisher_at_any_moment_keeps_latest(host: str) -> None:
    """The older one is interrupted before its request n, for every third n, by a newer one that publishes all."""
    proxy = registries.FailingProxy(host)
    n = 0
    try:
        while True:
            n += EACH
            direct = place(host, f"run{n}")
            for tag in (OLDER, TAG):
                candidates(direct, tag)
            plan = steps.steps(place(proxy.host, direct.namespace), GROUP, OLDER, COMMIT)
            proxy.interrupt(n, functools.partial(execute, direct, TAG))
            steps.carry_out(plan, execute=True)
            assert None not in dated(direct, OLDER).values()
            if proxy.count < n:
                break
            assert {name: direct.registry.digest(direct.repository(name), "latest") for name in dated(direct)} == dated(
                direct, TAG
            )
    finally:
        proxy.close()
    assert n > 30


def publish_other_images(where: Destination) -> None:
    for image in GROUP.members:
        candidate(where, image, content=f"another {image.name}")
    with contextlib.suppress(errors.Failure):
        execute(where)


def test_another_publisher_of_the_same_tag_at_any_moment(host: str) -> None:
    """Interrupted before request n, for every third n, by one with other images: an index is never wrong."""
    proxy = registries.FailingProxy(host)
    n, refused = 0, 0
    try:
        while True:
            n += EACH
            direct = place(host, f"run{n}")
            candidates(direct)
            plan = steps.steps(place(proxy.host, direct.namespace), GROUP, TAG, COMMIT)
            proxy.interrupt(n, functools.partial(publish_other_images, direct))
            try:
                steps.carry_out(plan, execute=True)
            except errors.Failure as error:
                assert "never overwritten" in str(error)
                refused += 1
            if proxy.count < n:
                break
            if dated(direct)[GROUP.name]:
                assert [each for each in steps.problems_of(direct, GROUP, TAG) if not each.startswith("latest")] == []
    finally:
        proxy.close()
    assert refused > 1


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
    where.registry.put_manifest(repository, push.candidate(TAG), index)
    execute(where)
    assert dated(where)[image.name] == real.digest
    assert steps.problems_of(where, GROUP, TAG) == []
    document["manifests"] = [rows[0], rows[0]]
    where.registry.put_manifest(
        repository, push.candidate(OLDER), Manifest(json.dumps(document).encode(), INDEX_TYPES[0])
    )
    with pytest.raises(errors.Failure, match="holds 2 images instead of one"):
        steps.steps(where, GROUP, OLDER, COMMIT)


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
    assert steps.problems_of(where, GROUP, OLDER) == steps.problems_of(where, GROUP, TAG) == []
    assert steps.overtaken(where, GROUP, OLDER) == TAG
    assert steps.overtaken(where, GROUP, "2026.11.21-10") == ""


def test_a_rebuild_of_the_same_commit_publishes_nothing(host: str) -> None:
    where = place(host)
    candidates(where)
    execute(where)
    before = dated(where)
    for image in GROUP.members:
        candidate(where, image, content="rebuilt")
    assert steps.steps(where, GROUP, TAG, COMMIT) == []
    assert dated(where) == before


def test_a_dated_index_is_never_overwritten(host: str) -> None:
    where = place(host)
    candidates(where)
    registries.store_image(host, where.repository(GROUP.name), TAG, LABELS, b"something else")
    with pytest.raises(errors.Failure, match="never overwritten"):
        execute(where)


@pytest.mark.parametrize("took_effect", [False, True], ids=["refused", "answer-lost"])
def test_any_request_may_fail(host: str, took_effect: bool) -> None:
    """Request n fails, for every third n: no dated tag is wrong, a mixed state is named, a second run completes it."""
    proxy = registries.FailingProxy(host)
    n = 0
    try:
        while True:
            n += EACH
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
            whole = None not in dated(where).values() and not steps.steps(where, GROUP, TAG, COMMIT)
            assert bool(steps.problems_of(where, GROUP, TAG)) != whole
            execute(where)
            assert steps.problems_of(where, GROUP, TAG) == []
    finally:
        proxy.close()
    assert n > 20


def test_rollback(host: str) -> None:
    where = place(host)
    for tag in (OLDER, TAG):
        candidates(where, tag)
        execute(where, tag)
    assert steps.problems_of(where, GROUP, TAG) == []
    steps.carry_out(steps.rollback_steps(where, GROUP, OLDER), execute=True)
    assert steps.problems_of(where, GROUP, OLDER) == []
    assert [problem.split()[0] for problem in steps.problems_of(where, GROUP, TAG)] == ["latest"] * 3
    with pytest.raises(errors.Failure, match=r"is not whole:\n  manylinux_2_39_aarch64 has no 2020\.01\.01-1"):
        steps.rollback_steps(where, GROUP, "2020.01.01-1")


def test_a_tag_of_a_day_that_has_not_come_does_not_hold_latest(host: str) -> None:
    """As a machine with a wrong clock once left it."""
    where = place(host)
    for tag in ("2099.01.01-1", TAG):
        candidates(where, tag)
        execute(where, tag)
    assert steps.overtaken(where, GROUP, TAG) == ""
    assert steps.problems_of(where, GROUP, TAG) == []


def canaries_of(manifest: Manifest, **fates: str) -> bytes:
    """What `invoke canary` writes about an image: canary -> what became of it."""
    rows = [{"name": name, "fate": fate, "reason": f"{fate} for a reason"} for name, fate in fates.items()]
    return json.dumps({"subject": manifest.digest, "canaries": rows}).encode()


def test_a_failing_canary_keeps_latest_where_it_was(host: str, tmp_path: Path) -> None:
    where = place(host)
    candidates(where, OLDER)
    execute(where, OLDER)
    before = dated(where, "latest")
    first, second = candidates(where).items()
    guarded = replace(canaries.load(), images=(first[0],))  # the other image needs none

    def judged(*accepted: str, **fates: str) -> Judged:
        return Judged({first[0]: canaries_of(first[1], **fates)} if fates else {}, accepted, guarded)

    refused = [
        (judged(), "--canaries has no results of it: `invoke canary -i "),
        (judged(psycopg2="failed", msgpack="passed"), "the canary psycopg2 failed: failed for a reason"),
        (judged("msgpack", psycopg2="failed", msgpack="passed"), "the canary psycopg2 failed"),
        (judged(psycopg2="odd", msgpack="passed"), "the canary psycopg2 failed"),
        (judged(psycopg2="excused", msgpack="untried"), "no canary passed"),
        (Judged({first[0]: canaries_of(second[1], msgpack="passed")}, (), guarded), "in another image, sha256:"),
    ]
    for results, reason in refused:
        with pytest.raises(errors.Failure, match=re.escape(f"{first[0]}: ") + ".*" + re.escape(reason)):
            steps.steps(where, GROUP, TAG, COMMIT, canaries=results)
    assert dated(where, "latest") == before
    assert set(dated(where).values()) == {None}

    accepted = judged("psycopg2", psycopg2="failed", msgpack="untried")
    steps.carry_out(steps.steps(where, GROUP, TAG, COMMIT, canaries=accepted), execute=True)
    assert dated(where, "latest") == dated(where) != before
    for name in (first[0], GROUP.name):  # what became of them goes where the image goes
        attached = referrers.document(where.registry, where.repository(name), first[1].digest, referrers.CANARIES)
        assert attached == canaries_of(first[1], psycopg2="failed", msgpack="untried")
    assert steps.steps(where, GROUP, TAG, COMMIT, canaries=accepted) == []
    with pytest.raises(
        errors.Failure, match="the canary psycopg2 failed"
    ):  # without --canaries, what is attached counts
        steps.steps(where, GROUP, TAG, COMMIT)


def test_what_canaries_have_written_is_read_from_a_directory(tmp_path: Path) -> None:
    (tmp_path / "manylinux_2_39_aarch64").mkdir()
    (tmp_path / "manylinux_2_39_aarch64" / "canaries.json").write_bytes(b"{}")
    assert Judged.read(tmp_path, ("msgpack",)).handed == {"manylinux_2_39_aarch64": b"{}"}
    assert Judged.read(None, ()).handed is None
    with pytest.raises(errors.UserError, match=r"--canaries .* is not a directory"):
        Judged.read(tmp_path / "none", ())
    with pytest.raises(errors.UserError, match="--accept-canary: no canary is called msgpac; did you mean msgpack"):
        Judged.read(tmp_path, ("msgpac",))


def test_a_dirty_tree_has_no_revision(tmp_path: Path) -> None:
    root = repository(tmp_path / "repository")
    assert steps.revision(root) == git(root, "rev-parse", "HEAD")
    (root / "new").write_text("x", encoding="utf-8")
    with pytest.raises(errors.Failure, match=r"uncommitted changes \(new\)"):
        steps.revision(root)
