"""Where a registry is: ``oci://host/namespace`` and its two siblings (DESIGN decision 1)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

from indexer.errors import ConfigError

Scheme = Literal["oci", "oci+http", "ocidir"]

# OCI distribution spec 1.1, "Pulling manifests": <name>.
_COMPONENT = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
REPOSITORY = re.compile(rf"{_COMPONENT}(?:/{_COMPONENT})*")
TAG = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,127}")
_HOST = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?|\[[0-9A-Fa-f:.]+\]")

_HELP = "write oci://host/namespace, oci+http://host:port/namespace or ocidir://path"


def is_repository(name: str) -> bool:
    """Whether ``name`` is a repository name by the OCI distribution specification."""
    return len(name) <= 255 and REPOSITORY.fullmatch(name) is not None


def is_tag(tag: str) -> bool:
    """Whether ``tag`` is a tag by the OCI distribution specification."""
    return TAG.fullmatch(tag) is not None


@dataclass(frozen=True, slots=True)
class RegistryAddress:
    """A registry's namespace, over https (``oci``), plain http, or in a folder (``ocidir``).

    ``host`` holds the port where one was given; it is empty for ``ocidir``, whose
    ``folder`` is the root of the image layouts.
    """

    scheme: Scheme
    host: str
    namespace: str
    folder: Path | None = None

    @classmethod
    def parse(cls, text: str) -> RegistryAddress:
        """Read an address. Raises ConfigError for anything that isn't one."""
        if text.startswith("ocidir://"):
            folder = text.removeprefix("ocidir://")
            if not folder:
                raise ConfigError(f"The registry {text!r} names no folder: {_HELP}.")
            return cls("ocidir", "", "", Path(folder))
        if not text.isprintable():
            # Parsers of addresses pass over line breaks.
            raise ConfigError(f"The registry {text!r} is not an address: {_HELP}.")
        if "@" in text:
            raise ConfigError(
                "The registry's address holds a user or password; leave them out and use "
                "docker's config or ORAS_USER and ORAS_PASS."
            )
        try:
            parts = urlsplit(text)
            port = parts.port
        except ValueError as error:
            raise ConfigError(f"The registry {text!r} is not an address: {_HELP}.") from error
        if parts.scheme not in {"oci", "oci+http"}:
            raise ConfigError(f"The registry {text!r} is not an address: {_HELP}.")
        host = parts.netloc.removesuffix(f":{port}") if port is not None else parts.netloc
        namespace = parts.path.strip("/")
        if not _HOST.fullmatch(host) or parts.query or parts.fragment:
            raise ConfigError(f"The registry {text!r} is not an address: {_HELP}.")
        if namespace and not is_repository(namespace):
            raise ConfigError(
                f"The registry {text!r}: {namespace!r} can't be a namespace "
                "(lower-case letters, digits, and . _ - between them)."
            )
        scheme: Scheme = "oci" if parts.scheme == "oci" else "oci+http"
        return cls(scheme, host.lower() + (f":{port}" if port is not None else ""), namespace)

    def __str__(self) -> str:
        if self.scheme == "ocidir":
            return f"ocidir://{self.folder}"
        return f"{self.scheme}://{self.host}" + (f"/{self.namespace}" if self.namespace else "")

    @property
    def origin(self) -> str:
        """Scheme and host of the HTTP API, such as ``https://ghcr.io``."""
        return f"{'https' if self.scheme == 'oci' else 'http'}://{self.host}"

    def repository(self, *parts: str) -> str:
        """The full repository name of ``parts`` below the namespace."""
        return "/".join(part for part in (self.namespace, *parts) if part)

    def reference(self, repository: str, tag: str) -> str:
        """How tools and people write one tag: ``host/repository:tag``, or a path in a folder."""
        return f"{self.host or self.folder}/{repository}:{tag}"

    def client_url(self, *parts: str) -> str | None:
        """The ``oci://`` address of ``parts`` for conda clients; None where none can follow it.

        rattler and mamba always speak https on port 443, whatever port the address names.
        """
        host = self.host.removesuffix(":443")
        if self.scheme != "oci" or ":" in host.rpartition("]")[2]:
            return None
        return f"oci://{host}/{self.repository(*parts)}/"
