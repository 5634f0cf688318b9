"""Prints the date of the newest file in the given wheels and source archives, in seconds since 1970."""

import calendar
import sys
import tarfile
import zipfile


def newest(path):
    """The latest date of an archive's members; zip stores no time zone, so its dates count as UTC."""
    if path.endswith(".whl"):
        with zipfile.ZipFile(path) as archive:
            return max(calendar.timegm(member.date_time) for member in archive.infolist())
    with tarfile.open(path) as archive:
        return int(max(member.mtime for member in archive.getmembers()))


print(max(newest(path) for path in sys.argv[1:]))
