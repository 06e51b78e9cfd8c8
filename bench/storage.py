"""A docker-registry's storage, filled on disk: thousands of packages in seconds, without pushing.

The layout is that of the distribution project's filesystem driver 2.8, read off
``registry/storage/paths.go``. Fill it before the registry starts: one that runs may remember that
something wasn't there.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from pathlib import Path

from indexer.registry.content import Digest


class Storage:
    """What a registry has below its ``rootdirectory``; for RegistryProcess that is ``data``."""

    def __init__(self, root: Path) -> None:
        top = root / "docker/registry/v2"
        self._repositories = top / "repositories"
        self._blobs = top / "blobs/sha256"

    def put(
        self, repository: str, tag: str, manifest: bytes, blobs: Mapping[Digest, bytes | Path]
    ) -> Digest:
        """Store a manifest under a tag, with some of the blobs it names; gives its digest.

        The manifest must name its own media type: the registry keeps no other note of it. A blob
        given as a file is linked to where that can be done, so nobody may write into the file
        afterwards; that the bytes have the digest they are stored by is for the caller to know.
        What the manifest names and ``blobs`` lacks is answered with 404.
        """
        digest = Digest.of(manifest)
        place = self._repositories / repository
        self._keep(digest, manifest)
        _link(place / "_manifests/revisions/sha256" / digest.hex, digest)
        tags = place / "_manifests/tags" / tag
        _link(tags / "current", digest)
        _link(tags / "index/sha256" / digest.hex, digest)
        # By this folder the catalog knows a repository.
        layers = place / "_layers/sha256"
        layers.mkdir(parents=True, exist_ok=True)
        for blob, content in blobs.items():
            self._keep(blob, content)
            _link(layers / blob.hex, blob)
        return digest

    def _keep(self, digest: Digest, content: bytes | Path) -> None:
        path = self._blobs / digest.hex[:2] / digest.hex / "data"
        if path.exists():
            return
        path.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(content, bytes):
            path.write_bytes(content)
            return
        try:
            os.link(content, path)
        except OSError:
            # On another file system, or one without links.
            shutil.copyfile(content, path)


def _link(folder: Path, digest: Digest) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "link").write_text(str(digest))
