"""Runs `write` in an image that is being built: `python describe --root DIRECTORY`."""

from __future__ import annotations

import sys
from pathlib import Path

# In the image the rooms that this one imports are its own; in a checkout they are beside it.
sys.path[:0] = [str(Path(__file__).resolve().parents[1]), "/opt/_internal/manylinux"]

from describe import write  # noqa: E402

write.main()
