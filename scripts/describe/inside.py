"""What one interpreter can do, as JSON on stdout. Each of an image runs this; CPython 3.8 is the oldest.

Modules of C are really imported, and those of Python that need such a module; the rest is listed by name: importing
everything would take seconds, under emulation minutes.
"""

from __future__ import annotations

import importlib
import importlib.machinery
import json
import os
import sys
import sysconfig
from pathlib import Path
from typing import Any

WRAPPERS = (
    "bz2 ctypes curses dbm.gnu dbm.ndbm decimal hashlib lzma readline sqlite3 ssl tkinter uuid zlib compression.zstd"
)
SLOW = {"_asyncio"}  # imports all of asyncio, which takes as long as everything else together; listed by name
# What extensions are built with, and what may differ between two builds of one version.
FLAGS = """
    ABIFLAGS AR BASECFLAGS BLDSHARED CC CCSHARED CFLAGS CONFIG_ARGS CPPFLAGS CXX EXT_SUFFIX LDCXXSHARED LDFLAGS LDSHARED
    LIBS MULTIARCH OPT Py_DEBUG Py_ENABLE_SHARED Py_GIL_DISABLED SHLIB_SUFFIX SOABI
"""


def modules() -> list[str]:
    """The names of what can be imported from the standard library."""
    library = Path(os.__file__).parent
    found = set(sys.builtin_module_names)
    for path in library.iterdir():
        if (path.suffix == ".py" or (path / "__init__.py").exists()) and not path.name.startswith("_sysconfigdata"):
            found.add(path.stem)
    compiled = {path.name.partition(".")[0] for path in library.glob("lib-dynload/*.so")}
    found |= compiled & SLOW
    for name in sorted(compiled.union(WRAPPERS.split()) - SLOW):
        try:
            importlib.import_module(name)
            found.add(name)
        except ImportError:
            found.discard(name)
    return sorted(found)


def optional(name: str) -> Any:
    """A module, None where it cannot be imported."""
    try:
        return importlib.import_module(name)
    except ImportError:
        return None


def libraries() -> dict[str, str]:
    """The versions of the libraries that modules are linked to or contain."""
    places = {
        "expat": ("pyexpat", "EXPAT_VERSION"),
        "mpdecimal": ("_decimal", "__libmpdec_version__"),
        "tk": ("_tkinter", "TK_VERSION"),
        "zlib": ("zlib", "ZLIB_RUNTIME_VERSION"),
        "zstd": ("_zstd", "zstd_version"),
    }
    found = {name: getattr(optional(module), attribute, "") for name, (module, attribute) in places.items()}
    return {name: version.replace("expat_", "") for name, version in found.items() if version}


def tls() -> dict[str, Any]:
    """Facts of ssl."""
    ssl = optional("ssl")
    if ssl is None:
        return {}
    protocols = [
        name for name in ("SSLv3", "TLSv1", "TLSv1_1", "TLSv1_2", "TLSv1_3") if getattr(ssl, "HAS_" + name, False)
    ]
    return {"version": ssl.OPENSSL_VERSION, "protocols": protocols, "alpn": ssl.HAS_ALPN}


def sqlite() -> dict[str, Any]:
    """Facts of sqlite3."""
    sqlite3 = optional("sqlite3")
    if sqlite3 is None:
        return {}
    connection = sqlite3.connect(":memory:")
    rows = connection.execute("PRAGMA compile_options")
    options = sorted(row[0] for row in rows if not row[0].startswith("COMPILER="))  # each compiler update changes that
    connection.close()
    return {"version": sqlite3.sqlite_version, "options": options}


def tags() -> tuple[list[str], list[str]]:
    """The (python, abi) pairs and the platforms of the tags that pip accepts, each in order of preference."""
    pairs: dict[str, None] = {}
    platforms: dict[str, None] = {}
    for tag in importlib.import_module("pip._vendor.packaging.tags").sys_tags():
        pairs[tag.interpreter + "-" + tag.abi] = platforms[tag.platform] = None
    return list(pairs), list(platforms)


def main() -> None:
    """Prints the facts."""
    values = sysconfig.get_config_vars()
    pairs, platforms = tags()
    facts = {
        "implementation": sys.implementation.name,
        "version": ".".join(map(str, sys.implementation.version[:3])),
        "modules": modules(),
        "libraries": libraries(),
        "ssl": tls(),
        "sqlite": sqlite(),
        "sysconfig": {name: values[name] for name in FLAGS.split() if values.get(name) is not None},
        "suffixes": importlib.machinery.EXTENSION_SUFFIXES,
        "tags": pairs,
        "platforms": platforms,
    }
    json.dump(facts, sys.stdout)


if __name__ == "__main__":
    main()
