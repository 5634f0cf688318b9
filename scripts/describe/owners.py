"""Which part of an image each of our files belongs to.

The stages leave their files in one tree, so this is told by where each part installs. A row of the manifest lists its
`paths`: a directory of its own, which ends in `/`, or a file. Of several that a file lies below, the longest counts.
The smoke tests name every file of an image that has no owner, so a path that is missing here shows at the next build.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

from describe.bundles import distributions

# Globs below the root; a directory stands for all in it.
COMPONENTS = {
    "autoconf": "bin/autoconf bin/autoheader bin/autom4te bin/autoreconf bin/autoscan bin/autoupdate bin/ifnames "
    "share/autoconf",
    "automake": "bin/aclocal* bin/automake* share/aclocal-* share/automake-* share/aclocal/README "
    "share/aclocal/dirlist",
    "curl": "/opt/_internal/curl-4",
    "git": "bin/git bin/git-[!l]* bin/gitk bin/scalar libexec/git-core share/git-core share/gitweb share/perl5 "
    "share/bash-completion/completions/git* share/git-gui share/gitk",
    "git-lfs": "bin/git-lfs etc/gitconfig",
    "libtool": "bin/libtool bin/libtoolize include/ltdl.h include/libltdl lib/libltdl.so* share/libtool "
    "share/aclocal/l*.m4",
    "libxcrypt": "include/crypt.h include/xcrypt.h lib/libcrypt.so* lib/libxcrypt.so* lib/pkgconfig/lib*crypt.pc",
    "mpdecimal": "/opt/_internal/mpdecimal",
    "openssl": "/opt/_internal/openssl-*",
    "sqlite": "/opt/_internal/sqlite3 lib/pkgconfig/sqlite3.pc",
    "tcl": "bin/tclsh* include/tcl*.h lib/libtcl*.so* lib/tcl[8-9]* lib/tcl*Config.sh lib/pkgconfig/tcl.pc",
    "tk": "bin/wish* include/tk*.h lib/libtk*.so* lib/tk[8-9]* lib/tkConfig.sh lib/pkgconfig/tk.pc",
    "zstd": "/opt/_internal/zstd",
}
TOOLS = {  # those that pipx did not install, in one environment
    "pipx": "/opt/_internal/tools /opt/_internal/pipx/shared",
    "certifi": "/opt/_internal/certs.pem /opt/_internal/tools/lib/*/site-packages/certifi*",
}
# The project's own: docker/rootfs, what configures the image, and what a build makes of all parts together.
OWN = (
    "/opt/_internal/manylinux /opt/_internal/manifest.d /opt/_internal/static-libs-for-embedding-only.tar.xz "
    "bin/manylinux-* bin/pipx sbin/fixup-mirrors"
)
WRITTEN = tuple(f"/opt/_internal/{name}" for name in ("manifest.json", "sbom.spdx.json", "files.sha256"))
COMPILER_WRAPPER = "manylinux-baseline-compiler"

_LAUNCHER = re.compile(rb"#!/bin/sh\nexec (/\S+)/bin/")


def component(root: Path, name: str) -> list[str]:
    """The paths of a component. Raises KeyError for one that has no line above."""
    return _present(root, COMPONENTS[name].split())


def tool(root: Path, name: str) -> list[str]:
    """The paths of a tool: its environment and the links into it."""
    if name in TOOLS:
        return _present(root, TOOLS[name].split())
    return sorted([*_present(root, [home(name)]), *_links(root, f"{home(name)}/")])


def home(tool: str) -> str:
    """The virtual environment of a tool."""
    return "/opt/_internal/tools" if tool in TOOLS else f"/opt/_internal/pipx/venvs/{tool}"


def python_packages(root: Path, tool: str) -> list[dict[str, str]]:
    """What is installed for a tool. With pipx is all that it shares its environment with, but other tools."""
    found = distributions(root / home(tool).lstrip("/"))
    if tool == "pipx":
        found = [row for row in found if row["name"] == tool or row["name"] not in TOOLS]
        return found + distributions(root / "opt/_internal/pipx/shared")
    return [row for row in found if row["name"] == tool] if tool in TOOLS else found


def interpreter(root: Path, tag: str) -> list[str]:
    """The paths of an interpreter: its prefix, its link in /opt/python, and the commands that start it."""
    homes = {prefix(root, tag), f"/opt/python/{tag}"}
    commands = sorted((root / "usr/local/bin").glob("*py*"))
    names = {path.name for path in commands if not path.is_symlink() and _starts(path) in homes}
    names |= {path.name for path in commands if path.is_symlink() and str(path.readlink()) in names}
    return sorted([*_present(root, homes), *(f"/usr/local/bin/{name}" for name in names)])


def _starts(path: Path) -> str:
    """The interpreter's home that a launcher names; empty for any other file."""
    match = _LAUNCHER.match(path.read_bytes())
    return match[1].decode() if match else ""


def prefix(root: Path, tag: str) -> str:
    """Where an interpreter lies, by what /opt/python says; those of the shared variant are not in there."""
    link = root / "opt/python" / tag
    return str(link.readlink()) if link.is_symlink() else f"/opt/{tag}"


def own(root: Path) -> list[str]:
    """The paths of what belongs to no part alone."""
    wrappers = [str(path) for path in _links(root, COMPILER_WRAPPER)]
    return sorted([*_present(root, OWN.split()), *wrappers, *WRITTEN])


def owner(path: str, paths: Iterable[str]) -> str:
    """Which of the paths a file belongs to, the longest; empty where none does."""
    fitting = (each for each in paths if path == each or (each.endswith("/") and path.startswith(each)))
    return max(fitting, key=len, default="")


def _links(root: Path, target: str) -> list[str]:
    """The symbolic links of commands and manual pages that lead to, or below, a target."""
    places = [*(root / "usr/local/bin").glob("*"), *(root / "usr/local/share/man").glob("*/*")]
    links = (path for path in places if path.is_symlink() and str(path.readlink()).startswith(target))
    return [f"/{path.relative_to(root)}" for path in links]


def _present(root: Path, globs: Iterable[str]) -> list[str]:
    """What the globs find, in order."""
    below = [each.lstrip("/") if each.startswith("/") else f"usr/local/{each}" for each in globs]
    found = {path for each in below for path in root.glob(each)}
    found |= {root / each for each in below if (root / each).is_symlink()}  # glob leaves out those that lead nowhere
    trees = {path for path in found if path.is_dir() and not path.is_symlink()}
    return sorted(f"/{path.relative_to(root)}" + ("/" if path in trees else "") for path in found)
