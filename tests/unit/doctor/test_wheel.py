"""Reading a wheel: names, metadata, and refusing what is none or would fill the disk."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

import pytest

from doctor import wheel
from doctor.wheel import NotAWheel, Wheel, parse_name

NAME = "p-1-cp311-cp311-manylinux_2_17_x86_64.manylinux2014_x86_64.whl"
METADATA = {
    "p-1.dist-info/WHEEL": "Wheel-Version: 1.0\nTag: cp311-cp311-manylinux_2_17_x86_64\n",
    "p-1.dist-info/METADATA": "Name: p\nVersion: 1\nRequires-Dist: n>=1\nRequires-Dist: x==2; extra == 'y'\n\nText\n",
    "p-1.dist-info/RECORD": "p/a.py,sha256=abc,3\np-1.dist-info/RECORD,,\n",
}


def packed(directory: Path, members: dict[str, bytes | str], name: str = NAME) -> Path:
    with zipfile.ZipFile(directory / name, "w", zipfile.ZIP_DEFLATED) as archive:
        for member, content in members.items():
            archive.writestr(member, content)
    return directory / name


@pytest.mark.parametrize(
    ("name", "tag", "build", "variant"),
    [
        ("a_b-1.0-py3-none-any.whl", "py3-none-any", "", ""),
        ("a-1-2b-cp313-abi3-musllinux_1_2_aarch64.whl", "cp313-abi3-musllinux_1_2_aarch64", "2b", ""),
        ("a-1-cp315-abi3t-manylinux_2_28_x86_64.whl", "cp315-abi3t-manylinux_2_28_x86_64", "", ""),
        ("a-1-pp311-pypy311_pp73-linux_s390x-x8664v3.whl", "pp311-pypy311_pp73-linux_s390x", "", "x8664v3"),
        ("a-1-7-cp39-cp39-win_amd64-v2.whl", "cp39-cp39-win_amd64", "7", "v2"),
        ("a-1-cp39-cp39-win_amd64-null.whl", "cp39-cp39-win_amd64", "", "null"),
        ("a-1-0_x-cp39-cp39-linux_s390x-3_cuda12.8_v.whl", "cp39-cp39-linux_s390x", "0_x", "3_cuda12.8_v"),
    ],
)
def test_names(name: str, tag: str, build: str, variant: str) -> None:
    found = parse_name(name)
    assert ([str(each) for each in found.tags], found.build, found.variant) == ([tag], build, variant)


def test_a_name_stands_for_every_combination() -> None:
    assert len(parse_name("a-1-py2.py3-none-manylinux1_x86_64.linux_x86_64.whl").tags) == 4


@pytest.mark.parametrize("name", ["a.zip", "a.whl", "a-1-py3.whl", "a-1-py3--any.whl", "a-1-2-3-py3-none-any-v-w.whl"])
def test_what_is_not_named_like_a_wheel(name: str) -> None:
    with pytest.raises(NotAWheel, match=r"\.whl"):
        parse_name(name)


def test_metadata_and_objects(tmp_path: Path) -> None:
    with Wheel.open(packed(tmp_path, {**METADATA, "p/a.so": b"\x7fELF...", "p/b.so": b"no", "p/c": b""})) as opened:
        assert opened.metadata_tags == ("cp311-cp311-manylinux_2_17_x86_64",)
        assert opened.requires == ("n>=1", "x==2; extra == 'y'")
        assert [(entry.path, entry.size) for entry in opened.record] == [("p/a.py", 3), ("p-1.dist-info/RECORD", None)]
        assert list(opened.objects()) == [("p/a.so", b"\x7fELF...")]
        assert opened.file_name.platforms == ("manylinux_2_17_x86_64", "manylinux2014_x86_64")


def test_what_is_no_wheel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / NAME).write_bytes(b"PK\x03\x04 no")
    with pytest.raises(NotAWheel, match="not a zip file"):
        Wheel.open(tmp_path / NAME)
    with pytest.raises(NotAWheel, match=r"no \.dist-info"):
        Wheel.open(packed(tmp_path, {"p/a.py": ""}))
    with pytest.raises(NotAWheel, match=r"2 \.dist-info"):
        Wheel.open(packed(tmp_path, {**METADATA, "q-1.dist-info/WHEEL": ""}))
    with pytest.raises(FileNotFoundError):
        Wheel.open(tmp_path / "q-1-py3-none-any.whl")
    with pytest.raises(NotAWheel, match="times its size"):
        monkeypatch.setattr(wheel, "SMALL", 1 << 20)
        Wheel.open(packed(tmp_path, {**METADATA, "p/bomb.so": b"\x7fELF" + bytes(10_000_000)}))


def test_every_flipped_byte_is_survived(tmp_path: Path) -> None:
    whole = packed(tmp_path, {**METADATA, "p/a.so": b"\x7fELF" + bytes(range(256))}).read_bytes()
    refused = 0
    for at in range(len(whole)):
        (tmp_path / NAME).write_bytes(whole[:at] + bytes([whole[at] ^ 0xFF]) + whole[at + 1 :])
        try:
            with Wheel.open(tmp_path / NAME) as opened:
                _ = list(opened.objects()), opened.requires, opened.record, opened.metadata_tags
        except NotAWheel:
            refused += 1
    assert refused > len(whole) / 2
    with pytest.raises(NotAWheel):
        (tmp_path / NAME).write_bytes(whole[: len(whole) // 2])
        Wheel.open(tmp_path / NAME)


def test_a_size_that_lies(tmp_path: Path) -> None:
    """The archive says that a file is small: no more than that is unpacked."""
    path = packed(tmp_path, {**METADATA, "p/a.so": b"\x7fELF" + bytes(5_000_000)})
    content = path.read_bytes().replace((5_000_004).to_bytes(4, "little"), (100).to_bytes(4, "little"))
    path.write_bytes(content)
    assert zipfile.ZipFile(io.BytesIO(content)).getinfo("p/a.so").file_size == 100
    with Wheel.open(path) as opened, pytest.raises(NotAWheel, match="damaged"):
        list(opened.objects())
