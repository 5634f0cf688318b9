"""The table of images: what it yields, its laws, and the errors people get."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from catalogue import images
from catalogue.model import Catalogue
from portable import errors

PUBLISHED = """
manylinux2014_x86_64 manylinux2014_i686 manylinux2014_aarch64 manylinux2014_ppc64le manylinux2014_s390x
manylinux_2_28_x86_64 manylinux_2_28_i686 manylinux_2_28_aarch64 manylinux_2_28_ppc64le manylinux_2_28_s390x
manylinux_2_31_armv7l
manylinux_2_34_x86_64 manylinux_2_34_i686 manylinux_2_34_aarch64 manylinux_2_34_ppc64le manylinux_2_34_s390x
manylinux_2_35_armv7l
manylinux_2_36_x86_64 manylinux_2_36_i686 manylinux_2_36_aarch64 manylinux_2_36_armv7l manylinux_2_36_ppc64le
manylinux_2_36_s390x
manylinux_2_39_aarch64 manylinux_2_39_riscv64
manylinux_2_41_x86_64 manylinux_2_41_aarch64 manylinux_2_41_armv7l manylinux_2_41_ppc64le manylinux_2_41_s390x
manylinux_2_41_riscv64
musllinux_1_2_x86_64 musllinux_1_2_i686 musllinux_1_2_aarch64 musllinux_1_2_ppc64le musllinux_1_2_s390x
musllinux_1_2_armv7l musllinux_1_2_riscv64
""".split()

UNPUBLISHED = ["manylinux_2_38_loongarch64", "musllinux_1_2_loongarch64"]


@pytest.fixture(scope="module")
def catalogue() -> Catalogue:
    return images.load()


def changed(tmp_path: Path, old: str, new: str) -> Path:
    """The real table with one text replaced."""
    text = images.IMAGES_TOML.read_text(encoding="utf-8")
    assert old in text
    path = tmp_path / "images.toml"
    path.write_text(text.replace(old, new, 1), encoding="utf-8")
    return path


def test_published_images(catalogue: Catalogue) -> None:
    assert [image.name for image in catalogue.images()] == PUBLISHED


def test_all_images_add_the_unpublished(catalogue: Catalogue) -> None:
    everything = {image.name for image in catalogue.images(published_only=False)}
    assert everything - set(PUBLISHED) == set(UNPUBLISHED)


def test_shared_variant(catalogue: Catalogue) -> None:
    shared = {i.name for i in catalogue.images(variants=True) if i.variant == "shared"}
    assert shared == {
        "manylinux2014_x86_64-shared",
        "manylinux2014_aarch64-shared",
        "manylinux_2_28_x86_64-shared",
        "manylinux_2_28_aarch64-shared",
        "manylinux_2_31_armv7l-shared",
        "manylinux_2_36_x86_64-shared",
        "manylinux_2_36_aarch64-shared",
        "musllinux_1_2_x86_64-shared",
        "musllinux_1_2_aarch64-shared",
    }


def test_interpreters_of_the_shared_variant(catalogue: Catalogue) -> None:
    assert catalogue.image("manylinux_2_36_x86_64").shared == ()
    found = catalogue.image("manylinux_2_36_x86_64-shared").shared
    assert [(i.minor, i.optimised, i.prefix, i.launcher, i.pin) for i in found] == [
        ("3.13", True, "/opt/shared-cpython-3.13", "py3.13", "cpython-3.13"),
        ("3.14", True, "/opt/shared-cpython-3.14", "py3.14", "cpython-3.14"),
    ]
    musl = catalogue.image("musllinux_1_2_aarch64-shared").shared
    assert [(i.minor, i.optimised) for i in musl] == [("3.13", False), ("3.14", True)]
    for variant in catalogue.variants.values():
        assert set(variant.not_optimised_where) <= set(variant.minors)


@pytest.mark.parametrize(
    ("name", "preinstalled", "installable"),
    [
        ("manylinux_2_28_x86_64", 12, 16),
        ("manylinux_2_36_aarch64", 12, 16),
        ("manylinux2014_i686", 12, 14),
        ("manylinux_2_35_armv7l", 11, 11),
        ("manylinux_2_34_s390x", 11, 11),
        ("manylinux_2_41_riscv64", 11, 11),
        ("musllinux_1_2_x86_64", 11, 11),
        ("manylinux_2_38_loongarch64", 10, 10),
    ],
)
def test_interpreter_counts(catalogue: Catalogue, name: str, preinstalled: int, installable: int) -> None:
    image = catalogue.image(name)
    assert len(image.interpreters) == preinstalled
    assert len(image.interpreters) + len(image.on_demand) == installable


def test_uv_only_where_it_has_wheels(catalogue: Catalogue) -> None:
    without = {i.name for i in catalogue.images(published_only=False) if "uv" not in {t.name for t in i.tools}}
    assert without == {
        "musllinux_1_2_ppc64le",
        "musllinux_1_2_s390x",
        "musllinux_1_2_loongarch64",
        "manylinux_2_38_loongarch64",
    }


def test_interpreter_properties(catalogue: Catalogue) -> None:
    threaded = catalogue.interpreters["cp313-cp313t"]
    assert (threaded.implementation, threaded.minor, threaded.threaded) == ("cpython", "3.13", True)
    assert threaded.pin == "cpython-3.13"
    assert threaded.prefix("3.13.15") == "/opt/_internal/cpython-3.13.15-nogil"
    assert threaded.launchers == ("cpython3.13t", "python3.13t")
    pypy = catalogue.interpreters["pp311-pypy311_pp73"]
    assert (pypy.implementation, pypy.minor, pypy.threaded) == ("pypy", "3.11", False)
    assert pypy.prefix("7.3.23") == "/opt/_internal/pp311-pypy311_pp73"
    assert pypy.launchers == ("pypy3.11",)


def test_a_platform_can_have_its_own_base(catalogue: Catalogue) -> None:
    assert catalogue.image("manylinux_2_39_aarch64").policy.base == "quay.io/almalinuxorg/almalinux:10"
    assert catalogue.image("manylinux_2_39_riscv64").policy.base == "docker.io/rockylinux/rockylinux:10"


@pytest.mark.parametrize(
    ("platform", "expected"),
    [
        (
            "x86_64",
            "/opt/rh/devtoolset-10/root/usr/lib64:/opt/rh/devtoolset-10/root/usr/lib:"
            "/opt/rh/devtoolset-10/root/usr/lib64/dyninst:/opt/rh/devtoolset-10/root/usr/lib/dyninst:/usr/local/lib64",
        ),
        ("i686", "/opt/rh/devtoolset-10/root/usr/lib:/opt/rh/devtoolset-10/root/usr/lib/dyninst"),
    ],
)
def test_toolset_library_path(catalogue: Catalogue, platform: str, expected: str) -> None:
    image = catalogue.find("manylinux2014", platform)
    assert image.toolset is not None
    assert image.toolset.ld_library_path(image.platform) == expected


@pytest.mark.parametrize(
    ("policy", "platform", "message"),
    [
        ("manylinux_2_82", "x86_64", "unknown policy 'manylinux_2_82'; did you mean .*manylinux_2_28"),
        ("manylinux_2_28", "x86-64", "unknown platform 'x86-64'; did you mean x86_64"),
        ("manylinux_2_31", "x86_64", "manylinux_2_31 has no x86_64 image: it has armv7l"),
        ("manylinux2010", "x86_64", "ended on 2022-08-01 .*manylinux2010_<platform>:2022-08-05-4535177"),
    ],
)
def test_find_explains_itself(catalogue: Catalogue, policy: str, platform: str, message: str) -> None:
    with pytest.raises(errors.UserError, match=message):
        catalogue.find(policy, platform)


def test_find_unknown_variant(catalogue: Catalogue) -> None:
    with pytest.raises(errors.UserError, match="unknown variant 'sharde'; did you mean shared"):
        catalogue.find("manylinux2014", "x86_64", "sharde")
    with pytest.raises(errors.UserError, match="manylinux2014_s390x has no shared variant"):
        catalogue.find("manylinux2014", "s390x", "shared")


LAWS = [
    ('family = "rhel"', 'family = "redhat"', "family must be one of rhel, debian, alpine, not 'redhat'"),
    ("gcc_major = 10", 'gcc_major = "10"', "gcc_major must be a whole number"),
    ("sqlite_exposed = true", "sqlite_exposd = true", "unknown key 'sqlite_exposd'; did you mean sqlite_exposed"),
    ('status = "alpha"', 'status = "beta"', "status must be one of stable, alpha, unpublished, not 'beta'"),
    ('tags = ["manylinux_2_28"]', 'tags = ["manylinux_2_29"]', "must hold manylinux_2_28"),
    ('libc_version = "2.34"', 'libc_version = "2.33"', "end with manylinux_2_33"),
    ("riscv64 = {}", "riscv32 = {}", "unknown platform 'riscv32'"),
    ("eol = 2024-06-30", "", "eol is missing"),
    (
        'toolset = "devtoolset-10"',
        'toolset = "devtoolset-11"',
        "unknown toolset 'devtoolset-11'; did you mean",
    ),
    (
        'default_policy = "manylinux_2_28"',
        'default_policy = "manylinux1"',
        "default_policy: unknown policy",
    ),
    ("[retired.manylinux1]", "[retired.manylinux2014]", "under policies and under retired"),
    ('["x86_64", "i686"]', '["x86_64", "x86_64"]', "platforms must be without repetition"),
    ('"glibc-i686"]', '"glibc-i386"]', "'glibc-i386' matches no"),
    ("cp310-cp310 = {}", "cpython310 = {}", "the key must be <python tag>-<abi tag>"),
    ('manylinux_2_31 = ["armv7l"]', 'manylinux_2_31 = ["x86_64"]', "manylinux_2_31 has no x86_64"),
    ('below = "0.18", ', "", "hold.below is missing"),
    ("loongarch64 = { published = false }", "loongarch64 = {}", "published must be false"),
    ("years = 5", "years = true", "years must be a whole number, not True"),
    ('{ tag = "2025.05.03-1", ', "{ ", "tag is missing"),
]


@pytest.mark.parametrize(("old", "new", "message"), LAWS, ids=[message for _, _, message in LAWS])
def test_laws(tmp_path: Path, old: str, new: str, message: str) -> None:
    with pytest.raises(errors.UserError, match=re.escape(message)):
        images.load(changed(tmp_path, old, new))


def test_broken_toml_names_the_file(tmp_path: Path) -> None:
    path = tmp_path / "images.toml"
    path.write_text("registry = ", encoding="utf-8")
    with pytest.raises(errors.UserError, match=r"images\.toml: "):
        images.load(path)
    with pytest.raises(errors.UserError, match="does not exist"):
        images.load(tmp_path / "none.toml")


def test_overlay_of_a_fork(tmp_path: Path) -> None:
    overlay = tmp_path / "fork.toml"
    overlay.write_text(
        'registry = "ghcr.io/acme"\nimages = ["manylinux_2_36_*", "musllinux_1_2_x86_64"]\n'
        'interpreters = ["cp39-cp39", "cp313-cp313"]\n[variants.shared.images]\nmanylinux_2_36 = ["ppc64le"]\n',
        encoding="utf-8",
    )
    fork = images.load(overlay=overlay)
    names = [image.name for image in fork.images()]
    assert names == [name for name in PUBLISHED if name.startswith("manylinux_2_36") or name == "musllinux_1_2_x86_64"]
    assert fork.image("manylinux_2_36_x86_64").repository == "ghcr.io/acme/manylinux_2_36_x86_64"
    assert [i.tag for i in fork.image("manylinux_2_36_x86_64").interpreters] == ["cp39-cp39", "cp313-cp313"]
    assert [i.name for i in fork.images(variants=True) if i.variant] == ["manylinux_2_36_ppc64le-shared"]
    with pytest.raises(errors.UserError, match="not among the images that the overlay selects"):
        fork.find("manylinux2014", "x86_64")


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
        images.load(overlay=overlay)


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "scripts", *arguments], capture_output=True, text=True, check=False)


def test_command_line() -> None:
    assert run("list").stdout.split() == PUBLISHED
    rows = json.loads(run("matrix").stdout)["include"]
    assert {row["image"] for row in rows if not row["variant"]} == set(PUBLISHED)
    assert {row["runner"] for row in rows if row["platform"] == "aarch64"} == {"ubuntu-24.04-arm"}
    assert [row["qemu"] for row in rows if row["image"] == "manylinux2014_s390x"] == [True]
    assert {row["image"] for row in json.loads(run("list", "--json", "--all").stdout)} >= {*PUBLISHED, *UNPUBLISHED}
    assert json.loads(run("groups").stdout)[:3] == ["manylinux2014", "manylinux2014-shared", "manylinux_2_28"]
