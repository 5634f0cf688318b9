"""A container engine at work: it runs commands, streams builds, and leaves no container behind when it is stopped."""

from __future__ import annotations

import contextlib
import os
import re
import shlex
import signal
import subprocess
import threading
import time
import uuid
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from catalogue import checkout
from engine.commands import Commands
from portable import errors, files, places, scratch

_ABSENT = re.compile(r"(?i)no such file|could not be found|could not find|not found")  # docker's and podman's words


@dataclass(frozen=True)
class Engine(Commands):
    """A container engine of this machine, which runs the argument lists of `Commands`."""

    def launcher(self) -> str:
        """A program that starts the engine with its settings: the engine itself, or a script in the state directory."""
        env = self.settings.env()
        if not env and not self.settings.own_mounts:
            return self.executable
        path = places.state() / "bin" / Path(self.executable).name
        exports = "".join(f"export {key}={shlex.quote(value)}\n" for key, value in env.items())
        files.write(path, f'#!/bin/sh\n{exports}exec {shlex.join(self.command())} "$@"\n')
        path.chmod(0o755)
        return str(path)

    def exports_cache(self, local: bool) -> bool:
        """Whether builds can export their layers and import them again; `local`: builds on images of this machine.

        The builder's driver decides. Docker's own cannot, unless Docker stores images with containerd."""
        if self.name != "docker-buildx":
            return False
        said = self.ask(self.command("buildx", "inspect", *(["default"] if local else [])))
        drivers = re.findall(r"(?m)^Driver:\s*(\S+)", said or "")
        if drivers != ["docker"]:
            return bool(drivers)
        return "containerd.snapshotter" in (self.ask(self.command("info", "--format", "{{.DriverStatus}}")) or "")

    def environment(self) -> dict[str, str]:
        """The environment in which the argument lists run."""
        # buildx runs git as well, and labels images with its answers if BUILDX_GIT_LABELS is set.
        settled = places.settled(checkout.environment())
        inherited = {key: value for key, value in settled.items() if not key.startswith("BUILDX_GIT_")}
        return {**inherited, **self.env}

    def completed(self, argv: Sequence[str], seconds: float | None = None) -> subprocess.CompletedProcess[str]:
        """Runs one of the argument lists; returns its status and output. Raises TimeoutExpired after `seconds`."""
        return subprocess.run(
            argv,
            env=self.environment(),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=seconds,
        )

    def call(self, argv: Sequence[str]) -> None:
        """Runs one of the argument lists. Raises Failure, with the engine's reason, when it fails."""
        done = self.completed(argv)
        if done.returncode:
            verb = argv[list(argv).index(self.executable) + 1]
            raise errors.Failure(f"{self.name} {verb}: {reason(done.stderr or done.stdout)}")

    def ask(self, argv: Sequence[str]) -> str | None:
        """Runs one of the argument lists; returns what it prints, stripped, or None when it fails."""
        done = self.completed(argv)
        return None if done.returncode else done.stdout.strip()

    def contain(
        self, reference: str, argv: Sequence[str], seconds: float | None = None, **options: Any
    ) -> subprocess.CompletedProcess[str]:
        """Runs a command in a container, with the options of `run`; removes the container whatever happens.

        Raises Failure when the command takes more than `seconds`."""
        name = f"manylinux-{uuid.uuid4().hex[:12]}"
        try:
            return self.completed(self.run(reference, argv, name=name, **options), seconds)
        except BaseException as error:
            # Only the client has ended: the container goes on without it.
            with undisturbed():
                self.ask(self.remove_container(name))
            if isinstance(error, subprocess.TimeoutExpired):
                raise errors.Failure(f"{reference}: {shlex.join(argv)} did not end within {seconds:g} s") from None
            raise

    def identity(self, reference: str) -> str:
        """The Id of an image: unlike a tag, it never moves to another one. Raises UserError if there is no image."""
        if said := self.ask(self.inspect(reference, "{{.Id}}")):
            return said
        raise errors.UserError(f"{self.name} has no image {reference}: build it, or pull it first")

    def read_files(self, reference: str, paths: Iterable[str]) -> dict[str, bytes]:
        """Files of an image that is here, by path, without those that it lacks; nothing of the image runs, so it may be
        for any platform.

        Raises Failure where the engine cannot look into the image."""
        name, found = f"manylinux-{uuid.uuid4().hex[:12]}", dict[str, bytes]()
        with scratch.directory() as directory:
            self.call(self.command("create", "--pull=never", "--name", name, reference, "true"))
            try:
                for path in paths:
                    done = self.completed(self.command("cp", f"{name}:{path}", str(directory / "copy")))
                    if not done.returncode:
                        found[path] = (directory / "copy").read_bytes()
                    elif not _ABSENT.search(done.stderr):
                        raise errors.Failure(f"{self.name} cp: {reason(done.stderr)}")
            finally:
                self.ask(self.remove_container(name))
        return found

    def stream(self, argv: Sequence[str], each: Callable[[str], object], grace: float = 30) -> int:
        """Runs one of the argument lists; `each` gets every line that it prints.

        Returns its exit status. After an interrupt, it has `grace` seconds to clean up before it is killed."""
        # In a session of its own: Ctrl+C on a terminal reaches only us, and `_stop` tells the engine.
        with subprocess.Popen(
            argv,
            env={**self.environment(), "BUILDKIT_PROGRESS": "plain"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            encoding="utf-8",
            errors="replace",
            start_new_session=True,
        ) as child:
            assert child.stdout is not None
            try:
                for line in child.stdout:
                    each(line)
                return child.wait()
            except BaseException:
                with undisturbed():
                    threading.Thread(target=child.stdout.read, daemon=True).start()  # a full pipe would block it
                    self._stop(child, grace)
                raise

    def _stop(self, child: subprocess.Popen[str], grace: float) -> None:
        """Ends a command so that no container of it is left.

        Docker cancels a build when its client gets SIGTERM. podman would end and leave its containers running; when
        the processes in them are killed instead, the build fails and podman cleans up."""
        if not self.is_podman:
            child.terminate()  # it ignores SIGINT when we are a background job of a shell
        deadline = time.monotonic() + grace
        while child.poll() is None and time.monotonic() < deadline:
            for pid in contained(child.pid) if self.is_podman else ():
                _kill(pid)
            with contextlib.suppress(subprocess.TimeoutExpired):
                child.wait(0.2)
        left = contained(child.pid)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child.pid, signal.SIGKILL)
        for pid in left:
            _kill(pid)
        child.wait()


def _kill(pid: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)


@contextlib.contextmanager
def undisturbed() -> Iterator[None]:
    """Ignores signals that would end us, so that cleaning up is not interrupted."""
    main_thread = threading.current_thread() is threading.main_thread()  # only the main thread gets signals
    numbers = (signal.SIGINT, *errors.ENDINGS) if main_thread else ()
    handlers = {number: signal.signal(number, signal.SIG_IGN) for number in numbers}
    try:
        yield
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)


def contained(pid: int) -> list[int]:
    """The descendants of a process that are in containers: in another PID namespace than the process itself."""
    children: dict[int, list[int]] = {}
    for directory in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            parent = (directory / "stat").read_text(errors="replace").rpartition(")")[2].split()[1]
            children.setdefault(int(parent), []).append(int(directory.name))
    found, todo = [], [pid]
    while todo:
        todo += (below := children.get(todo.pop(), []))
        found += below
    return [each for each in found if _pid_namespace(each) not in ("", _pid_namespace(pid))]


def _pid_namespace(pid: int) -> str:
    try:
        return str(Path(f"/proc/{pid}/ns/pid").readlink())
    except OSError:
        return ""


def reason(text: str) -> str:
    """The line of a program's output that says why it failed: its first error, else its last line."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    found = [line for line in lines if line.lower().startswith("error")]
    return (found or lines[-1:] or ["it said nothing"])[0]
