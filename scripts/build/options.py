"""The command line of ./build.sh."""

from __future__ import annotations

import argparse
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from build import reuse
from catalogue import pins
from catalogue.model import Catalogue
from engine.commands import ENGINES
from host import inputs
from portable import errors

DESCRIPTION = """\
Builds a manylinux or musllinux image and smoke-tests it.

Environment variables choose the image:

  POLICY       such as manylinux_2_28 (default: {policy})
  PLATFORM     x86_64, i686, aarch64, ... (default: this machine's)
  VARIANT      {variants} (default: none, the image of the policy itself)
  COMMIT_SHA   the tag (default: latest; latest-partial for an image that has less than the table says)

and how it is built:

  MANYLINUX_BUILD_FRONTEND               {engines} (default: the first that works)
  MANYLINUX_BUILDARCH                    the engine's architecture in Go's spelling (default: what the engine says)
  MANYLINUX_DISABLE_CLANG                1: never cross-compile with clang
  MANYLINUX_DISABLE_CLANG_FOR_CPYTHON    1: compile CPython with gcc even then (default: 1 where PEP 11 prefers gcc)
  MANYLINUX_STATIC_CLANG_IMAGE           the image that has this clang in /opt/clang (default: the Dockerfile's;
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
  POLICY=manylinux_2_34 ./build.sh --reuse latest
  POLICY=manylinux_2_34 ./build.sh --print
"""


@dataclass
class BuildOptions:
    """The options of ./build.sh with their defaults."""

    variant: str | None = None
    interpreters: tuple[str, ...] | None = None
    components: tuple[str, ...] | None = None
    base: str | None = None
    bootstrap: bool = False
    offline: bool = False
    lock: Path | None = None
    ca_bundle: Path | None = None
    stage: str = ""
    verbose: bool = field(default_factory=lambda: os.environ.get(inputs.VERBOSE) == "1")
    no_test: bool = False
    update_system: bool = False
    no_cache: bool = False
    reuse: str = ""
    compare: str = ""
    cache: Path | None = None
    cache_from: list[str] = field(default_factory=list)
    cache_to: list[str] = field(default_factory=list)
    junit: Path | None = None
    print: bool = False


def parser(catalogue: Catalogue) -> argparse.ArgumentParser:
    """The command line; the defaults are those of BuildOptions."""
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
    what.add_argument("--variant", metavar="NAME", help="overrides VARIANT")
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
        help="take sources from docker/sources only (see `invoke prefetch`); the distribution's mirror and the Python "
        "index are still used",
    )
    how.add_argument(
        "--lock", type=Path, metavar="FILE", help="pins of local sources (default: docker/sources/lock.json)"
    )
    how.add_argument(
        "--ca-bundle",
        type=Path,
        metavar="FILE",
        help="PEM file of the CAs to trust inside the build; no layer contains it (default: SSL_CERT_FILE, PIP_CERT, "
        "REQUESTS_CA_BUNDLE or CURL_CA_BUNDLE, else the system's bundle if it has CAs that certifi lacks)",
    )
    how.add_argument(
        "--stage",
        metavar="NAME",
        help="build only up to this stage of docker/Dockerfile, such as component-zstd, and print its tag",
    )
    how.add_argument(
        "--verbose",
        action="store_true",
        help="show everything that the engine prints; otherwise only the stages are shown, and a file of build/logs "
        "has the rest",
    )
    how.add_argument("--no-test", action="store_true", help="tag the image without smoke-testing it")
    how.add_argument(
        "--update-system",
        action="store_true",
        help="update the distribution's packages even if their layer is cached; what was compiled on it stays",
    )
    how.add_argument("--no-cache", action="store_true", help="build every stage again")
    how.add_argument(
        "--reuse",
        metavar="REFERENCE",
        help="take what has equal inputs from this image instead of compiling it, see docs/reuse.md; a tag alone is "
        "one of the image's own repository, as in --reuse latest",
    )
    how.add_argument(
        "--compare",
        metavar="REFERENCE",
        help="compile everything, and fail if something has other files than in this image although its inputs are "
        "equal",
    )
    how.add_argument(
        "--cache",
        type=Path,
        metavar="DIRECTORY",
        help="keep the layers of each image there as well, if the driver of docker-buildx can do that; the engine's "
        "own cache is used otherwise",
    )
    for option, text in (("--cache-from", "take layers from there"), ("--cache-to", "leave layers there")):
        how.add_argument(
            option, action="append", metavar="SPEC", help=f"{text}, such as a registry, in the syntax of docker-buildx"
        )
    how.add_argument("--junit", type=Path, metavar="FILE", help="write the smoke tests' results to it as JUnit XML")
    how.add_argument(
        "--print",
        action="store_true",
        help="only print the engine's command, or with --bootstrap the steps; needs no engine without --reuse",
    )
    return command


def _names(text: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys(name for name in text.replace(",", " ").split()))


def check(options: BuildOptions, env: Mapping[str, str] = os.environ) -> None:
    """Raises UserError for a wrong option, if no plan will look at it."""
    if options.base is not None:
        inputs.reference("--base", options.base)
    if options.stage:
        inputs.one_of("--stage", options.stage, pins.stages())
        inputs.tag("COMMIT_SHA", env.get("COMMIT_SHA") or "latest", f"-{options.stage}")
    if options.bootstrap and options.base is not None:
        raise errors.UserError("--bootstrap makes the base image itself: leave out --base, or --bootstrap")
    for option, value in (("--reuse", options.reuse), ("--compare", options.compare)):
        if value:
            reuse.check(option, value)
    if (options.reuse or options.compare) and options.stage:
        raise errors.UserError("--stage builds what it names: leave out --reuse and --compare, or --stage")
    if options.reuse and options.compare:
        raise errors.UserError("--compare compiles everything: leave out --reuse, or --compare")
    for option, values in (("--cache-from", options.cache_from), ("--cache-to", options.cache_to)):
        if not all(values):
            raise errors.UserError(f"{option}: it is empty: name a cache as docker-buildx does, or leave it out")
