"""JSON from outside, read with types: a value of another type or form is a Failure that names its place.

    Answer.parse(content, "example.org/v2/a/manifests/b")["config"]["digest"].text(oci.DIGEST)

Messages say the type of a value and never the value itself: an answer may contain a secret.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any, NoReturn

from portable import errors

_KINDS = {dict: "an object", list: "a list", str: "text", bool: "true or false", int: "a number", float: "a number"}


def printable(text: str) -> str:
    """Text from outside, for a message: without control characters, and at most 200 characters."""
    return (text if text.isascii() and text.isprintable() else ascii(text)[1:-1])[:200]


@dataclass(frozen=True)
class Answer:
    """A part of a document. `where`: its origin and the path to this part. The value of an absent part is None."""

    value: Any
    where: str

    @classmethod
    def parse(cls, content: bytes | str, where: str) -> Answer:
        """The whole document. Raises Failure if it is not JSON in UTF-8."""
        try:
            return cls(json.loads(content if isinstance(content, str) else content.decode()), where)
        except (ValueError, RecursionError):
            raise errors.Failure(f"{where}: this is not JSON") from None

    def __getitem__(self, key: str) -> Answer:
        """A member of an object. Raises Failure if this is not an object."""
        return Answer(self._of(dict, "an object").get(key), f"{self.where}: {printable(key)}")

    def rows(self, optional: bool = False) -> list[Answer]:
        """The parts of a list. `optional`: an absent one has no parts."""
        listed = [] if optional and self.value is None else self._of(list, "a list")
        return [Answer(each, f"{self.where} [{number}]") for number, each in enumerate(listed)]

    def members(self) -> dict[str, Answer]:
        """The members of an object; an absent one has none."""
        return {str(key): self[key] for key in ({} if self.value is None else self._of(dict, "an object"))}

    def texts(self) -> dict[str, str]:
        """The members of an object, all of which are texts; an absent one has none."""
        return {key: each.text() for key, each in self.members().items()}

    def text(self, pattern: re.Pattern[str] | None = None, default: str | None = None) -> str:
        """A text that matches as a whole. `default`: the result if it is absent."""
        if self.value is None and default is not None:
            return default
        value: str = self._of(str, "text")
        if pattern and not pattern.fullmatch(value):
            raise errors.Failure(f"{self.where} does not look like {pattern.pattern}")
        return value

    def flag(self) -> bool:
        """True or false."""
        return bool(self._of(bool, "true or false"))

    def number(self) -> int:
        """A whole number that is not negative."""
        value = self._of(int, "a number")
        if isinstance(value, bool) or value < 0:
            self._wrong("a number")
        return int(value)

    def _of(self, kind: type, wanted: str) -> Any:
        return self.value if isinstance(self.value, kind) else self._wrong(wanted)

    def _wrong(self, wanted: str) -> NoReturn:
        found = "missing" if self.value is None else _KINDS[type(self.value)]
        raise errors.Failure(f"{self.where} is {found}, expected {wanted}")
