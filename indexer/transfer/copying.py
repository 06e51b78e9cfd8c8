"""Blobs from one registry into another: mounted where they share a host, else by way of a file."""

from __future__ import annotations

import itertools
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from indexer.errors import ContentError, NotFoundError
from indexer.progress import Progress
from indexer.registry import Registry, RegistryAddress
from indexer.registry.base import How
from indexer.registry.content import Content, Descriptor
from indexer.registry.urls import origin_of
from indexer.transfer.files import fetch_into
from indexer.transfer.outcome import metered


def share_a_host(one: RegistryAddress, other: RegistryAddress) -> bool:
    """Whether two namespaces are of one registry, which can take a blob from one to the other."""
    if "ocidir" in {one.scheme, other.scheme}:
        return False
    return origin_of(one.origin) == origin_of(other.origin)


def are_the_same(one: RegistryAddress, other: RegistryAddress) -> bool:
    """Whether two addresses are of one namespace, however they are spelt."""
    if one.folder is not None and other.folder is not None:
        return one.folder.resolve() == other.folder.resolve()
    return share_a_host(one, other) and one.namespace == other.namespace


class Copier:
    """Copies single blobs; ``progress`` is told of their bytes, of each as many as it has.

    The registries must not share a transport: a blob that couldn't be mounted is fetched while it
    is being sent.
    """

    def __init__(
        self, source: Registry, target: Registry, scratch: Path, progress: Progress
    ) -> None:
        self._source = source
        self._target = target
        self._scratch = scratch
        self._progress = progress
        self._numbers = itertools.count()
        self.mounts = share_a_host(source.address, target.address)

    def copy(self, blob: Descriptor, origin: str, repository: str) -> How:
        """See to it that a blob of the repository ``origin`` is in the target's ``repository``.

        Raises ContentError where its bytes aren't those of its digest, RegistryError where a
        registry doesn't answer or says no.
        """
        meter = metered(self._progress)
        with self._content(blob, origin, meter) as content:
            if self.mounts:
                how = self._target.put_blob(repository, content, origin)
            elif self._target.has_blob(repository, blob.digest):
                how = "there"
            else:
                # Now, and not within the other request: it takes a turn at the target.
                content.opened().close()
                how = self._target.put_blob(repository, content)
        meter(blob.size)
        return how

    def check(self, blob: Descriptor, repository: str) -> None:
        """Raise ContentError where the target doesn't have a blob that was put there.

        In a folder its bytes are read once more: a file of its size was taken for it. A registry
        takes in nothing that has another digest, so it is only asked whether it has it.
        """
        address = self._target.address
        try:
            if address.folder is None:
                is_there = self._target.has_blob(repository, blob.digest)
            else:
                with tempfile.TemporaryFile(dir=self._scratch) as file:
                    self._target.download(repository, blob, file)
                is_there = True
        except NotFoundError:
            is_there = False
        except ContentError as error:
            raise ContentError(
                f"{address} has broken bytes in {repository}: {error}; take them out, and run it "
                "again"
            ) from error
        if not is_there:
            raise ContentError(f"{address} lost the blob {blob.digest}; run it again")

    @contextmanager
    def _content(
        self, blob: Descriptor, origin: str, meter: Callable[[int], None]
    ) -> Iterator[Content]:
        """A blob's bytes, which are fetched once somebody wants them. Half the way is fetching."""
        if blob.data is not None:
            yield Content.of_bytes(blob.data)
            return
        path = self._scratch / str(next(self._numbers))
        half = blob.size - blob.size // 2

        def opened() -> BinaryIO:
            if not path.exists():
                fetch_into(self._source, origin, blob, path, lambda at: meter(at // 2))
            return path.open("rb")

        try:
            yield Content(blob.digest, blob.size, opened, lambda at: meter(half + at // 2))
        finally:
            path.unlink(missing_ok=True)
            # Where it broke off.
            path.with_name(f".{path.name}.part").unlink(missing_ok=True)
