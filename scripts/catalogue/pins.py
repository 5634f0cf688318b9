"""Reads and rewrites the native pins: the ARGs that open docker/Dockerfile.

A pin is three global ARGs, NAME_VERSION, NAME_SHA256 and NAME_URL; the URL interpolates the version where it can, so
that a bump is two changed lines. Two pins look different: git-lfs has a prebuilt file for each architecture (a SHA256
line of `<Go architecture>:<digest>` pairs, `{goarch}` in the URL), and static-clang is a container image (NAME_IMAGE).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from catalogue.paths import DOCKER
from portable import errors
from portable.toml import Reference, Template, form, key, read_text
from portable.toml import read as read_table

DOCKERFILE = DOCKER / "Dockerfile"
_FIELDS = re.compile(r"[A-Z0-9]_(VERSION|SHA256|URL|IMAGE)\s*=")
_VALUE = re.compile(r"\b([A-Z][A-Z0-9_]*)_(VERSION|SHA256|URL|IMAGE)=")
_ARG = re.compile(
    r'^ARG (?P<prefix>[A-Z][A-Z0-9_]*)_(?P<field>VERSION|SHA256|URL|IMAGE)=(?P<quote>"?)(?P<value>[^"\n]*)(?P=quote)$'
)


_DIGEST = "[0-9a-f]{64}"
_RIGHT = "a valid sha256, or one for each architecture as in amd64:0123..."


@dataclass(frozen=True)
class Pin:
    """One pinned native dependency. `url` has the version filled in; `sha256` maps Go architectures for git-lfs."""

    name: str
    version: str
    url: str
    sha256: str | Mapping[str, str]

    @property
    def file_name(self) -> str:
        """The last part of the URL, the name under which docker/sources keeps the file."""
        return self.url.rpartition("/")[2]

    def for_arch(self, goarch: str) -> Pin:
        """The pin of one architecture, with a plain URL and digest. That is the pin itself if all share one file.

        Raises errors.UserError when upstream has no file for `goarch`."""
        if isinstance(self.sha256, str):
            return self
        if goarch not in self.sha256:
            raise errors.UserError(f"{self.name} {self.version} has no file for {goarch}")
        return Pin(self.name, self.version, self.url.replace("{goarch}", goarch), self.sha256[goarch])


@dataclass(frozen=True)
class _Arguments:
    """The ARGs of a pin, the version filled in."""

    version: Annotated[str, key("VERSION"), form(r"\d+(\.\d+)*([a-z]|(a|b|rc)\d+)?", "a version like 3.14.0")]
    url: Annotated[Template, key("URL"), form(r"[^?#]+/[A-Za-z0-9][^/?#]*", "the address of a file")] = ""
    image: Annotated[Reference, key("IMAGE")] = ""
    sha256: Annotated[str, key("SHA256"), form(f"{_DIGEST}|[a-z0-9]+:{_DIGEST}( [a-z0-9]+:{_DIGEST})*", _RIGHT)] = ""


def env_prefix(name: str) -> str:
    """The ARG prefix of a pin: "git-lfs" -> "GIT_LFS", "cpython-3.13" -> "CPYTHON_3_13"."""
    return re.sub(r"[-.]", "_", name).upper()


def pin_name(prefix: str) -> str:
    """The pin behind an ARG prefix: "GIT_LFS" -> "git-lfs", "CPYTHON_3_13" -> "cpython-3.13"."""
    return re.sub(r"-(\d+)-(\d+)$", r"-\1.\2", prefix.lower().replace("_", "-"))


def read(path: Path = DOCKERFILE) -> dict[str, Pin]:
    """Every pin of a Dockerfile by name. Raises errors.UserError for a half-written or malformed one."""
    return parse(read_text(path), str(path))


def parse(text: str, where: str = "Dockerfile") -> dict[str, Pin]:
    """Like `read`, of a text."""
    found: dict[str, Pin] = {}
    for prefix, values in _fields(text, where).items():
        name = pin_name(prefix)
        expanded = {
            field: _expand(value, prefix, values.get("VERSION", "")) if field in ("URL", "IMAGE") else value
            for field, value in values.items()
        }
        arguments = read_table(_Arguments, expanded, f"{where}: {name}:")
        if bool(arguments.image) == bool(arguments.url) or bool(arguments.url) != bool(arguments.sha256):
            raise errors.UserError(f"{where}: {name} needs ARG {prefix}_VERSION, {prefix}_SHA256 and {prefix}_URL")
        digests = dict(item.split(":") for item in arguments.sha256.split()) if ":" in arguments.sha256 else {}
        if bool(digests) != ("{goarch}" in arguments.url) or len(digests) != arguments.sha256.count(":"):
            raise errors.UserError(f"{where}: {name} needs {{goarch}} in its URL and one sha256 for each, or neither")
        found[name] = Pin(name, arguments.version, arguments.url or arguments.image, digests or arguments.sha256)
    return found


def switches(path: Path = DOCKERFILE) -> dict[str, str]:
    """The ARGs of a Dockerfile that name the stage of a part of the image, `<PART>_STAGE`, with their defaults."""
    head = re.split(r"(?m)^FROM ", path.read_text(encoding="utf-8"), maxsplit=1)[0]
    return dict(re.findall(r"(?m)^ARG ([A-Z0-9_]+_STAGE)=(\S*)$", head))


def stages(path: Path = DOCKERFILE) -> tuple[str, ...]:
    """The names of the stages of a Dockerfile, in its order."""
    return tuple(re.findall(r"(?m)^FROM .* AS (\S+)$", path.read_text(encoding="utf-8")))


def components(path: Path = DOCKERFILE) -> tuple[str, ...]:
    """What a Dockerfile compiles or unpacks besides interpreters, each in a stage `component-NAME`."""
    return tuple(name.removeprefix("component-") for name in stages(path) if name.startswith("component-"))


def replace(text: str, name: str, *, version: str, url: str, sha256: str | Mapping[str, str]) -> str:
    """The Dockerfile's text with one pin moved; nothing else changes, and an interpolated URL stays interpolated.

    Raises errors.Failure when the result does not read back as what was asked for."""
    prefix = env_prefix(name)
    if name not in parse(text):
        raise errors.Failure(f"no pin {name} in the Dockerfile: no line begins with ARG {prefix}_VERSION=")
    fields = _fields(text, "Dockerfile")[prefix]
    digest = sha256 if isinstance(sha256, str) else " ".join(f"{arch}:{value}" for arch, value in sha256.items())
    wanted = {"VERSION": version, "SHA256": digest}
    location = "URL" if "URL" in fields else "IMAGE"
    if _expand(fields[location], prefix, version) != url:
        wanted[location] = url.replace(version, f"${{{prefix}_VERSION}}")
    lines = []
    for line in text.splitlines(keepends=True):
        match = _ARG.match(line.rstrip("\n"))
        if match and match["prefix"] == prefix and match["field"] in wanted:
            quote = match["quote"]
            line = f"ARG {prefix}_{match['field']}={quote}{wanted[match['field']]}{quote}\n"
        lines.append(line)
    moved = "".join(lines)
    pin = parse(moved)[name]
    if (pin.version, pin.url, pin.sha256) != (version, url, sha256):
        raise errors.Failure(f"{name}: the rewritten Dockerfile reads back as {pin}")
    return moved


def _fields(text: str, where: str) -> dict[str, dict[str, str]]:
    """ARG prefix -> field -> raw value, of the global ARGs (those before the first FROM) that belong to pins.

    Raises UserError for a line that is almost one, a second ARG of that name and another value of it in a stage."""
    fields: dict[str, dict[str, str]] = {}
    in_stage = False
    for number, line in enumerate(text.splitlines(), start=1):
        in_stage = in_stage or line.startswith("FROM ")
        if in_stage or line.startswith("#"):
            for prefix, field in _VALUE.findall(line) if line.startswith("ARG ") else ():
                if prefix in fields:
                    raise errors.UserError(
                        f"{where}:{number}: write only ARG {prefix}_{field}: a stage gets the value above"
                    )
            continue
        match = _ARG.fullmatch(line)
        if not match:
            if almost := _FIELDS.search(line):
                raise errors.UserError(f"{where}:{number}: write ARG NAME_{almost[1]}=value")
            continue
        values = fields.setdefault(match["prefix"], {})
        if match["field"] in values:
            raise errors.UserError(f"{where}:{number}: a second ARG {match['prefix']}_{match['field']}")
        values[match["field"]] = match["value"]
    return fields


def _expand(template: str, prefix: str, version: str) -> str:
    return template.replace(f"${{{prefix}_VERSION}}", version)
