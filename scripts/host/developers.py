"""Runs a command among the tools of requirements/dev.txt, in .venv, which is made or renewed first.

scripts/dev finds a Python for this. The environment is made again when its lock, its Python or its path has changed
since. What it was made from is noted in it at the very end, so that an incomplete environment does not count.
"""

from __future__ import annotations

import hashlib
import html
import importlib.util
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from urllib.parse import unquote, urljoin, urlsplit

from catalogue import locks
from catalogue.paths import ROOT
from host import apt
from portable import environment, errors, fetch, files, places, transport

DISTRIBUTION_PIP = "python3-pip-whl"  # what ensurepip takes its pip from on Debian and its derivatives
WHO = "import sys; print(sys.version, sys.base_prefix)"


def wanted(python: Path, lock: Path) -> str:
    """A digest of what an environment is made from, its lock and its Python; "" when that Python does not run."""
    try:
        said = subprocess.run([python, "-c", WHO], capture_output=True)
    except OSError:
        return ""
    return "" if said.returncode else hashlib.sha256(lock.read_bytes() + said.stdout).hexdigest()


def is_ready(venv: Path, lock: Path) -> bool:
    """Whether the environment is complete, was made from this lock, and still has the path it was made for."""
    try:
        noted = (venv / "dev-lock").read_text(encoding="utf-8").split()[:1]
        program = (venv / "bin" / "nox").read_bytes()
    except OSError:
        return False
    return os.fsencode(venv) in program[:1000] and noted == [wanted(venv / "bin" / "python", lock)]


def make(venv: Path, lock: Path, held: Sequence[int] = ()) -> None:
    """Makes the environment anew from the configured index. Raises Failure; pip itself has said why.

    `held`: the locked descriptor. pip inherits it, so that the lock lasts as long as a pip that outlives us."""
    print(f"dev: making {venv.name} from {lock.relative_to(ROOT)}", file=sys.stderr)
    env = environment.for_pip()
    python = venv / "bin" / "python"
    (venv / "dev-lock").unlink(missing_ok=True)
    if venv.is_dir() and not venv.is_symlink():
        shutil.rmtree(venv)
    else:
        venv.unlink(missing_ok=True)
    with tempfile.TemporaryDirectory() as scratch:
        pip, without = ["-m", "pip"], []
        if not importlib.util.find_spec("ensurepip"):  # Debian keeps it apart, in python3-venv
            pip, without = [f"{find_pip(lock, Path(scratch), env)}/pip"], ["--without-pip"]
        _run([sys.executable, "-m", "venv", *without, str(venv)], env, held)
        options = ["--quiet", "--no-deps", "--require-hashes", "--only-binary", ":all:"]
        _run([str(python), *pip, "install", *options, "--requirement", str(lock)], env, held)
        checked = subprocess.run([str(python), *pip, "check"], env=env, text=True, stdout=subprocess.PIPE)
    if checked.returncode:
        raise errors.Failure(f"{lock.relative_to(ROOT)} is not complete:\n{checked.stdout}")
    (venv / "dev-lock").write_text(wanted(python, lock) + "\n", encoding="utf-8")


def _run(argv: Sequence[str], env: Mapping[str, str], held: Sequence[int]) -> None:
    done = subprocess.run(argv, env=env, pass_fds=held, stdin=subprocess.DEVNULL, stdout=sys.stderr)
    if done.returncode:
        raise errors.Failure(f"exit status {done.returncode} of {' '.join(argv)}")


def find_pip(lock: Path, directory: Path, env: Mapping[str, str]) -> Path:
    """A wheel of pip, put into the directory, for a Python without ensurepip: the lock's, else the distribution's.

    The lock's needs a configured index: only pip knows which one is the default. Raises Failure without either."""
    tried = []
    for find in (partial(locked_pip, lock, directory, env), partial(distribution_pip, directory)):
        try:
            return find()
        except errors.Failure as error:
            tried.append(str(error))
    raise errors.Failure(
        "\n  ".join(
            ["this Python has no ensurepip (Debian: install python3-venv), and pip could not be downloaded:", *tried]
        )
    )


def distribution_pip(directory: Path) -> Path:
    """The wheel in the distribution's package, which apt verifies; needs no root. Raises Failure."""
    if not shutil.which("apt-get"):
        raise errors.Failure("set PIP_INDEX_URL, or install the package with this Python's ensurepip")
    options = apt.private_options(directory)
    for argv in (
        ["apt-get", "update", "-q", *options],
        ["apt-get", "download", "-q", *options, DISTRIBUTION_PIP],
        ["sh", "-c", f"dpkg-deb --extract {DISTRIBUTION_PIP}_*.deb ."],
    ):
        done = subprocess.run(argv, cwd=directory, capture_output=True, text=True)
        if done.returncode:
            said = (done.stderr or done.stdout).strip().splitlines()
            raise errors.Failure(f"{' '.join(argv[:2])}: {said[-1] if said else done.returncode}")
    found = sorted(directory.glob("usr/share/python-wheels/pip-*.whl"))
    if not found:
        raise errors.Failure(f"{DISTRIBUTION_PIP} holds no wheel of pip")
    return found[-1]


def locked_pip(lock: Path, directory: Path, env: Mapping[str, str]) -> Path:
    """The wheel of pip that the lock pins, verified, from the indexes and pages that pip is configured with.

    Raises Failure where none of them has it."""
    pip = locks.requirements(lock.read_text(encoding="utf-8")).get("pip")
    if not pip:
        raise errors.Failure(f"{lock} has no pip")
    name = f"pip-{pip.version}-py3-none-any.whl"
    settings = environment.pip_settings(env)
    pages = list(settings.get("find-links", ()))
    if settings.get("no-index", ("0",))[0].lower() in ("0", "false", "no", "off", ""):
        indexes = (*settings.get("index-url", ()), *settings.get("extra-index-url", ()))
        pages += [f"{index.rstrip('/')}/pip/" for index in indexes]
    bundle = settings.get("cert") or (environment.ca_bundle(env),)
    fetcher = fetch.Fetcher(mirrors=None, ca_bundle=Path(bundle[0]) if bundle[0] else None)
    tried = [] if pages else ["no index is configured"]
    for page in pages:
        try:
            content = _file_of(page, name, fetcher)
        except (errors.Failure, OSError) as error:
            tried.append(str(error))
            continue
        if hashlib.sha256(content).hexdigest() in pip.hashes:
            (directory / name).write_bytes(content)
            return directory / name
        tried.append(f"{transport.without_password(page)}: its {name} is not what {lock.name} pins")
    raise errors.Failure(f"{name}: {'; '.join(tried)}")


def _file_of(page: str, name: str, fetcher: fetch.Fetcher) -> bytes:
    """The file of this name in a directory, or behind a link of a page. Raises Failure and OSError."""
    if urlsplit(page).scheme in ("", "file"):
        place = Path(unquote(urlsplit(page).path))
        if (place / name).exists():
            return (place / name).read_bytes()
        page, text = (
            place.as_uri() + "/",
            (place / "index.html" if place.is_dir() else place).read_text(encoding="utf-8"),
        )
    else:
        text = fetcher.read(page).decode(errors="replace")
    for link in map(html.unescape, re.findall(r"""href\s*=\s*["']([^"']+)["']""", text)):
        if unquote(urlsplit(link).path).rpartition("/")[2] == name:
            return fetcher.read(urljoin(page, link).partition("#")[0])
    raise errors.Failure(f"{transport.without_password(page)}: no link to {name}")


def main() -> int:
    """Replaces this process by the command. Raises Failure and UserError where the environment cannot be made."""
    venv, lock, command = ROOT / ".venv", ROOT / "requirements" / "dev.txt", sys.argv[1:]
    if not is_ready(venv, lock):
        if not places.writable(ROOT):
            raise errors.UserError(f"{venv} cannot be written: clone the repository as this user")
        waiting = "dev: waiting for another ./scripts/dev, which makes .venv"
        with files.locked(ROOT, lambda: print(waiting, file=sys.stderr)) as held:
            if not is_ready(venv, lock):
                make(venv, lock, [held])
    env = environment.trusting(places.settled(), environment.system_bundle())
    env |= {"VIRTUAL_ENV": str(venv), "PATH": f"{venv / 'bin'}:{env.get('PATH', os.defpath)}"}
    for number in (signal.SIGPIPE, signal.SIGXFSZ):  # Python ignores them, and so would the command
        signal.signal(number, signal.SIG_DFL)
    try:
        os.execvpe(command[0], command, env)
    except OSError as error:
        print(f"error: {command[0]}: {error.strerror}", file=sys.stderr)
        return 127 if isinstance(error, FileNotFoundError) else 126
