"""Builds one image and smoke-tests it: what ./build.sh hands over to.

A build goes to a temporary tag; the final one moves only when the smoke tests pass. Wrong input is refused before
anything is built.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import datetime
import fcntl
import hashlib
import importlib.util
import json
import os
import shutil
import sys
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from build import bootstrap, log
from catalogue import bases, checkout, images, pins, tags
from catalogue.model import Catalogue, Image
from catalogue.paths import DOCKER, ROOT
from debian import base as debian_base
from engine import choose, probe
from engine.commands import ENGINES, ImageBuild, Mount, executable_of
from engine.engine import Engine, reason
from host import inputs, machine
from host.mirror import debian_suite
from host.site import Site, container_env, secret_mounts
from plan import plan as plans
from plan.plan import Plan, Request
from portable import errors, outputs, places
from portable.progress import say
from smoke import command as smoke
from sources import command as prefetch
from sources import lock as source_lock

DOCKERFILE = DOCKER / "Dockerfile"
SOURCES = DOCKER / "sources"
LOCK = SOURCES / "lock.json"
NATIVE_HERE = {"amd64": ("amd64", "386"), "arm64": ("arm64", "arm")}  # what these processors run without emulation
CLANG_BUILDERS = ("amd64", "arm64")  # architectures for which a static clang is used as cross compiler

DESCRIPTION = """\
Builds a manylinux or musllinux image and smoke-tests it.

The image is chosen by the environment:

  POLICY       what to build, as in manylinux_2_28 (default: {policy})
  PLATFORM     x86_64, i686, aarch64, ... (default: this machine's)
  VARIANT      {variants} (default: none, the image of the policy itself)
  COMMIT_SHA   the tag (default: latest; latest-partial for an image that is less than the table says)

and built as it says, too:

  MANYLINUX_BUILD_FRONTEND               {engines} (default: the first that works)
  MANYLINUX_BUILDARCH                    the engine's architecture in Go's spelling (default: what it says)
  MANYLINUX_DISABLE_CLANG                1: never cross-compile with clang for another architecture
  MANYLINUX_DISABLE_CLANG_FOR_CPYTHON    1: gcc for CPython even then (default: 1 where PEP 11 prefers gcc)
  MANYLINUX_STATIC_CLANG_IMAGE           the image that holds this clang in /opt/clang (default: the Dockerfile's;
                                         none with --offline or --bootstrap; see `python3 scripts clang`)
  MANYLINUX_BUILD_VERBOSE                1: as --verbose
  SSL_CERT_FILE, PIP_CERT,
  REQUESTS_CA_BUNDLE, CURL_CA_BUNDLE     CAs to trust inside the build, see --ca-bundle
"""

EPILOG = """\
Examples:
  ./build.sh --bootstrap                                      a first image, from nothing but a Debian mirror
  PLATFORM=x86_64 POLICY=manylinux2014 COMMIT_SHA=latest ./build.sh
  POLICY=manylinux_2_36 VARIANT=shared ./build.sh
  POLICY=musllinux_1_2 ./build.sh --interpreters cp39-cp39,cp313-cp313
  POLICY=manylinux_2_34 ./build.sh --print
"""


def parser(catalogue: Catalogue) -> argparse.ArgumentParser:
    """The command line of ./build.sh."""
    command = argparse.ArgumentParser(
        prog="./build.sh",
        description=DESCRIPTION.format(
            policy=catalogue.default_policy,
            variants=", ".join(catalogue.variants),
            engines=", ".join(ENGINES),
        ),
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    what = command.add_argument_group("what to build")
    what.add_argument("--variant", metavar="NAME", help="instead of VARIANT")
    what.add_argument("--interpreters", type=_names, metavar="TAG,...", help="only these of /opt/python")
    what.add_argument("--components", type=_names, metavar="NAME,...", help="compile exactly these, not the table's")
    what.add_argument("--base", metavar="IMAGE", help="build on this image instead of the table's")
    how = command.add_argument_group("how")
    how.add_argument(
        "--bootstrap",
        action="store_true",
        help=f"start from nothing, on Debian as root: get an engine, make the base image, fetch the sources that the "
        f"Debian mirror has, build and test (default POLICY: {catalogue.bootstrap_policy})",
    )
    how.add_argument(
        "--offline",
        action="store_true",
        help="take sources from docker/sources only (see `invoke prefetch`); a distribution's mirror and the Python "
        "index are still used",
    )
    how.add_argument(
        "--lock", type=Path, metavar="FILE", help="pins of local sources (default: docker/sources/lock.json)"
    )
    how.add_argument(
        "--ca-bundle",
        type=Path,
        metavar="FILE",
        help="PEM file of the CAs to trust inside the build; it is in no layer (default: SSL_CERT_FILE, PIP_CERT, "
        "REQUESTS_CA_BUNDLE or CURL_CA_BUNDLE, else the system's bundle if it holds CAs that certifi lacks)",
    )
    how.add_argument(
        "--stage",
        default="",
        metavar="NAME",
        help="build only up to this stage of docker/Dockerfile, as in component-zstd, and print a tag for it",
    )
    how.add_argument(
        "--verbose",
        action="store_true",
        default=os.environ.get(inputs.VERBOSE) == "1",
        help="show all that the engine says, instead of the stages, with the rest in a file of build/logs",
    )
    how.add_argument("--no-test", action="store_true", help="tag the image without smoke-testing it")
    how.add_argument(
        "--update-system",
        action="store_true",
        help="bring the distribution up to date although its layer is in the cache; what was compiled on it stays",
    )
    how.add_argument("--no-cache", action="store_true", help="build every stage anew")
    how.add_argument(
        "--cache",
        type=Path,
        metavar="DIRECTORY",
        help="keep the layers of each image there, too, where the driver of docker-buildx can; the engine's own cache "
        "serves otherwise",
    )
    for option, text in (("--cache-from", "take layers from there"), ("--cache-to", "leave layers there")):
        how.add_argument(
            option,
            action="append",
            default=[],
            metavar="SPEC",
            help=f"{text}: as docker-buildx says, such as a registry",
        )
    how.add_argument("--junit", type=Path, metavar="FILE", help="write the smoke tests' results there as JUnit XML")
    how.add_argument(
        "--print",
        action="store_true",
        help="only print the engine's command, or with --bootstrap what it would do; needs no engine",
    )
    return command


def _names(text: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys(name for name in text.replace(",", " ").split()))


# --- From a request to a build ------------------------------------------------------------------------------


def chosen_image(catalogue: Catalogue, variant: str | None, default_policy: str) -> Image:
    """The image that POLICY, PLATFORM and VARIANT name; a `variant` that is not None counts instead of the last.

    Raises UserError when there is none."""
    variant = os.environ.get("VARIANT", "") if variant is None else variant
    policy = os.environ.get("POLICY") or default_policy
    return catalogue.find(policy, machine.platform(os.environ.get("PLATFORM", "")), variant)


def request_of(options: argparse.Namespace) -> Request:
    """What the command line and COMMIT_SHA ask for. Raises UserError for an unusable lock."""
    lock = options.lock
    if lock is None and (options.offline or options.bootstrap) and LOCK.exists():
        lock = LOCK
    return Request(
        interpreters=options.interpreters,
        components=options.components,
        lock=source_lock.load(lock) if lock else None,
        base=options.base,
        tag=os.environ.get("COMMIT_SHA") or None,
    )


@dataclass(frozen=True)
class Clang:
    """Whether and how a static clang of the builder's architecture cross-compiles the image's own components.

    `image` holds it; "": the Dockerfile's."""

    builder: str
    used: bool
    for_cpython: bool
    image: str = ""

    @property
    def args(self) -> dict[str, str]:
        """Build arguments; what equals the Dockerfile's default is left out."""
        if not self.used:
            return {}
        args = {"CLANG_STAGE": "cross-clang", "CLANG_PLATFORM": f"linux/{self.builder}"}
        args |= {"CLANG_FOR_CPYTHON_STAGE": "cross-clang"} if self.for_cpython else {}
        return args | ({"STATIC_CLANG_IMAGE": self.image} if self.image else {})


def clang_for(image: Image, builder: str, offline: bool, env: Mapping[str, str] = os.environ) -> Clang:
    """The decision for an image on a builder: off where it runs natively.

    The Dockerfile's comes from a registry: an offline build has a clang only where the environment names one."""
    builder = env.get(inputs.BUILDARCH) or builder
    named = env.get(inputs.STATIC_CLANG_IMAGE) or ""
    native = runs_natively(image, builder)
    wanted = not _disabled(env, inputs.DISABLE_CLANG, "0") and bool(named or not offline)
    used = wanted and not native and builder in CLANG_BUILDERS
    prefers_gcc = image.policy.libc == "glibc" and image.platform.cpython_prefers_gcc
    without = _disabled(env, inputs.DISABLE_CLANG_FOR_CPYTHON, "1" if prefers_gcc else "0")
    return Clang(builder, used, used and not without, named)


def runs_natively(image: Image, builder: str) -> bool:
    """Whether a builder, in Go's spelling, runs an image without emulation."""
    return image.platform.go in NATIVE_HERE.get(builder, (builder,))


def _disabled(env: Mapping[str, str], name: str, default: str) -> bool:
    return inputs.switch(name, env.get(name) or default)


@dataclass(frozen=True)
class Base:
    """The base image of a build: how the engine is asked for it, and its digest, "" where nobody knows it."""

    reference: str
    digest: str

    @property
    def local(self) -> bool:
        """Whether it was made here and is in no registry."""
        return self.reference.startswith("localhost/")


def base_of(plan: Plan, path: Path | None = None) -> Base:
    """The base of a plan, by the digest that docker/bases.toml pins, if it does."""
    digest = bases.load(path).get(plan.base, "")
    if not digest:
        return Base(plan.base, plan.base.partition("@")[2])
    head, _, tail = plan.base.rpartition("/")  # podman refuses a tag and a digest at once
    return Base(f"{head}/{tail.partition(':')[0]}@{digest}", digest)


def build_of(
    plan: Plan,
    options: argparse.Namespace,
    site: Site,
    clang: Clang,
    secrets: Mapping[str, Path],
    base: Base,
) -> ImageBuild:
    """The engine's build that a plan comes to, under its temporary tag."""
    labels = {**plan.labels, "org.opencontainers.image.version": plan.tag}
    labels["org.opencontainers.image.revision"] = checkout.revision()
    labels |= {"org.opencontainers.image.base.digest": base.digest} if base.digest else {}
    update = {}
    if options.update_system:  # once a day is enough
        update = {"IMAGE_SYSTEM": "updated-system", "SYSTEM_UPDATED": f"{datetime.datetime.now(datetime.UTC):%Y-%m-%d}"}
    return ImageBuild(
        context=ROOT,
        dockerfile=DOCKERFILE,
        tag=stage_tag(plan, options.stage) if options.stage else temporary_tag(plan),
        platform=plan.image.platform.oci,
        args={**plan.build_args, "BASEIMAGE": base.reference, **clang.args, **update},
        inherited=site.proxies,
        labels=labels,
        secrets=secrets,
        target=options.stage or plan.image.variant or "image",
        no_cache=options.no_cache,
        cache_from=tuple(options.cache_from),
        cache_to=tuple(options.cache_to),
    )


def with_cache(options: argparse.Namespace, image: Image, exports: bool) -> argparse.Namespace:
    """The options with --cache in BuildKit's words, or without any cache where the builder cannot export one.

    BuildKit never removes anything from a directory: each build fills a new one, see `keep_cache`."""
    given = {name: list(getattr(options, name)) for name in ("cache_from", "cache_to")}
    if not exports:
        if options.cache or any(given.values()):
            say("the engine's own cache serves: this builder cannot keep one elsewhere")
        return argparse.Namespace(**{**vars(options), "cache": None, "cache_from": [], "cache_to": []})
    if options.cache:
        place = cache_place(options, image)
        given["cache_from"] += [f"type=local,src={place}"] if (place / "index.json").is_file() else []
        given["cache_to"] += [f"type=local,dest={place}.new,mode=max"]
    return argparse.Namespace(**{**vars(options), **given})


@contextlib.contextmanager
def cache_alone(options: argparse.Namespace, image: Image) -> Iterator[argparse.Namespace]:
    """The options with --cache only if no other build, of another tag, is using this image's part of it."""
    if not options.cache:
        yield options
        return
    place = cache_place(options, image)
    place.parent.mkdir(parents=True, exist_ok=True)
    with _lock_of(str(place)) as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say(f"another build is using {place}: the engine's own cache serves")
            yield argparse.Namespace(**{**vars(options), "cache": None})
            return
        # What a build that was killed has left
        if not place.exists() and _beside(place, "old").exists():
            _beside(place, "old").rename(place)
        for name in ("old", "new"):
            shutil.rmtree(_beside(place, name), ignore_errors=True)
        yield options


def keep_cache(options: argparse.Namespace, image: Image) -> None:
    """Puts the cache that a build has just filled in the place of the one before; says so where it cannot."""
    if not options.cache or not (made := _beside(place := cache_place(options, image), "new")).is_dir():
        return
    try:
        if place.exists():
            place.rename(_beside(place, "old"))
        made.rename(place)
    except OSError as error:
        say(f"the layers are not kept: {errors.of_system(error)}")
    shutil.rmtree(_beside(place, "old"), ignore_errors=True)


def cache_place(options: argparse.Namespace, image: Image) -> Path:
    """Where --cache keeps the layers of an image."""
    return Path(options.cache).resolve() / image.name


def _beside(place: Path, suffix: str) -> Path:
    return place.with_name(f"{place.name}.{suffix}")


def temporary_tag(plan: Plan, run: str = "") -> str:
    """Where a build goes before it is tested. Each run has a place of its own, which nobody else moves meanwhile."""
    return (f"{plan.image.repository}:{run}" if run else plan.reference) + tags.UNTESTED_HERE


def stage_tag(plan: Plan, stage: str) -> str:
    """The tag of a stage of the Dockerfile that was built alone."""
    return f"{plan.reference}-{stage}"


# --- Doing it -----------------------------------------------------------------------------------------------


def print_command(plan: Plan, options: argparse.Namespace, site: Site, frontend: str) -> None:
    """Prints the build's command for a shell, docker-buildx's unless told otherwise.

    Secrets that only exist during a build stand in an invented directory."""
    engine = Engine(frontend or ENGINES[0], executable_of(frontend))
    made = Path("/run/manylinux-site")
    secrets = {key: made / key for key in site.secrets(debian_suite(plan.image.policy.distribution))}
    clang = clang_for(plan.image, machine.go_architecture(), options.offline)
    options = with_cache(options, plan.image, engine.name == "docker-buildx")
    print(engine.shell(engine.build(build_of(plan, options, site, clang, secrets, base_of(plan)))))
    if secrets:
        note = f"build.sh writes the secrets {', '.join(secrets)} to a temporary directory; here: {made}"
        print(f"note: {note}", file=sys.stderr)


def check_sources(plan: Plan, sources: Path = SOURCES, stage: str = "") -> None:
    """Raises UserError naming every file that an offline build would miss or that is not what its pin says.

    The stage of a component, if that is all that is built, needs no interpreter."""
    wrong = []
    for name in sorted(plan.component_pins if stage.startswith("component-") else plan.source_pins):
        pin = plan.pins[name].for_arch(plan.image.platform.go)
        path = sources / name / pin.file_name
        if not path.is_file():
            wrong.append(f"{name} {pin.version} is missing ({path})")
        elif _sha256(path) != pin.sha256:
            wrong.append(f"{path} is not what its pin says")
    if wrong:
        raise errors.UserError(f"{'; '.join(wrong)}: run `invoke prefetch`, or drop --offline")


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def make_source_directories(catalogue: Catalogue) -> None:
    """The Dockerfile binds a directory of docker/sources into each stage: they must be there, empty or not."""
    names = {*pins.read(), *(i.pin for i in catalogue.interpreters.values()), "wheelhouse"}
    for name in names:
        (SOURCES / name).mkdir(parents=True, exist_ok=True)


def ensure_base(engine: Engine, base: Base, platform: str) -> Base:
    """Makes sure that the base image is here, and returns it with its digest. Raises Failure, in one line, if not."""
    digests = _base_here(engine, base, platform)
    if digests is None and not base.local:
        engine.ask(engine.pull(base.reference, platform))
        digests = _base_here(engine, base, platform)
    if digests is None:
        raise errors.Failure(
            f"the base image {base.reference} ({platform}) is neither here nor can it be pulled; where a Debian mirror "
            "but no registry can be reached, use ./build.sh --bootstrap, or name an image that is here with --base"
        )
    if base.local or base.digest or not digests:
        return base
    return Base(base.reference, digests[0].rpartition("@")[2])


def _base_here(engine: Engine, base: Base, platform: str) -> list[str] | None:
    """The registry digests of a base image; None if it is not here, or for another platform."""
    said = engine.ask(engine.inspect(base.reference, "{{json .}}"))
    if said is None:
        return None
    found = json.loads(said)
    found = found[0] if isinstance(found, list) else found  # podman's template is given all that were asked for
    wanted = [*platform.split("/"), ""][:3]
    # Not every engine says the variant, and arm64 has but one.
    variant = found.get("Variant") or wanted[2]
    if [found["Os"], found["Architecture"]] != wanted[:2] or (wanted[2] and variant != wanted[2]):
        return None
    return found.get("RepoDigests") or []


def ensure_clang(engine: Engine, clang: Clang) -> None:
    """Makes sure that the clang of a cross compilation is here. Raises Failure, naming the ways out, if not."""
    if not clang.used:
        return
    wanted = Base(clang.image or pins.read()["static-clang"].url, "")
    platform = f"linux/{clang.builder}"
    if _base_here(engine, wanted, platform) is None and not wanted.local:
        engine.ask(engine.pull(wanted.reference, platform))
    if _base_here(engine, wanted, platform) is None:
        raise errors.Failure(
            f"the clang that compiles for other architectures, {wanted.reference} ({platform}), is neither here nor "
            "can it be pulled: make one with `python3 scripts clang` and name it in MANYLINUX_STATIC_CLANG_IMAGE, or "
            "set MANYLINUX_DISABLE_CLANG=1 to compile with the image's own gcc, emulated"
        )


def build_and_test(engine: Engine, plan: Plan, options: argparse.Namespace, site: Site, catalogue: Catalogue) -> None:
    """Builds, tests and tags. Raises Failure, with the final tag untouched, when one of them fails."""
    temporary = temporary_tag(plan, uuid.uuid4().hex[:8])
    with alone(plan.reference) as left:
        _forget_runs(engine, left)
        make_source_directories(catalogue)
        clang = clang_for(plan.image, _engine_architecture(engine), options.offline or options.bootstrap)
        base = ensure_base(engine, base_of(plan), plan.image.platform.oci)
        check_runs(engine, base, plan.image.platform.oci)
        ensure_clang(engine, clang)
        if not clang.used and not runs_natively(plan.image, clang.builder):
            say("compiling with the image's own gcc, emulated; README tells how clang does it many times faster")
        suite = debian_suite(plan.image.policy.distribution)
        if suite and site.mirror:
            mirror, notes = site.mirror.usable(suite, plan.image.platform.debian)
            site = dataclasses.replace(site, mirror=mirror)
            missing = tuple(pocket for pocket in ("updates", "security") if not getattr(mirror, pocket))
            plan = dataclasses.replace(plan, missing_pockets=missing)
            for note in notes:
                say(note)
            if missing:
                say(f"built without Debian's {suite}-{', '.join(missing)}: this image will not be pushed")
        testing = not (options.stage or options.no_test)
        has_pip = bool(importlib.util.find_spec("pip") or shutil.which("uv"))
        if testing and has_pip:  # what cannot be had is heard of before the build
            _fill_wheelhouse(plan, None)
        options = with_cache(options, plan.image, engine.exports_cache(base.local))
        with site.written(suite) as secrets, cache_alone(options, plan.image) as options:
            say(f"building {plan.reference} with {engine.name} ({engine.executable})")
            build = build_of(plan, options, site, clang, secrets, base)
            if not options.stage:
                print(temporary, file=left, flush=True)
                build = dataclasses.replace(build, tag=temporary)
            log.run(engine, build, plan.reference, None if options.verbose else log_of(plan, options.stage))
            keep_cache(options, plan.image)
            if options.stage:
                return
            identity = engine.identity(temporary)
            if testing:
                if not has_pip:
                    _fill_wheelhouse(plan, image_pip(engine, identity, plan, site, secrets))
                _test(engine, identity, temporary, plan, options, site)
        engine.call(engine.tag(identity, plan.reference))
        smoke.remember(plan.reference, plan.expectations())
        _forget_runs(engine, left)
    say(f"{plan.reference} is ready" + ("" if options.no_test else ", and its smoke tests passed"))


def log_of(plan: Plan, stage: str) -> Path:
    """Where all that the engine says of a build goes."""
    return ROOT / "build" / "logs" / f"{'-'.join(filter(None, (plan.image.name, plan.tag, stage)))}.log"


def _forget_runs(engine: Engine, left: IO[str]) -> None:
    """Takes away the temporary tags that runs have noted in `left`; failed and killed ones have kept theirs."""
    left.seek(0)
    for reference in left.read().split():
        engine.ask(engine.untag(reference))
        smoke.forget(reference)
    left.truncate(0)


def _fill_wheelhouse(plan: Plan, run_pip: prefetch.PipRunner | None) -> None:
    minors = {i.minor for i in plan.interpreters}
    prefetch.fill_wheelhouse([minor for minor in prefetch.smoke_minors() if minor in minors], run_pip=run_pip)
    prefetch.fill_shared_wheelhouse(plan.expectations(), run_pip=run_pip)


def _test(
    engine: Engine,
    identity: str,
    temporary: str,
    plan: Plan,
    options: argparse.Namespace,
    site: Site,
) -> None:
    say("smoke tests")
    smoke.remember(temporary, plan.expectations())
    with site.pip_conf_mount() as mounts:
        passed = smoke.run(
            engine, identity, plan.expectations(), junit=options.junit, mounts=mounts, name=plan.reference
        )
    if not passed:
        raise errors.Failure(
            f"the smoke tests of {plan.reference} failed, see above; its tag was not moved, the image is {temporary}"
        )


def image_pip(engine: Engine, identity: str, plan: Plan, site: Site, secrets: Mapping[str, Path]) -> prefetch.PipRunner:
    """Runs the pip of the image that was just built, for machines without one, with the site's CAs and index."""
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


def check_runs(engine: Engine, base: Base, platform: str) -> None:
    """Raises Failure, naming binfmt, when containers of a platform do not run on this machine."""
    done = engine.contain(base.reference, ["/bin/true"], probe.SECONDS, platform=platform, entrypoint="")
    if done.returncode:
        raise errors.Failure(
            f"{base.reference} does not run here as {platform}: a foreign architecture needs QEMU in binfmt_misc "
            "(on Debian: the packages qemu-user-static and binfmt-support, and `update-binfmts --enable` where no "
            "service has done that)"
        )


def _engine_architecture(engine: Engine) -> str:
    template = "{{.Host.Arch}}" if engine.is_podman else "{{.Architecture}}"
    said = engine.ask(engine.command("info", "--format", template)) or ""
    return machine.go_architecture(said)


@contextlib.contextmanager
def alone(reference: str) -> Iterator[IO[str]]:
    """A file to note things of a reference in, with a lock on it. Raises UserError when another build is running."""
    with _lock_of(reference) as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise errors.UserError(f"{reference} is being built already; give this one another COMMIT_SHA") from None
        yield file


def _lock_of(name: str) -> IO[str]:
    directory = places.state() / "builds"
    directory.mkdir(parents=True, exist_ok=True)
    return (directory / hashlib.sha256(name.encode()).hexdigest()[:16]).open("a+", encoding="utf-8")


def describe(plan: Plan) -> None:
    """Says what an image will lack."""
    if plan.left_out:
        reasons: dict[str, list[str]] = {}
        for name, reason in plan.left_out.items():
            reasons.setdefault(reason, []).append(name)
        for reason, names in reasons.items():
            say(f"left out: {', '.join(names)} ({reason})")
        if "cp39-cp39" in plan.left_out:
            say("without cp39-cp39 cibuildwheel cannot use the image: it runs its helpers with it")


def main() -> None:
    """Builds an image as ./build.sh does; see --help."""
    catalogue = images.load()
    options = parser(catalogue).parse_args()
    inputs.build_environment(os.environ, catalogue)
    inputs.build_options(options, os.environ)
    default_policy = catalogue.bootstrap_policy if options.bootstrap else catalogue.default_policy
    frontend = os.environ.get("MANYLINUX_BUILD_FRONTEND", "")
    image = chosen_image(catalogue, options.variant, default_policy)
    plans.plan(image, Request(options.interpreters, options.components))  # refuses what can never be had
    if options.bootstrap:
        debian_base.base_of(image)
    site = Site.of_this_machine(options.ca_bundle)
    outputs.file("--junit", options.junit)
    outputs.directory("--cache", options.cache)
    engine = None
    if options.bootstrap:
        if options.print:
            bootstrap.show(image, site, frontend)
            return
        make_source_directories(catalogue)
        engine, options.base = bootstrap.prepare(image, site, frontend)
    plan = plans.plan(image, request_of(options))
    if options.print:
        print_command(plan, options, site, frontend)
        return
    if options.offline:
        check_sources(plan, stage=options.stage)
    for note in site.notes():
        say(note)
    if not options.bootstrap:  # which has said so when it fetched the sources
        describe(plan)
    engine = engine or choose.engine(frontend, site.reach())
    build_and_test(engine, plan, options, site, catalogue)
    if options.stage:
        print(stage_tag(plan, options.stage))
        return
    if options.bootstrap:
        bootstrap.tell_how_to_use(engine, plan, site.ca)
    print(plan.reference)
