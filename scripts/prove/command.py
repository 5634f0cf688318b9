"""Runs wheels in real root file systems, and compares what happens with what the doctor predicts.

exit status:
  0  every wheel runs wherever it was tried
  1  some wheel fails somewhere, or the doctor was wrong
  2  invalid usage, or a file that is not a wheel
"""

from __future__ import annotations

import argparse
import json
import shutil
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from doctor import command as doctor
from doctor import distributions
from doctor.wheel import NotAWheel
from host import machine
from portable import errors, outputs, scratch
from portable.progress import say
from prove import roots, trial
from prove.trial import Evidence

SCHEMA = 1  # of --json
LEVELS = ("v2", "v3", "v4")  # in the counts of a scan: instructions above x86-64-v1
EMULATOR = "qemu-x86_64-static"
V1_ROOT = "debian-12"  # in which the old processor is emulated


def predicted(wheel: Path) -> dict[str, Any]:
    """What the doctor says of a wheel, as its JSON has it, and whether it has instructions `above` x86-64-v1.

    Raises UserError for what is not a wheel."""
    report = doctor.examine(wheel, scan=True)
    if report.analysis is None:
        raise errors.UserError(f"{wheel}: {report.error}")
    scans = [each.scan for each in report.analysis.objects]
    return {**report.as_json(), "above": any(scan is None or any(map(scan.counts.get, LEVELS)) for scan in scans)}


def chosen(names: list[str]) -> list[str]:
    """The releases that names or globs stand for, all without any. Raises UserError for one that has no root."""
    known, found = roots.known(), list[str]()
    for name in names:
        releases = [release for release in known if fnmatchcase(release, name)] or [distributions.find(name)]
        if releases[0] not in known:
            raise errors.UserError(f"--for {name}: docker/roots.toml has no image of it; known: {', '.join(known)}")
        found += releases
    return list(dict.fromkeys(found)) or list(known)


def prove(wheel: Path, releases: list[str], processor: bool) -> list[Evidence]:
    """Tries a wheel in the roots of releases. Raises UserError for what is not a wheel for Linux."""
    said = predicted(wheel)
    if said["kind"] != "linux":
        raise errors.UserError(f"{wheel.name} has no object for Linux: there is nothing to prove")
    platform = said["platforms"][0]
    verdicts = {each["id"]: each for each in said["distributions"]}
    outcomes = []
    with scratch.directory() as directory:
        work = directory / "work"
        work.mkdir(mode=0o755)
        try:
            installed = trial.install(wheel, work / "site", said)
        except NotAWheel as error:
            raise errors.UserError(str(error)) from None
        for release in releases:
            verdict = verdicts.get(release)
            if verdict is None:
                continue  # no such release for this platform or C library
            outcome = Evidence(release, bool(verdict["runs"]), tuple(verdict["reasons"]))
            outcomes.append(outcome)
            if any("older than the tag" in reason for reason in outcome.reasons):
                outcome.predicted, outcome.skipped = None, "older than the tag: pip does not take the wheel"
                continue
            try:
                outcome.trials = trial.run(roots.obtain(release, platform), work, installed)
            except errors.Failure as error:
                outcome.skipped = str(error)
        if processor and platform == "x86_64" and said["libc"] == "glibc":
            outcomes.append(old_processor(work, installed, outcomes))
    return outcomes


def old_processor(work: Path, installed: trial.Installed, others: list[Evidence]) -> Evidence:
    """The wheel on a processor of x86-64-v1, emulated; what fails there as everywhere says nothing about it."""
    prediction = trial.runs_on_old_processors(installed.said["findings"], installed.said["above"])
    outcome = Evidence("x86-64-v1", prediction, ())
    emulator = shutil.which(EMULATOR)
    if not emulator:
        outcome.skipped = f"{EMULATOR} is missing: apt-get install qemu-user-static"
        return outcome
    shutil.copy(emulator, work / EMULATOR)
    try:
        root = roots.obtain(V1_ROOT, "x86_64")
        tried = trial.run(root, work, installed, (f"/mnt/{EMULATOR}", *trial.OLD_PROCESSOR))
    except errors.Failure as error:
        outcome.skipped = str(error)
        return outcome
    outcome.trials = [each for each in tried if not each.problem or each.problem == trial.SIGILL]
    return outcome


def text(wheel: str, outcomes: list[Evidence]) -> str:
    """A table for people."""
    lines = [wheel]
    for each in outcomes:
        said = {True: "runs", False: "fails", None: "-"}[each.predicted]
        mark = "  DIFFERENT: the doctor is wrong, please report it" if each.differs else ""
        lines.append(f"  {each.root:18} predicted {said:6} happened {each.happened}{mark}")
        lines += [f"    {each.skipped}"] if each.skipped else []
        lines += [f"    {trial.what} {trial.name}: {trial.problem}" for trial in each.failures[:8]]
        open_ = [trial for trial in each.trials if trial.problem and not trial.decided]
        lines += [f"    (not decided here) {trial.what} {trial.name}: {trial.problem}" for trial in open_[:4]]
    return "\n".join(lines)


def junit(results: dict[str, list[Evidence]]) -> str:
    """The results as JUnit XML: a suite a wheel, a case a root."""
    top = ElementTree.Element("testsuites")
    for wheel, outcomes in results.items():
        failed = sum(each.differs or bool(each.failures) for each in outcomes)
        suite = ElementTree.SubElement(top, "testsuite", name=wheel, tests=str(len(outcomes)), failures=str(failed))
        for each in outcomes:
            case = ElementTree.SubElement(suite, "testcase", classname="prove", name=each.root)
            problems = [f"{trial.what} {trial.name}: {trial.problem}" for trial in each.failures]
            problems += ["the doctor predicted something else"] if each.differs else []
            if each.skipped:
                ElementTree.SubElement(case, "skipped", message=each.skipped)
            elif problems:
                ElementTree.SubElement(case, "failure", message=ascii(problems[0])).text = ascii("\n".join(problems))
    ElementTree.indent(top)
    return ElementTree.tostring(top, encoding="unicode", xml_declaration=True) + "\n"


def main() -> int:
    """The command line."""
    description, _, epilog = str(__doc__).partition("\n\n")
    parser = argparse.ArgumentParser(
        description=description, epilog=epilog, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("wheel", nargs="+", metavar="WHEEL", help="a wheel, or a pattern such as 'dist/*.whl'")
    parser.add_argument(
        "--for",
        action="append",
        default=[],
        metavar="RELEASE",
        dest="wanted",
        help="only there: 'Debian 12', 'debian-*' (repeatable; default: everywhere)",
    )
    parser.add_argument("--no-processor", action="store_true", help="do not emulate a processor of x86-64-v1")
    parser.add_argument("--junit", type=Path, metavar="FILE", help="write the results as JUnit XML")
    parser.add_argument("--json", action="store_true", help="print JSON instead of text")
    options = parser.parse_args()
    outputs.file("--junit", options.junit)
    releases, results = chosen(options.wanted), dict[str, list[Evidence]]()
    for wheel in doctor.expand(options.wheel):
        results[wheel.name] = prove(wheel, releases, not options.no_processor)
        if not options.json:
            print(text(wheel.name, results[wheel.name]), flush=True)
    every = [outcome for outcomes in results.values() for outcome in outcomes]
    if options.junit:
        options.junit.write_text(junit(results), encoding="utf-8")
    if options.json:
        rows = [{"wheel": name, "outcomes": [each.as_json() for each in row]} for name, row in results.items()]
        print(json.dumps({"schema": SCHEMA, "machine": machine.platform(), "wheels": rows}, indent=2))
    if not any(each.trials for each in every):
        raise errors.Failure("nothing could be tried anywhere, see above")
    if any(each.differs for each in every):
        say("the doctor predicted something else than what happened: that is an error of ours, please report it")
    return 1 if any(each.differs or each.failures for each in every) else 0
