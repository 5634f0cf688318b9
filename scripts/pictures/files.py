"""The files of docs/pictures: README shows them, `nox -s render` writes them."""

from __future__ import annotations

from pathlib import Path

from catalogue import dependencies
from catalogue.model import Catalogue
from explain import reach
from explain.calendar import endings
from pictures.layers import layers
from pictures.reached import reached
from pictures.svg import THEMES, Drawing
from pictures.timeline import timeline

DIRECTORY = Path("docs/pictures")


def picture_files(catalogue: Catalogue) -> dict[Path, str]:
    """File, relative to the repository -> text: each picture on light and on dark paper, without today's date."""
    return {
        **_files(timeline(catalogue, endings(catalogue, dependencies.load()))),
        **reach_files(catalogue, reach.load()),
        **_files(layers()),
    }


def reach_files(catalogue: Catalogue, table: reach.ReachTable) -> dict[Path, str]:
    """Those of them that follow from docker/reach.toml."""
    return _files(reached(catalogue, table))


def _files(drawing: Drawing) -> dict[Path, str]:
    return {DIRECTORY / f"{drawing.name}-{theme}.svg": drawing.file(theme) for theme in THEMES}
