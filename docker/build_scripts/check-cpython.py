"""Fails unless the running CPython is the requested one and complete.

Arguments: the interpreter's tag, or shared-cpython-X.Y for one with a shared libpython, and its version. Runs on every
CPython from 3.8 on.
"""

import importlib
import subprocess
import sys
import sysconfig
from pathlib import Path

MODULES = """_bz2 _crypt _ctypes _curses _curses_panel _dbm _decimal _elementtree _gdbm _hashlib _lzma _socket
_sqlite3 _ssl _tkinter _uuid binascii pyexpat readline zlib test.support""".split()


def linked(path):
    """The output of ldd: the shared libraries of a program or an extension module."""
    return subprocess.run(["ldd", path], capture_output=True, text=True).stdout


def main():
    """Prints one line a problem; returns the number of problems."""
    tag, version = sys.argv[1:]
    minor = sys.version_info[:2]
    problems = []

    name = "cp{}{}".format(*minor)
    name += "-" + name + sys.abiflags
    if sysconfig.get_config_var("Py_ENABLE_SHARED"):
        name = "shared-cpython-{}.{}{}".format(*minor, sys.abiflags)
        if sys.prefix + "/lib/libpython" not in linked(sys.executable):
            problems.append(f"{sys.executable} does not find the libpython beside it")
    if tag != name:
        problems.append(f"this is {name}, not {tag}")
    if sys.version.split()[0].rstrip("+") != version:
        problems.append(f"this is {sys.version.split()[0]}, not {version}")

    modules = [m for m in MODULES if m != "_crypt" or minor < (3, 13)]
    for module in modules + (["_zstd"] if minor >= (3, 14) else []):
        try:
            importlib.import_module(module)
        except ImportError as error:
            problems.append(f"import {module}: {error}")
    own = {"_sqlite3": "sqlite3"}
    for openssl in Path("/opt/_internal").glob("openssl-*"):
        own["_ssl"] = own["_hashlib"] = openssl.name
    if minor >= (3, 13):
        own["_decimal"] = "mpdecimal"
    if minor >= (3, 14):
        own["_zstd"] = "zstd"
    for module, prefix in own.items():
        if Path("/opt/_internal", prefix).exists() and "/opt/_internal/" + prefix not in linked(
            importlib.import_module(module).__file__
        ):
            problems.append(f"{module} is not linked to /opt/_internal/{prefix}")

    wanted = {"CC": "gcc", "CXX": "g++", "LDSHARED": "gcc -shared", "LDCXXSHARED": "g++ -shared"}
    for variable, program in wanted.items():
        words = (sysconfig.get_config_var(variable) or "").split()
        value = " ".join(w for w in words if w != "-pthread" and not w.startswith("-Wl,-z,stack-size="))
        if value != program:
            problems.append(f"sysconfig {variable}: {value!r}, not {program!r}")
    for variable in ("CFLAGS", "LDFLAGS", "LDSHARED", "PY_CFLAGS"):
        for flag in ("-fstack-protector", "-Bsymbolic", "debug-prefix-map", "-z,relro"):
            if flag in (sysconfig.get_config_var(variable) or ""):
                problems.append(f"sysconfig {variable} hands {flag} on to extensions")
    for problem in problems:
        print(problem, file=sys.stderr)
    return len(problems)


if __name__ == "__main__":
    sys.exit(main())
