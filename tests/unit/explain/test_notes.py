"""`notes`: differences of descriptions in order of risk, equal ones once, as Markdown and JSON."""

from __future__ import annotations

import copy
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.support.descriptions import description

from catalogue import images
from explain import notes_command, notes_text
from portable import errors

CATALOGUE = images.load(overlay=images.NO_OVERLAY)
Ask = Callable[..., Any]
FOUR = [f"{policy}_{platform}" for policy in ("manylinux_2_28", "manylinux_2_34") for platform in ("x86_64", "aarch64")]


@pytest.fixture
def ask(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Ask:
    monkeypatch.setenv("MANYLINUX_IMAGES_OVERLAY", str(images.NO_OVERLAY))

    def write(side: str, descriptions: list[dict[str, Any]]) -> str:
        for each in descriptions:
            path = tmp_path / side / each["image"]["name"] / "manifest.json"
            path.parent.mkdir(parents=True)
            path.write_text(json.dumps(each), encoding="utf-8")
        return str(tmp_path / side)

    def run(old: list[dict[str, Any]], new: list[dict[str, Any]], *words: str) -> Any:
        """The notes as JSON, or the message of a failure."""
        arguments = ["notes", write("old", old), write("new", new), "--json", *words]
        monkeypatch.setattr(sys, "argv", arguments)
        status = errors.run(notes_command.main)
        out, err = capsys.readouterr()
        return json.loads(out) if status == 0 else err

    return run


def texts(notes: dict[str, Any]) -> list[tuple[str, str, str]]:
    """Title, text and images in words of each change."""
    return [(s["title"], c["text"], c["of"]) for s in notes["sections"] for c in s["changes"]]


def test_nothing_has_changed(ask: Ask) -> None:
    found = ask([description()], [description()])
    assert (found["sections"], found["summary"]) == ([], "nothing has changed in one image")
    assert found["day"] == "2023-11-14"


def test_the_order_is_that_of_the_risk(ask: Ask) -> None:
    new = description()
    new["interpreters"].pop(0)
    del new["capabilities"]["interpreters"]["cp312-cp312"]
    new["interpreters"][0]["version"] = "3.13.16"
    new["interpreters"][0]["bundles"][0]["version"] = "2.8.3"
    can = new["capabilities"]["interpreters"]["cp313-cp313"]
    can["version"] = "3.13.16"
    can["sysconfig"]["CONFIG_ARGS"] = "'--prefix=/opt/_internal/cpython-3.13.16'"
    can["sysconfig"]["CC"] = "cc"
    can["modules"].remove("_ssl")
    new["tools"][0]["version"], new["tools"][1]["version"] = "1.1", "2.0"
    new["tools"].append({"name": "ruff", "version": "0.1", "paths": [], "python_packages": []})
    new["components"][0]["version"] = "2.55.0"
    new["packages"][0]["source_version"], new["packages"][1]["source_version"] = "1.2.11-26.el8", "9-1.el8"
    new["compilers"]["gcc"] = "gcc (GCC) 15.1.0"
    new["capabilities"]["image"] |= {"glibcxx": "3.4.34", "commands": ["gcc", "git", "ruff"], "sonames": []}
    found = ask([description()], [new])
    assert texts(found) == [
        ("Gone", "interpreter `cp312-cp312` 3.12.15", ""),
        ("Gone", "library `libz.so.1`", ""),
        ("Gone", "module `_ssl` in `cp313-cp313`", ""),
        ("New", "tool `ruff` 0.1", ""),
        ("New", "command `ruff`", ""),
        ("Compilers and C libraries", "`gcc`: gcc (GCC) 14.2.1 → gcc (GCC) 15.1.0", ""),
        ("Compilers and C libraries", "newest GLIBCXX: 3.4.25 → 3.4.34", ""),
        ("auditwheel and patchelf", "`auditwheel` 1.0 → 1.1", ""),
        ("Interpreters", "`cp313-cp313` 3.13.15 → 3.13.16", ""),
        ("Packages of the distribution that wheels often contain", "`zlib` 1.2.11-25.el8 → 1.2.11-26.el8", ""),
        ("What images and interpreters can do", "`CC` in `cp313-cp313`: gcc → cc", ""),
        ("Everything else", "`expat` in `cp313-cp313` 2.8.2 → 2.8.3", ""),
        ("Everything else", "`git` 2.54.0 → 2.55.0", ""),
        ("Everything else", "`uv` 1.0 → 2.0", ""),
        ("Everything else", "`vim` 8-1.el8 → 9-1.el8", ""),
    ]
    links = {c["subject"]: c["url"] for s in found["sections"] for c in s["changes"] if c["url"]}
    assert links["`cp313-cp313`"] == "https://docs.python.org/3.13/whatsnew/changelog.html"
    assert "2.55.0" in links["`git`"]
    text = found["markdown"]
    assert f"- [`git` 2.54.0 → 2.55.0]({links['`git`']})\n" in text
    assert text.index("## Gone") < text.index("## New") < text.index("<details><summary>Everything else (4)")


def test_equal_changes_of_many_images_stand_once(ask: Ask) -> None:
    old = [description(name) for name in FOUR]
    new = copy.deepcopy(old)
    for each in new:
        each["tools"][0]["version"] = "1.1"
        for python in each["interpreters"]:
            python["python_packages"][0]["version"] = "26.4"
    for each in new[:2]:
        each["compilers"]["gcc"] = "gcc (GCC) 15.1.0"
    for each in new[1::2]:
        each["components"][0]["version"] = "2.55.0"
    new[3]["capabilities"]["image"]["commands"].remove("git")
    assert texts(ask(old, new)) == [
        ("Gone", "command `git`", FOUR[3]),
        ("Compilers and C libraries", "`gcc`: gcc (GCC) 14.2.1 → gcc (GCC) 15.1.0", "manylinux_2_28"),
        ("auditwheel and patchelf", "`auditwheel` 1.0 → 1.1", ""),
        ("Everything else", "`git` 2.54.0 → 2.55.0", "aarch64"),
        ("Everything else", "`pip` in every interpreter 26.3 → 26.4", ""),
    ]


def test_images_that_one_side_has(ask: Ask) -> None:
    found = ask([description(name) for name in FOUR[:2]], [description(name) for name in FOUR[1:3]])
    assert (found["images"], found["added"], found["removed"]) == ([FOUR[1]], [FOUR[2]], [FOUR[0]])
    assert f"Only in {found['new']}: `{FOUR[2]}`" in found["markdown"]


def test_only_some_images(ask: Ask) -> None:
    descriptions = [description(name) for name in FOUR]
    assert ask(descriptions, descriptions, "-i", "manylinux_2_28_*")["images"] == sorted(FOUR[:2])


def test_two_images_of_different_names(ask: Ask) -> None:
    new = description(FOUR[2])
    new["compilers"]["gcc"] = "gcc (GCC) 15.1.0"
    assert [text for _, text, _ in texts(ask([description()], [new]))] == ["`gcc`: gcc (GCC) 14.2.1 → gcc (GCC) 15.1.0"]


def test_an_image_of_the_former_schema(ask: Ask) -> None:
    """It says nothing of sources, builds and capabilities; what it has is compared."""
    old = description()
    old = {key: value for key, value in old.items() if key not in ("build", "capabilities")} | {"schema": 1}
    del old["image"]["distribution"], old["image"]["paths"]
    for row in (*old["interpreters"], *old["tools"], *old["components"]):
        for key in ("paths", "bundles", "python_packages"):
            row.pop(key, None)
    for row in old["packages"]:
        del row["source"], row["source_version"]
    new = description()
    new["tools"][0]["version"] = "1.1"
    found = texts(ask([old], [new]))
    assert found == [("auditwheel and patchelf", "`auditwheel` 1.0 → 1.1", "")]


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"schema": 3}, "is of schema 3: update this checkout, which knows 2"),
        ({"tools": 5}, "tools is a number, expected a list"),
        ({"packages": [{}]}, "packages [0]: name is missing, expected text"),
    ],
)
def test_a_description_that_cannot_be_read(ask: Ask, change: dict[str, Any], complaint: str) -> None:
    said = ask([description()], [description() | change])
    assert complaint in said and said.count("\n") == 1


def test_commits_are_linked_where_all_images_are_of_one(ask: Ask) -> None:
    new = description()
    new["build"]["commit"] = "c" * 40
    found = ask([description()], [new])
    assert f"[Commits](https://example.org/project/compare/{'a' * 40}...{'c' * 40})" in found["markdown"]


def test_the_tag_before() -> None:
    tags = ["v1", "2026.11.20-1", "2026.11.9-30", "2026.11.19-30", "2026.11.20-10", "latest"]
    assert notes_command.before("2026.11.20-10", tags) == "2026.11.20-1"
    assert notes_command.before("2026.11.21-1", tags) == "2026.11.20-10"
    assert notes_command.before("2026.11.19-30", tags) == ""
    with pytest.raises(errors.UserError, match="latest has no tag before it"):
        notes_command.before("latest", tags)


def test_images_in_few_words() -> None:
    groups = {"": set("abcdefghij"), "one": set("abc"), "two": set("de"), "single": {"f"}}
    assert notes_text.named("abcdefghij", groups) == ""
    assert notes_text.named("abc", groups) == "one"
    assert notes_text.named("abcdef", groups) == "one, two, f"
    assert notes_text.named("abdefghij", groups) == "two, a, b, f, g, h, i, 1 more"
