"""What a site needs inside containers: CAs, Python indexes, Debian mirror; passwords stay in private files."""

from __future__ import annotations

import os
import shutil
import stat
from pathlib import Path
from typing import Any

import pytest
from tests.support import certificates

from host import apt
from host import site as site_settings
from host.apt import Place, Settings
from host.site import Index, Mirror, Site
from portable import environment, errors

PEM = "-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----\n"


def pem(path: Path, *bodies: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("# a comment\n" + "".join(PEM.format(body) for body in bodies), encoding="utf-8")
    return path


# --- CAs ------------------------------------------------------------------------------------------------------


@pytest.fixture
def system(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine whose system bundle holds the CAs one and two, without certifi or CAs of a distribution."""
    bundle = pem(tmp_path / "system.crt", "one", "two")
    monkeypatch.setattr(environment, "SYSTEM_BUNDLES", ("/nowhere.crt", str(bundle)))
    monkeypatch.setattr(site_settings, "DISTRIBUTION_CAS", str(tmp_path / "distribution"))
    monkeypatch.setattr(site_settings, "certifi_cas", lambda system: frozenset())
    return bundle


def test_the_option_goes_before_variables_and_these_in_order(tmp_path: Path, system: Path) -> None:
    authority = certificates.make(tmp_path)[0]
    files = {name: tmp_path / f"{name}.pem" for name in ("option", *environment.CA_VARIABLES)}
    for path in files.values():
        shutil.copy(authority, path)
    env = {name: str(files[name]) for name in environment.CA_VARIABLES}
    assert site_settings.ca_bundle(files["option"], env) == files["option"]
    for name in environment.CA_VARIABLES:
        assert site_settings.ca_bundle(None, env) == files[name]
        del env[name]


@pytest.mark.parametrize("name", ["--ca-bundle", *environment.CA_VARIABLES])
def test_a_ca_file_must_be_there_and_hold_a_certificate(name: str, tmp_path: Path, system: Path) -> None:
    authority, with_key = certificates.make(tmp_path)
    cut = tmp_path / "cut.pem"
    cut.write_text(authority.read_text().replace("MII", "MI", 1) + authority.read_text())
    for path in (
        *(tmp_path / "missing.pem", tmp_path, pem(tmp_path / "empty.pem"), pem(tmp_path / "no-body.pem", "")),
        *(pem(tmp_path / "no-base64.pem", "one!"), pem(tmp_path / "no-certificate.pem", "AAAA"), cut, with_key),
    ):
        option, env = (path, {}) if name == "--ca-bundle" else (None, {name: str(path)})
        with pytest.raises(errors.UserError, match=f"{name}={path}") as caught:
            site_settings.ca_bundle(option, env)
        assert "\n" not in str(caught.value)


def test_the_system_bundle_counts_when_it_holds_more_than_certifi(
    system: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(site_settings, "certifi_cas", lambda path: frozenset({"one", "three"}))
    assert site_settings.ca_bundle(None, {}) == system
    monkeypatch.setattr(site_settings, "certifi_cas", lambda path: frozenset({"one", "two", "three"}))
    assert site_settings.ca_bundle(None, {}) is None


def test_without_certifi_the_distributions_own_cas_are_compared_with(system: Path, tmp_path: Path) -> None:
    assert site_settings.ca_bundle(None, {}) == system  # nothing to compare with
    pem(tmp_path / "distribution" / "mozilla" / "one.crt", "o\nne")
    assert site_settings.ca_bundle(None, {}) == system
    pem(tmp_path / "distribution" / "mozilla" / "two.crt", "two")
    assert site_settings.ca_bundle(None, {}) is None


def test_a_certifi_that_is_the_system_bundle_says_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "certifi"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "cacert.pem").symlink_to(pem(tmp_path / "system.crt", "one"))
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(__import__("sys").modules, "certifi", raising=False)
    found = site_settings.certifi_cas(tmp_path / "system.crt")
    assert "one" not in found
    assert site_settings.certifi_cas(tmp_path / "another.crt") == {"one"}


def test_a_machine_without_a_bundle(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(environment, "SYSTEM_BUNDLES", ())
    assert site_settings.ca_bundle(None, {}) is None


# --- Python indexes -------------------------------------------------------------------------------------------


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "home"


def write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


def settings(home: Path, **env: str) -> Index:
    """The settings of a machine that has no files outside this home."""
    return site_settings.index_settings({"HOME": str(home), "XDG_CONFIG_DIRS": str(home / "none"), **env})


@pytest.fixture(autouse=True)
def no_machine_wide_files(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(environment, "PIP_FILE", Path("/nowhere/pip.conf"))
    monkeypatch.setattr(site_settings, "UV_FILE", Path("/nowhere/uv.toml"))


def test_nothing_configured_is_no_file(home: Path) -> None:
    assert settings(home).pip_conf() == ""


def test_pip_files_and_variables(home: Path) -> None:
    write(
        home / ".config/pip/pip.conf",
        "[global]\nindex-url = https://user:p%40ss@example.org/simple\n"
        "extra_index_url =\n    https://a.example.org/simple\n    https://b.example.org/simple\ntimeout = 60\n"
        "[install]\ntrusted-host = a.example.org\n[list]\nformat = columns\n",
    )
    index = settings(home)
    assert index.pip_conf() == (
        "[global]\nindex-url = https://user:p%40ss@example.org/simple\ntimeout = 60\n"
        "extra-index-url = https://a.example.org/simple\n    https://b.example.org/simple\n"
        "trusted-host = a.example.org\n"
    )
    changed = settings(home, PIP_INDEX_URL="https://c.example.org", PIP_DEFAULT_TIMEOUT="9", PIP_CERT="/x.pem")
    assert changed.settings["index-url"] == ("https://c.example.org",)
    assert changed.settings["timeout"] == ("9",)
    assert "cert" not in changed.settings


def test_pip_config_file_replaces_the_users_and_devnull_all(home: Path) -> None:
    write(home / ".pip/pip.conf", "[global]\nindex-url = https://user.example.org\n")
    chosen = write(home / "mine.conf", "[global]\nindex-url = https://mine.example.org\n")
    assert settings(home).settings["index-url"] == ("https://user.example.org",)
    assert settings(home, PIP_CONFIG_FILE=str(chosen)).settings == {"index-url": ("https://mine.example.org",)}
    assert settings(home, PIP_CONFIG_FILE=os.devnull).settings == {}


def test_places_of_this_machine_are_left_out_and_named_once(home: Path) -> None:
    index = settings(
        home,
        PIP_EXTRA_INDEX_URL="file:///srv/simple https://example.org/simple",
        PIP_FIND_LINKS="/opt/wheels ./here https://example.org/links /opt/wheels",
    )
    assert index.settings == {
        "extra-index-url": ("https://example.org/simple",),
        "find-links": ("https://example.org/links",),
    }
    assert index.left_out == ("file:///srv/simple", "/opt/wheels", "./here")
    note = Site(index=index).notes()
    assert len(note) == 1 and "/opt/wheels" in note[0]


def test_uv_fills_in_what_pip_does_not_say(home: Path) -> None:
    write(
        home / ".config/uv/uv.toml",
        '[[index]]\nname = "inner-one"\nurl = "https://example.org/inner"\ndefault = true\n'
        '[[index]]\nurl = "https://example.org/more"\n[[index]]\nname = "torch"\nurl = "https://x"\nexplicit = true\n'
        '[pip]\nfind-links = ["https://example.org/links"]\n',
    )
    index = settings(home, UV_INDEX_INNER_ONE_USERNAME="me", UV_INDEX_INNER_ONE_PASSWORD="s/3")
    assert index.settings == {
        "index-url": ("https://me:s%2F3@example.org/inner",),
        "extra-index-url": ("https://example.org/more",),
        "find-links": ("https://example.org/links",),
    }
    variables = {
        "UV_DEFAULT_INDEX": "https://d.example.org",
        "UV_INDEX": "named=https://e.example.org https://f.example.org",
    }
    assert settings(home, UV_NO_CONFIG="1", **variables).settings == {
        "index-url": ("https://d.example.org",),
        "extra-index-url": ("https://e.example.org", "https://f.example.org"),
    }
    assert settings(home, PIP_INDEX_URL="https://pip.example.org").settings["index-url"] == ("https://pip.example.org",)


def test_passwords_of_a_netrc_are_written_into_urls(home: Path) -> None:
    write(home / ".netrc", "machine example.org login me password a:b@c\ndefault login no password no\n").chmod(0o600)
    index = settings(
        home,
        PIP_INDEX_URL="https://example.org:8443/simple",
        PIP_EXTRA_INDEX_URL="https://u:p@example.org https://other.org",
    )
    assert index.settings == {
        "index-url": ("https://me:a%3Ab%40c@example.org:8443/simple",),
        "extra-index-url": ("https://u:p@example.org", "https://other.org"),
    }


def test_broken_files_are_passed_over(home: Path) -> None:
    write(home / ".config/pip/pip.conf", "index-url = https://example.org\n")
    write(home / ".config/uv/uv.toml", "[[index]\n")
    write(home / ".netrc", "machine\n")
    assert settings(home).settings == {}


# --- Debian's mirror ------------------------------------------------------------------------------------------


def place(root: str, *pockets: str, **options: str) -> Place:
    return Place(root, frozenset(pockets), {name.replace("_", "-"): value for name, value in options.items()})


MAIN = place("http://example.org/debian", "", "updates", "backports")
SECURITY = place("https://sec.example.org/debian-security", "security")


def mirror_of(*places: Place, **settings: Any) -> Mirror:
    found = site_settings.mirror_of(Settings(places or (MAIN, SECURITY), **settings), b"")
    assert found is not None
    return found


def test_the_mirror_of_apt_for_any_suite() -> None:
    mirror = mirror_of()
    assert (mirror.main, mirror.updates, mirror.security) == (MAIN.root, MAIN.root, SECURITY.root)
    keyring = f"signed-by={site_settings.DEBIAN_KEYRING}"
    assert mirror.lines("trixie", "i386") == (
        f"deb [{keyring} arch=i386] http://example.org/debian trixie main",
        f"deb [{keyring} arch=i386] http://example.org/debian trixie-updates main",
        f"deb [{keyring} arch=i386] https://sec.example.org/debian-security trixie-security main",
    )


def test_checks_that_this_machine_switches_off_are_off_in_the_container() -> None:
    mirror = mirror_of(checks_off=("check-valid-until",))
    assert mirror.lines("trixie")[0].startswith("deb [check-valid-until=no signed-by=")


def test_options_of_a_source_are_its_own() -> None:
    mirror = mirror_of(MAIN, place(SECURITY.root, "security", trusted="yes"))
    assert [" trusted=yes " in line.replace("[", " ") for line in mirror.lines("trixie")] == [False, False, True]


@pytest.mark.parametrize("places", [(), (place("file:///srv/debian", ""),), (SECURITY,)])
def test_no_debian_mirror(places: tuple[Place, ...]) -> None:
    assert site_settings.mirror_of(Settings(places), b"") is None


def test_keys_that_apt_trusts_for_all_go_along_with_debians() -> None:
    mirror = site_settings.mirror_of(Settings((MAIN,)), b"site")
    assert mirror is not None and mirror.keys[""] == b"site" + apt.debian_keys()


def test_a_named_mirror_counts_on_any_distribution(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(site_settings, "_os_release", lambda: {"ID": "fedora"})
    monkeypatch.delenv(apt.MIRROR_VARIABLE, raising=False)
    assert site_settings.mirror() is None
    monkeypatch.setenv(apt.MIRROR_VARIABLE, "http://example.org/debian http://example.org/debian-security")
    mirror = site_settings.mirror()
    assert mirror is not None and mirror.security == "http://example.org/debian-security"


def test_security_may_be_missing() -> None:
    assert [line.split()[-2] for line in mirror_of(MAIN).lines("trixie")] == ["trixie", "trixie-updates"]


@pytest.mark.parametrize(
    ("distribution", "suite"),
    [("debian-12", "bookworm"), ("debian-13", "trixie"), ("ubuntu-22.04", ""), ("alpine-3.22", "")],
)
def test_suites(distribution: str, suite: str) -> None:
    assert site_settings.debian_suite(distribution) == suite


def test_pockets_that_apt_cannot_use_are_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def failure(sources: str, architecture: str) -> str:
        asked.append(sources)
        return "File has unexpected size" if "security" in sources else ""

    monkeypatch.setattr(site_settings, "_apt_failure", failure)
    whole = Mirror("http://example.org/debian", "http://example.org/debian", "http://example.org/debian-security")
    mirror, notes = site_settings.usable(whole, "bookworm", "i386")
    assert mirror == Mirror("http://example.org/debian", "http://example.org/debian", "")
    assert len(notes) == 1 and "bookworm-security" in notes[0] and "i386" in notes[0]
    assert [sources.split()[-2] for sources in asked] == ["bookworm-updates", "bookworm-security"]


# --- Secrets --------------------------------------------------------------------------------------------------


def test_secrets_are_private_files_that_go(tmp_path: Path) -> None:
    site = Site(
        ca=pem(tmp_path / "ca.pem", "one"),
        index=Index({"index-url": ("https://u:p@example.org",)}),
        mirror=mirror_of(),
    )
    with site.written("bookworm") as secrets:
        assert list(secrets) == ["ca", "pip", "apt"]
        for path in secrets.values():
            assert stat.S_IMODE(path.stat().st_mode) == 0o600
            assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
        assert "u:p@" in secrets["pip"].read_text()
        assert secrets["apt"].read_text().count("\n") == 3
        assert site_settings.container_env(secrets)["PIP_CONFIG_FILE"] == "/run/secrets/pip"
        assert {mount.target for mount in site_settings.mounts(secrets)} == {f"/run/secrets/{name}" for name in secrets}
    assert not any(path.parent.exists() for path in secrets.values())
    assert list(site.secrets()) == ["ca", "pip"]
    assert Site().secrets("bookworm") == {}


def test_only_certificates_enter_the_secret(tmp_path: Path) -> None:
    authority, with_key = certificates.make(tmp_path)
    both = tmp_path / "both.pem"
    both.write_text(f"# CA\n{with_key.read_text()}{authority.read_text()}")
    secret = Site(ca=both).secrets()["ca"]
    assert "PRIVATE" not in secret and "# CA" not in secret
    assert site_settings.certificates(secret) == site_settings.certificates(both.read_text())


@pytest.mark.parametrize(
    "url",
    ["ftp://me:s3cret@x/y", "HTTP://me:s3cret@x", "git+ssh://me:s3cret@x", "https://me:a@s3cret@x", "me:s3cret@x:3128"],
)
def test_no_note_shows_a_password(url: str) -> None:
    site = Site(index=Index({"proxy": (url,)}, left_out=("file:///srv/x@2", url)), mirror=mirror_of())
    shown = " ".join((*site.notes(), site_settings.without_logins(site.index.pip_conf())))
    assert "s3cret" not in shown and "file:///srv/x@2" in shown


def test_smoke_tests_see_the_index_but_no_links() -> None:
    site = Site(index=Index({"index-url": ("https://u:p@example.org",), "find-links": ("https://example.org/links",)}))
    with site.pip_conf_mount() as mounts:
        assert [mount.target for mount in mounts] == ["/etc/pip.conf"]
        path = mounts[0].source
        assert path.read_text() == "[global]\nindex-url = https://u:p@example.org\n"
        assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert not path.exists()
    with Site().pip_conf_mount() as mounts:
        assert mounts == []


def test_a_network_is_tried_where_builds_will_go(monkeypatch: pytest.MonkeyPatch) -> None:
    mirror = mirror_of()
    assert Site().reach() is None
    assert Site(mirror=mirror).reach() == ("example.org", 80)
    assert Site(index=Index({"index-url": ("https://u:p@index.example.org/simple",)})).reach() == (
        "index.example.org",
        443,
    )
    proxied = Settings((MAIN,), {"Acquire::http::Proxy": "http://127.0.0.1:3142"})
    assert Site(mirror=site_settings.mirror_of(proxied, b"")).reach() == ("127.0.0.1", 3142)
    monkeypatch.setenv("https_proxy", "proxy.example.org:3128")
    assert Site(mirror=mirror, proxies=("https_proxy",)).reach() == ("proxy.example.org", 3128)
