"""What a wheel needs of the system that runs it, and what more that is than the last time."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from doctor import command as doctor
from doctor.analysis import Analysis
from doctor.findings import Level
from doctor.policies import numbers
from network.answers import Answer
from portable import errors

LEVELS = ("v2", "v3", "v4")  # in the counts of a scan: instructions above x86-64-v1


@dataclass(frozen=True)
class WheelNeeds:
    """What a wheel needs. `policy`: the lowest that it fits; `versions`: family of symbol versions -> the newest, and
    each version without a number -> ""; `libraries`: those that it does not bring; `grafted`: those that it does;
    `level`: the highest of the instructions in it, such as x86-64-v3, "" where nobody looked; `size` in bytes."""

    wheel: str
    tag: str
    policy: str
    versions: Mapping[str, str] = field(default_factory=dict)
    libraries: tuple[str, ...] = ()
    grafted: tuple[str, ...] = ()
    level: str = ""
    size: int = 0

    @classmethod
    def of(cls, path: Path, analysis: Analysis) -> WheelNeeds:
        """Those of a wheel that the doctor has read."""
        tags = analysis.file_name.tags
        return cls(
            wheel=path.name,
            tag=f"{tags[0].python}-{'.'.join(dict.fromkeys(tag.abi for tag in tags))}",
            policy=analysis.lowest,
            versions=_newest(analysis),
            libraries=tuple(sorted(_outside(analysis))),
            grafted=tuple(sorted({name for each in analysis.native for name in _brought(analysis, each.elf.needed)})),
            level=_level(analysis),
            size=path.stat().st_size,
        )

    @classmethod
    def parse(cls, row: Answer) -> WheelNeeds:
        """Reads what `as_json` has written. Raises Failure for anything else."""
        return cls(
            row["wheel"].text(),
            row["tag"].text(),
            row["policy"].text(),
            row["versions"].texts(),
            tuple(each.text() for each in row["libraries"].rows()),
            tuple(each.text() for each in row["grafted"].rows()),
            row["level"].text(),
            row["size"].number(),
        )

    def as_json(self) -> dict[str, Any]:
        """For the results."""
        lists = {"libraries": list(self.libraries), "grafted": list(self.grafted)}
        return {**vars(self), "versions": dict(self.versions), **lists}

    def beyond(self, before: WheelNeeds) -> Iterator[str]:
        """What it needs and an earlier wheel of the same source did not, each in one word."""
        for family, number in self.versions.items():
            if family not in before.versions or numbers(number) > numbers(before.versions[family]):
                yield f"{family}_{number}" if number else family
        yield from (library for library in self.libraries if library not in before.libraries)
        if before.level and self.level > before.level:
            yield self.level


def examined(path: Path) -> tuple[WheelNeeds, list[str]]:
    """What a wheel needs, and the errors that the doctor finds. Raises Failure where it is not a wheel."""
    report = doctor.examine(path, scan=True)
    if report.analysis is None:
        raise errors.Failure(f"{path.name}: {report.error}")
    found = [each for each in report.findings if each.level is Level.ERROR]
    return WheelNeeds.of(path, report.analysis), [f"{each.check}: {each.object}: {each.message}" for each in found]


def _newest(analysis: Analysis) -> dict[str, str]:
    found: dict[str, str] = {}
    for each in analysis.native:
        for library, version in each.elf.needed_versions:
            family, _, number = version.partition("_")
            if analysis.reached(each, library):
                continue
            if not numbers(number):
                found[version] = ""  # a marker like GLIBC_ABI_DT_RELR
            elif numbers(number) > numbers(found.get(family, "0")):
                found[family] = number
    return dict(sorted(found.items()))


def _outside(analysis: Analysis) -> set[str]:
    return {name for each in analysis.native for name in each.elf.needed if not analysis.reached(each, name)}


def _brought(analysis: Analysis, needed: tuple[str, ...]) -> set[str]:
    return {name for name in needed if name in analysis.by_name}


def _level(analysis: Analysis) -> str:
    scans = [each.scan for each in analysis.native if each.elf.machine == "x86_64"]
    if not scans or any(scan is None for scan in scans):
        return ""
    return "x86-64-" + max([level for level in LEVELS for scan in scans if scan and scan.counts[level]] or ["v1"])
