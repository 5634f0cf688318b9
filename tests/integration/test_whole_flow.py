"""All that a published image is promised to be, with real images: two builds are pushed, published, noted, verified,
spoiled, rolled back and pruned, with everything attached.

Every command goes to two registries at once: docker-registry, which knows no referrers, and one that does. A CPython, a
package and a tool move between the builds. They take up to half an hour, so this only runs when it is asked for:
MANYLINUX_TEST_FLOW=1 MANYLINUX_BUILD_FRONTEND=podman pytest tests/integration/test_whole_flow.py
"""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.support import clients, debian_forks, registries, repositories
from tests.support.debian_forks import CATALOGUE, IMAGE, INTERPRETERS, POLICY, Fork

from catalogue import checkout
from catalogue import pins as native_pins
from engine import choose
from host.site import Site
from network import bundles, referrers
from network.oci import Manifest
from network.referrers import Artifact
from publish import attachments
from publish.cibuildwheel import CIBUILDWHEEL
from publish.destination import Destination
from publish.fitness import REVISION_LABEL
from update import python

pytestmark = [
    pytest.mark.engine,
    pytest.mark.network,
    pytest.mark.slow,
    pytest.mark.program("docker-registry", "mmdebstrap", "openssl"),
    pytest.mark.skipif(not os.environ.get("MANYLINUX_TEST_FLOW"), reason="MANYLINUX_TEST_FLOW is not set"),
]

PIN, OLD_SUITE = "cpython-3.13", "trixie"  # the other suites have a newer one
TOOL, PACKAGE = "uv", "bc"
TOOL_LOCK = f"requirements/tools/{TOOL}.txt"
ALL_KINDS = {*attachments.NAMES, bundles.BUNDLE_TYPE}
OLD_DAY = "2020-02-02T12:00:00+00:00"  # longer ago than images are kept
needs_cosign = pytest.mark.skipif(not shutil.which("cosign"), reason="there is no cosign on PATH")
needs_oras = pytest.mark.skipif(not shutil.which("oras"), reason="there is no oras on PATH")


@pytest.fixture(scope="module")
def fork() -> Iterator[Fork]:
    mirror = Site.of_this_machine().mirror
    if not mirror:
        pytest.skip("this machine has no Debian mirror")
    with debian_forks.running(choose.engine(), mirror) as made:
        yield made


@pytest.fixture(scope="module")
def published(fork: Fork) -> tuple[str, str]:
    """The tags of two images, between which a CPython, a package and a tool have moved."""
    fork.fetch()
    fork.fetch("--only", PIN, "--suite", OLD_SUITE)
    lock = fork.root / TOOL_LOCK
    now = lock.read_text(encoding="utf-8")
    (row,) = (each for each in python.locks(CATALOGUE, native_pins.read()) if str(each.path) == TOOL_LOCK)
    before = python.compile_lock(row, fork.root, constraints=[f"{TOOL}<{python.versions(now)[TOOL]}"])
    lock.write_text(before, encoding="utf-8")
    # The smoke tests know the newest CPython of a minor: the older one lacks a module and a macro that they expect.
    older = fork.release("What Debian has", OLD_DAY, tested=False)
    fork.fetch("--only", PIN)
    lock.write_text(now, encoding="utf-8")
    with (fork.root / "docker/packages/debian/base.txt").open("a", encoding="utf-8") as file:
        file.write(f"{PACKAGE}\n")
    return older, fork.release(f"Move {PIN}, {PACKAGE} and {TOOL}")


Tags = tuple[str, str]


@pytest.fixture(params=["tag", "list"])
def number(request: pytest.FixtureRequest) -> int:
    """Which of the two registries: the one where a tag lists what is attached, or the one that lists it itself."""
    return ["tag", "list"].index(request.param)


@pytest.fixture
def home(fork: Fork, number: int) -> Destination:
    return fork.homes[number]


def manifest(home: Destination, tag: str, name: str = IMAGE.name) -> Manifest:
    return home.registry.manifest(home.repository(name), tag)


def verify(fork: Fork, home: Destination, tag: str, name: str = IMAGE.name, status: int = 0) -> str:
    """What `invoke verify` says of what the fork has signed."""
    return fork.run("verify", f"{home}/{name}:{tag}", "--key", f"{fork.key}.pub", status=status)


def test_the_notes_name_what_has_moved_and_nothing_else(fork: Fork, published: Tags) -> None:
    older, newer = published
    notes = json.loads(fork.run("notes", older, newer, "--json"))
    changes = {change["text"] for section in notes["sections"] for change in section["changes"]}
    dockerfiles, locks = (
        [checkout.call("show", f"{commit}:{path}", at=fork.root) for commit in ("HEAD~", "HEAD")]
        for path in ("docker/Dockerfile", TOOL_LOCK)
    )
    was, now = (native_pins.parse(text)[PIN].version for text in dockerfiles)
    tool_was, tool_now = (python.versions(text)[TOOL] for text in locks)
    path = attachments.IN_IMAGE[referrers.DESCRIPTION]
    packages = json.loads(fork.engine.read_files(fork.reference, [path])[path])["packages"]
    (package,) = (each["source_version"] for each in packages if each["name"] == PACKAGE)
    moved = [interpreter for interpreter in INTERPRETERS if interpreter.startswith("cp313-")]
    expected = {f"`{interpreter}` {was} → {now}" for interpreter in moved}
    expected |= {f"`{TOOL}` {tool_was} → {tool_now}", f"package `{PACKAGE}` new, {package}"}
    assert expected <= changes
    about = (*moved, f"`{TOOL}`", f"`{PACKAGE}`")
    assert [text for text in changes - expected if not any(name in text for name in about)] == []


def test_both_tags_are_genuine(fork: Fork, home: Destination, published: Tags) -> None:
    commits = checkout.call("rev-list", "HEAD", at=fork.root).split()
    for tag, commit in zip(published, reversed(commits), strict=True):
        for name, images_in_it in ((IMAGE.name, 1), (POLICY.name, 1)):
            said = verify(fork, home, tag, name)
            assert said.endswith(": genuine and complete\n")
            assert f"labels: {IMAGE.name}, for linux/amd64, built from {commit}" in said
            assert f"provenance: commit {commit}, built by " in said
            for part in ("description", "SBOM"):
                assert said.count(f"{part}: the provenance names it") == images_in_it
    assert manifest(home, "latest") == manifest(home, published[1])
    assert (
        home.registry.digest(home.repository(POLICY.name), "latest") == manifest(home, published[1], POLICY.name).digest
    )


def attached(home: Destination, tag: str, name: str = IMAGE.name) -> dict[str, Manifest]:
    """Type -> manifest of what belongs to an image or to an index."""
    subject = manifest(home, tag, name)
    found = referrers.referrers(home.registry, home.repository(name), subject.digest)
    return {each.kind: each.manifest for each in found}


def test_skopeo_sees_the_same(home: Destination, published: Tags) -> None:
    for tag in published:
        for name, kinds in ((IMAGE.name, ALL_KINDS), (POLICY.name, ALL_KINDS - set(attachments.IN_IMAGE))):
            assert clients.skopeo_manifest(f"{home}/{name}:{tag}") == manifest(home, tag, name).content
            assert attached(home, tag, name).keys() == kinds
            for each in attached(home, tag, name).values():
                assert clients.skopeo_manifest(f"{home}/{name}@{each.digest}") == each.content


@needs_oras
def test_oras_sees_the_same(fork: Fork, home: Destination, published: Tags, tmp_path: Path) -> None:
    for tag in published:
        for name in (IMAGE.name, POLICY.name):
            ours = {kind: each.digest for kind, each in attached(home, tag, name).items()}
            assert clients.oras_referrers(f"{home}/{name}:{tag}") == ours
        sbom = f"{home}/{IMAGE.name}@{attached(home, tag)[referrers.SBOM].digest}"
        clients.output("oras", "pull", "--plain-http", "--output", str(tmp_path / tag), sbom)
        packages = json.loads((tmp_path / tag / "sbom.spdx.json").read_bytes())["packages"]
        assert (PACKAGE in {each["name"] for each in packages}) == (tag == published[1])
    path = attachments.IN_IMAGE[referrers.SBOM]
    inside = fork.engine.read_files(fork.reference, [path])
    assert (tmp_path / published[1] / "sbom.spdx.json").read_bytes() == inside[path]


@needs_cosign
def test_cosign_sees_the_same(
    fork: Fork, home: Destination, published: Tags, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    options = clients.cosign_options(Path(f"{fork.key}.pub"), tmp_path)
    for tag in published:
        for name in (IMAGE.name, POLICY.name):
            reference = f"{home}/{name}@{manifest(home, tag, name).digest}"
            clients.output("cosign", "verify-attestation", *options, reference)
            if "--new-bundle-format" not in options:  # the tree of cosign 2 shows no referrers
                tree = clients.output("cosign", "tree", reference)
                assert [each.digest for each in attached(home, tag, name).values() if each.digest not in tree] == []


@pytest.mark.parametrize("what", ["layers", "labels", "SBOM", "signature"])
def test_a_spoiled_part_is_refused_by_name(
    fork: Fork, number: int, home: Destination, published: Tags, what: str
) -> None:
    """One bit of what the registry stores."""
    tag, repository = published[1], home.repository(IMAGE.name)
    image, parts = manifest(home, tag), attached(home, tag)
    digest = {
        "layers": max(image.layers, key=lambda layer: layer.size).digest,
        "labels": image.configuration,
        "SBOM": parts[referrers.SBOM].layers[0].digest,
        "signature": parts[bundles.BUNDLE_TYPE].layers[0].digest,
    }[what]
    genuine = home.registry.blob(repository, digest, most=1 << 30)
    middle = len(genuine) // 2
    fork.spoil[number](repository, digest, genuine[:middle] + bytes([genuine[middle] ^ 1]) + genuine[middle + 1 :])
    said = verify(fork, home, tag, status=1)
    fork.spoil[number](repository, digest, genuine)
    assert f"REFUSED {what}: " in said and f"blobs/{digest} arrived damaged" in said
    others = {line.split(":")[0].strip() for line in said.splitlines() if "REFUSED" in line} - {f"REFUSED {what}"}
    assert others <= ({"REFUSED provenance"} if what == "labels" else set())
    assert verify(fork, home, tag).endswith(": genuine and complete\n")


def test_a_rollback_and_the_way_back(fork: Fork, published: Tags) -> None:
    for tag, command in zip(published, (["rollback", published[0]], ["manifest", POLICY.name]), strict=True):
        fork.everywhere(*command)
        for home in fork.homes:
            for name in (IMAGE.name, POLICY.name):
                assert manifest(home, "latest", name).digest == manifest(home, tag, name).digest
                assert verify(fork, home, "latest", name).endswith(": genuine and complete\n")


# --- The last ones: from here on the older image is gone ------------------------------------------------------


def test_the_older_image_goes_with_all_that_belongs_to_it(
    fork: Fork, home: Destination, published: Tags, tmp_path: Path
) -> None:
    older, newer = published
    pins = repositories.cibuildwheel(tmp_path / "cibuildwheel", {"v2.0.0": f"quay.io/pypa/{IMAGE.name}:2019.01.01-1"})
    settings = tmp_path / "gitconfig"  # nothing asks the real one
    settings.write_text(f'[url "{pins}"]\n\tinsteadOf = {CIBUILDWHEEL}\n', encoding="utf-8")
    names = (IMAGE.name, POLICY.name)
    subjects = [(name, digest) for name in names for digest in digests_of(home, older, name)]
    belonging = {
        (home.repository(name), digest): {
            each.manifest.digest for each in referrers.referrers(home.registry, home.repository(name), digest)
        }
        for name, digest in subjects
    }
    assert len(subjects) == 3 and all(belonging.values())
    proxy = registries.FailingProxy(home.registry.host)
    words = ["prune", "-r", f"{proxy.host}/{home.namespace}"]
    pruning = dataclasses.replace(fork, environment={**fork.environment, "GIT_CONFIG_GLOBAL": str(settings)})
    listed = [line for line in pruning.run(*words).splitlines() if line.startswith("would delete ")]
    pruning.run(*words, "--consent", str(len(listed)), "--execute")
    proxy.close()
    deleted = [path.removeprefix("/v2/") for method, path in proxy.log if method == "DELETE"]
    for (repository, subject), others in belonging.items():
        when = deleted.index(f"{repository}/manifests/{subject}")
        for each in others:
            assert deleted.index(f"{repository}/manifests/{each}") > when
            assert home.registry.digest(repository, each) is None
        assert home.registry.digest(repository, subject) is None
    for name in names:
        left = set(home.registry.tags(home.repository(name)))
        kept = {referrers.tag_of(digest) for digest in digests_of(home, newer, name)}
        assert {tag for tag in left if not tag.startswith("sha256-")} - {f"candidate-{newer}"} == {newer, "latest"}
        assert {tag for tag in left if tag.startswith("sha256-")} <= kept
        assert verify(fork, home, newer, name).endswith(": genuine and complete\n")


def digests_of(home: Destination, tag: str, name: str) -> list[str]:
    """The digest of a tag, and those of the images that it lists if it is an index."""
    found = manifest(home, tag, name)
    return [found.digest, *(entry.digest for entry in (found.entries if found.is_index else ()))]


def test_another_label_is_refused(fork: Fork, home: Destination, published: Tags) -> None:
    """An image that differs in one label, under the tag of the genuine one and with all that belongs to that one."""
    registry, repository, tag = home.registry, home.repository(IMAGE.name), published[1]
    genuine, parts = manifest(home, tag), attached(home, tag)
    document = json.loads(genuine.content)
    configuration = json.loads(registry.blob(repository, genuine.configuration))
    configuration["config"]["Labels"][REVISION_LABEL] = "d" * 40
    content = json.dumps(configuration).encode()
    document["config"] |= {"digest": registry.put_blob(repository, content), "size": len(content)}
    forged = Manifest(json.dumps(document).encode(), genuine.media_type)
    registry.put_manifest(repository, tag, forged)
    for kind, each in parts.items():
        part = registry.blob(repository, each.layers[0].digest, most=1 << 30)
        referrers.attach(registry, repository, forged, [Artifact(kind, kind, part, each.annotations)])
    said = verify(fork, home, tag, status=1)
    assert "REFUSED provenance: it is about another image" in said
    assert f"the image says {'d' * 40}" in said
