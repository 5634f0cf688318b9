"""The names that people give releases of distributions."""

from __future__ import annotations

import pytest

from catalogue.distributions import DistributionRelease, find_release, read_releases
from portable import errors

RELEASES = read_releases()


@pytest.mark.parametrize("release", RELEASES, ids=lambda release: release.title)
def test_every_release_is_found_by_its_own_names(release: DistributionRelease) -> None:
    assert find_release(release.title, RELEASES) == release
    assert find_release(f"{release.distribution}:{release.release}", RELEASES) == release


@pytest.mark.parametrize(
    ("name", "title"),
    [
        ("rhel-8", "RHEL 8"),
        ("RHEL 8.10", "RHEL 8"),
        ("Red Hat Enterprise Linux 9", "RHEL 9"),
        ("ubi9", "RHEL 9"),
        ("rocky 9.4", "Rocky Linux 9"),
        ("AlmaLinux8", "AlmaLinux 8"),
        ("amazonlinux:2023", "Amazon Linux 2023"),
        ("amazon linux 2", "Amazon Linux 2"),
        ("ubuntu 20.04.6 LTS", "Ubuntu 20.04"),
        ("Debian GNU/Linux 12", "Debian 12"),
        ("debian-testing", "Debian testing"),
        ("CentOS Stream 9", "CentOS Stream 9"),
        ("centos 7", "CentOS 7"),
        ("openSUSE Leap 15.6", "openSUSE 15.6"),
        ("tumbleweed opensuse", ""),
        ("arch", "Arch Linux latest"),
        ("alpine 3.20", "Alpine 3.20"),
        ("Fedora 38", ""),
        ("RHEL", ""),
        ("Debian 1", ""),
        ("Debian 12x", ""),
        ("", ""),
    ],
)
def test_names_that_people_type(name: str, title: str) -> None:
    if title:
        assert find_release(name, RELEASES).title == title
    else:
        with pytest.raises(errors.UserError):
            find_release(name, RELEASES)


def test_between_two_releases_with_one_libc_there_is_no_other() -> None:
    found = find_release("Alpine 3.19", RELEASES)
    assert (found.title, found.libc, found.libc_version, found.eol) == ("Alpine 3.19", "musl", "1.2", "")
    with pytest.raises(errors.UserError, match=r"which has .*Fedora 37, Fedora 39"):
        find_release("Fedora 38", RELEASES)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("Debain 12", "did you mean Debian 12"),
        ("Ubunto 22.04", "did you mean Ubuntu 22.04"),
        ("Plan 9", "known are AlmaLinux, Alpine"),
        ("RHEL 11", "which has RHEL 7, RHEL 8, RHEL 9, RHEL 10$"),
    ],
)
def test_an_unknown_name_gets_the_nearest(name: str, message: str) -> None:
    with pytest.raises(errors.UserError, match=message):
        find_release(name, RELEASES)
