"""Making the doctor's tables: since when a version is allowed, and the lowest version of each symbol."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from portable import errors
from update import policies
from update.report import State

SYMBOLS = """\
libstdc++.so.6 libstdc++6 #MINVER#
| libstdc++6 #MINVER#
* Build-Depends-Package: libstdc++-dev
 GLIBCXX_3.4.26@GLIBCXX_3.4.26 9
 _ZSt4cout@GLIBCXX_3.4 4.1.1
 _ZNewC1Ev@GLIBCXX_3.4.26 9
libm.so.6 libc6 #MINVER#
 odd@Base 2.3.6
 hidden@GLIBC_PRIVATE 0 1
 both@GLIBC_2.35 2.35
 both@GLIBC_2.29 2.29
"""


def policy(name: str, priority: int, versions: list[str], libraries: list[str]) -> dict[str, Any]:
    return {
        "name": name,
        "priority": priority,
        "symbol_versions": {"x86_64": {"GLIBC": versions}},
        "lib_whitelist": libraries,
        "blacklist": {"libz.so.1": ["b", "a"]},
    }


def test_what_a_policy_allows_is_allowed_since_then() -> None:
    newer = policy("manylinux_2_28", 64, ["2.5", "2.28"], ["a", "b"])
    rows = {
        "manylinux": [newer, policy("manylinux_2_5", 100, ["2.5"], ["a"])],
        "musllinux": [{**policy("linux", 0, [], []), "symbol_versions": {}}],
    }
    table = policies.policy_table("1.2", rows.__getitem__)
    assert table["versions"]["manylinux"]["x86_64"]["GLIBC"] == {"2.5": "manylinux_2_5", "2.28": "manylinux_2_28"}
    assert table["libraries"]["manylinux"] == {"a": "manylinux_2_5", "b": "manylinux_2_28"}
    assert [row["name"] for row in table["policies"]] == ["manylinux_2_5", "manylinux_2_28"]
    assert table["policies"][0]["forbidden"] == {"libz.so.1": ["a", "b"]}


@pytest.mark.parametrize(("versions", "libraries"), [(["2.28"], ["a"]), (["2.5", "2.28"], ["b"])])
def test_a_policy_that_takes_something_back_is_refused(versions: list[str], libraries: list[str]) -> None:
    rows = [policy("manylinux_2_5", 100, ["2.5"], ["a"]), policy("manylinux_2_28", 64, versions, libraries)]
    with pytest.raises(errors.Failure, match="manylinux_2_28"):
        policies.policy_table("1", lambda libc: rows if libc == "manylinux" else [])


def test_symbols_by_their_lowest_version() -> None:
    assert policies.symbol_table("here", [SYMBOLS]) == {
        "source": "here",
        "libraries": {
            "libstdc++.so.6": {"GLIBCXX_3.4.26": ["_ZNewC1Ev"]},
            "libm.so.6": {"GLIBC_2.29": ["both"]},
        },
    }


def test_only_a_change_is_committed(tmp_path: Path) -> None:
    """Debian's packages get new versions every week, and mostly no new symbols."""
    path = tmp_path / policies.SYMBOLS
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps({"source": "old", "libraries": {}}))

    def look(libraries: dict[str, Any]) -> tuple[State, bool]:
        table = {"source": "new", "libraries": libraries}
        outcome = policies.look(policies.SYMBOLS, tmp_path, lambda directory: table, "source")
        return outcome.rows[0].state, outcome.bump is not None

    assert look({}) == (State.CURRENT, False)
    assert look({"libm.so.6": {"GLIBC_2.44": ["new"]}}) == (State.UPDATE, True)


def test_a_lock_without_auditwheel(tmp_path: Path) -> None:
    with pytest.raises(errors.Failure, match="does not pin auditwheel"):
        policies.fetch_policies("packaging==1 \\\n    --hash=sha256:ab\n", tmp_path)
