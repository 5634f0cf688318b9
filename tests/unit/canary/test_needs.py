"""What wheels need, read from real objects, and what more that is than before."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from tests.support import built_wheels
from tests.support.built_wheels import INIT, MODULE, WIDE

from canary.needs import WheelNeeds, examined
from network.answers import Answer
from portable import errors

BEFORE = WheelNeeds("p.whl", "cp311-cp311", "manylinux_2_17", {"GLIBC": "2.14", "GLIBCXX": "3.4.9"}, ("libc.so.6",))
BEFORE = replace(BEFORE, level="x86-64-v1")


@pytest.mark.program("g++")
def test_a_wheel_needs_the_newest_versions_and_what_it_does_not_bring(tmp_path: Path) -> None:
    own = built_wheels.compiled(tmp_path, "int own(void) { return 1; }", "-Wl,-soname,libown-1.so.2")
    (tmp_path / "libown-1.so.2").write_bytes(own)
    throwing = 'extern "C" { int own(void); void *PyInit_m(void) { if (own()) throw 1; return 0; } }'
    options = (str(tmp_path / "libown-1.so.2"), "-Wl,-rpath,$ORIGIN/../p.libs")
    module = built_wheels.compiled(tmp_path, throwing, *options, language="cc")
    found, problems = examined(built_wheels.packed(tmp_path, {MODULE: module, "p.libs/libown-1.so.2": own}))
    assert (found.tag, found.grafted, problems) == ("cp311-cp311", ("libown-1.so.2",), [])
    assert found.versions["CXXABI"] == "1.3"
    assert {"libstdc++.so.6"} <= set(found.libraries) and "libown-1.so.2" not in found.libraries
    assert found.size > 1000
    assert WheelNeeds.parse(Answer(found.as_json(), "here")) == found


@pytest.mark.program("gcc")
def test_errors_of_the_doctor_and_the_level_of_the_processor(tmp_path: Path) -> None:
    plain, _ = examined(built_wheels.packed(tmp_path, {MODULE: built_wheels.compiled(tmp_path, INIT)}))
    assert plain.level == "x86-64-v1"
    wide = built_wheels.compiled(tmp_path, INIT + WIDE, "-O3", "-mavx2", "-Wl,-z,execstack")
    found, problems = examined(built_wheels.packed(tmp_path, {MODULE: wide}))
    assert found.level == "x86-64-v3"
    assert any(problem.startswith(f"executable-stack: {MODULE}: ") for problem in problems)
    assert "x86-64-v3" in list(found.beyond(plain))
    (tmp_path / "p-1-cp311-cp311-linux_x86_64.whl").write_bytes(b"no zip")
    with pytest.raises(errors.Failure, match="not a zip file"):
        examined(tmp_path / "p-1-cp311-cp311-linux_x86_64.whl")


@pytest.mark.parametrize(
    ("change", "beyond"),
    [
        ({}, []),
        ({"versions": {"GLIBC": "2.4", "GLIBCXX": "3.4.9"}}, []),  # by number, not by letter
        ({"versions": {"GLIBC": "2.14", "GLIBCXX": "3.4.32"}}, ["GLIBCXX_3.4.32"]),
        ({"versions": {"GLIBC": "2.14", "CXXABI": "1.3.15"}}, ["CXXABI_1.3.15"]),
        ({"versions": {"GLIBC": "2.14", "GLIBC_ABI_DT_RELR": ""}}, ["GLIBC_ABI_DT_RELR"]),
        ({"libraries": ("libc.so.6", "libatomic.so.1")}, ["libatomic.so.1"]),
        ({"level": "x86-64-v2"}, ["x86-64-v2"]),
        ({"level": ""}, []),
        ({"size": 10**9}, []),
    ],
)
def test_what_is_more_than_before(change: dict[str, object], beyond: list[str]) -> None:
    assert list(replace(BEFORE, **change).beyond(BEFORE)) == beyond  # type: ignore[arg-type]
