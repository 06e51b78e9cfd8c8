"""Reading and writing OCI registries: one protocol, two backends. Nothing else speaks HTTP."""

from __future__ import annotations

from indexer.registry.address import RegistryAddress
from indexer.registry.base import Registry
from indexer.registry.credentials import find_basic
from indexer.registry.layout import LayoutRegistry
from indexer.registry.remote import RemoteRegistry
from indexer.registry.transport import Transport

__all__ = ["Registry", "RegistryAddress", "Transport", "open_registry"]


def open_registry(
    address: RegistryAddress,
    transport: Transport,
    *,
    writing: bool = False,
    anonymous: bool = False,
) -> Registry:
    """The backend for an address; asks nothing of it yet. Raises ConfigError.

    ``writing``: whoever means to write asks for the right to do so from the beginning.
    ``anonymous``: no credentials are looked for; for addresses that somebody else has named.
    """
    if address.scheme == "ocidir":
        return LayoutRegistry(address)
    basic = None if anonymous else find_basic(address.host)
    return RemoteRegistry(address, transport, basic=basic, writing=writing)
