"""The command `vulnerabilities`: what is known of what images hold, as Markdown, JSON or OpenVEX."""

from __future__ import annotations

import argparse
import datetime
import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from catalogue import images
from catalogue.markers import markdown_table
from explain.descriptions import Described, described
from network import web
from portable import files, outputs
from watch import advisories
from watch.vulnerabilities import Assessment, KnownVulnerability, assess, mended_by, openvex, summary

EPILOG = """
WHAT and each --newer: a dated tag, `latest` or a digest of the images; one image as host/repository:tag or @digest; a
manifest.json, or a directory with IMAGE/manifest.json.

exit status: 0: the report is complete; 1: somebody did not answer or, with --strict, something is known; 2: invalid
usage
"""


def main() -> int:
    """Says which vulnerabilities are known of what images hold, what mends them, and what nobody can say.

    Packages are compared with their distribution's own data, Debian's from this machine's mirror; OSV is asked about
    the rest."""
    parser = argparse.ArgumentParser(
        description=main.__doc__, epilog=EPILOG, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("what", metavar="WHAT", nargs="?", default="latest", help="default: latest")
    parser.add_argument("-i", "--image", action="append", default=[], metavar="GLOB", help="repeatable (default: all)")
    parser.add_argument(
        "--newer",
        action="append",
        default=[],
        metavar="WHAT",
        help="later images, oldest first, to say which of them mends what; repeatable",
    )
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="print JSON, see docs/vulnerabilities.md")
    form.add_argument("--openvex", action="store_true", help="print what does not apply, as OpenVEX 0.2.0")
    parser.add_argument("--output", type=Path, metavar="FILE", help="write to it instead of standard output")
    parser.add_argument("--strict", action="store_true", help="end with 1 if something is known")
    options = parser.parse_args()
    outputs.file("--output", options.output)
    catalogue, table = images.load(), advisories.load()
    client = web.Client()
    wanted = catalogue.wanted(options.image)

    def assessed(what: str) -> dict[str, tuple[Described, Assessment]]:
        found = described(what, wanted)
        distributions = {name: catalogue.image(name).policy.distribution for name in found}
        return {name: (each, assess(each.manifest, table, distributions[name], client)) for name, each in found.items()}

    newer = [(what, assessed(what)) for what in options.newer]
    reports = [
        (each, found, [(what, later[name][1]) for what, later in newer if name in later])
        for name, (each, found) in assessed(options.what).items()
    ]
    if options.openvex:
        documents = [openvex(found, catalogue.source, _moment(each)) for each, found, _ in reports]
        text = json.dumps(documents[0] if len(documents) == 1 else documents, indent=2) + "\n"
    elif options.json:
        rows = [summary(found, later) for _, found, later in reports]
        text = json.dumps({"schema": 1, "images": rows}, indent=2) + "\n"
    else:
        text = "\n".join(markdown(found, later) for _, found, later in reports)
    if options.output:
        files.write(options.output, text)
    else:
        sys.stdout.write(text)
    assessments = [each for _, found, later in reports for each in (found, *(one for _, one in later))]
    silent = dict.fromkeys(reason for each in assessments for reason in each.silent)
    for reason in silent:
        print(f"error: {reason}", file=sys.stderr)
    return 1 if silent or (options.strict and any(found.findings for _, found, _ in reports)) else 0


def _moment(image: Described) -> str:
    """The date of the commit that an image was built from, in ISO 8601."""
    seconds = image.manifest["build"]["date"].number()
    return datetime.datetime.fromtimestamp(seconds, datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def markdown(found: Assessment, newer: Sequence[tuple[str, Assessment]]) -> str:
    """The report for people: one row for each part and version."""
    return "\n".join(_lines(found, newer)) + "\n"


def _lines(found: Assessment, newer: Sequence[tuple[str, Assessment]]) -> Iterator[str]:
    rows: dict[tuple[str, str, str], list[KnownVulnerability]] = {}
    for finding in found.findings:
        rows.setdefault((finding.kind, finding.part, finding.version), []).append(finding)
    yield f"# Known vulnerabilities of {found.image}"
    yield ""
    yield f"{len({f.id for f in found.findings})} are known, of {len({part for _, part, _ in rows})} parts."
    for kind, title in (("ours", "What the images add"), ("distribution", "Packages of the distribution")):
        here = {key: findings for key, findings in rows.items() if key[0] == kind}
        if here:
            yield f"\n## {title}\n"
            headings = ["part", "here", "in", "known", "mended in", *(["mended by the image"] if newer else [])]
            yield markdown_table(headings, [_row(key, findings, newer) for key, findings in here.items()]).rstrip("\n")
    if found.not_affected:
        yield "\n## Known, and not applying here\n"
        for finding, excuse in found.not_affected:
            yield f"- {finding.id} of {finding.part} {finding.version}: {excuse.reason} ({excuse.why})"
    if found.silent:
        yield "\n## Incomplete: these did not answer\n"
        yield from (f"- {reason}" for reason in found.silent)
    if found.unread:
        yield "\n## Not known\n"
        for part, reason in sorted(found.unread.items()):
            yield f"- {part}: {reason}"


def _row(
    key: tuple[str, str, str], findings: Sequence[KnownVulnerability], newer: Sequence[tuple[str, Assessment]]
) -> list[str]:
    _, part, version = key
    fixed = dict.fromkeys(version for finding in findings for version in finding.fixed)
    within = dict.fromkeys(name for finding in findings for name in finding.within)
    row = [part, version, ", ".join(within), ", ".join(f.id for f in findings), ", ".join(fixed)]
    if newer:
        tags = {mended_by(finding, newer) or "none" for finding in findings}
        row.append(", ".join(sorted(tags)))
    return row
