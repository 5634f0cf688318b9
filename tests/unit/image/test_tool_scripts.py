"""The small programs that date the layers of Python tools and keep pipx's notes the same on every build."""

from __future__ import annotations

import json
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

from catalogue import pins

SCRIPTS = pins.DOCKERFILE.parent / "build_scripts"


def run(script: str, *arguments: object) -> str:
    done = subprocess.run(
        [sys.executable, SCRIPTS / script, *map(str, arguments)], capture_output=True, text=True, check=True
    )
    return done.stdout.strip()


def wheel(path: Path, *dates: tuple[int, int, int, int, int, int]) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for number, date in enumerate(dates):
            archive.writestr(zipfile.ZipInfo(f"{number}.py", date), "")
    return path


def test_the_newest_file_of_all_wheels_counts(tmp_path: Path) -> None:
    old = wheel(tmp_path / "a-1-py3-none-any.whl", (1980, 1, 1, 0, 0, 0))
    new = wheel(tmp_path / "b-1-py3-none-any.whl", (2020, 9, 13, 12, 26, 40), (2001, 1, 1, 0, 0, 0))
    assert run("newest_in_wheels.py", old, new) == "1600000000"


def test_source_archives_count_too(tmp_path: Path) -> None:
    path = tmp_path / "c-1.tar.gz"
    with tarfile.open(path, "w:gz") as archive:
        member = tarfile.TarInfo("setup.py")
        member.mtime = 1_700_000_000
        archive.addfile(member)
    assert run("newest_in_wheels.py", path) == "1700000000"


@pytest.mark.parametrize("micro", ["3.13.1", "3.13.99"])
def test_metadata_of_pipx_do_not_tell_the_micro_version(tmp_path: Path, micro: str) -> None:
    path = tmp_path / "pipx_metadata.json"
    metadata = {
        "main_package": {"package": "x", "package_version": "1.2", "pip_args": ["--find-links", f"/build/{micro}"]},
        "python_version": f"Python {micro}",
        "source_interpreter": {"__type__": "Path", "__Path__": f"/opt/_internal/cpython-{micro}/bin/python3.13"},
        "venv_args": [],
    }
    path.write_text(json.dumps(metadata))
    assert run("normalise_pipx_metadata.py", path, "/opt/python/cp313-cp313/bin/python") == "1.2"
    assert json.loads(path.read_text()) == {
        "main_package": {"package": "x", "package_version": "1.2", "pip_args": []},
        "python_version": f"Python {sys.version_info[0]}.{sys.version_info[1]}",
        "source_interpreter": {"__type__": "Path", "__Path__": "/opt/python/cp313-cp313/bin/python"},
        "venv_args": [],
    }
