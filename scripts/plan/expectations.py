"""What the smoke tests hold an image to: plan.py writes it, a file can bring it, tests/smoke reads it in the image."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, TypedDict

from catalogue.model import Family, Libc, LibcVersion, PlatformName, PolicyName
from portable import errors
from portable.toml import MAY_BE_EMPTY, Minor, Sha256, between, filled, read, read_text

Text = Annotated[str, MAY_BE_EMPTY]


class ExpectedComponent(TypedDict):
    """What is built from source."""

    version: str
    url: str
    sha256: Sha256


class ExpectedInterpreter(TypedDict):
    """One of /opt/python; `packages`: name -> version."""

    tag: str
    implementation: str
    minor: Minor
    threaded: bool
    status: str
    version: str
    prefix: str
    launchers: Annotated[list[str], filled]
    packages: Annotated[dict[str, str], filled]


class ExpectedSharedInterpreter(ExpectedInterpreter):
    """One with a shared libpython."""

    optimised: bool


class ExpectedShared(TypedDict, total=False):
    """What the shared variant adds; empty for other images."""

    openssl: ExpectedComponent
    pyinstaller: Text
    interpreters: Annotated[list[ExpectedSharedInterpreter], filled]


class Expectations(TypedDict):
    """Everything, in the words of docker/images.toml."""

    image: str
    policy: PolicyName
    policy_tags: Annotated[list[PolicyName], filled]
    platform: PlatformName
    variant: Text
    family: Family
    libc: Libc
    libc_version: LibcVersion
    distribution: str
    toolset: Text
    gcc_major: Annotated[int, between(4, 99)]
    triple: str
    march: Text
    complete: bool
    interpreters: Annotated[list[ExpectedInterpreter], filled]
    shared: ExpectedShared
    on_demand: list[str]
    tools: dict[str, str]
    distribution_tools: list[str]
    tools_python: str
    base_tools: dict[str, str]
    components: dict[str, ExpectedComponent]
    sqlite_exposed: bool
    system_packages: list[str]
    env: dict[str, Text]
    path_first: Annotated[list[str], filled]
    entrypoint: list[str]
    cmd: list[str]
    symbols: dict[str, str]
    clang_versions: list[str]
    labels: dict[str, str]


def load(path: Path, remedy: str) -> Expectations:
    """The expectations in a JSON file. Raises UserError, with the way out, where something else stands there."""
    try:
        return read(Expectations, json.loads(read_text(path)), f"{path}:")
    except (ValueError, RecursionError) as error:
        raise errors.UserError(f"{path} is not JSON: {error}; {remedy}") from None
    except errors.UserError as error:
        raise errors.UserError(f"{error}; {remedy}") from None
