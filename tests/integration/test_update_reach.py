"""update_reach against a server on loopback that has daily files as manylinux-timeline has them."""

from __future__ import annotations

import json
import lzma
import random
import re
import tomllib
import tracemalloc
from collections.abc import Iterator
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest
from tests.support import servers
from tests.support.repositories import git
from tests.support.upstreams import ROOT

from catalogue import images
from catalogue.markers import rendered
from explain import reach
from explain.documents import reach_blocks
from network import web
from portable import errors
from update import reach as update_reach

HEAD = "cpu,num_downloads,python_version,glibc_version,project\n"
FILES = (
    "README.md",
    "docker/reach.toml",
    "docs/pictures/reach-dark.svg",
    "docs/pictures/reach-light.svg",
    "docs/where-wheels-run.md",
)
PLATFORMS = ("x86_64", "i686", "aarch64", "armv7l", "ppc64le", "s390x", "riscv64")
NOISE = random.Random(1)  # names of projects that do not compress: real files are large
# What a day counts in these tests: 90 % with glibc 2.28 and newer on x86_64.
ROWS = [("x86_64", 900, "3.12", "2.39"), ("x86_64", 100, "3.13", "2.17")]
ROWS += [(platform, 10, "3.12", "2.28") for platform in PLATFORMS[1:]]
LAST = date(2026, 8, 7)


def csv(rows: list[tuple[Any, ...]], head: str = HEAD) -> bytes:
    """A day's file: each row is shared among twenty projects and more rows that count nothing swell it."""
    lines = [head]
    for cpu, count, python, glibc in rows:
        parts = [count // 20] * 19 + [count - 19 * (count // 20)]
        lines += [f"{cpu},{part},{python},{glibc},{NOISE.randbytes(8).hex()}\n" for part in parts if part]
    lines += [f"sparc,1,3.12,2.39,{NOISE.randbytes(30).hex()}\n" for _ in range(500)]
    return lzma.compress("".join(lines).encode())


class Place:
    """A repository of ours with the table and the documents, and the server with the files of days."""

    def __init__(self, directory: Path, server: servers.Server, capfd: pytest.CaptureFixture[str]) -> None:
        self.server, self._capfd, self.days = server, capfd, set[date]()
        self.repository = directory / "ours"
        for name in FILES:
            (self.repository / name).parent.mkdir(parents=True, exist_ok=True)
            text = (ROOT / name).read_text(encoding="utf-8")
            (self.repository / name).write_text(text, encoding="utf-8")
        table = reach.load()
        little = {p: {"3.12": {"2.28": 70}} for p in PLATFORMS} | {"x86_64": {"3.12": {"2.28": 7000}}}
        files = server.url("/raw/HEAD/consumer_data/{day}.csv.xz")
        table = replace(table, files=files, index=server.url("/trees/HEAD?recursive=1"), last=LAST, downloads=little)
        (self.repository / "docker" / "reach.toml").write_text(update_reach.write(table), encoding="utf-8")
        git(self.repository, "init", "--quiet")
        git(self.repository, "config", "user.name", "Tester")
        git(self.repository, "config", "user.email", "tester@example.org")
        git(self.repository, "add", ".")
        git(self.repository, "commit", "--quiet", "--message", "Start")
        self.start = git(self.repository, "rev-parse", "HEAD")

    def publish(self, last: date, body: bytes, days: int = 7) -> None:
        """The same file for some days, and the list of all files."""
        for back in range(days):
            day = last - timedelta(days=back)
            self.days.add(day)
            self.server.routes[f"/raw/HEAD/{self.path(day)}"] = servers.good(body)
        tree = [{"path": self.path(day)} for day in self.days] + [{"path": "README.md"}, {"path": "consumer_data"}]
        index = json.dumps({"tree": tree, "truncated": False}).encode()
        self.server.routes["/trees/HEAD?recursive=1"] = servers.good(index)

    @staticmethod
    def path(day: date) -> str:
        return f"consumer_data/{day:%Y/%m/%d}.csv.xz"

    def run(self, *arguments: str) -> tuple[int, dict[str, Any]]:
        """Exit status and the only row of the report."""
        status = update_reach.main(["--json", *arguments], self.repository)
        self.report = json.loads(self._capfd.readouterr().out)
        (row,) = self.report["rows"]
        assert "internal error" not in row["reason"]
        return status, row

    def read(self, name: str) -> str:
        return (self.repository / name).read_text(encoding="utf-8")

    def unchanged(self) -> bool:
        """Whether no commit was made, and no file is another one."""
        head = git(self.repository, "rev-parse", "HEAD")
        return head == self.start and not git(self.repository, "status", "--porcelain")


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Iterator[Place]:
    monkeypatch.delenv("GITHUB_STEP_SUMMARY", raising=False)
    monkeypatch.setattr(web, "LIMITS", replace(web.LIMITS, stall=2))
    with servers.running() as server:
        yield Place(tmp_path, server, capfd)


def test_a_later_week_renews_the_table_and_the_documents(place: Place) -> None:
    odd = [("x86_64", 3, "3.12", "2.20-2014"), ("x86_64", 2, "3", "2.39"), ("armv8l", 500, "3.12", "2.39")]
    place.publish(LAST + timedelta(days=60), csv([*ROWS, *odd, ("x86_64", 20, "3.16", "2.44")]))
    status, row = place.run()
    assert (status, row["state"], row["pinned"], row["acceptable"]) == (0, "update", "2026-08-07", "2026-10-06")
    assert row["reason"] == "7,560 downloads, and 35 that tell no usable version"
    shown = git(place.repository, "show", "--format=%s", "--name-only", "HEAD").splitlines()
    assert shown == ["Renew the reach of the policies 2026-08-07 → 2026-10-06", "", *FILES]
    assert git(place.repository, "log", "-1", "--format=%b").count("sha256: ") == 7
    table = reach.load(place.repository / "docker" / "reach.toml")
    assert (table.first, table.last) == (date(2026, 9, 30), date(2026, 10, 6))
    assert table.downloads["x86_64"] == {"3.12": {"2.39": 6300}, "3.13": {"2.17": 700}, "3.16": {"2.44": 140}}
    assert {p: table.downloads[p] for p in PLATFORMS[1:]} == {p: {"3.12": {"2.28": 70}} for p in PLATFORMS[1:]}
    assert set(table.downloads) == set(PLATFORMS)
    choice = next(line for line in place.read("README.md").splitlines() if line.startswith("| x86_64 | `"))
    assert choice == "| x86_64 | `manylinux2014` | 100.00 % | `manylinux_2_28`: 90.20 % | 7,140 |"
    for path, blocks in reach_blocks(images.load(overlay=images.NO_OVERLAY), table).items():
        text = place.read(str(path))
        assert rendered(text, blocks, str(path), others=True) == text
    assert place.run()[1]["state"] == "current"


def test_a_dry_run_says_what_it_would_do(place: Place) -> None:
    place.publish(LAST + timedelta(days=60), csv(ROWS))
    status, row = place.run("--dry-run")
    assert (status, row["state"], place.unchanged()) == (0, "update", True)
    (change,) = place.report["changes"]
    assert (change["subject"], change["committed"]) == (
        "Renew the reach of the policies 2026-08-07 → 2026-10-06",
        False,
    )


def test_a_tree_with_changes_is_refused(place: Place) -> None:
    place.publish(LAST + timedelta(days=60), csv(ROWS))
    (place.repository / "README.md").write_text("mine\n", encoding="utf-8")
    with pytest.raises(errors.UserError, match=r"the work tree has changes \(README\.md\)"):
        update_reach.main([], place.repository)
    assert place.read("README.md") == "mine\n"
    assert place.server.requests == []


def test_a_week_is_taken_when_it_is_four_weeks_newer(place: Place) -> None:
    place.publish(LAST, csv(ROWS))
    assert place.run()[1]["state"] == "current"
    place.publish(LAST + timedelta(days=27), csv(ROWS))
    status, row = place.run()
    assert (status, row["state"], row["reason"]) == (0, "pending", "27 days newer, to be taken after 28")
    assert place.unchanged()
    assert place.run("--no-cooldown", "reach")[1]["state"] == "update"
    assert not place.unchanged()


def test_the_newest_week_without_a_gap_is_taken(place: Place) -> None:
    place.publish(date(2026, 10, 6), csv(ROWS))
    place.publish(date(2026, 10, 11), csv(ROWS), days=4)
    status, row = place.run()
    assert (status, row["acceptable"]) == (0, "2026-10-06")
    asked = {path for _, path, _ in place.server.requests if path.startswith("/raw/")}
    assert asked == {f"/raw/HEAD/{place.path(date(2026, 10, 6) - timedelta(days=back))}" for back in range(7)}


GOOD = csv(ROWS)


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (GOOD[:-400], "is damaged"),
        (GOOD[:12_000] + b"\0" * 100 + GOOD[12_100:], "is damaged"),
        (csv(ROWS, head="cpu,downloads,python_version,glibc_version,project\n"), "has no column num_downloads"),
        (csv([*ROWS, ("x86_64", 40, "3.12", "new")]), "of 1100 downloads, 40 tell no version of Python and glibc"),
        (csv([("sparc64", 40, "3.12", "2.39")]), "of 0 downloads, 0 tell no version"),
        (lzma.compress(lzma.decompress(GOOD) + b"x86_64,-5,3.12,2.39,name\n"), "'-5' is not a number of downloads"),
        (lzma.compress(lzma.decompress(GOOD) + b"x86_64,5,3.12\n"), "3 columns, not 5"),
        (lzma.compress(lzma.decompress(GOOD) + b"x86_64,5,3.12,2.39,\xff\n"), "is damaged"),
        (lzma.compress(lzma.decompress(GOOD) + b'x86_64,5,3.12,2.39,"name\n'), "is damaged"),
        (b"<!DOCTYPE html>" + b" " * 20_000, ""),
        (b"version https://git-lfs.github.com/spec/v1\n", ""),
    ],
)
def test_a_file_of_another_form_is_refused(place: Place, body: bytes, reason: str) -> None:
    place.publish(LAST + timedelta(days=60), GOOD)
    place.server.routes[f"/raw/HEAD/{place.path(date(2026, 10, 3))}"] = servers.good(body)
    status, row = place.run()
    assert (status, row["state"], place.unchanged()) == (1, "failed", True)
    assert reason in row["reason"]
    assert "03.csv.xz" in row["reason"]


@pytest.mark.parametrize(
    ("index", "reason"),
    [
        (b"null", "expected an object"),
        (b"<html>", "this is not JSON"),
        (b'{"tree": [], "truncated": false}', "lists no file of a day"),
        (b'{"tree": [], "truncated": true}', "does not list every file"),
        (b'{"tree": [{"path": "consumer_data/2026/02/31.csv.xz"}], "truncated": false}', "is not a day"),
        (b'{"tree": [{"path": "consumer_data/2026/02/03.csv.xz"}], "truncated": false}', "no files of 7 days in a row"),
    ],
)
def test_a_list_of_another_form_is_refused(place: Place, index: bytes, reason: str) -> None:
    place.server.routes["/trees/HEAD?recursive=1"] = servers.good(index)
    status, row = place.run()
    assert (status, row["state"], place.unchanged()) == (1, "failed", True)
    assert reason in row["reason"]


@pytest.mark.parametrize(
    ("rows", "reason"),
    [
        (ROWS[:-1], "nothing was downloaded any more on riscv64"),
        ([(cpu, 3 * count, python, glibc) for cpu, count, python, glibc in ROWS], "22,260 downloads in the week to"),
        ([(cpu, count // 3, python, glibc) for cpu, count, python, glibc in ROWS], "2,457 downloads in the week to"),
    ],
)
def test_a_week_that_counts_otherwise_is_for_people_to_look_at(place: Place, rows: Any, reason: str) -> None:
    place.publish(LAST + timedelta(days=60), csv(rows))
    status, row = place.run()
    assert (status, row["state"], place.unchanged()) == (1, "failed", True)
    assert row["reason"].startswith(reason)


def test_a_host_that_does_not_answer_is_unreachable(place: Place) -> None:
    place.server.routes["/trees/HEAD?recursive=1"] = servers.status(503)
    status, row = place.run()
    assert (status, row["state"], place.unchanged()) == (1, "unreachable", True)
    assert place.run("--allow-unreachable")[0] == 0


def test_a_line_without_an_end_costs_no_memory(tmp_path: Path) -> None:
    path = tmp_path / "01.csv.xz"
    path.write_bytes(lzma.compress(HEAD.encode() + b"x" * (100 << 20), preset=0))
    tracemalloc.start()
    with pytest.raises(errors.Failure):
        update_reach.tally(path, PLATFORMS, update_reach.Tally())
    assert tracemalloc.get_traced_memory()[1] < 10 << 20
    tracemalloc.stop()


def test_a_renewed_table_keeps_what_policies_reached_before() -> None:
    table = reach.load()
    counts = update_reach.Tally().counts
    for platform, rows in table.downloads.items():
        for python, row in rows.items():
            for glibc, count in row.items():
                counts[platform, python, glibc] = count
    week = [table.last + timedelta(days=day) for day in range(30, 37)]
    after = reach.parse(tomllib.loads(update_reach.write(update_reach.renewed(table, counts, week))), "reach.toml:")
    (kept,) = after.earlier
    assert (kept.last, after.last) == (table.last, week[-1])
    catalogue = images.load(overlay=images.NO_OVERLAY)
    now = reach.shares(catalogue, table)["x86_64"]["2.28"]
    assert kept.shares["x86_64"]["2.28"] == round(100 * now) > 9000
    again = update_reach.renewed(after, counts, [day + timedelta(days=30) for day in week])
    assert [each.last for each in again.earlier] == [table.last, after.last]


def test_the_table_is_as_the_bot_writes_it() -> None:
    text = reach.REACH_TOML.read_text(encoding="utf-8")
    written = update_reach.write(reach.load())
    assert tomllib.loads(written) == tomllib.loads(text)
    assert re.sub(r"(?m)^#.*\n", "", written).strip() == re.sub(r"(?m)^#.*\n", "", text).strip()
