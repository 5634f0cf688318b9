"""The Python indexes of this machine, as containers may use them: from the settings of pip, of uv, and a .netrc."""

from __future__ import annotations

import contextlib
import os
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from host.apt import netrc_logins, with_login, written_into
from portable import places
from portable.environment import PIP_LISTS, PIP_PLACES, pip_settings

UV_FILE = Path("/etc/uv/uv.toml")
CARRIED = ("index-url", "proxy", "timeout", "retries", *PIP_LISTS)  # of pip's settings: what makes sense in a container


@dataclass(frozen=True)
class Indexes:
    """pip's settings as they make sense in a container, and the places that exist on this machine only."""

    settings: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    left_out: tuple[str, ...] = ()

    def pip_conf(self) -> str:
        """As a pip.conf; empty when there is nothing to say."""
        lines = [f"{key} = " + "\n    ".join(values) for key, values in self.settings.items()]
        return "\n".join(["[global]", *lines, ""]) if lines else ""


def read(env: Mapping[str, str] = os.environ) -> Indexes:
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
    return Indexes(kept, left_out)


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
