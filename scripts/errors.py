"""The two ways a command of this repository ends early."""

from __future__ import annotations

import os
import select
import signal
import sys
from collections.abc import Callable
from typing import TextIO


class UserError(Exception):
    """The request itself is wrong: the message names what would be right. Exit status 2."""


class Failure(Exception):
    """The request was fine but could not be carried out: the message names the way out. Exit status 1."""


def run(main: Callable[[], int | None]) -> int:
    """Calls `main` and returns the exit status: its own (None counts as 0), 1 after a Failure, 2 after a UserError.

    Whose output nobody reads any more, as in `... | head`, ends as other programs do, without a word."""
    try:
        try:
            return _status(main)
        finally:
            if sys.stdout:
                sys.stdout.flush()  # here, and not when Python ends
    except BrokenPipeError:
        if not any([_is_closed(sys.stdout), _is_closed(sys.stderr)]):
            raise  # some other connection's
        return 128 + signal.SIGPIPE


def _status(main: Callable[[], int | None]) -> int:
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


def _is_closed(stream: TextIO | None) -> bool:
    """Whether nobody reads a stream any more; if so, what is left in it and what follows go nowhere."""
    if not stream:
        return False
    poll = select.poll()
    poll.register(stream.fileno(), 0)  # errors are always reported
    if not poll.poll(0):
        return False
    os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
    return True
