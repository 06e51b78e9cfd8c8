"""``ocidir://``: image layouts on disk, one folder a repository (OCI image spec 1.1, "layout")."""

from __future__ import annotations

import contextlib
import fcntl
import os
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson

from indexer.errors import ContentError, NotFoundError, RegistryError
from indexer.registry.address import RegistryAddress, is_repository
from indexer.registry.base import Requests
from indexer.registry.content import (
    MAX_MANIFEST,
    OCI_INDEX,
    Descriptor,
    Digest,
    RawManifest,
    parse_descriptor,
)

_REF_NAME = "org.opencontainers.image.ref.name"
# Repositories are read in one go, a few at a time.
_KEPT = 64
_MAX_INDEX = 256 * 1024 * 1024


_References = dict[str, Descriptor | ContentError]


class LayoutRegistry:
    """A folder of image layouts: ``folder/<repository>/{oci-layout,index.json,blobs}``."""

    def __init__(self, address: RegistryAddress) -> None:
        if address.folder is None:
            raise ValueError(f"not a folder: {address}")
        self.address = address
        self.requests = Requests()
        self._root = address.folder
        # A layout's index.json is parsed once for all its tags, and again when it changes.
        self._known: dict[str, tuple[object, _References]] = {}

    def repositories(self) -> Iterator[str]:
        """Every folder below the root that holds an image layout."""
        self.requests.add("catalog")
        if not self._root.is_dir():
            raise RegistryError(f"There is no folder {self._root}; check the registry's address.")
        for folder, folders, files in os.walk(self._root, onerror=_unreadable):
            folders.sort()
            if "oci-layout" in files:
                folders[:] = [name for name in folders if name != "blobs"]
                name = Path(folder).relative_to(self._root).as_posix()
                if is_repository(name):
                    yield name

    def tags(self, repository: str) -> list[str]:
        """The reference names in the layout's index.json."""
        self.requests.add("tags")
        return list(self._references(repository))

    def manifest(self, repository: str, reference: str) -> RawManifest:
        """A manifest by tag or digest."""
        self.requests.add("manifests")
        if reference.startswith("sha256:"):
            digest, media_type = Digest.parse(reference), ""
        else:
            found = self._references(repository).get(reference)
            if found is None:
                raise NotFoundError(f"{self._folder(repository)} has no tag {reference}.")
            if isinstance(found, ContentError):
                raise ContentError(f"its entry in index.json: {found}")
            digest, media_type = found.digest, found.media_type
        return RawManifest(self._read(repository, digest, MAX_MANIFEST), media_type)

    def blob(self, repository: str, descriptor: Descriptor) -> bytes:
        """A whole blob, checked against its descriptor."""
        self.requests.add("blobs")
        data = self._read(repository, descriptor.digest, descriptor.size)
        if len(data) != descriptor.size:
            raise ContentError(f"{descriptor.digest} has {len(data)} bytes, not {descriptor.size}")
        return data

    def has_blob(self, repository: str, digest: Digest) -> bool:
        """Whether the blob's file is there."""
        self.requests.add("blob checks")
        return self._blob_path(repository, digest).is_file()

    def put_blob(self, repository: str, data: bytes) -> Digest:
        """Store bytes under their digest; does nothing where they are there already."""
        folder = self._folder(repository)
        digest = Digest.of(data)
        path = self._blob_path(repository, digest)
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            _write_whole(path, data)
        marker = folder / "oci-layout"
        if not marker.exists():
            _write_whole(marker, b'{"imageLayoutVersion":"1.0.0"}')
        return digest

    def put_manifest(self, repository: str, tag: str, body: bytes, media_type: str) -> Digest:
        """Store a manifest and point ``tag`` at it; two writers don't lose each other's tags."""
        digest = self.put_blob(repository, body)
        entry: dict[str, Any] = {
            "mediaType": media_type,
            "digest": str(digest),
            "size": len(body),
            "annotations": {_REF_NAME: tag},
        }
        with self._writing(repository):
            entries = [item for item in self._entries(repository) if _ref_name(item) != tag]
            entries.append(entry)
            entries.sort(key=lambda item: str(_ref_name(item)))
            document = {"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": entries}
            _write_whole(self._folder(repository) / "index.json", orjson.dumps(document))
        return digest

    @contextlib.contextmanager
    def _writing(self, repository: str) -> Iterator[None]:
        with (self._folder(repository) / ".lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def _folder(self, repository: str) -> Path:
        if not is_repository(repository):
            raise NotFoundError(f"{repository!r} can't be a repository's name.")
        return self._root / repository

    def _blob_path(self, repository: str, digest: Digest) -> Path:
        return self._folder(repository) / "blobs" / "sha256" / digest.hex

    def _read(self, repository: str, digest: Digest, limit: int) -> bytes:
        path = self._blob_path(repository, digest)
        data = _read_file(path, limit)
        if data is None:
            raise NotFoundError(f"{path} isn't there.")
        if Digest.of(data) != digest:
            raise ContentError(f"the bytes of {path} don't have their digest")
        return data

    def _entries(self, repository: str) -> list[dict[str, Any]]:
        path = self._folder(repository) / "index.json"
        try:
            data = _read_file(path, _MAX_INDEX)
            if data is None:
                return []
            document = orjson.loads(data)
        except (ContentError, orjson.JSONDecodeError) as error:
            raise RegistryError(
                f"{path} can't be read ({error}); the layout is damaged."
            ) from error
        entries = document.get("manifests") if isinstance(document, dict) else None
        if not isinstance(entries, list) or not all(isinstance(item, dict) for item in entries):
            raise RegistryError(f"{path} holds no list of manifests; the layout is damaged.")
        return entries

    def _references(self, repository: str) -> _References:
        folder = self._folder(repository)
        path = folder / "index.json"
        try:
            status = path.stat()
        except OSError as error:
            if folder.is_dir() and (folder / "oci-layout").is_file():
                return {}
            raise NotFoundError(f"{folder} is not an image layout.") from error
        version = (status.st_mtime_ns, status.st_size, status.st_ino)
        known = self._known.get(repository)
        if known is None or known[0] != version:
            known = (version, self._parse_references(repository))
            while len(self._known) >= _KEPT:
                # Another thread may have been faster; nothing is lost by that.
                self._known.pop(next(iter(self._known)), None)
            self._known[repository] = known
        return known[1]

    def _parse_references(self, repository: str) -> _References:
        found: _References = {}
        for item in self._entries(repository):
            tag = _ref_name(item)
            if tag is None:
                continue
            try:
                found[tag] = parse_descriptor(item)
            except ContentError as error:
                # Costs this tag alone; whoever may push one must not stop the channel.
                found[tag] = error
        return found


def _ref_name(item: dict[str, Any]) -> str | None:
    annotations = item.get("annotations")
    name = annotations.get(_REF_NAME) if isinstance(annotations, dict) else None
    return name if isinstance(name, str) else None


def _unreadable(error: OSError) -> None:
    raise RegistryError(f"The folder {error.filename} can't be read: {error.strerror}.")


def _read_file(path: Path, limit: int) -> bytes | None:
    try:
        # A pipe in its place would be read for ever.
        if not stat.S_ISREG(path.stat().st_mode):
            raise ContentError(f"{path} is not a file")
        with path.open("rb") as file:
            data = file.read(limit + 1)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise RegistryError(f"{path} can't be read: {error.strerror}.") from error
    if len(data) > limit:
        raise ContentError(f"{path} has more than {limit} bytes")
    return data


def _write_whole(path: Path, data: bytes) -> None:
    """Write a file that is either absent or complete, whenever this program is killed."""
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=".tmp-")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
        Path(name).chmod(0o644)
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
