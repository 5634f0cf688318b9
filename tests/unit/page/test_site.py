"""The files of the page: they hold together, load nothing from elsewhere, and say what the tables say."""

from __future__ import annotations

import json
import os
import posixpath
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import cast
from urllib.parse import urljoin, urlsplit

import jsonschema
import pytest
from tests.support.site_pages import made
from tests.support.tables import OVERLAY

from catalogue import images
from catalogue.paths import ROOT
from explain import choose
from page import command, facts
from page.published import Published
from page.site import DOCUMENTS, Pages
from portable import errors

CATALOGUE = images.load(overlay=images.NO_OVERLAY)
SCHEMA = json.loads((ROOT / "docs" / "api.schema.json").read_text(encoding="utf-8"))
NAME = "manylinux_2_36_x86_64"


class Links(HTMLParser):
    """What a page names, what it loads, and the places in it."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.named: list[str] = []
        self.loaded: list[str] = []
        self.ids: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = dict(attrs)
        self.tags.append((tag, found))
        if found.get("id"):
            self.ids.append(str(found["id"]))
        if tag == "a":
            self.named.append(str(found.get("href")))
        elif tag == "link" and found.get("rel") == "alternate":
            self.named.append(str(found["href"]))
        else:
            self.loaded += [str(value) for name, value in found.items() if name in ("src", "href", "srcset", "data")]


def pages(files: dict[str, str]) -> dict[str, Links]:
    return {path: Links(text) for path, text in files.items() if path.endswith(".html")}


def test_every_link_leads_somewhere(plain: dict[str, str]) -> None:
    found, wrong = pages(plain), []
    for path, page in found.items():
        for link in (*page.named, *page.loaded):
            parts = urlsplit(urljoin(f"https://here/{path}", link))
            if parts.hostname != "here":
                continue
            target = parts.path.removeprefix("/")
            target += "index.html" if target.endswith("/") or not target else ""
            if target not in plain or (parts.fragment and parts.fragment not in found[target].ids):
                wrong.append(f"{path}: {link}")
    assert not wrong
    assert len(found) > 150


def test_every_page_can_be_reached_from_the_first(plain: dict[str, str]) -> None:
    found = pages(plain)
    seen, todo = set(), ["index.html"]
    while todo:
        path = todo.pop()
        if path in seen or path not in found:
            continue
        seen.add(path)
        for link in found[path].named:
            if not urlsplit(link).scheme:
                target = posixpath.normpath(posixpath.join("/", posixpath.dirname(path), link.partition("#")[0]))
                todo.append(posixpath.join(target, "index.html").lstrip("/"))
    assert set(found) == seen


def test_a_page_loads_only_our_own_files_and_runs_nothing_else(plain: dict[str, str]) -> None:
    for path, page in pages(plain).items():
        assert [link for link in page.loaded if urlsplit(link).scheme or link.startswith("//")] == [], path
        policies = [tag[1]["content"] for tag in page.tags if tag[1].get("http-equiv") == "Content-Security-Policy"]
        assert policies and "default-src 'none'" in str(policies[0]) and "unsafe" not in str(policies[0])
        inline = [tag for tag, found in page.tags if tag == "style" or (tag == "script" and not found.get("src"))]
        assert not inline and not [name for _, found in page.tags for name in found if name.startswith(("on", "style"))]
        assert len(page.ids) == len(set(page.ids)), path
    for path in ("static/site.css", "static/icon.svg"):
        text = plain[path].replace("http://www.w3.org/2000/svg", "")
        assert "url(" not in text and "@import" not in text and "//" not in text


def test_the_first_page_is_small(plain: dict[str, str]) -> None:
    loaded = {posixpath.normpath(link) for link in pages(plain)["index.html"].loaded}
    assert sum(len(plain[path].encode()) for path in ("index.html", *loaded)) < 200_000


def test_what_is_only_known_of_published_images_is_absent_without_it(plain: dict[str, str]) -> None:
    text = plain[f"images/{NAME}/index.html"]
    assert "sha256:" not in text and "Smoke tests" not in text and "sbom" not in text
    document = json.loads(plain[f"api/v1/images/{NAME}.json"])["image"]
    assert (document["digest"], document["content"], document["smoke"], document["sbom"]) == ("", None, None, False)


def test_what_is_known_of_a_published_image_is_shown() -> None:
    digest, hostile = f"sha256:{'7' * 64}", "<script>alert(1)</script>"
    content = {
        "interpreters": [{"name": "cp313-cp313", "version": "3.13.99"}],
        "tools": [{"name": "auditwheel", "version": "99.1"}],
        "components": [{"name": "git", "version": "99.2"}],
        "packages": [{"name": hostile, "version": "1"}],
        "compilers": {"gcc": "gcc (Debian) 99.3"},
        "commit": "c" * 40,
    }
    known = {"id": "CVE-2026-1", "part": "git", "version": "99.2", "fixed": ["99.3"]}
    change = {"text": hostile, "url": "javascript:alert(1)", "of": "all images"}
    words = {"slug": "a..b", "old": "a", "new": "b", "title": "a → b", "day": "2026-11-24", "summary": "git has moved"}
    note = {**words, "images": [NAME], "sections": [{"title": "Everything else", "changes": [change]}]}
    site = made(
        {NAME: Published("2026.11.24-1", digest, content, None, '{"spdxVersion": "SPDX-2.3"}', [note], [known])}
    )
    files = dict(site.files())
    text = files[f"images/{NAME}/index.html"]
    assert f"@{digest}" in text and f"{NAME}:2026.11.24-1" in text
    assert all(version in text for version in ("3.13.99", "99.1", "99.2", "99.3"))
    assert "CVE-2026-1" in text
    assert hostile not in text and "&lt;script&gt;" in text
    assert "cp313-cp313t" not in text  # the table has it, this image does not
    assert 'href="../../notes/a..b/">a → b</a>' in text and f"/commit/{'c' * 40}" in text
    assert hostile not in files["notes/a..b/index.html"] and "javascript:" not in files["notes/a..b/index.html"]
    assert "git has moved" in files["notes/index.html"] and "git has moved" in files["notes/atom.xml"]
    assert files[f"images/{NAME}/sbom.spdx.json"] == '{"spdxVersion": "SPDX-2.3"}'
    assert json.loads(files[f"api/v1/images/{NAME}.json"])["image"]["content"] == content
    listed = {image["name"]: image for image in json.loads(files["api/v1/images.json"])["images"]}
    assert listed[NAME]["digest"] == digest and "packages" not in listed[NAME]["content"]
    for path in (f"api/v1/images/{NAME}.json", "api/v1/images.json", "api/v1/notes.json"):
        jsonschema.validate(json.loads(files[path]), SCHEMA)


def test_every_document_follows_the_schema(plain: dict[str, str]) -> None:
    checker = jsonschema.Draft202012Validator(SCHEMA)
    documents = [path for path in plain if path.startswith("api/v1/") and path != "api/v1/schema.json"]
    for path in documents:
        assert [error.message for error in checker.iter_errors(json.loads(plain[path]))] == [], path
    assert len(documents) == 8 + len(CATALOGUE.all_images)
    assert {file for file, _ in DOCUMENTS if "<" not in file} <= set(plain)


def test_the_schema_knows_no_key_that_is_never_there() -> None:
    image = facts.image_facts(made().tables, CATALOGUE.image(NAME))
    assert list(image) == list(SCHEMA["$defs"]["image"]["properties"])


# --- What it says -----------------------------------------------------------------------------------------------------


def test_there_is_a_page_for_each_thing_of_the_tables(plain: dict[str, str]) -> None:
    tables = made().tables
    wanted = [f"images/{image.name}/" for image in CATALOGUE.all_images]
    wanted += [f"policies/{name}/" for name in (*CATALOGUE.policies, *CATALOGUE.retired)]
    wanted += [f"interpreters/{tag}/" for tag in CATALOGUE.interpreters]
    wanted += [f"distributions/{facts.slug(release.title)}/" for release in tables.releases]
    wanted += [f"choose/{name}/" for name in CATALOGUE.platforms]
    assert {f"{path}index.html" for path in wanted} <= set(plain)
    assert len(wanted) == len(set(wanted))


@pytest.mark.parametrize("platform", CATALOGUE.platforms)
def test_the_answers_are_those_of_choose(
    plain: dict[str, str], platform: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [row for row in json.loads(plain["api/v1/choices.json"])["choices"] if row["platform"] == platform]
    assert len(rows) == 9
    for row in rows if platform == "x86_64" else rows[:2]:
        asked = ["--python", row["python"]] if row["python"] else []
        monkeypatch.setattr(sys, "argv", ["scripts choose", "--json", "--platform", platform, *asked])
        choose.main()
        said = json.loads(capsys.readouterr().out)
        assert (said["pythons"], said["answers"]) == (row["pythons"], row["answers"])
    answer = rows[0]["answers"][0]
    assert f"<code>{answer['image']}</code>" in plain[f"choose/{platform}/index.html"]


def test_a_release_of_a_distribution_names_the_wheels_that_run_there(plain: dict[str, str]) -> None:
    rows = {row["name"]: row for row in json.loads(plain["api/v1/distributions.json"])["distributions"]}
    assert rows["RHEL 8"]["policies"] == ["manylinux_2_28", "manylinux2014"]
    assert rows["RHEL 8"]["newest_image"]["x86_64"] == "manylinux_2_28_x86_64"
    assert rows["Alpine 3.22"]["policies"] == ["musllinux_1_2"]
    assert rows["Oracle Linux 6"]["policies"] == [] and rows["Oracle Linux 6"]["retired_policies"][0] == "manylinux2010"
    assert "Which wheels run on RHEL 8" in plain["distributions/rhel-8/index.html"]


def test_names_keep_their_letters_at_the_beginning_of_a_sentence(plain: dict[str, str]) -> None:
    text = plain["calendar/index.html"]
    assert "<span>cp39-cp39 leaves the images (" in text and "<span>manylinux2014 leaves the images (" in text
    assert "<span>The series 3.5 of openssl is no longer maintained upstream.</span>" in text


def test_what_has_ended_is_said_by_the_day() -> None:
    site = made()
    end = CATALOGUE.policies["manylinux_2_28"].eol
    for day, ended in ((end, False), (end.replace(year=end.year + 1), True)):
        tables = replace(site.tables, today=day)
        assert facts.image_facts(tables, CATALOGUE.image("manylinux_2_28_x86_64"))["base_ended"] is ended


# --- The command ------------------------------------------------------------------------------------------------------


def test_a_fork_has_the_page_of_its_overlay(tmp_path: Path) -> None:
    overlay, output = tmp_path / "acme.toml", tmp_path / "site"
    overlay.write_text(OVERLAY, encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "scripts", "site", "--output", str(output)],
        cwd=ROOT, env={**os.environ, "MANYLINUX_IMAGES_OVERLAY": str(overlay)}, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    catalogue = images.load(overlay=overlay)
    index = json.loads((output / "api/v1/index.json").read_text(encoding="utf-8"))
    assert index["registry"] == catalogue.registry and index["source"] == catalogue.source
    assert index["images"] == [image.name for image in catalogue.all_images]
    assert catalogue.source in (output / "index.html").read_text(encoding="utf-8")
    assert not (output / "images" / "manylinux2014_x86_64").exists()


def test_a_directory_of_somebody_else_is_left_alone(tmp_path: Path, plain: dict[str, str]) -> None:
    class Few:
        def files(self) -> Iterator[tuple[str, str]]:
            yield "images/x/index.html", plain["index.html"]

    pages = cast(Pages, Few())
    (tmp_path / "thesis.tex").write_text("years of work")
    with pytest.raises(errors.UserError, match="was not made by this command"):
        command.write(pages, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]
    assert command.write(pages, tmp_path / "site") == 1
    (tmp_path / "site" / "images" / "gone").mkdir()
    command.write(pages, tmp_path / "site")  # its own is replaced
    assert [path.name for path in (tmp_path / "site" / "images").iterdir()] == ["x"]


@pytest.mark.parametrize(
    ("source", "address"),
    [
        ("https://github.com/pypa/manylinux", "https://pypa.github.io/manylinux/"),
        ("https://github.com/Acme/Acme.github.io", "https://acme.github.io/"),
        ("https://example.org/acme/manylinux", "https://example.org/acme/manylinux/"),
    ],
)
def test_the_page_is_where_github_shows_it(source: str, address: str) -> None:
    assert command.address_of(source) == address


def test_an_address_that_is_none_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(sys, "argv", ["scripts site", "--address", "example.org", "--output", str(tmp_path / "site")])
    with pytest.raises(errors.UserError, match=r"--address example\.org: give an https:// address"):
        command.main()
    assert list(tmp_path.iterdir()) == []
