"""scripts/dev: its environment is what the lock says, is made once, and only a whole one counts."""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.support import indexes, servers
from tests.support.checkouts import Checkout, new_checkout

from host import developers
from portable import errors, files

STRANGER = 4711  # a user that this machine does not know
MAKING = "dev: making .venv from requirements/dev.txt\n"


@pytest.fixture
def checkout(tmp_path: Path) -> Iterator[Checkout]:
    with servers.running() as server:
        yield new_checkout(tmp_path, server)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Checkout]:
    """One with its environment, made for a caller whose settings are meant for other programs."""
    with servers.running() as server:
        found = new_checkout(tmp_path_factory.mktemp("made"), server)
        (found.root / ".config/pip").mkdir(parents=True)
        (found.root / ".config/pip/pip.conf").write_text("[global]\nuser = true\n[install]\nprefix = /nowhere\n")
        pip = {"PIP_USER": "1", "PIP_DRY_RUN": "1", "PIP_TARGET": "/nowhere", "PIP_REQUIRE_VIRTUALENV": "1"}
        python = {"PYTHONHOME": "/nowhere", "PYTHONSAFEPATH": "1", "PYTHONPATH": "/nowhere"}
        assert found.run("nox", **pip, **python) == (0, "1\n", MAKING)
        yield found


def test_it_is_made_once(made: Checkout) -> None:
    asked = len(made.server.requests)
    assert made.run("nox") == (0, "1\n", "")
    assert len(made.server.requests) == asked


@contextlib.contextmanager
def instead(path: Path, make: Callable[[Path], object] = lambda path: None) -> Iterator[None]:
    """Something else, or nothing, in the place of a file."""
    aside = path.rename(path.with_name("aside"))
    try:
        make(path)
        yield
    finally:
        if path.is_symlink() or path.exists():
            path.unlink()
        aside.rename(path)


def test_what_is_not_whole_or_for_another_lock_does_not_count(made: Checkout) -> None:
    venv, lock = made.root / ".venv", made.root / "requirements/dev.txt"
    python, true = venv / "bin/python", shutil.which("true") or ""
    broken = {
        "another lock": instead(lock, lambda path: path.write_text("a==1\n")),
        "half of it": instead(venv / "dev-lock"),
        "its Python is gone": instead(python, lambda path: path.symlink_to("nowhere")),
        "its Python is another": instead(python, lambda path: path.symlink_to(true)),
        "its commands are gone": instead(venv / "bin/nox"),
        "it is a link": instead(venv, lambda path: path.symlink_to("nowhere")),
        "it is a file": instead(venv, lambda path: path.touch()),
    }
    for reason, change in broken.items():
        assert developers.is_ready(venv, lock), reason
        with change:
            assert not developers.is_ready(venv, lock), reason
    moved = venv.rename(made.root / ".venv-moved")
    assert not developers.is_ready(moved, lock)
    moved.rename(venv)
    assert developers.is_ready(venv, lock)


def test_after_a_killed_one_two_at_once_make_one(checkout: Checkout) -> None:
    simple = checkout.server.routes["/simple/nox/"]
    checkout.server.routes["/simple/nox/"] = servers.stalling(3)
    killed = checkout.start("nox")
    deadline = time.monotonic() + 60
    while not checkout.server.asked("/simple/nox/"):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    killed.kill()
    killed.wait()  # its pip goes on, and nobody disturbs it
    checkout.server.routes["/simple/nox/"] = simple
    both = [checkout.start("nox"), checkout.start("nox")]
    said = [process.communicate(timeout=120) for process in both]
    assert [(process.returncode, out) for process, (out, _) in zip(both, said, strict=True)] == [(0, "1\n")] * 2, said
    waiting = "dev: waiting for another ./scripts/dev, which makes .venv\n"
    assert sorted(err for _, err in said) == [waiting, waiting + MAKING]
    assert killed.communicate()[1].startswith(MAKING)


def test_an_incomplete_lock_is_noticed(checkout: Checkout) -> None:
    lock = checkout.root / "requirements/dev.txt"
    lock.write_text("".join(lock.read_text().splitlines(keepends=True)[:2]))
    (checkout.root / ".venv").symlink_to("nowhere")
    status, out, err = checkout.run("nox")
    assert (status, out) == (1, "")
    assert "nox 1 requires base, which is not installed" in err
    assert not developers.is_ready(checkout.root / ".venv", lock)


def test_what_the_command_gets(made: Checkout) -> None:
    code = (
        "import os, sys; print(sys.prefix); print(os.environ['VIRTUAL_ENV']);"
        "print(*(os.environ.get(name) for name in ('SSL_CERT_FILE', 'REQUESTS_CA_BUNDLE', 'CURL_CA_BUNDLE')))"
    )
    prefix, venv, bundles = made.run("python", "-c", code)[1].splitlines()
    assert prefix == venv == str(made.root / ".venv")
    assert len({*bundles.split()}) == 1, "the system's bundle for each, or none"
    assert made.run("sh", "-c", "kill -PIPE $$; echo ignored")[:2] == (-signal.SIGPIPE, "")
    assert made.run("no-such-command") == (127, "", "error: no-such-command: No such file or directory\n")


@pytest.mark.skipif(os.getuid() != 0, reason="only root can run a command as another user")
def test_a_user_without_home_in_a_container(checkout: Checkout) -> None:
    with tempfile.TemporaryDirectory(dir="/tmp") as directory:  # those of pytest are for their owner alone
        root, temporary = Path(directory, "project"), Path(directory, "tmp")
        shutil.copytree(checkout.root, root)
        files.share(root)
        temporary.mkdir(mode=0o777)
        for path in (Path(directory), temporary):
            path.chmod(0o777)

        def run(*command: str) -> subprocess.CompletedProcess[str]:
            return subprocess.run(
                [root / "scripts/dev", *command],
                cwd=root,
                env={"PATH": "/usr/bin:/bin", "PIP_INDEX_URL": checkout.index, "TMPDIR": str(temporary)},
                user=STRANGER,
                group=STRANGER,
                extra_groups=[],
                umask=0o077,
                capture_output=True,
                text=True,
            )

        refused = run("nox")
        assert refused.returncode == 2
        assert "clone the repository as this user" in refused.stderr
        shutil.chown(root, STRANGER, STRANGER)
        done = run("sh", "-c", "nox && echo $HOME")
        assert (done.returncode, done.stdout) == (0, f"1\n{temporary}/manylinux-{STRANGER}\n"), done.stderr


# --- Without ensurepip -----------------------------------------------------------------------------------------------


def locked_pip(tmp_path: Path, wheel: Path, **settings: str) -> Path:
    lock = tmp_path / "dev.txt"
    lock.write_text("a==1\n" + indexes.locked(wheel) + "    # and the source archive\n")
    (tmp_path / "got").mkdir(exist_ok=True)
    return developers.locked_pip(lock, tmp_path / "got", {"PIP_CONFIG_FILE": os.devnull, **settings})


def test_pips_wheel_comes_from_where_pip_would_look(tmp_path: Path) -> None:
    (tmp_path / "a place").mkdir()
    wheel = indexes.wheel(tmp_path / "a place", "pip", "9")
    content = hashlib.sha256(wheel.read_bytes()).digest()
    page = tmp_path / "page.html"
    page.write_text(f"<a href='{wheel.as_uri()}'>pip</a>")
    with servers.running() as server:
        index = indexes.offer(server, [wheel])
        empty = server.url("/none")
        ways = [
            {"PIP_INDEX_URL": index},
            {"PIP_INDEX_URL": empty, "PIP_EXTRA_INDEX_URL": f"{empty}/ {index}/"},
            {"PIP_INDEX_URL": empty, "PIP_FIND_LINKS": server.url("/simple/pip/")},
            {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(page)},
            {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": page.as_uri()},
        ]
        for way in ways:
            found = locked_pip(tmp_path, wheel, **way)
            assert hashlib.sha256(found.read_bytes()).digest() == content
        (tmp_path / "plain").mkdir()
        shutil.copy(wheel, tmp_path / "plain")
        assert locked_pip(tmp_path, wheel, PIP_NO_INDEX="1", PIP_FIND_LINKS=str(tmp_path / "plain"))

        server.routes[f"/files/{wheel.name}"] = servers.good(b"PK another")
        with pytest.raises(errors.Failure, match=r"its pip-9-py3-none-any\.whl is not what dev\.txt pins"):
            locked_pip(tmp_path, wheel, PIP_INDEX_URL=index)
        with pytest.raises(errors.Failure, match="it answers 404") as refused:
            locked_pip(tmp_path, wheel, PIP_INDEX_URL=empty.replace("//", "//user:secret@"))
        assert "secret" not in str(refused.value)
        with pytest.raises(errors.Failure, match="no index is configured"):
            locked_pip(tmp_path, wheel)


def test_without_any_pip_it_is_said_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lock = tmp_path / "dev.txt"
    lock.write_text(indexes.locked(indexes.wheel(tmp_path, "pip", "9")))
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(errors.Failure, match="no index is configured") as refused:
        developers.find_pip(lock, tmp_path, {"PIP_CONFIG_FILE": os.devnull})
    assert "python3-venv" in str(refused.value) and "PIP_INDEX_URL" in str(refused.value)
