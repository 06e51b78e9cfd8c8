"""What ``--artifact`` is given: one tag, or one digest, of a repository."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from indexer.errors import ConfigError, printable
from indexer.registry.address import RegistryAddress, is_repository, is_tag
from indexer.registry.content import is_digest

_HELP = (
    "write oci://host/repository:tag, oci://host/repository@sha256:..., "
    "oci+http://host:port/repository:tag or ocidir://folder/repository:tag"
)
_LATEST = "latest"


@dataclass(frozen=True, slots=True)
class ArtifactReference:
    """A manifest by name: ``reference`` is a tag or a digest, ``registry`` has no namespace."""

    registry: RegistryAddress
    repository: str
    reference: str

    @classmethod
    def parse(cls, text: str) -> ArtifactReference:
        """Read it; without a tag it is ``latest``. Raises ConfigError for anything else."""
        if not text.isprintable():
            raise ConfigError(f"The artifact {printable(text, 200)!r} is no reference: {_HELP}.")
        name, reference = _split(text)
        if name.startswith("ocidir://"):
            found = cls(*_in_folder(text, name), reference)
        else:
            address = RegistryAddress.parse(name)
            if str(address).casefold() != name.casefold():
                raise ConfigError(f"The artifact {text!r} is no reference: {_HELP}.")
            registry = RegistryAddress(address.scheme, address.host, "")
            found = cls(registry, address.namespace, reference)
        if not is_repository(found.repository):
            raise ConfigError(
                f"The artifact {text!r} names no repository (lower-case letters, digits, and "
                f". _ - between them): {_HELP}."
            )
        return found

    @property
    def prefix(self) -> str:
        """The folder that it is served in: ``host/repository:tag``, without the host in ocidir."""
        separator = "@" if is_digest(self.reference) else ":"
        name = f"{self.repository}{separator}{self.reference}"
        return f"{self.registry.host}/{name}" if self.registry.host else name

    def __str__(self) -> str:
        separator = "@" if is_digest(self.reference) else ":"
        return f"{self.registry}/{self.repository}{separator}{self.reference}"


def _split(text: str) -> tuple[str, str]:
    """The address of a repository, and the tag or digest in it."""
    name, at, digest = text.rpartition("@")
    if at:
        if is_digest(digest) and "@" not in name:
            return name, digest
        # Not quoted: it may be a password.
        raise ConfigError(
            f"An artifact's reference has an @ that no sha256 digest follows: "
            f"{_HELP}; users and passwords belong into docker's config or ORAS_USER and ORAS_PASS."
        )
    folder, slash, last = text.rpartition("/")
    last, colon, tag = last.partition(":")
    tag = tag if colon else _LATEST
    if not is_tag(tag):
        raise ConfigError(f"The artifact {text!r} is no reference: {_HELP}.")
    return folder + slash + last, tag


def _in_folder(text: str, name: str) -> tuple[RegistryAddress, str]:
    """A folder of image layouts, and the name of the one that is meant."""
    path = Path(name.removeprefix("ocidir://"))
    if not path.name:
        raise ConfigError(f"The artifact {text!r} names no folder: {_HELP}.")
    return RegistryAddress("ocidir", "", "", path.parent), path.name
