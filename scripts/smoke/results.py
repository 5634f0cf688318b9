"""What the checks of an image said: for people, as JUnit XML and as JSON."""

from __future__ import annotations

import json
import sys
import time
import xml.etree.ElementTree as ElementTree
from dataclasses import asdict, dataclass, field


@dataclass(frozen=True)
class Result:
    """What one check found; no problems means that it passed, unless it was `skipped` for a reason.

    `interpreter` is a tag, or "" for the whole image."""

    check: str
    interpreter: str
    problems: tuple[str, ...]
    seconds: float
    skipped: str = ""

    @property
    def title(self) -> str:
        """`check[tag]`."""
        return f"{self.check}[{self.interpreter}]" if self.interpreter else self.check

    def line(self) -> str:
        """For people: one line, and one more for each problem."""
        if self.skipped:
            return f"skip   {self.title}: {self.skipped}"
        head = f"{'FAILED' if self.problems else 'ok':6} {self.title}  {self.seconds:.1f} s"
        return "\n".join([head, *(f"       {problem}" for problem in self.problems)])


@dataclass
class Results:
    """All results of one image. Each is printed as it arrives."""

    reference: str
    results: list[Result] = field(default_factory=list)
    started: float = field(default_factory=time.monotonic)

    def add(self, result: Result) -> None:
        """Keeps a result and prints it."""
        self.results.append(result)
        print(result.line(), file=sys.stderr, flush=True)

    @property
    def failed(self) -> list[Result]:
        """The results with problems."""
        return [result for result in self.results if result.problems]

    @property
    def passed(self) -> bool:
        """Whether checks ran and all of them passed."""
        return len(self.results) > len(self.skipped) and not self.failed

    @property
    def skipped(self) -> list[Result]:
        """The results without an answer."""
        return [result for result in self.results if result.skipped]

    def summary(self) -> str:
        """The last lines: the failed checks, and how many passed and failed."""
        lines = [f"FAILED {result.title}: {result.problems[0].splitlines()[0]}" for result in self.failed]
        seconds = time.monotonic() - self.started
        passed = len(self.results) - len(self.failed) - len(self.skipped)
        count = f"{passed} passed, {len(self.failed)} failed" + (f", {len(self.skipped)} skipped" * bool(self.skipped))
        return "\n".join([*lines, f"{self.reference}: {count} in {seconds:.0f} s"])

    def junit(self) -> str:
        """The results as JUnit XML."""
        suite = ElementTree.Element(
            "testsuite",
            name=self.reference,
            tests=str(len(self.results)),
            failures=str(len(self.failed)),
            errors="0",
            skipped=str(len(self.skipped)),
            time=f"{time.monotonic() - self.started:.3f}",
        )
        for result in self.results:
            attributes = {"classname": f"smoke.{result.interpreter or 'image'}", "name": result.check}
            case = ElementTree.SubElement(suite, "testcase", attributes, time=f"{result.seconds:.3f}")
            if result.skipped:
                ElementTree.SubElement(case, "skipped", message=_xml_text(result.skipped))
            if result.problems:
                message = _xml_text(result.problems[0].splitlines()[0])
                failure = ElementTree.SubElement(case, "failure", message=message)
                failure.text = _xml_text("\n".join(result.problems))
        root = ElementTree.Element("testsuites")
        root.append(suite)
        ElementTree.indent(root)
        return ElementTree.tostring(root, encoding="unicode", xml_declaration=True) + "\n"

    def json(self) -> str:
        """The results as JSON."""
        content = {
            "image": self.reference,
            "passed": self.passed,
            "seconds": round(time.monotonic() - self.started, 3),
            "results": [asdict(result) for result in self.results],
        }
        return json.dumps(content, indent=2) + "\n"


def _xml_text(text: str) -> str:
    """Text without the control characters that XML cannot hold."""
    return "".join(c for c in text if c in "\t\n" or " " <= c <= "\ud7ff" or "\ue000" <= c <= "\ufffd" or c > "\uffff")
