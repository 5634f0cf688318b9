"""The parts of docker/Dockerfile that follow from the table of images: switches, stages and layers.

`dockerfile_blocks` gives each part by the name of its markers (`# begin <name>` and `# end <name>`); command.py
writes them, and its `--check` fails when they are not up to date.
"""

from __future__ import annotations

from catalogue.interpreters import Interpreter, SharedInterpreter, Tool, tools_python
from catalogue.model import Catalogue
from catalogue.pins import env_prefix

SCRIPTS = "/manylinux/build_scripts"
REQUIREMENTS = "/manylinux/requirements"
SITE = "--mount=type=secret,id=ca --mount=type=secret,id=pip"
CLANG = "--mount=type=bind,from=clang-for-cpython,source=/opt/clang,target=/opt/clang"


def dockerfile_blocks(catalogue: Catalogue) -> dict[str, str]:
    """Marker name -> the lines between its markers, each ending in a newline."""
    interpreters = [i for i in catalogue.interpreters.values() if i.preinstalled]
    tools = list(catalogue.tools.values())
    shared = [SharedInterpreter(minor, True) for variant in catalogue.variants.values() for minor in variant.minors]
    return {
        "switches": "".join(_switch(i.tag, f"interpreter-{i.tag}") for i in interpreters)
        + "".join(_switch(t.name, f"tool-{t.name}") for t in tools)
        + f"ARG TOOLS_PYTHON={tools_python(interpreters).tag}\n"
        + "".join(
            _switch(i.name, f"interpreter-{i.name}") + f"ARG {env_prefix(i.name)}_OPTIMISED={int(i.optimised)}\n"
            for i in shared
        ),
        "interpreters": "\n".join(_interpreter(i) for i in interpreters),
        "static-libraries": "".join(
            f"COPY --from={i.tag} /static /static\n" for i in interpreters if i.implementation == "cpython"
        ),
        "tools": "\n".join(_tool(t) for t in tools),
        "layers": _layers([*(i.tag for i in interpreters), *(t.name for t in tools)]),
        "shared-interpreters": "\n".join(_shared_interpreter(i) for i in shared),
        "shared-layers": _layers([i.name for i in shared]),
    }


def _layers(stages: list[str]) -> str:
    return "".join(f"COPY --from={name} /rootfs /\n" for name in stages)


def _switch(name: str, stage: str) -> str:
    return f"ARG {env_prefix(name)}_STAGE={stage}\n"


def _interpreter(interpreter: Interpreter) -> str:
    tag = interpreter.tag
    if interpreter.implementation != "cpython":
        stage = f"""\
FROM tools-base AS interpreter-{tag}
ARG POLICY
ARG PLATFORM
ARG TOOLS_PYTHON
COPY --from=image-files /rootfs /
COPY --from=checkout {SCRIPTS}/install-interpreter.sh {SCRIPTS}/show_download.py {SCRIPTS}/
RUN --mount=type=bind,source=docker/sources/{tag},target=/sources {SITE} \\
    TAG={tag} {SCRIPTS}/install-interpreter.sh
"""
    else:
        stage = _cpython(
            interpreter, tag, "interpreter-base", "CLANG_FOR_CPYTHON_STAGE", f"{CLANG} {SITE}", f"TAG={tag}"
        )
    return stage + f"FROM ${{{env_prefix(tag)}_STAGE}} AS {tag}\n"


def _shared_interpreter(interpreter: SharedInterpreter) -> str:
    """Never compiled by clang."""
    name = interpreter.name
    switch = f"{env_prefix(name)}_OPTIMISED"
    words = f'TAG={name} OPTIMISED="${{{switch}}}"'
    stage = _cpython(interpreter, name, "shared-interpreter-base", switch, SITE, words)
    return stage + f"FROM ${{{env_prefix(name)}_STAGE}} AS {name}\n"


def _cpython(
    interpreter: Interpreter | SharedInterpreter, name: str, base: str, switch: str, mounts: str, words: str
) -> str:
    """The stage that compiles a CPython; `switch` is one more ARG, `words` come before the pin's."""
    pin = env_prefix(interpreter.pin)
    return f"""\
FROM {base} AS interpreter-{name}
ARG {pin}_VERSION
ARG {pin}_SHA256
ARG {pin}_URL
ARG BUILD_TRIPLE
ARG {switch}
COPY --from=checkout {REQUIREMENTS}/interpreter/{interpreter.minor}.txt {REQUIREMENTS}/interpreter/
RUN --mount=type=bind,source=docker/sources/{interpreter.pin},target=/sources {mounts} \\
    {words} VERSION="${{{pin}_VERSION}}" URL="${{{pin}_URL}}" SHA256="${{{pin}_SHA256}}" {SCRIPTS}/build-cpython.sh
"""


def _tool(tool: Tool) -> str:
    return f"""\
FROM pipx-base AS tool-{tool.name}
ARG PLATFORM
ARG TOOLS_PYTHON
COPY --from=checkout {REQUIREMENTS}/tools/{tool.name}.txt {REQUIREMENTS}/tools/
RUN {SITE} NAME={tool.name} {SCRIPTS}/install-tool.sh
FROM ${{{env_prefix(tool.name)}_STAGE}} AS {tool.name}
"""
