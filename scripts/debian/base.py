"""A base image from the Debian archive: made with mmdebstrap for the suite of a policy, and what that takes.

Packages come from the machine's own apt sources; nothing in /etc is edited and no source is added. The image remembers
what it was made from, so that it is made again only when the archive has changed.
"""

from __future__ import annotations

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

from catalogue.model import Image
from engine.engine import Engine, reason
from host import machine
from host.mirror import Mirror, debian_suite
from portable import errors, scratch, transport
from portable.progress import say

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
    suite = debian_suite(image.policy.distribution)
    if not suite:
        raise errors.UserError(
            f"--bootstrap makes Debian base images, and {image.policy.name} is made of {image.policy.title}: choose "
            "a policy made of Debian, or name an image with --base and leave --bootstrap out"
        )
    return Base(suite, image.policy.distribution, image.platform.debian, image.platform.oci)


def runs(architecture: str) -> bool:
    """Whether this machine runs Debian's programs for an architecture, by itself or by QEMU."""
    if architecture == machine.debian_architecture():
        return True
    # Without arch-test nobody knows whether it runs 32-bit programs, too: mostly it does, and needs no QEMU.
    tester = shutil.which("arch-test")
    if not tester:
        return machine.is_native(architecture, machine.debian_architecture())
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


def install(packages: Sequence[str]) -> None:
    """Installs Debian packages on this machine, and says which. Raises Failure when apt fails."""
    env = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    _apt(["apt-get", "-o", "APT::Update::Error-Mode=any", "update", "--quiet"], env)
    simulated = subprocess.run(install_command(packages, "--simulate"), env=env, capture_output=True, text=True)
    if simulated.returncode:
        raise errors.Failure(f"apt cannot install {', '.join(packages)}: {reason(simulated.stderr)}")
    names = to_be_installed(simulated.stdout)
    say(f"installing {len(names)} packages: {' '.join(names)}")
    _apt(install_command(packages, "-o", "Dpkg::Use-Pty=0"), env)


def _apt(argv: list[str], env: dict[str, str]) -> None:
    with tempfile.TemporaryFile("w+", errors="replace") as log:
        status = subprocess.run(argv, env=env, stdin=subprocess.DEVNULL, stdout=log, stderr=log).returncode
        if status:
            log.seek(0)
            raise errors.Failure(f"{shlex.join(argv)} failed:\n{log.read()[-3000:]}")


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
    mirror, notes = mirror.usable(base.suite, base.architecture)
    for note in notes:
        say(note)
    releases = _releases(base, mirror)
    here = engine.ask(engine.inspect(base.reference, f'{{{{index .Config.Labels "{LABEL_MADE_FROM}"}}}}'))
    if releases is None:
        if not here:
            raise errors.Failure(f"the indices of {base.suite} cannot be downloaded from this machine's Debian mirror")
        say(f"the Debian mirror does not answer: building on {base.reference} as it is")
        return base.reference
    wanted = made_from(base, releases)
    if here == wanted:
        say(f"{base.reference} is up to date")
        return base.reference
    say(f"making {base.reference} from {base.suite} ({base.architecture}) with mmdebstrap")
    with scratch.directory() as directory:
        archive = directory / "root.tar"
        mirror.write_files(directory)
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
