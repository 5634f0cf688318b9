"""What the doctor says of a wheel: for people, and as JSON (docs/doctor.schema.json)."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from . import distributions, findings, tables
from .analysis import Analysis, Need
from .findings import Level, Symptom
from .policies import numbers

SCHEMA = 1  # of the JSON; a key that goes or changes its meaning makes a new number
MOST_SHOWN = 12  # objects, in the text


@dataclass
class Examination:
    """One wheel. `error` says why it is none; then nothing else is known."""

    wheel: str
    error: str = ""
    analysis: Analysis | None = None
    strict: bool = False
    wanted: tuple[str, ...] = ()
    findings: list[Symptom] = field(default_factory=list)
    verdicts: list[distributions.Verdict] = field(default_factory=list)

    @classmethod
    def of(cls, wheel: str, analysis: Analysis, strict: bool, wanted: tuple[str, ...]) -> Examination:
        """Runs the checks on a wheel. `wanted`: ids of releases that must run it."""
        found = findings.run(analysis)
        return cls(wheel, "", analysis, strict, wanted, found, distributions.verdicts(analysis, found))

    @property
    def kind(self) -> str:
        """`linux`, `pure` (no objects), `foreign` (for other systems: nothing was looked at), or "" for no wheel."""
        if self.analysis is None:
            return ""
        if self.analysis.is_foreign:
            return "foreign"
        return "linux" if self.analysis.objects or self.analysis.linux_tags else "pure"

    @property
    def fit(self) -> bool | None:
        """Whether it is fit to publish, or runs where it was asked to; None where that was not looked at."""
        if self.analysis is None or self.kind == "foreign":
            return None
        if self.wanted:
            return all(runs for _, runs, _ in self.answers)
        failing = (Level.ERROR, Level.WARNING) if self.strict else (Level.ERROR,)
        return not any(finding.level in failing for finding in self.findings)

    @property
    def answers(self) -> list[tuple[str, bool, tuple[str, ...]]]:
        """(id, runs, reasons) of each release that was asked for."""
        if self.analysis is None:
            return []
        return [(each, *distributions.answer(self.analysis, self.findings, each)) for each in self.wanted]

    @property
    def raises(self) -> list[Need]:
        """The needs that keep it from a lower policy."""
        analysis = self.analysis
        if analysis is None or analysis.policies is None:
            return []
        indices = [analysis.policies.index(need.since) for need in analysis.needs]
        highest = max(indices, default=0)
        return [need for need, index in zip(analysis.needs, indices, strict=True) if index == highest and index]

    def count(self, level: Level) -> int:
        """How many findings are of a level."""
        return sum(finding.level is level for finding in self.findings)

    def verdict(self) -> str:
        """The verdict in a few words."""
        if self.analysis is None:
            return f"not a wheel: {self.error}"
        if self.kind == "foreign":
            return "not for Linux: nothing was looked at"
        counts = ", ".join(
            f"{number} {level}{'s' if number != 1 else ''}" for level in Level if (number := self.count(level))
        )
        if self.wanted:
            return "RUNS there" if self.fit else "DOES NOT RUN there"
        return ("FIT" if self.fit else "NOT FIT") + " to publish" + (f": {counts}" if counts else "")

    def as_json(self) -> dict[str, Any]:
        """See docs/doctor.schema.json."""
        if self.analysis is None:
            return {"wheel": self.wheel, "fit": None, "kind": "", "error": self.error}
        found = self.analysis
        return {
            "wheel": self.wheel,
            "fit": self.fit,
            "kind": self.kind,
            "error": "",
            "tags": [str(tag) for tag in found.file_name.tags],
            "variant": found.file_name.variant,
            "platforms": list(found.platforms),
            "libc": {"manylinux": "glibc", "musllinux": "musl"}.get(found.libc, ""),
            "claims": list(dict.fromkeys(policy for policy, _ in found.linux_tags)),
            "lowest": found.lowest,
            "objects": [each.path for each in found.objects],
            "unscanned": found.unscanned,
            "raises": [
                {
                    "object": need.object,
                    "library": need.library,
                    "version": need.version,
                    "symbols": list(need.symbols),
                    "since": need.since,
                    "versioned": need.is_versioned,
                }
                for need in self.raises
            ],
            "findings": [
                {
                    "check": each.check,
                    "level": str(each.level),
                    "object": each.object,
                    "message": each.message,
                    "advice": each.advice,
                    "details": list(each.details),
                }
                for each in self.findings
            ],
            "distributions": [
                {
                    "id": each.distribution.id,
                    "name": each.distribution.name,
                    "runs": each.runs,
                    "reasons": list(each.reasons),
                }
                for each in self.verdicts
            ],
            "asked": [{"id": name, "runs": runs, "reasons": list(reasons)} for name, runs, reasons in self.answers],
        }

    def text(self) -> str:
        """For people."""
        return "\n".join(self._lines())

    def _lines(self) -> Iterator[str]:
        yield self.wheel
        if self.analysis is None or self.kind == "foreign":
            yield f"  {self.verdict()}"
            return
        yield f"  {self._claim()}"
        yield f"  {self.verdict()}"
        for wanted, runs, reasons in self.answers:
            said = "runs" if runs else f"does not run: {'; '.join(reasons)}"
            yield from _wrap(f"{distributions.name(wanted)}: {said}", "  ")
        yield from self._raises()
        yield from self._findings()
        if not self.wanted:
            yield from self._distributions()

    def _claim(self) -> str:
        found = self.analysis
        if found is None or self.kind == "pure":
            return "pure Python: it runs wherever Python does"
        tags = ", ".join(found.file_name.platforms)
        if found.policies is None:
            return f"claims {tags}; auditwheel knows no policy for {' or '.join(found.platforms) or 'it'}"
        return f"claims {tags}; fits {f'{found.lowest} and newer' if found.lowest else 'no policy'}"

    def _raises(self) -> Iterator[str]:
        if self.raises and self.analysis:
            since = self.raises[0].since or "every policy"
            yield ""
            yield f"  What keeps it at {since}:" if self.raises[0].since else "  What no policy allows:"
            by_object: dict[str, list[Need]] = {}
            for need in self.raises:
                by_object.setdefault(need.object, []).append(need)
            for path, needs in list(by_object.items())[:MOST_SHOWN]:
                yield f"    {path}"
                for need in _newest(needs):
                    symbols = ", ".join(need.symbols[:6]) + (" ..." if len(need.symbols) > 6 else "")
                    version = f"{need.version} of " if need.version else ""
                    unversioned = "" if need.is_versioned else " (without a version)"
                    yield from _wrap(
                        f"{version}{need.library}{': ' if symbols else ''}{symbols}{unversioned}", "      "
                    )
            yield from _more(len(by_object), "objects", "    ")
            yield "    To go lower: build in the image of an older policy, or avoid these functions."

    def _findings(self) -> Iterator[str]:
        grouped: dict[tuple[str, Level, str], list[Symptom]] = {}
        for finding in self.findings:
            grouped.setdefault((finding.check, finding.level, finding.message), []).append(finding)
        for (name, level, message), group in grouped.items():
            yield ""
            yield from _wrap(f"{level.upper()} {name}: {message}", "  ")
            for finding in group[:MOST_SHOWN]:
                if finding.object:
                    yield f"    {finding.object}"
                for detail in finding.details[:8]:
                    yield from _wrap(detail, "      ")
                yield from _more(len(finding.details), "lines", "      ", 8)
            yield from _more(len(group), "objects", "    ")
            yield from _wrap(f"What to do: {group[0].advice}", "    ")

    def _distributions(self) -> Iterator[str]:
        if not self.verdicts or self.analysis is None:
            return
        yield ""
        yield f"  Distributions on {self.analysis.platforms[0]}:"
        runs = [each.distribution for each in self.verdicts if each.runs]
        yield from _wrap(f"runs: {distributions.listed(runs) or 'none'}", "    ")
        if older := [each.distribution for each in self.verdicts if each.is_older]:
            yield from _wrap(f"older than the tag: {distributions.listed(older)}", "    ")
        reasons: dict[tuple[str, ...], list[distributions.Distribution]] = {}
        for each in self.verdicts:
            if not each.runs and not each.is_older:
                reasons.setdefault(each.reasons, []).append(each.distribution)
        for why, rows in reasons.items():
            shown = "; ".join(why[:3]) + (f"; {len(why) - 3} more" if len(why) > 3 else "")
            yield from _wrap(f"does not run: {distributions.listed(rows)}: {shown}", "    ")


def _newest(needs: list[Need]) -> list[Need]:
    """Of each library and family of versions, the newest, and all of those without a version."""
    found: dict[object, Need] = {}
    for need in needs:
        family, _, version = need.version.partition("_")
        key = (need.library, family) if need.is_versioned else need.symbols
        if key not in found or numbers(version) > numbers(found[key].version.partition("_")[2]):
            found[key] = need
    return list(found.values())


def document(reports: list[Examination]) -> dict[str, Any]:
    """The JSON of a run."""
    return {
        "schema": SCHEMA,
        "auditwheel": tables.policies()["auditwheel"],
        "fit": all(report.fit is not False for report in reports) and not any(report.error for report in reports),
        "wheels": [report.as_json() for report in reports],
    }


def summary(reports: list[Examination]) -> str:
    """One line a wheel, where there are several."""
    return "\n".join(["Summary:", *(f"  {report.wheel}: {report.verdict()}" for report in reports)])


def _wrap(line: str, indent: str) -> list[str]:
    return textwrap.wrap(
        line,
        110,
        initial_indent=indent,
        subsequent_indent=indent + "  ",
        break_long_words=False,
        break_on_hyphens=False,
    )


def _more(count: int, what: str, indent: str, shown: int = MOST_SHOWN) -> list[str]:
    return [f"{indent}... and {count - shown} more {what}: --json has all"] if count > shown else []
