"""What this machine's site needs inside containers: its CAs, Python indexes and Debian mirror.

All of it enters builds and containers as files that never become part of a layer: `Site.written` makes them,
readable for their owner only because index and mirror URLs may hold passwords, and removes them again.
"""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from engine.commands import Mount
from host import authorities, indexes
from host.indexes import Indexes
from host.mirror import Mirror
from portable import files, scratch
from portable.environment import CA_VARIABLES

PROXY_VARIABLES = ("http_proxy", "https_proxy", "ftp_proxy", "no_proxy", "all_proxy")

_LOGIN = re.compile(r"(?m)(//|^|(?<=\s))[^/?#\s]*@")  # up to the last @: a password may hold one


@dataclass(frozen=True)
class Site:
    """What containers need from this machine; any of it may be missing."""

    ca: Path | None = None
    indexes: Indexes = field(default_factory=Indexes)
    mirror: Mirror | None = None
    proxies: tuple[str, ...] = ()  # names of variables, since their values may hold passwords

    def notes(self) -> tuple[str, ...]:
        """What a person should know about the settings, one text a line."""
        notes = [f"trusting the CAs of {self.ca}"] if self.ca else []
        if self.indexes.left_out:
            places = without_logins(", ".join(self.indexes.left_out))
            notes.append(f"index settings that name places on this machine are left out in containers: {places}")
        return tuple(notes)

    def reach(self) -> tuple[str, int] | None:
        """Host and port of a place that builds will connect to, for probing networks; None if none is configured."""
        urls = [os.environ[name] for name in self.proxies if name.lower() in ("https_proxy", "http_proxy")]
        if self.mirror:
            urls += [self.mirror.settings.proxy(self.mirror.main) or self.mirror.main]
        urls += self.indexes.settings.get("index-url", ())
        urls.sort(key=lambda url: "127.0.0.1" not in url and "localhost" not in url)  # which few networks reach
        for url in urls:
            parts = urlsplit(url if "//" in url else f"//{url}", scheme="http")
            if parts.hostname:
                return parts.hostname, parts.port or (443 if parts.scheme == "https" else 80)
        return None

    @classmethod
    def of_this_machine(cls, ca_option: Path | None = None) -> Site:
        """The settings of this machine. Raises UserError for a CA file that is missing or has no certificate."""
        spelled = [name for variable in PROXY_VARIABLES for name in (variable, variable.upper())]
        proxies = tuple(name for name in spelled if os.environ.get(name))
        return cls(authorities.bundle(ca_option), indexes.read(), Mirror.of_this_machine(), proxies)

    @contextlib.contextmanager
    def written(self, suite: str = "") -> Iterator[dict[str, Path]]:
        """Build secrets: id -> file, in a directory that is removed afterwards. `suite`: that of a Debian image."""
        with scratch.directory() as directory:
            yield {name: files.write_private(directory / name, text) for name, text in self.secrets(suite).items()}

    @contextlib.contextmanager
    def pip_conf_mount(self) -> Iterator[list[Mount]]:
        """pip's settings as the /etc/pip.conf of a container without a network; every user can read it.

        find-links is left out: pip would try to reach those pages again and again."""
        text = Indexes({k: v for k, v in self.indexes.settings.items() if k != "find-links"}).pip_conf()
        with scratch.directory() as directory:
            path = files.write_private(directory / "pip.conf", text)
            path.chmod(0o644)  # the directory is closed to others
            yield [Mount(path, "/etc/pip.conf")] if text else []

    def secrets(self, suite: str = "") -> dict[str, str]:
        """Build secrets: id -> text, without those that are empty."""
        pem = self.ca.read_text(encoding="utf-8", errors="replace") if self.ca else ""
        texts = {
            "ca": authorities.only_certificates(pem),
            "pip": self.indexes.pip_conf(),
            "apt": self.mirror.secret(suite) if self.mirror and suite else "",
        }
        return {name: text for name, text in texts.items() if text}


def without_logins(text: str) -> str:
    """The text, for people, without the user names and passwords of its URLs, whatever their scheme."""
    return _LOGIN.sub(r"\1", text)


def secret_mounts(secrets: Mapping[str, Path]) -> list[Mount]:
    """Mounts the secrets of `Site.written` into a container where builds have them."""
    return [Mount(path, f"/run/secrets/{name}") for name, path in secrets.items()]


def container_env(secrets: Mapping[str, Path]) -> dict[str, str]:
    """The variables with which pip and other programs in such a container use the secrets."""
    env = dict.fromkeys(CA_VARIABLES, "/run/secrets/ca") if "ca" in secrets else {}
    return env | ({"PIP_CONFIG_FILE": "/run/secrets/pip"} if "pip" in secrets else {})
