"""The table of images: what it yields, its laws, and the errors people get."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from tests.support import tables
from tests.support.tables import NEW, NEW_TAG, OLD, OLD_TAG, OTHER_TOOL, TOOL, changed

from catalogue import images
from catalogue.interpreters import Interpreter
from catalogue.model import Catalogue, Toolset
from plan import expectations
from plan.plan import Request, decide
from portable import errors

RAW = tomllib.loads(images.IMAGES_TOML.read_text(encoding="utf-8"))
# What the real table says line by line.
LINES = {f"{name}_{on}": line for name, policy in RAW["policies"].items() for on, line in policy["platforms"].items()}
PUBLISHED = [name for name, line in LINES.items() if line.get("published", True)]


@pytest.fixture(scope="module")
def invented(tmp_path_factory: pytest.TempPathFactory) -> Catalogue:
    return tables.catalogue(tmp_path_factory.mktemp("table"))


def test_every_line_of_the_table_is_an_image() -> None:
    catalogue = images.load()
    assert [image.name for image in catalogue.images()] == PUBLISHED
    assert [image.name for image in catalogue.images(published_only=False)] == list(LINES)


def test_names_of_images(invented: Catalogue) -> None:
    assert [image.name for image in invented.images(variants=True)] == [
        "manylinux_2_91_x86_64",
        "manylinux_2_91_x86_64-shared",
        "manylinux_2_92_s390x",
        "manylinux_2_92_s390x-shared",
        "manylinux_2_92_x86_64",
    ]
    every = [image.name for image in invented.images(published_only=False)]
    assert [name for name in every if not invented.image(name).published] == [
        "manylinux_2_91_i686",
        "musllinux_9_3_s390x",
    ]


def test_interpreters_of_the_shared_variant(invented: Catalogue) -> None:
    assert invented.image("manylinux_2_91_x86_64").shared == ()
    found = invented.image("manylinux_2_91_x86_64-shared").shared
    assert [(i.minor, i.optimised, i.prefix, i.launcher, i.pin) for i in found] == [
        (OLD, True, f"/opt/shared-cpython-{OLD}", f"py{OLD}", f"cpython-{OLD}"),
        (NEW, True, f"/opt/shared-cpython-{NEW}", f"py{NEW}", f"cpython-{NEW}"),
    ]
    assert [i.optimised for i in invented.image("manylinux_2_92_s390x-shared").shared] == [False, True]


@pytest.mark.parametrize(
    ("name", "interpreters", "tools"),
    [
        ("manylinux_2_91_x86_64", {OLD_TAG, NEW_TAG}, {TOOL, OTHER_TOOL}),
        ("manylinux_2_91_i686", {NEW_TAG}, {TOOL, OTHER_TOOL}),
        ("musllinux_9_3_s390x", {OLD_TAG}, {TOOL}),
    ],
)
def test_what_an_image_has_where(invented: Catalogue, name: str, interpreters: set[str], tools: set[str]) -> None:
    image = invented.image(name)
    assert {i.tag for i in image.interpreters} == interpreters
    assert {tool.name for tool in image.tools} == tools


def test_what_is_not_preinstalled_can_be_had_on_demand(tmp_path: Path) -> None:
    path = changed(tmp_path, f"{NEW_TAG} = {{ ", f"{NEW_TAG} = {{ preinstalled = false, ")
    image = images.load(path, images.NO_OVERLAY).image("manylinux_2_91_x86_64")
    assert ([i.tag for i in image.interpreters], [i.tag for i in image.on_demand]) == ([OLD_TAG], [NEW_TAG])


def test_a_fork_that_does_without_pypy_has_it_on_demand(tmp_path: Path) -> None:
    overlay = tmp_path / "fork.toml"
    overlay.write_text('interpreters = ["cp313-cp313"]\n', encoding="utf-8")
    image = images.load(overlay=overlay).image("manylinux_2_36_x86_64")
    assert [i.tag for i in image.interpreters] == ["cp313-cp313"]
    assert "pp311-pypy311_pp73" in {i.tag for i in image.on_demand}, "images carry docker/downloads.toml"
    assert {i.implementation for i in image.on_demand} == {"pypy", "graalpy"}
    planned = expectations.of(decide(image, Request()))
    assert {"pp311-pypy311_pp73", "pp39-pypy39_pp73"} <= set(planned["on_demand"])
    assert planned["complete"]


def test_interpreter_properties() -> None:
    threaded = Interpreter("cp399-cp399t")
    assert (threaded.implementation, threaded.minor, threaded.threaded) == ("cpython", "3.99", True)
    assert threaded.pin == "cpython-3.99"
    assert threaded.prefix("3.99.15") == "/opt/_internal/cpython-3.99.15-nogil"
    assert threaded.launchers == ("cpython3.99t", "python3.99t")
    pypy = Interpreter("pp399-pypy399_pp73")
    assert (pypy.implementation, pypy.minor, pypy.threaded) == ("pypy", "3.99", False)
    assert pypy.prefix("7.3.99") == "/opt/_internal/pp399-pypy399_pp73"
    assert pypy.launchers == ("pypy3.99",)


def test_a_platform_can_have_its_own_base(invented: Catalogue) -> None:
    assert invented.image("manylinux_2_92_x86_64").policy.base == "registry.example.org/blue:92"
    own = invented.image("manylinux_2_92_s390x").policy
    assert (own.base, own.distribution) == ("registry.example.org/green:92", "green-92")
    assert own.package_sets == ("debian",)


@pytest.mark.parametrize(
    ("platform", "expected"), [("x86_64", "/opt/t/lib64:/opt/t/lib:/usr/local/lib64"), ("i686", "/opt/t/lib")]
)
def test_toolset_library_path(invented: Catalogue, platform: str, expected: str) -> None:
    toolset = Toolset("t", "/opt/t", ("lib64", "lib"), ("lib",), ("/usr/local/lib64",))
    assert toolset.ld_library_path(invented.platforms[platform]) == expected


@pytest.mark.parametrize(
    ("policy", "platform", "message"),
    [
        ("manylinux_2_19", "x86_64", "unknown policy 'manylinux_2_19'; did you mean .*manylinux_2_91"),
        ("manylinux_2_91", "x86-64", "unknown platform 'x86-64'; did you mean x86_64"),
        ("musllinux_9_3", "x86_64", "musllinux_9_3 has no x86_64 image: it has s390x"),
        ("manylinux_2_90", "x86_64", "ended on 2022-08-01 .*manylinux_2_90_<platform>:2022-08-05-4535177"),
    ],
)
def test_find_explains_itself(invented: Catalogue, policy: str, platform: str, message: str) -> None:
    with pytest.raises(errors.UserError, match=message):
        invented.find(policy, platform)


def test_find_unknown_variant(invented: Catalogue) -> None:
    with pytest.raises(errors.UserError, match="unknown variant 'sharde'; did you mean shared"):
        invented.find("manylinux_2_91", "x86_64", "sharde")
    with pytest.raises(errors.UserError, match="manylinux_2_92_x86_64 has no shared variant"):
        invented.find("manylinux_2_92", "x86_64", "shared")


LAWS = [
    ('family = "rhel"', 'family = "redhat"', "family must be one of rhel, debian, alpine, not 'redhat'"),
    ("gcc_major = 91", 'gcc_major = "91"', "gcc_major must be a whole number"),
    ("sqlite_exposed = true", "sqlite_exposd = true", "unknown key 'sqlite_exposd'; did you mean sqlite_exposed"),
    ('status = "alpha"', 'status = "beta"', "status must be one of stable, alpha, unpublished, not 'beta'"),
    ('tags = ["manylinux_2_91"]', 'tags = ["manylinux_2_29"]', "must hold manylinux_2_91"),
    ('libc_version = "2.91"', 'libc_version = "2.33"', "end with manylinux_2_33"),
    ("x86_64 = {}", "x86_32 = {}", "unknown platform 'x86_32'"),
    ("eol = 2031-01-31", "", "eol is missing"),
    ('toolset = "rhel"', 'toolset = "rhle"', "unknown toolset 'rhle'; did you mean"),
    ('default_policy = "manylinux_2_91"', 'default_policy = "manylinux_2_90"', "default_policy: unknown policy"),
    ("[retired.manylinux_2_90]", "[retired.manylinux_2_91]", "it is in policies as well"),
    ('["x86_64", "i686"]', '["x86_64", "x86_64"]', "platforms must be without repetition"),
    ('["*-i686"]', '["*-i386"]', "'*-i386' matches no"),
    (f"{OLD_TAG} = ", "cpython38 = ", "the key must be <python tag>-<abi tag>"),
    ('manylinux_2_92 = ["s390x"]', 'manylinux_2_92 = ["i686"]', "manylinux_2_92 has no i686"),
    ('below = "0.18", ', "", "hold.below is missing"),
    (", since = 2026-01-01", "", "hold.since is missing"),
    ("s390x = { published = false }", "s390x = {}", "published must be false"),
    ("years = 5", "years = true", "years must be a whole number, not True"),
    ('{ tag = "2025.05.03-1", ', "{ ", "tag is missing"),
]


@pytest.mark.parametrize(("old", "new", "message"), LAWS, ids=[message for _, _, message in LAWS])
def test_laws(tmp_path: Path, old: str, new: str, message: str) -> None:
    with pytest.raises(errors.UserError, match=re.escape(message)):
        images.load(changed(tmp_path, old, new))


def test_a_table_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(errors.UserError, match="does not exist"):
        images.load(tmp_path / "none.toml")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('images = ["manylinux_3_*"]', "'manylinux_3_*' matches no image"),
        ('interpreters = ["cp37-cp37m"]', "interpreters[0] must be <python tag>-<abi tag>"),
        ('interpreters = ["cp37-cp37"]', "unknown tag 'cp37-cp37'"),
        ('registri = "x"', "unknown key 'registri'; did you mean registry"),
    ],
)
def test_overlay_obeys_the_laws(tmp_path: Path, text: str, message: str) -> None:
    overlay = tmp_path / "fork.toml"
    overlay.write_text(text, encoding="utf-8")
    with pytest.raises(errors.UserError, match=re.escape(message)):
        images.load(changed(tmp_path), overlay)


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "scripts", *arguments], capture_output=True, text=True, check=False)


def test_command_line() -> None:
    assert run("list").stdout.split() == PUBLISHED
    assert {row["image"] for row in json.loads(run("list", "--json", "--all").stdout)} >= set(LINES)
