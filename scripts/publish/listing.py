"""Reads the tags of published repositories, and which manifests are behind them."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor

from catalogue.tags import SYNTAX
from network import oci
from network.registry import NotFound, Registry
from portable import errors
from publish.destination import Destination

QUAY = "quay.io"
AT_ONCE = 8  # manifests that are read side by side
MOST_PAGES = 1000


class TagReader:
    """Reads tags. `inside` collects digest -> the digests of its manifests, for every index that was read.

    Every method raises NotFound for a repository that does not exist, and Failure where it cannot read one."""

    def __init__(self, place: Destination) -> None:
        self.place = place
        self.inside: dict[str, tuple[str, ...]] = {}
        self.is_quick = place.registry.host == QUAY  # whether `quick` is cheaper than `read`

    def quick(self, name: str) -> dict[str, str]:
        """Tag -> digest from the registry's own list, if it has one; else like `read`."""
        return self._claims(name) if self.is_quick else self.read(name)

    def read(self, name: str, before: Mapping[str, str] | None = None) -> dict[str, str]:
        """Tag -> digest of the manifest that the tag points to now.

        `before` is an earlier result: a tag that has the same digest in the registry's own list is not asked for again,
        except `latest`."""
        claims, before = self._claims(name), before or {}
        known = {tag for tag, digest in claims.items() if digest and digest == before.get(tag) and tag != "latest"}
        asked = [tag for tag in claims if tag not in known]
        with ThreadPoolExecutor(AT_ONCE) as pool:
            found = dict(zip(asked, pool.map(lambda tag: self._digest(name, tag), asked), strict=True))
        return {tag: found.get(tag) or before[tag] for tag in claims}

    def _claims(self, name: str) -> dict[str, str]:
        """Every tag, with its digest in the registry's own list, or ""."""
        repository = self.place.repository(name)
        if self.is_quick:
            return quay_tags(self.place.registry, repository)
        return dict.fromkeys(self.place.registry.tags(repository), "")

    def _digest(self, name: str, tag: str) -> str:
        try:
            manifest = self.place.registry.manifest(self.place.repository(name), tag)
        except NotFound:
            raise errors.Failure(f"{self.place}/{name}:{tag} is listed, but not there: try again later") from None
        if manifest.is_index:
            self.inside[manifest.digest] = tuple(entry.digest for entry in manifest.entries)
        return manifest.digest


def quay_tags(registry: Registry, repository: str, base: str = f"https://{QUAY}") -> dict[str, str]:
    """Tag -> digest from quay's own API v1: a page of 100 tags a request instead of a request a tag.

    `GET /api/v1/repository/<repository>/tag/?limit=100&page=N` answers {"tags": [{"name", "manifest_digest"}],
    "has_additional"}."""
    found: dict[str, str] = {}
    for page in range(1, MOST_PAGES + 1):
        query = f"limit=100&page={page}&onlyActiveTags=true"
        answer = registry.get_json(f"{base}/api/v1/repository/{repository}/tag/?{query}")
        rows = {row["name"].text(SYNTAX): row["manifest_digest"].text(oci.DIGEST) for row in answer["tags"].rows()}
        if not answer["has_additional"].flag():
            return found | rows
        if rows.keys() <= found.keys():
            break
        found |= rows
    raise errors.Failure(f"{base}/api/v1/repository/{repository}/tag/: the list of tags does not end")
