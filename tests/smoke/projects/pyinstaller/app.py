"""What PyInstaller makes one file of: says what it uses, and copies what it has unpacked to the given directory."""

import json
import shutil
import sqlite3
import ssl
import sys

if sys.version_info >= (3, 14):
    from compression import zstd


def main():
    said = {"ssl": ssl.OPENSSL_VERSION, "sqlite": sqlite3.sqlite_version, "root": sys._MEIPASS}
    ssl.create_default_context()
    connection = sqlite3.connect(":memory:")
    assert connection.execute("select sqlite_version()").fetchone() == (sqlite3.sqlite_version,)
    if sys.version_info >= (3, 14):
        assert zstd.decompress(zstd.compress(b"smoke " * 4096)) == b"smoke " * 4096
        said["zstd"] = zstd.zstd_version
    with open("/proc/self/maps") as file:
        said["maps"] = sorted({line.split(None, 5)[5].strip() for line in file if line.count("/")})
    shutil.copytree(sys._MEIPASS, sys.argv[1])
    json.dump(said, sys.stdout)


main()
