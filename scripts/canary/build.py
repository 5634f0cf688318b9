"""Builds one canary with cibuildwheel in an image: sdist by its hash, wheels, repaired and tested."""

from __future__ import annotations

import contextlib
import html
import os
import re
import shlex
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import IO
from urllib.parse import urljoin

from canary.needs import WheelNeeds, examined
from canary.results import CanaryResult, Fate
from canary.surroundings import installing, surroundings
from catalogue.canaries import Canaries, Canary
from catalogue.interpreters import Interpreter
from catalogue.model import Image
from engine.commands import executable_of
from engine.engine import Engine
from host import indexes
from portable import errors, fetch, scratch

SECONDS = 5400  # for all wheels of one canary, generous for emulated platforms
STEPS = ("Setting up build environment", "Running before_all", "Building wheel", "Repairing wheel", "Testing wheel")
ERROR = re.compile(r"(\b\w*Error|\b[Ee]rror|\bERROR)(:|$)|undefined reference|not found$")


@dataclass(frozen=True)
class Nest:
    """Where canaries are built: an image of the table, and the reference and interpreters of the one to use."""

    engine: Engine
    image: Image
    reference: str
    interpreters: Sequence[Interpreter]


@dataclass
class CanaryBuilder:
    """Builds canaries of a table; may be used from many threads."""

    table: Canaries
    fetcher: fetch.Fetcher = field(default_factory=lambda: fetch.Fetcher(mirrors=None))
    _running: set[subprocess.Popen[bytes]] = field(default_factory=set)
    _stopping: threading.Event = field(default_factory=threading.Event)

    def build(self, canary: Canary, source: Path, nest: Nest, place: Path) -> CanaryResult:
        """Builds a canary; wheels and log are then in `place`. Whatever goes wrong is in the result."""
        result = CanaryResult.of(canary)
        wanted = [each for each in nest.interpreters if each.tag in canary.interpreters]
        wanted = wanted[:1] if nest.image.platform.emulated else wanted
        if not wanted:
            result.fate, result.reason = Fate.UNTRIED, f"the image has none of {', '.join(canary.interpreters)}"
            return result
        started = time.monotonic()
        try:
            if reason := self._unreachable(canary):
                result.fate, result.reason = Fate.UNTRIED, reason
                return result
            self._cibuildwheel(canary, source, nest, wanted, place)
            result.wheels, problems = _wheels(canary, place)
            if problems:
                result.fate, result.reason = Fate.FAILED, "; ".join(problems)
        except errors.Failure as error:
            result.fate, result.reason = Fate.FAILED, " ".join(str(error).split())
        finally:
            result.seconds = round(time.monotonic() - started)
        return result

    def stop(self) -> None:
        """Ends everything that runs; each build removes its container."""
        self._stopping.set()
        self.fetcher.stop()
        for process in tuple(self._running):
            _kill(process)

    def _unreachable(self, canary: Canary) -> str:
        """Why a canary cannot be built by this machine; "" if it can."""
        for url in canary.hosts:
            try:
                self.fetcher.read(url)
            except errors.Failure as error:
                return f"its build needs a host that does not answer: {' '.join(str(error).split())}"
        return ""

    def sdist(self, canary: Canary, directory: Path) -> Path:
        """Downloads the sdist of a canary, wherever the configured indexes say that it is. Raises Failure."""
        settings = indexes.read().settings
        usual = import_module("pip._internal.models.index").PyPI.simple_url  # stands nowhere else
        places = [*settings.get("index-url", (usual,)), *settings.get("extra-index-url", ())]
        project, problems = re.sub(r"[-_.]+", "-", canary.in_index).lower(), []
        for place in places:
            page = f"{place.rstrip('/')}/{project}/"
            try:
                text = self.fetcher.read(page).decode(errors="replace")
            except errors.Failure as error:
                problems.append(str(error))
                continue
            if match := re.search(rf"""href=["']([^"'#]+)#sha256={canary.sha256}["'#&]""", text):
                url = urljoin(page, html.unescape(match[1]))
                return self.fetcher.download(url, directory / url.rpartition("/")[2], sha256=canary.sha256)
            problems.append(f"{page} lists no file with the sha256 of {canary.name} {canary.version}")
        raise errors.Failure("; ".join(problems))

    def _cibuildwheel(
        self, canary: Canary, source: Path, nest: Nest, wanted: Sequence[Interpreter], place: Path
    ) -> None:
        """Raises Failure, with the step and the last words, where it does not succeed."""
        place.mkdir(parents=True, exist_ok=True)
        for left in place.glob("*.whl"):
            left.unlink()
        log = place / "log.txt"
        with (
            scratch.directory() as directory,
            surroundings(nest.engine, nest.image, nest.reference, wanted) as env,
            log.open("wb") as file,
        ):
            configuration = directory / "cibuildwheel.toml"
            configuration.touch()  # the project's own settings are left out
            command = [sys.executable, "-m", "cibuildwheel", "--platform=linux", f"--config-file={configuration}"]
            command += [f"--output-dir={place}", str(source)]
            label = f"manylinux-canary={directory.name}"
            engine = env.get("CIBW_CONTAINER_ENGINE", executable_of(nest.engine.name))
            engine += f"{' ' if 'create_args' in engine else '; create_args: '}--label={label}"
            env |= {**self.settings(canary, nest.image, env), "CIBW_CONTAINER_ENGINE": engine, "TMPDIR": str(directory)}
            status = self._run(command, env, file)
            if status < 0:  # it was killed: its container is still there
                listed = nest.engine.ask(nest.engine.command("ps", "--all", "--quiet", "--filter", f"label={label}"))
                for container in (listed or "").split():
                    nest.engine.ask(nest.engine.remove_container(container))
                took_long = f"cibuildwheel did not end within {SECONDS} s"
                raise errors.Failure("it was stopped" if self._stopping.is_set() else took_long)
        if status:
            raise errors.Failure(last_words(log.read_text(encoding="utf-8", errors="replace")))

    def settings(self, canary: Canary, image: Image, env: Mapping[str, str]) -> dict[str, str]:
        """cibuildwheel's settings for a canary, beyond those of the surroundings `env`."""
        variables = {**canary.environment, "PIP_UPLOADED_PRIOR_TO": self.table.index_date.isoformat()}
        words = [env.get("CIBW_ENVIRONMENT", ""), *(f"{key}={shlex.quote(text)}" for key, text in variables.items())]
        return {
            "CIBW_ARCHS": image.platform.name,
            "CIBW_ENVIRONMENT": " ".join(filter(None, words)),
            "CIBW_BEFORE_ALL": installing(image, canary.packages.get(image.policy.family, ())),
            "CIBW_TEST_COMMAND": canary.test,
            "CIBW_TEST_REQUIRES": " ".join(canary.test_requires),
            "CIBW_AUDIT_REQUIRES": "",
            "CIBW_AUDIT_COMMAND": "",  # the doctor does it
        }

    def _run(self, command: Sequence[str], env: Mapping[str, str], log: IO[bytes]) -> int:
        """The exit status of a command; negative if it was killed, for it took too long or `stop` was called."""
        with subprocess.Popen(
            command,
            env=env,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        ) as process:
            self._running.add(process)
            try:
                return process.wait(0 if self._stopping.is_set() else SECONDS)
            except subprocess.TimeoutExpired:
                _kill(process)
                return process.wait()
            finally:
                self._running.discard(process)


def _kill(process: subprocess.Popen[bytes]) -> None:
    """Kills a process and those that it has started. Not SIGINT: that is ignored below a background job of a shell."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)


def last_words(log: str) -> str:
    """Why cibuildwheel failed, in one line: the step, and the first error in the log of that step."""
    plain = [re.sub(r"\x1b\[[0-9;]*m|^::\w+.*?::", "", line).strip() for line in log.splitlines()]
    lines = [line for line in plain if line]
    begins = [(number, step) for number, line in enumerate(lines) for step in STEPS if line.startswith(f"{step}...")]
    number, step = begins[-1] if begins else (0, "cibuildwheel")
    rest = lines[number + 1 :]
    said = [line for line in rest if ERROR.search(line)] or [line for line in rest if not line.startswith("✕")][-1:]
    return f"{step}: {(said or ['it said nothing'])[0][:300]}"


def _wheels(canary: Canary, place: Path) -> tuple[tuple[WheelNeeds, ...], list[str]]:
    """What the wheels need, and what is wrong with them."""
    found, problems = [], []
    for path in sorted(place.glob("*.whl")):
        needs, wrong = examined(path)
        found.append(needs)
        problems += [f"the doctor refuses {path.name}: {each}" for each in wrong]
        for library in canary.grafts:
            if not any(re.match(rf"{re.escape(library)}[-.]", name) for name in needs.grafted):
                problems.append(f"{path.name} brings no {library}: repairing should have grafted it")
        abis = needs.tag.partition("-")[2].split(".")
        if canary.stable_abi and canary.stable_abi not in abis:
            problems.append(f"{path.name} is not tagged {canary.stable_abi}")
    return tuple(found), problems if found else ["cibuildwheel made no wheel"]
