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
import threading
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from indexer.channel.policy import DEFAULT_POLICY
from indexer.errors import (
    CfIndexError,
    ConfigError,
    ContentError,
    DeniedError,
    LoginError,
    NotFoundError,
    RegistryError,
)
from indexer.progress import SILENCE, Progress
from indexer.registry import Registry, RegistryAddress, Transport, open_registry
from indexer.settings import read_channel
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
    "LoginError",
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
    _status_key: str
    _jobs: int
    _retry_for: float
    _over: threading.Event

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

        What is there already isn't sent again, unless ``again``. The outcome names what was
        pushed, and what couldn't be, with its reason. Raises ConfigError for paths without
        archives and after the ``with`` block, LoginError where the registry wants credentials,
        and RegistryError where it doesn't answer.
        """
        if self._over.is_set():
            raise ConfigError("The channel is closed: push within the block of open_channel.")
        # Of its own: a push that fails ends all that is under way on its transport.
        with contextlib.closing(Transport(jobs=self._jobs, retry_for=self._retry_for)) as transport:
            job = Job(
                registry=open_registry(self.registry.address, transport, writing=True),
                channel=self.name,
                now=datetime.now(UTC),
                status_key=self._status_key,
                dry_run=dry_run,
                jobs=self._jobs,
                progress=progress,
                abort=transport.close,
            )
            return Push(job, again=again).run([Path(path) for path in paths])


@contextlib.contextmanager
def open_channel(
    registry: str,
    channel: str,
    *,
    status_key: str = DEFAULT_POLICY.key,
    jobs: int = 16,
    retry_for: float = 60.0,
) -> Iterator[Channel]:
    """Open a channel for the length of a ``with`` block; asks nothing of the registry yet.

    ``registry`` is ``oci://host/namespace``, ``oci+http://host:port/namespace`` or
    ``ocidir://path``; credentials are those of ORAS_USER and ORAS_PASS, or of docker.
    ``status_key`` is the annotation that new content loses, ``jobs`` how many requests may be
    under way at once, ``retry_for`` how many seconds a failing one is tried. Raises
    ConfigError for an address or a name that can't be one.
    """
    address = RegistryAddress.parse(registry)
    name = read_channel(channel)
    over = threading.Event()
    with contextlib.closing(Transport(jobs=jobs, retry_for=retry_for)) as transport:
        try:
            reader = open_registry(address, transport)
            yield Channel(reader, name, status_key, jobs, retry_for, over)
        finally:
            over.set()
