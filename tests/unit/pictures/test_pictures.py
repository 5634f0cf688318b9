"""The pictures: they show what the tables say, can be read by people and screen readers, and are the same each time."""

from __future__ import annotations

import dataclasses
import datetime
import itertools
import json
import re
import tomllib
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest
from tests.support import tables

from catalogue import dependencies, images
from catalogue.model import Catalogue
from explain import reach
from explain.calendar import Ending, endings
from pictures import files, layers, reached, svg, timeline

CATALOGUE = images.load(overlay=images.NO_OVERLAY)
PICTURES = files.picture_files(CATALOGUE)
SVG = "{http://www.w3.org/2000/svg}"


def boxes(text: str, kind: str) -> list[tuple[float, float]]:
    """Left edge and width of each rectangle of a colour."""
    found = re.findall(
        rf'<rect x="([\d.]+)" y="[\d.]+" width="([\d.]+)" height="[\d.]+" rx="\d" class="{kind}"/>', text
    )
    return [(float(x), float(width)) for x, width in found]


@pytest.mark.parametrize("path", PICTURES, ids=str)
def test_a_screen_reader_is_told_what_a_picture_shows(path: Path) -> None:
    root = ElementTree.fromstring(PICTURES[path])
    named = {element.get("id"): element.text or "" for element in root}
    title, description = (named[name] for name in root.attrib["aria-labelledby"].split())
    assert root.get("role") == "img" and title
    shown = {element.text for element in root.iter(f"{SVG}text")}
    figures = {text for text in shown if text and re.fullmatch(r"\d+\.\d\d %", text)}
    assert {text for text in figures if text not in description} == set()
    assert len(description) > 100


@pytest.mark.parametrize("path", PICTURES, ids=str)
def test_all_text_lies_on_the_paper(path: Path) -> None:
    root = ElementTree.fromstring(PICTURES[path])
    width, height = (float(root.attrib[name]) for name in ("width", "height"))
    for text in root.iter(f"{SVG}text"):
        x, kind, long = float(text.attrib["x"]), text.get("class", "").split(), 6.6 * len(text.text or "")
        left = x - long if "end" in kind else x - long / 2 if "middle" in kind else x
        assert left >= -1 and left + long <= width + 8 and 0 < float(text.attrib["y"]) < height, text.text


def luminance(colour: str) -> float:
    """Relative luminance of WCAG 2.2."""
    parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one: str, other: str) -> float:
    light, dark = sorted((luminance(one), luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


@pytest.mark.parametrize("theme", svg.THEMES)
def test_text_can_be_read_and_bars_can_be_told_apart_without_their_hues(theme: str) -> None:
    colours = svg.THEMES[theme]
    for paper in ("paper", "surface"):
        for ink in ("ink", "muted", "accent", "warm"):
            assert contrast(colours[ink], colours[paper]) >= 4.5, (ink, paper)
    assert contrast(colours["paper"], colours["accent"]) >= 4.5  # words in a bar
    assert contrast(colours["ink"], colours["soft"]) >= 4.5
    for one, other in (("accent", "soft"), ("accent", "track"), ("plain", "pale"), ("accent", "plain")):
        assert contrast(colours[one], colours[other]) >= 1.5, (one, other)


def test_a_picture_has_the_same_bytes_each_time() -> None:
    assert files.picture_files(CATALOGUE) == PICTURES


# --- Policies against years ------------------------------------------------------------------------------------------


def made_up() -> Catalogue:
    """Two published policies, of 2001 to 2011 and of 2006 to 2021."""
    text = tables.IMAGES.replace("eol = 2031-01-31", "released = 2001-01-01\neol = 2011-01-01")
    text = text.replace("eol = 2032-02-28", "released = 2006-01-01\neol = 2021-01-01")
    return images.parse(tomllib.loads(text), "made up:")


def test_a_bar_is_as_long_as_a_base_is_maintained() -> None:
    drawn = timeline.timeline(made_up(), []).inline()
    ((stable, ten_years),) = boxes(drawn, "accent")
    ((alpha, fifteen_years),) = boxes(drawn, "soft")
    assert fifteen_years / ten_years == pytest.approx(1.5, abs=0.01)
    assert (alpha - stable) / ten_years == pytest.approx(0.5, abs=0.01)
    assert "manylinux_2_91: Red 91, 2001-01-01 to 2011-01-01." in drawn


def test_pythons_end_at_their_day_and_today_is_drawn_where_it_is_asked_for() -> None:
    ends = [Ending(datetime.date(2011, 1, 1), "python", "3.99", "Python 3.99 ends")]
    drawn = timeline.timeline(made_up(), ends, datetime.date(2006, 1, 1)).inline()
    ((start, ten_years),) = boxes(drawn, "accent")
    ((alpha, _),) = boxes(drawn, "soft")
    (line,) = re.findall(r'<line x1="([\d.]+)" .* class="dash"/>', drawn)
    assert float(line) == pytest.approx(start + ten_years, abs=0.2)
    (today,) = re.findall(r'<line x1="([\d.]+)" .* class="today"/>', drawn)
    assert float(today) == pytest.approx(alpha, abs=0.2)
    assert "today" not in timeline.timeline(made_up(), ends).inline()


def test_every_published_policy_knows_when_its_base_came_out() -> None:
    for policy in timeline.shown(CATALOGUE):
        assert policy.released and policy.released < policy.eol, policy.name


def test_what_ends_is_what_the_tables_say() -> None:
    found = endings(CATALOGUE, dependencies.load())
    assert [ending.day for ending in found] == sorted(ending.day for ending in found)
    days = {ending.id: ending.day for ending in found}
    assert {f"base-{name}": policy.eol for name, policy in CATALOGUE.policies.items()}.items() <= days.items()
    rows = dependencies.load()
    minors = {i.minor for i in CATALOGUE.interpreters.values() if i.implementation == "cpython" and i.pin in rows}
    assert {f"python-{minor}" for minor in minors} == {name for name in days if name.startswith("python-")}
    assert days["leaves-cp39-cp39"] > days["python-3.9"]
    assert days["component-openssl"] == dependencies.load()["openssl"].end_of_life
    image = CATALOGUE.find("manylinux_2_36", "x86_64")
    assert "component-openssl" not in {ending.id for ending in found if ending.concerns(image)}
    assert "base-manylinux_2_36" in {ending.id for ending in found if ending.concerns(image)}


# --- Reach -----------------------------------------------------------------------------------------------------------


def test_a_bar_is_as_long_as_the_share_that_a_policy_reaches() -> None:
    drawn = reached.reached(CATALOGUE, reach.load()).inline()
    full = boxes(drawn, "track")[0][1]
    chosen = [float(share) for share in re.findall(r'class="bold">([\d.]+) %</text>', drawn)]
    widths = [width for x, width in boxes(drawn, "accent") if x > 50]
    assert widths == [pytest.approx(full * share / 100, abs=0.1) for share in chosen]
    assert len(chosen) == len(set(reach.load().downloads) & set(CATALOGUE.platforms))


def test_a_trend_is_shown_where_the_table_has_more_than_one_date() -> None:
    table = reach.load()
    assert "In brackets" not in reached.reached(CATALOGUE, table).inline()
    now = reach.shares(CATALOGUE, table)["x86_64"]["2.28"]
    earlier = reach.EarlierReach(datetime.date(2026, 5, 1), {"x86_64": {"2.28": round(100 * now) - 150}})
    drawn = reached.reached(CATALOGUE, dataclasses.replace(table, earlier=(earlier,))).inline()
    assert re.findall(r"[\d.]+ % \([^)]*\)", drawn) == [f"{now:.2f} % (+1.5)"], "only what is known has a trend"
    assert "since 2026-05-01" in drawn


# --- Layers ----------------------------------------------------------------------------------------------------------


def test_what_is_downloaded_again_is_what_was_measured() -> None:
    measured = json.loads(layers.MEASURED_JSON.read_text(encoding="utf-8"))
    total = sum(row["compressed"] for row in measured["layers"])
    again = sum(
        row["compressed"]
        for row in measured["layers"]
        if layers.downloaded_again(CATALOGUE, measured["bump"], row["made_by"])
    )
    assert again / total == pytest.approx(measured["downloaded_again"], abs=0.0002)
    assert f"{100 * again / total:.1f} %" in layers.layers().inline()


def test_the_layers_fill_the_width_of_the_picture() -> None:
    drawn = layers.layers().inline()
    first = [
        (float(x), float(width))
        for x, width in re.findall(r'<rect x="([\d.]+)" y="26.0" width="([\d.]+)" height="34.0"', drawn)
    ]
    assert first[0][0] == 0 and sum(first[-1]) == pytest.approx(layers.WIDTH, abs=2)
    for (x, width), (following, _) in itertools.pairwise(first):
        assert 0 <= following - x - width < 2
