"""Reads docker/downloads.toml: the prebuilt interpreters and the releases of static clang, under their laws.

Standard library only: images carry this module for manylinux-interpreters and manylinux-install-clang.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

from portable import errors
from portable.toml import REST, Sha256, Tag, Template, Url, below, between, filled, form, read, read_toml

DOWNLOADS_TOML = Path(__file__).resolve().parents[2] / "docker" / "downloads.toml"

PREBUILT_TAG = r"cp(3\d{1,2})-cp\1t?|pp3\d{1,2}-pypy3\d{1,2}_pp\d+|graalpy3\d{1,2}-graalpy\d+_3\d{1,2}_native"
Release = Annotated[str, form(r"v\d{1,4}(\.\d{1,4}){3}", "a release like v22.1.8.1")]


@dataclass(frozen=True)
class File:
    """A file to download."""

    url: Url
    sha256: Sha256


@dataclass(frozen=True)
class Prebuilt:
    """A prebuilt interpreter; `files` by platform."""

    version: Annotated[str, form(r"\d{1,9}(\.\d{1,9}){0,5}((a|b|rc)\d{1,3})?", "a version like 3.16.0a2")]
    files: Annotated[Mapping[Annotated[str, form(r"[a-z0-9_]+", "a platform like x86_64")], File], REST, filled]


@dataclass(frozen=True)
class Clang:
    """Where static clang is published. `{version}` and `{file}` in `url` and `{machine}` in `archive` are filled in."""

    stable_major: Annotated[int, between(1, 999)]
    url: Annotated[Template, form(r"[^{}]+/\{version\}/\{file\}", "an https:// address with {version}/{file}")]
    archive: Annotated[str, form(r"[\w-][\w.-]*\{machine\}[\w.-]*", "a file name with {machine}")]


@dataclass(frozen=True)
class KeptLayer(File):
    """The layer of a published image that has an interpreter in it: a registry's blob, and the image's tag."""

    tag: Tag


@dataclass(frozen=True)
class Kept:
    """A CPython that images may no longer have; `layers` by image."""

    version: Annotated[str, form(r"3\.\d{1,2}\.\d{1,3}", "a release of CPython like 3.8.20")]
    layers: Annotated[Mapping[Annotated[str, form(r"[a-z0-9_]+", "an image without variant")], KeptLayer], filled]


@dataclass(frozen=True)
class Downloads:
    """The table. `static_clang`: release -> sha256 of its sha256sums.txt, newest first."""

    clang: Clang
    static_clang: Annotated[Mapping[Release, Sha256], filled]
    interpreters: Mapping[Annotated[str, form(PREBUILT_TAG, "a tag like pp311-pypy311_pp73")], Prebuilt] = field(
        default_factory=dict
    )
    kept: Mapping[Annotated[str, form(r"cp(3\d{1,2})-cp\1t?", "a tag like cp38-cp38")], Kept] = field(
        default_factory=dict
    )

    def urls(self) -> Iterator[tuple[str, str, str]]:
        """Name, version and URL of every file that may be fetched; a URL may come more than once."""
        for tag, row in self.interpreters.items():
            for file in row.files.values():
                yield tag, row.version, file.url
        for tag, each in self.kept.items():
            for layer in each.layers.values():
                yield tag, each.version, layer.url
        for version in self.static_clang:
            archives = [self.clang.archive.format(machine=machine) for machine in ("amd64", "arm64")]
            for name in ("sha256sums.txt", *archives):
                yield "static clang", version, self.clang.url.format(version=version, file=name)


def load(path: Path = DOWNLOADS_TOML) -> Downloads:
    """The table. Raises UserError, naming file and key, where it breaks a law."""
    return parse(read_toml(path), f"{path.name}:")


def parse(raw: Mapping[str, Any], where: str) -> Downloads:
    """The table from a parsed file. `where`: the beginning of every error message."""
    found = read(Downloads, raw, where)
    for tag, row in found.interpreters.items():
        for platform, file in row.files.items():
            if row.version not in file.url:
                raise errors.UserError(f"{below(f'{where} interpreters', tag)}.{platform}.url lacks {row.version}")
    for tag, kept in found.kept.items():
        for image, layer in kept.layers.items():
            if not layer.url.endswith(f"/{image}/blobs/sha256:{layer.sha256}"):
                place = f"{below(f'{where} kept', tag)}.{image}.url"
                raise errors.UserError(f"{place} does not end in /{image}/blobs/sha256:<sha256>: use `invoke keep`")
    numbers = [[int(number) for number in release[1:].split(".")] for release in found.static_clang]
    if numbers != sorted(numbers, reverse=True):
        raise errors.UserError(f"{where} static_clang: the newest release stands first")
    if found.clang.stable_major not in [number[0] for number in numbers]:
        raise errors.UserError(f"{where} clang.stable_major: static_clang has no v{found.clang.stable_major}")
    return found
