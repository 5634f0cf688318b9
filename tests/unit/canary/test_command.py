"""Whose fault a failure is, and what is compared with: the published image and its attached results."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest
from tests.support import registries, small_registry

from canary import command
from canary.build import CanaryBuilder, Nest
from canary.command import Baseline, Flight
from canary.needs import WheelNeeds
from canary.results import CanaryResult, CanaryResults, Fate
from catalogue import canaries, images
from catalogue.canaries import Canary
from engine.engine import Engine
from network import referrers
from network.referrers import Artifact
from network.registry import NotFound, Registry
from portable import errors, progress

CATALOGUE = images.load(overlay=images.NO_OVERLAY)
IMAGE = CATALOGUE.image("manylinux_2_28_x86_64")
ROW = canaries.load().canaries["msgpack"]
NEW, OLD = "sha256:new", "example.org/a/b@sha256:old"
ENGINE = Engine("docker", "false")  # has no image
WHEEL = WheelNeeds("m.whl", "cp313-cp313", "manylinux_2_17", {"GLIBC": "2.14"})


@dataclass
class Played(CanaryBuilder):
    """A builder whose builds end as said: reference -> reason of the failure, "" for none."""

    ends: dict[str, str] = field(default_factory=dict)
    source: str = ""

    def sdist(self, canary: Canary, directory: Path) -> Path:
        if self.source:
            raise errors.Failure(self.source)
        return directory / "s.tar.gz"

    def build(self, canary: Canary, source: Path, nest: Nest, place: Path) -> CanaryResult:
        reason = self.ends[nest.reference]
        found = CanaryResult.of(canary, Fate.FAILED if reason else Fate.PASSED, reason)
        found.wheels = () if reason else (WHEEL,)
        return found


@pytest.fixture(autouse=True)
def nests(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(command, "nest_of", lambda engine, image, reference: Nest(engine, image, reference, []))


def flown(
    tmp_path: Path, ends: dict[str, str], published: Baseline, row: Canary = ROW, source: str = ""
) -> CanaryResult:
    builder = Played(canaries.load(), ends=ends, source=source)
    flight = Flight(builder, Nest(ENGINE, IMAGE, NEW, []), published, tmp_path)
    (found,) = flight.all([row], 1, progress.Progress(quiet=True))
    return found


def test_a_failure_in_the_published_image_too_holds_nothing_back(tmp_path: Path) -> None:
    found = flown(tmp_path, {NEW: "no numpy", OLD: "no numpy"}, Baseline(OLD))
    assert found.fate is Fate.EXCUSED
    assert found.reason == "it fails in the published image, too, so not because of this one: no numpy"
    found = flown(tmp_path, {NEW: "gcc is gone", OLD: ""}, Baseline(OLD))
    assert (found.fate, found.reason) == (Fate.FAILED, "gcc is gone")
    assert found.notes == ("in the published image: passed",)
    assert flown(tmp_path, {NEW: "gcc is gone"}, Baseline()).fate is Fate.FAILED


def test_more_needs_are_the_images_fault_and_not_tried_again(tmp_path: Path) -> None:
    earlier = CanaryResult(ROW.name, ROW.in_index, ROW.version, ROW.sha256)
    earlier.wheels = (replace(WHEEL, versions={"GLIBC": "2.4"}),)
    before = Baseline(OLD, CanaryResults(IMAGE.name, "sha256:old", "", [earlier]))
    found = flown(tmp_path, {NEW: ""}, before)
    assert (found.fate, found.reason) == (Fate.FAILED, "needs more than before: GLIBC_2.14 (cp313-cp313)")
    assert flown(tmp_path, {NEW: ""}, before, replace(ROW, accepts=("GLIBC_2.14",))).fate is Fate.PASSED


def test_the_table_excuses_by_name_and_an_index_that_is_down_does_not(tmp_path: Path) -> None:
    found = flown(tmp_path, {NEW: "broken"}, Baseline(), replace(ROW, excused="upstream knows"))
    assert (found.fate, found.reason) == (Fate.EXCUSED, "upstream knows (broken)")
    found = flown(tmp_path, {}, Baseline(OLD), source="the index does not answer")
    assert (found.fate, found.reason) == (Fate.FAILED, "its source cannot be had: the index does not answer")


# --- What is published ----------------------------------------------------------------------------------------------


@pytest.fixture
def registry(monkeypatch: pytest.MonkeyPatch) -> Iterator[Registry]:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with small_registry.running() as state:
        yield Registry(state.host)


def test_the_results_come_from_what_is_attached_to_the_published_image(registry: Registry, tmp_path: Path) -> None:
    image = replace(IMAGE, registry=f"{registry.host}/acme")
    assert Baseline.find(ENGINE, image, "", None) == Baseline()  # not published yet
    with pytest.raises(NotFound):
        Baseline.find(ENGINE, image, f"{image.repository}:2026.01.01-1", None)
    stored = registries.store_image(registry.host, f"acme/{image.name}", "latest", {})
    reference = f"{image.repository}@{stored.digest}"
    assert Baseline.find(ENGINE, image, "", None) == Baseline(reference)  # from before there were canaries
    written = CanaryResults(image.name, stored.digest, "", [CanaryResult("p", "p", "1", "a" * 64)])
    artifact = Artifact(referrers.CANARIES, "canaries.json", written.as_json().encode())
    referrers.attach(registry, f"acme/{image.name}", stored, [artifact])
    found = Baseline.find(ENGINE, image, "", None)
    assert found.reference == reference
    assert found.results and found.results.as_json() == written.as_json()
    (tmp_path / "before.json").write_text(written.as_json().replace('"1"', '"2"'), encoding="utf-8")
    found = Baseline.find(ENGINE, image, "", tmp_path / "before.json")
    assert found.results and found.results.canaries[0].version == "2"


def test_a_registry_that_is_down_is_not_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    image = replace(IMAGE, registry="127.0.0.1:9/acme")
    with pytest.raises(errors.Failure, match="`--published none` compares with nothing"):
        Baseline.find(ENGINE, image, "", None)
    assert Baseline.find(ENGINE, image, "none", None) == Baseline()


def test_which_canaries_are_built() -> None:
    table = canaries.load()
    assert [each.name for each in command.chosen(table, IMAGE, ["msg*", "psycopg2"])] == ["msgpack", "psycopg2"]
    with pytest.raises(
        errors.UserError, match="--only nothing: manylinux_2_28_x86_64 has no such canary; known: bitarray"
    ):
        command.chosen(table, IMAGE, ["nothing"])
