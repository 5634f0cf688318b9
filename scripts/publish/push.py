"""Pushes a tested image of this machine's engine to its candidate tag in a registry, by Id and never by name.

Description, SBOM and provenance are attached before the digest is handed on."""

from __future__ import annotations

import base64
import json
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass

from catalogue import tags
from catalogue.model import Image
from engine.engine import Engine, reason
from network import logins, referrers
from network.oci import Configuration, Manifest
from network.registry import Registry, only_image
from portable import errors, files, scratch
from portable.transport import is_loopback
from publish import attachments, provenance
from publish.attachments import UNSIGNED, Signer
from publish.destination import Destination
from publish.fitness import differences, unfit
from smoke import record

COMPRESSIONS = ("gzip", "zstd")  # of layers; the first is what engines do unasked


def candidate(tag: str) -> str:
    """The tag under which an image waits until all platforms of its policy are there."""
    return tags.CANDIDATE + tag


@dataclass(frozen=True)
class Tested:
    """An image that may be published: its Id, which no tag can move, and what it says of itself.

    `commit`: what it was built from; `documents`: media type -> content of the documents in it."""

    identity: str
    configuration: Configuration
    commit: str
    documents: Mapping[str, bytes]


def tested(engine: Engine, image: Image, local: str, commit: str) -> Tested:
    """The image that the name `local` stands for; the name is resolved once. Raises UserError where there is none.

    Raises Failure where it must not be published (see `unfit`) or was not tested on this machine."""
    identity = engine.identity(local)
    said = engine.ask(engine.inspect(identity, "{{json .}}")) or ""
    configuration = Configuration.of_engine(said, f"{engine.name}'s {local}")
    reasons = unfit(image, configuration, commit)
    if not record.has_passed(engine, identity):
        reasons.append(f"it has not passed its smoke tests on this machine: run `invoke test -i {image.name}`")
    if reasons:
        raise errors.Failure(f"{local} cannot be published: " + "; ".join(reasons))
    documents, notes = attachments.taken_from(engine, identity)
    described = documents.get(referrers.DESCRIPTION)
    if described and (wrong := attachments.contradictions(described, configuration.labels)):
        raise errors.Failure(
            f"{local} cannot be published, its description is of another image: {'; '.join(wrong)}; build it again"
        )
    for note in notes:
        print(f"note: {local} is published without that document: {note}; build it again to have it", file=sys.stderr)
    return Tested(identity, configuration, commit, documents)


def push(
    engine: Engine,
    place: Destination,
    image: Image,
    found: Tested,
    tag: str,
    signer: Signer = UNSIGNED,
    compression: str = COMPRESSIONS[0],
) -> str:
    """Pushes a tested image to its candidate tag, with everything that belongs to it.

    Returns its digest, or the published one if its tag exists by now.

    Raises Failure when another image has arrived: docker pushes whatever the name stands for at that moment. The same
    when a layer has another compression. Raises UserError where nothing here compresses so."""
    registry, repository = place.registry, place.repository(image.name)
    if published := registry.digest(repository, tag):
        return published
    target = f"{registry.host}/{repository}:{candidate(tag)}"
    if compression != COMPRESSIONS[0]:
        _push_compressed(engine, registry, found.identity, target, compression)
    elif engine.is_podman:
        engine.call(engine.command("push", *engine.without_tls(registry.host), found.identity, f"docker://{target}"))
    else:
        engine.call(engine.tag(found.identity, target))
        try:
            engine.call(engine.command("push", target))
        finally:
            engine.call(engine.untag(target))
    arrived = only_image(registry, repository, registry.manifest(repository, candidate(tag)))
    configuration = registry.configuration(repository, arrived)
    reasons = differences(image, configuration) + _compressed_otherwise(arrived, compression)
    if configuration != found.configuration:
        reasons.append(f"it is not the tested image {found.identity}; somebody else may have pushed there")
    if reasons:
        raise errors.Failure(f"{target} is wrong: {'; '.join(reasons)}; push again")
    made = provenance.of_image(image, arrived, configuration, found.documents, found.commit)
    attachments.attach(registry, repository, arrived, found.documents, made, signer)
    return arrived.digest


def _push_compressed(engine: Engine, registry: Registry, identity: str, target: str, compression: str) -> None:
    """Pushes an image with another compression than engines use, by skopeo.

    The layers are compressed on this machine first: where a registry has them in another compression, podman and skopeo
    would take those over instead. Raises UserError where there is no skopeo."""
    if not (skopeo := shutil.which("skopeo")):
        raise errors.UserError(f"--compression {compression} needs skopeo, which is not on the PATH: install it")
    kind = "oci-archive" if engine.is_podman else "docker-archive"
    with scratch.directory() as directory:
        archive, layout = directory / "image.tar", f"oci:{directory / 'layout'}:image"
        form = [f"--format={kind}"] if engine.is_podman else []
        engine.call(engine.command("save", *form, f"--output={archive}", identity))
        compress = ["--format=oci", f"--dest-compress-format={compression}"]
        _copy([skopeo, "copy", "--quiet", *compress, f"{kind}:{archive}", layout])
        archive.unlink()
        options = ["--preserve-digests", *(["--dest-tls-verify=false"] if is_loopback(registry.host) else [])]
        if registry.credentials:
            login = files.write_private(directory / "auth.json", _login_file(registry.host, *registry.credentials))
            options.append(f"--dest-authfile={login}")
        _copy([skopeo, "copy", "--quiet", *options, layout, f"docker://{target}"])


def _copy(argv: list[str]) -> None:
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    if done.returncode:
        raise errors.Failure(f"skopeo: {reason(done.stderr)}")


def _login_file(host: str, user: str, password: str) -> str:
    """A login as Docker and podman store it."""
    if user == logins.IDENTITY_TOKEN:
        return json.dumps({"auths": {host: {"identitytoken": password}}})
    return json.dumps({"auths": {host: {"auth": base64.b64encode(f"{user}:{password}".encode()).decode()}}})


def _compressed_otherwise(arrived: Manifest, compression: str) -> list[str]:
    """A reason to refuse a pushed image whose layers are compressed in another way; empty if all are as wanted."""
    kinds = [row["mediaType"].text().rpartition(".")[2] for row in arrived.answer["layers"].rows()]
    other = [kind for kind in kinds if kind.endswith(tuple({*COMPRESSIONS} - {compression}))]
    if not other:
        return []
    return [
        f"{len(other)} of {len(kinds)} layers are not {compression}: the engine took over those of an earlier push; "
        "let another machine push, or make podman forget them: remove blob-info-cache-v1.boltdb in its containers/cache"
    ]


def log_in(engine: Engine, registry: Registry) -> None:
    """Logs the engine in with the registry's login. The password goes through a pipe, never on a command line.

    A stored identity token needs no login: it comes from the engine's own configuration."""
    if registry.credentials is None or registry.credentials[0] == logins.IDENTITY_TOKEN:
        return
    user, password = registry.credentials
    options = [*engine.without_tls(registry.host), "--username", user, "--password-stdin"]
    argv = engine.command("login", *options, registry.host)
    done = subprocess.run(argv, env=engine.environment(), input=password, capture_output=True, text=True, check=False)
    if done.returncode:
        raise errors.Failure(f"{engine.name} cannot log in to {registry.host} as {user}: {done.stderr.strip()}")
