"""Blobs of a registry in a folder: given as the files they are, once their bytes were checked."""

from __future__ import annotations

import threading

from indexer.errors import ContentError
from indexer.files import has_sha256
from indexer.gateway.found import LocalFile, UnavailableError
from indexer.registry.content import Descriptor, Digest
from indexer.registry.layout import LayoutRegistry

_Version = tuple[int, int, int]


class Stored:
    """The blobs of image layouts; each is read whole once, and again when its file changes."""

    def __init__(self, registry: LayoutRegistry) -> None:
        self._registry = registry
        self._checked: dict[tuple[str, Digest], _Version] = {}
        self._lock = threading.Lock()

    def file(self, repository: str, layer: Descriptor, media_type: str, cache: str) -> LocalFile:
        """A blob's file. Raises NotFoundError, and ContentError where its bytes are others."""
        path = self._registry.blob_file(repository, layer.digest)
        try:
            status = path.stat()
            version = (status.st_ino, status.st_mtime_ns, status.st_size)
            with self._lock:
                is_checked = self._checked.get((repository, layer.digest)) == version
            if not is_checked:
                if status.st_size != layer.size or not has_sha256(path, layer.digest.hex):
                    raise ContentError(f"the bytes of {path} don't have their digest")
                with self._lock:
                    self._checked[repository, layer.digest] = version
        except OSError as error:
            raise UnavailableError(f"{path} can't be read: {error.strerror}.") from error
        return LocalFile(path, layer.size, str(layer.digest), media_type, cache, sandbox=True)
