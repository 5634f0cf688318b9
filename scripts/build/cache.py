"""The layers that --cache keeps in a directory, one of BuildKit's caches for each image.

BuildKit never removes anything from such a directory. So each build fills a new one, which takes the place of the old.
"""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from build import locks
from build.options import BuildOptions
from catalogue.model import Image
from portable import errors
from portable.progress import say


def translated(options: BuildOptions, image: Image, exports: bool) -> BuildOptions:
    """The options with --cache as --cache-from and --cache-to; without any of them if the builder exports no cache."""
    if not exports:
        if options.cache or options.cache_from or options.cache_to:
            say("using the engine's own cache: this builder cannot keep one elsewhere")
        return replace(options, cache=None, cache_from=[], cache_to=[])
    if not options.cache:
        return options
    place = place_of(options.cache, image)
    old = [f"type=local,src={place}"] if (place / "index.json").is_file() else []
    new = f"type=local,dest={_beside(place, 'new')},mode=max"
    return replace(options, cache_from=[*options.cache_from, *old], cache_to=[*options.cache_to, new])


@contextlib.contextmanager
def used(options: BuildOptions, image: Image, exports: bool) -> Iterator[BuildOptions]:
    """The options for one build, translated. --cache is left out while another build of the image, with another tag,
    uses the directory; what this build leaves there is kept unless it raises."""
    if not (options.cache and exports):
        yield translated(options, image, exports)
        return
    place = place_of(options.cache, image)
    place.parent.mkdir(parents=True, exist_ok=True)
    with locks.held(str(place)) as lock:
        if not lock:
            say(f"using the engine's own cache: another build is using {place}")
            yield replace(options, cache=None)
            return
        # A build that was killed may have left both.
        if not place.exists() and _beside(place, "old").exists():
            _beside(place, "old").rename(place)
        for name in ("old", "new"):
            shutil.rmtree(_beside(place, name), ignore_errors=True)
        yield translated(options, image, exports)
        keep(place)


def keep(place: Path) -> None:
    """Replaces the layers in a directory by those of the last build; says so if that fails."""
    new, old = _beside(place, "new"), _beside(place, "old")
    if not new.is_dir():
        return
    try:
        if place.exists():
            place.rename(old)
        new.rename(place)
    except OSError as error:
        say(f"the layers are not kept: {errors.of_system(error)}")
    shutil.rmtree(old, ignore_errors=True)


def place_of(directory: Path, image: Image) -> Path:
    """Where a cache has the layers of an image."""
    return directory.resolve() / image.name


def _beside(place: Path, suffix: str) -> Path:
    return place.with_name(f"{place.name}.{suffix}")
