"""What a site needs inside containers comes as private files; nothing shows its passwords."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest
from tests.support import certificates
from tests.support.certificates import pem

from host import authorities
from host.apt import AptSettings, AptSource
from host.indexes import Indexes
from host.mirror import Mirror
from host.site import Site, container_env, secret_mounts, without_logins

SOURCE = AptSource("http://example.org/debian", frozenset({""}))
MIRROR = Mirror(SOURCE.root, SOURCE.root, "http://example.org/debian-security")


def test_secrets_are_private_files_that_go(tmp_path: Path) -> None:
    site = Site(
        ca=pem(tmp_path / "ca.pem", "one"),
        indexes=Indexes({"index-url": ("https://u:p@example.org",)}),
        mirror=MIRROR,
    )
    with site.written("bookworm") as secrets:
        assert list(secrets) == ["ca", "pip", "apt"]
        for path in secrets.values():
            assert stat.S_IMODE(path.stat().st_mode) == 0o600
            assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
        assert "u:p@" in secrets["pip"].read_text()
        assert secrets["apt"].read_text().count("\n") == 3
        assert container_env(secrets)["PIP_CONFIG_FILE"] == "/run/secrets/pip"
        assert {mount.target for mount in secret_mounts(secrets)} == {f"/run/secrets/{name}" for name in secrets}
    assert not any(path.parent.exists() for path in secrets.values())
    assert list(site.secrets()) == ["ca", "pip"]
    assert Site().secrets("bookworm") == {}


def test_only_certificates_enter_the_secret(tmp_path: Path) -> None:
    authority, with_key = certificates.make(tmp_path)
    both = tmp_path / "both.pem"
    both.write_text(f"# CA\n{with_key.read_text()}{authority.read_text()}")
    secret = Site(ca=both).secrets()["ca"]
    assert "PRIVATE" not in secret and "# CA" not in secret
    assert authorities.certificates(secret) == authorities.certificates(both.read_text())


@pytest.mark.parametrize(
    "url",
    ["ftp://me:s3cret@x/y", "HTTP://me:s3cret@x", "git+ssh://me:s3cret@x", "https://me:a@s3cret@x", "me:s3cret@x:3128"],
)
def test_no_note_shows_a_password(url: str) -> None:
    site = Site(indexes=Indexes({"proxy": (url,)}, left_out=("file:///srv/x@2", url)), mirror=MIRROR)
    shown = " ".join((*site.notes(), without_logins(site.indexes.pip_conf())))
    assert "s3cret" not in shown and "file:///srv/x@2" in shown


def test_smoke_tests_see_the_index_but_no_links() -> None:
    site = Site(
        indexes=Indexes({"index-url": ("https://u:p@example.org",), "find-links": ("https://example.org/links",)})
    )
    with site.pip_conf_mount() as mounts:
        assert [mount.target for mount in mounts] == ["/etc/pip.conf"]
        path = mounts[0].source
        assert path.read_text() == "[global]\nindex-url = https://u:p@example.org\n"
        assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert not path.exists()
    with Site().pip_conf_mount() as mounts:
        assert mounts == []


def test_a_network_is_tried_where_builds_will_go(monkeypatch: pytest.MonkeyPatch) -> None:
    assert Site().reach() is None
    assert Site(mirror=MIRROR).reach() == ("example.org", 80)
    assert Site(indexes=Indexes({"index-url": ("https://u:p@index.example.org/simple",)})).reach() == (
        "index.example.org",
        443,
    )
    proxied = AptSettings((SOURCE,), {"Acquire::http::Proxy": "http://127.0.0.1:3142"})
    assert Site(mirror=Mirror.of(proxied, b"")).reach() == ("127.0.0.1", 3142)
    monkeypatch.setenv("https_proxy", "proxy.example.org:3128")
    assert Site(mirror=MIRROR, proxies=("https_proxy",)).reach() == ("proxy.example.org", 3128)
