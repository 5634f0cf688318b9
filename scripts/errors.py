"""The two ways a command of this repository ends early."""

from __future__ import annotations

import sys
from collections.abc import Callable


class UserError(Exception):
    """The request itself is wrong: the message names what would be right. Exit status 2."""


class Failure(Exception):
    """The request was fine but could not be carried out: the message names the way out. Exit status 1."""


def run(main: Callable[[], int | None]) -> int:
    """Calls `main` and returns the exit status: its own (None counts as 0), 1 after a Failure, 2 after a UserError."""
    try:
        return main() or 0
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except Failure as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130
