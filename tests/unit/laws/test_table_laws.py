"""Every table under fire: whatever key is deleted, renamed, retyped or filled with nonsense, the command that reads it
says so in one line that names the file, or the change is one that a person may well make (FINE).

The seed is fixed: the same tables give the same mutations. `python tests/unit/laws/test_table_laws.py` tries all
and counts.
"""

from __future__ import annotations

import collections
import json
import re
import sys
import tomllib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from catalogue import paths

if __name__ == "__main__":
    sys.path[:0] = [str(Path(__file__).resolve().parents[3]), str(Path(__file__).resolve().parents[3] / "scripts")]

from tests.support import mutations
from tests.support.mutations import Mutation, shape
from tests.support.tables import OVERLAY

from catalogue import bases, canaries, dependencies, deprecations, distributions, images, packages, pins
from catalogue.model import Image
from explain import reach
from plan import expectations
from plan.plan import Request, decide
from portable import downloads, errors, fetch, toml
from prove import roots
from render import readme
from update import native
from watch import advisories

DOCKER = paths.ROOT / "docker"
SEED = 8


@dataclass(frozen=True)
class Table:
    """A table, how it is read, and in which of its tables keys are names of rows ("" is the file itself)."""

    text: str
    read: Callable[[dict[str, Any]], object]
    rows: tuple[str, ...] = ()

    @property
    def raw(self) -> dict[str, Any]:
        return tomllib.loads(self.text)


def real(name: str) -> str:
    return (DOCKER / name).read_text(encoding="utf-8")


IMAGES = tomllib.loads(real("images.toml"))
CATALOGUE = images.parse(IMAGES, "images.toml:")
PINS = pins.read()
ROWS = dependencies.load()


def read_dependencies(raw: dict[str, Any]) -> None:
    dependencies.check(dependencies.parse(raw, "dependencies.toml:"), PINS)


def read_downloads(raw: dict[str, Any]) -> None:
    """As a command does that also reads the table of images."""
    found = downloads.parse(raw, "downloads.toml:")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(downloads, "load", lambda: found)
        images.parse(IMAGES, "images.toml:")


TABLES = {
    "images.toml": Table(
        real("images.toml"),
        lambda raw: images.parse(raw, "images.toml:"),
        ("platforms", "toolsets", "policies", "policies.*.platforms", "retired", "interpreters", "tools", "variants"),
    ),
    "images.local.toml": Table(OVERLAY, lambda raw: images.narrow(CATALOGUE, IMAGES, raw, "images.local.toml:")),
    "dependencies.toml": Table(real("dependencies.toml"), read_dependencies, ("",)),
    "downloads.toml": Table(real("downloads.toml"), read_downloads, ("interpreters", "interpreters.*", "static_clang")),
    "bases.toml": Table(
        f'"docker.io/library/debian:12" = "sha256:{"0" * 64}"\n', lambda raw: bases.parse(raw, "bases.toml:"), ("",)
    ),
    "compatibility.toml": Table(real("compatibility.toml"), lambda raw: readme.parse_pip(raw, "compatibility.toml:")),
    "reach.toml": Table(
        real("reach.toml") + '[[earlier]]\nlast = 2026-07-07\nshares.x86_64 = { "2.17" = 10000, "2.28" = 9870 }\n',
        lambda raw: reach.parse(raw, "reach.toml:"),
        ("downloads", "downloads.*", "downloads.*.*", "earlier.*.shares", "earlier.*.shares.*"),
    ),
    "advisories.toml": Table(
        real("advisories.toml"),
        lambda raw: advisories.parse(raw, "advisories.toml:"),
        ("distributions", "osv.packages"),
    ),
    "deprecations.toml": Table(
        real("deprecations.toml"),
        lambda raw: deprecations.parse(raw, "deprecations.toml:", CATALOGUE, ROWS),
        ("ends",),
    ),
    "canaries.toml": Table(
        real("canaries.toml"), lambda raw: canaries.parse(raw, "canaries.toml:", CATALOGUE), ("canaries",)
    ),
    "roots.toml": Table(real("roots.toml"), lambda raw: roots.parse(raw, "roots.toml:"), ("",)),
    "unconfirmed.toml": Table(
        '[curl]\nurl = "https://example.org/curl_8.orig.tar.gz"\nby = "curl 8.21.0-1 in trixie"\n',
        native.parse_unconfirmed,
        ("",),
    ),
}

# What a person may write: file, kind of mutation and shape of its path, as regular expressions, and why it is no fault.
FINE = [
    (".*", "the other order", ".*", "order says which comes first, and all of them are there"),
    (".*", "deleted", r"(.*\.)?\*|.*images|.*interpreters", "a list or a table with one row less is a decision"),
    (".*", "the opposite", ".*", "a switch set the other way is a decision"),
    (".*", "another letter", ".*", "another name, address or text of the right form: nobody else knows the right one"),
    (".*", "the opposite|true instead", r".*\.(emulated|published|preinstalled|verbatim)", "the other way, see above"),
    (".*", ".*", r".*\.(reason|eol_note|purpose|by|nobody)|\*\.debian\.refuse\..*", "words, of the right form"),
    (".*", "7 instead", r".*\.(gcc_major|years)|.*cooldown", "another number of the right size"),
    ("images.toml", "deleted|empty table instead", r"platforms\.\*\.(march|cpython_build|cpython_prefers_gcc).*",
     "not every platform has one"),
    ("images.toml", "deleted|empty table instead", r"(policies\.\*\.platforms|tools|interpreters|retired)(\..*)?",
     "an exception, a restriction or a row less"),
    ("images.toml", "deleted", r"policies\.\*\.(local_first|eol_note|sqlite_exposed|build\.\*|package_sets\.\*)",
     "optional, or one of several"),
    ("images.toml", "deleted|empty list instead", r"toolsets\.\*\.(library_path_32|appended)(\.\*)?", "optional"),
    ("images.toml", "text instead", r"platforms\.\*\.(debian|runner|march\..*)|toolsets\..*|.*\.(last_)?tag",
     "another word"),
    ("images.toml", "deleted", r"policies\.\*\.symbols\.gcc\..*", "\"*\" holds"),
    ("images.toml", "text instead", r".*\.title", "another name"),
    ("images.toml", "list instead|an unknown item", r"toolsets\.\*\.library_path(_32)?", "other directories"),
    ("images.toml", "deleted|empty list instead", r".*_where(\..*)?|retention\.keep", "no restriction; nothing kept"),
    ("images.toml", "deleted|empty table instead", r"variants(\.\*(\.images|\.not_optimised_where)?(\..*)?)?",
     "a variant that no image has, or without exceptions"),
    ("images.local.toml", "deleted|empty table instead", ".*", "what an overlay does not say stays as it is"),
    ("dependencies.toml", "deleted|empty table instead|empty list instead",
     r".*\.(glob|pattern|trust|cooldown|compare|end_of_life|acknowledged|security|hold|refuse|keys|sums|attestation|debian|folder"
     r"|keeps_withdrawn|second|openpgp|checksum|url|version|together)|.*\.\*|cooldown|\*\..*\.cooldown",
     "optional: without it the stricter rule or another source holds, or the run says what is missing"),
    ("dependencies.toml", ".*", r".*security\.pattern", "an expression that finds nothing: no fast lane"),
    ("dependencies.toml", "text instead|empty instead", r".*\.(glob|folder|source)", "another name of the right form"),
    ("dependencies.toml", "renamed", r".*\.refuse\..*", "another version of the right form"),
    ("bases.toml", "renamed", ".*", "another image of the right form"),
    ("canaries.toml", "deleted", r"canaries\.\*\.(hosts|grafts|stable_abi|project|packages(\..*)?)",
     "optional: nothing is asked for or expected"),
    ("canaries.toml", "(text|list) instead|an unknown item", r"canaries\.\*\.(packages\..*|project)",
     "another name of the right form"),
    ("canaries.toml", "renamed", r"canaries\.\*", "another name of the right form"),
    ("canaries.toml", ".*", r"canaries\.\*\.stands_for", "words, of the right form"),
    ("deprecations.toml", "7 instead", r"rules\..*", "another number of the right size"),
    ("deprecations.toml", "deleted|empty (table|text)? ?instead", r"ends.*", "a row less; nothing serves instead"),
    ("roots.toml", "renamed", ".*", "another release of the right form"),
    ("unconfirmed.toml", "renamed", ".*", "another name of the right form"),
    ("reach.toml", "renamed|7 instead|0 instead", r"(downloads|earlier).*", "another name or number of the right form"),
    ("reach.toml", "deleted|empty list instead", "earlier", "no trend"),
    ("reach.toml", ".*", "bias|licence", "words for people, of the right form"),
    ("compatibility.toml", "(text|list|script URL) instead|an unknown item", r".*distributions.*", "words"),
]  # fmt: skip


def is_fine(file: str, mutation: Mutation, rows: tuple[str, ...]) -> bool:
    place = shape(mutation.path, rows)
    return any(
        re.fullmatch(name, file) and re.fullmatch(kind, mutation.kind) and re.fullmatch(path, place, re.DOTALL)
        for name, kind, path, _ in FINE
    )


def verdict(file: str, table: Table, mutation: Mutation) -> str:
    """ "" when the mutation is refused as it has to be or is fine; else what happened."""
    try:
        table.read(mutation.table)
    except errors.UserError as error:
        said = str(error)
        if not said.startswith((f"{file}:", f"docker/{file}:")) and f"docker/{file} has none" not in said:
            return f"blames another file: {said[:200]}"
        return f"is no single short line: {said[:200]!r}" if "\n" in said or len(said) > 2000 else ""
    except Exception as error:  # that is the point
        return f"traceback: {error!r:.200}"
    return "" if is_fine(file, mutation, table.rows) else "accepted"


@pytest.mark.parametrize("file", TABLES)
def test_nonsense_is_refused_in_one_line(file: str) -> None:
    table = TABLES[file]
    table.read(table.raw)
    drawn = mutations.sample(table.raw, table.rows, 400, SEED)
    assert {str(m): said for m in drawn if (said := verdict(file, table, m))} == {}


def test_broken_files_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "images.toml"
    for content in (b"x = ", b"\xff\xfe", b'a = "\0"', b"a = 1\na = 2\n", b"[a]\n[a]\n", b"a = " + b"9" * 5000):
        path.write_bytes(content)
        with pytest.raises(errors.UserError, match=r"^[^\n]*images\.toml[^\n]*$"):
            toml.read_toml(path)
    with pytest.raises(errors.UserError, match=re.escape(str(tmp_path))):
        toml.read_toml(tmp_path)


# --- Files of lines ---------------------------------------------------------------------------------------------------

LINES: dict[str, Callable[[str], list[str]]] = {
    "deleted": lambda line: [],
    "twice": lambda line: [line, line],
    "commented": lambda line: [f"# {line}"],
    "indented": lambda line: [f"  {line}"],
    "without a value": lambda line: [line.partition("=")[0]],
    "longer": lambda line: [f"{line} --x"],
    "NUL": lambda line: [f"{line}\0"],
    "tabs": lambda line: [line.replace(" ", "\t")],
    "lower case": lambda line: [line.lower()],
    "another script": lambda line: [re.sub(r"\d", "\u0661", line)],
    "quoted": lambda line: [re.sub(r"=(.*)", r"='\1'", line)],
    "apart": lambda line: [line.replace("=", " = ")],
}
ADDRESSES = (
    *("file:///etc/passwd", "ftp://example.org/x", "javascript:alert(1)", "https://me:secret@example.org/x.tgz"),
    *("http://example.org/x.tar.gz", "https://example.org", "https://example.org/a/../x.tgz", "", "--x"),
)


def replaced(text: str, number: int, lines: list[str]) -> str:
    every = text.splitlines()
    return "\n".join([*every[:number], *lines, *every[number + 1 :]]) + "\n"


def dockerfile_with(number: int, lines: list[str]) -> str:
    """What reading the pins says about a Dockerfile with another line; "" where it accepts it."""
    text = replaced(HEAD, number, lines)
    try:
        found = pins.parse(text, "docker/Dockerfile")
        dependencies.check(dependencies.load(), found)
    except errors.UserError as error:
        assert "\n" not in str(error)
        return str(error)
    return "" if found != PINS else "unchanged"


HEAD = real("Dockerfile").partition("\nFROM ")[0] + "\nFROM debian AS base\n"
PIN_LINES = [n for n, line in enumerate(HEAD.splitlines()) if re.match(r"ARG \w+_(VERSION|SHA256|URL|IMAGE)=", line)]


@pytest.mark.parametrize("kind", LINES)
def test_a_spoiled_line_of_a_pin_is_refused(kind: str) -> None:
    accepted = []
    for number in PIN_LINES:
        line = HEAD.splitlines()[number]
        if LINES[kind](line) != [line] and not dockerfile_with(number, LINES[kind](line)):
            accepted.append(line)
    assert accepted == []


def test_nonsense_in_a_pin_is_refused() -> None:
    accepted = []
    for number in PIN_LINES:
        name, _, value = HEAD.splitlines()[number].removeprefix("ARG ").partition("=")
        values = {
            "VERSION": ("", "..", "--x", "1 2", "\u0661.\u0662", "latest", "x" * 10_000, "1;rm", "${CURL_VERSION}"),
            "SHA256": (
                "",
                "0" * 63,
                "A" * 64,
                "0" * 65,
                f"amd64:{'0' * 64}",
                f"{'0' * 64} {'1' * 64}",
                "sha256:" + "0" * 64,
            ),
            "URL": (*ADDRESSES, "https://example.org/${NOBODY_VERSION}.tgz", "https://example.org/$(id).tgz"),
            "IMAGE": (*ADDRESSES, "static-clang:1", "ghcr.io/x", "ghcr.io/X/y:1", "ghcr.io/x:${NOBODY_VERSION}"),
        }[name.rpartition("_")[2]]
        if name == "GIT_LFS_SHA256":
            values = (f"amd64:{'0' * 64}, arm64:{'0' * 64}", "0" * 64, value.strip('"') + " " + value.strip('"'))
        for wrong in values:
            for quoted in (wrong, f'"{wrong}"'):
                if not dockerfile_with(number, [f"ARG {name}={quoted}"]):
                    accepted.append(f"{name}={quoted:.80}")
    assert accepted == []


def test_a_stage_cannot_give_a_pin_another_value() -> None:
    for line in ("ARG GIT_VERSION=2.0.0", "ARG GIT_URL GIT_VERSION=2.0.0 GIT_SHA256"):
        with pytest.raises(errors.UserError, match="write only ARG GIT_VERSION: "):
            pins.parse(HEAD + line + "\n")
    for line in ("ARG GIT_VERSION", "ARG GIT_VERSION GIT_SHA256 OTHER_VERSION=1"):
        assert pins.parse(HEAD + line + "\n") == PINS


@pytest.mark.parametrize(
    "address", [*ADDRESSES, "https://example.org/x", "https://example.org/x/ https://example.org/x/"]
)
def test_a_wrong_line_of_mirrors_is_refused(tmp_path: Path, address: str) -> None:
    path = tmp_path / "mirrors.txt"
    for line in (f"{address} https://example.org/a/", f"https://example.org/a/ {address}", address, f" {address}"):
        path.write_text(f"# right\n{line}\n", encoding="utf-8")
        if line:
            with pytest.raises(errors.UserError, match=r"^mirrors\.txt:2: [^\n]*$"):
                fetch.read_mirrors(path)
    path.write_text("https://example.org/a/ https://example.org/b/\n" * 2, encoding="utf-8")
    with pytest.raises(errors.UserError, match=r"mirrors\.txt:2: write each prefix once"):
        fetch.read_mirrors(path)


CSV = real("distributions.csv").splitlines()


def test_a_spoiled_field_of_a_distribution_is_refused(tmp_path: Path) -> None:
    path, accepted = tmp_path / "distributions.csv", []
    header, row = CSV[0], "debian,12,glibc,2.36,2026-06-10,2028-06-30,2033-06-30".split(",")
    hostile = [t for t in mutations.TEXTS.values() if t] + ["2026-02-31 ", "-1", "x,y", '"', "Rolling"]
    for column in range(len(row)):
        for text in hostile:
            fields = [*row[:column], text, *row[column + 1 :]]
            path.write_text(f"{header}\n{','.join(fields)}\n", encoding="utf-8")
            try:
                distributions.read_releases(path)
                accepted.append(f"{header.split(',')[column]}={text:.40}")
            except errors.UserError as error:
                assert str(error).startswith("distributions.csv, line ") and "\n" not in str(error)
    assert accepted == []


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("gentoo,1,glibc,2.40,,,", "distribution must be named"),
        ("debian,7,glibc,new,,,", "libc_version must be a version"),
        ("debian,7,glibc,2.13,soon,,", "eol must be a date"),
        ("debian,12,glibc,2.36,,,\ndebian,12,glibc,2.36,,,", "is listed twice"),
    ],
)
def test_a_wrong_line_about_a_distribution_is_refused(tmp_path: Path, line: str, message: str) -> None:
    path = tmp_path / "distributions.csv"
    path.write_text(f"{CSV[0]}\n{line}\n", encoding="utf-8")
    with pytest.raises(errors.UserError, match=message):
        distributions.read_releases(path)


@pytest.mark.parametrize(
    "text",
    [
        "",
        header_less := "debian,12,glibc,2.36,,,\n",
        CSV[0].replace("eol", "end") + "\n" + header_less,
        CSV[0] + ",x\n",
    ],
)
def test_a_wrong_head_of_the_distributions_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "distributions.csv"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(errors.UserError, match=r"^distributions\.csv"):
        distributions.read_releases(path)


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        ("git git", "write 'name'"),
        ("--force-yes", "write 'name'"),
        ("../x", "write 'name'"),
        ("git [x86_64", "write 'name'"),
        ("g\u0456t", "write 'name'"),
        ("git\0", "write 'name'"),
        ("git [x86-64]", "write 'name'"),
        ("git [x86_65]", "unknown platform 'x86_65'; did you mean x86_64"),
        ("git\ngit", "git is listed twice"),
        ("git\ngit [x86_64]", "git is listed twice"),
    ],
)
def test_a_wrong_line_of_packages_is_refused(tmp_path: Path, line: str, complaint: str) -> None:
    (tmp_path / "debian").mkdir()
    (tmp_path / "debian" / "base.txt").write_text(f"# tools\n{line}\n", encoding="utf-8")
    with pytest.raises(errors.UserError, match=rf"base\.txt:[23]: {re.escape(complaint)}"):
        packages.read(["debian"], "x86_64", ["base"], tmp_path)


def test_a_list_of_packages_that_no_layer_reads_is_refused(tmp_path: Path) -> None:
    (tmp_path / "debian").mkdir()
    (tmp_path / "debian" / "base.txt").write_text("git\n", encoding="utf-8")
    (tmp_path / "debian" / "bsae.txt").write_text("git\n", encoding="utf-8")
    with pytest.raises(errors.UserError, match=r"bsae\.txt: no layer 'bsae'; did you mean base"):
        packages.read(["debian"], "x86_64", ["base"], tmp_path)


# --- Expectations -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("image", CATALOGUE.all_images, ids=lambda image: image.name)
def test_what_a_plan_expects_can_be_read_again(tmp_path: Path, image: Image) -> None:
    content = expectations.of(decide(image, Request()))
    path = tmp_path / "expectations.json"
    path.write_text(json.dumps(content), encoding="utf-8")
    assert expectations.load(path, "") == content


def test_nonsense_in_expectations_is_refused(tmp_path: Path) -> None:
    image = CATALOGUE.image("manylinux_2_36_x86_64-shared")
    raw = json.loads(json.dumps(expectations.of(decide(image, Request()))))
    path, crashes = tmp_path / "expectations.json", {}
    refused = 0
    for mutation in mutations.sample(raw, ("components", "tools", "env", "labels", "symbols", "base_tools"), 250, SEED):
        try:
            path.write_text(json.dumps(mutation.table), encoding="utf-8")
        except TypeError:
            continue  # JSON has no dates
        try:
            expectations.load(path, "write it anew")
        except errors.UserError as error:
            refused += 1
            assert str(path) in str(error) and str(error).endswith("; write it anew") and "\n" not in str(error)
        except Exception as error:  # a traceback is what must not happen
            crashes[str(mutation)] = repr(error)
    assert crashes == {} and refused > 150
    for text in ("", "null", "[]", "{", "7", '"x"', "[" * 100_000, "\0"):
        path.write_text(text, encoding="utf-8")
        with pytest.raises(errors.UserError, match=r"expectations\.json"):
            expectations.load(path, "write it anew")
    for missing in (tmp_path / "none.json", tmp_path):
        with pytest.raises(errors.UserError, match=re.escape(str(missing))):
            expectations.load(missing, "write it anew")


def main() -> None:
    """Tries everything, on all tables or those named, and prints the counts."""
    for file in sys.argv[1:] or TABLES:
        table = TABLES[file]
        counts: collections.Counter[str] = collections.Counter()
        for mutation in mutations.every(table.raw):
            said = verdict(file, table, mutation)
            counts[said.partition(":")[0] or "right"] += 1
            if said:
                print(f"  {file}: {str(mutation)[:200]} {said}")
        print(file, sum(counts.values()), dict(counts))


if __name__ == "__main__":
    main()
