"""The distribution below: its release, packages, libraries, locale, shell and package manager."""

from __future__ import annotations

import grp
import json
import os
import pwd
import re
from collections.abc import Iterator
from fnmatch import fnmatchcase
from pathlib import Path

from . import elf
from .context import INTERNAL, Context, Expected
from .registry import check, difference


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
        names |= set(
            re.findall(
                r"[a-z0-9][a-z0-9.+-]+",
                " ".join(line for line in said.splitlines() if not line.startswith("installed ")),
            )
        )
        yield from (f"package {name} is not installed" for name in wanted if name.split(":")[0] not in names)
    elif context.expected.family == "rhel":
        for name in wanted:
            if context.run(["rpm", "-q", "--whatprovides", name], status=None).returncode != 0:
                yield f"package {name} is not installed"
    else:
        for name in wanted:
            if context.run(["apk", "info", "-e", name], status=None).returncode != 0:
                yield f"package {name} is not installed"


@check("manifest-packages")
def manifest_packages(context: Context) -> Iterator[str]:
    """The installed packages are those that the manifest tells of, in the same versions."""
    recorded = json.loads((INTERNAL / "manifest.json").read_text(encoding="utf-8"))["packages"]
    wanted = {f"{row['name']} {row['version']}" for row in recorded}
    queries = {
        "debian": ["dpkg-query", "--show", "--showformat", "${Package} ${Version}\\n"],
        "rhel": ["rpm", "-qa", "--queryformat", "%{NAME} %|EPOCH?{%{EPOCH}:}:{}|%{VERSION}-%{RELEASE}\\n"],
    }
    if query := queries.get(context.expected.family):
        yield from difference("packages", wanted, context.output(query).splitlines())


# Documentation and translations are left out on purpose; the rest is ours to change (locale, shell, loader, sources).
CHANGED = re.compile(
    r"/usr/share/(doc|man|info|locale|lintian|gtk-doc|backgrounds|bug|help|gcc)/|/etc/(default/(locale|useradd)|locale\.gen|locale\.conf"
    r"|login\.defs|passwd|group|shadow|gshadow|apt/sources\.list|ld\.so\.conf\.d|yum\.|dnf/|environment|hosts|resolv\.conf|hostname|mtab|motd"
    r"|issue|machine-id)|/usr/lib(64)?/(locale|rpm|.build-id)|/var/|/run|/dev|/proc|/sys|/boot|/usr/share/.*\.pyc|/usr/lib/python"
)


DPKG_EXCLUDES = Path("/etc/dpkg/dpkg.cfg.d/manylinux")


def left_out(path: str, settings: str) -> bool:
    """Whether settings of dpkg leave a file out. A later pattern overrides an earlier one, see dpkg.cfg(5)."""
    result = False
    for kind, pattern in re.findall(r"(?m)^path-(exclude|include)=(.+)$", settings):
        if fnmatchcase(path, pattern):
            result = kind == "exclude"
    return result


@check("package-files", heavy=True)
def package_files(context: Context) -> Iterator[str]:
    """The distribution's files are what its packages installed."""
    family = context.expected.family
    argv = {
        "debian": ["dpkg", "--verify"],
        "rhel": ["rpm", "-Va", "--nomtime", "--nordev"],
        "alpine": ["apk", "audit", "--system"],
    }[family]
    settings = DPKG_EXCLUDES.read_text(encoding="utf-8") if family == "debian" else ""
    for line in context.run(argv, status=None).stdout.splitlines():
        match = re.match(r"(\S+)\s+([a-z] )?\s*(/?\S.*)$", line)
        if not match:
            continue
        flags, configuration, name = match.groups()
        if (family == "alpine" and flags not in ("U", "X")) or (family == "rhel" and configuration):
            continue
        path = name if name.startswith("/") else f"/{name}"
        missing = flags in ("missing", "X")
        if not CHANGED.match(path) and not (missing and left_out(path, settings)):
            yield f"{path} {'is missing' if missing else 'was changed'} ({flags})"
    if family == "debian":
        yield from (
            f"dpkg --audit: {line}" for line in context.run(["dpkg", "--audit"], status=None).stdout.splitlines()[:5]
        )


CODENAMES = {"debian-12": "bookworm", "debian-13": "trixie", "ubuntu-20.04": "focal", "ubuntu-22.04": "jammy"}


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
        codename = CODENAMES[context.expected.distribution]
        suites = set(re.findall(r"(?m)^(?:deb(?: \[[^]]*\])? \S+ (\S+)|Suites: (.*))", text))
        names = {name for pair in suites for part in pair for name in part.split()}
        wanted = {codename, f"{codename}-updates", f"{codename}-security"}
        yield from (f"apt has no source for {name}" for name in sorted(wanted - names))
        yield from (f"apt has a source for {name}" for name in sorted(names) if not name.startswith(codename))
        caches = ["/var/lib/apt/lists", "/var/cache/apt", "/var/cache/apt/archives"]
        allowed = {"partial", "lock", "archives", "auxfiles"}
    elif family == "rhel":
        manager = "yum" if context.expected.distribution == "centos-7" else "dnf"
        context.run([manager, "--version"])
        if not any("enabled" in file.read_text() for file in Path("/etc/yum.repos.d").glob("*.repo")):
            yield f"{manager} has no repositories"
        caches = ["/var/cache/yum", "/var/cache/dnf"]
        allowed = {"lastlog"}
    else:
        if not re.search(r"(?m)^https?://", Path("/etc/apk/repositories").read_text(encoding="utf-8")):
            yield "apk has no repositories"
        caches = ["/var/cache/apk"]
        allowed = set()
    for directory in caches:
        yield from (f"{directory}/{name} was left in the cache" for name in sorted(before.names(directory) - allowed))
    for directory in (
        "/root/.cache",
        f"{INTERNAL}/pipx/.cache",
        f"{INTERNAL}/pipx/logs",
        "/root/.local",
        "/var/cache/pip",
    ):
        yield from (f"{directory}/{name} was left in the cache" for name in sorted(before.names(directory)))
    fixup = Path("/usr/local/sbin/fixup-mirrors")
    if not os.access(fixup, os.X_OK):
        yield f"{fixup} is missing or not executable"


# ELF files that are loaded by a program that brings what they miss.
UNRESOLVED = re.compile(
    r"/usr/lib/(debug|gcc/[^/]+/\d+/plugin)/|/opt/_internal/.*\.libs/|/usr/lib(64)?/(python|perl5)/"
)


# What glibc's loader says of a version and of a library that it does not find, and what musl's says
MISSING_LIBRARY = ("not found", "cannot open shared object file", "Error loading shared library")


@check("regression-10-unresolved-libraries", heavy=True)
def unresolved(context: Context) -> Iterator[str]:
    """Every ELF file in /usr and /opt finds the libraries that it needs, without LD_LIBRARY_PATH."""
    environment = {**context.environment, "LD_LIBRARY_PATH": context.expected.env["LD_LIBRARY_PATH"]}
    # glibc's ldd is a shell script around its loader, three times as slow; musl's is the loader.
    tracer = [elf.loader(Path("/bin/sh")), "--list"] if context.expected.is_glibc else ["ldd"]
    files = []
    for entry in context.before.entries.values():
        if (
            not entry.is_file
            or not entry.path.startswith(("/usr/", "/opt/", "/bin/", "/sbin/", "/lib"))
            or UNRESOLVED.match(entry.path)
        ):
            continue
        if (
            (entry.mode & 0o111 or ".so" in entry.path)
            and not entry.path.endswith((".py", ".h", ".sh"))
            and elf.is_elf(Path(entry.path))
        ):
            files.append(entry.path)
    for path in files:
        done = context.run([*tracer, path], env=environment, status=None)
        for line in (done.stdout + done.stderr).splitlines():
            if any(words in line for words in MISSING_LIBRARY):
                yield f"{path}: {line.strip()}"
    if len(files) < 300:
        yield f"only {len(files)} ELF files were found"


@check("regression-24-locale")
def locale(context: Context) -> Iterator[str]:
    """The image's locale exists: no program warns about it."""
    programs = [["bash", "-c", ":"], ["perl", "-e", "1"], *([["locale"]] if context.expected.is_glibc else [])]
    for argv in programs:
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
        names = {
            name for name in context.before.names(directory) if not name.startswith("en") and name != "locale.alias"
        }
        yield from (f"{directory}/{name} was left in" for name in sorted(names))
    yield from (
        f"/usr/local/share/man/{name} was left in" for name in sorted(context.before.names("/usr/local/share/man"))
    )
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
    yield from (
        f"user {user.pw_name} has the rights of root"
        for user in pwd.getpwall()
        if user.pw_uid == 0 and user.pw_name != "root"
    )
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


# --- Debian's own book-keeping ------------------------------------------------------------------------------

# Files that Debian's packages make when they are installed, and those that the image is configured by.
GENERATED = re.compile(
    r"/etc/(\.pwd\.lock|alternatives/.*|apt/sources\.list(\.d/.*)?|ca-certificates\.conf|default/locale|dpkg/dpkg\.cfg\.d/manylinux"
    r"|dpkg/origins/default|environment|fonts/conf\.d/.*|fstab|g?shadow-?|group-?|passwd-?|hostname|hosts|inputrc|ld\.so\.cache"
    r"|ld\.so\.conf\.d/(00-manylinux|fakeroot.*)\.conf|locale\.gen|localtime|locale\.conf|motd|mtab|networks|nsswitch\.conf|pam\.d/common-.*|profile"
    r"|python3/debian_config|rc\w\.d/.*|resolv\.conf|security/opasswd|shells|sub[gu]id-?|systemd/.*|timezone|machine-id"
    r"|gitconfig|cloud/.*|apt/apt\.conf\.d/docker-.*|dpkg/dpkg\.cfg\.d/docker-.*|os-release|xattr\.conf)"
    r"|/root/\.(bashrc|profile)|/usr/lib/locale/(locale-archive|en_US.*)|/usr/share/info/dir"
)


def _is_debian(expected: Expected) -> bool:
    return bool(expected.family == "debian")


def _owned(context: Context) -> set[str]:
    """What the installed packages own, with /bin, /lib and /sbin spelled as the directories they are links to."""
    merged = {
        f"/{name}/": f"/usr/{name}/"
        for name in ("bin", "sbin", "lib", "lib32", "lib64", "libx32")
        if Path(f"/{name}").is_symlink()
    }
    owned = set()
    for file in Path("/var/lib/dpkg/info").glob("*.list"):
        for path in file.read_text(encoding="utf-8").splitlines():
            top = path[: path.find("/", 1) + 1]
            owned.add(path.replace(top, merged[top], 1) if top in merged else path)
    return owned


@check("unowned-files", when=_is_debian)
def unowned(context: Context) -> Iterator[str]:
    """Outside of /opt and /usr/local no file was added to what the packages brought."""
    owned = _owned(context)
    if "automake" in context.kept_autotools:
        owned.add("/usr/share/aclocal/dirlist")  # which then names the directory of ours
    for entry in context.before.entries.values():
        path = entry.path
        if entry.is_directory or not path.startswith(("/etc/", "/usr/", "/root/")) or path.startswith("/usr/local/"):
            continue
        if path in owned or GENERATED.fullmatch(path) or entry.target.startswith("/etc/alternatives/"):
            continue
        if path.startswith("/etc/ssl/certs/") and (entry.is_link or path.endswith("/ca-certificates.crt")):
            continue
        yield f"{path} belongs to no package"


@check("base-files", when=_is_debian)
def base_files(context: Context) -> Iterator[str]:
    """Start-up files of shells are Debian's, and the distribution trusts exactly the authorities of its package."""
    templates = {"/etc/profile": "profile", "/root/.bashrc": "dot.bashrc", "/root/.profile": "dot.profile"}
    for path, template in templates.items():
        if Path(path).read_bytes() != Path("/usr/share/base-files", template).read_bytes():
            yield f"{path} is not {template} of base-files"
    lines = (
        Path("/etc/environment").read_text(encoding="utf-8").splitlines() if Path("/etc/environment").exists() else []
    )
    yield from (f"/etc/environment sets {line}" for line in lines if not re.match(r"(#|$|(LANG|PATH)=)", line))
    authorities = set()
    for file in Path("/usr/share/ca-certificates").rglob("*.crt"):
        authorities |= _certificates(file)
    trusted = _certificates(Path("/etc/ssl/certs/ca-certificates.crt"))
    if trusted - authorities:
        yield f"the distribution trusts {len(trusted - authorities)} authorities that no package brought"
    if authorities - trusted:
        yield f"the distribution does not trust {len(authorities - trusted)} authorities of ca-certificates"


def _certificates(path: Path) -> set[str]:
    """The certificates in a PEM file, as text without white space."""
    text = path.read_text(encoding="utf-8", errors="replace")
    found = re.findall(r"-----BEGIN CERTIFICATE-----(.*?)-----END CERTIFICATE-----", text, re.DOTALL)
    return {"".join(certificate.split()) for certificate in found}
