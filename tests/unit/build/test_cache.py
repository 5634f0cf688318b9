"""The layers that --cache keeps in a directory."""

from __future__ import annotations

from pathlib import Path

import pytest

from build import cache
from build.options import BuildOptions
from catalogue import images
from portable import errors

IMAGE = images.load().image("manylinux_2_36_x86_64")
OTHER = images.load().image("manylinux_2_36_i686")


def test_a_cache_is_for_one_build_at_a_time(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    options = BuildOptions(cache=tmp_path / "cache", cache_to=["type=inline"])
    filled = f"type=local,dest={tmp_path}/cache/{IMAGE.name}.new,mode=max"
    with cache.used(options, IMAGE, True) as first, cache.used(options, IMAGE, True) as second:
        assert first.cache_to == ["type=inline", filled]
        assert (second.cache, second.cache_to) == (None, ["type=inline"]), "it must not write there"
        assert "another build is using" in capsys.readouterr().err
        with cache.used(options, OTHER, True) as other:
            assert len(other.cache_to) == 2
    with cache.used(options, IMAGE, True) as again:
        assert again == first


def test_what_a_build_leaves_is_taken_by_the_next_unless_it_fails(tmp_path: Path) -> None:
    options, place = BuildOptions(cache=tmp_path), tmp_path / IMAGE.name

    def build(content: str) -> list[str]:
        with cache.used(options, IMAGE, True) as given:
            place.with_name(f"{place.name}.new").mkdir()
            place.with_name(f"{place.name}.new").joinpath("index.json").write_text(content)
            if content == "failed":
                raise errors.Failure(content)
        return given.cache_from

    assert build("first") == []
    assert build("second") == [f"type=local,src={place}"]
    with pytest.raises(errors.Failure):
        build("failed")
    assert (place / "index.json").read_text() == "second"


def test_without_an_exporting_builder_no_cache_is_asked_for(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    options = BuildOptions(cache=tmp_path / "cache", cache_from=["type=gha"], cache_to=["type=gha"])
    with cache.used(options, IMAGE, False) as given:
        assert given == BuildOptions()
    assert "the engine's own cache" in capsys.readouterr().err
    assert not (tmp_path / "cache").exists()


def test_what_a_killed_build_has_left_in_a_cache_is_mended(tmp_path: Path) -> None:
    for suffix in ("old", "new"):
        (tmp_path / f"{IMAGE.name}.{suffix}").mkdir()
        (tmp_path / f"{IMAGE.name}.{suffix}" / "index.json").write_text(suffix)
    with cache.used(BuildOptions(cache=tmp_path), IMAGE, True) as given:
        assert (tmp_path / IMAGE.name / "index.json").read_text() == "old", "it was being replaced"
        assert given.cache_from == [f"type=local,src={tmp_path / IMAGE.name}"]
        assert not (tmp_path / f"{IMAGE.name}.new").exists()


def test_layers_that_cannot_be_kept_are_no_failure(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    place = tmp_path / IMAGE.name
    new, old = (place.with_name(f"{place.name}.{suffix}") for suffix in ("new", "old"))
    for each in (place, new):
        each.mkdir()
    old.write_text("in the way")
    cache.keep(place)
    assert "are not kept" in capsys.readouterr().err
    old.unlink()
    cache.keep(place)
    assert place.is_dir() and not new.exists()
