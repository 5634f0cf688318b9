"""Asks OSV (https://google.github.io/osv.dev/api/) which vulnerabilities are known of a version of a package."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import requests

from network.answers import Answer
from network.session import Session, chunks, innermost
from network.web import Refused, Unreachable
from portable import errors, fetch

BATCH = 1000  # queries in one request, OSV's limit
MOST_PAGES = 20  # of the answers to one query
MOST_BYTES = 32 << 20
SECONDS = 60
JOBS = 8

Query = Mapping[str, Any]


@dataclass(frozen=True)
class Record:
    """A vulnerability: its CVE where it has one, else OSV's own identifier; the versions that mend it."""

    id: str
    aliases: tuple[str, ...]
    fixed: tuple[str, ...]
    withdrawn: bool


def by_name(ecosystem: str, name: str, version: str) -> Query:
    """A query for a version of a package of an ecosystem."""
    return {"package": {"ecosystem": ecosystem, "name": name}, "version": version}


class Osv:
    """OSV at an address like https://api.osv.dev/v1. May be used from many threads."""

    def __init__(self, url: str) -> None:
        self._url = url.rstrip("/")
        self._session = Session()

    def known(self, queries: Sequence[Query]) -> list[list[Record]]:
        """For each query the vulnerabilities that are known and were not withdrawn.

        Raises Failure when OSV does not answer, or answers something else."""
        ids = self._ids(queries)
        unique = sorted(set(itertools.chain.from_iterable(ids)))
        answers = fetch.in_parallel(self._record, unique, JOBS, fetch.Fetcher(mirrors=None))
        records = dict(zip(unique, answers, strict=True))
        return [[record for id in found if not (record := records[id]).withdrawn] for found in ids]

    def _ids(self, queries: Sequence[Query]) -> list[list[str]]:
        found: list[list[str]] = [[] for _ in queries]
        waiting = list(enumerate(queries))
        for _ in range(MOST_PAGES * (1 + len(queries) // BATCH)):
            if not waiting:
                return found
            batch, waiting = waiting[:BATCH], waiting[BATCH:]
            answer = self._ask("POST", "querybatch", {"queries": [query for _, query in batch]})
            results = answer["results"].rows()
            if len(results) != len(batch):
                raise errors.Failure(f"{answer.where}: {len(results)} results for {len(batch)} queries")
            for (number, query), result in zip(batch, results, strict=True):
                found[number] += [row["id"].text() for row in result["vulns"].rows(optional=True)]
                if token := result["next_page_token"].text(default=""):
                    waiting.append((number, {**query, "page_token": token}))
        raise errors.Failure(f"{self._url}/querybatch: the answers have no end")

    def _record(self, identifier: str) -> Record:
        answer = self._ask("GET", f"vulns/{identifier}")
        aliases = [answer["id"].text(), *(each.text() for each in answer["aliases"].rows(optional=True))]
        events = [
            event
            for affected in answer["affected"].rows(optional=True)
            for span in affected["ranges"].rows(optional=True)
            if span["type"].text(default="") != "GIT"
            for event in span["events"].rows(optional=True)
        ]
        fixed = dict.fromkeys(text for event in events if (text := event["fixed"].text(default="")))
        cves = sorted(alias for alias in aliases if alias.startswith("CVE-"))
        name = cves[0] if cves else aliases[0]
        others = tuple(sorted({*aliases} - {name}))
        return Record(name, others, tuple(fixed), answer["withdrawn"].text(default="") != "")

    def _ask(self, method: str, path: str, content: Mapping[str, Any] | None = None) -> Answer:
        url = f"{self._url}/{path}"
        try:
            with self._session.request(method, url, json=content, stream=True, timeout=SECONDS) as answer:
                if answer.status_code != requests.codes.ok:
                    raise errors.Failure(f"{url} answered {answer.status_code}")
                return Answer.parse(b"".join(chunks(answer, MOST_BYTES)), url)
        except requests.RequestException as error:
            raise errors.Failure(f"{url} does not answer: {innermost(error)}") from None
        except (Refused, Unreachable) as error:
            raise errors.Failure(str(error)) from None
