"""manylinux-interpreters: the Pythons in /opt/python, and those that it can add, prebuilt or from published images."""

from __future__ import annotations

import argparse
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import layers
from endings import ENDINGS
from portable import environment, errors, files
from toolbox import ENVIRONMENT_HELP, HERE, INTERNAL, ROOT, clean_up_when_terminated, image, obtain, table, unpack

PYTHONS = ROOT / "opt" / "python"
LAUNCHERS = ROOT / "usr" / "local" / "bin"
IMPLEMENTATIONS = {"cp": "cpython", "pp": "pypy", "graalpy": "graalpy"}

# What an interpreter says of itself, in the spelling of PEP 440; runs on Python 3.8 and later.
ASK_VERSIONS = """
import json, sys
def spell(version):
    stage = {"alpha": "a", "beta": "b", "candidate": "rc"}.get(version[3], "")
    return "%d.%d.%d" % tuple(version[:3]) + (stage + str(version[4]) if stage else "")
print(json.dumps([spell(sys.version_info), sys.implementation.name, spell(sys.implementation.version)]))
"""


# --- What there is ----------------------------------------------------------------------------------------------------


def sort_key(tag: str) -> tuple[str, int, int, str]:
    """Orders tags by implementation, version (as numbers) and ABI; what is not like a tag comes last."""
    implementation, major, minor, abi = split_tag(tag) or ("~", 0, 0, tag)
    return implementation, major, minor, abi


def split_tag(tag: str) -> tuple[str, int, int, str] | None:
    """Implementation, major and minor version and ABI tag; None for a directory that is not named like a tag."""
    match = re.fullmatch(r"([a-z]+)(\d)(\d+)-(\w+)", tag)
    return (match[1], int(match[2]), int(match[3]), match[4]) if match else None


def available() -> dict[str, dict[str, Any]]:
    """What this image can install: tag -> version, url and sha256, of a prebuilt interpreter or of a layer."""
    policy = os.environ.get("AUDITWHEEL_POLICY") or image()["policy"]
    platform = architecture()
    rows = table().interpreters if policy.startswith("manylinux") else {}
    prebuilt = {tag: (row.version, row.files[platform]) for tag, row in rows.items() if platform in row.files}
    name = f"{policy}_{platform}"
    kept = {tag: (row.version, row.layers[name]) for tag, row in table().kept.items() if name in row.layers}
    return {tag: {"version": version, **vars(file)} for tag, (version, file) in {**prebuilt, **kept}.items()}


def architecture() -> str:
    """The platform of this image, also where the kernel calls the machine something else."""
    return os.environ.get("AUDITWHEEL_ARCH") or image()["platform"]


def known_tags() -> list[str]:
    """Every tag that is installed or can be, in order."""
    installed = (path.name for path in PYTHONS.iterdir() if path.is_dir()) if PYTHONS.is_dir() else ()
    return sorted({*installed, *available()}, key=sort_key)


def describe(tag: str) -> dict[str, Any]:
    """The row of `list --format json`. Raises Failure for an installed interpreter that does not run."""
    place = PYTHONS / tag
    installed = place.exists()
    if installed:
        python = place / "bin" / "python"
        try:
            answer = subprocess.run([python, "-IB", "-c", ASK_VERSIONS], check=True, text=True, stdout=subprocess.PIPE)
            version, implementation, implementation_version = json.loads(answer.stdout)
        except subprocess.CalledProcessError as error:
            raise errors.Failure(f"{tag} is damaged: {python} ended with status {error.returncode}") from None
        except (OSError, ValueError, TypeError) as error:
            raise errors.Failure(f"{tag} is damaged: {python} does not say its version: {error}") from None
    else:
        name, major, minor, _ = split_tag(tag) or ("", 0, 0, "")
        version, implementation = f"{major}.{minor}", IMPLEMENTATIONS[name]
        implementation_version = available()[tag]["version"]
    return {
        "identifier": tag,
        "installed": installed,
        "python_version": version,
        "implementation": implementation,
        "implementation_version": implementation_version,
        "install_path": str(place),
    }


def show(options: argparse.Namespace) -> None:
    """Prints the interpreters on stdout, one tag a line, with details or as JSON."""
    tags = [tag for tag in known_tags() if not options.installed or (PYTHONS / tag).exists()]
    if options.format == "text" and not options.verbose:
        print("\n".join(tags))
        say_what_leaves(tags)
        return
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        rows = list(pool.map(describe, tags))
    if options.format == "json":
        print(json.dumps(rows, indent=2))
        return
    for row in rows:
        print(f"{row['identifier']}:")
        print(f"  installed:              {'yes' if row['installed'] else 'no'}")
        print(f"  python version:         {row['python_version']}")
        print(f"  implementation:         {row['implementation']}")
        print(f"  implementation version: {row['implementation_version']}")
        print(f"  install_path:           {row['install_path']}")
    say_what_leaves(tags)


def say_what_leaves(tags: list[str]) -> None:
    """One line on stderr with the interpreters that leave the images on a day that is known, and the day."""
    if leaving := [f"{tag} on {ENDINGS[tag]}" for tag in tags if tag in ENDINGS]:
        print(f"these leave the images: {', '.join(leaving)}", file=sys.stderr)


# --- Installing -------------------------------------------------------------------------------------------------------


def ensure(tags: list[str]) -> None:
    """Installs what is missing; one that fails does not keep the others from being installed. Raises Failure."""
    failed = []
    for tag in tags:
        place = PYTHONS / tag
        if place.exists():
            print(f"'{tag}' already installed at '{place}'", flush=True)
        elif tag not in available():
            print(f"skipping '{tag}' for '{architecture()}' architecture", flush=True)
        else:
            print(f"installing '{tag}' at '{place}'", flush=True)
            try:
                install(tag)
            except (errors.Failure, OSError) as error:
                hint = ": only root can install" if isinstance(error, PermissionError) and os.geteuid() else ""
                print(f"error: '{tag}' could not be installed: {error}{hint}", file=sys.stderr)
                failed.append(tag)
    if failed:
        raise errors.Failure(f"not installed: {' '.join(failed)}")


def install(tag: str) -> None:
    """Installs one interpreter, prebuilt or from the layer of a published image.

    Its link in /opt/python appears last, so an interpreter is complete or not there; remains of a killed run go."""
    row, link = available()[tag], PYTHONS / tag
    name, major, minor, abi = split_tag(tag) or ("", 0, 0, "")
    implementation = IMPLEMENTATIONS[name]
    is_kept = tag in table().kept
    prefix = INTERNAL / (f"cpython-{row['version']}{'-nogil' * abi.endswith('t')}" if is_kept else tag)
    launchers = [LAUNCHERS / f"{implementation}{major}.{minor}"]
    with files.locked(INTERNAL, waiting):
        if link.exists():  # another process was faster
            return
        for remains in (prefix, *INTERNAL.glob(".installing-*")):
            shutil.rmtree(remains, ignore_errors=True)
        if link.is_symlink():
            link.unlink()
        with tempfile.TemporaryDirectory(dir=INTERNAL, prefix=".installing-") as scratch:
            file, unpacked = obtain(row["url"], row["sha256"], Path(scratch)), Path(scratch, "unpacked")
            try:
                if is_kept:
                    tree, commands = layers.unpack(file, unpacked, tag)
                    launchers = [LAUNCHERS / command.name for command in commands]
                    tree.rename(prefix)
                    run(prefix / "bin/python", ["-IB", "-c", layers.CHECK])
                    for command, launcher in zip(commands, launchers, strict=True):
                        shutil.move(command, launcher)
                else:
                    unpack(file, unpacked).rename(prefix)
                    finish(prefix, implementation, f"{major}.{minor}")
                    # A script, not a link to the interpreter, see https://github.com/python/cpython/issues/106045
                    launchers[0].write_text(f'#!/bin/sh\nexec {link}/bin/python "$@"\n', encoding="utf-8")
                    launchers[0].chmod(0o755)
                PYTHONS.mkdir(exist_ok=True)
                link.symlink_to(prefix)
            except BaseException:
                for made in (link, *launchers):
                    made.unlink(missing_ok=True)
                shutil.rmtree(prefix, ignore_errors=True)
                raise


def waiting() -> None:
    """Says that another process holds the lock."""
    print("waiting for another process that installs an interpreter", file=sys.stderr, flush=True)


def finish(prefix: Path, implementation: str, minor: str) -> None:
    """Gives a prebuilt interpreter what every one here has: bin/python, pip, build, packaging; no debug files.

    Raises Failure where pip fails."""
    shipped = set(prefix.rglob("__pycache__"))
    for useless in prefix.rglob("*.debug"):
        useless.unlink()
    programs = prefix / "bin"
    python = programs / "python"
    for alias in (python, programs / "python3"):
        if not alias.exists():
            alias.symlink_to(
                next(p for p in (f"{implementation}3", implementation, f"python{minor}") if (programs / p).exists())
            )
    requirements = HERE / "requirements" / f"{minor}.txt"
    if implementation == "graalpy":  # its pip carries patches and stays; its ensurepip may bring setuptools
        pip = ["-m", "pip"]
        run(python, ["-m", "ensurepip"])
        run(python, [*pip, "uninstall", "--yes", "--quiet", "setuptools"])
    else:  # pip from the wheel that ensurepip carries replaces itself and brings no setuptools
        bundled = list(prefix.glob("lib*/**/ensurepip/_bundled/pip-*.whl"))
        if not bundled:
            raise errors.Failure("it carries no pip to start with")
        pip = [f"{bundled[0]}/pip"]
    # The lock is complete: an old pip that resolved anew would want what was published since.
    options = ("--no-compile", "--no-cache-dir", "--no-warn-script-location", "--no-deps", "--require-hashes")
    run(python, [*pip, "install", *options, "--only-binary", ":all:", "--requirement", str(requirements)])
    if not (programs / "pip3").exists():
        raise errors.Failure(f"pip was installed, but not into {programs}")
    run(python, ["-IB", "-c", "import build, packaging, pip"])
    check_packages(python, requirements.read_text(encoding="utf-8"))
    if not (programs / "pip").exists():
        (programs / "pip").symlink_to("pip3")
    for compiled in set(prefix.rglob("__pycache__")) - shipped:  # PyPy compiles what it starts with even under -B
        shutil.rmtree(compiled)


def check_packages(python: Path, lock: str) -> None:
    """Raises Failure where the lock was not complete; what the interpreter brings itself may lack what it likes."""
    names = re.findall(r"(?m)^([\w.-]+)==", lock)
    said = subprocess.run(
        [python, "-m", "pip", "check"],
        check=False,
        env=environment.for_pip() | {"PYTHONDONTWRITEBYTECODE": "1"},
        text=True,
        stdout=subprocess.PIPE,
    ).stdout
    if wrong := [line for line in said.splitlines() if line.split(" ")[0] in names]:
        raise errors.Failure(f"the image's lock is not complete: {'; '.join(wrong)}")


def run(python: Path, arguments: list[str]) -> None:
    """Runs a Python command, its output on stderr. Raises Failure."""
    command = [str(python), *arguments]
    status = subprocess.run(
        command,
        check=False,
        env=environment.for_pip() | {"PYTHONDONTWRITEBYTECODE": "1"},
        stdin=subprocess.DEVNULL,
        stdout=sys.stderr,
    ).returncode
    if status:
        raise errors.Failure(f"exit status {status} of {shlex.join(command)}")


# --- The command ------------------------------------------------------------------------------------------------------


def parser() -> argparse.ArgumentParser:
    """The command line."""
    command = argparse.ArgumentParser(
        prog="manylinux-interpreters",
        description="Lists the Python interpreters of this image and installs those that are not there yet.",
        epilog=ENVIRONMENT_HELP
        + "MANYLINUX_INTERPRETERS_NO_CHECK=1: `ensure` skips tags that this image cannot have.\n",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    actions = command.add_subparsers(dest="action", required=True)
    shown = actions.add_parser("list", help="show the interpreters that are installed or can be")
    shown.add_argument("-v", "--verbose", action="store_true", help="with versions (text only, JSON always has them)")
    shown.add_argument("-i", "--installed", action="store_true", help="only installed ones")
    shown.add_argument("--format", choices=("text", "json"), default="text", help="only json stays as it is")
    wanted = actions.add_parser("ensure", help="install interpreters unless they are there")
    wanted.add_argument("tags", metavar="TAG", nargs="+", help="as listed, for instance pp310-pypy310_pp73")
    actions.add_parser("ensure-all", help="install every interpreter of the list")
    return command


def main() -> None:
    """Runs the command. Raises Failure when an installation fails, SystemExit(2) for wrong use."""
    command = parser()
    options = command.parse_args()
    clean_up_when_terminated()
    if options.action == "list":
        show(options)
        return
    known = known_tags()
    tags = known if options.action == "ensure-all" else options.tags
    unknown = [tag for tag in tags if tag not in known]
    if unknown and (os.environ.get("MANYLINUX_INTERPRETERS_NO_CHECK") != "1" or not all(map(split_tag, unknown))):
        command.error(f"unknown tag {' '.join(map(repr, unknown))}; known: {', '.join(known)}")
    ensure(list(dict.fromkeys(tags)))
