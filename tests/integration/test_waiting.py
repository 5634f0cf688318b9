"""What holds a whole set of candidates back from `latest`, each by name, against a real registry."""

from __future__ import annotations

import dataclasses
import functools
import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.support import registries
from tests.support.descriptions import description
from tests.support.repositories import git, repository

from catalogue import bases, images
from catalogue.model import Catalogue, Image
from network import referrers
from network.registry import Registry
from portable import errors
from publish import attachments, command, provenance, push
from publish.destination import Destination
from publish.fitness import BASE_DIGEST_LABEL, COMPLETE_LABEL, REVISION_LABEL, TITLE_LABEL
from publish.waiting import Candidates

pytestmark = pytest.mark.program("docker-registry")

BASE = f"sha256:{'0' * 64}"
FIRST, SECOND = "2026.11.14-1", "2026.11.21-1"
Change = Callable[[dict[str, Any]], object]


@dataclasses.dataclass
class Place:
    """A registry, a checkout, and a table of two policies: manylinux_2_39 of two platforms, musllinux_1_2 of one."""

    where: Destination
    root: Path
    catalogue: Catalogue

    def commit(self, message: str) -> str:
        git(self.root, "commit", "--quiet", "--allow-empty", "--message", message)
        return git(self.root, "rev-parse", "HEAD").strip()

    def images(self) -> list[Image]:
        return [image for group in self.catalogue.groups() for image in group.members]

    def push(self, tag: str, change: Change | None = lambda made: None, but: str = "") -> None:
        """A candidate of every image but one, with a description that `change` has changed (None: without one)."""
        commit = git(self.root, "rev-parse", "HEAD").strip()
        labels = {COMPLETE_LABEL: "true", REVISION_LABEL: commit, BASE_DIGEST_LABEL: BASE}
        for image in self.images():
            if image.name == but:
                continue
            registry, home = self.where.registry, self.where.repository(image.name)
            stored = registries.store_image(
                registry.host,
                home,
                push.candidate(tag),
                {TITLE_LABEL: image.name, **labels},
                f"{image.name} {tag}".encode(),
                image.platform.oci,
            )
            documents = {}
            if change:
                said = description(image.name)
                said["build"]["commit"] = commit
                change(said)
                documents[referrers.DESCRIPTION] = json.dumps(said).encode()
            made = provenance.of_image(image, stored, registry.configuration(home, stored), {}, commit, {})
            attachments.attach(registry, home, stored, documents, made, attachments.UNSIGNED)

    def publish(self, monkeypatch: pytest.MonkeyPatch, policy: str, tag: str) -> int:
        """`invoke manifest POLICY TAG --execute`."""
        words = ["manifest", "--registry", str(self.where), policy, tag, "--execute"]
        monkeypatch.setattr(sys, "argv", words)
        load = images.load
        monkeypatch.setattr(images, "load", lambda **given: load(**given) if given else self.catalogue)
        monkeypatch.setattr(command, "revision", lambda: git(self.root, "rev-parse", "HEAD").strip())
        monkeypatch.setattr(command, "Candidates", functools.partial(Candidates, root=self.root))
        return command.manifest()

    def latest(self) -> dict[str, str | None]:
        registry = self.where.registry
        return {image.name: registry.digest(self.where.repository(image.name), "latest") for image in self.images()}


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Place]:
    table = images.load(overlay=images.NO_OVERLAY)
    chosen = table.select(["manylinux_2_39_*", "musllinux_1_2_x86_64"])
    lines = sorted({f'"{image.policy.base}" = "{BASE}"\n' for image in chosen})
    (tmp_path / "bases.toml").write_text("".join(lines), encoding="utf-8")
    monkeypatch.setattr(bases, "BASES_TOML", tmp_path / "bases.toml")
    root = tmp_path / "checkout"
    repository(root)
    with registries.running(tmp_path) as host:
        found = Place(Destination(Registry(host), "acme"), root, dataclasses.replace(table, all_images=chosen))
        found.commit("The first images")
        found.push(FIRST)
        for policy in ("manylinux_2_39", "musllinux_1_2"):
            assert found.publish(monkeypatch, policy, FIRST) == 0
        yield found


def without_module(made: dict[str, Any]) -> None:
    made["capabilities"]["interpreters"]["cp313-cp313"]["modules"].remove("_ssl")


def newer_glibcxx(made: dict[str, Any]) -> None:
    made["capabilities"]["image"]["glibcxx"] = "3.4.32"


def another_auditwheel(made: dict[str, Any]) -> None:
    made["tools"][0]["version"] = "2.0"


LOSSES = {
    "module": (without_module, "module `_ssl`", "Accepts-Loss: module `_ssl` in *"),
    "GLIBCXX": (newer_glibcxx, "GLIBCXX", "Accepts-Loss: *GLIBCXX*"),
}


@pytest.mark.parametrize("kind", LOSSES)
def test_a_loss_keeps_latest_where_it_was(place: Place, monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    change, name, trailer = LOSSES[kind]
    before = place.latest()
    place.commit("Another image")
    place.push(SECOND, change)
    with pytest.raises(errors.Failure, match=r"manylinux_2_39:2026\.11\.21-1 waits") as raised:
        place.publish(monkeypatch, "manylinux_2_39", SECOND)
    assert name in str(raised.value)
    assert place.latest() == before
    place.commit(f"It is meant\n\n{trailer}")
    place.push("2026.11.22-1", change)
    assert place.publish(monkeypatch, "manylinux_2_39", "2026.11.22-1") == 0
    assert place.latest() != before


def test_a_graft_that_fails_on_one_platform_holds_every_policy_back(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The job of an image whose graft tests fail pushes no candidate, because `invoke push` refuses it."""
    before, failing = place.latest(), "musllinux_1_2_x86_64"
    place.commit("Another auditwheel")
    place.push(SECOND, another_auditwheel, but=failing)
    with pytest.raises(errors.Failure, match=r"auditwheel 1\.0 → 2\.0") as raised:
        place.publish(monkeypatch, "manylinux_2_39", SECOND)
    assert f"{failing} has no candidate, so its graft tests have not passed" in str(raised.value)
    assert place.latest() == before
    place.push(SECOND, another_auditwheel)  # its job ran again, and passed
    assert place.publish(monkeypatch, "manylinux_2_39", SECOND) == 0
    assert place.latest()[failing] == before[failing]
    assert place.publish(monkeypatch, "musllinux_1_2", SECOND) == 0


def test_a_person_lets_a_platform_be_without_graft_tests(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    place.commit("Another auditwheel\n\nAccepts-Ungrafted: musllinux_*")
    place.push(SECOND, another_auditwheel, but="musllinux_1_2_x86_64")
    assert place.publish(monkeypatch, "manylinux_2_39", SECOND) == 0


def test_where_nothing_grafts_otherwise_a_policy_waits_for_its_own_platforms_alone(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    place.commit("Another image")
    place.push(SECOND, but="musllinux_1_2_x86_64")
    assert place.publish(monkeypatch, "manylinux_2_39", SECOND) == 0


def test_a_description_that_vanished_is_no_permission(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    place.commit("Another image")
    place.push(SECOND, None)
    with pytest.raises(errors.Failure, match="manylinux_2_39_riscv64: its description is missing, push it again"):
        place.publish(monkeypatch, "manylinux_2_39", SECOND)


def test_a_latest_of_an_unknown_commit_leaves_a_way_out(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """A history that was rewritten lacks the commit; then the last commit alone can say that a loss is meant."""
    unknown = place.root.parent / "another"
    repository(unknown)
    place.root = unknown
    place.commit("One")
    place.commit("It is meant\n\nAccepts-Loss: module `_ssl` in *")
    place.push(SECOND, without_module)
    assert place.publish(monkeypatch, "manylinux_2_39", SECOND) == 0
