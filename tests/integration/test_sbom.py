"""manylinux-sbom on wheels that auditwheel repairs in a real image, with the checkout's own files bound into it.

They need an image: MANYLINUX_TEST_IMAGE=REFERENCE pytest tests/integration/test_sbom.py
"""

from __future__ import annotations

import json
import os
import zipfile
from pathlib import Path
from typing import Any

import pytest

from catalogue.paths import DOCKER, ROOT
from engine import choose
from engine.commands import Mount

IMAGE = os.environ.get("MANYLINUX_TEST_IMAGE", "")
pytestmark = [pytest.mark.engine, pytest.mark.skipif(not IMAGE, reason="MANYLINUX_TEST_IMAGE is not set")]

# linked WHEEL LIBRARY...: makes a wheel whose extension needs the libraries, and has auditwheel repair it
LINKED = """
set -e
cd "$(mktemp -d)"
echo 'int x;' >x.c
python="$(echo /opt/python/cp3*/bin/python | tr ' ' '\\n' | tail -n 1)"
linked() {
    name="$1" && shift
    mkdir -p "$name" "$name-1.dist-info"
    gcc -shared -fPIC x.c -o "$name/x.so" -Wl,--no-as-needed "$@"
    printf 'Metadata-Version: 2.1\\nName: %s\\nVersion: 1\\n' "$name" >"$name-1.dist-info/METADATA"
    tag="py3-none-linux_$AUDITWHEEL_ARCH"
    printf 'Wheel-Version: 1.0\\nRoot-Is-Purelib: false\\nTag: %s\\n' "$tag" >"$name-1.dist-info/WHEEL"
    printf '%s/x.so,,\\n%s-1.dist-info/RECORD,,\\n' "$name" "$name" >"$name-1.dist-info/RECORD"
    "$python" -m zipfile -c "$name-1-$tag.whl" "$name" "$name-1.dist-info"
    auditwheel repair --only-plat --wheel-dir /out "$name-1-$tag.whl"
}
of() { gcc -print-file-name="$1"; }
bz2="$(of libbz2.so.1.0)"
[ -e "$bz2" ] || bz2="$(of libbz2.so.1)"
gcc -shared -fPIC x.c -o /usr/local/lib/libmine.so && { ldconfig || true; }
linked three /opt/_internal/sqlite3/lib/libsqlite3.so.0 "$(of liblzma.so.5)" "$(of libgomp.so.1)"
linked alone "$bz2"
linked private /usr/local/lib/libmine.so
manylinux-sbom --json /out/*.whl >/out/said.json
for name in three alone private; do cp /out/$name-*.whl /out/$name.once; done
manylinux-sbom /out/*.whl >&2
for name in three alone private; do cmp /out/$name-*.whl /out/$name.once; done
"$python" -m pip install -q --root-user-action ignore --no-index --no-deps /out/*.whl
"$python" -m pip show --files three
"""


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What a container leaves: wheels with SBOMs."""
    directory = tmp_path_factory.mktemp("out")
    engine = choose.engine()
    command = "usr/local/bin/manylinux-sbom"
    mounts = [
        Mount(ROOT / "scripts/doctor", "/opt/_internal/manylinux/doctor"),
        Mount(ROOT / "scripts/portable", "/opt/_internal/manylinux/portable"),
        Mount(DOCKER / "rootfs" / command, f"/{command}"),
        Mount(directory, "/out", read_only=False),
    ]
    done = engine.contain(IMAGE, ["bash", "-c", LINKED], mounts=mounts)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "three-1.dist-info/sboms/manylinux.cdx.json" in done.stdout
    return directory


def components(out: Path, name: str) -> dict[str, dict[str, Any]]:
    """The components of a wheel's SBOM by library, "libsqlite3"; they are those of *.libs/."""
    (wheel,) = out.glob(f"{name}-*.whl")
    with zipfile.ZipFile(wheel) as archive:
        assert archive.testzip() is None
        found = json.loads(archive.read(f"{name}-1.dist-info/sboms/manylinux.cdx.json"))["components"]
        grafted = [each for each in archive.namelist() if ".libs/" in each and not each.endswith("/")]
    assert sorted(each["bom-ref"] for each in found) == sorted(grafted)
    return {each["bom-ref"].rpartition("/")[2].partition("-")[0]: each for each in found}


def test_ours_and_the_distributions(out: Path) -> None:
    found = components(out, "three")
    assert found["libsqlite3"]["purl"].startswith("pkg:generic/sqlite@")
    assert found["libsqlite3"]["externalReferences"][0]["hashes"]
    for name in ("liblzma", "libgomp"):
        assert found[name]["purl"].startswith(("pkg:deb/", "pkg:rpm/", "pkg:apk/")), found[name]


def test_a_wheel_with_one_library_that_auditwheel_may_not_know(out: Path) -> None:
    (component,) = components(out, "alone").values()
    assert component["purl"].startswith(("pkg:deb/", "pkg:rpm/", "pkg:apk/"))
    assert component["version"]


def test_what_was_compiled_in_the_container_is_not_identified(out: Path) -> None:
    (component,) = components(out, "private").values()
    assert component["name"] == "libmine.so"
    rows = json.loads((out / "said.json").read_text(encoding="utf-8"))["wheels"]
    files = {row["wheel"].partition("-")[0]: [each["identified"] for each in row["files"]] for row in rows}
    assert files == {"alone": [True], "private": [False], "three": [True, True, True]}
