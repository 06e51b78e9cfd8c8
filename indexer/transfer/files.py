"""Files that are being written: how far they are, and that nothing else is written through them."""

from __future__ import annotations

import io
import os
import stat
from collections.abc import Callable
from pathlib import Path

from indexer.errors import ConfigError, ContentError, NotFoundError
from indexer.registry import Registry
from indexer.registry.content import Descriptor


class MeteredFile(io.BufferedRandom):
    """A file to download into, with what it holds already; ``at`` is told how far it is.

    Raises ConfigError where it can't be made.
    """

    def __init__(self, path: Path, at: Callable[[int], None]) -> None:
        try:
            flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
            descriptor = os.open(path, flags, 0o644)
        except OSError as error:
            raise ConfigError(f"{path} can't be written: {error.strerror}.") from error
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            os.close(descriptor)
            raise ConfigError(f"{path} is no file.")
        super().__init__(io.FileIO(descriptor, "r+"))
        self._at = at

    def write(self, data: bytes) -> int:  # type: ignore[override]  # all that is written here
        """Write, and tell where that leads."""
        count = super().write(data)
        self._at(self.tell())
        return count


def fetch_into(
    registry: Registry,
    repository: str,
    blob: Descriptor,
    path: Path,
    at: Callable[[int], None] = lambda _: None,
) -> None:
    """A blob as a file, which is there whole or not at all.

    What an interrupted run has fetched is gone on with. Raises RegistryError and ContentError
    where it can't be had, ConfigError where it can't be written.
    """
    part = path.with_name(f".{path.name}.part")
    try:
        with MeteredFile(part, at) as file:
            registry.download(repository, blob, file)
    except (ContentError, NotFoundError):
        # Nothing of it is worth keeping.
        part.unlink(missing_ok=True)
        raise
    try:
        part.replace(path)
    except OSError as error:
        raise ConfigError(f"{path} can't be written: {error.strerror}.") from error
