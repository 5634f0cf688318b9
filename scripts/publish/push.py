"""From a tested image of this machine's engine to its candidate tag in a registry, by Id and never by name."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass

from catalogue import tags
from catalogue.model import Image
from engine.engine import Engine
from network import logins
from network.oci import Configuration, Manifest
from network.registry import Registry, is_loopback
from portable import errors
from publish.destination import Destination
from publish.fitness import differences, unfit
from smoke import record


def candidate(tag: str) -> str:
    """The tag under which an image waits until all platforms of its policy are there."""
    return tags.CANDIDATE + tag


def only_image(registry: Registry, repository: str, manifest: Manifest) -> Manifest:
    """The image itself where an engine has pushed an index of one image and BuildKit's attestations about it."""
    if not manifest.is_index:
        return manifest
    entries = [entry for entry in manifest.entries if entry.platform != "unknown/unknown"]
    if len(entries) != 1:
        raise errors.Failure(
            f"{registry.host}/{repository}@{manifest.digest} holds {len(entries)} images instead of one"
        )
    return registry.manifest(repository, entries[0].digest)


@dataclass(frozen=True)
class Tested:
    """An image that may be published: its Id, which no tag can move, and what it says of itself."""

    identity: str
    configuration: Configuration


def tested(engine: Engine, image: Image, local: str, commit: str) -> Tested:
    """What the name `local` stands for, asked once. Raises UserError where there is no such image, Failure when it
    must not be published (see `unfit`) or was not tested on this machine."""
    identity = engine.identity(local)
    said = engine.ask(engine.inspect(identity, "{{json .}}")) or ""
    found = Tested(identity, Configuration.of_engine(said, f"{engine.name}'s {local}"))
    reasons = unfit(image, found.configuration, commit)
    if not record.has_passed(engine, identity):
        reasons.append(f"this machine has not seen it pass its smoke tests: invoke test -i {image.name}")
    if reasons:
        raise errors.Failure(f"{local} cannot be published: " + "; ".join(reasons))
    return found


def push(engine: Engine, place: Destination, image: Image, found: Tested, tag: str) -> str:
    """Pushes a tested image to its candidate tag and returns its digest; where it is published by now, that one's.

    Raises Failure when something else has arrived: engines push what a name stands for at that moment."""
    registry, repository = place.registry, place.repository(image.name)
    if published := registry.digest(repository, tag):
        return published
    target = f"{registry.host}/{repository}:{candidate(tag)}"
    if engine.is_podman:
        engine.call(engine.command("push", *without_tls(engine, registry.host), found.identity, f"docker://{target}"))
    else:
        engine.call(engine.tag(found.identity, target))
        try:
            engine.call(engine.command("push", target))
        finally:
            engine.call(engine.untag(target))
    arrived = only_image(registry, repository, registry.manifest(repository, candidate(tag)))
    configuration = registry.configuration(repository, arrived)
    reasons = differences(image, configuration)
    if configuration != found.configuration:
        reasons.append(f"it is not the image that was tested, {found.identity}: has somebody else pushed there?")
    if reasons:
        raise errors.Failure(f"{target} is wrong: {'; '.join(reasons)}; push again")
    return arrived.digest


def log_in(engine: Engine, registry: Registry) -> None:
    """Logs the engine in with the registry's login; the password goes through a pipe, never on a command line.

    A stored identity token is the engine's own already."""
    if registry.credentials is None or registry.credentials[0] == logins.IDENTITY_TOKEN:
        return
    user, password = registry.credentials
    options = [*without_tls(engine, registry.host), "--username", user, "--password-stdin"]
    argv = engine.command("login", *options, registry.host)
    done = subprocess.run(argv, env=engine.environment(), input=password, capture_output=True, text=True, check=False)
    if done.returncode:
        raise errors.Failure(f"{engine.name} cannot log in to {registry.host} as {user}: {done.stderr.strip()}")


def without_tls(engine: Engine, host: str) -> list[str]:
    """The option for a registry on loopback, which docker finds out alone."""
    return ["--tls-verify=false"] if engine.is_podman and is_loopback(host) else []
