"""Notes when runs of the updaters first saw something, in a small file outside the repository."""

from __future__ import annotations

import json
import os
import threading
from datetime import datetime
from pathlib import Path

from portable import errors, files, places
from update import releases

SEEN_VARIABLE = "MANYLINUX_UPDATE_STATE"


class Sightings:
    """The moments when a run first saw something, by pin and a description.

    They give the age of a release that nothing else dates, and tell for how long something is missing or reported."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._known = self._read()
        self._changes: dict[tuple[str, str], datetime | None] = {}
        self._lock = threading.Lock()

    @classmethod
    def of_this_user(cls) -> Sightings:
        """The file that $MANYLINUX_UPDATE_STATE names, else one below the XDG state directory."""
        return cls(Path(os.environ.get(SEEN_VARIABLE) or places.state() / "first-seen.json"))

    def first(self, name: str, what: str, now: datetime) -> datetime:
        """When a run first asked about this; `now` if none did before."""
        with self._lock:
            if not (moment := self.seen(name, what)):
                moment = self._changes[name, what] = now
            return moment

    def seen(self, name: str, what: str) -> datetime | None:
        """When a run first asked about this; None if none did."""
        return self._changes.get((name, what), self._known.get((name, what)))

    def words(self, name: str, start: str) -> list[str]:
        """The descriptions of what was seen of a pin that begin with `start`."""
        return [what for known, what in {**self._known, **self._changes} if known == name and what.startswith(start)]

    def forget(self, name: str, what: str) -> None:
        """Drops a sighting: the next one counts as the first."""
        with self._lock:
            if self.seen(name, what):
                self._changes[name, what] = None

    def save(self) -> None:
        """Adds the new sightings to the file, which another run may have changed, and replaces it in one step.

        Raises Failure where it cannot be written."""
        if not self._changes:
            return
        days: dict[str, dict[str, str]] = {}
        known = self._read()
        for (name, what), moment in {**known, **self._changes}.items():
            if moment:
                days.setdefault(name, {})[what] = min(known.get((name, what), moment), moment).isoformat()
        try:
            files.write(self.path, json.dumps(days, indent=2, sort_keys=True) + "\n")
        except OSError as error:
            why = f"{self.path} cannot be written ({error.strerror}): set {SEEN_VARIABLE} to another file"
            raise errors.Failure(f"what was seen first today is forgotten, for {why}") from None

    def _read(self) -> dict[tuple[str, str], datetime]:
        """The sightings in the file. Whatever cannot be read counts as never seen."""
        try:
            days = json.loads(self.path.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {}
        table = {name: row for name, row in days.items() if isinstance(row, dict)} if isinstance(days, dict) else {}
        entries = {(name, what): releases.date(text) for name, row in table.items() for what, text in row.items()}
        return {key: moment for key, moment in entries.items() if moment}
