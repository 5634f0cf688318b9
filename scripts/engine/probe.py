"""Whether an engine really works here: it has to build a tiny image from this machine's own bash, and run it.

No registry is needed.
"""

from __future__ import annotations

import shutil
import socket
import subprocess
import uuid
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from engine.commands import ImageBuild, Mount
from engine.engine import Engine, reason
from engine.settings import containers_conf
from portable import errors, files

SECONDS = 60  # building or running the probe takes about one second where it works at all

DOCKERFILE = """\
FROM scratch
COPY root /
ARG REACH=
RUN --mount=type=secret,id=probe ["/bin/bash", "/probe.sh"]
"""
SCRIPT = """\
read -r word < /run/secrets/probe && [[ $word == probe ]] || exit 1
[[ -z $REACH ]] || exec /bin/timeout 8 /bin/bash -c "exec 3<>/dev/tcp/$REACH"
"""


class Probe:
    """A tiny image, made of this machine's bash, that an engine has to build and run."""

    def __init__(self, directory: Path, reach: tuple[str, int] | None = None) -> None:
        self.directory = directory
        self.reach = "{}/{}".format(*reach) if reach and _connects(*reach) else ""
        for program in ("bash", "timeout"):
            copy_with_libraries(program, directory / "root")
        (directory / "root" / "probe.sh").write_text(SCRIPT, encoding="utf-8")
        (directory / "Dockerfile").write_text(DOCKERFILE, encoding="utf-8")
        (directory / "secret").write_text("probe\n", encoding="utf-8")
        self.tag = f"localhost/manylinux-probe:{uuid.uuid4().hex[:12]}"

    def failure(self, engine: Engine) -> str:
        """Why the engine does not work; "" when it builds and runs the image, with a secret and a bind mount."""
        if engine.settings.limits:
            files.write(containers_conf(), engine.settings.podman_conf())
        if failure := self._build(engine, "none"):
            return failure
        mount = Mount(self.directory / "secret", "/run/secrets/probe")
        name = self.tag.replace(":", "-").rpartition("/")[2]
        failure = _failure(engine, engine.run(self.tag, ["/bin/bash", "/probe.sh"], mounts=[mount], name=name))
        if failure:
            engine.ask(engine.remove_container(name))  # it may still be running after a timeout
        engine.ask(engine.remove(self.tag))
        return failure

    def networked(self, engine: Engine) -> Engine:
        """The engine with a network from which builds reach out: the one it has, else its default, else the host's."""
        for network in dict.fromkeys((engine.settings.network, "", "host")):
            if not self._build(engine, network, self.reach):
                engine.ask(engine.remove(self.tag))
                return replace(engine, settings=replace(engine.settings, network=network))
        return engine

    def _build(self, engine: Engine, network: str, reach: str = "") -> str:
        tried = replace(engine, settings=replace(engine.settings, network=network))
        build = ImageBuild(
            self.directory,
            self.directory / "Dockerfile",
            self.tag,
            args={"REACH": reach},
            secrets={"probe": self.directory / "secret"},
            no_cache=True,
            keep_layers=False,
        )
        return _failure(tried, tried.build(build))


def _failure(engine: Engine, argv: Sequence[str]) -> str:
    try:
        done = engine.completed(argv, SECONDS)
    except subprocess.TimeoutExpired:
        return f"no answer within {SECONDS} seconds"
    except OSError as error:
        return str(error)
    return reason(done.stderr or done.stdout) if done.returncode else ""


def _connects(host: str, port: int) -> bool:
    try:
        with socket.create_connection((host, port), timeout=5):
            return True
    except OSError:
        return False


def copy_with_libraries(program: str, root: Path) -> None:
    """Copies a dynamically linked program to /bin below `root`, with its libraries and those that look up names.

    Raises Failure when the program is not on PATH."""
    source = shutil.which(program)
    if source is None:
        raise errors.Failure(f"there is no {program} on PATH to test container engines with")
    listed = subprocess.run(["ldd", source], capture_output=True, text=True).stdout
    libraries = [word for line in listed.splitlines() for word in line.split() if word.startswith("/")]
    directories = {Path(library).parent for library in libraries}
    libraries += [str(path) for directory in directories for path in directory.glob("libnss_[df]*.so.2")]
    for path, place in ((source, f"/bin/{program}"), *((library, library) for library in libraries)):
        copy = root / place.lstrip("/")
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, copy)
