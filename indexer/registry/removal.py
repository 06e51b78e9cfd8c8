"""Taking manifests out of a registry for good or for a while: by itself, or by GitHub's API."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from indexer.errors import ConfigError, UnsupportedError
from indexer.registry.base import Registry
from indexer.registry.content import Digest
from indexer.registry.github import APIS, TOKEN_VARIABLES, token_from
from indexer.registry.transport import Transport
from indexer.registry.versions import Found, PackageVersions


class Remover(Protocol):
    """Takes manifests out of repositories, named in full, and where it can puts them back.

    Every method may be called from several threads, and raises RegistryError where there is no
    answer or a no.
    """

    @property
    def can_restore(self) -> bool:
        """Whether what was taken out can be had back."""
        ...

    def remove(self, repository: str, digest: Digest) -> None:
        """Take a manifest out, and with it every tag that leads to it; none there is no error."""
        ...

    def find(self, repository: str, digest: Digest) -> Found:
        """Where a manifest is. Raises NotFoundError where it can't be had back.

        Raises UnsupportedError where nothing can.
        """
        ...

    def restore(self, repository: str, digest: Digest) -> None:
        """Put a manifest back; one that is there is no error. Raises as ``find`` does."""
        ...


def open_remover(
    registry: Registry,
    transport: Transport,
    environ: Mapping[str, str],
    apis: Mapping[str, str] = APIS,
) -> Remover:
    """Who takes out of this registry. ``apis``: GitHub's, by host.

    Raises ConfigError where GitHub has to be asked, and there is no token for it.
    """
    api = apis.get(registry.address.host)
    if api is None:
        return RegistryRemover(registry)
    token = token_from(environ)
    if token is None:
        raise ConfigError(
            f"{registry.address.host} deletes nothing itself, and there is no token for GitHub's "
            f"Packages API, which does: set {' or '.join(TOKEN_VARIABLES)} to one with "
            "read:packages and delete:packages (to restore, write:packages)."
        )
    return PackageVersions(transport, registry.requests, token, api=api)


class RegistryRemover:
    """By the registry's own API, or in a folder: nothing comes back."""

    can_restore = False

    def __init__(self, registry: Registry) -> None:
        self._registry = registry

    def remove(self, repository: str, digest: Digest) -> None:
        """Delete the manifest by its digest."""
        try:
            self._registry.delete_manifest(repository, digest)
        except UnsupportedError as error:
            raise UnsupportedError(
                f"{error} Have whoever runs the registry allow deletions (storage.delete.enabled "
                "in distribution's settings), or delete by the registry's own means."
            ) from error

    def find(self, repository: str, digest: Digest) -> Found:
        """No registry tells."""
        del repository, digest
        raise self._no_way_back()

    def restore(self, repository: str, digest: Digest) -> None:
        """No registry does."""
        del repository, digest
        raise self._no_way_back()

    def _no_way_back(self) -> UnsupportedError:
        return UnsupportedError(
            f"What was taken out of {self._registry.address} can't be taken back: a registry "
            "deletes for good. Push it again."
        )
