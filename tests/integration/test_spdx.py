"""SBOMs of images as spdx-tools judges them, in an environment of its own with what spdx_tools.txt pins.

One is an image's own: MANYLINUX_TEST_IMAGE=REFERENCE pytest tests/integration/test_spdx.py
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import jsonschema
import pytest
from tests.support.image_trees import ImageTree

from catalogue.paths import ROOT
from describe import spdx
from engine import choose

pytestmark = pytest.mark.network
IMAGE = os.environ.get("MANYLINUX_TEST_IMAGE", "")
LOCK = Path(__file__).with_name("spdx_tools.txt")
JUDGE = """
import sys
from spdx_tools.spdx.parser.parse_anything import parse_file
from spdx_tools.spdx.validation.document_validator import validate_full_spdx_document

for message in validate_full_spdx_document(parse_file(sys.argv[1])):
    print(message.validation_message)
"""
KNOWN = """
import sys
from license_expression import get_spdx_licensing

known = get_spdx_licensing().known_symbols
print(*(name for name in sys.argv[1:] if name not in known))
"""
Ask = Callable[..., str]


@pytest.fixture(scope="module")
def ask(tmp_path_factory: pytest.TempPathFactory) -> Ask:
    """Runs Python code beside spdx-tools, and returns what it prints."""
    venv = tmp_path_factory.mktemp("spdx")
    subprocess.run([sys.executable, "-m", "venv", venv], check=True)
    pip = [str(venv / "bin/pip"), "install", "--quiet", "--disable-pip-version-check", "--no-deps"]
    subprocess.run([*pip, "--require-hashes", "--requirement", str(LOCK)], check=True)

    def run(code: str, *arguments: str) -> str:
        command = [str(venv / "bin/python"), "-c", code, *arguments]
        return subprocess.run(command, check=True, text=True, stdout=subprocess.PIPE).stdout.strip()

    return run


@pytest.mark.parametrize("family", ["debian", "rhel", "alpine"])
def test_a_made_up_image_of_each_family(ask: Ask, tmp_path: Path, family: str) -> None:
    tree = ImageTree(tmp_path, family)
    tree.interpreter()
    tree.interpreter("cp313-cp313t", "opt/_internal/cpython-3.13.15-nogil")
    part = {"name": "expat", "versionInfo": "2.8.2", "downloadLocation": "https://example.org/expat.tar.gz"}
    tree.install("opt/_internal/manifest.d/cp313-cp313.spdx", json.dumps({"packages": [part]}).encode())
    tree.entry("git-lfs.json", {"kind": "component", "name": "git-lfs", "version": "3.7.1", "url": "", "sha256": ""})
    tree.manifest()
    path = tree.root / "opt/_internal/sbom.spdx.json"
    assert ask(JUDGE, str(path)) == ""
    broken = json.loads(path.read_text(encoding="utf-8"))
    broken["packages"][1]["licenseDeclared"] = "GPLv2+"
    path.write_text(json.dumps(broken), encoding="utf-8")
    assert "GPLv2+" in ask(JUDGE, str(path))  # it does judge


def test_the_licences_that_we_know_are_spdx(ask: Ask) -> None:
    assert ask(KNOWN, *spdx.LICENCES, *spdx.EXCEPTIONS) == ""


@pytest.mark.engine
@pytest.mark.skipif(not IMAGE, reason="MANYLINUX_TEST_IMAGE is not set")
def test_a_real_image(ask: Ask, tmp_path: Path) -> None:
    engine, found = choose.engine(), {}
    for name in ("manifest.json", "sbom.spdx.json"):
        done = engine.contain(IMAGE, ["cat", f"/opt/_internal/{name}"])
        assert done.returncode == 0, done.stderr
        (tmp_path / name).write_text(done.stdout, encoding="utf-8")
        found[name] = json.loads(done.stdout)
    schema = json.loads((ROOT / "docs/manifest.schema.json").read_text(encoding="utf-8"))
    jsonschema.validate(found["manifest.json"], schema, jsonschema.Draft202012Validator)
    assert found["sbom.spdx.json"] == spdx.document(found["manifest.json"])
    assert ask(JUDGE, str(tmp_path / "sbom.spdx.json")) == ""
