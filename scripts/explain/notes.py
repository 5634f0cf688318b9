"""What changed between descriptions of images (docs/notes.md): the changes of each image, equal ones joined.

Sections are in order of risk: what is gone breaks builds at once, a new micro of CPython hardly ever.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import IntEnum

from catalogue.dependencies import Dependency
from explain.descriptions import Described
from network.answers import Answer

Facts = Mapping[str, str]


class Risk(IntEnum):
    """Where a change stands in the notes; the riskiest first."""

    GONE = 0
    NEW = 1
    COMPILERS = 2
    REPAIR = 3
    PYTHON = 4
    GRAFTED = 5
    CAPABILITIES = 6
    REST = 7


TITLES = {
    Risk.GONE: "Gone",
    Risk.NEW: "New",
    Risk.COMPILERS: "Compilers and C libraries",
    Risk.REPAIR: "auditwheel and patchelf",
    Risk.PYTHON: "Interpreters",
    Risk.GRAFTED: "Packages of the distribution that wheels often contain",
    Risk.CAPABILITIES: "What images and interpreters can do",
    Risk.REST: "Everything else",
}
KINDS = ("interpreter", "tool", "command", "component")
REPAIRING = {"auditwheel", "patchelf"}
# Source packages whose libraries auditwheel often grafts, under the names that the distributions have for them.
GRAFTED = set(
    """
    brotli bzip2 curl e2fsprogs expat ffmpeg fontconfig freetype gcc gcc-toolset-14-gcc gmp gsl harfbuzz hdf5 icu
    keyutils krb5 lapack lcms2 libaec libcurl libevent libffi libgfortran libgomp libidn2 libjpeg-turbo libpng libpng1.6
    libpsl libselinux libsodium libssh libssh2 libtiff libtool libunistring libuv libwebp libx11 libxau libxcb libxml2
    libxslt libyaml lz4 lzo2 mpfr ncurses nettle nghttp2 openblas openldap openjpeg2 openssl openssl3 pcre pcre2
    postgresql sqlite sqlite3 tiff unixodbc xz xz-utils zlib zlib-ng zstd libzstd
    """.split()
)


@dataclass(frozen=True, order=True)
class Difference:
    """One difference. `old` and `new` are empty where there is no such thing; `url`: what upstream says of it."""

    section: Risk
    subject: str
    old: str = ""
    new: str = ""
    url: str = ""

    @property
    def text(self) -> str:
        """The change without its images: "git 2.54.0 → 2.55.0"."""
        moved = f"{self.old} → {self.new}" if self.old and self.new else self.old or self.new
        return f"{self.subject} {moved}".rstrip()


@dataclass(frozen=True)
class Notes:
    """All changes between two sets of descriptions, each with the images that it is about."""

    old: str
    new: str
    images: tuple[str, ...]
    changes: Mapping[Difference, tuple[str, ...]]
    added: tuple[str, ...] = ()  # images that only the new set has
    removed: tuple[str, ...] = ()
    commits: tuple[str, str] = ("", "")
    source: str = ""
    date: int = 0  # of the new commit, in seconds since 1970; 0 where it is not known
    downloads: Mapping[str, tuple[int, int]] = field(default_factory=dict)  # image -> bytes of new layers, of all


def compared(
    old: Mapping[str, Described], new: Mapping[str, Described], rows: Mapping[str, Dependency], names: tuple[str, str]
) -> Notes:
    """The notes between descriptions of images, by name. `names`: how the user called the two sets."""
    both = sorted(old.keys() & new.keys())
    found: dict[Difference, list[str]] = defaultdict(list)
    for name in both:
        for change in sorted(set(changes(old[name], new[name], rows))):
            found[change].append(name)
    builds = [[each[name].manifest["build"].members() for name in both] for each in (old, new)]
    commits = [{build["commit"].text() if build else "" for build in side} for side in builds]
    last = builds[1][-1] if both else {}
    return Notes(
        *names,
        tuple(both),
        {change: tuple(images) for change, images in sorted(found.items(), key=_order)},
        tuple(sorted(new.keys() - old.keys())),
        tuple(sorted(old.keys() - new.keys())),
        commits=(commits[0].pop(), commits[1].pop()) if len(commits[0]) == len(commits[1]) == 1 else ("", ""),
        source=last["source"].text() if last else "",
        date=last["date"].number() if last else 0,
        downloads={
            name: (sum(size for digest, size in new[name].layers.items() if digest not in old[name].layers), total)
            for name in both
            if old[name].layers and (total := sum(new[name].layers.values()))
        },
    )


def _order(row: tuple[Difference, list[str]]) -> tuple[Risk, int, Difference]:
    """By risk; what is gone or new by its kind."""
    difference, _ = row
    kind = difference.subject.partition(" ")[0]
    return difference.section, KINDS.index(kind) if kind in KINDS else len(KINDS), difference


def changes(old: Described, new: Described, rows: Mapping[str, Dependency]) -> Iterator[Difference]:
    """The differences between two descriptions of one image."""
    yield from _parts(old.manifest, new.manifest, rows)
    yield from _packages(old.manifest, new.manifest)
    before, after = old.manifest["compilers"].texts(), new.manifest["compilers"].texts()
    for name, was, now in _differences(before, after):
        yield Difference(_moved(Risk.COMPILERS, was, now), f"`{name}`:", was, now)
    if old.can.value is not None and new.can.value is not None:
        yield from _of_image(old.can["image"], new.can["image"])
        yield from _of_interpreters(old.can["interpreters"].members(), new.can["interpreters"].members())


def _moved(section: Risk, old: str, new: str) -> Risk:
    """The section of a change: its own if there is a thing before and after."""
    return section if old and new else Risk.GONE if old else Risk.NEW


def _differences(old: Facts, new: Facts) -> Iterator[tuple[str, str, str]]:
    """Name, old and new value of each that differs; "" where there is none."""
    for name in sorted(old.keys() | new.keys()):
        if (was := old.get(name, "")) != (now := new.get(name, "")):
            yield name, was, now


def _versions(rows: Answer) -> dict[str, str]:
    """Name -> version; of several versions of one name, all."""
    found: dict[str, list[str]] = defaultdict(list)
    for row in rows.rows(optional=True):
        found[row["name"].text()].append(row["version"].text())
    return {name: ", ".join(sorted(set(versions))) for name, versions in found.items()}


def _parts(old: Answer, new: Answer, rows: Mapping[str, Dependency]) -> Iterator[Difference]:
    """Interpreters, tools and components."""
    for kind in ("interpreter", "tool", "component"):
        before, after = _versions(old[f"{kind}s"]), _versions(new[f"{kind}s"])
        for name, was, now in _differences(before, after):
            section = Risk.PYTHON if kind == "interpreter" else Risk.REST
            section = _moved(Risk.REPAIR if name in REPAIRING else section, was, now)
            pin = rows.get(name) or rows.get(_pin(name, now))
            url = pin.fill(pin.changelog, now, old=was) if pin and was and now else ""
            subject = f"{kind} `{name}`" if section in (Risk.GONE, Risk.NEW) else f"`{name}`"
            yield Difference(section, subject, was, now, url)
    yield from _brought(old, new)


def _pin(tag: str, version: str) -> str:
    """The pin of an interpreter, cpython-3.13 of cp313-cp313t in version 3.13.15."""
    return "cpython-" + ".".join(version.split(".")[:2]) if "cp" in tag else ""


def _brought(old: Answer, new: Answer) -> Iterator[Difference]:
    """What interpreters and tools bring along; equal changes of several are one."""
    found: dict[tuple[str, str, str], list[str]] = defaultdict(list)
    owners = []
    for kind, keys in (("interpreters", ("bundles", "python_packages")), ("tools", ("python_packages",))):
        before = {row["name"].text(): row for row in old[kind].rows()}
        for row in new[kind].rows():
            owner = row["name"].text()
            owners += [owner] if kind == "interpreters" else []
            for key in keys:
                if owner in before and before[owner][key].value is not None:
                    for name, was, now in _differences(_versions(before[owner][key]), _versions(row[key])):
                        if name != owner:
                            found[name, was, now].append(owner)
    for (name, was, now), within in found.items():
        yield Difference(Risk.REST, f"`{name}` in {_joined(within, owners)}", was or "none", now or "none")


def _packages(old: Answer, new: Answer) -> Iterator[Difference]:
    """The distribution's packages, by the source that they are built from."""
    key = "" if 1 in (old["schema"].number(), new["schema"].number()) else "source"
    before, after = _sources(old, key), _sources(new, key)
    for name, was, now in _differences(before, after):
        stem = name.removeprefix("compat-").partition("-1")[0]
        section = Risk.GRAFTED if {name, stem} & GRAFTED else Risk.REST
        # Dependencies of packages come and go; nobody is promised any.
        subject = f"`{name}`" if was and now else f"package `{name}` {'gone,' if was else 'new,'}"
        yield Difference(section, subject, was, now)


def _sources(manifest: Answer, key: str) -> dict[str, str]:
    """Source package -> version. `key` is "source", or empty for the packages themselves: schema 1 has no sources."""
    found: dict[str, set[str]] = defaultdict(set)
    for row in manifest["packages"].rows():
        name, version = (key, f"{key}_version") if key and row[key].value is not None else ("name", "version")
        found[row[name].text()].add(row[version].text())
    return {name: ", ".join(sorted(versions)) for name, versions in found.items()}


def _of_image(old: Answer, new: Answer) -> Iterator[Difference]:
    facts = [
        {f"default `{key}` of gcc": value for key, value in side["target"].texts().items()}
        | {label: side[key].text(default="") for key, label in (("libc", "C library"), ("glibcxx", "newest GLIBCXX"))}
        for side in (old, new)
    ]
    for subject, was, now in _differences(*facts):
        yield Difference(_moved(Risk.COMPILERS, was, now), f"{subject}:", was, now)
    lists = {"commands": "command", "sonames": "library", "pkg_config": "module of pkg-config", "root": "entry of /"}
    for key, label in lists.items():
        before, after = _texts(old[key]), _texts(new[key])
        yield from (Difference(Risk.GONE, f"{label} `{name}`") for name in before - after)
        yield from (Difference(Risk.NEW, f"{label} `{name}`") for name in after - before)


def _texts(answer: Answer) -> set[str]:
    return {row.text() for row in answer.rows(optional=True)}


def _of_interpreters(old: Mapping[str, Answer], new: Mapping[str, Answer]) -> Iterator[Difference]:
    """Differences of interpreters that are on both sides; equal ones are one change."""
    tags = [tag for tag in new if tag in old]
    found: dict[tuple[Risk, str, str, str], list[str]] = defaultdict(list)
    for tag in tags:
        for change in _of_interpreter(old[tag], new[tag]):
            found[change.section, change.subject, change.old, change.new].append(tag)
    for (section, subject, was, now), within in found.items():
        yield Difference(section, f"{subject} in {_joined(within, tags)}" + (":" if was or now else ""), was, now)


def _of_interpreter(old: Answer, new: Answer) -> Iterator[Difference]:
    lists = [("module", "modules", ""), ("option of SQLite", "options", "sqlite"), ("protocol", "protocols", "ssl")]
    lists += [("suffix", "suffixes", ""), ("tag", "tags", ""), ("platform", "platforms", "")]
    for label, key, within in lists:
        before, after = (_texts((side[within] if within else side)[key]) for side in (old, new))
        yield from (Difference(Risk.GONE, f"{label} `{name}`") for name in before - after)
        # What is new in an interpreter seldom breaks anything.
        yield from (Difference(Risk.CAPABILITIES, f"new {label} `{name}`") for name in after - before)
    for part in ("libraries", "sysconfig"):
        for name, was, now in _differences(*(_values(side, part) for side in (old, new))):
            yield Difference(Risk.CAPABILITIES, f"`{name}`", was or "nothing", now or "nothing")
    for key, label in (("ssl", "OpenSSL"), ("sqlite", "SQLite")):
        was, now = (answer[key]["version"].text(default="") for answer in (old, new))
        if was != now:
            yield Difference(Risk.CAPABILITIES, label, was or "none", now or "none")


def _values(interpreter: Answer, part: str) -> dict[str, str]:
    """Name -> value as text, without the version that the prefix of an interpreter has in it."""
    values = {name: str(each.value) for name, each in interpreter[part].members().items()}
    version = interpreter["version"].text()
    return {name: value.replace(f"-{version}", "") for name, value in values.items()}


def _joined(names: Sequence[str], every: Iterable[str]) -> str:
    """The names, or "every interpreter" for all of several."""
    unique = list(dict.fromkeys(names))
    return "every interpreter" if len(unique) > 1 and set(unique) == set(every) else ", ".join(f"`{n}`" for n in unique)
