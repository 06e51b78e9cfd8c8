"""Which repositories of a channel there are, for commands that go through all of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from indexer.channel import codec
from indexer.channel.index_json import SUBDIR
from indexer.registry import Registry, Transport
from indexer.registry.feed import feed_of
from indexer.registry.github import APIS, token_from
from indexer.registry.names import Channel, Listing, from_registry


def list_repositories(
    registry: Registry,
    transport: Transport,
    channel: str,
    subdirs: Sequence[str],
    environ: Mapping[str, str],
    apis: Mapping[str, str] = APIS,
) -> Listing:
    """The channel's package repositories; without ``subdirs``, of all. ``apis``: by host.

    Raises UnsupportedError where the registry lists none, and nobody else can say.
    """
    repodata = frozenset({codec.REPODATA_REPOSITORY})
    wanted = Channel(channel, tuple(subdirs), SUBDIR, repodata)
    feed = feed_of(registry, channel, transport, token_from(environ), apis)
    return from_registry(registry, wanted, feed)
