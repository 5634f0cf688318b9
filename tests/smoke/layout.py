"""The file system as the build left it: what must be there, what must not, and who owns it."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from .context import INTERNAL, LOCAL_BIN, Context, Expected
from .registry import check, difference, differences
from .snapshot import FoundPath, is_dangling

FAMILY_ROOT = {
    # family -> (must be in /, may be in /)
    "debian": ("bin boot dev etc home lib media mnt opt proc root run sbin srv sys tmp usr var", "lib32 lib64 libx32"),
    "rhel": (
        "bin boot dev etc home lib media mnt opt proc root run sbin srv sys tmp usr var",
        "afs lib64 lost+found anaconda-post.log",
    ),
    "alpine": ("bin dev etc home lib media mnt opt proc root run sbin srv sys tmp usr var", ""),
}
MOUNTED = {"smoke", "smoke-expect.json", "wheelhouse", ".dockerenv", "run", "proc", "sys", "dev"}


@check("regression-23-root-directory")
def root_directory(context: Context) -> Iterator[str]:
    """/ holds what the distribution puts there, and nothing else."""
    must, may = (set(text.split()) for text in FAMILY_ROOT[context.expected.family])
    yield from difference("names in /", must - MOUNTED, context.before.names("/") - MOUNTED - may)


@check("temporary-directories")
def temporary(context: Context) -> Iterator[str]:
    """Nothing was left in the directories for temporary files, and everybody may write there."""
    for directory in ("/tmp", "/var/tmp"):
        yield from (f"{directory}/{name} was left behind" for name in sorted(context.before.names(directory)))
        entry = context.before.entries[directory]
        if stat.S_IMODE(entry.mode) != 0o1777:
            yield f"{directory} has mode {stat.S_IMODE(entry.mode):o}, expected 1777"
    for directory in ("/root", "/home", "/mnt", "/media", "/srv", "/boot", "/usr/src", "/usr/local/src"):
        allowed = {
            ".bashrc",
            ".profile",
            ".bash_profile",
            ".bash_logout",
            ".cshrc",
            ".tcshrc",
            "anaconda-ks.cfg",
            "kernels",
            "debug",
        }
        if context.expected.family == "alpine":
            allowed |= {"cdrom", "floppy", "usb"}
        if context.expected.family == "rhel":
            allowed |= {"original-ks.cfg", "anaconda-post.log", "efi"}
        names = context.before.names(directory) - allowed
        yield from (f"{directory}/{name} was left behind" for name in sorted(names))


@check("dangling-links")
def dangling_links(context: Context) -> Iterator[str]:
    """Every symbolic link leads somewhere; the linker's names of Debian's sanitizers do once their package is there."""
    elsewhere = re.compile(
        r"/(etc/mtab|etc/resolv\.conf|etc/systemd/|usr/lib/systemd/|var/lib/systemd/|var/run|etc/rc\d?\.d/|usr/share/(doc|man|info)/"
        r"|usr/lib/gcc/[^/]+/\d+/lib\w+san\.so$)"
    )
    for entry in context.before.entries.values():
        if (
            is_dangling(entry)
            and not elsewhere.match(entry.path)
            and not entry.target.startswith(("/proc/", "/run/", "/dev/"))
        ):
            yield f"{entry.path} leads to {entry.target}, which does not exist"


@check("byte-code")
def byte_code(context: Context) -> Iterator[str]:
    """No byte code is shipped: it would make layers differ, and it goes stale."""
    for entry in context.before.entries.values():
        if entry.path.endswith((".pyc", ".pyo")) and entry.path.startswith(("/opt/", "/usr/local/")):
            yield f"{entry.path}"
        elif (
            entry.is_directory
            and entry.path.endswith("/__pycache__")
            and entry.path.startswith(("/opt/", "/usr/local/"))
        ):
            yield f"{entry.path} (a directory for byte code)"


@check("stray-archives")
def stray_archives(context: Context) -> Iterator[str]:
    """No static library, libtool archive, debug file or package was left below /opt and /usr/local."""
    for entry in context.before.below(str(INTERNAL)):
        if entry.path.endswith((".a", ".la", ".debug")) and not entry.is_directory:
            yield entry.path
    for prefix in ("/opt", "/usr/local", "/root"):
        for entry in context.before.below(prefix):
            if re.search(r"\.(tar|tgz|tar\.\w+|whl|rpm|deb|apk|zip)$", entry.path) and not _is_kept_archive(entry.path):
                yield entry.path


def _is_kept_archive(path: str) -> bool:
    return (
        path == f"{INTERNAL}/static-libs-for-embedding-only.tar.xz"
        or "/ensurepip/_bundled/" in path
        or "/pipx/shared/" in path
    )


@check("modes")
def modes(context: Context) -> Iterator[str]:
    """Ours belongs to root, is writable for root only and readable for everybody."""
    for entry in _ours(context):
        if (entry.uid, entry.gid) != (0, 0) and not _is_staff(context, entry):
            yield f"{entry.path} belongs to {entry.uid}:{entry.gid}"
        if entry.is_link:
            continue
        if entry.mode & 0o022 and not _is_staff(context, entry):
            yield f"{entry.path} is writable for others than root (mode {stat.S_IMODE(entry.mode):o})"
        if entry.mode & (stat.S_ISUID | stat.S_ISGID) and not _is_staff(context, entry):
            yield f"{entry.path} is setuid or setgid"
        needed = 0o555 if entry.is_directory else 0o444
        if entry.mode & needed != needed:
            yield f"{entry.path} is not readable for everybody (mode {stat.S_IMODE(entry.mode):o})"


@check("dates")
def dates(context: Context) -> Iterator[str]:
    """What is packed into a wheel can be: zip holds no date before 1980, wherever west of UTC that may be."""
    for entry in _ours(context):
        if os.lstat(entry.path).st_mtime < 315619200:
            yield f"{entry.path} is dated before 1980-01-02"


def _ours(context: Context) -> Iterator[FoundPath]:
    yield from (entry for prefix in ("/opt", "/usr/local") for entry in context.before.below(prefix))


def _is_staff(context: Context, entry: FoundPath) -> bool:
    # Debian gives the directories of /usr/local to the group staff, writable and setgid.
    return (
        context.expected.family == "debian"
        and entry.is_directory
        and entry.path.startswith("/usr/local/")
        and entry.gid in (0, 50)
    )


# What a distribution's own packages make setuid or setgid in an image like these.
SETUID = frozenset(
    (
        "chage chfn chsh expiry gpasswd mount newgrp passwd su umount unix_chkpwd sudo dotlockfile pkexec write wall "
        "ssh-agent ssh-keysign newuidmap newgidmap utempter pam_timestamp_check usernetctl dbus-daemon-launch-helper "
        "crontab bbsuid"
    ).split()
)


@check("privileged-files")
def privileged(context: Context) -> Iterator[str]:
    """Only what the distribution's packages make so is setuid, setgid or writable for everybody."""
    for entry in context.before.entries.values():
        if entry.is_file and entry.mode & (stat.S_ISUID | stat.S_ISGID) and Path(entry.path).name not in SETUID:
            yield f"{entry.path} is setuid or setgid (mode {stat.S_IMODE(entry.mode):o})"
        if not entry.is_link and entry.mode & stat.S_IWOTH and not (entry.is_directory and entry.mode & stat.S_ISVTX):
            yield f"{entry.path} is writable for everybody (mode {stat.S_IMODE(entry.mode):o})"
    wanted = {"/etc/passwd": 0o644, "/etc/group": 0o644, "/": 0o555, "/etc": 0o755, "/usr": 0o755, "/opt": 0o755}
    for path, mode in wanted.items():
        found = stat.S_IMODE(os.stat(path).st_mode)
        if found & mode != mode or found & 0o022:
            yield f"{path} has mode {found:o}"


@check("internal-directory")
def internal(context: Context) -> Iterator[str]:
    """/opt and /opt/_internal hold what they must, and nothing else."""
    expected = context.expected
    opt = {"_internal", "python"} | ({"rh"} if expected.toolset else set())
    opt |= {Path(interpreter.prefix).name for interpreter in expected.shared_interpreters}
    yield from difference("names in /opt", opt, context.before.names("/opt"))
    wanted = {Path(interpreter.prefix).name for interpreter in expected.interpreters}
    wanted |= {"pipx", "tools", "certs.pem", "static-libs-for-embedding-only.tar.xz"}
    wanted |= {"manifest.json", "manifest.d", "sbom.spdx.json"}
    wanted |= {name for component, name in PRIVATE.items() if component in expected.components}
    wanted |= {expected.openssl_prefix.name} if expected.shared_interpreters else set()
    found = context.before.names(str(INTERNAL)) - {"manylinux", "files.sha256"}
    yield from difference(f"names in {INTERNAL}", wanted, found)


# Component -> directory of /opt/_internal; the others are installed to /usr/local.
PRIVATE = {"sqlite": "sqlite3", "mpdecimal": "mpdecimal", "zstd": "zstd", "openssl": "openssl-3.5", "curl": "curl-4"}


FILE_LIST = INTERNAL / "files.sha256"


@check("shipped-files", when=lambda e: bool(e.get("shipped")))
def shipped(context: Context) -> Iterator[str]:
    """Files that are copied as they are in the repository are just that, and can be run if they should."""
    for path, (digest, executable) in context.expected.shipped.items():
        if not os.path.isfile(path):
            yield f"{path} is missing"
        elif hashlib.sha256(Path(path).read_bytes()).hexdigest() != digest:
            yield f"{path} is not the file of the repository"
        elif executable and not os.access(path, os.X_OK):
            yield f"{path} is not executable"


@check("last-net")
def last_net(context: Context) -> Iterator[str]:
    """Every file of ours is, to the byte, what the build wrote; nothing was added. The explicit checks come first."""
    listed: dict[str, str] = {}
    for line in FILE_LIST.read_text(encoding="utf-8").splitlines():
        digest, _, path = line.partition("  ")
        listed[path] = digest
    found = {entry.path: entry for entry in _ours(context) if not entry.is_directory}
    found.pop(str(FILE_LIST), None)
    yield from difference("files below /opt and /usr/local", listed, found)
    for path in sorted(listed.keys() & found.keys()):
        entry = found[path]
        actual = f"link:{entry.target}" if entry.is_link else hashlib.sha256(Path(path).read_bytes()).hexdigest()
        if listed[path] != actual:
            yield f"{path} was changed after the build"


# Library of a component, and the function that tells its version.
LIBRARIES = {
    "sqlite": ("libsqlite3.so.0", "sqlite3_libversion"),
    "mpdecimal": ("libmpdec.so.4", "mpd_version"),
    "zstd": ("libzstd.so.1", "ZSTD_versionString"),
}


@check("component-libraries")
def component_libraries(context: Context) -> Iterator[str]:
    """The libraries that were built load and are of the built version, whether or not an interpreter uses them."""
    python = context.expected.interpreter(context.expected.tools_python).python
    code = (
        "import ctypes, sys; function = getattr(ctypes.CDLL(sys.argv[1]), sys.argv[2]); "
        "function.restype = ctypes.c_char_p; print(function().decode())"
    )
    for component, (library, function) in LIBRARIES.items():
        if component in context.expected.components:
            version = context.expected.components[component]["version"]
            path = INTERNAL / PRIVATE[component] / "lib" / library
            if (said := context.output([python, "-c", code, path, function])) != version:
                yield f"{path} is version {said}, expected {version}"


@check("manifest")
def manifest(context: Context) -> Iterator[str]:
    """/opt/_internal/manifest.json names every interpreter, tool, component and package, with the expected versions."""
    expected = context.expected
    content = json.loads((INTERNAL / "manifest.json").read_text(encoding="utf-8"))
    interpreters = _by_name(content["interpreters"], "tag")
    every = (*expected.interpreters, *expected.shared_interpreters)
    yield from difference("interpreters in manifest.json", (i.tag for i in every), interpreters)
    for interpreter in every:
        if (found := interpreters.get(interpreter.tag, {}).get("version")) != interpreter.version:
            yield f"manifest.json: {interpreter.tag} is {found}, expected {interpreter.version}"
    tools = _by_name(content["tools"], "name")
    wanted = {**expected.tools, **expected.base_tools}
    yield from difference("tools in manifest.json", wanted, tools)
    yield from (f"manifest.json: {p}" for p in differences(wanted, {k: v["version"] for k, v in tools.items()}))
    components = _by_name(content["components"], "name")
    pins = {**expected.components, **{name: pin for name, pin in expected.shared.items() if name == "openssl"}}
    yield from difference("components in manifest.json", pins, components)
    kept = {name: {"version": version, "url": None, "sha256": None} for name, version in context.kept_autotools.items()}
    for name, pin in {**pins, **kept}.items():
        for key in ("version", "url", "sha256"):
            if name in components and components[name].get(key) != pin[key]:
                yield f"manifest.json: {key} of {name} is {components[name].get(key)}, expected {pin[key]}"
    if len(content["packages"]) < 50:
        yield f"manifest.json names {len(content['packages'])} packages of the distribution"


def _by_name(rows: Any, key: str) -> dict[str, Any]:
    if isinstance(rows, dict):
        return rows
    return {row.get(key, row.get("name", "")): row for row in rows}


@check("environment")
def environment(context: Context) -> Iterator[str]:
    """The container's environment is the promised one, whether the image or the engine sets it."""
    yield from differences(context.expected.env, dict(os.environ))
    first = context.expected.path_first
    entries = os.environ.get("PATH", "").split(":")
    if entries[: len(first)] != first:
        yield f"PATH begins with {':'.join(entries[: len(first)])}, expected {':'.join(first)}"
    yield from (
        f"PATH lacks {name}"
        for name in ("/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin")
        if name not in entries
    )
    allowed = set(context.expected.env) | {
        "PATH",
        "HOME",
        "HOSTNAME",
        "TERM",
        "container",
        "PWD",
        "SHLVL",
        "_",
        "OLDPWD",
        "LC_CTYPE",
        "LESSOPEN",
        "which_declare",
    }
    # Engines hand the user's proxies over: podman those of its environment, docker those of its config.json.
    yield from (
        f"unexpected environment variable {name}"
        for name in sorted(set(os.environ) - allowed)
        if not name.startswith("BASH_FUNC_") and not name.lower().endswith("_proxy")
    )


# Where a site's settings or secrets would stay behind.
SITE_FILES = (
    "/etc/pip.conf /etc/xdg/pip /root/.pip /root/.config /root/.netrc /root/.pypirc /root/.docker /root/.ssh "
    "/root/.curlrc /root/.wgetrc /etc/uv /root/.gitconfig /run/secrets /root/.npmrc /root/.gnupg /root/.bash_history "
    "/root/.python_history"
).split()


@check("site-settings")
def site_settings(context: Context) -> Iterator[str]:
    """Nothing of the machine that built the image stays in it: no index, proxy, certificate or secret."""
    for path in SITE_FILES:
        if path in context.before.entries and not _is_empty(path):
            yield f"{path} was left behind"
    every = (*context.expected.interpreters, *context.expected.shared_interpreters)
    prefixes = [Path(interpreter.prefix) for interpreter in every]
    prefixes += [INTERNAL / "tools", *(INTERNAL / "pipx/venvs" / tool for tool in context.expected.tools)]
    yield from (f"{prefix}/pip.conf was left behind" for prefix in prefixes if (prefix / "pip.conf").exists())
    for directory in ("/usr/local/share/ca-certificates", "/etc/pki/ca-trust/source/anchors"):
        yield from (f"{directory}/{name} was left behind" for name in sorted(context.before.names(directory)))
    for file in (*Path("/etc/apt/apt.conf.d").glob("*"), Path("/etc/apt/apt.conf"), Path("/etc/yum.conf")):
        if file.is_file() and re.search(r"(?im)^[^#/]*proxy", file.read_text(encoding="utf-8", errors="replace")):
            yield f"{file} names a proxy"
    for name in ("http.proxy", "http.sslCAInfo", "url.insteadOf", "credential.helper"):
        if value := context.output(["git", "config", "--system", "--get", name], status=None):
            yield f"git's system configuration sets {name} to {value}"


def _is_empty(path: str) -> bool:
    return os.path.isdir(path) and not os.listdir(path)


def _has_wrapper(expected: Expected) -> bool:
    return bool(
        expected.platform == "x86_64"
        and expected.family == "rhel"
        and expected.distribution in ("almalinux-9", "almalinux-10")
    )


@check("local-commands")
def local_commands(context: Context) -> Iterator[str]:
    """/usr/local/bin holds the promised commands, and nothing that hides another program."""
    expected = context.expected
    every = (*expected.interpreters, *expected.shared_interpreters)
    wanted = {name for interpreter in every for name in interpreter.launchers}
    wanted |= {"manylinux-entrypoint", "manylinux-interpreters", "manylinux-install-clang"}
    wanted |= {"manylinux-doctor", "manylinux-sbom", "pipx"}
    for tool in expected.tools:
        wanted |= {"cmake": {"cmake", "ctest", "cpack"}, "uv": {"uv", "uvx"}}.get(tool, {tool})
    if "git" in expected.components:
        wanted |= {"git", "git-shell", "git-upload-pack", "git-upload-archive", "git-receive-pack", "scalar"}
    wanted |= {"git-lfs"} if "git-lfs" in expected.components else set()
    for component, names in AUTOTOOLS_COMMANDS.items():
        wanted |= set(names) if component in expected.components and component not in context.kept_autotools else set()
    found = context.before.names(str(LOCAL_BIN))
    if _has_wrapper(expected):
        found = {name for name in found if not re.search(r"(gcc|g\+\+|c\+\+|cc|cpp|gfortran)(-\d+)?$", name)}
    found = {name for name in found if not OPTIONAL_COMMANDS.fullmatch(name)}
    yield from difference(f"commands in {LOCAL_BIN}", wanted, found)
    for name in found:
        path = LOCAL_BIN / name
        if not os.access(path, os.X_OK):
            yield f"{path} is not executable"
        hidden = shutil.which(name, path="/opt/clang/bin")
        if hidden:
            yield f"{path} is hidden by {hidden}"


# Further names of commands above, and what git builds where its interpreter is there.
OPTIONAL_COMMANDS = re.compile(r"ccmake|ccache-swig|swig4\.0|(aclocal|automake)-[\d.]+|git-cvsserver|gitweb")
AUTOTOOLS_COMMANDS = {
    "autoconf": "autoconf autoheader autom4te autoreconf autoscan autoupdate ifnames".split(),
    "automake": "aclocal automake".split(),
    "libtool": "libtool libtoolize".split(),
}
