"""Tests of the smoke tests: an image that was spoiled in one way fails the check that is about it, by name.

They need an image that passes, and what it is held to:
    python3 scripts smoke REFERENCE --print-expectations > expect.json
    MANYLINUX_TEST_IMAGE=REFERENCE MANYLINUX_TEST_EXPECTATIONS=expect.json pytest tests/integration/test_mutations.py

A mutation is a piece of shell that is run in a container of the image right before the suite, so nothing is built.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import tomllib
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from engine import choose
from engine.commands import ImageBuild, Mount
from engine.engine import Engine
from plan.expectations import Expectations
from smoke import passes
from sources.wheelhouse import WHEELHOUSE

IMAGE = os.environ.get("MANYLINUX_TEST_IMAGE", "")
EXPECTATIONS = os.environ.get("MANYLINUX_TEST_EXPECTATIONS", "")
pytestmark = [
    pytest.mark.engine,
    pytest.mark.slow,
    pytest.mark.skipif(
        not (IMAGE and EXPECTATIONS), reason="MANYLINUX_TEST_IMAGE and MANYLINUX_TEST_EXPECTATIONS are not set"
    ),
]

# What the scripts may use: the oldest CPython and the tools' own, and the places of both.
PRELUDE = """
set -eu
bin=/usr/local/bin internal=/opt/_internal
old=/opt/python/{old} new=/opt/python/{new}
oldlib=$(echo $old/lib/python3.*) newlib=$(echo $new/lib/python3.*)
pipx=$internal/pipx/venvs
export PYTHONDONTWRITEBYTECODE=1
"""


@dataclass(frozen=True)
class Mutation:
    """One way to spoil an image, see mutations.toml; `held_to` changes what the oldest CPython is held to instead."""

    name: str
    check: str
    says: str = ""
    script: str = ""
    interpreter: str = ""
    held_to: Mapping[str, Any] = field(default_factory=dict)
    only_on: Mapping[str, str] = field(default_factory=dict)


def mutations() -> list[Mutation]:
    """Those of mutations.toml."""
    with Path(__file__).with_name("mutations.toml").open("rb") as file:
        return [Mutation(**row) for row in tomllib.load(file)["mutation"]]


@pytest.fixture(scope="module")
def expectations() -> Expectations:
    content: Expectations = json.loads(Path(EXPECTATIONS).read_text(encoding="utf-8"))
    return content


@pytest.fixture(scope="module")
def engine() -> Engine:
    return choose.engine()


def run_suite(
    engine: Engine, expectations: Expectations, script: str, only: Sequence[str], tmp_path: Path
) -> dict[str, list[str]]:
    """Spoils a container of the image and runs some checks in it; returns the problems by check."""
    expect = tmp_path / "expect.json"
    expect.write_text(json.dumps(expectations), encoding="utf-8")
    rows = [row for row in expectations["interpreters"] if row["implementation"] == "cpython"]
    prelude = PRELUDE.format(old=rows[0]["tag"], new=expectations["tools_python"])
    # The suite itself runs on an interpreter that no mutation spoils.
    driver = next(tag for tag in passes.drivers(expectations)[::-1])
    selection = [word for name in only for word in ("--only", name)]
    suite = f'cd / && exec /opt/python/{driver}/bin/python -B -m smoke main "$@"'
    mounts = [Mount(passes.SUITE, "/smoke"), Mount(passes.DOCTOR, "/doctor"), Mount(WHEELHOUSE, "/wheelhouse")]
    mounts.append(Mount(expect, "/smoke-expect.json"))
    # Not through the entry point: it may be what is spoiled.
    argv = engine.run(
        IMAGE, ["-c", f"{prelude}\n{script}\n{suite}", "bash", *selection], mounts=mounts, entrypoint="/bin/bash"
    )
    done = subprocess.run(argv, env=engine.environment(), capture_output=True, text=True, timeout=900, check=False)
    events = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    assert events and "done" in events[-1], done.stdout[-2000:] + done.stderr[-2000:]
    found: dict[str, list[str]] = {}
    for event in events:
        if event.get("problems"):
            found.setdefault(event["check"], []).extend(
                f"{event['interpreter']} {problem}" for problem in event["problems"]
            )
    return found


def test_the_checks_pass_on_the_untouched_image(engine: Engine, expectations: Expectations, tmp_path: Path) -> None:
    """Otherwise a mutation that changes nothing would seem to be caught."""
    assert run_suite(engine, expectations, "", sorted({mutation.check for mutation in mutations()}), tmp_path) == {}


@pytest.mark.parametrize("mutation", mutations(), ids=lambda mutation: re.sub(r"[^\w.]+", "-", mutation.name))
def test_a_spoiled_image_fails_by_name(
    mutation: Mutation, engine: Engine, expectations: Expectations, tmp_path: Path
) -> None:
    for key, value in mutation.only_on.items():
        if expectations.get(key) != value:
            pytest.skip(f"it needs an image with {key} {value}")
    held_to = json.loads(json.dumps(expectations))
    held_to["interpreters"][0].update(mutation.held_to)
    tags = {"old": expectations["interpreters"][0]["tag"], "new": expectations["tools_python"]}
    only = f"{mutation.check}[{tags[mutation.interpreter]}]" if mutation.interpreter else mutation.check
    found = run_suite(engine, held_to, mutation.script, [only], tmp_path)
    assert mutation.check in found, f"{mutation.check} did not notice"
    assert mutation.says in " ".join(found[mutation.check])


CHANGES = {
    "image-entrypoint": 'ENTRYPOINT ["/bin/sh"]',
    "image-command": 'CMD ["/bin/sh"]',
    "image-environment": "ENV LANG=C EXTRA=1",
    "image-labels": 'LABEL org.pypa.manylinux.complete="perhaps"',
    "image-settings": "USER 1000",
}


def test_a_changed_configuration_fails_by_name(
    engine: Engine, expectations: Expectations, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """What the engine says of the image counts, too: each setting is changed at once and each is named."""
    (tmp_path / "Dockerfile").write_text("\n".join([f"FROM {IMAGE}", *CHANGES.values()]) + "\n", encoding="utf-8")
    reference = f"localhost/manylinux-mutation:{uuid.uuid4().hex[:12]}"
    platform = engine.ask(engine.inspect(IMAGE, "{{.Os}}/{{.Architecture}}"))
    assert platform
    build = ImageBuild(tmp_path, tmp_path / "Dockerfile", reference, platform)
    engine.call(engine.build(build))
    held_to: Expectations = {**expectations, "labels": {"org.pypa.manylinux.complete": "true"}}
    try:
        assert not passes.run(engine, reference, held_to, only=list(CHANGES))
    finally:
        engine.ask(engine.remove(reference))
    said = capsys.readouterr().err
    for name in CHANGES:
        assert f"FAILED {name} " in said
