"""Smoke-tests an image that was built or pulled before: `python3 scripts smoke IMAGE`."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from catalogue import images
from engine import choose
from host import inputs
from plan import expectations
from plan.expectations import Expectations
from plan.plan import Request, decide
from portable import errors, outputs
from smoke import passes, record
from sources.lock import load_lock
from sources.wheelhouse import WHEELHOUSE, fill_shared_wheelhouse, fill_wheelhouse, smoke_minors


def main() -> int:
    """Smoke-tests an image that was built or pulled before."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("reference", help="the image to test, such as quay.io/pypa/manylinux_2_36_x86_64:latest")
    parser.add_argument("--image", help="which image of the table it is, if its name does not say so")
    parser.add_argument("--interpreters", metavar="TAG,...", help="those it was built with, if not all of the table")
    parser.add_argument("--lock", type=Path, metavar="FILE", help="the lock of local sources that it was built from")
    parser.add_argument("--table", action="store_true", help="hold it to the table, not to what was built here last")
    parser.add_argument(
        "--expectations", type=Path, metavar="FILE", help="what to hold it to, as JSON; overrides the options above"
    )
    parser.add_argument("--print-expectations", action="store_true", help="print that JSON and test nothing")
    parser.add_argument(
        "--only", action="append", default=[], metavar="GLOB", help="run these checks only (repeatable)"
    )
    parser.add_argument("--jobs", type=int, default=0, metavar="N", help="checks at a time (default: all cores)")
    where = "the wheels that checks install, downloaded if missing (default: docker/sources/wheelhouse)"
    parser.add_argument("--wheelhouse", type=Path, default=WHEELHOUSE, metavar="DIRECTORY", help=where)
    parser.add_argument("--junit", type=Path, metavar="FILE", help="write the results as JUnit XML")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the results as JSON")
    options = parser.parse_args()
    inputs.reference("the image", options.reference)
    if options.jobs < 0:
        raise errors.UserError("--jobs must be 0 (all cores) or more")
    outputs.file("--junit", options.junit)
    outputs.file("--json", options.json)
    expected = _expectations(options)
    if options.print_expectations:
        print(json.dumps(expected, indent=2))
        return 0
    engine = choose.engine()
    minors = {interpreter["minor"] for interpreter in expected["interpreters"]}
    fill_wheelhouse([minor for minor in smoke_minors() if minor in minors], options.wheelhouse)
    fill_shared_wheelhouse(expected, options.wheelhouse)
    passed = passes.run(
        engine,
        engine.identity(options.reference),
        expected,
        wheelhouse=options.wheelhouse,
        junit=options.junit,
        json_file=options.json,
        only=options.only,
        jobs=options.jobs,
        name=options.reference,
    )
    return 0 if passed else 1


def _expectations(options: argparse.Namespace) -> Expectations:
    """What the image is held to: from the table and the request that it was built by, never from the image."""
    if options.expectations:
        remedy = "--expectations: name a file that --print-expectations has written"
        return expectations.load(options.expectations, remedy)
    recorded = record.path_of(options.reference)
    if not (options.interpreters or options.lock or options.table) and recorded.exists():
        print(
            f"held to what the last build of {options.reference} here asked for ({recorded}); --table holds it to the "
            "table instead",
            file=sys.stderr,
        )
        return expectations.load(recorded, "add --table, or build the image again")
    tags = tuple(options.interpreters.split(",")) if options.interpreters else None
    lock = load_lock(options.lock) if options.lock else None
    name = options.image or options.reference.rsplit("/", 1)[-1].split(":")[0]
    return expectations.of(decide(images.load().image(name), Request(interpreters=tags, lock=lock)))
