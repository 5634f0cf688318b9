"""Runs inside an image, without a network: installs interpreters and clang from a TLS server on loopback.

    python install_in_image.py DIRECTORY    # with ca.pem and server.pem

The interpreters are a CPython of the image, moved and renamed as if it were a PyPy or a GraalPy; its pip is real and
installs real wheels. Prints what was seen as one JSON object.
"""

from __future__ import annotations

import functools
import hashlib
import http.server
import json
import os
import re
import shutil
import signal
import ssl
import subprocess
import sys
import tarfile
import threading
import time
import zipfile
from pathlib import Path
from typing import Any

LIBRARY = Path("/opt/_internal/manylinux")
SITE = Path("/tmp/site")
TAG, SECOND, THIRD = "pp311-pypy311_pp73", "pp310-pypy310_pp73", "graalpy312-graalpy250_312_native"
COMMAND, CLANG = "manylinux-interpreters", "manylinux-install-clang"
NOWHERE = "https://unreachable.example.org"


def main() -> None:
    """Sets the server up, runs the commands one after another and prints what they did."""
    directory = Path(sys.argv[1])
    SITE.mkdir()
    url = serve(directory / "server.pem")
    wheels = [make_interpreter(), make_wheel("build"), make_wheel("packaging")]
    (SITE / "index.html").write_text("".join(f'<a href="{w.name}">{w.name}</a>\n' for w in wheels), encoding="utf-8")
    lock = "".join("{}=={} --hash=sha256:{}\n".format(*wheel.name.split("-")[:2], sha256(wheel)) for wheel in wheels)
    for minor in ("3.10", "3.11", "3.12"):
        (LIBRARY / f"requirements/{minor}.txt").write_text(lock, encoding="utf-8")
    site = {"SSL_CERT_FILE": str(directory / "ca.pem"), "PIP_NO_INDEX": "1", "PIP_FIND_LINKS": f"{url}/index.html"}
    seen = interpreters(url, site) | clang(url, site)
    print(json.dumps(seen))


def interpreters(url: str, site: dict[str, str]) -> dict[str, Any]:
    """What manylinux-interpreters did."""
    before = everything()

    def left() -> list[str]:
        return sorted(everything() - before)

    write_table(url)
    seen: dict[str, Any] = {
        "list": run([COMMAND, "list"]),
        "verbose": run([COMMAND, "list", "--verbose"]),
        "unknown": run([COMMAND, "ensure", "cp27-cp27mu"]),
        "untrusted": run([COMMAND, "ensure", TAG]),
        "left by a failure": left(),
        "ensure": run([COMMAND, "ensure", TAG], site),
        "again": run([COMMAND, "ensure", TAG]),
        "new": sorted(path for path in left() if not path.startswith(f"/opt/_internal/{TAG}/")),
        "compiled": [path for path in left() if path.endswith(".pyc")],
        "launcher": run(["pypy3.11", "-m", "pip", "--version"]),
        "pip": run([f"/opt/python/{TAG}/bin/pip", "--version"]),
        "rows": json.loads(run([COMMAND, "list", "-i", "--format", "json"])[1]),
    }
    before = everything()
    write_table(url, wrong="0" * 64)
    seen["wrong checksum"] = run([COMMAND, "ensure", SECOND], site)
    write_table(f"{url}/slow")
    seen["killed"] = killed([COMMAND, "ensure", SECOND], site)
    seen["left by failures"] = left()
    write_table(f"{url}/cut")
    seen["interrupted"] = run([COMMAND, "ensure", SECOND], site)
    seen["cuts"] = Handler.cuts
    write_table(f"{NOWHERE}/releases")
    seen["mirror"] = run([COMMAND, "ensure-all"], site | {"MANYLINUX_DOWNLOAD_MIRROR": f"{url}/nothing {url}/mirror"})
    seen["all again"] = run([COMMAND, "ensure-all"])
    seen["all rows"] = json.loads(run([COMMAND, "list", "--format", "json"])[1])
    return seen


def clang(url: str, site: dict[str, str]) -> dict[str, Any]:
    """What manylinux-install-clang did."""
    stable, newest = make_clang("v21.1.0.0"), make_clang("v22.1.0.0")
    tampered = make_clang("v21.0.0.0", tamper=True)
    write_table(url, clangs={"v22.1.0.0": newest, "v21.1.0.0": stable, "v21.0.0.0": tampered})
    install = [CLANG, "-m", "amd64"]

    def version() -> str:
        return run(["clang"])[1]

    return {
        "known clangs": run([CLANG, "-l"]),
        "untrusted clang": run(install),
        "clang": run(install, site),
        "clang runs": version(),
        "first on PATH": shutil.which("clang"),
        "configuration": sorted(path.name for path in Path("/opt/clang/bin").glob("*.cfg")),
        "unknown clang": run([*install, "-v", "20.0.0.0"], site),
        "wrong sum": run([*install, "-c", "1" * 64], site),
        "tampered clang": run([*install, "-v", "v21.0.0.0"], site),
        "still": version(),
        "latest clang": run([*install, "-v", "latest"], site),
        "then": version(),
        "below /opt": sorted(path.name for path in Path("/opt").iterdir()),
    }


def write_table(place: str, wrong: str = "", clangs: dict[str, str] | None = None) -> None:
    """A table of downloads with three interpreters, all one archive at `place`; `wrong`: the checksum it has."""
    platform, digest = os.environ["AUDITWHEEL_ARCH"], wrong or sha256(SITE / "pypy.tar.gz")
    text = "".join(
        f'[interpreters.{tag}]\nversion = "{version}"\n'
        f'{platform} = {{ url = "{place}/pypy-{version}.tar.gz", sha256 = "{digest}" }}\n'
        for tag, version in ((TAG, "7.3.23"), (SECOND, "7.3.19"), (THIRD, "25.0.3"))
    )
    text += f'[clang]\nstable_major = 21\nurl = "{place}/{{version}}/{{file}}"\n'
    text += 'archive = "static-clang-linux-{machine}.tar.xz"\n[static_clang]\n'
    text += "".join(f'"{v}" = "{digest}"\n' for v, digest in (clangs or {"v21.1.0.0": "0" * 64}).items())
    (LIBRARY / "downloads.toml").write_text(text, encoding="utf-8")


def killed(command: list[str], environment: dict[str, str]) -> int:
    """The exit status of a command that was terminated in the middle of a download."""
    Handler.halfway.clear()
    with subprocess.Popen(
        command, env=os.environ | environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as process:
        if Handler.halfway.wait(timeout=60):
            time.sleep(0.2)  # until the client has written what came
        process.send_signal(signal.SIGTERM)
        return process.wait(timeout=60)


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
    for alias in ("pypy3", "graalpy"):
        (scratch / "bin" / alias).symlink_to("python3")
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


def make_clang(version: str, tamper: bool = False) -> str:
    """Packs a stand-in for a release of clang, which says its version; returns the sha256 of its sha256sums.txt.

    `tamper`: the archive is not what the sums say."""
    program, release = Path("/tmp/clang/bin/clang"), SITE / version
    program.parent.mkdir(parents=True, exist_ok=True)
    release.mkdir()
    program.write_text(f"#!/bin/sh\necho {version}\n", encoding="utf-8")
    program.chmod(0o755)
    archive = release / "static-clang-linux-amd64.tar.xz"
    with tarfile.open(archive, "w:xz") as tar:
        tar.add("/tmp/clang", "clang")
    (release / "sha256sums.txt").write_text(f"{sha256(archive)}  {archive.name}\n", encoding="utf-8")
    if tamper:
        with archive.open("ab") as file:
            file.write(b"more")
    return sha256(release / "sha256sums.txt")


class Handler(http.server.SimpleHTTPRequestHandler):
    """Serves SITE; below /cut/ the first answers break off, below /slow/ all stop halfway; /mirror/HOST/PATH."""

    cuts = 0
    halfway = threading.Event()

    def do_GET(self) -> None:
        self.path = re.sub(r"/pypy-[0-9.]+\.tar", "/pypy.tar", self.path)
        head, _, rest = self.path.lstrip("/").partition("/")
        if head == "mirror":
            host, _, path = rest.partition("/")
            self.path = "/" + path.removeprefix("releases/") if NOWHERE.endswith(host) else "/nothing"
        if head not in ("cut", "slow"):
            return super().do_GET()
        content = (SITE / rest).read_bytes()
        self.send_response(200)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if head == "cut" and Handler.cuts == 2:
            self.wfile.write(content)
            return None
        self.wfile.write(content[: len(content) // 2])
        self.wfile.flush()
        self.close_connection = True
        if head == "slow":
            Handler.halfway.set()
            time.sleep(30)
        else:
            Handler.cuts += 1
        return None

    def log_message(self, format: str, *args: object) -> None:
        """Nothing: stdout and stderr are this program's answer."""


def serve(certificate: Path) -> str:
    """Starts a TLS server of SITE; returns its URL."""

    class Server(http.server.ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, request: object, client_address: object) -> None:
            """Nothing: a client that does not trust us or goes away is part of the test."""

    server = Server(("127.0.0.1", 0), functools.partial(Handler, directory=str(SITE)))
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
