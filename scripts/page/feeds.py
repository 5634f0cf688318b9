"""The calendar (iCalendar, RFC 5545) and the feed of notes (Atom, RFC 4287)."""

from __future__ import annotations

import datetime
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterable, Sequence
from typing import Any

ATOM = "http://www.w3.org/2005/Atom"
LONGEST_LINE = 75  # bytes, without the line's end


def calendar(endings: Iterable[dict[str, Any]], today: datetime.date, address: str) -> str:
    """Each ending as an event of a whole day."""
    lines = ["BEGIN:VCALENDAR", "VERSION:2.0", "PRODID:-//manylinux//images//EN", "X-WR-CALNAME:manylinux images"]
    for ending in endings:
        day = datetime.date.fromisoformat(ending["day"])
        lines += [
            "BEGIN:VEVENT",
            f"UID:{ending['id']}@manylinux",
            f"DTSTAMP:{today:%Y%m%d}T000000Z",
            f"DTSTART;VALUE=DATE:{day:%Y%m%d}",
            f"DTEND;VALUE=DATE:{day + datetime.timedelta(days=1):%Y%m%d}",
            f"SUMMARY:{_escaped(ending['what'])}",
            f"URL:{address}calendar/",
            "TRANSP:TRANSPARENT",
            "END:VEVENT",
        ]
    lines.append("END:VCALENDAR")
    return "".join(f"{_folded(line)}\r\n" for line in lines)


def _escaped(text: str) -> str:
    for character in "\\;,":
        text = text.replace(character, f"\\{character}")
    return text.replace("\n", "\\n")


def _folded(line: str) -> str:
    """Lines of 75 bytes at most, each further one indented by a space; no character is cut."""
    parts, current = [], ""
    for character in line:
        if len(f"{current}{character}".encode()) > LONGEST_LINE:
            parts.append(current)
            current = " "
        current += character
    return "\r\n".join([*parts, current])


def atom(notes: Sequence[dict[str, Any]], today: datetime.date, address: str) -> str:
    """The notes between tags, newest first; their text is on the page."""
    ElementTree.register_namespace("", ATOM)
    feed = ElementTree.Element(f"{{{ATOM}}}feed")

    def add(parent: ElementTree.Element, name: str, text: str = "", **attributes: str) -> ElementTree.Element:
        element = ElementTree.SubElement(parent, f"{{{ATOM}}}{name}", attributes)
        element.text = text or None
        return element

    add(feed, "title", "What changed in the manylinux images")
    add(feed, "id", f"{address}notes/")
    add(feed, "link", href=f"{address}notes/")
    add(feed, "link", rel="self", href=f"{address}notes/atom.xml")
    add(feed, "updated", f"{max([note['day'] for note in notes if note['day']], default=today.isoformat())}T00:00:00Z")
    add(add(feed, "author"), "name", "manylinux")
    for note in notes:
        entry = add(feed, "entry")
        add(entry, "title", note["title"])
        add(entry, "id", f"{address}notes/{note['slug']}/")
        add(entry, "link", href=f"{address}notes/{note['slug']}/")
        add(entry, "updated", f"{note['day'] or today.isoformat()}T00:00:00Z")
        add(entry, "summary", note["summary"])
    ElementTree.indent(feed)
    return ElementTree.tostring(feed, encoding="unicode", xml_declaration=True) + "\n"
