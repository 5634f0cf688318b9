"""Laws of shell scripts: form and failures of all, and bash 4.2 (CentOS 7) for what runs in images."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import noxfile
import pytest

from catalogue import paths

BUILD_SCRIPTS = paths.DOCKER / "build_scripts"
# Bash that runs while an image is built, or in it.
SCRIPTS = [
    path
    for name in noxfile.shell_scripts()
    if name.startswith("docker/") and (path := paths.ROOT / name).read_bytes().startswith(b"#!/bin/bash")
]


def code_of(text: str) -> Iterator[tuple[int, str]]:
    """Lines with their numbers, without comments."""
    for number, line in enumerate(text.splitlines(), 1):
        yield number, re.sub(r"(^|\s)#.*", "", line)


def test_there_are_scripts_to_check() -> None:
    names = {path.name for path in SCRIPTS}
    assert {"lib.sh", "system.sh", "rhel.sh", "yum.sh", "dnf.sh", "debian.sh", "alpine.sh", "fixup-mirrors"} <= names


# --- Form -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.name)
def test_the_second_line_says_what_a_script_is(path: Path) -> None:
    assert re.fullmatch(r"# \S.{10,}", path.read_text(encoding="utf-8").splitlines()[1])


@pytest.mark.parametrize("path", sorted(BUILD_SCRIPTS.rglob("*.sh")), ids=lambda path: path.name)
def test_what_is_run_is_short_and_stops_at_a_failure(path: Path) -> None:
    """What is only sourced lies in lib/, and cannot be run."""
    lines = path.read_text(encoding="utf-8").splitlines()
    run = path.parent.name != "lib"
    assert lines[0] == "#!/bin/bash"
    assert (lines[2] == "set -Eeuo pipefail") == run
    assert bool(path.stat().st_mode & 0o111) == run
    assert len(lines) < 60 or not run


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.name)
def test_asks_a_command_by_shows_and_not_through_a_pipe(path: Path) -> None:
    """With pipefail `command | grep -q` fails now and then, when grep ends before the command has printed all."""
    found = [line for _, line in code_of(path.read_text()) if re.search(r"\|\s*grep\s+(-\w*q|--quiet)", line)]
    assert not found


@pytest.mark.parametrize("path", sorted(BUILD_SCRIPTS.rglob("*.sh")), ids=lambda path: path.name)
def test_edits_files_by_edit_which_fails_where_nothing_matches(path: Path) -> None:
    """`sed -i` says nothing when what it was written for has another form."""
    found = [line for _, line in code_of(path.read_text()) if re.search(r"\bsed\b.* (-i|-\w*i\b|--in-place)", line)]
    assert not found


@pytest.mark.parametrize("path", sorted(BUILD_SCRIPTS.rglob("*.sh")), ids=lambda path: path.name)
def test_one_script_decides_how_many_jobs_run(path: Path) -> None:
    """`make -j 16` in each of a dozen stages is 192 compilers at once."""
    many = [line for _, line in code_of(path.read_text()) if re.search(r"\bmake .*-(j|-jobs)|\bnproc\b", line)]
    assert bool(many) == (path.name == "jobserver.sh")


def test_no_shell_script_loops_over_a_command_that_may_fail() -> None:
    """The list of `for` is expanded without errexit: a failure would be an empty list. An assignment fails."""
    loops = re.compile(r"\bfor \w+ in [^;\n]*(?:\$\(|`)")
    found = {name: loops.findall((paths.ROOT / name).read_text(encoding="utf-8")) for name in noxfile.shell_scripts()}
    assert len(found) > 30 and {name: lines for name, lines in found.items() if lines} == {}


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
