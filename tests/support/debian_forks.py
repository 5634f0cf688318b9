"""A fork whose images can be built of what the Debian archive has, and two registries in which it publishes them."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.support import registries, repositories, small_registry

from catalogue import checkout, images, paths
from catalogue import pins as native_pins
from debian import base as debian_base
from engine.engine import Engine
from host.mirror import Mirror
from network.registry import Registry
from publish.destination import Destination
from smoke import record
from sources.lock import load_lock

CATALOGUE = images.load(overlay=images.NO_OVERLAY)
POLICY = CATALOGUE.policies[CATALOGUE.bootstrap_policy]
IMAGE = CATALOGUE.find(POLICY.name, "x86_64")
INTERPRETERS = ["cp39-cp39", "cp311-cp311", "cp313-cp313", "cp313-cp313t"]  # whose sources Debian has


@dataclass(frozen=True)
class Fork:
    """A clone of the repository whose images can be built of what Debian has, and two registries for them.

    `homes`: docker-registry, which knows no referrers, and a registry that does; `spoil`: what stores something else as
    a blob of a repository of each."""

    root: Path
    engine: Engine
    homes: tuple[Destination, Destination]
    spoil: tuple[Callable[[str, str, bytes], None], ...]
    environment: dict[str, str]

    @property
    def key(self) -> Path:
        return self.root.parent / "key"

    @property
    def reference(self) -> str:
        return f"{self.homes[0]}/{IMAGE.name}:latest"

    def run(self, *words: str, status: int = 0) -> str:
        """What `invoke word...` prints."""
        done = subprocess.run(
            [sys.executable, "-m", "invoke", *words],
            cwd=self.root,
            env={**os.environ, **self.environment},
            capture_output=True,
            text=True,
        )
        assert done.returncode == status, f"{words}: {done.stdout[-5000:]}{done.stderr[-5000:]}"
        return done.stdout

    def everywhere(self, *words: str) -> str:
        """The same, writing to both registries."""
        return self.run(*words, *(word for home in self.homes for word in ("-r", str(home))), "--execute")

    def edit(self, name: str, old: str, new: str) -> None:
        path = self.root / name
        text = path.read_text(encoding="utf-8")
        assert old in text, name
        path.write_text(text.replace(old, new), encoding="utf-8")

    def fetch(self, *options: str) -> None:
        """Moves pins of the Dockerfile to what the Debian archive has."""
        command = [sys.executable, "scripts", "prefetch", "--from", "debian", "--no-wheels", *options]
        subprocess.run(command, cwd=self.root, env={**os.environ, **self.environment}, check=True)
        lock, dockerfile = self.root / "docker/sources/lock.json", self.root / "docker/Dockerfile"
        text = dockerfile.read_text(encoding="utf-8")
        for name, row in load_lock(lock)["pins"].items():
            url = f"https://{row['url'].partition('://')[2]}"  # as pins are written; the file itself is there already
            text = native_pins.replace(text, name, version=row["version"], url=url, sha256=row["sha256"])
        dockerfile.write_text(text, encoding="utf-8")
        lock.unlink()  # from now on the Dockerfile pins these files

    def release(self, message: str, day: str = "", tested: bool = True) -> str:
        """Commits, builds, tests, pushes and publishes; returns the tag. `tested` False: it only says that it was."""
        repositories.git(self.root, "add", "--all")
        repositories.git(self.root, "commit", "--quiet", "--message", message, date=day)
        self.run("build", "-i", IMAGE.name, "--options", "--offline" if tested else "--offline --no-test")
        if not tested:
            record.note_pass(self.engine, self.reference, True)
        self.everywhere("push", "-i", IMAGE.name, "--sign-key", str(self.key))
        self.everywhere("manifest", POLICY.name, "--sign-key", str(self.key))
        return checkout.version_tag(self.root)


@contextlib.contextmanager
def two_registries(directory: Path) -> Iterator[tuple[Registry, Registry, Callable[..., None], Callable[..., None]]]:
    """One without and one with referrers; of each, how to spoil a blob."""
    with registries.running(directory) as plain, small_registry.running() as state:
        yield Registry(plain), Registry(state.host), registries.spoiler(directory), state.spoil


@contextlib.contextmanager
def running(engine: Engine, mirror: Mirror) -> Iterator[Fork]:
    """The fork, its base in the first registry; what it builds loses its names afterwards."""
    local = debian_base.ensure_base(engine, debian_base.debian_base_of(IMAGE), mirror)
    with tempfile.TemporaryDirectory() as name, two_registries(Path(name)) as (plain, listing, *spoil):
        root = Path(name, "fork")
        repositories.git(paths.ROOT, "clone", "--quiet", str(paths.ROOT), str(root))
        repositories.git(root, "checkout", "--quiet", "--orphan", "fork")  # whose first commit may be of any day
        pinned = f"{plain.host}/acme/debian"
        push = engine.command("push", *engine.without_tls(pinned), f"{pinned}:12")
        engine.call(engine.tag(local, f"{pinned}:12"))
        engine.call(push)
        engine.call(engine.untag(f"{pinned}:12"))
        digest = plain.manifest("acme/debian", "12").digest
        (root / "docker/bases.toml").write_text(f'"{pinned}:12" = "{digest}"\n', encoding="utf-8")
        overlay = root / "docker/images.local.toml"
        rows = {"registry": f"{plain.host}/acme", "images": [IMAGE.name], "interpreters": INTERPRETERS}
        overlay.write_text("".join(f"{key} = {json.dumps(value)}\n" for key, value in rows.items()), encoding="utf-8")
        if (known := paths.DOCKER / "sources").exists():
            shutil.copytree(known, root / "docker/sources", dirs_exist_ok=True)
        subprocess.run(
            ["openssl", "genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-out", f"{name}/key"],
            check=True,
        )
        subprocess.run(["openssl", "pkey", "-in", f"{name}/key", "-pubout", "-out", f"{name}/key.pub"], check=True)
        homes = (Destination(plain, "acme"), Destination(listing, "acme"))
        made = Fork(root, engine, homes, tuple(spoil), {"MANYLINUX_IMAGES_OVERLAY": str(overlay)})
        made.edit("docker/images.toml", f'base = "{POLICY.base}"', f'base = "{pinned}:12"')
        made.edit("docker/images.toml", '"git-lfs", ', "")  # upstream's binary, which Debian does not have
        yield made
        for reference in (made.reference, f"{pinned}@{digest}"):
            engine.ask(engine.untag(reference))
