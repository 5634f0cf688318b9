#!/usr/bin/env python3
"""Measures what building and using an image costs, and prints a table; --write keeps it for docs/building.md.

Cold build by stage, size by layer, smoke tests on one core and on all, and what one CPython bump costs: the rebuild,
and the share of the compressed image that users download again. The image comes from local sources, as
`./build.sh --bootstrap` leaves them, so run that once before. It takes about half an hour on two cores.

--against DIRECTORY only compares cold builds: ours, and in turns with it that of another directory with a Dockerfile.
With --write, the ratios join the other figures under that directory's name: call a checkout by its commit.
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
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "scripts"))

from tests.benchmarks import paired
from tests.benchmarks.stages import DOCKERFILE, Line, stage_seconds

from catalogue import images
from catalogue.model import Image
from catalogue.paths import ROOT
from debian import base as debian_base
from engine import choose
from engine.commands import ImageBuild
from engine.engine import Engine
from host import machine
from plan import expectations
from plan.plan import Plan, Request, decide
from portable import errors, places
from smoke import passes
from sources.lock import LOCK, SOURCES, LockedPin, SourcesLock, load_lock

RESULTS = ROOT / "tests" / "benchmarks" / "results.json"
TAG = "benchmark"
COMPRESSION = 6  # what container engines use when they push a layer


@dataclass(frozen=True)
class Layer:
    """One layer: what made it, and its size in bytes, unpacked and compressed."""

    digest: str
    made_by: str
    size: int
    compressed: int


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


def build(
    image: Image, base: str, lock: Path, options: Sequence[str], engine: Engine, root: Path = ROOT
) -> tuple[float, list[Line]]:
    """Runs the build.sh of a checkout; returns the seconds it took and its output.

    Raises Failure with the last lines when it fails."""
    env = {"POLICY": image.policy.name, "PLATFORM": image.platform.name, "COMMIT_SHA": TAG}
    command = [root / "build.sh", "--base", base, "--offline", "--lock", lock, "--no-test", *options]
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


def smoke_seconds(engine: Engine, plan: Plan, jobs: int, results: Path) -> float:
    """How long the smoke tests take with that many checks at a time; `results` gets what each check took.

    Raises Failure when they do not pass."""
    start = time.monotonic()
    if not passes.run(engine, plan.reference, expectations.of(plan), jobs=jobs, json_file=results):
        raise errors.Failure("the smoke tests failed: a figure for them would mean nothing")
    return time.monotonic() - start


def longest_checks(results: Path, count: int = 10) -> dict[str, float]:
    """The checks that took longest, as `check[interpreter]` -> seconds."""
    found = {
        result["check"] + (f"[{result['interpreter']}]" if result["interpreter"] else ""): result["seconds"]
        for result in json.loads(results.read_text(encoding="utf-8"))["results"]
    }
    return dict(sorted(found.items(), key=lambda item: -item[1])[:count])


def compare(
    image: Image, interpreters: tuple[str, ...] | None, other: Path, arguments: Mapping[str, str], rounds: int
) -> dict[str, list[paired.Cost]]:
    """The costs of cold builds in turns. `other`: a checkout with a build.sh that knows ours' options, or a directory
    with a Dockerfile, which is built with these build arguments."""
    engine, base = choose.engine(), debian_base.debian_base_of(image).reference
    chosen = [*(["--interpreters", ",".join(interpreters)] if interpreters else []), "--no-cache"]

    known = [path for path in (other / "docker" / "Dockerfile", other / "Dockerfile") if path.is_file()]
    if not known:
        raise errors.UserError(f"--against {other}: there is neither docker/Dockerfile nor Dockerfile in it")
    wanted = ImageBuild(other, known[0], "localhost/benchmark:other", args=arguments, no_cache=True)
    builds = {
        paired.OURS: lambda: build(image, base, LOCK, chosen, engine),
        paired.OTHER: lambda: (
            build(image, base, LOCK, chosen, engine, other)
            if (other / "scripts").is_dir()
            else engine.call(engine.build(wanted))
        ),
    }
    return paired.in_turns(builds, lambda: paired.processor_seconds(engine), rounds)


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
    cold, lines = build(image, base, LOCK, [*chosen, "--no-cache", "--verbose"], engine)
    say(f"{cold:.0f} s; reading the layers")
    before = saved_layers(engine, plan.reference, scratch)
    cores = os.cpu_count() or 1
    smoke_times = {}
    for jobs in dict.fromkeys((1, cores)):
        say(f"smoke tests, {jobs} at a time")
        smoke_times[str(jobs)] = round(smoke_seconds(engine, plan, jobs, scratch / "smoke.json"))
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
        "longest_checks": longest_checks(scratch / "smoke.json"),
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
        *((f"  {check}", f"{seconds:.1f} s") for check, seconds in result["longest_checks"].items()),
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


def write(result: Mapping[str, Any]) -> None:
    """Keeps the figures for docs/building.md."""
    RESULTS.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")


def main() -> None:
    """Measures building, size, smoke tests and a bump of an image made of Debian."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--image", help="default: the one that --bootstrap makes")
    parser.add_argument("--interpreters", metavar="TAG,...", help="only these (default: all that the sources have)")
    parser.add_argument("--bump", default="cpython-3.11", metavar="PIN", help="whose bump to measure (%(default)s)")
    parser.add_argument(
        "--against", type=Path, metavar="DIRECTORY", help="compare cold builds with that of a checkout or a Dockerfile"
    )
    parser.add_argument("--rounds", type=int, default=2, metavar="N", help="with --against (default: %(default)s)")
    parser.add_argument(
        "--build-arg",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="with --against a Dockerfile: one of its build arguments, repeatable",
    )
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
    if options.against:
        arguments = {name: value for name, _, value in (text.partition("=") for text in options.build_arg)}
        costs = compare(image, interpreters, options.against.resolve(), arguments, options.rounds)
        print(json.dumps(costs, indent=2) if options.json else paired.table(costs, options.against.name))
        if options.write:
            ratios = {"against": options.against.name, **paired.ratios(costs)._asdict()}
            write({**json.loads(RESULTS.read_text(encoding="utf-8")), "cold_ratios": ratios})
        return
    scratch = places.state() / "benchmark"
    scratch.mkdir(parents=True, exist_ok=True)
    result = measure(image, interpreters, options.bump, scratch)
    print(json.dumps(result, indent=2) if options.json else table(result))
    if options.write:
        write(result)


if __name__ == "__main__":
    sys.exit(errors.run(main))
