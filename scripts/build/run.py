"""One build: the base and the clang that it needs, the engine's work, the smoke tests, and only then the tag.

A build goes to a temporary tag; the final one moves only when the smoke tests pass.
"""

from __future__ import annotations

import contextlib
import dataclasses
import datetime
import importlib.util
import shutil
import uuid
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO

from build import base as build_base
from build import cache, cross, description, locks, log, reuse
from build.base import BaseImage
from build.cross import CrossClang
from build.options import BuildOptions
from catalogue import checkout, pins, tags
from catalogue.model import Catalogue
from catalogue.paths import DOCKER, ROOT
from engine.commands import ImageBuild, Mount
from engine.engine import Engine, reason
from host.mirror import debian_suite
from host.site import Site, container_env, secret_mounts
from plan import expectations
from plan.plan import Plan
from plan.trees import Inputs
from portable import errors, files
from portable.progress import say
from smoke import passes, record
from sources.lock import SOURCES
from sources.wheelhouse import PipRunner, fill_shared_wheelhouse, fill_wheelhouse, smoke_minors

DOCKERFILE = DOCKER / "Dockerfile"


def build_of(
    plan: Plan,
    options: BuildOptions,
    site: Site,
    clang: CrossClang,
    secrets: Mapping[str, Path],
    base: BaseImage,
    source: reuse.TreeSource | None = None,
) -> ImageBuild:
    """What the engine is asked for to carry out a plan, under its temporary tag; `source` gives the trees that fit."""
    labels = {**plan.labels, "org.opencontainers.image.version": plan.tag}
    labels["org.opencontainers.image.revision"] = checkout.revision()
    labels |= {"org.opencontainers.image.base.digest": base.digest} if base.digest else {}
    update = {}
    if options.update_system:  # once a day is enough
        update = {"IMAGE_SYSTEM": "updated-system", "SYSTEM_UPDATED": f"{datetime.datetime.now(datetime.UTC):%Y-%m-%d}"}
    args = {**plan.build_args, "BASEIMAGE": base.reference, **clang.args, **update}
    inputs = Inputs(args, DOCKERFILE)
    taken = reuse.arguments(inputs, source) if source else {}
    labels |= {"org.pypa.manylinux.reused": source.origin} if source and taken else {}
    told = description.of_build(plan, base, clang, options.update_system, inputs.digests)
    return ImageBuild(
        context=ROOT,
        dockerfile=DOCKERFILE,
        tag=stage_tag(plan, options.stage) if options.stage else temporary_tag(plan),
        platform=plan.image.platform.oci,
        args={**args, **taken, "DESCRIPTION": told},
        inherited=site.proxies,
        labels=labels,
        secrets=secrets,
        target=options.stage or plan.image.variant or "image",
        no_cache=options.no_cache,
        cache_from=tuple(options.cache_from),
        cache_to=tuple(options.cache_to),
    )


def temporary_tag(plan: Plan, run: str = "") -> str:
    """The tag of a build that is not tested yet. Each `run` has its own, so that no other run moves it meanwhile."""
    return (f"{plan.image.repository}:{run}" if run else plan.reference) + tags.UNTESTED_HERE


def stage_tag(plan: Plan, stage: str) -> str:
    """The tag of a stage of the Dockerfile that was built alone."""
    return f"{plan.reference}-{stage}"


def check_sources(plan: Plan, sources: Path = SOURCES, stage: str = "") -> None:
    """Raises UserError, naming every file that an offline build would miss or whose hash differs from its pin's.

    When only the stage of a component is built, no interpreter is needed."""
    wrong = []
    for name in sorted(plan.component_pins if stage.startswith("component-") else plan.source_pins):
        pin = plan.pins[name].for_arch(plan.image.platform.go)
        path = sources / name / pin.file_name
        if not path.is_file():
            wrong.append(f"{name} {pin.version} is missing ({path})")
        elif files.digest(path) != pin.sha256:
            wrong.append(f"{path} is not what its pin says")
    if wrong:
        raise errors.UserError(f"{'; '.join(wrong)}: run `invoke prefetch`, or drop --offline")


def make_source_directories(catalogue: Catalogue) -> None:
    """Makes the directories of docker/sources that the Dockerfile binds into its stages: they may be empty."""
    names = {*pins.read(), *(i.pin for i in catalogue.interpreters.values()), "wheelhouse"}
    for name in names:
        (SOURCES / name).mkdir(parents=True, exist_ok=True)


def build_and_test(engine: Engine, plan: Plan, options: BuildOptions, site: Site, catalogue: Catalogue) -> None:
    """Builds, tests and tags. Raises Failure, with the final tag untouched, when one of them fails."""
    temporary = temporary_tag(plan, uuid.uuid4().hex[:8])
    with alone(plan.reference) as left:
        _forget_runs(engine, left)
        make_source_directories(catalogue)
        clang = cross.clang_for(plan.image, cross.builder_of(engine), options.offline or options.bootstrap)
        base = build_base.ensure(engine, build_base.base_of(plan), plan.image.platform.oci)
        build_base.check_runs(engine, base, plan.image.platform.oci)
        cross.ensure(engine, clang)
        if not clang.used and not cross.runs_natively(plan.image, clang.builder):
            say("compiling with the image's own gcc, emulated; with clang it is many times faster, see README")
        plan, site = with_usable_mirror(plan, site)
        source = source_of(engine, plan, options, left)
        testing = not (options.stage or options.no_test)
        has_pip = bool(importlib.util.find_spec("pip") or shutil.which("uv"))
        if testing and has_pip:  # a missing wheel fails before the build instead of after it
            _fill_wheelhouse(plan, None)
        exports = engine.exports_cache(base.local or bool(source and source.origin != source.reference))
        with site.written(debian_suite(plan.image.policy.distribution)) as secrets:
            with cache.used(options, plan.image, exports) as cached:
                say(f"building {plan.reference} with {engine.name} ({engine.executable})")
                build = build_of(plan, cached, site, clang, secrets, base, source if options.reuse else None)
                if not options.stage:
                    print(temporary, file=left, flush=True)
                    build = dataclasses.replace(build, tag=temporary)
                log.run(engine, build, plan.reference, None if options.verbose else log_of(plan, options.stage))
            if options.stage:
                return
            identity = engine.identity(temporary)
            if testing:
                if not has_pip:
                    _fill_wheelhouse(plan, image_pip(engine, identity, plan, site, secrets))
                _test(engine, identity, temporary, plan, options.junit, site)
        if source and options.compare:
            compare(engine, identity, plan, source)
        engine.call(engine.tag(identity, plan.reference))
        record.remember(plan.reference, expectations.of(plan))
        _forget_runs(engine, left)
    say(f"{plan.reference} is ready" + ("" if options.no_test else ", and its smoke tests passed"))


def with_usable_mirror(plan: Plan, site: Site) -> tuple[Plan, Site]:
    """The plan and the site without what the site's Debian mirror lacks; says what that is."""
    suite = debian_suite(plan.image.policy.distribution)
    if not (suite and site.mirror):
        return plan, site
    mirror, notes = site.mirror.usable(suite, plan.image.platform.debian)
    missing = tuple(pocket for pocket in ("updates", "security") if not getattr(mirror, pocket))
    for note in notes:
        say(note)
    if missing:
        say(f"built without Debian's {suite}-{', '.join(missing)}: this image will not be pushed")
    return dataclasses.replace(plan, missing_pockets=missing), dataclasses.replace(site, mirror=mirror)


def source_of(engine: Engine, plan: Plan, options: BuildOptions, left: IO[str]) -> reuse.TreeSource | None:
    """The image of --reuse or --compare, by its digest in a registry or a temporary tag: nobody moves either."""
    wanted = options.reuse or options.compare
    source = reuse.look(engine, plan.image, wanted) if wanted else None
    if options.compare and source is None:
        raise errors.Failure(f"--compare {options.compare}: there is nothing to compare with")
    if source and "@" not in source.reference:
        mark = f"localhost/manylinux-reused:{uuid.uuid4().hex[:8]}"
        print(mark, file=left, flush=True)
        engine.call(engine.tag(source.reference, mark))
        source = dataclasses.replace(source, reference=mark)
    return source


def compare(engine: Engine, identity: str, plan: Plan, source: reuse.TreeSource) -> None:
    """Raises Failure where trees of equal inputs differ."""
    mine = reuse.examined(engine, identity, plan.reference)
    if mine is None:
        raise errors.Failure(f"{plan.reference} does not say which trees it has")
    differing, equal = reuse.differences(mine, source)
    say(f"{len(equal)} trees equal those of {source.origin}: {', '.join(equal) or 'none has equal inputs'}")
    if differing:
        raise errors.Failure(
            f"{', '.join(differing)}: other files than in {source.origin}, although the inputs are equal. Packages "
            "of the distribution have moved, or scripts/plan/trees.py does not see something that goes in"
        )


def log_of(plan: Plan, stage: str) -> Path:
    """The file for everything that the engine prints during a build."""
    return ROOT / "build" / "logs" / f"{'-'.join(filter(None, (plan.image.name, plan.tag, stage)))}.log"


def _forget_runs(engine: Engine, left: IO[str]) -> None:
    """Removes the temporary tags that runs have noted in `left`: those that failed or were killed have kept theirs."""
    left.seek(0)
    for reference in left.read().split():
        engine.ask(engine.untag(reference))
        record.forget(reference)
    left.truncate(0)


def _fill_wheelhouse(plan: Plan, run_pip: PipRunner | None) -> None:
    minors = {i.minor for i in plan.interpreters}
    fill_wheelhouse([minor for minor in smoke_minors() if minor in minors], run_pip=run_pip)
    fill_shared_wheelhouse(expectations.of(plan), run_pip=run_pip)


def _test(engine: Engine, identity: str, temporary: str, plan: Plan, junit: Path | None, site: Site) -> None:
    say("smoke tests")
    record.remember(temporary, expectations.of(plan))
    with site.pip_conf_mount() as mounts:
        passed = passes.run(engine, identity, expectations.of(plan), junit=junit, mounts=mounts, name=plan.reference)
    if not passed:
        raise errors.Failure(
            f"the smoke tests of {plan.reference} failed, see above; its tag was not moved, the image is {temporary}"
        )


def image_pip(engine: Engine, identity: str, plan: Plan, site: Site, secrets: Mapping[str, Path]) -> PipRunner:
    """Runs the pip of the image that was just built, with the site's CAs and index: this machine may have none."""
    python = f"/opt/python/{plan.tools_python.tag}/bin/python"

    def run(arguments: Sequence[str], directory: Path) -> None:
        done = engine.contain(
            identity,
            [python, "-m", "pip", *arguments],
            mounts=[Mount(directory, "/wheelhouse", read_only=False), *secret_mounts(secrets)],
            env=container_env(secrets),
            inherited=site.proxies,
            workdir="/wheelhouse",
            network=None,
        )
        if done.returncode:
            raise errors.Failure(f"pip of {plan.reference}: {reason(done.stderr or done.stdout)}")

    return run


@contextlib.contextmanager
def alone(reference: str) -> Iterator[IO[str]]:
    """Holds the lock of a reference, on a file to note things in. Raises UserError when another build holds it."""
    with locks.held(reference) as file:
        if file is None:
            raise errors.UserError(f"{reference} is being built already; give this one another COMMIT_SHA")
        yield file
