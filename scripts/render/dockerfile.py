"""The parts of docker/Dockerfile that follow from the table of images: switches, stages, their stand-ins and layers.

`dockerfile_blocks` returns each part by the name of its markers (`# begin <name>` and `# end <name>`). command.py
writes the parts, and its `--check` fails when one is out of date.
"""

from __future__ import annotations

from catalogue.interpreters import Interpreter, SharedInterpreter, Tool, tools_python
from catalogue.model import Catalogue
from catalogue.pins import components, env_prefix

SCRIPTS = "/manylinux/build_scripts"
REQUIREMENTS = "/manylinux/requirements"
JOBSERVER = "--mount=type=cache,id=manylinux-jobserver,target=/jobserver"
SITE = "--mount=type=secret,id=ca --mount=type=secret,id=pip"


def dockerfile_blocks(catalogue: Catalogue) -> dict[str, str]:
    """Marker name -> the lines between its markers, each ending in a newline."""
    interpreters = [i for i in catalogue.interpreters.values() if i.preinstalled]
    tools = list(catalogue.tools.values())
    shared = [SharedInterpreter(minor, True) for variant in catalogue.variants.values() for minor in variant.minors]
    names = [*(i.tag for i in interpreters), *(t.name for t in tools), *(i.name for i in shared)]
    return {
        "reused": "".join(_reused(name) for name in [*components(), "base-tools", "shared-openssl", *names]),
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


def _reused(tree: str) -> str:
    """The stand-in of a stage. Not from scratch: podman 4.3 crashes there where it has images without layers."""
    return f"FROM empty AS reused-{tree}\nCOPY --from=reused /reused/{tree} /\n"


def _switch(name: str, stage: str) -> str:
    return f"ARG {env_prefix(name)}_STAGE={stage}\n"


def _interpreter(interpreter: Interpreter) -> str:
    tag = interpreter.tag
    if interpreter.implementation != "cpython":
        stage = f"""\
FROM tools-base AS interpreter-{tag}
ARG POLICY
COPY --from=image-files /rootfs /
COPY --from=checkout {SCRIPTS}/install-interpreter.sh {SCRIPTS}/show_download.py {SCRIPTS}/
RUN --mount=type=bind,source=docker/sources/{tag},target=/sources {SITE} \\
    {SCRIPTS}/install-interpreter.sh {tag}
"""
    else:
        stage = _cpython(interpreter, tag, "cpython-base")
    return stage + f"FROM ${{{env_prefix(tag)}_STAGE}} AS {tag}\n"


def _shared_interpreter(interpreter: SharedInterpreter) -> str:
    """Never compiled by clang."""
    name = interpreter.name
    stage = _cpython(interpreter, name, "shared-interpreter-base", f" {env_prefix(name)}_OPTIMISED")
    return stage + f"FROM ${{{env_prefix(name)}_STAGE}} AS {name}\n"


def _cpython(interpreter: Interpreter | SharedInterpreter, name: str, base: str, more: str = "") -> str:
    """The stage that compiles a CPython; `more` names other ARGs than those of its pin."""
    pin = env_prefix(interpreter.pin)
    return f"""\
FROM {base} AS interpreter-{name}
ARG {pin}_VERSION {pin}_SHA256 {pin}_URL BUILD_TRIPLE{more}
COPY --from=checkout {REQUIREMENTS}/interpreter/{interpreter.minor}.txt {REQUIREMENTS}/interpreter/
RUN {JOBSERVER} \\
    --mount=type=bind,source=docker/sources/{interpreter.pin},target=/sources {SITE} \\
    {SCRIPTS}/build-cpython.sh {interpreter.pin} {name}
"""


def _tool(tool: Tool) -> str:
    return f"""\
FROM pipx-base AS tool-{tool.name}
COPY --from=checkout {REQUIREMENTS}/tools/{tool.name}.txt {REQUIREMENTS}/tools/
RUN {SITE} {SCRIPTS}/install-tool.sh {tool.name}
FROM ${{{env_prefix(tool.name)}_STAGE}} AS {tool.name}
"""
