"""Checks and rewrites the repository; `nox -l` lists the sessions. Images are built and shipped by invoke (tasks.py).

Every command runs among the hash-locked tools of requirements/dev.txt: ./scripts/dev makes their environment once,
wherever nox itself comes from. Sessions tagged `update` write commits; each has a `--dry-run`.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import nox

ROOT = Path(__file__).parent
WORKFLOWS = ROOT / ".github" / "workflows"
EXAMPLE = ROOT / "docs" / "example"
# Programs that tests run, and the Debian packages that have them. A test skips itself where its program is missing.
PROGRAMS = {
    "curl": ("curl",),
    "docker-registry": ("docker-registry",),
    "gcc": ("gcc", "libc6-dev"),
    "gpg": ("gpg", "gpg-agent"),
    "gpgv": ("gpgv",),
    "xz": ("xz-utils",),
}

nox.needs_version = ">=2024.3.2"
nox.options.default_venv_backend = "none"
nox.options.sessions = ["lint", "tests"]


def run(session: nox.Session, *command: str) -> str:
    """Runs a command of the developers' environment; ends the session when it fails."""
    return str(session.run(str(ROOT / "scripts" / "dev"), *command, external=True))


def script(session: nox.Session, *words: str) -> None:
    """Runs a command of scripts/ with the session's arguments; wrong use ends nox with 2, whose failures are all 1."""
    command = [str(ROOT / "scripts" / "dev"), "python", "scripts", *words, *session.posargs]
    session.log(" ".join(command))
    status = subprocess.run(command, cwd=ROOT).returncode
    if status == 2:
        sys.exit(2)
    if status:
        session.error(f"{' '.join(words)} ended with status {status}")


def shell_scripts() -> list[str]:
    """Every file of the repository that says it is a shell script."""
    skipped = {".git", ".nox", ".venv", "sources"}
    found = []
    for directory, children, names in os.walk(ROOT):
        children[:] = sorted(set(children) - skipped)
        for name in names:
            path = Path(directory, name)
            with path.open("rb") as file:
                first = file.readline(40)
            if first.rstrip() in (b"#!/bin/bash", b"#!/bin/sh"):
                found.append(str(path.relative_to(ROOT)))
    return sorted(found)


@nox.session
def lint(session: nox.Session) -> None:
    """Check style, types, shell, workflows and that rendered text is up to date."""
    run(session, "ruff", "check", ".")
    run(session, "ruff", "format", "--check", ".")
    run(session, "mypy")
    scripts = shell_scripts()
    run(session, "shellcheck", "--external-sources", *scripts)
    run(session, "shfmt", "--diff", "--indent", "4", "--case-indent", *scripts)
    run(session, "python", "scripts", "render", "--check")
    run(session, "yamllint", "--strict", ".")
    workflows = [str(path) for path in [*sorted(WORKFLOWS.glob("*.yml")), EXAMPLE / "github-actions.yml"]]
    actions = [str(path) for path in sorted(WORKFLOWS.parent.glob("actions/*/action.yml"))]
    run(session, "check-jsonschema", "--builtin-schema", "vendor.github-workflows", *workflows)
    run(session, "check-jsonschema", "--builtin-schema", "vendor.github-actions", *actions)
    run(session, "check-jsonschema", "--builtin-schema", "vendor.dependabot", str(WORKFLOWS.parent / "dependabot.yml"))
    forms = [str(path) for path in sorted(WORKFLOWS.parent.glob("ISSUE_TEMPLATE/*.yml")) if path.stem != "config"]
    run(session, "check-jsonschema", "--builtin-schema", "vendor.github-issue-forms", *forms)
    run(session, "check-jsonschema", "--builtin-schema", "vendor.gitlab-ci", str(EXAMPLE / "gitlab-ci.yml"))
    if sys.platform == "linux":  # there are no wheels of it for every other system
        run(session, "actionlint")
    run(session, "zizmor", "--offline", "--persona", "pedantic", "--quiet", str(WORKFLOWS.parent), workflows[-1])


@nox.session
def tests(session: nox.Session) -> None:
    """Run the unit tests, and the integration tests that this machine has the means for."""
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
    run(session, "pytest", "--numprocesses", "auto", "--dist", "loadfile", *session.posargs)


@nox.session(default=False)
def render(session: nox.Session) -> None:
    """Rewrite the parts of README, docs and Dockerfile that follow from the tables."""
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
def update_reach(session: nox.Session) -> None:
    """Renew what share of the downloads each policy reaches, and what the documents say of it; one commit."""
    script(session, "update", "reach")


@nox.session(default=False)
def check_links(session: nox.Session) -> None:
    """Ask for every pinned URL and mirror, and for what images download at run time."""
    script(session, "links")
