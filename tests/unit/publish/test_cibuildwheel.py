"""What cibuildwheel pins: both forms of an entry, and that no other is passed over."""

from __future__ import annotations

import pytest

from portable import errors
from publish import cibuildwheel
from publish.cibuildwheel import PinnedImage

PINS = """\
[x86_64]
manylinux1 = quay.io/pypa/manylinux1_x86_64:2024-04-29-76807b8
manylinux_2_28 = quay.io/pypa/manylinux_2_28_x86_64@sha256:{digest}  # 2026.08.04-1

[pypy_x86_64]
manylinux2010 = pypywheels/manylinux2010-pypy_x86_64:2020-12-11-f1e0e80
"""


def test_both_forms_of_a_pin() -> None:
    digest = "0" * 64
    assert cibuildwheel.parse_pins(PINS.format(digest=digest), "v9") == [
        PinnedImage("manylinux1_x86_64", "2024-04-29-76807b8", "", "v9"),
        PinnedImage("manylinux_2_28_x86_64", "2026.08.04-1", f"sha256:{digest}", "v9"),
        PinnedImage("manylinux2010-pypy_x86_64", "2020-12-11-f1e0e80", "", "v9"),
    ]


@pytest.mark.parametrize(
    "value",
    ["quay.io/pypa/manylinux1_x86_64", "quay.io/pypa/x@sha256:" + "0" * 64, "quay.io/pypa/x@sha256:12  # 2026.01.01-1"],
)
def test_an_entry_that_cannot_be_read_is_an_error(value: str) -> None:
    with pytest.raises(errors.Failure, match="cannot read manylinux1"):
        cibuildwheel.parse_pins(f"[x86_64]\nmanylinux1 = {value}\n", "v9")


@pytest.mark.parametrize("text", ["manylinux1 = x:1\n", "[x86_64]\na = x:2021-01-01-a\na = x:2021-01-01-a\n"])
def test_a_list_that_cannot_be_read_is_an_error(text: str) -> None:
    with pytest.raises(errors.Failure, match=r"cibuildwheel v9: "):
        cibuildwheel.parse_pins(text, "v9")
