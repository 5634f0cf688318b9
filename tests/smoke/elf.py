"""The doctor's reader of ELF, which scripts/smoke brings into the container beside this suite."""

from __future__ import annotations

from pathlib import Path

from doctor.elf import MAGIC, Elf, parse
from doctor.loading import defects

__all__ = ["Elf", "defects", "is_elf", "loader", "parse"]


def is_elf(path: Path) -> bool:
    """Whether a file begins like ELF; unreadable ones do not."""
    try:
        with path.open("rb") as file:
            return file.read(4) == MAGIC
    except OSError:
        return False


def loader(program: Path) -> str:
    """The dynamic loader that a program names. Raises ValueError where it names none."""
    if found := parse(program.read_bytes()).interpreter:
        return found
    raise ValueError(f"{program} is not dynamically linked")
