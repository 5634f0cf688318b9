"""The Debian mirror of this machine, as the apt of a container, a base or a private root may use it."""

from __future__ import annotations

import base64
import contextlib
import io
import os
import shutil
import subprocess
import tarfile
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from host import apt
from host.apt import AptSettings
from portable import files, scratch

DEBIAN_SUITES = {"12": "bookworm", "13": "trixie"}
APT_IN_BUILDS = Path("/dev/shm/manylinux-apt")  # in memory: what lies there is in no layer
DEBIAN_KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"


@dataclass(frozen=True)
class Mirror:
    """Where this machine gets Debian from: the archive's roots for suites, updates and security updates.

    `options` stand in every line, as in "check-valid-until=no". `own` and `keys` are by pocket ("" for the suite
    itself): further options, and the keys that sign the pocket instead of Debian's. `settings`: how apt reaches it."""

    main: str
    updates: str
    security: str
    options: tuple[str, ...] = ()
    own: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    keys: Mapping[str, bytes] = field(default_factory=dict, repr=False)
    settings: AptSettings = field(default_factory=AptSettings)

    def lines(self, suite: str, architecture: str = "", directory: Path | None = None) -> tuple[str, ...]:
        """The sources.list lines of a suite, its updates and its security updates.

        `directory`: where the apt that reads them finds the `files`."""
        found = []
        for pocket, url in (("", self.main), ("updates", self.updates), ("security", self.security)):
            key = directory / _key_file(pocket) if directory and pocket in self.keys else DEBIAN_KEYRING
            options = [*self.options, *self.own.get(pocket, ()), f"signed-by={key}"]
            options += [f"arch={architecture}"] if architecture else []
            release = "-".join(filter(None, (suite, pocket)))
            found += [f"deb [{' '.join(options)}] {url} {release} main"] if url else []
        return tuple(found)

    def files(self, directory: Path) -> dict[str, bytes]:
        """The files that an apt needs besides its sources, by name: apt.conf, certificates, keys.

        `directory`: where that apt finds them."""
        conf, found = self.settings.conf(directory)
        found |= {_key_file(pocket): keys for pocket, keys in self.keys.items()}
        return {**found, "apt.conf": conf.encode()} if conf else found

    def secret(self, suite: str) -> str:
        """The sources of a build. The files are in their comments; docker/build_scripts/lib/debian.sh unpacks them."""
        buffer = io.BytesIO()
        files = self.files(APT_IN_BUILDS)
        with tarfile.open(fileobj=buffer, mode="w") as tar:
            for name, content in files.items():
                member = tarfile.TarInfo(name)
                member.size, member.mode = len(content), 0o600
                tar.addfile(member, io.BytesIO(content))
        packed = base64.encodebytes(buffer.getvalue()).decode().splitlines() if files else []
        comments = [f"#site {line}" for line in packed]
        return "\n".join((*self.lines(suite, directory=APT_IN_BUILDS), *comments, ""))

    def usable(self, suite: str, architecture: str) -> tuple[Mirror, tuple[str, ...]]:
        """The mirror without the pockets of a suite that apt cannot use for an architecture, and what to say about it.

        While a mirror synchronises, or where it caches, its indices may differ from what is signed."""
        notes: list[str] = []

        def checked(pocket: str, alone: Mirror) -> str:
            sources = "\n".join(alone.lines(suite, architecture, directory))
            if sources and (reason := _apt_failure(sources, architecture)):
                notes.append(
                    f"the mirror's {suite}-{pocket} is left out, as apt cannot use it ({architecture}): {reason}"
                )
                return ""
            return alone.updates or alone.security

        if not shutil.which("apt-get"):
            return self, ()
        with scratch.directory() as directory:
            self.write_files(directory)
            updates = checked("updates", replace(self, main="", security=""))
            security = checked("security", replace(self, main="", updates=""))
        return replace(self, updates=updates, security=security), tuple(notes)

    def write_files(self, directory: Path) -> None:
        """Writes `files` to a directory for an apt of this machine; only this user can read them."""
        for name, content in self.files(directory).items():
            files.write_private(directory / name, content)

    @classmethod
    def of_this_machine(cls) -> Mirror | None:
        """The mirror that apt is configured with, or $MANYLINUX_DEBIAN_MIRROR names; None if there is neither.

        The sources of another distribution do not count: its suites may have the same names."""
        if not os.environ.get(apt.MIRROR_VARIABLE) and _distribution() != "debian":
            return None
        return cls.of(apt.read())

    @classmethod
    def of(cls, settings: AptSettings, trusted: bytes | None = None) -> Mirror | None:
        """The mirror that apt's settings amount to; None if no archive is reached over the network.

        `trusted`: the keys for sources that name none, by default those of this machine."""
        remote = [source for source in settings.sources if source.root.startswith(("http:", "https:"))]
        main, updates, security = (
            next((source for source in remote if pocket in source.pockets), None)
            for pocket in ("", "updates", "security")
        )
        if main is None:
            return None
        trusted = apt.trusted_keys() if trusted is None else trusted
        own, keys = {}, {}
        for pocket, source in (("", main), ("updates", updates or main), ("security", security)):
            if source is None:
                continue
            if source.options:
                own[pocket] = tuple(f"{name}={value}" for name, value in source.options.items())
            if source.signed_by is not None:
                keys[pocket] = source.signed_by
            elif trusted:
                keys[pocket] = trusted + apt.debian_keys()
        roots = (main.root, (updates or main).root, security.root if security else "")
        return cls(*roots, tuple(f"{name}=no" for name in settings.checks_off), own, keys, settings)


def debian_suite(distribution: str) -> str:
    """The code name of a distribution of the table, as of "debian-12"; "" for one that is not Debian."""
    name, _, release = distribution.partition("-")
    return DEBIAN_SUITES.get(release, "") if name == "debian" else ""


def _key_file(pocket: str) -> str:
    return f"keys-{pocket or 'main'}.gpg"


def _apt_failure(sources: str, architecture: str) -> str:
    """Why `apt-get update` fails with these sources alone; "" when it does not."""
    with scratch.directory() as directory:
        listed = files.write_private(directory / "sources", sources + "\n")
        options = apt.private_options(
            directory,
            {
                "Dir::Etc::sourcelist": str(listed),
                "Dir::Etc::sourceparts": "-",
                "APT::Architecture": architecture,
                "APT::Architectures": architecture,
            },
        )
        done = subprocess.run(["apt-get", "update", "--quiet", *options], capture_output=True, text=True)
    said = [line.strip() for line in (done.stdout + done.stderr).splitlines()]
    found = [said[i + 1] for i, line in enumerate(said[:-1]) if line.startswith("Err:")]
    return (found or said[-1:] or ["it failed"])[0] if done.returncode else ""


def _distribution() -> str:
    """The ID of /etc/os-release; "" where there is none."""
    with contextlib.suppress(OSError):
        lines = Path("/etc/os-release").read_text(encoding="utf-8").splitlines()
        return next((value.strip('"') for key, _, value in (line.partition("=") for line in lines) if key == "ID"), "")
    return ""
