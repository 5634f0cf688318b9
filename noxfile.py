"""Checks and rewrites the repository; `nox -l` lists the sessions. invoke (tasks.py) builds and ships images.

Every command runs in the environment of ./scripts/dev, with the hash-locked tools of requirements/dev.txt, wherever nox
itself comes from. Sessions tagged `update` write commits; each has a `--dry-run`.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from fnmatch import fnmatchcase
from pathlib import Path

import nox

ROOT = Path(__file__).parent
# Programs that tests run, and the Debian packages that have them. A test with the mark `program` is skipped without it.
PROGRAMS = {
    "abidiff": ("abigail-tools",),
    "chromium": ("chromium",),
    "curl": ("curl",),
    "docker-registry": ("docker-registry",),
    "g++": ("g++",),
    "gcc": ("gcc", "libc6-dev"),
    "gpg": ("gpg", "gpg-agent"),
    "gpgv": ("gpgv",),
    "make": ("make",),
    "objdump": ("binutils",),
    "openssl": ("openssl",),
    "rpmbuild": ("rpm",),
    "skopeo": ("skopeo",),
    "xz": ("xz-utils",),
}

nox.needs_version = ">=2024.3.2"
nox.options.default_venv_backend = "none"
nox.options.sessions = ["lint", "tests"]


def run(session: nox.Session, *command: str) -> str:
    """Runs a command of the developers' environment; ends the session when it fails."""
    return str(session.run(str(ROOT / "scripts" / "dev"), *command, external=True))


def script(session: nox.Session, *words: str) -> None:
    """Runs a command of scripts/ with the session's arguments. Invalid usage ends nox with 2, other failures with 1."""
    command = [str(ROOT / "scripts" / "dev"), "python", "scripts", *words, *session.posargs]
    session.log(" ".join(command))
    status = subprocess.run(command, cwd=ROOT).returncode
    if status == 2:
        sys.exit(2)
    if status:
        session.error(f"{' '.join(words)} ended with status {status}")


def check(session: nox.Session, command: str, names: list[str]) -> None:
    """Runs a linter and ends the session when it fails; how many files it is told is said, not which."""
    session.log(f"{command} (files: {len(names)})" if names else command)
    status = subprocess.run([str(ROOT / "scripts" / "dev"), *command.split(), *names], cwd=ROOT).returncode
    if status:
        session.error(f"{command} ended with status {status}")


def files() -> list[str]:
    """Every file of the repository; its history and what is made in the checkout (.gitignore) are left out."""
    skipped = {ROOT / name for name in (".git", ".nox", ".venv", "build", "docker/sources", ".hypothesis")}
    found = []
    for directory, children, names in os.walk(ROOT):
        children[:] = [
            name
            for name in children
            if Path(directory, name) not in skipped and not name.endswith(("_cache", "__pycache__"))
        ]
        found += [Path(directory, name).relative_to(ROOT).as_posix() for name in names]
    return sorted(found)


def shell_scripts() -> list[str]:
    """Every file of the repository that says it is a shell script."""
    return [name for name in files() if concerns(SHELL, name)]


def concerns(patterns: str, name: str) -> bool:
    """Whether a linter whose files are those of `patterns` looks at a file."""
    if patterns != SHELL:
        return any(fnmatchcase(name, pattern) for pattern in patterns.split())
    with (ROOT / name).open("rb") as file:
        return file.readline(40).rstrip() in (b"#!/bin/bash", b"#!/bin/sh")


# Each check once: its command, the files that it is about, and whether it is told them or finds them by itself.
TOLD, BY_ITSELF = True, False
SHELL = "#!"  # by the first line, not by the name
SCHEMA = "check-jsonschema --builtin-schema vendor."
LINTERS = [
    ("ruff check --force-exclude", "*.py *pyproject.toml", TOLD),
    ("ruff format --check --force-exclude", "*.py *.md", TOLD),
    ("mypy", "*.py", BY_ITSELF),
    ("shellcheck --external-sources", SHELL, TOLD),
    ("shfmt --diff --indent 4 --case-indent", SHELL, TOLD),
    ("python scripts render --check", "*", BY_ITSELF),
    ("yamllint --strict", "*.yml *.yaml .yamllint", TOLD),
    (f"{SCHEMA}github-workflows", ".github/workflows/*.yml docs/example/github-actions.yml", TOLD),
    (f"{SCHEMA}github-actions", ".github/actions/*/action.yml", TOLD),
    (f"{SCHEMA}dependabot", ".github/dependabot.yml", TOLD),
    (f"{SCHEMA}github-issue-forms", ".github/ISSUE_TEMPLATE/[!c]*.yml", TOLD),  # config.yml is not a form
    (f"{SCHEMA}gitlab-ci", "docs/example/gitlab-ci.yml", TOLD),
    ("actionlint", ".github/workflows/*.yml", BY_ITSELF),
    ("zizmor --offline --persona pedantic --quiet .github", ".github/*", BY_ITSELF),
    ("zizmor --offline --persona pedantic --quiet", "docs/example/github-actions.yml", TOLD),
]


@nox.session
def lint(session: nox.Session) -> None:
    """Check style, types, shell, workflows and rendered text; with names of files, only what is about these."""
    given = session.posargs or files()
    for command, patterns, told in LINTERS:
        names = [name for name in given if concerns(patterns, name)]
        if command == "actionlint" and sys.platform != "linux":
            continue  # there are no wheels of it for every other system
        if names:
            check(session, command, names if told else [])


@nox.session
def tests(session: nox.Session) -> None:
    """Run the unit tests, and the integration tests that this machine can run."""
    packages = sorted({name for program, names in PROGRAMS.items() if not shutil.which(program) for name in names})
    installer = ["env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "-qq"]
    if os.geteuid() != 0 and os.environ.get("CI") and shutil.which("sudo"):
        installer = ["sudo", "--non-interactive", *installer]
    if packages and shutil.which("apt-get") and (os.geteuid() == 0 or installer[0] == "sudo"):
        session.log(f"installing what some tests need, from the distribution: {' '.join(packages)}")
        session.run(*installer, "-o", "APT::Update::Error-Mode=any", "update", external=True, silent=True)
        session.run(*installer, "install", "--no-install-recommends", *packages, external=True, silent=True)
    elif packages:
        session.warn(f"some tests will be skipped without {' '.join(packages)}")
    slowest = ["--durations=20"] if os.environ.get("CI") else []
    run(session, "pytest", "--numprocesses", "auto", "--dist", "loadfile", *slowest, *session.posargs)


@nox.session(default=False)
def render(session: nox.Session) -> None:
    """Rewrite the parts of README, docs and Dockerfile that are rendered from the tables."""
    script(session, "render")


@nox.session(default=False, tags=["update"])
def update_python_dependencies(session: nox.Session) -> None:
    """Renew the hashed locks of all Python packages; one commit."""
    script(session, "update", "python")


@nox.session(default=False, tags=["update"])
def update_native_dependencies(session: nox.Session) -> None:
    """Move the pins of the Dockerfile to the newest good releases; one commit each."""
    script(session, "update", "native")


@nox.session(default=False, tags=["update"])
def update_interpreters_download(session: nox.Session) -> None:
    """Move the prebuilt PyPy and GraalPy; one commit."""
    script(session, "update", "interpreters")


@nox.session(default=False, tags=["update"])
def update_static_clang(session: nox.Session) -> None:
    """Add new releases of static clang; one commit."""
    script(session, "update", "static-clang")


@nox.session(default=False, tags=["update"])
def update_base_images(session: nox.Session) -> None:
    """Renew the digests of the base images; one commit each."""
    script(session, "update", "bases")


@nox.session(default=False, tags=["update"])
def update_policies(session: nox.Session) -> None:
    """Renew what the doctor knows of auditwheel's policies and of Debian's symbols; one commit each."""
    script(session, "update", "policies")


@nox.session(default=False, tags=["update"])
def update_reach(session: nox.Session) -> None:
    """Renew what share of the downloads each policy reaches, and what the documents say of it; one commit."""
    script(session, "update", "reach")


@nox.session(default=False)
def check_links(session: nox.Session) -> None:
    """Ask for every pinned URL and mirror, and for what images download at run time."""
    script(session, "links")
