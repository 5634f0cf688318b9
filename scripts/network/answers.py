"""JSON from outside, read with types: what has another form than was agreed is a Failure that says where it stands.

    Answer.parse(content, "example.org/v2/a/manifests/b")["config"]["digest"].text(oci.DIGEST)

Messages tell the kind of a value and never the value: an answer may hold a secret.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any, NoReturn

from portable import errors

_KINDS = {dict: "an object", list: "a list", str: "text", bool: "true or false", int: "a number", float: "a number"}


def printable(text: str) -> str:
    """Text from outside for a message: without characters that would move a terminal, and not too long."""
    return (text if text.isascii() and text.isprintable() else ascii(text)[1:-1])[:200]


@dataclass(frozen=True)
class Answer:
    """A part of a document; `where` is the document's origin and the path to this part. What is absent holds None."""

    value: Any
    where: str

    @classmethod
    def parse(cls, content: bytes | str, where: str) -> Answer:
        """The whole of a document. Raises Failure where it is no JSON in UTF-8."""
        try:
            return cls(json.loads(content if isinstance(content, str) else content.decode()), where)
        except (ValueError, RecursionError):
            raise errors.Failure(f"{where}: this is not JSON") from None

    def __getitem__(self, key: str) -> Answer:
        """A member of an object. Raises Failure where this is no object."""
        return Answer(self._of(dict, "an object").get(key), f"{self.where}: {printable(key)}")

    def rows(self, optional: bool = False) -> list[Answer]:
        """The parts of a list; none of one that is absent, if it is optional."""
        listed = [] if optional and self.value is None else self._of(list, "a list")
        return [Answer(each, f"{self.where} [{number}]") for number, each in enumerate(listed)]

    def members(self) -> dict[str, Answer]:
        """The members of an object; none of one that is absent."""
        return {str(key): self[key] for key in ({} if self.value is None else self._of(dict, "an object"))}

    def texts(self) -> dict[str, str]:
        """An object whose members are texts; empty where it is absent."""
        return {key: each.text() for key, each in self.members().items()}

    def text(self, pattern: re.Pattern[str] | None = None, default: str | None = None) -> str:
        """A text that matches as a whole; the default, if there is one, where it is absent."""
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
        """A whole number, not negative."""
        value = self._of(int, "a number")
        if isinstance(value, bool) or value < 0:
            self._wrong("a number")
        return int(value)

    def _of(self, kind: type, wanted: str) -> Any:
        return self.value if isinstance(self.value, kind) else self._wrong(wanted)

    def _wrong(self, wanted: str) -> NoReturn:
        found = "missing" if self.value is None else _KINDS[type(self.value)]
        raise errors.Failure(f"{self.where} is {found}, expected {wanted}")
