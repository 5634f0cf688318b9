"""What is tried of a wheel, what counts as decided, how it is compared with the doctor, and what runs in a root."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from tests.support import built_wheels

from doctor import distributions
from doctor.wheel import parse_name
from portable import errors
from prove import command, inside, roots, trial
from prove.trial import Evidence, Installed, Trial

EMULATOR = "qemu-x86_64-static"
GOOD, BAD = Trial("load", "a.so", ""), Trial("load", "b.so", "OSError: it fails")
OPEN = Trial("import", "c", "ModuleNotFoundError: No module named 'numpy'", decided=False)


def installed(name: str = "p-1-cp311-cp311-linux_x86_64.whl", **said: Any) -> Installed:
    return Installed(parse_name(name), ("p/m.so", "p.libs/libown-1.so"), ("p",), {"findings": [], **said})


@pytest.mark.parametrize(
    "tags, fitting",
    [
        ("cp311-cp311", {"3.11"}),
        ("cp39-abi3", {"3.9", "3.11", "3.13"}),
        ("cp312-abi3", {"3.13"}),
        ("py3-none", {"3.9", "3.11", "3.13"}),
        ("cp313-cp313t", set()),
        ("pp311-pypy311_pp73", set()),
        ("py2.py3-none", {"3.9", "3.11", "3.13"}),
    ],
)
def test_which_python_imports_it(tags: str, fitting: set[str]) -> None:
    wheel = installed(f"p-1-{tags}-linux_x86_64.whl")
    minors = {f"3.{minor}" for minor in (9, 11, 13) if wheel.fits(3, minor, "cpython")}
    assert minors == fitting


@pytest.mark.parametrize(
    "what, problem, decided",
    [
        ("load", "", True),
        ("load", "OSError: p/m.so: cannot enable executable stack", True),
        ("load", "signal 4", True),
        ("import", "ModuleNotFoundError: No module named 'numpy'", False),
        ("import", "ModuleNotFoundError: No module named 'p.missing'", True),
        ("load", "OSError: libtorch.so: cannot open shared object file: No such file or directory", False),
        ("load", "OSError: libunknown.so: cannot open shared object file: No such file or directory", True),
        ("load", "OSError: libown-1.so: cannot open shared object file: No such file or directory", False),
        ("import", "ImportError: libown-1.so: cannot open shared object file: No such file", True),
        ("resolve", "x: error while loading: libtorch.so: cannot open shared object file: No such file", False),
    ],
)
def test_what_says_something_about_the_root(what: str, problem: str, decided: bool) -> None:
    finding = {"message": "libtorch.so is brought by torch", "details": [], "check": "x", "level": "note"}
    assert trial.judge(what, "p/m.so", problem, installed(findings=[finding])).decided is decided


@pytest.mark.parametrize(
    "predicted, trials, happened, differs",
    [
        (True, [GOOD], "runs", False),
        (True, [GOOD, BAD], "fails", True),
        (False, [GOOD, BAD], "fails", False),
        (False, [GOOD], "runs", True),
        (False, [GOOD, OPEN], "loads", False),
        (True, [OPEN], "undecided", False),
        (None, [BAD], "fails", False),
    ],
)
def test_a_difference_from_the_prediction(
    predicted: bool | None, trials: list[Trial], happened: str, differs: bool
) -> None:
    outcome = Evidence("debian-12", predicted, (), trials)
    assert (outcome.happened, outcome.differs) == (happened, differs)
    shown = command.text("p.whl", [outcome])
    assert ("the doctor is wrong" in shown) == differs
    (case,) = ElementTree.fromstring(command.junit({"p.whl": [outcome]})).iter("testcase")
    assert (case.find("failure") is not None) == (differs or BAD in trials)


@pytest.mark.parametrize("level, above, runs", [("error", True, False), ("warning", True, None), ("note", False, True)])
def test_what_the_doctor_says_of_old_processors(level: str, above: bool, runs: bool | None) -> None:
    assert trial.runs_on_old_processors([{"check": "processor-level", "level": level}], above) is runs
    assert trial.runs_on_old_processors([{"check": "tags", "level": "error"}], above) is (None if above else True)


def test_a_library_that_nobody_brings_decides() -> None:
    finding = {"message": "It needs libtbb.so.12, which is neither in the wheel nor", "details": [], "level": "error"}
    problem = "OSError: libtbb.so.12: cannot open shared object file: No such file or directory"
    assert trial.judge("load", "p/m.so", problem, installed(findings=[finding])).failed


def test_a_wheel_lies_as_pip_installs_it(tmp_path: Path) -> None:
    members = {
        "p/__init__.py": "",
        "p/m.so": b"\x7fELF",
        "single.py": "",
        "p.libs/libown-1.so": b"\x7fELF",
        "space/inner/__init__.py": "",
        "p-1.data/platlib/extra.cpython-311-x86_64-linux-gnu.so": b"\x7fELF",
        "p-1.data/scripts/run": "",
    }
    wheel = built_wheels.packed(tmp_path, members)  # type: ignore[arg-type]
    found = trial.install(wheel, tmp_path / "site", {"objects": ["p/m.so"]})
    assert found.modules == ("extra", "p", "single", "space.inner")
    assert (tmp_path / "site/scripts/run").exists()
    wheel = built_wheels.packed(tmp_path, {"../outside": ""})
    with pytest.raises(errors.UserError, match="outside"):
        trial.install(wheel, tmp_path / "other/site", {})
    assert not (tmp_path / "other/outside").exists()


def try_inside(site: Path, *before: str, **plan: Any) -> dict[str, str]:
    """What inside.py says, run by this Python."""
    given = {"site": str(site), "modules": [], "objects": [], "trap": False, **plan}
    argv = [*before, sys.executable, "-B", inside.__file__]
    done = subprocess.run(argv, input=json.dumps(given), capture_output=True, text=True, check=True)
    return {name: problem for _, name, problem in json.loads(done.stdout)}


@pytest.mark.skipif(not shutil.which("gcc"), reason="needs gcc: apt-get install gcc libc6-dev")
def test_every_trial_has_a_process_of_its_own(tmp_path: Path) -> None:
    site = tmp_path / "site"
    site.mkdir()
    texts = {
        "good": "print('noise')",
        "raises": "raise ValueError('it is broken')",
        "crashes": "import os; os.abort()",
        "leaves": "import os; os._exit(0)",
    }
    for name, text in texts.items():
        (site / f"{name}.py").write_text(text, encoding="ascii")
    sources = {
        "fine.so": "int x;",
        "missing.so": "int nowhere(void); int y(void) { return nowhere(); }",
        "python.so": "int PyNowhere_New(void); int y(void) { return PyNowhere_New(); }",
        "dies.so": "__attribute__((constructor)) static void f(void) { __builtin_trap(); }",
    }
    for name, source in sources.items():
        (site / name).write_bytes(built_wheels.compiled(tmp_path, source, "-Wl,-z,now"))
    lazy = built_wheels.compiled(tmp_path, sources["python.so"], "-Wl,-z,lazy")
    (site / "python.so").write_bytes(lazy)
    found = try_inside(site, modules=list(texts), objects=list(sources))
    assert found["good"] == found["fine.so"] == ""
    assert found["leaves"] == "it ended the process"
    assert found["raises"] == "ValueError: it is broken"
    assert found["crashes"] == "signal 6"
    assert "undefined symbol: nowhere" in found["missing.so"]
    assert found["python.so"].startswith(inside.LAZILY)
    assert found["dies.so"] == trial.SIGILL


def test_an_old_processor_traps_where_this_one_does_not(tmp_path: Path) -> None:
    emulator = shutil.which(EMULATOR)
    if not emulator:
        pytest.skip(f"needs {EMULATOR}: apt-get install qemu-user-static")
    assert set(try_inside(tmp_path, trap=True).values()) == {""}
    assert set(try_inside(tmp_path, emulator, *trial.OLD_PROCESSOR, trap=True).values()) == {trial.SIGILL}


def test_every_root_is_a_release_that_the_doctor_knows() -> None:
    assert set(roots.known()) <= {each.id for each in distributions.load()}
    assert command.chosen(["Debian 12", "debian-1[23]"]) == ["debian-12", "debian-13"]
    assert command.chosen([]) == list(roots.known())
    with pytest.raises(errors.UserError, match="no distribution"):
        command.chosen(["Debian 99"])
