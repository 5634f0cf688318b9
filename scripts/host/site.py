"""What this machine's site needs inside containers: its CAs, Python indexes and Debian mirror.

All of it enters builds and containers as files that never become part of a layer: `Site.written` makes them,
readable for their owner only, since index and mirror URLs may hold passwords, and removes them again.
"""

from __future__ import annotations

import base64
import contextlib
import importlib.util
import io
import os
import re
import shutil
import ssl
import subprocess
import tarfile
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from engine.commands import Mount
from host import apt
from host.apt import Settings, netrc_logins, with_login, written_into
from portable import errors, places, scratch
from portable.environment import CA_VARIABLES, PIP_LISTS, PIP_PLACES, pip_settings, system_bundle

DISTRIBUTION_CAS = "/usr/share/ca-certificates"  # what Debian's ca-certificates package itself brings
PROXY_VARIABLES = ("http_proxy", "https_proxy", "ftp_proxy", "no_proxy", "all_proxy")

UV_FILE = Path("/etc/uv/uv.toml")
CARRIED = ("index-url", "proxy", "timeout", "retries", *PIP_LISTS)  # of pip's settings: what makes sense in a container

DEBIAN_SUITES = {"12": "bookworm", "13": "trixie"}
APT_IN_BUILDS = Path("/dev/shm/manylinux-apt")  # in memory: what lies there is in no layer
DEBIAN_KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"

_CERTIFICATE = re.compile(r"-----BEGIN CERTIFICATE-----(.*?)-----END CERTIFICATE-----", re.DOTALL)
_LOGIN = re.compile(r"(?m)(//|^|(?<=\s))[^/?#\s]*@")  # up to the last @: a password may hold one


# --- Certificate authorities --------------------------------------------------------------------------------


def ca_bundle(option: Path | None = None, env: Mapping[str, str] = os.environ) -> Path | None:
    """The PEM file with the CAs that containers must trust; None where their own are enough.

    `option`, else the first of CA_VARIABLES that is set, else the system's bundle if it holds CAs that certifi
    lacks. Where there is no certifi to compare with, a bundle counts when it holds more than the distribution's
    own package of CAs brings, or when that cannot be told. Raises UserError for a file that is missing, holds no
    certificate or one that cannot be read, or holds a private key, since containers would get it, too."""
    named = [(str(option), "--ca-bundle")] if option else [(env[key], key) for key in CA_VARIABLES if env.get(key)]
    if named:
        path, source = named[0]
        text = _readable(path, source)
        if not certificates(text):
            raise errors.UserError(f"{source}={path}: no PEM certificate in that file")
        if "PRIVATE KEY-----" in text:
            raise errors.UserError(f"{source}={path} holds a private key: name a file with the certificates alone")
        try:
            ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(cadata=_only_certificates(text))
        except (ssl.SSLError, ValueError) as error:
            raise errors.UserError(f"{source}={path}: a certificate in that file cannot be read: {error}") from None
        return Path(path).resolve()
    system = system_bundle()
    if system is None:
        return None
    known = certifi_cas(system) or distribution_cas()
    return system if certificates(_read(system)) - known else None


def certificates(text: str) -> frozenset[str]:
    """The certificates of a PEM text, each as its base64 without white space."""
    return frozenset("".join(body.split()) for body in _CERTIFICATE.findall(text))


def _only_certificates(text: str) -> str:
    """A PEM text without what else stands there."""
    return "".join(f"{match[0]}\n" for match in _CERTIFICATE.finditer(text))


def certifi_cas(system: Path) -> frozenset[str]:
    """certifi's certificates, pip's copy of it failing that; empty without either.

    Debian's packages of both only point to the system's bundle, which says nothing about what is added there."""
    for name in ("certifi", "pip._vendor.certifi"):
        with contextlib.suppress(ImportError):
            spec = importlib.util.find_spec(name)
            bundle = Path(spec.origin).with_name("cacert.pem") if spec and spec.origin else system
            if bundle.is_file() and bundle.resolve() != system.resolve():
                return certificates(_read(bundle))
    return frozenset()


def distribution_cas() -> frozenset[str]:
    """The certificates that the distribution's own package of CAs brings, without what is added here."""
    return frozenset().union(*(certificates(_read(path)) for path in Path(DISTRIBUTION_CAS).rglob("*.crt")))


def _read(path: Path) -> str:
    return path.read_text(encoding="utf-8", errors="replace")


def _readable(path: str, source: str) -> str:
    try:
        return _read(Path(path))
    except OSError as error:
        raise errors.UserError(f"{source}={path}: {error.strerror}; name a PEM file") from None


# --- Python indexes -----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Index:
    """pip's settings as they make sense in a container, and the places that exist on this machine only."""

    settings: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    left_out: tuple[str, ...] = ()

    def pip_conf(self) -> str:
        """As a pip.conf; empty when there is nothing to say."""
        lines = [f"{key} = " + "\n    ".join(values) for key, values in self.settings.items()]
        return "\n".join(["[global]", *lines, ""]) if lines else ""


def index_settings(env: Mapping[str, str] = os.environ) -> Index:
    """Index settings of this machine: pip's files and variables, then uv's for what pip's do not say.

    Later files override earlier ones as they do for pip. Passwords of a .netrc are written into the URLs."""
    home = places.home(env) or Path("/")
    pip, uv = pip_settings(env), uv_settings(env)
    merged = {key: pip.get(key) or uv.get(key) or () for key in CARRIED}
    left_out = tuple(dict.fromkeys(v for key in PIP_PLACES for v in merged[key] if not _elsewhere(v)))
    passwords = netrc_logins([Path(env.get("NETRC") or home / ".netrc")])
    kept: dict[str, tuple[str, ...]] = {}
    for key, values in merged.items():
        if key in PIP_PLACES:
            values = tuple(with_login(v, passwords) for v in values if _elsewhere(v))
        if values:
            kept[key] = values
    return Index(kept, left_out)


def uv_settings(env: Mapping[str, str] = os.environ) -> dict[str, tuple[str, ...]]:
    """Where uv's files and variables say that packages are, by pip's names of the settings."""
    home = places.home(env) or Path("/")
    config = Path(env.get("XDG_CONFIG_HOME") or home / ".config")
    files = [UV_FILE, config / "uv" / "uv.toml"]
    if env.get("UV_CONFIG_FILE"):
        files = [Path(env["UV_CONFIG_FILE"])]
    if env.get("UV_NO_CONFIG"):
        files = []
    found: dict[str, tuple[str, ...]] = {}
    for path in files:
        with contextlib.suppress(OSError, tomllib.TOMLDecodeError, UnicodeDecodeError):
            found |= _uv_values(tomllib.loads(path.read_text(encoding="utf-8")), env)
    default = env.get("UV_DEFAULT_INDEX") or env.get("UV_INDEX_URL")
    more = (env.get("UV_INDEX", "") + " " + env.get("UV_EXTRA_INDEX_URL", "")).split()
    links = env.get("UV_FIND_LINKS", "").replace(",", " ").split()
    hosts = env.get("UV_INSECURE_HOST", "").split()
    named = {"extra-index-url": more, "find-links": links, "trusted-host": hosts}
    found |= {"index-url": (_uv_index(default, env),)} if default else {}
    found |= {key: tuple(_uv_index(v, env) for v in values) for key, values in named.items() if values}
    return found


def _uv_values(table: Mapping[str, Any], env: Mapping[str, str]) -> dict[str, tuple[str, ...]]:
    found: dict[str, list[str]] = {}
    for scope in (table, table.get("pip", {})):
        if isinstance(scope.get("index-url"), str):
            found["index-url"] = [scope["index-url"]]
        for key, theirs in (
            ("extra-index-url",) * 2,
            ("find-links",) * 2,
            ("trusted-host", "allow-insecure-host"),
        ):
            if scope.get(theirs):
                found[key] = [str(value) for value in scope[theirs]]
    for row in table.get("index", []):
        name, url = str(row.get("name", "")), str(row.get("url", ""))
        url = _uv_index(f"{name}={url}" if name else url, env)
        if row.get("default"):
            found["index-url"] = [url]
        elif not row.get("explicit"):
            found.setdefault("extra-index-url", []).append(url)
    return {key: tuple(values) for key, values in found.items()}


def _uv_index(text: str, env: Mapping[str, str]) -> str:
    """The URL of `name=url` or `url`, with what UV_INDEX_<NAME>_USERNAME and _PASSWORD say."""
    match = re.match(r"(?P<name>[A-Za-z0-9._-]+)=(?P<url>.+)", text)
    if not match:
        return text
    prefix = "UV_INDEX_" + re.sub(r"[^A-Z0-9]", "_", match["name"].upper())
    user, password = env.get(f"{prefix}_USERNAME", ""), env.get(f"{prefix}_PASSWORD", "")
    return written_into(match["url"], user, password) if user or password else match["url"]


def _elsewhere(place: str) -> bool:
    """Whether an index or a directory of files can also be reached from a container."""
    return urlsplit(place).scheme in ("http", "https")


# --- Debian's mirror ----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Mirror:
    """Where this machine gets Debian from; `options` go into every line, as in "check-valid-until=no".

    `own` and `keys`, by pocket ("" for the suite itself): options of its source, and the keys that sign it instead of
    Debian's; `settings`: how apt reaches it."""

    main: str
    updates: str
    security: str
    options: tuple[str, ...] = ()
    own: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    keys: Mapping[str, bytes] = field(default_factory=dict, repr=False)
    settings: Settings = field(default_factory=Settings)

    def lines(self, suite: str, architecture: str = "", directory: Path | None = None) -> tuple[str, ...]:
        """The sources of a suite, one a line: the suite itself, its updates and its security updates.

        `directory`: where the `files` lie for the apt that reads this."""
        found = []
        for pocket, url in (("", self.main), ("updates", self.updates), ("security", self.security)):
            key = directory / _key_file(pocket) if directory and pocket in self.keys else DEBIAN_KEYRING
            options = [*self.options, *self.own.get(pocket, ()), f"signed-by={key}"]
            options += [f"arch={architecture}"] if architecture else []
            release = "-".join(filter(None, (suite, pocket)))
            found += [f"deb [{' '.join(options)}] {url} {release} main"] if url else []
        return tuple(found)

    def files(self, directory: Path) -> dict[str, bytes]:
        """What an apt needs besides its sources, as it lies in `directory` there: apt.conf, certificates, keys."""
        conf, found = self.settings.conf(directory)
        found |= {_key_file(pocket): keys for pocket, keys in self.keys.items()}
        return {**found, "apt.conf": conf.encode()} if conf else found

    def secret(self, suite: str) -> str:
        """The sources for a build, with the files in comments: docker/build_scripts/debian.sh unpacks them."""
        buffer = io.BytesIO()
        files = self.files(APT_IN_BUILDS)
        with tarfile.open(fileobj=buffer, mode="w") as tar:
            for name, content in files.items():
                member = tarfile.TarInfo(name)
                member.size, member.mode = len(content), 0o600
                tar.addfile(member, io.BytesIO(content))
        packed = base64.encodebytes(buffer.getvalue()).decode().splitlines() if files else []
        comments = [f"#site {line}" for line in packed]
        return "\n".join((*self.lines(suite, directory=APT_IN_BUILDS), *comments, ""))


def _key_file(pocket: str) -> str:
    return f"keys-{pocket or 'main'}.gpg"


def usable(whole: Mirror, suite: str, architecture: str) -> tuple[Mirror, tuple[str, ...]]:
    """The mirror without the pockets of a suite that apt cannot use for an architecture, and what to say about it.

    A mirror that is synchronising, or that caches, may hold indices that do not match what is signed."""
    notes: list[str] = []

    def checked(pocket: str, alone: Mirror) -> str:
        sources = "\n".join(alone.lines(suite, architecture, directory))
        if sources and (reason := _apt_failure(sources, architecture)):
            notes.append(f"the mirror's {suite}-{pocket} is left out, as apt cannot use it ({architecture}): {reason}")
            return ""
        return alone.updates or alone.security

    if not shutil.which("apt-get"):
        return whole, ()
    with scratch.directory() as directory:
        write_files(whole, directory)
        updates = checked("updates", replace(whole, main="", security=""))
        security = checked("security", replace(whole, main="", updates=""))
    return replace(whole, updates=updates, security=security), tuple(notes)


def _apt_failure(sources: str, architecture: str) -> str:
    """Why `apt-get update` fails with these sources alone; empty when it does not."""
    with scratch.directory() as directory:
        for below in ("lists/partial", "cache/archives/partial"):
            Path(directory, below).mkdir(parents=True)
        listed = _secret(Path(directory, "sources"), sources + "\n")
        settings = {
            "Dir::Etc::sourcelist": str(listed),
            "Dir::Etc::sourceparts": "-",
            "Dir::State::lists": f"{directory}/lists",
            "Dir::Cache": f"{directory}/cache",
            "APT::Architecture": architecture,
            "APT::Architectures": architecture,
            "APT::Sandbox::User": "root",
            "APT::Update::Error-Mode": "any",
        }
        options = [word for key, value in settings.items() for word in ("-o", f"{key}={value}")]
        argv = ["apt-get", "update", "--quiet", *options]
        done = subprocess.run(argv, capture_output=True, text=True)
    said = [line.strip() for line in (done.stdout + done.stderr).splitlines()]
    found = [said[i + 1] for i, line in enumerate(said[:-1]) if line.startswith("Err:")]
    return (found or said[-1:] or ["it failed"])[0] if done.returncode else ""


def write_files(mirror: Mirror, directory: Path) -> None:
    """Puts the files of the mirror where an apt of this machine finds them."""
    for name, content in mirror.files(directory).items():
        _secret(directory / name, content)


def debian_suite(distribution: str) -> str:
    """The code name of a distribution of the table ("debian-12"); empty for anything but Debian."""
    name, _, release = distribution.partition("-")
    return DEBIAN_SUITES[release] if name == "debian" and release in DEBIAN_SUITES else ""


def debian_architecture() -> str:
    """This machine's architecture in Debian's spelling; empty elsewhere."""
    try:
        return _output("dpkg", "--print-architecture").strip()
    except (OSError, subprocess.CalledProcessError):
        return ""


def mirror() -> Mirror | None:
    """The Debian mirror of this machine; None on another distribution, unless one is named, or without any."""
    if _os_release().get("ID") != "debian" and not os.environ.get(apt.MIRROR_VARIABLE):
        return None  # their suites may have the same names
    return mirror_of(apt.read())


def mirror_of(settings: Settings, trusted: bytes | None = None) -> Mirror | None:
    """The mirror that apt's settings come to; None if no archive is reached over the network.

    `trusted`: the keys for sources that name none, those of this machine by default."""
    places = [place for place in settings.places if place.root.startswith(("http:", "https:"))]
    chosen = {pocket: next((p for p in places if pocket in p.pockets), None) for pocket in ("", "updates", "security")}
    if (main := chosen[""]) is None:
        return None
    chosen["updates"] = chosen["updates"] or main
    trusted = apt.trusted_keys() if trusted is None else trusted
    own, keys = {}, {}
    for pocket, place in chosen.items():
        if place is None:
            continue
        if place.options:
            own[pocket] = tuple(f"{name}={value}" for name, value in place.options.items())
        if place.signed_by is not None:
            keys[pocket] = place.signed_by
        elif trusted:
            keys[pocket] = trusted + apt.debian_keys()
    updates, security = (place.root if place else "" for place in (chosen["updates"], chosen["security"]))
    options = tuple(f"{name}=no" for name in settings.checks_off)
    return Mirror(main.root, updates, security, options, own, keys, settings)


def _output(*argv: str) -> str:
    return subprocess.run(argv, capture_output=True, text=True, check=True).stdout


def _os_release() -> dict[str, str]:
    with contextlib.suppress(OSError):
        text = Path("/etc/os-release").read_text(encoding="utf-8")
        return {k: v.strip('"') for k, _, v in (line.partition("=") for line in text.splitlines())}
    return {}


# --- All of it ----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Site:
    """What containers need from this machine; any of it may be missing."""

    ca: Path | None = None
    index: Index = Index()
    mirror: Mirror | None = None
    proxies: tuple[str, ...] = ()  # names of variables, since their values may hold passwords

    def notes(self) -> tuple[str, ...]:
        """What a person should know about it, one a line."""
        notes = [f"trusting the CAs of {self.ca}"] if self.ca else []
        if self.index.left_out:
            places = without_logins(", ".join(self.index.left_out))
            notes.append(f"index settings that name places on this machine are left out in containers: {places}")
        return tuple(notes)

    def reach(self) -> tuple[str, int] | None:
        """A host and port that builds will connect to, to find a network that works; None if nobody says."""
        urls = [os.environ[name] for name in self.proxies if name.lower() in ("https_proxy", "http_proxy")]
        if self.mirror:
            urls += [self.mirror.settings.proxy(self.mirror.main) or self.mirror.main]
        urls += self.index.settings.get("index-url", ())
        urls.sort(key=lambda url: "127.0.0.1" not in url and "localhost" not in url)  # which few networks reach
        for url in urls:
            parts = urlsplit(url if "//" in url else f"//{url}", scheme="http")
            if parts.hostname:
                return parts.hostname, parts.port or (443 if parts.scheme == "https" else 80)
        return None

    @contextlib.contextmanager
    def written(self, suite: str = "") -> Iterator[dict[str, Path]]:
        """Build secrets: id -> file, in a directory of ours that goes afterwards. `suite`: a Debian image's."""
        with scratch.directory() as directory:
            yield {name: _secret(Path(directory, name), text) for name, text in self.secrets(suite).items()}

    @contextlib.contextmanager
    def pip_conf_mount(self) -> Iterator[list[Mount]]:
        """pip's settings as the /etc/pip.conf of a container without a network, where any user must read them.

        Links are left out: pip would ask for them again and again."""
        text = Index({k: v for k, v in self.index.settings.items() if k != "find-links"}).pip_conf()
        with scratch.directory() as directory:
            path = _secret(Path(directory, "pip.conf"), text)
            path.chmod(0o644)  # the directory is closed to others
            yield [Mount(path, "/etc/pip.conf")] if text else []

    def secrets(self, suite: str = "") -> dict[str, str]:
        """Build secrets: id -> text; only those there are."""
        texts = {
            "ca": _only_certificates(_read(self.ca)) if self.ca else "",
            "pip": self.index.pip_conf(),
            "apt": self.mirror.secret(suite) if self.mirror and suite else "",
        }
        return {name: text for name, text in texts.items() if text}


def without_logins(text: str) -> str:
    """For people: the text without the user names and passwords of its URLs, whatever their scheme."""
    return _LOGIN.sub(r"\1", text)


def mounts(secrets: Mapping[str, Path]) -> list[Mount]:
    """The secrets of `Site.written` where a build has them, for a container that only runs."""
    return [Mount(path, f"/run/secrets/{name}") for name, path in secrets.items()]


def container_env(secrets: Mapping[str, Path]) -> dict[str, str]:
    """The variables that make pip and others in such a container use them."""
    env = dict.fromkeys(CA_VARIABLES, "/run/secrets/ca") if "ca" in secrets else {}
    return env | ({"PIP_CONFIG_FILE": "/run/secrets/pip"} if "pip" in secrets else {})


def _secret(path: Path, text: str | bytes) -> Path:
    path.touch(mode=0o600, exist_ok=False)
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def load(ca_option: Path | None = None) -> Site:
    """The settings of this machine. Raises UserError for a CA file that is missing or holds no certificate."""
    spelled = [name for variable in PROXY_VARIABLES for name in (variable, variable.upper())]
    proxies = tuple(name for name in spelled if os.environ.get(name))
    return Site(ca_bundle(ca_option), index_settings(), mirror(), proxies)
