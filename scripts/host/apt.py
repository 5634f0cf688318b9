"""The one reader of apt's configuration: how this machine reaches Debian's archive, and which keys it trusts.

Sources in both formats of sources.list(5) with their options, the settings of apt.conf(5) below Acquire (proxies,
certificates), and the logins of apt_auth.conf(5). Standard library only.
"""

from __future__ import annotations

import base64
import contextlib
import netrc
import os
import re
import shlex
import shutil
import subprocess
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from urllib.parse import quote, urlsplit, urlunsplit

from portable import errors

MIRROR_VARIABLE = "MANYLINUX_DEBIAN_MIRROR"
APT = Path("/etc/apt")
CODE_NAMES = ("bullseye", "bookworm", "trixie", "forky", "duke", "sid", "experimental")
ALIASES = frozenset({"oldoldstable", "oldstable", "stable", "testing", "unstable"})
POCKETS = ("", "updates", "backports", "security", "proposed-updates")
COMPONENT = "main"
KEYRINGS = tuple(Path(f"/usr/share/keyrings/debian-archive-keyring.{suffix}") for suffix in ("pgp", "gpg"))
# Options of a source that say how far it is trusted; the others choose among what it has.
TRUST = ("trusted", "check-valid-until", "check-date", "valid-until-min", "valid-until-max", "date-max-future",
         "allow-insecure", "allow-weak", "allow-downgrade-to-insecure", "by-hash")  # fmt: skip
FILES = ("cainfo", "crlfile", "sslcert", "sslkey", "issuercert")  # settings of Acquire::https that name a file
AUTO_DETECT = ("proxy-auto-detect", "proxyautodetect")  # settings of Acquire::http that name a program

_OPTION = re.compile(r"([A-Za-z-]+)([+-]?)=(\"[^\"]*\"|\S*)")
_ARMOR = re.compile(rb"-----BEGIN PGP PUBLIC KEY BLOCK-----\r?\n(.*?)-----END PGP PUBLIC KEY BLOCK-----", re.DOTALL)


@dataclass(frozen=True)
class AptSource:
    """A root of Debian's archive, with a login where there is one, and how apt uses it.

    `pockets`: what apt takes from there: "" for the suites themselves, "updates", "security" and so on;
    `options`: those of TRUST; `signed_by`: the only keys that may sign its index, None for all that apt trusts."""

    root: str
    pockets: frozenset[str]
    options: Mapping[str, str] = field(default_factory=dict)
    signed_by: bytes | None = None

    @property
    def trusted(self) -> bool:
        """Whether apt accepts its index without a signature."""
        return self.options.get("trusted", "no").lower() in ("yes", "true", "on", "1")


@dataclass(frozen=True)
class AptSettings:
    """What is configured. `acquire`: name -> value of the settings below Acquire::http and Acquire::https."""

    sources: tuple[AptSource, ...] = ()
    acquire: Mapping[str, str] = field(default_factory=dict)
    checks_off: tuple[str, ...] = ()  # options of TRUST that apt.conf switches off for all sources

    def get(self, name: str, host: str = "") -> str:
        """A setting below Acquire, such as https::CAInfo; "" if it is not set. A host's own overrides the others."""
        scheme, _, key = name.partition("::")
        known = {each.lower(): value for each, value in self.acquire.items()}
        names = [f"{scheme}::{host}::{key}", f"{scheme}::{key}::{host}"] if host else []  # the second for proxies
        found = (known.get(f"acquire::{each}".lower(), "") for each in (*names, f"{scheme}::{key}"))
        return next((value for value in found if value), "")

    def proxy(self, url: str) -> str | None:
        """The proxy that apt uses for a URL: "" for a direct connection, None where apt.conf sets nothing."""
        parts = urlsplit(url)
        said = self.get(f"{parts.scheme}::Proxy", parts.hostname or "")
        for key in AUTO_DETECT:
            program = self.get(f"{parts.scheme}::{key}") or self.get(f"http::{key}")
            if program and not said:
                with contextlib.suppress(OSError, subprocess.TimeoutExpired):
                    done = subprocess.run([program, url], capture_output=True, text=True, timeout=10)
                    said = done.stdout.strip()
        return "" if said == "DIRECT" else said or None

    def proxies(self) -> dict[str, str]:
        """Scheme -> proxy ("" for a direct connection) of the archives, as far as apt.conf sets one."""
        found: dict[str, str] = {}
        for source in self.sources or (AptSource("http://", frozenset()), AptSource("https://", frozenset())):
            if (proxy := self.proxy(source.root)) is not None:
                found.setdefault(urlsplit(source.root).scheme, proxy)
        return found

    def certificates(self) -> Path | None:
        """The file with the CAs that apt uses for the archives; None where it uses the system's."""
        for source in self.sources:
            said = self.get("https::CAInfo", urlsplit(source.root).hostname or "")
            if said and source.root.startswith("https:"):
                return Path(said)
        return None

    def conf(self, directory: Path) -> tuple[str, dict[str, bytes]]:
        """These settings for an apt elsewhere: its apt.conf, and name -> content of the files that it refers to.

        `directory`: where that apt finds the files. A proxy that a program of this machine detects is written as a
        setting. A file that cannot be read is left out."""
        lines: list[str] = []
        files: dict[str, bytes] = {}
        for name, value in self.acquire.items():
            key = name.lower().rpartition("::")[2]
            if key in AUTO_DETECT or '"' in value:
                continue
            if key in FILES:
                if not (content := _bytes(Path(value))):
                    continue
                value = str(directory / f"file-{len(files)}")
                files[Path(value).name] = content
            lines.append(f'{name} "{value}";')
        if any(name.lower().endswith(AUTO_DETECT) for name in self.acquire):
            for source in self.sources:
                parts = urlsplit(source.root)
                proxy = self.proxy(source.root)
                lines.append(f'Acquire::{parts.scheme}::Proxy::{parts.hostname} "{proxy or "DIRECT"}";')
        return "".join(f"{line}\n" for line in dict.fromkeys(lines)), files


def read(environment: Mapping[str, str] | None = None, apt: Path = APT) -> AptSettings:
    """The settings of this machine. The sources are those of $MANYLINUX_DEBIAN_MIRROR (roots, separated by spaces),
    else apt's; there are none when neither names an archive of Debian.

    Raises UserError for a root that is not an http or https address."""
    environment = os.environ if environment is None else environment
    named = environment.get(MIRROR_VARIABLE, "").split()
    if wrong := [root for root in named if not re.fullmatch(r"https?://[^/\s]+(/\S*)?", root)]:
        raise errors.UserError(
            f"{MIRROR_VARIABLE}: {wrong[0]!r} is not an http or https address: give one such as "
            "http://mirror.example.org/debian"
        )
    passwords = logins(apt)
    acquire, off = _acquire()
    if named:
        found = [AptSource(root.rstrip("/"), frozenset({"security" if "security" in root else ""})) for root in named]
    else:
        found = list(_debian_sources(apt))
    sources = tuple(replace(source, root=with_login(source.root, passwords)) for source in found)
    return AptSettings(sources, acquire, off)


def private_options(directory: Path, settings: Mapping[str, str] | None = None) -> list[str]:
    """apt-get's options for a run that keeps lists and packages in `directory` and fails if any index does.

    Makes the directories that apt expects there. `settings`: further ones."""
    for below in ("lists/partial", "cache/archives/partial"):
        (directory / below).mkdir(parents=True)
    own = {"Dir::State::lists": f"{directory}/lists", "Dir::Cache": f"{directory}/cache"}
    own |= {"APT::Sandbox::User": "root", "APT::Update::Error-Mode": "any"}
    return [word for name, value in {**own, **(settings or {})}.items() for word in ("-o", f"{name}={value}")]


def trusted_keys(apt: Path = APT) -> bytes:
    """The keys that apt trusts for every source, without those of Debian's own package; b"" where there are none."""
    files = [apt / "trusted.gpg", *sorted((apt / "trusted.gpg.d").glob("*"))]
    own = [path for path in files if not path.name.startswith("debian-archive-") and path.suffix in (".gpg", ".asc")]
    return b"".join(_key_file(path) for path in own)


def debian_keys() -> bytes:
    """The keys of the package debian-archive-keyring; b"" where it is not installed."""
    return next((_key_file(path) for path in KEYRINGS if path.is_file()), b"")


def binary_keys(text: bytes) -> bytes:
    """OpenPGP keys without their ASCII armor."""
    blocks = _ARMOR.findall(text)
    if not blocks:
        return text
    found = b""
    for block in blocks:
        lines = [line.strip() for line in block.splitlines()]
        body = [line for line in lines if line and line != b"." and b":" not in line and not line.startswith(b"=")]
        with contextlib.suppress(ValueError):
            found += base64.b64decode(b"".join(body), validate=True)
    return found


def logins(apt: Path = APT) -> dict[str, tuple[str, str]]:
    """Host -> user and password, as apt_auth.conf(5) has them."""
    return netrc_logins([apt / "auth.conf", *sorted((apt / "auth.conf.d").glob("*.conf"))])


def netrc_logins(files: Iterable[Path]) -> dict[str, tuple[str, str]]:
    """Host -> user and password of netrc files. In apt's files, a host may have a scheme and a path."""
    found = {}
    for path in files:
        with contextlib.suppress(OSError, netrc.NetrcParseError, UnicodeDecodeError):
            for machine, (login, _, password) in netrc.netrc(str(path)).hosts.items():
                if machine != "default":
                    found[machine.rpartition("://")[2].partition("/")[0]] = (login, password or "")
    return found


def with_login(url: str, passwords: Mapping[str, tuple[str, str]]) -> str:
    """The URL with the user and password of its host; unchanged if it has its own, or if there is none."""
    parts = urlsplit(url)
    if "@" in parts.netloc or (parts.hostname or "") not in passwords:
        return url
    return written_into(url, *passwords[parts.hostname or ""])


def written_into(url: str, user: str, password: str) -> str:
    """The URL with this user and password."""
    parts = urlsplit(url)
    login = quote(user, safe="") + (f":{quote(password, safe='')}" if password else "")
    return urlunsplit(parts._replace(netloc=f"{login}@{parts.netloc.rpartition('@')[2]}"))


def _acquire() -> tuple[dict[str, str], tuple[str, ...]]:
    """The settings below Acquire::http and Acquire::https, and the checks of TRUST that are off for all sources."""
    if not shutil.which("apt-config"):
        return {}, ()
    command = ["apt-config", "dump", "--format", "%F %v%n", "Acquire"]
    said = subprocess.run(command, capture_output=True, encoding="utf-8", errors="replace", check=False).stdout
    rows = [line.partition(" ") for line in said.splitlines()]
    known = {name: value for name, _, value in rows if value and not name.endswith("::")}
    no = ("false", "no", "0", "off", "without", "disable")
    checks = {name.lower().removeprefix("acquire::"): value for name, value in known.items()}
    off = tuple(name for name in ("check-valid-until", "check-date") if checks.get(name, "").lower() in no)
    wanted = {n: v for n, v in known.items() if n.lower().startswith(("acquire::http::", "acquire::https::"))}
    return wanted, off


def _debian_sources(apt: Path) -> Iterator[AptSource]:
    """apt's sources that have suites of Debian's main component."""
    for uri, suites, components, options in _sources(apt):
        pockets = {pocket for suite in suites if (pocket := _pocket(suite)) is not None}
        if COMPONENT in components and pockets:
            kept = {name: value for name, value in options.items() if name in TRUST}
            for root in _expand(uri):
                yield AptSource(root.rstrip("/"), frozenset(pockets), kept, _signed_by(options.get("signed-by", "")))


def _pocket(suite: str) -> str | None:
    """The pocket that the name of a suite stands for, "" for the suite itself; None for another distribution's."""
    code, _, pocket = suite.removesuffix("/updates").partition("-")
    if (code in CODE_NAMES or code in ALIASES) and pocket in POCKETS:
        return "security" if suite.endswith("/updates") else pocket
    return None


def _signed_by(value: str) -> bytes | None:
    """The keys of a Signed-By, which names files or holds the keys; None for Debian's keyring and for fingerprints."""
    if "-----BEGIN" in value:
        return binary_keys("\n".join(line.strip() for line in value.splitlines()).encode())
    paths = [Path(word) for word in re.split(r"[\s,]+", value) if word.startswith("/")]
    if not paths or all(path in KEYRINGS for path in paths):
        return None
    return b"".join(_key_file(path) for path in paths)


def _key_file(path: Path) -> bytes:
    return binary_keys(_bytes(path))


def _bytes(path: Path) -> bytes:
    with contextlib.suppress(OSError):
        return path.read_bytes()
    return b""


def _expand(uri: str) -> list[str]:
    """The archives behind one URI of apt; none for media and methods that do not download."""
    method, _, rest = uri.partition(":")
    if method == "mirror+file":
        lines = _bytes(Path("/" + rest.lstrip("/"))).decode(errors="replace").splitlines()
        return [line.split()[0] for line in lines if line.strip() and not line.startswith("#")]
    return [uri] if method in ("http", "https", "file") else []


def _sources(apt: Path) -> Iterator[tuple[str, list[str], list[str], dict[str, str]]]:
    """URI, suites, components and options (their names in lower case) of every enabled source."""
    parts = sorted((apt / "sources.list.d").glob("*"))
    for path in (apt / "sources.list", *parts):
        if path.suffix not in (".list", ".sources"):
            continue
        text = _bytes(path).decode(errors="replace")
        if path.suffix == ".list":
            for line in text.splitlines():
                match = re.match(r"\s*deb(?:-src)?\s+(?:\[([^]]*)\]\s+)?(.*)", line.partition("#")[0])
                words = shlex.split(match[2]) if match else []
                if match and len(words) >= 3:
                    options = {name.lower(): value.strip('"') for name, _, value in _OPTION.findall(match[1] or "")}
                    yield words[0], [words[1]], words[2:], options
            continue
        for paragraph in re.split(r"\n\s*\n", re.sub(r"(?m)^#.*\n", "", text)):
            fields = {name.lower(): value for name, value in stanza(paragraph)}
            if fields.get("enabled", "yes").strip().lower() in ("yes", "true", "1"):
                suites, components = fields.get("suites", "").split(), fields.get("components", "").split()
                for uri in fields.get("uris", "").split():
                    yield uri, suites, components, {name: value.strip() for name, value in fields.items()}


def stanza(paragraph: str) -> Iterator[tuple[str, str]]:
    """Field -> value of a deb822 paragraph; continuation lines keep their line breaks."""
    for match in re.finditer(r"^(?P<name>[^\s:#]+):[ \t]*(?P<value>.*(?:\n[ \t].*)*)", paragraph, re.MULTILINE):
        yield match["name"], match["value"]
