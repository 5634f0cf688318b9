#!/usr/bin/env python3
"""What `./build.sh --bootstrap` does before the build: an engine, a base image and sources, from a Debian mirror.

Packages come from the machine's own apt sources; nothing in /etc is edited and no source is added. The base image is
made with mmdebstrap for the suite of the policy and remembers what it was made from, so that it is made again only
when the archive has changed.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import engines
import errors
import images
import machine
import prefetch
import scratch
import site_settings
import transport
from catalogue import Image
from engines import Engine
from plan import CERTIFICATES, Plan
from site_settings import Mirror, Site

ENGINE_PACKAGES = ("podman", "runc", "iptables", "ca-certificates")
NATIVE_PAIRS = (("amd64", "i386"), ("arm64", "armhf"))  # what 64-bit processors run, too
QEMU_PACKAGES = ("qemu-user-static", "binfmt-support")
LABEL_MADE_FROM = "org.pypa.manylinux.base.made-from"

CUSTOMIZE = Path(__file__).resolve().parent / "customize_base.sh"


@dataclass(frozen=True)
class Base:
    """A base image to be made: of a Debian suite for an architecture."""

    suite: str
    release: str
    architecture: str
    platform: str

    @property
    def reference(self) -> str:
        return f"localhost/manylinux-base:{self.release}-{self.architecture}"


def base_of(image: Image) -> Base:
    """The base of an image. Raises UserError for images that are not made of Debian."""
    suite = site_settings.debian_suite(image.policy.distribution)
    if not suite:
        raise errors.UserError(
            f"--bootstrap makes Debian base images, and {image.policy.name} is made of {image.policy.title}: choose "
            "a policy made of Debian, or name an image with --base and leave --bootstrap out"
        )
    return Base(suite, image.policy.distribution, image.platform.debian, image.platform.oci)


# --- What is missing ----------------------------------------------------------------------------------------


def missing_packages(engine: Engine | None, base: Base) -> tuple[str, ...]:
    """The Debian packages to install: for an engine if none answers, for making the base, and for running it."""
    native = base.architecture == site_settings.debian_architecture()
    tools = ("mmdebstrap",) if native else ("mmdebstrap", "arch-test")
    missing = [tool for tool in tools if not shutil.which(tool)]
    return (*(() if engine else ENGINE_PACKAGES), *missing, *(() if runs(base.architecture) else QEMU_PACKAGES))


def runs(architecture: str) -> bool:
    """Whether this machine runs Debian's programs for an architecture, by itself or by QEMU."""
    if architecture == site_settings.debian_architecture():
        return True
    # Without arch-test nobody knows: 32-bit programs mostly run, and QEMU is not needed for them.
    tester = shutil.which("arch-test")
    if not tester:
        return (site_settings.debian_architecture(), architecture) in NATIVE_PAIRS
    return subprocess.run([tester, architecture], capture_output=True).returncode == 0


def register_qemu(architecture: str) -> None:
    """Makes the kernel hand foreign programs to QEMU, where no service did when the packages were installed.

    Raises Failure when it does not."""
    if not runs(architecture):
        subprocess.run(["update-binfmts", "--enable"], capture_output=True)
    if not runs(architecture):
        raise errors.Failure(
            f"QEMU is installed, but the kernel does not use it for {architecture}: as root of the machine itself, not "
            "of a container, run `mount -t binfmt_misc binfmt_misc /proc/sys/fs/binfmt_misc; update-binfmts --enable`"
        )


def install_command(packages: Sequence[str], *options: str) -> list[str]:
    """apt-get's argument list."""
    return ["apt-get", "install", "--yes", "--quiet", "--no-install-recommends", *options, *packages]


def to_be_installed(simulation: str) -> list[str]:
    """The packages that `apt-get --simulate install` says it would install."""
    return re.findall(r"(?m)^Inst (\S+)", simulation)


def check_machine(mirror: Mirror | None, packages: Sequence[str], root: bool, attempts: str = "") -> None:
    """Raises UserError for a machine on which there is no way, naming what would help."""
    if mirror is None or not shutil.which("apt-get"):
        raise errors.UserError(
            "--bootstrap works on Debian, with a mirror in its apt sources that is reached by http or https; elsewhere "
            "install docker or podman, and build on an image that is here with --base"
        )
    if packages and not root:
        command = shlex.join(install_command(packages))
        raise errors.UserError(
            f"--bootstrap needs packages that only root can install{attempts}\nRun `sudo {command}` and then this "
            "again, or the whole of it as root"
        )


def _install(packages: Sequence[str]) -> None:
    env = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    _apt(["apt-get", "-o", "APT::Update::Error-Mode=any", "update", "--quiet"], env)
    simulated = subprocess.run(install_command(packages, "--simulate"), env=env, capture_output=True, text=True)
    if simulated.returncode:
        raise errors.Failure(f"apt cannot install {', '.join(packages)}: {engines.reason(simulated.stderr)}")
    names = to_be_installed(simulated.stdout)
    _say(f"installing {len(names)} packages: {' '.join(names)}")
    _apt(install_command(packages, "-o", "Dpkg::Use-Pty=0"), env)


def _apt(argv: list[str], env: dict[str, str]) -> None:
    with tempfile.TemporaryFile("w+", errors="replace") as log:
        status = subprocess.run(argv, env=env, stdin=subprocess.DEVNULL, stdout=log, stderr=log).returncode
        if status:
            log.seek(0)
            raise errors.Failure(f"{shlex.join(argv)} failed:\n{log.read()[-3000:]}")


# --- The base image -----------------------------------------------------------------------------------------


def made_from(base: Base, releases: Sequence[bytes]) -> str:
    """What a base is made from, as one digest: the suites' signed indices and our recipe."""
    digest = hashlib.sha256(f"{base}\n".encode() + CUSTOMIZE.read_bytes())
    for release in releases:
        digest.update(hashlib.sha256(release).digest())
    return digest.hexdigest()


def epoch(releases: Sequence[bytes]) -> int:
    """When the newest of the suites was published, in seconds: the date of everything in the base.

    Raises Failure where none of them says so."""
    dates = re.findall(r"(?m)^Date: (.+)$", b"\n".join(releases).decode(errors="replace"))
    times = [date.timestamp() for date in map(transport.moment, dates) if date]
    if not times:
        raise errors.Failure("the mirror's signed indices have no date")
    return int(max(times))


def mmdebstrap_command(base: Base, mirror: Mirror, target: Path) -> list[str]:
    """mmdebstrap's argument list; the sources come on standard input, as they may hold a password."""
    return [
        "mmdebstrap",
        "--variant=minbase",
        "--format=tar",
        f"--architectures={base.architecture}",
        *(f"--aptopt={option}" for option in apt_options(mirror, target.parent)),
        f"--customize-hook={CUSTOMIZE}",
        base.suite,
        str(target),
        "-",
    ]


def apt_options(mirror: Mirror, directory: Path) -> list[str]:
    """Settings of apt, for mmdebstrap, that say what the options of the mirror's sources say; how it is reached is in a
    file of the directory, as it may hold a password."""
    named = {"check-valid-until=no": "Acquire::Check-Valid-Until", "check-date=no": "Acquire::Check-Date"}
    options = [f'{named[option]} "false"' for option in mirror.options if option in named]
    files = mirror.files(directory)
    options += ['APT::Sandbox::User "root"'] if files else []  # nobody else can read them
    return options + ([str(directory / "apt.conf")] if "apt.conf" in files else [])


def ensure_base(engine: Engine, base: Base, mirror: Mirror) -> str:
    """Makes the base unless the one that is here was made from the same; returns its reference."""
    mirror, notes = site_settings.usable(mirror, base.suite, base.architecture)
    for note in notes:
        _say(note)
    releases = _releases(base, mirror)
    here = engine.ask(engine.inspect(base.reference, f'{{{{index .Config.Labels "{LABEL_MADE_FROM}"}}}}'))
    if releases is None:
        if not here:
            raise errors.Failure(f"the indices of {base.suite} cannot be downloaded from this machine's Debian mirror")
        _say(f"the Debian mirror does not answer: building on {base.reference} as it is")
        return base.reference
    wanted = made_from(base, releases)
    if here == wanted:
        _say(f"{base.reference} is up to date")
        return base.reference
    _say(f"making {base.reference} from {base.suite} ({base.architecture}) with mmdebstrap")
    with scratch.directory() as directory:
        archive = directory / "root.tar"
        site_settings.write_files(mirror, directory)
        sources = "\n".join((*mirror.lines(base.suite, base.architecture, directory), ""))
        if run_mmdebstrap(mmdebstrap_command(base, mirror, archive), sources, epoch(releases)):
            raise errors.Failure("mmdebstrap failed, see above")
        engine.call(engine.import_(archive, base.reference, base.platform, {LABEL_MADE_FROM: wanted}))
    return base.reference


def run_mmdebstrap(argv: list[str], sources: str, date: int) -> int:
    """Runs it; when we are interrupted, it has time to unmount and remove what it works on."""
    env = {**os.environ, "SOURCE_DATE_EPOCH": str(date)}
    process = subprocess.Popen(
        argv, env=env, stdin=subprocess.PIPE, stdout=sys.stderr, text=True, start_new_session=True
    )
    try:
        process.communicate(sources)
    except BaseException:
        # To all of it: alone it would wait for what it has started, minutes where that is emulated. Not SIGINT, which
        # a shell's job in the background ignores, and all that it starts.
        for number, seconds in ((signal.SIGTERM, 60), (signal.SIGKILL, None)):
            with contextlib.suppress(subprocess.TimeoutExpired, ProcessLookupError):
                os.killpg(process.pid, number)
                process.wait(seconds)
                break
        raise
    return process.returncode


def _releases(base: Base, mirror: Mirror) -> list[bytes] | None:
    """The signed indices of the suite, its updates and its security updates, fetched as apt does."""
    found = []
    with scratch.directory() as directory:
        for number, line in enumerate(mirror.lines(base.suite)):
            url, release = line.rpartition("]")[2].split()[:2]
            target = directory / str(number)
            argv = ["/usr/lib/apt/apt-helper", "download-file", f"{url}/dists/{release}/InRelease", str(target)]
            if subprocess.run(argv, capture_output=True).returncode or not target.exists():
                return None
            found.append(target.read_bytes())
    return found


# --- Before and after the build -----------------------------------------------------------------------------


def _say(text: str) -> None:
    print(f"==> {text}", file=sys.stderr, flush=True)


def prepare(image: Image, site: Site, frontend: str = "") -> tuple[Engine, str]:
    """Installs and makes what a build needs; returns the engine and the base image.

    Says first what it is going to do. Raises UserError and Failure where it cannot."""
    base = base_of(image)
    engine, attempts = engines.find(frontend, site.reach())
    if not engine and frontend not in ("", "podman"):
        engines.choose(frontend, site.reach())  # says why it does not work: podman would not be what was asked for
    packages = missing_packages(engine, base)
    tried = "".join(f"\n  {attempt}" for attempt in attempts)
    check_machine(site.mirror, packages, os.geteuid() == 0, tried)
    assert site.mirror is not None
    for number, step in enumerate(steps(engine, packages, base, image), 1):
        _say(f"step {number}: {step}")
    if packages:
        _install(packages)
    register_qemu(base.architecture)
    engine = engine or engines.choose(frontend, site.reach())
    _say(f"using {engine.name} ({engine.executable})" + (f" with {engine.settings}" if str(engine.settings) else ""))
    reference = ensure_base(engine, base, site.mirror)
    prefetch.run(source="debian", platform=image.platform.name, ca_bundle=site.ca, wheels=False)
    return engine, reference


def show(image: Image, site: Site, frontend: str = "") -> None:
    """Prints what a bootstrap would do here. Raises UserError where there is no way."""
    base = base_of(image)
    engine, attempts = engines.find(frontend, site.reach())
    packages = missing_packages(engine, base)
    check_machine(site.mirror, packages, os.geteuid() == 0, "".join(f"\n  {attempt}" for attempt in attempts))
    print("\n".join(steps(engine, packages, base, image)))


def steps(engine: Engine | None, packages: Sequence[str], base: Base, image: Image) -> list[str]:
    """What a bootstrap is going to do, for people."""
    install = f"install {', '.join(packages)} and what they need, from this machine's apt sources"
    return [
        *([install] if packages else []),
        f"make the base image {base.reference} with mmdebstrap, unless it is up to date",
        "download the sources that the Debian archive has to docker/sources",
        f"build {image.name} with {engine.name if engine else 'podman'}, and smoke-test it",
    ]


def tell_how_to_use(engine: Engine, plan: Plan, ca: Path | None = None) -> None:
    """Prints the commands that use the image, for this machine, its engine and its certificate authorities."""
    run = shlex.join([engine.launcher(), "run", "--rm", *_create_options(engine, ca)])
    words = [f"{name}={shlex.quote(value)}" for name, value in cibuildwheel_settings(engine, plan, ca).items()]
    if (launcher := engine.launcher()) != engine.executable:
        words.append(f'PATH={shlex.quote(str(Path(launcher).parent))}:"$PATH"')
    lines = [
        "",
        f"{plan.reference} is ready. What is in it:",
        f"  {run} {plan.reference} manylinux-interpreters list --installed",
        "A shell in it, with the current directory as /io:",
        f'  {run} -it --volume "$PWD":/io {plan.reference}',
        "With cibuildwheel:",
        f"  {' '.join([*words, 'cibuildwheel'])}",
    ]
    print("\n".join(lines), file=sys.stderr, flush=True)


def cibuildwheel_settings(engine: Engine, plan: Plan, ca: Path | None = None) -> dict[str, str]:
    """The environment variables that make cibuildwheel use the image; `ca`: a bundle with the site's authorities."""
    kind = "manylinux" if plan.image.policy.libc == "glibc" else "musllinux"
    platform = plan.image.platform.name
    settings = {f"CIBW_{kind.upper()}_{platform.upper()}_IMAGE": plan.reference}
    if any(i.tag in plan.left_out for i in plan.image.interpreters):
        # Without it cibuildwheel asks for every Python that it knows; it offers free-threaded ones only on demand.
        usual = [i for i in plan.interpreters if i.implementation == "cpython" and not i.threaded]
        settings["CIBW_BUILD"] = " ".join(f"{i.tag.partition('-')[0]}-{kind}_{platform}" for i in usual)
    options = _create_options(engine, ca)
    if options or engine.is_podman:
        created = f"; create_args: {shlex.join(options)}" if options else ""
        settings["CIBW_CONTAINER_ENGINE"] = engines.executable_of(engine.name) + created
    if ca:
        settings["CIBW_ENVIRONMENT"] = f"PIP_CERT={CERTIFICATES}"  # the pips of 3.8 and 3.9 read no SSL_CERT_FILE
    return settings


def _create_options(engine: Engine, ca: Path | None) -> list[str]:
    """What an engine needs on this machine to create a container that reaches out, the site's CAs in its store."""
    network = [f"--network={engine.settings.network}"] if engine.settings.network else []
    return [*engine.settings.options(), *network, *([f"--volume={ca}:{CERTIFICATES}:ro"] if ca else [])]


def main() -> None:
    """Shows what ./build.sh --bootstrap would have to install and make here, and does nothing."""
    argparse.ArgumentParser(description=main.__doc__).parse_args()
    catalogue = images.load()
    image = catalogue.find(
        os.environ.get("POLICY") or catalogue.bootstrap_policy,
        machine.platform(os.environ.get("PLATFORM", "")),
        os.environ.get("VARIANT", ""),
    )
    show(image, site_settings.load(), os.environ.get("MANYLINUX_BUILD_FRONTEND", ""))


if __name__ == "__main__":
    sys.exit(errors.run(main))
