"""What `push` has printed, read again for `manifest --candidates`."""

from __future__ import annotations

from pathlib import Path

import pytest

from portable import errors
from publish import steps

ONE, TWO = ("sha256:" + digit * 64 for digit in "12")


def test_a_directory_of_outputs_is_read_like_one_file(tmp_path: Path) -> None:
    (tmp_path / "a").write_text(f"quay.io/pypa/a@{ONE}\nquay.io/pypa/b@{TWO}\n", encoding="utf-8")
    (tmp_path / "b").write_text(f"quay.io/pypa/a@{ONE}\n\nquay.io/pypa/c@{TWO}", encoding="utf-8")
    both = {"quay.io/pypa/a": ONE, "quay.io/pypa/b": TWO}
    assert steps.read_handed(tmp_path / "a") == both
    assert steps.read_handed(tmp_path) == {**both, "quay.io/pypa/c": TWO}


@pytest.mark.parametrize(
    "text",
    [f"quay.io/pypa/a@{ONE}\nquay.io/pypa/a@{TWO}\n", "quay.io/pypa/a:latest", f"@{ONE}", "a@sha256:12", "\udcff"],
)
def test_anything_else_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "printed"
    path.write_bytes(text.encode(errors="surrogateescape"))
    with pytest.raises(errors.UserError, match="printed: "):
        steps.read_handed(path)


def test_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(errors.UserError, match="none: "):
        steps.read_handed(tmp_path / "none")
