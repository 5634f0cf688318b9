"""Builds with a real engine: what becomes of tags, containers and secrets when a build ends in one way or another.

The image is a tiny one, made of this machine's own bash, in the place of docker/Dockerfile.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import struct
import subprocess
import time
from pathlib import Path

import pytest
from tests.support.programs import python, wait_until
from tests.support.tiny_builds import MARK, READS_SECRETS, Project, imported

from build import base as build_base
from build import run
from build.base import BaseImage
from build.cross import CrossClang
from build.options import BuildOptions
from catalogue import images
from debian import base as debian_base
from engine.commands import ImageBuild
from engine.engine import Engine
from host import machine
from host.mirror import Mirror
from host.site import Site
from portable import errors
from smoke import passes

pytestmark = pytest.mark.engine


def smoke_tests_that(monkeypatch: pytest.MonkeyPatch, succeed: bool) -> list[str]:
    """Makes the smoke tests pass or fail at once; returns the list of what they are run on."""
    seen: list[str] = []

    def tested(engine: Engine, reference: str, *rest: object, **options: object) -> bool:
        seen.append(reference)
        return succeed

    monkeypatch.setattr(passes, "run", tested)
    return seen


def test_a_build_that_passes_gets_its_tag(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = smoke_tests_that(monkeypatch, succeed=True)
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


def test_a_platform_that_does_not_run_here_is_refused_with_what_to_install(each_engine: Engine, tmp_path: Path) -> None:
    # An executable for a processor that nobody has made: no QEMU takes it.
    header = struct.pack("<4s5B7x2HIQQQI6H", b"\x7fELF", 2, 1, 1, 0, 0, 2, 0xFEBA, 1, 0, 0, 0, 0, 64, 56, 0, 64, 0, 0)
    program = tmp_path / "root" / "bin" / "true"
    program.parent.mkdir(parents=True)
    program.write_bytes(header)
    program.chmod(0o755)
    with (
        imported(each_engine, tmp_path / "root", "foreign", "s390x") as reference,
        pytest.raises(errors.Failure, match=r"as linux/s390x.* qemu-user-static and binfmt-support"),
    ):
        build_base.check_runs(each_engine, BaseImage(reference), "linux/s390x")


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
    smoke_tests_that(monkeypatch, succeed=False)
    project.dockerfile("echo 2 >/version")
    with pytest.raises(errors.Failure, match=r"smoke tests .* failed.*its tag was not moved"):
        project.build()
    assert project.identity() == first
    (left,) = project.temporary()
    with pytest.raises(errors.Failure):
        project.build()
    (another,) = project.temporary()
    assert another != left, "each run has one of its own, and the next one takes it away"
    smoke_tests_that(monkeypatch, succeed=True)
    project.build()
    assert project.temporary() == [] and project.identity() != first


def test_a_tag_that_moves_meanwhile_is_not_what_is_tagged(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    project.dockerfile("echo 1 >/version")
    project.build("--no-test")
    other = project.identity()
    tested = []

    def passing(engine: Engine, identity: str, *rest: object, **options: object) -> bool:
        (temporary,) = project.temporary()
        engine.call(engine.tag(project.plan.base, temporary))
        tested.append(identity)
        return True

    monkeypatch.setattr(passes, "run", passing)
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
def test_a_base_is_made_once(each_engine: Engine, capfd: pytest.CaptureFixture[str]) -> None:
    engine, mirror = each_engine, Mirror.of_this_machine()
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
