"""Which Debian mirror containers, bases and private roots get from apt's settings."""

from __future__ import annotations

from typing import Any

import pytest

from host import apt
from host import mirror as mirrors
from host.apt import AptSettings, AptSource
from host.mirror import Mirror


def source(root: str, *pockets: str, **options: str) -> AptSource:
    return AptSource(root, frozenset(pockets), {name.replace("_", "-"): value for name, value in options.items()})


MAIN = source("http://example.org/debian", "", "updates", "backports")
SECURITY = source("https://sec.example.org/debian-security", "security")


def mirror_of(*sources: AptSource, **settings: Any) -> Mirror:
    found = Mirror.of(AptSettings(sources or (MAIN, SECURITY), **settings), b"")
    assert found is not None
    return found


def test_the_mirror_of_apt_for_any_suite() -> None:
    mirror = mirror_of()
    assert (mirror.main, mirror.updates, mirror.security) == (MAIN.root, MAIN.root, SECURITY.root)
    keyring = f"signed-by={mirrors.DEBIAN_KEYRING}"
    assert mirror.lines("trixie", "i386") == (
        f"deb [{keyring} arch=i386] http://example.org/debian trixie main",
        f"deb [{keyring} arch=i386] http://example.org/debian trixie-updates main",
        f"deb [{keyring} arch=i386] https://sec.example.org/debian-security trixie-security main",
    )


def test_checks_that_this_machine_switches_off_are_off_in_the_container() -> None:
    mirror = mirror_of(checks_off=("check-valid-until",))
    assert mirror.lines("trixie")[0].startswith("deb [check-valid-until=no signed-by=")


def test_options_of_a_source_are_its_own() -> None:
    mirror = mirror_of(MAIN, source(SECURITY.root, "security", trusted="yes"))
    assert [" trusted=yes " in line.replace("[", " ") for line in mirror.lines("trixie")] == [False, False, True]


@pytest.mark.parametrize("sources", [(), (source("file:///srv/debian", ""),), (SECURITY,)])
def test_no_debian_mirror(sources: tuple[AptSource, ...]) -> None:
    assert Mirror.of(AptSettings(sources), b"") is None


def test_keys_that_apt_trusts_for_all_go_along_with_debians() -> None:
    mirror = Mirror.of(AptSettings((MAIN,)), b"site")
    assert mirror is not None and mirror.keys[""] == b"site" + apt.debian_keys()


def test_a_named_mirror_counts_on_any_distribution(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mirrors, "_distribution", lambda: "fedora")
    monkeypatch.delenv(apt.MIRROR_VARIABLE, raising=False)
    assert Mirror.of_this_machine() is None
    monkeypatch.setenv(apt.MIRROR_VARIABLE, "http://example.org/debian http://example.org/debian-security")
    mirror = Mirror.of_this_machine()
    assert mirror is not None and mirror.security == "http://example.org/debian-security"


def test_security_may_be_missing() -> None:
    assert [line.split()[-2] for line in mirror_of(MAIN).lines("trixie")] == ["trixie", "trixie-updates"]


@pytest.mark.parametrize(
    ("distribution", "suite"),
    [("debian-12", "bookworm"), ("debian-13", "trixie"), ("ubuntu-22.04", ""), ("alpine-3.22", "")],
)
def test_suites(distribution: str, suite: str) -> None:
    assert mirrors.debian_suite(distribution) == suite


def test_pockets_that_apt_cannot_use_are_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def failure(sources: str, architecture: str) -> str:
        asked.append(sources)
        return "File has unexpected size" if "security" in sources else ""

    monkeypatch.setattr(mirrors, "_apt_failure", failure)
    whole = Mirror("http://example.org/debian", "http://example.org/debian", "http://example.org/debian-security")
    mirror, notes = whole.usable("bookworm", "i386")
    assert mirror == Mirror("http://example.org/debian", "http://example.org/debian", "")
    assert len(notes) == 1 and "bookworm-security" in notes[0] and "i386" in notes[0]
    assert [sources.split()[-2] for sources in asked] == ["bookworm-updates", "bookworm-security"]
