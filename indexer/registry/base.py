"""The one protocol that every registry stands behind."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterable
from typing import IO, Literal, Protocol

from indexer.registry.address import RegistryAddress
from indexer.registry.content import MAX_MANIFEST, Content, Descriptor, Digest, RawManifest


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


# How a blob came to be where it is wanted: it was there, was mounted, or its bytes were sent.
How = Literal["there", "mounted", "sent"]
# What a tag leads to before it is written: a manifest, nothing, or whatever it may be.
Replaced = Digest | Literal["anything"] | None


class Registry(Protocol):
    """A registry: whoever fetches gets bytes that are already checked.

    Every method may be called from several threads. Each raises RegistryError where the
    registry doesn't answer to the end, NotFoundError, DeniedError or RefusedError where it
    says no.
    """

    @property
    def address(self) -> RegistryAddress:
        """Where this registry is."""
        ...

    @property
    def requests(self) -> Requests:
        """What has been asked of it so far."""
        ...

    @property
    def needs_login(self) -> bool:
        """Whether it has asked who we are, and no credentials are known."""
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

    def manifest_unless(
        self,
        repository: str,
        reference: str,
        known: Digest | None,
        *,
        limit: int = MAX_MANIFEST,
    ) -> RawManifest | None:
        """The same, of ``limit`` bytes at most; None where it is still the known one."""
        ...

    def blob(self, repository: str, descriptor: Descriptor) -> bytes:
        """A whole (small) blob. Raises ContentError where digest or size differ."""
        ...

    def has_blob(self, repository: str, digest: Digest) -> bool:
        """Whether the blob is there."""
        ...

    def download(self, repository: str, descriptor: Descriptor, file: IO[bytes]) -> None:
        """Write a blob into a file, open for reading and writing; go on after what it holds.

        Raises ContentError where digest or size differ; the file is empty then.
        """
        ...

    def put_blob(self, repository: str, content: Content, mount_from: str | None = None) -> How:
        """See to it that a blob is there, at best from another repository of this registry.

        Raises ContentError where the bytes aren't those of the digest.
        """
        ...

    def put_manifest(
        self,
        repository: str,
        reference: str,
        body: bytes,
        media_type: str,
        *,
        replaces: Replaced = "anything",
    ) -> Digest:
        """Store a manifest under a tag or its digest. All that it names must be there.

        Raises ConflictError where the tag leads to something else than ``replaces`` (None:
        to nothing). HTTP has no way to make this certain: there, whoever writes in the moment
        between looking and writing is overwritten.
        """
        ...

    def delete_manifest(self, repository: str, digest: Digest) -> None:
        """Take a manifest out, and with it every tag that leads to it.

        Raises UnsupportedError where the registry doesn't do it; none there is no error.
        """
        ...
