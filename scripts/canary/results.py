"""What became of the canaries of an image: for people, as JSON (docs/canaries.md) and as JUnit XML."""

from __future__ import annotations

import json
import re
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from canary.needs import WheelNeeds
from catalogue.canaries import Canary
from network.answers import Answer
from portable import errors

SCHEMA = 1  # of the JSON; a key that goes or changes its meaning makes a new number


class Fate(StrEnum):
    """What may become of a canary: a failure that is excused, and one that nobody tried, hold nothing back."""

    PASSED = "passed"
    FAILED = "failed"
    EXCUSED = "excused"
    UNTRIED = "untried"


_FATE = re.compile("|".join(Fate))


@dataclass
class CanaryResult:
    """What became of one canary, and why, unless it passed. `seconds`: of its build in the image."""

    name: str
    project: str
    version: str
    sha256: str
    fate: Fate = Fate.PASSED
    reason: str = ""
    seconds: int = 0
    wheels: tuple[WheelNeeds, ...] = ()
    notes: tuple[str, ...] = ()

    @classmethod
    def of(cls, canary: Canary, fate: Fate = Fate.PASSED, reason: str = "") -> CanaryResult:
        """The result of a canary that has no wheels yet."""
        return cls(canary.name, canary.in_index, canary.version, canary.sha256, fate, reason)

    def line(self) -> str:
        """For people: one line, and one more for each wheel and note."""
        why = f": {self.reason}" if self.reason else ""
        lines = [f"{self.fate:8}{self.name} {self.version}, {self.seconds} s{why}"]
        for each in self.wheels:
            needs = [f"{family}_{number}" if number else family for family, number in each.versions.items()]
            facts = [each.policy or "no policy", *needs, each.level, f"{each.size / 1e6:.1f} MB"]
            lines.append(f"        {each.tag}: {', '.join(filter(None, facts))}")
        return "\n".join([*lines, *(f"        {note}" for note in self.notes)])

    def as_json(self) -> dict[str, Any]:
        """For the document."""
        return {**vars(self), "wheels": [each.as_json() for each in self.wheels], "notes": list(self.notes)}

    @classmethod
    def parse(cls, row: Answer) -> CanaryResult:
        """Reads what `as_json` has written. Raises Failure for anything else."""
        return cls(
            row["name"].text(),
            row["project"].text(),
            row["version"].text(),
            row["sha256"].text(),
            Fate(row["fate"].text(_FATE)),
            row["reason"].text(),
            row["seconds"].number(),
            tuple(WheelNeeds.parse(each) for each in row["wheels"].rows()),
            tuple(each.text() for each in row["notes"].rows()),
        )


@dataclass(frozen=True)
class CanaryResults:
    """Those of one image. `subject`: its digest in a registry, or the Id that the engine gives it; `published`: what it
    was compared with, "" for nothing."""

    image: str
    subject: str
    published: str
    canaries: Sequence[CanaryResult] = field(default_factory=tuple)

    @property
    def failed(self) -> list[CanaryResult]:
        """Those that hold the image back."""
        return [each for each in self.canaries if each.fate is Fate.FAILED]

    @property
    def passed(self) -> bool:
        """Whether none failed, and at least one passed: otherwise nothing is known of the image."""
        return not self.failed and any(each.fate is Fate.PASSED for each in self.canaries)

    def as_json(self) -> str:
        """The document that is attached to a published image."""
        rows = [each.as_json() for each in self.canaries]
        head = {"schema": SCHEMA, "image": self.image, "subject": self.subject, "published": self.published}
        return json.dumps({**head, "canaries": rows}, indent=2) + "\n"

    @classmethod
    def parse(cls, content: bytes | str, where: str) -> CanaryResults:
        """Reads the document. Raises Failure for another one, and for a schema of the future."""
        answer = Answer.parse(content, where)
        if (schema := answer["schema"].number()) != SCHEMA:
            raise errors.Failure(f"{where} is of schema {schema}: update this checkout, which knows {SCHEMA}")
        return cls(
            answer["image"].text(),
            answer["subject"].text(),
            answer["published"].text(),
            [CanaryResult.parse(row) for row in answer["canaries"].rows()],
        )

    def summary(self) -> str:
        """What became of each; last the failed ones once more, and how many became what."""
        counts = [f"{number} {fate}" for fate in Fate if (number := self._count(fate))]
        lines = [each.line() for each in self.canaries]
        lines += [f"FAILED {each.name}: {each.reason}" for each in self.failed]
        lines += [] if self.failed or self.passed else ["FAILED: no canary passed, so nothing is known of this image"]
        return "\n".join([*lines, f"{self.image}: canaries: {', '.join(counts)}"])

    def _count(self, fate: Fate) -> int:
        return sum(each.fate is fate for each in self.canaries)

    def junit(self) -> str:
        """A suite with a case for each canary; the page reads it."""
        counts = {"tests": len(self.canaries), "failures": len(self.failed), "skipped": self._count(Fate.UNTRIED)}
        suite = ElementTree.Element("testsuite", {"name": self.image, **{key: str(counts[key]) for key in counts}})
        for each in self.canaries:
            case = ElementTree.SubElement(suite, "testcase", name=each.name, time=str(each.seconds))
            if kind := {Fate.FAILED: "failure", Fate.UNTRIED: "skipped"}.get(each.fate):
                ElementTree.SubElement(case, kind, message=ascii(each.reason)[1:-1]).text = ascii(each.line())[1:-1]
        ElementTree.indent(suite)
        return ElementTree.tostring(suite, encoding="unicode", xml_declaration=True) + "\n"


def compared(result: CanaryResult, before: CanaryResult | None, accepted: Iterable[str]) -> CanaryResult:
    """The result, failed if its wheels need more than those of the same source did before, beyond what is accepted."""
    if not before or before.sha256 != result.sha256 or not before.wheels:
        result.notes += ("nothing to compare with: the published image has no wheels of this source",)
        return result
    earlier = {each.tag: each for each in before.wheels}
    both = [(each, earlier[each.tag]) for each in result.wheels if each.tag in earlier]
    more = [(each.tag, word) for each, old in both for word in each.beyond(old)]
    meant = [word for _, word in more if word in accepted]
    result.notes += (f"needs more than before, which is accepted: {', '.join(dict.fromkeys(meant))}",) if meant else ()
    if unmeant := [f"{word} ({tag})" for tag, word in more if word not in accepted]:
        result.fate, result.reason = Fate.FAILED, f"needs more than before: {', '.join(unmeant)}"
    return result
