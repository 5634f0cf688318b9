"""What the smoke tests hold an image to: `of` a plan, or `load` a file. tests/smoke reads it in the image."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, TypedDict

from catalogue import locks, packages
from catalogue.interpreters import Interpreter, PlatformName, PolicyName
from catalogue.model import Family, Image, Libc, LibcVersion
from catalogue.paths import ROOT
from plan.plan import CERTIFICATES, COMPONENT_PINS, SHARED_OPENSSL, Plan
from portable import downloads, errors
from portable.toml import MAY_BE_EMPTY, Minor, Sha256, between, filled, read, read_text

REQUIREMENTS = ROOT / "requirements"

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


def of(plan: Plan) -> Expectations:
    """What the smoke tests hold the image to, as JSON-ready data; nothing in it comes from the image."""
    image, policy, platform = plan.image, plan.image.policy, plan.image.platform
    args = plan.build_args
    archives = {tag for tag, row in downloads.load().interpreters.items() if platform.name in row.files}
    on_demand = [i for i in (*image.interpreters, *image.on_demand) if i.tag in archives]
    return {
        "image": image.name,
        "policy": policy.name,
        "policy_tags": list(policy.tags),
        "platform": platform.name,
        "variant": image.variant,
        "family": policy.family,
        "libc": policy.libc,
        "libc_version": policy.libc_version,
        "distribution": policy.distribution,
        "toolset": args["TOOLSET"],
        "gcc_major": policy.gcc_major,
        "triple": args["TRIPLE"],
        "march": args["MARCH"],
        "complete": plan.complete,
        "interpreters": [_interpreter(plan, i) for i in plan.interpreters],
        "shared": _shared(plan),
        "on_demand": [i.tag for i in on_demand if i not in plan.interpreters],
        "tools": {t.name: _locked(REQUIREMENTS / "tools" / f"{t.name}.txt")[t.name] for t in plan.piped_tools},
        "distribution_tools": [t.name for t in image.tools if t not in plan.piped_tools],
        "tools_python": plan.tools_python.tag,
        "base_tools": {
            name: v for name, v in _locked(REQUIREMENTS / "base.txt").items() if name in ("pipx", "certifi")
        },
        "components": {
            name: {"version": pin.version, "url": pin.url, "sha256": str(pin.sha256)}
            for component in plan.components
            for name in COMPONENT_PINS.get(component, (component,))
            for pin in [plan.pins[name].for_arch(platform.go)]
        },
        "sqlite_exposed": policy.sqlite_exposed,
        "system_packages": list(dict.fromkeys(packages.read(policy.package_sets, platform.name))),
        "env": {
            "AUDITWHEEL_POLICY": policy.name,
            "AUDITWHEEL_ARCH": platform.name,
            "AUDITWHEEL_PLAT": f"{policy.name}_{platform.name}",
            **dict.fromkeys(("LC_ALL", "LANG", "LANGUAGE"), "en_US.UTF-8"),
            "DEVTOOLSET_ROOTPATH": args["DEVTOOLSET_ROOTPATH"],
            "LD_LIBRARY_PATH": args["LD_LIBRARY_PATH_ARG"],
            "PKG_CONFIG_PATH": args["PKG_CONFIG_PATH_ARG"],
            "SSL_CERT_FILE": CERTIFICATES,
            "PIPX_DISABLE_SHARED_LIBS_AUTO_UPGRADE": "1",
        },
        "path_first": args["PREPEND_PATH"].rstrip(":").split(":"),
        "entrypoint": ["manylinux-entrypoint"],
        "cmd": ["/bin/bash"],
        "symbols": _symbols(image),
        "clang_versions": list(downloads.load().static_clang),
        "labels": plan.labels,
    }


def load(path: Path, remedy: str) -> Expectations:
    """The expectations in a JSON file. Raises UserError, which ends with `remedy`, for any other content."""
    try:
        return read(Expectations, json.loads(read_text(path)), f"{path}:")
    except (ValueError, RecursionError) as error:
        raise errors.UserError(f"{path} is not JSON: {error}; {remedy}") from None
    except errors.UserError as error:
        raise errors.UserError(f"{error}; {remedy}") from None


def _interpreter(plan: Plan, interpreter: Interpreter) -> ExpectedInterpreter:
    version = plan.versions[interpreter.pin]
    locked = _locked(REQUIREMENTS / "interpreter" / f"{interpreter.minor}.txt")
    return {
        "tag": interpreter.tag,
        "implementation": interpreter.implementation,
        "minor": interpreter.minor,
        "threaded": interpreter.threaded,
        "status": interpreter.status,
        "version": version,
        "prefix": interpreter.prefix(version),
        "launchers": list(interpreter.launchers),
        "packages": locked,
    }


def _shared(plan: Plan) -> ExpectedShared:
    if not plan.shared:
        return {}
    pin = plan.pins[SHARED_OPENSSL]
    return {
        "openssl": {"version": pin.version, "url": pin.url, "sha256": str(pin.sha256)},
        "pyinstaller": plan.pyinstaller_wheels,
        "interpreters": [
            {
                "tag": i.name,
                "implementation": "cpython",
                "minor": i.minor,
                "threaded": False,
                "status": "stable",
                "version": plan.versions[i.pin],
                "prefix": i.prefix,
                "launchers": [i.launcher],
                "packages": _locked(REQUIREMENTS / "interpreter" / f"{i.minor}.txt"),
                "optimised": i.optimised,
            }
            for i in plan.shared
        ],
    }


def _symbols(image: Image) -> dict[str, str]:
    symbols = image.policy.symbols
    if not symbols:
        return {}
    gcc = symbols.gcc_on(image.platform.name)
    return {"GLIBCXX": symbols.glibcxx, "CXXABI": symbols.cxxabi, "GCC": gcc}


def _locked(path: Path) -> dict[str, str]:
    """Package -> version of a compiled requirements file."""
    found = locks.requirements(path.read_text(encoding="utf-8"))
    return {name: row.version for name, row in found.items()}
