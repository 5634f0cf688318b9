"""The digests of a build's trees: which change when something changes, and what else must be compiled then."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterable
from pathlib import Path

import pytest

from catalogue import images
from catalogue.paths import ROOT
from plan.plan import Request, decide
from plan.trees import WITHIN_A_RELEASE, Inputs, tree_of
from portable import errors

CATALOGUE = images.load()
CONTEXT = ("docker", "requirements", "scripts/describe", "scripts/doctor", "scripts/portable")


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the engine may see of the checkout."""
    top = tmp_path_factory.mktemp("checkout")
    for name in CONTEXT:
        shutil.copytree(ROOT / name, top / name, ignore=shutil.ignore_patterns("__pycache__", "sources"))
    return top


def arguments(image: str = "manylinux_2_36_x86_64") -> dict[str, str]:
    return decide(CATALOGUE.image(image), Request()).build_args


def inputs(checkout: Path = ROOT, image: str = "manylinux_2_36_x86_64", /, **args: str) -> Inputs:
    return Inputs({**arguments(image), **args}, checkout / "docker/Dockerfile", checkout)


def changed(before: Inputs, after: Inputs) -> set[str]:
    """The trees whose digests differ."""
    assert before.trees == after.trees
    return {tree_of(stage) for stage in before.trees if before.digests[stage] != after.digests[stage]}


def stages(trees: Iterable[str], known: Iterable[str]) -> set[str]:
    return {stage for stage in known if tree_of(stage) in trees}


def test_a_tree_for_everything_that_an_image_is_built_of() -> None:
    plan = decide(CATALOGUE.image("manylinux2014_x86_64-shared"), Request())
    parts = {*plan.components, *(i.tag for i in plan.interpreters), *(t.name for t in plan.piped_tools)}
    parts |= {"base-tools", "shared-openssl", *(i.name for i in plan.shared)}
    assert {tree_of(stage) for stage in inputs(ROOT, "manylinux2014_x86_64-shared").trees} == parts


@pytest.mark.parametrize(
    "args",
    [
        {"BASEIMAGE": "docker.io/library/debian@sha256:1"},
        {"MISSING_POCKETS": "security"},
        {"REUSEDIMAGE": "example.org/image@sha256:1"},
        {"DESCRIPTION": "{}"},
        {"IMAGE_SYSTEM": "updated-system"},
    ],
)
def test_what_moves_within_a_release_changes_no_digest(args: dict[str, str]) -> None:
    assert changed(inputs(), inputs(**args)) == set()


@pytest.mark.parametrize("name", ["DISTRIBUTION", "FAMILY", "LIBC", "PACKAGE_SETS", "PLATFORM", "TOOLSET"])
def test_another_distribution_changes_all(name: str) -> None:
    before = inputs()
    assert changed(before, inputs(**{name: "another"})) == {tree_of(stage) for stage in before.trees}


def test_another_compiler_changes_what_it_compiles() -> None:
    before, clang = inputs(), {"CLANG_STAGE": "cross-clang", "CLANG_PLATFORM": "linux/arm64"}
    components = {tree_of(stage) for stage in before.trees if stage.startswith("component-")} - {"git-lfs"}
    everything = {tree_of(stage) for stage in before.trees} - {"git-lfs"}
    assert components <= changed(before, inputs(**clang)) <= everything
    newer = inputs(**clang, STATIC_CLANG_VERSION="99.1")
    assert changed(inputs(**clang), newer) >= components and "git-lfs" not in changed(before, newer)


def test_a_bump_changes_what_it_is_compiled_into() -> None:
    before = inputs(ROOT, "manylinux2014_x86_64")
    pythons = {tree_of(stage) for stage in before.trees if stage.startswith("interpreter-")}
    tools = {tree_of(stage) for stage in before.trees if stage.startswith(("tool-", "install-"))}

    def after(**args: str) -> set[str]:
        return changed(before, inputs(ROOT, "manylinux2014_x86_64", **args))

    assert after(GIT_LFS_VERSION="99.0") == {"git-lfs"}
    assert after(CPYTHON_3_9_SHA256="0" * 64) == {"cp39-cp39"}
    assert after(CURL_VERSION="99.0") == {"curl", "git"}
    assert after(ZSTD_VERSION="99.0") == {"zstd"} | pythons | tools
    assert after(AUTOCONF_VERSION="99.0") == {"autoconf", "libxcrypt"} | pythons | tools
    runs_tools = arguments("manylinux2014_x86_64")["TOOLS_PYTHON"]
    assert after(**{f"CPYTHON_3_{runs_tools[3:5]}_URL": "https://example.org/a"}) >= {runs_tools} | tools


@pytest.mark.parametrize(
    ("path", "trees"),
    [
        ("docker/build_scripts/build-git.sh", {"git"}),
        ("docker/build_scripts/build-autotool.sh", {"autoconf", "automake", "libtool"}),
        ("requirements/tools/uv.txt", {"uv"}),
        ("docker/rootfs/usr/local/bin/manylinux-entrypoint", {"pp311-pypy311_pp73"}),  # installed by what images have
        ("scripts/describe/write.py", set()),
        ("docker/images.toml", set()),
    ],
)
def test_a_changed_file(checkout: Path, path: str, trees: set[str]) -> None:
    before = inputs(checkout)
    content = (checkout / path).read_bytes()
    try:
        (checkout / path).write_bytes(content + b"\n")
        assert changed(before, inputs(checkout)) == trees
    finally:
        (checkout / path).write_bytes(content)


def test_the_time_and_the_umask_of_a_clone_are_no_inputs(checkout: Path) -> None:
    before, script = inputs(checkout), checkout / "docker/build_scripts/build-git.sh"
    script.touch()
    script.chmod(0o700)
    (checkout / "docker/build_scripts/__pycache__").mkdir()
    (checkout / "docker/build_scripts/__pycache__/a.pyc").write_bytes(b"")
    assert changed(before, inputs(checkout)) == set()
    shutil.rmtree(checkout / "docker/build_scripts/__pycache__")
    script.chmod(0o600)  # would not run
    assert changed(before, inputs(checkout)) == {"git"}
    script.chmod(0o755)


def test_what_is_compiled_against_must_be_compiled_as_well() -> None:
    found = inputs(ROOT, "manylinux2014_x86_64")

    def against(*trees: str) -> set[str]:
        return {tree_of(stage) for stage in found.compiled_against(stages(trees, found.trees))}

    assert against("cp313-cp313") == {"openssl", "sqlite", "mpdecimal", "zstd"}  # the others leave all in the image
    assert against("git") == {"openssl", "curl"}
    assert against("curl") == {"openssl"}
    assert against("libxcrypt") == against("uv") == against("base-tools") == against("zstd") == set()
    shared = inputs(ROOT, "manylinux2014_x86_64-shared")
    assert "build-shared-openssl" in shared.compiled_against(["interpreter-shared-cpython-3.13"])


def test_why_a_digest_differs() -> None:
    theirs = inputs().digests
    after = inputs(SQLITE_VERSION="99.0", UV_STAGE="empty")
    assert after.changed("component-sqlite", theirs) == {"component-sqlite"}
    assert after.changed("interpreter-cp313-cp313", theirs) == {"component-sqlite"}
    assert after.changed("component-git", theirs) == set()
    assert inputs(FAMILY="another").changed("tool-uv", theirs) == {"base-system"}


def test_an_instruction_that_nobody_has_thought_of_is_an_error(checkout: Path) -> None:
    dockerfile = checkout / "docker/Dockerfile"
    text = dockerfile.read_text(encoding="utf-8")
    for old, new, said in (
        ("FROM compile-base AS component-git\n", "FROM compile-base AS component-git\nADD a /b\n", "ADD"),
        (
            "FROM compile-base AS component-git\n",
            "FROM compile-base AS component-git\nCOPY a /b\n",
            "only checkout may",
        ),
        ("ARG GIT_VERSION GIT_SHA256", "ARG GIT_SIZE GIT_SHA256", "no ARG GIT_SIZE"),
        ("build_scripts/build-git.sh /", "build_scripts/nothing.sh /", "no such file"),
    ):
        try:
            dockerfile.write_text(text.replace(old, new, 1), encoding="utf-8")
            with pytest.raises(errors.Failure, match=said):
                inputs(checkout)
        finally:
            dockerfile.write_text(text, encoding="utf-8")


# --- The law: whatever a stage can see of the checkout or of the arguments is in its digest ---


class Seen:
    """What each stage can see, found by carrying out every COPY of the Dockerfile on sets of files."""

    def __init__(self, text: str, args: dict[str, str], checkout: Path) -> None:
        text = re.sub(r"\\\n\s*", "", re.sub(r"(?m)^#.*\n", "", text))
        head, *parts = re.split(r"(?m)^FROM ", text)
        values = dict(re.findall(r'(?m)^ARG (\w+)="?(.*?)"?$', head)) | args
        self.files: dict[str, dict[str, set[Path]]] = {}  # stage -> place -> files of the checkout that are in there
        self.args: dict[str, set[str]] = {}
        self.mounts: dict[str, set[str]] = {}
        self.running: set[str] = set()  # stages whose directories may have anything of what they see
        for part in parts:
            first, *lines = part.splitlines()
            source, name = (
                re.sub(r"\$\{(\w+)\}", lambda m: values[m[1]], first).removeprefix("--platform=").split(" AS ")
            )
            files = {place: set(found) for place, found in self.files.get(source, {}).items()}
            seen = set(self.args.get(source, set()))
            mounts = set(self.mounts.get(source, set()))
            self.running |= {name} if source in self.running else set()
            for line in lines:
                if line.startswith("ARG "):
                    seen |= set(line.split()[1:])
                elif line.startswith("RUN "):
                    mounts |= set(re.findall(r"--mount=(\S+)", line))
                    self.running |= {name} - {"empty", "checkout"}  # these two make directories, and set dates
                elif line.startswith("COPY --from="):
                    origin, *paths, target = line.removeprefix("COPY --from=").split()
                    for path in paths:
                        for place, found in self.files[origin].items():
                            if origin in self.running or f"{place}/".startswith(f"{path}/"):
                                files.setdefault(f"{target}:{place}", set()).update(found)
                    seen |= self.args[origin] if origin not in ("checkout", "image-files") else set()
                elif line.startswith("COPY "):
                    path, target = line.split()[1:]
                    top = checkout / path
                    for file in [top] if top.is_file() else top.rglob("*"):
                        if file.is_file():
                            below = top.name if target.endswith("/") else file.relative_to(top) if top.is_dir() else ""
                            files[f"{target.rstrip('/')}/{below}"] = {file}
            self.files[name], self.args[name], self.mounts[name] = files, seen, mounts


def test_whatever_a_stage_sees_is_in_its_digest(checkout: Path) -> None:
    """In the image with the most stages, cross-compiled."""
    text = (checkout / "docker/Dockerfile").read_text(encoding="utf-8")
    image, clang = (
        "manylinux2014_x86_64-shared",
        {"CLANG_STAGE": "cross-clang", "CLANG_FOR_CPYTHON_STAGE": "cross-clang"},
    )
    seen, before = Seen(text, arguments(image) | clang, checkout), inputs(checkout, image, **clang)
    every = {file for files in seen.files.values() for found in files.values() for file in found}
    assert len(every) > 150
    for file in sorted(every):
        content = file.read_bytes()
        users = {stage for stage in before.trees if any(file in found for found in seen.files[stage].values())}
        try:
            file.write_bytes(content + b"\n")
            after = inputs(checkout, image, **clang)
        finally:
            file.write_bytes(content)
        missed = {stage for stage in users if before.digests[stage] == after.digests[stage]}
        assert missed == set(), file
    for name in sorted(set().union(*seen.args.values()) - WITHIN_A_RELEASE - {"DESCRIPTION", "SYSTEM_UPDATED"}):
        after = inputs(checkout, image, **clang, **{name: "another"})
        missed = {s for s in before.trees if name in seen.args[s] and before.digests[s] == after.digests[s]}
        assert missed == set(), name
    for stage in before.trees:
        for mount in seen.mounts[stage]:
            source = re.fullmatch(r"type=bind,source=docker/sources/([^/,]+),target=\S+", mount)
            if source and source[1] != "pp311-pypy311_pp73":  # docker/downloads.toml, which that stage copies
                assert f"{re.sub('[-.]', '_', source[1]).upper()}_SHA256" in seen.args[stage], mount
            elif not source:
                assert re.fullmatch(r"type=secret,id=(ca|apt|pip)|type=cache,id=manylinux-jobserver,.+", mount), mount
