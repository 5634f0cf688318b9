"""Runs inside an image, without a network: installs an interpreter and clang from a TLS server on loopback.

    python install_in_image.py DIRECTORY    # with ca.pem and server.pem

The interpreter is a CPython of the image, moved and renamed as if it were a PyPy; its pip is real and installs real
wheels. Prints what was seen as one JSON object.
"""

from __future__ import annotations

import functools
import hashlib
import http.server
import json
import os
import shutil
import ssl
import subprocess
import sys
import tarfile
import threading
import zipfile
from pathlib import Path

LIBRARY = Path("/opt/_internal/manylinux")
SITE = Path("/tmp/site")
TAG = "pp311-pypy311_pp73"


def main() -> None:
    """Sets the server up, runs the commands one after another and prints what they did."""
    directory = Path(sys.argv[1])
    SITE.mkdir()
    url = serve(directory / "server.pem")
    wheels = [make_interpreter(), make_wheel("build"), make_wheel("packaging")]
    (SITE / "index.html").write_text("".join(f'<a href="{w.name}">{w.name}</a>\n' for w in wheels), encoding="utf-8")
    releases = make_clang()
    platform = os.environ["AUDITWHEEL_ARCH"]
    (LIBRARY / "downloads.toml").write_text(
        f"""
        [interpreters.{TAG}]
        version = "7.3.23"
        {platform} = {{ url = "{url}/pypy.tar.gz", sha256 = "{sha256(SITE / "pypy.tar.gz")}" }}
        [clang]
        stable_major = 21
        url = "{url}/{{version}}/{{file}}"
        archive = "static-clang-linux-{{machine}}.tar.xz"
        [static_clang]
        "v21.1.0.0" = "{releases}"
        """,
        encoding="utf-8",
    )
    lock = "".join("{}=={} --hash=sha256:{}\n".format(*wheel.name.split("-")[:2], sha256(wheel)) for wheel in wheels)
    (LIBRARY / "requirements/3.11.txt").write_text(lock, encoding="utf-8")
    trusting = {"SSL_CERT_FILE": str(directory / "ca.pem"), "PIP_NO_INDEX": "1", "PIP_FIND_LINKS": f"{url}/index.html"}

    before = everything()
    seen = {
        "untrusted": run(["manylinux-interpreters", "ensure", TAG]),
        "left by a failure": sorted(everything() - before),
        "ensure": run(["manylinux-interpreters", "ensure", TAG], trusting),
        "again": run(["manylinux-interpreters", "ensure", TAG]),
        "new": sorted(path for path in everything() - before if not path.startswith(f"/opt/_internal/{TAG}/")),
        "compiled": sorted(path for path in everything() - before if path.endswith(".pyc")),
        "launcher": run(["pypy3.11", "-m", "pip", "--version"]),
        "pip": run([f"/opt/python/{TAG}/bin/pip", "--version"]),
        "rows": json.loads(run(["manylinux-interpreters", "list", "-i", "--format", "json"])[1]),
        "clang": run(["manylinux-install-clang", "-m", "amd64"], trusting),
        "first on PATH": shutil.which("clang"),
        "configuration": sorted(path.name for path in Path("/opt/clang/bin").glob("*.cfg")),
    }
    print(json.dumps(seen))


def run(command: list[str], environment: dict[str, str] | None = None) -> tuple[int, str, str]:
    """Exit status, stdout and stderr of a command; 127 where there is none."""
    given = os.environ | (environment or {})
    if not shutil.which(command[0]):
        return 127, "", f"there is no {command[0]}"
    done = subprocess.run(command, env=given, text=True, capture_output=True, check=False)
    return done.returncode, done.stdout, done.stderr


def make_interpreter() -> Path:
    """Packs the interpreter that runs this, without its pip; returns a copy of the wheel that ensurepip carries."""
    prefix, scratch = Path(sys.base_prefix), Path("/tmp/pypy3.11-v7.3.23")
    shutil.copytree(prefix, scratch, symlinks=True, ignore=shutil.ignore_patterns("site-packages", "pip*", "python"))
    minor = f"python{sys.version_info[0]}.{sys.version_info[1]}"
    shutil.copytree(prefix / "lib" / minor / "ensurepip", scratch / "lib" / minor / "ensurepip", dirs_exist_ok=True)
    (scratch / "bin/pypy3").symlink_to("python3")
    with tarfile.open(SITE / "pypy.tar.gz", "w:gz", compresslevel=1) as tar:
        tar.add(scratch, scratch.name)
    shutil.rmtree(scratch)
    (wheel,) = (prefix / "lib" / minor / "ensurepip/_bundled").glob("pip-*.whl")
    return Path(shutil.copy(wheel, SITE))


def make_wheel(name: str) -> Path:
    """A wheel of a module with nothing in it."""
    wheel, information = SITE / f"{name}-1-py3-none-any.whl", f"{name}-1.dist-info"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr(f"{name}.py", "")
        archive.writestr(f"{information}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: 1\n")
        archive.writestr(f"{information}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr(f"{information}/RECORD", "")
    return wheel


def make_clang() -> str:
    """Packs a stand-in for a release of clang; returns the sha256 of its sha256sums.txt."""
    program, release = Path("/tmp/clang/bin/clang"), SITE / "v21.1.0.0"
    program.parent.mkdir(parents=True)
    release.mkdir()
    program.write_text("#!/bin/sh\n", encoding="utf-8")
    program.chmod(0o755)
    archive = release / "static-clang-linux-amd64.tar.xz"
    with tarfile.open(archive, "w:xz") as tar:
        tar.add("/tmp/clang", "clang")
    (release / "sha256sums.txt").write_text(f"{sha256(archive)}  {archive.name}\n", encoding="utf-8")
    return sha256(release / "sha256sums.txt")


def serve(certificate: Path) -> str:
    """Starts a TLS server of SITE; returns its URL."""

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, format: str, *args: object) -> None:
            """Nothing: stdout and stderr are this program's answer."""

    class Server(http.server.ThreadingHTTPServer):
        def handle_error(self, request: object, client_address: object) -> None:
            """Nothing: a client that does not trust us is part of the test."""

    server = Server(("127.0.0.1", 0), functools.partial(Quiet, directory=str(SITE)))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return f"https://127.0.0.1:{server.server_port}"


def everything() -> set[str]:
    """Every path where the image's own files are."""
    return {str(path) for top in ("/opt", "/usr/local") for path in Path(top).rglob("*")}


def sha256(path: Path) -> str:
    """In hexadecimal."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


if __name__ == "__main__":
    main()
