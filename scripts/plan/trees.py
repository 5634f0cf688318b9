"""The trees of an image: what its stages leave for it, and the digest of what goes into each.

A stage of docker/Dockerfile that has a stand-in `reused-TREE` leaves a tree. The digest of a stage covers its
instructions, the values of its ARGs, the files of the checkout that it copies, and the digests of the stages that it
starts from or copies from. Equal inputs give equal trees, so a build may take a tree from an image that it fits.

Not covered is what may differ within one release of a distribution (DISTRIBUTION): the digest of the base image and the
versions of its packages. Mounts need no digest: a source has its hash in an ARG, a secret is of the site, and
the job server decides how fast something is compiled.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from catalogue.paths import DOCKER, ROOT
from catalogue.pins import env_prefix
from portable import errors

CHECKOUT = "checkout"  # the one stage that copies from the build context
BASE = "${BASEIMAGE}"
WITHIN_A_RELEASE = {"BASEIMAGE", "MISSING_POCKETS"}
REUSED = "reused-"
SHIPPED = {"/rootfs", "/static"}  # what an image has of a tree; what others compile against is in no image


@dataclass(frozen=True)
class _Stage:
    source: str
    steps: tuple[tuple[str, str], ...]  # ("COPY", "--from=... ...")


class Inputs:
    """The stages of a Dockerfile, with the values of the ARGs of one build."""

    def __init__(self, args: Mapping[str, str], dockerfile: Path = DOCKER / "Dockerfile", root: Path = ROOT) -> None:
        self._root = root
        self._values: dict[str, str] = {}
        self._stages: dict[str, _Stage] = {}
        self._digests: dict[str, str] = {}
        self._uses: dict[str, list[tuple[str, frozenset[str]]]] = {}
        name, source = "", ""
        steps: list[tuple[str, str]] = []
        for keyword, rest in _instructions(dockerfile.read_text(encoding="utf-8")):
            if keyword == "FROM":
                source, _, name = rest.rpartition(" AS ")
                steps = []
            elif name:
                steps.append((keyword, rest))
            else:
                key, _, default = rest.partition("=")
                self._values[key] = args.get(key, self._expanded(default.strip('"')))
            if name:
                self._stages[name] = _Stage(source, tuple(steps))
        self.trees = dict(self._trees())
        self.digests = self._digests  # of every stage that a tree of this build depends on
        for stage in self.trees:
            self._digest(stage)

    def _trees(self) -> Iterator[tuple[str, str]]:
        """The stages that leave a tree in this build, each with the ARG that names it."""
        for stage in self._stages:
            switch = f"{env_prefix(tree_of(stage))}_STAGE"
            if f"{REUSED}{tree_of(stage)}" in self._stages and self._values.get(switch) == stage:
                yield stage, switch

    def changed(self, stage: str, theirs: Mapping[str, str]) -> set[str]:
        """Why a stage's digest differs from that in `theirs`: the stages whose own part differs."""
        if theirs.get(stage) == self.digests[stage]:
            return set()
        return {name for used, _ in self._uses[stage] for name in self.changed(used, theirs)} or {stage}

    def compiled_against(self, compiled: Iterable[str]) -> dict[str, str]:
        """The further trees that must be compiled for those that are: what is compiled against is in no image.

        Each with the stage that compiles against it."""
        found: dict[str, str] = {}
        todo, seen = list(compiled), set(compiled)
        while todo:
            stage = todo.pop()
            for used, paths in self._uses[stage]:
                whole = used not in self.trees or not (paths and paths <= SHIPPED)
                if whole and used not in seen:
                    seen.add(used)
                    todo.append(used)
                    found |= {used: stage} if used in self.trees else {}
        return found

    def _digest(self, name: str) -> str:
        if name not in self._digests:
            self._uses[name] = []
            parts = list(self._parts(name))
            self._digests[name] = hashlib.sha256("\n".join(parts).encode()).hexdigest()
        return self._digests[name]

    def _parts(self, name: str) -> Iterator[str]:
        stage = self._stages[name]
        source = self._expanded(stage.source)
        if source in self._stages:
            yield self._used(name, source, ())
        elif stage.source != BASE:
            yield source
        for keyword, rest in stage.steps:
            yield f"{keyword} {rest}"
            if keyword == "ARG":
                for argument in rest.split():
                    if argument not in WITHIN_A_RELEASE:
                        yield f"{argument}={self._value(argument)}"
            elif keyword == "COPY":
                came = re.fullmatch(r"--from=(\S+) (.+) \S+", rest)
                if not came:
                    raise errors.Failure(f"the stage {name} copies from the checkout: only {CHECKOUT} may")
                yield self._used(name, came[1], came[2].split())
            elif keyword not in ("ENV", "RUN"):
                raise errors.Failure(f"the stage {name} has {keyword}: teach scripts/plan/trees.py what goes into it")

    def _used(self, name: str, source: str, paths: Iterable[str]) -> str:
        """The digest of what a stage gets from another one; without paths it starts from there."""
        while not self._stages[source].steps and (start := self._expanded(self._stages[source].source)) in self._stages:
            source = start
        if source == CHECKOUT:
            return "\n".join(line for path in paths for line in self._files(path))
        self._uses[name].append((source, frozenset(paths)))
        return self._digest(source)

    def _files(self, wanted: str) -> Iterator[str]:
        """A line for each file that the stage `checkout` has at, or below, a path, and what that stage does to it."""
        found = 0
        for keyword, rest in self._stages[CHECKOUT].steps:
            if keyword != "COPY":
                yield f"{keyword} {rest}"
                continue
            source, place = rest.split()
            top = self._root / source
            place += top.name if place.endswith("/") else ""
            if f"{wanted}/".startswith(f"{place}/"):
                top /= wanted[len(place) :].lstrip("/")
            elif not place.startswith(f"{wanted}/"):
                continue
            files = [top] if top.is_file() else sorted(path for path in top.rglob("*") if path.is_file())
            for path in files:
                if "__pycache__" not in path.parts:  # .dockerignore leaves them out
                    found += 1
                    digest = hashlib.sha256(path.read_bytes()).hexdigest()
                    yield f"{digest} {path.stat().st_mode & 0o111 != 0} {path.relative_to(self._root)}"
        if not found:
            raise errors.Failure(f"docker/Dockerfile copies {wanted} from the stage {CHECKOUT}, which has no such file")

    def _expanded(self, text: str) -> str:
        return re.sub(r"\$\{(\w+)\}", lambda match: self._value(match[1]), text)

    def _value(self, name: str) -> str:
        if name not in self._values:
            raise errors.Failure(f"docker/Dockerfile uses {name}, but has no ARG {name} before its first stage")
        return self._values[name]


def tree_of(stage: str) -> str:
    """The tree that a stage leaves: cp313-cp313 of interpreter-cp313-cp313."""
    return stage.partition("-")[2]


def _instructions(text: str) -> Iterator[tuple[str, str]]:
    """Keyword and rest of every instruction of a Dockerfile; comments are left out, continued lines joined."""
    lines = re.sub(r"\\\n\s*", "", re.sub(r"(?m)^\s*#.*\n", "", text)).splitlines()
    for line in filter(None, lines):
        keyword, _, rest = line.partition(" ")
        yield keyword, rest
