"""Makes the base image of a policy with mmdebstrap, from the Debian archive, and installs what that needs.

Packages come from the machine's own apt sources; nothing in /etc is edited, and no source is added. A label of the
image has a digest of what it was made from, so that it is made again only when the archive has changed.
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
from catalogue.paths import DOCKER
from engine.engine import Engine, reason
from host import machine
from host.mirror import Mirror, debian_suite
from portable import errors, scratch, transport
from portable.progress import say

QEMU_PACKAGES = ("qemu-user-static", "binfmt-support")


LABEL_MADE_FROM = "org.pypa.manylinux.base.made-from"


CUSTOMIZE = Path(__file__).resolve().parent / "customize_base.sh"
EXCLUDES = DOCKER / "packages" / "debian" / "dpkg-excludes"  # what the images lack; a layer above could not shrink it
MERGED_USR = Path("/usr/share/mmdebstrap/hooks/maybe-merged-usr")


@dataclass(frozen=True)
class Base:
    """A base image of a Debian suite for an architecture. `release`: as the table has it, like debian-12."""

    suite: str
    release: str
    architecture: str
    platform: str

    @property
    def reference(self) -> str:
        return f"localhost/manylinux-base:{self.release}-{self.architecture}"


def debian_base_of(image: Image) -> Base:
    """The base of an image. Raises UserError if its distribution is not Debian."""
    suite = debian_suite(image.policy.distribution)
    if not suite:
        raise errors.UserError(
            f"--bootstrap makes Debian base images, and {image.policy.name} is based on {image.policy.title}: choose a "
            "policy based on Debian, or leave out --bootstrap and name an image with --base"
        )
    return Base(suite, image.policy.distribution, image.platform.debian, image.platform.oci)


def runs(architecture: str) -> bool:
    """Whether this machine runs Debian's programs for an architecture, natively or with QEMU."""
    if architecture == machine.debian_architecture():
        return True
    # Without arch-test nobody knows whether it runs 32-bit programs, too: mostly it does, and needs no QEMU.
    tester = shutil.which("arch-test")
    if not tester:
        return machine.is_native(architecture, machine.debian_architecture())
    return subprocess.run([tester, architecture], capture_output=True).returncode == 0


def register_qemu(architecture: str) -> None:
    """Registers QEMU in the kernel, unless a service did so when the packages were installed.

    Raises Failure when the kernel does not run the architecture afterwards."""
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
    """The packages in the output of `apt-get --simulate install`."""
    return re.findall(r"(?m)^Inst (\S+)", simulation)


def check_machine(mirror: Mirror | None, packages: Sequence[str], root: bool, attempts: str = "") -> None:
    """Raises UserError, naming the fix, for a machine on which no base can be made.

    `packages`: those that would have to be installed; `root`: whether this user can; `attempts`: why each engine does
    not work, for the message."""
    if mirror is None or not shutil.which("apt-get"):
        raise errors.UserError(
            "--bootstrap works on Debian with an http or https mirror in apt's sources; elsewhere install docker or "
            "podman, and build on an image that is here with --base"
        )
    if packages and not root:
        command = shlex.join(install_command(packages))
        raise errors.UserError(
            f"--bootstrap needs packages that only root can install{attempts}\nRun `sudo {command}` and then the same "
            "command again, or run it as root"
        )


def install(packages: Sequence[str]) -> None:
    """Installs Debian packages on this machine and says which ones. Raises Failure when apt fails."""
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
    """A digest of what a base is made from: the signed indices of its suites, our hook, and what is left out."""
    digest = hashlib.sha256(f"{base}\n".encode() + CUSTOMIZE.read_bytes() + EXCLUDES.read_bytes())
    for release in releases:
        digest.update(hashlib.sha256(release).digest())
    return digest.hexdigest()


def epoch(releases: Sequence[bytes]) -> int:
    """When the newest of the suites was published, in seconds since 1970: the date of every file in the base.

    Raises Failure where no index has a date."""
    dates = re.findall(r"(?m)^Date: (.+)$", b"\n".join(releases).decode(errors="replace"))
    times = [date.timestamp() for date in map(transport.moment, dates) if date]
    if not times:
        raise errors.Failure("the mirror's signed indices have no date: use another mirror")
    return int(max(times))


def mmdebstrap_command(base: Base, mirror: Mirror, target: Path) -> list[str]:
    """mmdebstrap's argument list. It reads the sources from standard input: they may hold a password.

    The hook merges /usr as Debian's own images do. Without it the package usrmerge would, which brings perl."""
    return [
        "mmdebstrap",
        "--variant=minbase",
        f"--hook-dir={MERGED_USR}",
        f"--dpkgopt={EXCLUDES}",
        "--format=tar",
        f"--architectures={base.architecture}",
        *(f"--aptopt={option}" for option in apt_options(mirror, target.parent)),
        f"--customize-hook={CUSTOMIZE}",
        base.suite,
        str(target),
        "-",
    ]


def apt_options(mirror: Mirror, directory: Path) -> list[str]:
    """apt settings for mmdebstrap, which are the same as the options of the mirror's sources.

    How the mirror is reached may hold a password: that is in a file of the directory."""
    named = {"check-valid-until=no": "Acquire::Check-Valid-Until", "check-date=no": "Acquire::Check-Date"}
    options = [f'{named[option]} "false"' for option in mirror.options if option in named]
    files = mirror.files(directory)
    options += ['APT::Sandbox::User "root"'] if files else []  # nobody else can read them
    return options + ([str(directory / "apt.conf")] if "apt.conf" in files else [])


def ensure_base(engine: Engine, base: Base, mirror: Mirror) -> str:
    """Makes the base, unless it is here and up to date; returns its reference. Raises Failure.

    A base that is here is used as it is when the mirror does not answer."""
    mirror, notes = mirror.usable(base.suite, base.architecture)
    for note in notes:
        say(note)
    releases = signed_releases(base, mirror)
    here = engine.ask(engine.inspect(base.reference, f'{{{{index .Config.Labels "{LABEL_MADE_FROM}"}}}}'))
    if releases is None:
        if not here:
            raise errors.Failure(
                f"the indices of {base.suite} cannot be downloaded from this machine's Debian mirror: check that "
                "apt can update its lists"
            )
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
    """Runs mmdebstrap; returns its exit status. If we are interrupted, it gets time to unmount and clean up.

    `sources`: for its standard input; `date`: of the files it makes, in seconds since 1970."""
    env = {**os.environ, "SOURCE_DATE_EPOCH": str(date)}
    process = subprocess.Popen(
        argv, env=env, stdin=subprocess.PIPE, stdout=sys.stderr, text=True, start_new_session=True
    )
    try:
        process.communicate(sources)
    except BaseException:
        # The signal goes to its whole process group: alone, mmdebstrap would wait for its children, which takes minutes
        # where they are emulated. It is not SIGINT, which background jobs of a shell and their children ignore.
        for number, seconds in ((signal.SIGTERM, 60), (signal.SIGKILL, None)):
            with contextlib.suppress(subprocess.TimeoutExpired, ProcessLookupError):
                os.killpg(process.pid, number)
                process.wait(seconds)
                break
        raise
    return process.returncode


def signed_releases(base: Base, mirror: Mirror) -> list[bytes] | None:
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
