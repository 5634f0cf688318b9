"""The commands of README against a real registry that asks for a login, with images of a real engine."""

from __future__ import annotations

import dataclasses
import io
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import git
import pytest
from tests.support import registries

from catalogue import bases, checkout, images, paths
from catalogue.model import Image
from engine import choose
from engine.commands import ImageBuild
from engine.engine import Engine
from network.oci import Manifest
from network.registry import Registry
from portable import errors
from publish import destination, fitness, push
from publish.destination import Destination
from smoke import record

pytestmark = [
    pytest.mark.engine,
    pytest.mark.program("docker-registry", "openssl"),
]
USER, PASSWORD = "bot", "a secret word"
HTPASSWD = f"{USER}:$2b$04$LR2ooQ0ZzQRDqiJF3pfP1e0SG7ykZp0gF5XACA4/dqDDsdQZp0FEu"
NEW_KEY = ["openssl", "genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-out"]
BASE = "sha256:" + "0" * 64
MEMBERS = images.load().group("manylinux_2_39").members


@dataclass(frozen=True)
class Fork:
    """A copy of the repository with an overlay, whose images are tiny."""

    root: Path
    place: str
    engine: Engine
    environment: dict[str, str]

    def run(self, task: str, *words: str, password: str = PASSWORD) -> subprocess.CompletedProcess[str]:
        """`invoke task word...`, with the password on standard input."""
        return subprocess.run(
            [sys.executable, "-m", "invoke", task, *words],
            cwd=self.root,
            env={**os.environ, **self.environment},
            input=password + "\n",
            capture_output=True,
            text=True,
            check=False,
        )

    def commit(self, message: str) -> str:
        """Commits everything; returns the tag that this commit is published as."""
        repository = git.Repo(self.root)
        repository.git.add("--all")
        repository.git.commit("--allow-empty", "-m", message)
        return checkout.version_tag(self.root)

    def make(
        self,
        image: Image,
        revision: str = "",
        complete: bool = True,
        content: str = "",
        documents: Mapping[str, str] = {},
    ) -> str:
        """A local image with the labels of a good build, and files in /opt/_internal; returns its reference."""
        labels = {
            fitness.COMPLETE_LABEL: str(complete).lower(),
            fitness.REVISION_LABEL: revision or git.Repo(self.root).head.commit.hexsha,
            fitness.BASE_DIGEST_LABEL: BASE,
            fitness.TITLE_LABEL: image.name,
        }
        context = self.root.parent / "context"
        context.mkdir(exist_ok=True)
        (context / "name").write_text(content or image.name, encoding="utf-8")
        shutil.rmtree(context / "internal", ignore_errors=True)
        (context / "internal").mkdir()
        for name, text in documents.items():
            (context / "internal" / name).write_text(text, encoding="utf-8")
        dockerfile = "FROM scratch\nCOPY name /\nCOPY internal /opt/_internal\n"
        (context / "Dockerfile").write_text(dockerfile, encoding="utf-8")
        reference = f"{self.place}/{image.name}:latest"
        build = ImageBuild(context, context / "Dockerfile", reference, platform=image.platform.oci, labels=labels)
        subprocess.run(self.engine.build(build), env=self.engine.environment(), check=True, stderr=subprocess.DEVNULL)
        return reference


@pytest.fixture
def fork(tmp_path: Path) -> Iterator[Fork]:
    engine = choose.engine()
    root = tmp_path / "fork"
    for name in checkout.call("ls-files", "-z", "--cached", "--others", "--exclude-standard", at=paths.ROOT).split(
        "\0"
    ):
        if name and (paths.ROOT / name).is_file():
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(paths.ROOT / name, root / name)
    with registries.running(tmp_path, HTPASSWD) as host:
        overlay = f'registry = "{host}/acme"\nimages = ["manylinux_2_39_*"]\n'
        (root / "docker" / "images.local.toml").write_text(overlay, encoding="utf-8")
        pins = {f'"{image.policy.base}" = "{BASE}"\n' for image in MEMBERS}
        (root / "docker" / "bases.toml").write_text("".join(sorted(pins)), encoding="utf-8")
        with git.Repo.init(root, initial_branch="main").config_writer() as configuration:
            configuration.set_value("user", "name", "Somebody")
            configuration.set_value("user", "email", "somebody@example.org")
        (tmp_path / "docker").mkdir()
        credentials = [tmp_path / "auth.json", tmp_path / "docker" / "config.json"]
        for path in credentials:
            path.write_text("{}", encoding="utf-8")  # podman wants a file that is named to exist
        environment = {
            "MANYLINUX_IMAGES_OVERLAY": str(root / "docker" / "images.local.toml"),
            "MANYLINUX_BUILD_FRONTEND": engine.name,
            "REGISTRY_AUTH_FILE": str(credentials[0]),
            "DOCKER_CONFIG": str(credentials[1].parent),
        }
        made = Fork(root, f"{host}/acme", engine, environment)
        yield made
        for image in MEMBERS:
            reference = f"{made.place}/{image.name}:latest"
            record.note_pass(engine, reference, False)
            engine.ask(engine.remove(reference))


def digests(fork: Fork, tag: str) -> dict[str, str | None]:
    host, namespace = fork.place.split("/")
    registry = Registry(host, (USER, PASSWORD))
    names = [*(image.name for image in MEMBERS), MEMBERS[0].policy.name]
    return {name: registry.digest(f"{namespace}/{name}", tag) for name in names}


def described(fork: Fork, image: Image, commit: str = "") -> str:
    """The description of an image, as far as publishing reads it."""
    build = {"commit": commit or git.Repo(fork.root).head.commit.hexsha, "base": {"digest": BASE}, "pins": {}}
    return json.dumps({"schema": 2, "image": {"name": image.name}, "build": build})


def test_from_a_build_to_a_published_policy_and_back(fork: Fork) -> None:
    older = fork.commit("first")
    first, second = MEMBERS
    login = ("--login", USER, "--execute")
    for image in MEMBERS:
        reference = fork.make(image)
        done = fork.run("push", "-i", image.name, *login)
        assert done.returncode == 1
        assert f"invoke test -i {image.name}" in done.stderr  # nobody has tested it
        record.note_pass(fork.engine, reference, True)

    done = fork.run("push", "-i", first.name, "--login", USER)
    assert done.returncode == 0, done.stderr
    assert f"would push {fork.place}/{first.name}:candidate-{older}" in done.stderr
    assert set(digests(fork, f"candidate-{older}").values()) == {None}
    done = fork.run("push", "-i", first.name, *login, password="another")
    assert done.returncode == 1
    assert "another" not in done.stderr
    handed = fork.root.parent / "handed"  # as the jobs of the workflow do
    handed.mkdir()
    done = fork.run("push", "-i", first.name, *login)
    assert done.returncode == 0, done.stderr
    for kind, path in (("description", "manifest.json"), ("SBOM", "sbom.spdx.json")):
        assert f"published without that document: it has no {kind} (/opt/_internal/{path})" in done.stderr
    assert done.stdout == f"{fork.place}/{first.name}@{digests(fork, f'candidate-{older}')[first.name]}\n"
    (handed / first.name).write_text(done.stdout, encoding="utf-8")
    done = fork.run("manifest", "manylinux_2_39", "--candidates", str(handed), *login)
    assert done.returncode == 1
    assert f"{fork.place}/{second.name}:{older} cannot be published: --candidates has no digest" in done.stderr
    done = fork.run("manifest", "manylinux_2_39", *login)
    assert done.returncode == 1
    assert f"{second.name}: there is no candidate-{older} yet" in done.stderr
    done = fork.run("push", "-i", second.name, *login)
    assert done.returncode == 0, done.stderr
    (handed / second.name).write_text(done.stdout, encoding="utf-8")

    results = fork.root.parent / "canaries"
    (results / second.name).mkdir(parents=True)
    failed = {"name": "msgpack", "fate": "failed", "reason": "needs more than before: GLIBCXX_3.4.32"}
    subject = digests(fork, f"candidate-{older}")[second.name]
    for held, reason in (
        ("", f"{second.name}: --canaries has no results of it: `invoke canary -i {second.name}`"),
        (
            json.dumps({"subject": subject, "canaries": [failed]}),
            "the canary msgpack failed: needs more than before: GLIB",
        ),
    ):
        if held:
            (results / second.name / "canaries.json").write_text(held, encoding="utf-8")
        done = fork.run("manifest", "manylinux_2_39", "--canaries", str(results), *login)
        assert (done.returncode, reason in done.stderr) == (1, True), done.stderr
        assert set(digests(fork, "latest").values()) == set(digests(fork, older).values()) == {None}
    handing = ("manifest", "manylinux_2_39", "--canaries", str(results), "--login", USER)
    assert fork.run(*handing, "--accept-canary", "msgpack").returncode == 0

    done = fork.run("manifest", "manylinux_2_39", "--login", USER)
    assert done.returncode == 0, done.stderr
    assert f"would index {fork.place}/manylinux_2_39:{older}" in done.stderr
    assert set(digests(fork, older).values()) == {None}
    done = fork.run("manifest", "manylinux_2_39", "--candidates", str(handed), *login)
    assert done.returncode == 0, done.stderr
    assert done.stdout == f"manylinux_2_39:{older} is whole, and latest follows it\n"
    assert None not in digests(fork, older).values()
    for again in (("manifest", "manylinux_2_39"), ("push", "-i", first.name)):
        done = fork.run(*again, *login)
        assert done.returncode == 0, done.stderr
        assert "nothing to do" in done.stderr
    assert done.stdout == (handed / first.name).read_text(encoding="utf-8")  # a job that is run again hands it over

    newer, key = fork.commit("second"), fork.root.parent / "key"
    subprocess.run([*NEW_KEY, str(key)], check=True, stderr=subprocess.DEVNULL)
    subprocess.run(["openssl", "pkey", "-in", str(key), "-pubout", "-out", f"{key}.pub"], check=True)
    signing = ("--sign-key", str(key), *login)
    for image in MEMBERS:
        documents = {"manifest.json": described(fork, image), "sbom.spdx.json": "{}"}
        record.note_pass(fork.engine, fork.make(image, documents=documents), True)
        done = fork.run("push", "-i", image.name, *signing)
        assert done.returncode == 0, done.stderr
        assert "note: " not in done.stderr
    assert fork.run("manifest", "manylinux_2_39", *signing).returncode == 0
    words = ("verify", f"{fork.place}/manylinux_2_39:{newer}", "--key", f"{key}.pub", "--login", USER)
    done = fork.run(*words, "--commit", git.Repo(fork.root).head.commit.hexsha)
    assert done.returncode == 0, done.stdout
    assert done.stdout.count("SBOM: the provenance names it") == 2
    done = fork.run("verify", f"manylinux_2_39:{older}", "--key", f"{key}.pub", "--login", USER)
    assert (done.returncode, "signature: there is none by the key" in done.stdout) == (1, True)
    assert digests(fork, "latest") == digests(fork, newer) != digests(fork, older)
    assert fork.run("manifest", "manylinux_2_39", "--tag", older, "--verify", "--login", USER).returncode == 0

    assert fork.run("rollback", older, "--login", USER).returncode == 0
    assert digests(fork, "latest") == digests(fork, newer)
    done = fork.run("rollback", older, *login)
    assert done.returncode == 0, done.stderr
    assert digests(fork, "latest") == digests(fork, older)
    done = fork.run("manifest", "manylinux_2_39", "--verify", "--login", USER)
    assert done.returncode == 1
    assert done.stdout.count("latest of ") == 3


def test_what_must_not_be_pushed(fork: Fork) -> None:
    fork.commit("first")
    image = MEMBERS[0]
    for reason, revision, complete in (
        ("it is a partial image", "", False),
        ("it was built from deadbeef", "deadbeef", True),
    ):
        record.note_pass(fork.engine, fork.make(image, revision, complete), True)
        done = fork.run("push", "-i", image.name, "--login", USER, "--execute")
        assert done.returncode == 1
        assert reason in done.stderr
    reference = fork.make(image, documents={"manifest.json": described(fork, image, "deadbeef")})
    record.note_pass(fork.engine, reference, True)
    done = fork.run("push", "-i", image.name, "--login", USER, "--execute")
    assert done.returncode == 1
    assert "its description is of another image: it says deadbeef, the label" in done.stderr
    reference = fork.make(MEMBERS[1])
    record.note_pass(fork.engine, reference, True)
    done = fork.run("push", "-i", image.name, "--local", reference, "--login", USER, "--execute")
    assert done.returncode == 1
    assert f"it says that it is {MEMBERS[1].name}, not {image.name}; it is for linux/riscv64, not for" in done.stderr
    (fork.root / "new").touch()
    record.note_pass(fork.engine, fork.make(image), True)
    done = fork.run("push", "-i", image.name, "--login", USER, "--execute")
    assert done.returncode == 1
    assert "uncommitted changes" in done.stderr


@pytest.fixture
def here(fork: Fork, monkeypatch: pytest.MonkeyPatch) -> Destination:
    """The fork's registry for calls within this process; the engine is logged in."""
    for name, value in fork.environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(bases, "BASES_TOML", fork.root / "docker" / "bases.toml")
    found = Destination.parse(fork.place, (USER, PASSWORD))
    push.log_in(fork.engine, found.registry)
    return found


def test_what_was_looked_at_is_pushed_wherever_its_name_points_by_then(fork: Fork, here: Destination) -> None:
    tag, image = fork.commit("first"), MEMBERS[0]
    reference = fork.make(image)
    record.note_pass(fork.engine, reference, True)
    found = push.tested(fork.engine, image, reference, checkout.commit(fork.root))
    fork.engine.call(fork.engine.tag(found.identity, f"{reference}-first"))  # podman removes what has no name
    fork.make(image, content="built by somebody else meanwhile")
    with pytest.raises(errors.Failure, match="has not passed its smoke tests"):
        push.tested(fork.engine, image, reference, checkout.commit(fork.root))
    digest = push.push(fork.engine, here, image, found, tag)
    repository = here.repository(image.name)
    arrived = here.registry.manifest(repository, push.candidate(tag))
    assert (arrived.digest, here.registry.configuration(repository, arrived)) == (digest, found.configuration)
    record.note_pass(fork.engine, found.identity, False)
    fork.engine.call(fork.engine.remove(f"{reference}-first"))


@dataclass(frozen=True)
class Overtaken(Engine):
    """An engine beside another one that pushes to the same tag a moment later."""

    theirs: Manifest | None = None
    place: Destination | None = None
    repository: str = ""
    target: str = ""

    def call(self, argv: Sequence[str]) -> None:
        super().call(argv)
        if "push" in argv and self.place and self.theirs:
            self.place.registry.put_manifest(self.repository, self.target, self.theirs)


def test_what_arrived_is_what_was_pushed(fork: Fork, here: Destination) -> None:
    tag, image = fork.commit("first"), MEMBERS[0]
    record.note_pass(fork.engine, fork.make(image, content="theirs"), True)
    commit, repository = checkout.commit(fork.root), here.repository(image.name)
    reference = f"{fork.place}/{image.name}:latest"
    theirs = push.tested(fork.engine, image, reference, commit)
    push.push(fork.engine, here, image, theirs, tag)
    record.note_pass(fork.engine, theirs.identity, False)
    manifest = here.registry.manifest(repository, push.candidate(tag))
    record.note_pass(fork.engine, fork.make(image), True)
    ours = push.tested(fork.engine, image, reference, commit)
    engine = Overtaken(
        fork.engine.name,
        fork.engine.executable,
        fork.engine.settings,
        theirs=manifest,
        place=here,
        repository=repository,
        target=push.candidate(tag),
    )
    with pytest.raises(errors.Failure, match=f"it is not the tested image {ours.identity}"):
        push.push(engine, here, image, ours, tag)


def compressions(fork: Fork, tag: str, image: Image) -> set[str]:
    """How the layers of a candidate are compressed."""
    host, namespace = fork.place.split("/")
    manifest = Registry(host, (USER, PASSWORD)).manifest(f"{namespace}/{image.name}", push.candidate(tag))
    return {row["mediaType"].text().rpartition(".")[2].removeprefix("tar+") for row in manifest.answer["layers"].rows()}


@pytest.mark.program("skopeo")
@pytest.mark.usefixtures("here")
def test_another_compression_on_demand(fork: Fork) -> None:
    tag = fork.commit("first")
    image = MEMBERS[0]
    record.note_pass(fork.engine, fork.make(image), True)
    for wanted in ("zstd", "gzip", "zstd"):  # the registry has the layers in another compression from the second on
        words = ["--compression", wanted] if wanted == "zstd" else []
        done = fork.run("push", "-i", image.name, "--login", USER, "--execute", *words)
        assert done.returncode == 0, done.stderr
        assert compressions(fork, tag, image) == {wanted}
    if fork.engine.is_podman:  # it takes over what it knows of this registry, whatever it is asked for
        reference = fork.make(image, content="pushed by hand before")
        record.note_pass(fork.engine, reference, True)
        by_hand = ["push", "--tls-verify=false", "--format=oci", "--compression-format=zstd"]
        fork.engine.call(fork.engine.command(*by_hand, reference, f"docker://{fork.place}/other:by-hand"))
        done = fork.run("push", "-i", image.name, "--login", USER, "--execute")
        assert done.returncode == 1
        assert " are not gzip: the engine took over those of an earlier push" in done.stderr


def test_another_compression_needs_skopeo(fork: Fork, here: Destination, monkeypatch: pytest.MonkeyPatch) -> None:
    tag, image = fork.commit("first"), MEMBERS[0]
    reference = fork.make(image)
    record.note_pass(fork.engine, reference, True)
    found = push.tested(fork.engine, image, reference, checkout.commit(fork.root))
    monkeypatch.setenv("PATH", "")
    with pytest.raises(errors.UserError, match="--compression zstd needs skopeo"):
        push.push(fork.engine, here, image, found, tag, compression="zstd")


def test_the_engine_that_is_named_pushes(fork: Fork) -> None:
    fork.commit("first")
    other = dataclasses.replace(fork, environment={**fork.environment, "MANYLINUX_BUILD_FRONTEND": "buildah"})
    done = other.run("push", "-i", MEMBERS[0].name, "--login", USER)
    assert done.returncode == 2
    assert "MANYLINUX_BUILD_FRONTEND=buildah: it must be one of" in done.stderr


def test_one_password_is_for_one_registry(fork: Fork) -> None:
    fork.commit("first")
    done = fork.run("push", "-i", MEMBERS[0].name, "-r", "example.org/a", "-r", "example.net/a", "--login", USER)
    assert done.returncode == 2
    assert "--login is for one registry" in done.stderr


def test_a_login_needs_a_password(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO())
    with pytest.raises(errors.UserError, match="standard input"):
        destination.read_login(USER)
