"""apt's configuration: sources with options, settings, logins and keys; and that apt obeys what we pass on."""

from __future__ import annotations

import base64
import io
import os
import shutil
import subprocess
import tarfile
from dataclasses import replace
from pathlib import Path

import pysequoia
import pytest
from tests.support import servers
from tests.support.debian_mirrors import LIMITS, DebianServer, package

from catalogue import paths
from debian import base as debian_base
from debian.archive import Archive, find_sources
from debian.suites import Untrusted
from host import apt as apt_settings
from host.apt import AptSettings, AptSource
from host.mirror import Mirror
from portable import fetch

ROOT = "http://mirror.example.org/debian"
needs_apt = pytest.mark.skipif(not shutil.which("apt-get"), reason="needs apt")


@pytest.fixture
def apt(tmp_path: Path) -> Path:
    """An empty configuration directory."""
    for name in ("sources.list.d", "auth.conf.d", "trusted.gpg.d"):
        (tmp_path / "apt" / name).mkdir(parents=True)
    return tmp_path / "apt"


def configured(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, *lines: str) -> None:
    """Makes apt-config say these lines of Acquire."""
    program = tmp_path / "bin" / "apt-config"
    program.parent.mkdir(exist_ok=True)
    program.write_text("#!/bin/sh\nprintf '%s\\n' " + " ".join(f"'{line}'" for line in lines) + "\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:{os.environ['PATH']}")


# --- Reading --------------------------------------------------------------------------------------------------


def test_options_of_sources_in_both_formats(apt: Path) -> None:
    (apt / "sources.list").write_text(
        f'deb [arch=amd64 trusted=yes check-valid-until="no" signed-by=/x.gpg] {ROOT} bookworm main\n'
    )
    (apt / "sources.list.d" / "more.sources").write_text(
        f"Types: deb\nURIs: {ROOT}-security\nSuites: bookworm-security\nComponents: main\nTrusted: no\n"
        "Check-Valid-Until: no\nArchitectures: amd64\n"
    )
    main, security = apt_settings.read({}, apt).sources
    assert main.options == {"trusted": "yes", "check-valid-until": "no"} and main.trusted
    assert security.options == {"trusted": "no", "check-valid-until": "no"} and not security.trusted
    assert (main.pockets, security.pockets) == (frozenset({""}), frozenset({"security"}))
    assert main.signed_by == b"", "a keyring that cannot be read is no reason to take Debian's"
    assert security.signed_by is None


def test_logins_are_written_into_the_roots(apt: Path) -> None:
    (apt / "sources.list").write_text(f"deb {ROOT} bookworm main\n")
    (apt / "auth.conf.d" / "site.conf").write_text("machine http://mirror.example.org/debian login me password s/x\n")
    (source,) = apt_settings.read({}, apt).sources
    assert source.root == "http://me:s%2Fx@mirror.example.org/debian"


def test_keys_of_a_source(apt: Path, tmp_path: Path) -> None:
    certificate = pysequoia.Tsk.generate("Site <site@example.org>").extract_certificate()
    binary, armored = tmp_path / "site.gpg", tmp_path / "site.asc"
    binary.write_bytes(bytes(certificate))
    armored.write_text(str(certificate))
    in_place = "\n".join(f" {line or '.'}" for line in str(certificate).splitlines())
    (apt / "sources.list").write_text(
        f"deb [signed-by={binary}] {ROOT} bookworm main\ndeb [signed-by={armored}] {ROOT}2 bookworm main\n"
        f"deb [signed-by={apt_settings.KEYRINGS[1]}] {ROOT}3 bookworm main\n"
    )
    (apt / "sources.list.d" / "x.sources").write_text(
        f"Types: deb\nURIs: {ROOT}4\nSuites: sid\nComponents: main\nSigned-By:\n{in_place}\n"
    )
    keys = [place.signed_by for place in apt_settings.read({}, apt).sources]
    assert keys == [bytes(certificate), bytes(certificate), None, bytes(certificate)]
    (apt / "trusted.gpg.d" / "site.asc").write_text(str(certificate))
    (apt / "trusted.gpg.d" / "debian-archive-x.asc").write_text("not looked at")
    assert apt_settings.trusted_keys(apt) == bytes(certificate)


def test_proxies_and_certificates(apt: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    configured(
        monkeypatch,
        tmp_path,
        "Acquire::http::Proxy http://me:secret@cache.example.org:3142/",
        "Acquire::http::Proxy::own.example.org DIRECT",
        "Acquire::https::mirror.example.org::CAInfo /site.pem",
        "Acquire::Check-Valid-Until false",
        "Acquire::Retries 3",
    )
    (apt / "sources.list").write_text("deb https://mirror.example.org/debian bookworm main\n")
    settings = apt_settings.read({}, apt)
    assert settings.proxy("http://other.example.org/debian") == "http://me:secret@cache.example.org:3142/"
    assert settings.proxy("http://own.example.org/debian") == ""
    assert settings.proxy("https://mirror.example.org/debian") is None
    assert settings.certificates() == Path("/site.pem")
    assert settings.checks_off == ("check-valid-until",)
    assert set(settings.acquire) == {
        "Acquire::http::Proxy",
        "Acquire::http::Proxy::own.example.org",
        "Acquire::https::mirror.example.org::CAInfo",
    }


def test_a_program_is_asked_for_the_proxy(tmp_path: Path) -> None:
    program = tmp_path / "find-proxy"
    program.write_text(
        '#!/bin/sh\n[ "$1" = "http://mirror.example.org/debian" ] && echo http://found.example.org:8080\n'
    )
    program.chmod(0o755)
    source = AptSource(ROOT, frozenset({""}))
    settings = AptSettings((source,), {"Acquire::http::Proxy-Auto-Detect": str(program)})
    assert settings.proxies() == {"http": "http://found.example.org:8080"}
    conf, _ = settings.conf(Path("/x"))
    assert conf == 'Acquire::http::Proxy::mirror.example.org "http://found.example.org:8080";\n'


def test_files_that_settings_name_go_along(tmp_path: Path) -> None:
    ca = tmp_path / "ca.pem"
    ca.write_text("authority")
    settings = AptSettings((), {"Acquire::https::CAInfo": str(ca), "Acquire::https::SslCert": "/nowhere"})
    conf, files = settings.conf(Path("/there"))
    assert (conf, files) == ('Acquire::https::CAInfo "/there/file-0";\n', {"file-0": b"authority"})


# --- Obeying: real archives on loopback, the real apt ---------------------------------------------------------------


def archive(apt: Path, as_apt: bool) -> Archive:
    sources = find_sources({}, apt, as_apt)
    fetcher = fetch.Fetcher(limits=LIMITS, mirrors=None)
    return Archive(sources, [], apt / "cache", fetcher)


def test_a_keyring_of_its_own_is_what_an_archive_is_held_to(apt: Path, tmp_path: Path, server: servers.Server) -> None:
    mirror = DebianServer(server, tmp_path)
    mirror.publish("bookworm", [package("git", "1:2.39.0-1")])
    (apt / "sources.list").write_text(f"deb [signed-by={mirror.keyring()}] {server.url('/debian')} bookworm main\n")
    assert [source.version for source in archive(apt, False).search("git", ["bookworm"]).sources] == ["1:2.39.0-1"]
    stranger = DebianServer(server, tmp_path / "apt")
    (apt / "sources.list").write_text(f"deb [signed-by={stranger.keyring()}] {server.url('/debian')} bookworm main\n")
    with pytest.raises(Untrusted, match="signed by a key"):
        archive(apt, True).open_suite("bookworm")


def test_what_apt_takes_unsigned_counts_only_where_apt_decides(
    apt: Path, tmp_path: Path, server: servers.Server
) -> None:
    DebianServer(server, tmp_path).publish("bookworm", [package("git", "1:2.39.0-1")])
    (apt / "sources.list").write_text(f"deb [trusted=yes] {server.url('/debian')} bookworm main\n")
    assert len(archive(apt, True).search("git", ["bookworm"]).sources) == 1
    with pytest.raises(Untrusted):
        archive(apt, False).open_suite("bookworm")


def mirror_for(server: servers.Server, mirror: DebianServer) -> Mirror:
    """What a build is told of an archive with keys of its own, reached by a proxy: the server itself."""
    keys, options = mirror.keyring().read_bytes(), {"check-valid-until": "no"}
    source = AptSource("http://archive.invalid/debian", frozenset({"", "updates"}), options, keys)
    settings = AptSettings((source,), {"Acquire::http::Proxy": server.url("/")})
    made = Mirror.of(settings, b"")
    assert made is not None
    return replace(made, updates="")


def publish_empty(mirror: DebianServer, suite: str) -> None:
    """A suite without packages, outdated, as the proxy answers for archive.invalid."""
    empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    text = (
        f"Origin: Debian\nSuite: {suite}\nCodename: {suite}\nDate: Sat, 14 Nov 2020 08:00:00 UTC\n"
        "Valid-Until: Sun, 15 Nov 2020 08:00:00 UTC\nArchitectures: amd64\nComponents: main\n"
        f"SHA256:\n {empty} 0 main/binary-amd64/Packages\n"
    )
    for host in ("http://archive.invalid", ""):
        mirror.server.routes[f"{host}/debian/dists/{suite}/InRelease"] = servers.good(mirror.sign(text))
        mirror.server.routes[f"{host}/debian/dists/{suite}/main/binary-amd64/Packages"] = servers.good(b"")


@needs_apt
def test_a_build_gets_proxy_keys_and_options(tmp_path: Path, server: servers.Server) -> None:
    """apt, as docker/build_scripts/lib/debian.sh starts it, with the secret of a build."""
    mirror = DebianServer(server, tmp_path)
    publish_empty(mirror, "bookworm")
    secrets, shm = tmp_path / "secrets", tmp_path / "shm"
    secrets.mkdir()
    shm.mkdir()
    secret = mirror_for(server, mirror).secret("bookworm")
    (secrets / "apt").write_text(secret.replace("/dev/shm", str(shm)))
    script = (paths.ROOT / "docker/build_scripts/lib/debian.sh").read_text()
    script = script.replace("/run/secrets", str(secrets)).replace("/dev/shm", str(shm))
    (tmp_path / "debian.sh").write_text(script)
    state = [f"Dir::State::lists={tmp_path}/lists", f"Dir::Cache={tmp_path}/cache", "APT::Architecture=amd64"]
    state += ["APT::Architectures=amd64", "Acquire::Check-Valid-Until=true", "Acquire::Retries=0"]
    for below in ("lists/partial", "cache/archives/partial"):
        (tmp_path / below).mkdir(parents=True)
    options = " ".join(f"-o {each}" for each in state)
    code = f"set -Eeuo pipefail; source {tmp_path}/debian.sh; apt {options} -o APT::Update::Error-Mode=any update"
    env = {name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")}
    done = subprocess.run(["bash", "-c", code], env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert any("archive.invalid" in path.name for path in (tmp_path / "lists").iterdir())
    # Without the comments nothing of that is known.
    shutil.rmtree(shm / "manylinux-apt")
    (secrets / "apt").write_text("\n".join(line for line in secret.splitlines() if "#site" not in line) + "\n")
    assert subprocess.run(["bash", "-c", code], env=env, capture_output=True, check=False).returncode != 0


@needs_apt
def test_the_same_reaches_apt_of_this_machine(tmp_path: Path, server: servers.Server) -> None:
    mirror = DebianServer(server, tmp_path)
    publish_empty(mirror, "bookworm-updates")
    known = mirror_for(server, mirror)
    known = replace(known, updates=known.main, keys={"updates": known.keys[""]}, own={"updates": known.own[""]})
    known.write_files(tmp_path)
    os.environ["APT_CONFIG"] = str(tmp_path / "apt.conf")  # where a machine's own apt would have it from
    try:
        left, notes = known.usable("bookworm", "amd64")
    finally:
        del os.environ["APT_CONFIG"]
    assert (left.updates, notes) == (known.main, ())


def test_mmdebstrap_is_told_by_files(tmp_path: Path, server: servers.Server) -> None:
    mirror = DebianServer(server, tmp_path)
    known = replace(
        mirror_for(server, mirror), settings=AptSettings((), {"Acquire::http::Proxy": "http://u:secret@p/"})
    )
    base = debian_base.Base("bookworm", "debian-12", "amd64", "linux/amd64")
    argv = debian_base.mmdebstrap_command(base, known, tmp_path / "root.tar")
    known.write_files(tmp_path)
    assert f"--aptopt={tmp_path}/apt.conf" in argv and "secret" not in " ".join(argv)
    assert "secret" in (tmp_path / "apt.conf").read_text()
    assert f"signed-by={tmp_path}/keys-main.gpg" in known.lines("bookworm", "amd64", tmp_path)[0]


def test_the_secret_is_sources_with_the_rest_in_comments(tmp_path: Path, server: servers.Server) -> None:
    secret = mirror_for(server, DebianServer(server, tmp_path)).secret("bookworm").splitlines()
    (line,) = [line for line in secret if not line.startswith("#site ")]
    assert line.startswith(
        "deb [check-valid-until=no signed-by=/dev/shm/manylinux-apt/keys-main.gpg] http://archive.inv"
    )
    packed = base64.b64decode("".join(line.removeprefix("#site ") for line in secret if line.startswith("#")))
    with tarfile.open(fileobj=io.BytesIO(packed)) as tar:
        found = {member.name: member.mode for member in tar}
    assert found == dict.fromkeys(("keys-main.gpg", "keys-updates.gpg", "apt.conf"), 0o600)
    plain = Mirror(ROOT, ROOT, "")
    assert "#" not in plain.secret("bookworm")
