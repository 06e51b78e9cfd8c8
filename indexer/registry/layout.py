"""``ocidir://``: image layouts on disk, one folder a repository (OCI image spec 1.1, "layout")."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import stat
import tempfile
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import IO, Any, BinaryIO

import orjson

from indexer.errors import ConflictError, ContentError, NotFoundError, RegistryError
from indexer.files import size_of
from indexer.registry.address import RegistryAddress, is_repository, is_tag
from indexer.registry.base import How, Replaced, Requests
from indexer.registry.content import (
    MAX_MANIFEST,
    OCI_INDEX,
    Content,
    Descriptor,
    Digest,
    RawManifest,
    is_digest,
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

    @property
    def needs_login(self) -> bool:
        """No."""
        return False

    def repositories(self) -> Iterator[str]:
        """Every folder below the root that holds an image layout."""
        self.requests.add("catalog")
        if not self._root.is_dir():
            raise NotFoundError(f"There is no folder {self._root}; check the registry's address.")
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
        digest, media_type = self._find_manifest(repository, reference)
        return RawManifest(self._read(repository, digest, MAX_MANIFEST), media_type)

    def manifest_unless(
        self,
        repository: str,
        reference: str,
        known: Digest | None,
        *,
        limit: int = MAX_MANIFEST,
    ) -> RawManifest | None:
        """A manifest, read only where the tag's entry in index.json is another than the known."""
        digest, media_type = self._find_manifest(repository, reference)
        if digest == known:
            return None
        return RawManifest(self._read(repository, digest, limit), media_type)

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

    def blob_file(self, repository: str, digest: Digest) -> Path:
        """Where a blob's bytes are; they aren't checked. Raises NotFoundError."""
        path = self._blob_path(repository, digest)
        if not path.is_file():
            raise NotFoundError(f"{path} is missing.")
        return path

    def download(self, repository: str, descriptor: Descriptor, file: IO[bytes]) -> None:
        """A blob into a file, checked against its descriptor."""
        self.requests.add("blobs")
        file.seek(0)
        file.truncate()
        path = self._blob_path(repository, descriptor.digest)
        try:
            with _open_file(path) as source:
                size, digest = _copy(source.read, file, descriptor.size)
        except FileNotFoundError as error:
            raise NotFoundError(f"{path} is missing.") from error
        except OSError as error:
            raise RegistryError(f"{path} can't be copied: {error.strerror}.") from error
        if (size, digest) != (descriptor.size, descriptor.digest):
            file.truncate(0)
            raise ContentError(f"the bytes of blob {descriptor.digest} don't have its digest")

    def put_blob(self, repository: str, content: Content, mount_from: str | None = None) -> How:
        """Store bytes under their digest, unless they are there already."""
        self.requests.add("uploads")
        path = self._blob_path(repository, content.digest)
        with self._explained(repository):
            if size_of(path) == content.size:
                return "there"
            path.parent.mkdir(parents=True, exist_ok=True)
            self._mark(repository)
            if mount_from is not None and self._is_linked(path, content, mount_from):
                return "mounted"
            # Named after the blob: what a killed run leaves behind, the next one overwrites.
            scratch = path.with_name(f".{path.name}.part")
            with _exclusive(scratch) as part:
                if size_of(path) == content.size:
                    return "there"
                _store(content, part)
                scratch.replace(path)
        return "sent"

    def put_manifest(
        self,
        repository: str,
        reference: str,
        body: bytes,
        media_type: str,
        *,
        replaces: Replaced = "anything",
    ) -> Digest:
        """Store a manifest and point a tag at it; two writers don't lose each other's tags."""
        content = Content.of_bytes(body)
        if not is_tag(reference) and not is_digest(reference):
            raise ContentError(f"{reference[:200]!r} can't be a tag or a digest")
        if is_digest(reference) and reference != str(content.digest):
            raise ContentError(f"its bytes are not those of {reference}")
        self.put_blob(repository, content)
        if is_digest(reference):
            return content.digest
        entry: dict[str, Any] = {
            "mediaType": media_type,
            "digest": str(content.digest),
            "size": len(body),
            "annotations": {_REF_NAME: reference},
        }
        with self._writing(repository) as entries:
            others = [item for item in entries if _ref_name(item) != reference]
            found = next((i.get("digest") for i in entries if _ref_name(i) == reference), None)
            if replaces != "anything" and found not in {
                str(content.digest),
                None if replaces is None else str(replaces),
            }:
                raise ConflictError(
                    f"{repository}:{reference} leads to {found or 'nothing'} by now; "
                    "somebody else has written it meanwhile."
                )
            entries[:] = [*others, entry]
        return content.digest

    def delete_manifest(self, repository: str, digest: Digest) -> None:
        """Take out every tag that leads to it; its bytes stay, as another may need them."""
        self.requests.add("deletions")
        if not (self._folder(repository) / "index.json").exists():
            return
        with self._writing(repository) as entries:
            entries[:] = [item for item in entries if item.get("digest") != str(digest)]

    @contextlib.contextmanager
    def _writing(self, repository: str) -> Iterator[list[dict[str, Any]]]:
        """The entries of index.json, to be changed; nobody else writes meanwhile."""
        folder = self._folder(repository)
        with self._explained(repository), _exclusive(folder / ".lock"):
            entries = self._entries(repository)
            yield entries
            entries.sort(key=lambda item: str(_ref_name(item)))
            document = {"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": entries}
            _write_whole(folder / "index.json", orjson.dumps(document))

    @contextlib.contextmanager
    def _explained(self, repository: str) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            folder = self._folder(repository)
            raise RegistryError(f"{folder} can't be written: {error.strerror}.") from error

    def _mark(self, repository: str) -> None:
        marker = self._folder(repository) / "oci-layout"
        if not marker.exists():
            _write_whole(marker, b'{"imageLayoutVersion":"1.0.0"}')

    def _is_linked(self, path: Path, content: Content, source: str) -> bool:
        """Whether the blob could be taken from another layout without a copy."""
        other = self._blob_path(source, content.digest)
        if size_of(other) != content.size:
            return False
        with contextlib.suppress(OSError):
            path.hardlink_to(other)
        return size_of(path) == content.size

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

    def _find_manifest(self, repository: str, reference: str) -> tuple[Digest, str]:
        self.requests.add("manifests")
        if reference.startswith("sha256:"):
            return Digest.parse(reference), ""
        found = self._references(repository).get(reference)
        if found is None:
            raise NotFoundError(f"{self._folder(repository)} has no tag {reference}.")
        if isinstance(found, ContentError):
            raise ContentError(f"its entry in index.json: {found}")
        return found.digest, found.media_type

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


@contextlib.contextmanager
def _exclusive(path: Path) -> Iterator[BinaryIO]:
    """A file of one's own, for as long as it takes; others wait."""
    flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
    with os.fdopen(os.open(path, flags, 0o644), "r+b") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield file


def _store(content: Content, part: BinaryIO) -> None:
    """Write a blob, or nothing of it. Raises ContentError where it isn't what its digest says."""
    part.truncate(0)
    content.at(0)
    with content.opened() as source:
        size, digest = _copy(partial(content.read, source), part, content.size, content.at)
    part.flush()
    if (size, digest) != (content.size, content.digest):
        part.truncate(0)
        raise ContentError(f"its bytes are not those of {content.digest}")


def _copy(
    read: Callable[[int], bytes],
    target: IO[bytes],
    limit: int,
    at: Callable[[int], None] = lambda _: None,
) -> tuple[int, Digest]:
    """Copy a stream of not much more than ``limit`` bytes; its size and digest."""
    hasher, size = hashlib.sha256(), 0
    while size <= limit and (chunk := read(1 << 20)):
        target.write(chunk)
        hasher.update(chunk)
        size += len(chunk)
        at(size)
    return size, Digest(hasher.hexdigest())


def _open_file(path: Path) -> BinaryIO:
    # A pipe in its place would be read for ever.
    if not stat.S_ISREG(path.stat().st_mode):
        raise ContentError(f"{path} is not a file")
    return path.open("rb")


def _ref_name(item: dict[str, Any]) -> str | None:
    annotations = item.get("annotations")
    name = annotations.get(_REF_NAME) if isinstance(annotations, dict) else None
    return name if isinstance(name, str) else None


def _unreadable(error: OSError) -> None:
    raise RegistryError(f"The folder {error.filename} can't be read: {error.strerror}.")


def _read_file(path: Path, limit: int) -> bytes | None:
    try:
        with _open_file(path) as file:
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
