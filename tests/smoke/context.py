"""What a check works with: the expectations, the interpreters, scratch space and subprocesses."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import tempfile
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from .snapshot import Snapshot

if TYPE_CHECKING:  # the image has no scripts/
    from plan.expectations import Expectations

HERE = Path(__file__).resolve().parent
INTERNAL = Path("/opt/_internal")
LOCAL_BIN = Path("/usr/local/bin")
T = TypeVar("T")


class Problem(Exception):
    """Something in the image is not as it should be; the message says what."""


class Skip(Exception):
    """The image lacks what a check is about; the message says what."""


@dataclass(frozen=True)
class InstalledInterpreter:
    """An interpreter that the image must have."""

    tag: str
    implementation: str
    minor: str
    threaded: bool
    status: str
    version: str
    prefix: str
    launchers: Sequence[str]
    packages: Mapping[str, str]

    @property
    def home(self) -> Path:
        """Its public directory."""
        return Path("/opt/python") / self.tag

    @property
    def python(self) -> str:
        """The command that runs it."""
        return str(self.home / "bin/python")

    @property
    def key(self) -> tuple[int, ...]:
        """The minor for comparisons: (3, 13)."""
        return version_key(self.minor)

    @property
    def is_cpython(self) -> bool:
        """Whether it is CPython, free-threaded or not."""
        return self.implementation == "cpython"

    @property
    def stdlib(self) -> Path:
        """The directory of its standard library."""
        names = {"cpython": f"python{self.minor}", "pypy": f"pypy{self.minor}", "graalpy": f"python{self.minor}"}
        return Path(self.prefix) / "lib" / (names[self.implementation] + ("t" if self.threaded else ""))


@dataclass(frozen=True)
class InstalledSharedInterpreter(InstalledInterpreter):
    """One of the shared variant, beside those of /opt/python. `optimised`: a profile guided the compiler."""

    optimised: bool

    @property
    def home(self) -> Path:
        """Its directory, the same for every version."""
        return Path(self.prefix)


class Expected:
    """The expectations that were handed in, by attribute; scripts/plan/expectations.py writes them."""

    def __init__(self, data: Expectations) -> None:
        self.data: Mapping[str, Any] = data
        self.interpreters = tuple(InstalledInterpreter(**row) for row in data["interpreters"])
        self.shared_interpreters = tuple(
            InstalledSharedInterpreter(**row) for row in data["shared"].get("interpreters", ())
        )

    def __getattr__(self, name: str) -> Any:
        try:
            return self.data[name]
        except KeyError:
            raise AttributeError(f"the expectations lack {name!r}") from None

    def get(self, name: str, default: Any = None) -> Any:
        """An expectation that may be missing."""
        return self.data.get(name, default)

    @property
    def is_glibc(self) -> bool:
        """Whether wheels from here are manylinux wheels."""
        return bool(self.libc == "glibc")

    @property
    def libc_tuple(self) -> tuple[int, ...]:
        """The libc version for comparisons."""
        return version_key(self.libc_version)

    @property
    def openssl_prefix(self) -> Path:
        """Where the OpenSSL of the shared variant is."""
        return INTERNAL / f"openssl-{self.shared['openssl']['version'].rpartition('.')[0]}"

    def interpreter(self, tag: str) -> InstalledInterpreter:
        """The interpreter of that tag."""
        return next(i for i in self.interpreters if i.tag == tag)


class Context:
    """One run of the suite in one container."""

    def __init__(self, expected: Expected, wheelhouse: Path, before: Snapshot) -> None:
        self.expected = expected
        self.wheelhouse = wheelhouse
        self.data = HERE / "data"
        self.projects = HERE / "projects"
        self.before = before
        self.scratch = Path(tempfile.mkdtemp(prefix="smoke-"))
        self._values: dict[str, Any] = {}
        self._locks: dict[str, threading.Lock] = {}
        self._guard = threading.Lock()

    @cached_property
    def environment(self) -> dict[str, str]:
        """The environment of subprocesses: the container's own, with byte code and temporary files kept together."""
        # Byte code next to the sources would change the image; kept elsewhere, it makes the second import fast.
        # A pip.conf of the site may be mounted, which is not part of the image.
        # pip would compile every module of a package that it installs; imports compile those that are needed.
        own = {
            "PYTHONPYCACHEPREFIX": str(self.scratch / "pycache"),
            "PIP_NO_CACHE_DIR": "1",
            "PIP_NO_COMPILE": "1",
            "PIP_CONFIG_FILE": os.devnull,
        }
        return {**os.environ, **own}

    @cached_property
    def kept_autotools(self) -> dict[str, str]:
        """Name -> version of the distribution's autotools that are as new as those that would have been built."""
        kept = {}
        for name in {"autoconf", "automake"}.intersection(self.expected.components):
            program = Path("/usr/bin", name)
            version = self.output([program, "--version"]).splitlines()[0].split()[-1] if program.exists() else "0"
            if version_key(version) >= version_key(self.expected.components[name]["version"]):
                kept[name] = version
        return kept

    def directory(self, name: str) -> Path:
        """A new or existing directory below the scratch space."""
        path = self.scratch / name
        path.mkdir(parents=True, exist_ok=True)
        return path

    def once(self, key: str, make: Callable[[], T]) -> T:
        """The value of `make()`, made once for all checks that need it; a failure is remembered as well."""
        with self._guard:
            lock = self._locks.setdefault(key, threading.Lock())
        with lock:
            if key not in self._values:
                try:
                    self._values[key] = (make(), None)
                except Exception as error:
                    self._values[key] = (None, error)
        value, failure = self._values[key]
        if failure is not None:
            raise Problem(f"{key} failed: {failure}") from failure
        return value  # type: ignore[no-any-return]

    def run(
        self,
        argv: Sequence[str | Path],
        *,
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
        stdin: str = "",
        status: int | None = 0,
        timeout: float = 300,
    ) -> subprocess.CompletedProcess[str]:
        """Runs a command and returns it with its output (standard error apart).

        `env` replaces the environment. Raises Problem with the end of the output unless it exits with `status`."""
        words = [str(word) for word in argv]
        try:
            done = subprocess.run(
                words,
                env=dict(self.environment if env is None else env),
                cwd=cwd or self.scratch,
                input=stdin,
                capture_output=True,
                text=True,
                errors="replace",
                timeout=timeout,
                check=False,
            )
        except FileNotFoundError as error:
            raise Problem(f"{words[0]}: cannot be run: {error.strerror}: {error.filename}") from error
        except OSError as error:
            raise Problem(f"{words[0]}: cannot be run: {error}") from error
        except subprocess.TimeoutExpired as error:
            raise Problem(f"{shlex.join(words)}: no answer after {timeout:.0f} s") from error
        if status is not None and done.returncode != status:
            raise Problem(f"{shlex.join(words)[:300]}: {describe_exit(done.returncode)}{tail(done)}")
        return done

    def output(self, argv: Sequence[str | Path], **options: Any) -> str:
        """The standard output of a command, without the white space around it."""
        return self.run(argv, **options).stdout.strip()

    def worker(self, interpreter: InstalledInterpreter, name: str, *arguments: str, **options: Any) -> Any:
        """What workers/<name>.py, run by that interpreter, prints as JSON."""
        argv = [options.pop("python", interpreter.python), HERE / "workers" / f"{name}.py", *arguments]
        text = self.output(argv, **options)
        try:
            return json.loads(text)
        except ValueError as error:
            raise Problem(f"{name} on {interpreter.tag} answered {text[-500:]!r}") from error


def version_key(version: str) -> tuple[int, ...]:
    """The numbers of a version, for comparisons."""
    return tuple(int(number) for number in re.findall(r"\d+", version))


def describe_exit(status: int) -> str:
    """ "exit status 1" or "killed by signal 11"."""
    return f"killed by signal {-status}" if status < 0 else f"exit status {status}"


def tail(done: subprocess.CompletedProcess[str], lines: int = 12) -> str:
    """The end of what a command said, each line indented, or nothing."""
    said = (done.stdout + "\n" + done.stderr).strip().splitlines()[-lines:]
    return "".join(f"\n    {line}" for line in said)
