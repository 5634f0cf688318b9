"""The figures of docker/reach.toml, and which Pythons a request means."""

from __future__ import annotations

import tomllib
from dataclasses import replace
from datetime import date

import pytest

from catalogue import images
from catalogue.versions import version_key
from explain import reach
from portable import errors

TABLE = reach.load()
CATALOGUE = images.load(overlay=images.NO_OVERLAY)


def share(platform: str, pythons: str, glibc: str) -> float | None:
    asked = reach.pythons(pythons)
    return TABLE.sample(platform, [minor for minor in TABLE.minors() if reach.fits(minor, asked)]).share(glibc)


FIGURES = [  # of 1 to 7 August 2026, as manylinux-timeline had them
    ("x86_64", ">=3.11", {"2.28": 99.74, "2.31": 99.14, "2.34": 97.66, "2.35": 91.65, "2.36": 80.07, "2.39": 66.80}),
    ("x86_64", ">=3.11", {"2.17": 100.0, "2.41": 18.93}),
    ("x86_64", "3.10", {"2.28": 89.00, "2.34": 85.21, "2.41": 4.50}),
    ("x86_64", "cp314", {"2.28": 99.95, "2.36": 92.67}),
    ("aarch64", ">=3.11", {"2.28": 99.83, "2.34": 98.54}),
    ("i686", ">=3.11", {"2.17": 99.96, "2.28": 50.60}),
    ("ppc64le", ">=3.11", {"2.28": 99.65, "2.34": 94.45}),
    ("s390x", ">=3.11", {"2.28": 99.61, "2.34": 92.15}),
    ("armv7l", ">=3.11", {"2.31": 98.54, "2.35": 94.34}),
    ("riscv64", ">=3.11", {"2.39": 94.69, "2.41": 38.68}),
]


def test_the_figures_are_those_of_the_source() -> None:
    assert TABLE.last >= date(2026, 8, 7)
    if TABLE.last == date(2026, 8, 7):  # the updater writes those of a later week
        for platform, pythons, figures in FIGURES:
            assert {glibc: share(platform, pythons, glibc) for glibc in figures} == figures, platform


def test_an_older_policy_reaches_no_less() -> None:
    policies = [policy for policy in CATALOGUE.policies.values() if policy.libc == "glibc"]
    versions = sorted((policy.libc_version for policy in policies), key=version_key)
    for platform in TABLE.downloads:
        shares = [share(platform, ">=3.9", version) or 0.0 for version in versions]
        assert shares == sorted(shares, reverse=True), platform
        assert shares[0] > 95, platform


def test_several_pythons_weigh_as_much_as_they_are_used() -> None:
    downloads = {"x86_64": {"3.12": {"2.17": 90, "2.28": 10}, "3.13": {"2.28": 900, "2.9": 100}}}
    table = reach.parse({**raw(), "downloads": downloads}, "reach.toml:")
    assert table.sample("x86_64", ["3.12"]).share("2.28") == 10
    assert table.sample("x86_64", ["3.12", "3.13"]).share("2.28") == round(100 * 910 / 1100, 2)
    assert table.sample("x86_64", ["3.12", "3.13"]).share("2.17") == round(100 * 1000 / 1100, 2), (
        "2.9 is older than 2.17"
    )
    assert table.sample("aarch64", ["3.12"]).share("2.28") is None
    assert table.sample("x86_64", ["3.11"]).share("2.28") is None


def raw() -> dict[str, object]:
    return tomllib.loads(reach.REACH_TOML.read_text(encoding="utf-8"))


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"first": TABLE.last, "last": TABLE.first}, r"first must not be later than last"),
        ({"files": "https://example.org/a.csv.xz"}, r"files must have the field \{day\}"),
        ({"downloads": {"x86_64": {"3.12": {"2.28-1": 5}}}}, r"must be a version of glibc like 2\.28"),
        ({"downloads": {"x86_64": {"3": {"2.28": 5}}}}, r"must be a Python like 3\.13"),
        ({"downloads": {"x86_64": {"3.12": {"2.28": 0}}}}, "must be between 1 and"),
        ({"downloads": {}}, "must be filled in"),
    ],
)
def test_broken_laws_are_named(change: dict[str, object], complaint: str) -> None:
    with pytest.raises(errors.UserError, match=rf"^reach\.toml: .*{complaint}"):
        reach.parse({**raw(), **change}, "reach.toml:")


def test_every_platform_of_the_table_is_one_of_ours() -> None:
    assert set(TABLE.downloads) <= set(CATALOGUE.platforms)


@pytest.mark.parametrize(
    ("request_", "expected"),
    [
        (">=3.13", ["3.13", "3.14", "3.15", "3.16"]),
        (">=3.9,<3.12", ["3.9", "3.10", "3.11"]),
        (">= 3.9.2, < 3.10", ["3.9"]),
        ("~=3.14", ["3.14", "3.15", "3.16"]),
        (">=3.11,!=3.12.*,<3.14", ["3.11", "3.13"]),
        ("3.10", ["3.10"]),
        ("3.10.4", ["3.10"]),
        ("2", ["2.7"]),
        ("cp311", ["3.11"]),
        ("cp313-cp313t", ["3.13"]),
        ("cp314-abi3", ["3.14", "3.15", "3.16"]),
        (">=4", []),
    ],
)
def test_which_pythons_are_meant(request_: str, expected: list[str]) -> None:
    asked = reach.pythons(request_)
    known = ["2.7", *(f"3.{minor}" for minor in range(6, 17))]
    assert [minor for minor in known if reach.fits(minor, asked)] == expected


@pytest.mark.parametrize(
    "text", ["", " ", "three", "py3", "cp311-cp312", ">=", "=>3.9", "3.11+", "3.9-3.12", "'>=3.9'"]
)
def test_what_means_no_python_is_refused_with_examples(text: str) -> None:
    with pytest.raises(errors.UserError, match=r"give a specifier like '>=3\.11'"):
        reach.pythons(text)


def test_pythons_that_ended_are_not_meant_where_nobody_says_which() -> None:
    ended = {i.minor for i in CATALOGUE.interpreters.values() if i.implementation == "cpython" and i.status == "eol"}
    asked = reach.maintained(CATALOGUE)
    assert ended
    assert not any(reach.fits(minor, asked) for minor in ended)
    assert reach.fits("3.14", asked)
    old = replace(CATALOGUE, interpreters={tag: i for tag, i in CATALOGUE.interpreters.items() if i.minor in ended})
    assert {minor for minor in ended if reach.fits(minor, reach.maintained(old))} == ended, "a fork with these alone"
