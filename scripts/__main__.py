"""The commands of this repository: `python3 scripts COMMAND`; each has `--help`.

Their list imports no room: what `./build.sh` needs stays within the standard library."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from difflib import get_close_matches
from importlib import import_module

from portable import errors


@dataclass(frozen=True)
class Command:
    """A function of a room's module, called with `sys.argv` as if it were a program of its own."""

    function: str
    help: str


COMMANDS = {
    "list": Command("catalogue.command:list_images", "the images of the table"),
    "matrix": Command("catalogue.command:matrix", "rows for GitHub Actions, as JSON"),
    "groups": Command("catalogue.command:groups", "what is published together, as JSON"),
    "build": Command("build.command:main", "build an image and smoke-test it; ./build.sh runs this"),
    "many": Command("build.many:main", "build several images side by side"),
    "bake": Command("build.bake:main", "write a docker buildx bake file, for builders elsewhere"),
    "bootstrap": Command("build.bootstrap:main", "show what ./build.sh --bootstrap would install and make here"),
    "clang": Command("debian.clang:main", "make an image with Debian's clang, for cross compilation"),
    "smoke": Command("smoke.command:main", "smoke-test an image that was built before"),
    "prefetch": Command("sources.command:main", "fill docker/sources, which builds look into first"),
    "canary": Command("canary.command:main", "build real projects in an image, and compare what their wheels need"),
    "push": Command("publish.command:push", "push a tested image to its candidate tag"),
    "manifest": Command("publish.command:manifest", "publish the candidates of all platforms of a policy together"),
    "keep": Command("publish.keep:main", "record where a CPython is in published images, so that it stays installable"),
    "verify": Command("publish.verify:main", "say whether a published image is genuine, and what it was made of"),
    "rollback": Command("publish.command:rollback", "point `latest` back to a dated tag"),
    "prune": Command("publish.prune:main", "delete published tags that no retention rule keeps"),
    "vulnerabilities": Command("watch.command:main", "say which vulnerabilities are known of what an image holds"),
    "gate": Command("publish.gate:main", "fail if an image lost something that the published one has"),
    "exchange": Command(
        "smoke.exchange:main", "say whether wheels of the published image work in the new one and back"
    ),
    "usable": Command("publish.usable:main", "say whether published images still work"),
    "choose": Command("explain.choose:main", "say which policy to build wheels for, and whom it reaches"),
    "notes": Command("explain.notes_command:main", "say what changed between two tags, digests or images"),
    "prove": Command("prove.command:main", "run wheels in real root file systems, and compare with the doctor"),
    "site": Command("page.command:main", "write the page about the images into build/site"),
    "render": Command("render.command:main", "rewrite what follows from the tables"),
    "update native": Command("update.native:main", "move the pins of the Dockerfile"),
    "update python": Command("update.python:main", "renew the locks of Python packages"),
    "update interpreters": Command("update.interpreters:main", "move the prebuilt PyPy and GraalPy"),
    "update static-clang": Command("update.static_clang:main", "add new releases of static clang"),
    "update bases": Command("update.bases:main", "renew the digests of the base images"),
    "update policies": Command("update.policies:main", "renew what the doctor knows of policies and symbols"),
    "update reach": Command("update.reach:main", "renew what share of the downloads each policy reaches"),
    "links": Command("update.links:main", "ask for every pinned URL and mirror"),
    "doctor": Command("doctor.command:main", "say whether wheels run on the systems that their tags promise"),
    "dev": Command("host.developers:main", "run a command among the developers' tools; ./scripts/dev runs this"),
}


def overview() -> str:
    """The list of commands, for people."""
    width = max(map(len, COMMANDS))
    lines = [f"  {name:{width}}  {command.help}" for name, command in COMMANDS.items()]
    return "\n".join(["usage: python3 scripts COMMAND [ARGUMENT...]", "", *lines, "", "COMMAND --help says more."])


def main() -> int | None:
    """Runs the command that the arguments name. Raises UserError with the nearest names for an unknown one."""
    words = sys.argv[1:]
    if not words or words[0] in ("-h", "--help"):
        print(overview())
        return 0 if words else 2
    name = " ".join(words[: 2 if words[0] == "update" else 1])
    if name not in COMMANDS:
        near = [known for known in COMMANDS if known.startswith(f"{name} ")] or get_close_matches(name, COMMANDS)
        hint = f"did you mean {' or '.join(near)}?" if near else "`python3 scripts --help` lists them"
        raise errors.UserError(f"unknown command {name!r}: {hint}")
    module, _, function = COMMANDS[name].function.partition(":")
    sys.argv[:] = [f"scripts {name}", *words[len(name.split()) :]]
    status: int | None = getattr(import_module(module), function)()
    return status


if __name__ == "__main__":
    sys.exit(errors.run(main))
