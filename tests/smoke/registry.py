"""Checks: small functions with a name, run side by side, each answering with the differences it found."""

from __future__ import annotations

import fnmatch
import json
import time
import traceback
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import asdict, dataclass
from typing import Any

from .context import Context, Expected, InstalledInterpreter, Problem, Skip

Function = Callable[..., Iterable[str] | None]
MAIN = "main"
RESTRICTED = "restricted"


@dataclass(frozen=True)
class Check:
    """One thing that must hold. --only, the results and the tests of the suite use its `name`."""

    name: str
    function: Function
    each_interpreter: bool
    shared: bool
    when: Callable[[Expected], bool]
    suits: Callable[[InstalledInterpreter], bool]
    container: str
    heavy: bool


@dataclass(frozen=True)
class Job:
    """A check, for one interpreter where it is about interpreters."""

    check: Check
    interpreter: InstalledInterpreter | None

    @property
    def title(self) -> str:
        """`stdlib-imports[cp313-cp313]`, or the bare name."""
        return self.check.name + (f"[{self.interpreter.tag}]" if self.interpreter else "")


@dataclass(frozen=True)
class Result:
    """What one job found, in `seconds`; no problems means that it passed, unless it was `skipped` for a reason."""

    check: str
    interpreter: str
    problems: tuple[str, ...]
    seconds: float
    skipped: str = ""

    def event(self) -> str:
        """One line of JSON, as scripts/smoke reads it."""
        return json.dumps(asdict(self))


class CheckRegistry:
    """Collects checks by decorator and turns them into jobs."""

    def __init__(self) -> None:
        self.checks: dict[str, Check] = {}

    def check(
        self,
        name: str,
        *,
        each_interpreter: bool = False,
        shared: bool = False,
        when: Callable[[Expected], bool] = lambda expected: True,
        suits: Callable[[InstalledInterpreter], bool] = lambda interpreter: True,
        container: str = MAIN,
        heavy: bool = False,
    ) -> Callable[[Function], Function]:
        """Registers a function under a name.

        The function takes the context and, if it runs for `each_interpreter` or for each one of the `shared` variant,
        the interpreter, which must be one that `suits`. It returns or yields problems, or raises Problem, or Skip with
        a reason. `when` says in which images it runs, `container` in which container. `heavy` checks start first."""

        def register(function: Function) -> Function:
            if name in self.checks:
                raise ValueError(f"two checks are named {name}")
            self.checks[name] = Check(name, function, each_interpreter, shared, when, suits, container, heavy)
            return function

        return register

    def jobs(self, expected: Expected, container: str = MAIN, only: Sequence[str] = ()) -> list[Job]:
        """The jobs of one container, heavy ones first; `only` are globs of check names or titles."""
        found = []
        for check in self.checks.values():
            if check.container != container or not check.when(expected):
                continue
            every = expected.shared_interpreters if check.shared else expected.interpreters
            one_each = check.shared or check.each_interpreter
            for interpreter in [i for i in every if check.suits(i)] if one_each else [None]:
                job = Job(check, interpreter)
                if not only or any(_matches(job, pattern) for pattern in only):
                    found.append(job)
        return sorted(found, key=lambda job: not job.check.heavy)


def _matches(job: Job, pattern: str) -> bool:
    # A title's brackets would be a character class of fnmatch.
    return fnmatch.fnmatchcase(job.check.name, pattern) or job.title == pattern


def run_job(job: Job, context: Context) -> Result:
    """Runs one job; whatever goes wrong inside becomes a problem of that job."""
    start = time.monotonic()
    problems: list[str] = []
    skipped = ""
    arguments: tuple[Any, ...] = (context, job.interpreter) if job.interpreter else (context,)
    try:
        problems.extend(job.check.function(*arguments) or ())
    except Skip as reason:
        skipped = str(reason)
    except Problem as problem:
        problems.append(str(problem))
    except Exception as error:  # a broken image can make a check itself fail
        problems.append(f"{type(error).__name__}: {error}\n{traceback.format_exc(limit=-4)}")
    tag = job.interpreter.tag if job.interpreter else ""
    return Result(job.check.name, tag, tuple(problems), round(time.monotonic() - start, 3), skipped)


def run_jobs(jobs: Sequence[Job], context: Context, workers: int) -> Iterator[Result]:
    """Runs jobs side by side and yields their results as they come."""
    with ThreadPoolExecutor(max_workers=workers) as pool:
        for done in as_completed([pool.submit(run_job, job, context) for job in jobs]):
            yield done.result()


registry = CheckRegistry()
check = registry.check


def difference(what: str, expected: Iterable[str], found: Iterable[str]) -> Iterator[str]:
    """Names what is missing and what is extra in `found`."""
    wanted, seen = set(expected), set(found)
    if missing := sorted(wanted - seen):
        yield f"missing {what}: {', '.join(missing)}"
    if extra := sorted(seen - wanted):
        yield f"unexpected {what}: {', '.join(extra)}"


def differences(expected: dict[str, Any], found: dict[str, Any]) -> Iterator[str]:
    """Names every expected key that has another value in `found`, or none."""
    for key, value in expected.items():
        if key not in found:
            yield f"{key} is not set, expected {value!r}"
        elif found[key] != value:
            yield f"{key} is {found[key]!r}, expected {value!r}"
