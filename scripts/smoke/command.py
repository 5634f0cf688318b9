"""Smoke-tests an image: runs tests/smoke in containers of it and reports one line a check.

Three things are looked at: the image's configuration, as the engine tells it; the main pass, as root; and a short pass
as uid 1000 without HOME, with a read-only root and LD_LIBRARY_PATH pointing nowhere. None of them has a network.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
import uuid
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any
from urllib.parse import quote

from catalogue import images
from catalogue.paths import ROOT
from engine import choose
from engine.commands import Mount
from engine.engine import Engine, undisturbed
from host import inputs
from plan import plan as plans
from plan.expectations import Expectations
from plan.expectations import load as load_expectations
from portable import errors, outputs, places, scratch
from sources.lock import load_lock
from sources.wheelhouse import WHEELHOUSE, fill_shared_wheelhouse

SUITE = ROOT / "tests" / "smoke"
DOCTOR = ROOT / "scripts" / "doctor"  # whose reader of ELF the suite uses
BASE_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
TIME_LIMIT = 3600  # seconds a container may take, generous for emulated platforms
ARCHITECTURES = {"x86_64": "amd64", "i686": "386", "aarch64": "arm64", "armv7l": "arm", "ppc64le": "ppc64le",
                 "s390x": "s390x", "riscv64": "riscv64", "loongarch64": "loong64"}  # fmt: skip
# Bytes of an unpacked image that nobody has to wonder about: without interpreters, and for each of them. Debian's are
# measured, with little room (GCC 14 of Debian 13 is larger); the others are what published images of that kind need.
SIZE_BUDGETS = {"debian": 760_000_000, "debian-13": 780_000_000, "rhel": 1_700_000_000, "alpine": 700_000_000}
SIZE_OF_AN_INTERPRETER = 45_000_000
SIZE_OF_SHARED_OPENSSL = 15_000_000
# Variables that a base image or an engine may set besides ours.
FOREIGN_VARIABLES = {"container"}


@dataclass(frozen=True)
class Result:
    """What one check said: no problems means that it passed. `interpreter` is a tag, or "" where it is about none."""

    check: str
    interpreter: str
    problems: tuple[str, ...]
    seconds: float

    @property
    def title(self) -> str:
        """`check[tag]`."""
        return f"{self.check}[{self.interpreter}]" if self.interpreter else self.check

    def line(self) -> str:
        """For people: one line, and one more for each problem."""
        head = f"{'FAILED' if self.problems else 'ok':6} {self.title}  {self.seconds:.1f} s"
        return "\n".join([head, *(f"       {problem}" for problem in self.problems)])


@dataclass
class Report:
    """All results of one image, printed as they come."""

    reference: str
    results: list[Result] = field(default_factory=list)
    started: float = field(default_factory=time.monotonic)

    def add(self, result: Result) -> None:
        """Keeps a result and prints it."""
        self.results.append(result)
        print(result.line(), file=sys.stderr, flush=True)

    @property
    def failed(self) -> list[Result]:
        """The results with problems."""
        return [result for result in self.results if result.problems]

    @property
    def passed(self) -> bool:
        """Whether checks ran and all of them passed."""
        return bool(self.results) and not self.failed

    def summary(self) -> str:
        """The last lines: what failed, and how many of each."""
        lines = [f"FAILED {result.title}: {result.problems[0].splitlines()[0]}" for result in self.failed]
        seconds = time.monotonic() - self.started
        count = f"{len(self.results) - len(self.failed)} passed, {len(self.failed)} failed"
        return "\n".join([*lines, f"{self.reference}: {count} in {seconds:.0f} s"])

    def junit(self) -> str:
        """The results as JUnit XML."""
        suite = ElementTree.Element(
            "testsuite",
            name=self.reference,
            tests=str(len(self.results)),
            failures=str(len(self.failed)),
            errors="0",
            time=f"{time.monotonic() - self.started:.3f}",
        )
        for result in self.results:
            attributes = {"classname": f"smoke.{result.interpreter or 'image'}", "name": result.check}
            case = ElementTree.SubElement(suite, "testcase", attributes, time=f"{result.seconds:.3f}")
            if result.problems:
                message = _xml_text(result.problems[0].splitlines()[0])
                failure = ElementTree.SubElement(case, "failure", message=message)
                failure.text = _xml_text("\n".join(result.problems))
        root = ElementTree.Element("testsuites")
        root.append(suite)
        ElementTree.indent(root)
        return ElementTree.tostring(root, encoding="unicode", xml_declaration=True) + "\n"

    def json(self) -> str:
        """The results as JSON."""
        content = {
            "image": self.reference,
            "passed": self.passed,
            "seconds": round(time.monotonic() - self.started, 3),
            "results": [asdict(result) for result in self.results],
        }
        return json.dumps(content, indent=2) + "\n"


def _xml_text(text: str) -> str:
    """Text without the control characters that XML cannot hold."""
    return "".join(c for c in text if c in "\t\n" or " " <= c <= "\ud7ff" or "\ue000" <= c <= "\ufffd" or c > "\uffff")


# --- The image's configuration ----------------------------------------------------------------------------


def configuration_results(
    config: Mapping[str, Any], architecture: str, size: int, expected: Mapping[str, Any]
) -> Iterator[Result]:
    """Compares what the engine says of an image with what it should: entry point, command, environment, labels..."""
    variables = dict(item.split("=", 1) for item in config.get("Env") or [])
    wanted = {**expected["env"], "PATH": ":".join([*expected["path_first"], BASE_PATH])}
    yield _result("image-entrypoint", _differences({"Entrypoint": expected["entrypoint"]}, config))
    yield _result("image-command", _differences({"Cmd": expected["cmd"]}, config))
    extra = sorted(set(variables) - set(wanted) - FOREIGN_VARIABLES)
    problems = [*_differences(wanted, variables), *(f"unexpected {name}={variables[name]}" for name in extra)]
    yield _result("image-environment", problems)
    yield _result("image-labels", _differences(expected["labels"], config.get("Labels") or {}))
    others = {
        "User": config.get("User") or "",
        "WorkingDir": (config.get("WorkingDir") or "/").rstrip("/"),
        "Volumes": config.get("Volumes") or {},
        "ExposedPorts": config.get("ExposedPorts") or {},
        "Healthcheck": config.get("Healthcheck") or {},
        "OnBuild": config.get("OnBuild") or [],
        "StopSignal": (config.get("StopSignal") or "SIGTERM").replace("15", "SIGTERM"),
    }
    plain = {
        "User": "",
        "WorkingDir": "",
        "Volumes": {},
        "ExposedPorts": {},
        "Healthcheck": {},
        "OnBuild": [],
        "StopSignal": "SIGTERM",
    }
    yield _result("image-settings", _differences(plain, others))
    platform = {"Architecture": ARCHITECTURES[expected["platform"]]}
    yield _result("image-platform", _differences(platform, {"Architecture": architecture}))
    shared = len((expected.get("shared") or {}).get("interpreters", ()))
    budget = SIZE_BUDGETS.get(expected["distribution"], SIZE_BUDGETS[expected["family"]])
    budget += SIZE_OF_SHARED_OPENSSL if shared else 0
    budget += SIZE_OF_AN_INTERPRETER * (len(expected["interpreters"]) + shared)
    too_large = [f"{size / 1e6:.0f} MB, more than the {budget / 1e6:.0f} MB of its budget"] if size > budget else []
    yield _result("regression-26-size", too_large)


def _differences(wanted: Mapping[str, Any], found: Mapping[str, Any]) -> list[str]:
    return [
        f"{key} is {found[key]!r}, expected {value!r}" if key in found else f"{key} is not set, expected {value!r}"
        for key, value in wanted.items()
        if key not in found or found[key] != value
    ]


def _result(name: str, problems: Iterable[str]) -> Result:
    return Result(name, "", tuple(problems), 0.0)


def _inspect(engine: Engine, reference: str, expected: Mapping[str, Any]) -> Iterator[Result]:
    said = engine.ask(engine.inspect(reference, "{{json .Config}}\n{{.Architecture}} {{.Size}}"))
    if said is None:
        raise errors.UserError(f"{engine.name} has no image {reference}: build it, or pull it first")
    config, _, rest = said.rpartition("\n")
    architecture, size = rest.split()
    yield from configuration_results(json.loads(config), architecture, int(size), expected)


def _run_through_entrypoint(engine: Engine, reference: str) -> Result:
    """What `run IMAGE COMMAND...` does with arguments and exit status."""
    start = time.monotonic()
    words = ["a b", "", "it's", '"quoted"', "$HOME", "*"]
    command = ["bash", "-c", 'printf "[%s]" "$@"; exit 7', "bash", *words]
    try:
        done = engine.contain(reference, command, seconds=TIME_LIMIT)
    except errors.Failure as error:
        return Result("image-run", "", (str(error),), round(time.monotonic() - start, 3))
    problems = []
    if done.returncode != 7:
        problems.append(f"exit status 7 becomes {done.returncode}: {done.stderr.strip()[-300:]}")
    if done.stdout != "".join(f"[{word}]" for word in words):
        problems.append(f"the arguments {words} arrive as {done.stdout!r}")
    return Result("image-run", "", tuple(problems), round(time.monotonic() - start, 3))


# --- The passes in containers -----------------------------------------------------------------------------


@dataclass(frozen=True)
class Pass:
    """One container: its name for tests/smoke, and how the engine starts it."""

    name: str
    options: Mapping[str, Any]
    prefix: tuple[str, ...] = ()
    mounts: tuple[Mount, ...] = ()


PASSES = (
    Pass("main", {}),
    Pass(
        "restricted",
        # exec: docker's default for tmpfs would forbid to run what was compiled there
        {
            "user": "1000:1000",
            "read_only": True,
            "tmpfs": ("/tmp:exec,mode=1777",),
            "env": {"LD_LIBRARY_PATH": "/nonexistent"},
        },
        ("env", "-u", "HOME"),
        # podman gives an unknown user an entry there, docker does not; pip and pipx want a home directory on both.
        (Mount(SUITE / "data" / "passwd", "/etc/passwd"),),
    ),
)


def shipped_files(root: Path = ROOT) -> dict[str, tuple[str, bool]]:
    """Path in an image -> sha256 and whether it is executable, of the files that are copied there as they are."""
    rootfs = root / "docker" / "rootfs"
    files = {f"/{path.relative_to(rootfs)}": path for path in rootfs.rglob("*") if path.is_file()}
    files = {name: path for name, path in files.items() if "__pycache__" not in name}
    return {
        name: (hashlib.sha256(path.read_bytes()).hexdigest(), bool(path.stat().st_mode & 0o100))
        for name, path in sorted(files.items())
    }


def drivers(expected: Mapping[str, Any]) -> list[str]:
    """The interpreters that can run the suite, the tools' own first: the others stand in when that one is broken."""
    rows = [row for row in expected["interpreters"] if row["implementation"] == "cpython"]
    able = [row["tag"] for row in rows if tuple(map(int, row["minor"].split("."))) >= (3, 11)]
    return sorted(able, key=lambda tag: tag != expected["tools_python"])


def _run_pass(
    engine: Engine,
    reference: str,
    which: Pass,
    mounts: Sequence[Mount],
    arguments: Sequence[str],
    python: str,
    report: Report,
) -> bool:
    """Runs the suite in one container on one interpreter; returns whether it came to its end."""
    name = f"manylinux-smoke-{uuid.uuid4().hex[:12]}"
    argv = [*which.prefix, python, "-B", "-m", "smoke", which.name, *arguments]
    command = engine.run(reference, argv, mounts=[*mounts, *which.mounts], name=name, workdir="/", **which.options)
    ended = False
    late = threading.Event()
    start = time.monotonic()

    def stop() -> None:
        late.set()
        engine.ask(engine.remove_container(name))  # the container itself: its client alone could go without it
        process.kill()

    with tempfile.TemporaryFile("w+", errors="replace") as complaints:
        with subprocess.Popen(
            command,
            env=engine.environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=complaints,
            text=True,
            errors="replace",
        ) as process:
            guard = threading.Timer(TIME_LIMIT, stop)
            guard.daemon = True
            guard.start()
            try:
                for line in process.stdout or ():
                    event = _event(line)
                    if isinstance(event, Result):
                        report.add(event)
                    ended = ended or event == "done"
                process.wait()
            except BaseException:
                process.kill()
                ended = False
                raise
            finally:
                guard.cancel()
                if not ended:  # otherwise it is gone already
                    with undisturbed():
                        engine.ask(engine.remove_container(name))
        ended = ended and not late.is_set()
        if not ended:
            complaints.seek(0)
            said = complaints.read().strip().splitlines()[-12:]
            how = f"was stopped after {TIME_LIMIT} s" if late.is_set() else f"ended with status {process.returncode}"
            problem = f"the {which.name} pass {how} before its checks did"
            seconds = round(time.monotonic() - start, 3)
            report.add(Result(f"{which.name}-pass", python.split("/")[3], ("\n".join([problem, *said]),), seconds))
    return ended


def _event(line: str) -> Result | str:
    """A line of tests/smoke: a result, or "start", "done" or "" for what it was otherwise."""
    try:
        row = json.loads(line)
    except ValueError:
        return ""
    if "check" in row:
        return Result(row["check"], row["interpreter"], tuple(row["problems"]), row["seconds"])
    return next(iter(row), "")


def run(
    engine: Engine,
    reference: str,
    expectations: Mapping[str, Any],
    *,
    wheelhouse: Path = WHEELHOUSE,
    junit: Path | None = None,
    json_file: Path | None = None,
    only: Sequence[str] = (),
    jobs: int = 0,
    mounts: Sequence[Mount] = (),
    name: str = "",
) -> bool:
    """Smoke-tests an image; prints a line a check and a summary on standard error, and returns whether all passed.

    `only` are globs of check names, `jobs` limits how many run at a time, `mounts` are added to every container. Writes
    the results to `junit` and `json_file`, in which the image is called `name`. Raises UserError without an image or
    wheelhouse."""
    if not any(wheelhouse.glob("setuptools-*.whl")):
        raise errors.UserError(f"{wheelhouse} has no setuptools for the test wheels: run `invoke prefetch` first")
    pyinstaller = (expectations.get("shared") or {}).get("pyinstaller", "")
    if pyinstaller and not any((wheelhouse / pyinstaller).glob("pyinstaller-*.whl")):
        raise errors.UserError(f"{wheelhouse / pyinstaller} has no PyInstaller: test by `invoke test`")
    report = Report(name or reference)
    wanted = list(only) or ["*"]
    for result in _inspect(engine, reference, expectations):
        if any(fnmatchcase(result.check, pattern) for pattern in wanted):
            report.add(result)
    if any(fnmatchcase("image-run", pattern) for pattern in wanted):
        report.add(_run_through_entrypoint(engine, reference))
    arguments = [word for pattern in only for word in ("--only", pattern)]
    arguments += ["--jobs", str(jobs)] if jobs else []
    arguments += [word for mount in mounts for word in ("--outside", mount.target)]
    with scratch.directory() as directory:
        expect = directory / "expect.json"
        expect.write_text(json.dumps({**expectations, "shipped": shipped_files()}), encoding="utf-8")
        for each in (directory, expect):  # uid 1000 in the container must be able to read it
            each.chmod(0o755)
        shared = [
            Mount(SUITE, "/smoke"),
            Mount(DOCTOR, "/doctor"),
            Mount(wheelhouse, "/wheelhouse"),
            Mount(expect, "/smoke-expect.json"),
            *mounts,
        ]
        for which in PASSES:
            for tag in drivers(expectations):
                python = f"/opt/python/{tag}/bin/python"
                if _run_pass(engine, reference, which, shared, arguments, python, report):
                    break
    if not report.results:
        raise errors.UserError(f"no check is called {' or '.join(only)}")
    for path, text in ((junit, report.junit()), (json_file, report.json())):
        if path:
            path.write_text(text, encoding="utf-8")
    if not only:
        note_pass(engine, reference, report.passed)
    print(report.summary(), file=sys.stderr, flush=True)
    return report.passed


def record_of(reference: str) -> Path:
    """Where what the last build of a reference on this machine asked for is kept."""
    return places.state() / "expectations" / f"{quote(reference, safe='')}.json"


def remember(reference: str, expectations: Mapping[str, Any]) -> None:
    """Keeps what a build asked for, so that its image can be tested again without repeating the request."""
    path = record_of(reference)
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f"{path.name}.{os.getpid()}")
    partial.write_text(json.dumps(expectations, indent=2) + "\n", encoding="utf-8")
    partial.replace(path)


def forget(reference: str) -> None:
    """Drops what was kept of a reference that is gone."""
    record_of(reference).unlink(missing_ok=True)


def has_passed(engine: Engine, reference: str) -> bool:
    """Whether all checks of this very image, whatever it is called now, have passed on this machine."""
    return (path := _pass_of(engine, reference)) is not None and path.exists()


def note_pass(engine: Engine, reference: str, passed: bool) -> None:
    """Remembers whether all checks of this very image have passed."""
    if path := _pass_of(engine, reference):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch() if passed else path.unlink(missing_ok=True)


def _pass_of(engine: Engine, reference: str) -> Path | None:
    identity = engine.ask(engine.inspect(reference, "{{.Id}}"))
    return places.state() / "passed" / identity.rpartition(":")[2] if identity else None


# --- Command line -----------------------------------------------------------------------------------------


def main() -> int:
    """Smoke-tests an image that was built or pulled before."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("reference", help="the image to test, such as quay.io/pypa/manylinux_2_36_x86_64:latest")
    parser.add_argument("--image", help="what it should be, where its name does not say so: manylinux_2_36_x86_64")
    parser.add_argument("--interpreters", metavar="TAG,...", help="those it was built with, if not all of the table")
    parser.add_argument("--lock", type=Path, metavar="FILE", help="the lock of local sources that it was built from")
    parser.add_argument("--table", action="store_true", help="hold it to the table, whatever was built here last")
    parser.add_argument(
        "--expectations", type=Path, metavar="FILE", help="what to hold it to, as JSON, instead of the above"
    )
    parser.add_argument("--print-expectations", action="store_true", help="print that JSON and test nothing")
    parser.add_argument(
        "--only", action="append", default=[], metavar="GLOB", help="run these checks only (repeatable)"
    )
    parser.add_argument("--jobs", type=int, default=0, metavar="N", help="checks at a time (default: all cores)")
    parser.add_argument("--wheelhouse", type=Path, default=WHEELHOUSE, metavar="DIRECTORY")
    parser.add_argument("--junit", type=Path, metavar="FILE", help="write the results as JUnit XML")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the results as JSON")
    options = parser.parse_args()
    inputs.reference("the image", options.reference)
    if options.jobs < 0:
        raise errors.UserError("--jobs must be 0 (all cores) or more")
    outputs.file("--junit", options.junit)
    outputs.file("--json", options.json)
    expectations = _expectations(options)
    if options.print_expectations:
        print(json.dumps(expectations, indent=2))
        return 0
    fill_shared_wheelhouse(expectations, options.wheelhouse)
    engine = choose.engine()
    passed = run(
        engine,
        engine.identity(options.reference),
        expectations,
        wheelhouse=options.wheelhouse,
        junit=options.junit,
        json_file=options.json,
        only=options.only,
        jobs=options.jobs,
        name=options.reference,
    )
    return 0 if passed else 1


def _expectations(options: argparse.Namespace) -> Expectations:
    """What the image is held to: from the table and the request that it was built by, never from the image."""
    if options.expectations:
        return load_expectations(
            options.expectations, "--expectations: name a file that --print-expectations has written"
        )
    record = record_of(options.reference)
    if not (options.interpreters or options.lock or options.table) and record.exists():
        said = f"held to what the last build of {options.reference} here asked for ({record}; --table: all of it)"
        print(said, file=sys.stderr)
        return load_expectations(record, "add --table, or build the image again")
    tags = tuple(options.interpreters.split(",")) if options.interpreters else None
    lock = load_lock(options.lock) if options.lock else None
    request = plans.Request(interpreters=tags, lock=lock)
    name = options.image or options.reference.rsplit("/", 1)[-1].split(":")[0]
    return plans.plan(images.load().image(name), request).expectations()
