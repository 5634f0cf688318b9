"""`./build.sh`: from the environment and the command line to one build. Invalid input is refused before it starts."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path

from build import bootstrap, cache, cross, options, reuse, run
from build.base import base_of
from build.options import BuildOptions
from catalogue import images
from catalogue.model import Catalogue, Image
from debian import base as debian_base
from engine import choose
from engine.commands import ENGINES, executable_of
from engine.engine import Engine
from host import inputs, machine
from host.mirror import debian_suite
from host.site import Site
from plan.plan import Plan, Request, decide
from portable import outputs
from portable.progress import say
from sources.lock import LOCK, load_lock


def chosen_image(catalogue: Catalogue, variant: str | None, default_policy: str) -> Image:
    """The image that POLICY, PLATFORM and VARIANT name; a `variant` other than None overrides the last.

    Raises UserError when there is none."""
    variant = os.environ.get("VARIANT", "") if variant is None else variant
    policy = os.environ.get("POLICY") or default_policy
    return catalogue.find(policy, machine.platform(os.environ.get("PLATFORM", "")), variant)


def request_of(options: BuildOptions) -> Request:
    """What the command line and COMMIT_SHA ask for. Raises UserError for an unusable lock."""
    lock = options.lock
    if lock is None and (options.offline or options.bootstrap) and LOCK.exists():
        lock = LOCK
    return Request(
        interpreters=options.interpreters,
        components=options.components,
        lock=load_lock(lock) if lock else None,
        base=options.base,
        tag=os.environ.get("COMMIT_SHA") or None,
    )


def print_command(plan: Plan, options: BuildOptions, site: Site) -> None:
    """Prints the build's command for a shell, docker-buildx's unless MANYLINUX_BUILD_FRONTEND names another engine.

    Secrets, which only exist during a build, are in an invented directory."""
    frontend = choose.wanted() or ENGINES[0]
    engine = Engine(frontend, executable_of(frontend))
    made = Path("/run/manylinux-site")
    secrets = {key: made / key for key in site.secrets(debian_suite(plan.image.policy.distribution))}
    clang = cross.clang_for(plan.image, machine.go_architecture(), options.offline)
    source = reuse.look(choose.engine(site.reach()), plan.image, options.reuse) if options.reuse else None
    options = cache.translated(options, plan.image, engine.name == "docker-buildx")
    print(engine.shell(engine.build(run.build_of(plan, options, site, clang, secrets, base_of(plan), source))))
    if secrets:
        note = f"build.sh writes the secrets {', '.join(secrets)} to a temporary directory; here: {made}"
        print(f"note: {note}", file=sys.stderr)


def describe(left_out: Mapping[str, str]) -> None:
    """Says what an image will lack: `left_out` has the reason for each name."""
    reasons: dict[str, list[str]] = {}
    for name, reason in left_out.items():
        reasons.setdefault(reason, []).append(name)
    for reason, names in reasons.items():
        say(f"left out: {', '.join(names)} ({reason})")
    if "cp39-cp39" in left_out:
        say("without cp39-cp39 cibuildwheel cannot use the image: it runs its helpers with it")


def main() -> None:
    """Builds an image as ./build.sh does; see --help."""
    catalogue = images.load()
    given = options.parser(catalogue).parse_args(namespace=BuildOptions())
    inputs.build_environment(os.environ, catalogue)
    options.check(given)
    default_policy = catalogue.bootstrap_policy if given.bootstrap else catalogue.default_policy
    image = chosen_image(catalogue, given.variant, default_policy)
    decide(image, Request(given.interpreters, given.components))  # refuses what no lock can provide
    if given.bootstrap:
        debian_base.debian_base_of(image)
    site = Site.of_this_machine(given.ca_bundle)
    outputs.file("--junit", given.junit)
    outputs.directory("--cache", given.cache)
    engine = None
    if given.bootstrap:
        if given.print:
            bootstrap.show(image, site)
            return
        run.make_source_directories(catalogue)
        engine, given.base = bootstrap.prepare(image, site)
    plan = decide(image, request_of(given))
    if given.print:
        print_command(plan, given, site)
        return
    if given.offline:
        run.check_sources(plan, stage=given.stage)
    for note in site.notes():
        say(note)
    if not given.bootstrap:  # fetching the sources has said it
        describe(plan.left_out)
    engine = engine or choose.engine(site.reach())
    run.build_and_test(engine, plan, given, site, catalogue)
    if given.stage:
        print(run.stage_tag(plan, given.stage))
        return
    if given.bootstrap:
        bootstrap.tell_how_to_use(engine, plan, site.ca)
    print(plan.reference)
