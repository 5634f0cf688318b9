"""Builds, tests and ships images: `invoke --list`, or `./scripts/dev invoke --list` on a machine without invoke.

Images are named `<policy>_<platform>[-<variant>]`; tasks for several images take globs as well. Each task calls a
command of scripts/, so that everything works without invoke. The module is long because a task says every option once
more, as invoke needs it: it holds nothing else.
"""

from __future__ import annotations

import contextlib
import os
import shlex
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType
from typing import TypeVar

from invoke.collection import Collection
from invoke.context import Context
from invoke.exceptions import Exit
from invoke.tasks import task

sys.path.insert(0, str(Path(__file__).resolve().parent / "scripts"))

from catalogue import images
from catalogue.model import Image
from catalogue.paths import ROOT
from engine import choose
from engine.commands import Mount
from engine.engine import Engine
from host import inputs
from portable import environment, errors
from smoke import record
from sources.lock import LOCK

T = TypeVar("T")
environment.forget_python()  # PYTHONSAFEPATH and the like are meant for other programs of the caller


def checked(check: Callable[[], T]) -> T:
    """What a check returns. Raises Exit, with status 2, for a UserError."""
    try:
        return check()
    except errors.UserError as error:
        raise Exit(f"error: {error}", 2) from None


def select(patterns: list[str]) -> tuple[Image, ...]:
    """The images that match any of the globs, in the table's order. Raises Exit for a glob that matches none."""
    return checked(lambda: images.load().select(patterns))


def only(pattern: str) -> Image:
    """The one image that matches a glob. Raises Exit if there is not exactly one."""
    if not pattern:
        raise Exit("error: say which image: -i manylinux_2_36_x86_64 (`invoke list` shows all)", 2)
    found = select([pattern])
    if len(found) > 1:
        raise Exit(f"error: {pattern} matches {', '.join(image.name for image in found)}: choose one", 2)
    return found[0]


@contextlib.contextmanager
def ends_passed_on() -> Iterator[None]:
    """Passes SIGTERM and SIGHUP on to the commands that run in here: they end as well, instead of going on."""

    def pass_on(number: int, frame: FrameType | None) -> None:
        for child in Path(f"/proc/{os.getpid()}/task/{os.getpid()}/children").read_text(encoding="ascii").split():
            with contextlib.suppress(ProcessLookupError):
                os.kill(int(child), number)

    before = {number: signal.signal(number, pass_on) for number in errors.ENDINGS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def command(context: Context, *words: str | Path, env: dict[str, str] | None = None) -> int:
    """Runs a command with its output shown, and returns its exit status."""
    line = shlex.join(str(word) for word in words)
    with ends_passed_on():
        result = context.run(line, env=env or {}, warn=True, pty=sys.stdin.isatty() and sys.stdout.isatty())
    return 1 if result is None else result.exited  # a failed result is false


def script(context: Context, name: str, *words: str | Path) -> None:
    """Runs a command of scripts/. Raises Exit with its exit status when it fails; the command has said why."""
    if status := command(context, sys.executable, ROOT / "scripts", name, *words):
        raise Exit(code=status)


def given(**options: str | bool | list[str]) -> list[str]:
    """`--name value` for each value of an option, `--name` for a flag that is set."""
    words = []
    for name, value in options.items():
        for each in value if isinstance(value, list) else [value]:
            words += ["--" + name, *([] if each is True else [str(each)])] if each else []
    return words


def built(image: Image, tag: str) -> str:
    """The reference of an image that was built here: with `tag` if given, else `latest`, else `latest-partial`.

    Raises Exit if there is none."""
    if tag:
        checked(lambda: inputs.tag("--tag", tag, suffix=""))
    engine = chosen_engine()
    candidates = [tag] if tag else ["latest", "latest-partial"]
    for candidate in candidates:
        reference = f"{image.repository}:{candidate}"
        if engine.ask(engine.inspect(reference, "{{.Id}}")) is not None:
            return reference
    raise Exit(
        f"error: {engine.name} has no {image.repository}:{' or :'.join(candidates)}: `invoke build -i {image.name}`", 2
    )


def chosen_engine() -> Engine:
    """The engine that build.sh would use. Raises Exit if no engine works."""
    try:
        return choose.engine()
    except (errors.UserError, errors.Failure) as error:
        raise Exit(f"error: {error}", 1) from None


@task(
    name="list",
    help={
        "all": "also unpublished images and variants",
        "json": "every fact about each, as JSON",
        "ends": "what leaves the images and when, instead of the images",
    },
)
def list_(context: Context, all: bool = False, json: bool = False, ends: bool = False) -> None:
    """Show the images of the table."""
    script(context, "list", *given(all=all, json=json, ends=ends))


@task(
    iterable=["image"],
    help={
        "image": "name or glob, repeatable",
        "jobs": "how many to build side by side (default: 1)",
        "options": "options of build.sh, quoted as one word: '--interpreters cp39-cp39,cp313-cp313 --offline'",
        "tag": "the tag (default: latest)",
    },
)
def build(context: Context, image: list[str], jobs: str = "1", options: str = "", tag: str = "") -> None:
    """Build and smoke-test images; of several, each has a log, and one that fails does not stop the others."""
    if not image:
        raise Exit("error: say which images: -i manylinux_2_36_x86_64 or -i '*_x86_64' (`invoke list` shows all)", 2)
    chosen = select(image)
    if tag:
        checked(lambda: inputs.tag("--tag", tag))
    try:
        words = shlex.split(options)
    except ValueError as error:
        raise Exit(f"error: --options {options!r}: {error}: quote each word as for a shell", 2) from None
    if not (str(jobs).isascii() and str(jobs).isdecimal() and int(jobs)):
        raise Exit(f"error: --jobs {jobs}: it must be a number from 1", 2)
    if len(chosen) > 1:
        general = ["--jobs", str(jobs), *(["--tag", tag] if tag else []), *image]
        return script(context, "many", *general, "--", *words)
    (each,) = chosen
    env = {"POLICY": each.policy.name, "PLATFORM": each.platform.name, "VARIANT": each.variant}
    env |= {"COMMIT_SHA": tag} if tag else {}
    if status := command(context, ROOT / "build.sh", *words, env=env):
        raise Exit(code=status)


@task(
    iterable=["image"],
    help={
        "image": "name or glob, repeatable (default: every published image)",
        "output": "a file to write to instead of standard output",
        "tag": "default: untested- and the tag of this commit",
        "cache": "repository of a layer cache, with one tag for each image",
        "secrets": "a directory for what builds need of this site, which the bake file then names",
        "reuse": "an image, or a tag that each image has, to take what has equal inputs from (docs/reuse.md)",
    },
)
def bake(
    context: Context,
    image: list[str],
    output: str = "",
    tag: str = "",
    cache: str = "",
    secrets: str = "",
    reuse: str = "",
) -> None:
    """Write a docker buildx bake file, for builders elsewhere."""
    script(context, "bake", *given(tag=tag, cache=cache, output=output, secrets=secrets, reuse=reuse), *image)


@task(
    help={
        "image": "its name",
        "tag": "which tag of it (default: latest, else latest-partial)",
        "interpreters": "those that it was built with, unless all of the table: cp39-cp39,cp313-cp313",
        "lock": "the lock of the sources it was built from (default for a partial image: docker/sources/lock.json)",
        "only": "glob of the checks to run",
        "junit": "a file for the results as JUnit XML",
        "json": "a file for the results as JSON",
    },
)
def test(
    context: Context,
    image: str = "",
    tag: str = "",
    interpreters: str = "",
    lock: str = "",
    only_: str = "",
    junit: str = "",
    json: str = "",
) -> None:
    """Smoke-test an image that was built before."""
    chosen = only(image)
    reference = built(chosen, tag)
    remembered = record.path_of(reference).exists()
    if not (lock or interpreters or remembered) and reference.endswith("-partial") and LOCK.exists():
        lock = str(LOCK)
    words = given(interpreters=interpreters, lock=lock, junit=junit, json=json, only=only_)
    script(context, "smoke", reference, "--image", chosen.name, *words)


@task(
    help={
        "image": "its name",
        "tag": "which tag of it (default: latest, else latest-partial)",
        "run": "a command instead of an interactive bash",
    },
)
def shell(context: Context, image: str = "", tag: str = "", run: str = "") -> None:
    """Start a shell in an image, with the current directory as /io."""
    reference = built(only(image), tag)
    engine = chosen_engine()
    mount = Mount(Path.cwd(), "/io", read_only=False)
    words = ["bash", "-c", run] if run else ["bash"]
    argv = engine.run(reference, words, mounts=[mount], network=None, workdir="/io")
    if not run:
        argv[argv.index("run") + 1 : argv.index("run") + 1] = ["--interactive", "--tty"]
    if status := command(context, *argv, env=engine.env):
        raise Exit(code=status)


@task(
    iterable=["suite", "only_"],
    help={
        "from": "upstream (the pinned files) or debian (what the Debian archive has instead, with a lock)",
        "suite": "search only this Debian suite, repeatable",
        "only": "only this pin, repeatable; the lock keeps the others",
        "platform": "whose prebuilt files to fetch (default: this machine's)",
    },
)
def prefetch(context: Context, suite: list[str], only_: list[str], from_: str = "upstream", platform: str = "") -> None:
    """Fill docker/sources, where builds look first, and the smoke tests' wheelhouse."""
    script(context, "prefetch", "--from", from_, *given(suite=suite, only=only_, platform=platform))


@task(
    name="choose",
    iterable=["distribution"],
    help={
        "platform": "x86_64 (the default), aarch64, ...",
        "python": "as in requires-python, '>=3.11', or 3.10 (default: those still maintained)",
        "reach": "the percentage of the downloads to serve (default: 99 unless a distribution is named)",
        "distribution": "a release to serve, 'RHEL 8', repeatable",
        "json": "print the answer as JSON",
    },
)
def choose_(
    context: Context, distribution: list[str], platform: str = "", python: str = "", reach: str = "", json: bool = False
) -> None:
    """Say which policy to build wheels for, and what share of the downloads it reaches."""
    words = given(platform=platform, python=python, reach=reach, distribution=distribution, json=json)
    script(context, "choose", *words)


@task(
    positional=["wheel"],
    iterable=["for_"],
    help={
        "wheel": "a wheel, or a pattern in quotes: 'dist/*.whl'",
        "for": "only say whether it runs there: 'RHEL 8', repeatable",
        "strict": "warnings make a wheel unfit, too",
        "no-scan": "do not decode the instructions",
        "json": "print JSON, see docs/doctor.schema.json",
        "run": "prove it: run the wheels in real root file systems, and compare",
        "junit": "with --run: write the results there as JUnit XML",
    },
)
def doctor(
    context: Context,
    wheel: str,
    for_: list[str],
    strict: bool = False,
    no_scan: bool = False,
    json: bool = False,
    run: bool = False,
    junit: str = "",
) -> None:
    """Say whether wheels run on the systems that their tags promise."""
    if run:
        return script(context, "prove", *given(json=json, junit=junit), *[f"--for={name}" for name in for_], wheel)
    options = given(strict=strict, json=json) + (["--no-scan"] if no_scan else [])
    script(context, "doctor", *options, *[f"--for={name}" for name in for_], wheel)


@task(
    positional=["old", "new"],
    iterable=["image"],
    help={
        "old": "a dated tag, `latest`, a digest, an image, a manifest.json, a directory with IMAGE/manifest.json, "
        "or `previous`: the newest dated git tag before NEW",
        "new": "the same, or `this`: the tag of this commit",
        "image": "name or glob, repeatable (default: all)",
        "json": "print JSON, see docs/notes.md",
        "output": "a file to write to instead of standard output",
    },
)
def notes(context: Context, old: str, new: str, image: list[str], json: bool = False, output: str = "") -> None:
    """Say what has changed between two tags, digests or images, riskiest first."""
    script(context, "notes", *given(image=image, json=json, output=output), old, new)


@task(
    help={
        "descriptions": "a directory with what is known of published images, one directory for each",
        "registry": "ask the images' registry for what is known of them",
        "output": "where to write it (default: build/site)",
        "address": "where it is going to be (default: the source's GitHub Pages)",
    },
)
def site(context: Context, descriptions: str = "", registry: bool = False, output: str = "", address: str = "") -> None:
    """Write the page about the images, static files for any web server."""
    words = given(descriptions=descriptions, registry=registry, output=output, address=address)
    script(context, "site", *words)


@task(
    iterable=["only_"],
    help={
        "image": "its name",
        "tag": "which tag of it (default: latest, else latest-partial)",
        "reference": "the image itself, anywhere; pulled if it is not here",
        "only": "glob of the canaries to build, repeatable (default: all of docker/canaries.toml)",
        "output": "directory for results, wheels and logs (default: build/canaries)",
        "jobs": "how many to build side by side (default: one for two cores)",
        "published": "an image to compare with, or none (default: `latest` in the registry)",
        "before": "compare with this canaries.json, not with the one attached to the published image",
        "table": "another table (default: docker/canaries.toml)",
    },
)
def canary(
    context: Context,
    only_: list[str],
    image: str = "",
    tag: str = "",
    reference: str = "",
    output: str = "",
    jobs: str = "",
    published: str = "",
    before: str = "",
    table: str = "",
) -> None:
    """Build real projects in an image, test them, examine their wheels, compare what they need with the last time."""
    chosen = only(image)
    words = given(only=only_, output=output, jobs=jobs, published=published, before=before, table=table)
    script(context, "canary", *words, chosen.name, reference or built(chosen, tag))


PUBLISHING = {
    "registry": "<host>/<namespace>, repeatable (default: the table's)",
    "login": "a user; the password is read from standard input (default: what `docker login` has stored)",
    "execute": "do it; without this option it only says what it would do",
}
SIGNING = {"sign-key": "sign with this private key (PEM, P-256) instead of the identity of a workflow"}
TAGS = {"group": "<policy>[-<variant>]", "tag": "YYYY.MM.DD-N (default: that of this commit)"}


@task(
    iterable=["registry"],
    help={
        "image": "its name",
        "local": "what to push (default: its `latest`)",
        "compression": "zstd instead of gzip",
        **SIGNING,
        **PUBLISHING,
    },
)
def push(
    context: Context,
    registry: list[str],
    image: str = "",
    local: str = "",
    compression: str = "",
    sign_key: str = "",
    login: str = "",
    execute: bool = False,
) -> None:
    """Push a tested image to its candidate tag with all that belongs to it; print its repository and digest."""
    chosen = only(image)
    general = given(registry=registry, login=login, execute=execute) + (["--sign-key", sign_key] if sign_key else [])
    script(context, "push", *general, chosen.name, *given(local=local, compression=compression))


@task(
    positional=["group"],
    iterable=["registry", "accept_canary"],
    help={
        **TAGS,
        "verify": "only say whether the published images are complete",
        "candidates": "what `push` printed, as a file or a directory of files: these digests count, not the tags",
        "canaries": "what `canary` wrote, a directory: a canary that failed holds its policy back",
        "accept_canary": "publish even if this canary failed, repeatable",
        **SIGNING,
        **PUBLISHING,
    },
)
def manifest(
    context: Context,
    group: str,
    registry: list[str],
    accept_canary: list[str],
    tag: str = "",
    verify: bool = False,
    candidates: str = "",
    canaries: str = "",
    sign_key: str = "",
    login: str = "",
    execute: bool = False,
) -> None:
    """Publish the candidates of all platforms of a policy together: dated tags, index, latest."""
    general = given(
        registry=registry, login=login, execute=execute, verify=verify, candidates=candidates, canaries=canaries
    )
    general += [word for name in accept_canary for word in ("--accept-canary", name)]
    general += ["--sign-key", sign_key] if sign_key else []
    script(context, "manifest", *general, group, *([tag] if tag else []))


@task(
    name="verify",
    positional=["reference"],
    help={
        "reference": "[<host>/<namespace>/]NAME[:TAG][@DIGEST] of an image or an index (default: latest)",
        "key": "the public key of who signed it (PEM; default: the workflow of the table's source)",
        "commit": "what it must be built from, at least 7 digits",
        "unsigned": "do without a signature, if there is none",
        "no-layers": "do not read the layers: who pulls them checks them",
        "login": PUBLISHING["login"],
    },
)
def verify_(
    context: Context,
    reference: str,
    key: str = "",
    commit: str = "",
    unsigned: bool = False,
    no_layers: bool = False,
    login: str = "",
) -> None:
    """Say whether a published image is genuine: tag, index, attachments, signature, provenance."""
    options = given(key=key, commit=commit, unsigned=unsigned, login=login) + (["--no-layers"] if no_layers else [])
    script(context, "verify", *options, reference)


@task(
    positional=["tag"],
    iterable=["group", "registry"],
    help={
        "group": "<policy>[-<variant>], repeatable (default: all groups that have the tag)",
        "tag": "YYYY.MM.DD-N",
        **PUBLISHING,
    },
)
def rollback(
    context: Context, tag: str, group: list[str], registry: list[str], login: str = "", execute: bool = False
) -> None:
    """Point `latest` of all images of a policy back to a dated tag."""
    script(context, "rollback", *given(registry=registry, login=login, execute=execute), tag, *group)


@task(
    help={
        "all": "also list the tags that stay",
        "json": "a file for all decisions",
        "consent": "the number of tags to delete, as listed: needed when they are a large share of all",
        **PUBLISHING,
        "registry": "<host>/<namespace> (default: the table's)",
    }
)
def prune(
    context: Context,
    registry: str = "",
    login: str = "",
    execute: bool = False,
    all: bool = False,
    json: str = "",
    consent: str = "",
) -> None:
    """Delete published tags that the table's retention rules no longer keep."""
    words = given(registry=registry, login=login, execute=execute, all=all, json=json, consent=consent)
    script(context, "prune", *words)


@task(
    positional=["what"],
    iterable=["image", "newer"],
    help={
        "what": "latest, a tag, a digest, an image, a manifest.json or a directory of them",
        "image": "globs (default: all images)",
        "newer": "later images, oldest first, to say which of them mends what",
        "json": "as JSON",
        "openvex": "what does not apply, as OpenVEX",
        "output": "a file instead of standard output",
        "strict": "fail if something is known",
    },
)
def vulnerabilities(
    context: Context,
    what: str,
    image: list[str],
    newer: list[str],
    json: bool = False,
    openvex: bool = False,
    output: str = "",
    strict: bool = False,
) -> None:
    """Say which vulnerabilities are known of what images hold, and what mends them."""
    words = given(image=image, newer=newer, json=json, openvex=openvex, output=output, strict=strict)
    script(context, "vulnerabilities", *words, what)


@task(
    positional=["old", "new"],
    iterable=["image"],
    help={
        "old": "what is published: latest, a tag, a digest, an image, a file or a directory",
        "new": "what was built",
        "image": "globs (default: all images)",
        "since": "commits after this one may excuse losses by the trailer Accepts-Loss",
    },
)
def gate(context: Context, old: str, new: str, image: list[str], since: str = "") -> None:
    """Fail if an image lost something that the published one has."""
    script(context, "gate", *given(image=image, since=since), old, new)


@task(
    iterable=["image"],
    help={
        "interpreter": "its tag, such as cp38-cp38",
        "tag": "the dated tag of images that have it",
        "image": "globs (default: all published images)",
        "registry": "host/namespace (default: the table's)",
        "login": "log in as this user; standard input has the password",
    },
)
def keep(context: Context, interpreter: str, tag: str, image: list[str], registry: str = "", login: str = "") -> None:
    """Record where a CPython is in published images, so that it stays installable once they lose it."""
    script(context, "keep", *given(image=image, registry=registry, login=login), interpreter, tag)


@task(
    help={
        "image": "its name",
        "old": "a reference (default: what latest is in the registry)",
        "new": "a reference (default: latest as it was built here)",
    },
)
def exchange(context: Context, image: str = "", old: str = "", new: str = "") -> None:
    """Say whether wheels of the published image work in the new one, and the reverse."""
    script(context, "exchange", only(image).name, *given(old=old, new=new))


@task(
    iterable=["image", "tag"],
    help={
        "image": "globs (default: all published images)",
        "tag": "repeatable (default: latest)",
        "pinned": "also what the newest cibuildwheel pins",
        "no_pull": "take what this machine's engine has",
    },
)
def usable(context: Context, image: list[str], tag: list[str], pinned: bool = False, no_pull: bool = False) -> None:
    """Say whether published images still work: package manager, signatures, downloads."""
    script(context, "usable", *given(image=image, tag=tag, pinned=pinned, no_pull=no_pull))


ns = Collection(
    *(list_, build, test, shell, prefetch, bake, site),
    *(choose_, doctor, notes, vulnerabilities, canary),
    *(push, manifest, verify_, rollback, prune, keep, gate, exchange, usable),
)
