"""The file system as the build left it: what must be there, what must not, and who owns it."""

from __future__ import annotations

import grp
import hashlib
import json
import os
import pwd
import re
import shutil
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from . import elf
from .context import INTERNAL, LOCAL_BIN, Context, Expected
from .registry import check, difference, differences
from .snapshot import Entry, is_dangling

FAMILY_ROOT = {
    # family -> (must be in /, may be in /)
    "debian": ("bin boot dev etc home lib media mnt opt proc root run sbin srv sys tmp usr var", "lib32 lib64 libx32"),
    "rhel": ("bin boot dev etc home lib media mnt opt proc root run sbin srv sys tmp usr var", "afs lib64 lost+found anaconda-post.log"),
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
        allowed = {".bashrc", ".profile", ".bash_profile", ".bash_logout", ".cshrc", ".tcshrc", "anaconda-ks.cfg", "kernels", "debug"}
        if context.expected.family == "alpine":
            allowed |= {"cdrom", "floppy", "usb"}
        if context.expected.family == "rhel":
            allowed |= {"original-ks.cfg", "anaconda-post.log", "efi"}
        names = context.before.names(directory) - allowed
        yield from (f"{directory}/{name} was left behind" for name in sorted(names))


@check("dangling-links")
def dangling_links(context: Context) -> Iterator[str]:
    """Every symbolic link leads somewhere."""
    elsewhere = re.compile(r"/(etc/mtab|etc/resolv\.conf|etc/systemd/|usr/lib/systemd/|var/lib/systemd/|var/run|etc/rc\d?\.d/|usr/share/(doc|man|info)/)")
    for entry in context.before.entries.values():
        if is_dangling(entry) and not elsewhere.match(entry.path) and not entry.target.startswith(("/proc/", "/run/", "/dev/")):
            yield f"{entry.path} leads to {entry.target}, which does not exist"


@check("byte-code")
def byte_code(context: Context) -> Iterator[str]:
    """No byte code is shipped: it would make layers differ, and it goes stale."""
    for entry in context.before.entries.values():
        if entry.path.endswith((".pyc", ".pyo")) and entry.path.startswith(("/opt/", "/usr/local/")):
            yield f"{entry.path}"
        elif entry.is_directory and entry.path.endswith("/__pycache__") and entry.path.startswith(("/opt/", "/usr/local/")):
            yield f"{entry.path} (a directory for byte code)"


@check("stray-archives")
def stray_archives(context: Context) -> Iterator[str]:
    """Below /opt/_internal are no static libraries, libtool archives or debug files, except what was packed for embedding."""
    for entry in context.before.below(str(INTERNAL)):
        if entry.path.endswith((".a", ".la", ".o", ".debug")) and not entry.is_directory:
            yield entry.path
    for prefix in ("/opt", "/usr/local", "/root"):
        for entry in context.before.below(prefix):
            if re.search(r"\.(tar|tgz|tar\.\w+|whl|rpm|deb|apk|zip)$", entry.path) and not _is_kept_archive(entry.path):
                yield entry.path


def _is_kept_archive(path: str) -> bool:
    return path == f"{INTERNAL}/static-libs-for-embedding-only.tar.xz" or "/ensurepip/_bundled/" in path or "/pipx/shared/" in path


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


def _ours(context: Context) -> Iterator[Entry]:
    yield from (entry for prefix in ("/opt", "/usr/local") for entry in context.before.below(prefix))


def _is_staff(context: Context, entry: Entry) -> bool:
    # Debian gives the directories of /usr/local to the group staff, writable and setgid.
    return context.expected.family == "debian" and entry.is_directory and entry.path.startswith("/usr/local/") and entry.gid in (0, 50)


# What a distribution's own packages make setuid or setgid in an image like these.
SETUID = set(
    """chage chfn chsh expiry gpasswd mount newgrp passwd su umount unix_chkpwd sudo dotlockfile pkexec write wall ssh-agent
    ssh-keysign newuidmap newgidmap utempter pam_timestamp_check usernetctl dbus-daemon-launch-helper crontab bbsuid""".split()
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
    opt |= {f"shared-cpython-{minor}" for minor in ("3.13", "3.14")} if expected.variant == "shared" else set()
    yield from difference("names in /opt", opt, context.before.names("/opt"))
    wanted = {Path(interpreter.prefix).name for interpreter in expected.interpreters}
    wanted |= {"pipx", "tools", "certs.pem", "manifest.json", "static-libs-for-embedding-only.tar.xz"}
    wanted |= {name for component, name in PRIVATE.items() if component in expected.components}
    wanted |= {"openssl-3.5"} if expected.variant == "shared" else set()
    found = context.before.names(str(INTERNAL)) - {"manylinux", "files.sha256"}
    yield from difference(f"names in {INTERNAL}", wanted, found)


# Component -> directory of /opt/_internal; the others are installed to /usr/local.
PRIVATE = {"sqlite": "sqlite3", "mpdecimal": "mpdecimal", "zstd": "zstd", "openssl": "openssl-3.5", "curl": "curl-4"}


@check("last-net", when=lambda e: bool(e.get("file_list")))
def last_net(context: Context) -> Iterator[str]:
    """Every file of ours is, to the byte, what the build wrote; nothing was added. The explicit checks come first."""
    listed: dict[str, str] = {}
    for line in Path(context.expected.file_list).read_text(encoding="utf-8").splitlines():
        digest, _, path = line.partition("  ")
        listed[path] = digest
    found = {entry.path: entry for entry in _ours(context) if not entry.is_directory}
    found.pop(context.expected.file_list, None)
    yield from difference("files below /opt and /usr/local", listed, found)
    for path in sorted(listed.keys() & found.keys()):
        entry = found[path]
        actual = f"link:{entry.target}" if entry.is_link else hashlib.sha256(Path(path).read_bytes()).hexdigest()
        if listed[path] != actual:
            yield f"{path} was changed after the build"


@check("manifest")
def manifest(context: Context) -> Iterator[str]:
    """/opt/_internal/manifest.json names every interpreter, tool, component and package, with the expected versions."""
    expected = context.expected
    content = json.loads((INTERNAL / "manifest.json").read_text(encoding="utf-8"))
    interpreters = _by_name(content["interpreters"], "tag")
    yield from difference("interpreters in manifest.json", (i.tag for i in expected.interpreters), interpreters)
    for interpreter in expected.interpreters:
        if (found := interpreters.get(interpreter.tag, {}).get("version")) != interpreter.version:
            yield f"manifest.json: {interpreter.tag} is {found}, expected {interpreter.version}"
    tools = _by_name(content["tools"], "name")
    wanted = {**expected.tools, **expected.base_tools}
    yield from difference("tools in manifest.json", wanted, tools)
    yield from (f"manifest.json: {p}" for p in differences(wanted, {k: v["version"] for k, v in tools.items()}))
    components = _by_name(content["components"], "name")
    yield from difference("components in manifest.json", expected.components, components)
    for name, pin in expected.components.items():
        for key in ("version", "url", "sha256"):
            if name in components and components[name].get(key) != pin[key]:
                yield f"manifest.json: {key} of {name} is {components[name].get(key)}, expected {pin[key]}"
    if len(content["packages"]) < 50:
        yield f"manifest.json names {len(content['packages'])} packages of the distribution"


def _by_name(rows: Any, key: str) -> dict[str, Any]:
    if isinstance(rows, dict):
        return rows
    return {row.get(key, row.get("name", "")): row for row in rows}


# --- The distribution ---------------------------------------------------------------------------------------------------------


@check("distribution")
def distribution(context: Context) -> Iterator[str]:
    """The base is the expected release of the expected distribution, and its C library the policy's."""
    release = dict(re.findall(r'(?m)^(\w+)="?([^"\n]*)"?$', Path("/etc/os-release").read_text(encoding="utf-8")))
    name, _, version = context.expected.distribution.rpartition("-")
    ids = {"rockylinux": "rocky", "anolisos": "anolis"}
    if release.get("ID") != ids.get(name, name):
        yield f"the distribution is {release.get('ID')}, expected {name}"
    found = release.get("VERSION_ID", "")
    if found != version and not found.startswith(version + "."):
        yield f"the release is {found}, expected {version}"
    if context.expected.is_glibc:
        said = context.output(["getconf", "GNU_LIBC_VERSION"])
        if said != f"glibc {context.expected.libc_version}":
            yield f"the C library is {said}, expected glibc {context.expected.libc_version}"
    else:
        said = "".join(context.run(["ldd"], status=None).stderr.split("Version")[1:])
        if not said.strip().startswith(f"{context.expected.libc_version}."):
            yield f"the C library is musl {said.strip()[:20]}, expected {context.expected.libc_version}"


@check("packages")
def packages(context: Context) -> Iterator[str]:
    """Every promised package of the distribution is installed."""
    wanted = context.expected.get("system_packages") or []
    if not wanted:
        return
    if context.expected.family == "debian":
        query = ["dpkg-query", "--show", "--showformat", "${db:Status-Status} ${Package}\\n${Provides}\\n"]
        said = context.output(query)
        names = {line.split()[1] for line in said.splitlines() if line.startswith("installed ")}
        names |= set(re.findall(r"[a-z0-9][a-z0-9.+-]+", " ".join(line for line in said.splitlines() if not line.startswith("installed "))))
        yield from (f"package {name} is not installed" for name in wanted if name.split(":")[0] not in names)
    elif context.expected.family == "rhel":
        for name in wanted:
            if context.run(["rpm", "-q", "--whatprovides", name], status=None).returncode != 0:
                yield f"package {name} is not installed"
    else:
        for name in wanted:
            if context.run(["apk", "info", "-e", name], status=None).returncode != 0:
                yield f"package {name} is not installed"


# Documentation and translations are left out on purpose; the rest is ours to change (locale, shell, loader, sources).
CHANGED = re.compile(
    r"/usr/share/(doc|man|info|locale|lintian|gtk-doc|backgrounds|bug|help|gcc)/|/etc/(default/(locale|useradd)|locale\.gen|locale\.conf"
    r"|login\.defs|passwd|group|shadow|gshadow|apt/sources\.list|ld\.so\.conf\.d|yum\.|dnf/|environment|hosts|resolv\.conf|hostname|mtab|motd"
    r"|issue|machine-id)|/usr/lib(64)?/(locale|rpm|.build-id)|/var/|/run|/dev|/proc|/sys|/boot|/usr/bin/.*lto-dump.*|/usr/share/.*\.pyc|/usr/lib/python"
)


@check("package-files", heavy=True)
def package_files(context: Context) -> Iterator[str]:
    """The distribution's files are what its packages installed."""
    family = context.expected.family
    argv = {"debian": ["dpkg", "--verify"], "rhel": ["rpm", "-Va", "--nomtime", "--nordev"], "alpine": ["apk", "audit", "--system"]}[family]
    for line in context.run(argv, status=None).stdout.splitlines():
        match = re.match(r"(\S+)\s+(?:[a-z] )?\s*(/?\S.*)$", line)
        if not match:
            continue
        path = match[2] if match[2].startswith("/") else "/" + match[2]
        if not CHANGED.match(path) and not (family == "debian" and _is_excluded_directory(path)):
            what = "is missing" if "missing" in match[1] else "was changed"
            yield f"{path} {what} ({match[1]})"
    if family == "debian":
        yield from (f"dpkg --audit: {line}" for line in context.run(["dpkg", "--audit"], status=None).stdout.splitlines()[:5])


def _is_excluded_directory(path: str) -> bool:
    return path.startswith("/usr/share/") and path.split("/")[3:4] == ["doc"]


@check("package-manager")
def package_manager(context: Context) -> Iterator[str]:
    """The package manager knows its sources and works; its caches are empty. before-all commands need it."""
    before, family = context.before, context.expected.family
    if family == "debian":
        context.run(["apt-get", "check"])
        files = [Path("/etc/apt/sources.list"), *sorted(Path("/etc/apt/sources.list.d").glob("*"))]
        text = "".join(file.read_text(encoding="utf-8") for file in files if file.exists())
        if not re.search(r"(?m)^(deb |URIs:)", text):
            yield "apt has no sources"
        codename = {"debian-12": "bookworm", "debian-13": "trixie", "ubuntu-20.04": "focal", "ubuntu-22.04": "jammy"}[context.expected.distribution]
        suites = set(re.findall(r"(?m)^(?:deb(?: \[[^]]*\])? \S+ (\S+)|Suites: (.*))", text))
        names = {name for pair in suites for part in pair for name in part.split()}
        wanted = {codename, f"{codename}-updates", f"{codename}-security"}
        yield from (f"apt has no source for {name}" for name in sorted(wanted - names))
        yield from (f"apt has a source for {name}" for name in sorted(names) if not name.startswith(codename))
        caches = ("/var/lib/apt/lists", "/var/cache/apt", "/var/cache/apt/archives")
        allowed = {"partial", "lock", "archives", "auxfiles"}
    elif family == "rhel":
        manager = "yum" if context.expected.distribution == "centos-7" else "dnf"
        if "repo id" not in context.output([manager, "repolist", "-C"], status=None):
            if not any(Path("/etc/yum.repos.d").glob("*.repo")):
                yield f"{manager} has no repositories"
        caches = ("/var/cache/yum", "/var/cache/dnf")
        allowed = {"lastlog"}
    else:
        if not re.search(r"(?m)^https?://", Path("/etc/apk/repositories").read_text(encoding="utf-8")):
            yield "apk has no repositories"
        caches = ("/var/cache/apk",)
        allowed = set()
    for directory in caches:
        yield from (f"{directory}/{name} was left in the cache" for name in sorted(before.names(directory) - allowed))
    for directory in ("/root/.cache", f"{INTERNAL}/pipx/.cache", f"{INTERNAL}/pipx/logs", "/root/.local", "/var/cache/pip"):
        yield from (f"{directory}/{name} was left in the cache" for name in sorted(before.names(directory)))
    fixup = Path("/usr/local/sbin/fixup-mirrors")
    if not os.access(fixup, os.X_OK):
        yield f"{fixup} is missing or not executable"


# ELF files that only work beside something that is left out on purpose, or that are loaded by a program that brings the rest.
UNRESOLVED = re.compile(r"/usr/lib/(debug|gcc/[^/]+/\d+/plugin)/|/opt/_internal/.*\.libs/|/usr/lib(64)?/(python|perl5)/")


@check("regression-10-unresolved-libraries", heavy=True)
def unresolved(context: Context) -> Iterator[str]:
    """Every ELF file in /usr and /opt finds the libraries that it needs, without LD_LIBRARY_PATH."""
    environment = {**context.environment, "LD_LIBRARY_PATH": context.expected.env["LD_LIBRARY_PATH"]}
    files = []
    for entry in context.before.entries.values():
        if not entry.is_file or not entry.path.startswith(("/usr/", "/opt/", "/bin/", "/sbin/", "/lib")) or UNRESOLVED.match(entry.path):
            continue
        if (entry.mode & 0o111 or ".so" in entry.path) and not entry.path.endswith((".py", ".h", ".sh")) and elf.is_elf(Path(entry.path)):
            files.append(entry.path)
    for number in range(0, len(files), 200):
        said = context.run(["ldd", *files[number : number + 200]], env=environment, status=None).stdout
        current = files[number]
        for line in said.splitlines():
            if line.endswith(":") and line.startswith("/"):
                current = line[:-1]
            elif "not found" in line:
                yield f"{current}: {line.strip()}"
    if len(files) < 300:
        yield f"only {len(files)} ELF files were found"


@check("regression-24-locale")
def locale(context: Context) -> Iterator[str]:
    """The image's locale exists: no program warns about it."""
    for argv in (["bash", "-c", ":"], ["locale"], ["perl", "-e", "1"]):
        done = context.run(argv, env={**context.environment, "LC_ALL": "en_US.UTF-8"})
        if done.stderr.strip():
            yield f"{' '.join(argv)} warns: {done.stderr.strip()[:300]}"
    if context.expected.is_glibc:
        if context.output(["locale", "charmap"]) != "UTF-8":
            yield f"the character set is {context.output(['locale', 'charmap'])}"
        known = {name.lower().replace("-", "") for name in context.output(["locale", "-a"]).split()}
        if "en_us.utf8" not in known:
            yield "locale -a does not list en_US.utf8"
        extra = known - {"c", "c.utf8", "posix", "en_us.utf8", "en_us"}
        if extra:
            yield f"unexpected locales: {', '.join(sorted(extra))}"


@check("translations")
def translations(context: Context) -> Iterator[str]:
    """Translations into other languages and manuals of ours were left out."""
    for directory in ("/usr/share/locale", "/usr/local/share/locale"):
        names = {name for name in context.before.names(directory) if not name.startswith("en") and name != "locale.alias"}
        yield from (f"{directory}/{name} was left in" for name in sorted(names))
    yield from (f"/usr/local/share/man/{name} was left in" for name in sorted(context.before.names("/usr/local/share/man")))
    if "/usr/share/backgrounds" in context.before.entries:
        yield "/usr/share/backgrounds was left in"


@check("shell")
def shell(context: Context) -> Iterator[str]:
    """bash is the shell of root and of users who are made from now on."""
    if pwd.getpwuid(0).pw_shell != "/bin/bash":
        yield f"root's shell is {pwd.getpwuid(0).pw_shell}"
    if pwd.getpwuid(0).pw_dir != "/root":
        yield f"root's home is {pwd.getpwuid(0).pw_dir}"
    if "SHELL=/bin/bash" not in context.output(["useradd", "-D"]).split():
        yield "useradd gives new users another shell than /bin/bash"
    users = [user for user in pwd.getpwall() if user.pw_uid >= 1000 and user.pw_name not in ("nobody", "nfsnobody")]
    yield from (f"unexpected user {user.pw_name}" for user in users)
    yield from (f"user {user.pw_name} has the rights of root" for user in pwd.getpwall() if user.pw_uid == 0 and user.pw_name != "root")
    if grp.getgrgid(0).gr_name != "root":
        yield f"group 0 is {grp.getgrgid(0).gr_name}"
    said = context.output(["/bin/bash", "-c", 'echo "$BASH_VERSION"'], env={"PATH": "/usr/bin:/bin"})
    if not re.match(r"[4-9]\.", said):
        yield f"/bin/bash says its version is {said!r}"
    context.run(["/bin/sh", "-c", "test x = x && printf %s x"])
    context.run(["bash", "-lc", "type -p gcc python3.13 2>/dev/null; true"])


@check("time-zone")
def time_zone(context: Context) -> Iterator[str]:
    """The image's clock is UTC."""
    if (said := context.output(["date", "+%Z"], env={"PATH": os.environ["PATH"]})) != "UTC":
        yield f"the time zone is {said}"


@check("environment")
def environment(context: Context) -> Iterator[str]:
    """The container's environment is the promised one, whether the image or the engine sets it."""
    yield from differences(context.expected.env, dict(os.environ))
    first = context.expected.path_first
    entries = os.environ.get("PATH", "").split(":")
    if entries[: len(first)] != first:
        yield f"PATH begins with {':'.join(entries[: len(first)])}, expected {':'.join(first)}"
    yield from (f"PATH lacks {name}" for name in ("/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin") if name not in entries)
    allowed = set(context.expected.env) | {"PATH", "HOME", "HOSTNAME", "TERM", "container", "PWD", "SHLVL", "_", "OLDPWD", "LC_CTYPE", "LESSOPEN", "which_declare"}
    yield from (f"unexpected environment variable {name}" for name in sorted(set(os.environ) - allowed) if not name.startswith("BASH_FUNC_"))


def _has_wrapper(expected: Expected) -> bool:
    return bool(expected.platform == "x86_64" and expected.family == "rhel" and expected.distribution in ("almalinux-9", "almalinux-10"))


@check("local-commands")
def local_commands(context: Context) -> Iterator[str]:
    """/usr/local/bin holds the promised commands, and nothing that hides another program."""
    expected = context.expected
    wanted = {name for interpreter in expected.interpreters for name in interpreter.launchers}
    wanted |= {"manylinux-entrypoint", "manylinux-interpreters", "manylinux-install-clang", "pipx"}
    for tool in expected.tools:
        wanted |= {"cmake": {"cmake", "ctest", "cpack"}, "uv": {"uv", "uvx"}}.get(tool, {tool})
    if "git" in expected.components:
        wanted |= {"git", "git-shell", "git-upload-pack", "git-upload-archive", "git-receive-pack", "scalar"}
    wanted |= {"git-lfs"} if "git-lfs" in expected.components else set()
    for component, names in AUTOTOOLS_COMMANDS.items():
        wanted |= set(names) if component in expected.components else set()
    found = context.before.names(str(LOCAL_BIN))
    if _has_wrapper(expected):
        found = {name for name in found if not re.search(r"(gcc|g\+\+|c\+\+|cc|cpp|gfortran)(-\d+)?$", name)}
    optional = {"cmake": {"ccmake"}, "swig": {"ccache-swig", "swig4.0"}, "abi3audit": set(), "auditwheel": set()}
    found -= {name for names in optional.values() for name in names}
    yield from difference(f"commands in {LOCAL_BIN}", wanted, found)
    for name in found:
        path = LOCAL_BIN / name
        if not os.access(path, os.X_OK):
            yield f"{path} is not executable"
        hidden = shutil.which(name, path="/opt/clang/bin")
        if hidden:
            yield f"{path} is hidden by {hidden}"


AUTOTOOLS_COMMANDS = {
    "autoconf": "autoconf autoheader autom4te autoreconf autoscan autoupdate ifnames".split(),
    "automake": "aclocal automake".split(),
    "libtool": "libtool libtoolize".split(),
}
