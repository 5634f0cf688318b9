"""What became of real projects in an image (docs/canaries.md): whether it may be published, and attaching that to it.

The results are handed over by whoever built the canaries, for docker/canaries.toml says which images need some. Else
those count that are attached to the image.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from catalogue import canaries
from catalogue.model import Image
from network import referrers
from network.answers import Answer, printable
from network.oci import Manifest
from network.referrers import Artifact
from network.registry import Registry
from portable import errors

FILE = "canaries.json"
GOOD = ("passed", "excused", "untried")  # what may become of one, besides "failed"


@dataclass(frozen=True)
class Judged:
    """The results that count. `handed`: image -> document, None if none were handed over; `accepted`: canaries whose
    failure does not hold an image back."""

    handed: Mapping[str, bytes] | None = None
    accepted: tuple[str, ...] = ()
    table: canaries.Canaries = field(default_factory=canaries.load)

    @classmethod
    def read(cls, directory: Path | None, accepted: tuple[str, ...]) -> Judged:
        """Those in a directory, as `invoke canary --output` writes it. Raises UserError for a name that is no canary,
        and for something else than a directory."""
        table = canaries.load()
        table.named("--accept-canary", accepted)
        if directory is None:
            return cls(None, accepted, table)
        if not directory.is_dir():
            raise errors.UserError(f"--canaries {directory} is not a directory: name what `invoke canary` has written")
        return cls({path.parent.name: path.read_bytes() for path in directory.glob(f"*/{FILE}")}, accepted, table)

    def refusals(self, registry: Registry, repository: str, image: Image, manifest: Manifest) -> list[str]:
        """Why an image must not be published. Raises Failure for results that cannot be read."""
        if self.handed is None:
            content = referrers.document(registry, repository, manifest.digest, referrers.CANARIES)
            return self._wrong(content, manifest) if content else []
        if image.name in self.handed:
            return self._wrong(self.handed[image.name], manifest)
        if self.table.guards(image):
            return [f"--canaries has no results of it: `invoke canary -i {image.name}`, see docs/canaries.md"]
        return []

    def lacking(self, registry: Registry, repository: str, image: Image, manifest: Manifest) -> Artifact | None:
        """The results that are to be attached to an image; None if there are none, or if it has some already."""
        content = (self.handed or {}).get(image.name)
        if not content or referrers.referrers(registry, repository, manifest.digest, referrers.CANARIES):
            return None
        return Artifact(referrers.CANARIES, FILE, content)

    def _wrong(self, content: bytes, manifest: Manifest) -> list[str]:
        results = Answer.parse(content, FILE)
        if results["subject"].text() not in (manifest.digest, manifest.configuration):
            return [
                f"the canaries were built in another image, {printable(results['subject'].text())}: build them again"
            ]
        rows = [(row["name"].text(), row["fate"].text(), row["reason"].text()) for row in results["canaries"].rows()]
        failed = [(name, reason) for name, fate, reason in rows if fate not in GOOD and name not in self.accepted]
        if not failed and not any(fate == "passed" or name in self.accepted for name, fate, _ in rows):
            return ["no canary passed: build them again"]
        return [
            f"the canary {name} failed: {reason} (`--accept-canary {name}` publishes all the same)"
            for name, reason in ((printable(name), printable(reason)) for name, reason in failed)
        ]
