"""`prove` in root file systems of Debian 12 and 13, and in that of an image without a Python."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from tests.support import built_wheels, registries

from catalogue.paths import ROOT
from engine import choose, probe
from engine.engine import Engine
from host.mirror import Mirror
from portable import places
from prove import command, roots

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
    (tmp_path / "tool.c").write_text("int main(void) { return 0; }", encoding="ascii")
    subprocess.run(["gcc", "-o", "tool", "tool.c"], cwd=tmp_path, check=True)
    members: dict[str, bytes | str] = {
        "p-1.data/scripts/tool": (tmp_path / "tool").read_bytes(),
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
    assert {each["name"] for each in twelve["trials"]} == {"p", "p/fine.so", "p/stack.so", "scripts/tool"}
    assert not (twelve["differs"] or thirteen["differs"] or old["differs"])
    assert status == 1
    assert 'tests="3" failures="1"' in junit.read_text(encoding="utf-8")


@pytest.mark.engine
@pytest.mark.program("docker-registry")
def test_an_image_of_a_registry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It has no Python: its loader says what is missing. A newer image under the same tag is unpacked anew."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    engine = choose.engine()
    sources: dict[str, bytes | str] = {
        "p/fine.so": built_wheels.compiled(tmp_path, "int x;"),
        "p/lost.so": built_wheels.compiled(tmp_path, "int nowhere(void); int y(void) { return nowhere(); }"),
        "p/python.so": built_wheels.compiled(tmp_path, "int PyX(void); int z(void) { return PyX(); }"),
        "p/math.so": built_wheels.compiled(tmp_path, "double ceil(double); double z(double x) { return ceil(x); }"),
    }
    wheel = built_wheels.packed(tmp_path, sources, "p-1-cp36-cp36m-manylinux_2_17_x86_64.whl")
    with registries.running(tmp_path) as host:
        reference = f"{host}/test/root:9"
        (tmp_path / "roots.toml").write_text(f'almalinux-9 = "{reference}"\nfedora-43 = "{host}/test/none:43"\n')
        monkeypatch.setattr(roots, "TABLE", tmp_path / "roots.toml")
        made = []
        for content in ("one", "", "other"):
            if content:
                publish(engine, host, reference, content, tmp_path / "root")
            found, missing = command.prove(wheel, ["almalinux-9", "fedora-43"], processor=False)
            made.append((places.state() / "roots/almalinux-9-x86_64/content").stat().st_ino)
        engine.ask(engine.remove(reference))
    assert made[0] == made[1] != made[2]
    assert "test/none:43 cannot be pulled" in missing.skipped
    assert {each.what for each in found.trials} == {"resolve"}
    problems = {each.name: each.problem for each in found.trials}
    assert problems["p/fine.so"] == problems["p/python.so"] == problems["p/math.so"] == ""
    assert "undefined symbol: nowhere" in problems["p/lost.so"]


def publish(engine: Engine, host: str, reference: str, content: str, files: Path) -> None:
    """Pushes an image with a shell, a loader and a file of this content, and leaves none of it in the engine."""
    if not files.exists():
        for directory in ("bin", "mnt", "proc", "tmp", "dev"):
            (files / directory).mkdir(parents=True)
        probe.copy_with_libraries("bash", files)
        (files / "bin/sh").symlink_to("bash")
        said = subprocess.run(["gcc", "-print-file-name=libm.so.6"], capture_output=True, text=True, check=True)
        libc = next(files.rglob("libc.so.6"))
        shutil.copy(said.stdout.strip(), libc.with_name("libm.so.6"))
    archive = files.with_suffix(".tar")
    (files / "content").write_text(content, encoding="ascii")
    subprocess.run(["tar", "-C", files, "-cf", archive, "."], check=True)
    engine.call(engine.import_(archive, reference, "linux/amd64", {}))
    engine.call(engine.command("push", *engine.without_tls(host), reference))
    engine.call(engine.remove(reference))
