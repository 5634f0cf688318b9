"""Reads the releases that upstream lists, with one function for each kind of source in docker/dependencies.toml.

Each function yields every release that the source lists, in any order, and judges none. It raises web.Unreachable,
web.Missing or web.Refused; a list without any release is refused. Names that cannot be versions are left out here, so
that other modules need not expect them.
"""

from __future__ import annotations

import html
import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from urllib.parse import urlsplit

from catalogue import checkout
from catalogue.dependencies import Dependency, Source
from network import web

GIT_SECONDS = 60
# What upstream may call a release: packaging.Version raises for thousands of digits, and \d means many alphabets.
_VERSION = re.compile(r"[0-9][0-9A-Za-z.+-]{0,39}")
_NO_REPOSITORY = re.compile(
    r"(?i)repository ('.*' )?not found|does not appear to be a git repository"
    r"|Authentication failed|could not read Username|returned error: (404|410)"
)


@dataclass(frozen=True)
class Release:
    """A listed release; `path`, `size`, `sha3_256` and `published` where the list has them."""

    version: str
    published: datetime | None = None
    path: str = ""
    size: int | None = None
    sha3_256: str = ""


def listed(dependency: Dependency, source: Source, client: web.Client) -> tuple[Release, ...]:
    """The releases of one source, each version once."""
    source = replace(source, url=dependency.fill(source.url), pattern=dependency.fill(source.pattern))
    with understood(source.url):
        found = list(KINDS[source.kind](client, source))
    releases = {release.version: release for release in found if is_version(release.version)}
    if not releases:
        raise web.Refused(f"{source.url} lists no release that looks like {source.pattern}")
    return tuple(releases.values())


def is_version(text: str) -> bool:
    """Whether a text out of a list can be a version at all."""
    return bool(_VERSION.fullmatch(text))


@contextmanager
def understood(url: str) -> Iterator[None]:
    """Raises web.Refused where the document behind `url` has another shape than the reader inside expects."""
    try:
        yield
    except (AttributeError, IndexError, KeyError, TypeError, ValueError) as error:
        raise web.Refused(f"{url} has another shape than it had ({type(error).__name__}: {error})") from None


def git_tags(client: web.Client, source: Source) -> Iterator[Release]:
    """The tags of a git repository, without a clone and without a token."""
    tags = client.once(("ls-remote", source.url, source.glob), lambda: _ls_remote(source.url, source.glob))
    return _matches(source.pattern, tags)


def listing(client: web.Client, source: Source) -> Iterator[Release]:
    """The last parts of the links of a page: a directory listing of a web server, a download page."""
    page = client.get(source.url).decode(errors="replace")
    links = re.findall(r"""href\s*=\s*["']?([^"'>\s]+)""", page, re.IGNORECASE)
    return _matches(source.pattern, (html.unescape(link).rpartition("/")[2] for link in links))


def python_org(client: web.Client, source: Source) -> Iterator[Release]:
    """python.org's API: version 2 answers a list, version 1 `objects`; other products have other slugs."""
    document = client.json(source.url)
    for row in document if isinstance(document, list) else document.get("objects", document.get("results", [])):
        name = re.fullmatch(r"Python (\d[\w.]*)", row.get("name", ""))
        if name and row.get("is_published") and row.get("slug", "").startswith("python"):
            yield Release(name[1], date(row.get("release_date")))


def curl_info(client: web.Client, source: Source) -> Iterator[Release]:
    """curl.se/info.json: the newest release alone."""
    facts = {key.lower(): value for key, value in client.json(source.url).items()}
    yield Release(str(facts.get("version", "")), date(facts.get("date")))


def sqlite_csv(client: web.Client, source: Source) -> Iterator[Release]:
    """The table for scripts in a comment of sqlite.org/download.html; new columns only come on the right."""
    page = client.get(source.url).decode(errors="replace")
    row = re.compile(r"^PRODUCT,[^,\n]*,(?P<path>[^,\n]*),(?P<size>[0-9]{1,18}),(?P<sha3>[0-9a-f]{64})\b", re.MULTILINE)
    for found in row.finditer(page):
        if match := re.fullmatch(source.pattern, found["path"], re.ASCII):
            version = sqlite_version(match[1])
            yield Release(version, path=found["path"], size=int(found["size"]), sha3_256=found["sha3"])


def sqlite_version(number: str) -> str:
    """SQLite's 3XXYYZZ as X.Y.Z: 3530200 is 3.53.2, 3080801 is 3.8.8.1."""
    parts = [int(number[0]), int(number[1:3]), int(number[3:5]), int(number[5:7])]
    return ".".join(map(str, parts if parts[3] else parts[:3]))


def _ls_remote(url: str, glob: str) -> tuple[str, ...]:
    host = urlsplit(url).netloc or url
    quiet = {"GIT_TERMINAL_PROMPT": "0", "GIT_ASKPASS": "true", "GIT_HTTP_LOW_SPEED_LIMIT": "1000"}
    quiet["GIT_HTTP_LOW_SPEED_TIME"] = f"{web.LIMITS.stall:.0f}"
    command = ("-c", "credential.helper=", "ls-remote", "--tags", "--refs", "--", url, f"refs/tags/{glob}")
    try:
        listed = checkout.call(*command, env=quiet, seconds=GIT_SECONDS)
    except TimeoutError:
        raise web.Unreachable(f"{host}: no answer within {GIT_SECONDS} seconds") from None
    except checkout.GitRefused as error:
        said = str(error).splitlines()[0]
        if _NO_REPOSITORY.search(str(error)):
            raise web.Missing(f"{url} is no repository that can be read: {said}") from None
        why = "name not known" if "Could not resolve host" in said else said
        raise web.Unreachable(f"{host}: {why}") from None
    return tuple(line.rpartition("refs/tags/")[2] for line in listed.splitlines())


def _matches(pattern: str, texts: Iterable[str]) -> Iterator[Release]:
    """A release for each text that matches as a whole; separators become dots (curl-8_22_0 is 8.22.0)."""
    for text in texts:
        if match := re.fullmatch(pattern, text, re.ASCII):
            yield Release(re.sub("[_-]", ".", match[1]))


def date(text: object) -> datetime | None:
    """A point in time (ISO 8601, UTC unless it says otherwise) out of an answer; None where it is none."""
    try:
        moment = datetime.fromisoformat(str(text))
    except ValueError:
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


NEWEST_ONLY = frozenset({"curl-info"})
KINDS: dict[str, Callable[[web.Client, Source], Iterator[Release]]] = {
    "git-tags": git_tags,
    "listing": listing,
    "python-org": python_org,
    "curl-info": curl_info,
    "sqlite-csv": sqlite_csv,
}
