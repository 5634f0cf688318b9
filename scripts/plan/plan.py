"""One build of an image: its interpreters, components, pins, tools and build arguments.

`decide` makes it from an image of the catalogue and a request; everything that builds, tests or labels an image
asks the `Plan`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from catalogue import deprecations
from catalogue import pins as native_pins
from catalogue.interpreters import OLDEST_TOOLS_PYTHON, Interpreter, SharedInterpreter, Tool, matches, tools_python
from catalogue.model import Image
from catalogue.pins import Pin
from portable import downloads, errors
from portable.toml import near_matches

COMPONENT_PINS = {"tcltk": ("tcl", "tk")}  # components made of other pins than the one with their own name
SHARED_OPENSSL = "openssl"  # the pin that is always built for a variant's interpreters
CERTIFICATES = "/opt/_internal/certs.pem"  # SSL_CERT_FILE of an image; sites mount their bundle over it


@dataclass(frozen=True)
class Request:
    """What a build asks for beyond the table. None: as the table says.

    `components` replaces the table's list. `lock` is a lock of local sources (sources/lock.py): its pins override the
    Dockerfile's, and what it says is missing is left out."""

    interpreters: tuple[str, ...] | None = None
    components: tuple[str, ...] | None = None
    lock: Mapping[str, Any] | None = None
    base: str | None = None
    tag: str | None = None


@dataclass(frozen=True)
class Plan:
    """One build of an image, decided: everything build.sh, the smoke tests and the labels need to know."""

    image: Image
    interpreters: tuple[Interpreter, ...]
    components: tuple[str, ...]
    shared: tuple[SharedInterpreter, ...]
    pins: Mapping[str, Pin]
    versions: Mapping[str, str]
    left_out: Mapping[str, str]
    moved: tuple[str, ...]
    base: str
    requested_tag: str | None
    missing_pockets: tuple[str, ...] = ()  # parts of the distribution that the mirror lacks today, as in "security"

    @property
    def complete(self) -> bool:
        """Whether the image is exactly what the table says."""
        return not self.left_out and not self.moved

    @property
    def tag(self) -> str:
        """The requested tag as it is; otherwise `latest`, marked where the image is partial."""
        return self.requested_tag or ("latest" if self.complete else "latest-partial")

    @property
    def reference(self) -> str:
        """Repository and tag."""
        return f"{self.image.repository}:{self.tag}"

    @property
    def tools_python(self) -> Interpreter:
        """The newest stable CPython of this image: it runs the tools."""
        return tools_python(self.interpreters)

    @property
    def build_args(self) -> dict[str, str]:
        """The build arguments, by name. Pins that equal the Dockerfile's own are left out."""
        policy, platform = self.image.policy, self.image.platform
        toolset = self.image.toolset
        wide = not platform.narrow
        local = "/usr/local/bin:" if policy.local_first else ""
        args = {
            "BASEIMAGE": self.base,
            "POLICY": policy.name,
            "PLATFORM": platform.name,
            "FAMILY": policy.family,
            "LIBC": policy.libc,
            "DISTRIBUTION": policy.distribution,
            "TOOLSET": toolset.name if toolset else "",
            "PACKAGE_SETS": " ".join(policy.package_sets),
            "DEVTOOLSET_ROOTPATH": toolset.root if toolset else "",
            "LD_LIBRARY_PATH_ARG": toolset.ld_library_path(platform) if toolset else "",
            "PKG_CONFIG_PATH_ARG": ":".join(f"/usr/local/{lib}/pkgconfig" for lib in ("lib", "lib64")[: 1 + wide]),
            "PREPEND_PATH": "/opt/clang/bin:" + local + (f"{toolset.root}/usr/bin:" if toolset else ""),
            "SQLITE_EXPOSED": "1" if policy.sqlite_exposed else "0",
            "GOARCH": platform.go,
            "TRIPLE": platform.triples[policy.libc],
            "MARCH": platform.marches.get(policy.libc, ""),
            "BUILD_TRIPLE": platform.cpython_builds.get(policy.libc, ""),
            "TOOLS_PYTHON": self.tools_python.tag,
        }
        args |= {f"{native_pins.env_prefix(i.name)}_OPTIMISED": "1" if i.optimised else "0" for i in self.shared}
        args |= self.stages
        args |= {"MISSING_POCKETS": " ".join(self.missing_pockets)} if self.missing_pockets else {}
        for name in self.moved:
            pin, prefix = self.pins[name], native_pins.env_prefix(name)
            digest = pin.sha256 if isinstance(pin.sha256, str) else " ".join(f"{k}:{v}" for k, v in pin.sha256.items())
            args |= {f"{prefix}_VERSION": pin.version, f"{prefix}_SHA256": digest, f"{prefix}_URL": pin.url}
        return args

    @property
    def stages(self) -> dict[str, str]:
        """The switches, each the name of a part's stage or `empty`.

        All of them are passed: podman 4.3 orders the stages that it runs side by side by the switches it is given."""
        wanted = {i.stage: f"interpreter-{i.tag}" for i in self.interpreters}
        wanted |= {native_pins.env_prefix(name) + "_STAGE": f"component-{name}" for name in self.components}
        wanted |= {native_pins.env_prefix(t.name) + "_STAGE": f"tool-{t.name}" for t in self.piped_tools}
        wanted |= {native_pins.env_prefix(i.name) + "_STAGE": f"interpreter-{i.name}" for i in self.shared}
        wanted |= {"BASE_TOOLS_STAGE": "install-base-tools"}
        wanted |= {"SHARED_OPENSSL_STAGE": "build-shared-openssl"} if self.shared else {}
        defaults = native_pins.switches()
        if unknown := sorted(set(wanted) - set(defaults)):
            raise errors.Failure(f"docker/Dockerfile has no ARG {', '.join(unknown)}: run `nox -s render`")
        return {name: wanted.get(name, "empty") for name in defaults}

    @property
    def source_pins(self) -> frozenset[str]:
        """The native pins that the image is made of."""
        return _pins_of(self.components, (*self.interpreters, *self.shared)) & self.pins.keys()

    @property
    def component_pins(self) -> frozenset[str]:
        """The native pins that its components are made of."""
        return _pins_of(self.components, ()) & self.pins.keys()

    @property
    def pyinstaller_wheels(self) -> str:
        """The directory of the wheelhouse with PyInstaller for this image; "" where the smoke tests do not use it."""
        return f"shared-{self.image.place}" if self.shared and self.image.has_pyinstaller else ""

    @property
    def labels(self) -> dict[str, str]:
        """OCI labels that do not depend on the state of the repository."""
        return {
            "org.opencontainers.image.source": self.image.source,
            "org.opencontainers.image.title": self.image.name,
            "org.opencontainers.image.base.name": self.base,
            "org.pypa.manylinux.ends": deprecations.end_of(self.image.policy).isoformat(),
            "org.pypa.manylinux.complete": "true" if self.complete and not self.missing_pockets else "false",
        }

    @property
    def piped_tools(self) -> tuple[Tool, ...]:
        """The tools that pipx installs; the distribution's packages serve for the others."""
        return tuple(t for t in self.image.tools if not matches(self.image.place, t.distribution_where))


def decide(image: Image, request: Request, pins: Mapping[str, Pin] | None = None) -> Plan:
    """Decides one build. Raises UserError for interpreter tags or components that this image cannot have."""
    table_pins = dict(native_pins.read() if pins is None else pins)
    locked: Mapping[str, Any] = request.lock["pins"] if request.lock else {}
    missing: Mapping[str, str] = request.lock["missing"] if request.lock else {}
    used = {name: _locked_pin(name, row) if (row := locked.get(name)) else pin for name, pin in table_pins.items()}
    versions = {name: pin.version for name, pin in used.items()}
    versions |= {tag: row.version for tag, row in downloads.load().interpreters.items()}

    left_out: dict[str, str] = {}
    wanted = _wanted_interpreters(image, request, missing)
    for i in image.interpreters:
        if i not in wanted:
            left_out[i.tag] = missing.get(i.pin, "not asked for")
    components = request.components if request.components is not None else image.policy.build
    built = []
    for component in components:
        if component not in native_pins.components():
            raise errors.UserError(
                f"unknown component {component!r}" + near_matches(component, native_pins.components())
            )
        parts = COMPONENT_PINS.get(component, (component,))
        reasons = [missing[part] for part in parts if part in missing]
        if reasons:
            left_out[component] = reasons[0]
        else:
            built.append(component)
    for component in image.policy.build:
        if component not in components:
            left_out[component] = "not asked for"
    shared = tuple(i for i in image.shared if i.pin not in missing)
    left_out |= {i.name: missing[i.pin] for i in image.shared if i not in shared}
    if image.shared and (SHARED_OPENSSL in missing or not shared):
        reason = missing.get(SHARED_OPENSSL) or missing[image.shared[0].pin]
        raise errors.UserError(f"nothing of {image.name} can be built from the local sources: {reason}")
    used_pins = _pins_of(built, (*wanted, *shared))
    moved = tuple(name for name in used if name in used_pins and used[name] != table_pins[name])
    result = Plan(
        image=image,
        interpreters=wanted,
        components=tuple(built),
        shared=shared,
        pins=used,
        versions=versions,
        left_out=left_out,
        moved=moved,
        base=request.base or image.policy.base,
        requested_tag=request.tag,
    )
    if not any(i.runs_tools for i in wanted):
        usable = ", ".join(i.tag for i in image.interpreters if i.runs_tools)
        raise errors.UserError(
            f"the tools of an image run on its newest CPython >= {OLDEST_TOOLS_PYTHON}: add one of {usable}"
        )
    return result


def _wanted_interpreters(image: Image, request: Request, missing: Mapping[str, str]) -> tuple[Interpreter, ...]:
    """The preinstalled interpreters of a build, in the table's order."""
    here = {i.tag: i for i in (*image.interpreters, *image.on_demand)}
    if request.interpreters is None:
        return tuple(i for i in image.interpreters if i.pin not in missing)
    for tag in request.interpreters:
        if tag not in here:
            raise errors.UserError(f"{image.name} has no interpreter {tag!r}" + near_matches(tag, here))
        if not here[tag].preinstalled:
            raise errors.UserError(
                f"{tag} is never built into an image: run `manylinux-interpreters ensure {tag}` in it"
            )
        if here[tag].pin in missing:
            raise errors.UserError(f"{tag} cannot be built from the local sources: {missing[here[tag].pin]}")
    return tuple(i for i in image.interpreters if i.tag in request.interpreters)


def _pins_of(components: Iterable[str], interpreters: Iterable[Interpreter | SharedInterpreter]) -> frozenset[str]:
    found = {p for c in components for p in COMPONENT_PINS.get(c, (c,))}
    for interpreter in interpreters:
        found |= {interpreter.pin} | ({SHARED_OPENSSL} if isinstance(interpreter, SharedInterpreter) else set())
    return frozenset(found)


def _locked_pin(name: str, row: Mapping[str, Any]) -> Pin:
    return Pin(name, row["version"], row["url"], row["sha256"])
