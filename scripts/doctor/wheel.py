"""Reads a wheel safely: name, metadata, RECORD and the ELF files. A hostile one costs bounded time and memory.

Names and metadata: https://packaging.python.org/specifications/binary-distribution-format/; variants: PEP 817.
"""

from __future__ import annotations

import contextlib
import csv
import email.parser
import email.policy
import re
import stat
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType

from .elf import MAGIC

MAX_MEMBERS = 200_000  # the largest wheels have some 20,000
MAX_MEMBER = 2 << 30  # bytes of one file, unpacked
MAX_TOTAL = 8 << 30  # bytes of all files, unpacked: the largest wheels have about 4 GB
MAX_RATIO, SMALL = 200, 256 << 20  # unpacked to packed; below so many bytes nobody cares
MAX_TEXT = 64 << 20  # bytes of RECORD or of metadata
DAMAGE = (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError, OSError, ValueError)
PLATFORM = re.compile(
    r"(?P<policy>manylinux(?:1|2010|2014|_\d+_\d+)|musllinux_\d+_\d+|linux)_(?P<platform>[a-z]\w*)", re.ASCII
)


class NotAWheel(ValueError):
    """The file is no wheel, is damaged, or is larger unpacked than any real wheel; the message says which."""


@dataclass(frozen=True, order=True)
class Tag:
    """One python-abi-platform triple, as `cp313-abi3-manylinux_2_28_x86_64`."""

    python: str
    abi: str
    platform: str

    def __str__(self) -> str:
        return f"{self.python}-{self.abi}-{self.platform}"


@dataclass(frozen=True)
class FileName:
    """What a wheel's file name says. `variant` is the label of PEP 817, "" without."""

    name: str
    version: str
    build: str
    tags: tuple[Tag, ...]
    variant: str

    @property
    def platforms(self) -> tuple[str, ...]:
        """The platform tags, in the order of the name."""
        return tuple(dict.fromkeys(tag.platform for tag in self.tags))


@dataclass(frozen=True)
class Entry:
    """A line of RECORD: `digest` is `sha256=...`, "" where it is not recorded; `size` in bytes, None likewise."""

    path: str
    digest: str
    size: int | None


def parse_name(name: str) -> FileName:
    """Splits a wheel's file name. Raises NotAWheel where it does not have the parts of one."""
    stem, dot, suffix = name.rpartition(".")
    parts = stem.split("-")
    if not dot or suffix != "whl":
        raise NotAWheel(f"{name} does not end in .whl")
    build = parts.pop(2) if len(parts) in (6, 7) and parts[2][:1].isdigit() else ""
    variant = parts.pop() if len(parts) == 6 else ""
    if len(parts) != 5 or not all(parts):
        raise NotAWheel(f"{name} is not named NAME-VERSION[-BUILD]-PYTHON-ABI-PLATFORM[-VARIANT].whl")
    pythons, abis, platforms = (part.split(".") for part in parts[2:])
    if len(pythons) * len(abis) * len(platforms) > 1000:
        raise NotAWheel(f"{name[:80]}... stands for more than 1000 tags")
    tags = tuple(Tag(python, abi, platform) for python in pythons for abi in abis for platform in platforms)
    return FileName(parts[0], parts[1], build, tags, variant)


def canonical(name: str) -> str:
    """A distribution's name as indexes compare it (PEP 503)."""
    return re.sub(r"[-_.]+", "-", name).lower()


@dataclass
class Wheel:
    """An open wheel; close it, or use it in `with`."""

    path: Path
    file_name: FileName
    archive: zipfile.ZipFile
    members: dict[str, zipfile.ZipInfo]
    dist_info: str
    read_so_far: int = field(default=0, repr=False)

    @classmethod
    def open(cls, path: Path) -> Wheel:
        """Opens a wheel. Raises NotAWheel where it is none, and OSError where the file cannot be read."""
        file_name = parse_name(path.name)
        if not stat.S_ISREG(path.stat().st_mode):
            raise NotAWheel(f"{path} is not a file")
        path.open("rb").close()
        try:
            archive = zipfile.ZipFile(path)
        except DAMAGE as error:
            raise NotAWheel(f"{path} is not a zip file, or is damaged: {error}") from error
        try:
            return cls(path, file_name, archive, *_contents(path, archive))
        except NotAWheel:
            archive.close()
            raise

    def __enter__(self) -> Wheel:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.archive.close()

    def read(self, member: str, limit: int = MAX_MEMBER) -> bytes:
        """The bytes of a file of the wheel. Raises NotAWheel where it is missing, damaged, or larger than `limit`."""
        info = self.members.get(member)
        if info is None:
            raise NotAWheel(f"{self.path.name} has no {member}")
        if info.file_size > limit:
            raise NotAWheel(f"{member} has {info.file_size} bytes, more than {limit}")
        self.read_so_far += info.file_size
        if self.read_so_far > 4 * MAX_TOTAL:
            raise NotAWheel(f"{self.path.name} has files that lie on one another")
        try:
            with self.archive.open(info) as file:
                return file.read(limit + 1)
        except DAMAGE as error:
            raise NotAWheel(f"{member} is damaged: {error}") from error

    def objects(self) -> Iterator[tuple[str, bytes]]:
        """Every ELF file: its path in the wheel, and its bytes. Raises NotAWheel for a damaged one."""
        for name, info in self.members.items():
            if info.file_size < len(MAGIC):
                continue
            try:
                with self.archive.open(info) as file:
                    found = file.read(len(MAGIC)) == MAGIC
            except DAMAGE as error:
                raise NotAWheel(f"{name} is damaged: {error}") from error
            if found:
                yield name, self.read(name)

    def text(self, member: str) -> str:
        """A text of the wheel, as UTF-8. Raises NotAWheel like `read`."""
        return self.read(member, MAX_TEXT).decode("utf-8", "replace")

    @property
    def metadata_tags(self) -> tuple[str, ...]:
        """The `Tag` lines of WHEEL."""
        return tuple(self._header("WHEEL", "Tag"))

    @property
    def requires(self) -> tuple[str, ...]:
        """The `Requires-Dist` lines of METADATA, whole."""
        return tuple(self._header("METADATA", "Requires-Dist"))

    @property
    def record(self) -> tuple[Entry, ...]:
        """The lines of RECORD, none where it is missing. Raises NotAWheel where a line has no three fields."""
        name = f"{self.dist_info}/RECORD"
        if name not in self.members:
            return ()
        entries = []
        for row in csv.reader(self.text(name).splitlines()):
            if len(row) != 3 or not (row[2] == "" or row[2].isdecimal()):
                raise NotAWheel(f"{name} has a line that is not path, digest and size: {','.join(row)[:80]}")
            entries.append(Entry(row[0], row[1], int(row[2]) if row[2] else None))
        return tuple(entries)

    def _header(self, file: str, name: str) -> list[str]:
        member = f"{self.dist_info}/{file}"
        if member not in self.members:
            return []
        head = self.text(member).replace("\r\n", "\n").partition("\n\n")[0]
        message = email.parser.Parser(policy=email.policy.compat32).parsestr(head, headersonly=True)
        return [str(value).strip() for value in message.get_all(name, [])]


def _contents(path: Path, archive: zipfile.ZipFile) -> tuple[dict[str, zipfile.ZipInfo], str]:
    """The files of an archive by their names, and its .dist-info. Raises NotAWheel like Wheel.open."""
    files = [info for info in archive.infolist() if not info.is_dir()]
    if len(files) > MAX_MEMBERS:
        raise NotAWheel(f"{path.name} holds {len(files)} files, more than {MAX_MEMBERS}")
    unpacked = sum(info.file_size for info in files)
    with contextlib.suppress(OSError):
        packed = max(1, path.stat().st_size)
        if unpacked > MAX_TOTAL or (unpacked > SMALL and unpacked > MAX_RATIO * packed):
            raise NotAWheel(f"{path.name} would unpack to {unpacked} bytes, {unpacked // packed} times its size")
    members = {info.filename: info for info in files}
    found = {name.partition("/")[0] for name in members if re.fullmatch(r"[^/]+\.dist-info/(WHEEL|METADATA)", name)}
    if len(found) != 1:
        raise NotAWheel(f"{path.name} has {len(found) or 'no'} .dist-info directories with metadata; a wheel has one")
    if encrypted := [info.filename for info in files if info.flag_bits & 1]:
        raise NotAWheel(f"{encrypted[0]} is encrypted")
    return members, found.pop()
