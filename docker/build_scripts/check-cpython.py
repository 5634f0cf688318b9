"""Fails unless the running CPython is the one that its build asked for, with nothing silently left out.

Arguments: the interpreter's tag and version. Runs on every CPython from 3.8 on.
"""

import importlib
import subprocess
import sys
import sysconfig
from pathlib import Path

MODULES = """_bz2 _crypt _ctypes _curses _curses_panel _dbm _decimal _elementtree _gdbm _hashlib _lzma _socket _sqlite3 _ssl
_tkinter _uuid binascii pyexpat readline zlib test.support""".split()


def linked(module):
    """The shared libraries of an extension module, as the dynamic linker finds them."""
    return subprocess.run(["ldd", importlib.import_module(module).__file__], capture_output=True, text=True).stdout


def main():
    tag, version = sys.argv[1:]
    minor = sys.version_info[:2]
    problems = []

    name = "cp%d%d" % minor
    if tag != name + "-" + name + sys.abiflags:
        problems.append("this is {}-{}{}, not {}".format(name, name, sys.abiflags, tag))
    if sys.version.split()[0].rstrip("+") != version:
        problems.append("this is {}, not {}".format(sys.version.split()[0], version))

    modules = [m for m in MODULES if m != "_crypt" or minor < (3, 13)]
    for module in modules + (["_zstd"] if minor >= (3, 14) else []):
        try:
            importlib.import_module(module)
        except ImportError as error:
            problems.append("import {}: {}".format(module, error))
    own = {"_sqlite3": "sqlite3"}
    if minor >= (3, 13):
        own["_decimal"] = "mpdecimal"
    if minor >= (3, 14):
        own["_zstd"] = "zstd"
    for module, prefix in own.items():
        if Path("/opt/_internal", prefix).exists() and "/opt/_internal/" + prefix not in linked(module):
            problems.append("{} is not linked to /opt/_internal/{}".format(module, prefix))

    for variable, program in (("CC", "gcc"), ("CXX", "g++"), ("LDSHARED", "gcc -shared"), ("LDCXXSHARED", "g++ -shared")):
        value = " ".join(w for w in (sysconfig.get_config_var(variable) or "").split() if w != "-pthread")
        if not (value == program or (program.endswith("-shared") and value.startswith(program + " -Wl,-z,stack-size="))):
            problems.append("sysconfig {}: {!r}, not {!r}".format(variable, value, program))
    for variable in ("CFLAGS", "LDFLAGS", "LDSHARED", "PY_CFLAGS"):
        for flag in ("-fstack-protector", "-Bsymbolic", "debug-prefix-map", "-z,relro"):
            if flag in (sysconfig.get_config_var(variable) or ""):
                problems.append("sysconfig {} hands {} on to extensions".format(variable, flag))
    for problem in problems:
        print(problem, file=sys.stderr)
    return len(problems)


if __name__ == "__main__":
    sys.exit(main())
