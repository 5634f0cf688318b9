"""What of docker/Dockerfile follows from the table of images: switches, stages, layers of interpreters and tools.

`dockerfile_blocks` gives each part by the name of its markers (`# begin <name>` and `# end <name>`); scripts/render.py
writes them, and its `--check` fails when they are not up to date.
"""

from __future__ import annotations

from images import Catalogue, Interpreter, Tool
from pins import env_prefix

SCRIPTS = "/manylinux/build_scripts"
SITE = "--mount=type=secret,id=ca --mount=type=secret,id=pip"
CLANG = "--mount=type=bind,from=clang-for-cpython,source=/opt/clang,target=/opt/clang"


def dockerfile_blocks(catalogue: Catalogue) -> dict[str, str]:
    """Marker name -> the lines between its markers, each ending in a newline."""
    interpreters = [i for i in catalogue.interpreters.values() if i.preinstalled]
    tools = list(catalogue.tools.values())
    return {
        "switches": "".join(_switch(i.tag, f"interpreter-{i.tag}") for i in interpreters)
        + "".join(_switch(t.name, f"tool-{t.name}") for t in tools)
        + f"ARG TOOLS_PYTHON={_tools_python(interpreters).tag}\n",
        "interpreters": "\n".join(_interpreter(i) for i in interpreters),
        "static-libraries": "".join(
            f"COPY --from={i.tag} /static /static\n" for i in interpreters if i.implementation == "cpython"
        ),
        "tools": "\n".join(_tool(t) for t in tools),
        "layers": "".join(f"COPY --from={name} /rootfs /\n" for name in _layers(interpreters, tools)),
    }


def _tools_python(interpreters: list[Interpreter]) -> Interpreter:
    """The newest stable CPython; build.sh names another where an image lacks it."""
    usable = [i for i in interpreters if i.implementation == "cpython" and i.status == "stable" and not i.threaded]
    return max(usable, key=lambda i: tuple(int(part) for part in i.minor.split(".")))


def _layers(interpreters: list[Interpreter], tools: list[Tool]) -> list[str]:
    return [i.tag for i in interpreters] + [t.name for t in tools]


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
COPY docker/build_scripts/install-interpreter.sh docker/build_scripts/show_download.py {SCRIPTS}/
RUN --mount=type=bind,source=docker/sources/{tag},target=/sources {SITE} \\
    TAG={tag} {SCRIPTS}/install-interpreter.sh
"""
    else:
        pin = env_prefix(interpreter.pin)
        stage = f"""\
FROM interpreter-base AS interpreter-{tag}
ARG {pin}_VERSION
ARG {pin}_SHA256
ARG {pin}_URL
ARG BUILD_TRIPLE
ARG CLANG_FOR_CPYTHON_STAGE
COPY requirements/interpreter/{interpreter.minor}.txt /manylinux/requirements/interpreter/
RUN --mount=type=bind,source=docker/sources/{interpreter.pin},target=/sources {CLANG} {SITE} \\
    TAG={tag} VERSION="${{{pin}_VERSION}}" URL="${{{pin}_URL}}" SHA256="${{{pin}_SHA256}}" {SCRIPTS}/build-cpython.sh
"""
    return stage + f"FROM ${{{env_prefix(tag)}_STAGE}} AS {tag}\n"


def _tool(tool: Tool) -> str:
    return f"""\
FROM pipx-base AS tool-{tool.name}
ARG PLATFORM
ARG TOOLS_PYTHON
COPY requirements/tools/{tool.name}.txt /manylinux/requirements/tools/
RUN {SITE} NAME={tool.name} {SCRIPTS}/install-tool.sh
FROM ${{{env_prefix(tool.name)}_STAGE}} AS {tool.name}
"""
