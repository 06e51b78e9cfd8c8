"""Makes a gateway of what an operator names: a source, and the servers that belong to it."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from urllib.parse import SplitResult, urlsplit

from indexer.gateway.artifact import open_artifacts, read_references
from indexer.gateway.channel.sites import FolderSite, WebSite
from indexer.gateway.channel.source import ChannelSource, Origin
from indexer.gateway.options import Options
from indexer.gateway.server import serve
from indexer.registry.address import RegistryAddress
from indexer.registry.reach import Reach
from indexer.registry.transport import Transport

__all__ = ["Origin", "serve_artifacts", "serve_channel_url", "serve_site"]

Tell = Callable[[str], None]
# In seconds. A look at a folder costs nothing, and whoever rebuilds it wants to see it.
_FOLDER_REFRESH = 2.0
_RETRY_FOR = 10.0
_JOBS = 16


def serve_site(
    folder: Path, origin: Origin, base_url: str | None, options: Options, tell: Tell
) -> None:
    """Serve a site in a folder. Raises ConfigError where there is none."""
    with _scratch() as scratch:
        source = ChannelSource(FolderSite(folder), origin, scratch, base_url)
        options = options.with_refresh(min(options.refresh, _FOLDER_REFRESH))
        serve(source, options, lambda: _host(source.registry), tell)


def serve_channel_url(
    address: str, origin: Origin, base_url: str | None, options: Options, tell: Tell
) -> None:
    """Serve a site that is published elsewhere. Raises ConfigError."""
    with _scratch() as scratch:
        transport = _transport([_server(urlsplit(address))], options)
        source = ChannelSource(WebSite(address, transport, scratch), origin, scratch, base_url)
        # A registry that only the site names is nobody that the operator has named.
        serve(source, options, lambda: _host(origin.registry), tell)


def serve_artifacts(references: Sequence[str], options: Options, tell: Tell) -> None:
    """Serve the files of OCI artifacts. Raises ConfigError."""
    named = read_references(references)
    hosts = [host for one in named for host in _host(one.registry)]
    transport = _transport(hosts, options)
    with _scratch() as scratch:
        limit = int(options.unpacked * 1_000_000_000)
        source = open_artifacts(named, transport, scratch, tell, limit=limit)
        serve(source, options, lambda: hosts, tell)


def _transport(named: list[str], options: Options) -> Transport:
    """Leads to these servers, and to public ones."""
    reach = Reach.of([*options.allowed, *named])
    return Transport(jobs=_JOBS, retry_for=_RETRY_FOR, reach=reach)


def _host(registry: RegistryAddress | None) -> list[str]:
    if registry is None or not registry.host:
        return []
    return [_server(urlsplit(registry.origin))]


def _server(parts: SplitResult) -> str:
    """Host and port of an address."""
    host = parts.hostname or ""
    port = parts.port or {"http": 80, "https": 443}[parts.scheme]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


@contextlib.contextmanager
def _scratch() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="cf-index-", ignore_cleanup_errors=True) as folder:
        yield Path(folder)
