"""Runs one container's checks and prints a line of JSON for each; scripts/smoke makes it readable."""

from __future__ import annotations

import argparse
import json
import os
import sys
from pathlib import Path

from . import (
    compared,
    configuration,
    descriptions,
    distribution,
    interpreters,
    layout,
    restricted,
    sboms,
    shared,
    stable_abi,
    stdlib,
    tls,
    toolchain,
    tools,
    venvs,
    verdicts,
    wheels,
)
from .context import Context, Expected
from .registry import MAIN, RESTRICTED, registry, run_jobs
from .snapshot import OUTSIDE, Snapshot

TOPICS = (
    interpreters,
    configuration,
    compared,
    stdlib,
    venvs,
    verdicts,
    wheels,
    stable_abi,
    sboms,
    toolchain,
    tools,
    tls,
    layout,
    descriptions,
    distribution,
    restricted,
    shared,
)


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m smoke", description=__doc__)
    parser.add_argument("container", nargs="?", default=MAIN, choices=(MAIN, RESTRICTED), help="the pass to run")
    parser.add_argument("--expect", type=Path, default=Path("/smoke-expect.json"), help="the expectations, as JSON")
    parser.add_argument("--wheelhouse", type=Path, default=Path("/wheelhouse"), help="wheels of the build backends")
    parser.add_argument("--only", action="append", default=[], metavar="GLOB", help="checks to run (repeatable)")
    parser.add_argument(
        "--outside",
        action="append",
        default=[],
        metavar="PATH",
        help="a mount, which is not part of the image (repeatable)",
    )
    parser.add_argument("--jobs", type=int, default=0, help="how many run at a time (default: all cores)")
    options = parser.parse_args()
    outside = OUTSIDE.union(options.outside)
    before = Snapshot.take(outside=outside) if options.container == MAIN else Snapshot({})
    expected = Expected(json.loads(options.expect.read_text(encoding="utf-8")))
    context = Context(expected, options.wheelhouse, before)
    jobs = registry.jobs(expected, options.container, options.only)
    print(json.dumps({"start": len(jobs)}), flush=True)
    # One more than there are cores: now and then one waits for what another is making.
    workers = options.jobs or (os.cpu_count() or 1) + 1
    for result in run_jobs(jobs, context, workers):
        print(result.event(), flush=True)
    print(json.dumps({"done": len(jobs)}), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
