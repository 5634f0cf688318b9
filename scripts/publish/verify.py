"""Says whether a published image is genuine: `invoke verify REFERENCE`.

What is checked, in this order: the tag, the index and its platforms; of each image its labels, its layers and what is
attached to it; the signature of its provenance; and what that provenance says. Only what is signed is believed,
and whatever is attached beside it must agree. docs/verify.md explains each line.
"""

from __future__ import annotations

import argparse
import contextlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from catalogue import images, tags
from catalogue.model import Catalogue, Group, Image
from host import inputs
from network import bundles, oci, referrers
from network.answers import Answer, printable
from network.oci import Manifest, Reference
from network.registry import Registry, only_image
from portable import errors
from portable.progress import Progress
from publish.attachments import IN_IMAGE, NAMES, bundles_of, contradictions
from publish.destination import Destination, read_login
from publish.fitness import BASE_DIGEST_LABEL, REVISION_LABEL, differences, platform_of
from publish.provenance import COMMIT, Provenance, attached
from publish.steps import VERSION_LABEL, problems_of

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey

WORKFLOW = ".github/workflows/build.yml@refs/heads/main"  # of the repository that the images come from


@dataclass(frozen=True)
class Trust:
    """Whose signature counts: a key's, else that of a workflow; with `needed` false also none."""

    identity: str
    key: EllipticCurvePublicKey | None = None
    needed: bool = True

    def __str__(self) -> str:
        return "the key" if self.key else self.identity

    def statement(self, bundle: bytes) -> bytes:
        """What a bundle signs. Raises BadSignature unless it is signed by whom we trust."""
        if self.key:
            return bundles.statement_by_key(bundle, self.key)
        return bundles.sigstore_statement(bundle, self.identity, bundles.GITHUB)


@dataclass
class Account:
    """What was found, line by line, while it is found out."""

    refused: int = 0
    indent: str = ""

    def good(self, what: str) -> None:
        """Something that was checked and is right."""
        print(f"{self.indent}{what}")

    def check(self, about: str, wrong: Iterable[str], good: str) -> bool:
        """Says what is wrong with something, else that it is good. Returns whether it is."""
        problems = list(wrong)
        for problem in problems:
            print(f"{self.indent}REFUSED {about}: {problem}")
        if not problems:
            self.good(f"{about}: {good}")
        self.refused += len(problems)
        return not problems


@dataclass
class Verification:
    """One run. `commit`: what everything must be built from, "" for any; `layers`: whether to read them."""

    catalogue: Catalogue
    place: Destination
    trust: Trust
    commit: str = ""
    layers: bool = True
    report: Account = field(default_factory=Account)

    @property
    def registry(self) -> Registry:
        """Where the images are."""
        return self.place.registry

    def image(self, image: Image, repository: str, manifest: Manifest) -> None:
        """Everything about the image of one platform, in a repository that has it."""
        self.report.good(f"{image.name} {manifest.digest}")
        self.report.indent += "  "
        wrong: list[str] = []
        labels: Mapping[str, str] = {}
        with _collecting(wrong):
            configuration = self.registry.configuration(repository, manifest)
            labels = configuration.labels
            wrong += differences(image, configuration)
        commit = printable(labels.get(REVISION_LABEL) or "an unknown commit")
        self.report.check("labels", wrong, f"{image.name}, for {platform_of(image)}, built from {commit}")
        self._layers(repository, manifest)
        documents = self._documents(repository, manifest, labels)
        for found in self._trusted(repository, manifest):
            wrong = list(self._about(found, manifest, image.name, labels.get(REVISION_LABEL, "")))
            base = {digest for uri, digest in found.dependencies.items() if uri.startswith("docker://")}
            if base != {digest for digest in [labels.get(BASE_DIGEST_LABEL)] if digest}:
                wrong.append("it names another base than the label")
            self._say(found, wrong)
            self._compare(documents, found)
        self.report.indent = self.report.indent[2:]

    def index(self, group: Group, repository: str, index: Manifest) -> None:
        """An index and the image of every platform in it."""
        self.report.good(f"{group.name} {index.digest}")
        self.report.indent += "  "
        platforms = {platform_of(image): image for image in group.members}
        unknown = [entry.platform for entry in index.entries if entry.platform not in platforms]
        wrong = [f"{group.name} has no image for {printable(platform)}" for platform in unknown]
        version, commit = index.annotations.get(VERSION_LABEL, ""), index.annotations.get(REVISION_LABEL, "")
        listed = {entry.platform: printable(entry.platform) for entry in index.entries}
        published = self.registry.digest(repository, version) if tags.dated(version) else None
        if published == index.digest:  # a platform that the table has got since is no fault of an older index
            then = Group(group.name, tuple(image for image in group.members if platform_of(image) in listed))
            wrong += [each for each in problems_of(self.place, then, version) if not each.startswith("latest")]
        elif published:
            wrong.append(f"it says that it is {version}, which is {published}")
        lacking = [name for name in platforms if name not in listed]
        without = f"; the table also has {', '.join(lacking)}" if lacking else ""
        self.report.check("index", wrong, f"{printable(version)}, with {', '.join(listed.values())}{without}")
        for found in self._trusted(repository, index):
            wrong = list(self._about(found, index, group.name, commit))
            made_of = {digest for digest in found.dependencies.values() if digest.startswith("sha256:")}
            if made_of != {entry.digest for entry in index.entries}:
                wrong.append("it names other images than the index")
            self._say(found, wrong)
        for entry in index.entries:
            if image := platforms.get(entry.platform):
                gone = list[str]()
                with _collecting(gone):
                    self.image(image, repository, self.registry.manifest(repository, entry.digest))
                for each in gone:
                    self.report.check(image.name, [each], "")
        self.report.indent = self.report.indent[2:]

    def _layers(self, repository: str, manifest: Manifest) -> None:
        if not self.layers:
            return self.report.good(f"layers: {len(manifest.layers)}, not read")
        wrong: list[str] = []
        size = sum(layer.size for layer in manifest.layers)
        with Progress() as progress, progress.task(f"layers of {manifest.digest[:19]}", size) as task:
            for layer in manifest.layers:
                with _collecting(wrong):
                    self.registry.check_layer(repository, layer, task.advance)
        self.report.check("layers", wrong, f"{len(manifest.layers)}, {size / 1e6:.1f} MB, all as the manifest says")

    def _documents(self, repository: str, manifest: Manifest, labels: Mapping[str, str]) -> dict[str, str]:
        """Media type -> digest of the documents that are attached. `labels`: the image's, if they can be read."""
        found: dict[str, str] = {}
        for kind in IN_IMAGE:
            wrong: list[str] = []
            content = None
            with _collecting(wrong):
                content = referrers.document(self.registry, repository, manifest.digest, kind)
                if content is not None:
                    Answer.parse(content, f"the {NAMES[kind]}").members()
                    found[kind] = oci.digest_of(content)
                    wrong += contradictions(content, labels) if labels and kind == referrers.DESCRIPTION else []
            self.report.check(NAMES[kind], wrong, "attached" if content is not None else "none is attached")
        return found

    def _trusted(self, repository: str, manifest: Manifest) -> list[Provenance]:
        """The provenance that somebody whom we trust has signed; says what is wrong with all that is attached."""
        found, plain = list[Provenance](), list[Provenance]()
        wrong, unreadable = list[str](), list[str]()
        with _collecting(unreadable):
            plain = attached(self.registry, repository, manifest.digest)
        with _collecting(wrong):
            for each in bundles_of(self.registry, repository, manifest.digest):
                try:
                    with _collecting(wrong):
                        found.append(Provenance.parse(self.trust.statement(each.content()), each.manifest.where))
                except bundles.BadSignature as error:
                    wrong.append(f"{each.manifest.digest}: {error}")
        if found:  # others may sign as well: theirs is not our business
            self.report.good(f"signature: by {self.trust}")
        elif wrong or self.trust.needed:
            self.report.check("signature", wrong or [f"there is none by {self.trust}"], "")
        else:
            self.report.good("signature: none, which --unsigned allows")
            found = plain
        if {each.content for each in plain} - {each.content for each in found} and found:
            unreadable.append("one that is attached is not the signed one")
        if not plain and not unreadable:
            unreadable.append("none is attached")
        self.report.check("provenance", unreadable, "attached")
        return found

    def _about(self, found: Provenance, manifest: Manifest, name: str, commit: str) -> Iterable[str]:
        """How provenance contradicts what it is attached to."""
        if found.subjects != (manifest.digest,):
            yield "it is about another image"
        if found.image != name:
            yield f"it is about {printable(found.image)}"
        if found.commit != commit:
            yield f"it was built from {found.commit}, the image says {printable(commit or 'nothing')}"
        if not found.commit.startswith(self.commit):
            yield f"it was built from {found.commit}, not from {self.commit}"
        if not self.trust.key and self.trust.needed and found.builder != self.trust.identity:
            yield f"it was built by {printable(found.builder)}, not by {self.trust.identity}"

    def _say(self, found: Provenance, wrong: list[str]) -> None:
        by = found.invocation or found.builder
        self.report.check("provenance", wrong, f"commit {found.commit}, built by {printable(by)}")

    def _compare(self, documents: Mapping[str, str], found: Provenance) -> None:
        """Whether the attached documents are those of the provenance."""
        for kind, name in ((kind, NAMES[kind]) for kind in IN_IMAGE):
            wrong = list[str]()
            if kind in found.byproducts and documents.get(kind) != found.byproducts[kind]:
                wrong.append("it is not the one that belongs to the image" if kind in documents else "it is gone")
            if kind in documents and kind not in found.byproducts:
                wrong.append("the provenance does not know it")
            if wrong or kind in documents:
                self.report.check(name, wrong, "the provenance names it")


@contextlib.contextmanager
def _collecting(wrong: list[str]) -> Iterator[None]:
    """Takes the Failure of a block as something that is wrong, and goes on behind the block."""
    try:
        yield
    except errors.Failure as error:
        wrong.append(str(error))


def main() -> int:
    """Says whether a published image is genuine and complete: tag, index, platforms, attachments, signature, commit.

    Ends with 1 where something is refused."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument(
        "reference", help="an image or an index: [HOST/NAMESPACE/]NAME[:TAG][@DIGEST] (default: latest)"
    )
    parser.add_argument(
        "--key", type=Path, metavar="FILE", help="the public key of the signer (PEM; default: the workflow)"
    )
    parser.add_argument("--commit", default="", metavar="HEX", help="what it must be built from, at least 7 digits")
    parser.add_argument("--unsigned", action="store_true", help="do without a signature, if there is none")
    parser.add_argument("--no-layers", action="store_true", help="do not read the layers: who pulls them checks them")
    parser.add_argument("--login", metavar="USER", help="log in as this user; standard input has the password")
    options = parser.parse_args()
    if options.commit and not (len(options.commit) >= 7 and COMMIT.fullmatch(options.commit.ljust(40, "0"))):
        raise errors.UserError(f"--commit {options.commit!a}: give at least 7 hexadecimal digits of a commit")
    catalogue = images.load()
    text = inputs.reference("REFERENCE", options.reference)
    reference = Reference.parse(text if "/" in text else f"{catalogue.registry}/{text}")
    namespace, _, name = reference.repository.rpartition("/")
    place = Destination.parse(f"{reference.host}/{namespace}", read_login(options.login))
    key = bundles.public_key(options.key) if options.key else None
    trust = Trust(f"{catalogue.source}/{WORKFLOW}", key, not options.unsigned)
    run = Verification(catalogue, place, trust, options.commit, not options.no_layers)
    _verify(run, reference, name)
    print(
        f"{text}: " + (f"NOT genuine: {run.report.refused} refused" if run.report.refused else "genuine and complete")
    )
    return 1 if run.report.refused else 0


def _verify(run: Verification, reference: Reference, name: str) -> None:
    groups = {group.name: group for group in run.catalogue.groups()}
    image = None if name in groups else run.catalogue.image(name)
    manifest = run.registry.manifest(reference.repository, reference.digest or reference.tag or "latest")
    if reference.digest and reference.tag:
        found = run.registry.digest(reference.repository, reference.tag)
        wrong = [] if found == reference.digest else [f"it is at {found} now"]
        run.report.check(f"tag {reference.tag}", wrong, "it has this digest")
    if image:
        run.image(image, reference.repository, only_image(run.registry, reference.repository, manifest))
    elif manifest.is_index:
        if tags.dated(reference.tag) and (version := manifest.annotations.get(VERSION_LABEL)) != reference.tag:
            run.report.check(
                f"tag {reference.tag}", [f"the index says that it is {printable(version or 'nothing')}"], ""
            )
        run.index(groups[name], reference.repository, manifest)
    else:
        raise errors.Failure(f"{manifest.where}: this is one image, not the index of {name}")
