"""Whether the wheels of the published image load in the new one, and the reverse: `python3 scripts exchange`.

A description cannot show that: an ABI, a tag or a compiler that changed shows where a wheel of one image meets the
interpreter of the other. Every interpreter that both have makes a C and a C++ extension, which auditwheel repairs.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from catalogue import images
from catalogue.paths import ROOT
from engine import choose
from engine.commands import Mount
from engine.engine import Engine
from host import inputs
from network import oci
from network.registry import Registry
from portable import errors, scratch

INSIDE = Path(__file__).with_name("exchanged.py")
PROJECTS = ROOT / "tests" / "smoke" / "projects"
TIME_LIMIT = 7200  # seconds for all interpreters of an image, which may be emulated
NEWEST = (  # of the interpreters that can run the script; each is asked, since the last one may be free-threaded
    'for p in /opt/python/cp31[1-9]-cp31[1-9]/bin/python; do [ -x "$p" ] && found="$p"; done; '
    'exec "${found:?no CPython from 3.11 on}" -B "$@"'
)


def exchange(engine: Engine, old: str, new: str, platform: str = "") -> list[str]:
    """What does not work, a line each. Raises Failure where an image does not run the script at all."""
    problems = []
    with scratch.directory() as directory:
        for maker, user in ((old, new), (new, old)):
            wheels = directory / str(len(list(directory.iterdir())))
            wheels.mkdir(mode=0o777)
            made = _inside(engine, maker, ["make", "/projects", "/wheels"], wheels, platform)
            used = _inside(engine, user, ["use", "/wheels"], wheels, platform)
            problems += [f"{maker}: {key} cannot be made: {why}" for key, why in made.items() if why]
            problems += [f"{key} of {maker} does not work in {user}: {why}" for key, why in used.items() if why]
            works = sum(not why for why in used.values())
            print(f"{works} of {len(used)} wheels of {maker} work in {user}", file=sys.stderr)
            if not used:
                problems.append(f"no wheel of {maker} fits an interpreter of {user}")
    return problems


def _inside(engine: Engine, reference: str, words: list[str], wheels: Path, platform: str) -> dict[str, str]:
    """What the script says in an image: "smoke_c[cp313-cp313]" -> problem."""
    mounts = [Mount(INSIDE, "/exchanged.py"), Mount(PROJECTS, "/projects"), Mount(wheels, "/wheels", read_only=False)]
    command = ["sh", "-c", NEWEST, "sh", "/exchanged.py", *words]
    done = engine.contain(reference, command, TIME_LIMIT, mounts=mounts, platform=platform)
    if done.returncode:
        raise errors.Failure(f"{reference}: {' '.join(words)} fails: {(done.stderr or done.stdout).strip()[-500:]}")
    rows = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    return {f"{row['project']}[{row['tag']}]": row["problem"] for row in rows}


def main() -> int:
    """Builds wheels in the published image and uses them in the new one, and the reverse; ends with 1 if one fails."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("image", help="its name, such as manylinux_2_28_x86_64")
    parser.add_argument("--old", metavar="REFERENCE", help="default: what `latest` is in the registry, which is pulled")
    parser.add_argument("--new", metavar="REFERENCE", help="default: `latest` as it was built here")
    options = parser.parse_args()
    image = images.load().image(options.image)
    new = inputs.reference("--new", options.new or f"{image.repository}:latest")
    engine = choose.engine()
    if options.old:
        old = inputs.reference("--old", options.old)
    else:
        place = oci.Reference.parse(f"{image.repository}:latest")
        digest = Registry(place.host).digest(place.repository, "latest")
        if not digest:
            print(f"note: {image.name} is not published: there is nothing to exchange wheels with", file=sys.stderr)
            return 0
        old = f"{image.repository}@{digest}"
        engine.call(engine.pull(old, image.platform.oci))
    problems = exchange(engine, old, new, image.platform.oci)
    for problem in problems:
        print(problem)
    if problems:
        raise errors.Failure(f"{len(problems)} wheels do not go from {old} to {new} or back")
    return 0
