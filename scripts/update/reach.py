"""Renews docker/reach.toml: how many downloads a policy serves, from a week of the daily files of manylinux-timeline.

The documents and pictures that quote it go into the same commit. Nobody signs the files: each must have the form that
it had, and a week must count about as much as the week before.
"""

from __future__ import annotations

import csv
import functools
import json
import lzma
import os
import re
import tempfile
import tomllib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, timedelta
from pathlib import Path

from catalogue import images, paths
from catalogue.markers import rendered
from catalogue.versions import version_key
from explain import reach
from explain.documents import reach_blocks
from explain.reach import EarlierReach, ReachTable
from network import web
from network.answers import Answer
from pictures.files import reach_files
from portable import errors
from update import pipeline
from update.pipeline import Bump, Outcome, Subject
from update.report import Row, State

REACH = "docker/reach.toml"
NAME = "reach"
WINDOW = 7  # days, so that every day of the week counts once
COOLDOWN = 28  # days between two renewals: the figures move slowly, and each renewal rewrites README
KEPT = 24  # earlier dates: two years
MOST_MALFORMED = 0.02  # of a day's downloads; a handful of systems tell versions like 2.20-2014
MOST_CHANGED = 2.0  # times as many, or as few, downloads as in the week before
LONGEST_LINE = 1000  # characters
COLUMNS = ("cpu", "num_downloads", "python_version", "glibc_version")

_DAY = re.compile(r"consumer_data/(\d{4})/(\d\d)/(\d\d)\.csv\.xz")
_PYTHON, _GLIBC, _COUNT = re.compile(r"2\.7|3\.\d{1,2}"), re.compile(r"2\.\d{1,2}"), re.compile(r"\d{1,12}")
_HEAD = """\
# How many downloads from the Python index were made with which glibc, by platform and Python. `nox -s update_reach`
# writes this file, `invoke choose` and the documents read it. A line is a Python; a policy reaches the downloads whose
# glibc is not older than its own. A figure for several Pythons is made of the sums of their downloads.
# Counted by manylinux-timeline, Copyright (c) 2013 Charlie Denton, (c) 2020 Matthieu Darbois, BSD 2-Clause License.

"""

Counts = Counter[tuple[str, str, str]]  # by platform, Python and glibc


@dataclass
class Tally:
    """What files said: the downloads by platform, Python and glibc, and of how many a version made no sense."""

    counts: Counts = field(default_factory=Counter)
    malformed: int = 0


def days(client: web.Client, table: ReachTable) -> list[date]:
    """The days there are files of, oldest first. Raises Failure where the list is of another form or has none."""
    answer = Answer.parse(client.get(table.index), table.index)
    if answer["truncated"].flag():
        raise errors.Failure(f"{table.index} does not list every file")
    found = []
    for entry in answer["tree"].rows():
        if match := _DAY.fullmatch(entry["path"].text()):
            try:
                found.append(date(*map(int, match.groups())))
            except ValueError:
                raise errors.Failure(f"{table.index}: {match[0]} is not a day") from None
    if not found:
        raise errors.Failure(f"{table.index} lists no file of a day")
    return sorted(found)


def newest_week(there: Iterable[date]) -> list[date]:
    """The last days in a row, as many as a week has. Raises Failure without any."""
    known = set(there)
    for last in sorted(known, reverse=True):
        week = [last - timedelta(days=back) for back in reversed(range(WINDOW))]
        if known.issuperset(week):
            return week
    raise errors.Failure(f"there are no files of {WINDOW} days in a row")


def tally(path: Path, platforms: Iterable[str], into: Tally) -> None:
    """Adds a day's file to a tally, line by line: memory does not grow with its length.

    Raises Failure for a file that is damaged or has not the columns it had."""
    known, day, malformed = frozenset(platforms), 0, 0
    try:
        for cpu, count, python, glibc in _rows(path):
            if not _COUNT.fullmatch(count):
                raise errors.Failure(f"{path.name}: {count[:40]!r} is not a number of downloads")
            if cpu not in known:
                continue
            day += int(count)
            if _PYTHON.fullmatch(python) and _GLIBC.fullmatch(glibc):
                into.counts[cpu, python, glibc] += int(count)
            else:
                malformed += int(count)
    except (lzma.LZMAError, EOFError, UnicodeDecodeError, csv.Error) as error:
        raise errors.Failure(f"{path.name} is damaged: {error}") from None
    if not day or malformed > MOST_MALFORMED * day:
        raise errors.Failure(f"{path.name}: of {day} downloads, {malformed} tell no version of Python and glibc")
    into.malformed += malformed


def _rows(path: Path) -> Iterator[list[str]]:
    """The columns that count of each row of a compressed file."""
    with lzma.open(path, "rt", encoding="utf-8", newline="") as stream:
        reader = csv.reader(iter(lambda: stream.readline(LONGEST_LINE), ""), strict=True)
        head = next(reader, [])
        if missing := set(COLUMNS) - set(head):
            raise errors.Failure(f"{path.name} has no column {', '.join(sorted(missing))}")
        at = [head.index(name) for name in COLUMNS]
        for row in reader:
            if len(row) != len(head):
                raise errors.Failure(f"{path.name}, line {reader.line_num}: {len(row)} columns, not {len(head)}")
            yield [row[number] for number in at]


def renewed(table: ReachTable, counts: Counts, week: Sequence[date]) -> ReachTable:
    """The table with other counts. Raises Failure where they are not about what they were."""
    found: dict[str, dict[str, dict[str, int]]] = {}
    for (platform, python, glibc), count in counts.items():
        if count:
            found.setdefault(platform, {}).setdefault(python, {})[glibc] = count
    if missing := set(table.downloads) - set(found):
        raise errors.Failure(f"nothing was downloaded any more on {', '.join(sorted(missing))}")
    before = sum(sum(row.values()) for rows in table.downloads.values() for row in rows.values())
    now = counts.total()
    if not before / MOST_CHANGED <= now <= before * MOST_CHANGED:
        raise errors.Failure(
            f"{now:,} downloads in the week to {week[-1]}, {before:,} in that to {table.last}: look what has changed; "
            f"if it is right, raise MOST_CHANGED in {Path(__file__).name}"
        )
    return replace(table, first=week[0], last=week[-1], downloads=found, earlier=(*table.earlier, kept(table))[-KEPT:])


def kept(table: ReachTable) -> EarlierReach:
    """What stays of a table that is renewed: what each policy reached, for the trend."""
    found = reach.shares(images.load(overlay=images.NO_OVERLAY), table)
    whole = {name: {glibc: round(100 * share) for glibc, share in row.items()} for name, row in found.items()}
    return EarlierReach(table.last, whole)


def write(table: ReachTable) -> str:
    """The text of docker/reach.toml."""
    texts = {name: getattr(table, name) for name in ("source", "licence", "files", "index", "bias")}
    lines = [f"{name} = {json.dumps(text, ensure_ascii=False)}\n" for name, text in texts.items()]
    lines += [f"first = {table.first}\n", f"last = {table.last}\n"]
    for platform in sorted(table.downloads):
        lines.append(f"\n[downloads.{platform}]\n")
        for python in sorted(table.downloads[platform], key=version_key):
            row = table.downloads[platform][python]
            cells = ", ".join(f'"{glibc}" = {row[glibc]}' for glibc in sorted(row, key=version_key))
            lines.append(f'"{python}" = {{ {cells} }}\n')
    for each in table.earlier:
        lines.append(f"\n[[earlier]] # hundredths of a percent, by the glibc of the policy\nlast = {each.last}\n")
        for platform in sorted(each.shares):
            row = each.shares[platform]
            cells = ", ".join(f'"{glibc}" = {row[glibc]}' for glibc in sorted(row, key=version_key))
            lines.append(f"shares.{platform} = {{ {cells} }}\n")
    return _HEAD + "".join(lines)


def look(client: web.Client, table: ReachTable, eager: bool) -> Outcome:
    """What there is since the table's last day. Raises Failure where files are not what they were."""
    week = newest_week(days(client, table))
    newer = (week[-1] - table.last).days
    pinned, newest = str(table.last), str(week[-1])
    if newer <= 0:
        return Outcome([Row(NAME, pinned, State.CURRENT, newest=newest, acceptable=pinned)])
    if newer < COOLDOWN and not eager:
        reason = f"{newer} days newer, to be taken after {COOLDOWN}"
        return Outcome([Row(NAME, pinned, State.PENDING, reason, newest=newest, acceptable=pinned)])
    known, found, files = images.load(overlay=images.NO_OVERLAY).platforms, Tally(), []
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as directory:
        for day in week:
            url = table.files.replace("{day}", day.strftime("%Y/%m/%d"))
            file = client.download(url, Path(directory))
            tally(file.path, known, found)
            file.path.unlink()
            files.append(f"{url}\nsha256: {file.sha256}")
    after = renewed(table, found.counts, week)
    reason = f"{found.counts.total():,} downloads, and {found.malformed:,} that tell no usable version"
    row = Row(NAME, pinned, State.UPDATE, reason, newest=newest, acceptable=newest)
    return Outcome([row], _bump(after, pinned, "\n".join([*files, reason])))


def _bump(table: ReachTable, before: str, body: str) -> Bump:
    def edit(read: Callable[[str], str]) -> Mapping[str, str]:
        text = write(table)
        catalogue = images.load(overlay=images.NO_OVERLAY)
        after = reach.parse(tomllib.loads(text), f"{REACH}:")
        blocks, pictures = reach_blocks(catalogue, after), reach_files(catalogue, after)
        changed = {
            str(path): rendered(read(str(path)), parts, str(path), others=True) for path, parts in blocks.items()
        }
        return {REACH: text, **changed, **{str(path): picture for path, picture in pictures.items()}}

    return Bump(f"Renew the reach of the policies {before} → {table.last}", body, edit)


def main(arguments: Sequence[str] | None = None, root: Path = paths.ROOT) -> int:
    """Looks for newer counts of downloads, and renews the table of each policy's reach and what documents say of it."""
    options = pipeline.parse(str(main.__doc__), arguments)
    table = reach.load(root / REACH)
    client = web.Client(os.environ.get("GITHUB_API_TOKEN") or os.environ.get("GITHUB_TOKEN"))
    subject = Subject({NAME: str(table.last)}, functools.partial(look, client, table, NAME in options.no_cooldown))
    return pipeline.run("Reach of the policies", [subject], options, root)
