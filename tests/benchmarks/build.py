#!/usr/bin/env python3
"""Measures what building and using an image costs, and prints a table; --write keeps the figures that README quotes.

Cold build by stage, size by layer, smoke tests on one core and on all, and what one CPython bump costs: the rebuild,
and the share of the compressed image that users download again. The image comes from local sources, as
`./build.sh --bootstrap` leaves them, so run that once before. It takes about half an hour on two cores.
"""

from __future__ import annotations

import argparse
import gzip
import hashlib
import io
import json
import os
import re
import subprocess
import sys
import tarfile
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "scripts"))

from catalogue import images
from catalogue.model import Image
from catalogue.paths import ROOT
from debian import base as debian_base
from engine import choose
from engine.engine import Engine
from host import machine
from plan import expectations
from plan.plan import Plan, Request, decide
from portable import errors, places
from smoke import passes
from sources.lock import LOCK, SOURCES, LockedPin, SourcesLock, load_lock

DOCKERFILE = ROOT / "docker" / "Dockerfile"
RESULTS = ROOT / "tests" / "benchmarks" / "results.json"
TAG = "benchmark"
COMPRESSION = 6  # what container engines use when they push a layer


class Line(NamedTuple):
    """One line of a build's output, and when it came: seconds since the build began."""

    seconds: float
    text: str


@dataclass(frozen=True)
class Layer:
    """One layer: what made it, and its size in bytes, unpacked and compressed."""

    digest: str
    made_by: str
    size: int
    compressed: int


# --- Stages -----------------------------------------------------------------------------------------------------------


def stage_seconds(lines: Sequence[Line]) -> dict[str, float]:
    """How long each stage took from its first to its last step, side by side with the others; longest first."""
    found = _buildkit_stages(lines) or _podman_stages(lines)
    return dict(sorted(((stage, took) for stage, took in found.items() if took > 0), key=lambda item: -item[1]))


def _buildkit_stages(lines: Sequence[Line]) -> dict[str, float]:
    """`#23 [stage 3/4] RUN ...` names a step, `#23 DONE 92.1s` ends it."""
    stage: dict[str, str] = {}
    found: dict[str, float] = {}
    for line in lines:
        if match := re.match(r"#(\d+) \[(?:\S+ )?([\w.-]+) +\d+/\d+\] ", line.text):
            stage[match[1]] = match[2]
        elif (match := re.match(r"#(\d+) DONE ([\d.]+)s", line.text)) and match[1] in stage:
            name = stage[match[1]]
            found[name] = found.get(name, 0.0) + float(match[2])
    return found


def _podman_stages(lines: Sequence[Line], parents: Mapping[str, str] | None = None) -> dict[str, float]:
    """`[3/72] STEP 1/5: FROM id AS stage` begins a stage; `--> id` ends a step, the last one of its parent.

    `parents`: which stage each stage is built from; podman prints its id only. Default: as the Dockerfile says."""
    parents = stage_parents(DOCKERFILE.read_text(encoding="utf-8")) if parents is None else parents
    began: dict[str, float] = {}
    made: dict[str, float] = {}
    result: dict[str, str] = {}
    for line in lines:
        if match := re.match(r"\[\d+/\d+\] STEP 1/\d+: FROM (\S+) AS (\S+)", line.text):
            began.setdefault(match[2], line.seconds)
            result[parents.get(match[2], "")] = match[1][:11]
        elif match := re.match(r"--> ([0-9a-f]{11})", line.text):
            made.setdefault(match[1], line.seconds)
    return {stage: made[result[stage]] - start for stage, start in began.items() if result.get(stage) in made}


def stage_parents(dockerfile: str) -> dict[str, str]:
    """Stage -> the stage it is built from; where a switch decides, the one that really builds something."""
    stages = re.findall(r"(?m)^FROM (\S+) AS (\S+)$", dockerfile)
    real = {match[1]: name for _, name in stages if (match := re.match(r"(?:component|interpreter|tool)-(.+)", name))}
    return {name: real.get(name, source) if source.startswith("${") else source for source, name in stages}


# --- Layers -----------------------------------------------------------------------------------------------------------


def layers(archive: Path, dockerfile: str | None = None) -> list[Layer]:
    """The layers of an image saved with `save`, in order; steps that changed nothing are left out.

    podman does not note which stage a COPY took from: the last ones are those of the Dockerfile's stage `image`."""
    copies = _copied_stages(DOCKERFILE.read_text(encoding="utf-8") if dockerfile is None else dockerfile)
    with tarfile.open(archive) as tar:
        (entry,) = json.loads(_member(tar, "manifest.json"))
        config = json.loads(_member(tar, entry["Config"]))
        history = [step for step in config["history"] if not step.get("empty_layer")]
        steps = [describe_step(step.get("created_by", "")) for step in history]
        unnamed = [number for number, step in enumerate(steps) if step.startswith("COPY ")]
        for number, stage in zip(reversed(unnamed), reversed(copies), strict=False):
            steps[number] = stage
        return [
            Layer(digest, made_by, *_sizes(_member(tar, name)))
            for digest, made_by, name in zip(config["rootfs"]["diff_ids"], steps, entry["Layers"], strict=True)
        ]


def _copied_stages(dockerfile: str) -> list[str]:
    """What each COPY of the stage `image` copies: the name of a stage, else the first file."""
    stage = re.search(r"^FROM \S+ AS image\n(.*?)(?=^FROM |\Z)", dockerfile, re.MULTILINE | re.DOTALL)
    return re.findall(r"^COPY (?:--from=)?(\S+)", stage[1], re.MULTILINE) if stage else []


def _member(tar: tarfile.TarFile, name: str) -> bytes:
    file = tar.extractfile(name)
    if file is None:
        raise errors.Failure(f"{name} is not a file of the saved image")
    return file.read()


def _sizes(blob: bytes) -> tuple[int, int]:
    plain = gzip.decompress(blob) if blob.startswith(b"\x1f\x8b") else blob
    return len(plain), len(gzip.compress(plain, COMPRESSION, mtime=0))


def downloaded_again(old: Iterable[Layer], new: Sequence[Layer]) -> float:
    """The share of the compressed image that somebody who has the old one downloads; 0.08 is 8 %."""
    have = {layer.digest for layer in old}
    return sum(layer.compressed for layer in new if layer.digest not in have) / sum(layer.compressed for layer in new)


def describe_step(made_by: str) -> str:
    """What made a layer, in a few words: the stage it was copied from, else the script that ran."""
    if match := re.search(r"--from=([\w.-]+)", made_by):
        return match[1]
    if (match := re.search(r"build_scripts/([\w-]+)\.sh", made_by)) and not made_by.startswith("COPY "):
        return match[1]
    return re.sub(r"\s+", " ", re.sub(r"^/bin/\S+ (?:-\w+ )?(?:#\(nop\) )?", "", made_by)).strip()[:48] or "base image"


# --- A bump -----------------------------------------------------------------------------------------------------------


def bumped(tarball: Path, target: Path) -> str:
    """Writes a CPython tarball that differs in one line and its date, as a new release would. Returns its sha256."""
    target.unlink(missing_ok=True)
    with tarfile.open(tarball) as source, tarfile.open(target, "w:xz", preset=1) as result:
        for member in source:
            content = source.extractfile(member) if member.isfile() else None
            data = content.read() if content else b""
            if member.name.endswith("/Lib/this.py"):
                data += b"# A new release.\n"
                member.size = len(data)
                member.mtime += 1000
            result.addfile(member, io.BytesIO(data) if member.isfile() else None)
    return hashlib.sha256(target.read_bytes()).hexdigest()


def bump_lock(lock: SourcesLock, pin: str, sources: Path) -> SourcesLock:
    """The lock with one CPython moved to a release made here; its tarball is beside the real one."""
    row = lock["pins"][pin]
    real = sources / row["file"]
    target = real.with_name(f"bumped-{real.name.partition('.tar')[0]}.tar.xz")
    digest = bumped(real, target)
    moved: LockedPin = {
        **row,
        "sha256": digest,
        "url": f"https://example.org/{target.name}",
        "file": str(target.relative_to(sources)),
    }
    return {**lock, "pins": {**lock["pins"], pin: moved}}


# --- Measuring --------------------------------------------------------------------------------------------------------


def build(image: Image, base: str, lock: Path, options: Sequence[str], engine: Engine) -> tuple[float, list[Line]]:
    """Runs build.sh; returns the seconds it took and its output. Raises Failure with the last lines when it fails."""
    env = {"POLICY": image.policy.name, "PLATFORM": image.platform.name, "COMMIT_SHA": TAG}
    command = [ROOT / "build.sh", "--base", base, "--offline", "--lock", lock, "--no-test", *options]
    start = time.monotonic()
    with subprocess.Popen(
        list(map(str, command)),
        env={**os.environ, **env, "MANYLINUX_BUILD_FRONTEND": engine.name},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
    ) as process:
        assert process.stdout is not None
        lines = [Line(time.monotonic() - start, text.rstrip("\n")) for text in process.stdout]
    if process.returncode:
        raise errors.Failure("the build failed:\n" + "\n".join(line.text for line in lines[-30:]))
    return time.monotonic() - start, lines


def saved_layers(engine: Engine, reference: str, directory: Path) -> list[Layer]:
    """The layers of an image of the engine."""
    archive = directory / "image.tar"
    archive.unlink(missing_ok=True)
    engine.call(engine.command("save", "--output", str(archive), reference))
    try:
        return layers(archive)
    finally:
        archive.unlink(missing_ok=True)


def smoke_seconds(engine: Engine, plan: Plan, jobs: int) -> float:
    """How long the smoke tests take with that many checks at a time. Raises Failure when they do not pass."""
    start = time.monotonic()
    if not passes.run(engine, plan.reference, expectations.of(plan), jobs=jobs):
        raise errors.Failure("the smoke tests failed: a figure for them would mean nothing")
    return time.monotonic() - start


def say(text: str) -> None:
    """Tells people how far we are."""
    print(f"==> {text}", file=sys.stderr, flush=True)


def measure(image: Image, interpreters: tuple[str, ...] | None, bump: str, scratch: Path) -> dict[str, Any]:
    """All figures, as JSON-ready data."""
    if not LOCK.exists():
        raise errors.UserError(f"{LOCK} does not exist: run `./build.sh --bootstrap` once")
    engine = choose.engine()
    base = debian_base.debian_base_of(image).reference
    lock = load_lock(LOCK)
    request = Request(interpreters=interpreters, lock=lock, base=base, tag=TAG)
    plan = decide(image, request)
    chosen = ["--interpreters", ",".join(interpreters)] if interpreters else []
    say(f"cold build of {', '.join(i.tag for i in plan.interpreters)} with {engine.name}")
    cold, lines = build(image, base, LOCK, [*chosen, "--no-cache"], engine)
    say(f"{cold:.0f} s; reading the layers")
    before = saved_layers(engine, plan.reference, scratch)
    cores = os.cpu_count() or 1
    smoke_times = {}
    for jobs in dict.fromkeys((1, cores)):
        say(f"smoke tests, {jobs} at a time")
        smoke_times[str(jobs)] = round(smoke_seconds(engine, plan, jobs))
    say("building again with nothing changed")
    warm, _ = build(image, base, LOCK, chosen, engine)
    moved = scratch / "lock.json"
    moved.write_text(json.dumps(bump_lock(lock, bump, SOURCES)), encoding="utf-8")
    say(f"rebuilding with {bump} moved")
    rebuild, _ = build(image, base, moved, chosen, engine)
    after = saved_layers(engine, plan.reference, scratch)
    return {
        "image": image.name,
        "engine": engine.name,
        "cores": cores,
        "machine": machine.platform(),
        "interpreters": [i.tag for i in plan.interpreters],
        "cold_seconds": round(cold),
        "stages": {name: round(seconds) for name, seconds in stage_seconds(lines).items()},
        "size": sum(layer.size for layer in before),
        "compressed": sum(layer.compressed for layer in before),
        "layers": [{"made_by": layer.made_by, "size": layer.size, "compressed": layer.compressed} for layer in before],
        "smoke_seconds": smoke_times,
        "unchanged_seconds": round(warm),
        "bump": bump,
        "bump_seconds": round(rebuild),
        "downloaded_again": round(downloaded_again(before, after), 4),
    }


def table(result: Mapping[str, Any]) -> str:
    """The figures for people."""
    megabytes = 1_000_000
    rows = [
        ("cold build", f"{result['cold_seconds']} s"),
        *((f"  {name}", f"{seconds} s") for name, seconds in result["stages"].items() if seconds >= 5),
        ("build with nothing changed", f"{result['unchanged_seconds']} s"),
        (f"rebuild after a bump of {result['bump']}", f"{result['bump_seconds']} s"),
        ("  to download again", f"{100 * result['downloaded_again']:.1f} %"),
        *((f"smoke tests, {jobs} at a time", f"{seconds} s") for jobs, seconds in result["smoke_seconds"].items()),
        ("image", f"{result['size'] / megabytes:.0f} MB, compressed {result['compressed'] / megabytes:.0f} MB"),
        *(
            (f"  {row['made_by']}", f"{row['size'] / megabytes:.1f} MB, {row['compressed'] / megabytes:.1f} MB")
            for row in result["layers"]
            if row["size"] >= megabytes / 10
        ),
    ]
    width = max(len(name) for name, _ in rows)
    title = f"{result['image']} with {', '.join(result['interpreters'])}; {result['engine']}, {result['cores']} cores"
    return "\n".join([title, "", *(f"{name:<{width}}  {value}" for name, value in rows), ""])


def main() -> None:
    """Measures building, size, smoke tests and a bump of an image made of Debian."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--image", help="default: the one that --bootstrap makes")
    parser.add_argument("--interpreters", metavar="TAG,...", help="only these (default: all that the sources have)")
    parser.add_argument("--bump", default="cpython-3.11", metavar="PIN", help="whose bump to measure (%(default)s)")
    parser.add_argument("--write", action="store_true", help=f"keep the figures in {RESULTS.relative_to(ROOT)}")
    parser.add_argument("--json", action="store_true", help="print JSON instead of the table")
    options = parser.parse_args()
    catalogue = images.load()
    image = (
        catalogue.image(options.image)
        if options.image
        else catalogue.find(catalogue.bootstrap_policy, machine.platform())
    )
    interpreters = tuple(options.interpreters.split(",")) if options.interpreters else None
    scratch = places.state() / "benchmark"
    scratch.mkdir(parents=True, exist_ok=True)
    result = measure(image, interpreters, options.bump, scratch)
    print(json.dumps(result, indent=2) if options.json else table(result))
    if options.write:
        RESULTS.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    sys.exit(errors.run(main))
