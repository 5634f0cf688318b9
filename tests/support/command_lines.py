"""What commands of this repository take, for tests that hold documents and workflows to it."""

from __future__ import annotations

import functools
import importlib.util
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

from catalogue import paths


def wrong_invocations(text: str) -> Iterator[str]:
    """Every `invoke TASK ...` whose task, option or number of plain words does not exist."""
    for match in re.finditer(r"\binvoke (\w+)((?: (?:'[^'\n]*'|[^|<>`'\n])*)?)", text):
        task, rest = match.groups()
        if task not in tasks().task_names:
            yield match[0]
            continue
        words = shlex.split(rest.split(" -- ")[0].rstrip(";,.").replace("...", ""))
        flags, positional = invoke_options(task)
        given = [word.partition("=")[0] for word in words if word.startswith("-") and " " not in word]
        if not set(given) <= flags or (words and re.match(r"\w", words[0]) and not positional):
            yield match[0]


@functools.cache
def tasks() -> Any:
    """The collection of tasks.py."""
    sys.path.insert(0, str(paths.ROOT))
    try:
        import tasks as module
    finally:
        sys.path.remove(str(paths.ROOT))
    return module.ns


def invoke_options(task: str) -> tuple[set[str], int]:
    """The options of an invoke task, and how many words it takes besides."""
    arguments = tasks()[task].get_arguments()
    flags = {
        ("--" if len(name) > 1 else "-") + name.strip("_").replace("_", "-") for a in arguments for name in a.names
    }
    return flags, sum(argument.positional for argument in arguments)


@functools.cache
def build_options() -> set[str]:
    """The long options of build.sh."""
    text = subprocess.run([paths.ROOT / "build.sh", "--help"], capture_output=True, text=True, check=True).stdout
    return set(re.findall(r"--[a-z-]+", text))


def commands() -> set[str]:
    """What `python3 scripts` knows."""
    spec = importlib.util.spec_from_file_location("commands", paths.ROOT / "scripts" / "__main__.py")
    assert spec and spec.loader
    module = sys.modules[spec.name] = importlib.util.module_from_spec(spec)  # where dataclasses look
    spec.loader.exec_module(module)
    return set(module.COMMANDS)
