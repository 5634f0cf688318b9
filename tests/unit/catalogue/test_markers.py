"""What stands between markers is replaced, and nothing else."""

from __future__ import annotations

import pytest

from catalogue import markers
from portable import errors


def test_rendering_replaces_what_stands_between_markers_only() -> None:
    text = "before\n# begin a\nold\n# end a\nafter\n<!-- begin b -->\n<!-- end b -->\n"
    expected = "before\n# begin a\nnew\n# end a\nafter\n<!-- begin b -->\nlines\n\\1\n<!-- end b -->\n"
    assert markers.rendered(text, {"a": "new\n", "b": "lines\n\\1\n"}, "file") == expected


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("# begin a\n", "markers of a"),
        ("# end a\n# begin a\n", "markers of a"),
        ("# begin a\n# end a\n# begin a\n# end a\n", "markers of a"),
        ("", "no markers for a"),
        ("# begin a\n# end a\n# begin b\n# end b\n", "nothing renders b"),
    ],
)
def test_rendering_refuses_markers_that_do_not_fit(text: str, message: str) -> None:
    with pytest.raises(errors.Failure, match=message):
        markers.rendered(text, {"a": "x\n"}, "file")
