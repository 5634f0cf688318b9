"""The documents of container registries: references, manifests, indexes and configurations, read with checks.

Follows the OCI Image Specification 1.1 and Docker's schema 2, whose documents are the same under other names.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from network.answers import Answer
from portable import errors

INDEX_TYPES = ("application/vnd.oci.image.index.v1+json", "application/vnd.docker.distribution.manifest.list.v2+json")
MANIFEST_TYPES = ("application/vnd.oci.image.manifest.v1+json", "application/vnd.docker.distribution.manifest.v2+json")
EMPTY_TYPE = "application/vnd.oci.empty.v1+json"  # of a configuration that says nothing
DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
DOCKER_HUB = "docker.io"
# Variants that are the default of their architecture (containerd's package `platforms` drops the same ones).
_IMPLIED = {("amd64", "v1"), ("arm", "v7"), ("arm64", "v8")}


def digest_of(content: bytes) -> str:
    """`sha256:<hex>`."""
    return "sha256:" + hashlib.sha256(content).hexdigest()


def platform_name(system: str, architecture: str, variant: str = "") -> str:
    """`os/architecture[/variant]`, without a default variant: linux/arm64/v8 is linux/arm64."""
    implied = not variant or (architecture, variant) in _IMPLIED
    return "/".join([system, architecture] if implied else [system, architecture, variant])


@dataclass(frozen=True)
class Reference:
    """A parsed image reference; `tag` or `digest` may be empty."""

    host: str
    repository: str
    tag: str
    digest: str

    @classmethod
    def parse(cls, text: str) -> Reference:
        """Reads `[host/]repository[:tag][@digest]`; without a host, that is Docker Hub. Raises UserError."""
        name, _, digest = text.partition("@")
        head, slash, rest = name.partition("/")
        is_host = bool(slash) and (head == "localhost" or "." in head or ":" in head)
        host, path = (head, rest) if is_host else (DOCKER_HUB, name)
        path, _, tag = path.partition(":")
        if host == DOCKER_HUB and "/" not in path:
            path = f"library/{path}"
        if not path:
            raise errors.UserError(f"{text!r} is not an image reference")
        return cls(host, path, tag, digest)


@dataclass(frozen=True)
class IndexEntry:
    """A row of an index: one of its manifests. `platform`: "" where the row has none."""

    digest: str
    platform: str


@dataclass(frozen=True)
class Layer:
    """A layer as a manifest names it; `size` in bytes."""

    digest: str
    size: int


@dataclass(frozen=True)
class Manifest:
    """A manifest or an index, byte for byte as the registry stores it; `where` is for messages."""

    content: bytes
    media_type: str
    where: str = field(default="the manifest", compare=False)

    @property
    def digest(self) -> str:
        """`sha256:<hex>` of the content."""
        return digest_of(self.content)

    @property
    def answer(self) -> Answer:
        """The parsed JSON. Raises Failure if the document is of another type than it was sent as."""
        if self.media_type not in (*INDEX_TYPES, *MANIFEST_TYPES):
            raise errors.Failure(f"{self.where}: this is neither an image manifest nor an index of them")
        answer = Answer.parse(self.content, self.where)
        if answer["schemaVersion"].number() != 2:
            raise errors.Failure(f"{self.where}: this is not of schema version 2")
        if answer["mediaType"].text(default=self.media_type) != self.media_type:
            raise errors.Failure(f"{self.where}: it was sent as another type than it says it is")
        return answer

    @property
    def is_index(self) -> bool:
        """Whether this is an index, which lists manifests."""
        return self.media_type in INDEX_TYPES

    @property
    def configuration(self) -> str:
        """The digest of an image's configuration."""
        return self.answer["config"]["digest"].text(DIGEST)

    @property
    def blobs(self) -> tuple[str, ...]:
        """The digests of the configuration and the layers of an image manifest."""
        return (self.configuration, *(layer["digest"].text(DIGEST) for layer in self.answer["layers"].rows()))

    @property
    def layers(self) -> tuple[Layer, ...]:
        """The layers of an image manifest, or the documents of an artifact."""
        return tuple(Layer(row["digest"].text(DIGEST), row["size"].number()) for row in self.answer["layers"].rows())

    @property
    def subject(self) -> str:
        """The digest of the manifest that this one refers to; "" where it refers to none."""
        subject = self.answer["subject"]
        return "" if subject.value is None else subject["digest"].text(DIGEST)

    @property
    def kind(self) -> str:
        """The type of an artifact: `artifactType`, else the type of its configuration; "" where neither is there."""
        configured = "" if self.answer["config"].value is None else self.answer["config"]["mediaType"].text(default="")
        return self.answer["artifactType"].text(default="") or configured

    @property
    def entries(self) -> tuple[IndexEntry, ...]:
        """The rows of an index."""
        found = []
        for row in self.answer["manifests"].rows():
            platform = row["platform"]
            name = "" if platform.value is None else _platform(platform, ("os", "architecture", "variant"))
            found.append(IndexEntry(row["digest"].text(DIGEST), name))
        return tuple(found)

    @property
    def annotations(self) -> Mapping[str, str]:
        """The annotations, which say more about the content."""
        return self.answer["annotations"].texts()


@dataclass(frozen=True)
class Configuration:
    """The configuration of an image; two are equal when the same would run.

    `layers`: the digests of the unpacked layers; `starts`: environment, entry point and command. The platform is not
    compared: an engine may not know the variant."""

    platform: str = field(compare=False)
    labels: Mapping[str, str]
    layers: tuple[str, ...]
    starts: tuple[tuple[str, ...], ...]

    @classmethod
    def parse(cls, content: bytes, where: str) -> Configuration:
        """Reads the blob that a manifest refers to."""
        answer = Answer.parse(content, where)
        platform = _platform(answer, ("os", "architecture", "variant"))
        return cls._of(platform, answer["config"], answer["rootfs"]["diff_ids"])

    @classmethod
    def of_engine(cls, said: str, where: str) -> Configuration:
        """Reads the output of `image inspect --format '{{json .}}'`: an object, from podman a list with one object."""
        answer = Answer.parse(said, where)
        if isinstance(answer.value, list) and len(answer.value) == 1:
            (answer,) = answer.rows()
        platform = _platform(answer, ("Os", "Architecture", "Variant"))
        return cls._of(platform, answer["Config"], answer["RootFS"]["Layers"])

    @classmethod
    def _of(cls, platform: str, config: Answer, layers: Answer) -> Configuration:
        present = Answer(config.value or {}, config.where)
        return cls(
            platform,
            present["Labels"].texts(),
            tuple(layer.text() for layer in layers.rows(optional=True)),
            tuple(
                tuple(each.text() for each in present[key].rows(optional=True)) for key in ("Env", "Entrypoint", "Cmd")
            ),
        )


def _platform(answer: Answer, keys: tuple[str, str, str]) -> str:
    system, architecture, variant = keys
    return platform_name(answer[system].text(), answer[architecture].text(), answer[variant].text(default=""))
