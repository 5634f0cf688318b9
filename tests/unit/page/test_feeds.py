"""The calendar and the feed, read as other programs read them."""

from __future__ import annotations

import datetime
import re
import xml.etree.ElementTree as ElementTree

from hypothesis import given
from hypothesis import strategies as st
from tests.support.site_pages import ADDRESS, TODAY

from catalogue import images
from page import feeds

CATALOGUE = images.load(overlay=images.NO_OVERLAY)


def events(text: str) -> list[dict[str, str]]:
    """The events of a calendar, by RFC 5545: lines unfolded, text unescaped."""
    lines = re.sub(r"\r\n[ \t]", "", text).split("\r\n")
    found: list[dict[str, str]] = []
    for line in lines:
        name, _, value = line.partition(":")
        if line == "BEGIN:VEVENT":
            found.append({})
        elif found and name != "END":
            found[-1][name] = re.sub(r"\\(.)", lambda match: "\n" if match[1] in "nN" else match[1], value)
    return found


def test_the_calendar_has_the_end_of_each_base_on_its_day(plain: dict[str, str]) -> None:
    found = {event["UID"]: event for event in events(plain["calendar.ics"])}
    for name, policy in CATALOGUE.policies.items():
        event = found[f"base-{name}@manylinux"]
        assert event["DTSTART;VALUE=DATE"] == f"{policy.eol:%Y%m%d}"
        assert event["DTEND;VALUE=DATE"] == f"{policy.eol + datetime.timedelta(days=1):%Y%m%d}"
        assert name in event["SUMMARY"]
    assert len(found) == plain["calendar.ics"].count("BEGIN:VEVENT")


@given(st.text(st.characters(exclude_categories=["Cc", "Cs"]), max_size=200))
def test_any_words_come_back_and_no_line_is_too_long(words: str) -> None:
    ending = {"id": "base-x", "day": "2030-01-31", "what": words}
    text = feeds.calendar([ending], TODAY, ADDRESS)
    assert max(len(line.encode()) for line in text.split("\r\n")) <= 75
    assert events(text)[0]["SUMMARY"] == words


def test_the_feed_is_well_formed_and_has_addresses_of_its_own(plain: dict[str, str]) -> None:
    atom = "{http://www.w3.org/2005/Atom}"
    feed = ElementTree.fromstring(plain["notes/atom.xml"])
    assert feed.tag == f"{atom}feed"
    assert feed.findtext(f"{atom}id") == f"{ADDRESS}notes/"
    assert {f"{atom}{name}" for name in ("title", "updated", "author", "link")} <= {child.tag for child in feed}


def test_a_note_is_an_entry() -> None:
    note = {"slug": "a-b", "title": "A & B", "day": "2026-11-24", "summary": "<b>"}
    feed = ElementTree.fromstring(feeds.atom([note], TODAY, ADDRESS))
    atom = "{http://www.w3.org/2005/Atom}"
    (entry,) = feed.findall(f"{atom}entry")
    assert (entry.findtext(f"{atom}title"), entry.findtext(f"{atom}summary")) == ("A & B", "<b>")
    assert entry.findtext(f"{atom}id") == f"{ADDRESS}notes/a-b/"
    assert feed.findtext(f"{atom}updated") == "2026-11-24T00:00:00Z"
