"""What things are called in scripts/."""

from __future__ import annotations

import ast
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

from catalogue.paths import ROOT

SHARED_WITH_THE_SUITE = {"Result"}  # what one check said: the image prints it, scripts/smoke reads it


def classes(directory: Path) -> Iterator[tuple[str, str]]:
    """Public class name and file, of every module below a directory."""
    for path in sorted(directory.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                yield node.name, str(path.relative_to(ROOT))


def test_no_public_class_name_exists_twice() -> None:
    """Whoever reads a name, or searches for it, finds one thing: two would differ by their module alone."""
    found = defaultdict(list)
    for name, path in classes(ROOT / "scripts"):
        found[name].append(path)
    assert {name: paths for name, paths in found.items() if len(paths) > 1} == {}


def test_the_suite_shares_the_names_of_what_it_shares() -> None:
    ours = {name for name, _ in classes(ROOT / "scripts")}
    assert {name for name, _ in classes(ROOT / "tests" / "smoke")} & ours == SHARED_WITH_THE_SUITE
