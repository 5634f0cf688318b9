"""A canary of our own in a real image, by cibuildwheel: it passes, it is compared, and whose fault a failure is.

It needs an image that cibuildwheel can use, and a Python index:
MANYLINUX_TEST_IMAGE=REFERENCE pytest tests/integration/test_canary.py
"""

from __future__ import annotations

import io
import os
import tarfile
from dataclasses import replace
from pathlib import Path

import pytest

from canary.build import CanaryBuilder
from canary.command import Baseline, Flight, nest_of
from canary.results import Fate
from catalogue import canaries, images
from catalogue.canaries import Canary
from engine import choose
from portable.progress import Progress

IMAGE = os.environ.get("MANYLINUX_TEST_IMAGE", "")
pytestmark = [
    pytest.mark.engine,
    pytest.mark.skipif(not IMAGE, reason="MANYLINUX_TEST_IMAGE is not set"),
]
PROJECT = {
    "pyproject.toml": """\
[build-system]
requires = ["setuptools"]
build-backend = "setuptools.build_meta"
[project]
name = "small"
version = "1"
[tool.setuptools]
ext-modules = [{ name = "small", sources = ["small.cc"] }]
[tool.cibuildwheel]
build = "none-of-them-*"
""",
    "small.cc": """\
#include <Python.h>
#include <string>
#ifdef BROKEN
#error broken
#endif
static PyObject *f(PyObject *, PyObject *) { return PyLong_FromSize_t(std::to_string(42).size()); }
static PyMethodDef methods[] = {{"f", f, METH_NOARGS, ""}, {0, 0, 0, 0}};
static PyModuleDef module = {PyModuleDef_HEAD_INIT, "small", "", -1, methods, 0, 0, 0, 0};
PyMODINIT_FUNC PyInit_small(void) { return PyModule_Create(&module); }
""",
}
SMALL = Canary("small", "C++", "1", "0" * 64, ("cp313-cp313",), 'python -c "import small; assert small.f() == 2"')
BROKEN = replace(SMALL, environment={"CPPFLAGS": "-DBROKEN"})


class OfOurOwn(CanaryBuilder):
    """Builds PROJECT, which is in no index."""

    def sdist(self, canary: Canary, directory: Path) -> Path:
        directory.mkdir(parents=True, exist_ok=True)
        with tarfile.open(directory / "small-1.tar.gz", "w:gz") as archive:
            for name, text in PROJECT.items():
                member = tarfile.TarInfo(f"small-1/{name}")
                member.size = len(text)
                archive.addfile(member, io.BytesIO(text.encode()))
        return directory / "small-1.tar.gz"


@pytest.fixture(scope="module")
def flight(tmp_path_factory: pytest.TempPathFactory) -> Flight:
    image = images.load().image(IMAGE.rpartition(":")[0].rpartition("/")[2])
    nest = nest_of(choose.engine(), image, IMAGE)
    assert "cp313-cp313" in [each.tag for each in nest.interpreters]
    return Flight(OfOurOwn(canaries.load()), nest, Baseline(), tmp_path_factory.mktemp("canaries"))


def test_a_project_is_built_repaired_tested_and_examined(flight: Flight) -> None:
    with Progress(quiet=True) as progress:
        (passed,) = flight.all([SMALL], 1, progress)
    assert (passed.fate, passed.reason) == (Fate.PASSED, "")
    (wheel,) = passed.wheels
    image = flight.nest.image
    assert wheel.tag == "cp313-cp313"
    assert f"{image.policy.name}_{image.platform.name}" in wheel.wheel
    assert wheel.policy and wheel.libraries
    assert [path.name for path in (flight.place / "small").glob("*.whl")] == [wheel.wheel]


def test_whose_fault_a_failure_is(flight: Flight) -> None:
    found = replace(flight, published=Baseline(IMAGE)).one(BROKEN)
    assert found.fate is Fate.EXCUSED
    assert found.reason.startswith("it fails in the published image, too")
    assert "Building wheel: small.cc:4:2: error: #error broken" in found.reason
    assert "#error broken" in found.notes[0]
