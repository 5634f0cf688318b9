"""Builds with a real engine: what becomes of tags, containers and secrets when a build ends in one way or another.

The image is a tiny one, made of this machine's own bash, in the place of docker/Dockerfile.
"""

from __future__ import annotations

import functools
import gzip
import json
import os
import re
import shutil
import signal
import struct
import subprocess
import tarfile
import time
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO

import pytest
from tests.support.programs import python, wait_until

from build import base as build_base
from build import run
from build.base import BaseImage
from build.cross import CrossClang
from build.options import BuildOptions, parser
from catalogue import checkout, images, tags
from debian import base as debian_base
from engine import choose, probe
from engine.commands import ENGINES, ImageBuild, executable_of
from engine.engine import Engine
from host import authorities, machine
from host.indexes import Indexes
from host.mirror import Mirror
from host.site import Site
from plan import plan as plans
from portable import environment, errors
from smoke import command as smoke

pytestmark = pytest.mark.engine

ROOT = Path(__file__).resolve().parents[2]
MARK = uuid.uuid4().hex
MIRROR = Mirror(f"http://{MARK}.example.org/debian", "", "")
READS_SECRETS = """\
for name in ca pip apt; do text=$(</run/secrets/$name) && [[ $text == *"$MARK"* ]] || exit 1; done
echo built >/built"""


@dataclass
class Project:
    """A repository whose Dockerfile is tiny, an engine to build it with, and the request."""

    engine: Engine
    root: Path
    plan: plans.Plan
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
        run.build_and_test(
            self.engine,
            self.plan,
            parser(catalogue).parse_args(words, BuildOptions()),
            self.site,
            catalogue,
        )

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


@pytest.fixture(params=ENGINES)
def engine(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Engine:
    """Each engine of this machine; podman with a store of its own, so that nothing else is seen or left there."""
    found, reason = found_engine(request.param)
    if found is None:
        pytest.skip(reason)
    storage = tmp_path / "storage.conf"
    storage.write_text(
        f'[storage]\ndriver = "{found.settings.storage or "overlay"}"\n'
        f'graphroot = "{tmp_path}/graph"\nrunroot = "{tmp_path}/run"\n',
        encoding="utf-8",
    )
    monkeypatch.setenv("CONTAINERS_STORAGE_CONF", str(storage))
    return found


@functools.cache
def found_engine(name: str) -> tuple[Engine | None, str]:
    """The engine of that name, or why it does not do."""
    found, attempts = choose.find(name, Site.of_this_machine().reach())
    return found, "; ".join(map(str, attempts)) or f"there is no {executable_of(name)} on PATH"


@pytest.fixture
def project(engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Project]:
    """A project on a base image of its own; images of it go afterwards."""
    root = tmp_path / "root"
    probe.copy_with_libraries("bash", root)
    for name, target in (("sh", "bash"), ("true", "bash")):
        (root / "bin" / name).symlink_to(target)
    archive = tmp_path / "root.tar"
    with tarfile.open(archive, "w") as tar:
        tar.add(root, ".")
    base = f"localhost/manylinux-test-base:{MARK}-{engine.name}"
    platform = images.load().platforms[machine.platform()].oci
    engine.call(engine.import_(archive, base, platform, {}))
    context = tmp_path / "project"
    context.mkdir()
    (context / "mark").write_text(MARK, encoding="utf-8")
    monkeypatch.setattr(run, "ROOT", context)
    monkeypatch.setattr(run, "DOCKERFILE", context / "Dockerfile")
    monkeypatch.setattr(run, "SOURCES", tmp_path / "sources")
    monkeypatch.setattr(run, "fill_wheelhouse", lambda minors, **rest: None)
    monkeypatch.setattr(Mirror, "usable", lambda mirror, suite, architecture: (mirror, ()))
    ca = tmp_path / "ca.pem"
    ca.write_text(f"-----BEGIN CERTIFICATE-----\nsecret{MARK}\n-----END CERTIFICATE-----\n", encoding="utf-8")
    site = Site(ca, Indexes({"index-url": (f"https://user:password{MARK}@example.org/simple",)}), MIRROR)
    image = images.load().find("manylinux_2_36", machine.platform())
    plan = plans.plan(image, plans.Request(base=base, tag=f"test-{MARK}"))
    made = Project(engine, context, plan, site)
    yield made
    for reference in (plan.reference, *made.temporary(), base):
        engine.ask(engine.remove(reference))


def smoke_tests_that(monkeypatch: pytest.MonkeyPatch, passes: bool) -> list[str]:
    """Makes the smoke tests pass or fail at once; returns the list of what they are run on."""
    seen: list[str] = []

    def tested(engine: Engine, reference: str, *rest: object, **options: object) -> bool:
        seen.append(reference)
        return passes

    monkeypatch.setattr(smoke, "run", tested)
    return seen


def test_a_build_that_passes_gets_its_tag(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = smoke_tests_that(monkeypatch, passes=True)
    before = project.containers()
    project.dockerfile(READS_SECRETS)
    project.build()
    assert seen == [project.identity()], "what is tested is what is tagged"
    assert project.temporary() == []
    assert project.containers() == before
    project.build("--no-test")
    assert len(seen) == 1


def test_one_stage_alone_gets_a_tag_of_its_own(project: Project) -> None:
    project.dockerfile("exit 1")
    project.build("--stage", "first")
    alone = run.stage_tag(project.plan, "first")
    assert project.engine.ask(project.engine.run(alone, ["/bin/bash", "-c", "echo $(</first)"])) == "first"
    assert not project.there(project.plan.reference)
    project.engine.call(project.engine.remove(alone))


def test_a_platform_that_does_not_run_here_is_refused_with_what_to_install(engine: Engine, tmp_path: Path) -> None:
    # An executable for a processor that nobody has made: no QEMU takes it.
    header = struct.pack("<4s5B7x2HIQQQI6H", b"\x7fELF", 2, 1, 1, 0, 0, 2, 0xFEBA, 1, 0, 0, 0, 0, 64, 56, 0, 64, 0, 0)
    program = tmp_path / "root" / "bin" / "true"
    program.parent.mkdir(parents=True)
    program.write_bytes(header)
    program.chmod(0o755)
    archive = tmp_path / "root.tar"
    with tarfile.open(archive, "w") as tar:
        tar.add(tmp_path / "root", ".")
    base = BaseImage(f"localhost/manylinux-test-foreign:{MARK}-{engine.name}")
    platform = images.load().platforms["s390x"].oci
    engine.call(engine.import_(archive, base.reference, platform, {}))
    try:
        with pytest.raises(errors.Failure, match=r"as linux/s390x.* qemu-user-static and binfmt-support"):
            build_base.check_runs(engine, base, platform)
    finally:
        engine.ask(engine.remove(base.reference))


def test_layers_stay_in_a_directory_where_the_builder_can_keep_them_there(
    project: Project, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    cache, engine = tmp_path / "cache", project.engine

    def built() -> str | None:
        project.build("--no-test", "--cache", str(cache))
        return engine.ask(engine.run(project.plan.reference, ["/bin/bash", "-c", "echo $(</made)"]))

    project.dockerfile("echo $RANDOM$RANDOM$RANDOM >/made")
    first = built()
    assert first
    if not engine.exports_cache(local=True):
        assert "the engine's own cache serves" in capfd.readouterr().err
        assert not cache.exists()
        return
    engine.call(engine.remove(project.plan.reference))
    engine.call(engine.command("builder", "prune", "--all", "--force"))
    assert built() == first
    project.dockerfile("echo $RANDOM$RANDOM$RANDOM >/made; echo new")
    assert built() != first
    assert [path.name for path in cache.iterdir()] == [project.plan.image.name]


def test_nothing_of_the_site_is_in_the_image(project: Project, tmp_path: Path) -> None:
    project.dockerfile(READS_SECRETS)
    project.build("--no-test")
    for needle in (f"secret{MARK}", f"password{MARK}", f"{MARK}.example.org"):
        assert found_in_layers(project.engine, project.plan.reference, [needle], tmp_path) == []
    # The search would find it: the same words as a file of the context are in a layer.
    assert found_in_layers(project.engine, project.plan.reference, [MARK], tmp_path) == [MARK]


def test_an_image_without_what_the_mirror_lacks_is_not_complete(project: Project) -> None:
    def label() -> str | None:
        project.dockerfile("exit 0")
        project.build("--no-test")
        template = '{{index .Config.Labels "org.pypa.manylinux.complete"}}'
        return project.engine.ask(project.engine.inspect(project.plan.reference, template))

    assert label() == "false"
    whole = Mirror(MIRROR.main, MIRROR.main, MIRROR.main)
    project.site = replace(project.site, mirror=whole)
    assert label() == "true"


@pytest.fixture
def small_base(engine: Engine, tmp_path: Path) -> Iterator[str]:
    """A base image with what the stage `checkout` needs."""
    for name in ("bash", "chmod", "find", "mkdir", "touch"):
        probe.copy_with_libraries(name, tmp_path / "small")
    (tmp_path / "small/bin/sh").symlink_to("bash")
    archive, reference = tmp_path / "small.tar", f"localhost/manylinux-test-small:{MARK}-{engine.name}"
    with tarfile.open(archive, "w") as tar:
        tar.add(tmp_path / "small", ".")
    engine.call(engine.import_(archive, reference, images.load().platforms[machine.platform()].oci, {}))
    yield reference
    engine.ask(engine.remove(reference))


def test_the_umask_of_the_clone_is_not_in_the_layers(engine: Engine, small_base: str, tmp_path: Path) -> None:
    """One clone is as tight as can be, the other one is writable for the group."""
    layers, seen = [], []
    for umask in (0o077, 0o002):
        context = tmp_path / f"clone-{umask:o}"
        before = os.umask(umask)
        try:
            checkout.call("checkout-index", "--all", f"--prefix={context}/", at=ROOT)
        finally:
            os.umask(before)
        assert (context / "docker").stat().st_mode & 0o777 == 0o777 & ~umask
        dockerfile = tmp_path / "Dockerfile"
        # The others are not needed, and podman looks for their base images all the same.
        stages, middle, _ = (context / "docker/Dockerfile").read_text(encoding="utf-8").partition("AS image-files\n")
        final = "FROM ${BASEIMAGE} AS probe\n"
        final += "COPY --from=checkout /manylinux /manylinux\nCOPY --from=image-files /rootfs /\n"
        dockerfile.write_text(stages + middle + final, encoding="utf-8")
        tag = f"localhost/manylinux-test-clone:{MARK}-{umask:o}"
        made = ImageBuild(
            context=context, dockerfile=dockerfile, tag=tag, args={"BASEIMAGE": small_base}, target="probe"
        )
        engine.call(engine.build(replace(made, no_cache=True)))
        said = engine.ask(engine.inspect(tag, "{{json .RootFS.Layers}}"))
        layers.append(json.loads(said or "[]")[-1])
        listing = engine.run(
            tag,
            ["/bin/find", "/usr/local", "/opt", "/manylinux", "-mindepth", "1", "-printf", "%m %T@ %p\\n"],
            entrypoint="",
        )
        seen.append(engine.ask(listing) or "")
        engine.ask(engine.remove(tag))
    modes = {line.split()[0] for line in seen[0].splitlines()}
    assert modes == {"644", "755"}
    assert "755 315619200.0000000000 /usr/local/bin/manylinux-entrypoint" in seen[0]
    assert seen[0] == seen[1]
    assert layers[0] == layers[1] != ""


def found_in_layers(engine: Engine, reference: str, needles: Sequence[str], directory: Path) -> list[str]:
    """Which words are anywhere in an image: its layers, its configuration, its history."""
    saved = directory / "saved.tar"
    saved.unlink(missing_ok=True)
    engine.call(engine.command("save", "--output", str(saved), reference))
    found: set[str] = set()
    with tarfile.open(saved) as archive:
        for member in archive:
            if content := archive.extractfile(member):
                compressed = content.read(2) == b"\x1f\x8b"
                content.seek(0)
                found |= found_in(gzip.GzipFile(fileobj=content) if compressed else content, needles)
    saved.unlink()
    return [needle for needle in needles if needle in found]


def found_in(stream: IO[bytes] | gzip.GzipFile, needles: Sequence[str]) -> set[str]:
    """The words that a stream holds; they may lie across the border of two reads."""
    wanted = {needle: needle.encode() for needle in needles}
    longest = max(map(len, wanted.values()))
    found, window = set(), b""
    while chunk := stream.read(1 << 22):
        window = window[-longest:] + chunk
        found |= {needle for needle, raw in wanted.items() if raw in window}
    return found


@pytest.mark.slow
@pytest.mark.skipif(not os.environ.get("MANYLINUX_TEST_IMAGE"), reason="MANYLINUX_TEST_IMAGE is not set")
def test_nothing_of_this_site_is_in_a_real_image(tmp_path: Path) -> None:
    site = Site.of_this_machine()
    needles = [line for line in site.secrets("bookworm").get("apt", "").splitlines() if line.startswith("deb ")]
    needles += [value for key in environment.PIP_PLACES for value in site.indexes.settings.get(key, ())]
    if site.ca:
        public = authorities.distribution_cas() | authorities.certifi_cas(site.ca)
        own = authorities.certificates(site.ca.read_text(encoding="utf-8")) - public
        needles += [body[64:128] for body in own]  # the second line of each
    if not needles:
        pytest.skip("this machine has no settings of a site")
    engine = choose.engine()
    assert found_in_layers(engine, os.environ["MANYLINUX_TEST_IMAGE"], needles, tmp_path) == []


def test_wheels_that_cannot_be_had_are_heard_of_before_the_build(
    project: Project, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    def refuse(minors: list[str], **rest: object) -> None:
        raise errors.Failure("the index does not answer")

    monkeypatch.setattr(run, "fill_wheelhouse", refuse)
    project.dockerfile("exit 0")
    with pytest.raises(errors.Failure, match="does not answer"):
        project.build()
    assert "building" not in capfd.readouterr().err


def test_a_build_that_fails_leaves_nothing(project: Project) -> None:
    before = project.containers()
    project.dockerfile("echo the last word; exit 3")
    with pytest.raises(errors.Failure, match=r"failed in image; no tag was moved(?s:.*)the last word") as caught:
        project.build("--no-test")
    log = Path(str(caught.value).rpartition(": ")[2])
    assert "the last word" in log.read_text(encoding="utf-8")
    with pytest.raises(errors.Failure, match="failed in image, see above"):
        project.build("--no-test", "--verbose")
    assert not project.there(project.plan.reference)
    assert project.temporary() == []
    assert project.containers() == before


def test_failing_smoke_tests_leave_the_tag_where_it_was(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    project.dockerfile("echo 1 >/version")
    project.build("--no-test")
    first = project.identity()
    smoke_tests_that(monkeypatch, passes=False)
    project.dockerfile("echo 2 >/version")
    with pytest.raises(errors.Failure, match=r"smoke tests .* failed.*its tag was not moved"):
        project.build()
    assert project.identity() == first
    (left,) = project.temporary()
    with pytest.raises(errors.Failure):
        project.build()
    (another,) = project.temporary()
    assert another != left, "each run has one of its own, and the next one takes it away"
    smoke_tests_that(monkeypatch, passes=True)
    project.build()
    assert project.temporary() == [] and project.identity() != first


def test_a_tag_that_moves_meanwhile_is_not_what_is_tagged(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    project.dockerfile("echo 1 >/version")
    project.build("--no-test")
    other = project.identity()
    tested = []

    def passes(engine: Engine, identity: str, *rest: object, **options: object) -> bool:
        (temporary,) = project.temporary()
        engine.call(engine.tag(project.plan.base, temporary))
        tested.append(identity)
        return True

    monkeypatch.setattr(smoke, "run", passes)
    project.dockerfile("echo 2 >/version")
    project.build()
    assert tested == [project.identity()] and tested != [other]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_cancelled_build_leaves_nothing(project: Project, number: signal.Signals) -> None:
    before = project.containers()
    project.dockerfile("echo waiting; while :; do read -r -t 1 < <(:); done")
    code = (
        "import sys; from engine.engine import Engine; from engine.settings import EngineSettings\n"
        "from portable import errors\n"
        f"engine = {project.engine!r}\n"
        f"argv = {project.engine.build(command_of(project))!r}\n"
        "sys.exit(errors.run(lambda: engine.stream(argv, sys.stderr.write)))\n"
    )
    process = python(code, stderr=subprocess.PIPE)
    assert process.stderr is not None
    for line in process.stderr:
        # The step itself is shown before it runs.
        if re.search(r"waiting\s*$", line) and "echo" not in line:
            break
    process.send_signal(number)
    started = time.monotonic()
    process.communicate(timeout=60)
    assert process.returncode == 130
    assert time.monotonic() - started < 30
    assert project.temporary() == []
    wait_until(lambda: not running(project), 10)  # docker's daemon ends the step on its own time
    assert running(project) == []
    assert project.containers() == before


def command_of(project: Project) -> ImageBuild:
    clang = CrossClang("amd64", used=False, for_cpython=False)
    return run.build_of(project.plan, BuildOptions(), Site(), clang, {}, build_base.base_of(project.plan))


def running(project: Project) -> list[str]:
    """The processes of this test's build step that are alive."""
    found = []
    for directory in Path("/proc").glob("[0-9]*"):
        try:
            words, variables = (directory / "cmdline").read_bytes(), (directory / "environ").read_bytes()
        except OSError:
            continue
        if b"echo waiting" in words and MARK.encode() in variables and directory.name != str(os.getpid()):
            found.append(directory.name)
    return found


def test_an_unreachable_base_names_the_way_out(project: Project) -> None:
    base = BaseImage(f"localhost/nowhere:{MARK}")
    with pytest.raises(errors.Failure, match="--bootstrap") as caught:
        build_base.ensure(project.engine, base, project.plan.image.platform.oci)
    assert "\n" not in str(caught.value)
    remote = BaseImage(f"registry.invalid/nowhere:{MARK}")
    with pytest.raises(errors.Failure, match="--bootstrap"):
        build_base.ensure(project.engine, remote, project.plan.image.platform.oci)


def test_a_base_of_another_architecture_is_not_taken(project: Project) -> None:
    with pytest.raises(errors.Failure, match="neither here nor can it be pulled"):
        build_base.ensure(project.engine, build_base.base_of(project.plan), "linux/s390x")


@pytest.mark.network
@pytest.mark.slow
@pytest.mark.skipif(not shutil.which("mmdebstrap"), reason="needs mmdebstrap: apt-get install mmdebstrap")
def test_a_base_is_made_once(
    engine: Engine, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    mirror = Mirror.of_this_machine()
    if mirror is None:
        pytest.skip("this machine has no Debian mirror")
    architecture = machine.debian_architecture()
    oci = images.load().platforms[machine.platform()].oci
    base = debian_base.Base("bookworm", f"test-{MARK}", architecture, oci)
    try:
        assert debian_base.ensure_base(engine, base, mirror) == base.reference
        first = engine.ask(engine.inspect(base.reference, "{{.Id}}"))
        assert "with mmdebstrap" in capfd.readouterr().err
        debian_base.ensure_base(engine, base, mirror)
        assert "is up to date" in capfd.readouterr().err
        assert engine.ask(engine.inspect(base.reference, "{{.Id}}")) == first
        script = "cat /etc/os-release /etc/apt/sources.list; ls /etc/resolv.conf.orig /var/log /var/lib/apt/lists"
        said = engine.ask(engine.run(base.reference, ["sh", "-c", f"{script} 2>/dev/null || true"]))
        assert said is not None and "bookworm" in said and "signed-by" not in said
    finally:
        engine.ask(engine.remove(base.reference))
