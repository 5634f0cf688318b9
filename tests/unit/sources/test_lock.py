"""The lock of docker/sources: what it may say, and how it changes."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import hypothesis
import pytest
from hypothesis import strategies
from tests.support.locks import locked

from portable import errors
from sources.lock import load_lock, renew_lock, save_lock

LOCK = locked("git", "cpython-3.13")
LOCK["missing"] = {"pp311-pypy311_pp73": "the Debian archive has no prebuilt interpreters"}


def refused(path: Path, raw: Any) -> str:
    """The words with which a lock is refused."""
    path.write_text(raw if isinstance(raw, str) else json.dumps(raw))
    with pytest.raises(errors.UserError, match="write it anew with `prefetch --from debian`") as caught:
        load_lock(path)
    assert "\n" not in str(caught.value) and str(path) in str(caught.value)
    return str(caught.value)


def test_a_lock_is_read_as_it_was_written(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "lock.json"
    with pytest.raises(errors.UserError, match="write it with `prefetch --from debian`"):
        load_lock(path)
    assert save_lock(LOCK, path)
    assert load_lock(path) == LOCK
    before = path.read_bytes()
    assert not save_lock({**LOCK, "created": "2027-01-01"}, path), "only its date would change"
    assert path.read_bytes() == before
    path.write_text("nonsense")
    assert save_lock(LOCK, path), "a broken lock is replaced"


@pytest.mark.parametrize("text", ["", "[]", "{}", "null", "1", "\ufeff{}", "[" * 100_000, '{"pins": {}}'])
def test_what_is_no_lock(tmp_path: Path, text: str) -> None:
    refused(tmp_path / "lock.json", text)


def test_a_lock_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(errors.UserError, match="Is a directory"):
        load_lock(tmp_path)
    (tmp_path / "lock.json").write_bytes(b"\xff\xfe{")
    with pytest.raises(errors.UserError, match="not JSON"):
        load_lock(tmp_path / "lock.json")


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("version", "1 --x; rm -rf /"),
        ("version", ""),
        ("version", 1),
        ("version", "\u0661"),
        ("version", "1\n"),
        ("url", "ftp://example.org/git_1.tar.xz"),
        ("url", "https://example.org/$(id)/git_1.tar.xz"),
        ("url", "https://example.org/a b/git_1.tar.xz"),
        ("url", "git_1.tar.xz"),
        ("url", "https://example.org/other.tar.xz"),
        ("url", None),
        ("sha256", "A" * 64),
        ("sha256", "a" * 63),
        ("file", "../../../etc/passwd"),
        ("file", "/etc/passwd"),
        ("file", "git/../git_1.tar.xz"),
        ("file", "git/.."),
        ("file", "cpython-3.13/git_1.tar.xz"),
        ("file", "git_1.tar.xz"),
        ("package", "git; id"),
        ("suite", ""),
        ("verbatim", "yes"),
        ("verbatim", 1),
        ("more", 1),
    ],
)
def test_a_row_holds_what_it_should(tmp_path: Path, key: str, value: Any) -> None:
    raw: Any = copy.deepcopy(LOCK)
    raw["pins"]["git"][key] = value
    assert "git" in refused(tmp_path / "lock.json", raw)


@pytest.mark.parametrize(
    "change",
    [
        {"source": "elsewhere"},
        {"created": "yesterday"},
        {"created": 5},
        {"suites": "sid"},
        {"suites": [1]},
        {"pins": []},
        {"pins": {"git": "2.55"}},
        {"pins": {"../git": LOCK["pins"]["git"]}},
        {"missing": {"git": "none"}},
        {"missing": {"zstd": None}},
        {"missing": ["zstd"]},
        {"more": 1},
    ],
)
def test_a_lock_holds_what_it_should(tmp_path: Path, change: dict[str, Any]) -> None:
    refused(tmp_path / "lock.json", {**LOCK, **change})


@hypothesis.given(data=strategies.data())
def test_no_lock_is_a_traceback(data: strategies.DataObject, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Any part of it replaced by anything, or gone: refused in one line, or as good as before."""
    raw: Any = copy.deepcopy(LOCK)
    place: Any = raw
    while True:
        key = data.draw(strategies.sampled_from(sorted(place) if isinstance(place, dict) else range(len(place))))
        if isinstance(place[key], dict | list) and place[key] and data.draw(strategies.booleans()):
            place = place[key]
            continue
        break
    words = strategies.none() | strategies.booleans() | strategies.integers() | strategies.text(max_size=5)
    if data.draw(strategies.booleans()):
        del place[key]
    else:
        place[key] = data.draw(words | strategies.lists(words) | strategies.dictionaries(strategies.text(), words))
    path = tmp_path_factory.getbasetemp() / "lock.json"
    path.write_text(json.dumps(raw))
    try:
        assert load_lock(path) == raw
    except errors.UserError as error:
        assert "\n" not in str(error)


# --- Renewing ---------------------------------------------------------------------------------------------------------


def test_what_is_renewed_replaces_what_was_said_of_it_and_no_more(tmp_path: Path) -> None:
    path = tmp_path / "lock.json"
    names = ["git", "pp311-pypy311_pp73", "zstd"]
    fresh = locked("git")
    fresh["pins"]["git"]["version"] = "2"
    fresh["suites"], fresh["missing"] = ["forky"], {"zstd": "none"}
    assert renew_lock(path, names, fresh) == fresh, "there was none"
    save_lock(LOCK, path)
    renewed = renew_lock(path, names, fresh)
    assert (
        renewed
        == load_lock(path)
        == {
            **fresh,
            "suites": ["sid", "forky"],
            "pins": {"git": fresh["pins"]["git"], "cpython-3.13": LOCK["pins"]["cpython-3.13"]},
        }
    )


def test_a_lock_that_says_nothing_any_more_goes(tmp_path: Path) -> None:
    path = tmp_path / "lock.json"
    assert renew_lock(path, ["git"], None) is None
    save_lock(locked("git", "zstd"), path)
    renew: Callable[..., Any] = renew_lock
    assert set(renew(path, ["git"], None)["pins"]) == {"zstd"}
    assert renew_lock(path, ["zstd"], None) is None
    assert not path.exists()


def test_many_at_once_lose_nothing(tmp_path: Path) -> None:
    path = tmp_path / "lock.json"
    names = [f"pin-{number}" for number in range(30)]
    with ThreadPoolExecutor(10) as pool:
        list(pool.map(lambda name: renew_lock(path, [name], locked(name)), names))
    assert set(load_lock(path)["pins"]) == set(names)
