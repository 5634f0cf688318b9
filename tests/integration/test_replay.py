"""Two years of weekly runs against upstreams some of whose lists are a month old, as caches and mirrors serve them."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from unittest import mock

import pytest
from packaging.version import Version
from tests.support.upstreams import sha256, tarball

from catalogue import dependencies
from catalogue.dependencies import Checksum, Dependency, Source
from catalogue.pins import Pin
from network import web
from network.web import Download, Head, Missing
from update import commits
from update.choice import RunContext
from update.native import Run, look
from update.report import State
from update.sightings import Sightings

START = datetime(2025, 1, 6, 4, 17, tzinfo=UTC)
WEEKS = 104
STALE = timedelta(days=30)
HOST = "https://example.org"
FILES = {f"1.{minor}.0": tarball("tool", f"1.{minor}.0") for minor in range(40)}
DIGEST = {version: sha256(content) for version, content in FILES.items()}


@dataclass
class Upstream(web.Client):
    """What one project's server says at `now`. `released` and `withdrawn`: days since START, by version."""

    released: dict[str, float]
    withdrawn: dict[str, float]
    leaves_files: bool
    now: datetime = START
    stale: bool = False
    asked: int = field(default=0)

    def __post_init__(self) -> None:
        super().__init__()

    def forget(self) -> None:
        """A new run remembers no answer."""
        self._once.clear()

    def listed(self, at: datetime) -> list[str]:
        """The versions that the true list has at a moment."""
        day = (at - START) / timedelta(days=1)
        return [v for v, since in self.released.items() if since <= day < self.withdrawn.get(v, 1e9)]

    @property
    def as_of(self) -> datetime:
        return self.now - STALE if self.stale else self.now

    def get(self, url: str, sha256: str = "") -> bytes:
        if url.endswith("/sums"):
            return "".join(f"{digest}  tool-{version}.tar.gz\n" for version, digest in DIGEST.items()).encode()
        return "".join(f'<a href="tool-{version}.tar.gz">' for version in self.listed(self.as_of)).encode()

    def modified(self, url: str) -> datetime | None:
        day = (self.as_of - START) / timedelta(days=1)
        changes = [change for change in (*self.released.values(), *self.withdrawn.values()) if change <= day]
        return START + timedelta(days=max(changes))

    def head(self, url: str) -> Head:
        self.asked += 1
        version = url.removeprefix(f"{HOST}/tool-").removesuffix(".tar.gz")
        there = self.listed(self.now)
        if version not in there and not (self.leaves_files and version in self.released):
            raise Missing(f"{url} answers 404")
        return Head(1, START + timedelta(days=self.released[version]))

    def download(self, url: str, directory: Path, sha256: str | None = None) -> Download:
        self.head(url)
        path = directory / url.rpartition("/")[2]
        version = path.name.removeprefix("tool-").removesuffix(".tar.gz")
        path.write_bytes(FILES[version])
        return Download(path, DIGEST[version])


def upstream(chance: random.Random, leaves_files: bool) -> Upstream:
    """A project with a release every month or so, one in five of which is taken back after some weeks."""
    released, withdrawn = {"1.0.0": -100.0}, {}
    day = 0.0
    for minor in range(1, 40):
        day += chance.uniform(14, 50)
        released[f"1.{minor}.0"] = day
        if chance.random() < 0.2:
            withdrawn[f"1.{minor}.0"] = day + chance.uniform(3, 35)
    return Upstream(released, withdrawn, leaves_files)


def row(leaves_files: bool) -> Dependency:
    """A row of docker/dependencies.toml for such a project."""
    model = dependencies.load()["mpdecimal"]
    return replace(
        model,
        name="tool",
        series="1",
        sources=(Source("listing", f"{HOST}/list", r"tool-(\d+\.\d+\.\d+)\.tar\.gz", "*"),),
        url=f"{HOST}/tool-{{version}}.tar.gz",
        trust=("checksum",),
        checksum=Checksum(f"{HOST}/sums", r"([0-9a-f]{64})  {file}"),
        debian=dependencies.Debian("", False, {}),
        keeps_withdrawn=leaves_files,
    )


@contextmanager
def bumped(moment: list[datetime]) -> Iterator[None]:
    with mock.patch.object(commits, "last_change", lambda *_: moment[0]):
        yield


@pytest.mark.parametrize("leaves_files", [False, True])
def test_old_lists_make_no_wrong_move(tmp_path: Path, leaves_files: bool) -> None:
    """One list in twenty is thirty days old. Nothing is ever lowered but what is withdrawn, nor taken that is."""
    lowered, moves, stale = 0, 0, 0
    for seed in range(12):
        chance = random.Random(f"{seed} {leaves_files}")
        tool, tracked = upstream(chance, leaves_files), row(leaves_files)
        pinned, since = "1.0.0", [START]
        seen = tmp_path / f"seen-{seed}.json"
        last_fresh = True
        for week in range(WEEKS):
            tool.forget()
            tool.now = START + timedelta(weeks=week, minutes=chance.uniform(-20, 20))
            tool.stale = chance.random() < 0.05
            stale += tool.stale
            context = RunContext(tool, mock.Mock(), Sightings(seen), (), tool.now, tmp_path, {}, dry_run=False)
            pin = Pin("tool", pinned, f"{HOST}/tool-{pinned}.tar.gz", DIGEST[pinned])
            run = Run({"tool": tracked}, {"tool": pin}, {"tool": ["docker/Dockerfile"]}, {}, context)
            before = tool.asked
            try:
                with bumped(since):
                    outcome = look(run, [tracked])
            except web.Unreachable:
                assert tool.stale, "only an old copy is no answer"
                continue
            finally:
                context.sightings.save()
            assert tool.asked - before < 20
            (found,) = outcome.rows
            assert found.state is not State.FAILED
            last_fresh = not tool.stale
            if not outcome.bump:
                continue
            true = tool.listed(tool.now)
            where = f"seed {seed}, week {week}: {pinned} -> {found.acceptable}, old list: {tool.stale}"
            if Version(found.acceptable) < Version(pinned):
                assert pinned not in true, where
                lowered += 1
            assert found.acceptable in true, where
            moves += 1
            pinned, since = found.acceptable, [tool.now]
        settled = [v for v in tool.listed(tool.now) if tool.released[v] < (tool.now - START).days - 30]
        assert not last_fresh or Version(pinned) >= max(map(Version, settled)), f"seed {seed} stays behind"
    assert stale > 50
    assert moves > 200
    assert lowered > 5, "what is withdrawn is given up"
