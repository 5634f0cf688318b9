"""Runs in an image (Python 3.11 and newer): each interpreter makes small wheels, or uses those of another image.

`make PROJECTS DIRECTORY` compiles them, repairs them and leaves them in DIRECTORY/<tag>/; `use DIRECTORY` installs each
with the interpreter of its tag. Both print a JSON object a line: tag, project, problem ("" for none).
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterator
from pathlib import Path

PYTHONS = Path("/opt/python")
# Project -> its source, compiler, and an expression that is true if its module works
PROJECTS = {
    "smoke_c": ("c/smoke_c.c", "gcc", "smoke_c.hypotenuse(3.0, 4.0) == 5.0"),
    "smoke_cxx": ("cxx/smoke_cxx.cpp", "g++", "smoke_cxx.sum(10) == 55 and smoke_cxx.overrun() == 'out of range'"),
}
ASK = "import sysconfig as s; print(s.get_path('include'), s.get_config_var('EXT_SUFFIX'))"
SECONDS = 600  # of one step, which may be emulated


class Broken(Exception):
    """A step failed; the message has its last words."""


def run(*command: str | Path, env: dict[str, str] | None = None) -> str:
    """The output of a command. Raises Broken."""
    done = subprocess.run(
        command, capture_output=True, text=True, errors="replace", timeout=SECONDS, env={**os.environ, **(env or {})}
    )
    if done.returncode:
        raise Broken(f"{Path(command[0]).name} ended with status {done.returncode}: {done.stderr.strip()[-500:]}")
    return done.stdout


def make(projects: Path, target: Path, tag: str, name: str) -> None:
    """Compiles a project with an interpreter and repairs the wheel as users do. Raises Broken."""
    source, compiler, _ = PROJECTS[name]
    include, suffix = run(PYTHONS / tag / "bin/python", "-IB", "-c", ASK).split()
    with tempfile.TemporaryDirectory() as scratch:
        module = Path(scratch, f"{name}{suffix}")
        run(compiler, "-O1", "-shared", "-fPIC", f"-I{include}", projects / source, "-o", module, "-lm", "-pthread")
        wheel = Path(scratch, f"{name}-1.0-{tag}-linux_{os.environ['AUDITWHEEL_ARCH']}.whl")
        pack(wheel, module, tag)
        run("auditwheel", "repair", "--wheel-dir", target / tag, wheel)


def pack(wheel: Path, module: Path, tag: str) -> None:
    """A wheel with one extension."""
    name, version, _, _, platform = wheel.stem.split("-")
    information = f"{name}-{version}.dist-info"
    members = {
        module.name: module.read_bytes(),
        f"{information}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n".encode(),
        f"{information}/WHEEL": (
            f"Wheel-Version: 1.0\nGenerator: manylinux\nRoot-Is-Purelib: false\nTag: {tag}-{platform}\n".encode()
        ),
    }
    record = "".join(f"{path},sha256={_hash(content)},{len(content)}\n" for path, content in members.items())
    with zipfile.ZipFile(wheel, "w") as archive:
        for path, content in members.items():
            archive.writestr(path, content)
        archive.writestr(f"{information}/RECORD", f"{record}{information}/RECORD,,\n")


def _hash(content: bytes) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()


def use(wheels: Path, tag: str, name: str) -> None:
    """Installs the repaired wheel of another image and uses it. Raises Broken."""
    python = PYTHONS / tag / "bin/python"
    wheel = next((wheels / tag).glob(f"{name}-*.whl"))
    with tempfile.TemporaryDirectory() as scratch:
        run(python, "-m", "pip", "install", "--quiet", "--no-index", "--no-deps", "--target", scratch, wheel)
        code = f"import {name}\nassert {PROJECTS[name][2]}"
        run(python, "-B", "-c", code, env={"PYTHONPATH": scratch})


def attempts(words: list[str]) -> Iterator[tuple[str, str, str]]:
    """Tag, project and problem of each step that `words` ask for."""
    here = sorted(path.name for path in PYTHONS.iterdir())
    for tag in here:
        for name in PROJECTS:
            if words[0] == "use" and not list(Path(words[1], tag).glob(f"{name}-*.whl")):
                continue  # the other image has no such interpreter, or could not make it
            try:
                if words[0] == "use":
                    use(Path(words[1]), tag, name)
                else:
                    make(Path(words[1]), Path(words[2]), tag, name)
            except (Broken, OSError, subprocess.TimeoutExpired) as error:
                yield tag, name, str(error)
            else:
                yield tag, name, ""


if __name__ == "__main__":
    for found in attempts(sys.argv[1:]):
        print(json.dumps(dict(zip(("tag", "project", "problem"), found, strict=True))), flush=True)
