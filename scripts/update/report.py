"""What a run of an updater found, printed as a table, Markdown or JSON.

All updaters fill the same rows, so that people and workflows read one form.
"""

from __future__ import annotations

import datetime
import html
import json
import os
import re
import shutil
import textwrap
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

YEAR = 365  # days


class State(StrEnum):
    """What a run says about one pin; the row has the reason in words."""

    CURRENT = "current"
    UPDATE = "update"
    PENDING = "pending"
    HELD = "held"
    WITHDRAWN = "withdrawn"
    NEW_SERIES = "new series"
    END_OF_LIFE = "end of life near"
    UNREACHABLE = "unreachable"
    FAILED = "failed"


@dataclass(frozen=True)
class Row:
    """The outcome for one pin.

    `newest` is the newest release in the pinned series, `acceptable` the newest that passed every check, `age` the days
    since its publication, and `passed_over` has a "version: why" for each newer release that is not taken. `alarms`
    fail the run whatever the state is, such as a bad signature of a newer release. `unchecked`: a host did not answer,
    and the state does not show it.
    """

    name: str
    pinned: str
    state: State
    reason: str = ""
    newest: str = ""
    acceptable: str = ""
    age: int | None = None
    trust: str = ""
    passed_over: tuple[str, ...] = ()
    alarms: tuple[str, ...] = ()
    unchecked: bool = False

    @property
    def unreachable(self) -> bool:
        """Whether a host that was asked about this pin did not answer."""
        return self.unchecked or self.state is State.UNREACHABLE

    def cells(self) -> tuple[str, ...]:
        """The short columns, in the order of HEADINGS."""
        age = "" if self.age is None else f"{self.age} d"
        return (self.name, self.pinned, self.newest, self.acceptable, age, self.trust, str(self.state))

    def remarks(self) -> tuple[str, ...]:
        """The long texts: the reason, releases that were passed over, and alarms."""
        over = (f"passed over {text}" for text in self.passed_over)
        alarms = (f"ALARM: {text}" for text in self.alarms)
        return tuple(text for text in (self.reason, *over, *alarms) if text)


@dataclass(frozen=True)
class Commit:
    """A commit that a run has made or, with --dry-run, would make."""

    subject: str
    body: str


def old_holds(holds: Iterable[tuple[str, datetime.date, str]], today: datetime.date) -> list[str]:
    """A note for each hold whose reason nobody has looked at for a year; `holds`: what is held, since when, why."""
    return [
        f"Hold on {what}: since {since} nobody has looked whether the reason still holds ({reason}). Try again, then "
        "lift the hold or renew its `since`."
        for what, since, reason in holds
        if (today - since).days > YEAR
    ]


HEADINGS = ("name", "pinned", "newest", "acceptable", "age", "trust", "state")


@dataclass(frozen=True)
class Report:
    """The rows and commits of one run. With `dry_run` the commits were not made.

    With `allow_unreachable`, hosts that do not answer are only a warning."""

    title: str
    rows: Sequence[Row]
    notes: Sequence[str] = ()
    allow_unreachable: bool = False
    commits: Sequence[Commit] = ()
    dry_run: bool = False

    @property
    def exit_code(self) -> int:
        """0 when every pin was checked, 1 when one failed, raised an alarm or could not be checked."""
        failed = any(row.state is State.FAILED or row.alarms for row in self.rows)
        return 1 if failed or (self._unreachable and not self.allow_unreachable) else 0

    @property
    def _unreachable(self) -> bool:
        return any(row.unreachable for row in self.rows)

    def summary(self) -> str:
        """One line: how many rows are in which state; names --allow-unreachable where it matters."""
        counts = {state: sum(row.state is state for row in self.rows) for state in State}
        alarms = sum(bool(row.alarms) for row in self.rows)
        parts = [f"{count} {state}" for state, count in counts.items() if count]
        parts += [f"{alarms} with an alarm"] if alarms else []
        text = f"{len(self.rows)} in all: {', '.join(parts) or 'nothing'}"
        if self._unreachable and self.allow_unreachable:
            text += " (unreachable hosts are only a warning: --allow-unreachable)"
        elif self._unreachable:
            text += " (unreachable hosts fail the run; --allow-unreachable makes them a warning)"
        return text

    def table(self, width: int | None = None) -> str:
        """For a terminal, or `width` columns: the cells in columns, with remarks and commits below.

        If the columns are too wide together, the trust moves below as well, then the name to a line of its own."""
        width = max(60, width or shutil.get_terminal_size((120, 24)).columns)
        columns = list(range(len(HEADINGS)))
        cells = [HEADINGS, *(row.cells() for row in self.rows)]
        widths = [max(len(line[column]) for line in cells) for column in columns]
        for left_out in (HEADINGS.index("trust"), HEADINGS.index("name")):
            if sum(widths[column] + 2 for column in columns) - 2 > width:
                columns.remove(left_out)
        pattern = "  ".join(f"{{{column}:{widths[column]}}}" for column in columns)
        lines = [self.title, "", pattern.format(*HEADINGS).rstrip()]
        lines.append(pattern.format(*("-" * size for size in widths)))
        for row in self.rows:
            lines += [] if 0 in columns else [row.name]
            lines.append(pattern.format(*row.cells()).rstrip())
            trust = [] if HEADINGS.index("trust") in columns or not row.trust else [f"trust: {row.trust}"]
            for remark in (*trust, *row.remarks()):
                lines += _wrapped(remark, width, "    ", "      ")
        for commit in self.commits:
            lines += ["", *_wrapped(f"{self._verb}: {commit.subject}", width, "", "  ")]
            for line in filter(str.strip, commit.body.splitlines()):
                lines += _wrapped(line, width, "    ", "      ")
        closing = [line for text in self._closing() for line in _wrapped(text, width)]
        return "\n".join([*lines, "", *closing, ""])

    def markdown(self) -> str:
        """For $GITHUB_STEP_SUMMARY and pull requests."""
        lines = [f"## {_escape(self.title)}", "", _markdown_row((*HEADINGS, "reason"))]
        lines.append("|" + " --- |" * (len(HEADINGS) + 1))
        for row in self.rows:
            remarks = "<br>".join(_escape(remark) for remark in row.remarks())
            lines.append(_markdown_row((*map(_escape, row.cells()), remarks)))
        for commit in self.commits:
            lines += ["", f"### {self._verb.capitalize()}: {_escape(commit.subject)}", ""]
            lines += [f"- {_escape(line)}" for line in commit.body.splitlines() if line.strip()]
        return "\n".join([*lines, "", *(f"{_escape(line)}\n" for line in self._closing())])

    def as_json(self) -> str:
        """For programs: every field of every row."""
        rows = [
            {
                "name": row.name,
                "pinned": row.pinned,
                "newest": row.newest,
                "acceptable": row.acceptable,
                "age_days": row.age,
                "trust": row.trust,
                "state": str(row.state),
                "reason": row.reason,
                "passed_over": list(row.passed_over),
                "alarms": list(row.alarms),
                "unreachable": row.unreachable,
            }
            for row in self.rows
        ]
        facts = {
            "title": self.title,
            "rows": rows,
            "notes": list(self.notes),
            "commits": [] if self.dry_run else [commit.subject for commit in self.commits],
            "changes": [
                {"subject": commit.subject, "body": commit.body, "committed": not self.dry_run}
                for commit in self.commits
            ],
            "allow_unreachable": self.allow_unreachable,
            "exit_code": self.exit_code,
        }
        return json.dumps(facts, indent=2, ensure_ascii=False)

    def publish(self, as_json: bool) -> None:
        """Prints the table or JSON on stdout, and appends Markdown to $GITHUB_STEP_SUMMARY if it is set."""
        print(self.as_json() if as_json else self.table())
        if summary := os.environ.get("GITHUB_STEP_SUMMARY"):
            with Path(summary).open("a", encoding="utf-8") as stream:
                stream.write(self.markdown() + "\n")

    @property
    def _verb(self) -> str:
        return "would commit" if self.dry_run else "committed"

    def _closing(self) -> list[str]:
        return [*self.notes, self.summary()]


def _wrapped(text: str, width: int, first: str = "", others: str = "") -> list[str]:
    """Lines of at most `width` columns. Longer words stay whole: a URL can be clicked and copied."""
    plain = re.sub(r"[^\S ]|[^\x20-\x7e\xa0-\U0010ffff]", " ", text)  # text from a server must not move the cursor
    return textwrap.wrap(
        plain, width, initial_indent=first, subsequent_indent=others, break_long_words=False, break_on_hyphens=False
    )


def _escape(text: str) -> str:
    """Text from outside as inert Markdown: no table cell, tag or mention can be smuggled in."""
    return " ".join(html.escape(text, quote=False).replace("|", "&#124;").replace("@", "&#64;").split())


def _markdown_row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"
