"""Parts of a file that follow from the tables: they stand between `begin name` and `end name`, in comments."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence

from portable import errors

# `# begin name: who writes this` in a Dockerfile, `<!-- begin name -->` in Markdown; the same with `end` after it.
_BLOCK = re.compile(
    r"^(?P<open>(?:#|<!--) begin (?P<name>[\w-]+)\b.*\n)(?P<text>(?:.*\n)*?)(?P<close>(?:#|<!--) end (?P=name)\b.*\n)",
    re.MULTILINE,
)
_MARKER = re.compile(r"^(?:#|<!--) (?:begin|end) ([\w-]+)", re.MULTILINE)


def rendered(text: str, blocks: Mapping[str, str], where: str, *, others: bool = False) -> str:
    """The text with every marked part replaced; with `others`, parts that are not in `blocks` stay as they are.

    Raises Failure for a marker without its other half, for a part nobody renders and for one without markers."""
    present = [match["name"] for match in _BLOCK.finditer(text)]
    markers = _MARKER.findall(text)
    if sorted(markers) != sorted([*present, *present]) or len(set(present)) != len(present):
        odd = sorted({name for name in markers if markers.count(name) != 2 or name not in present})
        raise errors.Failure(f"{where}: the markers of {', '.join(odd)} must come once each, `begin` before `end`")
    if (unknown := set(present) - set(blocks)) and not others:
        raise errors.Failure(f"{where}: nothing renders {', '.join(sorted(unknown))}")
    if missing := set(blocks) - set(present):
        raise errors.Failure(f"{where}: no markers for {', '.join(sorted(missing))}")
    return _BLOCK.sub(lambda match: match["open"] + blocks.get(match["name"], match["text"]) + match["close"], text)


def markdown_table(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table of Markdown."""
    lines = [headings, ["---"] * len(headings), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)
