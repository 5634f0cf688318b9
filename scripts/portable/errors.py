"""The two ways in which a command of this repository fails, and how every command ends."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from types import FrameType
from typing import TextIO

ENDINGS = (signal.SIGTERM, signal.SIGHUP)  # SIGHUP: the terminal was closed


class UserError(Exception):
    """The request is wrong; the message says what would be right. Exit status 2."""


class Failure(Exception):
    """The request is right but could not be carried out; the message names the fix. Exit status 1."""


def run(main: Callable[[], int | None]) -> int:
    """Calls `main` and returns the exit status: its own (None counts as 0), 1 after a Failure, 2 after a UserError.

    A command whose output nobody reads any more, as in `... | head`, ends silently, as other programs do."""
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
    except OSError as error:  # of what was still to be printed
        _drop(sys.stdout)
        print(f"error: standard output: {error.strerror}", file=sys.stderr)
        return 1


def _status(main: Callable[[], int | None]) -> int:
    try:
        with ended_as_by_ctrl_c():
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
    except BrokenPipeError:
        raise
    except OSError as error:
        print(f"error: {of_system(error)}", file=sys.stderr)
        return 1
    except UnicodeError as error:
        print(f"error: {of_text(error)}", file=sys.stderr)
        return 1


def of_system(error: OSError) -> str:
    """What the operating system refused, in one line: the path, if there is one, and why."""
    paths = [str(path) for path in (error.filename, error.filename2) if path is not None]
    return ": ".join([" -> ".join(paths) or type(error).__name__, error.strerror or str(error) or "it failed"])


def of_text(error: UnicodeError) -> str:
    """What cannot be written or read in which encoding, in one line."""
    if isinstance(error, UnicodeEncodeError):
        return f"{error.object[error.start : error.end]!a} cannot be written as {error.encoding}: set LC_ALL=C.UTF-8"
    if isinstance(error, UnicodeDecodeError):
        return f"what is read is not {error.encoding}: {error.object[error.start : error.end]!a} at byte {error.start}"
    return ascii(str(error))


@contextlib.contextmanager
def ended_as_by_ctrl_c() -> Iterator[None]:
    """Lets SIGTERM and SIGHUP end the block as Ctrl+C does, with time to clean up.

    A signal that our parent process ignores, as nohup does with SIGHUP, stays ignored."""

    def end(number: int, frame: FrameType | None) -> None:
        for each in taken:  # closing a terminal may send more than one
            signal.signal(each, signal.SIG_IGN)
        raise KeyboardInterrupt

    main_thread = threading.current_thread() is threading.main_thread()  # no other may set handlers
    taken = [each for each in ENDINGS if main_thread and signal.getsignal(each) == signal.SIG_DFL]
    for each in taken:
        signal.signal(each, end)
    try:
        yield
    finally:
        for each in taken:
            signal.signal(each, signal.SIG_DFL)


def _is_closed(stream: TextIO | None) -> bool:
    """Whether nobody reads a stream any more; if so, everything written to it from now on is dropped."""
    if not stream:
        return False
    poll = select.poll()
    poll.register(stream.fileno(), 0)  # errors are always reported
    if not poll.poll(0):
        return False
    _drop(stream)
    return True


def _drop(stream: TextIO) -> None:
    os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
