"""The scripts of the distribution families, run for every image against stand-ins of the package managers.

Each image gets a throw-away root: bash and the usual small tools of this machine, the files of its base that the
scripts work on (families/bases), and stand-ins that record each call and refuse what does not exist or is not enabled
(families/stand_in.sh, families/available). What was asked for and what changed in the root must be exactly what
families/expected/<distribution>.txt says: the first image in full, then how the others differ from it. `pytest
--update-golden tests/integration/test_families.py` rewrites these files, and adds a package that is new in
docker/packages to what the distribution's first repository has. The roots live in one container when an engine is
there, else in a chroot.
"""

from __future__ import annotations

import difflib
import os
import re
import shutil
import subprocess
import tarfile
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from catalogue import images, packages
from catalogue.model import Image
from engine import choose
from engine.commands import Mount
from engine.engine import Engine
from host import machine

ROOT = Path(__file__).resolve().parent.parent.parent
FAMILIES = Path(__file__).resolve().parent / "families"
CATALOGUE = images.load()
IMAGES = CATALOGUE.images(published_only=False)
BY_DISTRIBUTION = {image.policy.distribution: image for image in reversed(IMAGES)}
GOLDENS = {name: FAMILIES / "expected" / f"{name}.txt" for name in BY_DISTRIBUTION}
# CentOS 7 has a quirk on every platform, and its base has been through the first steps already.
REPEATED = [i for i in IMAGES if i.policy.distribution == "centos-7" or i in BY_DISTRIBUTION.values()]
BUILD_SCRIPTS = "/manylinux/build_scripts"

TOOLS = """bash cat chmod chroot cp dirname env find getconf grep head ln ls mkdir mktemp mv readlink rm rmdir sed sh
sha256sum sleep sort stat tail touch tr true uname wc xargs""".split()
PLAYED = """yum yum-config-manager dnf rpm apt-get dpkg dpkg-deb dpkg-query apk localedef build-locale-archive
update-locale useradd usermod chsh curl ldconfig""".split()
STEPS = (
    "update-system.sh",
    "install-packages.sh policy runtime base toolchain",
    "configure-system.sh",
    "clean-system.sh",
    "install-packages.sh build",
    "prepare-component.sh {components}",
    "clean-system.sh",
)


@dataclass(frozen=True)
class Run:
    """What the scripts did for one image: exit status, what they printed, what they asked for and changed."""

    status: int
    output: str
    recording: str


# --- Roots ----------------------------------------------------------------------------------------------------------


def make_template(root: Path) -> None:
    """A root with this machine's bash and small tools, and the stand-ins; no package manager is in it."""
    for directory in "bin usr/bin usr/sbin usr/local/sbin tmp var/tmp var/lib run/secrets stand-in dev".split():
        (root / directory).mkdir(parents=True, exist_ok=True)
    for tool in TOOLS:
        path = shutil.which(tool)
        assert path, f"this machine lacks {tool}"
        shutil.copy2(path, root / "usr/bin" / tool)
        for library in re.findall(r"(/\S+) \(0x", subprocess.run(["ldd", path], capture_output=True, text=True).stdout):
            target = root / library.lstrip("/")
            target.parent.mkdir(parents=True, exist_ok=True)
            if not target.exists():
                shutil.copy2(library, target)
    for shell in ("bash", "sh", "env"):
        shutil.copy2(root / "usr/bin" / shell, root / "bin" / shell)
    for file in ("stand-in/installed", "dev/null"):
        (root / file).touch()
    shutil.copy2(FAMILIES / "stand_in.sh", root / "stand-in/stand_in.sh")
    for name in PLAYED:
        (root / "usr/sbin" / name).symlink_to("/stand-in/stand_in.sh")
    (root / "usr/local/sbin/fixup-mirrors").symlink_to("/stand-in/stand_in.sh")
    shutil.copy2(ROOT / "docker/rootfs/usr/local/sbin/fixup-mirrors", root / "stand-in/fixup-mirrors")
    shutil.copytree(ROOT / "docker/build_scripts", root / BUILD_SCRIPTS.lstrip("/"))
    shutil.copytree(ROOT / "docker/packages", root / "manylinux/packages")


def available(distribution: str) -> dict[str, set[str]]:
    """The repositories of a distribution, several names where they have the same, and the packages in them."""
    found: dict[str, set[str]] = {}
    for line in (FAMILIES / "available" / f"{distribution}.txt").read_text(encoding="utf-8").splitlines()[1:]:
        repositories, _, names = line.partition(" = ")
        found.setdefault(repositories, set()).update(names.split())
    return found


def make_available(distribution: str) -> None:
    """Adds what the lists of packages name and no repository has yet to the first repository of the distribution."""
    path, found, asked = FAMILIES / "available" / f"{distribution}.txt", available(distribution), set()
    for image in [image for image in IMAGES if image.policy.distribution == distribution]:
        sets = image.policy.package_sets
        own = [c for c in image.policy.build if any((packages.PACKAGES / s / f"{c}.txt").exists() for s in sets)]
        asked |= set(packages.read(sets, image.platform.name, (*packages.LAYERS, *own)))
    next(iter(found.values())).update(asked.difference(*found.values()))
    lines = path.read_text(encoding="utf-8").splitlines()[:1]
    for repositories, names in found.items():
        wrapped = textwrap.wrap(" ".join(sorted(names)), 90, break_on_hyphens=False)
        lines += [f"{repositories} = {line}" for line in wrapped]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def make_base(root: Path, name: str) -> None:
    """Writes the files that families/bases/<name>.txt lists; `include` takes those of another one first."""
    text = (FAMILIES / "bases" / f"{name}.txt").read_text(encoding="utf-8")
    head, *entries = re.split(r"(?m)^== ", text)
    for other in re.findall(r"(?m)^include (\S+)$", head):
        make_base(root, other)
    for entry in entries:
        title, _, content = entry.partition("\n")
        words = title.split()
        if words[0] == "brings":
            path = root / "stand-in/brings" / words[1] / words[2].lstrip("/")
        elif words[0] == "web":
            path = root / "stand-in/web" / words[1]
        elif words[0] == "installed":
            path = root / "stand-in/installed"
        else:
            path = root / words[0].lstrip("/")
        path.parent.mkdir(parents=True, exist_ok=True)
        if "->" in words:
            path.symlink_to(words[-1])
        else:
            path.write_text(content, encoding="utf-8")


def make_root(template: Path, root: Path, image: Image) -> None:
    """The root of one image; programs are hard links of the template's."""
    shutil.copytree(template, root, symlinks=True, copy_function=os.link)
    for path in (root / "stand-in/installed", root / "stand-in/stand_in.sh"):
        shutil.copy2(path, path.with_suffix(".own"))
        path.with_suffix(".own").replace(path)
    distribution = image.policy.distribution
    with (root / "stand-in/available").open("w", encoding="utf-8") as file:
        for repositories, names in available(distribution).items():
            file.writelines(f"{repository} = {' '.join(names)}\n" for repository in repositories.split())
    make_base(root, "every")
    exact = f"{distribution}-{image.platform.name}"
    make_base(root, exact if (FAMILIES / "bases" / f"{exact}.txt").exists() else distribution)


def environment(image: Image) -> dict[str, str]:
    """What the Dockerfile hands to the scripts, by the table."""
    policy = image.policy
    return {
        "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        "FAMILY": policy.family,
        "LIBC": policy.libc,
        "PLATFORM": image.platform.name,
        "DISTRIBUTION": policy.distribution,
        "TOOLSET": policy.toolset,
        "DEVTOOLSET_ROOTPATH": image.toolset.root if image.toolset else "",
        "PACKAGE_SETS": " ".join(policy.package_sets),
    }


# --- What happened --------------------------------------------------------------------------------------------------


def snapshot(root: Path) -> dict[str, str]:
    """Every file of a root that scripts may change: path -> content, or `-> target` of a link."""
    found = {}
    own = ("stand-in", "manylinux", "record", "run/secrets", "dev")
    for path in sorted(root.rglob("*")):
        name = str(path.relative_to(root))
        if name.startswith(own) or re.match(r"(usr/)?(s?bin|lib\w*)/(?!locale|python3|i?\d86|libcrypt)", name):
            continue
        if path.is_symlink():
            found[f"/{name}"] = f"-> {path.readlink()}"
        elif path.is_file() and path.stat().st_nlink == 1:
            found[f"/{name}"] = path.read_text(encoding="utf-8", errors="replace")
    return found


def describe(record: str, before: dict[str, str], after: dict[str, str]) -> str:
    """The recording of a run in the form of the expected files: calls by step, then the changes of the root."""
    lines = []
    for line in record.splitlines():
        line = re.sub(r"/tmp/tmp\.\w+", "/tmp/DIRECTORY", line)
        if line.startswith("== "):
            lines.append(line[3:])
            continue
        call = re.fullmatch(r"(.*(?:yum|dnf|apt-get|apk) .*?(?:install|add)(?: -\S+)*) ([^-].*)", line)
        lines.append(f"    {call[1] if call else line}")
        lines += [f"        {name}" for name in sorted(set(call[2].split()))] if call else []
    lines.append("changes")
    for path in sorted(before.keys() | after.keys()):
        if path not in after:
            lines.append(f"    {path} is gone")
        elif before.get(path) != after[path]:
            lines += [f"    {path}", *(f"        {part}" for part in after[path].splitlines())]
    return "\n".join(lines) + "\n"


def condensed(recordings: dict[str, str]) -> str:
    """The text of a golden: the first recording in full; then those that differ from it in the same way together."""
    (name, first), *others = recordings.items()
    alike: dict[str, list[str]] = {}
    for other, recording in others:
        compared = list(difflib.unified_diff(first.splitlines(), recording.splitlines(), lineterm="", n=0))[2:]
        difference = "".join(f"{line}\n" for line in compared if not line.startswith("@@"))
        alike.setdefault(difference, []).append(other)
    sections = [f"== {' '.join(names)}\n{difference}" for difference, names in alike.items()]
    return "".join([f"== {name}\n{first}", *sections])


AS_ROOT = ("unshare", "--map-root-user")


class Roots:
    """Runs scripts in throw-away roots below one directory, inside one container if there is an engine."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.template = directory / "template"
        make_template(self.template)
        self.engine, _ = choose.find()
        self.container = ""
        self.count = 0
        if self.engine:
            self._start_container(self.engine)
        elif os.geteuid():
            done = subprocess.run([*AS_ROOT, "true"], capture_output=True, text=True)
            if done.returncode:
                pytest.skip(f"this machine gives users no namespaces: {done.stderr.strip()}")

    def _start_container(self, engine: Engine) -> None:
        archive = self.directory / "template.tar"
        with tarfile.open(archive, "w") as tar:
            tar.add(self.template, arcname=".")
        self.reference = f"localhost/manylinux-families-{os.getpid()}:test"
        self.container = f"manylinux-families-{os.getpid()}"
        engine.call(engine.import_(archive, self.reference, CATALOGUE.platforms[machine.platform()].oci, {}))
        argv = engine.run(
            self.reference,
            ["/usr/bin/sleep", "600"],
            name=self.container,
            mounts=[Mount(self.directory, "/roots", read_only=False)],
        )
        argv.insert(argv.index("run") + 1, "--detach")
        engine.call(argv)

    def new(self, image: Image) -> Path:
        """A fresh root of an image."""
        self.count += 1
        root = self.directory / f"{self.count}-{image.name}"
        make_root(self.template, root, image)
        return root

    def close(self) -> None:
        if self.engine and self.container:
            self.engine.call(self.engine.remove_container(self.container))
            self.engine.call(self.engine.remove(self.reference))

    def enter(self, root: Path) -> list[str]:
        """The command that runs another one with this root as its own, without this machine's environment."""
        if self.engine:
            inside = f"/roots/{root.relative_to(self.directory)}"
            return self.engine.command("exec", self.container, "/usr/bin/env", "-i", "/usr/bin/chroot", inside)
        become_root = () if os.geteuid() == 0 else AS_ROOT
        return [*become_root, "env", "-i", str(shutil.which("chroot")), str(root)]

    def run(self, root: Path, image: Image, steps: tuple[str, ...] = STEPS, env: dict[str, str] | None = None) -> Run:
        """Runs steps one after the other until one fails."""
        before = snapshot(root)
        components = " ".join(image.policy.build)
        driver = ["set -e"]
        for step in steps:
            step = step.format(components=components)
            script = step if step.startswith("/") else f"{BUILD_SCRIPTS}/{step}"
            driver += [f'echo "== {step}" >>/record', script]
        variables = [f"{key}={value}" for key, value in (environment(image) | (env or {})).items()]
        (root / "record").write_text("", encoding="utf-8")
        done = subprocess.run(
            [*self.enter(root), "/usr/bin/env", *variables, "/bin/bash", "-c", "\n".join(driver)],
            capture_output=True,
            text=True,
            timeout=300,
            env=self.engine.environment() if self.engine else None,
        )
        record = (root / "record").read_text(encoding="utf-8")
        return Run(done.returncode, done.stdout + done.stderr, describe(record, before, snapshot(root)))


@pytest.fixture(scope="module")
def roots(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Roots]:
    found = Roots(tmp_path_factory.mktemp("families"))
    yield found
    found.close()


# --- Tests ----------------------------------------------------------------------------------------------------------


def test_every_expectation_is_of_a_distribution() -> None:
    assert set((FAMILIES / "expected").iterdir()) == set(GOLDENS.values())


@pytest.mark.parametrize("distribution", BY_DISTRIBUTION)
def test_asks_for_exactly_what_is_expected(distribution: str, roots: Roots, update_golden: bool) -> None:
    """A platform that its policy has only got needs no expectation yet: the stand-ins refuse what is not there."""
    golden, recordings = GOLDENS[distribution], {}
    if update_golden:
        make_available(distribution)
    for image in [image for image in IMAGES if image.policy.distribution == distribution]:
        run = roots.run(roots.new(image), image)
        assert run.status == 0, run.output
        recordings[image.name] = run.recording
    if update_golden:
        golden.write_text(condensed(recordings), encoding="utf-8")
    expected = golden.read_text(encoding="utf-8")
    known = {name for names in re.findall(r"(?m)^== (.+)", expected) for name in names.split()}
    assert condensed({name: text for name, text in recordings.items() if name in known}) == expected


@pytest.mark.parametrize("image", REPEATED, ids=lambda image: image.name)
def test_can_be_repeated(image: Image, roots: Roots) -> None:
    root = roots.new(image)
    for _ in range(2):
        run = roots.run(root, image)
        assert run.status == 0, run.output
    _, _, changes = run.recording.partition("changes\n")
    assert changes == ""


# Perl with all of its modules, for OpenSSL's configuration: autoconf brings it, but not in the RHEL family.
PERL = {"centos-7": "perl-core", "almalinux-8": "perl"}


@pytest.mark.parametrize("image", [i for i in CATALOGUE.images(variants=True) if i.variant], ids=lambda i: i.name)
def test_openssl_can_be_compiled_for_a_variant(image: Image, roots: Roots) -> None:
    root = roots.new(image)
    run = roots.run(root, image, (*STEPS[:5], "prepare-component.sh openssl"))
    assert run.status == 0, run.output
    installed = (root / "stand-in/installed").read_text(encoding="utf-8").splitlines()
    assert PERL.get(image.policy.distribution, "autoconf") in installed
    assert "openssl-devel" not in installed or image.policy.distribution != "centos-7"


def test_what_is_in_place_brings_no_packages(roots: Roots) -> None:
    image = CATALOGUE.image("manylinux2014_x86_64")
    root = roots.new(image)
    (root / "opt/_internal/openssl-3.5").mkdir(parents=True)
    run = roots.run(root, image, (*STEPS[:5], "prepare-component.sh"))
    assert run.status == 0, run.output
    installed = (root / "stand-in/installed").read_text(encoding="utf-8").splitlines()
    assert {"perl-core", "openssl-devel"}.isdisjoint(installed)


# --- The stand-ins themselves: what they refuse ---------------------------------------------------------------------


def refusal(roots: Roots, name: str, *steps: str, **env: str) -> str:
    """What the first failing step of an image prints."""
    image = CATALOGUE.image(name)
    root = roots.new(image)
    run = roots.run(root, image, steps, env)
    assert run.status != 0
    return run.output


def test_a_package_of_another_release_is_refused(roots: Roots) -> None:
    said = refusal(roots, "manylinux_2_36_x86_64", *STEPS, PACKAGE_SETS="debian debian-13")
    assert "apt-get: there is no package libreadline8t64" in said


@pytest.mark.parametrize(
    ("image", "steps", "message"),
    [
        ("manylinux_2_28_x86_64", STEPS[1:2], "dnf: yasm is in the repository powertools, which is not enabled"),
        ("manylinux_2_34_aarch64", STEPS[4:], "dnf: gdbm-devel is in the repository crb, which is not enabled"),
        ("manylinux2014_aarch64", STEPS[1:], "yum: [base] asks http://mirrorlist.centos.org/"),
        ("manylinux2014_s390x", STEPS[1:], "yum: [os] asks http://mirrors.sinenomine.net/"),
        ("manylinux2014_x86_64", ("/usr/local/sbin/fixup-mirrors", STEPS[1]), "devtoolset-10-binutils is in the repo"),
        ("musllinux_1_2_x86_64", STEPS[2:], "chsh: comes with the package shadow, which is not installed"),
        ("manylinux_2_36_x86_64", STEPS[2:], "localedef: comes with the package locales, which is not installed"),
    ],
)
def test_a_missing_step_is_refused(roots: Roots, image: str, steps: tuple[str, ...], message: str) -> None:
    assert message in refusal(roots, image, *steps)


@pytest.mark.parametrize("image", BY_DISTRIBUTION.values(), ids=lambda image: image.policy.distribution)
@pytest.mark.parametrize("step", ["update-system.sh", "install-packages.sh build"])
def test_an_index_that_cannot_be_fetched_ends_the_build(image: Image, step: str, roots: Roots) -> None:
    """apt 2.0, of Ubuntu 20.04, ends with 0 whatever it is told; all later ones have to be told."""
    root = roots.new(image)
    if step != STEPS[0]:
        assert roots.run(root, image, STEPS[:4]).status == 0
    (root / "stand-in/missing-index").touch()
    if image.policy.distribution != "ubuntu-20.04":
        (root / "stand-in/new-apt").touch()
    run = roots.run(root, image, (step,))
    assert run.status != 0
    assert not list(root.glob("stand-in/refused")), run.output


# --- Wrong input ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("image", "step", "env", "message"),
    [
        ("musllinux_1_2_x86_64", STEPS[0], {"FAMILY": "gentoo"}, "error: unknown family 'gentoo'"),
        ("manylinux_2_28_x86_64", STEPS[0], {"DISTRIBUTION": "fedora-43"}, "error: unknown distribution 'fedora-43'"),
        ("manylinux_2_28_x86_64", STEPS[2], {"TOOLSET": "llvm-toolset"}, "error: unknown toolset 'llvm-toolset'"),
        ("manylinux_2_36_x86_64", STEPS[1], {"PACKAGE_SETS": "debian sarge"}, "error: no package set 'sarge'"),
        ("manylinux_2_36_x86_64", "install-packages.sh fonts", {}, "has a layer 'fonts'"),
        ("manylinux_2_36_x86_64", "install-packages.sh", {}, "error: usage: install-packages.sh LAYER..."),
        ("manylinux2014_x86_64", STEPS[0], {"PLATFORM": "sparc"}, "error: CentOS 7 has no archive for 'sparc'"),
    ],
)
def test_unknown_input_breaks_loudly(roots: Roots, image: str, step: str, env: dict[str, str], message: str) -> None:
    before = STEPS[:2] if step == STEPS[2] else ()
    assert message in refusal(roots, image, *before, step, **env)


# --- Site settings --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("image", "option"),
    [
        ("manylinux_2_36_x86_64", "-o Acquire::https::CAInfo=/run/secrets/ca -o APT::Sandbox::User=root"),
        ("manylinux_2_28_x86_64", "--setopt=*.skip_if_unavailable=False --setopt=sslcacert=/run/secrets/ca install"),
        ("manylinux2014_i686", "CURL_CA_BUNDLE=/run/secrets/ca curl"),
        ("manylinux2014_i686", "--setopt=*.skip_if_unavailable=False --setopt=sslcacert=/run/secrets/ca update"),
        ("musllinux_1_2_x86_64", "CURL_CA_BUNDLE=/run/secrets/ca apk add"),
    ],
)
def test_secrets_are_used_and_stay_out(roots: Roots, image: str, option: str) -> None:
    found = CATALOGUE.image(image)
    root = roots.new(found)
    for secret in ("apt", "ca"):
        (root / "run/secrets" / secret).write_text(f"deb https://user:{secret}-secret@example.org/ stable main\n")
    run = roots.run(root, found)
    assert run.status == 0, run.output
    calls = " ".join(run.recording.partition("changes\n")[0].split())
    assert option in calls
    sources = "-o Dir::Etc::sourcelist=/run/secrets/apt -o Dir::Etc::sourceparts=-"
    assert (sources in calls) == (found.policy.family == "debian")
    for path in root.rglob("*"):
        if path.is_file() and not path.is_relative_to(root / "run/secrets"):
            assert b"-secret" not in path.read_bytes(), path


# --- Single steps ---------------------------------------------------------------------------------------------------


def test_libcrypt_of_glibc_goes_only_when_ours_is_there(roots: Roots) -> None:
    image = CATALOGUE.image("manylinux2014_x86_64")
    root = roots.new(image)
    step = ("prepare-component.sh libxcrypt",)
    roots.run(root, image, step)
    assert (root / "usr/lib64/libcrypt-2.17.so").exists()
    (root / "usr/local/lib").mkdir()
    (root / "usr/local/lib/libcrypt.so.1").write_text("ours")
    run = roots.run(root, image, step)
    assert "/usr/lib64/libcrypt-2.17.so is gone" in run.recording
    assert "/usr/lib64/libcrypt.so.1 is gone" in run.recording
    assert (root / "usr/local/lib/libcrypt.so.1").exists()


MIRRORED = {
    "manylinux_2_36_x86_64": ("/etc/apt/sources.list", "deb https://mirror.example.org/all/debian stable main"),
    "musllinux_1_2_x86_64": ("/etc/apk/repositories", "https://mirror.example.org/all/alpine/v3.22/main"),
    "manylinux_2_28_x86_64": (
        "/etc/yum.repos.d/almalinux.repo",
        "baseurl=https://mirror.example.org/all/almalinux/$releasever/BaseOS/$basearch/os/",
    ),
    "manylinux2014_aarch64": (
        "/etc/yum.repos.d/CentOS-Base.repo",
        "baseurl=https://mirror.example.org/all/altarch/$releasever/os/$basearch/",
    ),
    "manylinux2014_s390x": ("/etc/yum.repos.d/ClefOS-Base.repo", "baseurl=https://mirror.example.org/all/clefos/7/os"),
}


@pytest.mark.parametrize("name", MIRRORED)
def test_a_mirror_of_ones_own_takes_the_place_of_every_host(roots: Roots, name: str) -> None:
    image = CATALOGUE.image(name)
    root = roots.new(image)
    env = {"MANYLINUX_MIRROR": "https://mirror.example.org/all/"}
    for _ in range(2):
        run = roots.run(root, image, ("/stand-in/fixup-mirrors",), env)
        assert run.status == 0, run.output
    file, line = MIRRORED[name]
    lines = (root / file.lstrip("/")).read_text(encoding="utf-8").splitlines()
    assert line in lines
    urls = [found for text in lines if not text.startswith("#") for found in re.findall(r"https?://\S+", text)]
    assert urls and all(url.startswith("https://mirror.example.org/all/") for url in urls)
    assert not any(text.startswith(("mirrorlist", "metalink")) for text in lines)


@pytest.mark.parametrize(
    ("arguments", "mirror", "status", "message"),
    [
        ("--help", "", 0, "MANYLINUX_MIRROR"),
        ("--fast", "", 2, "usage: fixup-mirrors"),
        ("", "ftp://example.org", 1, "error: MANYLINUX_MIRROR='ftp://example.org' is no http(s) URL"),
        ("", "https://example.org/a;b", 1, "has a character that no URL of a mirror has"),
    ],
)
def test_fixup_mirrors_explains_itself(roots: Roots, arguments: str, mirror: str, status: int, message: str) -> None:
    image = CATALOGUE.image("musllinux_1_2_x86_64")
    step = f"/stand-in/fixup-mirrors {arguments}"
    run = roots.run(roots.new(image), image, (step,), {"MANYLINUX_MIRROR": mirror})
    assert (run.status, message in run.output) == (status, True), run.output


def test_a_distribution_that_is_still_alive_keeps_its_mirrors(roots: Roots) -> None:
    for distribution, image in BY_DISTRIBUTION.items():
        if distribution == "centos-7":
            continue
        run = roots.run(roots.new(image), image, ("/stand-in/fixup-mirrors",))
        assert run.status == 0, run.output
        assert run.recording == "/stand-in/fixup-mirrors\nchanges\n"
