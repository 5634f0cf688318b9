"""Runs in a root file system, by its own Python (3.6 and newer): imports modules and loads objects, each in a process.

Standard input has {"modules": [...], "objects": [...], "site": directory, "trap": bool}, standard output a list of
[what, name, problem], "" for none. A process is forked and never executed anew, so that what emulates this one emulates
it, too.
"""

import ctypes
import importlib
import json
import mmap
import os
import signal
import sys
from typing import Any, Callable, Optional

SECONDS = 300  # of one import, which may be emulated
RTLD_LAZY = 1
LAZILY = "lazily: "  # what comes before the reason why an object was not bound at once

# haddps xmm0, xmm0 (SSE3) and pshufb xmm0, xmm0 (SSSE3), each followed by ret
BEYOND = {"SSE3": b"\xf2\x0f\x7c\xc0\xc3", "SSSE3": b"\x66\x0f\x38\x00\xc0\xc3"}


def attempt(function: Callable[..., Optional[str]], *arguments: Any) -> str:
    """The problem that a function has in a process of its own: its exception, or the signal that ends it."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reader)
        nothing = os.open(os.devnull, os.O_RDWR)
        for number in range(3):
            os.dup2(nothing, number)
        signal.alarm(SECONDS)
        problem = ""
        try:
            problem = function(*arguments) or ""
        except BaseException as error:
            problem = f"{type(error).__name__}: {error}"
        os.write(writer, b"." + problem.encode("utf-8", "replace")[:4000])
        os._exit(0)
    os.close(writer)
    status = os.waitpid(child, 0)[1]
    os.set_blocking(reader, False)
    try:
        said = os.read(reader, 65536).decode("utf-8", "replace")
    except BlockingIOError:
        said = ""
    os.close(reader)
    if os.WIFSIGNALED(status):
        return f"signal {os.WTERMSIG(status)}"
    return said[1:] if said else "it ended the process"


def load(path: str) -> str:
    """Loads an object and binds its symbols; functions later where they are of another Python than this."""
    try:
        ctypes.CDLL(path)
    except OSError as error:
        problem = str(error)
        if "undefined symbol: Py" not in problem and "undefined symbol: _Py" not in problem:
            raise
        libc = ctypes.CDLL(None)
        libc.dlopen.restype, libc.dlerror.restype = ctypes.c_void_p, ctypes.c_char_p
        if not libc.dlopen(path.encode(), RTLD_LAZY):
            lazily = (libc.dlerror() or b"").decode("utf-8", "replace")
            if "undefined symbol: Py" not in lazily and "undefined symbol: _Py" not in lazily:
                raise OSError(lazily) from None
        return LAZILY + problem
    return ""


def bring(name: str) -> None:
    """Imports a module."""
    importlib.import_module(name)


def execute(code: bytes) -> None:
    """Executes machine code."""
    memory = mmap.mmap(-1, mmap.PAGESIZE, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
    memory.write(code)
    ctypes.CFUNCTYPE(None)(ctypes.addressof(ctypes.c_char.from_buffer(memory)))()


def main() -> None:
    """Does what standard input asks for."""
    plan = json.load(sys.stdin)
    rows = []
    if plan["trap"]:
        rows += [["trap", name, attempt(execute, code)] for name, code in sorted(BEYOND.items())]
    sys.path.insert(0, plan["site"])
    rows += [["import", name, attempt(bring, name)] for name in plan["modules"]]
    rows += [["load", name, attempt(load, plan["site"] + "/" + name)] for name in plan["objects"]]
    json.dump(rows, sys.stdout)


if __name__ == "__main__":
    main()
