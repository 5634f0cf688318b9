"""Invented tables: what tests say about reading them stays true whatever docker/images.toml has."""

from __future__ import annotations

from pathlib import Path

from catalogue import images, pins
from catalogue.model import Catalogue

# What has to be there, in docker/Dockerfile and requirements/; so has a directory of docker/packages for a package set.
OLD, NEW, *_ = [name.removeprefix("cpython-") for name in pins.read() if name.startswith("cpython-")]
OLD_TAG, NEW_TAG = (f"cp{minor.replace('.', '')}-cp{minor.replace('.', '')}" for minor in (OLD, NEW))
TOOL, OTHER_TOOL, *_ = sorted(path.stem for path in images.TOOLS.glob("*.in"))
COMPONENT = min(pins.components())

IMAGES = f"""
registry = "registry.example.org/wheels"
source = "https://example.org/wheels"
default_policy = "manylinux_2_91"
bootstrap_policy = "manylinux_2_92"

[platforms.x86_64]
oci = "linux/amd64"
debian = "amd64"
go = "amd64"
runner = "runner-1"
emulated = false
triple = {{ glibc = "x86_64-unknown-linux-gnu", musl = "x86_64-alpine-linux-musl" }}
[platforms.i686]
oci = "linux/386"
debian = "i386"
go = "386"
runner = "runner-1"
emulated = false
triple = {{ glibc = "i686-unknown-linux-gnu", musl = "i686-alpine-linux-musl" }}
[platforms.s390x]
oci = "linux/s390x"
debian = "s390x"
go = "s390x"
runner = "runner-2"
emulated = true
triple = {{ glibc = "s390x-unknown-linux-gnu", musl = "s390x-alpine-linux-musl" }}

[toolsets.rhel]
root = "/opt/toolset"
library_path = ["lib64", "lib"]
library_path_32 = ["lib"]
appended = ["/usr/local/lib64"]

[policies.manylinux_2_91]
tags = ["manylinux_2_91"]
family = "rhel"
distribution = "red-91"
title = "Red 91"
base = "registry.example.org/red:91"
libc = "glibc"
libc_version = "2.91"
toolset = "rhel"
gcc_major = 91
status = "stable"
eol = 2031-01-31
build = ["{COMPONENT}"]
package_sets = ["rhel"]
sqlite_exposed = true
symbols = {{ glibcxx = "3.4.91", cxxabi = "1.3.91", gcc = {{ "*" = "91" }} }}
[policies.manylinux_2_91.platforms]
x86_64 = {{}}
i686 = {{ published = false }}

[policies.manylinux_2_92]
tags = ["manylinux_2_92"]
family = "debian"
distribution = "blue-92"
title = "Blue 92"
base = "registry.example.org/blue:92"
libc = "glibc"
libc_version = "2.92"
toolset = ""
gcc_major = 92
status = "alpha"
eol = 2032-02-28
build = ["{COMPONENT}"]
package_sets = ["debian"]
symbols = {{ glibcxx = "3.4.92", cxxabi = "1.3.92", gcc = {{ "*" = "92" }} }}
[policies.manylinux_2_92.platforms]
s390x = {{ base = "registry.example.org/green:92", distribution = "green-92", title = "Green 92" }}
x86_64 = {{}}

[policies.musllinux_9_3]
tags = ["musllinux_9_3"]
family = "alpine"
distribution = "white-93"
title = "White 93"
base = "registry.example.org/white:93"
libc = "musl"
libc_version = "9.3"
toolset = ""
gcc_major = 93
status = "unpublished"
eol = 2033-03-31
build = ["{COMPONENT}"]
package_sets = ["alpine"]
[policies.musllinux_9_3.platforms]
s390x = {{ published = false }}

[retired.manylinux_2_90]
ended = 2022-08-01
last_tag = "2022-08-05-4535177"
title = "Grey 90"
libc = "glibc"
libc_version = "2.90"
gcc = "GCC 90"
platforms = ["x86_64", "i686"]

[interpreters]
{OLD_TAG} = {{ status = "eol", not_where = ["*-i686"] }}
{NEW_TAG} = {{ where = ["glibc-*"] }}

[tools.{TOOL}]
hold = {{ below = "0.18", reason = "it rains", since = 2026-01-01 }}
[tools.{OTHER_TOOL}]
not_where = ["musl-*"]

[variants.shared]
purpose = "embedders"
minors = ["{OLD}", "{NEW}"]
not_optimised_where = {{ "{OLD}" = ["*-s390x"] }}
[variants.shared.images]
manylinux_2_91 = ["x86_64"]
manylinux_2_92 = ["s390x"]

[retention]
years = 5
cibuildwheel_from = "1.10.0"
keep = [{{ tag = "2025.05.03-1", reason = "last with an old Python" }}]
"""

# What a fork may write, about the real table.
OVERLAY = """\
registry = "registry.example.org/wheels"
source = "https://example.org/acme/manylinux"
default_policy = "manylinux_2_36"
images = ["manylinux_2_36_*", "musllinux_1_2_x86_64"]
interpreters = ["cp39-cp39", "cp313-cp313", "pp310-pypy310_pp73"]
[variants.shared.images]
manylinux_2_36 = ["ppc64le"]
"""


def changed(directory: Path, old: str = "", new: str = "") -> Path:
    """The invented table of images as a file, with one text replaced."""
    assert old in IMAGES
    path = directory / "images.toml"
    path.write_text(IMAGES.replace(old, new, 1), encoding="utf-8")
    return path


def catalogue(directory: Path) -> Catalogue:
    """What the invented table of images yields."""
    return images.load(changed(directory), overlay=images.NO_OVERLAY)
