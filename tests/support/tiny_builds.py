"""Builds of a tiny image, made of this machine's own bash, by real engines."""

from __future__ import annotations

import contextlib
import json
import tarfile
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from build import run
from build.options import BuildOptions, parser
from catalogue import images, tags
from engine import probe
from engine.engine import Engine
from host import machine
from host.mirror import Mirror
from host.site import Site
from plan.plan import Plan

MARK = uuid.uuid4().hex
MIRROR = Mirror(f"http://{MARK}.example.org/debian", "", "")
READS_SECRETS = """\
for name in ca pip apt; do text=$(</run/secrets/$name) && [[ $text == *"$MARK"* ]] || exit 1; done
echo built >/built"""


@contextlib.contextmanager
def imported(engine: Engine, root: Path, name: str, platform: str = "") -> Iterator[str]:
    """The reference of an image of the files in `root`, for this machine's platform by default, until it is left."""
    reference, archive = f"localhost/manylinux-test-{name}:{MARK}-{engine.name}", root.with_suffix(".tar")
    with tarfile.open(archive, "w") as tar:
        tar.add(root, ".")
    oci = images.load().platforms[platform or machine.platform()].oci
    engine.call(engine.import_(archive, reference, oci, {}))
    try:
        yield reference
    finally:
        engine.ask(engine.remove(reference))


def root_with(directory: Path, *programs: str) -> Path:
    """A root file system with bash and other programs of this machine."""
    for name in ("bash", *programs):
        probe.copy_with_libraries(name, directory)
    (directory / "bin" / "sh").symlink_to("bash")
    return directory


@dataclass
class Project:
    """A repository whose Dockerfile is tiny, an engine to build it with, and the request."""

    engine: Engine
    root: Path
    plan: Plan
    site: Site

    def dockerfile(self, script: str) -> None:
        """Sets the one step of the build."""
        quoted = json.dumps(script)
        lines = [
            "ARG BASEIMAGE",
            "FROM ${BASEIMAGE} AS first",
            'RUN ["/bin/bash", "-c", "echo first >/first"]',
            "FROM ${BASEIMAGE} AS image",
            "COPY --from=first /first /first",
            "COPY mark /mark",
            f"ENV MARK={MARK}",
            "RUN --mount=type=secret,id=ca --mount=type=secret,id=pip --mount=type=secret,id=apt "
            f'["/bin/bash", "-c", {quoted}]',
        ]
        (self.root / "Dockerfile").write_text("\n".join(lines) + "\n", encoding="utf-8")

    def build(self, *words: str) -> None:
        """What build.sh does from here on."""
        catalogue = images.load()
        options = parser(catalogue).parse_args(words, BuildOptions())
        run.build_and_test(self.engine, self.plan, options, self.site, catalogue)

    def there(self, reference: str) -> bool:
        return self.engine.ask(self.engine.inspect(reference, "{{.Id}}")) is not None

    def identity(self) -> str:
        return self.engine.identity(self.plan.reference)

    def temporary(self) -> list[str]:
        """The temporary tags that runs have left."""
        said = self.engine.ask(self.engine.command("images", "--format", "{{.Repository}}:{{.Tag}}"))
        assert said is not None
        mine = [name for name in said.split() if name.startswith(f"{self.plan.image.repository}:")]
        return [name for name in mine if name.endswith(tags.UNTESTED_HERE)]

    def containers(self) -> set[str]:
        """The containers of this test, also those that a build works in."""
        more = ["--external"] if self.engine.is_podman else [f"--filter=ancestor={self.plan.base}"]
        said = self.engine.ask(self.engine.command("ps", "--all", "--quiet", "--no-trunc", *more))
        assert said is not None
        return set(said.split())
