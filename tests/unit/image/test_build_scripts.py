"""What scripts of the images must keep to: no policy names, bash 4.2 (CentOS 7); and the package lists."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from catalogue import images, packages
from catalogue.model import Image
from portable import errors

ROOT = Path(__file__).resolve().parents[3]
BUILD_SCRIPTS = ROOT / "docker" / "build_scripts"
CATALOGUE = images.load()
IMAGES = CATALOGUE.images(published_only=False)


def shell_scripts() -> list[Path]:
    """All bash scripts that run while an image is built or in it."""
    found = [path for path in BUILD_SCRIPTS.rglob("*") if path.is_file()]
    found += [path for path in (ROOT / "docker" / "rootfs").rglob("*") if path.is_file()]
    return sorted(path for path in found if path.read_bytes().startswith(b"#!/bin/bash"))


SCRIPTS = shell_scripts()


def code_of(text: str) -> Iterator[tuple[int, str]]:
    """Lines with their numbers, without comments."""
    for number, line in enumerate(text.splitlines(), 1):
        yield number, re.sub(r"(^|\s)#.*", "", line)


def test_there_are_scripts_to_check() -> None:
    names = {path.name for path in SCRIPTS}
    assert {"lib.sh", "system.sh", "rhel.sh", "yum.sh", "dnf.sh", "debian.sh", "alpine.sh", "fixup-mirrors"} <= names


# --- Capabilities, not names ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "path", sorted(path for path in BUILD_SCRIPTS.rglob("*") if path.is_file()), ids=lambda path: path.name
)
def test_names_no_policy(path: Path) -> None:
    text = path.read_bytes().decode("utf-8", errors="replace")
    names = [*CATALOGUE.policies, *CATALOGUE.retired]
    found = {name for name in names if re.search(rf"{name}(?![0-9])", text)}
    assert not found, "scripts see capabilities (FAMILY, LIBC, TOOLSET, ...), not policies"


# --- bash 4.2 -------------------------------------------------------------------------------------------------------

NEWER = {
    r"\$\{[^}]*@[A-Za-z]\}": "4.4: ${name@Q}",
    r"\b(local|declare|typeset) (-[a-zA-Z]* )*-[a-zA-Z]*n": "4.3: name references",
    r"\blocal -( |$)": "4.4: local -",
    r"\b(mapfile|readarray)\b.* -d\b": "4.4: mapfile -d",
    r"\bwait -[a-z]*[nfp]": "4.3: wait -n",
    r"\w\[-\d+\]\+?=": "4.3: assigning to a negative index",
    r"\bunset .*\[-": "4.3: unset of a negative index",
    r"(\[\[|\btest|\[) (.* )?-v [^ ]*\[": "4.3: -v of an array's element",
    r"\bEPOCH(SECONDS|REALTIME)\b|\bSRANDOM\b": "5.0: EPOCHSECONDS, 5.1: SRANDOM",
    r"\bshopt -s .*(inherit_errexit|assoc_expand_once|localvar_inherit)": "4.4: inherit_errexit",
    r"\$\{ |\$\{\|": "5.3: ${ command; }",
    r'"\$\{\w+\[@\][+-]': '4.4: "${name[@]+...}" is an empty word before; leave the outer quotes away',
    r"%\([^)]*\)T": "4.3: printf %()T without an argument",
    r"\b(declare|local|typeset) (-\w+ )*-\w*I|\bcompgen .*-V|\bread .*-E\b": "5.1 and 5.3: new options",
    r"\bBASH_ARGV0\b|\bEXECIGNORE\b|\bBASH_COMPAT\b|\bPS0\b": "4.3, 4.4 and 5.0: new variables",
    r"\[\[ .*-R ": "4.3: -R",
}


def newer_than_4_2(text: str) -> list[str]:
    """What bash 4.2 does not know or does otherwise in a script, as `line: what`."""
    found = []
    for number, line in code_of(text):
        found += [f"{number}: {what}" for pattern, what in NEWER.items() if re.search(pattern, line)]
    # Until 4.4 an empty array counts as unset: "${name[@]}" stops a script under `set -u`.
    maybe_empty = set(re.findall(r"(?m)(?:^|\s)(?:local |declare |readonly |-a )*(\w+)=\(\s*\)", text))
    maybe_empty |= set(re.findall(r"(?m)\b(?:mapfile|readarray)\b[^<\n]* (\w+) < <", text))
    maybe_empty |= set(re.findall(r"\bread (?:-r )?-(?:r?a|a) (\w+)", text))
    maybe_empty |= set(re.findall(r'\b(\w+)=\("?\$[@({]', text))
    for number, line in code_of(text):
        for name in maybe_empty & set(re.findall(r"(?<!\+)\"\$\{(\w+)\[@\]\}\"", line)):
            if not re.search(rf"\$\{{{name}\[@\]\+", line) and not re.search(rf"#{name}\[@\]", line):
                found.append(f'{number}: 4.4: "${{{name}[@]}}" of an array that may be empty')
    return found


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.name)
def test_runs_on_bash_4_2(path: Path) -> None:
    assert newer_than_4_2(path.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize(
    "line",
    [
        "echo ${name@Q}",
        "local -n target=$1",
        "declare -gn target=$1",
        "mapfile -t -d '' files < <(find)",
        "wait -n",
        "list[-1]=x",
        'unset "list[-1]"',
        "if [[ -v names[one] ]]; then",
        "now=$EPOCHSECONDS",
        "shopt -s inherit_errexit",
        'words=()\nrun "${words[@]}"',
        'local words=( )\nrun "${words[@]}"',
        'mapfile -t words < <(find)\nrun "${words[@]}"',
        'read -r -a words <<<"$(list)"\nrun "${words[@]}"',
        'words=("$@")\nrun "${words[@]}"',
        'words=($(list))\nrun "${words[@]}"',
        'words=("${others[@]}")\nrun "${words[@]}"',
        'words=()\nrun "${words[@]+"${words[@]}"}"',
        "printf '%(%F)T'",
        "local -I name",
    ],
)
def test_the_scanner_finds_what_is_newer(line: str) -> None:
    assert newer_than_4_2(line) != []


@pytest.mark.parametrize(
    "line",
    [
        'words=(a)\nrun "${words[@]}"',
        'words=()\nrun ${words[@]+"${words[@]}"}',
        'words=()\nif ((${#words[@]})); then run "${words[@]}"; fi',
        'read -r -a words <<<"$(list)"\nrun ${words[@]+"${words[@]}"}',
        'words=("$1" "${more}")\nrun "${words[@]}"',
        "local name=x",
        "# local -n: only from 4.3",
        'mapfile -t names <<<"${list}"\nrun "${names[@]}"',
        "echo ${list[-1]}",
    ],
)
def test_the_scanner_lets_pass_what_4_2_knows(line: str) -> None:
    assert newer_than_4_2(line) == []


# --- Form -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.name)
def test_asks_a_command_by_shows_and_not_through_a_pipe(path: Path) -> None:
    """With pipefail `command | grep -q` fails now and then, when grep ends before the command has printed all."""
    found = [line for _, line in code_of(path.read_text()) if re.search(r"\|\s*grep\s+(-\w*q|--quiet)", line)]
    assert not found


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.name)
def test_says_what_it_is(path: Path) -> None:
    _, second, *_ = path.read_text(encoding="utf-8").splitlines()
    assert re.fullmatch(r"# \S.{10,}", second), "the second line is one comment: what, on which images"


# --- Package lists --------------------------------------------------------------------------------------------------


def packages_of(
    sets: str, layers: str, directory: Path, family: str = "alpine", distribution: str = "", platform: str = "x86_64"
) -> subprocess.CompletedProcess[str]:
    """What docker/build_scripts/system.sh reads from a directory of package sets."""
    env = {
        "HERE": str(BUILD_SCRIPTS),
        "PATH": os.environ["PATH"],
        "FAMILY": family,
        "LIBC": "glibc",
        "DISTRIBUTION": distribution,
        "PLATFORM": platform,
        "PACKAGE_SETS": sets,
    }
    script = (
        'source "${HERE}/lib.sh"; source "${HERE}/system.sh"; PACKAGES="$1"; shift; for i; do packages_of "$i"; done'
    )
    command = ["bash", "-euc", script, "bash", str(directory), *layers.split()]
    return subprocess.run(command, env=env, capture_output=True, text=True)


@pytest.mark.parametrize("image", IMAGES, ids=lambda image: image.name)
def test_bash_and_python_read_the_same_packages(image: Image) -> None:
    policy, platform = image.policy, image.platform.name
    layers = " ".join(packages.LAYERS)
    bash = packages_of(
        " ".join(policy.package_sets), layers, packages.PACKAGES, policy.family, policy.distribution, platform
    )
    assert bash.returncode == 0, bash.stderr
    assert tuple(bash.stdout.split()) == packages.read(policy.package_sets, platform, packages.LAYERS)


def test_every_package_file_is_used_and_sorted_out() -> None:
    used = {name for image in IMAGES for name in image.policy.package_sets}
    assert {path.name for path in packages.PACKAGES.iterdir() if path.is_dir()} == used
    components = {name for policy in CATALOGUE.policies.values() for name in policy.build}
    for path in packages.PACKAGES.glob("*/*.txt"):
        assert path.stem in {*packages.LAYERS, *components}, path
        names = re.findall(r"(?m)^([^\s#]+)", path.read_text(encoding="utf-8"))
        assert names and len(set(names)) == len(names), f"{path} is empty or names something twice"


@pytest.mark.parametrize(
    ("line", "x86_64", "i686"),
    [
        ("yasm", ("yasm",), ("yasm",)),
        ("yasm [x86_64]  # assembler", ("yasm",), ()),
        ("yasm [!x86_64]", (), ("yasm",)),
        ("# yasm", (), ()),
        ("g++", ("g++",), ("g++",)),
    ],
)
def test_a_line_may_be_for_some_platforms(
    tmp_path: Path, line: str, x86_64: tuple[str, ...], i686: tuple[str, ...]
) -> None:
    (tmp_path / "one").mkdir()
    (tmp_path / "one" / "base.txt").write_text(line + "\n", encoding="utf-8")
    assert packages.read(["one"], "x86_64", ["base"], tmp_path) == x86_64
    assert packages.read(["one"], "i686", ["base"], tmp_path) == i686


@pytest.mark.parametrize(
    ("sets", "layer", "message"),
    [
        (["two"], "base", "no package set 'two'"),
        (["one"], "fonts", "has a layer 'fonts'"),
        (["one"], "base", "base.txt:2: write 'name', 'name [platform]' or 'name [!platform]'"),
    ],
)
def test_a_wrong_list_is_refused(tmp_path: Path, sets: list[str], layer: str, message: str) -> None:
    (tmp_path / "one").mkdir()
    (tmp_path / "one" / "base.txt").write_text("# tools\ngcc g++\n", encoding="utf-8")
    with pytest.raises(errors.UserError, match=re.escape(message)):
        packages.read(sets, "x86_64", [layer], tmp_path)
    bash = packages_of(" ".join(sets), layer, tmp_path)
    assert bash.returncode == 1
    assert bash.stderr.startswith("error: ")
    assert bash.stdout == ""
