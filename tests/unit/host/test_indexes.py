"""Which Python indexes containers get from the settings of pip, uv and .netrc files."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from host import indexes
from host.indexes import Indexes
from host.site import Site
from portable import environment


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "home"


def write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


def settings(home: Path, **env: str) -> Indexes:
    """The settings of a machine that has no files outside this home."""
    return indexes.read({"HOME": str(home), "XDG_CONFIG_DIRS": str(home / "none"), **env})


@pytest.fixture(autouse=True)
def no_machine_wide_files(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(environment, "PIP_FILE", Path("/nowhere/pip.conf"))
    monkeypatch.setattr(indexes, "UV_FILE", Path("/nowhere/uv.toml"))


def test_nothing_configured_is_no_file(home: Path) -> None:
    assert settings(home).pip_conf() == ""


def test_pip_files_and_variables(home: Path) -> None:
    write(
        home / ".config/pip/pip.conf",
        "[global]\nindex-url = https://user:p%40ss@example.org/simple\n"
        "extra_index_url =\n    https://a.example.org/simple\n    https://b.example.org/simple\ntimeout = 60\n"
        "[install]\ntrusted-host = a.example.org\n[list]\nformat = columns\n",
    )
    found = settings(home)
    assert found.pip_conf() == (
        "[global]\nindex-url = https://user:p%40ss@example.org/simple\ntimeout = 60\n"
        "extra-index-url = https://a.example.org/simple\n    https://b.example.org/simple\n"
        "trusted-host = a.example.org\n"
    )
    changed = settings(home, PIP_INDEX_URL="https://c.example.org", PIP_DEFAULT_TIMEOUT="9", PIP_CERT="/x.pem")
    assert changed.settings["index-url"] == ("https://c.example.org",)
    assert changed.settings["timeout"] == ("9",)
    assert "cert" not in changed.settings


def test_pip_config_file_replaces_the_users_and_devnull_all(home: Path) -> None:
    write(home / ".pip/pip.conf", "[global]\nindex-url = https://user.example.org\n")
    chosen = write(home / "mine.conf", "[global]\nindex-url = https://mine.example.org\n")
    assert settings(home).settings["index-url"] == ("https://user.example.org",)
    assert settings(home, PIP_CONFIG_FILE=str(chosen)).settings == {"index-url": ("https://mine.example.org",)}
    assert settings(home, PIP_CONFIG_FILE=os.devnull).settings == {}


def test_places_of_this_machine_are_left_out_and_named_once(home: Path) -> None:
    found = settings(
        home,
        PIP_EXTRA_INDEX_URL="file:///srv/simple https://example.org/simple",
        PIP_FIND_LINKS="/opt/wheels ./here https://example.org/links /opt/wheels",
    )
    assert found.settings == {
        "extra-index-url": ("https://example.org/simple",),
        "find-links": ("https://example.org/links",),
    }
    assert found.left_out == ("file:///srv/simple", "/opt/wheels", "./here")
    note = Site(indexes=found).notes()
    assert len(note) == 1 and "/opt/wheels" in note[0]


def test_uv_fills_in_what_pip_does_not_say(home: Path) -> None:
    write(
        home / ".config/uv/uv.toml",
        '[[index]]\nname = "inner-one"\nurl = "https://example.org/inner"\ndefault = true\n'
        '[[index]]\nurl = "https://example.org/more"\n[[index]]\nname = "torch"\nurl = "https://x"\nexplicit = true\n'
        '[pip]\nfind-links = ["https://example.org/links"]\n',
    )
    found = settings(home, UV_INDEX_INNER_ONE_USERNAME="me", UV_INDEX_INNER_ONE_PASSWORD="s/3")
    assert found.settings == {
        "index-url": ("https://me:s%2F3@example.org/inner",),
        "extra-index-url": ("https://example.org/more",),
        "find-links": ("https://example.org/links",),
    }
    variables = {
        "UV_DEFAULT_INDEX": "https://d.example.org",
        "UV_INDEX": "named=https://e.example.org https://f.example.org",
    }
    assert settings(home, UV_NO_CONFIG="1", **variables).settings == {
        "index-url": ("https://d.example.org",),
        "extra-index-url": ("https://e.example.org", "https://f.example.org"),
    }
    assert settings(home, PIP_INDEX_URL="https://pip.example.org").settings["index-url"] == ("https://pip.example.org",)


def test_passwords_of_a_netrc_are_written_into_urls(home: Path) -> None:
    write(home / ".netrc", "machine example.org login me password a:b@c\ndefault login no password no\n").chmod(0o600)
    found = settings(
        home,
        PIP_INDEX_URL="https://example.org:8443/simple",
        PIP_EXTRA_INDEX_URL="https://u:p@example.org https://other.org",
    )
    assert found.settings == {
        "index-url": ("https://me:a%3Ab%40c@example.org:8443/simple",),
        "extra-index-url": ("https://u:p@example.org", "https://other.org"),
    }


def test_broken_files_are_passed_over(home: Path) -> None:
    write(home / ".config/pip/pip.conf", "index-url = https://example.org\n")
    write(home / ".config/uv/uv.toml", "[[index]\n")
    write(home / ".netrc", "machine\n")
    assert settings(home).settings == {}
