"""What a check says, and the list of checks."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import StrEnum

from .analysis import Analysis


class Level(StrEnum):
    """How bad it is: an error fails on systems that the tag promises."""

    ERROR = "error"
    WARNING = "warning"
    NOTE = "note"


@dataclass(frozen=True)
class Symptom:
    """One thing that a check found. `message` says what happens to the user, `advice` what to do.

    `where` says which systems it breaks by itself: "everywhere", "glibc 2.41" (and newer), or "" for none in
    particular."""

    check: str
    level: Level
    object: str
    message: str
    advice: str
    details: tuple[str, ...] = ()
    where: str = ""


@dataclass(frozen=True)
class WheelCheck:
    """A check: its name, what to do about what it finds, and its function."""

    name: str
    advice: str
    function: Callable[[Analysis], Iterator[Symptom]]


CHECKS: dict[str, WheelCheck] = {}
Say = Callable[..., Symptom]


def check(advice: str) -> Callable[[Callable[[Analysis, Say], Iterator[Symptom]]], WheelCheck]:
    """Registers a function of the checks under its own name, with - for _.

    It gets the wheel, and `say(level, object, message, details=(), where="", advice=...)` to make findings with."""

    def register(function: Callable[[Analysis, Say], Iterator[Symptom]]) -> WheelCheck:
        name = function.__name__.replace("_", "-")

        def say(
            level: Level, path: str, message: str, details: tuple[str, ...] = (), where: str = "", advice: str = advice
        ) -> Symptom:
            return Symptom(name, level, path, message, advice, details, where)

        CHECKS[name] = WheelCheck(name, advice, lambda analysis: function(analysis, say))
        return CHECKS[name]

    return register


def run(analysis: Analysis) -> list[Symptom]:
    """Everything that the checks find, errors first, then in the order of the checks."""
    found = [finding for each in CHECKS.values() for finding in each.function(analysis)]
    return sorted(found, key=lambda finding: list(Level).index(finding.level))
