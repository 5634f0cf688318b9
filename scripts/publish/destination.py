"""Where images are published: a registry, a namespace in it, and the login for it."""

from __future__ import annotations

import sys
from dataclasses import dataclass

from host import inputs
from network.logins import Login
from network.registry import Registry
from portable import errors


@dataclass(frozen=True)
class Destination:
    """A registry and the namespace in it, `quay.io/pypa`."""

    registry: Registry
    namespace: str

    @classmethod
    def parse(cls, text: str, credentials: Login | None = None) -> Destination:
        """Reads `host/namespace`. Without credentials the stored logins of the container engines are used."""
        host, _, namespace = inputs.namespace("--registry", text).partition("/")
        return cls(Registry(host, credentials), namespace)

    def repository(self, name: str) -> str:
        """The repository of an image or of an index."""
        return f"{self.namespace}/{name}"

    def __str__(self) -> str:
        return f"{self.registry.host}/{self.namespace}"


def read_login(user: str | None) -> Login | None:
    """The login of a user whose password is the first line of standard input; None without a user.

    Raises UserError when standard input has no password."""
    if not user:
        return None
    if password := sys.stdin.readline().strip():
        return user, password
    raise errors.UserError("--login reads the password from standard input, which is empty: pipe it in")
