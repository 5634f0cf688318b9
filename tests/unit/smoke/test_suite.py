"""The pure parts of tests/smoke: the registry of checks, the ELF reader, the module tables, the order of tags."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tests.smoke import __main__ as entry
from tests.smoke import (
    compared,
    configuration,
    distribution,
    elf,
    interpreters,
    layout,
    stable_abi,
    stdlib,
    tools,
    wheels,
)
from tests.smoke.context import Context, Expected, Problem, Skip
from tests.smoke.registry import MAIN, RESTRICTED, CheckRegistry, Job, difference, differences, run_job, run_jobs
from tests.smoke.registry import registry as real
from tests.smoke.snapshot import Snapshot, is_dangling
from tests.support.elf_files import shared_library

from catalogue import images, model, packages
from catalogue.interpreters import Interpreter
from plan import expectations
from plan.plan import Request, decide

SUITE = Path(entry.__file__).parent
DATA = SUITE / "data"


def interpreter(tag: str = "cp313-cp313", **changes: object) -> dict[str, object]:
    row: dict[str, object] = {
        "tag": tag,
        "implementation": "cpython",
        "minor": "3.13",
        "threaded": False,
        "status": "stable",
        "version": "3.13.1",
        "prefix": "/opt/_internal/cpython-3.13.1",
        "launchers": ["cpython3.13", "python3.13"],
        "packages": {"pip": "26.1"},
    }
    return {**row, **changes}


def expected(**changes: Any) -> Expected:
    content: Any = {
        "interpreters": [interpreter(), interpreter("cp313-cp313t", threaded=True)],
        "tools": {"uv": "1"},
        "libc": "glibc",
        "libc_version": "2.36",
        "platform": "x86_64",
        "policy_tags": ["manylinux_2_36"],
        "symbols": {"GLIBCXX": "3.4.30"},
        "components": {},
        "shared": {},
    }
    content.update(changes)
    return Expected(content)


@pytest.fixture
def context(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Context:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)
    return Context(expected(), tmp_path, Snapshot({}))


class TestRegistry:
    def test_a_check_runs_once_for_each_interpreter_that_suits(self, context: Context) -> None:
        registry = CheckRegistry()
        seen = []

        @registry.check("one", each_interpreter=True, suits=lambda i: not i.threaded)
        def one(context: Context, interpreter: Interpreter) -> None:
            seen.append(interpreter.tag)

        jobs = registry.jobs(context.expected)
        assert [job.title for job in jobs] == ["one[cp313-cp313]"]
        assert [result.problems for result in run_jobs(jobs, context, 2)] == [()]
        assert seen == ["cp313-cp313"]

    def test_every_way_of_failing_becomes_a_problem_of_that_check(self, context: Context) -> None:
        registry = CheckRegistry()

        @registry.check("yields")
        def yields(context: Context) -> Iterator[str]:
            yield "first"
            yield "second"

        @registry.check("raises")
        def raises(context: Context) -> None:
            raise Problem("it is gone")

        @registry.check("stumbles")
        def stumbles(context: Context) -> None:
            raise KeyError("x")

        found = {job.check.name: run_job(job, context).problems for job in registry.jobs(context.expected)}
        assert found["yields"] == ("first", "second")
        assert found["raises"] == ("it is gone",)
        assert found["stumbles"][0].startswith("KeyError: 'x'")

    def test_a_check_that_has_nothing_to_check_says_why(self, context: Context) -> None:
        registry = CheckRegistry()

        @registry.check("skips")
        def skips(context: Context) -> Iterator[str]:
            raise Skip("nothing here")
            yield ""

        result = run_job(registry.jobs(context.expected)[0], context)
        assert (result.problems, json.loads(result.event())["skipped"]) == ((), "nothing here")

    def test_what_was_found_before_a_check_stumbles_is_kept(self, context: Context) -> None:
        registry = CheckRegistry()

        @registry.check("both")
        def both(context: Context) -> Iterator[str]:
            yield "first"
            raise Problem("then this")

        [job] = registry.jobs(context.expected)
        assert run_job(job, context).problems == ("first", "then this")

    def test_names_are_unique(self) -> None:
        registry = CheckRegistry()
        registry.check("same")(lambda context: None)
        with pytest.raises(ValueError, match="two checks are named same"):
            registry.check("same")(lambda context: None)

    def test_selection_by_name_glob_title_and_container(self) -> None:
        registry = CheckRegistry()
        registry.check("wheel-c", each_interpreter=True)(lambda context, interpreter: None)
        registry.check("wheel-names", heavy=True)(lambda context: None)
        registry.check("alone", container=RESTRICTED)(lambda context: None)
        registry.check("never", when=lambda e: False)(lambda context: None)

        def titles(container: str, *only: str) -> list[str]:
            return [job.title for job in registry.jobs(expected(), container, only)]

        assert titles(MAIN) == ["wheel-names", "wheel-c[cp313-cp313]", "wheel-c[cp313-cp313t]"]
        assert titles(RESTRICTED) == ["alone"]
        assert titles(MAIN, "wheel-n*") == ["wheel-names"]
        assert titles(MAIN, "wheel-c[cp313-cp313t]") == ["wheel-c[cp313-cp313t]"]
        assert titles(MAIN, "other") == []

    def test_a_result_is_one_line_of_json(self, context: Context) -> None:
        registry = CheckRegistry()
        registry.check("lines")(lambda context: ["two\nlines"])
        event = run_job(registry.jobs(context.expected)[0], context).event()
        assert "\n" not in event
        assert json.loads(event)["problems"] == ["two\nlines"]

    def test_every_check_says_what_it_is_for(self) -> None:
        """One function makes all checks of a kind of wheel or a capability: their names say it."""
        by_name = ("capability-", "wheel-")
        assert [n for n, c in real.checks.items() if not c.function.__doc__ and not n.startswith(by_name)] == []


class TestContext:
    def test_once_makes_a_value_once_and_remembers_failures(self, context: Context) -> None:
        calls = []

        def make() -> int:
            calls.append(1)
            raise Problem("broken")

        for _ in range(2):
            with pytest.raises(Problem, match="the thing failed: broken"):
                context.once("the thing", make)
        assert calls == [1]
        assert context.once("another", lambda: 5) == context.once("another", lambda: 6) == 5

    def test_run_says_what_went_wrong(self, context: Context) -> None:
        with pytest.raises(Problem, match="exit status 3\n    to stderr"):
            context.run(["sh", "-c", "echo to stderr >&2; exit 3"])
        with pytest.raises(Problem, match="killed by signal 9"):
            context.run(["sh", "-c", "kill -9 $$"])
        with pytest.raises(Problem, match="/no/such: cannot be run: No such file"):
            context.run(["/no/such"])
        with pytest.raises(Problem, match="no answer after 0 s"):
            context.run(["sleep", "5"], timeout=0.1)
        assert context.run(["sh", "-c", "exit 3"], status=None).returncode == 3

    def test_expectations_that_are_missing_are_named(self) -> None:
        with pytest.raises(AttributeError, match="lack 'sqlite_exposed'"):
            _ = expected().sqlite_exposed


def test_differences_name_both_sides() -> None:
    assert list(difference("tags", ["a", "b"], ["b", "c"])) == ["missing tags: a", "unexpected tags: c"]
    assert list(difference("tags", ["a"], ["a"])) == []
    assert list(differences({"x": 1, "y": 2, "z": 3}, {"x": 1, "y": 4})) == [
        "y is 4, expected 2",
        "z is not set, expected 3",
    ]


def test_a_proxy_of_the_user_is_not_the_images(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    for name in list(os.environ):
        monkeypatch.delenv(name)
    for name in ("https_proxy", "HTTPS_PROXY", "no_proxy", "ALL_PROXY", "PIP_PROXY_OF_OURS"):
        monkeypatch.setenv(name, "http://proxy.example.org")
    monkeypatch.setenv("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")
    context = Context(expected(env={}, path_first=["/usr/local/sbin"]), tmp_path, Snapshot({}))
    assert list(layout.environment(context) or ()) == ["unexpected environment variable PIP_PROXY_OF_OURS"]


class TestElf:
    @pytest.mark.parametrize(
        ("bits", "order", "machine", "name"),
        [
            (64, "<", 62, "x86_64"),
            (32, "<", 3, "i686"),
            (32, "<", 40, "armv7l"),
            (64, ">", 22, "s390x"),
            (64, "<", 243, "riscv64"),
        ],
    )
    def test_reads_both_classes_and_byte_orders(self, bits: int, order: str, machine: int, name: str) -> None:
        file = elf.parse(shared_library(bits, order, machine))
        assert (file.machine, file.bits) == (name, bits)
        assert (file.soname, file.needed, file.runpath, file.rpath) == ("libp.so.1", ("libm.so.6",), "$ORIGIN/x", "")
        assert file.defined_versions == ("SMOKE_1",)
        assert file.needed_versions == (("libm.so.6", "GLIBC_2.17"),)
        assert file.section(".text") is not None and file.section(".nothing") is None
        assert elf.defects(file) == []

    def test_reads_a_real_program(self) -> None:
        file = elf.parse(Path("/proc/self/exe").resolve().read_bytes())
        assert any(version.startswith("GLIBC_") for _, version in file.needed_versions)
        assert elf.defects(file) == []

    @pytest.mark.parametrize(
        ("at", "value", "defect"),
        [
            (64 + 56 + 8, 0x1008, "PT_LOAD 1: offset 0x1008 and address 0x1000 disagree modulo 0x1000"),
            (64 + 56 + 16, 0, "PT_LOAD at 0x0 overlaps or precedes the one at 0x0"),
            (64 + 56 + 32, 0x9000, "PT_LOAD 1 reaches beyond the end of the file"),
            (64 + 56 + 40, 0x10, "PT_LOAD 1 is larger in the file than in memory"),
            (64 + 48, 0x100, "PT_LOAD 0 is aligned to 0x100, less than a page of 0x1000"),
            (64, 0x700000001, "PT_LOAD 0 is writable and executable"),
            (64 + 3 * 56, 0x76474E551, "asks for an executable stack"),
            (0x2000 + 4 * 64 + 16, 0x808, "section .text at 0x808 is not aligned to 16"),
            (0x2000 + 4 * 64 + 32, 0x9000, "section .text reaches beyond the end of the file"),
            (40, 0x9000, "the section headers or their names lie outside the file"),
        ],
    )
    def test_every_defect_is_named(self, at: int, value: int, defect: str) -> None:
        changed = bytearray(shared_library())
        changed[at : at + 8] = value.to_bytes(8, "little")
        assert defect in elf.defects(elf.parse(bytes(changed)))

    def test_pages_are_larger_on_some_machines(self) -> None:
        file = elf.parse(shared_library(machine=183))
        assert "PT_LOAD 0 is aligned to 0x1000, less than a page of 0x10000" in elf.defects(file)

    @pytest.mark.parametrize("length", [0, 3, 10, 40, 100, 0x510])
    def test_what_is_cut_off_is_refused(self, length: int) -> None:
        with pytest.raises(ValueError, match="ELF"):
            elf.parse(shared_library()[:length])


class TestModuleTables:
    @pytest.mark.parametrize("minor", images.load().interpreters.values(), ids=lambda i: i.tag)
    def test_every_minor_of_the_table_has_modules(self, minor: Interpreter) -> None:
        key = tuple(int(part) for part in minor.minor.split("."))
        assert len(stdlib.modules_of(key, DATA / "stdlib-modules.txt")) > 500
        assert len(stdlib.modules_of(key, DATA / "extension-modules.txt")) > 60

    def test_spans(self) -> None:
        def has(minor: tuple[int, int], name: str) -> bool:
            files = ("stdlib-modules.txt", "extension-modules.txt")
            return any(name in stdlib.modules_of(minor, DATA / file) for file in files)

        assert not has((3, 10), "tomllib") and has((3, 11), "tomllib") and has((3, 15), "tomllib")
        assert has((3, 11), "distutils") and not has((3, 12), "distutils")
        assert has((3, 9), "parser") and not has((3, 10), "parser")
        assert not has((3, 13), "_zstd") and has((3, 14), "_zstd")
        assert has((3, 8), "_sqlite3") and has((3, 15), "_sqlite3")

    def test_every_line_is_well_formed_and_in_order(self) -> None:
        for name in ("stdlib-modules.txt", "extension-modules.txt"):
            lines = [line for line in (DATA / name).read_text().splitlines() if not line.startswith("#")]
            names = [line.split()[0] for line in lines]
            assert names == sorted(set(names))


class TestWheels:
    def test_what_stays_outside(self) -> None:
        for name in (
            "libc.so.6",
            "libstdc++.so.6",
            "libz.so.1",
            "libglib-2.0.so.0",
            "ld-linux-x86-64.so.2",
            "libm.so.6",
        ):
            assert wheels.LEFT_OUT.fullmatch(name), name
        for name in ("libcurl.so.4", "libsmoke_private.so.1", "libstdc++fs.so", "libgfortran.so.5", "libzstd.so.1"):
            assert not wheels.LEFT_OUT.fullmatch(name), name
        assert not wheels.LEFT_OUT_MUSL.fullmatch("libstdc++.so.6")

    def test_symbols_newer_than_the_policy(self) -> None:
        versions: tuple[tuple[str, str], ...] = (
            ("libc.so.6", "GLIBC_2.38"),
            ("libc.so.6", "GLIBC_2.4"),
            ("libstdc++.so.6", "GLIBCXX_3.4.31"),
        )
        versions += (("libc.so.6", "GLIBC_PRIVATE"), ("libm.so.6", "GLIBC_2.2.5"), ("libstdc++.so.6", "GLIBCXX_3.4.9"))
        file = replace(elf.parse(shared_library()), needed_versions=versions)
        assert list(wheels.symbol_problems(expected(), "x.so", file)) == [
            "x.so needs GLIBC_2.38 of libc.so.6, the policy allows 2.36",
            "x.so needs GLIBCXX_3.4.31 of libstdc++.so.6, the policy allows 3.4.30",
        ]

    def test_abi3_is_for_interpreters_with_a_stable_abi(self) -> None:
        plain, threaded = expected().interpreters
        assert "abi3" in wheels.kinds(plain) and "abi3" not in wheels.kinds(threaded)
        assert "abi3t" not in wheels.kinds(plain) + wheels.kinds(threaded)
        newer = expected(
            interpreters=[interpreter("cp315-cp315", minor="3.15"), interpreter("cp315-cp315t", minor="3.15")]
        )
        assert all("abi3t" in wheels.kinds(each) for each in newer.interpreters)

    def test_a_variant_label_is_no_platform(self, tmp_path: Path) -> None:
        name = "a-1-cp313-cp313-manylinux_2_17_x86_64.manylinux2014_x86_64-x86_64_v3.whl"
        wheel = wheels.RepairedWheel(tmp_path / name, tmp_path)
        assert wheel.platforms == {"manylinux_2_17_x86_64", "manylinux2014_x86_64"}

    def test_both_abis_of_a_wheel_stand_in_its_tags(self, tmp_path: Path) -> None:
        platforms = ["manylinux_2_36_x86_64"]
        info = tmp_path / "smoke_abi3t-1.0.dist-info"
        info.mkdir()
        tags = [f"cp315-{abi}-{platform}" for abi in ("abi3", "abi3t") for platform in platforms]
        (info / "WHEEL").write_text("".join(f"Tag: {tag}\n" for tag in tags), encoding="utf-8")
        (built,) = expected(interpreters=[interpreter("cp315-cp315t", minor="3.15", threaded=True)]).interpreters
        wheel = wheels.RepairedWheel(tmp_path / f"smoke_abi3t-1.0-cp315-abi3.abi3t-{'.'.join(platforms)}.whl", tmp_path)
        assert list(wheels.tag_problems(expected(), built, "abi3t", wheel)) == []
        (info / "WHEEL").write_text(f"Tag: {tags[0]}\n", encoding="utf-8")
        assert list(wheels.tag_problems(expected(), built, "abi3t", wheel)) == [f"missing tags in WHEEL: {tags[1]}"]


def test_an_image_without_3_15_says_that_the_stable_abi_of_both_was_not_tried(context: Context) -> None:
    with pytest.raises(Skip, match="no CPython"):
        list(stable_abi.abi3t_everywhere(context) or ())


# What Debian's 3.15.2 says of itself, with our prefix.
DETAILS = {
    "schema_version": "1.0",
    "base_prefix": "PREFIX",
    "base_interpreter": "PREFIX/bin/python3.15",
    "platform": "linux-x86_64",
    "language": {"version": "3.15", "version_info": {"major": 3, "minor": 15}},
    "implementation": {"name": "cpython", "cache_tag": "cpython-315"},
    "abi": {"flags": []},
    "libpython": {"link_extensions": False},
    "c_api": {"headers": "PREFIX/include/python3.15"},
}


class TestBuildDetails:
    def problems(self, prefix: Path, **changes: object) -> list[str]:
        details = json.loads(json.dumps(DETAILS | changes).replace("PREFIX", str(prefix)))
        row = expected(interpreters=[interpreter("cp315-cp315", minor="3.15", prefix=str(prefix))]).interpreters[0]
        for name in ("bin/python3.15", "include/python3.15/Python.h"):
            (prefix / name).parent.mkdir(parents=True, exist_ok=True)
            (prefix / name).touch()
        return list(configuration.build_details_problems(details, row))

    def test_no_reader_asks_for_what_only_shared_builds_have(self, tmp_path: Path) -> None:
        assert self.problems(tmp_path) == []

    def test_paths_that_are_not_there(self, tmp_path: Path) -> None:
        library = {"static": "PREFIX/lib/libpython3.15.a"}
        wanted = [f"libpython.static is {tmp_path}/lib/libpython3.15.a, which does not exist"]
        assert self.problems(tmp_path, libpython=library) == wanted

    def test_another_interpreter(self, tmp_path: Path) -> None:
        (said,) = self.problems(tmp_path, language={"version": "3.14"})
        assert said == "version is '3.14', expected '3.15'"


class TestLikeDebian:
    def test_a_difference_without_a_reason_is_named(self) -> None:
        debian = {"HAVE_STRLCPY": 1, "HAVE_DUP3": 1, "SIZEOF_LONG": 8}
        said = {"SIZEOF_LONG": 8, "WINDOW_HAS_FLAGS": 1, "HAVE_NEW": 1, "prefix": "/usr"}
        assert [problem.partition(":")[0] for problem in compared.differences_to_debian(said, debian)] == [
            "HAVE_DUP3 is 0, in Debian's own interpreter 1",
            "HAVE_NEW is 1, in Debian's own interpreter 0",
        ]

    def test_what_debian_says_is_known_for_each_minor(self) -> None:
        for minor in [(3, 13), (3, 14), (3, 15)]:
            rows = dict(row.split("=") for row in stdlib.modules_of(minor, DATA / "debian-macros.txt"))
            assert rows["SIZEOF_LONG"] == "8" and len(rows) > 400
            assert rows.get("_Py_WITH_FRAME_POINTERS", "0") == str(int(minor >= (3, 15)))


class TestFramePointers:
    """The golden values of PEP 831, against what Debian's own interpreters of amd64 publish."""

    @pytest.mark.parametrize(
        ("minor", "cflags", "problems"),
        [
            ("3.14", "-fno-strict-overflow -Wsign-compare -DNDEBUG -g -O2 -Wall", 0),
            ("3.15", "-fno-omit-frame-pointer -mno-omit-leaf-frame-pointer  -fno-strict-overflow -Wsign-compare", 0),
            ("3.15", "-fno-strict-overflow -Wsign-compare", 3),
            ("3.14", "-fno-omit-frame-pointer -fno-strict-overflow", 3),
            ("3.15", "-fno-omit-frame-pointer -mno-omit-leaf-frame-pointer -mno-thumb", 3),
        ],
    )
    def test_flags(self, context: Context, minor: str, cflags: str, problems: int) -> None:
        tag = f"cp{minor.replace('.', '')}"
        (row,) = expected(interpreters=[interpreter(f"{tag}-{tag}", minor=minor)]).interpreters
        variables = dict.fromkeys(("CFLAGS", "BASECFLAGS", "PY_CFLAGS"), cflags)
        context.once(f"identity of {row.tag}", lambda: {"variables": variables})
        assert len(list(configuration.frame_pointers(context, row) or ())) == problems

    def test_every_platform_has_its_flags(self) -> None:
        assert set(configuration.FRAME_POINTERS) == set(images.load().platforms)


def test_tags_are_listed_by_implementation_then_minor() -> None:
    tags = [
        "cp39-cp39",
        "cp313-cp313",
        "cp313-cp313t",
        "cp314-cp314",
        "graalpy312-graalpy250_312_native",
        "pp39-pypy39_pp73",
    ]
    tags.append("pp311-pypy311_pp73")
    assert sorted(set(tags), key=tools.tag_key) == tags


class TestSnapshot:
    def test_names_links_and_what_is_outside(self, tmp_path: Path) -> None:
        (tmp_path / "a/b").mkdir(parents=True)
        (tmp_path / "a/file").write_text("12345")
        (tmp_path / "a/good").symlink_to("file")
        (tmp_path / "bad").symlink_to("nowhere")
        (tmp_path / "mounted").mkdir()
        (tmp_path / "mounted/x").touch()
        snapshot = Snapshot.take(str(tmp_path), frozenset({f"{tmp_path}/mounted"}))
        assert snapshot.names(str(tmp_path)) == {"a", "bad"}
        assert snapshot.names(f"{tmp_path}/a") == {"b", "file", "good"}
        assert snapshot.entries[f"{tmp_path}/a/file"].size == 5
        dangling = [entry.path for entry in snapshot.entries.values() if is_dangling(entry)]
        assert dangling == [f"{tmp_path}/bad"]


@pytest.mark.parametrize("image", images.load().images(published_only=False, variants=True), ids=lambda i: i.name)
def test_every_image_of_the_table_has_its_checks(image: model.Image) -> None:
    content = expectations.of(decide(image, Request()))
    jobs = real.jobs(Expected(content), MAIN) + real.jobs(Expected(content), RESTRICTED)
    titles = {job.title for job in jobs}
    for interpreter in content["interpreters"]:
        assert f"interpreter-version[{interpreter['tag']}]" in titles
        assert f"regression-01-graft[{interpreter['tag']}]" in titles
    assert ("unowned-files" in titles) == (image.policy.family == "debian")
    assert ("yasm" in titles) == (image.platform.name == "x86_64")
    assert any(title.startswith("wheel-install-uv") for title in titles) == ("uv" in content["tools"])
    assert ("linker-path" in titles) == (image.policy.libc == "glibc")
    for row in content["shared"].get("interpreters", ()):
        assert {f"shared-library[{row['tag']}]", f"shared-restricted[{row['tag']}]"} <= titles
        assert (f"shared-zstd[{row['tag']}]" in titles) == (int(row["minor"].partition(".")[2]) >= 14)
        assert (f"shared-pyinstaller[{row['tag']}]" in titles) == (image.platform.name != "armv7l")
    assert any(title.startswith("shared-") for title in titles) == (image.variant == "shared")
    assert layout.FAMILY_ROOT[image.policy.family]
    if image.policy.family == "debian":
        assert distribution.CODENAMES[image.policy.distribution]


def test_dpkg_leaves_out_what_its_settings_say_and_nothing_else() -> None:
    settings = (packages.PACKAGES / "debian" / "dpkg-excludes").read_text(encoding="utf-8")
    for path in ("/usr/lib/x86_64-linux-gnu/libgio-2.0.a", "/usr/share/doc/x/README", "/usr/share/locale/de/x.mo"):
        assert distribution.left_out(path, settings), path
    for path in ("/usr/lib/x86_64-linux-gnu/libc.a", "/usr/share/doc/x/copyright", "/usr/share/locale/en_GB/x.mo"):
        assert not distribution.left_out(path, settings), path


def test_every_private_prefix_belongs_to_a_component() -> None:
    components = {component for policy in images.load().policies.values() for component in policy.build}
    assert set(layout.PRIVATE) <= components


def test_a_static_library_is_whole_or_it_is_not() -> None:
    members = [b"abc\n", b"odd\n "]
    whole = b"!<arch>\n" + b"".join(
        b"%-16s%-12d%-6d%-6d%-8s%-10d`\n" % (b"m.o/", 0, 0, 0, b"644", len(m)) + m + b"\n" * (len(m) % 2)
        for m in members
    )
    assert interpreters.is_whole_archive(whole)
    for length in (0, 4, 8, 20, 60, 70, len(whole) - 6, len(whole) - 2):
        assert not interpreters.is_whole_archive(whole[:length]), length
    assert not interpreters.is_whole_archive(b"\0" + whole[1:])
    assert not interpreters.is_whole_archive(whole + b"rest of something")


def test_titles() -> None:
    check = real.checks["regression-25-tls"]
    assert Job(check, expected().interpreters[0]).title == "regression-25-tls[cp313-cp313]"
    assert Job(check, None).title == "regression-25-tls"
