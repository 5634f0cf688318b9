"""The tasks hand over to the scripts: which command, with which environment, and what becomes of its exit status."""

from __future__ import annotations

import importlib.util
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from invoke.context import MockContext
from invoke.exceptions import Exit
from invoke.runners import Result

from catalogue import images, paths


def _load() -> ModuleType:
    spec = importlib.util.spec_from_file_location("tasks", paths.ROOT / "tasks.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


tasks = _load()


class Recorder(MockContext):
    """Keeps every command line, and answers with the given exit statuses in turn."""

    def __init__(self, *statuses: int) -> None:
        super().__init__()
        object.__setattr__(self, "lines", [])
        object.__setattr__(self, "statuses", list(statuses) or [0])

    def run(self, command: str, *args: Any, **kwargs: Any) -> Result:
        self.lines.append((shlex.split(command), kwargs.get("env", {})))
        status = self.statuses.pop(0) if len(self.statuses) > 1 else self.statuses[0]
        return Result(exited=status)


class Engine:
    """Has the images it is told of."""

    name = "podman"

    def __init__(self, *references: str) -> None:
        self.references = references

    def inspect(self, reference: str, template: str) -> list[str]:
        return [reference]

    def ask(self, argv: list[str]) -> str | None:
        return "sha256:1" if argv[0] in self.references else None


def test_every_task_is_in_the_collection_and_says_what_it_does() -> None:
    assert {"list", "build", "test", "shell", "prefetch"} <= set(tasks.ns.task_names)
    assert all(tasks.ns[name].__doc__ for name in tasks.ns.task_names)


def test_list_shows_names_or_json() -> None:
    context = Recorder()
    tasks.list_(context)
    tasks.list_(context, all=True, json=True)
    assert [line[2:] for line, _ in context.lines] == [["list"], ["list", "--all", "--json"]]
    assert context.lines[0][0][:2] == [sys.executable, str(paths.ROOT / "scripts")]


def test_build_names_policy_platform_variant_and_tag_to_build_sh() -> None:
    context = Recorder()
    tasks.build(context, ["manylinux_2_36_x86_64-shared"], options="--offline --no-test", tag="local")
    (line, env) = context.lines[0]
    assert line == [str(paths.ROOT / "build.sh"), "--offline", "--no-test"]
    assert env == {"POLICY": "manylinux_2_36", "PLATFORM": "x86_64", "VARIANT": "shared", "COMMIT_SHA": "local"}


def test_build_of_one_image_fails_as_build_sh_does() -> None:
    with pytest.raises(Exit) as stopped:
        tasks.build(Recorder(2), ["manylinux_2_36_i686"])
    assert stopped.value.code == 2


def test_build_of_several_images_is_one_command_that_goes_on_after_a_failure() -> None:
    context = Recorder()
    tasks.build(context, ["manylinux_2_35_*", "manylinux_2_31_*"], jobs=2, options="--offline --no-test", tag="local")
    words = "--jobs 2 --tag local manylinux_2_35_* manylinux_2_31_* -- --offline --no-test".split()
    assert context.lines[0][0][1:] == [str(paths.ROOT / "scripts"), "many", *words]


@pytest.mark.parametrize(
    ("patterns", "message"),
    [
        ([], "say which images"),
        (["manylinux_2_36_x86"], "did you mean manylinux_2_36_x86_64"),
        (["nothing*"], "Known:"),
    ],
)
def test_build_of_nothing_or_of_an_unknown_image_is_wrong_use(patterns: list[str], message: str) -> None:
    context = Recorder()
    with pytest.raises(Exit, match=message) as stopped:
        tasks.build(context, patterns)
    assert stopped.value.code == 2
    assert not context.lines


def test_test_takes_the_partial_image_with_the_lock_it_was_built_from(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Any
) -> None:
    lock = tmp_path / "lock.json"
    lock.touch()
    reference = images.load().image("manylinux_2_36_x86_64").repository
    monkeypatch.setattr(tasks, "chosen_engine", lambda: Engine(f"{reference}:latest-partial"))
    monkeypatch.setattr(tasks.sources, "LOCK", lock)
    monkeypatch.setattr(tasks.smoke, "record_of", lambda reference: tmp_path / "no record")
    context = Recorder(1)
    with pytest.raises(Exit) as stopped:
        tasks.test(context, image="manylinux_2_36_x86_64", only_="ssl*")
    assert stopped.value.code == 1
    words = [f"{reference}:latest-partial", "--image", "manylinux_2_36_x86_64", "--lock", str(lock), "--only", "ssl*"]
    assert context.lines[0][0][2:] == ["smoke", *words]


def test_test_of_an_image_that_is_not_here_names_the_command_that_builds_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tasks, "chosen_engine", lambda: Engine())
    with pytest.raises(Exit, match="`invoke build -i musllinux_1_2_x86_64`"):
        tasks.test(Recorder(), image="musllinux_1_2_x86_64")


def test_shell_wants_exactly_one_image() -> None:
    with pytest.raises(Exit, match="choose one"):
        tasks.shell(Recorder(), image="manylinux_2_3*_x86_64")


def test_prefetch_passes_on_what_it_is_asked_for() -> None:
    context = Recorder()
    tasks.prefetch(context, suite=["bookworm", "trixie"], only_=["git"], from_="debian", platform="i686")
    assert context.lines[0][0][2:] == (
        "prefetch --from debian --suite bookworm --suite trixie --only git --platform i686".split()
    )


def test_bake_hands_over_what_it_is_given() -> None:
    context = Recorder()
    tasks.bake(context, ["*_x86_64"], output="bake.json", cache="example.org/cache")
    assert context.lines[0][0][2:] == "bake --cache example.org/cache --output bake.json *_x86_64".split()


def test_publishing_is_a_dry_run_unless_told_otherwise() -> None:
    context = Recorder()
    tasks.push(context, ["example.org/wheels", "example.net/a"], image="musllinux_1_2_x86_64")
    tasks.manifest(context, "musllinux_1_2", [], execute=True, login="bot")
    tasks.manifest(context, "musllinux_1_2", [], tag="2026.11.21-1", verify=True)
    tasks.rollback(context, "2026.11.21-1", ["musllinux_1_2"], [])
    tasks.prune(context, all=True)
    assert [" ".join(line[2:]) for line, _ in context.lines] == [
        "push --registry example.org/wheels --registry example.net/a musllinux_1_2_x86_64",
        "manifest --login bot --execute musllinux_1_2",
        "verify musllinux_1_2 2026.11.21-1",
        "rollback 2026.11.21-1 musllinux_1_2",
        "prune --all",
    ]


@pytest.mark.parametrize("pattern", ["manylinux_2_36_x86_64", "*_x86_64"])
@pytest.mark.parametrize(
    "wrong",
    [{"options": "'"}, {"options": '--x "'}, {"jobs": "abc"}, {"jobs": "0"}, {"jobs": "-1"}, {"jobs": "\u00b2"}],
)
def test_what_no_shell_or_number_is_is_wrong_use(pattern: str, wrong: dict[str, str]) -> None:
    context = Recorder()
    with pytest.raises(Exit, match=f"--{next(iter(wrong))}") as stopped:
        tasks.build(context, [pattern], **wrong)
    assert stopped.value.code == 2
    assert not context.lines


def test_the_whole_command_is_one_line() -> None:
    words = [sys.executable, "-m", "invoke", "build", "-i", "manylinux_2_36_x86_64", "--jobs", "abc"]
    done = subprocess.run(words, cwd=paths.ROOT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (2, "error: --jobs abc: it must be a number from 1\n")


PARENT = """
import sys; sys.path[:0] = ["scripts", "."]
import tasks; from invoke.context import Context
sys.exit(tasks.command(Context(), "bash", "-c", sys.argv[1]))
"""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_what_was_started_ends_with_us(number: signal.Signals, tmp_path: Path) -> None:
    ready, cleaned = tmp_path / "ready", tmp_path / "cleaned"
    script = f"trap 'touch {cleaned}; exit 130' TERM HUP; touch {ready}; while :; do read -r -t 0.1 < <(:); done"
    with subprocess.Popen([sys.executable, "-c", PARENT, script], cwd=paths.ROOT, stdin=subprocess.DEVNULL) as process:
        deadline = time.monotonic() + 30
        while not ready.exists() and time.monotonic() < deadline:
            time.sleep(0.05)
        process.send_signal(number)
        assert process.wait(timeout=30) == 130
    assert cleaned.exists()
