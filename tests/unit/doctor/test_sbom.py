"""manylinux-sbom as its users call it, in a made container; its dpkg and apk are stand-ins."""

from __future__ import annotations

import base64
import csv
import functools
import hashlib
import io
import json
import shlex
import shutil
import stat
import subprocess
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from tests.support import fake_image
from tests.support.fake_image import FakeImage

NAME = "demo-1.0-cp313-cp313-manylinux_2_36_x86_64.whl"
SBOM = "demo-1.0.dist-info/sboms/manylinux.cdx.json"
RECORD = "demo-1.0.dist-info/RECORD"
OPENSSL = {
    "name": "openssl",
    "version": "3.5.7",
    "url": "https://example.org/openssl-3.5.7.tar.gz",
    "sha256": "a" * 64,
    "paths": ["/opt/_internal/openssl-3.5/"],
}
CPYTHON = {
    "name": "shared-cpython-3.13",
    "version": "3.13.15",
    "url": "https://example.org/p.tar.xz",
    "sha256": "b" * 64,
    "paths": ["/opt/shared-cpython-3.13/"],
}

DPKG = """\
#!/bin/sh
case "$*" in
    '--search /lib/libz+.so.1.2')
        echo 'diversion by other from: /lib/libz+.so.1.2'
        echo 'libz1:amd64, libz1:i386: /lib/libz+.so.1.2' ;;
    '--search /usr/lib/libown.so.1') echo 'libown1: /usr/lib/libown.so.1' ;;
    --search*) exit 1 ;;
    *libz1:amd64) printf 'libz1\\t1:2.0~rc1+dfsg-1+b2\\tamd64\\tzlib\\t1:2.0~rc1+dfsg-1\\thttps://example.org/z' ;;
    *libown1) printf 'libown1\\t3-1\\tamd64\\tlibown1\\t3-1\\t' ;;
    *) exit 2 ;;
esac
"""
SPEC = """\
Name: zlib
Epoch: 2
Version: 1.2.11
Release: 25.el8
Summary: A library
License: Zlib
URL: https://example.org
%description
%install
mkdir -p %{buildroot}/usr/lib64
: >%{buildroot}/usr/lib64/libz+.so.1.2
%files
/usr/lib64/libz+.so.1.2
"""
APK = """\
#!/bin/sh
case "$*" in
    'info --who-owns /usr/lib/libz+.so.1.2') echo '/usr/lib/libz+.so.1.2 is owned by zlib-ng-1.3.1-r2' ;;
    'list --installed zlib-ng') echo 'zlib-ng-dev-1.3.1-r2 x86_64 {no} (Zlib) [installed]'
        echo 'zlib-ng-1.3.1-r2 x86_64 {zlib} (Zlib) [installed]' ;;
    'info --webpage zlib-ng') printf 'zlib-ng-1.3.1-r2 webpage:\\nhttps://example.org/z\\n' ;;
    *) exit 1 ;;
esac
"""


@dataclass
class Made:
    """A container, and the wheels that are put together for it."""

    image: FakeImage
    directory: Path

    def file(self, path: str, content: bytes) -> str:
        """A library of the container; the name that auditwheel would graft it by."""
        place = self.image.root / path.lstrip("/")
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(b"\x7fELF" + content)
        digest = hashlib.sha256(place.read_bytes()).hexdigest()
        base, _, rest = place.name.partition(".")
        return f"demo.libs/{base}-{digest[:8]}.{rest}"

    def listed(self, path: str, content: bytes) -> str:
        """The same for a library that the image lists as its own."""
        grafted = self.file(path, content)
        with (self.image.root / "opt/_internal/files.sha256").open("a", encoding="utf-8") as stream:
            digest = hashlib.sha256((self.image.root / path.lstrip("/")).read_bytes()).hexdigest()
            stream.write(f"link:x  {path}.link\n{digest}  {path}\n")
        return grafted

    def tool(self, name: str, script: str) -> None:
        """The only package manager of the container."""
        directory = self.directory / "bin"
        shutil.rmtree(directory, ignore_errors=True)
        directory.mkdir()
        (directory / name).write_text(script, encoding="utf-8")
        (directory / name).chmod(0o755)
        for program in ("sh", "printf"):
            (directory / program).symlink_to(f"/bin/{program}")
        self.image.environment["PATH"] = str(directory)

    def system(self, text: str) -> None:
        (self.image.root / "etc").mkdir(exist_ok=True)
        (self.image.root / "etc/os-release").write_text(text, encoding="utf-8")

    def wheel(self, *grafted: str, **more: bytes) -> Path:
        """A wheel with grafted files, as patchelf leaves them."""
        files = {name: b"\x7fELFpatched " + name.encode() for name in grafted}
        return wheel(self.directory / NAME, {**files, **{key.replace("__", "/"): value for key, value in more.items()}})

    def sbom(self, *arguments: str | Path, **environment: str) -> subprocess.CompletedProcess[str]:
        return self.image.run("manylinux-sbom", *map(str, arguments), **environment)

    def components(self, path: Path) -> dict[str, dict[str, Any]]:
        with zipfile.ZipFile(path) as archive:
            return {each["bom-ref"]: each for each in json.loads(archive.read(SBOM))["components"]}


def wheel(path: Path, files: dict[str, bytes], end: str = "\n") -> Path:
    """A wheel whose entries differ in whatever entries can differ in."""
    files = {"demo/__init__.py": b"x = 1\n" * 100, **files, "demo-1.0.dist-info/METADATA": b"Name: demo\n"}
    record = "".join(f"{name},sha256=untouched,{len(content)}{end}" for name, content in files.items())
    with zipfile.ZipFile(path, "w") as archive:
        for number, (name, content) in enumerate(files.items()):
            entry = zipfile.ZipInfo(name, (2001 + number, 2, 3, 4, 5, 6))
            entry.external_attr = (stat.S_IFREG | 0o640 + number) << 16
            entry.compress_type = zipfile.ZIP_DEFLATED if number % 2 else zipfile.ZIP_STORED
            entry.comment, entry.extra = b"a comment", b"\x99\x99\x02\x00ab"
            with archive.open(entry, "w") as stream:
                stream.write(content)
        archive.writestr(zipfile.ZipInfo(RECORD, (1999, 1, 1, 0, 0, 0)), record + f"{RECORD},,")
        archive.comment = b"of the whole"
    return path


@pytest.fixture
def made(tmp_path: Path) -> Made:
    image = fake_image.make(tmp_path / "root")
    manifest = image.root / "opt/_internal/manifest.json"
    facts = json.loads(manifest.read_text(encoding="utf-8"))
    facts["image"]["name"] = "manylinux_2_36_x86_64"
    facts |= {"components": [OPENSSL], "interpreters": [CPYTHON]}
    manifest.write_text(json.dumps(facts), encoding="utf-8")
    container = Made(image, tmp_path)
    container.tool("dpkg-query", DPKG)
    container.system('ID=debian\nVERSION_ID="12"\n')
    return container


def test_the_image_knows_its_own_libraries(made: Made) -> None:
    ssl = made.listed("/opt/_internal/openssl-3.5/lib/libssl.so.3", b"ssl")
    python = made.listed("/opt/shared-cpython-3.13/lib/libpython3.13.so.1.0", b"python")
    (made.image.root / "opt/_internal/openssl-3.5/lib/libssl.so.3").unlink()  # the list is enough
    path = made.wheel(ssl, python)
    done = made.sbom(path)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith(f"{NAME}: 2 of 2 grafted files identified\n")
    component = made.components(path)[ssl]
    assert (component["name"], component["version"]) == ("openssl", "3.5.7")
    assert component["purl"] == (
        f"pkg:generic/openssl@3.5.7?checksum=sha256:{'a' * 64}"
        "&download_url=https:%2F%2Fexample.org%2Fopenssl-3.5.7.tar.gz"
    )
    source = {"type": "source-distribution", "url": OPENSSL["url"], "hashes": [{"alg": "SHA-256", "content": "a" * 64}]}
    assert component["externalReferences"] == [source]
    in_wheel = hashlib.sha256(b"\x7fELFpatched " + ssl.encode()).hexdigest()
    assert component["hashes"] == [{"alg": "SHA-256", "content": in_wheel}]
    assert made.components(path)[python]["purl"].startswith("pkg:generic/cpython@3.13.15?")


def test_dpkg_is_asked_by_both_paths(made: Made) -> None:
    z, own = made.file("/usr/lib/libz+.so.1.2", b"z"), made.file("/usr/lib/libown.so.1", b"own")
    path = made.wheel(z, own)
    assert made.sbom(path).returncode == 0
    found = made.components(path)
    assert found[z]["purl"] == (
        "pkg:deb/debian/libz1@1:2.0~rc1%2Bdfsg-1%2Bb2?arch=amd64&distro=debian-12&upstream=zlib%401:2.0~rc1%2Bdfsg-1"
    )
    assert [each["url"] for each in found[z]["externalReferences"]] == [
        "https://sources.debian.org/src/zlib/1:2.0~rc1+dfsg-1/",
        "https://example.org/z",
    ]
    assert found[own]["purl"] == "pkg:deb/debian/libown1@3-1?arch=amd64&distro=debian-12&upstream=libown1"


@pytest.mark.program("rpmbuild")
def test_rpm(made: Made) -> None:
    """A real package in a real database, asked by the path with /usr and by the one without."""
    (made.directory / "z.spec").write_text(SPEC, encoding="ascii")
    run = functools.partial(subprocess.run, cwd=made.directory, check=True, capture_output=True)
    run(["rpmbuild", "-ba", "--target", "x86_64", "--define", f"_topdir {made.directory}", "z.spec"])
    database = ["--dbpath", str(made.directory / "database")]
    (package,) = made.directory.glob("RPMS/x86_64/*.rpm")
    run(["rpm", *database, "--install", "--justdb", "--nodeps", "--noscripts", package])
    made.tool("rpm", f'#!/bin/sh\nexec {shutil.which("rpm")} {shlex.join(database)} "$@"\n')
    made.system('NAME="AlmaLinux"\nID="almalinux"\nVERSION_ID="8.10"\n')
    for place in ("/usr/lib64/libz+.so.1.2", "/lib64/libz+.so.1.2"):
        for old in made.image.root.rglob("libz*"):
            old.unlink()
        path = made.wheel(made.file(place, b"z"))
        assert made.sbom(path, "--strict").returncode == 0
        (component,) = made.components(path).values()
        assert component["version"] == "2:1.2.11-25.el8"
        assert component["purl"] == (
            "pkg:rpm/almalinux/zlib@1.2.11-25.el8"
            "?arch=x86_64&distro=almalinux-8.10&epoch=2&upstream=zlib-1.2.11-25.el8.src.rpm"
        )
        assert component["externalReferences"] == [{"type": "website", "url": "https://example.org"}]


def test_apk(made: Made) -> None:
    made.tool("apk", APK)
    made.system("ID=alpine\nVERSION_ID=3.22.1\n")
    z = made.file("/usr/lib/libz+.so.1.2", b"z")
    path = made.wheel(z)
    assert made.sbom(path, "--strict").returncode == 0
    (component,) = made.components(path).values()
    assert component["purl"] == "pkg:apk/alpine/zlib-ng@1.3.1-r2?arch=x86_64&distro=alpine-3.22.1&upstream=zlib"
    assert component["externalReferences"] == [{"type": "website", "url": "https://example.org/z"}]


def test_what_is_not_identified_is_said(made: Made) -> None:
    private = made.file("/srv/deep/libprivate.so", b"private")
    gone, unnamed = "demo.libs/libgone-0123abcd.so.2", "demo.libs/libplain.so"
    path = made.wheel(private, gone, unnamed)
    done = made.sbom(path)
    assert done.returncode == 0
    assert f"{private} is not identified: copied from /srv/deep/libprivate.so, which no package" in done.stderr
    assert f"{gone} is not identified: no file of this container" in done.stderr
    found = made.components(path)
    assert list(found) == sorted([private, gone, unnamed])
    assert [found[each]["name"] for each in (private, gone, unnamed)] == [
        "libprivate.so",
        "libgone.so.2",
        "libplain.so",
    ]
    assert not any("purl" in each or "version" in each for each in found.values())
    assert made.sbom(path, "--strict").returncode == 1


def test_two_files_of_one_name_and_one_that_had_its_hash_before(made: Made) -> None:
    first = made.file("/usr/lib/libown.so.1", b"own")
    second = made.file("/srv/libown.so.1", b"another")
    digest = hashlib.sha256(b"\x7fELFkept").hexdigest()[:8]
    made.file(f"/srv/libkept-{digest}.so", b"kept")
    kept = f"demo.libs/libkept-{digest}.so"
    path = made.wheel(first, second, kept)
    assert made.sbom(path).returncode == 0
    places = {
        ref: {each["name"]: each["value"] for each in component["properties"]}["manylinux:source-file"]
        for ref, component in made.components(path).items()
    }
    assert places == {first: "/usr/lib/libown.so.1", second: "/srv/libown.so.1", kept: f"/srv/libkept-{digest}.so"}


def test_a_library_of_another_directory_counts_when_it_is_identified(made: Made) -> None:
    elsewhere = made.file("/usr/lib/libown.so.1", b"own").replace("demo.libs", "demo/bundled")
    path = made.wheel(elsewhere, "demo/rust-0123abcd.so")
    assert made.sbom(path, "--strict").returncode == 0
    assert list(made.components(path)) == [elsewhere]


@pytest.mark.parametrize("parts", ["-x86_64_v3", "-null"])
def test_a_variant_keeps_its_name_and_what_it_says_of_itself(made: Made, parts: str) -> None:
    """Draft PEP 825: a label at the end of the name, and .dist-info/variant.json."""
    own, said = made.file("/usr/lib/libown.so.1", b"own"), "demo-1.0.dist-info/variant.json"
    for name in (NAME.replace(".whl", f"{parts}.whl"), NAME.replace("-cp", "-7-cp", 1).replace(".whl", f"{parts}.whl")):
        path = wheel(made.directory / name, {own: b"\x7fELF", said: b'{"variants": {}}'})
        done = made.sbom(path)
        assert done.returncode == 0, done.stderr
        assert list(made.components(path)) == [own]
        with zipfile.ZipFile(path) as archive:
            assert archive.read(said) == b'{"variants": {}}'
            assert said in archive.read(RECORD).decode()


def test_the_other_entries_stay_as_they_are(made: Made) -> None:
    own = made.file("/usr/lib/libown.so.1", b"own")
    path = made.wheel(own, demo__data=b"data\n" * 1000)
    path.chmod(0o640)
    before, raw = entries(path), path.read_bytes()
    assert made.sbom(path).returncode == 0
    after, once = entries(path), path.read_bytes()
    assert [name for name in after if name not in (SBOM, RECORD)] == [name for name in before if name != RECORD]
    assert all(after[name] == before[name] for name in before if name != RECORD)
    assert list(after)[-2:] == [SBOM, RECORD]
    assert zipfile.ZipFile(path).testzip() is None
    assert zipfile.ZipFile(path).comment == b"of the whole"
    assert stat.S_IMODE(path.stat().st_mode) == 0o640
    assert made.sbom(path).returncode == 0
    assert path.read_bytes() == once
    path.write_bytes(raw)
    assert made.sbom(path).returncode == 0
    assert path.read_bytes() == once


def entries(path: Path) -> dict[str, tuple[object, ...]]:
    """What each entry is, with its data as they are compressed."""
    found: dict[str, tuple[object, ...]] = {}
    data = path.read_bytes()
    with zipfile.ZipFile(path) as archive:
        for entry in archive.infolist():
            header = data[entry.header_offset :]
            start = entry.header_offset + 30 + sum(int.from_bytes(header[at : at + 2], "little") for at in (26, 28))
            kept = (entry.date_time, entry.external_attr, entry.compress_type, entry.comment, entry.extra, entry.CRC)
            found[entry.filename] = (*kept, data[start : start + entry.compress_size])
    return found


@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_record_has_the_new_file_and_its_other_lines_as_they_were(made: Made, end: str) -> None:
    own = made.file("/usr/lib/libown.so.1", b"own")
    path = wheel(made.directory / NAME, {own: b"\x7fELF"}, end)
    for _ in range(2):
        assert made.sbom(path).returncode == 0
        with zipfile.ZipFile(path) as archive:
            text, content = archive.read(RECORD).decode(), archive.read(SBOM)
        rows = list(csv.reader(io.StringIO(text)))
        digest = base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()
        assert rows[-1] == [SBOM, f"sha256={digest}", str(len(content))]
        assert [row[0] for row in rows[:-1]] == ["demo/__init__.py", own, "demo-1.0.dist-info/METADATA", RECORD]
        assert text.count(end) == len(rows) == text.count("\n")


def test_output_leaves_the_wheel_as_it_is(made: Made) -> None:
    own = made.file("/usr/lib/libown.so.1", b"own")
    path = made.wheel(own)
    before = path.read_bytes()
    target = made.directory / "there"
    target.mkdir()
    pure = wheel(made.directory / NAME.replace("demo-1.0", "pure-1.0"), {})
    assert made.sbom(path, pure, "--output", target).returncode == 0
    assert path.read_bytes() == before
    assert list(made.components(target / NAME)) == [own]
    assert (target / pure.name).read_bytes() == pure.read_bytes()  # nothing is grafted into it
    assert made.sbom(path, "--output", made.directory / "other.whl").returncode == 0
    assert (made.directory / "other.whl").read_bytes() == (target / NAME).read_bytes()
    assert sorted(each.name for each in target.iterdir()) == sorted([NAME, pure.name])


def test_json(made: Made) -> None:
    own = made.file("/usr/lib/libown.so.1", b"own")
    done = made.sbom(made.wheel(own, "demo.libs/libgone-0123abcd.so"), "--json")
    (row,) = json.loads(done.stdout)["wheels"]
    assert row["wheel"] == NAME
    assert [(each["file"], each["identified"], each["name"]) for each in row["files"]] == [
        ("demo.libs/libgone-0123abcd.so", False, None),
        (own, True, "libown1"),
    ]


def test_what_is_not_a_wheel_is_refused_and_stays(made: Made) -> None:
    own = made.file("/usr/lib/libown.so.1", b"own")
    whole = made.wheel(own).read_bytes()
    signed = wheel(made.directory / "s.whl", {own: b"\x7fELF", "demo-1.0.dist-info/RECORD.jws": b""}).read_bytes()
    middle = len(whole) // 2
    contents = {
        "": [b"", b"PK", whole[:middle], whole[:100] + whole[200:], whole[:-30]],
        "has no demo-1.0.dist-info/RECORD": [whole.replace(b"RECORD", b"RECORX")],
        "signed RECORD": [signed],
    }
    for message, wrong in contents.items():
        for content in wrong:
            path = made.directory / NAME
            path.write_bytes(content)
            done = made.sbom(path)
            assert (done.returncode, done.stdout) == (2, ""), done.stderr
            assert done.stderr.startswith("error: ") and message in done.stderr
            assert path.read_bytes() == content
    for words in (["absent.whl"], [__file__], ["s.whl", "--output", "absent/x.whl"], []):
        assert made.sbom(*words).returncode == 2
    assert not [path for path in made.directory.iterdir() if path.name.startswith(".")]


def test_a_failure_leaves_the_old_wheel(made: Made) -> None:
    own = made.file("/usr/lib/libown.so.1", b"own")
    path = made.wheel(own)
    before = path.read_bytes()
    manifest = made.image.root / "opt/_internal/manifest.json"
    manifest.unlink()
    done = made.sbom(path)
    assert done.returncode == 1
    assert "run this in a manylinux or musllinux image" in done.stderr
    assert path.read_bytes() == before


def test_libraries_of_ld_library_path_are_found(made: Made, tmp_path_factory: pytest.TempPathFactory) -> None:
    elsewhere = tmp_path_factory.mktemp("mounted") / "libmounted.so"
    elsewhere.write_bytes(b"\x7fELFmounted")
    digest = hashlib.sha256(elsewhere.read_bytes()).hexdigest()[:8]
    path = made.wheel(f"demo.libs/libmounted-{digest}.so")
    done = made.sbom(path, LD_LIBRARY_PATH=f":{elsewhere.parent}:/nonexistent")
    assert f"copied from {elsewhere}, which no package" in done.stderr
