"""`prove` in root file systems of Debian 12 and 13, and in that of an image without a Python."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import uuid
from pathlib import Path
from typing import Any

import pytest
from tests.support import built_wheels

from catalogue.paths import ROOT
from engine import choose, probe
from host.mirror import Mirror
from prove import roots, trial

pytestmark = [
    pytest.mark.skipif(not shutil.which("gcc"), reason="needs gcc: apt-get install gcc libc6-dev"),
    pytest.mark.skipif(
        bool(os.geteuid()) or not shutil.which("mmdebstrap") or Mirror.of_this_machine() is None,
        reason="it takes root, a Debian mirror and mmdebstrap",
    ),
]


def prove(*words: str | Path) -> tuple[int, list[dict[str, Any]]]:
    """Status and outcomes of `prove --json` for one wheel."""
    argv = [sys.executable, ROOT / "scripts", "prove", "--json", *words]
    done = subprocess.run(argv, capture_output=True, text=True)
    assert done.stdout, done.stderr
    (wheel,) = json.loads(done.stdout)["wheels"]
    return done.returncode, wheel["outcomes"]


@pytest.mark.slow
@pytest.mark.network
def test_an_executable_stack_loads_on_debian_12_and_fails_on_13(tmp_path: Path) -> None:
    members: dict[str, bytes | str] = {
        "p/__init__.py": "",
        "p/stack.so": built_wheels.compiled(tmp_path, "int x;", "-z", "execstack"),
        "p/fine.so": built_wheels.compiled(tmp_path, "int y;"),
    }
    wheel = built_wheels.packed(tmp_path, members, "p-1-py3-none-manylinux_2_28_x86_64.whl")
    junit = tmp_path / "junit.xml"
    status, (twelve, thirteen, old) = prove(wheel, "--for", "Debian 12", "--for", "debian-13", "--junit", junit)
    assert (twelve["root"], twelve["predicted"], twelve["happened"]) == ("debian-12", True, "runs")
    assert (thirteen["root"], thirteen["predicted"], thirteen["happened"]) == ("debian-13", False, "fails")
    (failure,) = [each for each in thirteen["trials"] if each["problem"]]
    assert failure["name"] == "p/stack.so" and "cannot enable executable stack" in failure["problem"]
    assert {each["name"] for each in twelve["trials"]} == {"p", "p/fine.so", "p/stack.so"}
    assert not (twelve["differs"] or thirteen["differs"] or old["differs"])
    assert status == 1
    assert 'tests="3" failures="1"' in junit.read_text(encoding="utf-8")


@pytest.mark.engine
def test_the_loader_of_an_image_without_python_says_what_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = tmp_path / "root"
    for directory in ("bin", "mnt", "proc", "tmp", "dev"):
        (files / directory).mkdir(parents=True)
    probe.copy_with_libraries("bash", files)
    (files / "bin/sh").symlink_to("bash")
    archive, reference = tmp_path / "root.tar", f"localhost/manylinux-test-root:{uuid.uuid4().hex}"
    subprocess.run(["tar", "-C", files, "-cf", archive, "."], check=True)
    engine = choose.engine()
    engine.call(engine.import_(archive, reference, "linux/amd64", {}))
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setattr(roots, "known", lambda: {"almalinux-9": reference})
    (tmp_path / "work").mkdir()
    sources = {
        "p/fine.so": built_wheels.compiled(tmp_path, "int x;"),
        "p/lost.so": built_wheels.compiled(tmp_path, "int nowhere(void); int y(void) { return nowhere(); }"),
        "p/python.so": built_wheels.compiled(tmp_path, "int PyX(void); int z(void) { return PyX(); }"),
    }
    wheel = built_wheels.packed(tmp_path, dict(sources))
    said = {"objects": list(sources), "findings": []}
    installed = trial.install(wheel, tmp_path / "work/site", said)
    try:
        root = roots.obtain("almalinux-9", "x86_64")
        made = root.path.stat().st_ino
        found = {each.name: each for each in trial.run(root, tmp_path / "work", installed)}
        assert roots.obtain("almalinux-9", "x86_64").path.stat().st_ino == made  # nothing has changed
    finally:
        engine.ask(engine.remove(reference))
    assert {each.what for each in found.values()} == {"resolve"}
    assert found["p/fine.so"].problem == found["p/python.so"].problem == ""
    assert "undefined symbol: nowhere" in found["p/lost.so"].problem
