"""Which CAs containers must trust, and which files are refused as a bundle."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from tests.support import certificates
from tests.support.certificates import pem

from host import authorities
from portable import environment, errors


@pytest.fixture
def system(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine whose system bundle holds the CAs one and two, without certifi or CAs of a distribution."""
    bundle = pem(tmp_path / "system.crt", "one", "two")
    monkeypatch.setattr(environment, "SYSTEM_BUNDLES", ("/nowhere.crt", str(bundle)))
    monkeypatch.setattr(authorities, "DISTRIBUTION_CAS", str(tmp_path / "distribution"))
    monkeypatch.setattr(authorities, "certifi_cas", lambda system: frozenset())
    return bundle


def test_the_option_goes_before_variables_and_these_in_order(tmp_path: Path, system: Path) -> None:
    authority = certificates.make(tmp_path)[0]
    files = {name: tmp_path / f"{name}.pem" for name in ("option", *environment.CA_VARIABLES)}
    for path in files.values():
        shutil.copy(authority, path)
    env = {name: str(files[name]) for name in environment.CA_VARIABLES}
    assert authorities.bundle(files["option"], env) == files["option"]
    for name in environment.CA_VARIABLES:
        assert authorities.bundle(None, env) == files[name]
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
            authorities.bundle(option, env)
        assert "\n" not in str(caught.value)


def test_the_system_bundle_counts_when_it_holds_more_than_certifi(
    system: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(authorities, "certifi_cas", lambda path: frozenset({"one", "three"}))
    assert authorities.bundle(None, {}) == system
    monkeypatch.setattr(authorities, "certifi_cas", lambda path: frozenset({"one", "two", "three"}))
    assert authorities.bundle(None, {}) is None


def test_without_certifi_the_distributions_own_cas_are_compared_with(system: Path, tmp_path: Path) -> None:
    assert authorities.bundle(None, {}) == system  # nothing to compare with
    pem(tmp_path / "distribution" / "mozilla" / "one.crt", "o\nne")
    assert authorities.bundle(None, {}) == system
    pem(tmp_path / "distribution" / "mozilla" / "two.crt", "two")
    assert authorities.bundle(None, {}) is None


def test_a_certifi_that_is_the_system_bundle_says_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "certifi"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "cacert.pem").symlink_to(pem(tmp_path / "system.crt", "one"))
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(__import__("sys").modules, "certifi", raising=False)
    found = authorities.certifi_cas(tmp_path / "system.crt")
    assert "one" not in found
    assert authorities.certifi_cas(tmp_path / "another.crt") == {"one"}


def test_a_machine_without_a_bundle(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(environment, "SYSTEM_BUNDLES", ())
    assert authorities.bundle(None, {}) is None
