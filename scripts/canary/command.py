"""Builds canaries in an image, side by side, and says whether it may be published.

A canary that fails is built once more in the published image: if it fails there, too, the world has moved, not the
image."""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from fnmatch import fnmatchcase
from importlib.util import find_spec
from pathlib import Path

from canary.build import CanaryBuilder, Nest
from canary.results import CanaryResult, CanaryResults, Fate, compared
from catalogue import canaries, images
from catalogue.canaries import Canaries, Canary
from catalogue.model import Image
from catalogue.paths import ROOT
from engine import choose
from engine.engine import Engine
from host import inputs
from network import referrers
from network.oci import Reference
from network.registry import NotFound, Registry, only_image
from portable import errors, files, outputs
from portable.progress import Progress, say

OUTPUT = ROOT / "build" / "canaries"
NONE = "none"

EPILOG = """
exit status: 0: no canary failed, and one at least passed; 1: one failed, or none could be built; 2: invalid usage
"""


@dataclass(frozen=True)
class Baseline:
    """What is published, to compare with: a reference by digest, "" for nothing, and the results attached to it."""

    reference: str = ""
    results: CanaryResults | None = None

    @classmethod
    def find(cls, engine: Engine, image: Image, wanted: str, before: Path | None) -> Baseline:
        """`wanted`: a reference, "" for `latest`, or NONE; `before`: a file with results that override those attached.

        Raises Failure where the registry does not answer."""
        given = CanaryResults.parse(before.read_bytes(), str(before)) if before else None
        if wanted == NONE or (wanted and engine.ask(engine.inspect(wanted, "{{.Id}}"))):
            return cls("" if wanted == NONE else wanted, given)
        name = wanted or f"{image.repository}:latest"
        place = Reference.parse(name)
        registry, repository = Registry(place.host), place.repository
        try:
            named = registry.manifest(repository, place.digest or place.tag or "latest")
            manifest = only_image(registry, repository, named)
            attached = referrers.document(registry, repository, manifest.digest, referrers.CANARIES)
        except NotFound:
            if wanted:
                raise
            say(f"{name} is not published: there is nothing to compare with")
            return cls("", given)
        except errors.Failure as error:
            raise errors.Failure(f"{error}; `--published {NONE}` compares with nothing") from None
        results = CanaryResults.parse(attached, f"the canaries of {name}") if attached else None
        return cls(f"{place.host}/{repository}@{manifest.digest}", given or results)

    def of(self, canary: Canary) -> CanaryResult | None:
        """What became of a canary then."""
        rows = self.results.canaries if self.results else ()
        return next((each for each in rows if each.name == canary.name), None)


@dataclass
class Flight:
    """The canaries of one image. `place`: where wheels and logs go."""

    builder: CanaryBuilder
    nest: Nest
    published: Baseline
    place: Path

    def all(self, chosen: Sequence[Canary], jobs: int, progress: Progress) -> list[CanaryResult]:
        """Builds canaries, `jobs` at a time. After an interrupt, the running builds clean up before it raises."""

        def one(canary: Canary) -> CanaryResult:
            with progress.task(canary.name, timed=True) as task:
                result = self.one(canary)
                task.note = result.fate
            return result

        with ThreadPoolExecutor(jobs) as pool:
            futures = [pool.submit(one, canary) for canary in chosen]
            try:
                return [future.result() for future in futures]
            except BaseException:
                pool.shutdown(wait=False, cancel_futures=True)
                self.builder.stop()
                raise

    def one(self, canary: Canary) -> CanaryResult:
        """Builds a canary, compares it, and finds out whose fault a failure is."""
        place = self.place / canary.name
        try:
            source = self.builder.sdist(canary, place)
        except errors.Failure as error:  # says nothing about any image, so that nobody can say that this one is good
            return CanaryResult.of(canary, Fate.FAILED, f"its source cannot be had: {' '.join(str(error).split())}")
        result = self.builder.build(canary, source, self.nest, place)
        if result.fate is Fate.PASSED:
            result = compared(result, self.published.of(canary), canary.accepts)
        elif result.fate is Fate.FAILED and self.published.reference:
            there = self._in_published(canary, source, place / "published")
            if there.fate is Fate.FAILED:
                result.fate = Fate.EXCUSED
                result.reason = f"it fails in the published image, too, so not because of this one: {result.reason}"
                result.notes += (f"in the published image: {there.reason}",)
            else:
                result.notes += (f"in the published image: {there.fate} {there.reason}".rstrip(),)
        if result.fate is Fate.FAILED and canary.excused:
            result.fate, result.reason = Fate.EXCUSED, f"{canary.excused} ({result.reason})"
        return result

    def _in_published(self, canary: Canary, source: Path, place: Path) -> CanaryResult:
        try:
            nest = nest_of(self.nest.engine, self.nest.image, self.published.reference)
        except errors.Failure as error:
            return CanaryResult.of(canary, Fate.UNTRIED, str(error))
        return self.builder.build(canary, source, nest, place)


def nest_of(engine: Engine, image: Image, reference: str) -> Nest:
    """An image to build in, pulled if it is not here; known by its Id from then on. Raises Failure."""
    if engine.ask(engine.inspect(reference, "{{.Id}}")) is None:
        engine.call(engine.pull(reference, image.platform.oci))
    identity = engine.identity(reference)
    done = engine.contain(identity, ["manylinux-interpreters", "list", "--installed"], platform=image.platform.oci)
    if done.returncode:
        raise errors.Failure(f"{reference} does not run: {(done.stderr or done.stdout).strip()[-300:]}")
    here = done.stdout.split()
    return Nest(engine, image, identity, [each for each in image.interpreters if each.tag in here])


def chosen(table: Canaries, image: Image, patterns: Sequence[str]) -> list[Canary]:
    """The canaries of an image that globs ask for, all without any. Raises UserError for a glob that matches none."""
    known = table.of(image)
    for pattern in patterns:
        if not any(fnmatchcase(each.name, pattern) for each in known):
            names = ", ".join(each.name for each in known)
            raise errors.UserError(f"--only {pattern}: {image.name} has no such canary; known: {names}")
    found = [each for each in known if not patterns or any(fnmatchcase(each.name, p) for p in patterns)]
    if not found:
        raise errors.UserError(f"no canary of the table is for {image.name}")
    return found


def main() -> int:
    """Builds, repairs and tests real projects in an image, examines their wheels, compares them with the last time.

    The results are written to DIR/<image>/canaries.json and canaries.xml (JUnit), wheels and logs beside them."""
    parser = argparse.ArgumentParser(
        description=main.__doc__, epilog=EPILOG, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("image", help="its name in the table, such as manylinux_2_28_x86_64")
    parser.add_argument("reference", nargs="?", help="the image itself; pulled if it is not here (default: `latest`)")
    parser.add_argument("--only", action="append", default=[], metavar="GLOB", help="these canaries (repeatable)")
    parser.add_argument("--output", type=Path, default=OUTPUT, metavar="DIR", help="default: build/canaries")
    parser.add_argument("--jobs", type=int, default=0, metavar="N", help="side by side (default: one for two cores)")
    parser.add_argument(
        "--published", default="", metavar="REFERENCE", help=f"what to compare with, or {NONE} (default: `latest`)"
    )
    parser.add_argument(
        "--before", type=Path, metavar="FILE", help="compare with this canaries.json, not with the one that is attached"
    )
    parser.add_argument(
        "--table", type=Path, default=canaries.CANARIES_TOML, metavar="FILE", help="default: docker/canaries.toml"
    )
    options = parser.parse_args()
    image = images.load().image(options.image)
    reference = inputs.reference("REFERENCE", options.reference or f"{image.repository}:latest")
    if options.published not in ("", NONE):
        inputs.reference("--published", options.published)
    if options.jobs < 0:
        raise errors.UserError("--jobs must be 1 or more")
    outputs.directory("--output", options.output)
    table = canaries.load(options.table)
    wanted = chosen(table, image, options.only)
    if not find_spec("cibuildwheel"):
        raise errors.UserError("this Python has no cibuildwheel: run `./scripts/dev invoke canary`")
    engine, builder = choose.engine(), CanaryBuilder(table)
    published = Baseline.find(engine, image, options.published, options.before)
    nest, place = nest_of(engine, image, reference), options.output / image.name
    subject = Reference.parse(reference).digest or f"sha256:{nest.reference.removeprefix('sha256:')}"
    jobs = options.jobs or max(1, (os.cpu_count() or 1) // 2)
    with Progress() as progress:
        found = Flight(builder, nest, published, place).all(wanted, jobs, progress)
    results = CanaryResults(image.name, subject, published.reference, found)
    files.write(place / "canaries.json", results.as_json())
    files.write(place / "canaries.xml", results.junit())
    print(results.summary())
    return 0 if results.passed else 1
