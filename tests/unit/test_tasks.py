"""The tasks hand over to the commands of scripts/, and end as these do; the integration tests publish by them."""

from __future__ import annotations

import json
import os
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import tasks
from invoke.context import MockContext
from invoke.exceptions import Exit
from invoke.runners import Result

from catalogue import images, paths
from smoke import record

CATALOGUE = images.load()


class Recorder(MockContext):
    """Keeps the words of every command of scripts/, and ends each with the given status."""

    def __init__(self, status: int = 0) -> None:
        super().__init__()
        object.__setattr__(self, "lines", [])
        object.__setattr__(self, "status", status)

    def run(self, command: str, *args: Any, **kwargs: Any) -> Result:
        interpreter, scripts, *words = shlex.split(command)
        assert (interpreter, scripts) == (sys.executable, str(paths.ROOT / "scripts"))
        self.lines.append(words)
        return Result(exited=self.status)


class Real(MockContext):
    """Runs every command and keeps what it prints."""

    def run(self, command: str, *args: Any, **kwargs: Any) -> Result:
        environment = {**os.environ, **kwargs.get("env", {})}
        done = subprocess.run(shlex.split(command), env=environment, capture_output=True, text=True, check=False)
        object.__setattr__(self, "said", done.stdout + done.stderr)
        object.__setattr__(self, "printed", done.stdout)
        return Result(exited=done.returncode)


class Engine:
    """Has the images it is told of."""

    name = "podman"

    def __init__(self, *references: str) -> None:
        self.references = references

    def inspect(self, reference: str, template: str) -> list[str]:
        return [reference]

    def ask(self, argv: list[str]) -> str | None:
        return "sha256:1" if argv[0] in self.references else None


def test_list_shows_names_or_json() -> None:
    context = Real()
    tasks.list_(context)
    assert context.printed.split() == [image.name for image in CATALOGUE.images()]
    tasks.list_(context, all=True, json=True)
    rows = json.loads(context.said)
    assert {row["image"] for row in rows} >= {image.name for image in CATALOGUE.images(published_only=False)}


def test_build_names_policy_platform_variant_and_tag_to_build_sh() -> None:
    context, name = Real(), "manylinux_2_36_x86_64-shared"
    tasks.build(context, [name], options="--print --no-test", tag="local")
    assert f"--tag {CATALOGUE.image(name).repository}:local" in context.said


def test_build_of_one_image_fails_as_build_sh_does() -> None:
    context = Real()
    with pytest.raises(Exit) as stopped:
        tasks.build(context, ["manylinux_2_36_i686"], options="--print --interpreters cp00-cp00")
    assert stopped.value.code == 2
    assert "cp00-cp00" in context.said


def test_build_of_several_images_is_one_command_that_goes_on_after_a_failure() -> None:
    recorder = Recorder()
    tasks.build(recorder, ["manylinux_2_35_*", "manylinux_2_31_*"], jobs=2, options="--offline --no-test", tag="local")
    words = "--jobs 2 --tag local manylinux_2_35_* manylinux_2_31_* -- --offline --no-test".split()
    assert recorder.lines == [["many", *words]]


@pytest.mark.parametrize(
    ("patterns", "message"),
    [
        ([], "say which images"),
        (["manylinux_2_36_x86"], "did you mean manylinux_2_36_x86_64"),
        (["nothing*"], "Known:"),
    ],
)
def test_build_of_nothing_or_of_an_unknown_image_is_wrong_use(patterns: list[str], message: str) -> None:
    recorder = Recorder()
    with pytest.raises(Exit, match=message) as stopped:
        tasks.build(recorder, patterns)
    assert stopped.value.code == 2
    assert not recorder.lines


def test_test_takes_the_partial_image_with_the_lock_it_was_built_from(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Any
) -> None:
    lock = tmp_path / "lock.json"
    lock.touch()
    reference = CATALOGUE.image("manylinux_2_36_x86_64").repository
    monkeypatch.setattr(tasks, "chosen_engine", lambda: Engine(f"{reference}:latest-partial"))
    monkeypatch.setattr(tasks, "LOCK", lock)
    monkeypatch.setattr(record, "path_of", lambda reference: tmp_path / "no record")
    recorder = Recorder(1)
    with pytest.raises(Exit) as stopped:
        tasks.test(recorder, image="manylinux_2_36_x86_64", only_="ssl*")
    assert stopped.value.code == 1
    words = [f"{reference}:latest-partial", "--image", "manylinux_2_36_x86_64", "--lock", str(lock), "--only", "ssl*"]
    assert recorder.lines == [["smoke", *words]]


def test_test_of_an_image_that_is_not_here_names_the_command_that_builds_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tasks, "chosen_engine", lambda: Engine())
    with pytest.raises(Exit, match="`invoke build -i musllinux_1_2_x86_64`"):
        tasks.test(Recorder(), image="musllinux_1_2_x86_64")


def test_shell_wants_exactly_one_image() -> None:
    with pytest.raises(Exit, match="choose one"):
        tasks.shell(Recorder(), image="manylinux_2_3*_x86_64")


def test_prefetch_passes_on_what_it_is_asked_for() -> None:
    recorder = Recorder()
    tasks.prefetch(recorder, suite=["bookworm", "trixie"], only_=["git"], from_="debian", platform="i686")
    words = "--from debian --suite bookworm --suite trixie --only git --platform i686".split()
    assert recorder.lines == [["prefetch", *words]]


def test_bake_writes_a_file(tmp_path: Path) -> None:
    output = tmp_path / "bake.json"
    tasks.bake(Real(), ["manylinux_2_36_*"], output=str(output), cache="example.org/cache")
    targets = json.loads(output.read_text(encoding="utf-8"))["target"]
    assert set(targets) == {image.name for image in CATALOGUE.select(["manylinux_2_36_*"])}
    assert all("example.org/cache" in json.dumps(target) for target in targets.values())


def test_canaries_are_built_in_what_is_named() -> None:
    recorder, reference = Recorder(), "example.org/a/b@sha256:" + "1" * 64
    tasks.canary(recorder, ["msg*", "psycopg2"], image="musllinux_1_2_x86_64", reference=reference, published="none")
    words = ["--only", "msg*", "--only", "psycopg2", "--published", "none"]
    assert recorder.lines == [["canary", *words, "musllinux_1_2_x86_64", reference]]
    tasks.manifest(recorder, "musllinux_1_2", [], ["msgpack"], canaries="results")
    assert recorder.lines[1][1:] == ["--canaries", "results", "--accept-canary", "msgpack", "musllinux_1_2"]


@pytest.mark.parametrize("execute", [False, True])
def test_publishing_is_a_dry_run_unless_told_otherwise(execute: bool) -> None:
    recorder, where = Recorder(), ["example.org/wheels", "example.net/a"]
    tasks.push(recorder, where, image="musllinux_1_2_x86_64", execute=execute)
    tasks.manifest(recorder, "musllinux_1_2", where, [], execute=execute)
    tasks.rollback(recorder, "2026.11.21-1", ["musllinux_1_2"], where, execute=execute)
    tasks.prune(recorder, "example.org/wheels", execute=execute)
    assert [line[0] for line in recorder.lines] == ["push", "manifest", "rollback", "prune"]
    assert all(("--execute" in line) is execute for line in recorder.lines)


@pytest.mark.parametrize("pattern", ["manylinux_2_36_x86_64", "*_x86_64"])
@pytest.mark.parametrize(
    "wrong",
    [{"options": "'"}, {"options": '--x "'}, {"jobs": "abc"}, {"jobs": "0"}, {"jobs": "-1"}, {"jobs": "\u00b2"}],
)
def test_what_no_shell_or_number_is_is_wrong_use(pattern: str, wrong: dict[str, str]) -> None:
    recorder = Recorder()
    with pytest.raises(Exit, match=f"--{next(iter(wrong))}") as stopped:
        tasks.build(recorder, [pattern], **wrong)
    assert stopped.value.code == 2
    assert not recorder.lines


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


def test_a_positional_argument_has_no_default() -> None:
    """invoke would take the word for another task: "No idea what ... is!"."""
    for task in tasks.ns.tasks.values():
        defaults = {
            name for name, value in task.argspec(task.body).parameters.items() if value.default is not value.empty
        }
        assert not set(task.positional) & defaults, task.name
