"""cibuildwheel with a real image: wheels of real source distributions are built, repaired and tested.

It needs an image that cibuildwheel can use, and a Python index:
MANYLINUX_TEST_IMAGE=REFERENCE pytest tests/integration/test_cibuildwheel.py
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from canary.command import nest_of
from canary.surroundings import surroundings
from catalogue import images
from catalogue.paths import ROOT
from engine import choose
from engine.commands import executable_of

IMAGE = os.environ.get("MANYLINUX_TEST_IMAGE", "")
SDISTS = Path(__file__).with_name("cibuildwheel_sdists.txt")
PUBLISHED = "quay.io/pypa/manylinux_2_28_x86_64"  # in the documents
TESTS = {  # source distribution -> what its installed wheel is asked, and how many libraries are grafted into it
    "cffi": ("import cffi, _cffi_backend; assert cffi.FFI().sizeof('long') == 8", 1),
    "markupsafe": ("import markupsafe._speedups; assert markupsafe.escape('<') == '&lt;'", 0),
    "ujson": ("import ujson; assert ujson.loads(ujson.dumps([1.5])) == [1.5]", 0),
}
pytestmark = [
    pytest.mark.engine,
    pytest.mark.skipif(not IMAGE, reason="MANYLINUX_TEST_IMAGE is not set"),
]


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The source distributions, by their hashes."""
    directory = tmp_path_factory.mktemp("sdists")
    options = ["--no-deps", "--no-binary", ":all:", "--require-hashes", "--dest"]
    options += [str(directory), "--requirement", str(SDISTS)]
    subprocess.run([sys.executable, "-m", "pip", "download", "--quiet", *options], check=True)
    return directory


@pytest.fixture(scope="module")
def environment() -> Iterator[dict[str, str]]:
    """What `./build.sh --bootstrap` tells people to set, and this site's index and mirror on top."""
    engine = choose.engine()
    image = images.load().image(IMAGE.rpartition(":")[0].rpartition("/")[2])
    nest = nest_of(engine, image, IMAGE)
    usual = [each for each in nest.interpreters if each.implementation == "cpython" and not each.threaded]
    with surroundings(engine, image, IMAGE, usual) as found:
        yield found


@pytest.mark.parametrize("name", TESTS)
def test_wheels_of_a_real_project(name: str, sources: Path, environment: dict[str, str], tmp_path: Path) -> None:
    question, grafted = TESTS[name]
    (source,) = sources.glob(f"{name}-*.tar.gz")
    own = {"CIBW_TEST_COMMAND": f'python -c "{question}"'}
    if grafted:
        update = "apt-get -o APT::Update::Error-Mode=any update -qq"
        own["CIBW_BEFORE_ALL"] = f"{update} && apt-get install -qq --no-install-recommends libffi-dev"
    command = [sys.executable, "-m", "cibuildwheel", "--platform", "linux", "--output-dir", str(tmp_path)]
    done = subprocess.run(
        [*command, str(source)], env={**environment, **own}, text=True, capture_output=True, check=False
    )
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-4000:]

    wheels = sorted(tmp_path.glob("*.whl"))
    policy = environment_policy(environment)
    asked = {build.partition("-")[0] for build in environment["CIBW_BUILD"].split()}
    built = {wheel.name.split("-")[2] for wheel in wheels}
    assert built and built <= asked, f"{built} of {asked}"  # a project may have left an old Python behind
    assert {"cp311", "cp313"} & asked <= built
    for wheel in wheels:
        assert policy in wheel.stem.split("-")[-1].split(".")  # a wheel that needs less carries older tags, too
        libraries = [member for member in zipfile.ZipFile(wheel).namelist() if re.search(r"\.libs/.*\.so", member)]
        assert len(libraries) == grafted, libraries


@pytest.mark.parametrize(("flags", "status"), [("", 0), ("-Wl,-z,execstack", 1)])
def test_the_doctor_in_its_hooks(
    flags: str, status: int, sources: Path, environment: dict[str, str], tmp_path: Path
) -> None:
    """The settings of docs/doctor.md: a wheel that is not fit ends the build."""
    text = (ROOT / "docs/doctor.md").read_text(encoding="utf-8")
    blocks = re.findall(r"```toml\n(.*?)```", text, re.DOTALL)
    settings = {
        key: value for block in blocks for key, value in tomllib.loads(block)["tool"]["cibuildwheel"]["linux"].items()
    }
    program = executable_of(choose.engine().name)  # as PATH of `environment` has it
    audit = settings["audit-command"].replace("docker run", f"{program} run").replace(PUBLISHED, IMAGE)
    assert audit.count(IMAGE) == 1
    hooks = {
        "CIBW_REPAIR_WHEEL_COMMAND": " && ".join(settings["repair-wheel-command"]),
        "CIBW_AUDIT_REQUIRES": " ".join(settings["audit-requires"]),
        "CIBW_AUDIT_COMMAND": f"{audit} && python3 {ROOT}/scripts doctor {{wheel}}",
        "CIBW_ENVIRONMENT": f"LDFLAGS={flags}",
        "CIBW_BUILD": next(each for each in environment["CIBW_BUILD"].split() if each.startswith("cp313-")),
    }
    (source,) = sources.glob("markupsafe-*.tar.gz")
    done = subprocess.run(
        [sys.executable, "-m", "cibuildwheel", "--platform", "linux", "--output-dir", str(tmp_path), str(source)],
        env={**environment, **hooks},
        text=True,
        capture_output=True,
        check=False,
    )
    said = done.stdout + done.stderr
    assert done.returncode == status, said[-4000:]
    if status:
        assert "NOT FIT to publish: 1 error" in said and "executable-stack" in said
        assert not list(tmp_path.glob("*.whl"))
    else:
        assert said.count("FIT to publish") == 3, said[-4000:]  # in the container, in another, on the host


def environment_policy(environment: dict[str, str]) -> str:
    """The platform tag that the image's wheels must carry."""
    (reference,) = (v for k, v in environment.items() if re.fullmatch(r"CIBW_(MANY|MUSL)LINUX_\w+_IMAGE", k))
    return reference.rpartition(":")[0].rpartition("/")[2]
