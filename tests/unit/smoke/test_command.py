"""What the smoke command makes of an image's configuration and of what the suite prints."""

from __future__ import annotations

import dataclasses
import json
import shutil
import sys
import xml.etree.ElementTree as ElementTree
from pathlib import Path
from typing import Any

import pytest

from catalogue import images
from engine import choose
from engine.commands import Mount
from engine.engine import Engine
from plan import expectations
from plan.plan import Request, decide
from portable import errors, files
from smoke import command, configuration, passes, record
from smoke.results import Result, Results
from sources import wheelhouse

EXPECTED: Any = {
    "platform": "x86_64",
    "family": "debian",
    "distribution": "debian-12",
    "env": {"AUDITWHEEL_PLAT": "manylinux_2_36_x86_64", "LANG": "en_US.UTF-8"},
    "path_first": ["/opt/clang/bin"],
    "entrypoint": ["manylinux-entrypoint"],
    "cmd": ["/bin/bash"],
    "labels": {"org.pypa.manylinux.complete": "true"},
    "tools_python": "cp313-cp313",
    "shared": {},
    "interpreters": [
        {"tag": "cp39-cp39", "implementation": "cpython", "minor": "3.9"},
        {"tag": "cp311-cp311", "implementation": "cpython", "minor": "3.11"},
        {"tag": "cp313-cp313", "implementation": "cpython", "minor": "3.13"},
        {"tag": "pp311-pypy311_pp73", "implementation": "pypy", "minor": "3.11"},
    ],
}


def config(**changes: Any) -> dict[str, Any]:
    content = {
        "Env": [
            "AUDITWHEEL_PLAT=manylinux_2_36_x86_64",
            "LANG=en_US.UTF-8",
            f"PATH=/opt/clang/bin:{configuration.BASE_PATH}",
            "container=oci",
        ],
        "Entrypoint": ["manylinux-entrypoint"],
        "Cmd": ["/bin/bash"],
        "Labels": {"org.pypa.manylinux.complete": "true", "other": "x"},
    }
    return {**content, **changes}


def failed(config: dict[str, Any], architecture: str = "amd64", size: int = 900_000_000) -> dict[str, tuple[str, ...]]:
    results = configuration.results_of(config, architecture, size, EXPECTED)
    return {result.check: result.problems for result in results if result.problems}


class TestConfiguration:
    def test_as_it_should_be(self) -> None:
        assert failed(config()) == {}
        assert failed(config(WorkingDir="/", User="", StopSignal="SIGTERM")) == {}

    @pytest.mark.parametrize(
        ("changes", "check", "words"),
        [
            ({"Entrypoint": None}, "image-entrypoint", "None"),
            ({"Entrypoint": ["/bin/sh", "-c"]}, "image-entrypoint", "/bin/sh"),
            ({"Cmd": ["/bin/sh"]}, "image-command", "/bin/sh"),
            ({"Labels": {}}, "image-labels", "complete is not set"),
            ({"Labels": {"org.pypa.manylinux.complete": "false"}}, "image-labels", "'false'"),
            ({"User": "1000"}, "image-settings", "User is '1000'"),
            ({"WorkingDir": "/io"}, "image-settings", "WorkingDir is '/io'"),
            ({"Volumes": {"/x": {}}}, "image-settings", "Volumes"),
            ({"ExposedPorts": {"80/tcp": {}}}, "image-settings", "ExposedPorts"),
            ({"OnBuild": ["RUN x"]}, "image-settings", "OnBuild"),
            ({"StopSignal": "SIGKILL"}, "image-settings", "SIGKILL"),
            ({"Env": []}, "image-environment", "PATH is not set"),
            (
                {"Env": [*config()["Env"], "PIP_INDEX_URL=https://user:secret@example.org"]},
                "image-environment",
                "PIP_INDEX_URL",
            ),
            ({"Env": [*config()["Env"][1:]]}, "image-environment", "AUDITWHEEL_PLAT is not set"),
            ({"Env": [*config()["Env"], "LANG=C"]}, "image-environment", "LANG is 'C'"),
        ],
    )
    def test_every_change_is_named(self, changes: dict[str, Any], check: str, words: str) -> None:
        found = failed(config(**changes))
        assert list(found) == [check]
        assert words in " ".join(found[check])

    def test_the_architecture_counts(self) -> None:
        assert failed(config(), "arm64") == {"image-platform": ("Architecture is 'arm64', expected 'amd64'",)}

    def test_shared_interpreters_may_be_large_too(self) -> None:
        expected: Any = {**EXPECTED, "shared": {"interpreters": [{}]}}
        results = configuration.results_of(config(), "amd64", 1_000_000_000, expected)
        assert [r.problems for r in results if r.check == "regression-26-size"] == [()]

    def test_the_size_counts(self) -> None:
        assert failed(config(), size=941_000_000) == {
            "regression-26-size": ("941 MB, more than the 940 MB of its budget",)
        }


class TestReport:
    @pytest.fixture
    def report(self, capsys: pytest.CaptureFixture[str]) -> Results:
        report = Results("example.org/image:latest")
        report.add(Result("tls", "cp313-cp313", (), 0.25))
        report.add(Result("locale", "", ("first \x1b[31mproblem\nsecond line", "another"), 1.0))
        return report

    def test_a_line_a_check(self, report: Results, capsys: pytest.CaptureFixture[str]) -> None:
        lines = capsys.readouterr().err.splitlines()
        assert lines[0].split() == ["ok", "tls[cp313-cp313]", "0.2", "s"]
        assert lines[1].split() == ["FAILED", "locale", "1.0", "s"]
        assert lines[-1].strip() == "another"

    def test_the_summary_names_what_failed(self, report: Results) -> None:
        assert not report.passed
        lines = report.summary().splitlines()
        assert lines[0] == "FAILED locale: first \x1b[31mproblem"
        assert "1 passed, 1 failed" in lines[-1]

    def test_nothing_run_is_not_passed(self) -> None:
        assert not Results("x").passed

    def test_junit(self, report: Results) -> None:
        root = ElementTree.fromstring(report.junit())
        suite = root[0]
        assert (suite.get("tests"), suite.get("failures")) == ("2", "1")
        assert [case.get("classname") for case in suite] == ["smoke.cp313-cp313", "smoke.image"]
        failure = suite[1][0]
        assert failure.get("message") == "first [31mproblem"
        assert "another" in (failure.text or "")

    def test_what_was_skipped_has_neither_passed_nor_failed(self, capsys: pytest.CaptureFixture[str]) -> None:
        report = Results("image")
        report.add(Result("abi3t", "", (), 0.1, "no CPython 3.15"))
        assert not report.passed
        report.add(Result("tls", "", (), 0.1))
        assert report.passed and "1 passed, 0 failed, 1 skipped" in report.summary()
        assert capsys.readouterr().err.splitlines()[0].split(maxsplit=1) == ["skip", "abi3t: no CPython 3.15"]
        suite = ElementTree.fromstring(report.junit())[0]
        assert suite.get("skipped") == "1"
        assert suite[0][0].tag == "skipped" and suite[0][0].get("message") == "no CPython 3.15"

    def test_json(self, report: Results) -> None:
        content = json.loads(report.json())
        assert content["passed"] is False
        assert content["results"][1] == {
            "check": "locale",
            "interpreter": "",
            "problems": list(report.results[1].problems),
            "seconds": 1.0,
            "skipped": "",
        }


def test_the_tools_python_drives_first_and_others_stand_in() -> None:
    assert passes.drivers(EXPECTED) == ["cp313-cp313", "cp311-cp311"]


FAKE_ENGINE = """#!/usr/bin/env python3
# Stands in for podman: answers `image inspect`, plays the suite's part in `run`, and notes what it was asked.
import json, os, pathlib, sys, time
with open(os.environ["FAKE_LOG"], "a") as log:
    print(json.dumps(sys.argv[1:]), file=log)
if sys.argv[1:3] == ["image", "inspect"]:
    print(os.environ["FAKE_CONFIG"] + "\\namd64 900000000")
elif "printf" in " ".join(sys.argv):
    sys.stdout.write("".join("[%s]" % word for word in sys.argv[sys.argv.index("bash", sys.argv.index("-c")) + 1:]))
    sys.exit(7)
elif sys.argv[1] == "rm":
    pathlib.Path(os.environ["FAKE_LOG"] + sys.argv[-1]).touch()
elif "smoke" in sys.argv:
    python = next(word for word in sys.argv if word.startswith("/opt/python/")).split("/")[3]
    if python in os.environ.get("FAKE_BROKEN", ""):
        sys.exit("ModuleNotFoundError: No module named 'json'")
    print(json.dumps({"start": 1}))
    problems = ["it is gone"] if os.environ.get("FAKE_PROBLEM") else []
    name = "fake-" + sys.argv[sys.argv.index("smoke") + 1]
    print(json.dumps({"check": name, "interpreter": "", "problems": problems, "seconds": 0.1}))
    print("noise")
    print(json.dumps({"done": 1}), flush=True)
    if os.environ.get("FAKE_STAYS"):  # as where a process in the background keeps the container
        while not os.path.exists(os.environ["FAKE_LOG"] + sys.argv[sys.argv.index("--name") + 1]):
            time.sleep(0.05)
"""


class TestRun:
    @pytest.fixture
    def engine(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Engine:
        script = tmp_path / "podman"
        script.write_text(FAKE_ENGINE)
        script.chmod(0o755)
        monkeypatch.setenv("FAKE_LOG", str(tmp_path / "log"))
        monkeypatch.setenv("FAKE_CONFIG", json.dumps(config()))
        return Engine("podman", str(script))

    @pytest.fixture
    def wheelhouse(self, tmp_path: Path) -> Path:
        directory = tmp_path / "wheelhouse"
        directory.mkdir()
        (directory / "setuptools-80.0-py3-none-any.whl").touch()
        files.share(directory)
        return directory

    def test_a_container_that_outlives_its_time_is_removed(
        self,
        engine: Engine,
        wheelhouse: Path,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        monkeypatch.setattr(passes, "TIME_LIMIT", 1)
        monkeypatch.setenv("FAKE_STAYS", "1")
        monkeypatch.setattr(passes, "PASSES", passes.PASSES[:1])
        assert not passes.run(engine, "image", EXPECTED, wheelhouse=wheelhouse)
        assert "the main pass was stopped after 1 s" in capsys.readouterr().err
        calls = [json.loads(line) for line in (tmp_path / "log").read_text().splitlines()]
        names = [call[call.index("--name") + 1] for call in calls if "smoke" in call and call[0] == "run"]
        assert len(names) == 2, "one for each interpreter that can run the suite"
        assert all(["rm", "--force", name] in calls for name in names)

    def test_both_passes_run_without_network_and_results_are_written(
        self, engine: Engine, wheelhouse: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        suite = shutil.copytree(passes.SUITE, tmp_path / "suite")
        files.share(suite)
        monkeypatch.setattr(passes, "SUITE", suite)
        junit, result = tmp_path / "junit.xml", tmp_path / "result.json"
        assert passes.run(engine, "image", EXPECTED, wheelhouse=wheelhouse, junit=junit, json_file=result)
        names = [row["check"] for row in json.loads(result.read_text())["results"]]
        assert names[-2:] == ["fake-main", "fake-restricted"]
        assert ElementTree.parse(junit).getroot()[0].get("failures") == "0"
        calls = [json.loads(line) for line in (tmp_path / "log").read_text().splitlines()]
        runs = [call for call in calls if call[0] == "run"]
        assert all(call[call.index("--network") + 1] == "none" for call in runs)
        assert f"{wheelhouse}:/wheelhouse:ro" in runs[1] and f"{passes.SUITE}:/smoke:ro" in runs[1]
        assert "--read-only" not in runs[1] and "--read-only" in runs[2]
        assert runs[2][runs[2].index("--user") + 1] == "1000:1000"
        assert "LD_LIBRARY_PATH=/nonexistent" in runs[2]
        python = "/opt/python/cp313-cp313/bin/python"
        assert runs[2][-8:] == ["env", "-u", "HOME", python, "-B", "-m", "smoke", "restricted"]

    def test_uid_1000_may_read_what_a_checkout_of_another_umask_has(
        self, engine: Engine, wheelhouse: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        (wheel,) = wheelhouse.iterdir()
        program = wheelhouse / "program"
        program.touch()
        for path, mode in ((wheel, 0o600), (program, 0o700), (wheelhouse, 0o700)):
            path.chmod(mode)
        (only,) = (which for which in passes.PASSES if which.name == "restricted")
        passwd = wheelhouse.parent / "passwd"
        passwd.touch(mode=0o600)
        private = dataclasses.replace(only, mounts=(Mount(passwd, "/etc/passwd"),))
        monkeypatch.setattr(passes, "PASSES", (private,))
        seen: dict[str, int] = {}

        def note(engine: Engine, reference: str, which: passes.Pass, mounts: list[Mount], *others: object) -> bool:
            for mount in mounts:
                for path in (mount.source, *mount.source.rglob("*")):
                    seen[f"{mount.target}/{path.relative_to(mount.source)}"] = path.stat().st_mode & 0o007
            return True

        monkeypatch.setattr(passes, "_run_pass", note)
        assert passes.run(engine, "image", EXPECTED, wheelhouse=wheelhouse)
        assert [name for name, mode in seen.items() if not mode & 0o4] == []
        assert (seen[f"/wheelhouse/{wheel.name}"], seen["/wheelhouse/program"], seen["/wheelhouse/."]) == (4, 5, 5)
        assert seen["/etc/passwd/."] == 4 and "/smoke/__main__.py" in seen
        assert wheelhouse.stat().st_mode & 0o777 == 0o700, "the checkout itself stays as it is"

    def test_a_failure_inside_fails_the_run(
        self, engine: Engine, wheelhouse: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("FAKE_PROBLEM", "1")
        assert not passes.run(engine, "image", EXPECTED, wheelhouse=wheelhouse)

    def test_when_the_tools_python_is_broken_another_drives_and_that_is_a_failure(
        self,
        engine: Engine,
        wheelhouse: Path,
        monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        monkeypatch.setenv("FAKE_BROKEN", "cp313-cp313")
        assert not passes.run(engine, "image", EXPECTED, wheelhouse=wheelhouse)
        said = capsys.readouterr().err
        assert "main-pass[cp313-cp313]" in said and "No module named 'json'" in said
        assert "ok     fake-main" in said

    def test_an_unknown_check_is_wrong_use(
        self, engine: Engine, wheelhouse: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(passes, "_run_pass", lambda *arguments: True)
        with pytest.raises(errors.UserError, match="no check is called no-such"):
            passes.run(engine, "image", EXPECTED, wheelhouse=wheelhouse, only=["no-such"])

    def test_without_a_wheelhouse_the_error_names_the_fix(self, engine: Engine, tmp_path: Path) -> None:
        with pytest.raises(errors.UserError, match="invoke prefetch"):
            passes.run(engine, "image", EXPECTED, wheelhouse=tmp_path / "none")

    def test_a_variant_wants_pyinstaller_too(self, engine: Engine, wheelhouse: Path) -> None:
        expected: Any = {**EXPECTED, "shared": {"pyinstaller": "shared-here", "interpreters": []}}
        with pytest.raises(errors.UserError, match="shared-here has no PyInstaller"):
            passes.run(engine, "image", expected, wheelhouse=wheelhouse)
        (wheelhouse / "shared-here").mkdir()
        (wheelhouse / "shared-here" / "pyinstaller-6.22.3-py3-none-any.whl").touch()
        assert passes.run(engine, "image", expected, wheelhouse=wheelhouse)


TAGS = [i.tag for i in images.load().image("manylinux_2_36_x86_64").interpreters]


class TestWhatItIsHeldTo:
    @pytest.fixture(autouse=True)
    def state(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))

    @staticmethod
    def expectations(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *arguments: str) -> Any:
        monkeypatch.setattr(
            "sys.argv", ["smoke.py", "example.org/manylinux_2_36_x86_64:x", "--print-expectations", *arguments]
        )
        assert command.main() == 0
        return json.loads(capsys.readouterr().out)

    def test_without_a_build_here_the_table_counts(
        self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        content = self.expectations(monkeypatch, capsys)
        assert content["image"] == "manylinux_2_36_x86_64" and content["complete"]
        assert [row["tag"] for row in content["interpreters"]] == TAGS

    def test_what_the_last_build_asked_for_counts_unless_told_otherwise(
        self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        table = self.expectations(monkeypatch, capsys, "--table")
        record.remember("example.org/manylinux_2_36_x86_64:y", table | {"distribution": "a build of another tag"})
        assert self.expectations(monkeypatch, capsys) == table
        record.remember("example.org/manylinux_2_36_x86_64:x", table | {"distribution": "the last build"})
        assert self.expectations(monkeypatch, capsys)["distribution"] == "the last build"
        record.path_of("example.org/manylinux_2_36_x86_64:x").write_text("{}")
        with pytest.raises(errors.UserError, match="image is missing; add --table"):
            self.expectations(monkeypatch, capsys)
        assert [row["tag"] for row in self.expectations(monkeypatch, capsys, "--table")["interpreters"]] == TAGS
        chosen = self.expectations(monkeypatch, capsys, "--interpreters", "cp313-cp313,cp39-cp39")
        assert [row["tag"] for row in chosen["interpreters"]] == ["cp39-cp39", "cp313-cp313"]
        assert not chosen["complete"]

    def test_an_image_that_is_called_something_else_can_be_named(
        self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        content = self.expectations(monkeypatch, capsys, "--image", "musllinux_1_2_aarch64")
        assert content["image"] == "musllinux_1_2_aarch64"


class TestWhatHasPassed:
    def test_a_full_run_is_noted_by_image_and_taken_back(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
        identities = {"a:1": "sha256:11", "a:again": "sha256:11", "b:1": "sha256:22"}
        engine = Engine("podman", "podman")
        monkeypatch.setattr(Engine, "ask", lambda self, argv: identities.get(argv[-1]))
        assert not record.has_passed(engine, "a:1")
        record.note_pass(engine, "a:1", True)
        assert record.has_passed(engine, "a:1") and record.has_passed(engine, "a:again")
        assert not record.has_passed(engine, "b:1")
        assert not record.has_passed(engine, "unknown:1")
        record.note_pass(engine, "a:again", False)
        assert not record.has_passed(engine, "a:1")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "is not JSON"),
        ("[1]", "must be a table"),
        ("{}", "image is missing"),
        ("\udcff", "is not UTF-8"),
        (None, "does not exist"),
    ],
)
def test_expectations_that_are_none_are_wrong_use(
    text: str | None, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "expectations.json"
    if text is not None:
        path.write_bytes(text.encode(errors="surrogateescape"))
    monkeypatch.setattr(sys, "argv", ["smoke.py", "manylinux_2_36_x86_64", "--expectations", str(path)])
    with pytest.raises(errors.UserError, match=said) as caught:
        command.main()
    assert str(path) in str(caught.value) and "--print-expectations" in str(caught.value)


def test_expectations_of_the_wrong_kind_are_wrong_use(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = expectations.of(decide(images.load().image("manylinux_2_36_x86_64"), Request()))
    path = tmp_path / "expectations.json"
    monkeypatch.setattr(sys, "argv", ["smoke.py", "x", "--print-expectations", "--expectations", str(path)])
    path.write_text(json.dumps(whole))
    assert command.main() == 0
    path.write_text(json.dumps({**whole, "interpreters": "all"}))
    with pytest.raises(errors.UserError, match="interpreters must be a list"):
        command.main()


def test_wheels_that_are_missing_are_downloaded_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Path] = []
    monkeypatch.setattr(wheelhouse, "choose_pip", lambda: lambda _, directory: asked.append(directory))
    monkeypatch.setattr(choose, "engine", lambda *_: Engine("podman", "podman"))
    words = ["manylinux_2_36_x86_64", "--interpreters", "cp313-cp313", "--wheelhouse", str(tmp_path / "wheels")]
    monkeypatch.setattr(sys, "argv", ["smoke.py", *words])
    with pytest.raises(errors.Failure, match=r"pip did not download setuptools .+ for Python 3\.13"):
        command.main()
    assert len(asked) == 1


def test_results_that_could_not_be_written_are_refused_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(choose, "engine", lambda *_: pytest.fail("no engine is asked"))
    for option in ("--junit", "--json"):
        monkeypatch.setattr(sys, "argv", ["smoke.py", "manylinux_2_36_x86_64", option, "/nowhere/x"])
        with pytest.raises(errors.UserError, match=f"{option} /nowhere/x: the directory /nowhere does not exist"):
            command.main()
