"""What ends a build, made from small trees of each family: manifest, its schema, and the list of files."""

from __future__ import annotations

import hashlib
import json
import os
import pyexpat
import subprocess
from pathlib import Path

import jsonschema
import pytest
from tests.support.elf_files import shared_library
from tests.support.image_trees import CPYTHON, PREFIX, ImageTree

from catalogue.paths import ROOT
from describe import capabilities, owners

SCHEMA = json.loads((ROOT / "docs/manifest.schema.json").read_text(encoding="utf-8"))
FAMILIES = ("debian", "rhel", "alpine")
PACKAGES = {
    "debian": [
        ("bash", "5.2.15-2+b7", "amd64", "bash", "5.2.15-2", ""),
        ("libstdc++6", "12.2.0-14+deb12u1", "amd64", "gcc-12", "12.2.0-14+deb12u1", ""),
        ("zlib1g-dev", "1:1.2.13.dfsg-1", "amd64", "zlib", "1:1.2.13.dfsg-1", ""),
    ],
    "rhel": [
        ("gpg-pubkey", "ced7258b-6525146f", "", "", "", "pubkey"),
        ("tar", "2:1.30-9.el8", "x86_64", "tar", "1.30-9.el8", "GPL-3.0-or-later"),
        ("zlib-devel", "1.2.11-25.el8", "x86_64", "zlib", "1.2.11-25.el8", "zlib and Boost"),
    ],
    "alpine": [
        ("bash", "5.2.37-r0", "x86_64", "bash", "5.2.37-r0", "GPL-3.0-or-later"),
        ("musl-utils", "1.2.5-r10", "x86_64", "musl", "1.2.5-r10", "MIT AND BSD-2-Clause AND GPL-2.0-or-later"),
    ],
}


@pytest.fixture
def tree(tmp_path: Path) -> ImageTree:
    made = ImageTree(tmp_path)
    made.interpreter()
    return made


@pytest.mark.parametrize("family", FAMILIES)
def test_the_manifest_of_each_family(tmp_path: Path, family: str) -> None:
    tree = ImageTree(tmp_path, family)
    tree.interpreter()
    tree.interpreter("cp39-cp39", "opt/_internal/cpython-3.9.25", version="3.9.25")
    tree.entry("git.json", {"kind": "component", "name": "git", "version": "2.54.0", "url": "u", "sha256": "s"})
    tree.install("usr/local/libexec/git-core/git-add")
    tree.install("opt/_internal/pipx/venvs/uv/bin/uv")
    (tree.root / "usr/local/bin/uv").symlink_to("/opt/_internal/pipx/venvs/uv/bin/uv")
    tree.entry("uv.json", {"kind": "tool", "name": "uv", "version": "0.11.24", "url": ""})
    found = tree.manifest(LIBC="musl" if family == "alpine" else "glibc")
    jsonschema.validate(found, SCHEMA, jsonschema.Draft202012Validator)
    names = ("name", "version", "architecture", "source", "source_version", "licence")
    packages = [{k: v for k, v in zip(names, row, strict=True) if v or k == "architecture"} for row in PACKAGES[family]]
    assert found["packages"] == packages
    assert [row["name"] for row in found["interpreters"]] == ["cp313-cp313", "cp39-cp39"]
    assert found["interpreters"][1]["paths"] == [
        "/opt/_internal/cpython-3.9.25/",
        "/opt/python/cp39-cp39",
        "/usr/local/bin/cpython-3.9.25",
    ]
    assert found["components"][0]["paths"] == ["/usr/local/libexec/git-core/"]
    assert found["tools"][0]["paths"] == ["/opt/_internal/pipx/venvs/uv/", "/usr/local/bin/uv"]
    assert found["compilers"] == {"gcc": "gcc (GCC) 14.2.1"}
    can = found["capabilities"]["image"]
    assert (can["target"], can["sonames"], can["pkg_config"]) == ({"march": "x86-64"}, ["libz.so.1"], ["expat", "zlib"])
    assert can["libc"] == ("musl 1.2.5" if family == "alpine" else "glibc 2.36")
    assert {"gcc", "pkg-config"} <= set(can["commands"]) and {"opt", "usr"} <= set(can["root"])
    assert [path.name for path in (tree.root / "opt/_internal/manifest.d").iterdir()]  # for builds that take its trees


def test_what_an_interpreter_can_do(tree: ImageTree) -> None:
    can = tree.manifest()["capabilities"]["interpreters"]["cp313-cp313"]
    assert {"_ssl", "ssl", "sqlite3", "_ctypes", "asyncio", "sys"} <= set(can["modules"])
    assert can["ssl"]["version"].startswith("OpenSSL ") and "TLSv1_2" in can["ssl"]["protocols"]
    assert can["sqlite"]["options"] and can["suffixes"][0] == can["sysconfig"]["EXT_SUFFIX"]
    assert can["tags"][0].startswith("cp3") and can["tags"][-1] == "py30-none"
    assert can["platforms"][-1] == "any"


def test_build_details_are_served_as_they_are(tree: ImageTree) -> None:
    """Some keys are in builds with a shared libpython only: none but those of PEP 739 are asked for."""
    details = {
        "schema_version": "1.0",
        "base_prefix": "/opt/_internal/cpython-3.15.0",
        "platform": "linux-x86_64",
        "language": {"version": "3.15"},
        "implementation": {"name": "cpython", "version": {"major": 3}},
    }
    prefix = "opt/_internal/cpython-3.15.0"
    tree.interpreter("cp315-cp315", prefix, version="3.15.0")
    tree.install(f"{prefix}/lib/python3.15/build-details.json", json.dumps(details).encode())
    found = tree.manifest()
    jsonschema.validate(found, SCHEMA, jsonschema.Draft202012Validator)
    assert [row.get("build_details") for row in found["interpreters"]] == [None, details]


def test_an_interpreter_that_does_not_run_stops_the_build(tree: ImageTree) -> None:
    tree.install(f"{PREFIX}/bin/python", b"#!/bin/sh\nexit 3\n")
    done = tree.run()
    assert done.returncode != 0 and "exit status 3" in done.stderr


EXPAT = pyexpat.EXPAT_VERSION.removeprefix("expat_")  # of the interpreter that plays those of the image


@pytest.mark.parametrize("said", [EXPAT, "0.1"], ids=["right", "outdated"])
def test_what_an_interpreter_bundles(tree: ImageTree, said: str) -> None:
    """What is linked from outside is not in it, whatever its own SBOM says; the modules know their versions better."""
    rows = [
        {"name": name, "versionInfo": version, "downloadLocation": "https://example.org/x"}
        | {"checksums": [{"algorithm": "SHA256", "checksumValue": "2" * 64}]}
        | {"externalRefs": [{"referenceType": "purl", "referenceLocator": f"pkg:generic/{name}@{version}"}]}
        for name, version in (("expat", said), ("mpdecimal", "1"), ("hacl-star", "1"))
    ]
    tree.install("opt/_internal/manifest.d/cp313-cp313.spdx", json.dumps({"packages": rows}).encode())
    needing_mpdec = shared_library().replace(b"libm.so.6\0", b"libmpdec\0\0")
    tree.install(f"{PREFIX}/lib/python3/lib-dynload/_decimal.so", needing_mpdec)
    tree.install(f"{PREFIX}/lib/python3/ensurepip/_bundled/pip-26.1-py3-none-any.whl")
    found = tree.manifest()
    jsonschema.validate(found, SCHEMA, jsonschema.Draft202012Validator)
    (interpreter,) = found["interpreters"]
    assert [row["name"] for row in interpreter["bundles"]] == ["expat", "hacl-star", "pip"]
    origin = {"url": "https://example.org/x", "sha256": "2" * 64} if said == EXPAT else {}
    expat, hacl, _ = interpreter["bundles"]
    assert expat == {"name": "expat", "version": EXPAT, "purl": f"pkg:generic/expat@{EXPAT}", **origin}
    assert hacl["version"] == "1"


def test_without_an_sbom_of_its_own_the_modules_tell(tree: ImageTree) -> None:
    (interpreter,) = tree.manifest()["interpreters"]
    assert {row["name"] for row in interpreter["bundles"]} <= {"expat", "mpdecimal"}
    assert all(row["version"][0].isdigit() for row in interpreter["bundles"])


def test_what_pip_has_installed(tree: ImageTree) -> None:
    place = "lib/python3/site-packages"
    text = (
        b"Metadata-Version: 2.4\nName: Typing_Extensions\nVersion: 4.16.0\nLicense-Expression: PSF-2.0\n\nLicense: x\n"
    )
    tree.install(f"{PREFIX}/{place}/typing_extensions-4.16.0.dist-info/METADATA", text)
    for name in ("pipx", "certifi", "click"):
        text = f"Name: {name}\nVersion: 1\n".encode()
        tree.install(f"opt/_internal/tools/{place}/{name}-1.dist-info/METADATA", text)
    for name in ("pipx", "certifi"):
        tree.entry(f"{name}.json", {"kind": "tool", "name": name, "version": "1"})
    found = tree.manifest()
    row = {"name": "typing-extensions", "version": "4.16.0", "licence": "PSF-2.0"}
    assert found["interpreters"][0]["python_packages"] == [row]
    packages = {tool["name"]: [row["name"] for row in tool["python_packages"]] for tool in found["tools"]}
    assert packages == {"certifi": ["certifi"], "pipx": ["click", "pipx"]}


def test_the_longest_path_owns_a_file() -> None:
    paths = ["/opt/_internal/tools/", "/opt/_internal/tools/lib/certifi/", "/usr/local/bin/git"]
    assert owners.owner("/opt/_internal/tools/lib/certifi/cacert.pem", paths) == paths[1]
    assert owners.owner("/opt/_internal/tools/lib/certifi.py", paths) == paths[0]
    assert owners.owner("/usr/local/bin/git", paths) == paths[2]
    assert owners.owner("/usr/local/bin/git-lfs", paths) == ""


def test_the_newest_version() -> None:
    versions = ["GLIBCXX_3.4", "GLIBCXX_3.4.9", "GLIBCXX_3.4.30", "CXXABI_1.3.13", "CXXABI_FLOAT128"]
    assert capabilities.newest("GLIBCXX", versions) == "3.4.30"
    assert capabilities.newest("CXXABI", versions) == "1.3.13"
    assert capabilities.newest("GLIBC", versions) == ""


def test_the_build_describes_itself(tree: ImageTree) -> None:
    assert tree.manifest(DESCRIPTION='{"commit": "c", "date": 7}')["build"]["commit"] == "c"


def test_the_variant_is_part_of_the_name(tree: ImageTree) -> None:
    assert tree.manifest(VARIANT="shared", MARCH="")["image"]["name"] == "manylinux_2_28_x86_64-shared"


def test_an_image_built_on_another_keeps_its_rows_but_for_new_ones(tree: ImageTree) -> None:
    openssl = {"kind": "component", "name": "openssl", "version": "3.5.7", "url": "u", "sha256": "old"}
    tree.entry("openssl.json", openssl)
    tree.entry("git.json", openssl | {"name": "git"})
    tree.install(f"{PREFIX}/lib/python3/ensurepip/_bundled/pip-26.1-py3-none-any.whl")
    tree.install("opt/_internal/manifest.d/cp313-cp313.spdx", b'{"packages": []}')
    tree.manifest()
    (tree.root / "opt/python/shared-cpython-3.13").unlink(missing_ok=True)
    tree.interpreter("shared-cpython-3.13", "opt/shared-cpython-3.13")
    (tree.root / "opt/python/shared-cpython-3.13").unlink()  # that directory is for the others
    tree.entry("openssl.json", openssl | {"sha256": "new"})
    content = tree.manifest(VARIANT="shared")
    assert content["image"]["name"] == "manylinux_2_28_x86_64-shared"
    assert [row["name"] for row in content["interpreters"]] == ["cp313-cp313", "shared-cpython-3.13"]
    assert [row["name"] for row in content["interpreters"][0]["bundles"]] == ["pip"]
    assert [(row["name"], row["sha256"]) for row in content["components"]] == [("git", "old"), ("openssl", "new")]
    assert "  /opt/shared-cpython-3.13/bin/python\n" in tree.read("files.sha256")


def test_file_list(tree: ImageTree) -> None:
    files = {"/usr/local/bin/tool": b"#!/bin/sh\n", "/opt/two words": b"", "/opt/_internal/a.so": b"\x7fELF"}
    for name, content in files.items():
        tree.install(name[1:], content)
    (tree.root / "usr/local/lib64").symlink_to("bin")
    assert tree.run().returncode == 0
    for name in ("manifest.json", "sbom.spdx.json"):
        files[f"/opt/_internal/{name}"] = tree.read(name).encode()
    lines = {name: hashlib.sha256(content).hexdigest() for name, content in files.items()}
    lines |= {"/opt/python/cp313-cp313": f"link:/{PREFIX}", "/usr/local/lib64": "link:bin"}
    said = tree.read("files.sha256").splitlines()
    assert [line for line in said if line.partition("  ")[2] in lines] == [f"{lines[n]}  {n}" for n in sorted(lines)]
    assert not any("/etc/" in line or line.endswith("files.sha256") for line in said)


def test_the_same_image_gives_the_same_bytes(tree: ImageTree, tmp_path: Path) -> None:
    other = ImageTree(tmp_path / "other")
    other.interpreter()
    for made, names in (tree, "abc"), (other, "cba"):
        for name in names:
            made.entry(f"{name}.json", {"kind": "tool", "name": name, "version": "1"})
            made.install(f"opt/{name}")
    os.utime(other.root / "opt/a", (0, 0))
    for made, zone in (tree, "UTC"), (other, "Asia/Tokyo"):
        made.manifest(TZ=zone, HOME=str(made.root))
    for name in ("manifest.json", "sbom.spdx.json", "files.sha256"):
        assert tree.read(name) == other.read(name)


def test_sha256sum_reads_the_list(tree: ImageTree) -> None:
    tree.install("opt/tool", b"right")
    assert tree.run().returncode == 0
    lines = [line for line in tree.read("files.sha256").splitlines() if not line.startswith("link:")]
    moved = "\n".join(lines).replace("  /", f"  {tree.root}/")
    check = ["sha256sum", "--check", "--quiet", "-"]
    assert subprocess.run(check, input=moved, text=True, capture_output=True, check=False).returncode == 0
    tree.install("opt/tool", b"wrong")
    result = subprocess.run(check, input=moved, text=True, capture_output=True, check=False)
    assert result.returncode == 1
    assert f"{tree.root}/opt/tool: FAILED" in result.stdout


@pytest.mark.parametrize(
    ("file", "entry", "complaint"),
    [
        ("x.json", {"kind": "toy", "name": "x"}, "unknown kind 'toy'"),
        ("x.json", CPYTHON, "interpreter cp313-cp313 is already in the manifest"),
        ("cp313-cp313.json", {"kind": "tool", "name": "cp313-cp313"}, "has no interpreter"),
        ("x.json", {"kind": "component", "name": "unheard-of", "version": "1"}, "unheard-of"),
    ],
)
def test_contradictions_stop_the_build(tree: ImageTree, file: str, entry: dict[str, str], complaint: str) -> None:
    tree.entry(file, entry)
    result = tree.run()
    assert result.returncode != 0
    assert complaint in result.stderr
    assert (tree.root / "opt/_internal/manifest.d").exists()


def test_a_missing_build_argument_is_named(tree: ImageTree) -> None:
    result = tree.run(TRIPLE=None, LIBC=None)
    assert result.returncode == 2
    assert "not in the environment: LIBC TRIPLE" in result.stderr


def test_a_name_that_the_list_cannot_hold(tree: ImageTree) -> None:
    tree.install("opt/new\nline")
    result = tree.run()
    assert result.returncode != 0
    assert "sha256sum would escape the name" in result.stderr
