"""The pipeline that all updaters share: look everything up side by side, report, commit bump after bump.

An updater supplies subjects: pins that move together, and a function that looks them up. A look-up that fails or hangs
neither hides nor delays the others.
"""

from __future__ import annotations

import argparse
import queue
import sys
import threading
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from catalogue.paths import ROOT
from network import web
from portable import errors
from portable.progress import Progress
from portable.toml import near_matches
from update import commits
from update.report import Commit, Report, Row, State

EPILOG = """\
exit status:
  0  every pin was checked, and bumps were committed (with --dry-run: would be)
  1  a pin failed or raised an alarm or, without --allow-unreachable, a host did
     not answer
  2  invalid usage: an unknown option or name, uncommitted changes, a bad table

environment:
  GITHUB_API_TOKEN, GITHUB_TOKEN
      sent to api.github.com only, which answers few requests without a token
  GITHUB_STEP_SUMMARY
      a file to which the report is appended as Markdown
  MANYLINUX_UPDATE_STATE
      the file in which runs note what they saw first (default:
      manylinux/first-seen.json in $XDG_STATE_HOME or ~/.local/state)
  MANYLINUX_DEBIAN_MIRROR, MANYLINUX_DEBIAN_KEYRING
      Debian mirrors to fall back to where upstream does not answer (default:
      apt's), and the keyring that verifies their indices
  XDG_CACHE_HOME
      where those indices are kept (default: ~/.cache)
"""
PATIENCE = 900  # seconds for all look-ups together; each request has its own, much shorter limits


@dataclass(frozen=True)
class Bump:
    """A commit to be made. `edit` gets a reader of the current files and returns the new texts, by path."""

    subject: str
    body: str
    edit: Callable[[Callable[[str], str]], Mapping[str, str]]


@dataclass(frozen=True)
class Outcome:
    """What a look-up found: for each pin a row ("pin") or several ("pin: part"), and perhaps a bump."""

    rows: Sequence[Row]
    bump: Bump | None = None


@dataclass(frozen=True)
class Subject:
    """Pins that move together (name -> pinned version), and how to look them up."""

    pins: Mapping[str, str]
    look: Callable[[], Outcome]

    def rows(self, state: State, reason: str) -> Outcome:
        """The same row for every pin."""
        return Outcome([Row(name, pinned, state, reason) for name, pinned in self.pins.items()])


@dataclass(frozen=True)
class Options:
    """The options that every updater has."""

    dry_run: bool
    json: bool
    allow_unreachable: bool
    only: Sequence[str]
    no_cooldown: Sequence[str]


def parse(description: str, arguments: Sequence[str] | None = None) -> Options:
    """Reads the command line; exits with 2 for invalid usage."""
    parser = argparse.ArgumentParser(
        description=description, epilog=EPILOG, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--dry-run",
        action="store_true",
        help="look up and verify everything and print the commits, but change nothing",
    )
    parser.add_argument("--only", nargs="+", default=[], metavar="NAME", help="look up these pins only")
    parser.add_argument("--json", action="store_true", help="print the report as JSON")
    parser.add_argument(
        "--allow-unreachable",
        action="store_true",
        help="warn of hosts that do not answer, instead of failing: for a machine that reaches only some of them. "
        "A bad or missing signature still fails",
    )
    parser.add_argument(
        "--no-cooldown",
        nargs="+",
        default=[],
        metavar="NAME",
        help="take these releases without waiting: for one that fixes a vulnerability, where the row of the pin does "
        "not say how upstream announces that. All other checks still apply",
    )
    return Options(**vars(parser.parse_args(arguments)))


def together(subject: str, body: str, bumps: Sequence[Bump]) -> Bump:
    """One bump with the edits of several bumps, one after the other."""

    def edit(read: Callable[[str], str]) -> Mapping[str, str]:
        texts: dict[str, str] = {}

        def edited(path: str) -> str:
            return texts.get(path) or read(path)

        for bump in bumps:
            texts |= bump.edit(edited)
        return texts

    return Bump(subject, body, edit)


def run(
    title: str,
    subjects: Sequence[Subject],
    options: Options,
    root: Path = ROOT,
    *,
    writes: bool = True,
    join: Callable[[Sequence[Outcome]], Bump | None] | None = None,
    notes: Sequence[str] = (),
) -> int:
    """Looks up, commits (unless it is a dry run), publishes the report; returns the exit status.

    `writes`: whether the updater makes commits at all. `join` makes one bump, or none, of all outcomes; without it each
    outcome has a commit of its own."""
    names = [name for subject in subjects for name in subject.pins]
    for name in (*options.only, *options.no_cooldown):
        if name not in names:
            raise errors.UserError(f"no pin {name!r}{near_matches(name, names)}")
    if options.only:
        subjects = [subject for subject in subjects if set(subject.pins) & set(options.only)]
    if writes and not options.dry_run:
        commits.require_clean(root).close()
    with Progress() as progress:
        outcomes = ask(subjects, progress)
    jobs = _jobs(outcomes, join)
    made = [Commit(bump.subject, bump.body) for bump, _ in jobs]
    if not options.dry_run:
        outcomes, made = _commit(outcomes, jobs, root)
    rows = [row for outcome in outcomes for row in outcome.rows]
    notes = [*notes, "Dry run: nothing was changed."] if writes and options.dry_run else notes
    report = Report(title, rows, notes, options.allow_unreachable, made, options.dry_run)
    report.publish(options.json)
    return report.exit_code


def ask(subjects: Sequence[Subject], progress: Progress, patience: float = PATIENCE) -> list[Outcome]:
    """The outcomes in the order of `subjects`, all looked up at the same time.

    A look-up that takes longer than `patience` seconds is reported as unreachable; its daemon thread is left behind."""
    answers: queue.Queue[tuple[int, Outcome]] = queue.Queue()

    def work(number: int, subject: Subject) -> None:
        with progress.task(", ".join(subject.pins), None, "") as task:
            outcome = _look(subject)
            task.note = outcome.rows[0].state
        answers.put((number, outcome))

    for number, subject in enumerate(subjects):
        threading.Thread(target=work, args=(number, subject), daemon=True).start()
    found: dict[int, Outcome] = {}
    end = time.monotonic() + patience
    while len(found) < len(subjects):
        try:
            number, outcome = answers.get(timeout=max(0.0, end - time.monotonic()))
        except queue.Empty:
            break
        found[number] = outcome
    late = f"no answer within {patience:.0f} seconds"
    return [found.get(n) or subject.rows(State.UNREACHABLE, late) for n, subject in enumerate(subjects)]


def _look(subject: Subject) -> Outcome:
    """The outcome of one look-up, whatever it raises; a pin that it does not report on has failed."""
    try:
        outcome = subject.look()
    except web.Unreachable as error:
        return subject.rows(State.UNREACHABLE, str(error))
    except (web.Missing, web.Refused, errors.Failure, errors.UserError) as error:
        return subject.rows(State.FAILED, str(error))
    except Exception as error:
        traceback.print_exc(file=sys.stderr)
        return subject.rows(State.FAILED, f"internal error: {type(error).__name__}: {error}")
    if list(dict.fromkeys(row.name.partition(": ")[0] for row in outcome.rows)) != list(subject.pins):
        return subject.rows(State.FAILED, "internal error: the look-up did not reach this pin")
    return outcome


def _jobs(
    outcomes: Sequence[Outcome], join: Callable[[Sequence[Outcome]], Bump | None] | None
) -> list[tuple[Bump, list[int]]]:
    """The bumps to commit, each with the indexes of the outcomes that it comes from."""
    bumps = {number: outcome.bump for number, outcome in enumerate(outcomes) if outcome.bump}
    if join:
        joined = join(outcomes)
        return [(joined, list(bumps))] if joined else []
    return [(bump, [number]) for number, bump in bumps.items()]


def _commit(
    outcomes: Sequence[Outcome], jobs: Sequence[tuple[Bump, Sequence[int]]], root: Path
) -> tuple[list[Outcome], list[Commit]]:
    """Makes the commits and returns those that were made. The rows of a refused commit become failures."""
    done, made = list(outcomes), []
    if jobs:
        with commits.writer(root) as writer:
            for bump, numbers in jobs:
                try:
                    writer.commit(commits.Change(bump.subject, bump.body, bump.edit(writer.read)))
                    made.append(Commit(bump.subject, bump.body))
                except errors.Failure as error:
                    for number in numbers:
                        rows = [replace(row, state=State.FAILED, reason=str(error)) for row in done[number].rows]
                        done[number] = Outcome(rows)
    return done, made
