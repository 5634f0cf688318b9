"""Reads docker/bases.toml: the digests of the base images, which `nox -s update_base_images` writes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from catalogue.paths import DOCKER
from portable.toml import REST, Digest, Reference, read, read_toml

BASES_TOML = DOCKER / "bases.toml"


@dataclass(frozen=True)
class _Table:
    """The file: a line for each base."""

    digests: Annotated[Mapping[Reference, Digest], REST]


def load(path: Path | None = None) -> Mapping[str, str]:
    """Image with its tag -> digest, of BASES_TOML or another file. Raises UserError where it breaks a law."""
    path = path or BASES_TOML
    return parse(read_toml(path), f"{path.name}:")


def parse(raw: Mapping[str, Any], where: str) -> Mapping[str, str]:
    """The parsed file; `where` begins every complaint."""
    return read(_Table, raw, where).digests
