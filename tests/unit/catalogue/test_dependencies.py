"""The rows of docker/dependencies.toml: their laws, and what their version rules make of real tags."""

from __future__ import annotations

import re
from datetime import date
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from packaging.version import InvalidVersion, Version

from catalogue import dependencies, pins
from portable import errors

ROOT = Path(__file__).resolve().parents[3]
TAGS = ROOT / "tests" / "data" / "tags"
ROWS = dependencies.load()
PINNED = {name: pin.version for name, pin in pins.read().items()}

# What a person would call the newest release of the series among the tags in tests/data/tags.
BY_HAND = {
    "git": "2.55.0",
    "git-lfs": "3.7.1",
    "libxcrypt": "4.4.38",
    "zstd": "1.5.6",
    "static-clang": "22.1.8.1",
    "openssl": "3.5.7",
    "curl": "8.22.0",
    "tcl": "8.6.18",
    "tk": "8.6.18",
    "cpython-3.13": "3.13.18",
    "cpython-3.14": "3.14.10",
    "cpython-3.15": "3.15.2",
}


def tags(name: str) -> list[str]:
    return (TAGS / f"{name.partition('-3')[0]}.txt").read_text(encoding="utf-8").split()


def versions_of(name: str, pinned: str) -> list[str]:
    row = ROWS[name]
    source = next(source for source in row.sources if source.kind == "git-tags")
    matches = (re.fullmatch(source.pattern, tag) for tag in tags(name))
    found = [re.sub("[_-]", ".", match[1]) for match in matches if match]
    return sorted((version for version in found if row.accepts(version, pinned)), key=Version)


def test_the_table_fits_the_pins() -> None:
    dependencies.check(ROWS, pins.read())


@pytest.mark.parametrize("name", BY_HAND)
def test_the_newest_release_among_real_tags(name: str) -> None:
    assert versions_of(name, f"{ROWS[name].series}.0")[-1] == BY_HAND[name]


@pytest.mark.parametrize(
    ("name", "tag"),
    [
        ("zstd", "v1.5.5-kernel"),
        ("zstd", "v1.5.2-kernel"),
        ("git", "v2.8.0-rc3"),
        ("git", "gitgui-0.21.0"),
        ("git-lfs", "core-gpg-keys"),
        ("git-lfs", "v1.5.2-go1.8beta1"),
        ("curl", "rc-8_22_0-2"),
        ("curl", "tiny-curl-8_4_0"),
        ("tcl", "core-8-6-b1"),
        ("openssl", "openssl-3.5.0-beta1"),
        ("cpython-3.13", "v3.13.0rc3"),
        ("cpython-3.15", "v3.16.0a2"),
    ],
)
def test_odd_tags_are_no_releases(name: str, tag: str) -> None:
    assert tag in tags(name)
    pattern = next(source.pattern for source in ROWS[name].sources if source.kind == "git-tags")
    match = re.fullmatch(pattern, tag)
    assert not match or not ROWS[name].accepts(match[1], PINNED[name])


@pytest.mark.parametrize("name", ["autoconf", "automake", "libtool"])
def test_gnu_is_never_asked_for_tags(name: str) -> None:
    """libtool 2.6.0 and 2.6.1 were alpha and beta, 2.6.2 a release: their tags look the same."""
    assert {source.kind for source in ROWS[name].sources} == {"listing"}
    assert "v2.6.0" in tags("libtool")


@pytest.mark.parametrize(("name", "version"), [("autoconf", "2.72.90"), ("automake", "1.17.92"), ("automake", "1.16i")])
def test_gnu_betas_are_no_releases(name: str, version: str) -> None:
    assert f"v{version}" in tags(name)
    assert not ROWS[name].accepts(version, PINNED[name])


def test_a_prerelease_only_follows_a_prerelease() -> None:
    row = ROWS["cpython-3.15"]
    assert row.accepts("3.15.0rc2", "3.15.0rc1")
    assert row.accepts("3.15.0", "3.15.0rc1")
    assert not row.accepts("3.15.1rc1", "3.15.0")
    assert not row.accepts("3.16.0a2", "3.15.0rc1")


@given(
    name=st.sampled_from(sorted(ROWS)),
    numbers=st.lists(st.integers(0, 99), min_size=2, max_size=4),
    suffix=st.sampled_from(
        [
            "rc1",
            "-rc1",
            "a2",
            "b3",
            ".dev1",
            "alpha",
            "-alpha1",
            "-beta1",
            "-kernel",
            "p1",
            "i",
            "~rc3",
            "-pre",
            ".pre2",
        ]
    ),
)
def test_no_rule_accepts_a_prerelease(name: str, numbers: list[int], suffix: str) -> None:
    version = ".".join(map(str, [*ROWS[name].series.split("."), *numbers])) + suffix
    assert not ROWS[name].accepts(version, PINNED[name])


@given(name=st.sampled_from(sorted(ROWS)), text=st.text(max_size=20))
def test_what_a_rule_accepts_is_a_version_of_its_series(name: str, text: str) -> None:
    if ROWS[name].accepts(text, PINNED[name]):
        assert ROWS[name].in_series(text)
        assert not Version(text).is_prerelease


def test_series_are_compared_number_by_number() -> None:
    assert ROWS["cpython-3.8"].in_series("3.8.20")
    assert not ROWS["cpython-3.8"].in_series("3.80.1")
    assert not ROWS["openssl"].in_series("3.50.0")


def test_every_hold_has_a_reason_and_an_end() -> None:
    held = ROWS["tcl"].held("8.6.15", date(2026, 1, 1))
    assert held
    assert "build" in held.reason
    assert ROWS["tcl"].held("8.6.15", held.until) is None
    assert ROWS["tcl"].held("8.6.16", date(2026, 1, 1)) is None


def test_fields_are_filled_in() -> None:
    row = ROWS["cpython-3.15"]
    assert row.location("3.15.0rc2") == "https://www.python.org/ftp/python/3.15.0/Python-3.15.0rc2.tar.xz"
    tcl = ROWS["tcl"]
    assert tcl.fill(tcl.second, "8.6.18").endswith("/core-8-6-18/tcl8.6.18-src.tar.gz")
    assert ROWS["git"].location("2.55.0", like="git_2.55.0.orig.tar.gz").endswith("git-2.55.0.tar.gz")
    assert ROWS["git-lfs"].location("3.8.0").endswith("git-lfs-linux-{goarch}-v3.8.0.tar.gz")


GOOD = """
[templates.some]
sources = [{ kind = "git-tags", url = "https://example.org/{name}", pattern = 'v(.*)' }]
url = "https://example.org/{name}-{version}.tar.gz"
trust = ["openpgp"]
changelog = "https://example.org/{version}"

[tool]
use = "some"
series = "1"
openpgp = { url = "{url}.asc", signers = ["27EDEAF22F3ABCEB50DB9A125CC908FDB71E12C2"] }
"""


def load(tmp_path: Path, text: str) -> dict[str, dependencies.Dependency]:
    path = tmp_path / "dependencies.toml"
    path.write_text(text, encoding="utf-8")
    return dependencies.load(path)


def test_a_template_gives_what_the_row_lacks(tmp_path: Path) -> None:
    row = load(tmp_path, GOOD)["tool"]
    assert (row.trust, row.cooldown) == (("openpgp",), 7)
    assert row.location("1.2") == "https://example.org/tool-1.2.tar.gz"


@pytest.mark.parametrize(
    ("old", "new", "complaint"),
    [
        ('use = "some"', 'use = "somme"', "no template 'somme'; did you mean some"),
        ('series = "1"', 'series = "1"\nserie = "2"', "unknown key 'serie'"),
        ('series = "1"', "", "series is missing"),
        ('kind = "git-tags"', 'kind = "git-tag"', "kind must be one of git-tags, listing"),
        ("'v(.*)'", "'v.*'", "pattern must be a regular expression with 1 group, it has 0"),
        ("'v(.*)'", "'v(.*'", "pattern must be a regular expression ("),
        ('["openpgp"]', '["opengpg"]', "trust[0] must be one of sigstore, openpgp"),
        ('["openpgp"]', '["sigstore"]', "trust level sigstore needs data"),
        ('["openpgp"]', '["openpgp", "debian-index"]', "trust level debian-index needs data"),
        ('["openpgp"]', "[]", "trust must be filled in"),
        ("27EDEAF22F3ABCEB50DB9A125CC908FDB71E12C2", "27edeaf2", "must be a fingerprint"),
        ("{url}.asc", "{uri}.asc", "openpgp.url must be an https:// address"),
        ('series = "1"', 'series = "1"\nhold = [{ version = "1.5" }]', "reason is missing"),
        ('series = "1"', 'series = "1"\nhold = [{ version = "1.5", reason = "bad" }]', "since is missing"),
        (
            'series = "1"',
            'series = "1"\nhold = [{ version = "1.5", reason = "bad", since = 2026-01-01 }]',
            "until is missing",
        ),
        (
            'series = "1"',
            'series = "1"\nhold = [{ version = "new", reason = "bad", since = 2026-01-01, until = 2030-01-01 }]',
            "version must be a version or a comparison",
        ),
    ],
)
def test_broken_laws_are_named(tmp_path: Path, old: str, new: str, complaint: str) -> None:
    assert old in GOOD
    with pytest.raises(errors.UserError, match=re.escape(complaint)):
        load(tmp_path, GOOD.replace(old, new))


def test_half_of_a_pair_is_not_taken_on_the_word_of_the_archive(tmp_path: Path) -> None:
    """Such a pin would have to be confirmed later, and nobody confirms half a pair."""
    text = GOOD.replace('["openpgp"]', '["openpgp", "debian-index"]')
    text += 'debian = { source = "tool", verbatim = true }\n'
    assert load(tmp_path, text)["tool"].trust == ("openpgp", "debian-index")
    with pytest.raises(errors.UserError, match="debian-index is not for pins that move together"):
        load(tmp_path, text + 'together = "other"\n')


def pinned(**versions: str) -> dict[str, pins.Pin]:
    return {name: pins.Pin(name, version, "https://example.org/file", "0" * 64) for name, version in versions.items()}


def test_pins_and_rows_must_match(tmp_path: Path) -> None:
    rows = load(tmp_path, GOOD)
    with pytest.raises(errors.UserError, match="pin other has no row"):
        dependencies.check(rows, pinned(tool="1.0", other="2.0"))
    with pytest.raises(errors.UserError, match=re.escape("row [tool] tracks no pin")):
        dependencies.check(rows, {})
    with pytest.raises(errors.UserError, match="outside its series"):
        dependencies.check(rows, pinned(tool="2.0"))


def test_pins_that_move_together_must_agree() -> None:
    pair = {name: ROWS[name] for name in ("tcl", "tk")}
    with pytest.raises(errors.UserError, match="move together, but are pinned to different versions"):
        dependencies.check(pair, pinned(tcl="8.6.18", tk="8.6.16"))


@given(st.text(max_size=12))
def test_accepting_never_breaks_on_strange_texts(text: str) -> None:
    try:
        Version(text)
    except InvalidVersion:
        assert not any(row.accepts(text, PINNED[name]) for name, row in ROWS.items())


OPENSSL_NEWS = """### Major changes between OpenSSL 3.5.8 and OpenSSL 3.5.9 [under development]

  * none

### Major changes between OpenSSL 3.5.7 and OpenSSL 3.5.8 [1 Sep 2026]

  * Fixed a regression of 3.5.7.

### Major changes between OpenSSL 3.5.6 and OpenSSL 3.5.7 [9 Jun 2026]

  * Fix excessive time spent checking something ([CVE-2026-0001])
"""
PYTHON_NEWS = """.. date: 2026-05-13-14-53-23
.. gh-issue: 149776
.. section: {}

Something was fixed.
"""


@pytest.mark.parametrize(
    ("name", "version", "page", "mends"),
    [
        ("openssl", "3.5.7", OPENSSL_NEWS, True),
        ("openssl", "3.5.8", OPENSSL_NEWS, False),
        ("openssl", "3.5.9", OPENSSL_NEWS, False),
        (
            "curl",
            "8.4.0",
            '"ranges": [{"type": "SEMVER", "events": [{"introduced": "7.69.0"}, {"fixed": "8.4.0"}]}]',
            True,
        ),
        ("curl", "8.4.0", '"events": [{"introduced": "8.4.0"}, {"fixed": "8.4.1"}], "last_affected": "8.4.0"', False),
        ("git", "2.50.1", "v2.45.4, and v2.49.1 to address the\nfollowing CVEs: CVE-2025-27613, CVE-2025-27614", True),
        ("git", "2.51.0", "UI, Workflows & Features\n\n * Userdiff patterns for the R language.\n", False),
        ("cpython-3.14", "3.14.8", PYTHON_NEWS.format("Security"), True),
        ("cpython-3.14", "3.14.8", PYTHON_NEWS.format("Library"), False),
    ],
)
def test_how_upstream_tells_that_a_release_mends_a_vulnerability(
    name: str, version: str, page: str, mends: bool
) -> None:
    """In the shape of NEWS.md, vuln.json (OSV), the release notes and Misc/NEWS.d of these projects."""
    row = ROWS[name]
    assert row.security
    assert version in row.fill(row.security.url, version) or name == "curl"
    assert bool(re.search(row.fill(row.security.pattern, version), page)) == mends


@pytest.mark.parametrize("known", ["next", "3.", "3.x", "\u0663"])
def test_a_known_series_is_made_of_numbers(tmp_path: Path, known: str) -> None:
    path = tmp_path / "dependencies.toml"
    text = dependencies.DEPENDENCIES_TOML.read_text(encoding="utf-8")
    path.write_text(text.replace('acknowledged = "4.0"', f'acknowledged = "{known}"'), encoding="utf-8")
    with pytest.raises(errors.UserError, match=r"openssl\.acknowledged must be"):
        dependencies.load(path)
