"""Where state and caches lie: for users with a home, and for those that a container invents."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from pathlib import Path

import pytest

from catalogue import paths
from portable import errors, files, places

# A user that this machine does not know, as `docker run --user 4711:4711` makes one.
STRANGER = 4711


@pytest.fixture(autouse=True)
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    places._temporary.cache_clear()
    return tmp_path / f"manylinux-{os.getuid()}"


def test_the_base_directories_of_xdg(tmp_path: Path) -> None:
    env = {"HOME": str(tmp_path), "XDG_STATE_HOME": str(tmp_path / "s"), "XDG_CACHE_HOME": str(tmp_path / "c")}
    assert places.state(env) == tmp_path / "s" / "manylinux"
    assert places.cache(env) == tmp_path / "c" / "manylinux"
    relative = {"HOME": str(tmp_path), "XDG_STATE_HOME": "here", "XDG_CACHE_HOME": ""}
    assert places.state(relative) == tmp_path / ".local/state/manylinux"
    assert places.cache(relative) == tmp_path / ".cache/manylinux"
    assert not list(tmp_path.iterdir()), "looking makes nothing"
    assert places.settled({"HOME": str(tmp_path)}) == {"HOME": str(tmp_path)}


@pytest.mark.parametrize("home", ["/", "/dev/null", "/dev/null/home", "here"])
def test_a_home_that_cannot_be_written(home: str, temporary: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert places.state({"HOME": home}) == temporary / ".local/state/manylinux"
    assert places.cache({"HOME": home}) == temporary / ".cache/manylinux"
    assert temporary.stat().st_mode & 0o777 == 0o700
    said = capsys.readouterr().err
    assert f"HOME ({home}) cannot be written" in said
    assert said.count("note:") == 1
    env = places.settled({"HOME": home})
    assert env["XDG_DATA_HOME"] == str(temporary / ".local/share")
    assert env["HOME"] == str(temporary)

    home_with_settings = temporary.parent / "file" / "home"
    home_with_settings.parent.mkdir()
    home_with_settings.mkdir()
    (home_with_settings / ".local").touch()  # as unwritable as one can have it as root
    env = places.settled({"HOME": str(home_with_settings)})
    assert (env["HOME"], env["XDG_STATE_HOME"]) == (str(home_with_settings), str(temporary / ".local/state"))


def test_what_was_asked_for_and_cannot_be_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "link").symlink_to("nowhere")
    for named in (tmp_path / "file", tmp_path / "file" / "below", tmp_path / "link"):
        with pytest.raises(errors.UserError, match=r"XDG_STATE_HOME=.* cannot be written"):
            places.state({"XDG_STATE_HOME": str(named)})


def test_nobody_else_prepares_our_directory(temporary: Path) -> None:
    temporary.mkdir()
    temporary.chmod(0o777)
    with pytest.raises(errors.UserError, match="not this user's own directory"):
        places.state({"HOME": "/"})
    temporary.rmdir()
    temporary.symlink_to("/etc")
    with pytest.raises(errors.UserError, match="not this user's own directory"):
        places.state({"HOME": "/"})


@pytest.mark.skipif(os.getuid() != 0, reason="only root can run a command as another user")
@pytest.mark.parametrize("home", [None, "/", "/root/none"])
def test_a_user_without_an_entry(home: str | None) -> None:
    code = "from portable import places\n"
    code += "print(places.home(), places.state(), places.cache(), places.settled()['XDG_DATA_HOME'])"
    env = {"PATH": os.environ["PATH"]} | ({"HOME": home} if home else {})
    with tempfile.TemporaryDirectory(dir="/tmp") as directory:
        Path(directory).chmod(0o777)
        # The checkout may lie where other users must not look.
        shutil.copytree(paths.ROOT / "scripts" / "portable", Path(directory, "scripts", "portable"))
        files.share(Path(directory, "scripts"))
        done = subprocess.run(
            ["/usr/bin/python3", "-B", "-c", f"import sys; sys.path[0] = '{directory}/scripts'\n{code}"],
            env=env | {"TMPDIR": directory},
            user=STRANGER,
            group=STRANGER,
            extra_groups=[],
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr
        below = f"{directory}/manylinux-{STRANGER}"
        state, cache, data = (
            f"{below}/{name}" for name in (".local/state/manylinux", ".cache/manylinux", ".local/share")
        )
        assert done.stdout.split() == [home or "None", state, cache, data]
        assert done.stderr.count("note: HOME") == 1


def test_no_other_module_looks_for_a_home() -> None:
    sources = [*paths.ROOT.glob("*.py"), *(paths.ROOT / "scripts").rglob("*.py")]
    sources += (paths.ROOT / "docker" / "rootfs").rglob("*.py")
    assert len(sources) > 30
    for path in sources:
        if path.name not in ("places.py", "environment.py", "indexes.py"):  # whose business settings are
            text = path.read_text(encoding="utf-8")
            for word in (
                "Path.home",
                "expanduser",
                *(f'"{name}"' for name in places.BELOW_HOME),
                'get("HOME',
                '["HOME',
                "getpwuid",
            ):
                assert word not in text, f"{path.name}: {word}"
