"""Answers which policy to build wheels for: the newest that all the systems can use which somebody has to serve.

Who has to be served is a share of the downloads (docker/reach.toml), releases of distributions
(docker/distributions.csv), or both. All comparisons are of C libraries (PEP 600, PEP 656).
"""

from __future__ import annotations

import argparse
import datetime
import inspect
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from packaging.specifiers import SpecifierSet

from catalogue import images
from catalogue.distributions import DistributionRelease, find_release, read_releases
from catalogue.model import Catalogue, Image
from catalogue.versions import version_key
from explain import reach
from explain.documents import THRESHOLD, percent
from explain.reach import ReachTable, Sample
from host import machine
from portable import errors
from portable.toml import near_matches

SCHEMA = 1  # of --json; grows when a key changes its meaning or goes
LITTLE = 10_000  # downloads: below it a few machines decide about a per cent
BASE_ABOVE_X86_64 = "rhel-9"  # packages of RHEL 9 and newer, which is compiled for x86-64-v2 and newer
KINDS = {"glibc": "manylinux", "musl": "musllinux"}

EPILOG = """\
exit status:
  0  there is such a policy
  1  none fits: the answer says why, and which comes nearest
  2  invalid usage: an unknown option, platform or distribution, or a bad table

examples:
  invoke choose --python '>=3.11' --platform x86_64 --reach 99
  invoke choose --distribution 'RHEL 8' --distribution 'Ubuntu 20.04'
"""


@dataclass(frozen=True)
class Audience:
    """Who has to be served. `share` is a percentage of the downloads, None where only the releases count."""

    platform: str
    pythons: SpecifierSet
    share: float | None
    releases: tuple[DistributionRelease, ...]

    def of(self, libc: str) -> list[DistributionRelease]:
        """The releases with this C library."""
        return [release for release in self.releases if release.libc == libc]


@dataclass(frozen=True)
class Candidate:
    """An image, the percentage of the downloads that its policy reaches, and what is in the way of taking it."""

    image: Image
    share: float | None
    obstacles: tuple[str, ...]


@dataclass(frozen=True)
class Selection:
    """For one C library: the images of the platform, newest first, and which was chosen or comes nearest."""

    audience: Audience
    sample: Sample
    candidates: Sequence[Candidate]

    @property
    def chosen(self) -> Candidate:
        """The newest that nothing is in the way of. Where there is none it is the oldest, which serves most."""
        return next((each for each in self.candidates if not each.obstacles), self.candidates[-1])

    @property
    def fits(self) -> bool:
        """Whether it serves all that was asked for."""
        return not self.chosen.obstacles

    @property
    def newer(self) -> Candidate | None:
        """The next newer one, which does not fit."""
        number = self.candidates.index(self.chosen)
        return self.candidates[number - 1] if number else None


def select(catalogue: Catalogue, table: ReachTable, audience: Audience) -> list[Selection]:
    """What to take for each C library that was asked for: glibc unless every release named has musl.

    Raises Failure where the platform has no image for it."""
    pythons = table.fitting(audience.pythons)
    found = []
    for libc in KINDS:
        wanted = audience.of(libc) or (libc == "glibc" and (audience.share is not None or not audience.releases))
        if not wanted:
            continue
        here = reach.newest_first(catalogue, audience.platform, libc)
        if not here:
            raise errors.Failure(f"there is no {KINDS[libc]} image for {audience.platform}")
        sample = table.sample(audience.platform, pythons if libc == "glibc" else ())
        found.append(Selection(audience, sample, [_candidate(image, audience, sample, table) for image in here]))
    return found


def _candidate(image: Image, audience: Audience, sample: Sample, table: ReachTable) -> Candidate:
    policy = image.policy
    share = sample.share(policy.libc_version) if policy.libc == "glibc" else None
    obstacles = [
        f"{release.title} has {release.libc} {release.libc_version}, and {policy.name} needs {policy.libc_version}"
        for release in audience.of(policy.libc)
        if not release.runs(policy)
    ]
    if audience.share is not None and policy.libc == "glibc":
        if share is None:
            counted = sorted(table.downloads.get(audience.platform, ()), key=version_key)
            known = f"but with {', '.join(counted)}" if counted else "nor with any other"
            obstacles.append(f"nothing was counted on {audience.platform} with Python {audience.pythons}, {known}")
        elif share < audience.share:
            obstacles.append(f"{policy.name} reaches {percent(share)}, not {audience.share:g} %")
    return Candidate(image, share, tuple(obstacles))


def caveats(selection: Selection, catalogue: Catalogue, table: ReachTable, today: datetime.date) -> list[str]:
    """What somebody who takes the chosen image should know, most important first."""
    image, audience = selection.chosen.image, selection.audience
    policy, said = image.policy, []
    for release in audience.of(policy.libc):
        retired = [
            old for old in catalogue.retired.values() if release.runs(old) and image.platform.name in old.platforms
        ]
        if retired and not release.runs(policy):
            last = f"{image.registry}/{retired[-1].name}_{image.platform.name}:{retired[-1].last_tag}"
            said.append(
                f"wheels of {retired[-1].name}, which is retired, run on {release.title}: its last image is {last}"
            )
    if not image.published:
        said.append(f"{image.name} is not published: build it with `./build.sh`")
    if policy.status == "alpha":
        older = selection.candidates[selection.candidates.index(selection.chosen) + 1 :]
        stable = next((each for each in older if each.image.policy.status == "stable"), None)
        instead = f"; the newest stable one is {stable.image.policy.name}" if stable else ""
        said.append(f"{policy.name} is alpha: it may still change in ways that break builds{instead}")
    if policy.eol < today:
        said.append(f"{policy.title} has not been maintained since {policy.eol}: its packages get no more fixes")
    if image.platform.name == "x86_64" and BASE_ABOVE_X86_64 in policy.package_sets:
        said.append(
            f"{policy.title} is compiled for x86-64-v2: a library of it that is grafted into a wheel dies of an "
            "illegal instruction on older processors"
        )
    here = {interpreter.minor for interpreter in (*image.interpreters, *image.on_demand)}
    known = sorted({*table.minors(), *here}, key=version_key)
    if not here & {minor for minor in known if reach.fits(minor, audience.pythons)}:
        said.append(f"{image.name} has no Python {audience.pythons}: it has {', '.join(sorted(here, key=version_key))}")
    if policy.libc == "musl":
        return [*said, "downloads to systems with musl are not counted, so that no share is known"]
    if 0 < selection.sample.total < LITTLE:
        said.append(f"only {selection.sample.total:,} downloads were counted: the share is a rough one")
    said.append(f"{table.bias.removesuffix('.')}: for Alpine and the like publish a musllinux wheel beside this one")
    return said


def summary(selection: Selection, catalogue: Catalogue, table: ReachTable, today: datetime.date) -> dict[str, Any]:
    """One answer for --json; percentages to two decimals, null where nothing was counted."""
    image, share, newer = selection.chosen.image, selection.chosen.share, selection.newer
    return {
        "fits": selection.fits,
        "why_not": list(selection.chosen.obstacles),
        "policy": image.policy.name,
        "tags": list(image.policy.tags),
        "image": image.repository,
        "published": image.published,
        "reaches": share,
        "loses": None if share is None else round(100 - share, 2),
        "downloads": selection.sample.total,
        "compiler": image.policy.compiler,
        "base": image.policy.title,
        "maintained_until": image.policy.eol.isoformat(),
        "maintained_note": image.policy.eol_note,
        "status": image.policy.status,
        "runs_on": [
            release.title for release in selection.audience.of(image.policy.libc) if release.runs(image.policy)
        ],
        "next_newer": newer
        and {
            "policy": newer.image.policy.name,
            "status": newer.image.policy.status,
            "reaches": newer.share,
            "why_not": list(newer.obstacles),
        },
        "caveats": caveats(selection, catalogue, table, today),
    }


def describe(answer: dict[str, Any], audience: Audience, table: ReachTable) -> str:
    """The same for people."""
    verdict = f"{answer['policy']}: {answer['image']}"
    if not answer["fits"]:
        verdict = f"no policy is known to serve all of that on {audience.platform}: {answer['policy']} comes nearest"
    lines = [("", why) for why in answer["why_not"]]
    if answer["reaches"] is not None:
        lines.append(
            (
                "reaches",
                f"{percent(answer['reaches'])} of the downloads on {audience.platform} with Python {audience.pythons}, "
                f"loses {percent(answer['loses'])} ({answer['downloads']:,} from {table.first} to {table.last})",
            )
        )
    if answer["runs_on"]:
        lines.append(("runs on", ", ".join(answer["runs_on"])))
    note = f" ({answer['maintained_note']})" if answer["maintained_note"] else ""
    lines += [
        ("compiler", answer["compiler"]),
        ("base", f"{answer['base']}, maintained until {answer['maintained_until']}{note}"),
        ("status", answer["status"]),
    ]
    if newer := answer["next_newer"]:
        lines.append(("newer", f"no: {'; '.join(newer['why_not'])}"))
    lines += [("note", caveat) for caveat in answer["caveats"]]
    return "\n".join([verdict, *(f"  {name:9} {text}" if name else f"  {text}" for name, text in lines)])


def audience(options: argparse.Namespace, catalogue: Catalogue) -> Audience:
    """What the command line asks for. Raises UserError for a name or number that cannot be."""
    platform = machine.platform(options.platform)
    if platform not in catalogue.platforms:
        raise errors.UserError(
            f"--platform: unknown platform {platform!r}{near_matches(platform, catalogue.platforms)}"
        )
    known = read_releases()
    releases = [find_release(name, known) for name in options.distribution]
    share = None if options.reach is None else _share(options.reach)
    if share is None and not releases:
        share = THRESHOLD
    asked = reach.pythons(options.python) if options.python is not None else reach.maintained(catalogue)
    return Audience(platform, asked, share, tuple(dict.fromkeys(releases)))


def _share(text: str) -> float:
    try:
        share = float(text.strip().removesuffix("%"))
    except ValueError:
        share = 0.0
    if not 0 < share <= 100:
        raise errors.UserError(f"--reach {text[:40]!r}: give a percentage of the downloads, above 0 and up to 100")
    return share


def main() -> int:
    """Says which policy to build wheels for: the newest that serves the share of downloads and the distributions named.

    It tells what share of the downloads from the Python index that policy reaches and loses, its compiler, how long its
    base is maintained, and what to look out for."""
    parser = argparse.ArgumentParser(
        description=inspect.getdoc(main), epilog=EPILOG, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--platform", default="x86_64", help="x86_64 (the default), aarch64, ...: any usual name")
    parser.add_argument(
        "--python", metavar="PYTHONS", help="as in requires-python, '>=3.11', or 3.10 (default: those still maintained)"
    )
    parser.add_argument(
        "--reach",
        metavar="PERCENT",
        help=f"the share of the downloads to serve (default: {THRESHOLD:g} unless a distribution is named)",
    )
    parser.add_argument(
        "--distribution", action="append", default=[], metavar="NAME", help="a release to serve, 'RHEL 8'; repeatable"
    )
    parser.add_argument("--json", action="store_true", help="print the answer as JSON")
    options = parser.parse_args()
    catalogue, table = images.load(), reach.load()
    asked = audience(options, catalogue)
    today = datetime.datetime.now(datetime.UTC).date()
    selections = select(catalogue, table, asked)
    answers = [summary(selection, catalogue, table, today) for selection in selections]
    fits = all(answer["fits"] for answer in answers)
    if options.json:
        document = {
            "schema": SCHEMA,
            "fits": fits,
            "platform": asked.platform,
            "pythons": str(asked.pythons),
            "reach": asked.share,
            "distributions": [release.title for release in asked.releases],
            "counted": {
                "first": table.first.isoformat(),
                "last": table.last.isoformat(),
                "source": table.source,
                "licence": table.licence,
                "bias": table.bias,
            },
            "answers": answers,
        }
        print(json.dumps(document, indent=2, ensure_ascii=False))
    else:
        print("\n\n".join(describe(answer, asked, table) for answer in answers))
    return 0 if fits else 1
