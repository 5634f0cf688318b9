"""Which of the caller's settings reach the programs that we start: package indexes, proxies and CAs.

All other settings of pip, and those of Python, are dropped, whether a variable or a file has them: `user = true` or
PYTHONHOME would break what we start. Standard library only; images carry this module.
"""

from __future__ import annotations

import configparser
import contextlib
import os
from collections.abc import Iterable, Mapping, MutableMapping
from pathlib import Path

from portable import errors, places

# Each names a PEM bundle for some program. The first one that is set counts for all programs.
CA_VARIABLES = ("SSL_CERT_FILE", "PIP_CERT", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")
SYSTEM_BUNDLES = (
    "/etc/ssl/certs/ca-certificates.crt",  # Debian, Alpine, Arch
    "/etc/pki/tls/certs/ca-bundle.crt",  # RHEL family
    "/etc/ssl/ca-bundle.pem",  # SUSE
    "/etc/ssl/cert.pem",  # macOS, the BSDs
)

PIP_FILE = Path("/etc/pip.conf")
PIP_PLACES = ("index-url", "extra-index-url", "find-links")
PIP_LISTS = ("extra-index-url", "find-links", "trusted-host")
PIP_VALUES = (
    *("index-url", "no-index", "proxy", "timeout", "retries", "keyring-provider", "no-cache-dir"),
    *("cert", "client-cert", "cache-dir"),
)


def ca_bundle(env: Mapping[str, str] = os.environ) -> Path | None:
    """The CA bundle that the environment names, if any. Raises UserError if it does not exist."""
    for name in CA_VARIABLES:
        if env.get(name):
            if not Path(env[name]).exists():
                raise errors.UserError(f"{name}={env[name]}: no such file; name a PEM file")
            return Path(env[name])
    return None


def system_bundle() -> Path | None:
    """The distribution's bundle of CAs, if there is one."""
    return next((path for path in map(Path, SYSTEM_BUNDLES) if path.is_file()), None)


def trusting(env: Mapping[str, str], bundle: Path | None = None) -> dict[str, str]:
    """The environment in which every program trusts the same CAs: those that CA_VARIABLES name, else `bundle`.

    PIP_CERT is not set: without it, pip reads REQUESTS_CA_BUNDLE, and its own configuration before that.
    Raises UserError if the named bundle does not exist."""
    chosen = ca_bundle(env) or bundle
    missing = [name for name in CA_VARIABLES if name != "PIP_CERT" and not env.get(name)]
    return {**env, **(dict.fromkeys(missing, str(chosen)) if chosen else {})}


def forget_python(env: MutableMapping[str, str] = os.environ) -> None:
    """Removes the settings of Python: PYTHONHOME, PYTHONPATH, PYTHONSAFEPATH and the like."""
    for name in [name for name in env if name.startswith("PYTHON")]:
        del env[name]


def for_pip(env: Mapping[str, str] = os.environ) -> dict[str, str]:
    """The environment for running any pip. Raises UserError if a CA bundle that it names does not exist."""
    kept = {name: value for name, value in trusting(env).items() if not name.startswith("PIP_")}
    forget_python(kept)
    kept |= {f"PIP_{key.upper().replace('-', '_')}": " ".join(values) for key, values in pip_settings(env).items()}
    quiet = {"PIP_DISABLE_PIP_VERSION_CHECK": "1", "PIP_ROOT_USER_ACTION": "ignore"}
    return kept | quiet | {"PIP_CONFIG_FILE": os.devnull}  # its files have been read here


def pip_settings(env: Mapping[str, str] = os.environ) -> dict[str, tuple[str, ...]]:
    """PIP_VALUES and PIP_LISTS as pip's files and variables set them. Later files override earlier ones, as for pip."""
    home = places.home(env) or Path("/")
    config = Path(env.get("XDG_CONFIG_HOME") or home / ".config")
    shared = [Path(d) for d in (env.get("XDG_CONFIG_DIRS") or "/etc/xdg").split(":") if d]
    files = [*(directory / "pip" / "pip.conf" for directory in shared), PIP_FILE]
    chosen = env.get("PIP_CONFIG_FILE", "")
    if not Path(chosen).is_file():
        files += [home / ".pip" / "pip.conf", config / "pip" / "pip.conf"]
    files += [Path(env["VIRTUAL_ENV"], "pip.conf")] if env.get("VIRTUAL_ENV") else []
    files = [] if chosen == os.devnull else [*files, Path(chosen or os.devnull)]
    found: dict[str, tuple[str, ...]] = {}
    for path in files:
        parser = configparser.RawConfigParser()
        with contextlib.suppress(configparser.Error, OSError, UnicodeDecodeError):
            parser.read(path, encoding="utf-8")
        for section in ("global", "install"):
            if parser.has_section(section):
                found |= _pip_values(parser.items(section))
    return found | _pip_values((key[4:], value) for key, value in env.items() if key.startswith("PIP_") and value)


def _pip_values(items: Iterable[tuple[str, str]]) -> dict[str, tuple[str, ...]]:
    found: dict[str, tuple[str, ...]] = {}
    for key, value in items:
        name = key.lower().replace("_", "-").removeprefix("--").removeprefix("default-")
        if name in PIP_VALUES:
            found[name] = (value.strip(),)
        elif name in PIP_LISTS:
            found[name] = tuple(value.split())
    return found
