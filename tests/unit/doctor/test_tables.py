"""The doctor's tables in docker/doctor agree with what the images carry, and with each other."""

from __future__ import annotations

import re

import pytest

from catalogue import images
from catalogue.paths import ROOT
from doctor import distributions, symbols, tables
from doctor.policies import Policies


def test_policies_are_those_of_the_auditwheel_that_images_carry() -> None:
    lock = (ROOT / "requirements/tools/auditwheel.txt").read_text(encoding="utf-8")
    pinned = re.search(r"^auditwheel==(\S+)", lock, re.MULTILINE)
    assert pinned and tables.policies()["auditwheel"] == pinned[1], "run `nox -s update_policies`"


@pytest.mark.parametrize("image", [image.name for image in images.load().images() if not image.variant])
def test_every_image_has_its_policy(image: str) -> None:
    each = images.load().select([image])[0]
    libc = "musllinux" if each.policy.name.startswith("musl") else "manylinux"
    found = Policies.of(libc, each.platform.name)
    assert found and found.promise(each.policy.name)


@pytest.mark.parametrize(
    ("libc", "platform", "tag", "version", "allowed"),
    [
        ("manylinux", "x86_64", "manylinux2014", "GLIBC_2.17", True),
        ("manylinux", "x86_64", "manylinux2014", "GLIBC_2.18", False),
        ("manylinux", "aarch64", "manylinux_2_17", "GLIBC_2.2.5", True),
        ("manylinux", "x86_64", "manylinux_2_28", "GLIBCXX_3.4.24", True),
        ("manylinux", "x86_64", "manylinux_2_28", "GLIBCXX_3.4.25", False),
        ("manylinux", "x86_64", "manylinux_2_29", "GLIBC_2.29", True),  # auditwheel has no such policy
        ("manylinux", "x86_64", "manylinux_2_29", "GLIBCXX_3.4.26", False),
        ("manylinux", "x86_64", "manylinux_2_43", "GLIBC_2.43", True),
        ("manylinux", "x86_64", "manylinux_2_35", "GLIBC_ABI_DT_RELR", False),
        ("manylinux", "x86_64", "manylinux_2_36", "GLIBC_ABI_DT_RELR", True),
        ("manylinux", "x86_64", "manylinux_2_43", "GLIBC_ABI_GNU2_TLS", False),  # of no policy
        ("manylinux", "x86_64", "manylinux_2_41", "GLIBC_PRIVATE", False),
        ("manylinux", "x86_64", "manylinux_2_5", "OPENSSL_3.0.0", True),  # no policy is about it
    ],
)
def test_what_a_tag_allows(libc: str, platform: str, tag: str, version: str, allowed: bool) -> None:
    found = Policies.of(libc, platform)
    assert found
    promise = found.promise(tag)
    assert promise
    assert found.allows(promise, version) is allowed


def test_libraries_of_musl() -> None:
    found = Policies.of("musllinux", "x86_64")
    assert found
    libraries = ("libc.musl-x86_64.so.1", "libc.so", "ld-musl-x86_64.so.1", "libz.so.1", "libstdc++.so.6", "libc.so.6")
    assert [bool(found.library(name)) for name in libraries] == [True, True, True, True, False, True]


def test_symbols_that_were_seen_in_the_field() -> None:
    known = symbols.versions()
    assert known["_ZSt28__throw_bad_array_new_lengthv"] == ("GLIBCXX_3.4.29", "libstdc++.so.6")
    assert known["_ZSt21ios_base_library_initv"] == ("GLIBCXX_3.4.32", "libstdc++.so.6")
    assert not {"memcpy", "pthread_create", "dlopen", "deflate", "_ZSt4cout"} & set(known)


def test_every_release_can_be_named() -> None:
    rows = distributions.load()
    assert len(rows) > 250
    assert all(distributions.find(row.name) == row.id and distributions.find(row.id) == row.id for row in rows)
    assert all(row.version and (row.versions or row.libc == "musl") for row in rows)
    platforms = {platform.name for platform in images.load().platforms.values()}
    assert {row.platform for row in rows} <= platforms
