"""Published images with all that belongs to them: verified, manipulated, rolled back, and read by other programs.

On docker-registry, which knows no referrers, and on a registry that does."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from tests.support import clients, registries, small_registry

from catalogue import bases, images
from catalogue.model import Group, Image
from network import bundles, oci, referrers
from network.oci import Manifest
from network.referrers import Artifact
from network.registry import Registry
from publish import attachments, command, provenance, push, steps, verify
from publish.attachments import UNSIGNED, Signer
from publish.destination import Destination
from publish.fitness import BASE_DIGEST_LABEL, COMPLETE_LABEL, REVISION_LABEL, TITLE_LABEL

pytestmark = pytest.mark.program("docker-registry")

COMMIT, BASE = "c0ffee" * 6 + "c0ff", "sha256:" + "0" * 64
OLDER, TAG = "2026.11.14-2", "2026.11.21-1"
GROUP = images.load().group("manylinux_2_39")  # two platforms
FIRST = GROUP.members[0]
PINS = {"zstd": {"version": "1.5.7", "url": "https://example.org/zstd-1.5.7.tar.gz", "sha256": "1" * 64}}


@dataclass(frozen=True)
class Shelf:
    """A registry with a published policy. `spoil` changes what is stored as a blob of a repository."""

    place: Destination
    spoil: Callable[[str, str, bytes], None]
    directory: Path

    @property
    def signer(self) -> Signer:
        return Signer.of(self.directory / "key")

    def repository(self, name: str = FIRST.name) -> str:
        return self.place.repository(name)

    def manifest(self, name: str = FIRST.name, tag: str = TAG) -> Manifest:
        return self.place.registry.manifest(self.repository(name), tag)

    def reference(self, name: str = FIRST.name, tag: str = TAG) -> str:
        return f"{self.place.registry.host}/{self.repository(name)}:{tag}"


def documents(image: Image, tag: str) -> dict[str, bytes]:
    """What an image would have in /opt/_internal."""
    build = {"commit": COMMIT, "base": {"digest": BASE}, "pins": PINS}
    description = {"schema": 2, "image": {"name": image.name}, "build": build}
    sbom = {"spdxVersion": "SPDX-2.3", "name": f"{image.name}:{tag}"}
    return {referrers.DESCRIPTION: json.dumps(description).encode(), referrers.SBOM: json.dumps(sbom).encode()}


def pushed(where: Destination, image: Image, tag: str, signer: Signer, files: dict[str, bytes]) -> Manifest:
    """A candidate with everything that a push leaves."""
    labels = {COMPLETE_LABEL: "true", REVISION_LABEL: COMMIT, BASE_DIGEST_LABEL: BASE, TITLE_LABEL: image.name}
    registry, repository = where.registry, where.repository(image.name)
    content = f"{image.name} {tag}".encode()
    stored = registries.store_image(registry.host, repository, push.candidate(tag), labels, content, image.platform.oci)
    made = provenance.of_image(image, stored, registry.configuration(repository, stored), files, COMMIT, {})
    attachments.attach(registry, repository, stored, files, made, signer)
    return stored


@pytest.fixture(autouse=True)
def pinned_bases(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "bases.toml"
    path.write_text("".join(sorted({f'"{i.policy.base}" = "{BASE}"\n' for i in GROUP.members})), encoding="utf-8")
    monkeypatch.setattr(bases, "BASES_TOML", path)


@pytest.fixture(params=["tag", "list"])
def empty(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Shelf]:
    key = ec.generate_private_key(ec.SECP256R1())
    (tmp_path / "key").write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    public = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    (tmp_path / "key.pub").write_bytes(public)
    if request.param == "list":
        with small_registry.running() as state:
            yield Shelf(Destination(Registry(state.host), "pypa"), state.spoil, tmp_path)
    else:
        with registries.running(tmp_path) as host:
            yield Shelf(Destination(Registry(host), "pypa"), registries.spoiler(tmp_path), tmp_path)


def publish(shelf: Shelf, tag: str = TAG, signer: Signer | None = None) -> None:
    signer = shelf.signer if signer is None else signer
    for image in GROUP.members:
        pushed(shelf.place, image, tag, signer, documents(image, tag))
    steps.carry_out(steps.steps(shelf.place, GROUP, tag, COMMIT, signer=signer), execute=True)


@pytest.fixture
def shelf(empty: Shelf) -> Shelf:
    publish(empty)
    return empty


@pytest.fixture
def says(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Callable[..., tuple[int, str]]:
    """Exit status and output of `python3 scripts verify`."""

    def run(shelf: Shelf, reference: str, *options: str, key: bool = True) -> tuple[int, str]:
        words = ["--key", str(shelf.directory / "key.pub")] if key else []
        monkeypatch.setattr("sys.argv", ["verify", *words, *options, reference])
        capsys.readouterr()
        return verify.main(), capsys.readouterr().out

    return run


Says = Callable[..., tuple[int, str]]


def test_an_index_and_everything_in_it(shelf: Shelf, says: Says) -> None:
    status, said = says(shelf, shelf.reference(GROUP.name), "--commit", COMMIT[:9])
    assert status == 0, said
    index, first, second = (shelf.manifest(name) for name in (GROUP.name, *(i.name for i in GROUP.members)))
    assert said.splitlines() == [
        f"{GROUP.name} {index.digest}",
        f"  index: {TAG}, with linux/arm64, linux/riscv64",
        "  signature: by the key",
        "  provenance: attached",
        f"  provenance: commit {COMMIT}, built by https://github.com/pypa/manylinux/blob/main/docs/verify.md#another-machine",
        *(
            line
            for image, manifest in zip(GROUP.members, (first, second), strict=True)
            for line in (
                f"  {image.name} {manifest.digest}",
                f"    labels: {image.name}, for {image.platform.oci}, built from {COMMIT}",
                "    layers: 1, 0.0 MB, all as the manifest says",
                "    description: attached",
                "    SBOM: attached",
                "    signature: by the key",
                "    provenance: attached",
                f"    provenance: commit {COMMIT}, built by https://github.com/pypa/manylinux/blob/main/docs/verify.md#another-machine",
                "    description: the provenance names it",
                "    SBOM: the provenance names it",
            )
        ),
        f"{shelf.reference(GROUP.name)}: genuine and complete",
    ]
    assert says(shelf, f"{shelf.place}/{GROUP.name}@{index.digest}")[0] == 0
    assert says(shelf, f"{shelf.place}/{FIRST.name}")[0] == 0  # latest
    assert says(shelf, f"{shelf.place}/{FIRST.name}:{TAG}@{first.digest}", "--no-layers")[0] == 0


def test_what_the_provenance_names(shelf: Shelf) -> None:
    (found,) = provenance.attached(shelf.place.registry, shelf.repository(), shelf.manifest().digest)
    assert found.dependencies == {
        "git+https://github.com/pypa/manylinux": f"gitCommit:{COMMIT}",
        f"docker://{FIRST.policy.base}": BASE,
        PINS["zstd"]["url"]: f"sha256:{PINS['zstd']['sha256']}",
    }


@pytest.mark.parametrize(
    ("options", "key", "reason"),
    [
        (["--commit", "1234567"], True, f"REFUSED provenance: it was built from {COMMIT}, not from 1234567"),
        ([], False, "REFUSED signature: sha256:"),  # not by the workflow
    ],
)
def test_what_is_not_what_was_asked_for(shelf: Shelf, says: Says, options: list[str], key: bool, reason: str) -> None:
    status, said = says(shelf, shelf.reference(), *options, key=key)
    assert status == 1
    assert reason in said and "NOT genuine: 1 refused" in said


def test_a_tag_that_has_moved(shelf: Shelf, says: Says) -> None:
    other = shelf.manifest(GROUP.members[1].name)
    reference = f"{shelf.reference()}@{shelf.manifest().digest}"
    assert says(shelf, reference)[0] == 0
    publish(shelf, OLDER)
    shelf.place.registry.put_manifest(shelf.repository(), TAG, shelf.manifest(tag=OLDER))
    status, said = says(shelf, reference)
    assert (status, f"REFUSED tag {TAG}: it is at " in said) == (1, True)
    status, said = says(shelf, shelf.reference(GROUP.name))
    assert (status, f"REFUSED index: the index of {GROUP.name} has linux/arm64" in said) == (1, True)
    assert other.digest in said


def test_an_index_from_before_the_table_got_another_platform(empty: Shelf, says: Says) -> None:
    older = Group(GROUP.name, GROUP.members[:1])
    pushed(empty.place, FIRST, TAG, empty.signer, documents(FIRST, TAG))
    steps.carry_out(steps.steps(empty.place, older, TAG, COMMIT, signer=empty.signer), execute=True)
    status, said = says(empty, empty.reference(GROUP.name))
    assert (status, f"index: {TAG}, with linux/arm64; the table also has linux/riscv64" in said) == (0, True)


def test_an_index_that_is_not_what_it_says(shelf: Shelf, says: Says) -> None:
    """`latest` at an index that nobody has published under its dated tag."""
    genuine = shelf.manifest(GROUP.name)
    other = Manifest(genuine.content.replace(COMMIT.encode(), b"d" * 40), genuine.media_type)
    shelf.place.registry.put_manifest(shelf.repository(GROUP.name), "latest", other)
    status, said = says(shelf, shelf.reference(GROUP.name, "latest"))
    assert (status, f"REFUSED index: it says that it is {TAG}, which is {genuine.digest}" in said) == (1, True)
    assert "REFUSED signature: there is none by the key" in said


# --- Manipulations --------------------------------------------------------------------------------------------


def blob_of(shelf: Shelf, what: str, at: str) -> str:
    """The digest of a blob that belongs to the first image."""
    manifest = shelf.manifest()
    if what in ("layers", "labels"):
        return manifest.layers[0].digest if what == "layers" else manifest.configuration
    kind = {name: kind for kind, name in attachments.NAMES.items()}.get(what, bundles.BUNDLE_TYPE)
    (found,) = referrers.referrers(shelf.place.registry, at, manifest.digest, kind)
    return found.manifest.layers[0].digest


@pytest.mark.parametrize("what", ["layers", "labels", "description", "SBOM", "provenance", "signature"])
def test_a_manipulated_blob_is_refused_by_name(shelf: Shelf, says: Says, what: str) -> None:
    """In the registry's own storage: its digest no longer fits."""
    for name in (FIRST.name, GROUP.name):
        assert says(shelf, shelf.reference(name))[0] == 0
    at = shelf.repository()
    digest = blob_of(shelf, what, at)
    content = shelf.place.registry.blob(at, digest)
    spoiled = content.replace(b"1", b"2").replace(b"manylinux_2", b"manylinux_3").replace(b"sig", b"gis")
    shelf.spoil(at, digest, spoiled)
    status, said = says(shelf, shelf.reference())
    assert status == 1
    assert f"REFUSED {what}: " in said and f"blobs/{digest} arrived damaged" in said
    assert {line.split(":")[0].strip() for line in said.splitlines() if "REFUSED" in line} <= {
        f"REFUSED {what}",
        *(["REFUSED signature", "REFUSED provenance"] if what == "labels" else []),
    }


def stand_in(shelf: Shelf, labels: dict[str, str], content: bytes) -> Manifest:
    """Another image under the tag, with everything that was attached to the genuine one."""
    genuine, registry, repository = shelf.manifest(), shelf.place.registry, shelf.repository()
    true = registry.configuration(repository, genuine).labels
    stored = registries.store_image(registry.host, repository, TAG, {**true, **labels}, content, FIRST.platform.oci)
    for each in referrers.referrers(registry, repository, genuine.digest):
        title = each.manifest.answer["layers"].rows()[0]["annotations"][referrers.TITLE].text()
        artifact = Artifact(each.kind, title, each.content(), each.manifest.annotations)
        referrers.attach(registry, repository, stored, [artifact])
    return stored


@pytest.mark.parametrize(
    ("labels", "content", "also"),
    [
        ({}, b"another layer", ""),
        ({TITLE_LABEL: "manylinux_2_39_riscv64"}, b"", "REFUSED labels: it says that it is manylinux_2_39_riscv64"),
        ({REVISION_LABEL: "d" * 40}, b"", f"REFUSED provenance: it was built from {COMMIT}, the image says {'d' * 40}"),
        ({BASE_DIGEST_LABEL: "sha256:" + "d" * 64}, b"", "REFUSED provenance: it names another base than the label"),
        ({"org.example.new": "x"}, b"", ""),
    ],
    ids=["layer", "title", "revision", "base", "label"],
)
def test_another_image_with_the_attachments_of_a_genuine_one(
    shelf: Shelf, says: Says, labels: dict[str, str], content: bytes, also: str
) -> None:
    stand_in(shelf, labels, content or f"{FIRST.name} {TAG}".encode())
    status, said = says(shelf, shelf.reference())
    assert status == 1
    assert "REFUSED provenance: it is about another image" in said and also in said


def test_a_description_of_another_image(empty: Shelf, says: Says) -> None:
    """Somebody has built on an image of ours, and signs what came out."""
    files = documents(GROUP.members[1], TAG)
    pushed(empty.place, FIRST, TAG, empty.signer, files)
    status, said = says(empty, empty.reference(tag=push.candidate(TAG)))
    assert status == 1
    wrong = f"it says {GROUP.members[1].name}, the label {TITLE_LABEL} says {FIRST.name}"
    assert f"REFUSED description: {wrong}\n" in said


def test_another_sbom(shelf: Shelf, says: Says) -> None:
    """Beside the genuine one, and in its place."""
    registry, repository, subject = shelf.place.registry, shelf.repository(), shelf.manifest()
    (genuine,) = referrers.referrers(registry, repository, subject.digest, referrers.SBOM)
    referrers.attach(registry, repository, subject, [Artifact(referrers.SBOM, "sbom.spdx.json", b'{"packages": []}')])
    status, said = says(shelf, shelf.reference())
    assert (status, "REFUSED SBOM: " in said and "2 different documents" in said) == (1, True)
    registry.delete(repository, genuine.manifest.digest)
    status, said = says(shelf, shelf.reference())
    assert (status, "REFUSED SBOM: it is not the one that belongs to the image" in said) == (1, True)
    (other,) = referrers.referrers(registry, repository, subject.digest, referrers.SBOM)
    registry.delete(repository, other.manifest.digest)
    status, said = says(shelf, shelf.reference())
    assert (status, "REFUSED SBOM: it is gone" in said) == (1, True)


def test_another_signature(shelf: Shelf, says: Says) -> None:
    """That of a stranger, over provenance of the stranger's own."""
    registry, repository, subject = shelf.place.registry, shelf.repository(), shelf.manifest()
    (genuine,) = attachments.bundles_of(registry, repository, subject.digest)
    (plain,) = provenance.attached(registry, repository, subject.digest)
    forged = plain.content.replace(COMMIT.encode(), b"d" * 40)
    bundle = bundles.sign_with_key(forged, ec.generate_private_key(ec.SECP256R1()))
    referrers.attach(registry, repository, subject, [Artifact(bundles.BUNDLE_TYPE, "x", bundle)])
    assert says(shelf, shelf.reference())[0] == 0  # the genuine one is still there
    registry.delete(repository, genuine.manifest.digest)
    status, said = says(shelf, shelf.reference())
    assert (status, "REFUSED signature: sha256:" in said and "not by this key" in said) == (1, True)
    referrers.attach(registry, repository, subject, [Artifact(bundles.STATEMENT_TYPE, "x", forged)])
    status, said = says(shelf, shelf.reference(), "--unsigned")
    assert status == 1


def test_provenance_that_was_not_signed(shelf: Shelf, says: Says) -> None:
    registry, repository, subject = shelf.place.registry, shelf.repository(), shelf.manifest()
    (plain,) = provenance.attached(registry, repository, subject.digest)
    forged = plain.content.replace(b"zstd-1.5.7", b"zstd-1.5.8")
    referrers.attach(registry, repository, subject, [Artifact(bundles.STATEMENT_TYPE, "provenance.json", forged)])
    status, said = says(shelf, shelf.reference())
    assert (status, "REFUSED provenance: one that is attached is not the signed one" in said) == (1, True)


def test_an_image_without_signature(empty: Shelf, says: Says) -> None:
    publish(empty, signer=UNSIGNED)
    status, said = says(empty, empty.reference())
    assert (status, "REFUSED signature: there is none by the key" in said) == (1, True)
    status, said = says(empty, empty.reference(GROUP.name), "--unsigned", key=False)
    assert (status, said.count("signature: none, which --unsigned allows")) == (0, 3)


def test_an_image_from_before_there_were_attachments(empty: Shelf, says: Says) -> None:
    labels = {REVISION_LABEL: COMMIT, TITLE_LABEL: FIRST.name}
    host, repository = empty.place.registry.host, empty.repository()
    registries.store_image(host, repository, TAG, labels, b"old", FIRST.platform.oci)
    status, said = says(empty, empty.reference())
    assert status == 1
    assert "REFUSED signature: there is none" in said and "REFUSED provenance: none is attached" in said
    assert "SBOM: none is attached" in said


# --- Going on -------------------------------------------------------------------------------------------------


def test_a_rollback_and_a_second_run_keep_everything(shelf: Shelf, says: Says) -> None:
    before = {tag: shelf.place.registry.digest(shelf.repository(), tag) for tag in (TAG, "latest")}
    tags = shelf.place.registry.tags(shelf.repository())
    for image in GROUP.members:
        pushed(shelf.place, image, TAG, shelf.signer, documents(image, TAG))
    assert steps.steps(shelf.place, GROUP, TAG, COMMIT, signer=shelf.signer) == []
    assert shelf.place.registry.tags(shelf.repository()) == tags
    assert before == {tag: shelf.place.registry.digest(shelf.repository(), tag) for tag in before}
    publish(shelf, "2026.11.28-1")
    steps.carry_out(steps.rollback_steps(shelf.place, GROUP, TAG), execute=True)
    for name in (GROUP.name, FIRST.name):
        assert says(shelf, shelf.reference(name, "latest"))[0] == 0
        assert says(shelf, shelf.reference(name, "2026.11.28-1"))[0] == 0


def test_a_second_home_gets_it_while_the_first_is_down(
    empty: Shelf, says: Says, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """One command for both; the same command again completes the other."""
    down = registries.FailingProxy(empty.place.registry.host)
    homes = (Destination(Registry(down.host), "first"), Destination(empty.place.registry, "second"))
    for home in homes:
        for image in GROUP.members:
            pushed(home, image, TAG, empty.signer, documents(image, TAG))
    monkeypatch.setattr(command, "revision", lambda: COMMIT)
    words = ["manifest", *(word for home in homes for word in ("--registry", str(home))), GROUP.name, TAG]
    monkeypatch.setattr("sys.argv", [*words, "--sign-key", str(empty.directory / "key"), "--execute"])
    down.arm(1, took_effect=False)
    assert command.manifest() == 1
    assert f"error: {homes[0]}: {down.host} answers 500" in capsys.readouterr().err
    assert homes[0].registry.digest(homes[0].repository(GROUP.name), TAG) is None
    assert says(empty, f"{homes[1]}/{GROUP.name}:{TAG}")[0] == 0
    monkeypatch.setattr("sys.argv", [*words, "--sign-key", str(empty.directory / "key"), "--execute"])
    assert command.manifest() == 0
    assert says(empty, f"{homes[0]}/{GROUP.name}:{TAG}")[0] == 0
    down.close()


# --- Other programs -------------------------------------------------------------------------------------------


@pytest.fixture
def cosign(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Options by which any cosign verifies with a key alone, without the public service."""
    if not shutil.which("cosign"):
        pytest.skip("there is no cosign on PATH")
    monkeypatch.setenv("HOME", str(tmp_path))
    return clients.cosign_options(tmp_path / "key.pub", tmp_path)


def test_cosign_agrees(shelf: Shelf, cosign: list[str]) -> None:
    for name in (FIRST.name, GROUP.name):
        clients.output("cosign", "verify-attestation", *cosign, f"{shelf.place}/{name}@{shelf.manifest(name).digest}")
    genuine = f"{shelf.place}/{FIRST.name}@{shelf.manifest().digest}"
    if "--new-bundle-format" not in cosign:  # cosign 2 reads tags of its own only
        tree = clients.output("cosign", "tree", genuine)
        assert [
            kind for kind in (referrers.SBOM, referrers.DESCRIPTION, bundles.STATEMENT_TYPE) if kind not in tree
        ] == [], tree
    wrong = stand_in(shelf, {"org.example.new": "x"}, b"x")
    words = ["cosign", "verify-attestation", *cosign, f"{shelf.place}/{FIRST.name}@{wrong.digest}"]
    assert subprocess.run(words, capture_output=True).returncode != 0


def test_what_cosign_attests_is_read(
    shelf: Shelf, cosign: list[str], says: Says, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if "--new-bundle-format" in cosign:
        pytest.skip("cosign 2 needs the public service to attest")
    registry, repository, subject = shelf.place.registry, shelf.repository(), shelf.manifest()
    (plain,) = provenance.attached(registry, repository, subject.digest)
    (tmp_path / "predicate").write_text(json.dumps(json.loads(plain.content)["predicate"]), encoding="utf-8")
    nobody = '{"mediaType": "application/vnd.dev.sigstore.signingconfig.v0.2+json"}'
    (tmp_path / "nobody").write_text(nobody, encoding="utf-8")
    monkeypatch.setenv("COSIGN_PASSWORD", "")
    clients.output(
        "cosign", "import-key-pair", "--key", str(tmp_path / "key"), "--output-key-prefix", str(tmp_path / "its")
    )
    words = ["--key", str(tmp_path / "its.key"), "--signing-config", str(tmp_path / "nobody"), "--yes"]
    words += ["--type", "slsaprovenance1", "--predicate", str(tmp_path / "predicate")]
    clients.output("cosign", "attest", *words, f"{shelf.place}/{FIRST.name}@{subject.digest}")
    contents = [each.content() for each in attachments.bundles_of(registry, repository, subject.digest)]
    statements = [bundles.statement_by_key(content, bundles.public_key(tmp_path / "key.pub")) for content in contents]
    assert len(statements) == 2 and plain.content in statements
    subjects = {provenance.Provenance.parse(each, "x").subjects for each in statements}
    assert subjects == {(subject.digest,)}
    assert says(shelf, shelf.reference())[0] == 0


def test_oras_agrees(shelf: Shelf, tmp_path: Path) -> None:
    if not shutil.which("oras"):
        pytest.skip("there is no oras on PATH")
    reference = f"{shelf.place}/{FIRST.name}:{TAG}"
    kinds = clients.oras_referrers(reference)
    assert set(kinds) == {referrers.DESCRIPTION, referrers.SBOM, bundles.STATEMENT_TYPE, bundles.BUNDLE_TYPE}
    at = f"{shelf.place}/{FIRST.name}@{kinds[referrers.SBOM]}"
    clients.output("oras", "pull", "--plain-http", "--output", str(tmp_path / "pulled"), at)
    assert (tmp_path / "pulled/sbom.spdx.json").read_bytes() == documents(FIRST, TAG)[referrers.SBOM]


@pytest.mark.program("skopeo")
def test_skopeo_agrees(shelf: Shelf) -> None:
    for name in (GROUP.name, FIRST.name):
        raw = clients.skopeo_manifest(shelf.reference(name))
        assert oci.digest_of(raw) == shelf.manifest(name).digest
    manifest = shelf.manifest()
    for each in referrers.referrers(shelf.place.registry, shelf.repository(), manifest.digest):
        raw = clients.skopeo_manifest(f"{shelf.place}/{FIRST.name}@{each.manifest.digest}")
        assert raw == each.manifest.content
