"""Uses what the standard library gets from C libraries, one capability after the other. Runs on Python 3.8 and later.

Prints {"values": {name: what it said}, "errors": {name: what went wrong}, "maps": [files mapped into the process]}.
"""

import json
import os
import sys
import tempfile


def sqlite():
    import sqlite3

    connection = sqlite3.connect(":memory:")
    options = [row[0] for row in connection.execute("pragma compile_options")]
    for name, statement in (
        ("fts3", "create virtual table t3 using fts3(a)"),
        ("fts4", "create virtual table t4 using fts4(a)"),
        ("fts5", "create virtual table t5 using fts5(a)"),
        ("rtree", "create virtual table r using rtree(id, a, b)"),
        ("geopoly", "create virtual table g using geopoly(a)"),
    ):
        try:
            connection.execute(statement)
        except sqlite3.Error as error:
            raise RuntimeError("%s: %s" % (name, error)) from None
    connection.execute("insert into t5 values ('alpha beta')")
    assert connection.execute("select count(*) from t5 where t5 match 'beta'").fetchone() == (1,)
    assert connection.execute("select json_extract('{\"a\": 7}', '$.a'), sqrt(16.0)").fetchone() == (7, 4.0)
    return {"version": sqlite3.sqlite_version, "options": options}


def ssl():
    import ssl

    context = ssl.create_default_context()
    return {
        "version": ssl.OPENSSL_VERSION,
        "info": ssl.OPENSSL_VERSION_INFO,
        "tls13": ssl.HAS_TLSv1_3,
        "ciphers": len(context.get_ciphers()),
        "cafile": ssl.get_default_verify_paths().cafile,
        "authorities": len(context.get_ca_certs()),
    }


def hashes():
    import hashlib

    names = ("md5", "sha1", "sha224", "sha256", "sha384", "sha512", "sha3_256", "shake_128", "blake2b", "blake2s")
    lengths = {name: len(hashlib.new(name, b"smoke").digest(*([16] if "shake" in name else []))) for name in names}
    assert hashlib.sha256(b"").hexdigest().startswith("e3b0c44298fc1c14")
    if sys.implementation.name == "cpython":  # PyPy has it only with some versions of OpenSSL
        assert len(hashlib.scrypt(b"p", salt=b"s", n=2, r=1, p=1)) == 64
    assert len(hashlib.pbkdf2_hmac("sha256", b"p", b"s", 1)) == 32
    return lengths


def round_trip(name):
    module = __import__(name)
    data = b"smoke " * 4096
    assert module.decompress(module.compress(data)) == data
    return {
        "zlib": lambda: module.ZLIB_RUNTIME_VERSION,
        "bz2": lambda: "",
        "lzma": lambda: module.is_check_supported(module.CHECK_SHA256),
    }[name]()


def zstd():
    from compression import zstd

    data = b"smoke " * 65536
    options = {zstd.CompressionParameter.nb_workers: 2}
    assert zstd.decompress(zstd.compress(data, options=options)) == data
    return {"version": zstd.zstd_version, "workers": zstd.CompressionParameter.nb_workers.bounds()[1]}


def database(name):
    import importlib

    module = importlib.import_module(name)
    with tempfile.TemporaryDirectory() as directory:
        path = os.path.join(directory, "db")
        database = module.open(path, "n")
        database[b"key"] = b"value"
        database.close()
        database = module.open(path, "r")
        assert database[b"key"] == b"value"
        database.close()
    return getattr(module, "library", "")


def curses():
    import curses
    import curses.panel

    curses.setupterm("xterm", 1 if os.isatty(1) else os.open(os.devnull, os.O_WRONLY))
    assert curses.tigetstr("clear"), "terminfo of xterm lacks clear"
    assert curses.tigetnum("colors") >= 8
    return curses.version.decode()


def readline():
    import readline

    readline.parse_and_bind("tab: complete")
    readline.add_history("smoke")
    assert readline.get_history_item(1) == "smoke"
    return readline.__doc__


def ctypes():
    import ctypes
    import ctypes.util

    library = ctypes.CDLL(None)
    numbers = (ctypes.c_int * 3)(3, 1, 2)
    compare = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_int), ctypes.POINTER(ctypes.c_int))
    library.qsort(numbers, 3, ctypes.sizeof(ctypes.c_int), compare(lambda a, b: a[0] - b[0]))
    assert list(numbers) == [1, 2, 3]
    return {"m": ctypes.util.find_library("m"), "pointer": ctypes.sizeof(ctypes.c_void_p)}


def tkinter():
    import tkinter

    tcl = tkinter.Tcl()
    library = tcl.eval("info library")
    assert os.path.exists(os.path.join(library, "init.tcl")), "no init.tcl in %s" % library
    version = "%.1f" % tkinter.TkVersion
    around = [os.path.join(os.path.dirname(library), "tk" + version)]
    around += [os.path.join(path, "tk" + version) for path in tcl.eval("set auto_path").split()]
    assert any(os.path.exists(os.path.join(path, "tk.tcl")) for path in around), "no tk.tcl near %s" % library
    return {"tk": tkinter.TkVersion, "patchlevel": tcl.eval("info patchlevel")}


def decimal():
    import decimal

    assert decimal.Decimal(2).sqrt() == decimal.Decimal("1.414213562373095048801688724")
    try:
        import _decimal
    except ImportError:
        _decimal = None
    return {
        "compiled": _decimal is not None and decimal.Decimal is _decimal.Decimal,
        "version": getattr(decimal, "__libmpdec_version__", ""),
    }


def processes():
    import concurrent.futures
    import multiprocessing

    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        assert list(pool.map(abs, [-1, -2])) == [1, 2]
    lock = multiprocessing.get_context("fork").Lock()
    assert lock.acquire(timeout=1)
    return multiprocessing.cpu_count()


def sockets():
    import select
    import socket

    assert hasattr(select, "epoll")
    left, right = socket.socketpair()
    left.sendall(b"x")
    assert right.recv(1) == b"x"
    return {"ipv6": socket.has_ipv6}


def uuids():
    import uuid

    assert uuid.uuid1().version == 1 and uuid.uuid4().version == 4
    import _uuid

    return bool(_uuid.has_uuid_generate_time_safe)


def locales():
    import locale

    return {
        "locale": locale.setlocale(locale.LC_ALL, ""),
        "filesystem": sys.getfilesystemencoding(),
        "stdout": sys.stdout.encoding,
    }


def expat():
    import pyexpat
    from xml.etree import ElementTree

    assert ElementTree.fromstring("<a><b>text</b></a>")[0].text == "text"
    return pyexpat.EXPAT_VERSION


def threads():
    import sysconfig

    return {
        "disabled": bool(sysconfig.get_config_var("Py_GIL_DISABLED")),
        "enabled": getattr(sys, "_is_gil_enabled", lambda: True)(),
    }


CAPABILITIES = {
    "sqlite": sqlite,
    "ssl": ssl,
    "hashes": hashes,
    "zlib": lambda: round_trip("zlib"),
    "bz2": lambda: round_trip("bz2"),
    "lzma": lambda: round_trip("lzma"),
    "zstd": zstd,
    "dbm.gnu": lambda: database("dbm.gnu"),
    "dbm.ndbm": lambda: database("dbm.ndbm"),
    "dbm.dumb": lambda: database("dbm.dumb"),
    "curses": curses,
    "readline": readline,
    "ctypes": ctypes,
    "tkinter": tkinter,
    "decimal": decimal,
    "processes": processes,
    "sockets": sockets,
    "uuid": uuids,
    "locale": locales,
    "expat": expat,
    "gil": threads,
}


def main():
    values, errors = {}, {}
    for name in sys.argv[1:]:
        print("trying", name, file=sys.stderr, flush=True)
        try:
            values[name] = CAPABILITIES[name]()
        except BaseException as error:
            errors[name] = "%s: %s" % (type(error).__name__, error)
    with open("/proc/self/maps") as file:
        maps = sorted({line.split(None, 5)[5].strip() for line in file if line.count("/")})
    json.dump({"values": values, "errors": errors, "maps": maps}, sys.stdout)


main()
