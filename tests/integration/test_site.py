"""The page in a real browser, Debian's chromium: every page, on a desk and on a phone, in the light and in the dark."""

from __future__ import annotations

import http.server
import json
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from catalogue import images
from catalogue.paths import ROOT

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page, Request, Response

sync_api = pytest.importorskip("playwright.sync_api", reason="needs playwright, of which this machine has no wheel")
pytestmark = pytest.mark.program("chromium")

CATALOGUE = images.load(overlay=images.NO_OVERLAY)
NAME = "manylinux_2_36_x86_64"
DESK, PHONE, SMALLEST = 1280, 390, 320  # CSS pixels; 320 is what WCAG 2.2 asks for ("reflow")
# One page of each template, and the full page of a published image.
TEMPLATES = [
    "",
    "images/",
    f"images/{NAME}/",
    "images/manylinux_2_28_x86_64-shared/",
    "policies/",
    "policies/manylinux_2_28/",
    "policies/manylinux1/",
    "distributions/",
    "distributions/rhel-8/",
    "interpreters/",
    "interpreters/graalpy312-graalpy250_312_native/",
    "choose/",
    "choose/armv7l/",
    "calendar/",
    "notes/",
    "api/",
]


class Server(http.server.ThreadingHTTPServer):
    """Serves a directory on loopback as any web server would."""

    def __init__(self, directory: Path) -> None:
        class Handler(http.server.SimpleHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def __init__(self, *arguments: Any) -> None:
                super().__init__(*arguments, directory=str(directory))

            def end_headers(self) -> None:
                self.send_header("Cache-Control", "max-age=600")
                super().end_headers()

            def log_message(self, format: str, *arguments: Any) -> None:
                pass

        super().__init__(("127.0.0.1", 0), Handler)

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/"


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page, as `python3 scripts site` writes it; one image is described in full."""
    place = tmp_path_factory.mktemp("site")
    image = place / "descriptions" / NAME
    image.mkdir(parents=True)
    manifest = {
        "schema": 1,
        "interpreters": [{"name": "cp313-cp313", "version": "3.13.99"}],
        "tools": [{"name": "auditwheel", "version": "6.8.2"}],
        "components": [{"name": "git", "version": "2.55.0"}],
        "packages": [{"name": f"package-{number}", "version": "1.0"} for number in range(300)],
        "compilers": {"gcc": "gcc (Debian 12.2.0-14) 12.2.0"},
    }
    (image / "manifest.json").write_text(json.dumps(manifest), encoding="utf-8")
    (image / "digest.txt").write_text(f"quay.io/pypa/{NAME}:2026.11.24-1@sha256:{'0123456789abcdef' * 4}\n")
    (image / "sbom.spdx.json").write_text('{"spdxVersion": "SPDX-2.3"}\n', encoding="utf-8")
    (image / "smoke.xml").write_text('<testsuite><testcase name="ssl"/></testsuite>', encoding="utf-8")
    command = [sys.executable, "scripts", "site", "--descriptions", str(image.parent), "--output", str(place / "out")]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return place / "out"


@pytest.fixture(scope="module")
def site(written: Path) -> Iterator[str]:
    with Server(written) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server.address
        server.shutdown()
        thread.join()


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"))
        yield browser
        browser.close()


@pytest.fixture
def page(browser: Browser, site: str) -> Iterator[Page]:
    """A page that fails the test when the browser complains, or asks any other host."""
    wrong: list[str] = []
    with browser.new_context(viewport={"width": DESK, "height": 900}, base_url=site) as context:
        page = context.new_page()

        def answered(response: Response) -> None:
            if not response.ok or not response.url.startswith(site):
                wrong.append(f"{page.url}: {response.status}: {response.url}")

        def failed(request: Request) -> None:
            if request.failure != "net::ERR_ABORTED":  # the test has left the page before the icon was there
                wrong.append(f"{page.url}: {request.failure}: {request.url}")

        page.on("console", lambda message: wrong.append(f"{page.url}: {message.type}: {message.text}"))
        page.on("pageerror", lambda error: wrong.append(f"{page.url}: {error}"))
        page.on("requestfailed", failed)
        page.on("response", answered)
        yield page
    assert wrong == []


def test_every_page_and_every_link_of_it(page: Page, written: Path, site: str) -> None:
    links: set[str] = set()
    paths = sorted(path.parent.relative_to(written).as_posix() for path in written.rglob("index.html"))
    for path in paths:
        page.goto("" if path == "." else f"{path}/")
        assert page.locator("h1").count() == 1, path
        links |= set(page.eval_on_selector_all("a[href]", "all => all.map(a => a.href)"))
    ours = {link.partition("#")[0].removeprefix(site) for link in links if link.startswith(site)}
    missing = {link for link in ours if not (written / link / "index.html").exists() and not (written / link).is_file()}
    assert missing == set()
    assert len(paths) > 150 and len(ours) > len(paths)


@pytest.mark.parametrize(("width", "theme"), [(DESK, "light"), (PHONE, "dark")])
def test_axe_finds_nothing(page: Page, width: int, theme: str) -> None:
    axe = (resources.files("axe_playwright_python") / "axe.min.js").read_text(encoding="utf-8")
    page.emulate_media(color_scheme=theme)  # type: ignore[arg-type]
    page.set_viewport_size({"width": width, "height": 800})
    found = []
    for path in TEMPLATES:
        page.goto(path)
        page.evaluate(axe)
        answer = page.evaluate("axe.run()")
        assert len(answer["passes"]) > 20
        found += [
            f"{path}: {each['id']}: {each['help']}: {[node['target'] for node in each['nodes']][:3]}"
            for each in answer["violations"]
        ]
    assert found == []


@pytest.mark.parametrize("width", [DESK, PHONE, SMALLEST])
def test_nothing_is_wider_than_the_screen(page: Page, width: int) -> None:
    page.set_viewport_size({"width": width, "height": 800})
    for path in TEMPLATES:
        page.goto(path)
        assert page.evaluate("document.documentElement.scrollWidth") <= width, path


def rows(page: Page) -> list[str]:
    """The first cells of the rows that can be seen."""
    return [each.inner_text() for each in page.locator("tbody tr:visible th").all()]


def test_the_filter_shows_the_rows_that_have_all_the_words(page: Page) -> None:
    page.goto("images/")
    every = rows(page)
    assert every == [image.name for image in CATALOGUE.images(published_only=False, variants=True)]
    box = page.get_by_role("searchbox", name="Find an image")
    box.fill("AARCH64 debian")
    wanted = [i.name for i in CATALOGUE.all_images if i.platform.name == "aarch64" and "Debian" in i.policy.title]
    assert rows(page) == wanted != []
    assert page.get_by_role("status").inner_text() == f"{len(wanted)} of {len(every)}"
    box.fill("nowhere")
    assert rows(page) == []
    box.fill("")
    assert rows(page) == every and page.get_by_role("status").inner_text() == ""


def test_without_javascript_nothing_is_missing_but_the_filter(browser: Browser, site: str) -> None:
    with browser.new_context(java_script_enabled=False, base_url=site) as context:
        page = context.new_page()
        page.goto("images/")
        assert len(rows(page)) == len(CATALOGUE.all_images)
        assert not page.locator(".filter").is_visible()


def test_the_answers_are_those_of_choose(page: Page) -> None:
    for platform, python in (("x86_64", "3.13"), ("aarch64", None), ("armv7l", "3.14")):
        asked = ["--python", python] if python else []
        command = [sys.executable, "scripts", "choose", "--json", "--platform", platform, *asked]
        said = json.loads(subprocess.run(command, cwd=ROOT, capture_output=True, text=True).stdout)["answers"][0]
        page.goto("choose/")
        row = page.locator("tbody tr").filter(has=page.locator(f'th:text-is("{python or "3.11 and newer"}")'))
        column = page.locator("thead th").all_inner_texts().index(platform)
        cell = row.locator("th, td").nth(column)
        assert cell.inner_text().strip("()") == said["policy"].removeprefix("manylinux").removeprefix("_")
        cell.locator("a").click()
        place = page.locator(f"[id='{python or 'maintained'}']")
        answer = place if python else page.locator(".answer")
        assert answer.get_by_role("link", name=said["policy"], exact=True).first.is_visible()
        assert f"{said['reaches']:.2f} %" in answer.inner_text()
        for caveat in said["caveats"]:
            assert caveat[1:] in page.locator("main").inner_text()
        if not python:
            assert said["image"] in answer.inner_text()


def test_a_keyboard_gets_to_the_content_and_through_the_tables(page: Page) -> None:
    page.goto("policies/")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Skip to the content"
    assert page.locator(".skip").bounding_box()["x"] >= 0  # type: ignore[index]
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.closest('main') !== null")
    style = "getComputedStyle(document.activeElement).outlineStyle"
    assert page.evaluate(style) == "solid"


def test_the_dark_is_dark_and_paper_is_white(page: Page) -> None:
    background = "getComputedStyle(document.documentElement).backgroundColor"
    page.goto("")
    light = page.evaluate(background)
    page.emulate_media(color_scheme="dark")
    assert page.evaluate(background) != light == "rgb(255, 255, 255)"
    page.emulate_media(color_scheme="dark", media="print")
    assert page.evaluate(background) == light
    assert not page.locator("nav").is_visible()


def test_what_a_published_image_holds_is_shown(page: Page) -> None:
    page.goto(f"images/{NAME}/")
    text = page.locator("main").inner_text()
    assert all(words in text for words in ("3.13.99", "2026.11.24-1", "@sha256:0123", "1 of 1 checks passed"))
    packages = page.locator("details li")
    assert packages.count() == 300 and not packages.first.is_visible()
    page.get_by_text("300 packages of the distribution").click()
    assert packages.first.is_visible()
