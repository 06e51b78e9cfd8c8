"""What a registry holds, as types that can't hold a bad value: digests, descriptors, manifests.

Formats: OCI image specification 1.1 (descriptor, image manifest, image index), and
docker's schema 2 manifest and manifest list, which have the same fields.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import io
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

import orjson

from indexer.errors import ContentError

OCI_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
OCI_INDEX = "application/vnd.oci.image.index.v1+json"
DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
DOCKER_LIST = "application/vnd.docker.distribution.manifest.list.v2+json"
# Exactly these: on two common registries a wrong Accept is answered with
# 404 MANIFEST_UNKNOWN, which looks like a deleted package.
MANIFEST_TYPES = (OCI_MANIFEST, OCI_INDEX, DOCKER_MANIFEST, DOCKER_LIST)

# Registries take manifests of 4 MiB, and anybody who may push could make every reader hold
# many of them. A package's has a few kB, and an image index of packages no more.
MAX_MANIFEST = 512 * 1024
_MAX_SIZE = 2**53
_MAX_CHILDREN = 64
_MAX_LAYERS = 256

_SHA256 = re.compile(r"sha256:([0-9a-f]{64})")


def is_digest(text: str) -> bool:
    """Whether this is a sha256 digest in a registry's spelling."""
    return _SHA256.fullmatch(text) is not None


@dataclass(frozen=True, slots=True, order=True)
class Digest:
    """A sha256 digest; ``str()`` gives the registry's spelling, ``sha256:<hex>``."""

    hex: str

    @classmethod
    def parse(cls, text: object) -> Digest:
        """Read ``sha256:<64 lower-case hex digits>``; raises ContentError for anything else."""
        match = _SHA256.fullmatch(text) if isinstance(text, str) else None
        if match is None:
            raise ContentError(f"{_short(text)} is not a sha256 digest")
        return cls(match.group(1))

    @classmethod
    def of(cls, data: bytes) -> Digest:
        """The digest of ``data``."""
        return cls(hashlib.sha256(data).hexdigest())

    def __str__(self) -> str:
        return f"sha256:{self.hex}"


@dataclass(frozen=True, slots=True)
class Descriptor:
    """What a manifest says of one blob: where it is (digest), its size in bytes, and more.

    ``data`` is the blob itself where the descriptor holds it ("Embedded Content").
    """

    media_type: str
    digest: Digest
    size: int
    annotations: Mapping[str, str] = field(default_factory=dict)
    data: bytes | None = None

    @property
    def title(self) -> str | None:
        """The file name, by ``org.opencontainers.image.title``."""
        return self.annotations.get("org.opencontainers.image.title")


def _nobody(position: int) -> None:
    """Nobody wants to know."""


@dataclass(frozen=True, slots=True)
class Content:
    """Bytes to be sent, which may be more than memory holds: ``open`` gives them from the start.

    ``at`` is told how many of them have gone so far; from 0 on again at another try.
    """

    digest: Digest
    size: int
    open: Callable[[], BinaryIO]
    at: Callable[[int], None] = _nobody

    def opened(self) -> BinaryIO:
        """The bytes from the start. Raises ContentError where they can't be had."""
        try:
            return self.open()
        except OSError as error:
            raise ContentError(f"it can't be read: {error.strerror}") from error

    def read(self, file: BinaryIO, size: int) -> bytes:
        """The next bytes of what was opened. Raises ContentError where they can't be had."""
        try:
            return file.read(size)
        except OSError as error:
            raise ContentError(f"it can't be read: {error.strerror}") from error

    @classmethod
    def of_bytes(cls, data: bytes) -> Content:
        """What is in memory."""
        return cls(Digest.of(data), len(data), lambda: io.BytesIO(data))

    @classmethod
    def of_file(
        cls, path: Path, digest: Digest, size: int, at: Callable[[int], None] = _nobody
    ) -> Content:
        """What is in a file whose digest and size are known."""
        return cls(digest, size, lambda: path.open("rb"), at)


@dataclass(frozen=True, slots=True)
class RawManifest:
    """A manifest's bytes as the registry sent them, which the digest is made of."""

    body: bytes
    media_type: str

    @property
    def digest(self) -> Digest:
        """The digest of the bytes."""
        return Digest.of(self.body)


@dataclass(frozen=True, slots=True)
class ImageManifest:
    """An image manifest: layers and annotations (the config says nothing of a conda package)."""

    layers: tuple[Descriptor, ...]
    annotations: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class ImageIndex:
    """An image index: the manifests it leads to."""

    manifests: tuple[Descriptor, ...]


def parse_manifest(
    raw: RawManifest, *, max_layers: int = _MAX_LAYERS
) -> ImageManifest | ImageIndex:
    """Read a manifest's bytes. Raises ContentError where they aren't a manifest."""
    document = _object(raw.body)
    if "manifests" in document and "layers" not in document:
        children = document["manifests"]
        if isinstance(children, list) and len(children) > _MAX_CHILDREN:
            raise ContentError(
                f"an image index of {len(children)} manifests (at most {_MAX_CHILDREN} are read)"
            )
        return ImageIndex(_descriptors(children))
    if "layers" not in document:
        raise ContentError(f"a manifest without layers (media type {_short(raw.media_type)})")
    layers = document["layers"]
    if isinstance(layers, list) and len(layers) > max_layers:
        raise ContentError(f"a manifest of {len(layers)} layers (at most {max_layers} are read)")
    annotations = _annotations(document.get("annotations"))
    return ImageManifest(_descriptors(layers), annotations)


def _object(body: bytes) -> dict[str, Any]:
    try:
        document = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise ContentError(f"the manifest is not JSON: {error}") from error
    if not isinstance(document, dict):
        raise ContentError("the manifest is not a JSON object")
    return document


def _descriptors(value: object) -> tuple[Descriptor, ...]:
    if not isinstance(value, list):
        raise ContentError("the manifest's layers are not a list")
    return tuple(parse_descriptor(item) for item in value)


def parse_descriptor(value: object) -> Descriptor:
    """Read one descriptor (a JSON value). Raises ContentError where it isn't one."""
    if not isinstance(value, dict):
        raise ContentError("a descriptor is not a JSON object")
    media_type, size = value.get("mediaType", ""), value.get("size")
    if not isinstance(media_type, str):
        raise ContentError("a descriptor's media type is not a string")
    if type(size) is not int or not 0 <= size < _MAX_SIZE:
        raise ContentError(f"a descriptor's size is {_short(size)}")
    digest = Digest.parse(value.get("digest"))
    data = _embedded(value.get("data"), digest, size)
    return Descriptor(media_type, digest, size, _annotations(value.get("annotations")), data)


def _embedded(value: object, digest: Digest, size: int) -> bytes | None:
    """The decoded ``data`` of a descriptor (OCI image spec 1.1, "Embedded Content")."""
    if value is None:
        return None
    if not isinstance(value, str):
        raise ContentError("the data in a descriptor is not a string")
    try:
        data = base64.b64decode(value, validate=True)
    except (binascii.Error, ValueError) as error:
        raise ContentError(f"the data in a descriptor is not base64: {error}") from error
    if len(data) != size or Digest.of(data) != digest:
        raise ContentError(f"the data in a descriptor isn't what its digest {digest} says")
    return data


def _annotations(value: object) -> dict[str, str]:
    if value is None:
        return {}
    if not isinstance(value, dict) or not all(isinstance(item, str) for item in value.values()):
        raise ContentError("annotations that are not a map of strings")
    return value


def _short(value: object) -> str:
    """A hostile value in a message: short, and never the whole of something nested."""
    if isinstance(value, dict | list):
        return f"a {type(value).__name__}"
    text = repr(value)
    return text if len(text) <= 80 else text[:77] + "..."
