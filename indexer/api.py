"""For notebooks and other programs: a channel in a registry, looked at and pushed to.

>>> from indexer.api import open_channel
>>> with open_channel("oci://ghcr.io/acme", "forge") as channel:
...     package = channel.package("zlib", "linux-64")
...     build = package.build(package.tags()[-1])
...     build.index_json()["depends"]

All errors are CfIndexError: RegistryError and its kinds (NotFoundError, DeniedError, ...) from the
registry, ContentError for content that isn't what it says it is, ConfigError for wrong use.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from indexer.config import read_channel
from indexer.errors import (
    CfIndexError,
    ConfigError,
    ContentError,
    DeniedError,
    NotFoundError,
    RegistryError,
)
from indexer.progress import SILENCE, Progress
from indexer.registry import Registry, RegistryAddress, Transport, open_registry
from indexer.transfer.job import Job
from indexer.transfer.outcome import Failure, Item, Outcome
from indexer.transfer.package import Package, PackageBuild
from indexer.transfer.push import Push

__all__ = [
    "CfIndexError",
    "Channel",
    "ConfigError",
    "ContentError",
    "DeniedError",
    "Failure",
    "Item",
    "NotFoundError",
    "Outcome",
    "Package",
    "PackageBuild",
    "RegistryError",
    "open_channel",
]


@dataclass(frozen=True, slots=True)
class Channel:
    """A channel in a registry. Made by ``open_channel``; may be used from several threads."""

    registry: Registry
    name: str
    _transport: Transport
    _jobs: int

    def package(self, name: str, subdir: str = "noarch") -> Package:
        """A package of one subdir, by conda's name for it. Asks nothing of the registry yet."""
        return Package(self.registry, self.name, subdir, name)

    def push(
        self,
        paths: Iterable[str | Path],
        *,
        again: bool = False,
        dry_run: bool = False,
        progress: Progress = SILENCE,
    ) -> Outcome:
        """Push archives, and folders in the shape of a channel, as ``cf-index push`` does.

        What is there already isn't sent again, unless ``again``. Give ``open_channel`` the
        argument ``writing=True``. The outcome names what was pushed, and what couldn't be, with
        its reason. Raises ConfigError for paths without archives, RegistryError where the
        registry doesn't answer.
        """
        job = Job(
            registry=self.registry,
            channel=self.name,
            now=datetime.now(UTC),
            dry_run=dry_run,
            jobs=self._jobs,
            progress=progress,
            abort=self._transport.close,
        )
        return Push(job, again=again).run([Path(path) for path in paths])


@contextlib.contextmanager
def open_channel(
    registry: str,
    channel: str,
    *,
    writing: bool = False,
    jobs: int = 16,
    retry_for: float = 60.0,
) -> Iterator[Channel]:
    """Open a channel for the length of a ``with`` block; asks nothing of the registry yet.

    ``registry`` is ``oci://host/namespace``, ``oci+http://host:port/namespace`` or
    ``ocidir://path``; credentials are those of ORAS_USER and ORAS_PASS, or of docker. ``jobs``
    is how many requests may be under way at once, ``retry_for`` how many seconds a failing one
    is tried. Raises ConfigError for an address or a name that can't be one.
    """
    address = RegistryAddress.parse(registry)
    name = read_channel(channel)
    transport = Transport(jobs=jobs, retry_for=retry_for)
    try:
        yield Channel(open_registry(address, transport, writing=writing), name, transport, jobs)
    finally:
        transport.close()
