"""The configuration of an image, as the engine tells it, against the expectations."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from catalogue import images
from engine.engine import Engine
from plan.expectations import Expectations
from portable import errors
from smoke.results import Result

BASE_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
# Bytes that an unpacked image may have: without interpreters, and for each of them. Debian's budgets are measured and
# leave little room (GCC 14 of Debian 13 is larger); the others are what published images of that kind need.
SIZE_BUDGETS = {"debian": 760_000_000, "debian-13": 780_000_000, "rhel": 1_700_000_000, "alpine": 700_000_000}
SIZE_OF_AN_INTERPRETER = 45_000_000
SIZE_OF_SHARED_OPENSSL = 15_000_000
# Variables that a base image or an engine may set besides ours.
FOREIGN_VARIABLES = {"container"}


def results_of(config: Mapping[str, Any], architecture: str, size: int, expected: Expectations) -> Iterator[Result]:
    """Compares what the engine says of an image with what it should: entry point, command, environment, labels...

    `architecture` is spelled as Go spells it, `size` is in bytes, unpacked."""
    variables = dict(item.split("=", 1) for item in config.get("Env") or [])
    wanted = {**expected["env"], "PATH": ":".join([*expected["path_first"], BASE_PATH])}
    yield _result("image-entrypoint", _differences({"Entrypoint": expected["entrypoint"]}, config))
    yield _result("image-command", _differences({"Cmd": expected["cmd"]}, config))
    extra = sorted(set(variables) - set(wanted) - FOREIGN_VARIABLES)
    problems = [*_differences(wanted, variables), *(f"unexpected {name}={variables[name]}" for name in extra)]
    yield _result("image-environment", problems)
    yield _result("image-labels", _differences(expected["labels"], config.get("Labels") or {}))
    defaults: dict[str, Any] = {"User": "", "WorkingDir": "", "Volumes": {}, "ExposedPorts": {}, "Healthcheck": {}}
    defaults |= {"OnBuild": [], "StopSignal": "SIGTERM"}
    said = {key: config.get(key) or default for key, default in defaults.items()}
    said |= {"WorkingDir": said["WorkingDir"].rstrip("/"), "StopSignal": said["StopSignal"].replace("15", "SIGTERM")}
    yield _result("image-settings", _differences(defaults, said))
    platform = images.load(overlay=images.NO_OVERLAY).platforms[expected["platform"]]
    yield _result("image-platform", _differences({"Architecture": platform.go}, {"Architecture": architecture}))
    shared = len(expected["shared"].get("interpreters", ()))
    budget = SIZE_BUDGETS.get(expected["distribution"], SIZE_BUDGETS[expected["family"]])
    budget += SIZE_OF_SHARED_OPENSSL if shared else 0
    budget += SIZE_OF_AN_INTERPRETER * (len(expected["interpreters"]) + shared)
    too_large = [f"{size / 1e6:.0f} MB, more than the {budget / 1e6:.0f} MB of its budget"] if size > budget else []
    yield _result("regression-26-size", too_large)


def _differences(wanted: Mapping[str, Any], found: Mapping[str, Any]) -> list[str]:
    return [
        f"{key} is {found[key]!r}, expected {value!r}" if key in found else f"{key} is not set, expected {value!r}"
        for key, value in wanted.items()
        if key not in found or found[key] != value
    ]


def _result(name: str, problems: Iterable[str]) -> Result:
    return Result(name, "", tuple(problems), 0.0)


def inspect(engine: Engine, reference: str, expected: Expectations) -> Iterator[Result]:
    """The same of an image that the engine has. Raises UserError where it has none."""
    said = engine.ask(engine.inspect(reference, "{{json .Config}}\n{{.Architecture}} {{.Size}}"))
    if said is None:
        raise errors.UserError(f"{engine.name} has no image {reference}: build it, or pull it first")
    config, _, rest = said.rpartition("\n")
    architecture, size = rest.split()
    yield from results_of(json.loads(config), architecture, int(size), expected)
