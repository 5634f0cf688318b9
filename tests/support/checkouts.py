"""A checkout with scripts/dev, a lock of two small packages, and a loopback index that has them."""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from tests.support import indexes, servers

from catalogue import paths


@dataclass(frozen=True)
class Checkout:
    """A project with our scripts/dev and a lock of two small packages, and the index that has them."""

    root: Path
    server: servers.Server
    index: str

    def environment(self, **variables: str) -> dict[str, str]:
        return {"PATH": "/usr/bin:/bin", "PIP_INDEX_URL": self.index, "HOME": str(self.root), **variables}

    def start(self, *command: str, **variables: str) -> subprocess.Popen[str]:
        argv = [str(self.root / "scripts/dev"), *command]
        return subprocess.Popen(
            argv, env=self.environment(**variables), text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )

    def run(self, *command: str, **variables: str) -> tuple[int, str, str]:
        process = self.start(*command, **variables)
        out, err = process.communicate(timeout=120)
        return process.returncode, out, err


def new_checkout(directory: Path, server: servers.Server) -> Checkout:
    root, wheels = directory / "a project", directory / "wheels"
    for path in (root / "requirements", wheels):
        path.mkdir(parents=True)
    shutil.copytree(paths.ROOT / "scripts", root / "scripts", ignore=shutil.ignore_patterns("__pycache__"))
    locked = [
        indexes.wheel(wheels, "nox", "1", requires=["base[more]"], command="nox"),
        indexes.wheel(wheels, "base", "1", extra="more"),
    ]
    newer = indexes.wheel(wheels, "base", "2", extra="more")
    (root / "requirements/dev.txt").write_text("".join(map(indexes.locked, locked)))
    return Checkout(root, server, indexes.offer(server, [*locked, newer]))
