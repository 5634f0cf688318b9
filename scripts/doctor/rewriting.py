"""Adds a file to a wheel and renews RECORD; the other entries keep place and bytes, compressed as they are."""

from __future__ import annotations

import base64
import copy
import csv
import hashlib
import io
import os
import struct
import zipfile
from pathlib import Path

from portable import files

from .wheel import MAX_TEXT, NotAWheel, Wheel

SIGNATURES = ("RECORD.jws", "RECORD.p7s")
DATA_DESCRIPTOR = 0x08  # the flag of an entry whose sizes stand behind its data

_LOCAL_HEADER = struct.Struct("<4s22xHH")


def add(wheel: Wheel, name: str, content: bytes, target: Path) -> None:
    """Writes the wheel with a file in front of RECORD, in place of one of that name, as `target`: wholly or not at all.

    Both have date and mode of the old RECORD, so that the same wheel gives the same bytes. Raises NotAWheel where the
    wheel is damaged, and where RECORD is missing or signed."""
    entries, record = wheel.archive.infolist(), f"{wheel.dist_info}/RECORD"
    signed = [each for each in SIGNATURES if f"{wheel.dist_info}/{each}" in wheel.members]
    if signed:
        raise NotAWheel(f"{wheel.path.name} has a signed RECORD ({signed[0]}), which would no longer be true")
    if len({entry.filename for entry in entries}) != len(entries):
        raise NotAWheel(f"{wheel.path.name} has several entries of one name")
    if sum(entry.compress_size for entry in entries) > wheel.path.stat().st_size:
        raise NotAWheel(f"{wheel.path.name} has files that lie on one another")
    if min(entry.header_offset for entry in entries) < 0:
        raise NotAWheel(f"{wheel.path.name} is cut off")
    renewed = _renewed(wheel.read(record, MAX_TEXT), name, content)
    mode = wheel.path.stat().st_mode & 0o777
    with files.replacing(target, mode) as stream, zipfile.ZipFile(stream, "w") as written:
        for entry in entries:
            if entry.filename == record:
                written.writestr(_like(entry, name), content)
                written.writestr(_like(entry, record), renewed)
            elif entry.filename != name:
                _copy(wheel.archive, entry, written)
        written.comment = wheel.archive.comment


def _renewed(text: bytes, name: str, content: bytes) -> bytes:
    """RECORD with a line for the file; the other lines stay as they are."""
    digest = base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()
    row = io.StringIO()
    csv.writer(row, lineterminator="").writerow([name, f"sha256={digest}", len(content)])
    lines = text.splitlines(keepends=True)
    end = b"\r\n" if lines and lines[0].endswith(b"\r\n") else b"\n"
    kept = [line for line in lines if next(csv.reader([line.decode()]), [""])[0] != name]
    if kept and not kept[-1].endswith(b"\n"):
        kept[-1] += end
    return b"".join([*kept, row.getvalue().encode() + end])


def _like(entry: zipfile.ZipInfo, name: str) -> zipfile.ZipInfo:
    """A new entry with date and mode of another one."""
    made = zipfile.ZipInfo(name, entry.date_time)
    made.compress_type = zipfile.ZIP_DEFLATED
    made.create_system, made.external_attr = entry.create_system, entry.external_attr
    return made


def _copy(archive: zipfile.ZipFile, entry: zipfile.ZipInfo, written: zipfile.ZipFile) -> None:
    """Copies an entry with its data as they are compressed, which zipfile itself has no function for."""
    source, target = archive.fp, written.fp
    assert source is not None and target is not None
    source.seek(entry.header_offset)
    header = source.read(_LOCAL_HEADER.size).ljust(_LOCAL_HEADER.size)
    signature, name_size, extra_size = _LOCAL_HEADER.unpack(header)
    if signature != b"PK\x03\x04":
        raise NotAWheel(f"{entry.filename} has no header where the directory says")
    source.seek(name_size + extra_size, os.SEEK_CUR)
    made = copy.copy(entry)
    made.header_offset, made.flag_bits = target.tell(), entry.flag_bits & ~DATA_DESCRIPTOR
    target.write(made.FileHeader())
    left = entry.compress_size
    while left:
        block = source.read(min(left, 1 << 20))
        if not block:
            raise NotAWheel(f"{entry.filename} is cut off")
        target.write(block)
        left -= len(block)
    written.filelist.append(made)
    written.NameToInfo[made.filename] = made
    written.start_dir = target.tell()
