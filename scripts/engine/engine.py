"""Container engines: which one really works here, with which settings, and how to ask it for things.

`choose` tries docker-buildx, docker and podman (4.3 and newer), every executable of that name on PATH, by
building a tiny image from this machine's own bash and running it: no registry is needed. A podman that fails
is tried again with other settings, given by option or environment: nothing in /etc is edited. What worked is
remembered in the state directory.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import resource
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from catalogue import checkout
from portable import errors, places, scratch

NAMES = ("docker-buildx", "docker", "podman")
LOCAL_IMAGES = ("BASEIMAGE", "STATIC_CLANG_IMAGE")  # build arguments that name images, which may be in no registry
PROBE_SECONDS = 60  # building or running the probe takes about one second where it works at all

# What builds of docker get: BuildKit, without its attestation, which would differ at every build and repeat the build
# arguments. A buildx that makes none does not know the variable.
NO_ATTESTATION = {"BUILDX_NO_DEFAULT_ATTESTATIONS": "1"}
BUILD_ENVIRONMENT = {"docker": {"DOCKER_BUILDKIT": "1", **NO_ATTESTATION}, "docker-buildx": NO_ATTESTATION}

# For a chroot whose root is no mount point: engines can neither change the propagation of "/" there nor pivot
# away from it. In a mount namespace of their own the root is bound onto /proc, the one mount that is surely
# there and can be made private, and so becomes a mount point without anything being seen outside.
OWN_MOUNTS = (
    "unshare",
    "--mount",
    "--propagation=unchanged",
    "sh",
    "-c",
    'mount --make-private /proc && mount --rbind / /proc && mount --make-rprivate /proc && cd "/proc$PWD"'
    ' && exec chroot /proc "$@"',
    "sh",
)


@dataclass(frozen=True)
class Mount:
    """A file or directory of this machine inside a container."""

    source: Path
    target: str
    read_only: bool = True

    def option(self) -> str:
        """The value of --volume."""
        return f"{self.source}:{self.target}" + (":ro" if self.read_only else "")


@dataclass(frozen=True)
class Settings:
    """What an engine needs on this machine beyond its defaults, by option or environment."""

    own_mounts: bool = False  # run it in a mount namespace of its own, see OWN_MOUNTS
    limits: bool = False  # podman's default limits are above what this process may set
    runtime: str = ""  # podman's OCI runtime
    storage: str = ""  # podman's storage driver
    network: str = ""  # for containers that need the network; "": the engine's default
    unlabelled: bool = False  # SELinux would keep containers from the files that we mount: take its labels off them

    def __str__(self) -> str:
        named = {
            "a mount namespace of its own": self.own_mounts,
            "lower limits": self.limits,
            f"runtime {self.runtime}": self.runtime,
            f"storage driver {self.storage}": self.storage,
            f"network {self.network}": self.network,
            "SELinux labels disabled": self.unlabelled,
        }
        return ", ".join(name for name, used in named.items() if used)

    def options(self) -> list[str]:
        """What every container of an engine needs, one that a build works in, too."""
        return ["--security-opt", "label=disable"] if self.unlabelled else []


@dataclass(frozen=True)
class Build:
    """One build, as data. `secrets`: id -> file; `cache_from`, `cache_to`: for docker-buildx."""

    context: Path
    dockerfile: Path
    tag: str
    platform: str = ""
    args: Mapping[str, str] = field(default_factory=dict)
    inherited: tuple[str, ...] = ()  # arguments whose values come from the environment (podman passes proxies anyway)
    labels: Mapping[str, str] = field(default_factory=dict)
    secrets: Mapping[str, Path] = field(default_factory=dict)
    target: str = ""
    no_cache: bool = False
    keep_layers: bool = True  # for the next build, also when this one fails
    cache_from: tuple[str, ...] = ()
    cache_to: tuple[str, ...] = ()


@dataclass(frozen=True)
class Engine:
    """A container engine; the methods but `call`, `ask`, `contain` and `stream` only say what to run."""

    name: str
    executable: str
    settings: Settings = Settings()

    @property
    def is_podman(self) -> bool:
        return self.name == "podman"

    @property
    def env(self) -> dict[str, str]:
        """The environment it needs beyond the caller's."""
        env = dict(BUILD_ENVIRONMENT.get(self.name, {}))
        if self.settings.limits or self.settings.runtime:
            env["CONTAINERS_CONF"] = str(containers_conf())
        if self.settings.storage:
            env["STORAGE_DRIVER"] = self.settings.storage
        return env

    def command(self, *arguments: str) -> list[str]:
        """The whole argument list of one of its commands."""
        return [*(OWN_MOUNTS if self.settings.own_mounts else ()), self.executable, *arguments]

    def launcher(self) -> str:
        """A program that stands for the engine with all it needs here: itself, or a script of ours."""
        env = {k: v for k, v in self.env.items() if k not in BUILD_ENVIRONMENT.get(self.name, {})}
        if not env and not self.settings.own_mounts:
            return self.executable
        path = places.state() / "bin" / Path(self.executable).name
        exports = "".join(f"export {key}={shlex.quote(value)}\n" for key, value in env.items())
        _write(path, f'#!/bin/sh\n{exports}exec {shlex.join(self.command())} "$@"\n')
        path.chmod(0o755)
        return str(path)

    def shell(self, argv: Sequence[str]) -> str:
        """A line for a shell that does what `argv` and `env` say."""
        return " ".join([*(f"{k}={shlex.quote(v)}" for k, v in self.env.items()), shlex.join(argv)])

    def build(self, build: Build) -> list[str]:
        """Builds an image."""
        argv = ["buildx", "build", "--load"] if self.name == "docker-buildx" else ["build"]
        local = [name for name in LOCAL_IMAGES if build.args.get(name, "").startswith("localhost/")]
        if self.name == "docker-buildx" and local:
            argv[1:1] = ["--builder", "default"]  # a builder in its own container does not see local images
        if self.is_podman:
            # Side by side, podman 4.3 gives the platform of the stage with the clang to others as well.
            jobs = 1 if "CLANG_PLATFORM" in build.args else os.cpu_count() or 1
            argv += [f"--layers={str(build.keep_layers).lower()}", "--jobs", str(jobs)]
        argv += ["--file", str(build.dockerfile), "--tag", build.tag]
        argv += ["--platform", build.platform] if build.platform else []
        argv += ["--target", build.target] if build.target else []
        argv += ["--network", self.settings.network] if self.settings.network else []
        argv += self.settings.options()
        argv += ["--no-cache"] if build.no_cache else []
        for option, values in (("--cache-from", build.cache_from), ("--cache-to", build.cache_to)):
            for value in values:
                argv += [option, value]
        for name, path in build.secrets.items():
            argv += ["--secret", f"id={name},src={path}"]
        for name, value in build.args.items():
            argv += ["--build-arg", f"{name}={value}"]
        for name in () if self.is_podman else build.inherited:
            argv += ["--build-arg", name]
        for name, value in build.labels.items():
            argv += ["--label", f"{name}={value}"]
        return self.command(*argv, str(build.context))

    def run(
        self,
        reference: str,
        argv: Sequence[str] = (),
        *,
        mounts: Iterable[Mount] = (),
        network: str | None = "none",
        env: Mapping[str, str] | None = None,
        inherited: Iterable[str] = (),
        user: str = "",
        read_only: bool = False,
        tmpfs: Iterable[str] = (),
        platform: str = "",
        name: str = "",
        entrypoint: str | None = None,
        workdir: str = "",
    ) -> list[str]:
        """Runs a command in a container that goes with it. `network` None: whatever reaches out."""
        options = ["run", "--rm", "--pull=never", *self.settings.options()]
        network = self.settings.network if network is None else network
        for option, value in (
            ("--network", network),
            ("--platform", platform),
            ("--name", name),
            ("--user", user),
            ("--workdir", workdir),
        ):
            options += [option, value] if value else []
        options += [f"--entrypoint={entrypoint}"] if entrypoint is not None else []
        options += ["--read-only"] if read_only else []
        for path in tmpfs:
            options += ["--tmpfs", path]
        for mount in mounts:
            options += ["--volume", mount.option()]
        for key, value in (env or {}).items():
            options += ["--env", f"{key}={value}"]
        for key in inherited:
            options += ["--env", key]
        return self.command(*options, reference, *argv)

    def tag(self, source: str, target: str) -> list[str]:
        return self.command("tag", source, target)

    def untag(self, reference: str) -> list[str]:
        """Removes a tag; what was built stays in the cache (podman's `rmi` would remove that, too)."""
        return self.command(*(("untag", reference, reference) if self.is_podman else ("rmi", reference)))

    def remove(self, reference: str) -> list[str]:
        """Removes a tag, and the image when it was the last one."""
        return self.command("rmi", reference)

    def remove_container(self, name: str) -> list[str]:
        return self.command("rm", "--force", name)

    def import_(self, archive: Path, reference: str, platform: str, labels: Mapping[str, str]) -> list[str]:
        """Makes an image with one layer from a tar archive of a root file system."""
        argv = ["import"]
        if self.is_podman:
            system, architecture, *variant = platform.split("/")
            argv += ["--os", system, "--arch", architecture, *(("--variant", variant[0]) if variant else ())]
        else:
            argv += ["--platform", platform]
        for key, value in labels.items():
            argv += ["--change", f"LABEL {key}={json.dumps(value)}"]
        return self.command(*argv, str(archive), reference)

    def inspect(self, reference: str, template: str) -> list[str]:
        """Prints what a Go template says of an image."""
        return self.command("image", "inspect", "--format", template, reference)

    def pull(self, reference: str, platform: str) -> list[str]:
        return self.command("pull", "--quiet", "--platform", platform, reference)

    def exports_cache(self, local: bool) -> bool:
        """Whether builds, `local` ones on images of this machine, can leave their layers elsewhere and find them there.

        The driver of the builder decides: Docker's own keeps them to itself unless it stores images with containerd."""
        if self.name != "docker-buildx":
            return False
        said = self.ask(self.command("buildx", "inspect", *(["default"] if local else [])))
        drivers = re.findall(r"(?m)^Driver:\s*(\S+)", said or "")
        if drivers != ["docker"]:
            return bool(drivers)
        return "containerd.snapshotter" in (self.ask(self.command("info", "--format", "{{.DriverStatus}}")) or "")

    def environment(self) -> dict[str, str]:
        """The environment for the argument lists above."""
        # buildx asks git, too, and labels images with the answer where the caller's BUILDX_GIT_LABELS says so.
        settled = places.settled(checkout.environment())
        inherited = {key: value for key, value in settled.items() if not key.startswith("BUILDX_GIT_")}
        return {**inherited, **self.env}

    def call(self, argv: Sequence[str]) -> None:
        """Runs one of the argument lists. Raises Failure with what the engine said last."""
        done = self._run(argv)
        if done.returncode:
            verb = argv[list(argv).index(self.executable) + 1]
            raise errors.Failure(f"{self.name} {verb}: {reason(done.stderr or done.stdout)}")

    def ask(self, argv: Sequence[str]) -> str | None:
        """What one of the argument lists prints, stripped; None when it fails."""
        done = self._run(argv)
        return None if done.returncode else done.stdout.strip()

    def contain(
        self, reference: str, argv: Sequence[str], seconds: float | None = None, **options: Any
    ) -> subprocess.CompletedProcess[str]:
        """Runs a command in a container, with the options of `run`; whatever happens, the container is gone afterwards.

        Raises Failure when it takes more than `seconds`."""
        name = f"manylinux-{uuid.uuid4().hex[:12]}"
        try:
            return self._run(self.run(reference, argv, name=name, **options), seconds)
        except BaseException as error:
            # What ended is the client: the container goes on without it.
            with undisturbed():
                self.ask(self.remove_container(name))
            if isinstance(error, subprocess.TimeoutExpired):
                raise errors.Failure(f"{reference}: {shlex.join(argv)} did not end within {seconds:g} s") from None
            raise

    def identity(self, reference: str) -> str:
        """The Id of an image, which does not move as its names do. Raises UserError when there is none."""
        if said := self.ask(self.inspect(reference, "{{.Id}}")):
            return said
        raise errors.UserError(f"{self.name} has no image {reference}: build it, or pull it first")

    def stream(self, argv: Sequence[str], grace: float = 30, each: Callable[[str], object] | None = None) -> int:
        """Runs one of the argument lists; `each` gets every line that it says (default: standard error does).

        Returns its exit status. When we are interrupted, it has `grace` seconds to clean up before it is killed."""
        # A session of its own: Ctrl+C on a terminal reaches us alone, and we decide how the engine is told.
        with subprocess.Popen(
            argv,
            env={**self.environment(), "BUILDKIT_PROGRESS": "plain"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            encoding="utf-8",
            errors="replace",
            start_new_session=True,
        ) as child:
            assert child.stdout is not None
            try:
                for line in child.stdout:
                    (each or _show)(line)
                return child.wait()
            except BaseException:
                with undisturbed():
                    threading.Thread(target=child.stdout.read, daemon=True).start()  # it must not wait for us
                    self._stop(child, grace)
                raise

    def _stop(self, child: subprocess.Popen[str], grace: float) -> None:
        """Ends a command so that it leaves nothing behind.

        Docker cancels a build when its client is told to end. podman would just end and leave its containers
        running; when what runs in them is killed instead, the build fails and it cleans up."""
        if not self.is_podman:
            child.terminate()  # not SIGINT, which it ignores when we are a shell's job in the background
        deadline = time.monotonic() + grace
        while child.poll() is None and time.monotonic() < deadline:
            for pid in contained(child.pid) if self.is_podman else ():
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            with contextlib.suppress(subprocess.TimeoutExpired):
                child.wait(0.2)
        left = contained(child.pid)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child.pid, signal.SIGKILL)
        for pid in left:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        child.wait()

    def _run(self, argv: Sequence[str], seconds: float | None = None) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            argv,
            env=self.environment(),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=seconds,
        )


def _show(line: str) -> None:
    sys.stderr.write(line)
    sys.stderr.flush()


@contextlib.contextmanager
def undisturbed() -> Iterator[None]:
    """Lets what runs in here come to its end, whoever is impatient."""
    main_thread = threading.current_thread() is threading.main_thread()  # signals never reach another
    numbers = (signal.SIGINT, *errors.ENDINGS) if main_thread else ()
    handlers = {number: signal.signal(number, signal.SIG_IGN) for number in numbers}
    try:
        yield
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)


def contained(pid: int) -> list[int]:
    """The descendants of a process that live in containers: in another PID namespace than it does."""
    children: dict[int, list[int]] = {}
    for directory in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            parent = (directory / "stat").read_text(errors="replace").rpartition(")")[2].split()[1]
            children.setdefault(int(parent), []).append(int(directory.name))
    found, todo = [], [pid]
    while todo:
        todo += (below := children.get(todo.pop(), []))
        found += below
    return [each for each in found if _pid_namespace(each) not in ("", _pid_namespace(pid))]


def _pid_namespace(pid: int) -> str:
    try:
        return str(Path(f"/proc/{pid}/ns/pid").readlink())
    except OSError:
        return ""


def reason(text: str) -> str:
    """The line of an engine's messages that says why it failed: its first error, else its last line."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    found = [line for line in lines if line.lower().startswith("error")]
    return (found or lines[-1:] or ["it said nothing"])[0]


# --- State --------------------------------------------------------------------------------------------------


def containers_conf() -> Path:
    """Our settings for podman, for CONTAINERS_CONF: `choose` writes it where podman's own defaults fail."""
    return places.state() / "containers.conf"


def _memory() -> Path:
    return places.state() / "podman.json"


def _remembered() -> Engine | None:
    try:
        row = json.loads(_memory().read_text(encoding="utf-8"))
        return Engine(row["name"], row["executable"], Settings(**row["settings"]))
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _remember(engine: Engine) -> None:
    _write(_memory(), json.dumps(asdict(engine), indent=2) + "\n")


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.write_text(text, encoding="utf-8")
    temporary.replace(path)


def podman_settings(settings: Settings) -> str:
    """The text of containers.conf for these settings: limits that this process may set, and the runtime."""
    lines = []
    if settings.limits:
        lines += ["[containers]", f"default_ulimits = {json.dumps(_limits())}"]
    if settings.runtime:
        lines += ["[engine]", f"runtime = {json.dumps(settings.runtime)}"]
    return "\n".join(lines) + "\n"


def _limits() -> list[str]:
    named = (("nofile", resource.RLIMIT_NOFILE, 16384), ("nproc", resource.RLIMIT_NPROC, 32768))
    allowed = []
    for name, which, wanted in named:
        hard = resource.getrlimit(which)[1]
        value = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        allowed.append(f"{name}={value}:{value}")
    return allowed


# --- Choosing -----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Attempt:
    """An engine that was tried, and why it does not do."""

    engine: Engine
    reason: str

    def __str__(self) -> str:
        settings = f" with {self.engine.settings}" if str(self.engine.settings) else ""
        return f"{self.engine.name} ({self.engine.executable}){settings}: {self.reason}"


def choose(name: str = "", reach: tuple[str, int] | None = None) -> Engine:
    """The engine called `name`, or the first that works; `reach` is a host and port that builds need.

    Raises UserError for an unknown name, Failure when none works: what was tried, why it failed, what to do."""
    working, attempts = find(checked(name), reach)
    if working:
        return working
    tried = "".join(f"\n  {attempt}" for attempt in attempts)
    if name:
        nothing = f": there is no {executable_of(name)} on PATH"
        what = f"MANYLINUX_BUILD_FRONTEND={name} does not work here" + (tried or nothing)
    else:
        what = "no container engine works here" + (tried or ": there is neither docker nor podman on PATH")
    raise errors.Failure(
        f"{what}\nInstall or start docker (with buildx) or podman; on Debian, as root, "
        "`./build.sh --bootstrap` does that for you."
    )


def checked(name: str) -> str:
    """The name of an engine, or "" for any. Raises UserError for another."""
    if name and name not in NAMES:
        raise errors.UserError(f"MANYLINUX_BUILD_FRONTEND={name}: it must be one of {', '.join(NAMES)}")
    return name


def find(name: str = "", reach: tuple[str, int] | None = None) -> tuple[Engine | None, list[Attempt]]:
    """The first engine that works, or None, and the attempts that failed before."""
    attempts: list[Attempt] = []
    with scratch.directory() as directory:
        probe = None
        for engine in candidates(name):
            probe = probe or Probe(directory, reach)
            if failure := probe.failure(engine):
                attempts.append(Attempt(engine, failure))
                continue
            engine = probe.networked(engine)
            if engine.is_podman:
                _remember(engine)
            return engine, attempts
    return None, attempts


def candidates(name: str = "") -> Iterator[Engine]:
    """The engines to try, in order; podman first as it worked last time, then with ever more settings."""
    remembered = _remembered()
    for kind in (name,) if name else NAMES:
        for executable in _on_path(executable_of(kind)):
            tried = list(_ladder()) if kind == "podman" else [Settings()]
            if _selinux():  # each rung once more: where labels are the reason, all of them fail
                tried += [replace(settings, unlabelled=True) for settings in tried]
            if remembered and (remembered.name, remembered.executable) == (kind, executable):
                tried.insert(0, remembered.settings)
            for settings in dict.fromkeys(tried):
                yield Engine(kind, executable, settings)


def executable_of(name: str) -> str:
    """The command of an engine."""
    return "podman" if name == "podman" else "docker"


def _ladder() -> Iterator[Settings]:
    """podman's settings, from none to the most unusual."""
    own_mounts = os.geteuid() == 0 and not _root_is_mount_point()
    runtimes = [path for runtime in ("runc", "crun") if (path := shutil.which(runtime))]
    for storage in ("", "vfs"):
        yield Settings(own_mounts=own_mounts, storage=storage)
        yield Settings(own_mounts=own_mounts, limits=True, storage=storage)
        for runtime in runtimes:
            yield Settings(own_mounts=own_mounts, limits=True, runtime=runtime, storage=storage)


def _selinux() -> bool:
    return Path("/sys/fs/selinux/enforce").exists()


def _root_is_mount_point() -> bool:
    text = Path("/proc/self/mountinfo").read_text(encoding="utf-8")
    return any(line.split()[4] == "/" for line in text.splitlines())


def _on_path(executable: str) -> list[str]:
    """Every executable of that name on PATH, the same file once."""
    found: dict[Path, str] = {}
    for directory in os.get_exec_path():
        path = Path(directory, executable)
        # Not Path.is_file: a directory on PATH that we may not look into, say root's, is no reason to fail.
        if os.path.isfile(path) and os.access(path, os.X_OK):  # noqa: PTH113
            found.setdefault(path.resolve(), str(path))
    return list(found.values())


# --- Probing ------------------------------------------------------------------------------------------------

PROBE_DOCKERFILE = """\
FROM scratch
COPY root /
ARG REACH=
RUN --mount=type=secret,id=probe ["/bin/bash", "/probe.sh"]
"""
PROBE_SCRIPT = """\
read -r word < /run/secrets/probe && [[ $word == probe ]] || exit 1
[[ -z $REACH ]] || exec /bin/timeout 8 /bin/bash -c "exec 3<>/dev/tcp/$REACH"
"""


class Probe:
    """A tiny image, made of this machine's bash, that an engine has to build and run."""

    def __init__(self, directory: Path, reach: tuple[str, int] | None = None) -> None:
        self.directory = directory
        self.reach = "{}/{}".format(*reach) if reach and _connects(*reach) else ""
        for program in ("bash", "timeout"):
            copy_with_libraries(program, directory / "root")
        (directory / "root" / "probe.sh").write_text(PROBE_SCRIPT, encoding="utf-8")
        (directory / "Dockerfile").write_text(PROBE_DOCKERFILE, encoding="utf-8")
        (directory / "secret").write_text("probe\n", encoding="utf-8")
        self.tag = f"localhost/manylinux-probe:{uuid.uuid4().hex[:12]}"

    def failure(self, engine: Engine) -> str:
        """Why the engine does not do; empty when it builds and runs, with a secret and a bind mount."""
        if engine.settings.limits:
            _write(containers_conf(), podman_settings(engine.settings))
        if failure := self._build(engine, "none"):
            return failure
        mount = Mount(self.directory / "secret", "/run/secrets/probe")
        name = self.tag.replace(":", "-").rpartition("/")[2]
        failure = _failure(engine, engine.run(self.tag, ["/bin/bash", "/probe.sh"], mounts=[mount], name=name))
        if failure:
            engine.ask(engine.remove_container(name))  # one that gave no answer
        engine.ask(engine.remove(self.tag))
        return failure

    def networked(self, engine: Engine) -> Engine:
        """The engine with a network from which builds reach out: its default or the host's."""
        for network in dict.fromkeys((engine.settings.network, "", "host")):
            if not self._build(engine, network, self.reach):
                engine.ask(engine.remove(self.tag))
                return replace(engine, settings=replace(engine.settings, network=network))
        return engine

    def _build(self, engine: Engine, network: str, reach: str = "") -> str:
        tried = replace(engine, settings=replace(engine.settings, network=network))
        build = Build(
            self.directory,
            self.directory / "Dockerfile",
            self.tag,
            args={"REACH": reach},
            secrets={"probe": self.directory / "secret"},
            no_cache=True,
            keep_layers=False,
        )
        return _failure(tried, tried.build(build))


def _failure(engine: Engine, argv: Sequence[str]) -> str:
    try:
        done = subprocess.run(
            argv,
            env=engine.environment(),
            capture_output=True,
            text=True,
            errors="replace",
            timeout=PROBE_SECONDS,
        )
    except subprocess.TimeoutExpired:
        return f"no answer within {PROBE_SECONDS} seconds"
    except OSError as error:
        return str(error)
    return reason(done.stderr or done.stdout) if done.returncode else ""


def _connects(host: str, port: int) -> bool:
    try:
        with socket.create_connection((host, port), timeout=5):
            return True
    except OSError:
        return False


def copy_with_libraries(program: str, root: Path) -> None:
    """Copies a dynamically linked program to /bin below `root`, with its libraries and those that look up names."""
    source = shutil.which(program)
    if source is None:
        raise errors.Failure(f"there is no {program} on PATH to test container engines with")
    listed = subprocess.run(["ldd", source], capture_output=True, text=True).stdout
    libraries = [word for line in listed.splitlines() for word in line.split() if word.startswith("/")]
    directories = {Path(library).parent for library in libraries}
    libraries += [str(path) for directory in directories for path in directory.glob("libnss_[df]*.so.2")]
    for path, place in ((source, f"/bin/{program}"), *((library, library) for library in libraries)):
        copy = root / place.lstrip("/")
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, copy)
