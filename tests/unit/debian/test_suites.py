"""The signed index of a suite: what is believed, and what is refused. All of them are made and signed here."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pysequoia
import pytest
from tests.support import servers
from tests.support.debian_mirrors import DebianServer, needs_gpgv, package

from debian.suites import Untrusted, parse_suite, suite_names
from portable import errors


def test_every_pocket_of_every_suite_is_searched() -> None:
    names = suite_names()
    assert {"bullseye", "bookworm-security", "trixie-updates", "trixie-backports", "sid", "experimental"} <= {*names}
    assert "sid-security" not in names
    assert suite_names(["trixie"]) == ("trixie",)


def untrusted(mirror: DebianServer, reason: str) -> None:
    """The suite must be refused for this reason, and nothing of it looked at."""
    with pytest.raises(errors.Failure) as caught:
        mirror.archive().search("git", ["trixie"])
    assert reason in str(caught.value)
    assert not any("/main/source/" in path for _, path, _ in mirror.server.requests)


@needs_gpgv
def test_a_changed_release_is_refused(mirror: DebianServer) -> None:
    release = mirror.publish("trixie", [package("git", "1:2.47.3-1")])
    changed = re.sub(rb"[0-9a-f]{64}( +\d+ main/)", rb"1" * 64 + rb"\1", release)
    mirror.server.routes["/debian/dists/trixie/InRelease"] = servers.good(changed)
    untrusted(mirror, "its signature is wrong")


@needs_gpgv
def test_another_key_is_refused(mirror: DebianServer) -> None:
    ours = mirror.key
    mirror.key = pysequoia.Tsk.generate("Somebody <else@example.org>")
    mirror.publish("trixie", [package("git", "1:2.47.3-1")])
    mirror.key = ours
    untrusted(mirror, "update debian-archive-keyring")


@needs_gpgv
def test_an_expired_key_is_refused(mirror: DebianServer) -> None:
    mirror.publish("trixie", [package("git", "1:2.47.3-1")])
    mirror.certificate = mirror.certificate.set_expiration(
        datetime.now(UTC) - timedelta(seconds=1), mirror.key.certifier()
    )
    untrusted(mirror, "expired")


@needs_gpgv
def test_a_revoked_key_is_refused(mirror: DebianServer) -> None:
    mirror.publish("trixie", [package("git", "1:2.47.3-1")])
    revocation = mirror.certificate.revoke(mirror.key.certifier())
    mirror.certificate = pysequoia.Cert.from_bytes(bytes(mirror.certificate) + bytes(revocation))
    untrusted(mirror, "revoked")


@needs_gpgv
@pytest.mark.parametrize("sent", [b"Codename: trixie\n", b"", servers.HTML])
def test_no_signature_is_refused(mirror: DebianServer, sent: bytes) -> None:
    mirror.server.routes["/debian/dists/trixie/InRelease"] = servers.good(sent)
    untrusted(mirror, "no valid signature")


@needs_gpgv
def test_text_around_the_signed_one_is_not_believed(mirror: DebianServer) -> None:
    release = mirror.publish("trixie", [package("git", "1:2.47.3-1")])
    for forged in (b"Codename: x\nSHA256:\n\n" + release, release + b"\nCodename: x\n"):
        mirror.server.routes["/debian/dists/trixie/InRelease"] = servers.good(forged)
        try:
            suite = mirror.archive().open_suite("trixie")
        except Untrusted:
            continue
        assert suite and suite.name == "trixie"


@needs_gpgv
def test_another_suite_in_its_place_is_refused(mirror: DebianServer) -> None:
    release = mirror.publish("bookworm", [package("git", "1:2.39.5-1")])
    mirror.server.routes["/debian/dists/trixie/InRelease"] = servers.good(release)
    untrusted(mirror, "sends the index of bookworm in its place")


@needs_gpgv
def test_a_suite_without_sources(mirror: DebianServer) -> None:
    text = f"Codename: trixie\nDate: Sat, 14 Nov 2026 08:00:00 UTC\nSHA256:\n {'0' * 64} 1 main/binary-amd64/Packages\n"
    mirror.server.routes["/debian/dists/trixie/InRelease"] = servers.good(mirror.sign(text))
    untrusted(mirror, "has no sources")


@needs_gpgv
def test_a_suite_under_its_other_name(mirror: DebianServer) -> None:
    mirror.publish("experimental", [package("git", "1:2.60.0-1")], code_name="rc-buggy")
    assert [suite.name for suite in mirror.archive().search("git").suites] == ["experimental"]


@pytest.mark.parametrize("field", ["Date", "Valid-Until"])
def test_a_suite_without_a_date_is_not_trusted(field: str) -> None:
    now = format_datetime(datetime.now(UTC), usegmt=True)
    text = f"Codename: sid\nDate: {now}\nValid-Until: {now}\nSHA256:\n {'a' * 64} 1 main/source/Sources.xz\n"
    assert parse_suite("sid", (), text).valid_until
    for value in ("soon", "", "²", "Fri, 01 Jan 2027 00:00:00 +99999999999999"):
        with pytest.raises(Untrusted, match=f"its {field} is not a date"):
            parse_suite("sid", (), text.replace(f"{field}: {now}", f"{field}: {value}"))
    assert parse_suite("sid", (), text.replace("Valid-Until", "Valid")).valid_until is None
