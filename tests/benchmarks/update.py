#!/usr/bin/env python3
"""How long a dry run over all pins takes against slow upstreams, one of them dead, and how many requests it makes.

Every upstream of docker/dependencies.toml is played by one server on loopback that answers each request after a delay;
the host of mpdecimal accepts no connection at all. Measured are all look-ups together, as a run makes them, and each
alone with nothing remembered. Exits with 1 when together takes a second longer than the slowest alone.
"""

from __future__ import annotations

import argparse
import base64
import functools
import hashlib
import json
import os
import re
import shutil
import socket
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from http.server import BaseHTTPRequestHandler
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "scripts")]

import pysequoia  # noqa: E402
from tests.support import debian_mirrors, servers  # noqa: E402
from tests.support.upstreams import days_ago, sha256, tarball  # noqa: E402

from catalogue import dependencies, pins  # noqa: E402
from catalogue.dependencies import Dependency  # noqa: E402
from debian import archive  # noqa: E402
from host.apt import MIRROR_VARIABLE  # noqa: E402
from network import oci  # noqa: E402
from portable.progress import Progress  # noqa: E402
from update import choice, native, pipeline, sightings  # noqa: E402
from update.report import State  # noqa: E402

DELAY = 0.3  # seconds before each answer
DEAD = "www.bytereef.org"
ALLOWED = 1.0  # seconds that all together may take longer than the slowest alone


def newer(version: str) -> str:
    """The release after this one."""
    head, _, last = version.rpartition(".")
    return f"{head}.{int(last) + 1}"


@contextmanager
def dead_port() -> Iterator[int]:
    """A port that neither accepts nor refuses, as a host behind a silent firewall: its queue is full."""
    with ExitStack() as stack:
        listener = stack.enter_context(socket.socket())
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        for _ in range(4):
            waiting = stack.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(listener.getsockname())
        yield listener.getsockname()[1]


class Upstreams:
    """All upstreams on one server. Each lists the pinned release and one newer; what is signed is signed by `key`.

    Nothing is listening on the port `dead`. What sigstore proves is a day old, so that it need not be proved."""

    def __init__(self, server: servers.Server, dead: int | None, root: Path, days_of_sigstore: int = 1) -> None:
        self.server, self.root, self.days_of_sigstore = server, root, days_of_sigstore
        self.key = pysequoia.Tsk.generate("Every maintainer <all@example.org>")
        certificate = self.key.extract_certificate()
        self.certificate, self.fingerprint = str(certificate).encode(), str(certificate.fingerprint).upper()
        text = (ROOT / "docker" / "dependencies.toml").read_text(encoding="utf-8")
        text = re.sub(r'"[0-9A-F]{40}"(, "[0-9A-F]{40}")*', f'"{self.fingerprint}"', text)
        if dead:
            text = text.replace(f"https://{DEAD}/", f"http://127.0.0.1:{dead}/")
        # Who signed is the same wherever the file comes from.
        text = re.sub(r'(?<!identity = ")(?<!issuer = ")https://', server.url("/"), text)
        text = text.replace("ghcr.io/", f"127.0.0.1:{server.port}/")
        (root / "docker").mkdir()
        (root / "docker" / "dependencies.toml").write_text(text, encoding="utf-8")
        shutil.copy(ROOT / native.UNCONFIRMED, root / "docker")
        text = (ROOT / "docker" / "Dockerfile").read_text(encoding="utf-8")
        (root / "docker" / "Dockerfile").write_text(text.replace("_URL=https://", f"_URL={server.url('/')}"), "utf-8")
        self.rows = dependencies.load(root / "docker" / "dependencies.toml")
        self.pinned, self.places = native.read_pins(root)
        for row in self.rows.values():
            if row.abi:
                self._serve_pinned(row, self.pinned[row.name])
        self.pinned, self.places = native.read_pins(root)
        tags: dict[str, set[str]] = {}
        for name, row in self.rows.items():
            self._serve(row, self.pinned[name], newer(self.pinned[name].version), tags)
        for repository, names in tags.items():
            lines = "".join(f"{'1' * 40}\trefs/tags/{name}\n" for name in sorted(names))
            self._route(f"{repository}/info/refs?service=git-upload-pack", lines.encode())
            self._route(f"{repository}/HEAD", b"ref: refs/heads/main\n")

    def _serve_pinned(self, row: Dependency, pin: pins.Pin) -> None:
        """The pinned release, which a newer one is compared with. It has no description of its ABI."""
        content = tarball(row.name, pin.version, "tar.xz", row.fill(row.folder, pin.version))
        self._route(pin.url, content)
        assert isinstance(pin.sha256, str)
        dockerfile = self.root / "docker" / "Dockerfile"
        text = dockerfile.read_text(encoding="utf-8")
        dockerfile.write_text(text.replace(pin.sha256, sha256(content)), encoding="utf-8")

    def _serve(self, row: Dependency, pin: pins.Pin, version: str, tags: dict[str, set[str]]) -> None:
        """The lists, the newer file and what proves it, for one row."""
        number = re.sub(r"\.(\d+)", lambda match: f"{int(match[1]):02}", version)
        path = f"2026/sqlite-autoconf-{number}00.tar.gz"
        folder = row.fill(row.folder, version, f"/{path}")
        content = tarball(row.name, version, "tar.xz" if row.url.endswith("xz") else "tar.gz", folder)
        for source in row.sources:
            url = row.fill(source.url)
            if source.kind == "git-tags":
                shapes = {"curl": "curl-{}_", "tcl": "core-{}-", "tk": "core-{}-", "openssl": "openssl-{}."}
                shape = shapes.get(row.name, "v{}.")
                for known in (pin.version, version):
                    tags.setdefault(url, set()).add(shape[:-1].format(known.replace(".", shape[-1])))
            elif source.kind == "python-org":
                rows = [self._python(name, known) for name, item in self.pinned.items() if name.startswith("cpython")
                        for known in (item.version, newer(item.version))]  # fmt: skip
                self._route(url, json.dumps(rows).encode())
            elif source.kind == "listing":
                suffix = "gz" if row.checksum else "xz"
                links = [f'<a href="{row.name}-{known}.tar.{suffix}">' for known in (pin.version, version)]
                self._route(url, "\n".join([*links, sha256(content)]).encode())
            elif source.kind == "sqlite-csv":
                sha3 = hashlib.sha3_256(content).hexdigest()
                self._route(url, f"PRODUCT,{version},{path},{len(content)},{sha3}\n".encode())
            else:
                self._route(url, json.dumps({"Version": version}).encode())
        url = row.location(version, path)
        arches = list(pin.sha256) if isinstance(pin.sha256, dict) else [""]
        for place in (*(url.replace("{goarch}", arch) for arch in arches), row.fill(row.second, version)):
            if place:
                self._route(place, content, days_ago(30 if row.sigstore is None else self.days_of_sigstore))
        if row.sigstore:
            claim = {"algorithm": "SHA2_256", "digest": base64.b64encode(hashlib.sha256(content).digest()).decode()}
            bundle = json.dumps({"messageSignature": {"messageDigest": claim}})
            self._route(row.fill(row.sigstore.url, version, url), bundle.encode())
        if row.image:
            index = json.dumps({"schemaVersion": 2, "mediaType": oci.INDEX_TYPES[0], "manifests": []}).encode()
            place = self.server.url(f"/v2/mayeut/static-clang/manifests/{version}")
            self._route(place, index, {"Content-Type": oci.INDEX_TYPES[0]})
        if row.openpgp:
            names = [url.replace("{goarch}", arch).rpartition("/")[2] for arch in arches]
            sums = "".join(f"{sha256(content)}  {name}\n" for name in names).encode()
            mode = pysequoia.SignatureMode.CLEAR if row.openpgp.sums else pysequoia.SignatureMode.DETACHED
            signed = pysequoia.sign(self.key.signer(), sums if row.openpgp.sums else content, mode=mode)
            self._route(row.fill(row.openpgp.url, version, url), bytes(signed))
            self._route(row.fill(row.openpgp.keys).replace("{signer}", self.fingerprint), self.certificate)

    def _python(self, name: str, version: str) -> dict[str, object]:
        return {"name": f"Python {version}", "slug": f"python-{name}", "is_published": True}

    def _route(self, url: str, body: bytes, headers: dict[str, str] | None = None) -> None:
        self.server.routes[url.removeprefix(self.server.url(""))] = servers.status(200, headers, body)

    @contextmanager
    def subjects(self) -> Iterator[list[pipeline.Subject]]:
        """The look-ups of a run, with nothing remembered from an earlier one."""
        with choice.RunContext.open(self.rows.values()) as context:
            yield native.subjects(native.Run(self.rows, self.pinned, self.places, {}, context))


def slowed(route: servers.Route, handler: BaseHTTPRequestHandler) -> None:
    """An answer after the delay."""
    time.sleep(DELAY)
    route(handler)


def measure(upstreams: Upstreams, only: int | None = None) -> tuple[float, int, list[State]]:
    """Seconds, requests and states of all look-ups at once, or of one of them."""
    before = len(upstreams.server.requests)
    with upstreams.subjects() as subjects:
        chosen = subjects if only is None else [subjects[only]]
        started = time.monotonic()
        outcomes = pipeline.ask(chosen, Progress(quiet=True))
        seconds = time.monotonic() - started
    states = [row.state for outcome in outcomes for row in outcome.rows]
    return seconds, len(upstreams.server.requests) - before, states


def main() -> int:
    """Prints the table; exit status 1 when the run is slower than it may be."""
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()
    with tempfile.TemporaryDirectory() as name, servers.running() as server, dead_port() as dead:
        directory = Path(name)
        mirror = debian_mirrors.DebianServer(server, directory)
        mirror.publish("sid", [debian_mirrors.package("other", "1.0-1")])
        os.environ |= {
            MIRROR_VARIABLE: server.url("/debian"),
            archive.KEYRING_VARIABLE: str(mirror.keyring()),
            sightings.SEEN_VARIABLE: str(directory / "seen.json"),
            "XDG_CACHE_HOME": str(directory / "cache"),
        }
        upstreams = Upstreams(server, dead, directory)
        server.routes = {path: functools.partial(slowed, route) for path, route in server.routes.items()}
        together, requests, states = measure(upstreams)
        with upstreams.subjects() as subjects:
            names = [", ".join(subject.pins) for subject in subjects]
        alone = [measure(upstreams, number) for number in range(len(names))]
    slowest = max(range(len(names)), key=lambda number: alone[number][0])
    print(f"| {len(states)} pins, {DELAY * 1000:.0f} ms a request, {DEAD} dead | seconds | requests |")
    print("| --- | --- | --- |")
    print(f"| all look-ups together | {together:.1f} | {requests} |")
    print(f"| slowest alone ({names[slowest]}) | {alone[slowest][0]:.1f} | {alone[slowest][1]} |")
    print(f"| one after the other | {sum(item[0] for item in alone):.1f} | {sum(item[1] for item in alone)} |")
    print(f"\nstates: {', '.join(f'{states.count(state)} {state}' for state in State if state in states)}")
    return 0 if together <= alone[slowest][0] + ALLOWED else 1


if __name__ == "__main__":
    sys.exit(main())
