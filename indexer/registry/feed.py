"""A change feed: which packages there are, and what tells that one of them has changed.

Only GitHub's Packages API is one. It is asked once in a run, for names and for changes.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from indexer.errors import ConfigError, RegistryError, UnsupportedError
from indexer.registry.base import Registry
from indexer.registry.github import APIS, Stamp, container_packages
from indexer.registry.transport import Transport

SOURCE = "the GitHub Packages API"


def feed_of(
    registry: Registry,
    channel: str,
    transport: Transport,
    token: str | None,
    apis: Mapping[str, str] = APIS,
) -> Feed | None:
    """The feed for a channel; None where the registry has none. ``apis``: address by host."""
    api = apis.get(registry.address.host)
    return None if api is None else Feed(registry, channel, transport, token, api)


class Feed:
    """The packages of the owner of a channel; nothing is asked before they are wanted."""

    def __init__(
        self,
        registry: Registry,
        channel: str,
        transport: Transport,
        token: str | None,
        api: str,
    ) -> None:
        full = registry.address.repository(channel)
        self._owner, _, self.prefix = full.partition("/")
        self._api = api
        self._requests = registry.requests
        self._transport = transport
        self._token = token
        self._packages: dict[str, Stamp | None] = {}
        self._is_read = False
        self._error: RegistryError | ConfigError | None = None

    def packages(self) -> Mapping[str, Stamp | None]:
        """All packages without their owner, such as ``forge/linux-64/zlib``, with their stamps.

        Raises UnsupportedError where the API lists none of them, or not all; RegistryError where
        it broke off, ConfigError where the token can't be sent.
        """
        self._read()
        if self._error is not None:
            raise self._error
        return self._packages

    def stamps(self, subdir: str, repositories: Iterable[str]) -> dict[str, Stamp]:
        """The stamps of these repositories of a subdir, as many as there are.

        They only save requests: where the API is slow, asking it for long would save nothing.
        """
        self._read(patient=False)
        start = f"{self.prefix}/{subdir}/" if self.prefix else f"{subdir}/"
        found = ((name, self._packages.get(start + name)) for name in repositories)
        return {name: stamp for name, stamp in found if stamp is not None}

    @property
    def is_read(self) -> bool:
        """Whether it was asked, and asking more of it costs nothing."""
        return self._is_read

    @property
    def trouble(self) -> str:
        """Why it doesn't say all, where it doesn't."""
        return str(self._error or "")

    def _read(self, *, patient: bool = True) -> None:
        if self._is_read:
            return
        self._is_read = True
        try:
            if self._token is None:
                raise UnsupportedError(
                    "There is no token for GitHub's Packages API, which alone lists what ghcr.io "
                    "has: set CF_INDEX_GITHUB_TOKEN to one with read:packages, or use --names FILE."
                )
            for package in container_packages(
                self._transport,
                self._owner,
                self._token,
                self._requests,
                api=self._api,
                patient=patient,
            ):
                self._packages[package.name] = package.stamp
        except (RegistryError, ConfigError) as error:
            self._error = error
