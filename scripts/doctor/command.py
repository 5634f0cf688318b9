"""Says whether wheels run on the systems that their tags promise, and on which distributions.

exit status:
  0  every wheel is fit (with --for: runs there)
  1  some wheel is not
  2  wrong use, or a file that is not a wheel
"""

from __future__ import annotations

import argparse
import glob
import json
from pathlib import Path

from portable import errors

from . import checks, decoders, distributions, levels, report
from .analysis import analyse
from .instructions import Scanner
from .report import Examination
from .wheel import NotAWheel

LOADED = (checks, levels)  # importing them registers their checks


def expand(patterns: list[str]) -> list[Path]:
    """The files that arguments name; the shell may not see them, so that patterns are expanded here.

    Raises errors.UserError for what names nothing."""
    found: list[Path] = []
    for pattern in patterns:
        path = Path(pattern)
        matches = [pattern] if path.exists() else sorted(glob.glob(pattern, recursive=True))  # noqa: PTH207
        if not matches:
            raise errors.UserError(f"no file {pattern}")
        if path.is_dir():
            raise errors.UserError(f"{pattern} is a directory: give '{pattern.rstrip('/')}/*.whl'")
        found += [Path(match) for match in matches]
    return list(dict.fromkeys(found))


def examine(path: Path, scan: bool, strict: bool = False, wanted: tuple[str, ...] = ()) -> Examination:
    """The report of one file, whatever it is. Raises OSError where it cannot be read."""
    decoder = decoders.find() if scan else None
    try:
        analysis = analyse(path, Scanner(decoder) if decoder else None)
    except NotAWheel as error:
        return Examination(path.name, str(error))
    except errors.Failure as error:
        analysis = analyse(path, None)
        analysis.unscanned = str(error)
    is_x86 = any(each.elf.machine in ("x86_64", "i686") for each in analysis.native)
    if not is_x86:
        analysis.unscanned = ""
    elif scan and decoder is None:
        analysis.unscanned = "neither objdump for x86 nor the package iced-x86 is installed"
    return Examination.of(path.name, analysis, strict, wanted)


def main() -> int:
    """The command line."""
    description, _, epilog = str(__doc__).partition("\n\n")
    parser = argparse.ArgumentParser(
        description=description, epilog=epilog, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("wheel", nargs="+", metavar="WHEEL", help="a wheel, or a pattern such as '/io/*.whl'")
    parser.add_argument("--strict", action="store_true", help="warnings make a wheel unfit, too")
    parser.add_argument("--json", action="store_true", help="print JSON (docs/doctor.schema.json) instead of text")
    parser.add_argument("--no-scan", action="store_true", help="do not decode the instructions, which takes longest")
    parser.add_argument(
        "--for",
        action="append",
        default=[],
        metavar="RELEASE",
        dest="wanted",
        help="only say whether it runs there: 'RHEL 8', 'Ubuntu 20.04' (repeatable)",
    )
    options = parser.parse_args()
    wanted = tuple(dict.fromkeys(distributions.find(name) for name in options.wanted))
    reports = []
    for number, path in enumerate(expand(options.wheel)):
        found = examine(path, not options.no_scan, options.strict, wanted)
        reports.append(found)
        if not options.json:
            print(("\n" if number else "") + found.text(), flush=True)
    if options.json:
        print(json.dumps(report.document(reports), indent=2))
    elif len(reports) > 1:
        print(f"\n{report.summary(reports)}")
    if any(each.error for each in reports):
        return 2
    return 1 if any(each.fit is False for each in reports) else 0
