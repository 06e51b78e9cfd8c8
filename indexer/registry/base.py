"""The one protocol that every registry stands behind."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterable
from typing import Protocol

from indexer.registry.address import RegistryAddress
from indexer.registry.content import Descriptor, Digest, RawManifest


class Requests:
    """How many requests were made, by kind; counted from many threads."""

    __slots__ = ("_counts", "_lock")

    def __init__(self) -> None:
        self._counts: Counter[str] = Counter()
        self._lock = threading.Lock()

    def add(self, kind: str) -> None:
        """Count one request of this kind."""
        with self._lock:
            self._counts[kind] += 1

    def as_dict(self) -> dict[str, int]:
        """The counts so far, by kind, in alphabetical order."""
        with self._lock:
            return dict(sorted(self._counts.items()))


class Registry(Protocol):
    """A registry, read: whoever fetches gets bytes that are already checked.

    Every method may be called from several threads. Each raises RegistryError where the
    registry doesn't answer to the end, NotFoundError or DeniedError where it says no.
    """

    @property
    def address(self) -> RegistryAddress:
        """Where this registry is."""
        ...

    @property
    def requests(self) -> Requests:
        """What has been asked of it so far."""
        ...

    def repositories(self) -> Iterable[str]:
        """Full names of all repositories. Raises UnsupportedError where there is no listing."""
        ...

    def tags(self, repository: str) -> list[str]:
        """All tags of a repository, complete, in no order."""
        ...

    def manifest(self, repository: str, reference: str) -> RawManifest:
        """A manifest by tag or digest. Raises ContentError where the bytes aren't its digest's."""
        ...

    def blob(self, repository: str, descriptor: Descriptor) -> bytes:
        """A whole (small) blob. Raises ContentError where digest or size differ."""
        ...

    def has_blob(self, repository: str, digest: Digest) -> bool:
        """Whether the blob is there."""
        ...
