"""Root file systems of distributions: Debian's suites, made with mmdebstrap from this machine's mirror, and images.

They are kept in the state directory. A suite is made again when its signed indices or our recipe have changed, an image
is unpacked again when its Id has.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any

from catalogue import images
from catalogue.paths import DOCKER
from debian import base as debian_base
from debian.base import Base
from engine import choose
from host.mirror import Mirror
from portable import errors, files, places, scratch, toml
from portable.progress import say
from portable.toml import Reference

SUITES = {"debian-11": "bullseye", "debian-12": "bookworm", "debian-13": "trixie", "debian-testing": "testing"}
TABLE = DOCKER / "roots.toml"
# Python, and the libraries that wheels may take for granted (the PEPs' lists, but libGL).
PACKAGES = (
    "python3", "libstdc++6", "libatomic1", "zlib1g", "libexpat1", "libglib2.0-0", "libx11-6", "libxext6",
    "libxrender1", "libice6", "libsm6",
)  # fmt: skip
# libGL without the drivers that its package depends on, which are larger than all the rest. apt runs outside: it alone
# knows how this machine reaches the mirror.
GL_HOOK = """set -e
root="$1"
cd "$(mktemp --directory)"
APT_CONFIG="$MMDEBSTRAP_APT_CONFIG" apt-get --quiet download libgl1 libglx0 libglvnd0
for file in *.deb; do dpkg --extract "$file" "$root"; done
rm -r "$PWD"
chroot "$root" ldconfig"""
PULL_SECONDS = 900
PYTHONS = ("usr/bin/python3", "usr/libexec/platform-python")
NOBODY = "65534:65534"

# In namespaces of its own, without a network: the root read-only, what is tried at /mnt, a few devices, as nobody.
ISOLATED = """
set -e
root="$1" work="$2"
shift 2
mount --bind "$root" "$root"
mount --bind "$work" "$root/mnt"
mount -t proc proc "$root/proc"
mount -t tmpfs -o mode=1777 tmpfs "$root/tmp"
mount -t tmpfs -o mode=755 tmpfs "$root/dev"
for device in null zero full random urandom; do
    : >"$root/dev/$device"
    mount --bind "/dev/$device" "$root/dev/$device"
done
mount -o remount,bind,ro "$root"
mount -o remount,bind,ro "$root/mnt"
exec setpriv --no-new-privs chroot --userspec="${NOBODY}" "$root" "$@"
"""


Release = Annotated[str, toml.form(r"(?!debian-)[a-z]+-[a-z0-9.]+", "a release of docker/doctor/distributions.csv")]


@dataclass(frozen=True)
class Root:
    """A root file system. `id`: the release, as docker/doctor/distributions.csv has it."""

    id: str
    platform: str
    path: Path

    @property
    def python(self) -> str:
        """The distribution's own Python, "" where there is none."""
        return next((f"/{each}" for each in PYTHONS if os.path.lexists(self.path / each)), "")

    @property
    def loader(self) -> str:
        """The dynamic loader."""
        patterns = ("lib64/ld-linux*.so.*", "lib/ld-linux*.so.*", "lib*/ld64.so.*", "lib/ld-musl-*.so.1")
        found = [path for pattern in patterns for path in sorted(self.path.glob(pattern))]
        return f"/{found[0].relative_to(self.path)}" if found else ""

    def run(self, work: Path, argv: Sequence[str], given: str, seconds: float) -> subprocess.CompletedProcess[str]:
        """Runs a command in it, without a network or any right; `work` is at /mnt. Raises Failure after `seconds`."""
        unshare = ["unshare", "--mount", "--net", "--pid", "--ipc", "--uts", "--fork", "--kill-child"]
        words = [*unshare, "sh", "-c", ISOLATED, "sh", str(self.path), str(work), *argv]
        env = {"PATH": os.environ["PATH"], "NOBODY": NOBODY, "LC_ALL": "C", "HOME": "/tmp"}
        try:
            return subprocess.run(
                words, input=given, env=env, capture_output=True, text=True, errors="replace", timeout=seconds
            )
        except subprocess.TimeoutExpired:
            raise errors.Failure(f"{self.id}: {argv[0]} did not end within {seconds:g} s") from None


@dataclass(frozen=True)
class _Images:
    images: Annotated[Mapping[Release, Reference], toml.REST]


def parse(raw: Mapping[str, Any], where: str) -> Mapping[str, str]:
    """The parsed docker/roots.toml; `where` begins every complaint. Raises UserError."""
    return toml.read(_Images, raw, where).images


def known() -> dict[str, str]:
    """Every release that there can be a root of: its suite, or the reference of its image. Raises UserError."""
    return {**SUITES, **parse(toml.read_toml(TABLE), f"{TABLE}:")}


def obtain(release: str, platform: str) -> Root:
    """The root of a release, made if need be. Raises Failure where it cannot be had."""
    if os.geteuid():
        raise errors.UserError("root file systems are made and entered by root: run this with sudo")
    source = known()[release]
    place = places.state() / "roots"
    place.mkdir(parents=True, exist_ok=True)
    root = Root(release, platform, place / f"{release}-{platform}")
    with files.locked(place, lambda: say("waiting for another run that makes a root")):
        for left in place.glob(".new-*"):  # by a run that was killed
            shutil.rmtree(left, ignore_errors=True)
        if release in SUITES:
            _bootstrap(root, source)
        else:
            _unpack_image(root, source)
    return root


def _bootstrap(root: Root, suite: str) -> None:
    architecture = images.load(overlay=images.NO_OVERLAY).platforms[root.platform].debian
    mirror = Mirror.of_this_machine()
    if mirror is None or not shutil.which("mmdebstrap"):
        raise errors.Failure(
            "it takes Debian, a mirror in its apt sources, and mmdebstrap (apt-get install mmdebstrap)"
        )
    debian_base.register_qemu(architecture)
    mirror = replace(mirror, options=(*mirror.options, "check-valid-until=no"))  # of suites whose support has ended
    mirror, _ = mirror.usable(suite, architecture)
    base = Base(suite, suite, architecture, "")
    releases = debian_base.signed_releases(base, mirror)
    if releases is None:
        if root.path.exists():
            say(f"the Debian mirror does not answer: taking {root.id} as it is")
            return
        raise errors.Failure(f"the mirror of this machine has no {suite} that can be read")
    packages = [*PACKAGES, *(["python3-distutils"] if suite == "bullseye" else [])]
    wanted = f"{debian_base.made_from(base, releases)} {' '.join(packages)} {GL_HOOK}"
    with _replacing(root, wanted) as target:
        if target is None:
            return
        say(f"making {root.id} ({architecture}) with mmdebstrap")
        with scratch.directory() as directory:
            mirror.write_files(directory)
            options = [f"--aptopt={option}" for option in debian_base.apt_options(mirror, directory)]
            argv = ["mmdebstrap", "--quiet", "--variant=minbase", "--format=directory"]
            argv += [f"--include={','.join(packages)}", f"--architectures={architecture}", *options]
            argv += [f"--customize-hook={GL_HOOK}", suite, str(target), "-"]
            lines = mirror.lines(suite, architecture, directory)
            date = debian_base.epoch(releases)
            if debian_base.run_mmdebstrap(argv, "\n".join((*lines, "")), date):
                # Of a suite whose support has ended, a mirror may have the indices of updates without their packages.
                say(f"mmdebstrap failed for {suite} ({architecture}), see above: trying it without updates")
                shutil.rmtree(target)
                target.mkdir(mode=0o755)
                plain = [line for line in lines if line.rpartition("]")[2].split()[1] == suite]
                if debian_base.run_mmdebstrap(argv, "\n".join((*plain, "")), date):
                    raise errors.Failure(f"mmdebstrap failed for {suite} without its updates, too")


def _unpack_image(root: Root, reference: str) -> None:
    engine = choose.engine()
    platform = images.load(overlay=images.NO_OVERLAY).platforms[root.platform].oci
    if not reference.startswith("localhost/"):
        done = engine.completed(engine.pull(reference, platform), PULL_SECONDS)
        if done.returncode:
            raise errors.Failure(f"{reference} cannot be pulled: {(done.stderr or done.stdout).strip()[-300:]}")
    identity = engine.identity(reference)
    with _replacing(root, identity) as target:
        if target is None:
            return
        say(f"unpacking {reference} ({root.platform})")
        with scratch.directory() as directory:
            name, archive = f"manylinux-{directory.name[-12:]}", directory / "root.tar"
            engine.call(engine.command("create", "--name", name, identity, "true"))
            try:
                engine.call(engine.command("export", "--output", str(archive), name))
            finally:
                engine.ask(engine.remove_container(name))
            # Not tarfile: the filters of its extraction are missing in Debian 12's Python.
            unpack = ["tar", "--extract", "--numeric-owner", "--file", str(archive), "--directory", str(target)]
            if subprocess.run(unpack).returncode:
                raise errors.Failure(f"tar cannot unpack the file system of {reference}, see above")
            for each in ("mnt", "proc", "tmp", "dev"):
                (target / each).mkdir(exist_ok=True)


@contextlib.contextmanager
def _replacing(root: Root, wanted: str) -> Iterator[Path | None]:
    """A directory that becomes the root when all goes well; None where it was made from the same before."""
    note = root.path.with_suffix(root.path.suffix + ".made-from")
    if root.path.exists() and note.exists() and note.read_text(encoding="utf-8") == wanted:
        yield None
        return
    with tempfile.TemporaryDirectory(prefix=".new-", dir=root.path.parent, ignore_cleanup_errors=True) as directory:
        target = Path(directory, "root")
        target.mkdir(mode=0o755)
        yield target
        note.unlink(missing_ok=True)
        if root.path.exists():
            root.path.rename(Path(directory, "old"))
        target.rename(root.path)
        files.write(note, wanted)
