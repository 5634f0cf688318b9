"""The choice of a container engine: the first that works here, with the settings it needs.

docker-buildx, docker and podman (4.3 and newer) are tried in this order, each with every executable of its name on
PATH. A podman that fails is tried again with other settings. The podman and settings that worked are remembered in the
state directory.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from engine.commands import ENGINES, executable_of
from engine.engine import Engine
from engine.probe import Probe
from engine.settings import EngineSettings
from portable import errors, files, places, scratch

FRONTEND = "MANYLINUX_BUILD_FRONTEND"  # the variable that names an engine


@dataclass(frozen=True)
class Attempt:
    """An engine that was tried, and why it does not work."""

    engine: Engine
    reason: str

    def __str__(self) -> str:
        settings = f" with {self.engine.settings}" if str(self.engine.settings) else ""
        return f"{self.engine.name} ({self.engine.executable}){settings}: {self.reason}"


def engine(reach: tuple[str, int] | None = None) -> Engine:
    """The engine that MANYLINUX_BUILD_FRONTEND names, or the first that works if it names none.

    `reach` is a host and port that builds need. Raises UserError for an unknown name, Failure when no engine works:
    what was tried, why it failed, what to do."""
    name = wanted()
    working, attempts = find(name, reach)
    if working:
        return working
    tried = listed(attempts)
    if name:
        what = f"{FRONTEND}={name} does not work here" + (tried or f": there is no {executable_of(name)} on PATH")
    else:
        what = "no container engine works here" + (tried or ": there is neither docker nor podman on PATH")
    raise errors.Failure(
        f"{what}\nInstall or start docker (with buildx) or podman; on Debian, as root, "
        "`./build.sh --bootstrap` does that for you."
    )


def wanted(env: Mapping[str, str] = os.environ) -> str:
    """The name that MANYLINUX_BUILD_FRONTEND has; "" for any engine. Raises UserError for an unknown one."""
    name = env.get(FRONTEND, "")
    if name and name not in ENGINES:
        raise errors.UserError(f"{FRONTEND}={name}: it must be one of {', '.join(ENGINES)}")
    return name


def listed(attempts: Sequence[Attempt]) -> str:
    """The attempts for the end of a message, each on a line of its own."""
    return "".join(f"\n  {attempt}" for attempt in attempts)


def find(name: str = "", reach: tuple[str, int] | None = None) -> tuple[Engine | None, list[Attempt]]:
    """The first engine that works, or None; and the attempts that failed before it."""
    attempts: list[Attempt] = []
    with scratch.directory() as directory:
        probe = None
        for engine in candidates(name):
            probe = probe or Probe(directory, reach)
            if failure := probe.failure(engine):
                attempts.append(Attempt(engine, failure))
                continue
            engine = probe.networked(engine)
            if engine.is_podman:
                _remember(engine)
            return engine, attempts
    return None, attempts


def candidates(name: str = "") -> Iterator[Engine]:
    """The engines to try, in order; podman with the settings that worked last time, then with more and more of them."""
    remembered = _remembered()
    for kind in (name,) if name else ENGINES:
        for executable in _on_path(executable_of(kind)):
            tried = list(_ladder()) if kind == "podman" else [EngineSettings()]
            if _selinux():  # once more without labels: where these are the reason, all of the others fail
                tried += [replace(settings, unlabelled=True) for settings in tried]
            if remembered and (remembered.name, remembered.executable) == (kind, executable):
                tried.insert(0, remembered.settings)
            for settings in dict.fromkeys(tried):
                yield Engine(kind, executable, settings)


def _ladder() -> Iterator[EngineSettings]:
    """podman's settings, from none to the most unusual."""
    own_mounts = os.geteuid() == 0 and not _root_is_mount_point()
    runtimes = [path for runtime in ("runc", "crun") if (path := shutil.which(runtime))]
    for storage in ("", "vfs"):
        yield EngineSettings(own_mounts=own_mounts, storage=storage)
        yield EngineSettings(own_mounts=own_mounts, limits=True, storage=storage)
        for runtime in runtimes:
            yield EngineSettings(own_mounts=own_mounts, limits=True, runtime=runtime, storage=storage)


def _selinux() -> bool:
    return Path("/sys/fs/selinux/enforce").exists()


def _root_is_mount_point() -> bool:
    text = Path("/proc/self/mountinfo").read_text(encoding="utf-8")
    return any(line.split()[4] == "/" for line in text.splitlines())


def _on_path(executable: str) -> list[str]:
    """Every executable of that name on PATH, each file once."""
    found: dict[Path, str] = {}
    for directory in os.get_exec_path():
        path = Path(directory, executable)
        # Not Path.is_file, which raises for a directory that we may not look into, such as one of root's.
        if os.path.isfile(path) and os.access(path, os.X_OK):  # noqa: PTH113
            found.setdefault(path.resolve(), str(path))
    return list(found.values())


def _memory() -> Path:
    return places.state() / "podman.json"


def _remembered() -> Engine | None:
    try:
        row = json.loads(_memory().read_text(encoding="utf-8"))
        return Engine(row["name"], row["executable"], EngineSettings(**row["settings"]))
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _remember(engine: Engine) -> None:
    files.write(_memory(), json.dumps(asdict(engine), indent=2) + "\n")
